//! What decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::usage;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = usage::decode(bytes) {
        assert_eq!(usage::encode(&batch), bytes);
    }
});
