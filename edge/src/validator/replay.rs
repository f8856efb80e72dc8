//! Proofs that came before, for as long as they could come again.
//!
//! Two generations, each filled for as long as a proof can live: what is in neither is either new or too old to count.
//! Memory is bounded: a generation that is full makes room early, and then a proof of the time before could pass once more
//! here. It is one isolate's memory in any case; strict routes ask the hub, which all isolates share.

use std::collections::HashSet;

use shared::dpop::{CLOCK_SKEW_SECONDS, MAX_AGE_SECONDS, Proof};
use shared::time::UnixSeconds;

/// The longest that a proof counts: from the moment at which it is the furthest ahead of our clock.
const WINDOW_SECONDS: u64 = MAX_AGE_SECONDS + CLOCK_SKEW_SECONDS;
/// Proofs in one generation: a thousand a second for the whole window. About 4 MiB.
const CAPACITY: usize = 120_000;

/// The proofs of the last minutes.
#[derive(Debug)]
pub struct Replays {
    young: HashSet<u128>,
    old: HashSet<u128>,
    turned_at: UnixSeconds,
    capacity: usize,
}

impl Default for Replays {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Replays {
    /// A memory for so many proofs in each of its two generations.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            turned_at: UnixSeconds(0),
            capacity,
        }
    }

    /// Remembers a proof that holds; false if it came before.
    pub fn remember(&mut self, proof: &Proof, now: UnixSeconds) -> bool {
        let age = now.0.saturating_sub(self.turned_at.0);
        if age >= 2 * WINDOW_SECONDS {
            self.young.clear();
        }
        if age >= WINDOW_SECONDS || self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
            self.turned_at = now;
        }
        // Half of a SHA-256: nobody finds two proofs with the same, and if they did, the second would be refused.
        let id = proof
            .id
            .first_chunk()
            .map_or(0, |half| u128::from_be_bytes(*half));
        !self.old.contains(&id) && self.young.insert(id)
    }

    /// How many proofs are remembered.
    pub fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use shared::jwk::Thumbprint;

    use super::*;

    fn proof(number: u64, ends: u64) -> Proof {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        Proof {
            key: Thumbprint([1; 32]),
            id,
            ends: UnixSeconds(ends),
        }
    }

    #[test]
    fn a_proof_is_remembered_for_as_long_as_it_counts() {
        // Whenever in a generation's life it comes: it is refused until its end.
        for start in [1_000_000, 1_000_001, 1_000_060, 1_000_119, 1_000_120] {
            let mut replays = Replays::default();
            assert!(replays.remember(&proof(0, 0), UnixSeconds(1_000_000)));
            let one = proof(1, start + WINDOW_SECONDS);
            assert!(replays.remember(&one, UnixSeconds(start)));
            for later in 0..WINDOW_SECONDS {
                let now = UnixSeconds(start + later);
                assert!(
                    replays.remember(&proof(100 + later, now.0 + 1), now),
                    "others pass"
                );
                assert!(!replays.remember(&one, now), "{start} + {later}");
            }
        }
    }

    #[test]
    fn memory_is_bounded_by_time_and_by_number() {
        let mut replays = Replays::with_capacity(100);
        for number in 0..1000 {
            assert!(replays.remember(&proof(number, 0), UnixSeconds(1_000_000)));
            assert!(replays.len() <= 200);
        }
        assert!(!replays.remember(&proof(950, 0), UnixSeconds(1_000_000)));
        replays.remember(&proof(5000, 0), UnixSeconds(1_000_000 + 2 * WINDOW_SECONDS));
        assert_eq!(replays.len(), 1, "nothing of that time counts any more");
    }
}
