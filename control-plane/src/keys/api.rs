//! `/v1/auth/keys`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::crypto::sha256;
use shared::id::{KeyId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::time::UnixSeconds;

use super::json::{Cursor, IssuedView, KeyPage, KeyView, RotatedView};
use super::{Idempotency, NewKey, Reason, Revocation, Rotation, rules};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::{OptionalJson, StrictJson, StrictQuery};
use crate::http::time::parse_rfc3339;
use crate::revocation::Wait;
use crate::store::key_lists::{KeyFilter, Place};
use crate::store::keys::{ApiKey, KeyStatus};
use crate::usage::uses;

const DEFAULT_PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 200;
const NO_STORE: (axum::http::HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The body of `POST /v1/auth/keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    name: String,
    scope: Option<String>,
    scopes: Option<Vec<String>>,
    workspace: Option<String>,
    environment: Option<Environment>,
    expires_at: Option<String>,
    user: Option<String>,
}

/// `POST /v1/auth/keys`
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    StrictJson(body, bytes): StrictJson<CreateBody>,
) -> Result<Response, ApiError> {
    let idempotency = idempotency(&headers, &bytes)?;
    let new = NewKey {
        scopes: rules::scopes(body.scope.as_deref(), body.scopes.as_deref(), &app.policy.policy)?,
        // Without a word about it, a key gets the reach that its maker has.
        workspace: body
            .workspace
            .as_deref()
            .map_or(Ok(caller.workspace), workspace)?,
        environment: body.environment.unwrap_or(Environment::Live),
        expires_at: body.expires_at.as_deref().map(time).transpose()?,
        user: body.user.as_deref().map(user).transpose()?,
        name: body.name,
    };
    let issued = super::create(&app, &caller, new, idempotency).await?;
    let view = IssuedView::new(&issued, app.catalogue(), app.clock.now().seconds());
    let location = (LOCATION, format!("/v1/auth/keys/{}", issued.key.id));
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// The query of `GET /v1/auth/keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    status: Option<KeyStatus>,
    environment: Option<Environment>,
    workspace: Option<String>,
    name: Option<String>,
}

/// `GET /v1/auth/keys`
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<KeyPage>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid_field(
            "limit",
            format!("must be from 1 to {LARGEST_PAGE}"),
        ));
    }
    let wanted = query.workspace.as_deref().map(workspace).transpose()?;
    let filter = KeyFilter {
        status: query.status,
        environment: query.environment,
        workspace: wanted.flatten(),
        all_workspaces: wanted == Some(None),
        name: query.name.filter(|name| !name.is_empty()),
        after: query
            .cursor
            .as_deref()
            .map(Cursor::decode)
            .transpose()?
            .map(|Cursor(at, id)| Place::Made(at, id)),
        ..KeyFilter::all(caller.reach(), limit)
    };
    let page = super::list(&app, &filter).await?;
    let uses = uses::of_keys(&app, caller.org, page.keys.iter().map(|key| key.id)).await?;
    let now = app.clock.now().seconds();
    let next_cursor = page.next.and_then(|place| match place {
        Place::Made(at, id) => Some(Cursor(at, id).encode()),
        Place::Named(..) => None,
    });
    let keys = page
        .keys
        .iter()
        .map(|key| KeyView::new(key, app.catalogue(), now).used(&uses))
        .collect();
    Ok(Json(KeyPage { keys, next_cursor }))
}

/// `GET /v1/auth/keys/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Json<KeyView>, ApiError> {
    let key = super::show(&app, &caller, key_id(&id)?).await?;
    view(&app, &key).await
}

/// A key with what became of it at the edge.
async fn view(app: &App, key: &ApiKey) -> Result<Json<KeyView>, ApiError> {
    let uses = uses::of_keys(app, key.org, [key.id]).await?;
    let view = KeyView::new(key, app.catalogue(), app.clock.now().seconds());
    Ok(Json(view.used(&uses)))
}

/// The body of `PATCH /v1/auth/keys/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameBody {
    name: String,
}

/// `PATCH /v1/auth/keys/{id}`
pub async fn rename(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictJson(body, _): StrictJson<RenameBody>,
) -> Result<Json<KeyView>, ApiError> {
    let key = super::rename(&app, &caller, key_id(&id)?, &body.name).await?;
    view(&app, &key).await
}

/// The body of a rotation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    overlap_seconds: Option<u64>,
}

/// The query of a rotation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateQuery {
    wait: Option<String>,
}

/// `POST /v1/auth/keys/{id}/rotate`
pub async fn rotate(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<RotateQuery>,
    OptionalJson(body): OptionalJson<RotateBody>,
) -> Result<Response, ApiError> {
    let rotation = Rotation {
        overlap_seconds: body.overlap_seconds,
        wait: wait(query.wait.as_deref())?,
    };
    let rotated = super::rotate(&app, &caller, key_id(&id)?, rotation).await?;
    rotation_answer(&app, &rotated).await
}

/// `POST /v1/auth/keys/self/rotate`
pub async fn rotate_itself(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictQuery(query): StrictQuery<RotateQuery>,
    OptionalJson(body): OptionalJson<RotateBody>,
) -> Result<Response, ApiError> {
    let rotation = Rotation {
        overlap_seconds: body.overlap_seconds,
        wait: wait(query.wait.as_deref())?,
    };
    let rotated = super::rotate_itself(&app, &caller, rotation).await?;
    rotation_answer(&app, &rotated).await
}

async fn rotation_answer(app: &App, rotated: &super::Rotated) -> Result<Response, ApiError> {
    let uses = uses::of_keys(app, rotated.old.org, [rotated.old.id]).await?;
    let view = RotatedView::new(rotated, &uses, app.catalogue(), app.clock.now().seconds());
    let location = (LOCATION, format!("/v1/auth/keys/{}", rotated.issued.key.id));
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// The query of `DELETE /v1/auth/keys/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeQuery {
    wait: Option<String>,
    reason: Option<String>,
    line: Option<bool>,
}

/// The body of `DELETE /v1/auth/keys/{id}`, for those who prefer one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeBody {
    reason: Option<String>,
    line: Option<bool>,
}

/// `DELETE /v1/auth/keys/{id}`
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<RevokeQuery>,
    OptionalJson(body): OptionalJson<RevokeBody>,
) -> Result<Response, ApiError> {
    let reason = match one_of("reason", query.reason, body.reason)? {
        Some(text) => text
            .parse::<Reason>()
            .map_err(|expected| ApiError::invalid_field("reason", expected))?,
        None => Reason::default(),
    };
    let revocation = Revocation {
        reason,
        line: one_of("line", query.line, body.line)?,
        wait: wait(query.wait.as_deref())?,
    };
    let receipt = super::revoke(&app, &caller, key_id(&id)?, revocation).await?;
    Ok(([NO_STORE], Json(receipt)).into_response())
}

fn one_of<T>(field: &str, query: Option<T>, body: Option<T>) -> Result<Option<T>, ApiError> {
    if query.is_some() && body.is_some() {
        let detail = "give it in the query or in the body, not in both";
        return Err(ApiError::invalid_field(field, detail));
    }
    Ok(query.or(body))
}

/// An id that is not even one is a key that is not there: the text is not repeated, it may be a whole key.
pub(crate) fn key_id(text: &str) -> Result<KeyId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("key"))
}

/// What an answer waits for.
pub(crate) fn wait(text: Option<&str>) -> Result<Wait, ApiError> {
    let expected = "expected `effective`, `ack` or `none`";
    text.map_or(Ok(Wait::default()), |text| {
        text.parse()
            .map_err(|_| ApiError::invalid_field("wait", expected))
    })
}

fn workspace(text: &str) -> Result<Option<WorkspaceId>, ApiError> {
    if text == "all" {
        return Ok(None);
    }
    let invalid = |_| ApiError::invalid_field("workspace", "must be `all` or an id such as ws_000000001");
    text.parse().map(Some).map_err(invalid)
}

fn user(text: &str) -> Result<UserId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_field("user", "must be an id such as usr_000000001"))
}

fn time(text: &str) -> Result<UnixSeconds, ApiError> {
    let detail = "must be an RFC 3339 time such as 2030-01-31T12:00:00Z";
    parse_rfc3339(text).ok_or_else(|| ApiError::invalid_field("expires_at", detail))
}

/// The Idempotency-Key header and a digest of what the body means: white space and order do not matter.
fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let plain = (1..=255).contains(&value.len()) && value.as_bytes().iter().all(|b| (0x20..0x7f).contains(b));
    if !plain || values.next().is_some() {
        let detail = "send one Idempotency-Key of 1 to 255 printable ASCII characters";
        return Err(ApiError::new(Code::InvalidField, detail).field("Idempotency-Key"));
    }
    let meaning: serde_json::Value = shared::strict_json::from_slice(body).map_err(ApiError::internal)?;
    Ok(Some(Idempotency {
        key: sha256(value.as_bytes()),
        body: sha256(meaning.to_string().as_bytes()),
    }))
}
