//! `[usage]`: how long what the edges counted is kept.

use serde::{Deserialize, Serialize};

use super::validate::positive;
use super::{Config, ConfigError};

/// How long what the edges counted is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// Hours and last uses that are older are forgotten.
    pub retention_days: u64,
    /// A window that was announced and has not come after so long is listed as incomplete.
    pub lost_after_seconds: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            retention_days: 400,
            lost_after_seconds: 30,
        }
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    positive(
        "usage.lost_after_seconds",
        config.usage.lost_after_seconds,
        86_400,
    )?;
    positive("usage.retention_days", config.usage.retention_days, 3660)
}
