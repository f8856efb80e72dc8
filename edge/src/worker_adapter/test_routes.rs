//! Routes that only a build with the feature `test-routes` has. Such a build is never deployed.

use wasm_bindgen::JsValue;

use super::http::{self, HeaderList, Incoming};
use super::response;
use crate::validator::vectors;

/// Panics in the middle of the fast path, where JavaScript waits for a verdict.
pub(super) const PANIC_ON_THE_FAST_PATH: &str = "/.portcullis/test/panic-fast";

const MAX_VECTORS: usize = 8 << 20;

/// Answers `/.portcullis/test/…`; `None` for any other path.
pub(super) async fn handle(
    request: &web_sys::Request,
    incoming: &Incoming,
) -> Option<Result<web_sys::Response, JsValue>> {
    match incoming.path.as_str() {
        "/.portcullis/test/panic" => provoke(),
        "/.portcullis/test/vectors" => Some(run_vectors(request, incoming, vectors::run).await),
        "/.portcullis/test/proofs" => Some(run_vectors(request, incoming, shared::dpop::vectors::run).await),
        _ => None,
    }
}

#[expect(
    clippy::panic,
    reason = "what the route is for: what does the isolate remember afterwards? (I13)"
)]
pub(super) fn provoke() -> ! {
    panic!("provoked by a test")
}

/// A file of vectors, judged by the same code in this runtime (I9).
async fn run_vectors<T: serde::Serialize>(
    request: &web_sys::Request,
    incoming: &Incoming,
    run: fn(&[u8]) -> Result<Vec<T>, &'static str>,
) -> Result<web_sys::Response, JsValue> {
    let body = http::body(request, MAX_VECTORS).await?.unwrap_or_default();
    let (status, answer) = match run(&body) {
        Ok(outcomes) => (response::OK, serde_json::to_value(outcomes).unwrap_or_default()),
        Err(part) => (
            response::INVALID_REQUEST.status,
            serde_json::json!({ "unusable": part }),
        ),
    };
    response::json_answer(status, &answer, &incoming.request_id, HeaderList::default())
}
