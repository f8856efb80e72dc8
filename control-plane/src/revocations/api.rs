//! `/v1/revocations`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::{GrantId, KeyId, RevocationId};
use utoipa::{IntoParams, ToSchema};

use super::matching::{self, Filter, FilterBody};
use super::one::{self, Request};
use super::target::{Target, TargetBody};
use super::write::RevocationReceipt;
use super::{Reason, rules, why, write};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::{NO_STORE, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::http::wait::{WaitQuery, wait};
use crate::keys::api::key_id;
use crate::keys::quarantine;
use crate::revocation::Wait;
use crate::store::quarantine::Ceiling;
use crate::store::revocations::RevocationRow;

const DEFAULT_PAGE: u32 = 200;
const LARGEST_PAGE: u32 = 1000;

/// The body of `POST /v1/revocations`: a target or a filter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRevocation)]
pub struct RevokeBody {
    /// What to revoke, by name: exactly one member. Either this or `filter`.
    #[serde(default)]
    target: Option<TargetBody>,
    /// What to revoke, by its properties: all that match. Either this or `target`.
    #[serde(default)]
    filter: Option<FilterBody>,
    /// Why; `unspecified`, if absent.
    #[schema(value_type = Option<Reason>)]
    reason: Option<String>,
    /// Why, in other words, for the audit trail.
    #[schema(max_length = 500)]
    comment: Option<String>,
    /// Only count what matches a filter.
    dry_run: Option<bool>,
}

/// For the document: the answer to a target, or to a filter.
#[derive(Debug, ToSchema)]
#[schema(as = Revoked)]
#[expect(dead_code)]
#[serde(untagged)]
enum Answered {
    Target(one::Answer),
    Filter(matching::Answer),
}

/// `POST /v1/revocations`
#[utoipa::path(
    post, path = "/v1/revocations", tag = "revocations",
    summary = "Revoke more than a key",
    description = "One target by its name, or all that match a filter: everything in one transaction, with one receipt. Asking for the same \
        again gives the same receipt if nothing was issued since, so a retry is safe.",
    params(WaitQuery),
    request_body(content = RevokeBody, example = json!({"target": {"client": "cli_000000001"}, "reason": "key_compromise"})),
    responses(
        (status = 200, description = "The receipt; or, of a dry run, how many match.", body = Answered),
        (status = 404, description = "There is no such target in the caller's organisation."),
        (status = 409, description = "`too_many_matches`, `rights_changed`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<RevokeBody>,
) -> Result<Response, ApiError> {
    let reason = match &body.reason {
        Some(text) => text
            .parse::<Reason>()
            .map_err(|expected| ApiError::invalid_field("reason", expected))?,
        None => Reason::default(),
    };
    let request = Request {
        reason,
        comment: why::comment(body.comment.as_deref())?,
        wait: wait(query.wait.as_deref())?,
    };
    match (body.target, body.filter) {
        (Some(target), None) => {
            if body.dry_run.is_some() {
                let detail = "only a revocation by `filter` can be tried out";
                return Err(ApiError::invalid_field("dry_run", detail));
            }
            let target = Target::read(target)?;
            let answer = one::revoke(&app, &caller, target, request).await?;
            Ok(([NO_STORE], Json(answer)).into_response())
        }
        (None, Some(filter)) => {
            let filter = Filter::read(filter)?;
            let dry_run = body.dry_run.unwrap_or(false);
            let answer = matching::revoke(&app, &caller, filter, dry_run, request).await?;
            Ok(([NO_STORE], Json(answer)).into_response())
        }
        _ => {
            let detail = "give either `target` or `filter`";
            Err(ApiError::new(Code::MissingField, detail).field("target"))
        }
    }
}

/// `GET /v1/revocations/{id}`: its receipt as it is now.
#[utoipa::path(
    get, path = "/v1/revocations/{id}", tag = "revocations",
    summary = "Show a revocation's receipt",
    description = "As it is now; with `wait`, when that has happened.",
    params(
        ("id" = String, Path, description = "The revocation.", pattern = "^rev_[0-9A-Za-z]{9}$", example = "rev_000000001"),
        WaitQuery,
    ),
    responses((status = 200, description = "The receipt.", body = RevocationReceipt)),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
) -> Result<Response, ApiError> {
    let row = find(&app, &caller, &id).await?;
    let wait = match query.wait.as_deref() {
        None => Wait::None,
        text => wait(text)?,
    };
    let receipt = write::receipt(&app, id, row, wait).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

/// The query of `GET /v1/revocations/{id}/credentials`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CredentialsQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The answer of `GET /v1/revocations/{id}/credentials`.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialPage {
    /// Keys, then grants, each in the order of their ids. Tokens that stood alone have none.
    pub credentials: Vec<String>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// `GET /v1/revocations/{id}/credentials`: the ids of what it ended.
#[utoipa::path(
    get, path = "/v1/revocations/{id}/credentials", tag = "revocations",
    summary = "List what a revocation ended",
    description = "Ids: keys, then grants.",
    params(
        ("id" = String, Path, description = "The revocation.", pattern = "^rev_[0-9A-Za-z]{9}$", example = "rev_000000001"),
        CredentialsQuery,
    ),
    responses((status = 200, description = "A page of ids.", body = CredentialPage)),
)]
pub async fn credentials(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<CredentialsQuery>,
) -> Result<Json<CredentialPage>, ApiError> {
    let limit = paging::limit_within(query.limit, DEFAULT_PAGE, LARGEST_PAGE)?;
    let row = find(&app, &caller, &id).await?;
    // The last id of the page before says which list it was in.
    let (after_key, after_grant) = match query.cursor.as_deref() {
        None => (Some(0), 0),
        Some(text) => match (text.parse::<KeyId>(), text.parse::<GrantId>()) {
            (Ok(key), _) => (Some(key.get()), 0),
            (_, Ok(grant)) => (None, grant.get()),
            _ => return Err(paging::invalid()),
        },
    };
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut tx = app.store.begin_read().await?;
    let mut ids = Vec::new();
    if let Some(after) = after_key {
        let keys = tx
            .keys_of_revocation(row.id, after, limit.saturating_add(1))
            .await?;
        ids.extend(keys.iter().map(ToString::to_string));
    }
    if ids.len() <= page {
        let grants = tx
            .grants_of_revocation(row.id, after_grant, limit.saturating_add(1))
            .await?;
        ids.extend(grants.iter().map(ToString::to_string));
    }
    let more = paging::cut(&mut ids, limit);
    Ok(Json(CredentialPage {
        next_cursor: ids.last().filter(|_| more).cloned(),
        credentials: ids,
    }))
}

/// A revocation of the caller's organisation.
async fn find(app: &App, caller: &Caller, id: &str) -> Result<RevocationRow, ApiError> {
    rules::may_administer(app, caller)?;
    let not_found = || ApiError::not_found("revocation");
    let id: RevocationId = id.parse().map_err(|_| not_found())?;
    let row = app.store.begin_read().await?.revocation(id).await?;
    row.filter(|row| row.org == Some(caller.org))
        .ok_or_else(not_found)
}

/// The body of `POST /v1/auth/keys/{id}/quarantine`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Quarantine)]
pub struct QuarantineBody {
    /// What is left.
    #[schema(value_type = Ceiling, required = true)]
    ceiling: Option<String>,
    /// Why, for the audit trail.
    #[schema(max_length = 500)]
    comment: Option<String>,
}

/// The body of `POST /v1/auth/keys/{id}/release`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Release)]
pub struct ReleaseBody {
    /// Why, for the audit trail.
    #[schema(max_length = 500)]
    comment: Option<String>,
}

/// `POST /v1/auth/keys/{id}/quarantine`
#[utoipa::path(
    post, path = "/v1/auth/keys/{id}/quarantine", tag = "keys",
    summary = "Put a key in quarantine",
    description = "It can do less for now, at the edge and here, until it is released. It neither rotates nor gives anything out.",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
        WaitQuery,
    ),
    request_body = QuarantineBody,
    responses(
        (status = 200, description = "The key as it is now, and the receipt.", body = quarantine::QuarantineReceipt),
        (status = 409, description = "`key_expired`, `key_revoked`, `key_quarantined` (the calling key), `rights_changed`."),
    ),
)]
pub async fn quarantine(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<QuarantineBody>,
) -> Result<Response, ApiError> {
    let expected = "must be `read` (nothing but reading) or `none` (nothing)";
    let ceiling: Ceiling = body
        .ceiling
        .as_deref()
        .ok_or_else(|| ApiError::new(Code::MissingField, expected).field("ceiling"))?
        .parse()
        .map_err(|_| ApiError::invalid_field("ceiling", expected))?;
    let wait = wait(query.wait.as_deref())?;
    let comment = body.comment.as_deref();
    let receipt = quarantine::set(&app, &caller, key_id(&id)?, Some(ceiling), comment, wait).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

/// `POST /v1/auth/keys/{id}/release`
#[utoipa::path(
    post, path = "/v1/auth/keys/{id}/release", tag = "keys",
    summary = "Release a key from quarantine",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
        WaitQuery,
    ),
    request_body = Option<ReleaseBody>,
    responses(
        (status = 200, description = "The key as it is now, and the receipt.", body = quarantine::QuarantineReceipt),
        (status = 409, description = "`key_expired`, `key_revoked`, `key_quarantined` (the calling key), `rights_changed`."),
    ),
)]
pub async fn release(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<WaitQuery>,
    OptionalJson(body): OptionalJson<ReleaseBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let comment = body.comment.as_deref();
    let receipt = quarantine::set(&app, &caller, key_id(&id)?, None, comment, wait).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}
