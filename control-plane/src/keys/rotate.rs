//! Rotation: a new key with the same rights; the old one lives on for the overlap and then dies by itself, at the edge's own
//! clock, whether or not anybody can reach anybody then.

use serde_json::json;
use shared::feed::{Entry, Expiry};
use shared::id::KeyId;
use shared::time::{UnixMillis, UnixSeconds};

use super::issue::{Draft, Issued, claim, confirm_rights, draw, hold_caller, may_act_for, quarantined};
use super::revoke::{self, Reason};
use super::rules::{self, Grant};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::Idempotency;
use crate::revocation::{self, Wait};
use crate::settings;
use crate::store::Tx;
use crate::store::keys::{ApiKey, KeyStatus};
use crate::store::orgs::IssueSubjects;

const HOUR_MS: u64 = 3_600_000;
/// The operation's name in the idempotency table.
const OPERATION: &str = "api_key.rotate";

/// How to rotate.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long the old key lives on; 0: it is revoked at once.
    pub overlap_seconds: Option<u64>,
    /// What to wait for when it is revoked at once.
    pub wait: Wait,
}

/// A finished rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The new key.
    pub issued: Issued,
    /// The old one, as it is now.
    pub old: ApiKey,
    /// The receipt of its revocation, where there was no overlap.
    pub receipt: Option<revoke::KeyReceipt>,
}

/// Rotates any key in the caller's reach.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    id: KeyId,
    rotation: Rotation,
    idempotency: Option<Idempotency>,
) -> Result<Rotated, ApiError> {
    rotate_key(app, caller, id, rotation, (false, idempotency)).await
}

/// Rotates the calling key. Needs no scope: it only gets back what it has. Rate-limited per line of keys.
pub async fn rotate_itself(
    app: &App,
    caller: &Caller,
    rotation: Rotation,
    idempotency: Option<Idempotency>,
) -> Result<Rotated, ApiError> {
    let detail = "only an API key rotates itself; call this with the key, or rotate it by its id";
    let id = caller
        .credential
        .api_key()
        .ok_or_else(|| ApiError::new(Code::ExceedsCaller, detail))?;
    rotate_key(app, caller, id, rotation, (true, idempotency)).await
}

async fn rotate_key(
    app: &App,
    caller: &Caller,
    id: KeyId,
    rotation: Rotation,
    (itself, idempotency): (bool, Option<Idempotency>),
) -> Result<Rotated, ApiError> {
    let overlap = rules::overlap(
        rotation
            .overlap_seconds
            .unwrap_or(app.config.keys.rotation_overlap_seconds),
    )?;
    let now = app.clock.now();

    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    let mut old = tx
        .key_in_reach(caller.reach(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))?;
    // Before the key is looked at: a request that comes again finds it rotated, by itself.
    let drawn = draw(&mut tx, app, old.org, now).await?;
    claim(&mut tx, caller, OPERATION, idempotency, drawn.id, now).await?;
    refuse_unless_active(&old, now.seconds())?;
    let grant = Grant {
        workspace: old.workspace,
        environment: old.environment,
        scopes: old.scopes,
        expires_at: settings::keys::expiry_of_successor(
            &mut tx,
            old.org,
            (old.issued_at, old.expires_at),
            now.seconds(),
        )
        .await?,
    };
    if itself {
        limit_rate(&mut tx, app, &old, now).await?;
    } else {
        rules::may_grant(caller, &grant)?;
    }

    let subjects = IssueSubjects {
        org: old.org,
        workspace: old.workspace,
        user: Some(old.user),
    };
    let issued_at = tx.issue_time(subjects, now.seconds()).await?;
    confirm_rights(&mut tx, caller).await?;
    confirm_user(&mut tx, &old, caller, itself).await?;

    // The claim decides between rivals: exactly one of them sees a row.
    let not_after = end_of_overlap(&old, overlap, now.seconds());
    if !tx.claim_rotation(id, not_after, now.seconds()).await? {
        let winner = tx.key(id).await?.ok_or_else(|| ApiError::not_found("key"))?;
        refuse_unless_active(&winner, now.seconds())?;
        return Err(already_rotated(&winner));
    }
    // After the claim, which waits for whoever puts the key there.
    if tx.key(id).await?.is_some_and(|key| key.quarantine.is_some()) {
        return Err(quarantined());
    }
    old.not_after = Some(not_after);
    let draft = Draft {
        org: old.org,
        user: old.user,
        grant,
        issued_at,
        drawn,
    };
    let (plain, masked) = draft.build(app)?;
    let mut key = draft.row(old.name.clone(), masked, caller.holder.to_string(), now);
    key.family = old.family;
    key.rotated_from = Some(old.id);
    tx.insert_key(&key).await?;
    tx.set_successor(old.id, key.id).await?;
    old.rotated_to = Some(key.id);

    if overlap == 0 {
        let by = caller.actor().who;
        old.revoked = Some(revoke::write(&mut tx, app, &old, Reason::Superseded, by).await?);
    } else {
        let entry = Entry::NotAfter(Expiry {
            index: old.id.into(),
            time: not_after,
        });
        revocation::enqueue(&mut tx, &old.org.into(), &old.id.to_string(), &entry, now).await?;
    }
    let event = Event {
        org: Some(old.org),
        actor: &caller.actor(),
        action: "api_key.rotate",
        target: old.id.to_string(),
        detail: json!({"successor": key.id, "not_after": not_after, "by_itself": itself}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    app.feed.wake();
    metrics::counter!("portcullis_api_keys_rotated_total").increment(1);

    let receipt = match &old.revoked {
        Some(_) => Some(revoke::receipt(app, &old, old.id, rotation.wait).await?),
        None => None,
    };
    Ok(Rotated {
        issued: Issued { plain, key },
        old,
        receipt,
    })
}

/// The key's user must be an active member; if it is an owner, only owners rotate the key, or the key does itself.
async fn confirm_user(tx: &mut Tx, key: &ApiKey, caller: &Caller, itself: bool) -> Result<(), ApiError> {
    let member = tx.membership(key.org, key.user).await?;
    let detail = "the key's user is not an active member; revoke the key";
    let user = member
        .filter(|member| member.alive)
        .ok_or_else(|| ApiError::new(Code::RightsChanged, detail))?;
    if itself {
        return Ok(());
    }
    may_act_for(caller, user.role)
}

fn refuse_unless_active(key: &ApiKey, now: UnixSeconds) -> Result<(), ApiError> {
    match key.status(now) {
        KeyStatus::Active if key.quarantine.is_some() => Err(quarantined()),
        KeyStatus::Active => Ok(()),
        KeyStatus::Rotating => Err(already_rotated(key)),
        KeyStatus::Expired => Err(ApiError::new(
            Code::KeyExpired,
            "an ended key can not be rotated; create a new one",
        )),
        KeyStatus::Revoked => Err(ApiError::new(
            Code::KeyRevoked,
            "a revoked key can not be rotated; create a new one",
        )),
    }
}

fn already_rotated(key: &ApiKey) -> ApiError {
    let error = ApiError::new(
        Code::AlreadyRotated,
        "this key was rotated before; rotate its successor",
    );
    match key.rotated_to {
        Some(successor) => error.with("rotated_to", successor.to_string()),
        None => error,
    }
}

/// The overlap never makes a key live longer than it would have.
fn end_of_overlap(key: &ApiKey, overlap: u64, now: UnixSeconds) -> UnixSeconds {
    let end = now.saturating_add(overlap);
    key.expires_at.map_or(end, |expiry| expiry.min(end))
}

async fn limit_rate(tx: &mut Tx, app: &App, key: &ApiKey, now: UnixMillis) -> Result<(), ApiError> {
    let since = UnixMillis(now.0.saturating_sub(HOUR_MS));
    let (count, oldest) = tx.count_rotations(key.family, since).await?;
    let limit = app.config.self_rotations_per_hour();
    if count < limit {
        return Ok(());
    }
    let free_at = oldest.unwrap_or(now).saturating_add(HOUR_MS);
    let detail = format!("a key may rotate itself {limit} times an hour");
    Err(ApiError::new(Code::RateLimited, detail).retry_after(free_at.since(now).div_ceil(1000).max(1)))
}
