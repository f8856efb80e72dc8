//! `POST /v1/people/{user}/erase`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shared::id::UserId;

use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::StrictJson;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The body: the id once more, so that nobody is erased by a path that was put together wrongly.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseBody {
    confirm: String,
}

/// `POST /v1/people/{user}/erase`
pub async fn erase(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictJson(body, _): StrictJson<EraseBody>,
) -> Result<Response, ApiError> {
    let user: UserId = user.parse().map_err(|_| ApiError::not_found("member"))?;
    if body.confirm != user.to_string() {
        let detail = "repeat the id of the person: this cannot be undone";
        return Err(ApiError::invalid_field("confirm", detail));
    }
    let erased = super::erase(&app, &caller, user).await?;
    Ok(([NO_STORE], Json(erased)).into_response())
}
