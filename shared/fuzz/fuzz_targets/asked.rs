//! What another server asks about (nginx `auth_request`, `forwardAuth`): no headers make the reading of it panic, and what is read is one
//! method, one path without query and fragment, and at most one credential.
#![no_main]

use edge::original;
use edge::validator::{Credential, Scheme};
use libfuzzer_sys::fuzz_target;
use shared::path;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut next = || lines.next().filter(|line| *line != "\0");
    let (methods, uris) = ((next(), next()), (next(), next()));
    if let Some((method, path)) = original::named(methods, uris) {
        assert!(!method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'));
        assert!(path.starts_with('/') && !path.contains(['?', '#']));
        for (named, said) in [(method, methods), (path, uris)] {
            for value in [said.0, said.1].into_iter().flatten() {
                assert!(value.starts_with(named));
            }
        }
        if let Ok(canonical) = path::canonical(path) {
            assert_eq!(path::canonical(&canonical).as_deref(), Ok(canonical.as_str()));
            assert!(!canonical.contains("//") && !canonical.split('/').any(|part| part == "." || part == ".."));
        }
    }
    let authorization = next();
    if let Ok(credential) = Credential::from_authorization(authorization) {
        assert!(Scheme::of(authorization.unwrap_or_default()).is_some());
        assert!(!credential.text().contains([',', ' ']));
    }
});
