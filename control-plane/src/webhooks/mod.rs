//! Webhooks: an organisation hears of its own changes, at addresses that it names.
//!
//! A message is queued in the transaction of the change ([`enqueue`], which [`audit::record`](crate::audit::record) calls for every row
//! of the trail), and delivered by a job until the other side takes it, for more than a day. It comes at least once, in no certain order, under an id that
//! stays the same. Messages are signed as the Standard Webhooks specification says (<https://www.standardwebhooks.com>).
//!
//! | file | does |
//! | --- | --- |
//! | `events` | which row of the audit trail is which event: the one table |
//! | `sign` | secrets and signatures |
//! | `deliver` | the job |
//! | `change` | making, changing, removing webhooks; new secrets; pings and replays |
//! | `api` | HTTP |
//! | `page` | `/dashboard/webhooks` |
//!
//! What it does not: say what is personal. A message names things by their ids, and leaves out what the trail seals.

pub mod api;
mod change;
mod deliver;
pub mod events;
pub mod page;
mod sign;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use shared::id::{AuditId, LIMIT, MessageId, OrgId};
use shared::time::UnixMillis;

use crate::http::time::format_rfc3339;
use crate::random::Random;
use crate::store::audit::AuditRow;
use crate::store::{StoreError, Tx, int, uint};

pub(crate) use change::drawn;
pub use change::{
    Changes, New, WebhookView, change, create, deliveries, list, ping, remove, replay, rotate_secret, show,
    tag,
};
pub use deliver::{deliver_due, forget};
pub use sign::WebhookSecret;

/// Messages that wait for one webhook. Further ones are written down as given up.
const MOST_WAITING: u32 = 5000;

/// What a webhook's secrets are sealed for.
pub(crate) fn context(id: u64) -> String {
    format!("webhook/{id}")
}

/// Queues the messages about a row of the trail, in its transaction. What happens to the installation concerns the organisation
/// that runs it: the first.
pub(crate) async fn enqueue(
    tx: &mut Tx,
    random: &Random,
    row: &AuditRow,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let Some(event) = events::of(&row.action, &row.target) else {
        return Ok(());
    };
    let org = match row.org_id {
        Some(org) => OrgId::from_u64(uint(org, "organisation id")?),
        None => tx.first_org().await?,
    };
    let Some(org) = org else { return Ok(()) };
    let mut payload = None;
    for (webhook, wanted) in tx.listening_webhooks(org).await? {
        if !events::wants(&wanted, event) {
            continue;
        }
        let text = payload.get_or_insert_with(|| payload_of(org, event, row, now));
        queue(tx, random, (webhook, event), text, now).await?;
    }
    Ok(())
}

async fn queue(
    tx: &mut Tx,
    random: &Random,
    (webhook, event): (i64, &str),
    payload: &str,
    now: UnixMillis,
) -> Result<MessageId, StoreError> {
    let id = MessageId::from_u64(random.below(LIMIT)?).ok_or(StoreError::Corrupt("message id"))?;
    let full = tx.has_waiting_messages(webhook, MOST_WAITING).await?;
    let dropped = full.then_some("not sent: too many messages were waiting; it can be replayed");
    if full {
        tracing::warn!(webhook, message = %id, "a message is not sent: too many wait for the webhook");
        metrics::counter!("portcullis_webhook_attempts_total", "result" => "dropped").increment(1);
    }
    tx.insert_delivery((int(id.get()), webhook), (event, payload), dropped, now)
        .await?;
    Ok(id)
}

/// A thin message: what happened to what, by whom, and where to look. Nothing of a person beside ids.
fn payload_of(org: OrgId, event: &str, row: &AuditRow, now: UnixMillis) -> String {
    let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
    let entry = u64::try_from(row.id).ok().and_then(AuditId::from_u64);
    json!({
        "type": event,
        "timestamp": format_rfc3339(now),
        "data": {
            "org": org,
            "id": row.target,
            "actor": row.actor,
            "action": row.action,
            "audit_entry": entry,
            "detail": detail,
        },
    })
    .to_string()
}
