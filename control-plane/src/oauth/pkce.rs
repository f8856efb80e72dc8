//! Proof Key for Code Exchange (RFC 7636), `S256` only: `plain` proves nothing to whoever saw the request.

use shared::crypto::{base64url, from_base64url, sha256};
use subtle::ConstantTimeEq as _;

/// Whether a text can be an S256 challenge: the base64url of 32 bytes (§4.2).
pub(super) fn is_challenge(text: &str) -> bool {
    from_base64url(text).is_some_and(|bytes| bytes.len() == 32)
}

/// Whether a verifier has the form of §4.1 and is the one behind this challenge.
pub(super) fn verifies(verifier: &str, challenge: &str) -> bool {
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let computed = base64url(&sha256(verifier.as_bytes()));
    well_formed & bool::from(computed.as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn the_example_of_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_challenge(challenge) && verifies(verifier, challenge));
        assert!(!verifies(&verifier[..42], challenge));
        assert!(!verifies(challenge, challenge));
        assert!(!verifies("", ""));
        for wrong in [
            "",
            "abc",
            &format!("{challenge}="),
            verifier.get(..42).unwrap_or_default(),
        ] {
            assert!(!is_challenge(wrong), "{wrong}");
        }
    }
}
