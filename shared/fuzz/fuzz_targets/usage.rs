//! What decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::usage::{self, Parcel, Record};

fuzz_target!(|bytes: &[u8]| {
    match usage::decode(bytes) {
        Ok(Record::Batch(batch)) => assert_eq!(usage::encode(&batch), bytes),
        Ok(Record::Opening(opening)) => assert_eq!(usage::encode_opening(&opening), bytes),
        Err(_) => {}
    }
    let _ = usage::split_records(bytes);
    if let Ok(parcel) = Parcel::decode(bytes) {
        assert_eq!(parcel.encode(), bytes);
    }
});
