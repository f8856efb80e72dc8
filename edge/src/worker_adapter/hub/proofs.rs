//! DPoP proofs that strict routes have let in, so that none counts twice anywhere at the edge (RFC 9449 §11.1).
//!
//! A row lives until its proof is refused by its age on every clock, and is dropped by the next write after that. Rows are
//! bounded, for one key and in all: when there is no room, nothing is let in. Asked over `POST /proof` with 72 bytes: the
//! proof's id, its end in seconds, and its key's thumbprint.

use worker::{Result, SqlStorage, SqlStorageValue};

use crate::validator::Shares;
use crate::worker_adapter::response::{CONFLICT, HUB_UNREACHABLE, INVALID_REQUEST, OK};
use crate::worker_adapter::{http, log};

/// The bytes of a question.
pub(super) const LENGTH: usize = 72;
/// No proof ends later than this from now. What does is not ours.
const LONGEST_SECONDS: u64 = 600;
/// How far an isolate's clock may be behind the hub's: a proof that has ended here may still count there.
const GRACE_SECONDS: u64 = 60;

/// The proofs of the last minutes, on disk.
#[derive(Debug)]
pub(super) struct Proofs {
    sql: SqlStorage,
    shares: Shares,
}

impl Proofs {
    /// Opens the table, and makes it the first time.
    pub(super) fn open(sql: SqlStorage) -> Result<Self> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS spent (id BLOB PRIMARY KEY, ends INTEGER NOT NULL, key BLOB NOT NULL) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS spent_ends ON spent (ends)",
        ] {
            sql.exec(statement, None)?;
        }
        let mut shares = Shares::default();
        for row in sql.exec("SELECT key FROM spent", None)?.raw() {
            match row?.into_iter().next() {
                Some(SqlStorageValue::Blob(key)) => {
                    shares.add(key.try_into().map_err(|_| "a proof's key is not one")?);
                }
                _ => return Err("proofs cannot be counted".into()),
            }
        }
        Ok(Self { sql, shares })
    }

    /// The answer's status: OK for a proof that is new, CONFLICT for one that came before.
    pub(super) fn answer(&mut self, question: &[u8]) -> Result<u16> {
        let Some((id, rest)) = question.split_first_chunk::<32>() else {
            return Ok(INVALID_REQUEST.status);
        };
        let Some((ends, key)) = rest.split_first_chunk::<8>() else {
            return Ok(INVALID_REQUEST.status);
        };
        let Ok(key) = <&[u8; 32]>::try_from(key) else {
            return Ok(INVALID_REQUEST.status);
        };
        let ends = u64::from_be_bytes(*ends);
        let now = http::now().seconds().0;
        if ends > now.saturating_add(LONGEST_SECONDS) {
            return Ok(INVALID_REQUEST.status);
        }
        // Its row may be gone: whether it came before, nobody knows any more.
        if ends <= now {
            return Ok(CONFLICT);
        }
        self.prune(now.saturating_sub(GRACE_SECONDS))?;
        if !self.shares.has_room(key) {
            return Ok(HUB_UNREACHABLE.status);
        }
        let inserted = self.sql.exec(
            "INSERT INTO spent (id, ends, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
            vec![
                SqlStorageValue::Blob(id.to_vec()),
                log::integer(ends)?,
                SqlStorageValue::Blob(key.to_vec()),
            ],
        )?;
        if inserted.raw().next().transpose()?.is_none() {
            return Ok(CONFLICT);
        }
        self.shares.add(*key);
        Ok(OK)
    }

    fn prune(&mut self, end: u64) -> Result<()> {
        let dropped = self.sql.exec(
            "DELETE FROM spent WHERE ends <= ? RETURNING key",
            vec![log::integer(end)?],
        )?;
        for row in dropped.raw() {
            if let Some(SqlStorageValue::Blob(key)) = row?.into_iter().next()
                && let Ok(key) = <[u8; 32]>::try_from(key)
            {
                self.shares.remove(&key);
            }
        }
        Ok(())
    }
}
