//! `/v1/workspaces`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::WorkspaceId;
use utoipa::{IntoParams, ToSchema};

use super::WorkspaceView;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::keys::api::wait;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/workspaces`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Those that are archived, instead of those in use.
    archived: Option<bool>,
}

/// The answer of `GET /v1/workspaces`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WorkspacePage {
    /// By name.
    pub workspaces: Vec<WorkspaceView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// The body of a create and of a rename.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkspaceName)]
pub struct NameBody {
    /// What people call it.
    #[schema(example = "staging")]
    name: String,
}

/// The query of an archiving.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<crate::revocation::Wait>, inline)]
    wait: Option<String>,
}

/// No members are known.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// `GET /v1/workspaces`
#[utoipa::path(
    get, path = "/v1/workspaces", tag = "workspaces",
    summary = "List workspaces",
    description = "By name. A credential for one workspace sees that one.",
    params(
        ListQuery,
    ),
    responses(
        (status = 200, description = "A page of workspaces.", body = WorkspacePage),
    ),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<WorkspacePage>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let archived = query.archived.unwrap_or(false);
    let (workspaces, next_cursor) =
        super::list(&app, &caller, archived, query.cursor.as_deref(), limit).await?;
    Ok(Json(WorkspacePage {
        workspaces,
        next_cursor,
    }))
}

/// `POST /v1/workspaces`
#[utoipa::path(
    post, path = "/v1/workspaces", tag = "workspaces",
    summary = "Make a workspace",
    request_body = NameBody,
    responses(
        (status = 201, description = "The workspace.", body = WorkspaceView),
        (status = 409, description = "`name_taken`, `too_many`, `rights_changed`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(body, _): StrictJson<NameBody>,
) -> Result<Response, ApiError> {
    let made = super::create(&app, &caller, &body.name).await?;
    let location = (LOCATION, format!("/v1/workspaces/{}", made.id));
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(made)).into_response())
}

/// `GET /v1/workspaces/{id}`
#[utoipa::path(
    get, path = "/v1/workspaces/{id}", tag = "workspaces",
    summary = "Show a workspace",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
    ),
    responses(
        (status = 200, description = "The workspace.", body = WorkspaceView),
    ),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<WorkspaceView>, ApiError> {
    super::show(&app, &caller, workspace_id(&id)?).await.map(Json)
}

/// `PATCH /v1/workspaces/{id}`
#[utoipa::path(
    patch, path = "/v1/workspaces/{id}", tag = "workspaces",
    summary = "Rename a workspace",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
    ),
    request_body = NameBody,
    responses(
        (status = 200, description = "The workspace as it is now.", body = WorkspaceView),
        (status = 409, description = "`name_taken`, `rights_changed`."),
    ),
)]
pub async fn rename(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictJson(body, _): StrictJson<NameBody>,
) -> Result<Json<WorkspaceView>, ApiError> {
    super::rename(&app, &caller, workspace_id(&id)?, &body.name)
        .await
        .map(Json)
}

/// `POST /v1/workspaces/{id}/archive`
#[utoipa::path(
    post, path = "/v1/workspaces/{id}/archive", tag = "workspaces",
    summary = "Archive a workspace",
    description = "Ends every key that is for it alone.",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The workspace, and the receipt.", body = super::Archived),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn archive(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let archived = super::archive(&app, &caller, workspace_id(&id)?, wait).await?;
    Ok(([NO_STORE], Json(archived)).into_response())
}

/// `POST /v1/workspaces/{id}/restore`
#[utoipa::path(
    post, path = "/v1/workspaces/{id}/restore", tag = "workspaces",
    summary = "Take a workspace out of the archive",
    description = "What was ended stays dead.",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
    ),
    responses(
        (status = 200, description = "The workspace as it is now.", body = WorkspaceView),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn restore(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    let restored = super::restore(&app, &caller, workspace_id(&id)?).await?;
    Ok(([NO_STORE], Json(restored)).into_response())
}

/// An id that is not even one is a workspace that is not there.
pub(crate) fn workspace_id(text: &str) -> Result<WorkspaceId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("workspace"))
}
