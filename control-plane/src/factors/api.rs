//! `/v1/memberships/{user}/sign-in`: how somebody can sign in, and the end of lost factors.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use shared::id::UserId;

use super::admin::{self, Methods};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;

fn user_id(text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("member"))
}

/// `GET /v1/memberships/{user}/sign-in`
#[utoipa::path(
    get, path = "/v1/memberships/{user}/sign-in", tag = "members", operation_id = "sign_in_show",
    summary = "Show how somebody can sign in",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
    ),
    responses((status = 200, description = "Their factors.", body = Methods)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<Methods>, ApiError> {
    admin::show(&app, &caller, user_id(&user)?).await.map(Json)
}

/// `DELETE /v1/memberships/{user}/sign-in`: removes their factors; the password stays.
#[utoipa::path(
    delete, path = "/v1/memberships/{user}/sign-in", tag = "members", operation_id = "sign_in_remove",
    summary = "Remove lost factors",
    description = "The authenticator app, recovery codes and passkeys of somebody who belongs to no other organisation; their sessions end, the password stays.",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
    ),
    responses((status = 200, description = "What is left.", body = Methods)),
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<Methods>, ApiError> {
    admin::remove(&app, &caller, user_id(&user)?).await.map(Json)
}
