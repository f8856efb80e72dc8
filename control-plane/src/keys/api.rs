//! `/v1/auth/keys`: HTTP in, HTTP out. The rules are in the functions that it calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::id::{KeyId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::time::UnixSeconds;
use utoipa::{IntoParams, ToSchema};

use super::json::{Cursor, EnvironmentWord, IssuedView, KeyPage, KeyView, RotatedView};
use super::revoke::KeyReceipt;
use super::{NewKey, Reason, Revocation, Rotation, rules};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::{Admin, Caller};
use crate::http::idempotency::{Creation, FreeCreation, IdempotencyKeyHeader};
use crate::http::json::{NO_STORE, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging;
use crate::http::tag::{IfMatch, IfMatchHeader};
use crate::http::time::parse_rfc3339;
use crate::http::wait::wait;
use crate::revocation::Wait;
use crate::store::key_lists::{KeyFilter, Place};
use crate::store::keys::{ApiKey, KeyStatus};
use crate::usage::uses;

/// The body of `POST /v1/auth/keys`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub struct CreateBody {
    /// What people call it.
    #[schema(example = "ci", min_length = 1, max_length = 100)]
    name: String,
    /// A preset of scopes. Either this or `scopes`.
    #[schema(example = "read")]
    scope: Option<String>,
    /// Single scopes of the deployment's catalogue. Either these or `scope`.
    scopes: Option<Vec<String>>,
    /// A workspace's id, or `all`; if absent, as far as the caller reaches.
    #[schema(example = "all")]
    workspace: Option<String>,
    /// Which kind of environment it is for; `live`, if absent.
    #[schema(value_type = Option<EnvironmentWord>)]
    environment: Option<Environment>,
    /// When it ends by itself; never, if absent.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// The member that it acts for; the caller, if absent.
    user: Option<String>,
}

/// `POST /v1/auth/keys`
#[utoipa::path(
    post, path = "/v1/auth/keys", tag = "keys",
    summary = "Make a key",
    description = "The one answer that holds the key's text. Nobody gives a key more than they have: scopes, workspace, environment, life.",
    params(IdempotencyKeyHeader),
    request_body = CreateBody,
    responses(
        (status = 201, description = "The key, with its text.", body = IssuedView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`already_created`: the Idempotency-Key made a key before, which is shown only once; `rights_changed`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Creation(body, idempotency): Creation<CreateBody>,
) -> Result<Response, ApiError> {
    let new = NewKey {
        scopes: rules::scopes(
            body.scope.as_deref(),
            body.scopes.as_deref(),
            &app.policy().policy,
        )?,
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
    let tag = super::tag(&issued.key).header();
    Ok((StatusCode::CREATED, [NO_STORE, tag], [location], Json(view)).into_response())
}

/// The query of `GET /v1/auth/keys`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Those that stand there.
    #[param(inline)]
    status: Option<KeyStatus>,
    /// Those for this kind of environment.
    #[param(value_type = Option<EnvironmentWord>, inline)]
    environment: Option<Environment>,
    /// Those for this workspace, or those for `all`.
    workspace: Option<String>,
    /// Those with this in their name, whatever its case.
    name: Option<String>,
}

/// `GET /v1/auth/keys`
#[utoipa::path(
    get, path = "/v1/auth/keys", tag = "keys",
    summary = "List keys",
    description = "Newest first: those of the caller's organisation, and of its workspace and environment if it is bound to one.",
    params(ListQuery),
    responses((status = 200, description = "A page of keys, without their texts.", body = KeyPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<KeyPage>, ApiError> {
    let limit = paging::limit(query.limit)?;
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
#[utoipa::path(
    get, path = "/v1/auth/keys/{id}", tag = "keys",
    summary = "Show a key",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
    ),
    responses((status = 200, description = "The key, without its text.", body = KeyView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let key = super::show(&app, &caller, key_id(&id)?).await?;
    view(&app, &key).await
}

/// A key with what became of it at the edge.
async fn view(app: &App, key: &ApiKey) -> Result<Response, ApiError> {
    let uses = uses::of_keys(app, key.org, [key.id]).await?;
    let view = KeyView::new(key, app.catalogue(), app.clock.now().seconds());
    Ok(([super::tag(key).header()], Json(view.used(&uses))).into_response())
}

/// The body of `PATCH /v1/auth/keys/{id}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyChange)]
pub struct RenameBody {
    /// What people call it.
    #[schema(example = "ci", min_length = 1, max_length = 100)]
    name: String,
}

/// `PATCH /v1/auth/keys/{id}`
#[utoipa::path(
    patch, path = "/v1/auth/keys/{id}", tag = "keys",
    summary = "Rename a key",
    description = "Its id, rights and text stay.",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
        IfMatchHeader,
    ),
    request_body = RenameBody,
    responses((status = 200, description = "The key as it is now.", body = KeyView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn rename(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<RenameBody>,
) -> Result<Response, ApiError> {
    let key = super::rename(&app, &caller, key_id(&id)?, &body.name, &seen).await?;
    view(&app, &key).await
}

/// The body of a rotation.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
pub struct RotateBody {
    /// How long the old key stays valid: up to 30 days; 0 revokes it at once. The deployment's default, if absent.
    #[schema(maximum = 2_592_000, example = 3600)]
    overlap_seconds: Option<u64>,
}

/// The query of a rotation.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RotateQuery {
    /// What the answer waits for, if the old key is revoked at once; `effective`, if absent.
    #[param(value_type = Option<Wait>, inline)]
    wait: Option<String>,
}

/// `POST /v1/auth/keys/{id}/rotate`
#[utoipa::path(
    post, path = "/v1/auth/keys/{id}/rotate", tag = "keys",
    summary = "Rotate a key",
    description = "A new key with the same rights; the old one lives on for the overlap, then ends by itself.",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
        RotateQuery,
        IdempotencyKeyHeader,
    ),
    request_body = Option<RotateBody>,
    responses(
        (status = 201, description = "The new key, with its text, and the old one.", body = RotatedView),
        (status = 409, description = "`already_rotated`, `already_created`, `key_expired`, `key_quarantined`, `key_revoked` or `rights_changed`."),
    ),
)]
pub async fn rotate(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<RotateQuery>,
    FreeCreation(body, idempotency): FreeCreation<RotateBody>,
) -> Result<Response, ApiError> {
    let rotation = Rotation {
        overlap_seconds: body.overlap_seconds,
        wait: wait(query.wait.as_deref())?,
    };
    let rotated = super::rotate(&app, &caller, key_id(&id)?, rotation, idempotency).await?;
    rotation_answer(&app, &rotated).await
}

/// `POST /v1/auth/keys/self/rotate`
#[utoipa::path(
    post, path = "/v1/auth/keys/self/rotate", tag = "keys",
    summary = "Rotate the calling key",
    description = "Needs no scope: the key gets back what it has. Limited per line of keys and hour.",
    params(RotateQuery, IdempotencyKeyHeader),
    request_body = Option<RotateBody>,
    security(("api_key" = [])),
    responses(
        (status = 201, description = "The new key, with its text, and the old one.", body = RotatedView),
        (status = 409, description = "`already_rotated`, `already_created`, `key_expired`, `key_quarantined`, `key_revoked` or `rights_changed`."),
    ),
)]
pub async fn rotate_itself(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictQuery(query): StrictQuery<RotateQuery>,
    FreeCreation(body, idempotency): FreeCreation<RotateBody>,
) -> Result<Response, ApiError> {
    let rotation = Rotation {
        overlap_seconds: body.overlap_seconds,
        wait: wait(query.wait.as_deref())?,
    };
    let rotated = super::rotate_itself(&app, &caller, rotation, idempotency).await?;
    rotation_answer(&app, &rotated).await
}

async fn rotation_answer(app: &App, rotated: &super::Rotated) -> Result<Response, ApiError> {
    let uses = uses::of_keys(app, rotated.old.org, [rotated.old.id]).await?;
    let view = RotatedView::new(rotated, &uses, app.catalogue(), app.clock.now().seconds());
    let location = (LOCATION, format!("/v1/auth/keys/{}", rotated.issued.key.id));
    Ok((StatusCode::CREATED, [NO_STORE], [location], Json(view)).into_response())
}

/// The body of `POST /v1/auth/keys/{id}/reissue`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reissue)]
pub struct ReissueBody {
    /// For whom the new key acts.
    #[schema(example = "usr_000000001")]
    user: String,
    /// Fewer scopes; those of the key, if absent.
    scopes: Option<Vec<String>>,
}

/// `POST /v1/auth/keys/{id}/reissue`
#[utoipa::path(
    post, path = "/v1/auth/keys/{id}/reissue", tag = "keys",
    summary = "Make a key for somebody else in place of this one",
    description = "Another text with another id, shown only in this answer; name, workspace, environment and expiry are the same, and the scopes, unless fewer are asked for. The old key goes on until it is revoked.",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
        crate::http::idempotency::IdempotencyKeyHeader,
    ),
    request_body = ReissueBody,
    responses((status = 201, description = "The new key, with its text.", body = IssuedView, headers(("ETag" = String, description = "Its version, for `If-Match`."))), (status = 409, description = "`already_created`, `already_rotated`, `key_expired`, `key_revoked`, `key_quarantined`.")),
)]
pub async fn reissue(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Creation(body, idempotency): Creation<ReissueBody>,
) -> Result<Response, ApiError> {
    let scopes = body
        .scopes
        .map(|list| rules::scopes(None, Some(&list), &app.policy().policy))
        .transpose()?;
    let to = (user(&body.user)?, scopes);
    let issued = super::reissue(&app, &caller, key_id(&id)?, to, idempotency).await?;
    let view = IssuedView::new(&issued, app.catalogue(), app.clock.now().seconds());
    let location = (LOCATION, format!("/v1/auth/keys/{}", issued.key.id));
    let tag = super::tag(&issued.key).header();
    Ok((StatusCode::CREATED, [NO_STORE, tag], [location], Json(view)).into_response())
}

/// The query of `DELETE /v1/auth/keys/{id}`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevokeQuery {
    /// What the answer waits for; `effective`, if absent: until no default or strict route lets the key in.
    #[param(value_type = Option<Wait>, inline)]
    wait: Option<String>,
    /// Why; `unspecified`, if absent.
    #[param(value_type = Option<Reason>, inline)]
    reason: Option<String>,
    /// With every key of its line of rotations; if absent, only for `key_compromise`.
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
#[utoipa::path(
    delete, path = "/v1/auth/keys/{id}", tag = "keys",
    summary = "Revoke a key",
    description = "For good. A second call gives the first one's receipt.",
    params(
        ("id" = String, Path, description = "The key.", pattern = "^key_[0-9A-Za-z]{9}$", example = "key_000000001"),
        RevokeQuery,
    ),
    responses((status = 200, description = "The receipt: who has it, and from when on nobody lets the key in.", body = KeyReceipt)),
)]
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
