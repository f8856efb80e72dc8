//! Outbox rows → the next frame of the chain, signed, in one transaction: that of all organisations, and at the same place
//! in the chain of each edge group what of it concerns the group.
//!
//! Any number of instances may try at once. Whoever adds to the chain or ends an epoch first takes the row of `feed_state`
//! ([`lock`]): an epoch that opened between our look at the head and our commit would lack the frame, and nothing would tell.
//! The number of stamped rows must be the number of framed ones, or we begin again. Only what was committed is ever sent.

use shared::crypto::Digest;
use shared::feed::{self, Certificate, Entry, EnvelopeType, Frame, Head, Heartbeat, MAX_FRAME};
use shared::time::UnixMillis;
use shared::wire::Reader;

use super::die::{self, Place};
use super::{FRAME_OVERHEAD, FeedError, Reach, groups};
use crate::signing::{self, Keyring, Purpose, SigningError, SigningKey};
use crate::store::feed::{FeedNo, PendingRow, Position};
use crate::store::{Store, StoreError, Tx, uint};

const MAX_ROWS: u32 = 4096;
const ATTEMPTS: u32 = 16;
/// How long a borrowed certificate counts: one question, and clocks that differ by ten minutes. With less an edge whose clock is
/// ahead refuses the first heartbeat of every start, and hears of no revocation.
const BORROWED_SECONDS: u64 = 15 * 60;

/// Frames what is pending, as one frame; `None` if nothing is. Call it until it gives `None`.
pub async fn frame_pending(
    store: &Store,
    keyring: &Keyring,
    now: UnixMillis,
) -> Result<Option<Position>, FeedError> {
    for _ in 0..ATTEMPTS {
        // On SQLite a write transaction keeps others out: look first.
        if store.begin_read().await?.pending_entries(1).await?.is_empty() {
            return Ok(None);
        }
        match frame_once(store, keyring, now).await {
            Err(error) if error.is_contention() => tracing::debug!(%error, "framing again"),
            outcome => return outcome,
        }
    }
    Err(FeedError::Contended)
}

async fn frame_once(
    store: &Store,
    keyring: &Keyring,
    now: UnixMillis,
) -> Result<Option<Position>, FeedError> {
    let mut tx = store.begin().await?;
    let Some(at) = write_frame(&mut tx, keyring, now).await? else {
        return Ok(None);
    };
    tx.commit().await?;
    die::here(Place::AfterFrame);
    metrics::counter!("portcullis_feed_frames_total").increment(1);
    Ok(Some(at))
}

/// Keeps all others from adding to the chain and from ending the epoch. The first statement of every transaction that does.
pub(super) async fn lock(tx: &mut Tx) -> Result<(), FeedError> {
    tx.lock_feed().await?.ok_or(SigningError::NotInitialised)?;
    Ok(())
}

/// Everything of a frame but the commit.
pub(super) async fn write_frame(
    tx: &mut Tx,
    keyring: &Keyring,
    now: UnixMillis,
) -> Result<Option<Position>, FeedError> {
    lock(tx).await?;
    let rows = fitting(tx.pending_entries(MAX_ROWS).await?);
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(None);
    };
    let at = next(tx).await?;
    let entries: Vec<Entry> = rows.iter().map(decode).collect::<Result<_, _>>()?;
    append(tx, keyring, (FeedNo::ALL, at), entries.clone(), now).await?;
    for group in tx.groups().await?.iter().filter(|group| group.is_open()) {
        let mut theirs = Vec::new();
        for (row, entry) in rows.iter().zip(&entries) {
            if Reach::from_text(row.orgs.as_deref())?.includes(&group.orgs) {
                theirs.push(entry.clone());
            }
        }
        let theirs = groups::signed_for(tx, keyring, group.feed, theirs).await?;
        append(tx, keyring, (group.feed, at), theirs, now).await?;
    }
    let count = rows.len() as u64;
    if tx.stamp_entries(first.id, last.id, at).await? != count {
        return Err(FeedError::Contended);
    }
    metrics::counter!("portcullis_feed_entries_total").increment(count);
    let oldest = uint(first.created_at, "time").unwrap_or(now.0);
    #[expect(clippy::cast_precision_loss, reason = "a duration for a graph")]
    metrics::histogram!("portcullis_feed_framing_delay_ms").record(now.since(UnixMillis(oldest)) as f64);
    Ok(Some(at))
}

/// The place after the end of the chains. The caller holds the lock.
pub(super) async fn next(tx: &mut Tx) -> Result<Position, FeedError> {
    let head = head(tx).await?;
    Ok(Position {
        epoch: head.epoch,
        seq: head.seq.saturating_add(1),
    })
}

/// Adds the frame of one feed at the next place, which may say nothing there.
pub(super) async fn append(
    tx: &mut Tx,
    keyring: &Keyring,
    (feed, at): (FeedNo, Position),
    entries: Vec<Entry>,
    now: UnixMillis,
) -> Result<(), FeedError> {
    let count = entries.len() as u64;
    let frame = Frame {
        feed: groups::id(tx, feed).await?,
        epoch: at.epoch,
        seq: at.seq,
        previous: head_of(tx, feed).await?.digest,
        time: now,
        entries,
    };
    let body = frame.encode();
    let pen = Pen::take(tx, keyring, (feed, at.epoch), now).await?;
    let envelope = pen.sign(EnvelopeType::Frame, &body)?;
    Ok(tx
        .insert_frame(feed, at, &Frame::digest(&body), Some(&envelope), count, now)
        .await?)
}

/// As many rows, from the oldest, as one frame holds: at least one.
fn fitting(mut rows: Vec<PendingRow>) -> Vec<PendingRow> {
    let mut room = MAX_FRAME - FRAME_OVERHEAD;
    let fits = rows.iter().take_while(|row| {
        let left = room.checked_sub(row.entry.len());
        room = left.unwrap_or(0);
        left.is_some()
    });
    let count = fits.count().max(1);
    rows.truncate(count);
    rows
}

/// The entry of an outbox row.
pub(crate) fn decode(row: &PendingRow) -> Result<Entry, StoreError> {
    let mut reader = Reader::new(&row.entry);
    let entry = Entry::read(&mut reader).map_err(|_| StoreError::Corrupt("outbox entry"))?;
    if reader.is_empty() {
        Ok(entry)
    } else {
        Err(StoreError::Corrupt("outbox entry"))
    }
}

/// Where the chain of all organisations ends, and by its numbers every chain.
pub(crate) async fn head(tx: &mut Tx) -> Result<Head, FeedError> {
    head_of(tx, FeedNo::ALL).await
}

/// Where a chain ends: before the first frame, at seq 0 with a digest of zeros.
pub(crate) async fn head_of(tx: &mut Tx, feed: FeedNo) -> Result<Head, FeedError> {
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    let epoch = uint(state.epoch, "epoch")?;
    let Some(last) = tx.last_frame(feed, epoch).await? else {
        return Ok(Head {
            epoch,
            seq: 0,
            digest: Digest::default(),
        });
    };
    let digest = last
        .digest
        .try_into()
        .map_err(|_| StoreError::Corrupt("frame digest"))?;
    Ok(Head {
        epoch,
        seq: uint(last.seq, "seq")?,
        digest,
    })
}

/// A heartbeat that names the end of the chain, and the head of the audit trail's seals: whoever keeps it can tell later whether the
/// trail was put back.
pub(super) async fn heartbeat(
    tx: &mut Tx,
    pen: &Pen,
    head: Head,
    now: UnixMillis,
) -> Result<Vec<u8>, FeedError> {
    let feed = groups::id(tx, pen.feed).await?;
    let beat = Heartbeat {
        feed,
        head,
        audit_head: crate::audit::head(tx).await?,
        time: now,
    };
    pen.sign(EnvelopeType::Heartbeat, &beat.encode())
}

/// The feed key of now, with its certificate for an epoch.
#[derive(Debug)]
pub(super) struct Pen {
    feed: FeedNo,
    key: std::sync::Arc<SigningKey>,
    certificate: Certificate,
    /// Under the number that cannot be removed.
    borrowed: bool,
}

impl Pen {
    /// In a transaction that may write: a certificate that is missing or old is made anew.
    pub(super) async fn take(
        tx: &mut Tx,
        keyring: &Keyring,
        (feed, epoch): (FeedNo, u64),
        now: UnixMillis,
    ) -> Result<Self, FeedError> {
        let key = keyring.signer(tx, Purpose::Feed).await?;
        let certificate = signing::certificate(tx, keyring, &key, (feed, epoch), now).await?;
        Ok(Self {
            feed,
            key,
            certificate,
            borrowed: false,
        })
    }

    /// In any transaction: with a certificate that is not stored, under a number that nothing can have removed. It ends
    /// within minutes, and what it signs changes nothing that counts: it asks and it beats.
    pub(super) async fn borrow(
        tx: &mut Tx,
        keyring: &Keyring,
        (feed, epoch): (FeedNo, u64),
        now: UnixMillis,
    ) -> Result<Self, FeedError> {
        let key = keyring.signer(tx, Purpose::Feed).await?;
        let number = shared::id::SigningKeyId::from_u64(shared::id::LIMIT - 1).unwrap_or(key.id);
        let end = now.seconds().saturating_add(BORROWED_SECONDS);
        let certificate = signing::certify(tx, keyring, &key, number, (feed, epoch), end).await?;
        Ok(Self {
            feed,
            key,
            certificate,
            borrowed: true,
        })
    }

    /// The same under another root than the one that signs: whether an edge would take it.
    pub(super) async fn borrow_under(
        tx: &mut Tx,
        keyring: &Keyring,
        root: &SigningKey,
        place: (FeedNo, u64),
        now: UnixMillis,
    ) -> Result<Self, FeedError> {
        let mut pen = Self::borrow(tx, keyring, place, now).await?;
        pen.certificate.root_signature = root.sign_ed25519(&pen.certificate.root_message())?;
        Ok(pen)
    }

    /// The stored certificate if there is one, for transactions that only read.
    pub(super) async fn read(
        tx: &mut Tx,
        keyring: &Keyring,
        (feed, epoch): (FeedNo, u64),
        now: UnixMillis,
    ) -> Result<Self, FeedError> {
        let key = keyring.signer(tx, Purpose::Feed).await?;
        let certificate = if let Some(stored) = tx.certificate(feed, epoch, key.id.get()).await? {
            Certificate::decode(&stored).map_err(|_| StoreError::Corrupt("feed certificate"))?
        } else {
            let end = now.seconds().saturating_add(signing::CERTIFICATE_SECONDS);
            signing::certify(tx, keyring, &key, key.id, (feed, epoch), end).await?
        };
        Ok(Self {
            feed,
            key,
            certificate,
            borrowed: false,
        })
    }

    /// The signed envelope of a body.
    pub(super) fn sign(&self, kind: EnvelopeType, body: &[u8]) -> Result<Vec<u8>, FeedError> {
        let changes_nothing = matches!(
            kind,
            EnvelopeType::Fetch | EnvelopeType::Collect | EnvelopeType::Heartbeat
        );
        if self.borrowed && !changes_nothing {
            return Err(FeedError::Borrowed);
        }
        Ok(feed::sign(kind, &self.certificate, body, |message| {
            self.key.sign_ed25519(message)
        })?)
    }
}

/// A place in the chain as the database counts it.
pub(crate) fn position(head: Head) -> Position {
    Position {
        epoch: head.epoch,
        seq: head.seq,
    }
}
