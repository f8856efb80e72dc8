//! `/v1/clients`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::ClientId;

use super::{ClientView, Kind, Settings, Which, WithSecret};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::idempotency::Creation;
use crate::http::json::{NO_STORE, NoBody, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::http::tag::IfMatch;
use crate::http::wait::{WaitQuery, wait};
use crate::keys::scopes_of;
use crate::revocations::Reason;

/// The query of `GET /v1/clients`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which: those that are registered, if absent.
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
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClient)]
pub struct CreateBody {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "Notes")]
    name: String,
    kind: Kind,
    /// A preset of scopes, the most that it can get. Either this or `scopes`.
    #[schema(example = "read")]
    scope: Option<String>,
    /// Single scopes. Either these or `scope`.
    #[schema(min_items = 1)]
    scopes: Option<Vec<String>>,
    /// Where people come back to.
    #[serde(default)]
    #[schema(example = json!(["https://notes.example/callback"]))]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    backchannel_logout_uri: Option<String>,
    jwks_uri: Option<String>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
    #[serde(default)]
    require_pushed_authorization_requests: bool,
    #[serde(default)]
    device_flow: bool,
}

/// The body of `PATCH /v1/clients/{id}`: what is not named stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClientChange)]
pub struct UpdateBody {
    name: Option<String>,
    scope: Option<String>,
    scopes: Option<Vec<String>>,
    redirect_uris: Option<Vec<String>>,
    post_logout_redirect_uris: Option<Vec<String>>,
    backchannel_logout_uri: Option<String>,
    dpop_bound_access_tokens: Option<bool>,
    require_pushed_authorization_requests: Option<bool>,
    device_flow: Option<bool>,
}

/// A client with its secret: the one answer that holds it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ClientWithSecret)]
pub struct SecretView {
    #[serde(flatten)]
    client: ClientView,
    /// Shown once; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// The query of a revocation.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevokeQuery {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<crate::revocation::Wait>, inline)]
    wait: Option<String>,
    /// Why; `unspecified`, if absent.
    #[param(value_type = Option<crate::revocations::Reason>, inline)]
    reason: Option<String>,
}

/// `GET /v1/clients`
#[utoipa::path(
    get, path = "/v1/clients", tag = "clients",
    summary = "List OAuth clients",
    description = "Newest first. Grants of each are counted up to ten.",
    params(
        ListQuery,
    ),
    responses((status = 200, description = "A page of clients.", body = ClientPage)),
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
    summary = "Register an OAuth client",
    description = "What kind it is decides whether it gets a secret, which only this answer holds.",
    params(
        crate::http::idempotency::IdempotencyKeyHeader,
    ),
    request_body = CreateBody,
    responses((status = 201, description = "The client, with its secret if it has one.", body = SecretView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`already_created`.")),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Creation(body, idempotency): Creation<CreateBody>,
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
    let made = super::create(&app, &caller, (body.kind, settings), idempotency).await?;
    let location = (LOCATION, format!("/v1/clients/{}", made.client.id));
    Ok((StatusCode::CREATED, [location], once(made)).into_response())
}

/// The answer that holds a secret is kept nowhere.
fn once(made: WithSecret) -> Response {
    let headers = [NO_STORE, made.client.tag().header()];
    let view = SecretView {
        client: made.client,
        client_secret: made.secret.map(|secret| secret.expose().to_owned()),
    };
    (headers, Json(view)).into_response()
}

/// `GET /v1/clients/{id}`
#[utoipa::path(
    get, path = "/v1/clients/{id}", tag = "clients",
    summary = "Show an OAuth client",
    description = "One of the organisation, or one that its people let in.",
    params(
        ("id" = String, Path, description = "The client, by its number.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
    ),
    responses((status = 200, description = "The client.", body = ClientView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let client = super::show(&app, &caller, client_id(&id)?).await?;
    Ok(([client.tag().header()], Json(client)).into_response())
}

/// `PATCH /v1/clients/{id}`
#[utoipa::path(
    patch, path = "/v1/clients/{id}", tag = "clients",
    summary = "Change an OAuth client",
    description = "What is not named stays. Fewer scopes count for what is asked for from then on. Other redirect URIs: people are asked again.",
    params(
        ("id" = String, Path, description = "The client, by its number.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
        crate::http::tag::IfMatchHeader,
    ),
    request_body = UpdateBody,
    responses((status = 200, description = "The client as it is now.", body = ClientView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`client_disabled`.")),
)]
pub async fn update(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<UpdateBody>,
) -> Result<Response, ApiError> {
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
    let updated = super::update(&app, &caller, id, settings, &seen).await?;
    Ok(([updated.tag().header()], Json(updated)).into_response())
}

/// `POST /v1/clients/{id}/rotate-secret`
#[utoipa::path(
    post, path = "/v1/clients/{id}/rotate-secret", tag = "clients",
    summary = "Give an OAuth client another secret",
    description = "The old one counts for nothing from then on. Only this answer holds the new one.",
    params(
        ("id" = String, Path, description = "The client, by its number.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
    ),
    responses((status = 200, description = "The client, with its secret.", body = SecretView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`client_disabled`.")),
)]
pub async fn rotate_secret(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    OptionalJson(NoBody {}): OptionalJson<NoBody>,
) -> Result<Response, ApiError> {
    let made = super::rotate_secret(&app, &caller, client_id(&id)?).await?;
    Ok(once(made))
}

/// `DELETE /v1/clients/{id}`
#[utoipa::path(
    delete, path = "/v1/clients/{id}", tag = "clients",
    summary = "Disable an OAuth client for good",
    description = "It gets no token any more, and those that it has die at the edge.",
    params(
        ("id" = String, Path, description = "The client, by its number.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
        WaitQuery,
    ),
    responses((status = 200, description = "The client, and the receipt.", body = super::Disabled)),
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
    summary = "Revoke everything that an OAuth client has",
    description = "It may ask again.",
    params(
        ("id" = String, Path, description = "The client, by its number.", pattern = "^cli_[0-9A-Za-z]{9}$", example = "cli_000000001"),
        RevokeQuery,
    ),
    responses((status = 200, description = "The receipt.", body = crate::revocations::RevocationReceipt)),
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<RevokeQuery>,
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
