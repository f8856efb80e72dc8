//! `GET /v1/usage`: requests by the hour or the day, of one organisation, and how whole the numbers are.
//!
//! Whoever administers a workspace, or has a key for a lesser environment, asks about one key in its reach. Requests without a
//! proven credential (`credential=none`) belong to no organisation: administrators of the first one see them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::crypto::{base64url, from_base64url};
use shared::id::KeyId;
use shared::key::Environment;
use shared::time::UnixMillis;

use super::age::{Age, age};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::StrictQuery;
use crate::http::time::{Timestamp, parse_rfc3339};
use crate::orgs;
use crate::store::usage::{UsageFilter, UsageKey, UsageRow};

const HOUR_MS: u64 = 3_600_000;
const DAY_HOURS: u64 = 24;
const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;
/// What rows can be told apart by, in the order of the store.
const BY: [&str; 5] = ["credential", "class", "reason", "country", "colo"];
/// Instead of a credential's name.
const NONE: &str = "none";
/// The longest name of a credential.
const MAX_NAME: usize = 256;

/// The query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    from: Option<String>,
    to: Option<String>,
    interval: Option<Interval>,
    credential: Option<String>,
    class: Option<String>,
    reason: Option<String>,
    group_by: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// How much time is in one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// An hour.
    #[default]
    Hour,
    /// A day, in UTC.
    Day,
}

impl Interval {
    fn hours(self) -> u64 {
        match self {
            Self::Hour => 1,
            Self::Day => DAY_HOURS,
        }
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Page {
    from: Timestamp,
    to: Timestamp,
    interval: Interval,
    usage: Vec<Row>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    next_cursor: Option<String>,
    #[serde(flatten)]
    age: Age,
}

/// Requests of one interval, and of one credential, class, reason, country or data centre where these were asked for.
#[derive(Debug, Serialize)]
struct Row {
    from: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    colo: Option<String>,
    /// All of them.
    requests: u64,
    /// Those that were not let in.
    refused: u64,
    last_at: Timestamp,
}

impl Row {
    fn new(row: UsageRow, by: [bool; 5]) -> Self {
        let [credential, class, reason, country, colo] = row.key.by;
        let [by_credential, by_class, by_reason, by_country, by_colo] = by;
        let shown = |text: String, asked: bool| asked.then_some(text);
        Self {
            from: UnixMillis(row.key.hour.saturating_mul(HOUR_MS)).into(),
            credential: shown(credential, by_credential),
            class: shown(class, by_class),
            reason: shown(reason, by_reason),
            country: shown(country, by_country),
            colo: shown(colo, by_colo),
            requests: row.requests,
            refused: row.requests.saturating_sub(row.accepted),
            last_at: row.last.into(),
        }
    }
}

/// `GET /v1/usage`
pub async fn get(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Json<Page>, ApiError> {
    // 1. What is asked.
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid_field(
            "limit",
            format!("must be from 1 to {LARGEST_PAGE}"),
        ));
    }
    let interval = query.interval.unwrap_or_default();
    let (from, to) = time(&app, &query, interval)?;
    let by = group_by(query.group_by.as_deref())?;
    let after = query.cursor.as_deref().map(decode_cursor).transpose()?;

    // 2. Whose, and may they?
    let credential = query.credential.filter(|name| !name.is_empty());
    let org = whose(&app, &caller, credential.as_deref()).await?;

    // 3. The numbers, and their age.
    let filter = UsageFilter {
        org,
        from: from.0 / HOUR_MS,
        to: to.0 / HOUR_MS,
        hours: interval.hours(),
        credential: credential.filter(|name| name != NONE),
        class: query.class,
        reason: query.reason,
        by,
        after,
        limit: limit.saturating_add(1),
    };
    let mut tx = app.store.begin_read().await?;
    let mut rows = tx.usage(&filter).await?;
    let age = age(&app, &mut tx, from, to).await?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > page;
    rows.truncate(page);
    let next_cursor = rows.last().filter(|_| more).map(|last| encode_cursor(&last.key));
    Ok(Json(Page {
        from: from.into(),
        to: to.into(),
        interval,
        usage: rows.into_iter().map(|row| Row::new(row, by)).collect(),
        next_cursor,
        age,
    }))
}

/// Whole intervals that hold `from` and `to`; without them the last day up to now, or the last thirty.
fn time(app: &App, query: &Query, interval: Interval) -> Result<(UnixMillis, UnixMillis), ApiError> {
    let step = interval.hours().saturating_mul(HOUR_MS);
    let parse = |name: &str, text: &str| {
        parse_rfc3339(text)
            .map(shared::time::UnixSeconds::millis)
            .ok_or_else(|| ApiError::invalid_field(name, "must be a time such as 2030-01-31T00:00:00Z"))
    };
    let to = match &query.to {
        Some(text) => parse("to", text)?,
        None => app.clock.now().saturating_add(1),
    };
    let from = match &query.from {
        Some(text) => parse("from", text)?,
        None => {
            let back = if interval == Interval::Day {
                30 * step
            } else {
                24 * step
            };
            UnixMillis(to.0.saturating_sub(back))
        }
    };
    if from >= to {
        return Err(ApiError::invalid_field("from", "must be before `to`"));
    }
    let end = to.0.div_ceil(step).saturating_mul(step);
    Ok((UnixMillis(from.0 / step * step), UnixMillis(end)))
}

fn group_by(text: Option<&str>) -> Result<[bool; 5], ApiError> {
    let mut by = [false; 5];
    for name in text
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
    {
        let known = BY.iter().zip(&mut by).find(|(known, _)| **known == name);
        let Some((_, flag)) = known else {
            return Err(ApiError::invalid_field(
                "group_by",
                "must be some of credential, class, reason, country, colo, separated by commas",
            ));
        };
        *flag = true;
    }
    Ok(by)
}

/// The organisation whose requests are meant; 0: nobody's.
async fn whose(app: &App, caller: &Caller, credential: Option<&str>) -> Result<u64, ApiError> {
    if credential.is_some_and(|name| name.len() > MAX_NAME) {
        return Err(ApiError::invalid_field(
            "credential",
            format!("has at most {MAX_NAME} bytes"),
        ));
    }
    let reach = caller.reach();
    let sees_all = reach.workspace.is_none() && reach.environment == Environment::Live;
    if credential == Some(NONE) {
        let mut tx = app.store.begin_read().await?;
        if sees_all && orgs::is_operator(&mut tx, caller.org).await? {
            return Ok(0);
        }
        return Err(ApiError::new(
            Code::InsufficientScope,
            "requests without a credential are shown to administrators of the first organisation",
        ));
    }
    if sees_all {
        return Ok(caller.org.get());
    }
    let key: Option<KeyId> = credential.and_then(|name| name.parse().ok());
    let Some(key) = key else {
        return Err(ApiError::invalid_field(
            "credential",
            "name a key in your reach: this credential is for one workspace or a lesser environment",
        ));
    };
    let mut tx = app.store.begin_read().await?;
    tx.key_in_reach(reach, key)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))?;
    Ok(caller.org.get())
}

#[derive(Serialize, Deserialize)]
struct CursorText(u8, u64, [String; 5]);

const CURSOR_VERSION: u8 = 1;

fn encode_cursor(key: &UsageKey) -> String {
    let text = CursorText(CURSOR_VERSION, key.hour, key.by.clone());
    base64url(serde_json::to_string(&text).unwrap_or_default().as_bytes())
}

fn decode_cursor(text: &str) -> Result<UsageKey, ApiError> {
    let invalid = || {
        ApiError::new(
            Code::InvalidCursor,
            "use `next_cursor` of the page before, unchanged",
        )
        .field("cursor")
    };
    let bytes = from_base64url(text)
        .filter(|bytes| bytes.len() <= 2048)
        .ok_or_else(invalid)?;
    let CursorText(version, hour, by) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if version != CURSOR_VERSION || hour >= shared::id::LIMIT {
        return Err(invalid());
    }
    Ok(UsageKey { hour, by })
}
