//! Private keys: make one, sign with it, seal it for the database.
//!
//! Two kinds: Ed25519 (root, feed, API keys) and RSA-2048 with SHA-256 (`RS256`, access tokens). The material lives in
//! aws-lc's own key objects, which wipe themselves; a key is parsed once and signs many times.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use shared::crypto::{Algorithm, VerifyingKey};
use shared::id::SigningKeyId;
use zeroize::Zeroizing;

use super::Purpose;
use super::master::{MasterKeyError, Masters};

/// A key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// aws-lc refused.
    #[error("the cryptographic library refused the operation on a private key")]
    Crypto,
    /// Sealing or opening failed.
    #[error(transparent)]
    Master(#[from] MasterKeyError),
}

/// A private key that can sign. Its Debug form says nothing but its kind.
pub enum PrivateKey {
    /// RFC 8032.
    Ed25519(Ed25519KeyPair),
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256(Box<RsaKeyPair>),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "PrivateKey(Ed25519, redacted)",
            Self::Rs256(_) => "PrivateKey(RS256, redacted)",
        })
    }
}

impl PrivateKey {
    /// A fresh key of the kind that the purpose calls for. Takes some 100 ms for RSA: call it off the async threads.
    pub fn generate(purpose: Purpose) -> Result<Self, PrivateKeyError> {
        match purpose {
            Purpose::Root | Purpose::Feed | Purpose::ApiKey => Ed25519KeyPair::generate()
                .map(Self::Ed25519)
                .map_err(|_| PrivateKeyError::Crypto),
            Purpose::AccessToken => RsaKeyPair::generate(KeySize::Rsa2048)
                .map(|pair| Self::Rs256(Box::new(pair)))
                .map_err(|_| PrivateKeyError::Crypto),
        }
    }

    /// The signature over `message`: 64 bytes for Ed25519, 256 for RS256.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        match self {
            Self::Ed25519(pair) => pair
                .try_sign(message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| PrivateKeyError::Crypto),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| PrivateKeyError::Crypto)?;
                Ok(signature)
            }
        }
    }

    /// An Ed25519 signature as an array; an RSA key refuses.
    pub fn sign_ed25519(&self, message: &[u8]) -> Result<[u8; 64], PrivateKeyError> {
        self.sign(message)?
            .try_into()
            .map_err(|_| PrivateKeyError::Crypto)
    }

    /// The public half.
    pub fn public(&self) -> Result<VerifyingKey, PrivateKeyError> {
        match self {
            Self::Ed25519(pair) => pair
                .public_key()
                .as_ref()
                .try_into()
                .map(VerifyingKey::ed25519)
                .map_err(|_| PrivateKeyError::Crypto),
            Self::Rs256(pair) => VerifyingKey::rsa(
                Algorithm::Rs256,
                pair.public_key().modulus().big_endian_without_leading_zero(),
                pair.public_key().exponent().big_endian_without_leading_zero(),
            )
            .map_err(|_| PrivateKeyError::Crypto),
        }
    }

    /// The sealed form for the row `id`: it opens only as the same purpose and id.
    pub(super) fn seal(
        &self,
        master: &Masters,
        purpose: Purpose,
        id: SigningKeyId,
    ) -> Result<Vec<u8>, PrivateKeyError> {
        let material: Zeroizing<Vec<u8>> = match self {
            Self::Ed25519(pair) => {
                let seed = pair.seed().map_err(|_| PrivateKeyError::Crypto)?;
                let bytes: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| PrivateKeyError::Crypto)?;
                Zeroizing::new(bytes.as_ref().to_vec())
            }
            Self::Rs256(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| PrivateKeyError::Crypto)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
        };
        Ok(master.seal(&context(purpose, id), &material)?)
    }

    /// Opens what [`seal`](Self::seal) made.
    pub(super) fn open(
        master: &Masters,
        purpose: Purpose,
        id: SigningKeyId,
        sealed: &[u8],
    ) -> Result<Self, PrivateKeyError> {
        let material = master.open(&context(purpose, id), sealed)?;
        match purpose {
            Purpose::Root | Purpose::Feed | Purpose::ApiKey => Ed25519KeyPair::from_seed_unchecked(&material)
                .map(Self::Ed25519)
                .map_err(|_| PrivateKeyError::Crypto),
            Purpose::AccessToken => RsaKeyPair::from_pkcs8(&material)
                .map(|pair| Self::Rs256(Box::new(pair)))
                .map_err(|_| PrivateKeyError::Crypto),
        }
    }
}

pub(super) fn context(purpose: Purpose, id: SigningKeyId) -> String {
    format!("portcullis/signing-key/{}/{id}", purpose.as_str())
}
