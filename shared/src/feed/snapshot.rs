//! A snapshot: the whole state at one point of the chain, compressed.

use miniz_oxide::inflate::decompress_slice_iter_to_slice;

use super::{FeedId, Head, MAX_MESSAGE, MAX_STATE, State, VERSION};
use crate::crypto::{Digest, sha256};
use crate::wire::{Malformed, Reader, Writer};

/// The whole state at one seq.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Which feed.
    pub feed: FeedId,
    /// Where in the chain: the next frame carries this digest.
    pub head: Head,
    /// What everything up to there adds up to.
    pub state: State,
}

impl Snapshot {
    /// The snapshot that opens a new epoch: its chain starts with the digest of the state itself.
    pub fn opening(feed: FeedId, epoch: u64, seq: u64, state: State) -> Self {
        let digest = state.digest();
        Self {
            feed,
            head: Head { epoch, seq, digest },
            state,
        }
    }

    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let raw = self.state.encode();
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(&raw, 6);
        let mut w = Writer::new();
        w.u8(VERSION)
            .raw(&self.feed.0)
            .varint(self.head.epoch)
            .varint(self.head.seq)
            .raw(&self.head.digest);
        w.raw(&sha256(&raw)).varint(raw.len() as u64).bytes(&packed);
        w.finish()
    }

    /// The snapshot behind a body: never more than [`MAX_STATE`] bytes of state, and the digest must fit.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        r.expect_u8(VERSION)?;
        let feed = FeedId(r.array()?);
        let head = Head {
            epoch: r.varint()?,
            seq: r.varint()?,
            digest: r.array()?,
        };
        let state_digest: Digest = r.array()?;
        let length = usize::try_from(r.varint()?).map_err(|_| Malformed)?;
        let packed = r.bytes(MAX_MESSAGE)?;
        r.end()?;
        if length > MAX_STATE {
            return Err(Malformed);
        }
        // Of the length that it will have: a buffer that grows is half empty in the end, and holds its contents twice before.
        let mut raw = vec![0; length];
        let inflated = decompress_slice_iter_to_slice(&mut raw, std::iter::once(packed), true, false);
        if inflated != Ok(length) || sha256(&raw) != state_digest {
            return Err(Malformed);
        }
        Ok(Self {
            feed,
            head,
            state: State::decode(&raw)?,
        })
    }
}
