//! `/v1/workspaces`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::WorkspaceId;

use super::WorkspaceView;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::idempotency::Creation;
use crate::http::json::{NO_STORE, NoBody, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::http::tag::IfMatch;
use crate::http::wait::{WaitQuery, wait};

/// The query of `GET /v1/workspaces`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Those that were archived; those that are in use, if absent.
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
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkspaceName)]
pub struct NameBody {
    /// What people call it; not `all`.
    #[schema(min_length = 1, max_length = 100, example = "Staging")]
    name: String,
}

/// `GET /v1/workspaces`
#[utoipa::path(
    get, path = "/v1/workspaces", tag = "workspaces",
    summary = "List workspaces",
    description = "By name. Keys for each are counted up to ten.",
    params(
        ListQuery,
    ),
    responses((status = 200, description = "A page of workspaces.", body = WorkspacePage)),
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
    description = "No other of the organisation may have its name.",
    params(
        crate::http::idempotency::IdempotencyKeyHeader,
    ),
    request_body = NameBody,
    responses((status = 201, description = "The workspace.", body = WorkspaceView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`name_taken`.")),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Creation(body, idempotency): Creation<NameBody>,
) -> Result<Response, ApiError> {
    let made = super::create(&app, &caller, &body.name, idempotency).await?;
    let location = (LOCATION, format!("/v1/workspaces/{}", made.id));
    let headers = [NO_STORE, made.tag().header()];
    Ok((StatusCode::CREATED, headers, [location], Json(made)).into_response())
}

/// `GET /v1/workspaces/{id}`
#[utoipa::path(
    get, path = "/v1/workspaces/{id}", tag = "workspaces",
    summary = "Show a workspace",
    description = "Keys are counted up to a thousand.",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
    ),
    responses((status = 200, description = "The workspace.", body = WorkspaceView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(answer(super::show(&app, &caller, workspace_id(&id)?).await?))
}

/// `PATCH /v1/workspaces/{id}`
#[utoipa::path(
    patch, path = "/v1/workspaces/{id}", tag = "workspaces",
    summary = "Give a workspace another name",
    description = "Keys go by its id: nothing else changes.",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
        crate::http::tag::IfMatchHeader,
    ),
    request_body = NameBody,
    responses((status = 200, description = "The workspace as it is now.", body = WorkspaceView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`name_taken`.")),
)]
pub async fn rename(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<NameBody>,
) -> Result<Response, ApiError> {
    let change = (body.name.as_str(), &seen);
    let renamed = super::rename(&app, &caller, workspace_id(&id)?, change).await?;
    Ok(answer(renamed))
}

/// `POST /v1/workspaces/{id}/archive`
#[utoipa::path(
    post, path = "/v1/workspaces/{id}/archive", tag = "workspaces",
    summary = "Archive a workspace",
    description = "Revokes every key that is for the workspace alone, for good; nothing new is issued for it.",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
        WaitQuery,
    ),
    responses((status = 200, description = "The workspace, and the receipt.", body = super::Archived)),
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
    description = "What was revoked stays dead.",
    params(
        ("id" = String, Path, description = "The workspace.", pattern = "^ws_[0-9A-Za-z]{9}$", example = "ws_000000001"),
    ),
    responses((status = 200, description = "The workspace as it is now.", body = WorkspaceView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn restore(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    Ok(answer(super::restore(&app, &caller, workspace_id(&id)?).await?))
}

/// A workspace, with its version.
fn answer(workspace: WorkspaceView) -> Response {
    ([NO_STORE, workspace.tag().header()], Json(workspace)).into_response()
}

/// An id that is not even one is a workspace that is not there.
pub(crate) fn workspace_id(text: &str) -> Result<WorkspaceId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("workspace"))
}
