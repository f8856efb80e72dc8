//! `jsonwebtoken`'s crypto provider over the runtime's native crypto. Verifies; never signs.
//!
//! Keys arrive as raw material and are imported once, into numbered slots on the JavaScript side. The table is bounded:
//! the oldest slot is used again when all are taken. Callers' own keys (DPoP) come here only after their thumbprint was
//! found in a token of ours. A slot holds one key *and* one algorithm, so that the padding put
//! onto an RSA key object for PS256 can never meet an RS256 signature.

use std::cell::RefCell;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use shared::crypto::install_es512;
use wasm_bindgen::prelude::*;

use crate::crypto_provider::{halves, named_material, provider};

#[wasm_bindgen(module = "/src/worker_adapter/crypto.js")]
extern "C" {
    fn import_key(slot: u32, alg: &str, first: &[u8], second: &[u8]) -> bool;
    fn verify(slot: u32, message: &[u8], signature: &[u8]) -> bool;
}

/// Imported keys at most. Enough for our own keys, those of foreign issuers, and a thousand callers with keys of their own.
const SLOTS: usize = 1024;

static PROVIDER: CryptoProvider = provider(verifier);

/// Makes this provider the one that all signature checks use. Called once, when the module starts.
pub(super) fn install() {
    // An error means that it is installed already.
    let _ = PROVIDER.install_default();
    install_es512(|point, message, signature| {
        let slot = halves(point).and_then(|(x, y)| slot("ES512", x, y));
        slot.is_some_and(|slot| verify(slot, message, signature))
    });
}

fn slot(name: &'static str, first: &[u8], second: &[u8]) -> Option<u32> {
    KEYS.with(|keys| keys.try_borrow_mut().ok()?.slot(name, first, second))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that the provider asks for"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (name, first, second) = named_material(*algorithm, key)?;
    let slot = slot(name, first, second).ok_or_else(|| Error::from(ErrorKind::InvalidKeyFormat))?;
    Ok(Box::new(RuntimeVerifier {
        algorithm: *algorithm,
        slot,
    }))
}

struct RuntimeVerifier {
    algorithm: Algorithm,
    slot: u32,
}

impl Verifier<Vec<u8>> for RuntimeVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        if verify(self.slot, message, signature) {
            Ok(())
        } else {
            Err(signature::Error::new())
        }
    }
}

impl JwtVerifier for RuntimeVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

thread_local! {
    static KEYS: RefCell<KeyTable> = const { RefCell::new(KeyTable { keys: Vec::new(), oldest: 0 }) };
}

/// Which key is in which slot.
struct KeyTable {
    keys: Vec<ImportedKey>,
    oldest: usize,
}

#[derive(PartialEq, Eq)]
struct ImportedKey {
    algorithm: &'static str,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl KeyTable {
    /// The slot of this key, which is imported if it is new; `None` if the runtime does not take it for a key.
    fn slot(&mut self, algorithm: &'static str, first: &[u8], second: &[u8]) -> Option<u32> {
        let known = self
            .keys
            .iter()
            .position(|key| key.algorithm == algorithm && key.first == first && key.second == second);
        if let Some(slot) = known {
            return u32::try_from(slot).ok();
        }
        let slot = if self.keys.len() < SLOTS {
            self.keys.len()
        } else {
            self.oldest
        };
        let number = u32::try_from(slot).ok()?;
        if !import_key(number, algorithm, first, second) {
            // The slot is empty now: nothing may find its former key there.
            if let Some(key) = self.keys.get_mut(slot) {
                *key = ImportedKey {
                    algorithm: "",
                    first: Vec::new(),
                    second: Vec::new(),
                };
            }
            return None;
        }
        let key = ImportedKey {
            algorithm,
            first: first.to_vec(),
            second: second.to_vec(),
        };
        match self.keys.get_mut(slot) {
            Some(place) => {
                *place = key;
                self.oldest = slot.saturating_add(1).checked_rem(SLOTS).unwrap_or(0);
            }
            None => self.keys.push(key),
        }
        Some(number)
    }
}
