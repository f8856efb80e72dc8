//! `/v1/policy`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::change::Applied;
use super::json::{AppliedView, CheckedView, CurrentView, ShownView, VersionView, tried};
use super::trial::{Holder, Trial};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::{NO_STORE, StrictJson, StrictQuery};
use crate::http::paging::{self, ListQuery};
use crate::http::wait::{WaitQuery, wait};

/// Whoever has it asks whether it still is so.
const ASK_AGAIN: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));

/// `GET /v1/policy`
#[utoipa::path(
    get, path = "/v1/policy", tag = "policy",
    security(("api_key" = []), ("access_token" = [])),
    summary = "Show the route policy in force",
    responses(
        (status = 200, description = "The policy.", body = CurrentView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 304, description = "It still is the one of `If-None-Match`."),
    ),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let current = super::show(&app, &caller).await?;
    let kind = if current.access.operator { "" } else { "-outline" };
    let tag = format!("\"{}{kind}\"", current.version);
    let etag = (ETAG, tag.clone());
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok()).flat_map(tags);
    // RFC 9110 §13.1.2: weak comparison.
    if known.any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [ASK_AGAIN], [etag]).into_response());
    }
    Ok(([ASK_AGAIN], [etag], Json(CurrentView::new(current)?)).into_response())
}

/// The body of `POST /v1/policy/check`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyToCheck)]
pub struct CheckBody {
    /// The document; what is none has a mistake like any other.
    #[schema(value_type = Value, example = json!({}))]
    policy: Value,
}

/// `POST /v1/policy/check`
#[utoipa::path(
    post, path = "/v1/policy/check", tag = "policy",
    summary = "Check a policy",
    request_body = CheckBody,
    responses(
        (status = 200, description = "Everything that is wrong with it, and what it would change.", body = CheckedView),
    ),
)]
pub async fn check(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(body, _): StrictJson<CheckBody>,
) -> Result<Response, ApiError> {
    let checked = super::check(&app, &caller, body.policy).await?;
    Ok(([NO_STORE], Json(CheckedView::from(checked))).into_response())
}

/// The body of `PUT /v1/policy`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyToApply)]
pub struct ApplyBody {
    /// The document.
    #[schema(value_type = Object, example = json!({}))]
    policy: Value,
    /// Why, for the history.
    reason: Option<String>,
}

/// `PUT /v1/policy`
#[utoipa::path(
    put, path = "/v1/policy", tag = "policy",
    summary = "Put a policy in force",
    description = "`If-Match` is required: nobody overwrites a change unseen.",
    params(
        WaitQuery,
        ("If-Match" = String, Header, description = "The `ETag` of `GET /v1/policy`: the version that this change is for.", example = "\"7\""),
    ),
    request_body = ApplyBody,
    responses(
        (status = 200, description = "The version in force now, and the receipt.", body = AppliedView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`managed_by_file`, `edges_behind`, `rights_changed`."),
        (status = 422, description = "`invalid_policy`: it has mistakes."),
        (status = 428, description = "`If-Match` is missing: here it is required."),
    ),
)]
pub async fn apply(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<ApplyBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    let expected = expected(&headers)?;
    let why = body.reason.as_deref();
    let applied = super::apply(&app, &caller, body.policy, (expected, why), wait).await?;
    Ok(answer(applied))
}

/// The highest number that a version can have: it travels as JSON (RFC 8259 §6).
const LAST_VERSION: u64 = (1 << 53) - 1;

/// The body of `POST /v1/policy/rollback`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyToRestore)]
pub struct RollBackBody {
    /// Which one, from the history.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    version: u64,
    /// Why, for the history.
    reason: Option<String>,
}

/// `POST /v1/policy/rollback`
#[utoipa::path(
    post, path = "/v1/policy/rollback", tag = "policy",
    summary = "Put an earlier version in force again",
    params(
        WaitQuery,
        ("If-Match" = String, Header, description = "The `ETag` of `GET /v1/policy`: the version that this change is for.", example = "\"7\""),
    ),
    request_body = RollBackBody,
    responses(
        (status = 200, description = "The version in force now, and the receipt.", body = AppliedView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 404, description = "There is no such version."),
        (status = 409, description = "`managed_by_file`, `edges_behind`, `rights_changed`."),
        (status = 422, description = "`invalid_policy`: it has mistakes."),
        (status = 428, description = "`If-Match` is missing: here it is required."),
    ),
)]
pub async fn roll_back(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<RollBackBody>,
) -> Result<Response, ApiError> {
    let wait = wait(query.wait.as_deref())?;
    if !(1..=LAST_VERSION).contains(&body.version) {
        return Err(ApiError::invalid_field(
            "version",
            "must be a version of the history",
        ));
    }
    let expected = expected(&headers)?;
    let why = body.reason.as_deref();
    let applied = super::roll_back(&app, &caller, body.version, (expected, why), wait).await?;
    Ok(answer(applied))
}

fn answer(applied: Applied) -> Response {
    let etag = (ETAG, format!("\"{}\"", applied.version));
    ([NO_STORE], [etag], Json(AppliedView::from(applied))).into_response()
}

/// The answer of `GET /v1/policy/history`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyHistory)]
pub struct HistoryPage {
    /// Newest first.
    pub versions: Vec<VersionView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// `GET /v1/policy/history`
#[utoipa::path(
    get, path = "/v1/policy/history", tag = "policy",
    security(("api_key" = []), ("access_token" = [])),
    summary = "List versions of the policy",
    description = "Who put what in force, when and why; newest first.",
    params(
        ListQuery,
    ),
    responses(
        (status = 200, description = "A page of versions.", body = HistoryPage),
    ),
)]
pub async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<HistoryPage>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let before = paging::place(query.cursor.as_deref())?;
    let (rows, more) = super::history(&app, &caller, before, limit).await?;
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|last| paging::encode(&last.version));
    let versions = rows.iter().map(VersionView::new).collect::<Result<_, _>>()?;
    Ok(Json(HistoryPage {
        versions,
        next_cursor,
    }))
}

/// `GET /v1/policy/history/{version}`
#[utoipa::path(
    get, path = "/v1/policy/history/{version}", tag = "policy",
    security(("api_key" = []), ("access_token" = [])),
    summary = "Show a version of the policy",
    params(
        ("version" = u64, Path, description = "Its number.", example = 7),
    ),
    responses(
        (status = 200, description = "The version.", body = ShownView),
    ),
)]
pub async fn version(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(version): Path<String>,
) -> Result<Response, ApiError> {
    let number = version
        .parse()
        .map_err(|_| ApiError::not_found("policy version"))?;
    let shown = super::version(&app, &caller, number).await?;
    Ok(([NO_STORE], Json(ShownView::new(&shown)?)).into_response())
}

/// The body of `POST /v1/policy/test`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyTrial)]
pub struct TestBody {
    /// The request's method; `GET`, if absent.
    method: Option<String>,
    /// The request's path.
    #[schema(example = "/v1/memory/x")]
    path: String,
    /// The request's `Origin`.
    origin: Option<String>,
    /// An API key or a token.
    #[schema(value_type = Option<String>)]
    credential: Option<SecretString>,
    /// Or somebody with these scopes. Neither: a caller without a credential.
    scopes: Option<Vec<String>>,
    /// Under this document instead of the one in force.
    #[schema(value_type = Option<Value>)]
    policy: Option<Value>,
}

/// `POST /v1/policy/test`
#[utoipa::path(
    post, path = "/v1/policy/test", tag = "policy",
    security(("api_key" = []), ("access_token" = [])),
    summary = "Would this request pass, and why",
    description = "Under the policy in force or the one that is given. Nothing is counted.",
    request_body = TestBody,
    responses(
        (status = 200, description = "Each question that the edge asks, and what came of it.", body = Object),
        (status = 422, description = "`invalid_policy`: the document has mistakes."),
    ),
)]
pub async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictJson(body, _): StrictJson<TestBody>,
) -> Result<Response, ApiError> {
    let holder = match (body.credential, body.scopes) {
        (None, None) => Holder::Nobody,
        (None, Some(scopes)) => Holder::Scopes(scopes),
        (Some(credential), None) => Holder::Credential(credential),
        (Some(_), Some(_)) => {
            let detail = "give `credential` or `scopes`: a credential has scopes of its own";
            return Err(ApiError::invalid_field("scopes", detail));
        }
    };
    let trial = Trial {
        method: body.method.unwrap_or_else(|| "GET".to_owned()),
        path: body.path,
        origin: body.origin,
        holder,
        draft: body.policy,
    };
    let done = super::test(&app, &caller, trial).await?;
    Ok(([NO_STORE], Json(tried(&done))).into_response())
}

/// RFC 9110 §13.1.1. `None`: `*`, whatever is in force.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let detail = "send `If-Match` with the ETag of `GET /v1/policy`, so that nobody's change is overwritten unseen";
        return Err(ApiError::new(Code::PreconditionRequired, detail));
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // One version is in force, so of several tags one could match at most; a weak one never does.
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let number = number.and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let detail = "If-Match is not an ETag of `GET /v1/policy`, such as \"7\"";
        ApiError::new(Code::PreconditionFailed, detail)
    })
}

fn tags(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim)
}
