//! What a gate is made of: what it trusts, and what it accepts. From JSON, strictly: an unknown member is an error (I12).

use serde::Deserialize;
use shared::crypto::{Algorithm, VerifyingKey, from_base64url};
use shared::dpop;
use shared::feed::Trust;
use shared::key::Environment;

use crate::validator::Deployment;

/// Why a configuration cannot be used: one sentence that names the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// As written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Raw {
    issuer: String,
    resource: String,
    root_key: String,
    feed_id: String,
    #[serde(default = "brand")]
    brand: String,
    #[serde(default = "environments")]
    environments: Vec<String>,
    #[serde(default)]
    public_origins: Vec<String>,
}

fn brand() -> String {
    "pc".into()
}

fn environments() -> Vec<String> {
    vec!["live".into()]
}

/// What a gate trusts and accepts.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) resource: String,
    pub(super) trust: Trust,
    pub(super) deployment: Deployment,
    /// That of `resource` first.
    public_origins: Vec<String>,
}

impl Config {
    /// Reads a configuration; the error names the first member that is missing or wrong.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let wrong = |member: &str, expected: &str| ConfigError(format!("{member}: {expected}"));
        let raw: Raw = serde_json::from_str(json).map_err(|error| ConfigError(error.to_string()))?;
        let (root, other_root) = roots(&raw.root_key).ok_or_else(|| {
            wrong(
                "rootKey",
                "expected base64url of 32 bytes, or two of them with a comma between",
            )
        })?;
        let feed = raw
            .feed_id
            .parse()
            .map_err(|_| wrong("feedId", "expected 32 lower-case hex digits"))?;
        let environments: Vec<Environment> = raw
            .environments
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| wrong("environments", "expected some of live, test, dev"))?;
        if raw.issuer.is_empty() || raw.resource.is_empty() {
            return Err(wrong("issuer, resource", "expected their exact identifiers"));
        }
        // A resource identifier need not be a URL: then it names no origin, and no proof can.
        let mut public_origins = vec![dpop::origin(&raw.resource).unwrap_or_default()];
        for origin in &raw.public_origins {
            let known = dpop::origin(origin);
            public_origins
                .push(known.ok_or_else(|| wrong("publicOrigins", "expected http(s)://host[:port]"))?);
        }
        Ok(Self {
            trust: Trust {
                feed,
                root,
                other_root,
            },
            deployment: Deployment {
                brand: raw.brand,
                environments,
                issuer: raw.issuer,
            },
            resource: raw.resource,
            public_origins,
        })
    }

    /// The origin that a caller who addressed this `host[:port]` means: ours under that name, or else that of the resource. What
    /// the Host header says is never taken on trust, or a proof that was made for another server would do here too.
    pub(super) fn public_origin(&self, authority: &str) -> &str {
        let is_it = |origin: &&String| {
            let scheme = origin.split("://").next().unwrap_or_default();
            dpop::origin(&format!("{scheme}://{authority}")).as_ref() == Some(*origin)
        };
        let others = self.public_origins.get(1..).unwrap_or_default();
        let found = others.iter().find(is_it);
        found.or(self.public_origins.first()).map_or("", String::as_str)
    }
}

/// One root, or two.
fn roots(text: &str) -> Option<(VerifyingKey, Option<VerifyingKey>)> {
    let key = |text: &str| {
        let bytes = from_base64url(text.trim())?.try_into().ok()?;
        Some(VerifyingKey::ed25519(bytes))
    };
    match text.split_once(',') {
        None => Some((key(text)?, None)),
        Some((root, other)) => Some((key(root)?, Some(key(other)?))),
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    alg: Option<String>,
}

/// The Ed25519 keys of a JWKS (RFC 8037); others are none that a gate signs with.
pub(super) fn assertion_keys(jwks: &str) -> Vec<VerifyingKey> {
    let Ok(jwks) = serde_json::from_str::<Jwks>(jwks) else {
        return Vec::new();
    };
    let is_ed25519 = |key: &Jwk| {
        let alg = key.alg.as_deref();
        key.kty == "OKP"
            && key.crv.as_deref() == Some("Ed25519")
            && alg.is_none_or(|alg| Algorithm::from_jose(alg) == Some(Algorithm::Ed25519))
    };
    let keys = jwks.keys.into_iter().take(16);
    keys.filter(is_ed25519)
        .filter_map(|key| from_base64url(&key.x?)?.try_into().ok())
        .map(VerifyingKey::ed25519)
        .collect()
}
