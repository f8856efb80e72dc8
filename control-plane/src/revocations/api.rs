//! `/v1/revocations`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use shared::id::{GrantId, KeyId, RevocationId};

use super::matching::{self, Filter, FilterBody};
use super::one::{self, Request};
use super::target::{Target, TargetBody};
use super::{Reason, rules, why, write};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::keys::api::{key_id, wait};
use crate::keys::quarantine;
use crate::revocation::Wait;
use crate::store::quarantine::Ceiling;
use crate::store::revocations::RevocationRow;

const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
const DEFAULT_PAGE: u32 = 200;
const LARGEST_PAGE: u32 = 1000;

/// The query of everything here that waits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    wait: Option<String>,
}

/// The body of `POST /v1/revocations`: a target or a filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeBody {
    #[serde(default)]
    target: Option<TargetBody>,
    #[serde(default)]
    filter: Option<FilterBody>,
    reason: Option<String>,
    comment: Option<String>,
    dry_run: Option<bool>,
}

/// `POST /v1/revocations`
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The answer of `GET /v1/revocations/{id}/credentials`.
#[derive(Debug, Serialize)]
pub struct CredentialPage {
    /// Keys, then grants, each in the order of their ids. Tokens that stood alone have none.
    pub credentials: Vec<String>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /v1/revocations/{id}/credentials`: the ids of what it ended.
pub async fn credentials(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<CredentialsQuery>,
) -> Result<Json<CredentialPage>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        let detail = format!("must be from 1 to {LARGEST_PAGE}");
        return Err(ApiError::invalid_field("limit", detail));
    }
    let row = find(&app, &caller, &id).await?;
    // The last id of the page before says which list it was in.
    let (after_key, after_grant) = match query.cursor.as_deref() {
        None => (Some(0), 0),
        Some(text) => match (text.parse::<KeyId>(), text.parse::<GrantId>()) {
            (Ok(key), _) => (Some(key.get()), 0),
            (_, Ok(grant)) => (None, grant.get()),
            _ => {
                return Err(ApiError::new(
                    Code::InvalidCursor,
                    "use `next_cursor` of the page before",
                ));
            }
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
    let more = ids.len() > page;
    ids.truncate(page);
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineBody {
    ceiling: Option<String>,
    comment: Option<String>,
}

/// The body of `POST /v1/auth/keys/{id}/release`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    comment: Option<String>,
}

/// `POST /v1/auth/keys/{id}/quarantine`
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
