//! Our own signing keys: how they come to be, sign, are replaced, and end; and the status indexes that they hand out.
//!
//! | purpose | kind | signs |
//! | --- | --- | --- |
//! | `root` | Ed25519 | certificates of feed keys, and every key that enters the feed; pinned by the edge |
//! | `feed` | Ed25519 | frames, snapshots, heartbeats, under a certificate for one epoch |
//! | `api_key` | Ed25519 | API keys |
//! | `access_token` | RSA-2048, `RS256` | access tokens |
//!
//! A key's life: **pending** (announced to the edge and in the JWKS, not signing yet) → **active** (signs; one per
//! purpose) → **retired** (signs no more, its signatures count) → **removed** (they do not).
//!
//! What it does not: check credentials (the edge does), or send anything (`revocation` does).

mod index;
mod master;
mod private;
mod replace_master;
mod ring;
mod root;
mod rotate;
mod start;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use shared::feed::IssuingPurpose;
use shared::id::SigningKeyId;

use crate::error::{ApiError, Code};
use crate::random::RandomError;
use crate::store::StoreError;

pub(crate) use index::ensure_blocks;
pub use index::{draw_index, prune_indexes, retire_blocks};
pub use master::{MasterKey, MasterKeyError};
pub use private::{PrivateKey, PrivateKeyError};
pub use replace_master::{
    MasterReplaced, MasterReplacement, Renewed, new_master, replace_master, settle_master, start_over,
};
pub use ring::{Keyring, SigningKey};
pub use root::{announce_root, pending_root, switch_root};
pub use rotate::{Readiness, Replaced, advance, replace_compromised, rotate};
pub use start::initialise;
pub(crate) use start::{CERTIFICATE_SECONDS, certificate, certify, ensure_signers, feed_id};

/// What a key is for. One key per purpose, one purpose per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Vouches for the others.
    Root,
    /// Speaks to the edge.
    Feed,
    /// Issues API keys.
    ApiKey,
    /// Issues access tokens.
    AccessToken,
}

impl Purpose {
    /// The purposes whose keys own index blocks.
    pub const ISSUING: [Self; 2] = [Self::ApiKey, Self::AccessToken];
    const ALL: [Self; 4] = [Self::Root, Self::Feed, Self::ApiKey, Self::AccessToken];

    /// The word in the database, the command line and the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Feed => "feed",
            Self::ApiKey => "api_key",
            Self::AccessToken => "access_token",
        }
    }

    /// The purpose as the feed names it, for those that issue credentials.
    pub fn issuing(self) -> Option<IssuingPurpose> {
        match self {
            Self::ApiKey => Some(IssuingPurpose::ApiKey),
            Self::AccessToken => Some(IssuingPurpose::AccessToken),
            Self::Root | Self::Feed => None,
        }
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
            .ok_or(())
    }
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Announced, does not sign yet.
    Pending,
    /// Signs.
    Active,
    /// Signs no more; what it signed counts.
    Retired,
    /// What it signed does not count.
    Removed,
}

impl KeyState {
    /// The word in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Removed => "removed",
        }
    }
}

impl FromStr for KeyState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Pending, Self::Active, Self::Retired, Self::Removed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// Why something could not be signed or set up.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key.
    #[error(transparent)]
    Master(#[from] MasterKeyError),
    /// A private key.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// This database has no feed and no keys yet.
    #[error("this database is not set up: run `portcullis migrate` first")]
    NotInitialised,
    /// No key signs for this purpose.
    #[error("no active signing key for {0}")]
    NoSigner(Purpose),
    /// No such key.
    #[error("there is no signing key {0}")]
    UnknownKey(SigningKeyId),
    /// Its private half was destroyed, or never was here.
    #[error("the private half of signing key {0} is destroyed")]
    NoPrivateHalf(SigningKeyId),
    /// A rotation of this purpose is under way.
    #[error("signing key {0} is still pending: wait until every edge has acknowledged it")]
    RotationPending(SigningKeyId),
    /// Only what signs credentials is removed with what it signed.
    #[error(
        "a {0} key signs no credentials: rotate it without `--compromised`, the new one takes over at once"
    )]
    SignsNoCredentials(Purpose),
    /// The root is pinned in the edge's configuration.
    #[error(
        "the edge pins the root key in its configuration: it is replaced by `portcullis feed rotate-root`"
    )]
    RootIsPinned,
    /// Another catalogue than the one that issued keys were made under.
    #[error(
        "the policy's scopes must begin with those published before, in the same order, because issued keys hold their \
         places: place {place} was `{was}` and is {is} now"
    )]
    ScopesMoved {
        /// The first place that differs, from 1.
        place: usize,
        /// The published name.
        was: String,
        /// The name there now, quoted, or "nothing".
        is: String,
    },
    /// Every announced index block is used up or not yet acknowledged.
    #[error("no status index for {0}: the edge has not acknowledged the next block yet")]
    NoIndex(Purpose),
    /// Claims that do not serialise.
    #[error("the claims of a token could not be written")]
    Claims,
    /// A task was cancelled under us.
    #[error("the process is shutting down")]
    Interrupted,
}

impl From<SigningError> for ApiError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Store(error) => error.into(),
            SigningError::NoIndex(_) => Self::new(
                Code::Busy,
                "the edge has not acknowledged new status indexes yet; try again",
            )
            .retry_after(1),
            error => Self::internal(error),
        }
    }
}
