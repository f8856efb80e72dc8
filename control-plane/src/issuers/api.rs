//! `/v1/issuers`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::id::{IssuerId, WorkspaceId};
use utoipa::ToSchema;

use super::json::{ChangedView, IssuerView, ShownView};
use super::rules::{Asked, ClaimName};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::{Admin, Caller};
use crate::http::idempotency::{Creation, IdempotencyKeyHeader};
use crate::http::json::{NO_STORE, OptionalJson, StrictJson, StrictQuery};
use crate::http::tag::{IfMatch, IfMatchHeader};
use crate::http::wait::{WaitQuery, wait};
use crate::revocation::Receipt;

/// What `POST /v1/issuers` and `PATCH /v1/issuers/{id}` say about an issuer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IssuerTerms)]
pub struct IssuerBody {
    /// Its identifier, byte for byte as in `iss`. Required to trust one; it cannot be changed.
    #[schema(format = "uri", example = "https://acme.eu.auth0.com/")]
    issuer: Option<String>,
    /// Where its keys are; empty or absent: where its discovery document says.
    jwks_uri: Option<String>,
    /// What must be in `aud`.
    #[schema(min_items = 1, example = json!(["https://api.example.com"]))]
    audiences: Option<Vec<String>>,
    /// The most that its tokens can do; nothing, if absent.
    #[schema(example = json!(["memory:read"]))]
    scopes: Option<Vec<String>>,
    /// What its keys may be for; every algorithm that is known here, if absent.
    #[schema(min_items = 1)]
    algorithms: Option<Vec<String>>,
    /// Which `typ` counts: `at+jwt`, `JWT`, `none`.
    #[schema(min_items = 1)]
    token_types: Option<Vec<String>>,
    /// Where the subject is: a claim's name, or the path to it.
    #[schema(value_type = Option<ClaimName>)]
    subject_claim: Option<ClaimName>,
    /// Where scopes are.
    scope_claim: Option<ClaimName>,
    /// What the values there mean here.
    scope_values: Option<BTreeMap<String, Vec<String>>>,
    /// `all`, or one workspace.
    workspace: Option<String>,
    /// The claim that says which workspace.
    workspace_claim: Option<ClaimName>,
    /// What its values mean.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    workspace_values: Option<BTreeMap<String, WorkspaceId>>,
}

impl IssuerBody {
    fn split(self) -> (Option<String>, Asked) {
        let asked = Asked {
            jwks_uri: self.jwks_uri,
            audiences: self.audiences,
            scopes: self.scopes,
            algorithms: self.algorithms,
            token_types: self.token_types,
            subject_claim: self.subject_claim,
            scope_claim: self.scope_claim,
            scope_values: self.scope_values,
            workspace: self.workspace,
            workspace_claim: self.workspace_claim,
            workspace_values: self.workspace_values,
        };
        (self.issuer, asked)
    }
}

/// `POST /v1/issuers`
#[utoipa::path(
    post, path = "/v1/issuers", tag = "issuers",
    summary = "Trust an issuer",
    description = "Its keys are looked up at once and watched from then on. Its tokens count in this organisation and in no other.",
    params(WaitQuery, IdempotencyKeyHeader),
    request_body = IssuerBody,
    responses(
        (status = 201, description = "The issuer, and the receipt.", body = ChangedView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`issuer_taken`, `edges_behind`, `rights_changed`."),
        (status = 422, description = "`issuer_unreachable`, `idempotency_mismatch`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<WaitQuery>,
    Creation(body, idempotency): Creation<IssuerBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let (issuer, asked) = body.split();
    let issuer = issuer.ok_or_else(|| {
        ApiError::new(crate::error::Code::MissingField, "`issuer` is required").field("issuer")
    })?;
    let changed = super::create(&app, &caller, (issuer, asked), idempotency, wait).await?;
    let location = (LOCATION, format!("/v1/issuers/{}", changed.issuer.id));
    let tag = super::tag(&changed.issuer).header();
    let view = ChangedView::new(&changed, app.catalogue());
    Ok((StatusCode::CREATED, [NO_STORE, tag], [location], Json(view)).into_response())
}

/// The answer of `GET /v1/issuers`.
#[derive(Debug, Serialize, ToSchema)]
pub struct IssuerList {
    /// Oldest first.
    pub issuers: Vec<IssuerView>,
}

/// `GET /v1/issuers`
#[utoipa::path(
    get, path = "/v1/issuers", tag = "issuers",
    summary = "List trusted issuers",
    description = "Oldest first. An organisation has at most 20, so there are no pages.",
    responses((status = 200, description = "All of them.", body = IssuerList)),
)]
pub async fn list(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Json<IssuerList>, ApiError> {
    let rows = super::list(&app, &caller).await?;
    let issuers = rows
        .iter()
        .map(|row| IssuerView::new(row, app.catalogue()))
        .collect();
    Ok(Json(IssuerList { issuers }))
}

/// `GET /v1/issuers/{id}`
#[utoipa::path(
    get, path = "/v1/issuers/{id}", tag = "issuers",
    summary = "Show an issuer",
    params(
        ("id" = String, Path, description = "The issuer.", pattern = "^iss_[0-9A-Za-z]{9}$", example = "iss_000000001"),
    ),
    responses((status = 200, description = "The issuer, and who of it is blocked.", body = ShownView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let (row, blocked) = super::show(&app, &caller, issuer_id(&id)?).await?;
    let view = ShownView {
        issuer: IssuerView::new(&row, app.catalogue()),
        blocked: blocked.iter().map(Into::into).collect(),
    };
    Ok(([super::tag(&row).header()], Json(view)).into_response())
}

/// `PATCH /v1/issuers/{id}`
#[utoipa::path(
    patch, path = "/v1/issuers/{id}", tag = "issuers",
    summary = "Change what an issuer may do",
    description = "Members that are absent stay as they are.",
    params(
        ("id" = String, Path, description = "The issuer.", pattern = "^iss_[0-9A-Za-z]{9}$", example = "iss_000000001"),
        WaitQuery,
        IfMatchHeader,
    ),
    request_body = IssuerBody,
    responses(
        (status = 200, description = "The issuer as it is now, and the receipt.", body = ChangedView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`edges_behind`, `rights_changed`."),
        (status = 422, description = "`issuer_unreachable`."),
    ),
)]
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<IssuerBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let (issuer, asked) = body.split();
    if issuer.is_some() {
        let detail = "an issuer keeps its identifier; remove it and trust the other one";
        return Err(ApiError::invalid_field("issuer", detail));
    }
    let changed = super::change(&app, &caller, issuer_id(&id)?, (asked, &seen), wait).await?;
    let tag = super::tag(&changed.issuer).header();
    Ok(([NO_STORE, tag], Json(ChangedView::new(&changed, app.catalogue()))).into_response())
}

/// `DELETE /v1/issuers/{id}`
#[utoipa::path(
    delete, path = "/v1/issuers/{id}", tag = "issuers",
    summary = "Stop trusting an issuer",
    description = "Tokens that it made until now never count again, whoever trusts it later.",
    params(
        ("id" = String, Path, description = "The issuer.", pattern = "^iss_[0-9A-Za-z]{9}$", example = "iss_000000001"),
        WaitQuery,
    ),
    responses(
        (status = 200, description = "The issuer as it was, and the receipt.", body = ChangedView),
        (status = 409, description = "`edges_behind`, `rights_changed`."),
    ),
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let changed = super::remove(&app, &caller, issuer_id(&id)?, wait).await?;
    Ok(([NO_STORE], Json(ChangedView::new(&changed, app.catalogue()))).into_response())
}

/// The body of `POST /v1/issuers/{id}/refresh`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IssuerRefresh)]
pub struct RefreshBody {
    /// Look only for a key of this name, and only if it is not known.
    kid: Option<String>,
}

/// `POST /v1/issuers/{id}/refresh`
#[utoipa::path(
    post, path = "/v1/issuers/{id}/refresh", tag = "issuers",
    summary = "Look an issuer's keys up now",
    params(
        ("id" = String, Path, description = "The issuer.", pattern = "^iss_[0-9A-Za-z]{9}$", example = "iss_000000001"),
        WaitQuery,
    ),
    request_body = Option<RefreshBody>,
    responses(
        (status = 200, description = "The issuer as it is now, and the receipt.", body = ChangedView),
        (status = 409, description = "`edges_behind`, `rights_changed`."),
        (status = 422, description = "`issuer_unreachable`."),
    ),
)]
pub async fn refresh(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(body): OptionalJson<RefreshBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let changed = super::refresh(&app, &caller, issuer_id(&id)?, body.kid.as_deref(), wait).await?;
    Ok(([NO_STORE], Json(ChangedView::new(&changed, app.catalogue()))).into_response())
}

/// The body of `POST /v1/issuers/{id}/block` and `unblock`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IssuerSubject)]
pub struct SubjectBody {
    /// Whom, as the issuer calls them.
    #[schema(example = "auth0|5f7c8ec7c33c6c004bbafe82")]
    subject: String,
}

/// `POST /v1/issuers/{id}/block`
#[utoipa::path(
    post, path = "/v1/issuers/{id}/block", tag = "issuers",
    summary = "Block somebody of an issuer",
    description = "Their tokens count no more until they are unblocked; also those that the issuer makes from now on.",
    params(
        ("id" = String, Path, description = "The issuer.", pattern = "^iss_[0-9A-Za-z]{9}$", example = "iss_000000001"),
        WaitQuery,
    ),
    request_body = SubjectBody,
    responses(
        (status = 200, description = "Where they stand now, and the receipt.", body = SetView),
        (status = 409, description = "`edges_behind`, `rights_changed`."),
    ),
)]
pub async fn block(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<SubjectBody>,
) -> Result<Response, ApiError> {
    set(&app, &caller, &id, &query, (&body.subject, true)).await
}

/// `POST /v1/issuers/{id}/unblock`
#[utoipa::path(
    post, path = "/v1/issuers/{id}/unblock", tag = "issuers",
    summary = "Unblock somebody of an issuer",
    description = "Tokens that the issuer makes from now on count again.",
    params(
        ("id" = String, Path, description = "The issuer.", pattern = "^iss_[0-9A-Za-z]{9}$", example = "iss_000000001"),
        WaitQuery,
    ),
    request_body = SubjectBody,
    responses(
        (status = 200, description = "Where they stand now, and the receipt.", body = SetView),
        (status = 409, description = "`edges_behind`, `rights_changed`."),
    ),
)]
pub async fn unblock(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<SubjectBody>,
) -> Result<Response, ApiError> {
    set(&app, &caller, &id, &query, (&body.subject, false)).await
}

/// For the document: the answer to `block` and `unblock`.
#[derive(Debug, ToSchema)]
#[schema(as = SubjectReceipt)]
#[expect(dead_code)]
struct SetView {
    /// The issuer.
    id: String,
    /// Whom, as it calls them.
    subject: String,
    /// Whether they are blocked now.
    blocked: bool,
    /// Who has the change.
    #[serde(flatten)]
    receipt: Receipt,
}

async fn set(
    app: &App,
    caller: &Caller,
    id: &str,
    query: &WaitQuery,
    what: (&str, bool),
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let done = super::block(app, caller, issuer_id(id)?, what, wait).await?;
    let mut answer = json!({"id": done.id, "subject": done.subject, "blocked": done.blocked});
    let receipt = serde_json::to_value(&done.receipt).map_err(ApiError::internal)?;
    if let (Some(answer), Some(receipt)) = (answer.as_object_mut(), receipt.as_object()) {
        answer.extend(receipt.clone());
    }
    Ok(([NO_STORE], Json(answer)).into_response())
}

/// An id that is not even one is an issuer that is not there.
fn issuer_id(text: &str) -> Result<IssuerId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("issuer"))
}
