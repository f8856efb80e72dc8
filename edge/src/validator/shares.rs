//! How much of a bounded memory for proofs is taken, and by whom: whoever holds one key cannot fill it for all others.

use std::collections::HashMap;

/// Proofs at most: two thousand a second, which is more than one object can answer, for two minutes.
const CAPACITY: usize = 250_000;
/// Of them by one key: more than eighty a second.
const CAPACITY_OF_ONE: usize = 10_000;

/// How many proofs are remembered, by the thumbprint of their key.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    of: HashMap<[u8; 32], usize>,
    taken: usize,
}

impl Shares {
    /// Whether one more by this key may be remembered.
    pub fn has_room(&self, key: &[u8; 32]) -> bool {
        self.taken < CAPACITY && self.of.get(key).is_none_or(|share| *share < CAPACITY_OF_ONE)
    }

    /// One more is remembered.
    pub fn add(&mut self, key: [u8; 32]) {
        let share = self.of.entry(key).or_default();
        *share = share.saturating_add(1);
        self.taken = self.taken.saturating_add(1);
    }

    /// One is forgotten.
    pub fn remove(&mut self, key: &[u8; 32]) {
        let Some(share) = self.of.get_mut(key) else {
            return;
        };
        *share = share.saturating_sub(1);
        if *share == 0 {
            self.of.remove(key);
        }
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_takes_its_share_and_no_more() {
        let mut shares = Shares::default();
        for _ in 0..CAPACITY_OF_ONE {
            assert!(shares.has_room(&[1; 32]));
            shares.add([1; 32]);
        }
        assert!(!shares.has_room(&[1; 32]));
        assert!(shares.has_room(&[2; 32]), "others go on");
        shares.remove(&[1; 32]);
        assert!(shares.has_room(&[1; 32]), "there is room again");
    }

    #[test]
    fn all_keys_together_are_bounded_too() {
        let mut shares = Shares::default();
        for number in 0..25u8 {
            for _ in 0..CAPACITY_OF_ONE {
                shares.add([number; 32]);
            }
        }
        assert!(!shares.has_room(&[99; 32]));
        shares.remove(&[0; 32]);
        assert!(shares.has_room(&[99; 32]));
        shares.remove(&[98; 32]);
        assert_eq!(shares.taken, CAPACITY - 1, "who has none gives none back");
    }
}
