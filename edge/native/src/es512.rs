//! ES512, which `jsonwebtoken` does not know, by the library that it uses for the others here.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};

/// Makes ES512 known to this process. A gate does so by itself.
pub fn install() {
    shared::crypto::install_es512(check);
}

fn check(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    // SEC 1 §2.3.3, uncompressed.
    let key = [&[4], point].concat();
    UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, key)
        .verify(message, signature)
        .is_ok()
}
