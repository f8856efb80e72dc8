//! `/v1/memberships`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::UserId;
use utoipa::{IntoParams, ToSchema};

use super::{Change, Holdings, Listing, MemberReceipt, MemberView};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::{Admin, Caller};
use crate::http::json::{NO_STORE, NoBody, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::http::tag::{IfMatch, IfMatchHeader};
use crate::http::wait::{WaitQuery, wait};
use crate::store::members::{MemberKind, MemberState};
use crate::store::orgs::Role;

/// The query of `GET /v1/memberships`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// People, if absent, or programs.
    #[param(inline)]
    kind: Option<MemberKind>,
    /// With this role.
    #[param(inline)]
    role: Option<Role>,
    /// In this state.
    #[param(inline)]
    state: Option<MemberState>,
    /// How the name begins, or the address, if there is an `@` in it.
    #[param(max_length = 254)]
    search: Option<String>,
}

/// The answer of `GET /v1/memberships`.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberPage {
    /// By name; by address where that is searched.
    pub memberships: Vec<MemberView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// `GET /v1/memberships`
#[utoipa::path(
    get, path = "/v1/memberships", tag = "members",
    summary = "List members",
    description = "By name, or by address where that is searched: people, or programs with `kind=service`.",
    params(ListQuery),
    responses((status = 200, description = "A page of members.", body = MemberPage)),
)]
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
#[utoipa::path(
    get, path = "/v1/memberships/{user}", tag = "members",
    summary = "Show a member",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
    ),
    responses((status = 200, description = "The member.", body = MemberView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let (member, tag) = super::show(&app, &caller, user_id(&user)?).await?;
    Ok(([tag.header()], Json(member)).into_response())
}

/// `GET /v1/memberships/{user}/holdings`
#[utoipa::path(
    get, path = "/v1/memberships/{user}/holdings", tag = "members",
    summary = "List what acts for a member",
    description = "Keys, apps and sessions with their last use, a hundred of each at most: what dies with a deactivation.",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
    ),
    responses((status = 200, description = "What they have.", body = Holdings)),
)]
pub async fn holdings(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<Holdings>, ApiError> {
    super::holdings(&app, &caller, user_id(&user)?).await.map(Json)
}

/// The body of `PATCH /v1/memberships/{user}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MemberChange)]
pub struct RoleBody {
    /// The new role.
    #[schema(value_type = Role)]
    role: String,
}

/// `PATCH /v1/memberships/{user}`
#[utoipa::path(
    patch, path = "/v1/memberships/{user}", tag = "members",
    summary = "Give a member another role",
    description = "The role is the ceiling of every key and token that acts for them, also of those that were given out before.",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
        IfMatchHeader,
    ),
    request_body = RoleBody,
    responses(
        (status = 200, description = "The member as they are now, and the receipt.", body = MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`last_owner`, `rights_changed`."),
    ),
)]
pub async fn change_role(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<RoleBody>,
) -> Result<Response, ApiError> {
    let expected = "must be `owner`, `admin`, `member` or `viewer`";
    let role: Role = body
        .role
        .parse()
        .map_err(|_| ApiError::invalid_field("role", expected))?;
    answer(&app, &caller, &user, (Change::Role(role), &seen), &query).await
}

/// `POST /v1/memberships/{user}/suspend`
#[utoipa::path(
    post, path = "/v1/memberships/{user}/suspend", tag = "members",
    summary = "Suspend a member",
    description = "Their keys and tokens can do nothing until they are resumed.",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The member as they are now, and the receipt.", body = MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`last_owner`, `rights_changed`."),
    ),
)]
pub async fn suspend(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, (Change::Suspend, &IfMatch::Any), &query).await
}

/// `POST /v1/memberships/{user}/resume`
#[utoipa::path(
    post, path = "/v1/memberships/{user}/resume", tag = "members",
    summary = "Let a suspended member in again",
    description = "What was ended by a deactivation stays dead.",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The member as they are now, and the receipt.", body = MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`last_owner`, `rights_changed`."),
    ),
)]
pub async fn resume(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, (Change::Resume, &IfMatch::Any), &query).await
}

/// `POST /v1/memberships/{user}/deactivate`
#[utoipa::path(
    post, path = "/v1/memberships/{user}/deactivate", tag = "members",
    summary = "Deactivate a member",
    description = "Shuts them out, and ends every key, token and session of theirs for good.",
    params(
        ("user" = String, Path, description = "The member.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The member as they are now, and the receipt.", body = MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`last_owner`, `rights_changed`."),
    ),
)]
pub async fn deactivate(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, (Change::Deactivate, &IfMatch::Any), &query).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    user: &str,
    (change, seen): (Change, &IfMatch),
    query: &WaitQuery,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let (receipt, tag) = super::change(app, caller, user_id(user)?, (change, seen), wait).await?;
    Ok(([NO_STORE, tag.header()], Json(receipt)).into_response())
}

/// An id that is not even one is a member that is not there.
fn user_id(text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("member"))
}
