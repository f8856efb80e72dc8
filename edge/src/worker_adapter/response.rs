//! Every answer of the gate's own, and the only file with status codes.
//!
//! Bodies are problem+json ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with a stable `code` and the request id;
//! challenges follow RFC 6750 §3, RFC 9449 §7.1 and RFC 9728 §5.1. A caller never learns more than the class of a refusal.

use serde_json::Value;
use shared::feed::Refusal;
use shared::json_tree;
use wasm_bindgen::JsValue;

use super::http::{self, HeaderList};
use crate::answer;
pub(super) use crate::answer::*;
use crate::validator::Scheme;

/// 200.
pub(super) const OK: u16 = 200;
/// 202, to a self-revocation that the edge has taken for the control plane.
pub(super) const ACCEPTED: u16 = 202;
/// 304, of a control plane to a poll.
pub(super) const NOT_MODIFIED: u16 = 304;
/// 409, of the hub to an isolate: that proof came before.
pub(super) const CONFLICT: u16 = 409;
/// 204, to a preflight.
pub(super) const NO_CONTENT: u16 = 204;

/// What a publisher is told: 200 for what was known already, 409 where it has to send something else first.
pub(super) fn feed_status(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::Replayed => OK,
        Refusal::Malformed | Refusal::Unexpected => 400,
        Refusal::WrongFeed | Refusal::BadCertificate | Refusal::BadSignature | Refusal::KeyNotCertified => {
            403
        }
        Refusal::Gap | Refusal::Fork | Refusal::LowerEpoch | Refusal::Undoes | Refusal::Incompatible => 409,
    }
}

/// An answer of the gate's own that the runtime does not have yet.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderList,
    pub(super) body: String,
}

impl Answer {
    /// Hands it to the runtime.
    pub(super) fn send(&self) -> Result<web_sys::Response, JsValue> {
        http::answer(self.status, &self.headers, Some(&self.body))
    }
}

/// A problem as an answer. `headers` may hold CORS headers already.
pub(super) fn problem_answer(problem: Problem, request_id: &str, mut headers: HeaderList) -> Answer {
    problem.headers(request_id, |name, value| headers.push(name, value));
    Answer {
        status: problem.status,
        headers,
        body: problem.body(request_id),
    }
}

/// The same, sent.
pub(super) fn refuse(
    problem: Problem,
    request_id: &str,
    headers: HeaderList,
) -> Result<web_sys::Response, JsValue> {
    problem_answer(problem, request_id, headers).send()
}

/// Adds the `WWW-Authenticate` challenge that goes with a problem, if one does.
pub(super) fn challenge(
    headers: &mut HeaderList,
    problem: Problem,
    resource_metadata: &str,
    scope: &str,
    scheme: Option<Scheme>,
) {
    answer::challenge(problem, resource_metadata, scope, scheme, |name, value| {
        headers.push(name, value);
    });
}

/// A JSON answer.
pub(super) fn json_answer(
    status: u16,
    value: &Value,
    request_id: &str,
    mut headers: HeaderList,
) -> Result<web_sys::Response, JsValue> {
    headers.push("content-type", "application/json");
    headers.push("x-request-id", request_id);
    http::answer(status, &headers, Some(&json_tree::text(value)))
}
