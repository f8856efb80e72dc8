//! CORS as headers; the rules are the validator's. Preflights are answered here, need no credential, and never reach an
//! origin server (Fetch standard, §3.2).
//!
//! An origin that the route does not list is never reflected, and credentials mode is never offered: the credential is a
//! header that the page's own code sets, not a cookie.

use shared::policy::{CompiledPolicy, CompiledRoute};
use wasm_bindgen::JsValue;

use super::http::{self, HeaderList, Incoming};
use super::response::{self, FORBIDDEN};
use crate::answer::cors as answer;
pub(super) use crate::answer::cors::is_ours;
use crate::validator;
use crate::validator::cors::Preflight;

/// Whether this is a preflight: an OPTIONS request with an origin and the method to come.
pub(super) fn is_preflight(incoming: &Incoming) -> bool {
    incoming.method == "OPTIONS" && incoming.origin.is_some() && incoming.preflight_method.is_some()
}

/// The headers that let the page at `origin` read an answer of this route; none if it is not listed.
pub(super) fn answer_headers(route: Option<&CompiledRoute>, origin: Option<&str>) -> HeaderList {
    let mut headers = HeaderList::default();
    answer::answer_headers(route, origin, |name, value| headers.push(name, value));
    headers
}

/// Answers a preflight.
pub(super) fn preflight(policy: &CompiledPolicy, incoming: &Incoming) -> Result<web_sys::Response, JsValue> {
    let method = incoming.preflight_method.as_deref().unwrap_or_default();
    let asked = Preflight {
        path: &incoming.path,
        origin: incoming.origin.as_deref().unwrap_or_default(),
        method,
    };
    let granted = validator::cors::preflight(policy, &asked).filter(|_| answer::is_token(method));
    let mut headers = answer_headers(granted.map(|(route, _)| route), incoming.origin.as_deref());
    headers.push("vary", answer::PREFLIGHT_VARY);
    if granted.is_none() {
        return response::refuse(FORBIDDEN, &incoming.request_id, headers);
    }
    headers.push("access-control-allow-methods", method);
    answer::grant_headers(incoming.preflight_headers.as_deref(), |name, value| {
        headers.push(name, value);
    });
    http::answer(response::NO_CONTENT, &headers, None)
}

/// Answers a preflight for a document that every page may read.
pub(super) fn open_preflight(incoming: &Incoming) -> Result<web_sys::Response, JsValue> {
    let mut headers = open_headers();
    headers.push("access-control-allow-methods", "GET, HEAD");
    answer::grant_headers(incoming.preflight_headers.as_deref(), |name, value| {
        headers.push(name, value);
    });
    http::answer(response::NO_CONTENT, &headers, None)
}

/// The headers of a document that every page may read.
pub(super) fn open_headers() -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push("access-control-allow-origin", "*");
    headers
}
