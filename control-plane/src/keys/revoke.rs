//! Revocation: for good, with a receipt that says when the last edge stops accepting the key.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::feed::Entry;
use shared::id::KeyId;

use crate::app::App;
use crate::audit::{self, Event};
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::revocation::{self, Receipt, Wait};
use crate::store::Tx;
use crate::store::keys::{ApiKey, Revoked};

/// Why a key is revoked, in the words of RFC 5280 §5.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// None given.
    #[default]
    Unspecified,
    /// Somebody else has it.
    KeyCompromise,
    /// Its user moved on.
    AffiliationChanged,
    /// Another key took its place.
    Superseded,
    /// Not needed any more.
    CessationOfOperation,
    /// Its user may not do this any more.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The text in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("expected one of {known}")
            })
    }
}

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
#[derive(Clone, Debug, Serialize)]
pub struct KeyReceipt {
    /// The key.
    pub id: KeyId,
    /// When the revocation was committed.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: String,
    /// Keys that took over from this one by rotation and still live: whoever had this one may have them.
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
    let Revocation { reason, line, wait } = revocation;
    let line = line.unwrap_or(reason == Reason::KeyCompromise);
    let mut tx = app.store.begin().await?;
    // Rotation changes neither organisation nor workspace nor environment: who reaches one of a line reaches all of it.
    let key = tx
        .key_in_reach(caller.reach(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))?;
    if line {
        tx.hold_line(key.family).await?;
    }
    let mut revoked = u64::from(revoke_one(&mut tx, app, caller, &key, reason, line).await?);
    if line {
        revoked += revoke_line(&mut tx, app, caller, &key, reason).await?;
    }
    tx.commit().await?;
    if revoked > 0 {
        app.feed.wake();
        metrics::counter!("portcullis_api_keys_revoked_total").increment(revoked);
    }
    let key = super::show(app, caller, id).await?;
    let last = if line { last_of_line(app, &key).await? } else { id };
    receipt(app, &key, last, wait).await
}

/// Revokes what is left of a line. A rotation that is under way holds the key that it replaces: either its successor is
/// there when we have waited for it, and gets its turn, or it finds its key revoked.
async fn revoke_line(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    key: &ApiKey,
    reason: Reason,
) -> Result<u64, ApiError> {
    let mut revoked = 0;
    loop {
        let open = tx.open_line(key.family, app.clock.now().seconds()).await?;
        if open.is_empty() {
            return Ok(revoked);
        }
        for id in open {
            let member = tx.key(id).await?.ok_or_else(|| ApiError::not_found("key"))?;
            revoked += u64::from(revoke_one(tx, app, caller, &member, reason, true).await?);
        }
    }
}

/// State change, outbox row, audit row; false if the key was revoked before, whose revocation stands.
async fn revoke_one(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    key: &ApiKey,
    reason: Reason,
    line: bool,
) -> Result<bool, ApiError> {
    if !tx.hold_unrevoked(key.id).await? {
        return Ok(false);
    }
    let by = caller.actor().who;
    let revoked = write(tx, app, key, reason, by).await?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "api_key.revoke",
        target: key.id.to_string(),
        detail: json!({"reason": reason, "name": key.name, "line": line}),
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
) -> Result<Revoked, ApiError> {
    let now = app.clock.now();
    let subject = key.id.to_string();
    let entry = Entry::revoked(key.id.into());
    let outbox = revocation::enqueue(tx, &subject, &entry, now).await?;
    let revoked = Revoked {
        at: now,
        reason: reason.as_str().to_owned(),
        by,
        outbox,
    };
    if !tx.revoke_key(key.id, &revoked).await? {
        return Err(ApiError::internal(anyhow::anyhow!(
            "a key that is held was revoked by another"
        )));
    }
    tx.insert_receipt(&subject, now, outbox).await?;
    Ok(revoked)
}

/// Whose receipt speaks for the line. After the commit: before it, a rival's later row may be framed earlier than ours.
async fn last_of_line(app: &App, key: &ApiKey) -> Result<KeyId, ApiError> {
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
    let lifetime_ms = app.policy.max_connection_seconds().saturating_mul(1000);
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
async fn open_receipt(app: &App, id: KeyId) -> Result<(), ApiError> {
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
