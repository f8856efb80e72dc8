//! What the tests of several modules need.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};

/// As `portcullis_edge::es512`, which is above this crate.
pub(crate) fn install_es512() {
    shared::crypto::install_es512(|point, message, signature| {
        let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, [&[4], point].concat());
        key.verify(message, signature).is_ok()
    });
}
