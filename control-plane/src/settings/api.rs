//! `/v1/settings`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Changes, SettingsView};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{NO_STORE, OptionalJson, StrictJson};
use crate::http::tag::{IfMatch, IfMatchHeader};

/// `GET /v1/settings`
#[utoipa::path(
    get, path = "/v1/settings", tag = "settings",
    summary = "Show settings",
    description = "What the organisation has set, what counts, and what the installation says.",
    responses((status = 200, description = "The settings.", body = SettingsView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Response, ApiError> {
    let view = super::show(&app, &caller).await?;
    Ok(([NO_STORE, super::tag(&view).header()], Json(view)).into_response())
}

/// `PATCH /v1/settings`
#[utoipa::path(
    patch, path = "/v1/settings", tag = "settings",
    summary = "Change settings",
    description = "Owners only. Members that are absent stay as they are; `null` takes a setting back.",
    params(IfMatchHeader),
    request_body = Changes,
    responses(
        (status = 200, description = "The settings as they are now.", body = SettingsView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    seen: IfMatch,
    StrictJson(changes, _): StrictJson<Changes>,
) -> Result<Response, ApiError> {
    let view = super::change_settings(&app, &caller, changes, &seen).await?;
    Ok(([NO_STORE, super::tag(&view).header()], Json(view)).into_response())
}

/// A signing key that takes over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SettingsRotation)]
pub struct Rotated {
    /// Its name.
    #[schema(example = "k7")]
    new_signing_key: String,
}

/// A body with nothing in it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SettingsNothing)]
pub struct Nothing {}

/// `POST /v1/settings/signing-keys/{purpose}/rotate`
#[utoipa::path(
    post, path = "/v1/settings/signing-keys/{purpose}/rotate", tag = "settings",
    summary = "Rotate a signing key",
    description = "Owners of the first organisation only. The new key signs as soon as every edge has it.",
    params(("purpose" = String, Path, description = "What it signs.", pattern = "^(api_key|access_token|feed)$", example = "api_key")),
    request_body = Option<Nothing>,
    responses(
        (status = 202, description = "The new key.", body = Rotated),
        (status = 409, description = "`already_rotated`, `rights_changed`."),
    ),
)]
pub async fn rotate(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(purpose): Path<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Response, ApiError> {
    let purpose = purpose
        .parse()
        .map_err(|()| ApiError::not_found("purpose of signing keys"))?;
    let new_signing_key = super::rotate_signer(&app, &caller, purpose).await?;
    let body = Rotated { new_signing_key };
    Ok((StatusCode::ACCEPTED, [NO_STORE], Json(body)).into_response())
}
