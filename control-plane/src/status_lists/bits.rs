//! Statuses as bytes: least significant bits first, DEFLATE in a ZLIB container, base64url (draft §4.1, §4.2).

use miniz_oxide::deflate::compress_to_vec_zlib;
use shared::crypto::base64url;

/// A list is nearly all zeros: the best level costs little more than the fastest.
const LEVEL: u8 = 9;

/// What a credential is worth (draft §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    /// Dead for good.
    Invalid = 1,
    /// Worth nothing, or less, for now.
    Suspended = 2,
}

/// A list in which everything is VALID until it is set.
pub(super) struct Bits {
    width: u8,
    bytes: Vec<u8>,
}

impl Bits {
    /// So many entries of 1, 2, 4 or 8 bits.
    pub(super) fn new(width: u8, entries: u64) -> Self {
        let bytes = entries.saturating_mul(u64::from(width)).div_ceil(8);
        Self {
            width,
            bytes: vec![0; usize::try_from(bytes).unwrap_or(0)],
        }
    }

    /// Sets one entry; what lies outside of the list, or does not fit, changes nothing.
    pub(super) fn set(&mut self, position: u64, status: u8) {
        let bit = position.saturating_mul(u64::from(self.width));
        let (Ok(byte), Ok(shift)) = (usize::try_from(bit / 8), u32::try_from(bit % 8)) else {
            return;
        };
        let mask = u8::MAX >> (8 - self.width);
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte = (*byte & !(mask << shift)) | ((status & mask) << shift);
        }
    }

    /// `lst`.
    pub(super) fn encode(&self) -> String {
        base64url(&compress_to_vec_zlib(&self.bytes, LEVEL))
    }
}
