//! Statements that were verified before, by the full SHA-256 of the credential's text.
//!
//! Two generations share a byte budget: when the young one has used half of it, it becomes the old one, and the old one
//! goes. What is in use moves up again, so a working set within half the budget stays. Only verified statements get in: a
//! flood of forged credentials evicts nothing.

use std::collections::HashMap;
use std::rc::Rc;

use shared::crypto::Digest;

use super::Statement;

/// 16 MiB of the isolate's 128.
const DEFAULT_BUDGET: usize = 16 << 20;
/// The map's own cost per entry, roughly.
const OVERHEAD: usize = 96;

/// Verified statements within a byte budget.
#[derive(Debug)]
pub struct StatementCache {
    young: HashMap<Digest, Rc<Statement>>,
    old: HashMap<Digest, Rc<Statement>>,
    young_weight: usize,
    half: usize,
}

impl Default for StatementCache {
    fn default() -> Self {
        Self::with_budget(DEFAULT_BUDGET)
    }
}

impl StatementCache {
    /// A cache of at most so many bytes.
    pub fn with_budget(bytes: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_weight: 0,
            half: bytes / 2,
        }
    }

    /// A statement that was verified before.
    pub fn find(&mut self, digest: &Digest) -> Option<Rc<Statement>> {
        if let Some(found) = self.young.get(digest) {
            return Some(Rc::clone(found));
        }
        let found = self.old.remove(digest)?;
        self.insert(*digest, Rc::clone(&found));
        Some(found)
    }

    /// Remembers a verified statement.
    pub fn insert(&mut self, digest: Digest, statement: Rc<Statement>) {
        let weight = statement.weight().saturating_add(OVERHEAD);
        if self.young_weight.saturating_add(weight) > self.half {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight = self.young_weight.saturating_add(weight);
        self.young.insert(digest, statement);
    }

    /// Forgets everything: when the policy, and with it the scope catalogue, has changed.
    pub fn clear(&mut self) {
        *self = Self::with_budget(self.half.saturating_mul(2));
    }

    /// How many statements are remembered.
    pub fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
