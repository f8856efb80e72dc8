//! What hub and regions keep in their SQLite, and how: a [`Log`] on a Durable Object's disk.
//!
//! ```text
//! frames   (epoch, seq) -> envelope            the log
//! snapshot (generation, part) -> bytes         one envelope, in parts of at most 1 MiB
//! local    (index)                             credentials that were ended at the edge and are in no frame yet
//! meta     name -> integer or bytes            generation in force; last heartbeat and when it came; incompatible or not
//! ```
//!
//! A Durable Object runs every statement that is not separated by an `await` in one transaction, so every function here is
//! synchronous. The order of statements makes each prefix of a change a valid store all the same: new parts are written
//! before the generation points at them, and nothing is deleted before that.

use shared::id::StatusIndex;
use shared::time::UnixMillis;
use worker::{Result, SqlStorage, SqlStorageValue};

use crate::replication::{Log, Position};

/// A row may hold 2 MB in production; the local runtime would take more, so we hold ourselves to it.
const MAX_PART: usize = 1 << 20;
/// Frames kept for consumers that lag behind, even when a snapshot covers them.
const LOG_LENGTH: u64 = 10_000;

/// The disk of one hub or region.
#[derive(Debug)]
pub(super) struct SqlLog {
    sql: SqlStorage,
}

impl SqlLog {
    /// Opens the store, and makes its tables the first time.
    pub(super) fn open(sql: SqlStorage) -> Result<Self> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS frames (epoch INTEGER, seq INTEGER, body BLOB NOT NULL, PRIMARY KEY (epoch, seq)) \
             WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS snapshot (generation INTEGER, part INTEGER, body BLOB NOT NULL, \
             PRIMARY KEY (generation, part)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS local (position INTEGER PRIMARY KEY)",
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number INTEGER, body BLOB) WITHOUT ROWID",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self { sql })
    }

    /// A number under a name.
    fn number(&self, name: &str) -> Result<Option<u64>> {
        let rows = self
            .sql
            .exec("SELECT number FROM meta WHERE name = ?", vec![name.into()])?;
        let Some(row) = rows.raw().next() else {
            return Ok(None);
        };
        Ok(match row?.into_iter().next() {
            Some(SqlStorageValue::Integer(number)) => u64::try_from(number).ok(),
            _ => None,
        })
    }

    /// Sets a number under a name.
    fn set_number(&self, name: &str, number: u64) -> Result<()> {
        self.sql.exec(
            "INSERT INTO meta (name, number) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = excluded.number",
            vec![name.into(), integer(number)?],
        )?;
        Ok(())
    }
}

impl Log for SqlLog {
    type Error = worker::Error;

    fn snapshot(&self) -> Result<Option<Vec<u8>>> {
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

    fn frames_after(&self, at: Position, limit: usize) -> Result<Vec<Vec<u8>>> {
        let rows = self.sql.exec(
            "SELECT body FROM frames WHERE epoch = ? AND seq > ? ORDER BY seq",
            vec![integer(at.epoch)?, integer(at.seq)?],
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

    fn continues(&self, at: Position) -> Result<bool> {
        let next = at.seq.saturating_add(1);
        let rows = self.sql.exec(
            "SELECT 1 FROM frames WHERE epoch = ? AND seq = ?",
            vec![integer(at.epoch)?, integer(next)?],
        )?;
        Ok(rows.raw().next().is_some())
    }

    fn append(&mut self, at: Position, envelope: &[u8]) -> Result<()> {
        self.sql.exec(
            "INSERT INTO frames (epoch, seq, body) VALUES (?, ?, ?)",
            vec![integer(at.epoch)?, integer(at.seq)?, part(envelope)?],
        )?;
        Ok(())
    }

    /// Then prunes: earlier snapshots, earlier epochs, and what the log need not keep.
    fn replace_snapshot(&mut self, at: Position, envelope: &[u8]) -> Result<()> {
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
                integer(at.epoch)?,
                integer(at.epoch)?,
                integer(at.seq.saturating_sub(LOG_LENGTH))?,
            ],
        )?;
        Ok(())
    }

    fn heartbeat_at(&self) -> Result<Option<UnixMillis>> {
        Ok(self.number("heartbeat")?.map(UnixMillis))
    }

    fn set_heartbeat(&mut self, at: UnixMillis, envelope: &[u8]) -> Result<()> {
        self.sql.exec(
            "INSERT INTO meta (name, number, body) VALUES ('heartbeat', ?, ?) \
             ON CONFLICT (name) DO UPDATE SET number = excluded.number, body = excluded.body",
            vec![integer(at.0)?, part(envelope)?],
        )?;
        Ok(())
    }

    fn is_incompatible(&self) -> Result<bool> {
        Ok(self.number("incompatible")? == Some(1))
    }

    fn set_incompatible(&mut self, incompatible: bool) -> Result<()> {
        self.set_number("incompatible", u64::from(incompatible))
    }

    fn local(&self) -> Result<Vec<StatusIndex>> {
        let rows = self.sql.exec("SELECT position FROM local", None)?;
        let mut indexes = Vec::new();
        for row in rows.raw() {
            let index = match row?.into_iter().next() {
                Some(SqlStorageValue::Integer(number)) => {
                    u64::try_from(number).ok().and_then(StatusIndex::from_u64)
                }
                _ => None,
            };
            indexes.push(index.ok_or("a local index that is none")?);
        }
        Ok(indexes)
    }

    fn add_local(&mut self, index: StatusIndex) -> Result<()> {
        self.sql.exec(
            "INSERT INTO local (position) VALUES (?) ON CONFLICT DO NOTHING",
            vec![integer(index.get())?],
        )?;
        Ok(())
    }

    fn drop_local(&mut self, index: StatusIndex) -> Result<()> {
        self.sql.exec(
            "DELETE FROM local WHERE position = ?",
            vec![integer(index.get())?],
        )?;
        Ok(())
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
