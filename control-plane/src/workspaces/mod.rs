//! Workspaces: parts of an organisation that keys and issuers can be narrowed to. Made, renamed, archived, taken out again.
//!
//! Archiving ends every key that is for the workspace alone, for good, and nothing new is issued for it; the receipt is that of
//! any revocation. Taking it out of the archive lifts only that: what was ended stays dead. Keys for all workspaces go on.
//!
//! The API, the dashboard and the command line call these functions (I11). What it does not: issue keys (`keys` does), or narrow
//! what other issuers' tokens reach (`issuers`).

pub mod api;
pub mod page;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::json;
use shared::id::WorkspaceId;

use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::{self, Idempotency};
use crate::http::paging;
use crate::http::tag::{IfMatch, Tag};
use crate::http::time::Timestamp;
use crate::keys::{confirm_rights, hold_caller};
use crate::orgs::{SHORT_IDS, must_administer};
use crate::revocation::Wait;
use crate::revocations::{Ended, workspace};
use crate::store::workspaces::{Workspace, WorkspaceFilter};
use crate::store::{StoreError, Tx};
use crate::text;

/// The operation's name in the idempotency table.
const OPERATION: &str = "workspace.create";
/// So many keys are counted for each workspace of a list, and no more.
const COUNTED_IN_LISTS: u32 = 10;
/// And for one that is looked at.
const COUNTED: u32 = 1000;

/// A workspace as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Workspace)]
pub struct WorkspaceView {
    /// Its id.
    #[schema(value_type = String, example = "ws_000000001")]
    pub id: WorkspaceId,
    /// What people call it.
    pub name: String,
    /// Since when nothing is issued for it.
    pub archived_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many keys are for it alone and in use: neither revoked nor ended nor replaced.
    pub keys_in_use: u64,
    /// There are at least so many: no more were counted.
    pub keys_in_use_is_minimum: bool,
}

/// What an archiving ended, and who has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WorkspaceArchived)]
pub struct Archived {
    /// The workspace as it is now.
    #[serde(flatten)]
    pub workspace: WorkspaceView,
    /// The receipt.
    #[serde(flatten)]
    pub ended: Ended,
}

impl WorkspaceView {
    /// The version of what can be changed about it.
    pub fn tag(&self) -> Tag {
        Tag::of(&(self.id, &self.name, self.archived_at))
    }
}

/// Workspaces with the keys in use of each, counted up to `most`.
async fn views(
    tx: &mut Tx,
    app: &App,
    rows: Vec<Workspace>,
    most: u32,
) -> Result<Vec<WorkspaceView>, StoreError> {
    let ids: Vec<WorkspaceId> = rows.iter().map(|row| row.id).collect();
    let counts = tx.keys_in_use(&ids, app.clock.now().seconds(), most).await?;
    let view = |row: Workspace| {
        let keys_in_use = counts.get(&row.id).copied().unwrap_or_default();
        WorkspaceView {
            id: row.id,
            name: row.name,
            archived_at: row.archived_at.map(Timestamp::from),
            created_at: row.created_at.into(),
            keys_in_use,
            keys_in_use_is_minimum: keys_in_use >= u64::from(most),
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// A page of workspaces by name, and the cursor of the next one. A credential for one workspace sees that one.
pub async fn list(
    app: &App,
    caller: &Caller,
    archived: bool,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<WorkspaceView>, Option<String>), ApiError> {
    let filter = WorkspaceFilter {
        org: caller.org,
        archived,
        after: paging::place(cursor)?,
        limit: limit.saturating_add(1),
    };
    let mut tx = app.store.begin_read().await?;
    let mut rows = match caller.workspace {
        None => tx.workspaces(&filter).await?,
        Some(own) => {
            let own = tx.workspace(caller.org, own).await?;
            own.into_iter()
                .filter(|row| row.archived_at.is_some() == archived)
                .collect()
        }
    };
    let next = paging::next(&mut rows, limit, |row| row.name.clone());
    Ok((views(&mut tx, app, rows, COUNTED_IN_LISTS).await?, next))
}

/// One workspace.
pub async fn show(app: &App, caller: &Caller, id: WorkspaceId) -> Result<WorkspaceView, ApiError> {
    let mut tx = app.store.begin_read().await?;
    let row = find(&mut tx, caller, id).await?;
    let found = views(&mut tx, app, vec![row], COUNTED).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::not_found("workspace"))
}

async fn find(tx: &mut Tx, caller: &Caller, id: WorkspaceId) -> Result<Workspace, ApiError> {
    let row = tx.workspace(caller.org, id).await?;
    row.filter(|row| caller.workspace.is_none_or(|own| own == row.id))
        .ok_or_else(|| ApiError::not_found("workspace"))
}

fn name(typed: &str) -> Result<String, ApiError> {
    let detail = "a name has 1 to 100 characters, all of which can be seen";
    let name = text::name(typed).ok_or_else(|| ApiError::invalid_field("name", detail))?;
    if name == "all" {
        let detail = "`all` stands for every workspace: choose another name";
        return Err(ApiError::invalid_field("name", detail));
    }
    Ok(name.to_owned())
}

fn taken(error: StoreError) -> ApiError {
    if error.is_unique_violation() {
        let detail = "another workspace, perhaps an archived one, has this name";
        return ApiError::new(Code::NameTaken, detail).field("name");
    }
    error.into()
}

/// Makes a workspace.
pub async fn create(
    app: &App,
    caller: &Caller,
    typed: &str,
    idempotency: Option<Idempotency>,
) -> Result<WorkspaceView, ApiError> {
    must_administer(app, caller)?;
    let name = name(typed)?;
    let now = app.clock.now();
    let drawn = app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
    let id = WorkspaceId::from_u64(drawn).ok_or(StoreError::Corrupt("workspace id"))?;
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let who = (caller.org, caller.user);
    if let Some(before) = idempotency::claim(&mut tx, who, OPERATION, idempotency, drawn, now).await? {
        drop(tx);
        let before = WorkspaceId::from_u64(before).ok_or(StoreError::Corrupt("workspace id"))?;
        return show(app, caller, before).await;
    }
    tx.insert_workspace(id, caller.org, &name, now)
        .await
        .map_err(taken)?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "workspace.create",
        target: id.to_string(),
        detail: json!({"name": name}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    show(app, caller, id).await
}

/// Gives a workspace another name. Keys go by its id, so nothing else changes.
pub async fn rename(
    app: &App,
    caller: &Caller,
    id: WorkspaceId,
    (typed, seen): (&str, &IfMatch),
) -> Result<WorkspaceView, ApiError> {
    must_administer(app, caller)?;
    let name = name(typed)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let before = find(&mut tx, caller, id).await?;
    let archived_at = before.archived_at.map(Timestamp::from);
    seen.confirm(&Tag::of(&(before.id, &before.name, archived_at)))?;
    if before.name != name {
        tx.rename_workspace(caller.org, id, &name).await.map_err(taken)?;
        let event = Event {
            org: Some(caller.org),
            actor: &caller.actor(),
            action: "workspace.rename",
            target: id.to_string(),
            detail: json!({"from": before.name, "to": name}),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
    }
    show(app, caller, id).await
}

/// Archives a workspace, and ends every key that is for it alone. A second call gives the receipt of the first.
pub async fn archive(app: &App, caller: &Caller, id: WorkspaceId, wait: Wait) -> Result<Archived, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // Locks, in the order of those who issue: the calling key, keys, organisation; then the workspace.
    hold_caller(&mut tx, caller, now).await?;
    workspace::hold(&mut tx, caller.org, id, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    find(&mut tx, caller, id).await?;
    let row = if tx.archive_workspace(caller.org, id, now).await? {
        let row = workspace::end(
            &mut tx,
            app,
            (caller.org, id),
            ("workspace.archive", &caller.actor()),
            now,
        )
        .await?;
        tx.commit().await?;
        workspace::announce(app, &row);
        row
    } else {
        let row = workspace::last(&mut tx, caller.org, id).await?;
        // Whoever waits for the receipt writes, too: this transaction must not be what they wait for.
        drop(tx);
        row.ok_or(StoreError::Corrupt(
            "workspace: it was archived without a revocation",
        ))?
    };
    let ended = workspace::receipt(app, row, wait).await?;
    Ok(Archived {
        workspace: show(app, caller, id).await?,
        ended,
    })
}

/// Takes a workspace out of the archive: keys can be made for it again. Those that were ended stay dead.
pub async fn restore(app: &App, caller: &Caller, id: WorkspaceId) -> Result<WorkspaceView, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let before = find(&mut tx, caller, id).await?;
    if tx.restore_workspace(caller.org, id).await? {
        let event = Event {
            org: Some(caller.org),
            actor: &caller.actor(),
            action: "workspace.restore",
            target: id.to_string(),
            detail: json!({"name": before.name, "archived_at": before.archived_at}),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
    }
    show(app, caller, id).await
}
