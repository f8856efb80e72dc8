//! From a document to its checked form. Everything is looked at, so that whoever wrote it sees every mistake at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::limits::{self, CompiledLimit};
use super::matching::Pattern;
use super::mcp::CompiledMcp;
use super::{
    CompiledPolicy, CompiledRoute, DEFAULT_MAX_CONNECTION_SECONDS, DEFAULT_MAX_STALENESS_MS,
    MAX_ALLOW_STALE_SECONDS, OnStale, Policy, PolicyError, Route, VERSION, error,
};
use crate::scope::ScopeSet;
use crate::usage;

impl Policy {
    /// Checks everything and resolves names; the error is the first mistake.
    pub fn compile(self) -> Result<CompiledPolicy, PolicyError> {
        self.compile_all().map_err(|problems| {
            let mut problems = problems.into_iter();
            problems
                .next()
                .unwrap_or_else(|| error("document", "it is wrong"))
        })
    }

    /// The same, with every mistake, in the order of the document. There is at least one.
    pub fn compile_all(self) -> Result<CompiledPolicy, Vec<PolicyError>> {
        let mut problems = Vec::new();
        self.check_settings(&mut problems);
        let limits = limits::compile(&self, &mut problems);
        let routes = self
            .routes
            .iter()
            .enumerate()
            .filter_map(|(number, route)| self.compile_route(number, route, &limits, &mut problems));
        let routes = routes.collect();
        if problems.is_empty() {
            Ok(CompiledPolicy { policy: self, routes })
        } else {
            Err(problems)
        }
    }

    fn check_settings(&self, problems: &mut Vec<PolicyError>) {
        let mut wrong = |place: &str, problem: String| problems.push(error(place, problem));
        if self.version != VERSION {
            wrong("version", format!("this release reads version {VERSION}"));
        }
        if self.resource.is_empty() {
            wrong("resource", "the resource identifier must not be empty".to_owned());
        }
        if !(100..=60_000).contains(&self.refresh_ms) {
            wrong("refresh_ms", "from 100 to 60000".to_owned());
        }
        if self
            .max_feed_age_seconds
            .is_some_and(|seconds| !(60..=2_592_000).contains(&seconds))
        {
            wrong("max_feed_age_seconds", "from 60 to 2592000".to_owned());
        }
        for (name, scopes) in &self.presets {
            if let Err(unknown) = self.scopes.parse(scopes) {
                wrong(&format!("presets.{name}"), unknown.to_string());
            }
        }
    }

    /// `None`: the pattern cannot be read, which is among the problems then.
    fn compile_route(
        &self,
        number: usize,
        route: &Route,
        limits: &BTreeMap<String, Arc<CompiledLimit>>,
        problems: &mut Vec<PolicyError>,
    ) -> Option<CompiledRoute> {
        let mut wrong = |member: &str, problem: &str| {
            problems.push(error(&format!("routes[{number}].{member}"), problem));
        };
        let mut scopes = |member: &str, names: &[String]| {
            self.scopes.parse(names).unwrap_or_else(|unknown| {
                wrong(member, &format!("{unknown}; add it to `scopes` or correct it"));
                ScopeSet::EMPTY
            })
        };
        let (all, any) = (
            scopes("scopes", &route.scopes),
            scopes("any_scope", &route.any_scope),
        );
        let pattern = Pattern::parse(&route.path).map_err(|problem| wrong("path", problem));
        check_route(route, wrong);
        let class = route.class_name();
        let mcp = CompiledMcp::compile(route, &format!("routes[{number}].mcp"), &self.scopes, problems);
        Some(CompiledRoute {
            pattern: pattern.ok()?,
            methods: route.methods.clone(),
            all,
            any,
            audience: route.audience.clone().unwrap_or_else(|| self.resource.clone()),
            max_staleness_ms: route.max_staleness_ms.unwrap_or(DEFAULT_MAX_STALENESS_MS),
            max_connection_seconds: route
                .max_connection_seconds
                .unwrap_or(DEFAULT_MAX_CONNECTION_SECONDS),
            mcp,
            number: number as u64,
            class: class.into(),
            limit: limits.get(class).filter(|_| !route.public).cloned(),
            route: route.clone(),
        })
    }
}

/// What a route says that needs nothing else to be judged.
fn check_route(route: &Route, mut wrong: impl FnMut(&str, &str)) {
    if route
        .methods
        .iter()
        .any(|m| m.is_empty() || !m.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))
    {
        wrong("methods", "methods are upper-case words, for example GET");
    }
    if route.methods.iter().any(|m| m == "HEAD") {
        wrong("methods", "HEAD is matched as GET: list GET");
    }
    if route.public && !(route.scopes.is_empty() && route.any_scope.is_empty() && !route.strict) {
        wrong("public", "a public route cannot ask for scopes or be strict");
    }
    if route.forward_credential && route.public {
        wrong(
            "forward_credential",
            "on a public route no credential is forwarded",
        );
    }
    if let OnStale::AllowForSeconds(seconds) = route.on_stale
        && (seconds > MAX_ALLOW_STALE_SECONDS || route.strict)
    {
        wrong("on_stale", "at most 86400 seconds, and not on a strict route");
    }
    if route
        .max_staleness_ms
        .is_some_and(|ms| !(500..=3_600_000).contains(&ms))
    {
        wrong("max_staleness_ms", "from 500 to 3600000");
    }
    if route
        .max_connection_seconds
        .is_some_and(|seconds| !(1..=86_400).contains(&seconds))
    {
        wrong("max_connection_seconds", "from 1 to 86400");
    }
    let is_origin = |origin: &String| {
        let wildcard = origin == "*" && route.public;
        let shape = origin.starts_with("https://") || origin.starts_with("http://");
        let tail = origin.split_once("://").map_or("", |(_, tail)| tail);
        wildcard || (shape && !tail.is_empty() && !tail.contains(['/', '*', ' ']))
    };
    if !route.browser_origins.iter().all(is_origin) {
        wrong(
            "browser_origins",
            "origins are exact, like https://app.example.com; * only if public",
        );
    }
    if !usage::is_class(route.class_name()) {
        wrong(
            "class",
            "1 to 64 letters, digits, dots, colons, hyphens and underscores",
        );
    }
    if let Some(origin) = &route.origin
        && origin != "control-plane"
        && !origin.starts_with("https://")
        && !origin.starts_with("http://")
    {
        wrong("origin", "`control-plane` or a base URL");
    }
}
