//! What is done about a signal, in its transaction. After the commit, wake the feed.

use serde_json::json;
use shared::id::{KeyId, OrgId, SessionId, UserId};
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::LeakAction;
use crate::error::ApiError;
use crate::keys::{self, Reason};
use crate::revocation;
use crate::sessions::end;
use crate::store::keys::ApiKey;
use crate::store::quarantine::Ceiling;
use crate::store::{StoreError, Tx};

/// Stops a key that somebody else has, and its whole line of rotations, which they may have rotated: for good, or down to reading
/// until somebody has looked. Gives the keys that this changed something for.
pub(super) async fn stop_line(
    tx: &mut Tx,
    app: &App,
    key: &ApiKey,
    action: LeakAction,
    actor: &Actor,
) -> Result<Vec<KeyId>, ApiError> {
    let mut stopped = Vec::new();
    tx.hold_line(key.family).await?;
    // Each is held before it is stopped: a rotation that is under way holds it too, so either its successor is there when we
    // have waited for it, and gets its turn, or the rotation finds what it holds stopped.
    loop {
        let open = tx.open_line(key.family, app.clock.now().seconds()).await?;
        let before = stopped.len();
        for id in open {
            if stopped.contains(&id) || !tx.hold_unrevoked(id).await? {
                continue;
            }
            let member = tx.key(id).await?.ok_or_else(|| ApiError::not_found("key"))?;
            let done = match action {
                LeakAction::Revoke => {
                    keys::revoke_held(tx, app, &member, Reason::KeyCompromise, actor.who.clone()).await?;
                    Some("api_key.revoke")
                }
                // It was lowered before, to this or to less.
                LeakAction::Quarantine if member.quarantine.is_some() => None,
                LeakAction::Quarantine => {
                    keys::quarantine::write(tx, app, id, Some(Ceiling::Read), app.clock.now()).await?;
                    Some("api_key.quarantine")
                }
            };
            let Some(action) = done else { continue };
            stopped.push(id);
            let event = Event {
                org: Some(member.org),
                actor,
                action,
                target: id.to_string(),
                detail: json!({"reason": Reason::KeyCompromise, "name": member.name, "line": true}),
            };
            audit::record(tx, &app.random, &event, app.clock.now()).await?;
        }
        if stopped.len() == before {
            return Ok(stopped);
        }
    }
}

/// What a signal ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Ended {
    pub(super) sessions: u64,
    pub(super) grants: u64,
}

/// Ends one session of a person, with what apps got in it.
pub(super) async fn end_session(
    tx: &mut Tx,
    user: UserId,
    sid: SessionId,
    now: UnixMillis,
) -> Result<Ended, StoreError> {
    let ended = end::end(tx, user, sid, now).await?;
    Ok(Ended {
        sessions: u64::from(ended),
        grants: 0,
    })
}

/// Ends all sessions of a person, and in this organisation whatever apps hold for them. A session belongs to the person: one that
/// is elsewhere now could be back here in a moment, without another sign-in.
pub(super) async fn end_access(
    tx: &mut Tx,
    (org, user): (OrgId, UserId),
    now: UnixMillis,
) -> Result<Ended, StoreError> {
    let sessions = end::end_all(tx, user, None, now).await?;
    tx.end_pending_sign_ins_of_member(org, user).await?;
    let (grants, indexes) = tx.end_grants_by_signal(org, user, now).await?;
    let entries = revocation::revoked(indexes);
    revocation::enqueue_all(tx, &org.into(), &user.to_string(), &entries, now).await?;
    metrics::counter!("portcullis_grants_revoked_total", "reason" => "signal").increment(grants);
    Ok(Ended { sessions, grants })
}

/// Ends the sessions that a person has in this organisation now: they cannot be used while the person is suspended, and apps are
/// to know.
pub(super) async fn end_sessions_here(
    tx: &mut Tx,
    (org, user): (OrgId, UserId),
    now: UnixMillis,
) -> Result<Ended, StoreError> {
    let mut sessions = 0;
    for sid in tx.sessions_of_member(org, user).await? {
        sessions += u64::from(end::end(tx, user, sid, now).await?);
    }
    Ok(Ended { sessions, grants: 0 })
}
