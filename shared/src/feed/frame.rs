//! Frames, heartbeats and fetch requests: the bodies that are small.

use super::{Entry, FeedId, MAX_FRAME, VERSION};
use crate::crypto::{Digest, sha256};
use crate::time::UnixMillis;
use crate::wire::{Malformed, Reader, Writer};

/// A point in a feed's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The epoch.
    pub epoch: u64,
    /// The number of the last frame.
    pub seq: u64,
    /// The last frame's digest; for a snapshot that opened an epoch, the state's.
    pub digest: Digest,
}

/// Some entries, in order, linked to the frame before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which feed.
    pub feed: FeedId,
    /// Which epoch.
    pub epoch: u64,
    /// From 1, without gaps.
    pub seq: u64,
    /// Digest of the frame before; zeros before the first.
    pub previous: Digest,
    /// When it was made. Information only: never used for age.
    pub time: UnixMillis,
    /// What it says.
    pub entries: Vec<Entry>,
}

impl Frame {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION)
            .raw(&self.feed.0)
            .varint(self.epoch)
            .varint(self.seq)
            .raw(&self.previous)
            .varint(self.time.0);
        w.varint(self.entries.len() as u64);
        for entry in &self.entries {
            w.raw(&entry.encode());
        }
        w.finish()
    }

    /// The frame behind a body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > MAX_FRAME {
            return Err(Malformed);
        }
        let mut r = Reader::new(body);
        r.expect_u8(VERSION)?;
        let (feed, epoch, seq) = (FeedId(r.array()?), r.varint()?, r.varint()?);
        let (previous, time) = (r.array()?, UnixMillis(r.varint()?));
        let entries = read_entries(&mut r)?;
        r.end()?;
        Ok(Self {
            feed,
            epoch,
            seq,
            previous,
            time,
            entries,
        })
    }

    /// The digest that the next frame must carry.
    pub fn digest(body: &[u8]) -> Digest {
        sha256(body)
    }
}

/// A counted list of entries.
fn read_entries(r: &mut Reader<'_>) -> Result<Vec<Entry>, Malformed> {
    let count = r.varint()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(Entry::read(r)?);
    }
    Ok(entries)
}

/// "I am here, and this is the end of the chain": replaces the last one, is not part of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which feed.
    pub feed: FeedId,
    /// Where the chain ends.
    pub head: Head,
    /// Head of the sealed audit chain; zeros while nothing is sealed.
    pub audit_head: Digest,
    /// When it was made. Information only.
    pub time: UnixMillis,
}

impl Heartbeat {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u8(VERSION)
            .raw(&self.feed.0)
            .varint(self.head.epoch)
            .varint(self.head.seq)
            .raw(&self.head.digest)
            .raw(&self.audit_head)
            .varint(self.time.0)
            .finish()
    }

    /// The heartbeat behind a body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        r.expect_u8(VERSION)?;
        let feed = FeedId(r.array()?);
        let head = Head {
            epoch: r.varint()?,
            seq: r.varint()?,
            digest: r.array()?,
        };
        let heartbeat = Self {
            feed,
            head,
            audit_head: r.array()?,
            time: UnixMillis(r.varint()?),
        };
        r.end()?;
        Ok(heartbeat)
    }
}

/// "Send me what comes after": how a publisher that was restored asks the hub for what it has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Which feed.
    pub feed: FeedId,
    /// The epoch that the asker knows; 0: none.
    pub epoch: u64,
    /// The last seq that the asker has.
    pub after: u64,
    /// When it was made; a receiver may refuse one that is old.
    pub time: UnixMillis,
}

impl FetchRequest {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION)
            .raw(&self.feed.0)
            .varint(self.epoch)
            .varint(self.after)
            .varint(self.time.0);
        w.finish()
    }

    /// The request behind a body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        r.expect_u8(VERSION)?;
        let feed = FeedId(r.array()?);
        let request = Self {
            feed,
            epoch: r.varint()?,
            after: r.varint()?,
            time: UnixMillis(r.varint()?),
        };
        r.end()?;
        Ok(request)
    }
}
