//! `GET /.well-known/oauth-authorization-server` (RFC 8414): what this server can do, and nothing that it cannot.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;

/// Answers with the metadata document.
pub async fn get(State(app): State<Arc<App>>) -> Response {
    let issuer = &app.config.issuer;
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": app.catalogue().all(),
        // RFC 8414 §2 requires the member; there is no authorization endpoint, so there is no response type.
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, document.to_string()).into_response()
}
