//! `portcullis demo`: a believable month in the first organisation, so that every page has something to show; and its end.
//!
//! People, workspaces, keys, apps and what people let them do are made as any others are, then dated back; nobody has the text of
//! a key or of a secret, and nobody can sign in as one of the people. The month's requests are written where the edges' counts go.
//! What it leaves behind when it is removed: lines of the audit trail, and revoked bits, both of which are for good.
//!
//! What it does not: touch what it has not made, or run where it has run already. Send anything: invitations have no letter, and
//! webhooks are switched off. Invent a history in the audit trail, whose lines are what was done, when, by whoever did it. Trust an
//! issuer: the edge would be told, and what it was told once it must be told to forget for ever.
//!
//! | file | does |
//! | --- | --- |
//! | `story` | who is in it, and what they have: data only |
//! | `keys` | their keys |
//! | `apps` | OAuth clients, and what people let them do |
//! | `outside` | whom they asked in, and who is told of changes |
//! | `traffic` | the month's requests |

mod apps;
mod keys;
mod outside;
mod story;
#[cfg(test)]
mod tests;
mod traffic;

use serde_json::{Value, json};
use shared::id::{OrgId, UserId, WorkspaceId};
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::{ApiError, Code};
use crate::keys::Reason;
use crate::oauth::grants;
use crate::orgs::SHORT_IDS;
use crate::revocations::Why;
use crate::store::Tx;
use crate::store::demo::DemoObjects;
use crate::store::orgs::NewUser;
use story::{PEOPLE, PROGRAMS, WORKSPACES};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

/// How much there was to make or to take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// People.
    pub people: usize,
    /// Workspaces.
    pub workspaces: usize,
    /// Keys.
    pub keys: usize,
    /// OAuth clients.
    pub clients: usize,
    /// What people let them do.
    pub grants: usize,
    /// Invitations.
    pub invitations: usize,
    /// Webhooks.
    pub webhooks: usize,
    /// Requests in the month.
    pub requests: u64,
}

/// What every part is made with.
#[derive(Clone, Copy)]
struct Stage<'a> {
    app: &'a App,
    org: OrgId,
    actor: &'a Actor,
    now: UnixMillis,
}

impl Stage<'_> {
    fn before(&self, ms: u64) -> UnixMillis {
        UnixMillis(self.now.0.saturating_sub(ms))
    }

    async fn record(
        &self,
        tx: &mut Tx,
        action: &'static str,
        target: String,
        detail: Value,
    ) -> Result<(), ApiError> {
        let event = Event {
            org: Some(self.org),
            actor: self.actor,
            action,
            target,
            detail,
        };
        Ok(audit::record(tx, &self.app.random, &event, self.now).await?)
    }
}

/// Makes the month, unless it is there. One transaction.
pub async fn seed(app: &App, actor: &Actor) -> Result<Option<Extent>, ApiError> {
    let mut tx = app.store.begin().await?;
    let stage = Stage {
        app,
        org: first_org(&mut tx).await?,
        actor,
        now: app.clock.now(),
    };
    if !tx.demo_objects().await?.users.is_empty() {
        return Ok(None);
    }
    let people = people(&mut tx, &stage).await?;
    let workspaces = workspaces(&mut tx, &stage).await?;
    let made = keys::make(&mut tx, &stage, (&people, &workspaces)).await?;
    let requests = traffic::write(&mut tx, stage.org, &made, stage.now).await?;
    let (clients, grants) = apps::make(&mut tx, &stage, &people).await?;
    let extent = Extent {
        people: people.len(),
        workspaces: workspaces.len(),
        keys: made.len(),
        clients,
        grants,
        invitations: outside::invite(&mut tx, &stage, &people).await?,
        webhooks: outside::tell(&mut tx, &stage, &made).await?,
        requests,
    };
    stage
        .record(&mut tx, "demo.seed", stage.org.to_string(), json!(extent))
        .await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(extent))
}

/// Revokes the demo's keys and grants and takes everything away that it made. `None`: there is none.
pub async fn remove(app: &App, actor: &Actor) -> Result<Option<Extent>, ApiError> {
    let mut tx = app.store.begin().await?;
    let stage = Stage {
        app,
        org: first_org(&mut tx).await?,
        actor,
        now: app.clock.now(),
    };
    let objects = tx.demo_objects().await?;
    if objects.users.is_empty() {
        return Ok(None);
    }
    revoke(&mut tx, &stage, &objects).await?;
    let extent = Extent {
        people: objects.users.len(),
        workspaces: objects.workspaces.len(),
        keys: objects.keys.len(),
        clients: objects.clients.len(),
        grants: objects.grants.len(),
        invitations: objects.invitations.len(),
        webhooks: objects.webhooks.len(),
        requests: 0,
    };
    tx.forget_demo(stage.org, &objects).await.map_err(|error| {
        if error.is_foreign_key_violation() {
            let detail =
                "something hangs on the demo's people, workspaces or apps (a key, a grant): remove that first";
            return ApiError::new(Code::InvalidField, detail);
        }
        error.into()
    })?;
    stage
        .record(&mut tx, "demo.remove", stage.org.to_string(), json!(extent))
        .await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(extent))
}

async fn first_org(tx: &mut Tx) -> Result<OrgId, ApiError> {
    let org = tx.first_org().await?;
    let org = org.ok_or_else(|| ApiError::not_found("organisation"))?;
    tx.hold_org(org).await?;
    Ok(org)
}

async fn revoke(tx: &mut Tx, stage: &Stage<'_>, objects: &DemoObjects) -> Result<(), ApiError> {
    let reason = Reason::CessationOfOperation;
    for id in &objects.keys {
        if let Some(key) = tx.key(*id).await?.filter(|key| key.revoked.is_none()) {
            crate::keys::revoke_held(tx, stage.app, &key, reason, stage.actor.who.clone()).await?;
        }
    }
    for id in &objects.grants {
        if let Some(grant) = tx.grant(*id).await? {
            let why = Why::asked(reason, stage.actor);
            grants::end(tx, stage.app, &grant, &why, stage.now).await?;
        }
    }
    Ok(())
}

async fn people(tx: &mut Tx, stage: &Stage<'_>) -> Result<Vec<UserId>, ApiError> {
    let mut made = Vec::new();
    for (email, name, role) in PEOPLE {
        let id = draw_user(stage.app)?;
        let user = NewUser {
            id,
            email,
            name,
            password_hash: None,
        };
        tx.insert_user(&user, stage.now).await?;
        tx.insert_membership(stage.org, id, role, stage.now).await?;
        tx.insert_demo_object("user", id.get()).await?;
        made.push(id);
    }
    // Behind the people, by whose places the keys are given out.
    for (name, role) in PROGRAMS {
        let id = draw_user(stage.app)?;
        tx.insert_service_user(id, name, stage.now).await?;
        tx.insert_membership(stage.org, id, role, stage.now).await?;
        tx.insert_demo_object("user", id.get()).await?;
        made.push(id);
    }
    Ok(made)
}

fn draw_user(app: &App) -> Result<UserId, ApiError> {
    let id = app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
    UserId::from_u64(id).ok_or_else(|| ApiError::internal(anyhow::anyhow!("user id")))
}

async fn workspaces(tx: &mut Tx, stage: &Stage<'_>) -> Result<Vec<WorkspaceId>, ApiError> {
    let mut made = Vec::new();
    for name in WORKSPACES {
        let id = stage.app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
        let id =
            WorkspaceId::from_u64(id).ok_or_else(|| ApiError::internal(anyhow::anyhow!("workspace id")))?;
        tx.insert_workspace(id, stage.org, name, stage.now).await?;
        tx.insert_demo_object("workspace", id.get()).await?;
        made.push(id);
    }
    Ok(made)
}
