//! SQL for the feed: outbox, frames, snapshots, certificates, what each edge acknowledged, receipts.
//!
//! The outbox is never read by `id > cursor`: PostgreSQL commits out of order. Rows without a `seq` are what is pending.

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A snapshot is stored in pieces of at most this many bytes.
pub const CHUNK: usize = 1 << 20;

/// The row of `feed_state`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct FeedStateRow {
    /// Random, once per installation.
    pub feed_id: Vec<u8>,
    /// The current epoch.
    pub epoch: i64,
    /// The version of the policy that was enqueued last.
    pub policy_version: i64,
    /// That policy, as enqueued.
    pub policy: Vec<u8>,
    /// Its bound.
    pub policy_bound_ms: i64,
    /// The bound that edges which lack it may still go by.
    pub former_bound_ms: i64,
    /// The outbox row that tells them.
    pub policy_outbox: Option<i64>,
    /// When every edge was seen to have it.
    pub policy_acknowledged_at: Option<i64>,
}

/// A policy as it is noted when it is enqueued.
#[derive(Clone, Copy, Debug)]
pub struct NewPolicy<'a> {
    /// Its version.
    pub version: u64,
    /// The document.
    pub json: &'a [u8],
    /// Its bound.
    pub bound_ms: u64,
    /// The bound in force before it.
    pub former_bound_ms: u64,
    /// The outbox row that tells the edges.
    pub outbox: i64,
}

/// An outbox row that no frame holds yet.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PendingRow {
    /// Its number.
    pub id: i64,
    /// The encoded entry.
    pub entry: Vec<u8>,
    /// Whom it concerns, as `revocation::Reach` writes it; `None`: all.
    pub orgs: Option<String>,
    /// When the change was made.
    pub created_at: i64,
}

/// A stored frame.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct FrameRow {
    /// Its place in the chain.
    pub seq: i64,
    /// Its digest.
    pub digest: Vec<u8>,
    /// The signed bytes, unless they were dropped after a snapshot, or a snapshot stands here and opens an epoch.
    pub envelope: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: i64,
}

/// Which feed: that of all organisations, or an edge group's. Their frames share numbers and epochs, not bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedNo(pub i64);

impl FeedNo {
    /// The feed of all organisations.
    pub const ALL: Self = Self(0);
}

/// A place in the feed: an epoch and a sequence number. Ordered as the feed is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// The sequence number in it.
    pub seq: u64,
}

impl Position {
    fn from_row((epoch, seq): (i64, i64)) -> Result<Self, StoreError> {
        Ok(Self {
            epoch: uint(epoch, "epoch")?,
            seq: uint(seq, "seq")?,
        })
    }
}

/// What a region of an edge last acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The edge's name and the region's, with a slash between; the edge's alone if it names no regions.
    pub name: String,
    /// Up to where.
    pub position: Position,
    /// When we heard it.
    pub acked_at: UnixMillis,
    /// In which feed.
    pub feed: FeedNo,
}

impl Peer {
    /// The edge's name.
    pub fn edge(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(edge, _)| edge)
    }

    /// The region's name, empty if the edge names none.
    pub fn region(&self) -> &str {
        self.name.split_once('/').map_or("", |(_, region)| region)
    }
}

/// A row of `receipts`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ReceiptRow {
    /// The outbox row that tells the edge.
    pub outbox_id: i64,
    /// The bound that was waited for, once every edge has acknowledged.
    pub bound_ms: Option<i64>,
    /// From when on nothing lets the credential in, once every edge has acknowledged.
    pub effective_at: Option<i64>,
    /// The edges that had acknowledged by then, as a JSON list.
    pub acknowledged: Option<String>,
    /// Whom it concerns, as in the outbox.
    pub orgs: Option<String>,
}

impl Tx {
    /// The feed of this installation, once it exists.
    pub async fn feed_state(&mut self) -> Result<Option<FeedStateRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT feed_id, epoch, policy_version, policy, policy_bound_ms, former_bound_ms, policy_outbox,
                    policy_acknowledged_at
             FROM feed_state WHERE id = 1")
            .fetch_optional(conn).await)
    }

    /// Keeps all others from adding to the chain and from ending the epoch, until the end of the transaction; gives the
    /// epoch. Before anything else is read: what is read earlier may be out of date by then.
    pub async fn lock_feed(&mut self) -> Result<Option<u64>, StoreError> {
        let epoch: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE feed_state SET epoch = epoch WHERE id = 1 RETURNING epoch")
            .fetch_optional(conn).await)?;
        epoch.map(|epoch| uint(epoch, "epoch")).transpose()
    }

    /// Creates the feed; false if there is one already.
    pub async fn insert_feed_state(
        &mut self,
        feed_id: &[u8; 16],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO feed_state
                 (id, feed_id, epoch, policy_version, policy, policy_bound_ms, former_bound_ms, created_at)
             VALUES (1, $1, 1, 0, $2, 0, 0, $3)
             ON CONFLICT (id) DO NOTHING"
            )
            .bind(feed_id.as_slice())
            .bind(Vec::<u8>::new())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Begins a new epoch; false if the current one is not `from` any more.
    pub async fn advance_epoch(&mut self, from: u64, to: u64) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE feed_state SET epoch = $2 WHERE id = 1 AND epoch = $1")
                .bind(int(from))
                .bind(int(to))
        )?;
        Ok(rows == 1)
    }

    /// Notes which policy was enqueued last; false if another version came first.
    pub async fn set_published_policy(
        &mut self,
        from: u64,
        policy: NewPolicy<'_>,
    ) -> Result<bool, StoreError> {
        let rows =
            rows_affected!(self, sqlx::query(
            "UPDATE feed_state SET policy_version = $2, policy = $3, policy_bound_ms = $4, former_bound_ms = $5,
                 policy_outbox = $6, policy_acknowledged_at = NULL
             WHERE id = 1 AND policy_version = $1")
            .bind(int(from)).bind(int(policy.version)).bind(policy.json).bind(int(policy.bound_ms))
            .bind(int(policy.former_bound_ms)).bind(policy.outbox))?;
        Ok(rows == 1)
    }

    /// Notes that every edge has the policy that this outbox row told them; the first time counts.
    pub async fn note_policy_acknowledged(
        &mut self,
        outbox: i64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE feed_state SET policy_acknowledged_at = $2
             WHERE id = 1 AND policy_outbox = $1 AND policy_acknowledged_at IS NULL"
            )
            .bind(outbox)
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Where the epoch after this one opened: its snapshot holds all that was framed before this number, and nothing else.
    pub async fn opening_after(&mut self, epoch: u64) -> Result<Option<u64>, StoreError> {
        let seq: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT seq FROM feed_frames WHERE epoch > $1 AND feed = 0 ORDER BY epoch, seq LIMIT 1")
            .bind(int(epoch)).fetch_optional(conn).await)?;
        seq.map(|seq| uint(seq, "seq")).transpose()
    }

    /// Stores the certificate of a feed key for an epoch.
    pub async fn insert_certificate(
        &mut self,
        feed: FeedNo,
        epoch: u64,
        signing_key: u64,
        certificate: &[u8],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query(
            "INSERT INTO feed_certificates (epoch, signing_key, certificate, created_at, feed) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (feed, epoch, signing_key) DO UPDATE
             SET certificate = excluded.certificate, created_at = excluded.created_at")
            .bind(int(epoch)).bind(int(signing_key)).bind(certificate).bind(int(now.0)).bind(feed.0))?;
        Ok(())
    }

    /// The certificate of a feed key for an epoch.
    pub async fn certificate(
        &mut self,
        feed: FeedNo,
        epoch: u64,
        signing_key: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "SELECT certificate FROM feed_certificates WHERE epoch = $1 AND signing_key = $2 AND feed = $3")
            .bind(int(epoch)).bind(int(signing_key)).bind(feed.0).fetch_optional(conn).await)
    }

    /// Writes an encoded entry to the outbox, in the transaction of the change that it tells of.
    pub async fn enqueue_entry(
        &mut self,
        subject: &str,
        entry: &[u8],
        orgs: Option<&str>,
        now: UnixMillis,
    ) -> Result<i64, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "INSERT INTO outbox (subject, entry, created_at, orgs) VALUES ($1, $2, $3, $4) RETURNING id")
            .bind(subject).bind(entry).bind(int(now.0)).bind(orgs).fetch_one(conn).await)
    }

    /// The oldest rows that no frame holds yet.
    pub async fn pending_entries(&mut self, limit: u32) -> Result<Vec<PendingRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, entry, orgs, created_at FROM outbox WHERE seq IS NULL ORDER BY id LIMIT $1")
            .bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// How many rows no frame holds yet.
    pub async fn pending_count(&mut self) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE seq IS NULL")
            .fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Stamps the pending rows from `first` to `last`; gives how many there were. The caller compares with what it
    /// framed: a row of that range that committed meanwhile makes the numbers differ.
    pub async fn stamp_entries(&mut self, first: i64, last: i64, at: Position) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE outbox SET epoch = $3, seq = $4 WHERE id >= $1 AND id <= $2 AND seq IS NULL")
                .bind(first)
                .bind(last)
                .bind(int(at.epoch))
                .bind(int(at.seq))
        )
    }

    /// The frame that holds an outbox row.
    pub async fn outbox_position(&mut self, id: i64) -> Result<Option<Position>, StoreError> {
        let row: Option<(i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT epoch, seq FROM outbox WHERE id = $1 AND seq IS NOT NULL")
            .bind(id).fetch_optional(conn).await)?;
        row.map(Position::from_row).transpose()
    }

    /// The newest frame of an epoch.
    pub async fn last_frame(&mut self, feed: FeedNo, epoch: u64) -> Result<Option<FrameRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT seq, digest, envelope, created_at FROM feed_frames
             WHERE epoch = $1 AND feed = $2 ORDER BY seq DESC LIMIT 1")
            .bind(int(epoch)).bind(feed.0).fetch_optional(conn).await)
    }

    /// The frame at one place.
    pub async fn frame(&mut self, feed: FeedNo, at: Position) -> Result<Option<FrameRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT seq, digest, envelope, created_at FROM feed_frames WHERE epoch = $1 AND seq = $2 AND feed = $3")
            .bind(int(at.epoch)).bind(int(at.seq)).bind(feed.0).fetch_optional(conn).await)
    }

    /// Frames after a place, in order.
    pub async fn frames_after(
        &mut self,
        feed: FeedNo,
        at: Position,
        limit: u32,
    ) -> Result<Vec<FrameRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT seq, digest, envelope, created_at FROM feed_frames
             WHERE epoch = $1 AND seq > $2 AND feed = $4 ORDER BY seq LIMIT $3")
            .bind(int(at.epoch)).bind(int(at.seq)).bind(i64::from(limit)).bind(feed.0).fetch_all(conn).await)
    }

    /// Adds a frame. The primary key refuses a second one at the same place.
    pub async fn insert_frame(
        &mut self,
        feed: FeedNo,
        at: Position,
        digest: &[u8; 32],
        envelope: Option<&[u8]>,
        entries: u64,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO feed_frames (epoch, seq, digest, envelope, entries, created_at, feed)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
            )
            .bind(int(at.epoch))
            .bind(int(at.seq))
            .bind(digest.as_slice())
            .bind(envelope)
            .bind(int(entries))
            .bind(int(now.0))
            .bind(feed.0)
        )?;
        Ok(())
    }

    /// Notes the head of an edge whose state was taken over.
    pub async fn insert_absorbed_head(
        &mut self,
        at: Position,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO absorbed_heads (epoch, seq, digest, absorbed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (epoch, seq, digest) DO NOTHING"
            )
            .bind(int(at.epoch))
            .bind(int(at.seq))
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Whether the state behind this head was taken over.
    pub async fn is_absorbed(&mut self, at: Position, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM absorbed_heads WHERE epoch = $1 AND seq = $2 AND digest = $3")
            .bind(int(at.epoch)).bind(int(at.seq)).bind(digest.as_slice()).fetch_one(conn).await)?;
        Ok(count > 0)
    }

    /// How many entries the frames after a place hold.
    pub async fn entries_after(&mut self, feed: FeedNo, at: Position) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(entries), 0) AS BIGINT) FROM feed_frames
             WHERE epoch = $1 AND seq > $2 AND feed = $3")
            .bind(int(at.epoch)).bind(int(at.seq)).bind(feed.0).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Drops the bytes of frames up to a place and of older epochs; their digests stay.
    pub async fn drop_frame_bytes(&mut self, feed: FeedNo, up_to: Position) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE feed_frames SET envelope = NULL
             WHERE envelope IS NOT NULL AND feed = $3 AND (epoch < $1 OR (epoch = $1 AND seq <= $2))"
            )
            .bind(int(up_to.epoch))
            .bind(int(up_to.seq))
            .bind(feed.0)
        )
    }

    /// Stores a snapshot, in chunks, unless this place has one.
    pub async fn insert_snapshot(
        &mut self,
        feed: FeedNo,
        at: Position,
        envelope: &[u8],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        for (chunk, bytes) in (0i64..).zip(envelope.chunks(CHUNK)) {
            rows_affected!(self, sqlx::query(
                "INSERT INTO feed_snapshots (epoch, seq, chunk, bytes, created_at, feed) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (feed, epoch, seq, chunk) DO NOTHING")
                .bind(int(at.epoch)).bind(int(at.seq)).bind(chunk).bind(bytes).bind(int(now.0)).bind(feed.0))?;
        }
        Ok(())
    }

    /// Where the newest snapshot is, and when it was made.
    pub async fn last_snapshot(
        &mut self,
        feed: FeedNo,
    ) -> Result<Option<(Position, UnixMillis)>, StoreError> {
        let row: Option<(i64, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT epoch, seq, created_at FROM feed_snapshots
             WHERE chunk = 0 AND feed = $1 ORDER BY epoch DESC, seq DESC LIMIT 1")
            .bind(feed.0).fetch_optional(conn).await)?;
        row.map(|(epoch, seq, at)| Ok((Position::from_row((epoch, seq))?, UnixMillis(uint(at, "time")?))))
            .transpose()
    }

    /// The snapshot at one place.
    pub async fn snapshot(&mut self, feed: FeedNo, at: Position) -> Result<Vec<u8>, StoreError> {
        let chunks: Vec<Vec<u8>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT bytes FROM feed_snapshots WHERE epoch = $1 AND seq = $2 AND feed = $3 ORDER BY chunk")
            .bind(int(at.epoch)).bind(int(at.seq)).bind(feed.0).fetch_all(conn).await)?;
        Ok(chunks.concat())
    }

    /// Drops the snapshots before a place.
    pub async fn drop_snapshots(&mut self, feed: FeedNo, before: Position) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM feed_snapshots WHERE feed = $3 AND (epoch < $1 OR (epoch = $1 AND seq < $2))"
            )
            .bind(int(before.epoch))
            .bind(int(before.seq))
            .bind(feed.0)
        )?;
        Ok(())
    }

    /// When the newest frames after one place and up to another of the same epoch were made, newest first.
    pub async fn frame_times(
        &mut self,
        after: Position,
        up_to: Position,
        limit: u32,
    ) -> Result<Vec<UnixMillis>, StoreError> {
        let times: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT created_at FROM feed_frames WHERE epoch = $1 AND seq > $2 AND seq <= $3 AND feed = 0
             ORDER BY seq DESC LIMIT $4")
            .bind(int(up_to.epoch)).bind(int(after.seq)).bind(int(up_to.seq)).bind(i64::from(limit))
            .fetch_all(conn).await)?;
        times
            .into_iter()
            .map(|at| uint(at, "time").map(UnixMillis))
            .collect()
    }

    /// When the first frame after a place was made, in that epoch or a later one.
    pub async fn first_frame_time(&mut self, after: Position) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT created_at FROM feed_frames WHERE feed = 0 AND (epoch > $1 OR (epoch = $1 AND seq > $2))
             ORDER BY epoch, seq LIMIT 1")
            .bind(int(after.epoch)).bind(int(after.seq)).fetch_optional(conn).await)?;
        at.map(|at| uint(at, "time").map(UnixMillis)).transpose()
    }

    /// What every edge that ever answered has acknowledged, region by region.
    pub async fn peers(&mut self) -> Result<Vec<Peer>, StoreError> {
        let rows: Vec<(String, i64, i64, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT name, epoch, seq, acked_at, feed FROM edge_peers ORDER BY name").fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(name, epoch, seq, at, feed)| {
                Ok(Peer {
                    name,
                    position: Position::from_row((epoch, seq))?,
                    acked_at: UnixMillis(uint(at, "time")?),
                    feed: FeedNo(feed),
                })
            })
            .collect()
    }

    /// Notes an acknowledgement. It never goes back: an edge that lost its state answers nobody until it is sent again.
    pub async fn acknowledge(&mut self, peer: &Peer) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query(
            "INSERT INTO edge_peers (name, epoch, seq, acked_at, feed) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, acked_at = excluded.acked_at,
                feed = excluded.feed
             WHERE edge_peers.feed <> excluded.feed OR edge_peers.epoch < excluded.epoch
                OR (edge_peers.epoch = excluded.epoch AND edge_peers.seq < excluded.seq)")
            .bind(&peer.name).bind(int(peer.position.epoch)).bind(int(peer.position.seq)).bind(int(peer.acked_at.0))
            .bind(peer.feed.0))?;
        Ok(())
    }

    /// Forgets a region that there is not any more, or an edge.
    pub async fn forget_peer(&mut self, name: &str) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM edge_peers WHERE name = $1").bind(name)
        )?;
        Ok(())
    }

    /// Drops a row that no frame holds; false if one does.
    pub async fn withdraw_entry(&mut self, id: i64) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("DELETE FROM outbox WHERE id = $1 AND seq IS NULL").bind(id)
        )?;
        Ok(rows == 1)
    }

    /// Opens the receipt of a revocation, in its transaction; the first one stays. It concerns whom its row does.
    pub async fn insert_receipt(
        &mut self,
        subject: &str,
        revoked_at: UnixMillis,
        outbox_id: i64,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO receipts (subject, revoked_at, outbox_id, orgs)
             VALUES ($1, $2, $3, (SELECT orgs FROM outbox WHERE id = $3)) ON CONFLICT (subject) DO NOTHING"
            )
            .bind(subject)
            .bind(int(revoked_at.0))
            .bind(outbox_id)
        )?;
        Ok(())
    }

    /// This receipt concerns these, and not those of its row. In the transaction that opened it.
    pub async fn set_receipt_orgs(&mut self, subject: &str, orgs: Option<&str>) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE receipts SET orgs = $2 WHERE subject = $1 AND effective_at IS NULL")
                .bind(subject)
                .bind(orgs)
        )?;
        Ok(())
    }

    /// The receipt of a revocation.
    pub async fn receipt(&mut self, subject: &str) -> Result<Option<ReceiptRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT outbox_id, bound_ms, effective_at, acknowledged, orgs FROM receipts WHERE subject = $1")
            .bind(subject).fetch_optional(conn).await)
    }

    /// Completes a receipt; false if it was complete before.
    pub async fn complete_receipt(
        &mut self,
        subject: &str,
        bound_ms: u64,
        effective_at: UnixMillis,
        acknowledged: &str,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE receipts SET bound_ms = $2, effective_at = $3, acknowledged = $4
             WHERE subject = $1 AND effective_at IS NULL"
            )
            .bind(subject)
            .bind(int(bound_ms))
            .bind(int(effective_at.0))
            .bind(acknowledged)
        )?;
        Ok(rows == 1)
    }
}
