//! The gateway between caller and origin: headers of a hop, identity headers, CORS, WebSocket, bodies that stream.

use std::time::Duration;

use e2e::{Connection, Request, Stack};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use crate::support::only_seen;

const APP: &str = "https://app.example.com";

/// The demo's routes, and some with what browsers need.
fn policy() -> Value {
    json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
        "presets": { "read": ["memory:read"], "read-write": ["memory:read", "memory:write", "memory:delete"], "admin": ["admin"] },
        "routes": [
            { "path": "/public/open/**", "public": true, "browser_origins": ["*"] },
            { "path": "/public/**", "public": true },
            { "path": "/browser/keys/**", "scopes": ["memory:read"], "browser_origins": [APP], "browser_api_keys": true },
            { "path": "/browser/**", "methods": ["GET", "PUT"], "scopes": ["memory:read"], "browser_origins": [APP] },
            { "path": "/passed-on/**", "scopes": ["memory:read"], "forward_credential": true },
            { "path": "/v1/memory/**", "scopes": ["memory:read"] },
            { "path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true }
        ]
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_a_hop_stay_on_their_hop() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let request = Request::get("/v1/memory/x?demo=headers")
        .header("connection", "keep-alive, x-mine")
        .header("x-mine", "named by Connection")
        .header("keep-alive", "timeout=5")
        .header("te", "trailers")
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("x-passes", "passes");
    let answer = stack.caller(&key.key).send(request).await.expect(200);
    let seen = only_seen(&stack);
    for name in ["x-mine", "keep-alive", "te", "proxy-authorization"] {
        assert!(
            !seen.headers.contains_key(name),
            "{name} reached the origin: {seen:?}"
        );
    }
    assert_eq!(seen.headers["x-passes"], "passes");
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "x-portcullis-subject",
        "portcullis-assertion",
    ] {
        assert_eq!(answer.header(name), None, "{name} reached the caller");
    }
    assert_eq!(answer.header("x-kept"), Some("kept"));
}

/// What a request was judged by stays on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_takes_away_nothing_that_counts() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let names = [
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "content-type",
        "cookie",
        "x-forwarded-for",
        "x-forwarded-host",
        "cf-connecting-ip",
        "x-request-id",
    ];
    let request = Request::get("/v1/memory/x")
        .header("connection", format!("Mcp-Method, {}, x-mine", names.join(", ")));
    let request = names
        .into_iter()
        .fold(request, |request, name| request.header(name, "kept"))
        .header("x-mine", "named by Connection");
    stack.caller(&key.key).send(request).await.expect(200);
    let seen = only_seen(&stack);
    for name in names {
        assert!(seen.headers.contains_key(name), "{name} is gone: {seen:?}");
    }
    assert!(!seen.headers.contains_key("x-mine"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_brings_an_identity_along() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let forged = |request: Request| {
        request
            .header("X-Portcullis-Subject", "usr_forged")
            .header("x-portcullis-scopes", "admin")
            .header("X-PORTCULLIS-ANYTHING", "forged")
            .header("Portcullis-Assertion", "forged")
            .header("X_Portcullis_Org", "org_forged")
    };
    stack
        .anon()
        .send(forged(Request::get("/public/x")))
        .await
        .expect(200);
    let seen = only_seen(&stack);
    assert!(
        !seen.headers.keys().any(|name| name.contains("portcullis")),
        "{seen:?}"
    );
    stack
        .caller(&key.key)
        .send(forged(Request::get("/v1/memory/x")))
        .await
        .expect(200);
    let seen = only_seen(&stack);
    assert!(!format!("{:?}", seen.headers).contains("forged"), "{seen:?}");
    assert_eq!(seen.headers["x-portcullis-scopes"], "memory:read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_caller_got_is_not_for_another() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let answer = stack.caller(&key.key).get("/v1/memory/x").await.expect(200);
    assert!(
        answer.all("cache-control").contains("private"),
        "{:?}",
        answer.headers
    );
    let vary = answer.all("vary").to_ascii_lowercase();
    assert!(
        vary.contains("authorization") && vary.contains("origin"),
        "{vary}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_ask_for_the_credential_to_be_passed_on() {
    let stack = Stack::with().policy(policy()).start().await;
    let key = stack.admin().key("read").await;
    stack.caller(&key.key).get("/passed-on/x").await.expect(200);
    assert_eq!(
        only_seen(&stack).headers["authorization"],
        format!("Bearer {}", key.key)
    );
    stack.caller(&key.key).get("/v1/memory/x").await.expect(200);
    assert!(!only_seen(&stack).headers.contains_key("authorization"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_are_answered_by_policy_and_never_reach_the_origin() {
    let stack = Stack::with().policy(policy()).start().await;
    let preflight = |path: &str, origin: &str, method: &str| {
        Request::new("OPTIONS", path)
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization, content-type")
    };
    let listed = stack.anon().send(preflight("/browser/x", APP, "PUT")).await;
    assert!(
        matches!(listed.status, 200 | 204),
        "{} {}",
        listed.status,
        listed.text()
    );
    assert_eq!(listed.header("access-control-allow-origin"), Some(APP));
    assert!(
        listed.all("access-control-allow-methods").contains("PUT"),
        "{:?}",
        listed.headers
    );
    assert!(
        listed
            .all("access-control-allow-headers")
            .to_ascii_lowercase()
            .contains("authorization")
    );
    assert!(listed.all("vary").to_ascii_lowercase().contains("origin"));

    let cases = [
        ("/browser/x", "https://evil.example.com", "GET"),
        ("/browser/x", "https://app.example.com.evil.example", "GET"),
        ("/browser/x", "null", "GET"),
        ("/browser/x", APP, "DELETE"),
        ("/v1/memory/x", APP, "GET"),
        ("/nowhere", APP, "GET"),
    ];
    for (path, origin, method) in cases {
        let refused = stack.anon().send(preflight(path, origin, method)).await;
        assert_eq!(
            refused.header("access-control-allow-origin"),
            None,
            "{path} {origin} {method}"
        );
    }
    assert!(stack.origin.take().is_empty(), "no preflight reaches the origin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_let_in_from_listed_origins_and_keys_only_where_the_route_says_so() {
    let stack = Stack::with().policy(policy()).start().await;
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    let from = |path: &str, origin: &str| Request::get(path).header("origin", origin);

    let refused = caller.send(from("/browser/x", APP)).await.expect(403);
    assert!(
        refused.text().contains("OAuth"),
        "names the way out: {}",
        refused.text()
    );
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some(APP),
        "the page must be able to read it"
    );

    let listed = caller.send(from("/browser/keys/x", APP)).await.expect(200);
    assert_eq!(listed.header("access-control-allow-origin"), Some(APP));
    let stranger = caller
        .send(from("/browser/keys/x", "https://evil.example.com"))
        .await;
    assert_eq!(stranger.header("access-control-allow-origin"), None);

    // Errors carry CORS headers, too, or the page can not tell 401 from a broken network.
    let unauthenticated = stack.anon().send(from("/browser/x", APP)).await.expect(401);
    assert_eq!(unauthenticated.header("access-control-allow-origin"), Some(APP));
    let exposed = unauthenticated
        .all("access-control-expose-headers")
        .to_ascii_lowercase();
    assert!(exposed.contains("www-authenticate"), "{exposed}");

    let open = stack
        .anon()
        .send(from("/public/open/x", "https://anyone.example"))
        .await
        .expect(200);
    assert_eq!(open.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_pass_with_a_credential_and_only_with_one() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let url = format!("ws://{}/v1/memory/live", stack.gate(0));
    let connect = async |credential: Option<&str>| {
        let mut request = url.as_str().into_client_request().unwrap();
        if let Some(credential) = credential {
            let value = format!("Bearer {credential}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let stream = TcpStream::connect(stack.gate(0)).await.unwrap();
        tokio_tungstenite::client_async(request, stream)
            .await
            .map(|(socket, _)| socket)
    };
    assert!(connect(None).await.unwrap_err().to_string().contains("401"));

    let mut socket = connect(Some(&key.key)).await.expect("101");
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
    socket.send(Message::binary(vec![0, 1, 255])).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap().into_data().to_vec(),
        [0, 1, 255]
    );
    socket.close(None).await.unwrap();

    let seen = only_seen(&stack);
    assert_eq!(seen.headers["x-portcullis-credential"], key.id);
    assert!(!seen.headers.contains_key("authorization"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_arrive_while_the_origin_still_writes_them() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let mut connection = Connection::open(&stack.gate(0)).await.unwrap();
    let request = Request::get("/v1/memory/x?demo=stream&chunks=20")
        .bearer(&key.key)
        .encode(&stack.gate(0));
    connection.send(&request).await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    let start = Instant::now();
    let mut lines = String::new();
    let mut first = Duration::ZERO;
    while let Some(chunk) = connection.read_chunk().await.unwrap() {
        if lines.is_empty() {
            first = start.elapsed();
        }
        lines.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert_eq!(lines.lines().count(), 20);
    // 19 pauses of 50 ms lie between the first and the last line.
    assert!(
        start.elapsed() > first + Duration::from_millis(700),
        "the first line came after {first:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_reach_the_origin_while_the_caller_still_writes_them() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read-write").await;
    let mut connection = Connection::open(&stack.gate(0)).await.unwrap();
    let head = Request::new("POST", "/v1/memory/x?demo=echo")
        .bearer(&key.key)
        .header("transfer-encoding", "chunked");
    connection.send(&head.encode(&stack.gate(0))).await.unwrap();
    let (mut reader, mut writer) = (Vec::new(), 0);
    connection.send(b"5\r\nfirst\r\n").await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    // The first piece is back before the second is sent.
    while reader.len() < 5 {
        reader.extend(connection.read_chunk().await.unwrap().expect("a piece"));
        writer += 1;
    }
    assert_eq!((reader.as_slice(), writer > 0), (b"first".as_slice(), true));
    let mut stream = connection.into_stream();
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_bodies_pass_unchanged_both_ways() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read-write").await;
    let body: Vec<u8> = (0..3_000_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let request =
        Request::new("POST", "/v1/memory/x?demo=echo").header("content-type", "application/octet-stream");
    let answer = stack.caller(&key.key).send(request.body(&body)).await.expect(200);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verify_endpoint_judges_the_original_request() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    let allowed = caller
        .send(Request::verify("GET", "/v1/memory/x?q=1"))
        .await
        .expect(200);
    assert_eq!(allowed.header("x-portcullis-credential"), Some(key.id.as_str()));
    caller
        .send(Request::verify("POST", "/v1/memory/x"))
        .await
        .expect(403);
    caller.send(Request::verify("GET", "/admin/x")).await.expect(403);
    stack
        .anon()
        .send(Request::verify("GET", "/v1/memory/x"))
        .await
        .expect(401);
    stack
        .anon()
        .send(Request::verify("GET", "/public/x"))
        .await
        .expect(200);
    for trick in [
        "/public/..%2fadmin",
        "/public/../admin/x",
        "//admin",
        "public/x",
        "/public#/../admin/x",
        "/.portcullis/health",
    ] {
        let status = stack.anon().send(Request::verify("GET", trick)).await.status;
        assert!(matches!(status, 400 | 403), "{trick}: {status}");
    }
    for method in ["TRACE", "TRACK", "CONNECT"] {
        let status = stack
            .anon()
            .send(Request::verify(method, "/public/x"))
            .await
            .status;
        assert_eq!(status, 403, "{method}");
    }
    let disagreeing = Request::verify("GET", "/public/x").header("x-forwarded-uri", "/admin/x");
    assert!(matches!(stack.anon().send(disagreeing).await.status, 400 | 403));
    assert!(stack.origin.take().is_empty(), "verify forwards nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_the_protected_resource_stands_at_both_places() {
    let stack = Stack::start().await;
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/v1/memory",
    ] {
        let answer = stack.anon().get(path).await.expect(200).json();
        assert!(
            answer["resource"]
                .as_str()
                .unwrap()
                .starts_with(&stack.edge_url()),
            "{answer}"
        );
        assert_eq!(
            answer["authorization_servers"],
            json!([stack.control.url()]),
            "{answer}"
        );
    }
}
