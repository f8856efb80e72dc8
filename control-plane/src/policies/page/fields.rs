//! A route as fields of a form, and back. Members without a field (rules per MCP operation) stay as they are. Pure.

use serde_json::{Map, Value, json};
use shared::policy::PolicyError;

/// What kind of field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    List,
    Number,
    Switch,
    /// A number inside `on_stale`.
    Grace,
}

/// Member, label, hint, kind.
const FIELDS: [(&str, &str, &str, Kind); 14] = [
    (
        "path",
        "Pattern",
        "* is one segment, ** at the end is the rest; {org} and {workspace} must be the credential's own.",
        Kind::Text,
    ),
    (
        "methods",
        "Methods",
        "Such as GET, POST. Empty: every method.",
        Kind::List,
    ),
    ("public", "Public: nobody looks at a credential", "", Kind::Switch),
    (
        "scopes",
        "All of these scopes",
        "Empty: any valid credential passes, unless the next field says more.",
        Kind::List,
    ),
    ("any_scope", "And at least one of these", "", Kind::List),
    (
        "strict",
        "Strict: every request asks the hub first",
        "A revoked credential is refused at once; each request costs a read.",
        Kind::Switch,
    ),
    (
        "max_staleness_ms",
        "How old the edge's list may be, in milliseconds",
        "500 to 3600000; empty: 2000.",
        Kind::Number,
    ),
    (
        "on_stale",
        "When it is older: go on for so many seconds",
        "Empty: refuse with 503 until it is fresh again. At most 86400.",
        Kind::Grace,
    ),
    (
        "class",
        "Class",
        "Under which limits and usage know it; empty: default.",
        Kind::Text,
    ),
    (
        "origin",
        "Where requests go",
        "Empty: the edge's origin; control-plane: this server; or a base URL.",
        Kind::Text,
    ),
    (
        "browser_origins",
        "Pages that may call it from a browser",
        "Exact origins such as https://app.example.com.",
        Kind::List,
    ),
    (
        "browser_api_keys",
        "API keys count when a browser sends them",
        "",
        Kind::Switch,
    ),
    (
        "forward_credential",
        "The origin gets the credential itself",
        "",
        Kind::Switch,
    ),
    (
        "max_connection_seconds",
        "How long a connection may stay open, in seconds",
        "1 to 86400; empty: 900.",
        Kind::Number,
    ),
];

/// A field with what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) is_switch: bool,
    pub(super) value: String,
    /// What is wrong with it.
    pub(super) problem: Option<String>,
}

/// A route of a draft, with what is wrong with it beside each field.
pub(super) fn of(number: usize, route: &Value, problems: &[PolicyError]) -> Vec<Field> {
    let field = |(member, label, hint, kind): (&str, &'static str, &'static str, Kind)| {
        let value = &route[member];
        let text = match (kind, value) {
            (Kind::Grace, value) => plain(&value["allow_for_seconds"]),
            (Kind::List, Value::Array(items)) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
            (_, value) => plain(value),
        };
        let place = format!("routes[{number}].{member}");
        let problem = problems.iter().find(|problem| {
            let rest = problem.place.strip_prefix(&place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        Field {
            name: format!("r.{member}"),
            label,
            hint,
            is_switch: kind == Kind::Switch,
            value: text,
            problem: problem.map(|problem| problem.problem.clone()),
        }
    };
    FIELDS.into_iter().map(field).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "on".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The route with what the fields say. A number that is none stays a text, and is a mistake of the draft.
pub(super) fn put<'f>(route: &Value, value: impl Fn(&str) -> Option<&'f str>) -> Value {
    let mut members = match route {
        Value::Object(members) => members.clone(),
        _ => Map::new(),
    };
    for (member, _, _, kind) in FIELDS {
        let text = value(&format!("r.{member}")).map(str::trim).unwrap_or_default();
        let number = || text.parse::<u64>().map_or_else(|_| json!(text), Value::from);
        let list = || -> Value {
            let items = text.split([',', ' ', '\n', '\r']);
            items.filter(|item| !item.is_empty()).collect()
        };
        let new = match kind {
            _ if text.is_empty() => None,
            Kind::Text => Some(json!(text)),
            Kind::List => Some(list()),
            Kind::Number => Some(number()),
            Kind::Switch => Some(json!(true)),
            Kind::Grace => Some(json!({ "allow_for_seconds": number() })),
        };
        match new {
            Some(new) => drop(members.insert(member.to_owned(), new)),
            None => drop(members.remove(member)),
        }
    }
    Value::Object(members)
}
