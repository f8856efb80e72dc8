//! The canonical form of a canonical form is itself, and holds nothing that two servers could read differently.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::path::canonical;

fuzz_target!(|raw: &str| {
    if let Ok(once) = canonical(raw) {
        assert_eq!(canonical(&once).as_ref(), Ok(&once));
        assert!(once.is_ascii() && !once.contains("//") && !once.contains('\\'));
        assert!(once.split('/').all(|segment| segment != "." && segment != ".."));
    }
});
