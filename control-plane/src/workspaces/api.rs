//! `/v1/workspaces`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::WorkspaceId;

use super::WorkspaceView;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::keys::api::wait;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/workspaces`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    archived: Option<bool>,
}

/// The answer of `GET /v1/workspaces`.
#[derive(Debug, Serialize)]
pub struct WorkspacePage {
    /// By name.
    pub workspaces: Vec<WorkspaceView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The body of a create and of a rename.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameBody {
    name: String,
}

/// The query of an archiving.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    wait: Option<String>,
}

/// No members are known.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// `GET /v1/workspaces`
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
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<WorkspaceView>, ApiError> {
    super::show(&app, &caller, workspace_id(&id)?).await.map(Json)
}

/// `PATCH /v1/workspaces/{id}`
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
