//! Typed identifiers. Each is a number below 2^53 with one public text: a prefix and nine base62 digits, `org_00000001Z`.
//!
//! Below 2^53 because JavaScript numbers and a Durable Object's SQL round anything larger without a word. Ids are drawn
//! at random below 2^32 where they travel inside an API key, so that the key stays short.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base62;

/// The first number that is not an id: 2^53.
pub const LIMIT: u64 = 1 << 53;
const WIDTH: usize = 9;

/// A text or number that is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of the form {prefix}_ followed by nine letters or digits")]
pub struct InvalidId {
    /// The prefix that was expected, without the underscore.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The id with this number, unless it is 2^53 or more.
            pub fn from_u64(number: u64) -> Option<Self> {
                (number < LIMIT).then_some(Self(number))
            }

            /// The number behind the text.
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = base62::encode_fixed(self.0, WIDTH).ok_or(fmt::Error)?;
                write!(f, concat!($prefix, "_{}"), digits)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|digits| digits.len() == WIDTH)
                    .and_then(base62::decode_fixed)
                    .and_then(Self::from_u64)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// An organisation: the tenant that owns everything else.
    OrgId = "org";
    /// A person.
    UserId = "usr";
    /// A workspace within an organisation.
    WorkspaceId = "ws";
    /// An API key. Its number is the key's status index.
    KeyId = "key";
    /// An OAuth client.
    ClientId = "cli";
    /// What a person agreed to for a client: a family of tokens.
    GrantId = "grt";
    /// A service account.
    ServiceId = "svc";
    /// An audit event.
    AuditId = "aud";
    /// A sign-in session: `sid` in the tokens that were issued from it.
    SessionId = "ses";
    /// An invitation into an organisation.
    InvitationId = "inv";
    /// A revocation of more than one credential.
    RevocationId = "rev";
    /// Another issuer that an organisation trusts.
    IssuerId = "iss";
    /// A webhook: where an organisation hears of changes.
    WebhookId = "whk";
    /// A message to a webhook.
    MessageId = "msg";
}

/// A position in the status lists: one per API key and one per OAuth grant (DESIGN: status index).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StatusIndex(u64);

impl StatusIndex {
    /// Indexes per status list: 2^20.
    pub const LIST_LENGTH: u64 = 1 << 20;

    /// The index with this number, unless it is 2^53 or more.
    pub fn from_u64(number: u64) -> Option<Self> {
        (number < LIMIT).then_some(Self(number))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number of the status list that holds this index.
    pub fn list(self) -> u64 {
        self.0 / Self::LIST_LENGTH
    }
}

impl<'de> Deserialize<'de> for StatusIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::from_u64(number).ok_or_else(|| serde::de::Error::custom("a status index is below 2^53"))
    }
}

impl From<KeyId> for StatusIndex {
    fn from(id: KeyId) -> Self {
        Self(id.get())
    }
}

impl From<StatusIndex> for KeyId {
    fn from(index: StatusIndex) -> Self {
        Self(index.get())
    }
}

/// One of our own signing keys, numbered from 1; its JWT `kid` is `k1`, `k2`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigningKeyId(u64);

impl SigningKeyId {
    /// The signing key with this number: 1 or more, below 2^53.
    pub fn from_u64(number: u64) -> Option<Self> {
        (1..LIMIT).contains(&number).then_some(Self(number))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The text used as `kid` (RFC 7515 §4.1.4).
    pub fn kid(self) -> String {
        format!("k{}", self.0)
    }
}

impl fmt::Display for SigningKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

impl FromStr for SigningKeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { prefix: "k" };
        let digits = text.strip_prefix('k').ok_or(invalid)?;
        // One text per key: no sign, no leading zero.
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid);
        }
        digits.parse().ok().and_then(Self::from_u64).ok_or(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let id = OrgId::from_u64(61).expect("small");
        assert_eq!(id.to_string(), "org_00000000z");
        assert_eq!("org_00000000z".parse(), Ok(id));
        for wrong in [
            "usr_00000000z",
            "org_z",
            "org_0000000000z",
            "org_00000000_",
            "org_zzzzzzzzz",
            "",
        ] {
            assert!(wrong.parse::<OrgId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_kid_has_one_text() {
        assert_eq!("k12".parse().map(SigningKeyId::get), Ok(12));
        for wrong in ["k0", "k012", "k+1", "12", "k", "k9007199254740992"] {
            assert!(wrong.parse::<SigningKeyId>().is_err(), "{wrong}");
        }
    }
}
