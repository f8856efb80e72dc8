//! Whatever compiles can be asked for any path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::policy::Policy;

fuzz_target!(|json: &[u8]| {
    if let Ok(policy) = Policy::from_json(json) {
        assert_eq!(Policy::from_json(&policy.to_json()).as_ref(), Ok(&policy));
        if let Ok(compiled) = policy.compile() {
            let _ = compiled.route("GET", "/a/b");
            let _ = compiled.bound_ms();
        }
    }
});
