//! DPoP proofs (RFC 9449): a JWT by which a caller shows, request by request, that it holds the key a token is bound to.
//!
//! Read as strictly as access tokens: compact JWS of strict base64url, JSON without duplicate members, `typ` exactly
//! `dpop+jwt`, one of [`ALGORITHMS`], a public `jwk` that is admitted by [`jwk`](crate::jwk), nothing that changes how the
//! text is to be read. [`check`] makes every comparison of §4.3 but one: whether the proof came before is for whoever has
//! a memory, with [`Proof::id`]. No nonce is asked for (§8), and one that comes anyway is not looked at.

mod target;
pub mod vectors;

use serde::Deserialize;
use serde_json::Value;

use crate::crypto::{Algorithm, Digest, VerifyingKey, base64url, from_base64url, sha256};
use crate::jwk::{self, Thumbprint};
use crate::strict_json;
use crate::time::UnixSeconds;
use crate::token::{numeric_date, optional_numeric_date};

pub use target::{Target, origin};

/// The longest proof that is looked at, in bytes. One with an RSA key of 4096 bits has about 2000.
pub const MAX_LENGTH: usize = 4096;
/// A proof counts for so long after its `iat`.
pub const MAX_AGE_SECONDS: u64 = 60;
/// How far the caller's clock may be ahead of ours. Never extends the age.
pub const CLOCK_SKEW_SECONDS: u64 = 60;
/// What proofs may be signed with, by the names of JOSE: for metadata and challenges.
pub const ALGORITHMS: [&str; 5] = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"];
const MAX_JTI: usize = 256;

/// Why a proof does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not three parts of strict base64url, or too long.
    #[error("the DPoP proof is not a compact JWS")]
    Shape,
    /// The header is not as it must be, or has a member that changes how the text is read.
    #[error("the DPoP proof's header is malformed")]
    Header,
    /// `typ` is not `dpop+jwt`.
    #[error("the DPoP proof's typ is not dpop+jwt")]
    Type,
    /// `alg` is none of [`ALGORITHMS`].
    #[error("the DPoP proof's algorithm is refused")]
    Algorithm,
    /// `jwk` is no public key for that algorithm.
    #[error("the DPoP proof's jwk is refused")]
    Key,
    /// A claim is missing or malformed.
    #[error("the DPoP proof's claims are malformed")]
    Claims,
    /// `htm` is another method.
    #[error("the DPoP proof is for another method")]
    Method,
    /// `htu` is another URI.
    #[error("the DPoP proof is for another URI")]
    Uri,
    /// `iat` is too long ago or too far ahead.
    #[error("the DPoP proof is too old, or from the future")]
    Time,
    /// `ath` is missing or another token's.
    #[error("the DPoP proof is for another access token")]
    AccessToken,
    /// Another key than the one that is asked for.
    #[error("the DPoP proof is by another key")]
    KeyMismatch,
    /// The signature is wrong.
    #[error("the DPoP proof's signature is wrong")]
    Signature,
}

impl ProofError {
    /// The stable snake_case code, for vectors and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Header => "header",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Claims => "claims",
            Self::Method => "method",
            Self::Uri => "uri",
            Self::Time => "time",
            Self::AccessToken => "access_token",
            Self::KeyMismatch => "key_mismatch",
            Self::Signature => "signature",
        }
    }
}

/// What a proof has to be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// Its URI, as the caller saw it.
    pub target: &'a Target,
    /// By our clock.
    pub now: UnixSeconds,
    /// SHA-256 of the access token that comes with it, if one does.
    pub token: Option<&'a Digest>,
    /// The key that it must be by, if that is known before.
    pub key: Option<&'a Thumbprint>,
}

/// A proof that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// By whom.
    pub key: Thumbprint,
    /// Under which to remember it: SHA-256 of the key's thumbprint and `jti`. The same one again is a replay.
    pub id: Digest,
    /// From then on it is refused by its age, and need not be remembered.
    pub ends: UnixSeconds,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    #[serde(deserialize_with = "numeric_date")]
    iat: UnixSeconds,
    #[serde(default, deserialize_with = "optional_numeric_date")]
    exp: Option<UnixSeconds>,
    #[serde(default, deserialize_with = "optional_numeric_date")]
    nbf: Option<UnixSeconds>,
    #[serde(default)]
    ath: Option<String>,
}

/// A proof that could be read. Nothing about it has been verified.
struct Parsed<'a> {
    key: VerifyingKey,
    claims: Claims,
    message: &'a str,
    signature: &'a str,
}

/// Whether a text could be read as a proof at all. What it says is for [`check`].
pub fn is_readable(text: &str) -> bool {
    parse(text).is_ok()
}

fn parse(text: &str) -> Result<Parsed<'_>, ProofError> {
    if text.len() > MAX_LENGTH {
        return Err(ProofError::Shape);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(ProofError::Shape)?;
    let (header, claims) = message.split_once('.').ok_or(ProofError::Shape)?;
    // `from_base64url` refuses dots, so three parts it is.
    let decoded = |part| from_base64url(part).ok_or(ProofError::Shape);
    let (header, claims) = (decoded(header)?, decoded(claims)?);
    if decoded(signature)?.is_empty() {
        return Err(ProofError::Shape);
    }
    let header = strict_json::object(&header).ok_or(ProofError::Header)?;
    let text = |name| header.get(name).and_then(Value::as_str).ok_or(ProofError::Header);
    let (alg, typ) = (text("alg")?, text("typ")?);
    let jwk = header
        .get("jwk")
        .and_then(Value::as_object)
        .ok_or(ProofError::Header)?;
    if typ != "dpop+jwt" {
        return Err(ProofError::Type);
    }
    if !ALGORITHMS.contains(&alg) {
        return Err(ProofError::Algorithm);
    }
    let algorithm = Algorithm::from_jose(alg).ok_or(ProofError::Algorithm)?;
    let changes_reading = |name: &&str| header.contains_key(*name);
    if ["crit", "b64", "jku", "x5c", "x5u"].iter().any(changes_reading) {
        return Err(ProofError::Header);
    }
    let key = jwk::admit(jwk, algorithm).map_err(|_| ProofError::Key)?;
    let claims: Claims = strict_json::read(&claims).map_err(|_| ProofError::Claims)?;
    if !(1..=MAX_JTI).contains(&claims.jti.chars().count()) {
        return Err(ProofError::Claims);
    }
    Ok(Parsed {
        key,
        claims,
        message,
        signature,
    })
}

/// Checks a proof (§4.3): what costs nothing first, the signature last. A key that is not the expected one never reaches
/// the crypto behind the provider.
pub fn check(text: &str, expected: &Expected<'_>) -> Result<Proof, ProofError> {
    let parsed = parse(text)?;
    let claims = &parsed.claims;
    let key = Thumbprint::of(&parsed.key);
    if expected.key.is_some_and(|known| *known != key) {
        return Err(ProofError::KeyMismatch);
    }
    if claims.htm != expected.method {
        return Err(ProofError::Method);
    }
    if Target::parse(&claims.htu).as_ref() != Some(expected.target) {
        return Err(ProofError::Uri);
    }
    let ends = check_times(claims, expected.now)?;
    if let Some(digest) = expected.token
        && claims.ath.as_deref() != Some(base64url(digest).as_str())
    {
        return Err(ProofError::AccessToken);
    }
    if !parsed
        .key
        .verify_base64url(parsed.message.as_bytes(), parsed.signature)
    {
        return Err(ProofError::Signature);
    }
    let id = sha256(&[key.0.as_slice(), claims.jti.as_bytes()].concat());
    Ok(Proof { key, id, ends })
}

/// When the proof ends by its age, or why it does not count now. An `exp` or `nbf` of its own can only shorten its life.
fn check_times(claims: &Claims, now: UnixSeconds) -> Result<UnixSeconds, ProofError> {
    let soon = now.saturating_add(CLOCK_SKEW_SECONDS);
    let ends = claims.iat.saturating_add(MAX_AGE_SECONDS);
    let over = now >= ends || claims.exp.is_some_and(|end| now >= end);
    let early = claims.iat > soon || claims.nbf.is_some_and(|start| start > soon);
    if over || early {
        return Err(ProofError::Time);
    }
    Ok(ends)
}
