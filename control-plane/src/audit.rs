//! The audit trail: one function, called in the transaction of every state change (I10).
//!
//! What it does not: decide what is worth recording (every change is), or chain the rows (the sealer does, afterwards).

use serde_json::{Value, json};
use shared::id::{AuditId, LIMIT, OrgId};
use shared::time::UnixMillis;

use crate::http::frame::RequestId;
use crate::random::Random;
use crate::store::audit::{AuditRow, stored_ids, stored_time};
use crate::store::{StoreError, Tx};

/// Who made a change, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `usr_…`, `cli_…`, `system` or `command-line`.
    pub who: String,
    /// The credential that was presented: `key_…`.
    pub credential: Option<String>,
    /// The request that it came with.
    pub request_id: Option<String>,
}

impl Actor {
    /// The product itself: first start, publisher, jobs.
    pub fn system() -> Self {
        Self {
            who: "system".to_owned(),
            credential: None,
            request_id: None,
        }
    }

    /// Somebody who has not said who they are.
    pub fn anonymous(request: &RequestId) -> Self {
        Self {
            who: "anonymous".to_owned(),
            credential: None,
            request_id: Some(request.0.clone()),
        }
    }

    /// An operator at the machine, who has the database and the master key anyway.
    pub fn command_line() -> Self {
        Self {
            who: "command-line".to_owned(),
            credential: None,
            request_id: None,
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// In which organisation; `None` for the installation itself.
    pub org: Option<OrgId>,
    /// By whom.
    pub actor: &'a Actor,
    /// What: `api_key.create`, `api_key.revoke`, …
    pub action: &'static str,
    /// The public id of what changed.
    pub target: String,
    /// More, as a JSON object. Never a secret.
    pub detail: Value,
}

/// Writes the row. Part of the caller's transaction: no change without it, no row without the change.
pub async fn record(
    tx: &mut Tx,
    random: &Random,
    event: &Event<'_>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let id = AuditId::from_u64(random.below(LIMIT)?).ok_or(StoreError::Corrupt("audit id"))?;
    let (id, org_id) = stored_ids(id, event.org);
    let detail = if event.detail.is_null() {
        json!({})
    } else {
        event.detail.clone()
    };
    let row = AuditRow {
        id,
        at: stored_time(now),
        org_id,
        actor: event.actor.who.clone(),
        credential: event.actor.credential.clone(),
        action: event.action.to_owned(),
        target: event.target.clone(),
        detail: detail.to_string(),
        request_id: event.actor.request_id.clone(),
    };
    tx.insert_audit(&row).await
}
