//! `[issuers]`: how often the keys of other issuers are looked for, and how long those that are known count.

use serde::{Deserialize, Serialize};

use super::validate::positive;
use super::{Config, ConfigError};

/// How often the keys of other issuers are looked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Issuers {
    /// Whatever a server says, its answer is believed for so long.
    pub refresh_least_seconds: u64,
    /// And never for longer, unless the least is more: so long a key may be trusted that its issuer has taken back.
    pub refresh_most_seconds: u64,
    /// An issuer that could not be read for so long has no keys any more.
    pub stale_seconds: u64,
    /// Between two look-ups that somebody asks for.
    pub cool_down_seconds: u64,
}

impl Default for Issuers {
    fn default() -> Self {
        Self {
            refresh_least_seconds: 60,
            refresh_most_seconds: 900,
            stale_seconds: 86_400,
            cool_down_seconds: 30,
        }
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    const DAY: u64 = 86_400;
    let issuers = &config.issuers;
    positive(
        "issuers.refresh_least_seconds",
        issuers.refresh_least_seconds,
        DAY,
    )?;
    positive("issuers.refresh_most_seconds", issuers.refresh_most_seconds, DAY)?;
    positive("issuers.stale_seconds", issuers.stale_seconds, 30 * DAY)?;
    positive("issuers.cool_down_seconds", issuers.cool_down_seconds, DAY)
}
