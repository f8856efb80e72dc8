//! The frame around every request: request id, log line, metrics, and the one place that writes problem+json bodies and
//! error pages.
//!
//! What it does not log: paths, queries, bodies or headers. A secret may be in any of them; the route's pattern is logged.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};
use shared::crypto::base64url;
use tracing::Instrument as _;

use crate::app::App;
use crate::error::{ApiError, Code, Problem};
use crate::pages::{self, PageProblem};

/// Sent with every answer; taken over from the request where it is harmless text.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the current request, as an extension of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The middleware.
pub async fn frame(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = tokio::time::Instant::now();
    let id = request_id(request.headers(), &app);
    let method = method_name(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));

    let span = tracing::info_span!("request", request_id = %id, method, %route);
    let mut response = next.run(request).instrument(span.clone()).await;

    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.or_else(|| plain_refusal(&route, &response));
    let page = response.extensions_mut().remove::<PageProblem>();
    let code = problem.as_ref().map(|problem| problem.code.as_str());
    let code = code.or_else(|| page.as_ref().map(|page| page.code));
    if let Some(page) = page {
        if let Some(cause) = &page.cause {
            tracing::error!(parent: &span, error = format!("{cause:#}"), "internal error");
        }
        response = pages::render_error(&page, &id, response.headers());
    }
    if let Some(problem) = problem {
        if let Some(cause) = &problem.cause {
            tracing::error!(parent: &span, error = format!("{cause:#}"), "internal error");
        }
        response = render(&app.config.issuer, &problem, &id, response);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }

    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(parent: &span, status, code, ms, "answered");
    let labels = [
        ("method", method.to_owned()),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::counter!("portcullis_http_requests_total", &labels).increment(1);
    metrics::histogram!("portcullis_http_request_seconds", &labels[..2]).record(elapsed.as_secs_f64());
    response
}

/// A method as logs and metrics name it. HTTP admits any word as one: a caller would make labels without end, or log a secret.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 9] = [
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::TRACE, "TRACE"),
        (Method::CONNECT, "CONNECT"),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| known == method)
        .map_or("other", |(_, name)| name)
}

fn request_id(headers: &HeaderMap, app: &App) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    if let Some(given) = given.filter(|text| is_harmless(text)) {
        return given.to_owned();
    }
    // Without randomness the request fails where it needs some; the log line still has a name.
    app.random.bytes::<12>().map_or_else(
        |_| "req_unnamed".to_owned(),
        |bytes| format!("req_{}", base64url(&bytes)),
    )
}

/// Short text without anything that a log or a header could misread. An API key is longer.
fn is_harmless(text: &str) -> bool {
    (8..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What axum refuses by itself, such as a path that is no UTF-8, it refuses in plain text: in `/v1` it is a problem too.
fn plain_refusal(route: &str, response: &Response) -> Option<Problem> {
    let is_text = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let refused = route.starts_with("/v1/") && response.status().is_client_error() && is_text;
    let too_large = response.status() == StatusCode::PAYLOAD_TOO_LARGE;
    if refused && too_large {
        return Some(
            ApiError::new(
                Code::BodyTooLarge,
                "the body is larger than this endpoint reads; send less",
            )
            .into(),
        );
    }
    refused.then(|| {
        let detail = "the path or the parameters cannot be read; they are percent-encoded UTF-8";
        ApiError::invalid_field("path", detail).into()
    })
}

/// Turns a problem into its body (RFC 9457) and headers (RFC 6750 §3).
fn render(issuer: &str, problem: &Problem, request_id: &str, response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    let (status, code, title) = (problem.code.status(), problem.code.as_str(), problem.code.title());
    let mut body = json!({
        // RFC 9457 §3.1.1: a page that says what it means and what to do.
        "type": format!("{issuer}{}#{code}", crate::api::docs::ERRORS),
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "detail": problem.detail,
        "request_id": request_id,
    });
    if let Value::Object(members) = &mut body {
        if let Some(field) = &problem.field {
            members.insert("field".to_owned(), field.as_str().into());
        }
        if let Some(scope) = &problem.scope {
            members.insert("scope".to_owned(), scope.as_str().into());
        }
        members.extend(problem.extra.clone());
    }
    parts.status = status;
    let headers = &mut parts.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = challenge(problem) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body.to_string()))
}

/// RFC 6750 §3: no error code where no credential was sent. RFC 9449 §7.1: under the scheme that the caller came with.
fn challenge(problem: &Problem) -> Option<HeaderValue> {
    let scheme = if problem.dpop { "DPoP" } else { "Bearer" };
    let mut text = format!("{scheme} realm=\"portcullis\"");
    match problem.code {
        Code::CredentialsMissing => {}
        Code::InvalidToken => text.push_str(", error=\"invalid_token\""),
        Code::InvalidDpopProof => text.push_str(", error=\"invalid_dpop_proof\""),
        Code::InsufficientScope => {
            let scope = problem.scope.as_deref().unwrap_or_default();
            let _ = write!(text, ", error=\"insufficient_scope\", scope=\"{scope}\"");
        }
        _ => return None,
    }
    if problem.dpop {
        let _ = write!(text, ", algs=\"{}\"", shared::dpop::ALGORITHMS.join(" "));
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
