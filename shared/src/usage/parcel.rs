//! How records travel: several of one isolate to its region, several of a region to the hub, parcels of the hub to the control
//! plane, and the control plane's signed question for the next one.
//!
//! ```text
//! records = each: bytes      a record after its length
//! parcel  = 01               version
//!           16 bytes         the store that they are kept in, random when it was made
//!           varint           records that wait there, those of the parcel included
//!           each: varint     position in the store, ascending
//!                 bytes      a record
//! collect = 01               version, the body of an envelope of type 5
//!           16 bytes         feed
//!           16 bytes         the store; zeros: not known yet
//!           varint           everything up to this position of that store is applied and may be forgotten
//!           varint           when the question was made, milliseconds since 1970
//! ```

use super::{MAX_RECORD, MIN_RECORD};
use crate::feed::FeedId;
use crate::id::LIMIT;
use crate::time::UnixMillis;
use crate::wire::{Malformed, Reader, Writer};

const VERSION: u8 = 1;

/// Several records as one body.
pub fn join_records<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = Writer::new();
    for record in records {
        writer.bytes(record);
    }
    writer.finish()
}

/// The records of a body; nothing in them is looked at.
pub fn split_records(body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(body);
    let mut records = Vec::new();
    while !reader.is_empty() {
        let record = reader.bytes(MAX_RECORD)?;
        if record.len() < MIN_RECORD {
            return Err(Malformed);
        }
        records.push(record);
    }
    Ok(records)
}

/// Records out of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// Which store: positions mean nothing in another one.
    pub store: [u8; 16],
    /// How many records waited there, these included.
    pub waiting: u64,
    /// Position and bytes of each, in order.
    pub records: Vec<(u64, Vec<u8>)>,
}

impl Parcel {
    /// The parcel's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).raw(&self.store).varint(self.waiting);
        for (position, record) in &self.records {
            writer.varint(*position).bytes(record);
        }
        writer.finish()
    }

    /// The parcel behind bytes. The records in it are not looked at: one that cannot be read must not hold up the others.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.expect_u8(VERSION)?;
        let mut parcel = Self {
            store: reader.array()?,
            waiting: reader.varint()?,
            records: Vec::new(),
        };
        while !reader.is_empty() {
            let position = reader.varint()?;
            let ascends = parcel.records.last().is_none_or(|(before, _)| *before < position);
            if !ascends || position >= LIMIT {
                return Err(Malformed);
            }
            parcel
                .records
                .push((position, reader.bytes(MAX_RECORD)?.to_vec()));
        }
        Ok(parcel)
    }

    /// The last position in it.
    pub fn through(&self) -> Option<u64> {
        self.records.last().map(|(position, _)| *position)
    }
}

/// "Forget what I have, and give me what comes next."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collect {
    /// Which feed's edge.
    pub feed: FeedId,
    /// The store that `through` is a position of.
    pub store: [u8; 16],
    /// Everything up to here is applied.
    pub through: u64,
    /// When it was made; a receiver may refuse one that is old.
    pub time: UnixMillis,
}

impl Collect {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u8(VERSION)
            .raw(&self.feed.0)
            .raw(&self.store)
            .varint(self.through)
            .varint(self.time.0)
            .finish()
    }

    /// The question behind a body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        reader.expect_u8(VERSION)?;
        let collect = Self {
            feed: FeedId(reader.array()?),
            store: reader.array()?,
            through: reader.varint()?,
            time: UnixMillis(reader.varint()?),
        };
        reader.end()?;
        if collect.through < LIMIT {
            Ok(collect)
        } else {
            Err(Malformed)
        }
    }
}
