//! `private_key_jwt`: a client proves who it is with a JWT that it signs (RFC 7523 §2.2 and §3, as rfc7523bis tightens it).
//!
//! What it does: read an assertion strictly, check its claims, verify it under keys that are admitted for its algorithm. What
//! it does not: find the client or its keys, or remember what was taken (`client_auth` does, with [`Assertion::digest`]).

use serde::Deserialize;
use serde_json::{Map, Value};
use shared::crypto::{Algorithm, from_base64url, sha256};
use shared::time::UnixSeconds;
use shared::{jwk, strict_json};

/// The value of `client_assertion_type` (RFC 7523 §2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What assertions may be signed with, by the names of JOSE: for metadata.
pub const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];
/// The longest assertion that is looked at, in bytes. One with an RSA key of 4096 bits has about 1500.
const MAX_LENGTH: usize = 8 * 1024;
/// An assertion ends at most so long after now: for so long its `jti` is remembered.
const MAX_LIFE_SECONDS: u64 = 300;
/// A client's clock may be ahead by so much.
const SKEW_SECONDS: u64 = 60;
const MAX_JTI: usize = 256;
/// The keys of a set that are looked at: whoever has more must name one by `kid` among the first.
const MAX_KEYS: usize = 20;

/// Why an assertion does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Not three parts of strict base64url, or too long.
    #[error("the client assertion is not a compact JWS")]
    Shape,
    /// The header is not as it must be, or has a member that changes how the text is read.
    #[error("the client assertion's header is malformed")]
    Header,
    /// `typ` names another kind of token.
    #[error("the client assertion's typ is not client-authentication+jwt or JWT")]
    Type,
    /// `alg` is none of [`ALGORITHMS`].
    #[error("the client assertion's algorithm is refused: use RS256, PS256, ES256 or Ed25519")]
    Algorithm,
    /// A claim is missing or malformed.
    #[error("the client assertion needs iss, sub, aud, exp and jti")]
    Claims,
    /// `iss` and `sub` are not the same client.
    #[error("the client assertion's iss and sub must both be the client_id")]
    Client,
    /// `aud` is anything else than the issuer identifier.
    #[error("the client assertion's aud must be this server's issuer identifier, as a single string")]
    Audience,
    /// Expired, not yet valid, or valid for too long.
    #[error("the client assertion is expired, from the future, or valid for more than five minutes")]
    Time,
    /// No key of the client's verifies it.
    #[error("client authentication failed")]
    Signature,
}

/// Whether a JWK is one that some assertion can be verified with.
pub(super) fn admits(key: &Map<String, Value>) -> bool {
    ALGORITHMS
        .iter()
        .filter_map(|name| Algorithm::from_jose(name))
        .any(|algorithm| jwk::admit(key, algorithm).is_ok())
}

/// An assertion that could be read. Nothing about it has been verified.
#[derive(Debug)]
pub struct Assertion {
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
    message: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: f64,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
    jti: String,
}

/// Reads an assertion.
pub fn parse(text: &str) -> Result<Assertion, AssertionError> {
    if text.len() > MAX_LENGTH {
        return Err(AssertionError::Shape);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(AssertionError::Shape)?;
    let (header, claims) = message.split_once('.').ok_or(AssertionError::Shape)?;
    let decoded = |part| from_base64url(part).ok_or(AssertionError::Shape);
    let (header, claims) = (decoded(header)?, decoded(claims)?);
    if decoded(signature)?.is_empty() {
        return Err(AssertionError::Shape);
    }
    let header: Header = strict_json::from_slice(&header).map_err(|_| AssertionError::Header)?;
    let linked = ["crit", "b64", "jwk", "jku", "x5c", "x5u"];
    if linked.iter().any(|name| header.rest.contains_key(*name))
        || header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_JTI)
    {
        return Err(AssertionError::Header);
    }
    // Most libraries write `JWT` or nothing; what matters is that no other kind of token passes (RFC 8725 §3.11).
    if let Some(typ) = &header.typ {
        let typ = typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        if !matches!(typ, "jwt" | "client-authentication+jwt") {
            return Err(AssertionError::Type);
        }
    }
    let algorithm = Some(header.alg.as_str())
        .filter(|name| ALGORITHMS.contains(name))
        .and_then(Algorithm::from_jose)
        .ok_or(AssertionError::Algorithm)?;
    let claims: Claims = strict_json::from_slice(&claims).map_err(|_| AssertionError::Claims)?;
    if claims.jti.is_empty() || claims.jti.len() > MAX_JTI {
        return Err(AssertionError::Claims);
    }
    Ok(Assertion {
        algorithm,
        kid: header.kid,
        claims,
        message: message.to_owned(),
        signature: signature.to_owned(),
    })
}

impl Assertion {
    /// Who it says that it is.
    pub fn client_id(&self) -> &str {
        &self.claims.sub
    }

    /// Checks the claims. The audience is the issuer identifier and nothing else: an assertion for the token endpoint's URL
    /// could be one that another server obtained by naming our endpoint as its own (rfc7523bis §1).
    pub fn check(&self, issuer: &str, now: UnixSeconds) -> Result<(), AssertionError> {
        let claims = &self.claims;
        if claims.iss != claims.sub {
            return Err(AssertionError::Client);
        }
        if claims.aud.as_str() != Some(issuer) {
            return Err(AssertionError::Audience);
        }
        let seconds = |time: UnixSeconds| -> f64 {
            // Seconds of our own clock are far below 2^52: the cast is exact.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let seconds = time.0 as f64;
            seconds
        };
        let begun =
            |time: Option<f64>| time.is_none_or(|time| time <= seconds(now.saturating_add(SKEW_SECONDS)));
        let most = seconds(now.saturating_add(MAX_LIFE_SECONDS + SKEW_SECONDS));
        if claims.exp <= seconds(now) || claims.exp > most || !begun(claims.iat) || !begun(claims.nbf) {
            return Err(AssertionError::Time);
        }
        Ok(())
    }

    /// Whether a key of this JWK Set verifies it: the one that `kid` names, or any that fits.
    pub fn verify(&self, set: &Value) -> Result<(), AssertionError> {
        let keys = set["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |key: &&Map<String, Value>| match &self.kid {
            Some(kid) => key.get("kid").is_some_and(|name| name == kid.as_str()),
            None => true,
        };
        keys.iter()
            .take(MAX_KEYS)
            .filter_map(Value::as_object)
            .filter(named)
            .filter_map(|key| jwk::admit(key, self.algorithm).ok())
            .any(|key| key.verify_base64url(self.message.as_bytes(), &self.signature))
            .then_some(())
            .ok_or(AssertionError::Signature)
    }

    /// What is remembered of it, and until when.
    pub fn digest(&self) -> ([u8; 32], UnixSeconds) {
        let text = format!(
            "{} {} {}",
            self.claims.sub.len(),
            self.claims.sub,
            self.claims.jti
        );
        // `check` has bounded it.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time near now"
        )]
        let expires = UnixSeconds(self.claims.exp.ceil() as u64);
        (sha256(text.as_bytes()), expires)
    }
}
