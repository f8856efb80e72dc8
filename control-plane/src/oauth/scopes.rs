//! What a request asks for: scopes of the catalogue, which APIs check, and those of OpenID Connect, which say what a client
//! may learn about the person. The latter have no bit in the catalogue and mean nothing at the edge.

use shared::scope::{Catalogue, ScopeSet};

/// A set of OpenID Connect scopes (Core §5.4, §11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity(u8);

impl Identity {
    /// Everything that can be asked for, in the order of the bits.
    pub const NAMES: [&str; 4] = ["openid", "profile", "email", "offline_access"];
    const OPENID: u8 = 1;
    const PROFILE: u8 = 2;
    const EMAIL: u8 = 4;

    /// The set with these bits; bits without a name are dropped.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0b1111)
    }

    /// As stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether an id_token is wanted.
    pub fn has_openid(self) -> bool {
        self.0 & Self::OPENID != 0
    }

    /// Whether the name may be told.
    pub fn has_profile(self) -> bool {
        self.0 & Self::PROFILE != 0
    }

    /// Whether the e-mail address may be told.
    pub fn has_email(self) -> bool {
        self.0 & Self::EMAIL != 0
    }

    /// Those in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every scope of `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The names in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let bits = self.0;
        Self::NAMES
            .into_iter()
            .zip(0u32..)
            .filter(move |(_, position)| bits >> position & 1 == 1)
            .map(|(name, _)| name)
    }
}

/// The scopes of one request or grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Of the catalogue.
    pub scopes: ScopeSet,
    /// Of OpenID Connect.
    pub identity: Identity,
}

impl Asked {
    /// Reads a `scope` parameter (RFC 6749 §3.3); `None` if a name is unknown or malformed.
    pub fn parse(text: &str, catalogue: &Catalogue) -> Option<Self> {
        let mut asked = Self::default();
        for name in text.split(' ') {
            match Identity::NAMES
                .iter()
                .zip(0u32..)
                .find(|(known, _)| **known == name)
            {
                Some((_, position)) => asked.identity.0 |= 1 << position,
                None => asked.scopes = asked.scopes.union(catalogue.parse([name]).ok()?),
            }
        }
        Some(asked)
    }

    /// What is in both.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            scopes: self.scopes.intersection(other.scopes),
            identity: self.identity.intersection(other.identity),
        }
    }

    /// Nothing at all.
    pub fn is_empty(self) -> bool {
        self.scopes.is_empty() && self.identity.0 == 0
    }

    /// The names of all, those of OpenID Connect first.
    pub fn names(self, catalogue: &Catalogue) -> Vec<&str> {
        let mut names: Vec<&str> = self.identity.names().collect();
        names.extend(catalogue.names(self.scopes));
        names
    }

    /// As one space-separated string.
    pub fn join(self, catalogue: &Catalogue) -> String {
        self.names(catalogue).join(" ")
    }
}

/// What a scope lets a client do, for the consent page.
pub fn in_words(name: &str) -> String {
    let words = match name {
        "openid" => "Know who you are here",
        "profile" => "See your name",
        "email" => "See your e-mail address",
        "offline_access" => "Stay connected when you are not there",
        "memory:read" => "Read what is stored in memory",
        "memory:write" => "Add to memory and change it",
        "memory:delete" => "Delete from memory",
        "vault:manage" => "Manage the vault",
        "workspace:manage" => "Manage workspaces",
        "admin" => "Do everything that you may do, administration included",
        other => return format!("Use “{other}”"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_in_one_parameter() {
        let catalogue =
            Catalogue::try_from(vec!["memory:read".to_owned(), "admin".to_owned()]).expect("valid");
        let asked = Asked::parse("memory:read openid email", &catalogue).expect("known");
        assert!(asked.identity.has_openid() && asked.identity.has_email() && !asked.identity.has_profile());
        assert_eq!(asked.join(&catalogue), "openid email memory:read");
        assert_eq!(Identity::from_bits(asked.identity.bits()), asked.identity);
        for wrong in ["", " ", "memory:read ", "nonsense", "openid  email", "OPENID"] {
            assert_eq!(Asked::parse(wrong, &catalogue), None, "{wrong:?}");
        }
    }
}
