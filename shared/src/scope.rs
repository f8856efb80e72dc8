//! Scopes: a deployment's catalogue, sets of scopes as bits, and the matching rule.
//!
//! A scope's bit is its position in the catalogue; a bit is never reused, so names are only ever appended. `admin`, where
//! the catalogue has it, implies every other scope: at the check, not at the issue, so that later scopes are included.

use serde::{Deserialize, Serialize};

/// The scope that implies all others.
pub const ADMIN: &str = "admin";
/// A set is one 64-bit word.
pub const MAX_SCOPES: usize = 64;

/// A set of scopes as bits of a [`Catalogue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeSet(pub u64);

impl ScopeSet {
    /// No scope at all.
    pub const EMPTY: Self = Self(0);
    /// Every bit: a ceiling that takes nothing away.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether no scope is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every scope of `other` is in this set, bit by bit (no hierarchy: see [`Catalogue::satisfies`]).
    pub fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Scopes in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Scopes in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The scopes that a deployment knows, in the order of their bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Catalogue {
    names: Vec<String>,
}

/// Why a list of names is not a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// RFC 6749 §3.3: printable ASCII without space, quote and backslash.
    #[error("scope {0:?} is not a scope-token: use printable ASCII without space, quote or backslash")]
    InvalidName(String),
    /// A bit must have one name.
    #[error("scope {0:?} is listed twice")]
    Duplicate(String),
    /// One 64-bit word.
    #[error("a catalogue holds at most 64 scopes")]
    TooMany,
}

/// A name that the catalogue does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope {0:?}")]
pub struct UnknownScope(pub String);

fn is_scope_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl TryFrom<Vec<String>> for Catalogue {
    type Error = CatalogueError;

    fn try_from(names: Vec<String>) -> Result<Self, CatalogueError> {
        if names.len() > MAX_SCOPES {
            return Err(CatalogueError::TooMany);
        }
        let mut seen = std::collections::BTreeSet::new();
        for name in &names {
            if !is_scope_token(name) {
                return Err(CatalogueError::InvalidName(name.clone()));
            }
            if !seen.insert(name) {
                return Err(CatalogueError::Duplicate(name.clone()));
            }
        }
        Ok(Self { names })
    }
}

impl From<Catalogue> for Vec<String> {
    fn from(catalogue: Catalogue) -> Self {
        catalogue.names
    }
}

impl Catalogue {
    /// A catalogue without scopes: nothing can be asked for or given.
    pub fn empty() -> Self {
        Self { names: Vec::new() }
    }

    fn bit(&self, name: &str) -> Option<u64> {
        let position = self.names.iter().position(|known| known == name)?;
        1u64.checked_shl(u32::try_from(position).ok()?)
    }

    /// All names in the order of their bits.
    pub fn all(&self) -> &[String] {
        &self.names
    }

    /// The set of these names, or the first unknown one.
    pub fn parse<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<ScopeSet, UnknownScope> {
        let mut set = ScopeSet::EMPTY;
        for name in names {
            let name = name.as_ref();
            set.0 |= self.bit(name).ok_or_else(|| UnknownScope(name.to_owned()))?;
        }
        Ok(set)
    }

    /// The set of those names that the catalogue knows: for tokens of other issuers, where the rest means nothing to us.
    pub fn parse_known<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> ScopeSet {
        names
            .into_iter()
            .filter_map(|name| self.bit(name))
            .fold(ScopeSet::EMPTY, |set, bit| ScopeSet(set.0 | bit))
    }

    /// The names in a set, in the order of their bits. Bits beyond the catalogue have no name and are left out.
    pub fn names(&self, set: ScopeSet) -> Vec<&str> {
        self.names
            .iter()
            .enumerate()
            .filter(|(position, _)| {
                set.0
                    .checked_shr(u32::try_from(*position).unwrap_or(64))
                    .unwrap_or(0)
                    & 1
                    == 1
            })
            .map(|(_, name)| name.as_str())
            .collect()
    }

    /// The names in a set as one space-separated string (RFC 6749 §3.3).
    pub fn join(&self, set: ScopeSet) -> String {
        self.names(set).join(" ")
    }

    /// The set with everything it implies: `admin` implies all.
    pub fn expand(&self, set: ScopeSet) -> ScopeSet {
        match self.bit(ADMIN) {
            Some(admin) if set.0 & admin != 0 => ScopeSet::ALL,
            _ => set,
        }
    }

    /// Whether a holder of `have` may do what needs `need`, the hierarchy applied.
    pub fn satisfies(&self, have: ScopeSet, need: ScopeSet) -> bool {
        self.expand(have).contains(need)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let names = ["memory:read", "memory:write", "admin"].map(str::to_owned);
        Catalogue::try_from(names.to_vec()).expect("valid")
    }

    #[test]
    fn admin_implies_all_and_nothing_else_does() {
        let c = catalogue();
        let [read, write, admin] =
            ["memory:read", "memory:write", "admin"].map(|n| c.parse([n]).expect("known"));
        assert!(c.satisfies(admin, read.union(write)));
        assert!(c.satisfies(read, read));
        assert!(!c.satisfies(read, write));
        assert!(!c.satisfies(read.union(write), admin));
        assert!(c.satisfies(ScopeSet::EMPTY, ScopeSet::EMPTY));
    }

    #[test]
    fn names_are_strict() {
        assert_eq!(
            catalogue().parse(["memory:read", "vault"]),
            Err(UnknownScope("vault".into()))
        );
        for wrong in ["", "a b", "a\"", "a\\", "ä"] {
            assert!(Catalogue::try_from(vec![wrong.to_owned()]).is_err(), "{wrong:?}");
        }
        assert!(Catalogue::try_from(vec!["a".to_owned(), "a".to_owned()]).is_err());
        assert!(Catalogue::try_from((0..65).map(|i| format!("s{i}")).collect::<Vec<_>>()).is_err());
    }

    #[test]
    fn the_last_bit_is_usable() {
        let c = Catalogue::try_from((0..64).map(|i| format!("s{i}")).collect::<Vec<_>>()).expect("64 fit");
        let set = c.parse(["s0", "s63"]).expect("known");
        assert_eq!(c.names(set), ["s0", "s63"]);
    }
}
