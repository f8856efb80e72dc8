//! Rules per operation on a route that serves the Model Context Protocol, revision 2026-07-28: a request says in
//! `Mcp-Method` and `Mcp-Name` what its body asks for, so that a gate can tell `tools/call` of one tool from that of another.
//!
//! ```json
//! { "path": "/mcp", "scopes": ["memory:read"], "mcp": {
//!   "rules": [
//!     { "method": "tools/call", "names": ["write_memory"], "scopes": ["memory:write"] },
//!     { "method": "tools/call", "names": ["delete_memory"], "scopes": ["memory:delete"] }
//!   ],
//!   "legacy": "all_scopes"
//! } }
//! ```
//!
//! An operation needs the route's own scopes and those of every rule that fits it. What no rule names needs the route's
//! scopes only. The gate does not read bodies: the origin MUST refuse a request whose headers and body disagree, as the
//! revision says.

use serde::{Deserialize, Serialize};

use super::uri;
use super::{Catalogue, PolicyError, Route, ScopeSet, error};

/// Methods whose requests name what they are about in `Mcp-Name`.
const NAMED: [&str; 3] = ["tools/call", RESOURCES, "prompts/get"];
/// Whose names are URIs.
const RESOURCES: &str = "resources/read";

/// The `mcp` member of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpPolicy {
    /// Every one that fits adds its scopes.
    pub rules: Vec<McpRule>,
    /// What a message without `Mcp-Method` needs.
    #[serde(default, skip_serializing_if = "Legacy::is_default")]
    pub legacy: Legacy,
}

/// Scopes that an operation needs beside the route's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpRule {
    /// The JSON-RPC method, for example `tools/call`.
    pub method: String,
    /// Tools, resources or prompts by their exact names; empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// All of these.
    pub scopes: Vec<String>,
}

/// What a message needs that does not say what it is, or not in a revision from 2026-07-28 on: only there servers compare what
/// `Mcp-Method` says with the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Legacy {
    /// Everything that any rule asks for: it may be any operation.
    #[default]
    AllScopes,
    /// The route's own scopes, for an origin that checks each operation itself.
    BaseScopes,
    /// Nothing helps: such clients are refused.
    Deny,
}

impl Legacy {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's skip_serializing_if passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A message's operation, as its headers state it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpOperation<'a> {
    /// `Mcp-Method`.
    pub method: &'a str,
    /// `Mcp-Name`, decoded.
    pub name: Option<&'a str>,
}

/// Whether requests of a method must say what they are about in `Mcp-Name`.
pub fn is_named(method: &str) -> bool {
    NAMED.contains(&method)
}

/// Whether a name has one spelling only. Names of resources are URIs, which a server may well read in a form of its own.
pub fn is_name(method: &str, name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control) && (method != RESOURCES || uri::is_plain(name))
}

/// JSON-RPC methods of the protocol and its extensions, for example `tools/call`.
pub fn is_method(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.' | b'$'))
}

/// An `mcp` member that was checked.
#[derive(Clone, Debug)]
pub struct CompiledMcp {
    rules: Vec<(McpRule, ScopeSet)>,
    legacy: Legacy,
}

impl CompiledMcp {
    /// Checks everything and resolves names. `None`: the route has none, or one with a mistake, which is among the problems then.
    pub(super) fn compile(
        route: &Route,
        place: &str,
        scopes: &Catalogue,
        problems: &mut Vec<PolicyError>,
    ) -> Option<Self> {
        let policy = route.mcp.as_ref()?;
        if route.public {
            problems.push(error(place, "a public route cannot ask for scopes"));
        }
        let mut rules = Vec::new();
        for (number, rule) in policy.rules.iter().enumerate() {
            let mut wrong = |member: &str, problem: &str| {
                problems.push(error(&format!("{place}.rules[{number}].{member}"), problem));
            };
            check_rule(rule, &mut wrong);
            match scopes.parse(&rule.scopes) {
                Ok(needed) => rules.push((rule.clone(), needed)),
                Err(unknown) => wrong("scopes", &format!("{unknown}; add it to `scopes` or correct it")),
            }
        }
        let legacy = policy.legacy;
        Some(Self { rules, legacy })
    }

    /// What an operation needs beside the route's scopes.
    pub fn needed(&self, operation: &McpOperation<'_>) -> ScopeSet {
        let fits = |rule: &McpRule| {
            let named = |name: &str| rule.names.iter().any(|known| known == name);
            rule.method == operation.method && (rule.names.is_empty() || operation.name.is_none_or(named))
        };
        self.union(fits)
    }

    /// What a message without `Mcp-Method` needs beside the route's scopes; `None`: it is refused.
    pub fn needed_by_legacy(&self) -> Option<ScopeSet> {
        match self.legacy {
            Legacy::AllScopes => Some(self.all()),
            Legacy::BaseScopes => Some(ScopeSet::EMPTY),
            Legacy::Deny => None,
        }
    }

    /// What all rules together ask for.
    pub fn all(&self) -> ScopeSet {
        self.union(|_| true)
    }

    fn union(&self, fits: impl Fn(&McpRule) -> bool) -> ScopeSet {
        let fitting = self.rules.iter().filter(|(rule, _)| fits(rule));
        fitting.fold(ScopeSet::EMPTY, |set, (_, needed)| set.union(*needed))
    }
}

/// What a rule says that needs nothing else to be judged.
fn check_rule(rule: &McpRule, wrong: &mut impl FnMut(&str, &str)) {
    if !is_method(&rule.method) {
        wrong("method", "the name of a JSON-RPC method, for example tools/call");
    }
    if !rule.names.is_empty() && !is_named(&rule.method) {
        wrong(
            "names",
            "only tools/call, resources/read and prompts/get have a name",
        );
    }
    if rule.names.iter().any(String::is_empty) {
        wrong(
            "names",
            "names are exact and not empty; leave `names` out for all",
        );
    } else if !rule.names.iter().all(|name| is_name(&rule.method, name)) {
        wrong(
            "names",
            "no control characters; for resources/read, URIs in normal form, for example file:///notes/a",
        );
    }
    if rule.scopes.is_empty() {
        wrong("scopes", "a rule without scopes asks for nothing");
    }
}
