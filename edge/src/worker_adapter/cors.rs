//! CORS as headers; the rules are the validator's. Preflights are answered here, need no credential, and never reach an
//! origin server (Fetch standard, §3.2).
//!
//! An origin that the route does not list is never reflected, and credentials mode is never offered: the credential is a
//! header that the page's own code sets, not a cookie.

use shared::policy::{CompiledPolicy, CompiledRoute};
use wasm_bindgen::JsValue;

use super::http::{self, HeaderList, Incoming};
use super::response::{self, FORBIDDEN};
use crate::validator;
use crate::validator::cors::{Preflight, allowed_origin};

/// What pages may read beyond the plain headers.
const EXPOSED: &str =
    "WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Mcp-Session-Id";
const MAX_AGE_SECONDS: &str = "600";

/// Whether this is a preflight: an OPTIONS request with an origin and the method to come.
pub(super) fn is_preflight(incoming: &Incoming) -> bool {
    incoming.method == "OPTIONS" && incoming.origin.is_some() && incoming.preflight_method.is_some()
}

/// Whether the policy, and not the origin, answers CORS on this route.
pub(super) fn is_ours(route: &CompiledRoute) -> bool {
    !route.route.public || !route.route.browser_origins.is_empty()
}

/// The headers that let the page at `origin` read an answer of this route; none if it is not listed.
pub(super) fn answer_headers(route: Option<&CompiledRoute>, origin: Option<&str>) -> HeaderList {
    let mut headers = HeaderList::default();
    if let Some(allowed) = route
        .zip(origin)
        .and_then(|(route, origin)| allowed_origin(route, origin))
    {
        headers.push("access-control-allow-origin", allowed);
        headers.push("access-control-expose-headers", EXPOSED);
    }
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
    let granted = validator::cors::preflight(policy, &asked).filter(|_| is_token(method));
    let mut headers = answer_headers(granted.map(|(route, _)| route), incoming.origin.as_deref());
    headers.push(
        "vary",
        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    );
    if granted.is_none() {
        return response::refuse(FORBIDDEN, &incoming.request_id, headers);
    }
    headers.push("access-control-allow-methods", method);
    grant_headers(&mut headers, incoming);
    http::answer(response::NO_CONTENT, &headers, None)
}

/// Answers a preflight for a document that every page may read.
pub(super) fn open_preflight(incoming: &Incoming) -> Result<web_sys::Response, JsValue> {
    let mut headers = open_headers();
    headers.push("access-control-allow-methods", "GET, HEAD");
    grant_headers(&mut headers, incoming);
    http::answer(response::NO_CONTENT, &headers, None)
}

/// The headers of a document that every page may read.
pub(super) fn open_headers() -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push("access-control-allow-origin", "*");
    headers
}

/// Allows the headers that the page asks for, except those that only the gate may set.
fn grant_headers(headers: &mut HeaderList, incoming: &Incoming) {
    let asked = incoming
        .preflight_headers
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    let granted: Vec<&str> = asked
        .filter(|name| is_token(name) && !is_identity_header(name))
        .take(64)
        .collect();
    if !granted.is_empty() {
        headers.push("access-control-allow-headers", &granted.join(", "));
    }
    headers.push("access-control-max-age", MAX_AGE_SECONDS);
}

fn is_identity_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.strip_prefix("x-")
        .unwrap_or(&name)
        .starts_with("portcullis-")
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
