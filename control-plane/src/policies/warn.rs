//! What of a draft is worth a second look: everything that lets more in, or for longer, or that cannot work. Pure.
//!
//! A warning is not a mistake: the draft can be applied as it is.

use serde::Serialize;
use shared::policy::{CompiledPolicy, OnStale, Policy, Route};
use shared::scope::{ADMIN, ScopeSet};

use super::diff;

/// Above so many routes nobody looks for those that nothing reaches: each is compared with each.
const MOST_COMPARED: usize = 1000;
/// The presets that say what roles may do (`orgs::rights`).
const ROLES: [(&str, &str); 2] = [("read", "viewers"), ("read-write", "members")];

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// A stable word.
    pub code: &'static str,
    /// Where in the draft.
    pub place: String,
    /// What it means, in a sentence.
    pub detail: String,
}

/// What is known of the scopes that keys hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Scopes that some living key names.
    pub(super) scopes: ScopeSet,
    /// All keys were looked at.
    pub(super) all: bool,
}

/// Everything worth a look.
pub(super) fn about(old: &CompiledPolicy, new: &CompiledPolicy, held: Held) -> Vec<Warning> {
    let mut found = Vec::new();
    let pairs = diff::pairs(&old.policy, &new.policy);
    for (is, route) in new.policy.routes.iter().enumerate() {
        let was = pairs.get(&is).and_then(|was| old.policy.routes.get(*was));
        let mut say = |code: &'static str, member: &str, detail: String| {
            let place = if member.is_empty() {
                format!("routes[{is}]")
            } else {
                format!("routes[{is}].{member}")
            };
            found.push(Warning { code, place, detail });
        };
        about_access(route, was, &mut say);
        about_freshness(route, was, &mut say);
        about_reach(route, was, &mut say);
    }
    about_order(old, new, &mut found);
    about_scopes(&old.policy, new, held, &mut found);
    about_settings(old, new, &mut found);
    found
}

fn about_access(route: &Route, was: Option<&Route>, say: &mut impl FnMut(&'static str, &str, String)) {
    if route.public {
        if !was.is_some_and(|was| was.public) {
            let detail = "anybody may call this, without a credential";
            say("becomes_public", "public", detail.to_owned());
        }
        return;
    }
    let asks = |route: &Route| !route.scopes.is_empty() || !route.any_scope.is_empty();
    if !asks(route) {
        if was.is_none_or(|was| was.public || asks(was)) && route.origin.as_deref() != Some("control-plane") {
            let detail = "any valid credential passes, whatever its scopes";
            say("any_credential", "scopes", detail.to_owned());
        }
        return;
    }
    let Some(was) = was.filter(|was| !was.public) else {
        return;
    };
    let fewer = was.scopes.iter().any(|scope| !route.scopes.contains(scope));
    if fewer {
        let detail = format!(
            "it asked for {} and asks for {}",
            list(&was.scopes),
            list(&route.scopes)
        );
        say("fewer_scopes", "scopes", detail);
    }
    let more_ways = !was.any_scope.is_empty()
        && (route.any_scope.is_empty() || route.any_scope.iter().any(|scope| !was.any_scope.contains(scope)));
    if more_ways {
        let detail = format!(
            "one of {} was needed, one of {} is enough now",
            list(&was.any_scope),
            list(&route.any_scope)
        );
        say("fewer_scopes", "any_scope", detail);
    }
}

fn about_freshness(route: &Route, was: Option<&Route>, say: &mut impl FnMut(&'static str, &str, String)) {
    let Some(was) = was.filter(|was| !was.public && !route.public) else {
        return;
    };
    let staleness = |route: &Route| {
        route
            .max_staleness_ms
            .unwrap_or(shared::policy::DEFAULT_MAX_STALENESS_MS)
    };
    if was.strict && !route.strict {
        let detail = format!(
            "it asked the hub at each request; a revoked credential may pass for {} ms more",
            staleness(route)
        );
        say("looser_staleness", "strict", detail);
    } else if staleness(route) > staleness(was) && !route.strict {
        let detail = format!(
            "a revoked credential may pass for {} ms instead of {} ms",
            staleness(route),
            staleness(was)
        );
        say("looser_staleness", "max_staleness_ms", detail);
    }
    let grace = |route: &Route| match route.on_stale {
        OnStale::Deny => 0,
        OnStale::AllowForSeconds(seconds) => seconds,
    };
    if grace(route) > grace(was) {
        let detail = format!(
            "while the edge hears nothing, revoked credentials pass for {} s instead of {} s",
            grace(route),
            grace(was)
        );
        say("looser_staleness", "on_stale", detail);
    }
}

fn about_reach(route: &Route, was: Option<&Route>, say: &mut impl FnMut(&'static str, &str, String)) {
    let had = |test: fn(&Route) -> bool| was.is_some_and(test);
    if route.browser_api_keys && !had(|was| was.browser_api_keys) {
        let detail = "API keys are accepted from browsers, where any script of the page can read them";
        say("browser_keys", "browser_api_keys", detail.to_owned());
    }
    if let Some(was) = was {
        let new: Vec<String> = route
            .browser_origins
            .iter()
            .filter(|origin| !was.browser_origins.contains(origin))
            .cloned()
            .collect();
        if !new.is_empty() {
            let detail = format!("pages of {} may call it", list(&new));
            say("more_browsers", "browser_origins", detail);
        }
        if was.origin != route.origin {
            let name = |origin: &Option<String>| origin.clone().unwrap_or_else(|| "the default".to_owned());
            let detail = format!(
                "requests go to {} instead of {}",
                name(&route.origin),
                name(&was.origin)
            );
            say("other_origin", "origin", detail);
        }
    }
    if route.forward_credential
        && !had(|was| was.forward_credential)
        && route.origin.as_deref() != Some("control-plane")
    {
        let detail = "the origin gets the credential itself, and could use it";
        say("credential_forwarded", "forward_credential", detail.to_owned());
    }
}

fn about_order(old: &CompiledPolicy, new: &CompiledPolicy, found: &mut Vec<Warning>) {
    if new.routes().is_empty() {
        found.push(Warning {
            code: "no_routes",
            place: "routes".to_owned(),
            detail: "without a route every request is refused".to_owned(),
        });
    }
    if new.routes().len() <= MOST_COMPARED {
        for (later, first) in new.unreachable() {
            found.push(Warning {
                code: "unreachable",
                place: format!("routes[{}].path", later.number),
                detail: format!(
                    "routes[{}] ({}) comes first and takes every request of this one",
                    first.number, first.route.path
                ),
            });
        }
    }
    let to_us = |policy: &CompiledPolicy| {
        let mut routes = policy.routes().iter();
        routes.any(|route| route.route.origin.as_deref() == Some("control-plane"))
    };
    if to_us(old) && !to_us(new) {
        found.push(Warning {
            code: "no_control_plane",
            place: "routes".to_owned(),
            detail: "nothing leads to the control plane any more: its API is not at the edge's address then"
                .to_owned(),
        });
    }
}

fn about_scopes(old: &Policy, new: &CompiledPolicy, held: Held, found: &mut Vec<Warning>) {
    let catalogue = new.catalogue();
    let mut told = ScopeSet::EMPTY;
    for route in new.routes() {
        let needed = route.all.union(route.any).difference(told);
        for name in catalogue.names(needed) {
            let bit = catalogue.parse([name]).unwrap_or_default();
            let is_new = !old.scopes.all().iter().any(|known| known == name);
            if name == ADMIN || held.scopes.contains(bit) || !(held.all || is_new) {
                continue;
            }
            told = told.union(bit);
            let detail = if is_new {
                format!("`{name}` is new: no key holds it yet, so only keys with `admin` pass")
            } else {
                format!("no API key holds `{name}`: only keys with `admin` pass")
            };
            found.push(Warning {
                code: "scope_not_held",
                place: format!("routes[{}].scopes", route.number),
                detail,
            });
        }
    }
    for (preset, who) in ROLES {
        let before = old.presets.get(preset).cloned().unwrap_or_default();
        let after = new.policy.presets.get(preset).cloned().unwrap_or_default();
        if before == after {
            continue;
        }
        let detail = format!(
            "this preset is the most that {who} may have: it was {}, and is {}; keys that exist keep what the edge was told of them",
            list(&before),
            list(&after)
        );
        found.push(Warning {
            code: "role_rights",
            place: format!("presets.{preset}"),
            detail,
        });
    }
}

fn about_settings(old: &CompiledPolicy, new: &CompiledPolicy, found: &mut Vec<Warning>) {
    let mut say = |code, place: String, detail: String| found.push(Warning { code, place, detail });
    if new.bound_ms() > old.bound_ms() {
        let detail = format!(
            "receipts promise {} ms after the last acknowledgement instead of {} ms, for every revocation",
            new.bound_ms(),
            old.bound_ms()
        );
        say("longer_bound", "routes".to_owned(), detail);
    }
    for (class, was) in &old.policy.limits {
        let looser = |was: Option<u64>, is: Option<u64>| match (was, is) {
            (Some(was), Some(is)) => is > was,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let place = format!("limits.{class}");
        match new.policy.limits.get(class) {
            None => say(
                "limit_looser",
                place,
                "this class has no limit any more".to_owned(),
            ),
            Some(is)
                if is.window_seconds < was.window_seconds
                    || looser(was.per_key, is.per_key)
                    || looser(was.per_client, is.per_client) =>
            {
                say("limit_looser", place, "more requests are let in".to_owned());
            }
            Some(_) => {}
        }
    }
    if old.policy.failures_per_address.is_some() && new.policy.failures_per_address.is_none() {
        let detail = "addresses may guess credentials as often as they like";
        say("no_brake", "failures_per_address".to_owned(), detail.to_owned());
    }
    if new.max_feed_age_ms() > old.max_feed_age_ms() {
        let detail = "the publisher may be silent for longer before routes count as stale";
        say(
            "longer_silence",
            "max_feed_age_seconds".to_owned(),
            detail.to_owned(),
        );
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
