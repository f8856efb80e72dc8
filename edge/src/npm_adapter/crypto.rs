//! `jsonwebtoken`'s crypto provider over the platform's native crypto, by way of `crypto.js`. Verifies; never signs.
//!
//! Where the platform can only verify asynchronously, `crypto.js` notes the question and answers no; see [`crate::library`].

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/npm/crypto.js")]
extern "C" {
    // Catches: an exception that passed through Rust would skip its destructors (I13).
    #[wasm_bindgen(catch)]
    fn verify(
        alg: &str,
        first: &[u8],
        second: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, JsValue>;
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: refuse_to_sign,
    verifier_factory: verifier,
    // The defaults panic (I13); nothing here needs any of these.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Makes this provider the one that all signature checks use.
pub(super) fn install() {
    // An error means that it is installed already.
    let _ = PROVIDER.install_default();
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that the provider asks for"
)]
fn refuse_to_sign(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(unsupported())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that the provider asks for"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let name = name(*algorithm).ok_or_else(unsupported)?;
    let (first, second) =
        material(*algorithm, key).ok_or_else(|| Error::from(ErrorKind::InvalidKeyFormat))?;
    Ok(Box::new(PlatformVerifier {
        algorithm: *algorithm,
        name,
        first: first.to_vec(),
        second: second.to_vec(),
    }))
}

/// The name in RFC 7518 §3.1; `None` for the HMACs, which no public key goes with.
fn name(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        _ => return None,
    })
}

/// The two halves of a public key as the JWK has them: (n, e), (x, y), or (x, nothing).
fn material(algorithm: Algorithm, key: &DecodingKey) -> Option<(&[u8], &[u8])> {
    let raw = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => return Some((n, e)),
        DecodingKeyKind::SecretOrDer(raw) => raw,
    };
    let coordinate = match algorithm {
        Algorithm::EdDSA => return (raw.len() == 32).then_some((raw.as_slice(), &[])),
        Algorithm::ES256 => 32,
        Algorithm::ES384 => 48,
        _ => return None,
    };
    // SEC 1 §2.3.3, uncompressed: 0x04, x, y.
    let (x, y) = raw.strip_prefix(&[4])?.split_at_checked(coordinate)?;
    (y.len() == coordinate).then_some((x, y))
}

struct PlatformVerifier {
    algorithm: Algorithm,
    name: &'static str,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Verifier<Vec<u8>> for PlatformVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        match verify(self.name, &self.first, &self.second, message, signature) {
            Ok(true) => Ok(()),
            _ => Err(signature::Error::new()),
        }
    }
}

impl JwtVerifier for PlatformVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
