//! The local set: credentials whose holders have ended them at the edge, until a frame says the same (I8).

use std::collections::BTreeSet;

use shared::feed::State;
use shared::id::StatusIndex;

use super::MAX_LOCAL;

/// Add-only, but for what the feed contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalSet(BTreeSet<StatusIndex>);

impl LocalSet {
    /// From what was stored or told, without what the feed contains already. More than [`MAX_LOCAL`] are cut off.
    pub fn of(indexes: impl IntoIterator<Item = StatusIndex>, state: &State) -> Self {
        let mut set = Self::default();
        set.merge(indexes, state);
        set
    }

    /// Adds what the feed does not contain yet; gives what was new.
    pub fn merge(
        &mut self,
        indexes: impl IntoIterator<Item = StatusIndex>,
        state: &State,
    ) -> Vec<StatusIndex> {
        let mut new = Vec::new();
        for index in indexes {
            if self.0.len() < MAX_LOCAL && !state.is_revoked(index) && self.0.insert(index) {
                new.push(index);
            }
        }
        new
    }

    /// Whether there is room for one more.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_LOCAL
    }

    /// Takes out what the feed contains; gives it.
    pub fn settle(&mut self, state: &State) -> Vec<StatusIndex> {
        let settled: Vec<_> = self
            .0
            .iter()
            .copied()
            .filter(|index| state.is_revoked(*index))
            .collect();
        for index in &settled {
            self.0.remove(index);
        }
        settled
    }

    /// Whether a credential is in it.
    pub fn contains(&self, index: StatusIndex) -> bool {
        self.0.contains(&index)
    }

    /// All of it, ascending.
    pub fn all(&self) -> Vec<StatusIndex> {
        self.0.iter().copied().collect()
    }

    /// Whether there is nothing: the usual case.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
