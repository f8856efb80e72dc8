//! No bytes make a decoder panic, and what decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::feed::{Certificate, Envelope, FetchRequest, Frame, Heartbeat, Snapshot, State, split_message};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(frame.encode(), bytes);
        let mut state = State::default();
        for entry in frame.entries {
            if state.admits(&entry) && state.revoked_count() < 1 << 20 {
                state.join(entry);
            }
        }
        if state.revoked_count() < 1 << 20 {
            assert_eq!(State::decode(&state.encode()), Ok(state));
        }
    }
    if let Ok(heartbeat) = Heartbeat::decode(bytes) {
        assert_eq!(heartbeat.encode(), bytes);
    }
    if let Ok(request) = FetchRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok(certificate) = Certificate::decode(bytes) {
        assert_eq!(certificate.encode(), bytes);
    }
    let _ = State::decode(bytes);
    let _ = Snapshot::decode(bytes);
    let _ = split_message(bytes);
    if let Ok(envelope) = Envelope::decode(bytes) {
        let _ = Frame::decode(envelope.body);
        let _ = Snapshot::decode(envelope.body);
    }
});
