//! Revocation: for good, with a receipt that says when the last edge stops accepting the key.

use serde::Serialize;
use shared::feed::Entry;
use shared::id::KeyId;

use super::{confirm_rights, hold_caller};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::revocation::die::{self, Place};
use crate::revocation::{self, Receipt, Wait};
use crate::revocations::Why;
use crate::store::keys::{ApiKey, Revoked};
use crate::store::{StoreError, Tx};

pub use crate::revocations::Reason;

/// How to revoke.
#[derive(Clone, Copy, Debug, Default)]
pub struct Revocation {
    /// Why.
    pub reason: Reason,
    /// With every key of its line of rotations. Without a word: if somebody else has the key, who may have rotated it.
    pub line: Option<bool>,
    /// What the answer waits for.
    pub wait: Wait,
}

/// The receipt of a key's revocation.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct KeyReceipt {
    /// The key.
    #[schema(value_type = String, example = "key_000000001")]
    pub id: KeyId,
    /// When the revocation was committed.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: String,
    /// Keys that took over from this one by rotation and still live: whoever had this one may have them.
    #[schema(value_type = Vec<String>)]
    pub live_successors: Vec<KeyId>,
    /// Who has it, and when nobody lets the key in any more; of a whole line, when the last of its keys is out.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// A connection that was let in before may stay open until then; absent while an edge is pending.
    pub open_connections_until: Option<Timestamp>,
}

/// Revokes a key in the caller's reach, and its line if that is asked for, in one transaction. A second call gives the
/// first one's receipt. There is no way back.
pub async fn revoke(
    app: &App,
    caller: &Caller,
    id: KeyId,
    revocation: Revocation,
) -> Result<KeyReceipt, ApiError> {
    revoke_with(app, caller, id, revocation, None).await
}

/// The same, with a comment for the audit trail.
pub(crate) async fn revoke_with(
    app: &App,
    caller: &Caller,
    id: KeyId,
    revocation: Revocation,
    comment: Option<&str>,
) -> Result<KeyReceipt, ApiError> {
    let Revocation { reason, line, wait } = revocation;
    let line = line.unwrap_or(reason == Reason::KeyCompromise);
    let actor = caller.actor();
    let why = Why {
        comment,
        ..Why::asked(reason, &actor)
    };
    let mut tx = app.store.begin().await?;
    // Whoever was let in before their own credential died ends nobody else's.
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    confirm_rights(&mut tx, caller).await?;
    // Rotation changes neither organisation nor workspace nor environment: who reaches one of a line reaches all of it.
    let key = tx
        .key_in_reach(caller.reach(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))?;
    let revoked = end(&mut tx, app, &key, &why, line).await?;
    tx.commit().await?;
    die::here(Place::AfterCommit);
    if revoked > 0 {
        app.feed.wake();
        metrics::counter!("portcullis_api_keys_revoked_total").increment(revoked);
    }
    let key = super::show(app, caller, id).await?;
    let last = if line { last_of_line(app, &key).await? } else { id };
    receipt(app, &key, last, wait).await
}

/// Revokes a key, and with `line` its whole line of rotations; gives how many keys that were. After the commit, wake the feed.
pub(crate) async fn end(
    tx: &mut Tx,
    app: &App,
    key: &ApiKey,
    why: &Why<'_>,
    line: bool,
) -> Result<u64, StoreError> {
    if line {
        tx.hold_line(key.family).await?;
    }
    let mut revoked = u64::from(end_one(tx, app, key, why, line).await?);
    if line {
        revoked += end_line(tx, app, key, why).await?;
    }
    Ok(revoked)
}

/// Revokes what is left of a line. A rotation that is under way holds the key that it replaces: either its successor is
/// there when we have waited for it, and gets its turn, or it finds its key revoked.
async fn end_line(tx: &mut Tx, app: &App, key: &ApiKey, why: &Why<'_>) -> Result<u64, StoreError> {
    let mut revoked = 0;
    loop {
        let open = tx.open_line(key.family, app.clock.now().seconds()).await?;
        if open.is_empty() {
            return Ok(revoked);
        }
        for id in open {
            let member = tx
                .key(id)
                .await?
                .ok_or(StoreError::Corrupt("line: a key is gone"))?;
            revoked += u64::from(end_one(tx, app, &member, why, true).await?);
        }
    }
}

/// State change, outbox row, audit row; false if the key was revoked before, whose revocation stands.
async fn end_one(
    tx: &mut Tx,
    app: &App,
    key: &ApiKey,
    why: &Why<'_>,
    line: bool,
) -> Result<bool, StoreError> {
    if !tx.hold_unrevoked(key.id).await? {
        return Ok(false);
    }
    let revoked = write(tx, app, key, why.reason, why.actor.who.clone()).await?;
    let mut detail = why.detail();
    detail["name"] = key.name.as_str().into();
    detail["line"] = line.into();
    let event = Event {
        org: Some(key.org),
        actor: why.actor,
        action: if why.cause.is_by_holder() {
            "api_key.self_revoked"
        } else {
            "api_key.revoke"
        },
        target: key.id.to_string(),
        detail,
    };
    audit::record(tx, &app.random, &event, revoked.at).await?;
    Ok(true)
}

/// Revokes a key that the transaction already holds, and dates it now: a time from before the wait for the row would be
/// older than what its holder did meanwhile.
pub(crate) async fn write(
    tx: &mut Tx,
    app: &App,
    key: &ApiKey,
    reason: Reason,
    by: String,
) -> Result<Revoked, StoreError> {
    let now = app.clock.now();
    let subject = key.id.to_string();
    let entry = Entry::revoked(key.id.into());
    let outbox = revocation::enqueue(tx, &key.org.into(), &subject, &entry, now).await?;
    let revoked = Revoked {
        at: now,
        reason: reason.as_str().to_owned(),
        by,
        outbox,
    };
    if !tx.revoke_key(key.id, &revoked).await? {
        return Err(StoreError::Corrupt("key: it is held, and was revoked by another"));
    }
    tx.insert_receipt(&subject, now, outbox).await?;
    Ok(revoked)
}

/// Whose receipt speaks for the line. After the commit: before it, a rival's later row may be framed earlier than ours.
pub(crate) async fn last_of_line(app: &App, key: &ApiKey) -> Result<KeyId, StoreError> {
    let mut tx = app.store.begin_read().await?;
    Ok(tx.last_revoked_of_line(key.family).await?.unwrap_or(key.id))
}

/// The receipt of a revoked key, once what is waited for has happened to `last` or the limit has passed.
pub(super) async fn receipt(
    app: &App,
    key: &ApiKey,
    last: KeyId,
    wait: Wait,
) -> Result<KeyReceipt, ApiError> {
    let Some(revoked) = &key.revoked else {
        return Err(ApiError::internal(anyhow::anyhow!(
            "a receipt for a key that is not revoked"
        )));
    };
    open_receipt(app, last).await?;
    let receipt = revocation::await_receipt(app, &last.to_string(), wait).await?;
    let mut tx = app.store.begin_read().await?;
    let live_successors = tx.live_successors(key.id, app.clock.now().seconds()).await?;
    let lifetime_ms = app.policy().max_connection_seconds().saturating_mul(1000);
    let open_connections_until = receipt
        .effective_at
        .map(|at| at.0.saturating_add(lifetime_ms).into());
    Ok(KeyReceipt {
        id: key.id,
        revoked_at: revoked.at.into(),
        reason: revoked.reason.clone(),
        live_successors,
        receipt,
        open_connections_until,
    })
}

/// A key that went with its signing key was revoked without a receipt of its own; it gets one when somebody asks.
pub(crate) async fn open_receipt(app: &App, id: KeyId) -> Result<(), StoreError> {
    let subject = id.to_string();
    let mut tx = app.store.begin_read().await?;
    if tx.receipt(&subject).await?.is_some() {
        return Ok(());
    }
    let revoked = tx.key(id).await?.and_then(|key| key.revoked);
    drop(tx);
    if let Some(revoked) = revoked {
        let mut tx = app.store.begin().await?;
        tx.insert_receipt(&subject, revoked.at, revoked.outbox).await?;
        tx.commit().await?;
    }
    Ok(())
}
