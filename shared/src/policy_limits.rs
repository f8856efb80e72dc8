//! Limits: how many requests of one class a key or a client may make.
//!
//! ```json
//! "limits": {
//!   "reports": { "window_seconds": 60, "per_key": 100, "per_client": 1000 }
//! }
//! ```
//!
//! `"failures_per_address": { "failures": 20, "window_seconds": 60 }` brakes addresses that show bad credentials again and again.
//!
//! A class without limits has none, and costs nothing. Windows are fixed: they begin at whole multiples of their length. What
//! is counted is what the gate lets in. Each region keeps its own count: see the gate's `limits` for what is exact.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Policy, PolicyError, error};

/// The longest window: a day.
const MAX_WINDOW_SECONDS: u64 = 86_400;
/// The largest limit.
const MAX_REQUESTS: u64 = 1_000_000_000;

/// Limits of a class as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How long a window is.
    pub window_seconds: u64,
    /// Requests of one API key in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<u64>,
    /// Requests with access tokens of one client of one organisation in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_client: Option<u64>,
}

/// How often an address may show a bad credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// Bad credentials in a window.
    pub failures: u64,
    /// How long a window is.
    pub window_seconds: u64,
}

/// Limits of a class, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledLimit {
    /// The class.
    pub class: Arc<str>,
    /// How long a window is.
    pub window_ms: u64,
    /// Requests of one API key in a window.
    pub per_key: Option<u64>,
    /// Requests of one client in a window.
    pub per_client: Option<u64>,
}

/// Checks the limits of a policy; gives those without a mistake by class.
pub(super) fn compile(
    policy: &Policy,
    problems: &mut Vec<PolicyError>,
) -> BTreeMap<String, Arc<CompiledLimit>> {
    let mut compiled = BTreeMap::new();
    for (class, limit) in &policy.limits {
        let mut wrong = |member: &str, problem: String| {
            problems.push(error(&format!("limits.{class}{member}"), problem));
        };
        if !policy.routes.iter().any(|route| route.class_name() == class) {
            wrong("", "no route has this class".to_owned());
        }
        if !(1..=MAX_WINDOW_SECONDS).contains(&limit.window_seconds) {
            wrong(".window_seconds", format!("from 1 to {MAX_WINDOW_SECONDS}"));
        }
        for (member, number) in [(".per_key", limit.per_key), (".per_client", limit.per_client)] {
            if number.is_some_and(|number| !(1..=MAX_REQUESTS).contains(&number)) {
                wrong(member, format!("from 1 to {MAX_REQUESTS}"));
            }
        }
        if limit.per_key.is_none() && limit.per_client.is_none() {
            wrong("", "name `per_key`, `per_client` or both".to_owned());
        }
        let limit = CompiledLimit {
            class: class.as_str().into(),
            window_ms: limit.window_seconds.saturating_mul(1000),
            per_key: limit.per_key,
            per_client: limit.per_client,
        };
        compiled.insert(class.clone(), Arc::new(limit));
    }
    if let Some(Failures {
        failures,
        window_seconds,
    }) = policy.failures_per_address
        && !((1..=MAX_REQUESTS).contains(&failures) && (1..=MAX_WINDOW_SECONDS).contains(&window_seconds))
    {
        problems.push(error(
            "failures_per_address",
            format!("`failures` from 1 to {MAX_REQUESTS}, `window_seconds` from 1 to {MAX_WINDOW_SECONDS}"),
        ));
    }
    compiled
}
