//! No text makes the token parser panic; what it accepts has three parts of strict base64url.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::crypto::{base64url, from_base64url};
use shared::token;

fuzz_target!(|text: &str| {
    if token::parse(text).is_ok() {
        assert_eq!(text.split('.').count(), 3);
        assert!(text.split('.').all(|part| from_base64url(part).map(|bytes| base64url(&bytes)).as_deref() == Some(part)));
    }
    // The same text as header and claims of a well-formed token.
    let wrapped = base64url(text.as_bytes());
    let header = base64url(br#"{"alg":"RS256","typ":"at+jwt","kid":"k1"}"#);
    let _ = token::parse(&format!("{wrapped}.{wrapped}.AQ"));
    let _ = token::parse(&format!("{header}.{wrapped}.AQ"));
});
