//! From what the core says to what goes out.

use std::convert::Infallible;

use bytes::Bytes;
use edge::answer::{Problem, cors};
use edge::library::{HeaderPairs, Refused};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of answers: the gate's own, or one that is passed on.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    let never = |error: Infallible| match error {};
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    let never = |error: Infallible| match error {};
    crate::client::nothing().map_err(never).boxed_unsync()
}

/// Adds pairs to headers. `HeaderPairs` holds no value that a header cannot.
pub(crate) fn append(headers: &mut HeaderMap, pairs: &HeaderPairs) {
    for (name, value) in named(pairs) {
        headers.append(name, value);
    }
}

/// Sets headers to the values of pairs.
pub(crate) fn set(headers: &mut HeaderMap, pairs: &HeaderPairs) {
    for (name, value) in named(pairs) {
        headers.insert(name, value);
    }
}

fn named(pairs: &HeaderPairs) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    pairs.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        // Bytes, for a value may go beyond ASCII.
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    })
}

/// A refusal (or the answer to a preflight) as it goes out.
pub(crate) fn refusal(refused: &Refused) -> Response<Body> {
    let body = refused
        .body
        .as_deref()
        .map_or_else(empty, |text| full(text.to_owned()));
    let mut response = Response::new(body);
    *response.status_mut() = status(refused.status);
    append(response.headers_mut(), &refused.headers);
    response
}

/// A problem that has no verdict behind it.
pub(crate) fn problem(problem: Problem, request_id: &str) -> Response<Body> {
    problem_with(problem, request_id, HeaderPairs::default())
}

/// The same with headers.
pub(crate) fn problem_with(problem: Problem, request_id: &str, mut headers: HeaderPairs) -> Response<Body> {
    problem.headers(request_id, |name, value| headers.push(name, value));
    let mut response = Response::new(full(problem.body(request_id)));
    *response.status_mut() = status(problem.status);
    append(response.headers_mut(), &headers);
    response
}

/// An answer without a body.
pub(crate) fn bare(code: u16, headers: &HeaderPairs) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status(code);
    append(response.headers_mut(), headers);
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A document that every page may read: the metadata, or the gate's keys.
pub(crate) fn document(
    method: &Method,
    document: &serde_json::Value,
    asked_headers: Option<&str>,
    request_id: &str,
) -> Response<Body> {
    let mut headers = HeaderPairs::default();
    headers.push("access-control-allow-origin", "*");
    headers.push("x-request-id", request_id);
    match *method {
        Method::GET | Method::HEAD => {
            let mut response = Response::new(full(document.to_string()));
            append(response.headers_mut(), &headers);
            let fixed = response.headers_mut();
            fixed.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            fixed.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            response
        }
        Method::OPTIONS => {
            headers.push("access-control-allow-methods", "GET, HEAD");
            cors::grant_headers(asked_headers, |name, value| headers.push(name, value));
            bare(204, &headers)
        }
        _ => {
            let mut response = problem_with(edge::answer::METHOD_NOT_ALLOWED, request_id, headers);
            let fixed = response.headers_mut();
            fixed.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    }
}
