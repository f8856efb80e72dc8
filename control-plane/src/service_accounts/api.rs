//! `/v1/service-accounts`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::UserId;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::keys::api::wait;
use crate::members::{Change, Listing, MemberView};
use crate::store::members::MemberState;
use crate::store::orgs::Role;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/service-accounts`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Those with this role.
    #[param(inline)]
    role: Option<Role>,
    /// Those that stand there.
    #[param(inline)]
    state: Option<MemberState>,
    /// Those whose name begins like this.
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
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewServiceAccount)]
pub struct CreateBody {
    /// What people call it.
    #[schema(example = "nightly-export")]
    name: String,
    /// What its keys may do at most.
    role: Role,
}

/// The body of a change: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ServiceAccountChange)]
pub struct ChangeBody {
    /// Another name.
    name: Option<String>,
    /// Another role.
    role: Option<Role>,
}

/// The query of a change.
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

/// `GET /v1/service-accounts`
#[utoipa::path(
    get, path = "/v1/service-accounts", tag = "service_accounts",
    summary = "List service accounts",
    description = "Members that are programs, by name.",
    params(
        ListQuery,
    ),
    responses(
        (status = 200, description = "A page of service accounts.", body = ServiceAccountPage),
    ),
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
    request_body = CreateBody,
    responses(
        (status = 201, description = "The service account.", body = MemberView),
        (status = 409, description = "`name_taken`, `too_many`, `rights_changed`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(body, _): StrictJson<CreateBody>,
) -> Result<Response, ApiError> {
    let made = super::create(&app, &caller, &body.name, body.role).await?;
    let location = (LOCATION, format!("/v1/service-accounts/{}", made.user));
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(made)).into_response())
}

/// `GET /v1/service-accounts/{user}`
#[utoipa::path(
    get, path = "/v1/service-accounts/{user}", tag = "service_accounts",
    summary = "Show a service account",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
    ),
    responses(
        (status = 200, description = "The service account.", body = MemberView),
    ),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
) -> Result<Json<MemberView>, ApiError> {
    super::show(&app, &caller, account_id(&user)?).await.map(Json)
}

/// `PATCH /v1/service-accounts/{user}`
#[utoipa::path(
    patch, path = "/v1/service-accounts/{user}", tag = "service_accounts",
    summary = "Rename a service account, or give it another role",
    description = "One of the two at a time.",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "It as it is now; of another role, with the receipt.", body = MemberView),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<ChangeBody>,
) -> Result<Response, ApiError> {
    match (body.name, body.role) {
        (Some(name), None) => {
            let renamed = super::rename(&app, &caller, account_id(&user)?, &name).await?;
            Ok(([NO_STORE], Json(renamed)).into_response())
        }
        (None, Some(role)) => answer(&app, &caller, &user, Change::Role(role), &query).await,
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
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "It as it is now, and the receipt.", body = MemberView),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn suspend(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, Change::Suspend, &query).await
}

/// `POST /v1/service-accounts/{user}/resume`
#[utoipa::path(
    post, path = "/v1/service-accounts/{user}/resume", tag = "service_accounts",
    summary = "Let a suspended service account in again",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "It as it is now, and the receipt.", body = MemberView),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn resume(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(user): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    answer(&app, &caller, &user, Change::Resume, &query).await
}

/// `POST /v1/service-accounts/{user}/deactivate`
#[utoipa::path(
    post, path = "/v1/service-accounts/{user}/deactivate", tag = "service_accounts",
    summary = "Deactivate a service account",
    params(
        ("user" = String, Path, description = "The service account.", pattern = "^usr_[0-9A-Za-z]{9}$", example = "usr_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "It as it is now, and the receipt.", body = MemberView),
        (status = 409, description = "`rights_changed`."),
    ),
)]
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
    let wait = wait(query.wait.as_deref())?;
    let receipt = super::change(app, caller, account_id(user)?, change, wait).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

/// An id that is not even one is a service account that is not there.
fn account_id(text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| super::not_found())
}
