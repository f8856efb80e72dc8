//! A public key that a stranger hands over as a JWK (RFC 7517), and its name: the thumbprint of RFC 7638.
//!
//! Only what a signature check needs is read, and all of it strictly: one key type and curve per algorithm, material of
//! exactly the right length, and no private member anywhere. What it does not: fetch, trust, or remember keys.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::crypto::{Algorithm, Digest, VerifyingKey, base64url, from_base64url, sha256};

/// Members that only a private or a symmetric key has (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a JWK is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkRefused {
    /// It holds a private or symmetric key. Whoever sent it should make another one.
    #[error("the JWK holds a private key")]
    Private,
    /// Its type, curve, `use`, `alg` or `key_ops` do not fit the algorithm.
    #[error("the JWK is not one for this algorithm")]
    Kind,
    /// A member is missing, or is no key material that we admit.
    #[error("the JWK's key material is malformed or too weak")]
    Material,
}

/// Admits a public JWK for signatures of one algorithm.
pub fn admit(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<VerifyingKey, JwkRefused> {
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(JwkRefused::Private);
    }
    check_purpose(jwk, algorithm)?;
    let is = |name: &str, value: &str| jwk.get(name).and_then(Value::as_str) == Some(value);
    let bytes = |name: &str| {
        jwk.get(name)
            .and_then(Value::as_str)
            .and_then(from_base64url)
            .ok_or(JwkRefused::Material)
    };
    if algorithm == Algorithm::Ed25519 {
        if !is("kty", "OKP") || !is("crv", "Ed25519") {
            return Err(JwkRefused::Kind);
        }
        let material = bytes("x")?.try_into().map_err(|_| JwkRefused::Material)?;
        return Ok(VerifyingKey::ed25519(material));
    }
    let Some(curve) = algorithm.curve() else {
        if !is("kty", "RSA") {
            return Err(JwkRefused::Kind);
        }
        return VerifyingKey::rsa(algorithm, &bytes("n")?, &bytes("e")?).map_err(|_| JwkRefused::Material);
    };
    if !is("kty", "EC") || !is("crv", curve) {
        return Err(JwkRefused::Kind);
    }
    let (x, y) = (bytes("x")?, bytes("y")?);
    // Each has the full length of a coordinate (RFC 7518 §6.2.1.2): nothing may move from one to the other.
    if x.len() != y.len() {
        return Err(JwkRefused::Material);
    }
    VerifyingKey::ecdsa(algorithm, &[x, y].concat()).map_err(|_| JwkRefused::Material)
}

/// What the key says of its own use, where it says anything (RFC 7517 §4.2 to §4.4).
fn check_purpose(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<(), JwkRefused> {
    let fits = |name: &str, fits: &dyn Fn(&Value) -> bool| jwk.get(name).is_none_or(fits);
    let verifies = |operations: &Value| {
        operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    };
    let same = |name: &Value| name.as_str().and_then(Algorithm::from_jose) == Some(algorithm);
    if fits("use", &|value| value == "sig") && fits("key_ops", &verifies) && fits("alg", &same) {
        Ok(())
    } else {
        Err(JwkRefused::Kind)
    }
}

/// The SHA-256 thumbprint of a public key (RFC 7638): 43 characters of base64url, as in `cnf.jkt`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub Digest);

impl Thumbprint {
    /// The thumbprint of a key.
    pub fn of(key: &VerifyingKey) -> Self {
        let jwk = key.jwk("");
        let member = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap_or_default();
        // RFC 7638 §3: the required members only, in lexicographic order, without white space.
        let text = match member("kty") {
            "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, member("e"), member("n")),
            "OKP" => format!(
                r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#,
                member("crv"),
                member("x")
            ),
            _ => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                member("crv"),
                member("x"),
                member("y")
            ),
        };
        Self(sha256(text.as_bytes()))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// Not the 43 characters of a thumbprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thumbprint is the base64url of a SHA-256")]
pub struct NoThumbprint;

impl FromStr for Thumbprint {
    type Err = NoThumbprint;

    fn from_str(text: &str) -> Result<Self, NoThumbprint> {
        // Refused before it is decoded: no honest one is longer.
        if text.len() != 43 {
            return Err(NoThumbprint);
        }
        from_base64url(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(NoThumbprint)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admitted(jwk: &Value, algorithm: Algorithm) -> Result<String, JwkRefused> {
        let members = jwk.as_object().expect("an object");
        admit(members, algorithm).map(|key| Thumbprint::of(&key).to_string())
    }

    /// RFC 9449 §4.2 and §6.1; RFC 8037 appendix A.3; RFC 7638 §3.1.
    #[test]
    fn the_examples_of_the_rfcs() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        assert_eq!(
            admitted(&ec, Algorithm::Es256).as_deref(),
            Ok("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
        );
        let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(
            admitted(&okp, Algorithm::Ed25519).as_deref(),
            Ok("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        );
        let rsa = json!({"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                  FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c\
                  7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF4\
                  4-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(
            admitted(&rsa, Algorithm::Rs256).as_deref(),
            Ok("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
        assert_eq!(
            admitted(&rsa, Algorithm::Ps256),
            Err(JwkRefused::Kind),
            "its own alg says otherwise"
        );
    }

    #[test]
    fn only_public_keys_that_fit() {
        let good =
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        for (member, value, expected) in [
            ("d", json!("AAAA"), Err(JwkRefused::Private)),
            ("k", json!("AAAA"), Err(JwkRefused::Private)),
            ("kty", json!("EC"), Err(JwkRefused::Kind)),
            ("crv", json!("X25519"), Err(JwkRefused::Kind)),
            ("x", json!("AAAA"), Err(JwkRefused::Material)),
            (
                "x",
                json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
                Err(JwkRefused::Material),
            ),
            ("x", json!(7), Err(JwkRefused::Material)),
            ("use", json!("enc"), Err(JwkRefused::Kind)),
            ("alg", json!("ES256"), Err(JwkRefused::Kind)),
            ("key_ops", json!(["sign"]), Err(JwkRefused::Kind)),
            ("key_ops", json!(["verify"]), Ok(())),
            ("alg", json!("Ed25519"), Ok(())),
            ("ext", json!(true), Ok(())),
        ] {
            let mut jwk = good.clone();
            jwk[member] = value.clone();
            assert_eq!(
                admitted(&jwk, Algorithm::Ed25519).map(|_| ()),
                expected,
                "{member} {value}"
            );
        }
        // 31 and 33 bytes are 64 together.
        let moved = json!({"kty": "EC", "crv": "P-256", "x": base64url(&[1; 31]), "y": base64url(&[1; 33])});
        assert_eq!(admitted(&moved, Algorithm::Es256), Err(JwkRefused::Material));
        assert_eq!(admitted(&json!({}), Algorithm::Es256), Err(JwkRefused::Kind));
    }

    #[test]
    fn a_thumbprint_has_one_text() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(
            text.parse::<Thumbprint>().map(|t| t.to_string()).as_deref(),
            Ok(text)
        );
        for wrong in ["", "x", &text[1..], &format!("{text}A"), &text.replace('I', "J")] {
            assert_eq!(wrong.parse::<Thumbprint>(), Err(NoThumbprint), "{wrong}");
        }
    }
}
