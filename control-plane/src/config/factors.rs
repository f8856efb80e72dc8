//! Second factors: how often somebody may try one, and how recent a sign-in must be to change them.

use serde::{Deserialize, Serialize};

use super::Config;

/// Second factors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Factors {
    /// Attempts are counted for so long; then the count starts again.
    pub window_seconds: u64,
    /// Wrong codes for one account in a window; without it 5, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_account: Option<u64>,
    /// Wrong codes and passkeys from one address (IPv6: one /64) in a window; without it 20, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_address: Option<u64>,
    /// How long after a sign-in its user may change the way they sign in without another one.
    pub recent_seconds: u64,
}

impl Default for Factors {
    fn default() -> Self {
        Self {
            window_seconds: 900,
            failures_per_account: None,
            failures_per_address: None,
            recent_seconds: 600,
        }
    }
}

impl Config {
    /// Wrong codes for one account in a window.
    pub fn factor_failures_per_account(&self) -> u64 {
        self.factors
            .failures_per_account
            .unwrap_or(if self.dev { 100_000 } else { 5 })
    }

    /// Wrong codes and passkeys from one address in a window.
    pub fn factor_failures_per_address(&self) -> u64 {
        self.factors
            .failures_per_address
            .unwrap_or(if self.dev { 100_000 } else { 20 })
    }
}
