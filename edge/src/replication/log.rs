//! Where a hub or a region keeps its copy of the feed: a snapshot, the frames after it, a heartbeat, a local set.
//!
//! A log stores bytes that were accepted; it does not judge them. Each call is atomic, and what it was told is on disk when
//! the answer to the event leaves (a Durable Object's output gate).

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use shared::feed::Head;
use shared::id::StatusIndex;
use shared::time::UnixMillis;

/// A point in the chain, as a log needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// The frame's number.
    pub seq: u64,
}

impl From<Head> for Position {
    fn from(head: Head) -> Self {
        Self {
            epoch: head.epoch,
            seq: head.seq,
        }
    }
}

/// The store of one hub or region.
pub trait Log {
    /// What a failing disk says.
    type Error;

    /// The snapshot's envelope.
    fn snapshot(&self) -> Result<Option<Vec<u8>>, Self::Error>;
    /// The envelopes of frames of one epoch after a place, in order, until `limit` bytes are reached; at least one if there
    /// is one.
    fn frames_after(&self, at: Position, limit: usize) -> Result<Vec<Vec<u8>>, Self::Error>;
    /// Whether the log holds the frame right after this place.
    fn continues(&self, at: Position) -> Result<bool, Self::Error>;
    /// Appends a frame's envelope.
    fn append(&mut self, at: Position, envelope: &[u8]) -> Result<(), Self::Error>;
    /// Puts a snapshot's envelope into force; the log before it may go, as may all earlier epochs.
    fn replace_snapshot(&mut self, at: Position, envelope: &[u8]) -> Result<(), Self::Error>;
    /// When the last heartbeat came, by this log's own clock.
    fn heartbeat_at(&self) -> Result<Option<UnixMillis>, Self::Error>;
    /// Replaces the last heartbeat.
    fn set_heartbeat(&mut self, at: UnixMillis, envelope: &[u8]) -> Result<(), Self::Error>;
    /// Whether a critical entry of an unknown kind was met.
    fn is_incompatible(&self) -> Result<bool, Self::Error>;
    /// Sets that.
    fn set_incompatible(&mut self, incompatible: bool) -> Result<(), Self::Error>;
    /// The local set.
    fn local(&self) -> Result<Vec<StatusIndex>, Self::Error>;
    /// Adds to the local set.
    fn add_local(&mut self, index: StatusIndex) -> Result<(), Self::Error>;
    /// Takes out of the local set what a frame contains now.
    fn drop_local(&mut self, index: StatusIndex) -> Result<(), Self::Error>;
}

/// A log in memory, for simulation and tests. It survives a restart of what uses it if it is kept, and not if it is dropped.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    snapshot: Option<Vec<u8>>,
    frames: BTreeMap<Position, Vec<u8>>,
    heartbeat_at: Option<UnixMillis>,
    incompatible: bool,
    local: BTreeSet<StatusIndex>,
}

impl Log for MemoryLog {
    type Error = Infallible;

    fn snapshot(&self) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.snapshot.clone())
    }

    fn frames_after(&self, at: Position, limit: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        let mut total = 0usize;
        let of_epoch = self
            .frames
            .iter()
            .filter(|(place, _)| place.epoch == at.epoch && place.seq > at.seq);
        let mut frames = Vec::new();
        for (_, frame) in of_epoch {
            total = total.saturating_add(frame.len());
            if total > limit && !frames.is_empty() {
                break;
            }
            frames.push(frame.clone());
        }
        Ok(frames)
    }

    fn continues(&self, at: Position) -> Result<bool, Infallible> {
        let next = Position {
            seq: at.seq.saturating_add(1),
            ..at
        };
        Ok(self.frames.contains_key(&next))
    }

    fn append(&mut self, at: Position, envelope: &[u8]) -> Result<(), Infallible> {
        self.frames.insert(at, envelope.to_vec());
        Ok(())
    }

    fn replace_snapshot(&mut self, at: Position, envelope: &[u8]) -> Result<(), Infallible> {
        self.snapshot = Some(envelope.to_vec());
        self.frames.retain(|place, _| *place > at);
        Ok(())
    }

    fn heartbeat_at(&self) -> Result<Option<UnixMillis>, Infallible> {
        Ok(self.heartbeat_at)
    }

    fn set_heartbeat(&mut self, at: UnixMillis, _: &[u8]) -> Result<(), Infallible> {
        self.heartbeat_at = Some(at);
        Ok(())
    }

    fn is_incompatible(&self) -> Result<bool, Infallible> {
        Ok(self.incompatible)
    }

    fn set_incompatible(&mut self, incompatible: bool) -> Result<(), Infallible> {
        self.incompatible = incompatible;
        Ok(())
    }

    fn local(&self) -> Result<Vec<StatusIndex>, Infallible> {
        Ok(self.local.iter().copied().collect())
    }

    fn add_local(&mut self, index: StatusIndex) -> Result<(), Infallible> {
        self.local.insert(index);
        Ok(())
    }

    fn drop_local(&mut self, index: StatusIndex) -> Result<(), Infallible> {
        self.local.remove(&index);
        Ok(())
    }
}
