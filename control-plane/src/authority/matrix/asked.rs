//! What each call is asked with: ids in the path, a body that makes sense.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::authority::calls::{CALLS, Call};

/// Ids by the parameter of a path that they stand for, and others by their kind.
pub(super) type Ids = BTreeMap<&'static str, String>;

/// A request without its credential.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) body: Option<Value>,
    /// It needs an `If-Match`.
    pub(super) conditional: bool,
}

/// The request of a line, about these.
pub(super) fn of(line: &Call, ids: &Ids) -> Asked {
    let (method, path, _) = *line;
    let mut target = path.to_owned();
    for (name, id) in ids {
        target = target.replace(&format!("{{{name}}}"), id);
    }
    let target = match (method, path) {
        ("DELETE", "/v1/sessions") => format!("{target}?user={}", ids["user"]),
        _ => target,
    };
    let waits = target.replace("/v1/docs/{group}", "/v1/docs/keys");
    Asked {
        target: waits,
        body: body(method, path, ids),
        conditional: path == "/v1/policy" && method == "PUT" || path == "/v1/policy/rollback",
    }
}

fn body(method: &str, path: &str, ids: &Ids) -> Option<Value> {
    let id = |name: &str| ids.get(name).cloned().unwrap_or_default();
    Some(match (method, path) {
        ("POST", "/v1/auth/keys") => json!({"name": "made", "scope": "read"}),
        ("PATCH", "/v1/auth/keys/{id}" | "/v1/workspaces/{id}") | ("POST", "/v1/workspaces") => {
            json!({"name": id("name")})
        }
        ("POST", "/v1/auth/keys/{id}/reissue") => json!({"user": id("colleague")}),
        ("POST", "/v1/auth/keys/{id}/quarantine") => json!({"ceiling": "none"}),
        ("POST", "/v1/revocations") => json!({"target": {"key": id("key")}}),
        ("POST", "/v1/explain") => json!({"path": "/v1/memory/x"}),
        ("PATCH", "/v1/memberships/{user}" | "/v1/service-accounts/{user}") => json!({"role": "viewer"}),
        ("POST", "/v1/people/{user}/erase") => json!({"confirm": id("user")}),
        ("POST", "/v1/invitations") => {
            json!({"email": format!("{}@example.com", id("name")), "role": "viewer"})
        }
        ("POST", "/v1/service-accounts") => json!({"name": id("name"), "role": "viewer"}),
        ("POST", "/v1/clients") => json!({"name": "App", "kind": "machine", "scope": "read"}),
        ("PATCH", "/v1/clients/{id}") => json!({"name": "Other"}),
        ("POST", "/v1/issuers") => json!({
            "issuer": id("issuer"), "jwks_uri": id("jwks"), "audiences": ["api"], "scopes": ["memory:read"]
        }),
        ("PATCH", "/v1/issuers/{id}") => json!({"audiences": ["other"]}),
        ("POST", "/v1/issuers/{id}/block" | "/v1/issuers/{id}/unblock") => json!({"subject": "eve"}),
        ("POST", "/v1/policy/test") => json!({"path": "/v1/memory/x", "scopes": ["memory:read"]}),
        ("PUT", "/v1/policy") | ("POST", "/v1/policy/check") => json!({"policy": {}}),
        ("POST", "/v1/policy/rollback") => json!({"version": 1}),
        ("POST", "/v1/webhooks") => {
            json!({"url": "https://example.com/hooks", "events": ["user.deactivated"]})
        }
        ("PATCH", "/v1/webhooks/{id}") => json!({"description": "other"}),
        ("PATCH", "/v1/settings") => json!({}),
        _ => return None,
    })
}

fn line(method: &str, path: &str) -> Call {
    let found = CALLS.iter().find(|(m, p, _)| *m == method && *p == path);
    *found.unwrap_or_else(|| panic!("{method} {path}"))
}

/// Calls that name an object in their body or query: what another organisation's get.
pub(super) fn elsewhere(theirs: &Ids) -> Vec<(Call, Asked, u16)> {
    let id = |name: &str| theirs[name].clone();
    let with = |method: &str, path: &str, body: Value, status: u16| {
        let asked = Asked {
            target: path.to_owned(),
            body: Some(body),
            conditional: false,
        };
        (line(method, path), asked, status)
    };
    let query = |path: &'static str, query: String, status: u16| {
        let method = if path == "/v1/sessions" && status == 404 {
            "DELETE"
        } else {
            "GET"
        };
        let asked = Asked {
            target: format!("{path}?{query}"),
            body: None,
            conditional: false,
        };
        (line(method, path), asked, status)
    };
    let mut all = vec![
        with(
            "POST",
            "/v1/auth/keys",
            json!({"name": "x", "scope": "read", "user": id("user")}),
            400,
        ),
        with(
            "POST",
            "/v1/auth/keys",
            json!({"name": "x", "scope": "read", "workspace": id("workspace")}),
            400,
        ),
        with(
            "POST",
            "/v1/revocations",
            json!({"filter": {"client": id("client")}}),
            404,
        ),
        query("/v1/sessions", format!("user={}", id("user")), 404),
        // Lists of nothing.
        query("/v1/sessions", format!("user={}&limit=10", id("user")), 200),
        query("/v1/grants", format!("client={}", id("client")), 200),
        query("/v1/audit", format!("actor={}", id("user")), 200),
    ];
    for kind in ["key", "grant", "client", "user", "session", "org", "workspace"] {
        all.push(with(
            "POST",
            "/v1/revocations",
            json!({"target": {kind: id(kind)}}),
            404,
        ));
    }
    all
}
