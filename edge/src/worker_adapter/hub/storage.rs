//! What the hub keeps in its SQLite, and how. It stores bytes that were accepted; it does not judge them.
//!
//! ```text
//! frames   (epoch, seq) -> envelope            the log
//! snapshot (generation, part) -> bytes         one envelope, in parts of at most 1 MiB
//! meta     name -> integer or bytes            generation in force; last heartbeat and when it came; incompatible or not
//! ```
//!
//! A Durable Object runs every statement that is not separated by an `await` in one transaction, so every function here is
//! synchronous. The order of statements makes each prefix of a change a valid store all the same: new parts are written
//! before the generation points at them, and nothing is deleted before that.

use worker::{Result, SqlStorage, SqlStorageValue};

/// A row may hold 2 MB in production; the local runtime would take more, so we hold ourselves to it.
const MAX_PART: usize = 1 << 20;
/// Frames kept for consumers that lag behind, even when a snapshot covers them.
const LOG_LENGTH: u64 = 10_000;

/// A point in the chain, as the store needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

/// The store of one hub.
#[derive(Debug)]
pub(super) struct Storage {
    sql: SqlStorage,
}

impl Storage {
    /// Opens the store, and makes its tables the first time.
    pub(super) fn open(sql: SqlStorage) -> Result<Self> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS frames (epoch INTEGER, seq INTEGER, body BLOB NOT NULL, PRIMARY KEY (epoch, seq)) \
             WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS snapshot (generation INTEGER, part INTEGER, body BLOB NOT NULL, \
             PRIMARY KEY (generation, part)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number INTEGER, body BLOB) WITHOUT ROWID",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self { sql })
    }

    /// The snapshot's envelope, put together again.
    pub(super) fn snapshot(&self) -> Result<Option<Vec<u8>>> {
        let Some(generation) = self.number("generation")? else {
            return Ok(None);
        };
        let rows = self.sql.exec(
            "SELECT body FROM snapshot WHERE generation = ? ORDER BY part",
            vec![integer(generation)?],
        )?;
        let mut envelope = Vec::new();
        for row in rows.raw() {
            envelope.extend_from_slice(&bytes(row?.into_iter().next())?);
        }
        Ok(Some(envelope))
    }

    /// The envelopes of frames of one epoch after a seq, in order, until `limit` bytes are reached.
    pub(super) fn frames_after(&self, position: Position, limit: usize) -> Result<Vec<Vec<u8>>> {
        let rows = self.sql.exec(
            "SELECT body FROM frames WHERE epoch = ? AND seq > ? ORDER BY seq",
            vec![integer(position.epoch)?, integer(position.seq)?],
        )?;
        let mut frames = Vec::new();
        let mut total = 0usize;
        for row in rows.raw() {
            let frame = bytes(row?.into_iter().next())?;
            total = total.saturating_add(frame.len());
            if total > limit && !frames.is_empty() {
                break;
            }
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Whether the log holds the frame right after this position, so that a consumer there can go on with frames alone.
    pub(super) fn continues(&self, position: Position) -> Result<bool> {
        let next = position.seq.saturating_add(1);
        let rows = self.sql.exec(
            "SELECT 1 FROM frames WHERE epoch = ? AND seq = ?",
            vec![integer(position.epoch)?, integer(next)?],
        )?;
        Ok(rows.raw().next().is_some())
    }

    /// Appends a frame's envelope.
    pub(super) fn append(&self, position: Position, envelope: &[u8]) -> Result<()> {
        self.sql.exec(
            "INSERT INTO frames (epoch, seq, body) VALUES (?, ?, ?)",
            vec![integer(position.epoch)?, integer(position.seq)?, part(envelope)?],
        )?;
        Ok(())
    }

    /// Puts a snapshot's envelope into force, then prunes: earlier snapshots, earlier epochs, and what the log need not keep.
    pub(super) fn replace_snapshot(&self, position: Position, envelope: &[u8]) -> Result<()> {
        let generation = self.number("generation")?.unwrap_or(0).saturating_add(1);
        // Parts of a generation that was never put into force.
        self.sql.exec(
            "DELETE FROM snapshot WHERE generation >= ?",
            vec![integer(generation)?],
        )?;
        for (number, chunk) in (0u64..).zip(envelope.chunks(MAX_PART)) {
            self.sql.exec(
                "INSERT INTO snapshot (generation, part, body) VALUES (?, ?, ?)",
                vec![integer(generation)?, integer(number)?, part(chunk)?],
            )?;
        }
        self.set_number("generation", generation)?;
        self.sql.exec(
            "DELETE FROM snapshot WHERE generation < ?",
            vec![integer(generation)?],
        )?;
        self.sql.exec(
            "DELETE FROM frames WHERE epoch < ? OR (epoch = ? AND seq <= ?)",
            vec![
                integer(position.epoch)?,
                integer(position.epoch)?,
                integer(position.seq.saturating_sub(LOG_LENGTH))?,
            ],
        )?;
        Ok(())
    }

    /// When the last heartbeat came.
    pub(super) fn heartbeat_time(&self) -> Result<Option<u64>> {
        self.number("heartbeat")
    }

    /// Replaces the last heartbeat; `time` is when it came, by this object's clock.
    pub(super) fn set_heartbeat(&self, time: u64, envelope: &[u8]) -> Result<()> {
        self.sql.exec(
            "INSERT INTO meta (name, number, body) VALUES ('heartbeat', ?, ?) \
             ON CONFLICT (name) DO UPDATE SET number = excluded.number, body = excluded.body",
            vec![integer(time)?, part(envelope)?],
        )?;
        Ok(())
    }

    /// A number under a name.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        self.first_number("SELECT number FROM meta WHERE name = ?", vec![name.into()])
    }

    /// Sets a number under a name.
    pub(super) fn set_number(&self, name: &str, number: u64) -> Result<()> {
        self.sql.exec(
            "INSERT INTO meta (name, number) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = excluded.number",
            vec![name.into(), integer(number)?],
        )?;
        Ok(())
    }

    fn first_number(&self, query: &str, bindings: Vec<SqlStorageValue>) -> Result<Option<u64>> {
        let rows = self.sql.exec(query, bindings)?;
        let Some(row) = rows.raw().next() else {
            return Ok(None);
        };
        Ok(match row?.into_iter().next() {
            Some(SqlStorageValue::Integer(number)) => u64::try_from(number).ok(),
            _ => None,
        })
    }
}

/// An integer that JavaScript can hold: the object's SQL would round a larger one without a word.
pub(super) fn integer(number: u64) -> Result<SqlStorageValue> {
    SqlStorageValue::try_from_i64(i64::try_from(number).map_err(|_| "a number beyond 2^53")?)
}

/// A blob that a row can hold.
fn part(bytes: &[u8]) -> Result<SqlStorageValue> {
    // A frame's body is at most 1 MiB; its envelope adds less than 1 KiB.
    if bytes.len() > MAX_PART.saturating_add(1024) {
        return Err("more than a row may hold".into());
    }
    Ok(SqlStorageValue::Blob(bytes.to_vec()))
}

fn bytes(value: Option<SqlStorageValue>) -> Result<Vec<u8>> {
    match value {
        Some(SqlStorageValue::Blob(bytes)) => Ok(bytes),
        _ => Err("a row without its bytes".into()),
    }
}
