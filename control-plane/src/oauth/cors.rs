//! CORS of the endpoints that programs in a browser call: any origin, and never with cookies.
//!
//! These endpoints know no cookie, so an origin gains nothing that a server of its own could not do. `/authorize` and the
//! pages have none of this: a browser is sent there, no script may read them (OAuth 2.1).

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// The middleware: lets every origin read the answer.
pub async fn open(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("dpop-nonce, retry-after, www-authenticate, x-request-id"),
    );
    response
}

/// `OPTIONS`: what a script may send.
pub async fn preflight() -> Response {
    let fixed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, dpop, mcp-protocol-version, x-request-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
    ];
    (StatusCode::NO_CONTENT, fixed).into_response()
}
