//! `/v1/grants`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::{GrantView, Listing};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{NO_STORE, StrictQuery};
use crate::http::paging;
use crate::http::wait::wait;
use crate::revocations::Reason;

/// The query of `GET /v1/grants`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Of this person.
    #[param(pattern = "^usr_[0-9A-Za-z]{9}$")]
    user: Option<String>,
    /// Of this client.
    #[param(pattern = "^cli_[0-9A-Za-z]{9}$")]
    client: Option<String>,
}

/// The answer of `GET /v1/grants`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GrantPage {
    /// Newest first.
    pub grants: Vec<GrantView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// The query of a revocation.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevokeQuery {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<crate::revocation::Wait>, inline)]
    wait: Option<String>,
    /// Why; `unspecified`, if absent.
    #[param(value_type = Option<crate::revocations::Reason>, inline)]
    reason: Option<String>,
}

/// `GET /v1/grants`
#[utoipa::path(
    get, path = "/v1/grants", tag = "grants",
    summary = "List grants",
    description = "Newest first: one for each agreement between a person and an app.",
    params(
        ListQuery,
    ),
    responses((status = 200, description = "A page of grants.", body = GrantPage)),
)]
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
#[utoipa::path(
    get, path = "/v1/grants/{id}", tag = "grants",
    summary = "Show a grant",
    params(
        ("id" = String, Path, description = "The grant.", pattern = "^grt_[0-9A-Za-z]{9}$", example = "grt_000000001"),
    ),
    responses((status = 200, description = "The grant.", body = GrantView)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<GrantView>, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("grant"))?;
    super::show(&app, &caller, id).await.map(Json)
}

/// `DELETE /v1/grants/{id}`
#[utoipa::path(
    delete, path = "/v1/grants/{id}", tag = "grants",
    summary = "End a grant for good",
    description = "With every token that came of it. What was agreed to is forgotten: the app has to ask again.",
    params(
        ("id" = String, Path, description = "The grant.", pattern = "^grt_[0-9A-Za-z]{9}$", example = "grt_000000001"),
        RevokeQuery,
    ),
    responses((status = 200, description = "The receipt.", body = crate::revocations::SingleReceipt)),
)]
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
