//! An Identity Assertion JWT (draft-ietf-oauth-identity-assertion-authz-grant): an organisation's identity provider says that
//! one of its people may use a client here.
//!
//! What it does: read one strictly and check what it says. What it does not: find keys (`providers` does), look anybody up, or
//! remember what was taken (`jwt_bearer` does, with [`IdentityAssertion::digest`]).

use serde::Deserialize;
use serde_json::Value;
use shared::crypto::{Algorithm, sha256};
use shared::jwk::Thumbprint;
use shared::time::UnixSeconds;

use super::compact::{self, Compact};
use super::error::{ErrorCode, OAuthError};
use crate::config::IdentityProvider;

const TYPE: &str = "oauth-id-jag+jwt";
/// One lives at most so long: for so long its `jti` is remembered.
const MAX_LIFE_SECONDS: u64 = 300;
/// A provider's clock may be ahead by so much.
pub(super) const SKEW_SECONDS: u64 = 60;
const MAX_TEXT: usize = 256;

/// Why an assertion does not count, in one sentence for the client's developer. Who is a member of what cannot be told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Not three parts of strict base64url, too long, or a header that changes how the text is read.
    #[error("the assertion is not a compact JWS with a strict header and claims")]
    Shape,
    /// Another kind of token (RFC 8725 §3.11).
    #[error("the assertion's typ must be oauth-id-jag+jwt")]
    Type,
    /// Nobody here trusts who signed it.
    #[error("the assertion's iss is not an identity provider that is trusted here")]
    Issuer,
    /// None of the provider's.
    #[error("the assertion's algorithm is refused for its issuer")]
    Algorithm,
    /// A claim is missing or malformed.
    #[error(
        "the assertion needs iss, sub, aud, client_id, resource, email, exp, iat and jti; email_verified must not be false"
    )]
    Claims,
    /// `aud` is anything else than the issuer identifier.
    #[error("the assertion's aud must be this server's issuer identifier, as a single string")]
    Audience,
    /// It was made for another client.
    #[error("the assertion's client_id is not that of the client that presents it")]
    Client,
    /// `resource` is none of ours.
    #[error("the assertion's resource is not one that this server knows")]
    Resource,
    /// It is bound to a key.
    #[error("the assertion is bound to a key: send a DPoP proof by it")]
    Key,
    /// Expired, not yet valid, or valid for too long.
    #[error("the assertion is expired, from the future, or valid for more than five minutes")]
    Time,
    /// No key of the provider's verifies it.
    #[error("no key of its issuer has signed the assertion")]
    Signature,
    /// It is from before its issuer was revoked.
    #[error("the assertion is from before its issuer's assertions were revoked: get a new one in a minute")]
    Superseded,
    /// It was taken before.
    #[error("the assertion was used before: each has its own jti")]
    Replay,
    /// One sentence for an unknown, a suspended and another organisation's person.
    #[error("the assertion does not name an active member of its issuer's organisation")]
    Person,
}

impl From<Refused> for OAuthError {
    fn from(refused: Refused) -> Self {
        Self::new(ErrorCode::InvalidGrant, refused.to_string())
    }
}

/// What an assertion says.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Value,
    client_id: String,
    pub(super) resource: String,
    pub(super) email: String,
    #[serde(default)]
    email_verified: Option<Value>,
    /// The most that the token may have.
    #[serde(default)]
    pub(super) scope: Option<String>,
    pub(super) jti: String,
    exp: f64,
    iat: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    cnf: Option<Value>,
}

/// An assertion that could be read. Nothing about it has been verified.
pub(super) struct IdentityAssertion<'a> {
    jws: Compact<'a>,
    pub(super) claims: Claims,
}

/// Reads an assertion.
pub(super) fn parse(text: &str) -> Result<IdentityAssertion<'_>, Refused> {
    let jws = compact::read(text).ok_or(Refused::Shape)?;
    if jws.typ != TYPE {
        return Err(Refused::Type);
    }
    let claims = Value::Object(jws.claims.clone());
    let claims: Claims = serde_json::from_value(claims).map_err(|_| Refused::Claims)?;
    let texts = [&claims.sub, &claims.jti, &claims.email];
    if texts.iter().any(|text| text.is_empty() || text.len() > MAX_TEXT)
        || claims
            .email_verified
            .as_ref()
            .is_some_and(|verified| *verified != true)
    {
        return Err(Refused::Claims);
    }
    Ok(IdentityAssertion { jws, claims })
}

impl IdentityAssertion<'_> {
    /// Checks the header and the claims: by this provider, for us, for this client, now.
    pub(super) fn check(
        &self,
        provider: &IdentityProvider,
        issuer: &str,
        client_id: &str,
        now: UnixSeconds,
    ) -> Result<(), Refused> {
        let claims = &self.claims;
        let mut allowed = provider
            .algorithms
            .iter()
            .filter_map(|name| Algorithm::from_jose(name));
        if !allowed.any(|algorithm| algorithm == self.jws.algorithm) {
            return Err(Refused::Algorithm);
        }
        if claims.iss != provider.issuer {
            return Err(Refused::Issuer);
        }
        if claims.aud.as_str() != Some(issuer) {
            return Err(Refused::Audience);
        }
        if claims.client_id != client_id {
            return Err(Refused::Client);
        }
        let ahead = seconds(now.saturating_add(SKEW_SECONDS));
        let life = claims.exp - claims.iat;
        let lives = claims.exp > seconds(now) && life > 0.0 && life <= seconds(UnixSeconds(MAX_LIFE_SECONDS));
        if !lives || claims.iat > ahead || claims.nbf.is_some_and(|at| at > ahead) {
            return Err(Refused::Time);
        }
        Ok(())
    }

    /// One that is bound to a key counts beside a proof by that key only.
    pub(super) fn check_holder(&self, key: Option<Thumbprint>) -> Result<(), Refused> {
        let Some(cnf) = &self.claims.cnf else {
            return Ok(());
        };
        let bound_to = cnf["jkt"].as_str().and_then(|text| text.parse().ok());
        if bound_to.is_none() || bound_to != key {
            return Err(Refused::Key);
        }
        Ok(())
    }

    /// Whether a key of this JWK Set has signed it.
    pub(super) fn verify(&self, set: &Value) -> Result<(), Refused> {
        if self.jws.is_signed_by(set) {
            Ok(())
        } else {
            Err(Refused::Signature)
        }
    }

    /// When it was made; `check` has bounded it.
    pub(super) fn issued_at(&self) -> UnixSeconds {
        whole(self.claims.iat.floor())
    }

    /// What is remembered of it, and until when. Never the digest of a client assertion, which begins with a number.
    pub(super) fn digest(&self) -> ([u8; 32], UnixSeconds) {
        let Claims { iss, jti, exp, .. } = &self.claims;
        let text = format!("id-jag {} {iss} {jti}", iss.len());
        (sha256(text.as_bytes()), whole(exp.ceil()))
    }
}

/// Seconds of our own clock are far below 2^52: the cast is exact.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn seconds(time: UnixSeconds) -> f64 {
    time.0 as f64
}

/// A time near now.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time near now"
)]
fn whole(time: f64) -> UnixSeconds {
    UnixSeconds(time as u64)
}
