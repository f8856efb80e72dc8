//! What the crypto providers of both adapters have in common: `jsonwebtoken` asks them for a verifier, and for nothing else. How
//! a signature is checked is the platform's, and stays with the adapter.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};

/// Makes a verifier for an algorithm and a key.
type VerifierFactory = fn(&Algorithm, &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error>;

/// A provider that checks signatures so, and never signs.
pub(crate) const fn provider(verifier_factory: VerifierFactory) -> CryptoProvider {
    CryptoProvider {
        signer_factory: refuse_to_sign,
        verifier_factory,
        // The defaults panic (I13); nothing here needs any of these.
        key_utils: KeyUtils {
            rsa_pub_components_from_private_key: |_| Err(unsupported()),
            rsa_pub_components_from_public_key: |_| Err(unsupported()),
            ec_pub_components_from_private_key: |_, _| Err(unsupported()),
            ed_pub_components_from_private_key: |_, _| Err(unsupported()),
            compute_digest: |_, _| Err(unsupported()),
        },
    }
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

/// The name of an algorithm and the two halves of a key, if they belong together.
pub(crate) fn named_material(
    algorithm: Algorithm,
    key: &DecodingKey,
) -> Result<(&'static str, &[u8], &[u8]), Error> {
    let invalid = || Error::from(ErrorKind::InvalidKeyFormat);
    if key.family() != algorithm.family() {
        return Err(invalid());
    }
    let name = name(algorithm).ok_or_else(unsupported)?;
    let (first, second) = material(algorithm, key).ok_or_else(invalid)?;
    Ok((name, first, second))
}

/// The name in [RFC 7518 §3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1); `None` for the HMACs, which no
/// public key goes with.
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

/// The two coordinates of a point `x ‖ y`.
pub(crate) fn halves(point: &[u8]) -> Option<(&[u8], &[u8])> {
    point.split_at_checked(point.len() / 2)
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
