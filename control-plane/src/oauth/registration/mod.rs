//! Dynamic Client Registration (RFC 7591): `POST /register`. A registration costs no row: see [`sealed`].
//!
//! Closed unless `clients.registration` opens it (in `dev` it is open). Each address has a share of registrations; where
//! people may be sent back to can be limited by configuration. What it does not: software statements, initial access tokens.

pub mod manage;
pub mod metadata;
pub mod sealed;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use shared::strict_json;
use shared::time::UnixSeconds;

use self::metadata::{Metadata, MetadataError, Source};
use self::sealed::Registration;
use super::scopes::{Asked, Identity};
use super::token;
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::store::StoreError;

/// The largest registration that is read.
const MAX_BODY: usize = 16 * 1024;

/// An error of these endpoints: RFC 7591 §3.2.2, RFC 7592 §2, or RFC 6750 §3.1 for the registration access token.
#[derive(Clone, Debug)]
pub(super) struct RegistrationError {
    status: StatusCode,
    code: &'static str,
    description: String,
    retry_after: Option<u64>,
}

impl RegistrationError {
    fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status,
            code,
            description: description.into(),
            retry_after: None,
        }
    }
}

impl From<MetadataError> for RegistrationError {
    fn from(error: MetadataError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code, error.description)
    }
}

impl From<StoreError> for RegistrationError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a registration could not be read or changed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "internal error",
        )
    }
}

impl IntoResponse for RegistrationError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code, "error_description": self.description });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// `POST /register`.
pub async fn register(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = make(&app, address, &headers, &body);
    let result = outcome.as_ref().map_or_else(|error| error.code, |_| "registered");
    metrics::counter!("portcullis_registrations_total", "result" => result).increment(1);
    match outcome {
        Ok(answer) => answered(StatusCode::CREATED, &answer),
        Err(error) => error.into_response(),
    }
}

fn answered(status: StatusCode, answer: &Value) -> Response {
    let mut response = (status, Json(answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn make(
    app: &App,
    address: ClientAddress,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, RegistrationError> {
    // 1. Open, and not too often.
    if !app.config.registration_is_open() {
        return Err(RegistrationError::new(
            StatusCode::FORBIDDEN,
            "access_denied",
            "clients cannot register themselves here: use a client metadata document, or ask an administrator",
        ));
    }
    let limited = app.open_clients.registrations.take(&address.counted());
    limited.map_err(|many| RegistrationError {
        retry_after: Some(many.retry_after_seconds),
        ..RegistrationError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "temporarily_unavailable",
            "too many registrations from this address; try again later",
        )
    })?;
    // 2. What the client says.
    let members = read(headers, body)?;
    let registration = Registration {
        issued_at: app.clock.now().seconds(),
        metadata: Metadata::read(&members, Source::Registration, &app.config)?,
    };
    // 3. Its name is what it said.
    let client_id = app.open_clients.seals.seal(&registration).ok_or_else(|| MetadataError {
        code: "invalid_client_metadata",
        description: "this is too much for one client: register fewer redirect URIs, or use jwks_uri instead of jwks"
            .to_owned(),
    })?;
    Ok(describe(
        app,
        &client_id,
        registration.issued_at,
        &registration.metadata,
    ))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, MetadataError> {
    let invalid = |description: &str| MetadataError {
        code: "invalid_client_metadata",
        description: description.to_owned(),
    };
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|text| text.split(';').next())
        .unwrap_or_default()
        .trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(invalid("the Content-Type must be application/json"));
    }
    if body.len() > MAX_BODY {
        return Err(invalid("the body is larger than 16 KiB"));
    }
    strict_json::from_slice(body)
        .map_err(|_| invalid("the body is not a JSON object without duplicate members"))
}

fn grant_types(metadata: &Metadata) -> Vec<&'static str> {
    let mut all = vec!["authorization_code", "refresh_token"];
    all.extend(metadata.device_flow.then_some(token::DEVICE_CODE));
    all
}

/// RFC 7591 §3.2.1: everything that is registered, with what the client needs to use and manage it.
fn describe(app: &App, client_id: &str, issued_at: UnixSeconds, metadata: &Metadata) -> Value {
    let seals = &app.open_clients.seals;
    let scopes = Asked {
        scopes: app.open_clients.cap(app.catalogue()),
        identity: Identity::from_bits(u8::MAX),
    };
    let mut answer = json!({
        "client_id": client_id,
        "client_id_issued_at": issued_at,
        "client_name": metadata.client_name,
        "redirect_uris": metadata.redirect_uris,
        "token_endpoint_auth_method": metadata.method.as_str(),
        "application_type": metadata.application_type.as_str(),
        "grant_types": grant_types(metadata),
        "response_types": ["code"],
        "scope": scopes.join(app.catalogue()),
        "dpop_bound_access_tokens": metadata.dpop_bound_access_tokens,
        "require_pushed_authorization_requests": metadata.require_pushed_authorization_requests,
        "registration_access_token": seals.access_token(client_id).as_str(),
        "registration_client_uri": format!("{}/register/{client_id}", app.config.issuer),
    });
    if metadata.method.has_secret() {
        answer["client_secret"] = seals.secret(client_id).as_str().into();
        // It does not expire.
        answer["client_secret_expires_at"] = 0.into();
    }
    if !metadata.post_logout_redirect_uris.is_empty() {
        answer["post_logout_redirect_uris"] = metadata.post_logout_redirect_uris.clone().into();
    }
    if let Some(uri) = &metadata.backchannel_logout_uri {
        answer["backchannel_logout_uri"] = uri.as_str().into();
        answer["backchannel_logout_session_required"] = metadata.backchannel_logout_session_required.into();
    }
    if let Some(set) = &metadata.jwks {
        answer["jwks"] = set.clone();
    }
    if let Some(uri) = &metadata.jwks_uri {
        answer["jwks_uri"] = uri.as_str().into();
    }
    answer
}
