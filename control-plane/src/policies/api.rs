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

use super::change::Applied;
use super::json::{AppliedView, CheckedView, CurrentView, ShownView, VersionView, tried};
use super::trial::{Holder, Trial};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::json::{StrictJson, StrictQuery};
use crate::revocation::Wait;

const DEFAULT_PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 200;
const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// Whoever has it asks whether it still is so.
const ASK_AGAIN: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));

/// `GET /v1/policy`
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    policy: Value,
}

/// `POST /v1/policy/check`
pub async fn check(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictJson(body, _): StrictJson<CheckBody>,
) -> Result<Response, ApiError> {
    let checked = super::check(&app, &caller, body.policy).await?;
    Ok(([NO_STORE], Json(CheckedView::from(checked))).into_response())
}

/// The query of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    wait: Option<String>,
}

/// The body of `PUT /v1/policy`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    policy: Value,
    reason: Option<String>,
}

/// `PUT /v1/policy`
pub async fn apply(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<ApplyBody>,
) -> Result<Response, ApiError> {
    let wait = wait(&query)?;
    let expected = expected(&headers)?;
    let why = body.reason.as_deref();
    let applied = super::apply(&app, &caller, body.policy, (expected, why), wait).await?;
    Ok(answer(applied))
}

/// The body of `POST /v1/policy/rollback`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollBackBody {
    version: u64,
    reason: Option<String>,
}

/// `POST /v1/policy/rollback`
pub async fn roll_back(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<WaitQuery>,
    StrictJson(body, _): StrictJson<RollBackBody>,
) -> Result<Response, ApiError> {
    let wait = wait(&query)?;
    let expected = expected(&headers)?;
    let why = body.reason.as_deref();
    let applied = super::roll_back(&app, &caller, body.version, (expected, why), wait).await?;
    Ok(answer(applied))
}

fn answer(applied: Applied) -> Response {
    let etag = (ETAG, format!("\"{}\"", applied.version));
    ([NO_STORE], [etag], Json(AppliedView::from(applied))).into_response()
}

/// The query of `GET /v1/policy/history`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The answer of `GET /v1/policy/history`.
#[derive(Debug, Serialize)]
pub struct HistoryPage {
    /// Newest first.
    pub versions: Vec<VersionView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /v1/policy/history`
pub async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<HistoryPage>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        let detail = format!("must be from 1 to {LARGEST_PAGE}");
        return Err(ApiError::invalid_field("limit", detail));
    }
    let cursor = |text: &str| {
        let detail = "use `next_cursor` of the page before";
        text.parse()
            .map_err(|_| ApiError::new(Code::InvalidCursor, detail))
    };
    let before = query.cursor.as_deref().map(cursor).transpose()?;
    let (rows, more) = super::history(&app, &caller, before, limit).await?;
    let next_cursor = rows.last().filter(|_| more).map(|last| last.version.to_string());
    let versions = rows.iter().map(VersionView::new).collect::<Result<_, _>>()?;
    Ok(Json(HistoryPage {
        versions,
        next_cursor,
    }))
}

/// `GET /v1/policy/history/{version}`
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestBody {
    method: Option<String>,
    path: String,
    origin: Option<String>,
    /// An API key or a token.
    credential: Option<SecretString>,
    /// Or somebody with these scopes. Neither: a caller without a credential.
    scopes: Option<Vec<String>>,
    /// Under this document instead of the one in force.
    policy: Option<Value>,
}

/// `POST /v1/policy/test`
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

fn wait(query: &WaitQuery) -> Result<Wait, ApiError> {
    query.wait.as_deref().map_or(Ok(Wait::default()), |text| {
        text.parse()
            .map_err(|_| ApiError::invalid_field("wait", "expected `effective`, `ack` or `none`"))
    })
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
