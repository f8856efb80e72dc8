//! Quarantine: a key can do less for now, at the edge and here, until it is released. What a revocation is not: reversible.
//!
//! The edge gets a ceiling on the key's status index, under a version that only grows. A key in quarantine neither rotates nor
//! gives anything out: a successor would be free of the ceiling. One that it was rotated to before is another key: look at
//! `rotated_to`.

use serde::Serialize;
use serde_json::json;
use shared::feed::{Entry, Subject};
use shared::id::KeyId;
use shared::policy::Policy;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::json::KeyView;
use super::{confirm_rights, hold_caller};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::orgs;
use crate::revocation::{self, Reach, Receipt, Wait};
use crate::store::keys::KeyStatus;
use crate::store::orgs::Role;
use crate::store::quarantine::Ceiling;
use crate::store::{StoreError, Tx};

/// The receipt of a quarantine or a release.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct QuarantineReceipt {
    /// The key as it is now.
    #[serde(flatten)]
    pub key: KeyView,
    /// Who has the change, and from when on every default and strict route goes by it.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// A connection that was let in before may stay open until then; absent while an edge is pending.
    pub open_connections_until: Option<Timestamp>,
}

/// The scopes that are left: those of a viewer, or none.
pub(crate) fn scopes(ceiling: Ceiling, policy: &Policy) -> ScopeSet {
    match ceiling {
        Ceiling::Read => orgs::rights(Role::Viewer, policy),
        Ceiling::None => ScopeSet::EMPTY,
    }
}

/// The quarantine that a ceiling of an edge stands for: none if it leaves everything, otherwise never more than it leaves.
pub(crate) fn named(ceiling: ScopeSet, policy: &Policy) -> Option<Ceiling> {
    if ceiling == ScopeSet::ALL {
        return None;
    }
    let read = policy.scopes.expand(scopes(Ceiling::Read, policy));
    let fits = !read.is_empty() && policy.scopes.expand(ceiling).contains(read);
    Some(if fits { Ceiling::Read } else { Ceiling::None })
}

/// Puts a key in the caller's reach under a ceiling, or releases it. What it is already gives the receipt of then.
pub(crate) async fn set(
    app: &App,
    caller: &Caller,
    id: KeyId,
    ceiling: Option<Ceiling>,
    comment: Option<&str>,
    wait: Wait,
) -> Result<QuarantineReceipt, ApiError> {
    let comment = crate::revocations::comment(comment)?;
    let not_found = || ApiError::not_found("key");
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.key_in_reach(caller.reach(), id).await?.ok_or_else(not_found)?;
    // Held before it is judged: of two changes at the same time the later one sees the earlier.
    tx.hold_unrevoked(id).await?;
    confirm_rights(&mut tx, caller).await?;
    let key = tx.key(id).await?.ok_or_else(not_found)?;
    let now = app.clock.now();
    match key.status(now.seconds()) {
        KeyStatus::Active | KeyStatus::Rotating => {}
        KeyStatus::Expired => return Err(ApiError::new(Code::KeyExpired, "the key has ended")),
        KeyStatus::Revoked => {
            let detail = "the key is revoked, which is more than a quarantine and for good";
            return Err(ApiError::new(Code::KeyRevoked, detail));
        }
    }
    let version = tx.ceiling_version(id).await?;
    // What a restore took over from the edge has no receipt: it is told again.
    let told = tx.receipt(&subject(id, version)).await?.is_some();
    if told && key.quarantine.map(|(ceiling, _)| ceiling) == ceiling {
        drop(tx);
        return receipt(app, caller, id, version, wait).await;
    }
    let version = write(&mut tx, app, id, ceiling, now).await?;
    let mut detail = json!({
        "name": key.name,
        "from": key.quarantine.map(|(ceiling, _)| ceiling),
        "to": ceiling,
    });
    if let Some(comment) = comment {
        detail["comment"] = comment.into();
    }
    let action = match ceiling {
        Some(_) => "api_key.quarantine",
        None => "api_key.release",
    };
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action,
        target: id.to_string(),
        detail,
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    app.feed.wake();
    metrics::counter!("portcullis_api_key_quarantines_total", "action" => action).increment(1);
    receipt(app, caller, id, version, wait).await
}

/// Lowers a key that the transaction holds, or releases it: state change, outbox row and receipt. Gives the ceiling's version.
pub(crate) async fn write(
    tx: &mut Tx,
    app: &App,
    id: KeyId,
    ceiling: Option<Ceiling>,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let version = tx
        .set_quarantine(id, ceiling, now)
        .await?
        .ok_or(StoreError::Corrupt("key: it is held, and was revoked by another"))?;
    let entry = Entry::Ceiling {
        subject: Subject::Index(id.into()),
        version,
        scopes: ceiling.map_or(ScopeSet::ALL, |ceiling| scopes(ceiling, &app.policy().policy)),
    };
    let subject = subject(id, version);
    let reach = Reach::of_index(tx, id.into()).await?;
    let outbox = revocation::enqueue(tx, &reach, &subject, &entry, now).await?;
    tx.insert_receipt(&subject, now, outbox).await?;
    Ok(version)
}

/// Under which a receipt is found again.
fn subject(id: KeyId, version: u64) -> String {
    format!("{id}/quarantine/{version}")
}

async fn receipt(
    app: &App,
    caller: &Caller,
    id: KeyId,
    version: u64,
    wait: Wait,
) -> Result<QuarantineReceipt, ApiError> {
    let receipt = revocation::await_receipt(app, &subject(id, version), wait).await?;
    let key = super::show(app, caller, id).await?;
    let lifetime_ms = app.policy().max_connection_seconds().saturating_mul(1000);
    let open_connections_until = receipt
        .effective_at
        .map(|at| at.0.saturating_add(lifetime_ms).into());
    Ok(QuarantineReceipt {
        key: KeyView::new(&key, app.catalogue(), app.clock.now().seconds()),
        receipt,
        open_connections_until,
    })
}
