//! The audit trail: one function, [`record`], called in the transaction of every state change (I10), and what is made of it.
//!
//! | file | does |
//! | --- | --- |
//! | `personal` | which parts of a row are about a person, and seals them under that person's key |
//! | `chain` | what a row, a place in a chain and a seal are digests of |
//! | `seal` | the job that chains rows, seals the heads, and says what rides in the heartbeat |
//! | `verify` | the walk along a chain; the job that takes it every day |
//! | `list` | search, by one index each, a page at a time |
//! | `export` | the whole trail as JSON lines or CSV, streamed |
//! | `api` | HTTP |
//!
//! **What is detected.** A row that was changed, removed, exchanged or put in by hand, a cut-off end, and a chain that was computed
//! anew: the seals carry a code by a key that is not in the database. What only an anchor outside shows: the whole database put
//! back to an earlier state. The head rides in each signed heartbeat to the edge, and [`verify`](verify::verify) takes one to look for.
//! What is not detected: a row that was written by hand *as the product writes it*, into both tables, before it is sealed.
//!
//! What it does not: decide what is worth recording (every change is).

pub mod api;
pub(crate) mod chain;
pub mod export;
mod list;
pub mod personal;
mod seal;
#[cfg(test)]
mod tests;
mod verify;

use serde_json::{Value, json};
use shared::crypto::Digest;
use shared::id::{AuditId, LIMIT, OrgId};
use shared::time::UnixMillis;

use crate::http::frame::RequestId;
use crate::random::Random;
use crate::store::audit::{AuditRow, stored_ids, stored_time};
use crate::store::{StoreError, Tx};

pub use list::{AuditPage, AuditView, Search, Which, may_read, page_of, reaches_everything, search};
pub use seal::{Watch, head, seal_waiting};
pub use verify::{Bad, Verification, check_all, last_check, verify};

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
    /// The public id of what changed. Never a name or an address: those go into the detail.
    pub target: String,
    /// More, as a JSON object. Never a secret. What of it is about a person is found by [`personal`].
    pub detail: Value,
}

/// Writes the row, and queues the messages to webhooks about it. Part of the caller's transaction: no change without it, no row without the change.
pub async fn record(
    tx: &mut Tx,
    random: &Random,
    event: &Event<'_>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let id = AuditId::from_u64(random.below(LIMIT)?).ok_or(StoreError::Corrupt("audit id"))?;
    let (id, org_id) = stored_ids(id, event.org);
    let detail = match &event.detail {
        Value::Null => json!({}),
        detail => detail.clone(),
    };
    let mut row = AuditRow {
        id,
        at: stored_time(now),
        chain: chain_of(event.org),
        org_id,
        actor: event.actor.who.clone(),
        credential: event.actor.credential.clone(),
        action: event.action.to_owned(),
        target: event.target.clone(),
        detail: String::new(),
        salt: Some(random.bytes::<16>()?.to_vec()),
        detail_digest: None,
        personal: None,
        address: None,
        request_id: event.actor.request_id.clone(),
    };
    personal::put(tx, random, &mut row, detail, now).await?;
    tx.insert_audit(&row).await?;
    let digest: Digest = chain::row_digest(&row);
    tx.wait_for_seal(&row, &digest).await?;
    crate::webhooks::enqueue(tx, random, &row, now).await
}

/// The number of an organisation's chain; 0: that of the installation.
pub(crate) fn chain_of(org: Option<OrgId>) -> i64 {
    org.map_or(0, |org| crate::store::int(org.get()))
}
