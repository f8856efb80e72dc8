//! The restriction feed: how the control plane tells the edge what it must know, so that nothing is lost or undone (I3, I8).
//!
//! ```text
//! message     = (varint length, envelope)*
//! envelope    = 01 | type u8 | bytes(certificate) | bytes(body) | 64 bytes signature
//!               type: 1 frame, 2 snapshot, 3 heartbeat, 4 fetch request
//!               signature = Ed25519 by the certified feed key over "portcullis/feed/v1" ‖ type ‖ body
//! certificate = 01 | 16 bytes feed | varint epoch | varint key number | 32 bytes Ed25519 key
//!               | varint not after (seconds) | 64 bytes root signature
//!               root signature over "portcullis/feed-key/v1" ‖ all that precedes it
//! frame       = 01 | feed | varint epoch | varint seq | 32 bytes digest of the previous frame
//!               | varint time (ms, information only) | varint count | entries
//! snapshot    = 01 | feed | varint epoch | varint seq | 32 bytes chain digest at seq | 32 bytes state digest
//!               | varint raw length | bytes(zlib of the state)
//! heartbeat   = 01 | feed | varint epoch | varint seq | 32 bytes chain digest | 32 bytes audit head | varint time (ms)
//! fetch       = 01 | feed | varint epoch | varint after | varint time (ms)
//! state       = varint count | entries in canonical order      (see [`State`])
//! entry       = kind u8 | flags u8 (bit 0: critical) | bytes(payload)      (see [`Entry`])
//! ```
//!
//! **Chain.** A frame's digest is SHA-256 of its body; the next frame carries it. The first frame of epoch 1 has seq 1 and
//! a digest of zeros before it. A later epoch starts with a snapshot, at a seq that goes on counting. A consumer applies
//! strictly in order ([`Replica`]) and refuses gaps, forks, lower epochs and anything that would undo a restriction.
//!
//! **Join.** Applying an entry is a join, so the order among restrictions never matters, and a snapshot followed by frames
//! gives the same state as the frames alone. States are compared by the digest of their canonical form.
//!
//! **Vectors.** `vectors/feed.json` has one of everything, `vectors/feed_chain.json` a whole feed, step by step, with what
//! became of each envelope and the digest of the state after it. `tests/reader/feed.ts` is a second reader, written from this
//! page, the tables of `entry`, `issuer` and `state`, and these files.
//!
//! **Trust.** A consumer pins the feed's id and the root's public key (two of them while the root is being replaced). Feed
//! keys are certified per epoch by the root; our own issuing keys enter the state only with the root's signature on themselves.

mod entry;
mod envelope;
mod frame;
pub mod issuer;
mod ranges;
mod replica;
mod snapshot;
mod state;

pub use entry::{Block, Entry, Expiry, IssuingKey, IssuingPurpose, KeyOwner, KeyRef, Subject, kinds};
pub use envelope::{
    Certificate, Envelope, EnvelopeType, PEEK, Trust, join_message, peek_message, sign, split_message,
};
pub use frame::{FetchRequest, Frame, Head, Heartbeat};
pub use issuer::{IssuerBinding, IssuerEntry};
pub use replica::{Applied, Refusal, Replica};
pub use snapshot::Snapshot;
pub use state::State;

/// The version byte of every format in this module.
pub const VERSION: u8 = 1;
/// The largest body of a frame: larger changes take several frames.
pub const MAX_FRAME: usize = 1 << 20;
/// The largest message that is accepted at all.
pub const MAX_MESSAGE: usize = 32 << 20;
/// The largest state, uncompressed.
pub const MAX_STATE: usize = 64 << 20;

/// The most indexes that can be revoked at a time, 2^27: full, they take 16 MiB of an isolate's memory. Retired lists make
/// room again.
pub const MAX_REVOKED: u64 = 1 << 27;

/// The most lists that can be retired, 2^20: as many as hold 2^40 indexes.
pub const MAX_RETIRED: u64 = 1 << 20;

/// The random id of a feed: 16 bytes, written in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub [u8; 16]);

impl std::fmt::Display for FeedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for FeedId {
    type Err = crate::wire::Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(crate::wire::Malformed);
        }
        u128::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| crate::wire::Malformed)
    }
}

#[cfg(test)]
mod tests;
