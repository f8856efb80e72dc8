//! A compact JWS of whatever kind, read strictly: three parts of strict base64url, a header and claims that are JSON objects
//! without duplicate members, and nothing in the header that changes how the rest is to be read (RFC 8725 §3).
//!
//! Nothing is trusted yet: whose key it must be, and what the claims must say, is for those who read one.

use serde_json::{Map, Value};
use shared::crypto::{Algorithm, from_base64url};
use shared::{jwk, strict_json};

/// The keys of a set that are looked at: whoever has more must name one by `kid` among the first.
const MAX_KEYS: usize = 20;

/// A JWS that could be read.
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    /// Which key signed, if it says so.
    pub(crate) kid: Option<String>,
    /// What kind it is, in lower case and without `application/`.
    pub(crate) typ: String,
    pub(crate) claims: Map<String, Value>,
    /// What the signature covers.
    pub(crate) message: &'a str,
    pub(crate) signature: &'a str,
}

/// Reads one of at most [`shared::token::MAX_LENGTH`] bytes.
pub(crate) fn read(text: &str) -> Option<Compact<'_>> {
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

impl Compact<'_> {
    /// Whether a key of this JWK Set has signed it: the one that `kid` names, or any that fits.
    pub(crate) fn is_signed_by(&self, set: &Value) -> bool {
        let named = |key: &&Map<String, Value>| match &self.kid {
            Some(kid) => key.get("kid").is_some_and(|name| name == kid.as_str()),
            None => true,
        };
        let set = set["keys"].as_array();
        set.into_iter()
            .flatten()
            .take(MAX_KEYS)
            .filter_map(Value::as_object)
            .filter(named)
            .filter_map(|key| jwk::admit(key, self.algorithm).ok())
            .any(|key| key.verify_base64url(self.message.as_bytes(), self.signature))
    }
}
