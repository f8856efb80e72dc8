//! Public keys, admitted once, and the checks of signatures under them.
//!
//! No cryptography of our own: a check goes through `jsonwebtoken`'s process-wide `CryptoProvider`, which the rim chooses
//! (aws-lc-rs natively, the runtime's own crypto in workerd). This module decides which keys are fit to be used at all:
//! RSA of 2048 to 4096 bits with e = 65537, points of the right length, and exactly one algorithm per key (RFC 8725 §3.1).
//!
//! `jsonwebtoken` does not know ES512 (RFC 7518 §3.4): for that alone the rim gives a function of its own
//! ([`install_es512`]). Without it nothing that such a key has signed is valid.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::wire::{Malformed, Reader, Writer};

/// A SHA-256 digest.
pub type Digest = [u8; 32];
/// An Ed25519 signature (RFC 8032).
pub type Ed25519Signature = [u8; 64];

/// RSA's public exponent F4, big-endian.
const F4: [u8; 3] = [1, 0, 1];
const MAX_MODULUS: usize = 512;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// Base64url without padding (RFC 7515 §2).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Strict base64url: no padding, no foreign character, no stray trailing bits.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A signature algorithm, one per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032); JOSE `EdDSA` and `Ed25519` (RFC 9864).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
}

impl Algorithm {
    /// With the number in the feed, the JOSE name, and what the library calls it, if it knows it.
    const TABLE: [(Self, u8, &'static str, Option<jsonwebtoken::Algorithm>); 10] = [
        (Self::Ed25519, 1, "EdDSA", Some(jsonwebtoken::Algorithm::EdDSA)),
        (Self::Rs256, 2, "RS256", Some(jsonwebtoken::Algorithm::RS256)),
        (Self::Rs384, 3, "RS384", Some(jsonwebtoken::Algorithm::RS384)),
        (Self::Rs512, 4, "RS512", Some(jsonwebtoken::Algorithm::RS512)),
        (Self::Ps256, 5, "PS256", Some(jsonwebtoken::Algorithm::PS256)),
        (Self::Ps384, 6, "PS384", Some(jsonwebtoken::Algorithm::PS384)),
        (Self::Ps512, 7, "PS512", Some(jsonwebtoken::Algorithm::PS512)),
        (Self::Es256, 8, "ES256", Some(jsonwebtoken::Algorithm::ES256)),
        (Self::Es384, 9, "ES384", Some(jsonwebtoken::Algorithm::ES384)),
        (Self::Es512, 10, "ES512", None),
    ];

    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ed25519,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
    ];

    /// Whether its keys are RSA keys.
    pub fn is_rsa(self) -> bool {
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        matches!(self, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
    }

    fn row(self) -> (Self, u8, &'static str, Option<jsonwebtoken::Algorithm>) {
        let found = Self::TABLE.into_iter().find(|row| row.0 == self);
        found.unwrap_or((Self::Ed25519, 1, "EdDSA", None))
    }

    /// The algorithm that a JOSE header names, by exact case; `none` and the HMAC family are not among them.
    pub fn from_jose(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::Ed25519);
        }
        Self::TABLE.into_iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// The JOSE name.
    pub fn jose(self) -> &'static str {
        self.row().2
    }

    fn code(self) -> u8 {
        self.row().1
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::TABLE.into_iter().find(|row| row.1 == code).map(|row| row.0)
    }

    fn jsonwebtoken(self) -> Option<jsonwebtoken::Algorithm> {
        self.row().3
    }

    /// The curve of an elliptic key, by its JOSE name (RFC 7518 §6.2.1.1).
    pub fn curve(self) -> Option<&'static str> {
        match self {
            Self::Es256 => Some("P-256"),
            Self::Es384 => Some("P-384"),
            Self::Es512 => Some("P-521"),
            _ => None,
        }
    }

    /// Bytes of one coordinate on the algorithm's curve.
    fn coordinate(self) -> Option<usize> {
        match self {
            Self::Es256 => Some(32),
            Self::Es384 => Some(48),
            Self::Es512 => Some(66),
            _ => None,
        }
    }
}

/// Whether a signature `r ‖ s` over a message is that of the key `x ‖ y` on P-521, with SHA-512.
pub type CheckEs512 = fn(point: &[u8], message: &[u8], signature: &[u8]) -> bool;

static ES512: OnceLock<CheckEs512> = OnceLock::new();

/// Says how ES512 is checked in this process; the first call counts.
pub fn install_es512(check: CheckEs512) {
    // An error means that it is installed already.
    let _ = ES512.set(check);
}

/// Why a key is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// Below 2048 or above 4096 bits, or with leading zero bytes.
    #[error("an RSA key must have 2048 to 4096 bits")]
    RsaSize,
    /// Not 65537.
    #[error("an RSA key must have the exponent 65537")]
    RsaExponent,
    /// The material has the wrong length for its algorithm.
    #[error("the key material does not fit its algorithm")]
    Shape,
}

/// A public key that was admitted, with its one algorithm, ready to check signatures.
///
/// Encoded as `algorithm u8 | material`, the material being: Ed25519 the 32 bytes of RFC 8032; RSA the modulus, big-endian
/// without leading zeros (the exponent is always 65537); ECDSA `x ‖ y`.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    material: Vec<u8>,
    decoding: DecodingKey,
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "VerifyingKey({}, {})",
            self.algorithm.jose(),
            base64url(&sha256(&self.material))
        )
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.material == other.material
    }
}

impl Eq for VerifyingKey {}

impl VerifyingKey {
    /// An Ed25519 key from its 32 bytes.
    pub fn ed25519(bytes: [u8; 32]) -> Self {
        Self {
            algorithm: Algorithm::Ed25519,
            material: bytes.to_vec(),
            decoding: DecodingKey::from_ed_der(&bytes),
        }
    }

    /// An RSA key from modulus and exponent, both big-endian.
    pub fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyRefused> {
        if !algorithm.is_rsa() {
            return Err(KeyRefused::Shape);
        }
        if exponent != F4 {
            return Err(KeyRefused::RsaExponent);
        }
        let odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        if !odd
            || modulus.first().is_none_or(|byte| *byte < 0x80)
            || !(256..=MAX_MODULUS).contains(&modulus.len())
        {
            return Err(KeyRefused::RsaSize);
        }
        Ok(Self {
            algorithm,
            material: modulus.to_vec(),
            decoding: DecodingKey::from_rsa_raw_components(modulus, exponent),
        })
    }

    /// An ECDSA key from `x ‖ y`. That the point lies on its curve is checked by the crypto behind the provider.
    pub fn ecdsa(algorithm: Algorithm, point: &[u8]) -> Result<Self, KeyRefused> {
        let coordinate = algorithm.coordinate().ok_or(KeyRefused::Shape)?;
        if point.len() != coordinate.saturating_mul(2) {
            return Err(KeyRefused::Shape);
        }
        let mut uncompressed = vec![0x04];
        uncompressed.extend_from_slice(point);
        Ok(Self {
            algorithm,
            material: point.to_vec(),
            decoding: DecodingKey::from_ec_der(&uncompressed),
        })
    }

    /// The one algorithm of this key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key material as encoded in the feed.
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// Whether `signature` is this key's signature over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify_base64url(message, &base64url(signature))
    }

    /// The same for a signature that is already base64url text, as in a JWT. The text must have been checked to be
    /// strict base64url: the library's own decoder is not relied upon for that.
    pub fn verify_base64url(&self, message: &[u8], signature: &str) -> bool {
        let Some(algorithm) = self.algorithm.jsonwebtoken() else {
            let check = ES512.get().zip(from_base64url(signature));
            return check.is_some_and(|(check, signature)| check(&self.material, message, &signature));
        };
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }

    /// The key as a public JWK (RFC 7517) with `kid`, `use` and `alg`.
    pub fn jwk(&self, kid: &str) -> serde_json::Value {
        let material = base64url(&self.material);
        let mut jwk = match self.algorithm.coordinate() {
            None if self.algorithm == Algorithm::Ed25519 => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": material})
            }
            None => json!({"kty": "RSA", "n": material, "e": base64url(&F4)}),
            Some(coordinate) => {
                let (x, y) = self.material.split_at_checked(coordinate).unwrap_or_default();
                let crv = self.algorithm.curve().unwrap_or_default();
                json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".into(), kid.into());
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), self.algorithm.jose().into());
        }
        jwk
    }

    /// Algorithm and material, as in the feed.
    pub fn write(&self, writer: &mut Writer) {
        writer.u8(self.algorithm.code()).bytes(&self.material);
    }

    /// What [`Self::write`] has written, admitted anew.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let algorithm = Algorithm::from_code(reader.u8()?).ok_or(Malformed)?;
        let material = reader.bytes(MAX_MODULUS)?;
        match algorithm {
            Algorithm::Ed25519 => material.try_into().map(Self::ed25519).map_err(|_| Malformed),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
                Self::ecdsa(algorithm, material).map_err(|_| Malformed)
            }
            _ => Self::rsa(algorithm, material, &F4).map_err(|_| Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        assert_eq!(Algorithm::from_jose("RS256"), Some(Algorithm::Rs256));
        assert_eq!(Algorithm::from_jose("Ed25519"), Some(Algorithm::Ed25519));
        for wrong in ["none", "None", "HS256", "rs256", "RS256 ", "ES256K", ""] {
            assert_eq!(Algorithm::from_jose(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn weak_rsa_keys_are_refused() {
        let mut modulus = vec![0xff; 256];
        assert!(VerifyingKey::rsa(Algorithm::Rs256, &modulus, &F4).is_ok());
        assert_eq!(
            VerifyingKey::rsa(Algorithm::Rs256, &modulus, &[3]),
            Err(KeyRefused::RsaExponent)
        );
        assert_eq!(
            VerifyingKey::rsa(Algorithm::Rs256, &[0xff; 128], &F4),
            Err(KeyRefused::RsaSize)
        );
        assert_eq!(
            VerifyingKey::rsa(Algorithm::Rs256, &[0xff; 513], &F4),
            Err(KeyRefused::RsaSize)
        );
        modulus[0] = 0;
        assert_eq!(
            VerifyingKey::rsa(Algorithm::Rs256, &modulus, &F4),
            Err(KeyRefused::RsaSize)
        );
        assert_eq!(
            VerifyingKey::rsa(Algorithm::Es256, &[0xff; 256], &F4),
            Err(KeyRefused::Shape)
        );
    }

    #[test]
    fn strict_base64url() {
        assert_eq!(from_base64url("AQ"), Some(vec![1]));
        for wrong in ["AQ==", "AR", "A", "A+", "A/", "A\n"] {
            assert_eq!(from_base64url(wrong), None, "{wrong:?}");
        }
    }
}
