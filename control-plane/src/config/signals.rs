//! `[leaks]`: what a secret scanner may tell us. `[[signal_transmitters]]`: whose security events an organisation goes by.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::id::OrgId;

use super::identity_providers::{ALGORITHMS, all, is_fetchable};
use super::{Config, ConfigError};

/// What a secret scanner may tell us.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leaks {
    /// Whether `/v1/signals/leaks` is there.
    pub enabled: bool,
    /// Where the scanner's public keys are.
    pub keys_url: String,
    /// What becomes of an API key that was found.
    pub action: LeakAction,
}

/// What becomes of an API key that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeakAction {
    /// It is dead, with its line of rotations.
    Revoke,
    /// It and its line can only read, until somebody has looked.
    Quarantine,
}

impl Default for Leaks {
    fn default() -> Self {
        Self {
            enabled: false,
            keys_url: "https://api.github.com/meta/public_keys/secret_scanning".to_owned(),
            action: LeakAction::Revoke,
        }
    }
}

/// Somebody whose security events (OpenID Shared Signals) count for the members of one organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalTransmitter {
    /// Its issuer identifier, byte for byte as in `iss`.
    pub issuer: String,
    /// The organisation.
    pub org: OrgId,
    /// Where its keys are; without it, where its transmitter metadata says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// What its events must have in `aud`; without it, our issuer identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What it signs with.
    #[serde(default = "all")]
    pub algorithms: Vec<String>,
}

/// A transmitter speaks for one organisation, and is not us.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let invalid = |key, problem: String| ConfigError::Invalid { key, problem };
    let loopback = config.fetches_loopback();
    if !is_fetchable(&config.leaks.keys_url, loopback) {
        let problem = "must be an https URL without a fragment".to_owned();
        return Err(invalid("leaks.keys_url", problem));
    }
    let key = "signal_transmitters";
    let mut issuers = BTreeSet::new();
    for transmitter in &config.signal_transmitters {
        let issuer = &transmitter.issuer;
        if !issuers.insert(issuer.trim_end_matches('/')) {
            let problem = format!("the issuer {issuer:?} is listed twice: it speaks for one organisation");
            return Err(invalid(key, problem));
        }
        if issuer.trim_end_matches('/') == config.issuer {
            return Err(invalid(
                key,
                "this server's own issuer sends it no signals".to_owned(),
            ));
        }
        for url in [Some(issuer), transmitter.jwks_uri.as_ref()]
            .into_iter()
            .flatten()
        {
            if !is_fetchable(url, loopback) {
                return Err(invalid(
                    key,
                    format!("{url:?} must be an https URL without a fragment"),
                ));
            }
        }
        if issuer.contains('?') || transmitter.audience.as_ref().is_some_and(String::is_empty) {
            let problem = format!("{issuer:?}: the issuer has no query, and an audience is not empty");
            return Err(invalid(key, problem));
        }
        let known = |name: &String| ALGORITHMS.contains(&name.as_str());
        if transmitter.algorithms.is_empty() || !transmitter.algorithms.iter().all(known) {
            let problem = format!("algorithms of {issuer:?}: list some of {}", ALGORITHMS.join(", "));
            return Err(invalid(key, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: fn(&mut SignalTransmitter)) -> String {
        let mut transmitter = SignalTransmitter {
            issuer: "https://idp.example".to_owned(),
            org: OrgId::from_u64(1).expect("small"),
            jwks_uri: Some("https://idp.example/jwks".to_owned()),
            audience: None,
            algorithms: all(),
        };
        change(&mut transmitter);
        let config = Config {
            signal_transmitters: vec![transmitter],
            ..Config::default()
        };
        validate(&config)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(refused(|_| {}), "");
        assert_eq!(refused(|one| one.audience = Some("x".to_owned())), "");
        assert!(refused(|one| one.issuer = "http://idp.example".to_owned()).contains("https"));
        assert!(refused(|one| one.issuer = "https://idp.example?x".to_owned()).contains("query"));
        assert!(refused(|one| one.issuer = "http://127.0.0.1:7070".to_owned()).contains("own issuer"));
        assert!(refused(|one| one.jwks_uri = Some("http://127.0.0.1/".to_owned())).contains("https"));
        assert!(refused(|one| one.audience = Some(String::new())).contains("audience"));
        assert!(refused(|one| one.algorithms = vec!["HS256".to_owned()]).contains("algorithms"));
        assert!(refused(|one| one.algorithms.clear()).contains("algorithms"));
        let mut config = Config::default();
        config.leaks.keys_url = "http://api.github.com/x".to_owned();
        assert!(
            validate(&config)
                .expect_err("http")
                .to_string()
                .contains("leaks.keys_url")
        );
    }
}
