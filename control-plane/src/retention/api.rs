//! `POST /v1/people/{user}/erase`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shared::id::UserId;
use utoipa::ToSchema;

use super::Erased;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{NO_STORE, StrictJson};

/// The body: the id once more, so that nobody is erased by a path that was put together wrongly.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Erasure)]
pub struct EraseBody {
    /// The id of the person.
    #[schema(pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001")]
    confirm: String,
}

/// `POST /v1/people/{user}/erase`
#[utoipa::path(
    post, path = "/v1/people/{user}/erase", tag = "members",
    summary = "Erase a person",
    description = "Owners only, after deactivation; cannot be undone. What this organisation keeps about them becomes unreadable, and with \
        the last organisation their account goes too. A second time gives the first answer.",
    params(("user" = String, Path, description = "The person.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001")),
    request_body = EraseBody,
    responses(
        (status = 200, description = "They are erased.", body = Erased),
        (status = 409, description = "`not_deactivated`, `rights_changed`."),
    ),
)]
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
