//! `GET /v1/usage`: requests by the hour or the day, of one organisation, and how whole the numbers are.
//!
//! Whoever administers a workspace, or has a key for a lesser environment, asks about one key in its reach. Requests without a
//! proven credential (`credential=none`) belong to no organisation: administrators of the first one see them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::id::{KeyId, OrgId};
use shared::key::Environment;
use shared::time::UnixMillis;
use utoipa::{IntoParams, ToSchema};

use super::age::{Age, age};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::{Admin, Caller};
use crate::http::json::StrictQuery;
use crate::http::paging;
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
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// The first moment, rounded down to an interval; if absent, a day before `to`, or thirty with `interval=day`.
    #[param(format = "date-time")]
    from: Option<String>,
    /// The last moment, rounded up; now, if absent.
    #[param(format = "date-time")]
    to: Option<String>,
    /// How much time is in one row; `hour`, if absent.
    #[param(inline)]
    interval: Option<Interval>,
    /// Of this credential; `none`: requests without a proven one.
    #[param(max_length = 256)]
    credential: Option<String>,
    /// Of this class of routes.
    class: Option<String>,
    /// With this outcome.
    reason: Option<String>,
    /// What rows are told apart by: some of `credential`, `class`, `reason`, `country`, `colo`, separated by commas.
    #[param(
        pattern = "^((credential|class|reason|country|colo)(,(credential|class|reason|country|colo))*)?$",
        example = "credential,reason"
    )]
    group_by: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// How much time is in one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = UsageInterval)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsagePage)]
pub struct Page {
    /// The first moment.
    from: Timestamp,
    /// The last moment.
    to: Timestamp,
    /// How much time is in one row.
    interval: Interval,
    /// Oldest first.
    usage: Vec<Row>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    next_cursor: Option<String>,
    #[serde(flatten)]
    age: Age,
}

/// Requests of one interval, and of one credential, class, reason, country or data centre where these were asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageRow)]
struct Row {
    /// When its interval begins.
    from: Timestamp,
    /// Which one, if rows are told apart by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credential: Option<String>,
    /// The route's class, if rows are told apart by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    class: Option<String>,
    /// The outcome, if rows are told apart by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Where from, if rows are told apart by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    country: Option<String>,
    /// Which data centre, if rows are told apart by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    colo: Option<String>,
    /// All of them.
    requests: u64,
    /// Those that were not let in.
    refused: u64,
    /// The newest of them.
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
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage",
    summary = "Requests by the hour or the day",
    description = "Of the caller's organisation, and how whole the numbers are. A credential for one workspace or a lesser environment \
        asks about one key in its reach.",
    params(Query),
    responses((status = 200, description = "A page of rows, and their age.", body = Page)),
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Json<Page>, ApiError> {
    // 1. What is asked.
    let limit = paging::limit_within(query.limit, DEFAULT_PAGE, LARGEST_PAGE)?;
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
    // 0 is nobody's.
    let whole_for = OrgId::from_u64(org).filter(|_| org > 0);
    let age = age(&app, &mut tx, whole_for, (from, to)).await?;
    let more = paging::cut(&mut rows, limit);
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
    let from = if let Some(text) = &query.from {
        parse("from", text)?
    } else {
        let back = if interval == Interval::Day {
            30 * step
        } else {
            24 * step
        };
        UnixMillis(to.0.saturating_sub(back))
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

fn encode_cursor(key: &UsageKey) -> String {
    paging::encode(&(key.hour, &key.by))
}

fn decode_cursor(text: &str) -> Result<UsageKey, ApiError> {
    let (hour, by): (u64, [String; 5]) = paging::decode(text)?;
    if hour >= shared::id::LIMIT {
        return Err(paging::invalid());
    }
    Ok(UsageKey { hour, by })
}
