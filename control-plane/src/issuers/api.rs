//! `/v1/issuers`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::id::{IssuerId, WorkspaceId};

use super::json::{ChangedView, IssuerView, ShownView};
use super::rules::{Asked, ClaimName};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::{Admin, Caller};
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::keys::api::wait;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The query of everything here that waits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    wait: Option<String>,
}

/// What `POST /v1/issuers` and `PATCH /v1/issuers/{id}` say about an issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerBody {
    /// With POST only.
    issuer: Option<String>,
    jwks_uri: Option<String>,
    audiences: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    token_types: Option<Vec<String>>,
    subject_claim: Option<ClaimName>,
    scope_claim: Option<ClaimName>,
    scope_values: Option<BTreeMap<String, Vec<String>>>,
    workspace: Option<String>,
    workspace_claim: Option<ClaimName>,
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
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<IssuerBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let (issuer, asked) = body.split();
    let issuer = issuer.ok_or_else(|| {
        ApiError::new(crate::error::Code::MissingField, "`issuer` is required").field("issuer")
    })?;
    let changed = super::create(&app, &caller, issuer, asked, wait).await?;
    let location = (LOCATION, format!("/v1/issuers/{}", changed.issuer.id));
    let view = ChangedView::new(&changed, app.catalogue());
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// The answer of `GET /v1/issuers`.
#[derive(Debug, Serialize)]
pub struct IssuerList {
    /// Oldest first.
    pub issuers: Vec<IssuerView>,
}

/// `GET /v1/issuers`
pub async fn list(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Json<IssuerList>, ApiError> {
    let rows = super::list(&app, &caller).await?;
    let issuers = rows
        .iter()
        .map(|row| IssuerView::new(row, app.catalogue()))
        .collect();
    Ok(Json(IssuerList { issuers }))
}

/// `GET /v1/issuers/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<ShownView>, ApiError> {
    let (row, blocked) = super::show(&app, &caller, issuer_id(&id)?).await?;
    Ok(Json(ShownView {
        issuer: IssuerView::new(&row, app.catalogue()),
        blocked: blocked.iter().map(Into::into).collect(),
    }))
}

/// `PATCH /v1/issuers/{id}`
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<IssuerBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let (issuer, asked) = body.split();
    if issuer.is_some() {
        let detail = "an issuer keeps its identifier; remove it and trust the other one";
        return Err(ApiError::invalid_field("issuer", detail));
    }
    let changed = super::change(&app, &caller, issuer_id(&id)?, asked, wait).await?;
    Ok(([NO_STORE], Json(ChangedView::new(&changed, app.catalogue()))).into_response())
}

/// `DELETE /v1/issuers/{id}`
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
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    kid: Option<String>,
}

/// `POST /v1/issuers/{id}/refresh`
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectBody {
    subject: String,
}

/// `POST /v1/issuers/{id}/block`
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
pub async fn unblock(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<SubjectBody>,
) -> Result<Response, ApiError> {
    set(&app, &caller, &id, &query, (&body.subject, false)).await
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
