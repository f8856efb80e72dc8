//! `[[identity_providers]]`: the identity providers of organisations, whose assertions become access tokens (ID-JAG).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::id::OrgId;
use url::{Host, Url};

use super::{Config, ConfigError};

/// What an assertion may be signed with, by the names of JOSE.
pub(super) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];

/// An identity provider that one organisation trusts for its own members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// Its issuer identifier, byte for byte as in `iss`.
    pub issuer: String,
    /// The organisation.
    pub org: OrgId,
    /// Where its keys are; without it, where its OpenID discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// What it signs with.
    #[serde(default = "all")]
    pub algorithms: Vec<String>,
}

pub(super) fn all() -> Vec<String> {
    ALGORITHMS.map(str::to_owned).to_vec()
}

/// An issuer speaks for one organisation, and never for itself: it is not us.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let invalid = |problem: String| ConfigError::Invalid {
        key: "identity_providers",
        problem,
    };
    let mut issuers = BTreeSet::new();
    for provider in &config.identity_providers {
        let issuer = &provider.issuer;
        if !issuers.insert(issuer.trim_end_matches('/')) {
            return Err(invalid(format!(
                "the issuer {issuer:?} is listed twice: it speaks for one organisation"
            )));
        }
        if issuer.trim_end_matches('/') == config.issuer {
            return Err(invalid(
                "this server's own issuer is not an identity provider".to_owned(),
            ));
        }
        for url in [Some(issuer), provider.jwks_uri.as_ref()].into_iter().flatten() {
            if !is_fetchable(url, config.fetches_loopback()) {
                return Err(invalid(format!(
                    "{url:?} must be an https URL without a fragment"
                )));
            }
        }
        if issuer.contains('?') {
            return Err(invalid(format!("{issuer:?} must not have a query")));
        }
        let known = |name: &String| ALGORITHMS.contains(&name.as_str());
        if provider.algorithms.is_empty() || !provider.algorithms.iter().all(known) {
            return Err(invalid(format!(
                "algorithms of {issuer:?}: list some of RS256, PS256, ES256, EdDSA, Ed25519"
            )));
        }
    }
    Ok(())
}

/// Whether a text is an https URL without fragment or user; `loopback`: or an http one of this machine.
pub(crate) fn is_fetchable(text: &str, loopback: bool) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && local && loopback);
    scheme && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
}
