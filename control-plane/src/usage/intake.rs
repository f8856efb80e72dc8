//! What is taken of a parcel: how much in it, how often, and one at a time of each edge. An edge may be somebody else's machine, so
//! its parcels are decoded and counted before anything of the database is held.
//!
//! The bounds are those of the hub, which sends a mebibyte of records and a thousand of them at most, with room to spare.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::usage::{Record, decode};

use super::Usage;
use crate::http::limit::TooMany;

/// The longest parcel: a mebibyte of records and their positions.
pub const MAX_BYTES: usize = (1 << 20) + (256 << 10);
/// The most records in one.
const MAX_RECORDS: usize = 2000;
/// The most counts in all of its records: the shortest ones have nine bytes.
const MAX_COUNTS: usize = 120_000;
/// What a record costs beside its counts: the book of its isolate.
const RECORD_ROWS: usize = 4;

/// A parcel that was looked at.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// What can be read.
    pub(super) records: Vec<Record>,
    /// Records that cannot.
    pub(super) unfit: u64,
}

/// There is more in it than any edge sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a parcel has at most {MAX_RECORDS} records, and {MAX_COUNTS} counts in all of them")]
pub(super) struct TooLarge;

impl Intake {
    /// Reads a parcel's records.
    pub(super) fn read(records: &[Vec<u8>]) -> Result<Self, TooLarge> {
        if records.len() > MAX_RECORDS {
            return Err(TooLarge);
        }
        let mut intake = Self::default();
        let mut counts = 0;
        for bytes in records {
            match decode(bytes) {
                Ok(record) => {
                    counts += counts_of(&record);
                    if counts > MAX_COUNTS {
                        return Err(TooLarge);
                    }
                    intake.records.push(record);
                }
                Err(_) => intake.unfit += 1,
            }
        }
        Ok(intake)
    }

    /// How much writing it is.
    pub(super) fn rows(&self) -> u32 {
        let rows = self.records.iter().map(rows_of).sum::<usize>();
        u32::try_from(rows).unwrap_or(u32::MAX)
    }
}

fn counts_of(record: &Record) -> usize {
    match record {
        Record::Opening(_) => 0,
        Record::Batch(batch) => batch.counts.len(),
    }
}

/// How much writing one record is.
pub(super) fn rows_of(record: &Record) -> usize {
    counts_of(record) + RECORD_ROWS
}

/// The edges whose parcels are being applied.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeSet<String>>);

impl Turns {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An edge's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    edge: &'a str,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(self.edge);
    }
}

impl Usage {
    /// The turn of an edge; `None`: another parcel of it is being applied.
    pub(super) fn turn<'a>(&'a self, edge: &'a str) -> Option<Turn<'a>> {
        let turns = &self.turns;
        let is_free = turns.lock().insert(edge.to_owned());
        // Made only then: one that is dropped gives the turn back.
        is_free.then(|| Turn { turns, edge })
    }

    /// Counts the rows of a parcel for its edge, or says when there is room for them.
    pub(super) fn admit(&self, edge: &str, intake: &Intake) -> Result<(), TooMany> {
        self.rows.take_many(edge, intake.rows())
    }
}
