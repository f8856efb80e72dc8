//! `portcullis demo`: a believable month in the first organisation, so that every page has something to show; and its end.
//!
//! People, workspaces and keys are made as any others are, then dated back; nobody has the text of a key, and nobody can sign in
//! as one of the people. The month's requests are written where the edges' counts go. What it leaves behind when it is removed:
//! lines of the audit trail, and revoked bits, both of which are for good.
//!
//! What it does not: touch what it has not made, or run where it has run already.

mod story;
#[cfg(test)]
mod tests;
mod traffic;

use serde_json::json;
use shared::id::{KeyId, OrgId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::{ApiError, Code};
use crate::keys::{self, Made, Reason};
use crate::orgs::SHORT_IDS;
use crate::store::Tx;
use crate::store::orgs::NewUser;
use story::{KEYS, PEOPLE, PROGRAMS, WORKSPACES};

const DAY_MS: u64 = 86_400_000;
/// How long the old key of a rotation lives on.
const OVERLAP_SECONDS: u64 = 3 * 86_400;

/// How much there was to make or to take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// People.
    pub people: usize,
    /// Workspaces.
    pub workspaces: usize,
    /// Keys.
    pub keys: usize,
    /// Requests in the month.
    pub requests: u64,
}

/// Makes the month, unless it is there. One transaction.
pub async fn seed(app: &App, actor: &Actor) -> Result<Option<Extent>, ApiError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let org = tx
        .first_org()
        .await?
        .ok_or_else(|| ApiError::not_found("organisation"))?;
    tx.hold_org(org).await?;
    if !tx.demo_objects().await?.users.is_empty() {
        return Ok(None);
    }
    let people = people(&mut tx, app, org, now).await?;
    let workspaces = workspaces(&mut tx, app, org, now).await?;
    let made = make_keys(&mut tx, app, org, (&people, &workspaces), actor, now).await?;
    let requests = traffic::write(&mut tx, org, &made, now).await?;
    let extent = Extent {
        people: people.len(),
        workspaces: workspaces.len(),
        keys: made.len(),
        requests,
    };
    note(&mut tx, app, org, actor, "demo.seed", extent, now).await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(extent))
}

/// Revokes the demo's keys and takes everything away that it made. `None`: there is none.
pub async fn remove(app: &App, actor: &Actor) -> Result<Option<Extent>, ApiError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let org = tx
        .first_org()
        .await?
        .ok_or_else(|| ApiError::not_found("organisation"))?;
    tx.hold_org(org).await?;
    let objects = tx.demo_objects().await?;
    if objects.users.is_empty() {
        return Ok(None);
    }
    for id in &objects.keys {
        if let Some(key) = tx.key(*id).await?.filter(|key| key.revoked.is_none()) {
            keys::revoke_held(
                &mut tx,
                app,
                &key,
                Reason::CessationOfOperation,
                actor.who.clone(),
            )
            .await?;
        }
    }
    let extent = Extent {
        people: objects.users.len(),
        workspaces: objects.workspaces.len(),
        keys: objects.keys.len(),
        requests: 0,
    };
    tx.forget_demo(org, &objects).await.map_err(|error| {
        if error.is_foreign_key_violation() {
            let detail =
                "something hangs on the demo's people or workspaces (a key, a grant): remove that first";
            return ApiError::new(Code::InvalidField, detail);
        }
        error.into()
    })?;
    note(&mut tx, app, org, actor, "demo.remove", extent, now).await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(extent))
}

async fn note(
    tx: &mut Tx,
    app: &App,
    org: OrgId,
    actor: &Actor,
    action: &'static str,
    extent: Extent,
    now: UnixMillis,
) -> Result<(), ApiError> {
    let event = Event {
        org: Some(org),
        actor,
        action,
        target: org.to_string(),
        detail: json!(extent),
    };
    Ok(audit::record(tx, &app.random, &event, now).await?)
}

async fn people(tx: &mut Tx, app: &App, org: OrgId, now: UnixMillis) -> Result<Vec<UserId>, ApiError> {
    let mut made = Vec::new();
    for (email, name, role) in PEOPLE {
        let id = app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
        let id = UserId::from_u64(id).ok_or_else(|| ApiError::internal(anyhow::anyhow!("user id")))?;
        let user = NewUser {
            id,
            email,
            name,
            password_hash: None,
        };
        tx.insert_user(&user, now).await?;
        tx.insert_membership(org, id, role, now).await?;
        tx.insert_demo_object("user", id.get()).await?;
        made.push(id);
    }
    // Behind the people, by whose places the keys are given out.
    for (name, role) in PROGRAMS {
        let id = app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
        let id = UserId::from_u64(id).ok_or_else(|| ApiError::internal(anyhow::anyhow!("user id")))?;
        tx.insert_service_user(id, name, now).await?;
        tx.insert_membership(org, id, role, now).await?;
        tx.insert_demo_object("user", id.get()).await?;
        made.push(id);
    }
    Ok(made)
}

async fn workspaces(
    tx: &mut Tx,
    app: &App,
    org: OrgId,
    now: UnixMillis,
) -> Result<Vec<WorkspaceId>, ApiError> {
    let mut made = Vec::new();
    for name in WORKSPACES {
        let id = app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
        let id =
            WorkspaceId::from_u64(id).ok_or_else(|| ApiError::internal(anyhow::anyhow!("workspace id")))?;
        tx.insert_workspace(id, org, name, now).await?;
        tx.insert_demo_object("workspace", id.get()).await?;
        made.push(id);
    }
    Ok(made)
}

async fn make_keys(
    tx: &mut Tx,
    app: &App,
    org: OrgId,
    (people, workspaces): (&[UserId], &[WorkspaceId]),
    actor: &Actor,
    now: UnixMillis,
) -> Result<Vec<(KeyId, &'static story::Key)>, ApiError> {
    let environments = &app.config.environments;
    let mut made: Vec<(KeyId, &'static story::Key)> = Vec::new();
    for story in &KEYS {
        let Some(user) = people.get(story.owner).copied() else {
            continue;
        };
        let environment = if environments.contains(&story.environment) {
            story.environment
        } else {
            *environments.iter().min().unwrap_or(&Environment::Live)
        };
        let key = Made {
            org,
            user,
            name: story.name,
            workspace: story.workspace.and_then(|n| workspaces.get(n).copied()),
            environment,
            // A catalogue without the preset: the demo shows a key that can do everything its owner may.
            scopes: keys::scopes_of(Some(story.preset), None, &app.policy().policy)?,
            expires_at: story
                .ends_in_days
                .map(|days| now.saturating_add(days.saturating_mul(DAY_MS)).seconds()),
        };
        let id = keys::make(tx, app, key, actor, now).await?.key.id;
        tx.insert_demo_object("key", id.get()).await?;
        let age = story.age_days.saturating_mul(DAY_MS);
        tx.backdate_demo_key(id, UnixMillis(now.0.saturating_sub(age)))
            .await?;
        made.push((id, story));
    }
    for (new, story) in &made {
        let old = made.iter().find(|(_, other)| story.replaces == Some(other.name));
        if let Some((old, _)) = old {
            let until = now.seconds().saturating_add(OVERLAP_SECONDS);
            if tx.claim_rotation(*old, until, now.seconds()).await? {
                tx.set_successor(*old, *new).await?;
            }
        }
        if let Some(reason) = story.revoked
            && let Some(key) = tx.key(*new).await?
        {
            keys::revoke_held(tx, app, &key, reason, actor.who.clone()).await?;
        }
    }
    Ok(made)
}
