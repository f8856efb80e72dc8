//! The end of all that is bound to a workspace: the keys that are for it alone. One not-before does it at the edge; the bits are
//! for good.

use serde::Serialize;
use shared::feed::{Entry, Subject};
use shared::id::{OrgId, RevocationId, WorkspaceId};
use shared::time::UnixMillis;

use super::write::{self, Record, Scope, live_at};
use super::{Reason, Why};
use crate::app::App;
use crate::audit::Actor;
use crate::error::ApiError;
use crate::http::time::Timestamp;
use crate::revocation::{Receipt, Wait};
use crate::store::keys::Reach;
use crate::store::revocations::{Counts, KeysWhere, RevocationRow};
use crate::store::{StoreError, Tx};

/// What ended with a workspace, and who has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WorkspaceEnded)]
pub struct Ended {
    /// The revocation: which keys it ended is found under it.
    #[schema(value_type = String, example = "rev_000000001")]
    pub revocation: RevocationId,
    /// When.
    pub revoked_at: Timestamp,
    /// How much it ended.
    pub revoked: Counts,
    /// Who has it, and when nobody lets any of it in any more.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// A connection that was let in before may stay open until then; absent while an edge is pending.
    pub open_connections_until: Option<Timestamp>,
}

/// Under which the last one is found again.
pub(super) fn subject(org: OrgId, id: WorkspaceId) -> String {
    format!("{org}/{id}")
}

fn keys(org: OrgId, id: WorkspaceId, now: UnixMillis) -> KeysWhere {
    KeysWhere {
        workspace: Some(id),
        ..KeysWhere::in_reach(Reach::all_of(org), live_at(now))
    }
}

/// What there is to end, and whether anything is: a key, or something was issued since the last time.
pub(super) async fn scope(
    tx: &mut Tx,
    org: OrgId,
    id: WorkspaceId,
    now: UnixMillis,
) -> Result<(Scope, bool), StoreError> {
    let keys = keys(org, id, now);
    let fresh = tx.count_keys_where(&keys).await? > 0 || !tx.workspace_is_silent(id).await?;
    let mut scope = Scope::default();
    if fresh {
        let at = tx.set_workspace_not_before(id, now.seconds()).await?;
        let at = at.ok_or(StoreError::Corrupt("workspace: it is gone"))?;
        scope.entries.push(Entry::NotBefore(Subject::Workspace(id), at));
    }
    scope.keys = Some(keys);
    Ok((scope, fresh))
}

/// Holds the keys that will end. Before the organisation is held: whoever issues holds the calling key first.
pub(crate) async fn hold(
    tx: &mut Tx,
    org: OrgId,
    id: WorkspaceId,
    now: UnixMillis,
) -> Result<(), StoreError> {
    tx.hold_keys_where(&keys(org, id, now)).await?;
    Ok(())
}

/// Ends it in the caller's transaction, which holds the organisation. After the commit: [`receipt`].
pub(crate) async fn end(
    tx: &mut Tx,
    app: &App,
    (org, id): (OrgId, WorkspaceId),
    (action, actor): (&'static str, &Actor),
    now: UnixMillis,
) -> Result<RevocationRow, StoreError> {
    let (scope, _) = scope(tx, org, id, now).await?;
    let record = Record {
        org: Some(org),
        subject: subject(org, id),
        filter: None,
        action,
        target: id.to_string(),
        why: Why::asked(Reason::CessationOfOperation, actor),
    };
    write::write(tx, app, scope, record, now).await
}

/// The last one's row; `None` if nothing was ever ended in the workspace.
pub(crate) async fn last(
    tx: &mut Tx,
    org: OrgId,
    id: WorkspaceId,
) -> Result<Option<RevocationRow>, StoreError> {
    tx.last_revocation(&subject(org, id)).await
}

/// Counts a committed end, and wakes the feed.
pub(crate) fn announce(app: &App, row: &RevocationRow) {
    write::announce(app, row.counts);
}

/// The receipt of a committed end, once what is waited for has happened or the limit has passed.
pub(crate) async fn receipt(app: &App, row: RevocationRow, wait: Wait) -> Result<Ended, ApiError> {
    let receipt = write::receipt(app, String::new(), row, wait).await?;
    Ok(Ended {
        revocation: receipt.revocation,
        revoked_at: receipt.revoked_at,
        revoked: receipt.revoked,
        open_connections_until: receipt.open_connections_until,
        receipt: receipt.receipt,
    })
}
