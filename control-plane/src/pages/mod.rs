//! HTML: the layout that every page shares, its one stylesheet and icon, the headers that protect it, and errors as pages.
//!
//! Pages need no JavaScript and may not have any: the policy names no script source. The exception is passkeys, which
//! browsers give to scripts only: pages that offer them name our own origin, where there is one small script. Values are escaped by askama, whose
//! templates are in `templates/`. What it does not: know any feature; each has its own page types.

mod error;
mod moment;

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

pub use error::{PageError, PageProblem, render_error};
pub use moment::Moment;

const STYLESHEET: &str = include_str!("../../assets/portcullis.css");
const ICON: &str = include_str!("../../assets/portcullis.svg");
/// Of the stylesheet: a new text has a new address, so browsers may keep each for good.
const STYLESHEET_MARK: u64 = fnv1a(STYLESHEET.as_bytes());

const SCRIPT: &str = include_str!("../../assets/passkeys.js");
const SCRIPT_MARK: u64 = fnv1a(SCRIPT.as_bytes());
const ICON_MARK: u64 = fnv1a(ICON.as_bytes());

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// Chromium applies `form-action` to the redirects after a form as well, and these lead to a client's own address.
const POLICY_LEADING_ELSEWHERE: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const POLICY_WITH_SCRIPT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                                  base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const POLICY_WITH_SCRIPT_LEADING_ELSEWHERE: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                                                    img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

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

/// The path of the stylesheet.
pub fn stylesheet_path() -> String {
    format!("/assets/portcullis.{STYLESHEET_MARK:016x}.css")
}

/// `GET` [`stylesheet_path`].
pub async fn stylesheet() -> Response {
    asset("text/css; charset=utf-8", STYLESHEET)
}

/// The path of the icon.
pub fn icon_path() -> String {
    format!("/assets/portcullis.{ICON_MARK:016x}.svg")
}

/// `GET` [`icon_path`].
pub async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

/// `GET /favicon.ico`: browsers ask for it whatever a page says.
pub async fn favicon() -> Response {
    let mut response = icon().await;
    let kept = HeaderValue::from_static("public, max-age=86400");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    response
}

/// The path of the script.
pub fn script_path() -> String {
    format!("/assets/passkeys.{SCRIPT_MARK:016x}.js")
}

/// `GET` [`script_path`].
pub async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (fixed, text).into_response()
}

/// FNV-1a: tells texts apart at compile time. Not a cryptographic hash, and none is needed for a name.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        rest = tail;
    }
    hash
}
