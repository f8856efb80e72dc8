//! No text makes the check of assertions panic, and none is one: nobody has signed it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::assertion::{self, Expected, TYPE};
use shared::crypto::{VerifyingKey, base64url};
use shared::time::UnixSeconds;

fuzz_target!(|text: &str| {
    let key = VerifyingKey::ed25519([7; 32]);
    let expected = Expected {
        issuer: "i",
        audience: "a",
        method: "GET",
        path: text,
        unbound: true,
    };
    let check = |text: &str| assertion::verify(text, std::slice::from_ref(&key), expected, UnixSeconds(1));
    assert!(check(text).is_err());
    let header = format!(r#"{{"alg":"EdDSA","typ":"{TYPE}","kid":"{}"}}"#, assertion::kid(&key));
    let (header, wrapped) = (base64url(header.as_bytes()), base64url(text.as_bytes()));
    assert!(check(&format!("{header}.{wrapped}.AQ")).is_err());
    assert!(check(&format!("{wrapped}.{wrapped}.AQ")).is_err());
});
