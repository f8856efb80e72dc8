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
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<Methods>, ApiError> {
    admin::show(&app, &caller, user_id(&user)?).await.map(Json)
}

/// `DELETE /v1/memberships/{user}/sign-in`: removes their factors; the password stays.
pub async fn remove(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<Methods>, ApiError> {
    admin::remove(&app, &caller, user_id(&user)?).await.map(Json)
}
