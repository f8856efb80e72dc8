//! `[status_lists]`: how long others may go by a status list.

use serde::{Deserialize, Serialize};

use super::validate::positive;
use super::{Config, ConfigError};

/// How long others may go by a status list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusLists {
    /// After so long a verifier fetches a list anew: so much later than our edge it learns of a revocation.
    pub ttl_seconds: u64,
    /// After so long a verifier must not go by a list any more.
    pub expires_seconds: u64,
}

impl Default for StatusLists {
    fn default() -> Self {
        Self {
            ttl_seconds: 60,
            expires_seconds: 3600,
        }
    }
}

impl StatusLists {
    /// Longer than a list lives, nobody keeps it.
    pub fn effective_ttl_seconds(&self) -> u64 {
        self.ttl_seconds.min(self.expires_seconds)
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    const DAY: u64 = 86_400;
    let lists = &config.status_lists;
    positive("status_lists.expires_seconds", lists.expires_seconds, DAY)?;
    positive("status_lists.ttl_seconds", lists.ttl_seconds, DAY)
}
