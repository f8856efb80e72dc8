//! The end of sessions: here, and at the edge for the tokens that came from them.
//!
//! Whoever asks for an end gets the answer when the edge goes by it ([`confirmed`]): from then on no access token of the
//! session is let in.
//!
//! What it does not: API keys. They belong to their user, not to a session.

use shared::feed::{Entry, Subject};
use shared::id::{SessionId, UserId};
use shared::time::UnixMillis;

use crate::app::App;
use crate::oauth::backchannel;
use crate::revocation::{self, Reach, Wait};
use crate::store::{StoreError, Tx};

/// Ends one of a user's sessions, and gives what the edge must be told; `None` if it is not theirs or has ended. What apps got in
/// it ends apart.
pub(crate) async fn entry(
    tx: &mut Tx,
    user: UserId,
    sid: SessionId,
    now: UnixMillis,
) -> Result<Option<Entry>, StoreError> {
    let at = tx.end_session(user, sid, now).await?;
    Ok(at.map(|at| Entry::NotBefore(Subject::Session(sid.to_string()), at)))
}

/// Ends one of a user's sessions; false if it is not theirs or has ended. After the commit, wake the feed.
pub(crate) async fn end(
    tx: &mut Tx,
    user: UserId,
    sid: SessionId,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let Some(entry) = entry(tx, user, sid, now).await? else {
        return Ok(false);
    };
    let subject = sid.to_string();
    let reach = Reach::of_session(tx, &subject).await?;
    let outbox = revocation::enqueue(tx, &reach, &subject, &entry, now).await?;
    tx.insert_receipt(&subject, now, outbox).await?;
    backchannel::queue(tx, sid, now).await?;
    // Refresh tokens outlive the row of a session: they end with it, not with what is remembered of it.
    tx.end_grants_of_session(&subject, now).await?;
    Ok(true)
}

/// Ends all of a user's sessions but one, those that ran out included: their tokens may still live. Gives their number.
pub(crate) async fn end_all(
    tx: &mut Tx,
    user: UserId,
    except: Option<SessionId>,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let mut ended = 0;
    let mut last = None;
    for sid in tx.sessions_not_ended(user).await? {
        if Some(sid) != except && end(tx, user, sid, now).await? {
            ended += 1;
            last = tx.receipt(&sid.to_string()).await?;
        }
    }
    if let Some(last) = last {
        tx.insert_receipt(&subject_of_all(user, now), now, last.outbox_id)
            .await?;
    }
    Ok(ended)
}

/// Ends what apps got in a session that goes on, or have yet to fetch: codes and refresh tokens here, access tokens at the
/// edge. After the commit, wake the feed.
pub(super) async fn end_grants(tx: &mut Tx, sid: SessionId, now: UnixMillis) -> Result<(), StoreError> {
    let session = sid.to_string();
    backchannel::queue(tx, sid, now).await?;
    tx.end_grants_of_session(&session, now).await?;
    let indexes = tx.revoke_indexes_of_session(&session, now).await?;
    let subject = subject_of_grants(sid, now);
    let reach = Reach::of_session(tx, &session).await?;
    let entries = revocation::revoked(indexes);
    if let Some(outbox) = revocation::enqueue_all(tx, &reach, &subject, &entries, now).await? {
        tx.insert_receipt(&subject, now, outbox).await?;
    }
    Ok(())
}

/// Under which [`end_all`] at `now` is confirmed; a single session by its own name.
pub(crate) fn subject_of_all(user: UserId, now: UnixMillis) -> String {
    format!("{user}/sessions/{}", now.0)
}

/// Under which [`end_grants`] at `now` is confirmed.
pub(super) fn subject_of_grants(sid: SessionId, now: UnixMillis) -> String {
    format!("{sid}/grants/{}", now.0)
}

/// Waits, after the commit, until no edge lets in what was ended, or as long as for any receipt: the end itself stands. If
/// nobody publishes there is nothing to wait for.
pub(crate) async fn confirmed(app: &App, subject: &str) -> Result<(), StoreError> {
    app.feed.wake();
    if !app.feed.alive(app.clock.now()) || app.store.begin_read().await?.receipt(subject).await?.is_none() {
        return Ok(());
    }
    let receipt = revocation::await_receipt(app, subject, Wait::Effective).await?;
    if receipt.effective_at.is_none() {
        tracing::warn!("a session has ended, and not every edge has acknowledged it yet");
    }
    Ok(())
}
