//! Revocation: for good, with a receipt that says when the last edge stops accepting the key.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::feed::Entry;
use shared::id::KeyId;
use shared::time::UnixMillis;

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

/// The receipt of a key's revocation.
#[derive(Clone, Debug, Serialize)]
pub struct KeyReceipt {
    /// The key.
    pub id: KeyId,
    /// When the revocation was committed.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who has it, and when nobody lets the key in any more.
    #[serde(flatten)]
    pub receipt: Receipt,
}

/// Revokes a key in the caller's reach. A second call gives the first one's receipt. There is no way back.
pub async fn revoke(
    app: &App,
    caller: &Caller,
    id: KeyId,
    reason: Reason,
    wait: Wait,
) -> Result<KeyReceipt, ApiError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let mut key = tx
        .key_in_reach(caller.reach(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))?;
    if key.revoked.is_none() {
        if let Some(revoked) = try_write(&mut tx, &key, reason, caller.actor().who, now).await? {
            key.revoked = Some(revoked);
            let event = Event {
                org: Some(caller.org),
                actor: &caller.actor(),
                action: "api_key.revoke",
                target: id.to_string(),
                detail: json!({"reason": reason, "name": key.name}),
            };
            audit::record(&mut tx, &app.random, &event, now).await?;
            tx.commit().await?;
            app.feed.wake();
            metrics::counter!("portcullis_api_keys_revoked_total").increment(1);
        } else {
            // A rival was first: its revocation stands, and our outbox row goes with the rollback.
            drop(tx);
            key = super::show(app, caller, id).await?;
        }
    } else {
        // Not held while waiting: SQLite has one writer at a time, and completing the receipt needs to be it.
        drop(tx);
    }
    receipt(app, &key, wait).await
}

/// Revokes a key that the transaction already holds.
pub(super) async fn write(
    tx: &mut Tx,
    key: &ApiKey,
    reason: Reason,
    by: String,
    now: UnixMillis,
) -> Result<Revoked, ApiError> {
    let revoked = try_write(tx, key, reason, by, now).await?;
    revoked.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a key that is held was revoked by another")))
}

/// Outbox row and state change; `None` if the key was revoked before.
async fn try_write(
    tx: &mut Tx,
    key: &ApiKey,
    reason: Reason,
    by: String,
    now: UnixMillis,
) -> Result<Option<Revoked>, ApiError> {
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
        return Ok(None);
    }
    tx.insert_receipt(&subject, now, outbox).await?;
    Ok(Some(revoked))
}

/// The receipt of a revoked key, once what is waited for has happened or the limit has passed.
pub(super) async fn receipt(app: &App, key: &ApiKey, wait: Wait) -> Result<KeyReceipt, ApiError> {
    let Some(revoked) = &key.revoked else {
        return Err(ApiError::internal(anyhow::anyhow!(
            "a receipt for a key that is not revoked"
        )));
    };
    let receipt = revocation::await_receipt(app, &key.id.to_string(), wait).await?;
    Ok(KeyReceipt {
        id: key.id,
        revoked_at: revoked.at.into(),
        reason: revoked.reason.clone(),
        receipt,
    })
}
