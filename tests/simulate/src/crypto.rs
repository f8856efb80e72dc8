//! Ed25519 for a hundred million checks: a provider for `jsonwebtoken` that remembers what it has verified, and keys from
//! fixed seeds. What is remembered is compared in full, never by a hash alone: a forged signature cannot hit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: refuse_to_sign,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Past this many the memory is emptied.
const MAX_REMEMBERED: usize = 200_000;

/// Makes the remembering provider the one of this process. Call it first.
pub(crate) fn install() {
    // An error means that it is installed already.
    let _ = PROVIDER.install_default();
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that the provider asks for"
)]
fn refuse_to_sign(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that the provider asks for"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let DecodingKeyKind::SecretOrDer(raw) = key.kind() else {
        return Err(ErrorKind::InvalidKeyFormat.into());
    };
    match (<[u8; 32]>::try_from(raw.as_slice()), algorithm) {
        (Ok(key), Algorithm::EdDSA) => Ok(Box::new(Remembering(key))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

struct Remembering([u8; 32]);

struct Checked {
    key: [u8; 32],
    message: Vec<u8>,
    signature: Vec<u8>,
    good: bool,
}

type Memory = HashMap<u64, Vec<Checked>, BuildHasherDefault<DefaultHasher>>;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(HashMap::default());
}

impl Verifier<Vec<u8>> for Remembering {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let good = MEMORY.with_borrow_mut(|memory| {
            // The signature and the length tell almost everything apart; the rest is compared.
            let hash = memory.hasher().hash_one((&self.0, message.len(), signature));
            let bucket = memory.entry(hash).or_default();
            let same = |known: &&Checked| {
                known.key == self.0 && known.signature == *signature && known.message == message
            };
            if let Some(known) = bucket.iter().find(same) {
                return known.good;
            }
            let key = UnparsedPublicKey::new(&ED25519, self.0);
            let good = key.verify(message, signature).is_ok();
            bucket.push(Checked {
                key: self.0,
                message: message.to_vec(),
                signature: signature.clone(),
                good,
            });
            if memory.len() > MAX_REMEMBERED {
                memory.clear();
            }
            good
        });
        if good {
            Ok(())
        } else {
            Err(signature::Error::new())
        }
    }
}

impl JwtVerifier for Remembering {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

/// A key pair whose seed is one byte over and over.
#[derive(Debug)]
pub(crate) struct Pair(Ed25519KeyPair);

impl Pair {
    /// The pair of a seed.
    pub(crate) fn of(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("any 32 bytes are a seed"))
    }

    /// The public half.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("32 bytes")
    }

    /// Signs.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("64 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::crypto::VerifyingKey;

    #[test]
    fn what_is_remembered_is_what_was_verified() {
        install();
        let (pair, other) = (Pair::of(1), Pair::of(2));
        let key = VerifyingKey::ed25519(pair.public());
        let signature = pair.sign(b"message");
        for _ in 0..2 {
            assert!(key.verify(b"message", &signature));
            assert!(!key.verify(b"massage", &signature));
            assert!(!VerifyingKey::ed25519(other.public()).verify(b"message", &signature));
            let mut forged = signature;
            forged[9] ^= 1;
            assert!(!key.verify(b"message", &forged));
        }
    }
}
