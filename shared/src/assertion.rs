//! The gate's word to an origin: a JWT (RFC 7519) that says who was let in, for one request to one origin, and one minute.
//!
//! `X-Portcullis-*` headers are as good as the wall around the origin. An assertion is good by itself: Ed25519 under a key
//! that only the gate has, whose public half is at [`JWKS_PATH`]. It comes in the header [`HEADER`].
//!
//! ```text
//! header  {"alg":"EdDSA","typ":"portcullis-assertion+jwt","kid":"<RFC 7638 thumbprint>"}
//! claims  {"iss":"<the gate's resource identifier>","aud":"<scheme://host[:port] of the origin>","sub":"usr_…",
//!          "org":"org_…","workspace":"ws_…"|"all","scope":"memory:read …","credential":"key_…","htm":"GET",
//!          "htp":"<SHA-256 of the path, base64url>","iat":…,"exp":…}
//! ```
//!
//! `htm` is the method as in a proof of possession (RFC 9449 §4.2). `htp` is a hash, because a path may be as long as all other
//! headers together; what is hashed is the [canonical form](crate::path) of the path that the origin gets, without a query. So what
//! was let in with a read does for no other method and no other path.
//!
//! What it does not: fetch keys, remember assertions, or count. The same request may be sent with it again within its minute by
//! whoever reads it: it is for origins, and never passed on.

use serde::{Deserialize, Serialize};

use crate::crypto::{VerifyingKey, base64url, from_base64url, sha256};
use crate::jwk::Thumbprint;
use crate::path;
use crate::strict_json;
use crate::time::UnixSeconds;
use crate::token::{MAX_LENGTH, numeric_date};

/// The header in which it goes to the origin.
pub const HEADER: &str = "portcullis-assertion";
/// Where the gate shows its public keys (RFC 7517).
pub const JWKS_PATH: &str = "/.portcullis/jwks.json";
/// `typ` (RFC 8725 §3.11): nothing else is taken for an assertion, and an assertion for nothing else.
pub const TYPE: &str = "portcullis-assertion+jwt";
/// DESIGN §9: how long an assertion lives.
pub const LIFETIME_SECONDS: u64 = 60;
/// For how long the gate uses one again, for the same request of the same caller.
pub const REUSE_SECONDS: u64 = 30;
/// How far the gate's clock may be ahead of the origin's.
const SKEW_SECONDS: u64 = 60;

/// What an assertion says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The gate: its resource identifier.
    pub iss: String,
    /// The origin, `scheme://host[:port]`.
    pub aud: String,
    /// Who acts, as in `X-Portcullis-Subject`.
    pub sub: String,
    /// Their organisation, `org_…`.
    pub org: String,
    /// `ws_…`, or `all`.
    pub workspace: String,
    /// The effective scopes with everything they imply, separated by spaces.
    pub scope: String,
    /// The public id of the credential.
    pub credential: String,
    /// The method of the request. Only gates of before left it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htm: Option<String>,
    /// The hash of its path, see [`path_hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htp: Option<String>,
    /// When it was made.
    #[serde(deserialize_with = "numeric_date")]
    pub iat: UnixSeconds,
    /// From when on it is worth nothing.
    #[serde(deserialize_with = "numeric_date")]
    pub exp: UnixSeconds,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Why a text is no assertion for this origin, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a JWT of this type.
    #[error("not an assertion")]
    Malformed,
    /// No such key: fetch the gate's keys again, seldom.
    #[error("the assertion's key is unknown")]
    KeyUnknown,
    /// The signature is wrong.
    #[error("the assertion's signature is wrong")]
    Signature,
    /// Of another gate.
    #[error("the assertion is another gate's")]
    Issuer,
    /// For another origin.
    #[error("the assertion is for another origin")]
    Audience,
    /// For another method or path.
    #[error("the assertion is for another request")]
    Request,
    /// Too old, or from the future.
    #[error("the assertion has expired, or a clock is wrong")]
    Time,
}

/// What an assertion must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The gate: its resource identifier.
    pub issuer: &'a str,
    /// This origin, `scheme://host[:port]`.
    pub audience: &'a str,
    /// The method of the request that it came with.
    pub method: &'a str,
    /// The path of that request, in any spelling; what follows a `?` does not count.
    pub path: &'a str,
    /// Whether one that names no request will do: while gates are upgraded that made such.
    pub unbound: bool,
}

impl Expected<'_> {
    fn is_request_of(&self, claims: &Claims) -> bool {
        match (&claims.htm, &claims.htp) {
            (Some(method), Some(hash)) => {
                method == self.method && path_hash(self.path).as_ref() == Some(hash)
            }
            (None, None) => self.unbound,
            _ => false,
        }
    }
}

/// The hash of a path that assertions name; `None` for a path that no gate lets in.
pub fn path_hash(raw: &str) -> Option<String> {
    let raw = raw.split('?').next().unwrap_or_default();
    let canonical = path::canonical(raw).ok()?;
    Some(base64url(&sha256(canonical.as_bytes())))
}

/// The name of a signing key: its thumbprint (RFC 7638).
pub fn kid(key: &VerifyingKey) -> String {
    Thumbprint::of(key).to_string()
}

/// What is signed: header and claims, as they stand in the token. A serialisation that fails, which none of these can,
/// gives nothing.
pub fn message(claims: &Claims, kid: &str) -> Option<String> {
    let header = Header {
        alg: "EdDSA".into(),
        typ: TYPE.into(),
        kid: kid.into(),
    };
    let (header, claims) = (
        serde_json::to_vec(&header).ok()?,
        serde_json::to_vec(claims).ok()?,
    );
    Some(format!("{}.{}", base64url(&header), base64url(&claims)))
}

/// The claims of an assertion of this gate for this request to this origin. `keys`: the gate's, as its JWKS has them.
pub fn verify(
    text: &str,
    keys: &[VerifyingKey],
    expected: Expected<'_>,
    now: UnixSeconds,
) -> Result<Claims, Refused> {
    if text.len() > MAX_LENGTH {
        return Err(Refused::Malformed);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Refused::Malformed)?;
    let decoded = |part| from_base64url(part).ok_or(Refused::Malformed);
    let header: Header = strict_json::read(&decoded(header)?).map_err(|_| Refused::Malformed)?;
    if header.alg != "EdDSA" || header.typ != TYPE {
        return Err(Refused::Malformed);
    }
    let key = keys
        .iter()
        .find(|key| kid(key) == header.kid)
        .ok_or(Refused::KeyUnknown)?;
    if !key.verify_base64url(message.as_bytes(), signature) {
        return Err(Refused::Signature);
    }
    let claims: Claims = strict_json::read(&decoded(claims)?).map_err(|_| Refused::Malformed)?;
    if claims.iss != expected.issuer {
        return Err(Refused::Issuer);
    }
    if claims.aud != expected.audience {
        return Err(Refused::Audience);
    }
    if !expected.is_request_of(&claims) {
        return Err(Refused::Request);
    }
    if now >= claims.exp || claims.iat > now.saturating_add(SKEW_SECONDS) {
        return Err(Refused::Time);
    }
    Ok(claims)
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
