//! `/v1/service-accounts`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::UserId;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::idempotency::Creation;
use crate::http::json::{NO_STORE, NoBody, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::http::tag::IfMatch;
use crate::http::wait::{WaitQuery, wait};
use crate::members::{Change, Listing, MemberView};
use crate::store::members::MemberState;
use crate::store::orgs::Role;

/// The query of `GET /v1/service-accounts`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
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

/// The answer of `GET /v1/service-accounts`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServiceAccountPage {
    /// By name.
    pub service_accounts: Vec<MemberView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// The body of a create.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewServiceAccount)]
pub struct CreateBody {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "ci-deploy")]
    name: String,
    /// The most that it can do; never `owner`.
    role: Role,
}

/// The body of a change: one of the two.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ServiceAccountChange)]
pub struct ChangeBody {
    name: Option<String>,
    role: Option<Role>,
}

/// `GET /v1/service-accounts`
#[utoipa::path(
    get, path = "/v1/service-accounts", tag = "service_accounts",
    summary = "List service accounts",
    description = "By name.",
    params(
        ListQuery,
    ),
    responses((status = 200, description = "A page of service accounts.", body = ServiceAccountPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<ServiceAccountPage>, ApiError> {
    let listing = Listing {
        role: query.role,
        state: query.state,
        search: query.search.as_deref().unwrap_or_default(),
        cursor: query.cursor.as_deref(),
        limit: paging::limit(query.limit)?,
        ..Listing::default()
    };
    let (service_accounts, next_cursor) = super::list(&app, &caller, listing).await?;
    Ok(Json(ServiceAccountPage {
        service_accounts,
        next_cursor,
    }))
}

/// `POST /v1/service-accounts`
#[utoipa::path(
    post, path = "/v1/service-accounts", tag = "service_accounts",
    summary = "Make a service account",
    description = "It has no key yet: make one with its id as `user`. Its role is the ceiling of its keys, and never `owner`.",
    params(
        crate::http::idempotency::IdempotencyKeyHeader,
    ),
    request_body = CreateBody,
    responses((status = 201, description = "The service account.", body = MemberView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Creation(body, idempotency): Creation<CreateBody>,
) -> Result<Response, ApiError> {
    let (made, tag) = super::create(&app, &caller, (&body.name, body.role), idempotency).await?;
    let location = (LOCATION, format!("/v1/service-accounts/{}", made.user));
    let headers = [NO_STORE, tag.header()];
    Ok((StatusCode::CREATED, headers, [location], Json(made)).into_response())
}

/// `GET /v1/service-accounts/{user}`
#[utoipa::path(
    get, path = "/v1/service-accounts/{user}", tag = "service_accounts",
    summary = "Show a service account",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
    ),
    responses((status = 200, description = "The service account.", body = MemberView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let (account, tag) = super::show(&app, &caller, account_id(&user)?).await?;
    Ok(([tag.header()], Json(account)).into_response())
}

/// `PATCH /v1/service-accounts/{user}`
#[utoipa::path(
    patch, path = "/v1/service-accounts/{user}", tag = "service_accounts",
    summary = "Give a service account another name or another role",
    description = "One of the two. A change of the role is answered with its receipt.",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
        crate::http::tag::IfMatchHeader,
    ),
    request_body = ChangeBody,
    responses((status = 200, description = "The service account as it is now.", body = MemberView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`rights_changed`.")),
)]
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<ChangeBody>,
) -> Result<Response, ApiError> {
    match (body.name, body.role) {
        (Some(name), None) => {
            let change = (name.as_str(), &seen);
            let (renamed, tag) = super::rename(&app, &caller, account_id(&user)?, change).await?;
            Ok(([NO_STORE, tag.header()], Json(renamed)).into_response())
        }
        (None, Some(role)) => answer(&app, &caller, &user, (Change::Role(role), &seen), &query).await,
        _ => {
            let detail = "give either `name` or `role`: each is a change of its own";
            Err(ApiError::new(Code::MissingField, detail).field("name"))
        }
    }
}

/// `POST /v1/service-accounts/{user}/suspend`
#[utoipa::path(
    post, path = "/v1/service-accounts/{user}/suspend", tag = "service_accounts",
    summary = "Suspend a service account",
    description = "Its keys can do nothing until it is resumed.",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses((status = 200, description = "The service account as it is now, and the receipt.", body = crate::members::MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`rights_changed`.")),
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

/// `POST /v1/service-accounts/{user}/resume`
#[utoipa::path(
    post, path = "/v1/service-accounts/{user}/resume", tag = "service_accounts",
    summary = "Let a suspended service account go on",
    description = "What was ended by a deactivation stays dead.",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses((status = 200, description = "The service account as it is now, and the receipt.", body = crate::members::MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`rights_changed`.")),
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

/// `POST /v1/service-accounts/{user}/deactivate`
#[utoipa::path(
    post, path = "/v1/service-accounts/{user}/deactivate", tag = "service_accounts",
    summary = "Deactivate a service account",
    description = "Ends every key of it for good.",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses((status = 200, description = "The service account as it is now, and the receipt.", body = crate::members::MemberReceipt, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`rights_changed`.")),
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
    change: (Change, &IfMatch),
    query: &WaitQuery,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let (receipt, tag) = super::change(app, caller, account_id(user)?, change, wait).await?;
    Ok(([NO_STORE, tag.header()], Json(receipt)).into_response())
}

/// An id that is not even one is a service account that is not there.
fn account_id(text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| super::not_found())
}
