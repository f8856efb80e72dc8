//! Where records wait in a Durable Object until the next in line has them: regions keep them for the hub, the hub for the
//! control plane.
//!
//! ```text
//! usage      position -> isolate, number, kind, record      each (isolate, number, kind) once; positions only grow
//! usage_meta the random name of this store: a position of another one must never be mistaken for one of this
//! ```
//!
//! What is answered with success is on disk. A record that comes again is taken for delivered. When there is no room nothing is
//! taken: whoever sent keeps it, down to the isolate, which says what it can keep no longer. So nothing is lost here silently;
//! `refused` counts how often it came to that.

use std::cell::{Cell, RefCell};

use shared::time::UnixMillis;
use shared::usage::{Parcel, Record, decode, split_records};
use worker::{Result, SqlStorage, SqlStorageValue};

use crate::worker_adapter::response::{HUB_UNREACHABLE, INVALID_REQUEST, OK};
use crate::worker_adapter::{log, object};

/// The longest body that is taken.
pub(in crate::worker_adapter) const MAX_BODY: usize = 4 << 20;
/// Bytes of records in one parcel, unless a single one is longer.
const MAX_PARCEL: usize = 1 << 20;
/// Bytes of records that wait at most: a night without the control plane, at a hundred busy isolates.
const MAX_WAITING: u64 = 256 << 20;
/// A handing on that has not ended after this long was cancelled with its event.
const LATCH_MS: u64 = 30_000;

/// The table.
#[derive(Debug)]
struct Table {
    sql: SqlStorage,
    name: [u8; 16],
    count: u64,
    bytes: u64,
}

/// A table that is opened when first needed, and the latch of whoever empties it.
#[derive(Debug, Default)]
pub(in crate::worker_adapter) struct Shelf {
    table: RefCell<Option<Table>>,
    latch: Cell<Option<UnixMillis>>,
    refused: Cell<u64>,
}

impl Shelf {
    fn with<T>(&self, sql: &SqlStorage, use_it: impl FnOnce(&mut Table) -> Result<T>) -> Option<T> {
        object::with(&self.table, || Table::open(sql.clone()), "usage", use_it)
    }

    /// Takes records in, all or none. The status of the answer.
    pub(in crate::worker_adapter) fn keep(&self, sql: &SqlStorage, body: &[u8]) -> u16 {
        let Ok(records) = split_records(body) else {
            return INVALID_REQUEST.status;
        };
        let decoded: std::result::Result<Vec<(Record, &[u8])>, _> = records
            .into_iter()
            .map(|bytes| decode(bytes).map(|record| (record, bytes)))
            .collect();
        let Ok(decoded) = decoded else {
            return INVALID_REQUEST.status;
        };
        let length = body.len() as u64;
        let kept = self.with(sql, |table| {
            if table.bytes.saturating_add(length) > MAX_WAITING {
                return Ok(false);
            }
            for (record, bytes) in &decoded {
                table.insert(record, bytes)?;
            }
            Ok(true)
        });
        if kept == Some(true) {
            return OK;
        }
        self.refused.set(self.refused.get().saturating_add(1));
        HUB_UNREACHABLE.status
    }

    /// How many records wait.
    pub(in crate::worker_adapter) fn waiting(&self, sql: &SqlStorage) -> Option<u64> {
        self.with(sql, |table| Ok(table.count))
    }

    /// How often there was no room, or no disk, since this object started.
    pub(in crate::worker_adapter) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// The oldest records.
    pub(in crate::worker_adapter) fn parcel(&self, sql: &SqlStorage) -> Option<Parcel> {
        self.with(sql, |table| table.parcel())
    }

    /// Drops what the next in line has, if it speaks of this store.
    pub(in crate::worker_adapter) fn forget(
        &self,
        sql: &SqlStorage,
        store: [u8; 16],
        through: u64,
    ) -> Option<()> {
        self.with(sql, |table| {
            if table.name == store {
                table.forget(through)?;
            }
            Ok(())
        })
    }

    /// Whether the caller may hand records on now; [`Shelf::release`] when it is done.
    pub(in crate::worker_adapter) fn take_latch(&self, now: UnixMillis) -> bool {
        let held = self.latch.get();
        if held.is_some_and(|start| start <= now && now.since(start) < LATCH_MS) {
            return false;
        }
        self.latch.set(Some(now));
        true
    }

    /// Ends the handing on that started then.
    pub(in crate::worker_adapter) fn release(&self, start: UnixMillis) {
        if self.latch.get() == Some(start) {
            self.latch.set(None);
        }
    }
}

impl Table {
    fn open(sql: SqlStorage) -> Result<Self> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS usage (position INTEGER PRIMARY KEY AUTOINCREMENT, isolate BLOB NOT NULL, \
             number INTEGER NOT NULL, kind INTEGER NOT NULL, record BLOB NOT NULL, UNIQUE (isolate, number, kind))",
            "CREATE TABLE IF NOT EXISTS usage_meta (id INTEGER PRIMARY KEY CHECK (id = 1), name BLOB NOT NULL)",
        ] {
            sql.exec(statement, None)?;
        }
        let fresh = crate::worker_adapter::http::random().ok_or("no random numbers")?;
        sql.exec(
            "INSERT INTO usage_meta (id, name) VALUES (1, ?) ON CONFLICT DO NOTHING",
            vec![SqlStorageValue::Blob(fresh.to_vec())],
        )?;
        let name = match first(&sql, "SELECT name FROM usage_meta")? {
            Some(SqlStorageValue::Blob(name)) => {
                name.try_into().map_err(|_| "a usage store without a name")?
            }
            _ => return Err("a usage store without a name".into()),
        };
        let count = number(first(&sql, "SELECT COUNT(*) FROM usage")?)?;
        let bytes = number(first(&sql, "SELECT COALESCE(SUM(LENGTH(record)), 0) FROM usage")?)?;
        Ok(Self {
            sql,
            name,
            count,
            bytes,
        })
    }

    fn insert(&mut self, record: &Record, bytes: &[u8]) -> Result<()> {
        let inserted = self.sql.exec(
            "INSERT INTO usage (isolate, number, kind, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
            vec![
                SqlStorageValue::Blob(record.isolate().to_vec()),
                log::integer(record.number())?,
                log::integer(u64::from(matches!(record, Record::Batch(_))))?,
                SqlStorageValue::Blob(bytes.to_vec()),
            ],
        )?;
        if inserted.raw().next().transpose()?.is_some() {
            self.count = self.count.saturating_add(1);
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        }
        Ok(())
    }

    fn parcel(&self) -> Result<Parcel> {
        let mut parcel = Parcel {
            store: self.name,
            waiting: self.count,
            records: Vec::new(),
        };
        if self.count == 0 {
            return Ok(parcel);
        }
        let rows = self.sql.exec(
            "SELECT position, record FROM usage ORDER BY position LIMIT 1000",
            None,
        )?;
        let mut size: usize = 0;
        for row in rows.raw() {
            let mut row = row?.into_iter();
            let position = number(row.next())?;
            let Some(SqlStorageValue::Blob(record)) = row.next() else {
                return Err("usage without its record".into());
            };
            size = size.saturating_add(record.len());
            if size > MAX_PARCEL && !parcel.records.is_empty() {
                break;
            }
            parcel.records.push((position, record));
        }
        Ok(parcel)
    }

    fn forget(&mut self, through: u64) -> Result<()> {
        let dropped = self.sql.exec(
            "DELETE FROM usage WHERE position <= ? RETURNING LENGTH(record)",
            vec![log::integer(through)?],
        )?;
        for row in dropped.raw() {
            let length = number(row?.into_iter().next())?;
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(length);
        }
        Ok(())
    }
}

/// The first field of the first row.
fn first(sql: &SqlStorage, statement: &str) -> Result<Option<SqlStorageValue>> {
    let row = sql.exec(statement, None)?.raw().next().transpose()?;
    Ok(row.and_then(|row| row.into_iter().next()))
}

#[expect(clippy::needless_pass_by_value, reason = "what a row gives")]
fn number(value: Option<SqlStorageValue>) -> Result<u64> {
    match value {
        Some(SqlStorageValue::Integer(number)) => {
            u64::try_from(number).map_err(|_| "usage with a negative number".into())
        }
        // Sums come as floats from some versions.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sum of lengths, checked"
        )]
        Some(SqlStorageValue::Float(number)) if (0.0..9e15).contains(&number) => Ok(number as u64),
        _ => Err("usage without a number".into()),
    }
}
