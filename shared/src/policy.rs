//! The route policy: which request needs what. One JSON document, version 1, written by the operator and carried by the
//! feed; [`CompiledPolicy`] is its checked form, in which look-ups cannot fail.
//!
//! ```json
//! {
//!   "version": 1,
//!   "resource": "https://api.example.com",
//!   "scopes": ["memory:read", "admin"],
//!   "presets": { "read": ["memory:read"] },
//!   "routes": [
//!     { "path": "/public/**", "public": true },
//!     { "path": "/v1/memory/**", "methods": ["GET"], "scopes": ["memory:read"] },
//!     { "path": "/admin/**", "scopes": ["admin"], "strict": true }
//!   ]
//! }
//! ```
//!
//! The first route that matches path and method decides; no match is a refusal. In a path, `*` is one segment, `**` (only
//! at the end) is the rest, nothing included, and `{org}` / `{workspace}` is one segment that must be the credential's. HEAD
//! is matched as GET. Unknown members are errors. What a route of an MCP server may say in addition is in [`mcp`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::path;
use crate::scope::{Catalogue, ScopeSet};
use crate::strict_json;
use crate::usage::DEFAULT_CLASS;

#[path = "policy_compile.rs"]
mod compile;
#[path = "policy_limits.rs"]
pub mod limits;
#[path = "policy_match.rs"]
mod matching;
#[path = "policy_mcp.rs"]
pub mod mcp;
#[path = "policy_uri.rs"]
mod uri;
use limits::{CompiledLimit, Failures, Limit};
use matching::{Pattern, Reading, has_bare_parameters, has_parameters};
use mcp::{CompiledMcp, McpPolicy};

/// The schema version in a document.
pub const VERSION: u32 = 1;
/// DESIGN §9: how stale a state may be on a route that says nothing.
pub const DEFAULT_MAX_STALENESS_MS: u64 = 2000;
/// DESIGN §9: after how long an isolate refreshes in the background.
pub const DEFAULT_REFRESH_MS: u64 = 1000;
/// DESIGN §9: how long the publisher may be silent before every route does what it does when stale.
pub const DEFAULT_MAX_FEED_AGE_SECONDS: u64 = 24 * 3600;
/// The longest `allow_for_seconds`: 24 h.
pub const MAX_ALLOW_STALE_SECONDS: u64 = 24 * 3600;
/// DESIGN §9: how long a connection that was let in may stay open, in seconds.
pub const DEFAULT_MAX_CONNECTION_SECONDS: u64 = 15 * 60;
/// The largest document, in bytes.
pub const MAX_BYTES: usize = 512 * 1024;

/// A policy document as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// [`VERSION`].
    pub version: u32,
    /// The resource identifier (RFC 8707) that tokens must name as audience, unless a route names another.
    pub resource: String,
    /// The scope catalogue in the order of bits: append only.
    pub scopes: Catalogue,
    /// Names for sets of scopes, expanded when a key is issued.
    #[serde(default)]
    pub presets: BTreeMap<String, Vec<String>>,
    /// After how many milliseconds an isolate asks for news.
    #[serde(default = "default_refresh")]
    pub refresh_ms: u64,
    /// How long the publisher may be silent, in seconds, before `on_stale` of every route applies; absent: 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_feed_age_seconds: Option<u64>,
    /// How many requests a key or a client may make, by route class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Limit>,
    /// How often an address may show a bad credential; absent: as often as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures_per_address: Option<Failures>,
    /// The rules, first match wins.
    pub routes: Vec<Route>,
}

/// One rule as written.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the document"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The pattern.
    pub path: String,
    /// Methods; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// No credential needed, none looked at.
    #[serde(skip_serializing_if = "is_false")]
    pub public: bool,
    /// All of these scopes are needed; empty on a route that is not public: any valid credential.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// At least one of these is needed, if any is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_scope: Vec<String>,
    /// Another audience than the policy's resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How old the state may be, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_staleness_ms: Option<u64>,
    /// Every request reads the hub first.
    #[serde(skip_serializing_if = "is_false")]
    pub strict: bool,
    /// What happens beyond the bound.
    #[serde(skip_serializing_if = "OnStale::is_deny")]
    pub on_stale: OnStale,
    /// How long a connection that was let in (a WebSocket, a long answer) may stay open, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_seconds: Option<u64>,
    /// Browser origins that may call (CORS), exact; `"*"` only on public routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub browser_origins: Vec<String>,
    /// Whether API keys are accepted from a browser origin.
    #[serde(skip_serializing_if = "is_false")]
    pub browser_api_keys: bool,
    /// Where the request goes: absent = the deployment's `ORIGIN`, `"control-plane"`, or a base URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether the origin gets the credential.
    #[serde(skip_serializing_if = "is_false")]
    pub forward_credential: bool,
    /// A name for limits and usage; absent: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Scopes per operation, on a route that serves the Model Context Protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpPolicy>,
}

impl Route {
    /// The class under which limits and usage know it.
    pub fn class_name(&self) -> &str {
        self.class.as_deref().unwrap_or(DEFAULT_CLASS)
    }
}

/// What a route does when the state is older than its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OnStale {
    /// 503 until the state is fresh again.
    #[default]
    Deny,
    /// Goes on with the old state for so long.
    AllowForSeconds(u64),
}

impl OnStale {
    fn is_deny(&self) -> bool {
        *self == Self::Deny
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn default_refresh() -> u64 {
    DEFAULT_REFRESH_MS
}

/// Why a document is not a policy: one sentence that names the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct PolicyError {
    /// For example `routes[3].path`.
    pub place: String,
    /// What is wrong and what is expected.
    pub problem: String,
}

/// What a matched route asks for, with names resolved to bits.
#[derive(Clone, Debug)]
pub struct CompiledRoute {
    pattern: Pattern,
    methods: Vec<String>,
    /// As written.
    pub route: Route,
    /// All of these.
    pub all: ScopeSet,
    /// At least one of these, unless empty.
    pub any: ScopeSet,
    /// The audience that a token must name.
    pub audience: String,
    /// The bound on the age of the state.
    pub max_staleness_ms: u64,
    /// How long a connection may stay open, in seconds.
    pub max_connection_seconds: u64,
    /// Scopes per operation.
    pub mcp: Option<CompiledMcp>,
    /// Its number in the document.
    pub number: u64,
    /// The name under which limits and usage know it.
    pub class: Arc<str>,
    /// The limits of its class, if that has any.
    pub limit: Option<Arc<CompiledLimit>>,
}

/// A policy that was checked.
#[derive(Clone, Debug)]
pub struct CompiledPolicy {
    /// The document it was made of.
    pub policy: Policy,
    routes: Vec<CompiledRoute>,
}

/// What `{org}` and `{workspace}` captured from the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures<'p> {
    /// The segment at `{org}`.
    pub org: Option<&'p str>,
    /// The segment at `{workspace}`.
    pub workspace: Option<&'p str>,
}

impl Policy {
    /// Reads a document; unknown and duplicate members are errors.
    pub fn from_json(json: &[u8]) -> Result<Self, PolicyError> {
        if json.len() > MAX_BYTES {
            return Err(error("document", format!("at most {MAX_BYTES} bytes")));
        }
        strict_json::from_slice(json).map_err(|e| error("document", e.to_string()))
    }

    /// Reads a document that was checked before, as one in the feed was: without words for what is wrong.
    pub fn from_feed(json: &[u8]) -> Result<Self, PolicyError> {
        let read = (json.len() <= MAX_BYTES).then(|| strict_json::read(json).ok());
        let unreadable = "not one that this release can read: `portcullis policy check` says why";
        read.flatten().ok_or_else(|| error("document", unreadable))
    }

    /// The policy of the demo: what `make dev` and the users' guide show.
    pub fn demo(resource: &str, control_plane_audience: &str) -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let memory = |methods: &[&str], scope: &str| Route {
            path: "/v1/memory/**".into(),
            methods: names(methods),
            scopes: names(&[scope]),
            ..Route::default()
        };
        let catalogue = [
            "memory:read",
            "memory:write",
            "memory:delete",
            "vault:manage",
            "workspace:manage",
            "admin",
        ];
        Self {
            version: VERSION,
            resource: resource.to_owned(),
            // A constant list of valid names.
            scopes: Catalogue::try_from(names(&catalogue)).unwrap_or_else(|_| Catalogue::empty()),
            presets: BTreeMap::from([
                ("read".to_owned(), names(&["memory:read"])),
                (
                    "read-write".to_owned(),
                    names(&["memory:read", "memory:write", "memory:delete"]),
                ),
                ("admin".to_owned(), names(&["admin"])),
            ]),
            refresh_ms: DEFAULT_REFRESH_MS,
            max_feed_age_seconds: None,
            limits: BTreeMap::new(),
            failures_per_address: None,
            routes: vec![
                Route {
                    path: "/public/**".into(),
                    public: true,
                    ..Route::default()
                },
                memory(&["GET"], "memory:read"),
                memory(&["POST", "PUT"], "memory:write"),
                memory(&["DELETE"], "memory:delete"),
                Route {
                    path: "/admin/**".into(),
                    scopes: names(&["admin"]),
                    strict: true,
                    ..Route::default()
                },
                Route {
                    path: "/v1/auth/**".into(),
                    audience: Some(control_plane_audience.to_owned()),
                    origin: Some("control-plane".into()),
                    forward_credential: true,
                    ..Route::default()
                },
            ],
        }
    }

    /// The canonical bytes that travel in the feed.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl CompiledPolicy {
    /// The first route for a method and a canonical path. None for a path that belongs to another route for servers that cut
    /// parameters (`;…`) off its segments: nobody here knows what the origin does.
    pub fn route<'p>(&self, method: &str, canonical_path: &'p str) -> Option<(&CompiledRoute, Captures<'p>)> {
        let method = if method == "HEAD" { "GET" } else { method };
        let fits = |route: &&CompiledRoute| {
            route.methods.is_empty() || route.methods.iter().any(|allowed| allowed == method)
        };
        self.agreed(canonical_path, fits)
    }

    /// The first of these routes, however the origin reads the path.
    fn agreed<'p>(
        &self,
        path: &'p str,
        counts: impl Fn(&&CompiledRoute) -> bool,
    ) -> Option<(&CompiledRoute, Captures<'p>)> {
        let first = |reading| {
            let mut routes = self.routes.iter().filter(&counts);
            routes.find_map(|route| Some((route, route.pattern.captures(path, reading)?)))
        };
        let found = first(Reading::AsSent)?;
        if !has_parameters(path) {
            return Some(found);
        }
        let (route, captures) = first(Reading::WithoutParameters)?;
        (route.number == found.0.number && !has_bare_parameters(path)).then_some((route, captures))
    }

    /// The first guarded route for a canonical path, whatever the method: whose resource stands there.
    pub fn guarded_route(&self, canonical_path: &str) -> Option<&CompiledRoute> {
        let guarded = |route: &&CompiledRoute| !route.route.public;
        self.agreed(canonical_path, guarded).map(|(route, _)| route)
    }

    /// All scopes that routes of a resource ask for.
    pub fn scopes_of(&self, resource: &str) -> ScopeSet {
        let routes = self.routes.iter();
        let own = routes.filter(|route| !route.route.public && same_resource(&route.audience, resource));
        own.fold(ScopeSet::EMPTY, |set, route| {
            let operations = route.mcp.as_ref().map(CompiledMcp::all).unwrap_or_default();
            set.union(route.all).union(route.any).union(operations)
        })
    }

    /// Routes that nothing reaches, each with the first one before it that takes every request of its own.
    pub fn unreachable(&self) -> Vec<(&CompiledRoute, &CompiledRoute)> {
        let covers = |first: &CompiledRoute, later: &CompiledRoute| {
            let methods = first.methods.is_empty()
                || (!later.methods.is_empty() && later.methods.iter().all(|m| first.methods.contains(m)));
            methods && first.pattern.covers(&later.pattern)
        };
        let later = self.routes.iter();
        later
            .filter_map(|later| {
                let before = self.routes.iter().take_while(|first| first.number < later.number);
                let mut covering = before.filter(|first| covers(first, later));
                covering.next().map(|first| (later, first))
            })
            .collect()
    }

    /// All routes in order.
    pub fn routes(&self) -> &[CompiledRoute] {
        &self.routes
    }

    /// The scope catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.policy.scopes
    }

    /// The longest time, in milliseconds, that a route which denies on staleness may go on with an old state: the bound
    /// that a revocation receipt quotes.
    pub fn bound_ms(&self) -> u64 {
        let deny = self
            .routes
            .iter()
            .filter(|r| !r.route.public && !r.route.strict && r.route.on_stale.is_deny());
        deny.map(|route| route.max_staleness_ms).max().unwrap_or(0)
    }

    /// How long the publisher may be silent, in milliseconds.
    pub fn max_feed_age_ms(&self) -> u64 {
        let seconds = self.policy.max_feed_age_seconds;
        seconds
            .unwrap_or(DEFAULT_MAX_FEED_AGE_SECONDS)
            .saturating_mul(1000)
    }

    /// The longest time, in seconds, that a connection which was let in with a credential may stay open.
    pub fn max_connection_seconds(&self) -> u64 {
        let guarded = self.routes.iter().filter(|route| !route.route.public);
        guarded
            .map(|route| route.max_connection_seconds)
            .max()
            .unwrap_or(0)
    }
}

fn error(place: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError {
        place: place.to_owned(),
        problem: problem.into(),
    }
}

/// Whether two resource identifiers name the same resource: byte for byte, but a bare origin's trailing slash is optional
/// (clients that parse and print the URL add it).
pub fn same_resource(a: &str, b: &str) -> bool {
    fn bare(resource: &str) -> &str {
        match resource.strip_suffix('/') {
            Some(cut) if cut.split_once("://").is_some_and(|(_, host)| !host.contains('/')) => cut,
            _ => resource,
        }
    }
    bare(a) == bare(b)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
