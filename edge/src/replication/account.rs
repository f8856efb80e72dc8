//! What a hub or a region says of itself beside each answer: where it stands, how old its news is, what it refused.
//!
//! JSON, between our own objects and our own isolates only. What decides anything is the signed feed; an account only tells
//! whether all of it has arrived, and how fresh the teller is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::feed::Head;
use shared::id::StatusIndex;

/// A point in the chain as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// The frame's number.
    pub seq: u64,
    /// Its digest, lower-case hexadecimal.
    pub digest: String,
}

impl From<Head> for Place {
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

/// The account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Where it stands; `None` before the first frame.
    pub head: Option<Place>,
    /// How long ago, at the moment of the answer, it was fresh: 0 for the hub, and for a region that holds a lease; `None`
    /// for a region that never heard the hub.
    pub contact_age_ms: Option<u64>,
    /// Since the newest heartbeat came to the hub; `None` before the first.
    pub feed_age_ms: Option<u64>,
    /// Met a critical entry of a kind that it does not know, and has stopped.
    pub incompatible: bool,
    /// Refused envelopes by code, since the object started.
    pub refused: BTreeMap<String, u64>,
    /// Credentials that their holders have ended at the edge, and that no frame contains yet.
    pub local: Vec<StatusIndex>,
}

impl TryFrom<&Place> for Head {
    type Error = shared::wire::Malformed;

    fn try_from(place: &Place) -> Result<Self, Self::Error> {
        let mut digest = [0u8; 32];
        let mut digits = place.digest.chars();
        for byte in &mut digest {
            for _ in 0..2 {
                let digit = digits.next().and_then(|letter| letter.to_digit(16));
                *byte = (*byte << 4) | u8::try_from(digit.ok_or(shared::wire::Malformed)?).unwrap_or(0);
            }
        }
        if digits.next().is_some() {
            return Err(shared::wire::Malformed);
        }
        Ok(Self {
            epoch: place.epoch,
            seq: place.seq,
            digest,
        })
    }
}
