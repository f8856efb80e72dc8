//! `/v1/audit`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shared::time::UnixMillis;
use utoipa::IntoParams;

use super::export::Form;
use super::{AuditPage, Search, Verification, Which};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{NO_STORE, StrictQuery};
use crate::http::paging;
use crate::http::time::parse_rfc3339;

/// The query of `GET /v1/audit`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `org` (as without it) or `installation`.
    #[serde(default)]
    #[param(inline)]
    pub trail: Which,
    /// By whom.
    #[param(max_length = 200, example = "usr_000000001")]
    pub actor: Option<String>,
    /// What.
    #[param(max_length = 200, example = "api_key.revoke")]
    pub action: Option<String>,
    /// To what.
    #[param(max_length = 200, example = "key_000000001")]
    pub target: Option<String>,
    /// RFC 3339: at or after.
    pub from: Option<String>,
    /// RFC 3339: before.
    pub to: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u32>,
}

impl ListQuery {
    /// What it looks for, if it makes sense.
    pub fn search(self) -> Result<Search, ApiError> {
        let limit = paging::limit(self.limit)?;
        Ok(Search {
            which: self.trail,
            actor: self.actor,
            action: self.action,
            target: self.target,
            from: time("from", self.from.as_deref())?,
            to: time("to", self.to.as_deref())?,
            cursor: self.cursor,
            limit,
        })
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<UnixMillis>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = parse_rfc3339(text).map(shared::time::UnixSeconds::millis);
    let detail = "must be a time such as 2030-01-31T00:00:00Z";
    parsed
        .map(Some)
        .ok_or_else(|| ApiError::invalid_field(field, detail))
}

/// `GET /v1/audit`
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit",
    summary = "Search the audit trail",
    description = "Newest first. Conditions are whole words. With several of them a page may be short, or empty, and have a next one: \
        no more than ten rows are looked at for each that it may show.",
    params(ListQuery),
    responses((status = 200, description = "A page of entries.", body = AuditPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Response, ApiError> {
    let page = super::search(&app, &caller, &query.search()?).await?;
    Ok(([NO_STORE], Json(page)).into_response())
}

/// The query of `GET /v1/audit/export`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `jsonl` (as without it) or `csv`.
    #[serde(default)]
    #[param(inline)]
    pub format: Form,
    /// As for the list.
    #[serde(default)]
    #[param(inline)]
    pub trail: Which,
    /// By whom.
    #[param(max_length = 200, example = "usr_000000001")]
    pub actor: Option<String>,
    /// What.
    #[param(max_length = 200, example = "api_key.revoke")]
    pub action: Option<String>,
    /// To what.
    #[param(max_length = 200, example = "key_000000001")]
    pub target: Option<String>,
    /// RFC 3339: at or after.
    pub from: Option<String>,
    /// RFC 3339: before.
    pub to: Option<String>,
}

impl ExportQuery {
    /// The form, and what is looked for.
    pub fn search(self) -> Result<(Form, Search), ApiError> {
        let query = ListQuery {
            trail: self.trail,
            actor: self.actor,
            action: self.action,
            target: self.target,
            from: self.from,
            to: self.to,
            cursor: None,
            limit: None,
        };
        Ok((self.format, query.search()?))
    }
}

/// `GET /v1/audit/export`
#[utoipa::path(
    get, path = "/v1/audit/export", tag = "audit",
    summary = "Download the audit trail",
    description = "Oldest first, streamed: JSON lines, or CSV in which nothing is a formula. A download that breaks off ends without its last chunk.",
    params(ExportQuery),
    responses((status = 200, description = "The entries.", content((String = "application/jsonl"), (String = "text/csv")))),
)]
pub async fn export(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<ExportQuery>,
) -> Result<Response, ApiError> {
    let (form, search) = query.search()?;
    super::export::export(&app, &caller, &search, form).await
}

/// The query of `GET /v1/audit/verify`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// As for the list.
    #[serde(default)]
    #[param(inline)]
    pub trail: Which,
    /// `next` of the part before.
    pub after: Option<String>,
    /// A head of all seals that was noted elsewhere, in hexadecimal digits.
    #[param(pattern = "^[0-9a-fA-F]{64}$")]
    pub anchor: Option<String>,
}

/// `GET /v1/audit/verify`
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit",
    summary = "Verify the audit trail",
    description = "Walks along the chain of entries, a part at a time: as long as there is a `next`, ask again with it as `after`.",
    params(VerifyQuery),
    responses((status = 200, description = "What the walk found so far, also if that is bad.", body = Verification)),
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<VerifyQuery>,
) -> Result<Response, ApiError> {
    let chain = super::may_read(&app, &caller, query.trail).await?;
    let anchor = query.anchor.as_deref().map(anchor).transpose()?;
    let found = super::verify(&app, chain, query.after.as_deref(), anchor.as_ref()).await?;
    Ok(([NO_STORE], Json(found)).into_response())
}

fn anchor(text: &str) -> Result<[u8; 32], ApiError> {
    let invalid = || ApiError::invalid_field("anchor", "must be 64 hexadecimal digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(invalid());
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(place * 2..place * 2 + 2).ok_or_else(invalid)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
    }
    Ok(bytes)
}
