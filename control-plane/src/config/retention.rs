//! `[retention]`: how long this installation keeps what it knows about people at most.

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// How long things are kept at most; organisations may choose less. Usage has its own: `usage.retention_days`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Network addresses, in the audit trail and with ended sessions. 0: for good.
    pub address_days: u64,
    /// Details of the audit trail. 0: for good.
    pub detail_days: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            address_days: 365,
            detail_days: 0,
        }
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    const MOST: u64 = 3660;
    for (key, days) in [
        ("retention.address_days", config.retention.address_days),
        ("retention.detail_days", config.retention.detail_days),
    ] {
        if days > MOST {
            return Err(ConfigError::Invalid {
                key,
                problem: format!("must be from 0 to {MOST}"),
            });
        }
    }
    Ok(())
}
