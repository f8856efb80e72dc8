//! `/v1/grants`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::{GrantView, Listing};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::StrictQuery;
use crate::http::paging;
use crate::keys::api::wait;
use crate::revocations::Reason;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/grants`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    user: Option<String>,
    client: Option<String>,
}

/// The answer of `GET /v1/grants`.
#[derive(Debug, Serialize)]
pub struct GrantPage {
    /// Newest first.
    pub grants: Vec<GrantView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The query of a revocation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeQuery {
    wait: Option<String>,
    reason: Option<String>,
}

/// `GET /v1/grants`
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<GrantPage>, ApiError> {
    let invalid = |field: &'static str, example: &'static str| {
        move |_| ApiError::invalid_field(field, format!("must be an id such as {example}"))
    };
    let user = query.user.as_deref().map(str::parse).transpose();
    let client = query.client.as_deref().map(str::parse).transpose();
    let listing = Listing {
        user: user.map_err(invalid("user", "usr_000000001"))?,
        client: client.map_err(invalid("client", "cli_000000001"))?,
        cursor: query.cursor.as_deref(),
        limit: paging::limit(query.limit)?,
    };
    let (grants, next_cursor) = super::list(&app, &caller, listing).await?;
    Ok(Json(GrantPage { grants, next_cursor }))
}

/// `GET /v1/grants/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<GrantView>, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("grant"))?;
    super::show(&app, &caller, id).await.map(Json)
}

/// `DELETE /v1/grants/{id}`
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<RevokeQuery>,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("grant"))?;
    let reason: Reason = query.reason.as_deref().map_or(Ok(Reason::default()), |text| {
        text.parse()
            .map_err(|expected: String| ApiError::invalid_field("reason", expected))
    })?;
    let receipt = super::revoke(&app, &caller, id, reason, wait(query.wait.as_deref())?).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}
