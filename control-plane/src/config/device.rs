//! Devices without a browser (RFC 8628).

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, validate};

/// Devices without a browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// How long a code waits for a person.
    pub code_seconds: u64,
    /// How long a device waits between two questions.
    pub interval_seconds: u64,
    /// Wrong codes that one person may type in a window of `sign_in`; without it 10, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guesses_per_user: Option<u64>,
    /// Wrong codes from one address (IPv6: one /64) in such a window; without it 50, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guesses_per_address: Option<u64>,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            code_seconds: 600,
            interval_seconds: 5,
            guesses_per_user: None,
            guesses_per_address: None,
        }
    }
}

impl Config {
    /// Wrong codes that one person may type in a window.
    pub fn device_guesses_per_user(&self) -> u64 {
        self.device
            .guesses_per_user
            .unwrap_or(if self.dev { 100_000 } else { 10 })
    }

    /// Wrong codes from one address in a window.
    pub fn device_guesses_per_address(&self) -> u64 {
        self.device
            .guesses_per_address
            .unwrap_or(if self.dev { 100_000 } else { 50 })
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    validate::positive("device.code_seconds", config.device.code_seconds, 3600)?;
    validate::positive("device.interval_seconds", config.device.interval_seconds, 60)?;
    let most = 1_000_000;
    validate::positive("device.guesses_per_user", config.device_guesses_per_user(), most)?;
    validate::positive(
        "device.guesses_per_address",
        config.device_guesses_per_address(),
        most,
    )
}
