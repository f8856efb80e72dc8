//! `/v1/sessions`: HTTP in, HTTP out. The rules are in `admin`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::admin::{self, SessionView};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Admin;
use crate::http::json::StrictQuery;
use crate::http::paging;
use crate::keys::api::wait;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/sessions`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    user: Option<String>,
}

/// The answer of `GET /v1/sessions`.
#[derive(Debug, Serialize)]
pub struct SessionPage {
    /// The newest sign-in first.
    pub sessions: Vec<SessionView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The query of an end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndQuery {
    wait: Option<String>,
}

/// The query of `DELETE /v1/sessions`: whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndAllQuery {
    user: Option<String>,
    wait: Option<String>,
}

/// `GET /v1/sessions`
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<SessionPage>, ApiError> {
    let user = query.user.as_deref().map(str::parse).transpose();
    let user = user.map_err(|_| ApiError::invalid_field("user", "must be an id such as usr_000000001"))?;
    let limit = paging::limit(query.limit)?;
    let (sessions, next_cursor) = admin::list(&app, &caller, user, query.cursor.as_deref(), limit).await?;
    Ok(Json(SessionPage {
        sessions,
        next_cursor,
    }))
}

/// `DELETE /v1/sessions/{id}`
pub async fn end_one(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<EndQuery>,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("session"))?;
    let receipt = admin::end_one(&app, &caller, id, wait(query.wait.as_deref())?).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

/// `DELETE /v1/sessions?user=…`: all of one person's. Nothing is guessed: without a user it is refused.
pub async fn end_all(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<EndAllQuery>,
) -> Result<Response, ApiError> {
    let Some(user) = query.user else {
        let detail = "give `user`: whose sessions to end";
        return Err(ApiError::new(Code::MissingField, detail).field("user"));
    };
    let user = user.parse().map_err(|_| ApiError::not_found("member"))?;
    let ended = admin::end_all_of(&app, &caller, user, wait(query.wait.as_deref())?).await?;
    Ok(([NO_STORE], Json(ended)).into_response())
}
