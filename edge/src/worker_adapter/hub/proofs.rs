//! DPoP proofs that strict routes have let in, so that none counts twice anywhere at the edge (RFC 9449 §11.1).
//!
//! A row lives until its proof is refused by its age, and is dropped by the next write after that. Rows are bounded: when
//! there is no room, nothing is let in. Asked over `POST /proof` with 40 bytes: the proof's id, and its end in seconds.

use worker::{Result, SqlStorage, SqlStorageValue};

use crate::worker_adapter::http;
use crate::worker_adapter::response::{CONFLICT, HUB_UNREACHABLE, INVALID_REQUEST, OK};

/// The bytes of a question.
pub(super) const LENGTH: usize = 40;
/// Rows at most: two thousand a second, which is more than one object can answer, for two minutes.
const CAPACITY: u64 = 250_000;
/// No proof ends later than this from now. What does is not ours.
const LONGEST_SECONDS: u64 = 600;

/// The proofs of the last minutes, on disk.
#[derive(Debug)]
pub(super) struct Proofs {
    sql: SqlStorage,
    count: u64,
}

impl Proofs {
    /// Opens the table, and makes it the first time.
    pub(super) fn open(sql: SqlStorage) -> Result<Self> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS proofs (id BLOB PRIMARY KEY, ends INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS proofs_ends ON proofs (ends)",
        ] {
            sql.exec(statement, None)?;
        }
        let counted = sql.exec("SELECT count(*) FROM proofs", None)?;
        let count = match counted
            .raw()
            .next()
            .transpose()?
            .and_then(|row| row.into_iter().next())
        {
            Some(SqlStorageValue::Integer(count)) => u64::try_from(count).unwrap_or(0),
            _ => return Err("proofs cannot be counted".into()),
        };
        Ok(Self { sql, count })
    }

    /// The answer's status: OK for a proof that is new, CONFLICT for one that came before.
    pub(super) fn answer(&mut self, question: &[u8]) -> Result<u16> {
        let Some((id, ends)) = question.split_first_chunk::<32>() else {
            return Ok(INVALID_REQUEST.status);
        };
        let Ok(ends) = ends.try_into().map(u64::from_be_bytes) else {
            return Ok(INVALID_REQUEST.status);
        };
        let now = http::now().seconds().0;
        if ends > now.saturating_add(LONGEST_SECONDS) {
            return Ok(INVALID_REQUEST.status);
        }
        self.prune(now)?;
        if self.count >= CAPACITY {
            return Ok(HUB_UNREACHABLE.status);
        }
        let inserted = self.sql.exec(
            "INSERT INTO proofs (id, ends) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING 1",
            vec![SqlStorageValue::Blob(id.to_vec()), super::storage::integer(ends)?],
        )?;
        if inserted.raw().next().transpose()?.is_none() {
            return Ok(CONFLICT);
        }
        self.count = self.count.saturating_add(1);
        Ok(OK)
    }

    fn prune(&mut self, now: u64) -> Result<()> {
        let dropped = self.sql.exec(
            "DELETE FROM proofs WHERE ends <= ? RETURNING 1",
            vec![super::storage::integer(now)?],
        )?;
        for row in dropped.raw() {
            row?;
            self.count = self.count.saturating_sub(1);
        }
        Ok(())
    }
}
