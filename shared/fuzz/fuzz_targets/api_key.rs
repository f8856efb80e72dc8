//! A text that parses is the one text of its statement.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::key;

fuzz_target!(|text: &str| {
    let _ = key::has_key_shape(text);
    if let Ok(parsed) = key::parse(text) {
        let again = key::build(parsed.brand, parsed.environment, &parsed.statement, |_| Ok::<_, ()>(parsed.signature));
        assert_eq!(again.map(|key| key.expose().to_owned()), Ok(text.to_owned()));
    }
});
