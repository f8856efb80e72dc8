//! `/v1/settings`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::Changes;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{OptionalJson, StrictJson};

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// `GET /v1/settings`
pub async fn show(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Response, ApiError> {
    let view = super::show(&app, &caller).await?;
    Ok(([NO_STORE], Json(view)).into_response())
}

/// `PATCH /v1/settings`
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(changes, _): StrictJson<Changes>,
) -> Result<Response, ApiError> {
    let view = super::change_settings(&app, &caller, changes).await?;
    Ok(([NO_STORE], Json(view)).into_response())
}

/// A body with nothing in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// `POST /v1/settings/signing-keys/{purpose}/rotate`
pub async fn rotate(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(purpose): Path<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Response, ApiError> {
    let purpose = purpose
        .parse()
        .map_err(|()| ApiError::not_found("purpose of signing keys"))?;
    let kid = super::rotate_signer(&app, &caller, purpose).await?;
    Ok((
        StatusCode::ACCEPTED,
        [NO_STORE],
        Json(json!({ "new_signing_key": kid })),
    )
        .into_response())
}
