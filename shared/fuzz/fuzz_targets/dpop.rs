//! No text makes the proof parser panic; what it accepts is short, has three parts of strict base64url, and names a target
//! in its one form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::crypto::{base64url, from_base64url};
use shared::dpop::{self, Expected, Target};
use shared::time::UnixSeconds;

fuzz_target!(|text: &str| {
    if dpop::is_readable(text) {
        assert!(text.len() <= dpop::MAX_LENGTH);
        assert!(text.split('.').all(|part| from_base64url(part).map(|bytes| base64url(&bytes)).as_deref() == Some(part)));
    }
    if let Some(target) = Target::parse(text) {
        let again = Target::parse(&format!("{}{}", target.origin, target.path));
        assert_eq!(again.as_ref(), Some(&target), "one form");
        let expected = Expected { method: "GET", target: &target, now: UnixSeconds(1_795_219_200), token: None, key: None };
        let _ = dpop::check(text, &expected);
    }
    // The same text as header, as jwk and as claims of a well-formed proof.
    let wrapped = base64url(text.as_bytes());
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let header = base64url(format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}}"#).as_bytes());
    let around = base64url(format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{text}}}"#).as_bytes());
    let _ = dpop::is_readable(&format!("{wrapped}.{wrapped}.AQ"));
    let _ = dpop::is_readable(&format!("{header}.{wrapped}.AQ"));
    let _ = dpop::is_readable(&format!("{around}.{wrapped}.AQ"));
});
