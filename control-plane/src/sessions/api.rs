//! `/v1/sessions`: HTTP in, HTTP out. The rules are in `admin`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::admin::{self, SessionView};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Admin;
use crate::http::json::{NO_STORE, StrictQuery};
use crate::http::paging;
use crate::http::wait::wait;

/// The query of `GET /v1/sessions`.
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
}

/// The answer of `GET /v1/sessions`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SessionPage {
    /// The newest sign-in first.
    pub sessions: Vec<SessionView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// The query of an end.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndQuery {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<crate::revocation::Wait>, inline)]
    wait: Option<String>,
}

/// The query of `DELETE /v1/sessions`: whose.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndAllQuery {
    /// Of this person.
    #[param(pattern = "^usr_[0-9A-Za-z]{9}$")]
    user: Option<String>,
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<crate::revocation::Wait>, inline)]
    wait: Option<String>,
}

/// `GET /v1/sessions`
#[utoipa::path(
    get, path = "/v1/sessions", tag = "sessions",
    summary = "List sessions",
    description = "Those in this organisation, the newest sign-in first.",
    params(
        ListQuery,
    ),
    responses((status = 200, description = "A page of sessions.", body = SessionPage)),
)]
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
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "sessions",
    summary = "End a session",
    description = "With what apps got in it. API keys go on.",
    params(
        ("id" = String, Path, description = "The session.", pattern = "^ses_[0-9A-Za-z]{9}$", example = "ses_000000001"),
        EndQuery,
    ),
    responses((status = 200, description = "The receipt.", body = crate::revocations::RevocationReceipt)),
)]
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
#[utoipa::path(
    delete, path = "/v1/sessions", tag = "sessions",
    summary = "End all sessions of one person",
    description = "In this organisation. Without `user` it is refused.",
    params(
        EndAllQuery,
    ),
    responses(
        (status = 200, description = "How many ended, and the receipt of the last.", body = super::admin::EndedAll),
        (status = 404, description = "There is no such member in the organisation."),
    ),
)]
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
