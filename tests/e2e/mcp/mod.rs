//! The edge as an MCP resource server (revision 2026-07-28): metadata, challenges, rules per tool. `clients` and
//! `registration` run the real clients against it.

mod clients;
mod registration;

use e2e::{Request, Response, Stack};
use serde_json::{Value, json};

use crate::{
    jwt,
    support::{assert_invalid_token, assert_no_credential, only_seen},
};

const APP: &str = "https://app.example.com";
const ROOT: &str = "/.well-known/oauth-protected-resource";

/// The demo's memory, and an MCP server at `/mcp` with rules per tool; `origin`: where that is, if not where the rest is.
fn policy(origin: Option<&str>) -> Value {
    let rules = json!([
        { "method": "tools/call", "names": ["write_memory"], "scopes": ["memory:write"] },
        { "method": "tools/call", "names": ["delete_memory"], "scopes": ["memory:delete"] }
    ]);
    let mut server = json!({
        "path": "/mcp", "scopes": ["memory:read"], "audience": "$RESOURCE/mcp", "browser_origins": [APP],
        "mcp": { "rules": rules }
    });
    if let Some(origin) = origin {
        server["origin"] = origin.into();
    }
    json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "admin"],
        "presets": { "read": ["memory:read"], "admin": ["admin"] },
        "routes": [
            // Where a client refreshes that has forgotten the issuer.
            { "path": "/token", "methods": ["POST"], "public": true, "origin": "control-plane" },
            server,
            { "path": "/mcp/unlisted/**", "scopes": ["memory:read"], "mcp": { "rules": rules, "legacy": "base_scopes" } },
            { "path": "/v1/memory/**", "scopes": ["memory:read"], "any_scope": ["vault:manage"] },
            { "path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true }
        ]
    })
}

/// A message as a client of this revision sends it.
fn message(path: &str, method: &str, name: Option<&str>) -> Request {
    let request = Request::new("POST", path)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    let request = match name {
        Some(name) => request.header("mcp-name", name),
        None => request,
    };
    request.json(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "name": name } }))
}

fn call(tool: &str) -> Request {
    message("/mcp", "tools/call", Some(tool))
}

/// A token of a client's own, for a resource.
async fn token(stack: &Stack, scopes: &str, resource: &str) -> String {
    jwt::Client::create(stack, scopes)
        .token_for(stack, resource)
        .await
}

/// A parameter of the challenge.
fn challenged(answer: &Response, parameter: &str) -> String {
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    let (_, rest) = challenge
        .split_once(&format!("{parameter}=\""))
        .unwrap_or_else(|| panic!("no {parameter} in {challenge}"));
    rest.split('"').next().expect("an end").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_leads_to_the_metadata_of_the_server() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let answer = stack.anon().send(call("write_memory")).await;
    assert_no_credential(&answer);
    // Everything that this operation needs, so that the first token already does.
    assert_eq!(challenged(&answer, "scope"), "memory:read memory:write");
    let metadata = challenged(&answer, "resource_metadata");
    assert_eq!(metadata, format!("{}{ROOT}/mcp", stack.edge_url()));
    let path = metadata.strip_prefix(&stack.edge_url()).expect("here");
    let answer = stack.anon().get(path).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document = answer.json();
    assert_eq!(document["resource"], server);
    assert_eq!(document["authorization_servers"], json!([stack.control.url()]));
    assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    assert_eq!(
        document["scopes_supported"],
        json!(["memory:read", "memory:write", "memory:delete"])
    );
    let preflight = Request::new("OPTIONS", path)
        .header("origin", "https://anybody.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version");
    let answer = stack.anon().send(preflight).await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("mcp-protocol-version")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_path_leads_to_the_metadata_of_its_resource() {
    let mut policy = policy(None);
    policy["scopes"] = json!([
        "memory:read",
        "memory:write",
        "memory:delete",
        "vault:manage",
        "admin",
        "offline_access"
    ]);
    policy["routes"][3]["any_scope"] = json!(["vault:manage", "offline_access"]);
    let stack = Stack::with().policy(policy).start().await;
    let (edge, issuer) = (stack.edge_url(), stack.control.url());
    for (suffix, resource) in [
        ("", &edge),
        ("/v1/memory/x", &edge),
        ("/nowhere", &edge),
        ("/mcp/unlisted", &edge),
        ("/mcp/", &format!("{edge}/mcp")),
        ("/v1/auth/keys", &issuer),
    ] {
        let document = stack
            .anon()
            .get(&format!("{ROOT}{suffix}"))
            .await
            .expect(200)
            .json();
        assert_eq!(document["resource"].as_str(), Some(resource.as_str()), "{suffix}");
    }
    // Scopes that some route of the resource asks for; `offline_access` is not the resource's business.
    let document = stack.anon().get(ROOT).await.json();
    assert_eq!(
        document["scopes_supported"],
        json!(["memory:read", "memory:write", "memory:delete", "vault:manage"])
    );
    for (path, suffix) in [("/v1/memory/x", ""), ("/v1/auth/keys", "/v1/auth/keys")] {
        let answer = stack.anon().get(path).await;
        assert_no_credential(&answer);
        assert_eq!(
            challenged(&answer, "resource_metadata"),
            format!("{edge}{ROOT}{suffix}")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_beyond_the_scopes_is_a_step_up_with_all_of_them() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let reader = stack.caller(&token(&stack, "memory:read", &server).await);
    reader.send(call("read_memory")).await.expect(200);
    let seen = only_seen(&stack);
    assert!(
        !seen.headers.contains_key("authorization"),
        "the token stays here"
    );
    assert_eq!(seen.headers["x-portcullis-scopes"], "memory:read");
    assert_eq!(
        (&*seen.headers["mcp-method"], &*seen.headers["mcp-name"]),
        ("tools/call", "read_memory")
    );
    for (tool, needed) in [
        ("write_memory", "memory:read memory:write"),
        ("delete_memory", "memory:read memory:delete"),
        // As clients write what is not plain ASCII, and as anybody may write what is.
        ("=?base64?ZGVsZXRlX21lbW9yeQ==?=", "memory:read memory:delete"),
    ] {
        let answer = reader.send(call(tool)).await.expect(403);
        assert_eq!(challenged(&answer, "error"), "insufficient_scope");
        assert_eq!(challenged(&answer, "scope"), needed, "{tool}");
        assert_eq!(
            challenged(&answer, "resource_metadata"),
            format!("{}{ROOT}/mcp", stack.edge_url())
        );
    }
    // A client of an older revision does not say what it wants, so it needs everything that it might.
    let unnamed = || Request::new("POST", "/mcp").json(&json!({ "jsonrpc": "2.0", "method": "initialize" }));
    let answer = reader.send(unnamed()).await.expect(403);
    assert_eq!(
        challenged(&answer, "scope"),
        "memory:read memory:write memory:delete"
    );
    assert!(stack.origin.take().is_empty());
    let writer = token(&stack, "memory:read,memory:write,memory:delete", &server).await;
    let writer = stack.caller(&writer);
    writer.send(unnamed()).await.expect(200);
    writer.send(call("delete_memory")).await.expect(200);
    // Where the origin says that it looks itself, it may.
    let anywhere = token(&stack, "memory:read", &stack.edge_url()).await;
    let unnamed = Request::new("POST", "/mcp/unlisted/x").json(&json!({ "method": "initialize" }));
    stack.caller(&anywhere).send(unnamed).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_at_its_own_resource_only() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let client = jwt::Client::create(&stack, "memory:read,vault:manage");
    let server = stack.caller(
        &client
            .token_for(&stack, &format!("{}/mcp", stack.edge_url()))
            .await,
    );
    let whole = stack.caller(&client.token_for(&stack, &stack.edge_url()).await);
    server.send(call("read_memory")).await.expect(200);
    whole.get("/v1/memory/x").await.expect(200);
    assert_invalid_token(
        &whole.send(call("read_memory")).await,
        "the API's token at the server",
    );
    let answer = server.get("/v1/memory/x").await;
    assert_invalid_token(&answer, "the server's token at the API");
    assert_eq!(
        challenged(&answer, "resource_metadata"),
        format!("{}{ROOT}", stack.edge_url())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_can_be_read_in_two_ways_are_refused() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let caller = stack.caller(&token(&stack, "memory:read,memory:write,memory:delete", &server).await);
    let plain = || {
        Request::new("POST", "/mcp")
            .header("mcp-protocol-version", "2026-07-28")
            .body("{}")
    };
    let twice = |first: &str, second: &str| call(first).header("mcp-name", second);
    for (what, request) in [
        ("two names", twice("read_memory", "delete_memory")),
        ("the same name twice", twice("read_memory", "read_memory")),
        ("a name and an empty one", twice("read_memory", "")),
        (
            "two methods",
            call("read_memory").header("Mcp-Method", "tools/list"),
        ),
        ("a tool without a name", message("/mcp", "tools/call", None)),
        (
            "a name without a method",
            plain().header("mcp-name", "read_memory"),
        ),
        ("an empty method", plain().header("mcp-method", "")),
        ("bad base64", call("=?base64?ZGVsZXRl!?=")),
        ("beyond ASCII", call("\u{2603}")),
    ] {
        let answer = caller.send(request).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (400, Some("mcp_headers")),
            "{what}"
        );
    }
    assert!(stack.origin.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_not_listed_is_refused_and_one_that_is_may_ask() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let caller = stack.caller(&token(&stack, "memory:read", &server).await);
    for origin in ["https://evil.example", "null", "http://localhost"] {
        let answer = caller
            .send(call("read_memory").header("origin", origin))
            .await
            .expect(403);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        // With or without a credential: against DNS rebinding.
        stack
            .anon()
            .send(call("read_memory").header("origin", origin))
            .await
            .expect(403);
    }
    assert!(stack.origin.take().is_empty());
    let answer = caller
        .send(call("read_memory").header("origin", APP))
        .await
        .expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    // The page has to be able to read the challenge of a step-up.
    let answer = caller
        .send(call("write_memory").header("origin", APP))
        .await
        .expect(403);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert!(
        answer
            .all("access-control-expose-headers")
            .contains("WWW-Authenticate")
    );
    let preflight = Request::new("OPTIONS", "/mcp")
        .header("origin", APP)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,mcp-method,mcp-name",
        );
    let answer = stack.anon().send(preflight).await.expect(204);
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization, mcp-method, mcp-name")
    );
}

/// Only in this revision servers compare headers and body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_their_revision_say_nothing() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let caller = stack.caller(&token(&stack, "memory:read", &server).await);
    let named = || {
        Request::new("POST", "/mcp")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "read_memory")
            .body("{}")
    };
    let verify = Request::verify("POST", "/mcp")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "read_memory");
    let older = named().header("mcp-protocol-version", "2025-11-25");
    for request in [named(), older, verify] {
        let answer = caller.send(request).await.expect(403);
        assert_eq!(
            challenged(&answer, "scope"),
            "memory:read memory:write memory:delete"
        );
    }
    assert!(stack.origin.take().is_empty());
}

/// Neither the messages of a WebSocket nor the body of a DELETE are judged, so neither passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_passes_that_was_not_judged_as_a_message() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let caller = stack.caller(&token(&stack, "memory:read", &server).await);
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "delete_memory" } });
    let answer = caller
        .send(Request::new("DELETE", "/mcp").json(&body))
        .await
        .expect(400);
    assert_eq!(answer.json()["code"], "body_not_allowed");
    let upgrade = Request::get("/mcp")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = caller.send(upgrade).await.expect(403);
    assert_eq!(answer.json()["code"], "upgrade_refused");
    assert!(stack.origin.take().is_empty());
    caller.send(Request::new("DELETE", "/mcp")).await.expect(200);
    assert_eq!(only_seen(&stack).method, "DELETE");
}

/// nginx and the like ask with the headers of the request that they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verify_endpoint_knows_tools_too() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let server = format!("{}/mcp", stack.edge_url());
    let caller = stack.caller(&token(&stack, "memory:read", &server).await);
    let ask = |tool: &str| {
        Request::verify("POST", "/mcp")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
    };
    caller.send(ask("read_memory")).await.expect(200);
    let answer = caller.send(ask("write_memory")).await.expect(403);
    assert_eq!(challenged(&answer, "scope"), "memory:read memory:write");
}
