//! A compact JWS of whatever kind, read strictly: three parts of strict base64url, a header and claims that are JSON objects
//! without duplicate members, and nothing in the header that changes how the rest is to be read (RFC 8725 §3).
//!
//! Nothing is trusted yet: whose key it must be, and what the claims must say, is for those who read one.

use serde_json::{Map, Value};
use shared::crypto::{Algorithm, from_base64url};
use shared::strict_json;

/// A JWS that could be read.
pub(super) struct Compact<'a> {
    pub(super) algorithm: Algorithm,
    /// Which key signed, if it says so.
    pub(super) kid: Option<String>,
    /// What kind it is, in lower case and without `application/`.
    pub(super) typ: String,
    pub(super) claims: Map<String, Value>,
    /// What the signature covers.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
}

/// Reads one of at most [`shared::token::MAX_LENGTH`] bytes.
pub(super) fn read(text: &str) -> Option<Compact<'_>> {
    if text.len() > shared::token::MAX_LENGTH {
        return None;
    }
    let (message, signature) = text.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    if from_base64url(signature)?.is_empty() {
        return None;
    }
    let header: Map<String, Value> = strict_json::from_slice(&from_base64url(header)?).ok()?;
    if ["crit", "b64", "jwk", "jku", "x5c", "x5u"]
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return None;
    }
    let text = |name: &str| header.get(name).map(Value::as_str);
    let typ = match text("typ") {
        Some(typ) => typ?.to_ascii_lowercase(),
        None => String::new(),
    };
    Some(Compact {
        algorithm: Algorithm::from_jose(text("alg")??)?,
        kid: match text("kid") {
            Some(kid) => Some(kid?.to_owned()),
            None => None,
        },
        typ: typ.strip_prefix("application/").unwrap_or(&typ).to_owned(),
        claims: strict_json::from_slice(&from_base64url(claims)?).ok()?,
        message,
        signature,
    })
}
