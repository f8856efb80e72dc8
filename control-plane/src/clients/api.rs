//! `/v1/clients`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::ClientId;
use utoipa::{IntoParams, ToSchema};

use super::{ClientView, Kind, Settings, Which, WithSecret};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::keys::api::wait;
use crate::keys::scopes_of;
use crate::revocations::Reason;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of `GET /v1/clients`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which of them; `registered`, if absent.
    #[param(inline)]
    which: Option<Which>,
}

/// The answer of `GET /v1/clients`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ClientPage {
    /// Newest first.
    pub clients: Vec<ClientView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// The body of `POST /v1/clients`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClient)]
pub struct CreateBody {
    /// What people call it.
    name: String,
    /// What it is for.
    kind: Kind,
    /// A preset of scopes. Either this or `scopes`.
    scope: Option<String>,
    /// The most that it may ask for. Either these or `scope`.
    scopes: Option<Vec<String>>,
    /// Where people may be sent back to, in full.
    #[serde(default)]
    redirect_uris: Vec<String>,
    /// Where people may be sent after they have signed out.
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    /// Where it hears of the end of sessions.
    backchannel_logout_uri: Option<String>,
    /// Where its public keys are: then it gets no secret.
    jwks_uri: Option<String>,
    /// It gets only tokens that are bound to a key of its own.
    #[serde(default)]
    dpop_bound_access_tokens: bool,
    /// It must push its authorization requests.
    #[serde(default)]
    require_pushed_authorization_requests: bool,
    /// It may begin the device flow.
    #[serde(default)]
    device_flow: bool,
}

/// The body of `PATCH /v1/clients/{id}`: what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClientChange)]
pub struct UpdateBody {
    /// What people call it.
    name: Option<String>,
    /// A preset of scopes. Either this or `scopes`.
    scope: Option<String>,
    /// The most that it may ask for. Either these or `scope`.
    scopes: Option<Vec<String>>,
    /// Where people may be sent back to, in full.
    redirect_uris: Option<Vec<String>>,
    /// Where people may be sent after they have signed out.
    post_logout_redirect_uris: Option<Vec<String>>,
    /// Where it hears of the end of sessions.
    backchannel_logout_uri: Option<String>,
    /// It gets only tokens that are bound to a key of its own.
    dpop_bound_access_tokens: Option<bool>,
    /// It must push its authorization requests.
    require_pushed_authorization_requests: Option<bool>,
    /// It may begin the device flow.
    device_flow: Option<bool>,
}

/// A client with its secret: the one answer that holds it.
#[derive(Serialize)]
struct SecretView<'a> {
    #[serde(flatten)]
    client: &'a ClientView,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

/// For the document: a client with its secret.
#[derive(Debug, ToSchema)]
#[schema(as = ClientWithSecret)]
#[allow(dead_code)]
struct OnceView {
    #[serde(flatten)]
    client: ClientView,
    /// Shown once; absent of a client that has none.
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// The query of what waits.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<crate::revocation::Wait>, inline)]
    wait: Option<String>,
    /// Why; `unspecified`, if absent.
    #[param(value_type = Option<crate::revocations::Reason>, inline)]
    reason: Option<String>,
}

/// No members are known.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// `GET /v1/clients`
#[utoipa::path(
    get, path = "/v1/clients", tag = "clients",
    summary = "List OAuth clients",
    description = "Newest first.",
    params(
        ListQuery,
    ),
    responses(
        (status = 200, description = "A page of clients.", body = ClientPage),
    ),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<ClientPage>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let which = query.which.unwrap_or_default();
    let (clients, next_cursor) = super::list(&app, &caller, which, query.cursor.as_deref(), limit).await?;
    Ok(Json(ClientPage { clients, next_cursor }))
}

/// `POST /v1/clients`
#[utoipa::path(
    post, path = "/v1/clients", tag = "clients",
    summary = "Register a client",
    description = "The one answer that holds its secret.",
    request_body = CreateBody,
    responses(
        (status = 201, description = "The client, with its secret if it has one.", body = OnceView),
        (status = 409, description = "`too_many`, `rights_changed`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(body, _): StrictJson<CreateBody>,
) -> Result<Response, ApiError> {
    let settings = Settings {
        scopes: scopes_of(
            body.scope.as_deref(),
            body.scopes.as_deref(),
            &app.policy().policy,
        )?,
        name: body.name,
        redirect_uris: body.redirect_uris,
        post_logout_redirect_uris: body.post_logout_redirect_uris,
        backchannel_logout_uri: body.backchannel_logout_uri,
        jwks_uri: body.jwks_uri,
        dpop_bound_access_tokens: body.dpop_bound_access_tokens,
        require_pushed_authorization_requests: body.require_pushed_authorization_requests,
        device_flow: body.device_flow,
    };
    let made = super::create(&app, &caller, body.kind, settings).await?;
    let location = (LOCATION, format!("/v1/clients/{}", made.client.id));
    Ok((StatusCode::CREATED, [location], once(&made)).into_response())
}

/// The answer that holds a secret is kept nowhere.
fn once(made: &WithSecret) -> Response {
    let view = SecretView {
        client: &made.client,
        client_secret: made.secret.as_ref().map(|secret| secret.expose()),
    };
    ([NO_STORE], Json(view)).into_response()
}

/// `GET /v1/clients/{id}`
#[utoipa::path(
    get, path = "/v1/clients/{id}", tag = "clients",
    summary = "Show a client",
    params(
        ("id" = String, Path, description = "The client.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
    ),
    responses(
        (status = 200, description = "The client.", body = ClientView),
    ),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<ClientView>, ApiError> {
    super::show(&app, &caller, client_id(&id)?).await.map(Json)
}

/// `PATCH /v1/clients/{id}`
#[utoipa::path(
    patch, path = "/v1/clients/{id}", tag = "clients",
    summary = "Change a client",
    description = "What is not named stays.",
    params(
        ("id" = String, Path, description = "The client.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
    ),
    request_body = UpdateBody,
    responses(
        (status = 200, description = "The client as it is now.", body = ClientView),
        (status = 409, description = "`client_disabled`, `rights_changed`."),
    ),
)]
pub async fn update(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictJson(body, _): StrictJson<UpdateBody>,
) -> Result<Json<ClientView>, ApiError> {
    let id = client_id(&id)?;
    let before = super::show(&app, &caller, id).await?;
    let scopes = if body.scope.is_some() || body.scopes.is_some() {
        scopes_of(
            body.scope.as_deref(),
            body.scopes.as_deref(),
            &app.policy().policy,
        )?
    } else {
        app.catalogue()
            .parse(&before.scopes)
            .map_err(ApiError::internal)?
    };
    let settings = Settings {
        name: body.name.unwrap_or(before.name),
        scopes,
        redirect_uris: body.redirect_uris.unwrap_or(before.redirect_uris),
        post_logout_redirect_uris: body
            .post_logout_redirect_uris
            .unwrap_or(before.post_logout_redirect_uris),
        // An empty text takes it away.
        backchannel_logout_uri: body
            .backchannel_logout_uri
            .or(before.backchannel_logout_uri)
            .filter(|uri| !uri.is_empty()),
        jwks_uri: before.jwks_uri,
        dpop_bound_access_tokens: body
            .dpop_bound_access_tokens
            .unwrap_or(before.dpop_bound_access_tokens),
        require_pushed_authorization_requests: body
            .require_pushed_authorization_requests
            .unwrap_or(before.require_pushed_authorization_requests),
        device_flow: body.device_flow.unwrap_or(before.device_flow),
    };
    super::update(&app, &caller, id, settings).await.map(Json)
}

/// `POST /v1/clients/{id}/rotate-secret`
#[utoipa::path(
    post, path = "/v1/clients/{id}/rotate-secret", tag = "clients",
    summary = "Give a client another secret",
    params(
        ("id" = String, Path, description = "The client.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
    ),
    responses(
        (status = 200, description = "The client, with its new secret; the old one is dead.", body = OnceView),
        (status = 409, description = "`client_disabled`, `rights_changed`."),
    ),
)]
pub async fn rotate_secret(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    let made = super::rotate_secret(&app, &caller, client_id(&id)?).await?;
    Ok(once(&made))
}

/// `DELETE /v1/clients/{id}`
#[utoipa::path(
    delete, path = "/v1/clients/{id}", tag = "clients",
    summary = "Disable a client",
    description = "For good: its tokens die.",
    params(
        ("id" = String, Path, description = "The client.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The client as it is now, and the receipt.", body = super::Disabled),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn disable(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let disabled = super::disable(&app, &caller, client_id(&id)?, wait).await?;
    Ok(([NO_STORE], Json(disabled)).into_response())
}

/// `POST /v1/clients/{id}/revoke`
#[utoipa::path(
    post, path = "/v1/clients/{id}/revoke", tag = "clients",
    summary = "Revoke everything that a client was issued",
    description = "The client goes on.",
    params(
        ("id" = String, Path, description = "The client.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The receipt.", body = crate::revocations::RevocationReceipt),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    let reason: Reason = query.reason.as_deref().map_or(Ok(Reason::default()), |text| {
        text.parse()
            .map_err(|expected: String| ApiError::invalid_field("reason", expected))
    })?;
    let wait = wait(query.wait.as_deref())?;
    let receipt = super::revoke_all(&app, &caller, client_id(&id)?, reason, wait).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

/// An id that is not even one is a client that is not there.
fn client_id(text: &str) -> Result<ClientId, ApiError> {
    text.parse().map_err(|_| super::not_found())
}
