//! `jsonwebtoken`'s crypto provider over the platform's native crypto, by way of `crypto.js`. Verifies; never signs.
//!
//! Where the platform can only verify asynchronously, `crypto.js` notes the question and answers no; see [`crate::library`].

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier};
use jsonwebtoken::errors::Error;
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use shared::crypto::install_es512;
use wasm_bindgen::prelude::*;

use crate::crypto_provider::{halves, named_material, provider};

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

static PROVIDER: CryptoProvider = provider(verifier);

/// Makes this provider the one that all signature checks use.
pub(super) fn install() {
    // An error means that it is installed already.
    let _ = PROVIDER.install_default();
    install_es512(|point, message, signature| {
        let holds = |(x, y)| verify("ES512", x, y, message, signature).unwrap_or(false);
        halves(point).is_some_and(holds)
    });
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that the provider asks for"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (name, first, second) = named_material(*algorithm, key)?;
    Ok(Box::new(PlatformVerifier {
        algorithm: *algorithm,
        name,
        first: first.to_vec(),
        second: second.to_vec(),
    }))
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
