//! What this server can do, and nothing that it cannot: RFC 8414 at `/.well-known/oauth-authorization-server`, OpenID Connect
//! Discovery at `/.well-known/openid-configuration`. One document serves both.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::assertion;
use super::scopes::Identity;
use super::{jar, jwt_bearer, token};
use crate::app::App;

/// Answers with the metadata document.
pub async fn get(State(app): State<Arc<App>>) -> Response {
    let issuer = &app.config.issuer;
    let scopes: Vec<&str> = Identity::NAMES
        .into_iter()
        .chain(app.catalogue().all().iter().map(String::as_str))
        .collect();
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "none",
    ];
    let proofs = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let algorithms = assertion::ALGORITHMS;
    let mut grants = vec![
        "authorization_code",
        "refresh_token",
        "client_credentials",
        token::DEVICE_CODE,
        token::TOKEN_EXCHANGE,
    ];
    let profiles = !app.config.identity_providers.is_empty();
    if profiles {
        grants.push(jwt_bearer::GRANT_TYPE);
    }
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        // Of some clients (RFC 9126 §6), not of all.
        "require_pushed_authorization_requests": false,
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "status_list_aggregation_endpoint": format!("{issuer}/status-lists"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": proofs,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "client_id_metadata_document_supported": app.config.clients.metadata_documents,
        "dpop_signing_alg_values_supported": shared::dpop::ALGORITHMS,
        // RFC 9207.
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "amr", "nonce", "sid", "name", "email"],
        "claims_parameter_supported": false,
        "request_parameter_supported": true,
        "request_object_signing_alg_values_supported": jar::ALGORITHMS,
        // Of other servers' objects; its default is true (OpenID Connect Discovery §3).
        "request_uri_parameter_supported": false,
    });
    if profiles {
        document["authorization_grant_profiles_supported"] = json!([jwt_bearer::PROFILE]);
    }
    if app.config.registration_is_open() {
        document["registration_endpoint"] = format!("{issuer}/register").into();
    }
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, document.to_string()).into_response()
}
