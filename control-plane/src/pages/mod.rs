//! HTML: the layout that every page shares, its assets, the headers that protect it, and errors as pages.
//!
//! Pages need no JavaScript, and most may not have any: the policy names no script source. The exceptions are passkeys, which
//! browsers give to scripts only, and the dashboard, which is nicer with it; they name our own origin. Values are escaped by askama, whose
//! templates are in `templates/`. What it does not: know any feature; each has its own page types.

pub mod assets;
mod error;
mod moment;

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

pub use assets::asset_path;
pub use error::{PageError, PageProblem, render_error};
pub use moment::Moment;

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// Chromium applies `form-action` to the redirects after a form as well, and these lead to a client's own address.
const POLICY_LEADING_ELSEWHERE: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const POLICY_WITH_SCRIPT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                                  base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const POLICY_WITH_SCRIPT_LEADING_ELSEWHERE: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                                                    img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The dashboard's scripts ask our own origin for parts of pages.
const POLICY_OF_DASHBOARD: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                                   base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page whose forms stay here.
pub fn html(status: StatusCode, page: &impl Template) -> Response {
    with_policy(status, page, POLICY)
}

/// A page whose form may end at a client's redirect address: sign-in, consent.
pub fn html_leading_elsewhere(status: StatusCode, page: &impl Template) -> Response {
    with_policy(status, page, POLICY_LEADING_ELSEWHERE)
}

/// Like [`html`], for a page that asks for passkeys.
pub fn html_with_script(status: StatusCode, page: &impl Template) -> Response {
    with_policy(status, page, POLICY_WITH_SCRIPT)
}

/// Like [`html_leading_elsewhere`], for a page that asks for passkeys.
pub fn html_with_script_leading_elsewhere(status: StatusCode, page: &impl Template) -> Response {
    with_policy(status, page, POLICY_WITH_SCRIPT_LEADING_ELSEWHERE)
}

/// A page of the dashboard.
pub fn html_of_dashboard(status: StatusCode, page: &impl Template) -> Response {
    with_policy(status, page, POLICY_OF_DASHBOARD)
}

fn with_policy(status: StatusCode, page: &impl Template, policy: &'static str) -> Response {
    let text = match page.render() {
        Ok(text) => text,
        Err(error) => return PageError::internal(error).into_response(),
    };
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    protect(headers);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Headers of every answer that a browser shows or follows: pages and the redirects between them.
pub fn protect(headers: &mut HeaderMap) {
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Not `no-referrer`: browsers then send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let more = [
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ];
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// For a page whose address holds a secret: nobody it leads to learns its address. Its forms are sent without an origin,
/// which `sessions::csrf` knows.
pub fn hide_address(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
