//! Statements that were verified before, by a keyed 128-bit hash of the credential's text.
//!
//! The hash is SipHash-2-4-128, a pseudo-random function, under a key that only this memory has: nobody can make a forged text
//! that is found under another's name, not even with every other text at hand. It costs a tenth of SHA-256 in Wasm.
//!
//! Within a byte budget. What is full makes room by the clock rule: a hand goes round, and what was used since it last came
//! stays. So a working set as large as the budget stays, and what is used once goes first. Only verified statements get in: a
//! flood of forged credentials evicts nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use shared::scope::ScopeSet;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::Statement;

/// A third of the isolate's 128 MiB is for this and the state together; this is the larger part.
const DEFAULT_BUDGET: usize = 32 << 20;
/// What an entry costs beside its statement, roughly: the slot, the map's entry at its usual load, the allocator's headers.
const OVERHEAD: usize = 112;

/// What a text is remembered under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u128);

/// How the memory has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheReport {
    /// Statements remembered now.
    pub statements: usize,
    /// What they occupy, roughly, in bytes.
    pub bytes: usize,
    /// Look-ups that found one.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Statements that made room for others.
    pub evicted: u64,
}

/// Verified statements within a byte budget.
#[derive(Debug)]
pub struct StatementCache {
    key: [u8; 16],
    places: HashMap<u128, usize, BuildHasherDefault<AsItIs>>,
    slots: Vec<Slot>,
    /// Where the hand stands.
    hand: usize,
    /// The slot that was found or filled last.
    last: usize,
    weight: usize,
    budget: usize,
    numbers: u32,
    hits: u64,
    misses: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Slot {
    tag: u128,
    statement: Arc<Statement>,
    weight: usize,
    /// Since the hand last came.
    used: bool,
    /// Under which number the outside has noted who this is, with these effective scopes.
    identity: Option<(ScopeSet, u32)>,
}

impl Default for StatementCache {
    /// With a key that everybody knows: for tests, and where all credentials come from oneself.
    fn default() -> Self {
        Self::with_budget([0; 16], DEFAULT_BUDGET)
    }
}

impl StatementCache {
    /// A cache of the usual size, under a random key of its own.
    pub fn with_key(key: [u8; 16]) -> Self {
        Self::with_budget(key, DEFAULT_BUDGET)
    }

    /// A cache that remembers nothing: where there is no random key to be had.
    pub fn closed() -> Self {
        Self::with_budget([0; 16], 0)
    }

    /// A cache of at most so many bytes.
    pub fn with_budget(key: [u8; 16], bytes: usize) -> Self {
        Self {
            key,
            places: HashMap::default(),
            slots: Vec::new(),
            hand: 0,
            last: usize::MAX,
            weight: 0,
            budget: bytes,
            numbers: 0,
            hits: 0,
            misses: 0,
            evicted: 0,
        }
    }

    /// What a credential's text is remembered under.
    pub fn tag(&self, text: &str) -> Tag {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(text.as_bytes());
        Tag(hasher.finish128().as_u128())
    }

    /// A statement that was verified before.
    pub fn find(&mut self, tag: Tag) -> Option<Arc<Statement>> {
        let place = self.places.get(&tag.0).copied();
        let Some((place, slot)) = place.and_then(|place| Some((place, self.slots.get_mut(place)?))) else {
            self.misses = self.misses.saturating_add(1);
            self.last = usize::MAX;
            return None;
        };
        slot.used = true;
        self.last = place;
        self.hits = self.hits.saturating_add(1);
        Some(Arc::clone(&slot.statement))
    }

    /// Remembers a verified statement.
    pub fn insert(&mut self, tag: Tag, statement: Arc<Statement>) {
        let weight = statement.weight().saturating_add(OVERHEAD);
        // One that is read anew: another issuer's terms have changed.
        self.forget(tag);
        if weight > self.budget {
            self.last = usize::MAX;
            return;
        }
        while self.weight.saturating_add(weight) > self.budget && self.evict_one() {}
        self.last = self.slots.len();
        self.places.insert(tag.0, self.last);
        self.weight = self.weight.saturating_add(weight);
        self.slots.push(Slot {
            tag: tag.0,
            statement,
            weight,
            used: false,
            identity: None,
        });
    }

    /// A number for the statement that was found or remembered last, with these effective scopes: what is noted under it
    /// outside stays true, for a number never means anybody else. `None` for any other statement.
    pub fn identity(&mut self, statement: &Arc<Statement>, effective: ScopeSet) -> Option<u32> {
        let slot = self.slots.get_mut(self.last)?;
        if !Arc::ptr_eq(&slot.statement, statement) {
            return None;
        }
        if let Some((scopes, number)) = slot.identity
            && scopes == effective
        {
            return Some(number);
        }
        self.numbers = self.numbers.checked_add(1)?;
        slot.identity = Some((effective, self.numbers));
        Some(self.numbers)
    }

    fn forget(&mut self, tag: Tag) {
        let Some(place) = self
            .places
            .remove(&tag.0)
            .filter(|place| *place < self.slots.len())
        else {
            return;
        };
        let gone = self.slots.swap_remove(place);
        self.weight = self.weight.saturating_sub(gone.weight);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.tag, place);
        }
    }

    /// Takes out what the hand comes to first that was not used since it last came; false if there is nothing.
    fn evict_one(&mut self) -> bool {
        // Twice round: the first time may find everything in use.
        for _ in 0..self.slots.len().saturating_mul(2) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.hand = self.hand.saturating_add(1);
                }
                Some(slot) => {
                    let tag = Tag(slot.tag);
                    self.forget(tag);
                    self.evicted = self.evicted.saturating_add(1);
                    // The last one has come to its place; the hand goes past it, for it is the youngest.
                    self.hand = self.hand.saturating_add(1);
                    return true;
                }
                None => return false,
            }
        }
        false
    }

    /// Forgets everything: when the policy, and with it the scope catalogue, has changed. Numbers go on.
    pub fn clear(&mut self) {
        self.places.clear();
        self.slots.clear();
        self.hand = 0;
        self.last = usize::MAX;
        self.weight = 0;
    }

    /// How many statements are remembered.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How it has done so far.
    pub fn report(&self) -> CacheReport {
        CacheReport {
            statements: self.slots.len(),
            bytes: self.weight,
            hits: self.hits,
            misses: self.misses,
            evicted: self.evicted,
        }
    }
}

/// Tags are random already: their lower half is as good a hash as any.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached: a u128 writes itself as one.
        self.0 = bytes
            .iter()
            .fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, tag: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let half = tag as u64;
        self.0 = half;
    }
}
