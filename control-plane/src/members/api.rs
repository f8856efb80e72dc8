//! `/v1/memberships`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::UserId;

use super::{Change, Listing, MemberView};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::{Admin, Caller};
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::revocation::Wait;
use crate::store::members::{MemberKind, MemberState};
use crate::store::orgs::Role;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/memberships`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    kind: Option<MemberKind>,
    role: Option<Role>,
    state: Option<MemberState>,
    search: Option<String>,
}

/// The answer of `GET /v1/memberships`.
#[derive(Debug, Serialize)]
pub struct MemberPage {
    /// By name; by address where that is searched.
    pub memberships: Vec<MemberView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /v1/memberships`
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<MemberPage>, ApiError> {
    let listing = Listing {
        kind: query.kind.unwrap_or_default(),
        role: query.role,
        state: query.state,
        search: query.search.as_deref().unwrap_or_default(),
        cursor: query.cursor.as_deref(),
        limit: paging::limit(query.limit)?,
    };
    let (memberships, next_cursor) = super::list(&app, &caller, listing).await?;
    Ok(Json(MemberPage {
        memberships,
        next_cursor,
    }))
}

/// `GET /v1/memberships/{user}`
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<MemberView>, ApiError> {
    super::show(&app, &caller, user_id(&user)?).await.map(Json)
}

/// `GET /v1/memberships/{user}/holdings`
pub async fn holdings(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<super::Holdings>, ApiError> {
    super::holdings(&app, &caller, user_id(&user)?).await.map(Json)
}

/// The query of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    wait: Option<String>,
}

/// The body of `PATCH /v1/memberships/{user}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleBody {
    role: String,
}

/// No members are known.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// `PATCH /v1/memberships/{user}`
pub async fn change_role(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<RoleBody>,
) -> Result<Response, ApiError> {
    let expected = "must be `owner`, `admin`, `member` or `viewer`";
    let role: Role = body
        .role
        .parse()
        .map_err(|_| ApiError::invalid_field("role", expected))?;
    answer(&app, &caller, &user, Change::Role(role), &query).await
}

/// `POST /v1/memberships/{user}/suspend`
pub async fn suspend(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, Change::Suspend, &query).await
}

/// `POST /v1/memberships/{user}/resume`
pub async fn resume(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, Change::Resume, &query).await
}

/// `POST /v1/memberships/{user}/deactivate`
pub async fn deactivate(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, Change::Deactivate, &query).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    user: &str,
    change: Change,
    query: &WaitQuery,
) -> Result<Response, ApiError> {
    let wait = query.wait.as_deref().map_or(Ok(Wait::default()), |text| {
        text.parse()
            .map_err(|_| ApiError::invalid_field("wait", "expected `effective`, `ack` or `none`"))
    })?;
    let receipt = super::change(app, caller, user_id(user)?, change, wait).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

/// An id that is not even one is a member that is not there.
fn user_id(text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("member"))
}
