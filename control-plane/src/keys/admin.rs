//! An admin key for the owner, made at the machine: when the signing key of API keys was compromised, every admin key is
//! dead, and nobody could make another one over the API.

use serde_json::json;
use shared::id::{KeyId, OrgId, SigningKeyId, StatusIndex, UserId, WorkspaceId};
use shared::key::Environment;
use shared::scope::{ADMIN, ScopeSet};
use shared::time::{UnixMillis, UnixSeconds};

use super::issue::{Draft, Drawn, Issued, draw};
use super::rules::Grant;
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::ApiError;
use crate::store::Tx;
use crate::store::orgs::IssueSubjects;

const NAME: &str = "admin key made at the machine";

/// Issues the key under an index that was taken for it, for the first owner of an organisation, or of the first one. It works at the edge as soon as the edge knows the index's block.
pub async fn create_admin(
    tx: &mut Tx,
    app: &App,
    org: Option<OrgId>,
    (signing_key, index): (SigningKeyId, StatusIndex),
    actor: &Actor,
    now: UnixMillis,
) -> Result<Issued, ApiError> {
    let org = match org {
        Some(org) => org,
        None => tx
            .first_org()
            .await?
            .ok_or_else(|| ApiError::not_found("organisation"))?,
    };
    let user = tx
        .first_owner(org)
        .await?
        .ok_or_else(|| ApiError::not_found("owner"))?;
    let made = Made {
        org,
        user,
        name: NAME,
        workspace: None,
        // Live reaches the keys of every environment; a deployment without it gets the most that it has.
        environment: *app.config.environments.iter().min().unwrap_or(&Environment::Live),
        scopes: app.catalogue().parse([ADMIN]).map_err(ApiError::internal)?,
        expires_at: None,
    };
    let drawn = Drawn {
        id: KeyId::from(index),
        signer: app.keyring.key(tx, signing_key).await?,
    };
    write(tx, app, made, drawn, actor, now).await
}

/// A key that is made at the machine: nobody asked for it whose rights would limit it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'a> {
    pub(crate) org: OrgId,
    pub(crate) user: UserId,
    pub(crate) name: &'a str,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) environment: Environment,
    pub(crate) scopes: ScopeSet,
    pub(crate) expires_at: Option<UnixSeconds>,
}

/// Makes a key under an index that every edge knows.
pub(crate) async fn make(
    tx: &mut Tx,
    app: &App,
    made: Made<'_>,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Issued, ApiError> {
    let drawn = draw(tx, app, made.org, now).await?;
    write(tx, app, made, drawn, actor, now).await
}

async fn write(
    tx: &mut Tx,
    app: &App,
    made: Made<'_>,
    drawn: Drawn,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Issued, ApiError> {
    let subjects = IssueSubjects {
        org: made.org,
        workspace: made.workspace,
        user: Some(made.user),
    };
    let draft = Draft {
        org: made.org,
        user: made.user,
        grant: Grant {
            workspace: made.workspace,
            environment: made.environment,
            scopes: made.scopes,
            expires_at: made.expires_at,
        },
        issued_at: tx.issue_time(subjects, now.seconds()).await?,
        drawn,
    };
    let (plain, masked) = draft.build(app)?;
    let key = draft.row(made.name.to_owned(), masked, actor.who.clone(), now);
    tx.insert_key(&key).await?;
    let event = Event {
        org: Some(made.org),
        actor,
        action: "api_key.create",
        target: key.id.to_string(),
        detail: json!({"name": key.name, "scopes": app.catalogue().names(key.scopes)}),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(Issued { plain, key })
}
