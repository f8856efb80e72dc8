//! The whole state of a feed at one seq: rebuilt from the last snapshot and the frames since, by the same code that consumers run.
//!
//! What it does not: keep the state in memory. It is needed when a snapshot is due, when an edge knows more than we do, and
//! when somebody asks why a credential is refused, who brings along what is known from the last time.

use shared::feed::{EnvelopeType, MAX_MESSAGE, Replica, Snapshot, State};
use shared::time::UnixMillis;

use super::frame::{Pen, head, lock, position};
use super::{FeedError, pinned};
use crate::signing::{Keyring, Purpose};
use crate::store::feed::{FeedNo, Position};
use crate::store::{Store, Tx};

/// DESIGN §9: a snapshot every 10,000 entries or 10 minutes.
const EVERY_ENTRIES: u64 = 10_000;
const EVERY_MS: u64 = 10 * 60 * 1000;
/// Frames read at a time.
const BATCH: u32 = 256;

/// The replica that an edge would have which got everything. Verifies every signature on the way.
pub(super) async fn rebuild(tx: &mut Tx, keyring: &Keyring, feed: FeedNo) -> Result<Replica, FeedError> {
    let epoch = head(tx).await?.epoch;
    rebuild_in(tx, keyring, feed, epoch).await
}

/// What a group's feed added up to when something was last added to it: it may have been out of use for some epochs.
pub(super) async fn rebuild_last(tx: &mut Tx, keyring: &Keyring, feed: FeedNo) -> Result<State, FeedError> {
    let Some((at, _)) = tx.last_snapshot(feed).await? else {
        return Ok(State::default());
    };
    let replica = rebuild_in(tx, keyring, feed, at.epoch).await?;
    Ok(replica.state().clone())
}

async fn rebuild_in(tx: &mut Tx, keyring: &Keyring, feed: FeedNo, epoch: u64) -> Result<Replica, FeedError> {
    let mut replica = Replica::new(pinned(tx, keyring, feed).await?);
    let mut at = Position { epoch, seq: 0 };
    if let Some((snapshot_at, _)) = tx.last_snapshot(feed).await?.filter(|(at, _)| at.epoch == epoch) {
        replica.accept(&tx.snapshot(feed, snapshot_at).await?)?;
        at = snapshot_at;
    }
    catch_up(tx, &mut replica, feed, at).await?;
    Ok(replica)
}

/// The same of the feed that holds everything, from what was known before, which may be any older state.
pub(crate) async fn follow(
    tx: &mut Tx,
    keyring: &Keyring,
    known: Option<Replica>,
) -> Result<Replica, FeedError> {
    let (epoch, pinned) = (head(tx).await?.epoch, pinned(tx, keyring, FeedNo::ALL).await?);
    let known = known.filter(|replica| replica.trust().feed == pinned.feed);
    if let Some(mut replica) = known
        && let Some(at) = replica.head().map(position).filter(|at| at.epoch == epoch)
        && catch_up(tx, &mut replica, FeedNo::ALL, at).await.is_ok()
    {
        return Ok(replica);
    }
    // Another epoch, frames that are gone, a feed key that has been replaced: from the last snapshot on.
    rebuild(tx, keyring, FeedNo::ALL).await
}

async fn catch_up(
    tx: &mut Tx,
    replica: &mut Replica,
    feed: FeedNo,
    mut at: Position,
) -> Result<(), FeedError> {
    loop {
        let frames = tx.frames_after(feed, at, BATCH).await?;
        if frames.is_empty() {
            return Ok(());
        }
        for frame in frames {
            let envelope = frame.envelope.ok_or(shared::feed::Refusal::Gap)?;
            replica.accept(&envelope)?;
        }
        at = replica.head().map_or(at, position);
    }
}

/// Whether it is time for a new snapshot.
pub(super) async fn is_due(
    tx: &mut Tx,
    keyring: &Keyring,
    feed: FeedNo,
    now: UnixMillis,
) -> Result<bool, FeedError> {
    let head = head(tx).await?;
    if head.seq == 0 {
        return Ok(false);
    }
    let last = tx
        .last_snapshot(feed)
        .await?
        .filter(|(at, _)| at.epoch == head.epoch);
    let Some((at, made)) = last else {
        let entries = tx
            .entries_after(
                feed,
                Position {
                    epoch: head.epoch,
                    seq: 0,
                },
            )
            .await?;
        let first = tx
            .frames_after(
                feed,
                Position {
                    epoch: head.epoch,
                    seq: 0,
                },
                1,
            )
            .await?;
        let age = first
            .first()
            .map_or(0, |frame| now.since(UnixMillis(frame.created_at.unsigned_abs())));
        return Ok(entries >= EVERY_ENTRIES || age >= EVERY_MS);
    };
    if at.seq == head.seq {
        return Ok(false);
    }
    // A new feed key signs the snapshot soon, so that nothing signed by its predecessor has to be sent any more.
    let signer = keyring.signer(tx, Purpose::Feed).await?;
    let outdated = signer.activated_at.is_some_and(|since| since > made);
    Ok(outdated || now.since(made) >= EVERY_MS || tx.entries_after(feed, at).await? >= EVERY_ENTRIES)
}

/// Makes and stores a snapshot at the head, and drops what only older snapshots needed.
pub(super) async fn make(
    store: &Store,
    keyring: &Keyring,
    feed: FeedNo,
    now: UnixMillis,
) -> Result<Option<Position>, FeedError> {
    let mut tx = store.begin_read().await?;
    let replica = rebuild(&mut tx, keyring, feed).await?;
    drop(tx);
    let Some(head) = replica.head() else {
        return Ok(None);
    };
    let body = encode(Snapshot {
        feed: replica.trust().feed,
        head,
        state: replica.state().clone(),
    })
    .await?;
    let mut tx = store.begin().await?;
    lock(&mut tx).await?;
    if super::frame::head(&mut tx).await?.epoch != head.epoch {
        return Ok(None);
    }
    let envelope = Pen::take(&mut tx, keyring, (feed, head.epoch), now)
        .await?
        .sign(EnvelopeType::Snapshot, &body)?;
    let previous = tx.last_snapshot(feed).await?.map(|(at, _)| at);
    let at = position(head);
    tx.insert_snapshot(feed, at, &envelope, now).await?;
    if let Some(previous) = previous.filter(|previous| *previous < at) {
        tx.drop_snapshots(feed, previous).await?;
        tx.drop_frame_bytes(feed, previous).await?;
    }
    tx.commit().await?;
    metrics::counter!("portcullis_feed_snapshots_total").increment(1);
    Ok(Some(at))
}

/// The snapshot's bytes, made off the async threads.
pub(super) async fn encode(snapshot: Snapshot) -> Result<Vec<u8>, FeedError> {
    let body = tokio::task::spawn_blocking(move || snapshot.encode())
        .await
        .map_err(|_| FeedError::Interrupted)?;
    // Room for the envelope and for a heartbeat in the same message.
    if body.len() > MAX_MESSAGE - 4096 {
        Err(FeedError::TooLarge)
    } else {
        Ok(body)
    }
}
