//! The keys that another issuer publishes (a JWK Set, RFC 7517 §5), admitted once: what is in the result is fit to be trusted.
//!
//! What does not fit is left out and named, because issuers publish keys for other purposes beside. The set as a whole is refused if
//! it is no JWK Set, if nothing of it can be admitted, or if it is larger than anybody needs. So an answer that is empty or
//! broken never takes keys away: there is nothing to replace them with. What it does not: fetch, or remember anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::crypto::{Algorithm, VerifyingKey};
use crate::feed::issuer::MAX_KEYS;
use crate::jwk;
use crate::strict_json;

/// The largest set that is read, in bytes: some issuers put certificates beside their keys.
pub const MAX_BYTES: usize = 64 * 1024;
/// Members of `keys` that are looked at.
const MAX_MEMBERS: usize = 128;
const MAX_KID: usize = 256;

/// Why a set is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetRefused {
    /// Too many bytes.
    #[error("the JWK Set has more than {MAX_BYTES} bytes")]
    Size,
    /// Not a JSON object with a list `keys`, or with a member twice.
    #[error("it is not a JWK Set: a JSON object with a list `keys`")]
    Shape,
    /// More keys than are kept.
    #[error(
        "the JWK Set has more than {MAX_KEYS} keys that could be admitted, or more than {MAX_MEMBERS} in all"
    )]
    TooMany,
    /// Nothing in it can be admitted.
    #[error("the JWK Set has no key that can be admitted")]
    NoKey,
}

/// Why one key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// Not a public key for signatures that we know, of sufficient strength.
    #[error(transparent)]
    Refused(#[from] jwk::JwkRefused),
    /// Of an algorithm that the issuer is not trusted with, or none that we know.
    #[error("its algorithm is not one that the issuer may use")]
    Algorithm,
    /// `kid` is no text, or too long.
    #[error("its kid is not a text of at most 256 bytes")]
    Kid,
    /// Another key has the same `kid`: no token could say which.
    #[error("another key of the set has the same kid")]
    Ambiguous,
    /// The provider of cryptography does not take it for a key: a point that is not on its curve.
    #[error("the point is not on its curve")]
    Point,
}

/// The keys of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// By `kid`; one without a `kid` is under the empty text.
    pub keys: BTreeMap<String, VerifyingKey>,
    /// What was left out: its `kid`, and why.
    pub left_out: Vec<(String, LeftOut)>,
}

/// Admits the keys of a set that are for one of these algorithms. `is_point` says whether an elliptic key's point is on its
/// curve: arithmetic is the rim's.
pub fn admit(
    json: &[u8],
    algorithms: &[Algorithm],
    is_point: impl Fn(&VerifyingKey) -> bool,
) -> Result<Admitted, SetRefused> {
    if json.len() > MAX_BYTES {
        return Err(SetRefused::Size);
    }
    let set = strict_json::object(json).ok_or(SetRefused::Shape)?;
    let members = set
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(SetRefused::Shape)?;
    if members.len() > MAX_MEMBERS {
        return Err(SetRefused::TooMany);
    }
    let mut admitted = Admitted::default();
    let mut ambiguous = BTreeSet::new();
    for member in members {
        let jwk = member.as_object().ok_or(SetRefused::Shape)?;
        let kid = match jwk.get("kid") {
            None => String::new(),
            Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= MAX_KID => kid.clone(),
            Some(_) => {
                admitted.left_out.push((String::new(), LeftOut::Kid));
                continue;
            }
        };
        let outcome = admit_one(jwk, algorithms);
        let outcome = outcome.and_then(|key| is_point(&key).then_some(key).ok_or(LeftOut::Point));
        match outcome {
            Ok(key) => match admitted.keys.get(&kid) {
                Some(known) if *known != key => {
                    ambiguous.insert(kid);
                }
                _ => {
                    admitted.keys.insert(kid, key);
                }
            },
            Err(why) => admitted.left_out.push((kid, why)),
        }
    }
    for kid in ambiguous {
        admitted.keys.remove(&kid);
        admitted.left_out.push((kid, LeftOut::Ambiguous));
    }
    if admitted.keys.len() > MAX_KEYS {
        return Err(SetRefused::TooMany);
    }
    if admitted.keys.is_empty() {
        return Err(SetRefused::NoKey);
    }
    Ok(admitted)
}

fn admit_one(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Result<VerifyingKey, LeftOut> {
    let algorithm = algorithm_of(jwk, algorithms).ok_or(LeftOut::Algorithm)?;
    if !algorithms.contains(&algorithm) {
        return Err(LeftOut::Algorithm);
    }
    Ok(jwk::admit(jwk, algorithm)?)
}

/// The one algorithm of a key (RFC 8725 §3.1). `alg` is optional (RFC 7517 §4.4): a curve says enough without it; an RSA key is
/// for the one RSA algorithm that the issuer is trusted with, or else for RS256.
fn algorithm_of(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Option<Algorithm> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if let Some(alg) = jwk.get("alg") {
        return alg.as_str().and_then(Algorithm::from_jose);
    }
    match (text("kty")?, text("crv")) {
        ("OKP", Some("Ed25519")) => Some(Algorithm::Ed25519),
        ("EC", Some(curve)) => {
            let mut all = Algorithm::ALL.into_iter();
            all.find(|algorithm| algorithm.curve() == Some(curve))
        }
        ("RSA", _) => {
            let mut rsa = algorithms.iter().copied().filter(|algorithm| algorithm.is_rsa());
            match (rsa.next(), rsa.next()) {
                (Some(only), None) => Some(only),
                _ => Some(Algorithm::Rs256),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
