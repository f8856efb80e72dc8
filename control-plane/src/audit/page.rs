//! `/dashboard/audit`: who did what; the chain's state; exports.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use shared::id::UserId;

use super::api::{ExportQuery, ListQuery};
use super::export::Form as ExportForm;
use super::{AuditView, Verification, Which, last_check, may_read};
use crate::app::App;
use crate::dashboard::{PageQuery, Shell, Visit, link, refused};
use crate::pages::Moment;
use crate::sessions::Instead;
use crate::store::uint;
use shared::time::UnixMillis;

const PATH: &str = "/dashboard/audit";
const EXPORT: &str = "/dashboard/audit/export";
const VERIFY: &str = "/dashboard/audit/verify";
const PAGE: u32 = 50;

/// What the list is filtered by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    trail: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    target: String,
    /// A day, in UTC.
    #[serde(default)]
    from: String,
    /// The last day.
    #[serde(default)]
    to: String,
    #[serde(default)]
    after: String,
}

/// What is exported.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    #[serde(default)]
    form: ExportForm,
    #[serde(default)]
    trail: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "dashboard/audit.html")]
struct AuditPage {
    shell: Shell,
    lines: Vec<Line>,
    query: Query,
    is_filtered: bool,
    sees_installation: bool,
    jsonl: String,
    csv: String,
    verify: String,
    check: Option<(Moment, u64, Option<String>)>,
    first: String,
    next: String,
}

/// A row of the list.
struct Line {
    id: String,
    at: Moment,
    actor: String,
    /// The address of the person, where it is one of ours.
    who: String,
    actor_link: String,
    credential: String,
    action: String,
    action_link: String,
    target: String,
    target_link: String,
    facts: Vec<(String, String)>,
    left_out: String,
    position: Option<u64>,
    request_id: String,
}

#[derive(Template)]
#[template(path = "dashboard/audit_verify.html")]
struct VerifyPage {
    shell: Shell,
    found: Verification,
    bad: Option<(String, String, String)>,
    next: String,
    back: String,
    check: Option<(Moment, u64, Option<String>)>,
}

fn which(trail: &str) -> Which {
    if trail == "installation" {
        Which::Installation
    } else {
        Which::Org
    }
}

/// The first moment of a day, or of the day after it.
fn day(text: &str, after: bool) -> Option<String> {
    let start = crate::http::time::parse_rfc3339(&format!("{text}T00:00:00Z"))?;
    let start = if after {
        start.saturating_add(86_400)
    } else {
        start
    };
    Some(crate::http::time::format_rfc3339(start.millis()))
}

impl Query {
    fn list(&self) -> ListQuery {
        let word = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        ListQuery {
            trail: which(&self.trail),
            actor: word(&self.actor),
            action: word(&self.action),
            target: word(&self.target),
            from: day(&self.from, false),
            to: day(&self.to, true),
            cursor: word(&self.after),
            limit: Some(PAGE),
        }
    }

    fn parameters(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("trail", self.trail.as_str()),
            ("actor", self.actor.as_str()),
            ("action", self.action.as_str()),
            ("target", self.target.as_str()),
            ("from", self.from.as_str()),
            ("to", self.to.as_str()),
        ]
    }
}

/// `GET /dashboard/audit`.
pub async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    PageQuery(query): PageQuery<Query>,
) -> Result<Response, Instead> {
    let search = query.list().search().map_err(refused)?;
    let chain = may_read(&app, &visit.caller, search.which)
        .await
        .map_err(refused)?;
    let page = super::page_of(&app, chain, &search).await.map_err(refused)?;
    let check = check(&app, chain).await?;
    let mut tx = app.store.begin_read().await?;
    let sees_installation = tx.first_org().await? == Some(visit.caller.org);
    let mut users: Vec<UserId> = page
        .entries
        .iter()
        .filter_map(|entry| entry.actor.parse().ok())
        .collect();
    users.sort();
    users.dedup();
    let emails = tx.emails_of(visit.caller.org, &users).await?;
    drop(tx);
    let lines = page.entries.into_iter().map(|entry| {
        let who = entry
            .actor
            .parse()
            .ok()
            .and_then(|user: UserId| emails.get(&user).cloned());
        Line::new(entry, who.unwrap_or_default(), &query.trail)
    });
    let lines = lines.collect();
    let parameters = query.parameters();
    let with = |name: &'static str, value: &str| {
        let mut parameters = parameters.clone();
        parameters.push((name, value));
        parameters
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .collect::<Vec<_>>()
    };
    let address = |path: &str, parameters: Vec<(&'static str, String)>| {
        let borrowed: Vec<(&str, &str)> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        link(path, &borrowed)
    };
    let first = if query.after.is_empty() {
        String::new()
    } else {
        link(PATH, &parameters)
    };
    let next = page
        .next_cursor
        .as_deref()
        .map(|cursor| address(PATH, with("after", cursor)));
    let view = AuditPage {
        shell: visit.shell(),
        lines,
        is_filtered: parameters
            .iter()
            .any(|(name, value)| *name != "trail" && !value.is_empty()),
        sees_installation,
        jsonl: address(EXPORT, with("form", "jsonl")),
        csv: address(EXPORT, with("form", "csv")),
        verify: link(VERIFY, &[("trail", &query.trail)]),
        check,
        first,
        next: next.unwrap_or_default(),
        query: query.clone(),
    };
    Ok(visit.page(&view))
}

impl Line {
    fn new(entry: AuditView, who: String, trail: &str) -> Self {
        let to = |name: &str, value: &str| link(PATH, &[("trail", trail), (name, value)]);
        let facts = entry.detail.as_object().map(|members| {
            let shown = members.iter().filter(|(_, value)| !value.is_null());
            shown
                .map(|(name, value)| (name.replace('_', " "), words(value)))
                .collect()
        });
        Self {
            actor_link: to("actor", &entry.actor),
            action_link: to("action", &entry.action),
            target_link: to("target", &entry.target),
            id: entry.id,
            at: entry.at.0.into(),
            who,
            actor: entry.actor,
            credential: entry.credential.unwrap_or_default(),
            action: entry.action,
            target: entry.target,
            facts: facts.unwrap_or_default(),
            left_out: entry.left_out.join(", "),
            position: entry.position,
            request_id: entry.request_id.unwrap_or_default(),
        }
    }
}

fn words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

async fn check(app: &App, chain: i64) -> Result<Option<(Moment, u64, Option<String>)>, Instead> {
    let Some(check) = last_check(app, chain).await.map_err(refused)? else {
        return Ok(None);
    };
    let at = UnixMillis(uint(check.checked_at, "time")?);
    Ok(Some((at.into(), uint(check.position, "position")?, check.reason)))
}

/// `GET /dashboard/audit/export`.
pub async fn export(
    State(app): State<Arc<App>>,
    visit: Visit,
    PageQuery(query): PageQuery<Download>,
) -> Result<Response, Instead> {
    let word = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let (form, search) = ExportQuery {
        format: query.form,
        trail: which(&query.trail),
        actor: word(&query.actor),
        action: word(&query.action),
        target: word(&query.target),
        from: day(&query.from, false),
        to: day(&query.to, true),
    }
    .search()
    .map_err(refused)?;
    super::export::export(&app, &visit.caller, &search, form)
        .await
        .map_err(refused)
}

/// Where a walk goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyQuery {
    #[serde(default)]
    trail: String,
    #[serde(default)]
    after: String,
}

/// `GET /dashboard/audit/verify`: one part of the walk, and the way to the next.
pub async fn verify(
    State(app): State<Arc<App>>,
    visit: Visit,
    PageQuery(query): PageQuery<VerifyQuery>,
) -> Result<Response, Instead> {
    let chain = may_read(&app, &visit.caller, which(&query.trail))
        .await
        .map_err(refused)?;
    let cursor = Some(query.after.as_str()).filter(|cursor| !cursor.is_empty());
    let found = super::verify(&app, chain, cursor, None).await.map_err(refused)?;
    let bad = found.bad.as_ref().map(|bad| {
        let place = bad.position.map_or_else(
            || "beside the chain".to_owned(),
            |position| format!("position {position}"),
        );
        (
            place,
            bad.entry.clone().unwrap_or_default(),
            bad.detail.to_owned(),
        )
    });
    let next = found
        .next
        .as_deref()
        .map(|next| link(VERIFY, &[("trail", &query.trail), ("after", next)]));
    let view = VerifyPage {
        shell: visit.shell(),
        bad,
        next: next.unwrap_or_default(),
        back: link(PATH, &[("trail", &query.trail)]),
        check: check(&app, chain).await?,
        found,
    };
    Ok(visit.page(&view))
}
