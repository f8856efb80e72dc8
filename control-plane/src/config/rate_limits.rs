//! `[rate_limits]`: how often the endpoints of programs may be called, and a client may fail to prove who it is.

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, validate};

/// How often the endpoints of programs may be called. Without a value the strict default; in `dev` far more than a test
/// suite does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Requests of one address (IPv6: one /64) to one endpoint in a minute; without it 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_address: Option<u64>,
    /// Calls of `/v1` with one credential in a minute; without it 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_credential: Option<u64>,
    /// Requests of one confidential client in a minute; without it 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_client: Option<u64>,
    /// Failed authentications as one client from one address in 15 minutes; without it 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_client: Option<u64>,
    /// Failed authentications as any client from one address in 15 minutes; without it 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_address: Option<u64>,
}

/// What is in force.
#[derive(Clone, Copy, Debug)]
pub struct EffectiveRateLimits {
    /// A minute, to one endpoint.
    pub requests_per_address: u64,
    /// A minute, of `/v1`.
    pub calls_per_credential: u64,
    /// A minute.
    pub requests_per_client: u64,
    /// In 15 minutes, from one address.
    pub failures_per_client: u64,
    /// In 15 minutes.
    pub failures_per_address: u64,
}

impl Config {
    /// The limits that are in force.
    pub fn effective_rate_limits(&self) -> EffectiveRateLimits {
        let value = |set: Option<u64>, strict| set.unwrap_or(if self.dev { 1_000_000 } else { strict });
        let set = &self.rate_limits;
        EffectiveRateLimits {
            requests_per_address: value(set.requests_per_address, 600),
            calls_per_credential: value(set.calls_per_credential, 600),
            requests_per_client: value(set.requests_per_client, 600),
            failures_per_client: value(set.failures_per_client, 10),
            failures_per_address: value(set.failures_per_address, 50),
        }
    }
}

/// A limit of zero would shut everybody out.
pub(super) fn validate_rate_limits(config: &Config) -> Result<(), ConfigError> {
    const MOST: u64 = 1_000_000;
    let limits = config.effective_rate_limits();
    let all = [
        ("rate_limits.requests_per_address", limits.requests_per_address),
        ("rate_limits.calls_per_credential", limits.calls_per_credential),
        ("rate_limits.requests_per_client", limits.requests_per_client),
        ("rate_limits.failures_per_client", limits.failures_per_client),
        ("rate_limits.failures_per_address", limits.failures_per_address),
    ];
    all.into_iter()
        .try_for_each(|(key, value)| validate::positive(key, value, MOST))
}
