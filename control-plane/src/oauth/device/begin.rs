//! `POST /device_authorization` (RFC 8628 §3.1): a device asks for a code to show and a secret to come back with.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::super::client_auth;
use super::super::error::{ErrorCode, OAuthError};
use super::super::form::Form;
use super::super::opaque::{Kind, Opaque};
use super::super::{request, resource};
use super::user_code::UserCode;
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::http::limit::Limited;
use crate::signing::SigningError;
use crate::store::clients::Client;
use crate::store::device_codes::DeviceCode;

/// A code that is taken is drawn again; there are 25 billion.
const DRAWS: u32 = 3;

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    Limited(address): Limited,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match begin(&app, address, query.as_deref(), &headers, &body).await {
        Ok(answer) => {
            let mut response = Json(answer).into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn begin(
    app: &App,
    address: ClientAddress,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, OAuthError> {
    // 1. The client, and what it asks for.
    let (client, form) = client_auth::identify(app, address, query, headers, body).await?;
    super::confirm(&client)?;
    // 2. Two codes.
    let secret = Opaque::generate(Kind::Device, &app.random).map_err(SigningError::from)?;
    let user_code = keep(app, &client, &form, &secret).await?;
    let (shown, issuer) = (user_code.shown(), &app.config.issuer);
    Ok(json!({
        "device_code": secret.expose(),
        "user_code": shown,
        "verification_uri": format!("{issuer}/device"),
        "verification_uri_complete": format!("{issuer}/device?user_code={shown}"),
        "expires_in": app.config.device.code_seconds,
        "interval": app.config.device.interval_seconds,
    }))
}

async fn keep(app: &App, client: &Client, form: &Form, secret: &Opaque) -> Result<UserCode, OAuthError> {
    let asked = request::asked(app, client, form).ok_or_else(|| {
        OAuthError::new(
            ErrorCode::InvalidScope,
            "a scope is unknown, or beyond what this client may have",
        )
    })?;
    let resource = resource::named_by(app, client, form.value("resource")).ok_or_else(resource::refused)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    for _ in 0..DRAWS {
        let user_code = UserCode::draw(&app.random).map_err(SigningError::from)?;
        let code = DeviceCode {
            digest: secret.digest(),
            user_code: user_code.digest(),
            client: client.identifier.clone(),
            scopes: asked.scopes,
            identity: asked.identity.bits(),
            resource: resource.clone(),
            interval_seconds: app.config.device.interval_seconds,
            created_at: now,
            expires_at: now.saturating_add(app.config.device.code_seconds * 1000),
            decided_at: None,
            person: None,
            used_at: None,
        };
        if tx.insert_device_code(&code).await? {
            tx.commit().await?;
            metrics::counter!("portcullis_device_codes_total").increment(1);
            return Ok(user_code);
        }
    }
    Err(OAuthError::new(
        ErrorCode::TemporarilyUnavailable,
        "no code is free; try again in a second",
    ))
}
