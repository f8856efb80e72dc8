//! An issuer's keys: where they are, and which of them are fit to be trusted.
//!
//! What it does not: keep anything. The one way out is the safe fetcher, which follows no redirect, reads no more than is admitted,
//! and reaches public addresses only.

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
};
use serde_json::{Map, Value};
use shared::crypto::{Algorithm, VerifyingKey};
use shared::jwks::{self, Admitted};
use shared::strict_json;
use url::Url;

use crate::clock::Clock;
use crate::config::{Config, is_fetchable};
use crate::http::fetch::{FetchError, Fetched, Fetcher};
use crate::http::limit::Limiter;

const HOUR: Duration = Duration::from_hours(1);

/// Looks for keys.
#[derive(Debug)]
pub struct Discovery {
    fetcher: Fetcher,
    loopback: bool,
    /// Issuers that somebody wants to trust, by organisation: those are URLs of their choice.
    pub(super) attempts: Limiter,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) uri: String,
    pub(super) keys: Admitted,
    /// How long it may be kept, as its server says.
    pub(super) fresh_seconds: u64,
}

impl Discovery {
    /// Nothing is fetched before somebody trusts an issuer.
    pub fn build(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let most = config.look_ups_per_hour().get().into();
        Ok(Self {
            fetcher: Fetcher::new(config.fetches_loopback())?,
            loopback: config.fetches_loopback(),
            attempts: Limiter::new("issuer_look_ups", most, HOUR, clock),
        })
    }

    /// The keys of an issuer, from where somebody said they are, or from where its own metadata says.
    pub(super) async fn look_up(
        &self,
        issuer: &str,
        jwks_uri: Option<&str>,
        algorithms: &[Algorithm],
    ) -> Result<Found, FetchError> {
        let uri = match jwks_uri {
            Some(uri) => uri.to_owned(),
            None => self.discover(issuer).await?,
        };
        let Fetched { body, fresh_seconds } = self.fetcher.json(&uri, jwks::MAX_BYTES).await?;
        let keys = jwks::admit(&body, algorithms, is_point)
            .map_err(|refused| FetchError::Content(refused.to_string()))?;
        Ok(Found {
            uri,
            keys,
            fresh_seconds,
        })
    }

    /// The `jwks_uri` of OpenID Connect Discovery, or of RFC 8414 where there is no such document.
    async fn discover(&self, issuer: &str) -> Result<String, FetchError> {
        let mut first = None;
        for document in documents(issuer) {
            match self.fetcher.json(&document, jwks::MAX_BYTES).await {
                Ok(fetched) => return self.keys_of(issuer, &fetched.body),
                // The first failure says more: it is the usual place.
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or(FetchError::Url))
    }

    /// OpenID Connect Discovery §4.3, RFC 8414 §3.3: the document says whose it is, byte for byte.
    fn keys_of(&self, issuer: &str, body: &[u8]) -> Result<String, FetchError> {
        let wrong = |problem: &str| FetchError::Content(problem.to_owned());
        let document: Map<String, Value> =
            strict_json::from_slice(body).map_err(|_| wrong("its metadata is not a JSON object"))?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(wrong("its metadata is another issuer's"));
        }
        let uri = document.get("jwks_uri").and_then(Value::as_str);
        uri.filter(|uri| uri.len() <= 2048 && is_fetchable(uri, self.loopback))
            .map(str::to_owned)
            .ok_or_else(|| wrong("its metadata has no jwks_uri that is an https URL"))
    }
}

/// Where an issuer's metadata may be: the path goes behind (OpenID Connect Discovery §4.1) or within (RFC 8414 §3.1).
fn documents(issuer: &str) -> Vec<String> {
    let base = issuer.trim_end_matches('/');
    let mut documents = vec![format!("{base}/.well-known/openid-configuration")];
    if let Ok(mut url) = Url::parse(base) {
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        documents.push(url.to_string());
    }
    documents
}

/// Whether an elliptic key's point is on its curve; other keys have none. An Ed25519 key is 32 bytes, any of which decode or fail
/// when a signature is checked.
fn is_point(key: &VerifyingKey) -> bool {
    let curve = match key.algorithm() {
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &ECDSA_P521_SHA512_FIXED,
        _ => return true,
    };
    // SEC 1 §2.3.3, uncompressed.
    let point = [&[4], key.material()].concat();
    ParsedPublicKey::new(curve, point).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_metadata_may_be() {
        assert_eq!(
            documents("https://idp.example/"),
            [
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server"
            ]
        );
        assert_eq!(
            documents("https://idp.example:8443/a/b"),
            [
                "https://idp.example:8443/a/b/.well-known/openid-configuration",
                "https://idp.example:8443/.well-known/oauth-authorization-server/a/b"
            ]
        );
    }

    #[test]
    fn a_point_is_on_its_curve() {
        // The generator of P-256, and the same with another y.
        let x = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
        let y = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
                .collect()
        };
        let key =
            |y: &[u8]| VerifyingKey::ecdsa(Algorithm::Es256, &[&bytes(x), y].concat()).expect("a length");
        assert!(is_point(&key(&bytes(y))));
        assert!(!is_point(&key(&[1; 32])));
        assert!(!is_point(&key(&[0; 32])));
        assert!(is_point(&VerifyingKey::ed25519([1; 32])));
    }
}
