//! `/dashboard/policies`: the pages of the route policy. They call the functions that `/v1/policy` calls.
//!
//! | file | page |
//! | --- | --- |
//! | `index` | what is in force, a box to test requests, the latest versions |
//! | `edit` | a draft: as JSON, or route by route; what is wrong with it, what it changes |
//! | `fields` | a route as fields of a form, and back |
//! | `version` | one version: what it changed, who has it, and the way back to it |

pub mod edit;
mod fields;
pub mod index;
#[cfg(test)]
mod tests;
pub mod version;

use askama::Template;
use serde_json::Value;
use shared::policy::{OnStale, Policy, Route};

use super::diff::{Changes, RouteChangeKind};
use crate::app::App;
use crate::dashboard::refused;
use crate::pages::Moment;
use crate::revocation::Receipt;
use crate::sessions::Instead;
use crate::store::policies::PolicyVersion;

pub(super) const PATH: &str = "/dashboard/policies";

/// A route as a line of a list.
#[derive(Clone, Debug)]
pub(super) struct Line {
    number: usize,
    methods: String,
    path: String,
    /// Tone and words of who may pass.
    tone: &'static str,
    who: String,
    staleness: String,
    limit: String,
    origin: String,
    /// Further peculiarities, in words.
    notes: String,
}

impl Line {
    fn of(number: usize, route: &Route, policy: &Policy) -> Self {
        let and = |names: &[String], between: &str| names.join(between);
        let (tone, who) = if route.public {
            ("warn", "anybody".to_owned())
        } else if route.scopes.is_empty() && route.any_scope.is_empty() {
            ("plain", "any valid credential".to_owned())
        } else {
            let parts = [and(&route.scopes, " and "), and(&route.any_scope, " or ")];
            let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            ("good", parts.join(", and "))
        };
        let staleness = match (route.public, route.strict, route.max_staleness_ms) {
            (true, ..) => "–".to_owned(),
            (_, true, _) => "strict: asked each time".to_owned(),
            (_, _, ms) => {
                let ms = ms.unwrap_or(shared::policy::DEFAULT_MAX_STALENESS_MS);
                match route.on_stale {
                    OnStale::Deny => format!("{ms} ms, then denied"),
                    OnStale::AllowForSeconds(seconds) => format!("{ms} ms, then allowed for {seconds} s"),
                }
            }
        };
        let limit = policy.limits.get(route.class_name()).map_or_else(
            || "none".to_owned(),
            |limit| {
                let part = |name, number: Option<u64>| number.map(|number| format!("{number} per {name}"));
                let parts = [part("key", limit.per_key), part("client", limit.per_client)];
                let parts: Vec<_> = parts.into_iter().flatten().collect();
                format!("{} in {} s", parts.join(", "), limit.window_seconds)
            },
        );
        let mut notes = Vec::new();
        if route.mcp.is_some() {
            notes.push("rules per MCP operation");
        }
        if route.forward_credential {
            notes.push("the origin gets the credential");
        }
        if route.browser_api_keys {
            notes.push("API keys from browsers");
        }
        if !route.browser_origins.is_empty() {
            notes.push("only from listed pages");
        }
        Self {
            number,
            methods: if route.methods.is_empty() {
                "any".to_owned()
            } else {
                route.methods.join(", ")
            },
            path: route.path.clone(),
            tone,
            who,
            staleness,
            limit,
            origin: route.origin.clone().unwrap_or_else(|| "default".to_owned()),
            notes: notes.join(", "),
        }
    }

    fn all(policy: &Policy) -> Vec<Self> {
        let routes = policy.routes.iter().enumerate();
        routes
            .map(|(number, route)| Self::of(number, route, policy))
            .collect()
    }
}

/// A version as a line of a list.
#[derive(Clone, Debug)]
pub(super) struct VersionLine {
    version: u64,
    by: String,
    at: Moment,
    reason: String,
    restored_from: Option<i64>,
}

impl VersionLine {
    fn of(row: &PolicyVersion) -> Result<Self, Instead> {
        Ok(Self {
            version: row.number()?,
            by: row.applied_by.clone(),
            at: row.at()?.into(),
            reason: row.reason.clone(),
            restored_from: row.restored_from,
        })
    }
}

/// What changes, as lines: tone, word, what.
pub(super) fn lines(changes: &Changes) -> Vec<(&'static str, &'static str, String)> {
    let mut lines = Vec::new();
    for route in &changes.routes {
        let (tone, word) = match route.change {
            RouteChangeKind::Added => ("good", "new"),
            RouteChangeKind::Changed => ("warn", "changed"),
            RouteChangeKind::Moved => ("plain", "moved"),
            RouteChangeKind::Removed => ("bad", "gone"),
        };
        let place =
            |number: Option<usize>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
        let place = match (route.was, route.is) {
            (Some(was), Some(is)) if was != is => format!("route {was} → {is}"),
            (was, is) => format!("route {}", place(is.or(was))),
        };
        lines.push((tone, word, format!("{place}: {}", route.route)));
        for member in &route.members {
            lines.push((
                "plain",
                "",
                format!(
                    "{}: {} → {}",
                    member.member,
                    value(&member.from),
                    value(&member.to)
                ),
            ));
        }
    }
    for member in &changes.settings {
        let text = format!(
            "{}: {} → {}",
            member.member,
            value(&member.from),
            value(&member.to)
        );
        lines.push(("warn", "setting", text));
    }
    lines
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(self::value).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Who has a version: a part of a page that is asked for again until it is over.
#[derive(Clone, Debug, Template)]
#[template(path = "dashboard/policies_receipt.html")]
pub(super) struct Reception {
    version: u64,
    acknowledged: Vec<String>,
    pending: Vec<String>,
    effective: Option<Moment>,
    is_over: bool,
}

impl Reception {
    pub(super) fn of(app: &App, version: u64, receipt: Receipt) -> Self {
        let now = app.clock.now();
        Self {
            version,
            acknowledged: receipt.acknowledged,
            pending: receipt.pending,
            effective: receipt.effective_at.map(|at| at.0.into()),
            is_over: receipt.effective_at.is_some_and(|at| at.0 <= now),
        }
    }

    fn text(&self) -> String {
        self.render().unwrap_or_default()
    }
}

/// A version's number in a path. What is none is a version that is not there.
fn number(text: &str) -> Result<u64, Instead> {
    text.parse()
        .map_err(|_| refused(crate::error::ApiError::not_found("policy version")))
}
