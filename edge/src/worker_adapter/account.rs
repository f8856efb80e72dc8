//! What the hub says of itself beside each answer: where it stands, how old its news is, what it refused.
//!
//! JSON in the header `portcullis-hub`, between our own object and our own isolates only. What decides anything is the
//! signed feed; an account only tells whether all of it has arrived.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::feed::Head;

/// The header that carries it.
pub(super) const HEADER: &str = "portcullis-hub";

/// A point in the chain as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    /// Lower-case hexadecimal.
    pub(super) digest: String,
}

impl From<Head> for Position {
    fn from(head: Head) -> Self {
        let digest = head
            .digest
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                for nibble in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
                text
            });
        Self {
            epoch: head.epoch,
            seq: head.seq,
            digest,
        }
    }
}

/// The hub's account of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) head: Option<Position>,
    /// Since the newest heartbeat came; `None` before the first.
    pub(super) feed_age_ms: Option<u64>,
    /// Met a critical entry of a kind that it does not know, and has stopped.
    pub(super) incompatible: bool,
    /// Refused envelopes by code, since the object started.
    pub(super) refused: BTreeMap<String, u64>,
}
