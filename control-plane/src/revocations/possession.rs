//! `POST /v1/auth/self-revoke`: whoever holds a credential can end it, without any right but that.
//!
//! An API key or an access token comes in the Authorization header, as ever; a refresh token as `token` in a form. What is
//! bound to a key needs its DPoP proof here too: who found such a token cannot use it, and ends nobody's sign-in with it. One
//! that was revoked before gives the same receipt, so a retry is safe; every other text gets the same 401.
//!
//! Failures are counted per address, and a right credential is taken however many there were: nobody can keep a holder from
//! giving up what leaked.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use shared::dpop::Proof;
use shared::id::StatusIndex;
use utoipa::{IntoParams, ToSchema};

use super::one::SingleReceipt;
use super::{Cause, Reason, Why, end_index, write};
use crate::app::App;
use crate::audit::Actor;
use crate::error::{ApiError, Code};
use crate::http::address::ClientAddress;
use crate::http::auth::{bearer, recognise};
use crate::http::frame::RequestId;
use crate::http::json::NO_STORE;
use crate::http::json::StrictQuery;
use crate::http::wait::wait;
use crate::oauth::form::Form;
use crate::oauth::{dpop, holder};
use crate::revocation::Wait;
use crate::store::keys::KeyStatus;

/// Where it is: part of what a DPoP proof names.
pub const PATH: &str = "/v1/auth/self-revoke";

/// What the form may hold.
const FIELDS: [&str; 2] = ["token", "reason"];

/// The query.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<Wait>, inline)]
    wait: Option<String>,
}

/// A credential of ours that is alive, or was revoked before.
pub(crate) struct Held {
    pub(crate) index: StatusIndex,
    /// Whom it acts for, as the audit trail names them.
    pub(crate) who: String,
    /// Its public name.
    pub(crate) credential: String,
    pub(crate) proof: Option<Proof>,
}

/// For the document: the form.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SelfRevocation)]
#[expect(dead_code)]
struct FormBody {
    /// A refresh token, in place of the Authorization header.
    token: Option<String>,
    /// Why; `key_compromise`, if absent.
    reason: Option<Reason>,
}

/// The endpoint.
#[utoipa::path(
    post, path = PATH, tag = "keys", operation_id = "self_revoke",
    summary = "End the credential that you hold",
    description = "Whoever holds a credential can end it, without any right but that: an API key or an access token in the Authorization \
        header, or a refresh token as `token` in a form. One that was revoked before gives the same receipt.",
    params(Query),
    request_body(content = Option<FormBody>, content_type = "application/x-www-form-urlencoded"),
    security(("api_key" = []), ("access_token" = [])),
    responses((status = 200, description = "The receipt.", body = SingleReceipt)),
)]
pub async fn post(
    State(app): State<Arc<App>>,
    Ok(address): Result<ClientAddress, std::convert::Infallible>,
    Extension(request): Extension<RequestId>,
    StrictQuery(query): StrictQuery<Query>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let form = match body.as_ref() {
        [] => None,
        body => {
            let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let form = Form::parse(kind, body);
            Some(form.map_err(|error| ApiError::new(Code::InvalidField, error.to_string()))?)
        }
    };
    if form.as_ref().is_some_and(|form| form.has_more_than(&FIELDS)) {
        // Its name is not repeated: it may be the credential, sent without one.
        let detail = "the form has `token` and `reason`, and nothing else";
        return Err(ApiError::new(Code::UnknownField, detail));
    }
    let field = |name: &str| form.as_ref().and_then(|form| form.value(name));
    let reason = match field("reason") {
        Some(text) => text
            .parse()
            .map_err(|expected: String| ApiError::invalid_field("reason", expected))?,
        None => Reason::KeyCompromise,
    };
    let wait = wait(query.wait.as_deref())?;
    let held = match held(&app, &headers, field("token")).await {
        Err(error) if is_failure(&error) => {
            // Never in the way of a right one: whoever floods this only gets another answer.
            app.limits.failed_possession(address).map_err(|many| {
                ApiError::new(Code::RateLimited, "too many credentials that do not count")
                    .retry_after(many.retry_after_seconds)
            })?;
            return Err(error);
        }
        other => other?,
    };
    let receipt = revoke(&app, held, reason, wait, request).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

fn is_failure(error: &ApiError) -> bool {
    matches!(error.code(), Code::InvalidToken | Code::InvalidDpopProof)
}

/// One sentence for every reason.
fn invalid() -> ApiError {
    ApiError::new(
        Code::InvalidToken,
        "there is no such credential: it is malformed, unknown, or has expired",
    )
}

async fn held(app: &App, headers: &HeaderMap, token: Option<&str>) -> Result<Held, ApiError> {
    let Some(token) = token else {
        return presented(app, headers).await;
    };
    if headers.contains_key(AUTHORIZATION) {
        let detail = "send one credential: in the Authorization header, or a refresh token as `token`";
        return Err(ApiError::new(Code::SeveralCredentials, detail));
    }
    holder::of_refresh_token(app, token, "POST", PATH, headers)
        .await?
        .ok_or_else(invalid)
}

async fn presented(app: &App, headers: &HeaderMap) -> Result<Held, ApiError> {
    if !dpop::is_presented(headers)
        && let Some(key) = recognise(app, bearer(headers)?).await?
    {
        // A key that ended by itself is worth nothing, and proves nothing for its successor.
        if key.status(app.clock.now().seconds()) == KeyStatus::Expired {
            return Err(invalid());
        }
        return Ok(Held {
            index: key.id.into(),
            who: key.user.to_string(),
            credential: key.id.to_string(),
            proof: None,
        });
    }
    holder::of_access_token(app, "POST", PATH, headers)?.ok_or_else(invalid)
}

async fn revoke(
    app: &App,
    held: Held,
    reason: Reason,
    wait: Wait,
    request: RequestId,
) -> Result<SingleReceipt, ApiError> {
    let actor = Actor {
        who: held.who,
        credential: Some(held.credential),
        request_id: Some(request.0),
    };
    let why = Why {
        reason,
        cause: Cause::Possession,
        comment: None,
        actor: &actor,
    };
    let mut tx = app.store.begin().await?;
    let ended = end_index(&mut tx, app, held.index, &why).await?;
    let ended = ended.ok_or_else(invalid)?;
    if let Some(proof) = &held.proof
        && !tx.spend_proof(&proof.id, proof.ends).await?
    {
        let detail = "this DPoP proof was used before: make a new one for each request";
        return Err(ApiError::new(Code::InvalidDpopProof, detail).under_dpop());
    }
    tx.commit().await?;
    ended.announce(app);
    let receipt = ended.receipt(app, wait).await?;
    let (revoked_at, reason) = ended.end(app).await?;
    Ok(SingleReceipt {
        id: ended.name(),
        revoked_at: revoked_at.into(),
        reason,
        open_connections_until: write::until(app, &receipt),
        receipt,
    })
}
