//! The end of sessions: here, and at the edge for the tokens that came from them.
//!
//! What it does not: API keys. They belong to their user, not to a session.

use shared::feed::{Entry, Subject};
use shared::id::{SessionId, UserId};
use shared::time::UnixMillis;

use crate::revocation;
use crate::store::{StoreError, Tx};

/// Ends one of a user's sessions; false if it is not theirs or has ended. After the commit, wake the feed.
pub(super) async fn end(
    tx: &mut Tx,
    user: UserId,
    sid: SessionId,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let Some(at) = tx.end_session(user, sid, now).await? else {
        return Ok(false);
    };
    let subject = sid.to_string();
    let entry = Entry::NotBefore(Subject::Session(subject.clone()), at);
    revocation::enqueue(tx, &subject, &entry, now).await?;
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
    for sid in tx.sessions_not_ended(user).await? {
        if Some(sid) != except && end(tx, user, sid, now).await? {
            ended += 1;
        }
    }
    Ok(ended)
}
