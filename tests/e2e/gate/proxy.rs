//! The reverse proxy beside the Worker: the same answers, and the same requests at the origin.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Connection, Request, Seen, Stack};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::{Gate, PATH, STRICT, told};
use crate::library::Example;
use crate::paths::{Expected, TABLE};

const APP: &str = "https://app.example.com";

/// Fields of a [`Seen`], in its order.
type Compared = (String, String, Option<String>, BTreeMap<String, String>, String);

/// What reached the origin, but for what is of each hop.
fn compared(seen: Vec<Seen>) -> Vec<Compared> {
    let of_the_hop = [
        "accept-encoding",
        // What the Worker's fetch adds for its own caches.
        "cache-control",
        "pragma",
        "connection",
        "content-length",
        "host",
        "transfer-encoding",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    let kept = |headers: BTreeMap<String, String>| {
        let kept = headers
            .into_iter()
            .filter(|(name, _)| !of_the_hop.contains(&name.as_str()));
        kept.collect()
    };
    seen.into_iter()
        .map(|seen| (seen.method, seen.path, seen.query, kept(seen.headers), seen.body))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn it_says_what_the_worker_says_and_sends_what_the_worker_sends() {
    let gate = Gate::start().await;
    let reader = gate.key("read").await.key;
    let writer = gate.key("read-write").await.key;
    let (rest, last) = reader.split_at(reader.len() - 1);
    let forged = format!("{rest}{}", if last == "x" { "y" } else { "x" });
    let get = || Request::get(PATH);
    let spoof = |request: Request| {
        request
            .header("X-Portcullis-Subject", "usr_forged")
            .header("x_portcullis_org", "org_forged")
            .header("Portcullis-Assertion", "forged")
            .header("X-Http-Method-Override", "DELETE")
            .header("X-Original-URI", "/forged")
            .header("X-Rewrite-URL", "/forged")
            .header("Content_Type", "forged")
            .header("Forwarded", "for=1.2.3.4;host=forged")
            .header("X-Forwarded-Prefix", "/forged")
            .header("X-Forwarded-Port", "1")
            .header("X_Forwarded_Prefix", "/forged")
            .header("X-Passes", "passes")
    };
    let preflight = |path: &str, method: &str| {
        Request::new("OPTIONS", path)
            .header("origin", APP)
            .header("access-control-request-method", method)
    };
    let requests = vec![
        get(),
        get().bearer(&reader),
        Request::get("/v1/memory/x?q=%2e%2e%2f&q=a+b").bearer(&reader),
        Request::new("HEAD", PATH).bearer(&reader),
        Request::new("POST", PATH).bearer(&reader).body("{}"),
        Request::new("POST", PATH).bearer(&writer).body("{\"a\":1}"),
        Request::new("POST", PATH).bearer(&writer),
        Request::new("DELETE", PATH).bearer(&reader),
        Request::new("PATCH", PATH).bearer(&reader),
        Request::new("PROPFIND", PATH).bearer(&reader),
        Request::new("OPTIONS", PATH).bearer(&reader),
        Request::get(STRICT).bearer(&reader),
        Request::get(STRICT).bearer(&gate.stack.admin_key),
        Request::get("/nowhere").bearer(&reader),
        Request::get("/.portcullis/nothing").bearer(&reader),
        Request::get("/%2eportcullis/verify").bearer(&reader),
        spoof(get()).bearer(&reader),
        spoof(Request::get("/public/x")),
        Request::get("/public/x").bearer(&reader),
        Request::get("/public/x").header("authorization", "Basic dTpw"),
        Request::get("/public/x").header("dpop", "a.b.c"),
        get().bearer(&forged),
        get().bearer("nothing"),
        get().header("authorization", &reader),
        get().header("authorization", "Basic dTpw"),
        get().bearer(&reader).bearer(&reader),
        get().header("authorization", "Basic dTpw").bearer(&reader),
        get().header("authorization", format!("DPoP {reader}")),
        get().header("authorization", format!("bEARER   {reader}")),
        get().header("authorization", format!("Bearer {reader} x")),
        get().header("authorization", b"Bearer pc_live_\xff\xfe"),
        get().bearer(&"x".repeat(9000)),
        get().header("origin", APP).bearer(&reader),
        get().bearer(&reader).header("portcullis-min-seq", "1"),
        get().bearer(&reader).header("portcullis-min-seq", "-1"),
        get()
            .bearer(&reader)
            .header("portcullis-min-seq", "1")
            .header("portcullis-min-seq", "2"),
        get()
            .bearer(&reader)
            .header("connection", "x-mine, content-type, mcp-method")
            .header("x-mine", "1")
            .header("content-type", "text/plain")
            .header("mcp-method", "tools/call"),
        get()
            .bearer(&reader)
            .header("te", "trailers")
            .header("proxy-authorization", "Basic x"),
        get()
            .bearer(&reader)
            .header("upgrade", "h2c")
            .header("connection", "upgrade, http2-settings")
            .header("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
        get().bearer(&reader).body("a body"),
        preflight(PATH, "GET"),
        preflight("/public/x", "GET"),
        preflight("/nowhere", "GET"),
    ];
    let worker = gate.stack.anon();
    for (number, request) in requests.iter().enumerate() {
        let theirs = worker.send(request.clone()).await;
        let there = compared(gate.stack.origin.take());
        let ours = gate.anon().send(request.clone()).await;
        let here = compared(gate.stack.origin.take());
        assert_eq!(told(&ours), told(&theirs), "{number}: {request:?}");
        assert_eq!(here, there, "{number}: {request:?}");
        assert_eq!(
            ours.all("cache-control"),
            theirs.all("cache-control"),
            "{number}: {request:?}"
        );
    }
    let trace = gate.anon().send(Request::new("TRACE", "/public/x")).await;
    assert_eq!(trace.status, 405);
    assert!(gate.stack.origin.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_reaches_what_its_canonical_form_may_not() {
    let gate = Gate::start().await;
    let mut wrong = Vec::new();
    for method in ["GET", "HEAD", "POST"] {
        for (target, expected) in TABLE {
            let status = gate.anon().send(Request::new(method, target)).await.status;
            let seen = gate.stack.origin.take();
            let good = match expected {
                Expected::Malformed => status == 400 && seen.is_empty(),
                Expected::Denied => matches!(status, 401 | 403 | 404) && seen.is_empty(),
                Expected::Public(path) => {
                    status == 200 && seen.len() == 1 && seen[0].path == *path && seen[0].method == method
                }
            };
            if !good {
                wrong.push(format!(
                    "{method} {target}: expected {expected:?}, got {status}, origin saw {seen:?}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        TABLE.len() * 3,
        wrong.join("\n")
    );
}

/// Requests that two servers could take for two, or for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_smuggled_past_it() {
    let gate = Gate::start().await;
    let key = gate.key("read-write").await.key;
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n");
    for (what, rest) in [
        (
            "two lengths",
            "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        ),
        ("a length that is none", "content-length: +3\r\n\r\nabc"),
        (
            "an encoding that is none",
            "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a bad chunk",
            "transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        ),
        ("a name with a blank", "content-length : 3\r\n\r\nabc"),
        ("a folded header", "x-a: b\r\n  c\r\ncontent-length: 0\r\n\r\n"),
        ("a NUL", "x-a: b\0c\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let answer = gate.anon().raw(format!("{head}{rest}").as_bytes()).await;
        assert!(answer.status == 400, "{what}: {}", answer.status);
        assert!(gate.stack.origin.take().is_empty(), "{what}");
    }
    // RFC 9112 §3.2: one host, and no two readings of which.
    for (what, hosts) in [
        ("two hosts", "host: x\r\nhost: y\r\n"),
        ("the same twice", "host: x\r\nhost: x\r\n"),
        ("none", ""),
        ("two in one", "host: x, y\r\n"),
        ("somebody's", "host: me@x\r\n"),
    ] {
        for version in ["1.1", "1.0"] {
            let request = format!("GET /public/x HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            let answer = gate.anon().raw(request.as_bytes()).await;
            // HTTP/1.0 knows no Host.
            let expected = if version == "1.0" && hosts.is_empty() {
                200
            } else {
                400
            };
            assert_eq!(answer.status, expected, "{what}, {version}");
            let seen = gate.stack.origin.take();
            assert_eq!(seen.len(), usize::from(expected == 200), "{what}: {seen:?}");
        }
    }
    // Who says where it came from: this gate, and no caller.
    let claims = "forwarded: for=1.2.3.4\r\nx-real-ip: 1.2.3.4\r\ncf-connecting-ip: 1.2.3.4\r\ntrue-client-ip: 1.2.3.4\r\n\
                  x-forwarded-prefix: /admin\r\nx-forwarded-port: 1\r\nx-forwarded-for: 5.6.7.8\r\n";
    let request = format!("GET /public/x HTTP/1.1\r\nhost: x\r\n{claims}connection: close\r\n\r\n");
    assert_eq!(gate.anon().raw(request.as_bytes()).await.status, 200);
    let seen = gate.stack.origin.take();
    assert!(!format!("{seen:?}").contains("1.2.3.4"), "{seen:?}");
    assert!(!seen[0].headers.contains_key("x-forwarded-prefix"), "{seen:?}");
    assert!(!seen[0].headers.contains_key("x-forwarded-port"), "{seen:?}");
    assert_eq!(seen[0].headers["x-forwarded-for"], "5.6.7.8, 127.0.0.1");
    // Both: chunks count (RFC 9112 §6.3), and no length goes on.
    let both =
        format!("{head}content-length: 100\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let answer = gate.anon().raw(both.as_bytes()).await;
    for seen in gate.stack.origin.take() {
        assert_eq!((answer.status, seen.body.as_str()), (200, "abc"), "{seen:?}");
        assert_ne!(
            seen.headers.get("content-length").map(String::as_str),
            Some("100")
        );
    }
    // A head without an end is not waited for without an end, and one that is too long is not read.
    let long = format!("{head}x-long: {}\r\n\r\n", "x".repeat(300_000));
    assert_eq!(gate.anon().raw(long.as_bytes()).await.status, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways_and_sockets_pass() {
    let gate = Gate::start().await;
    let key = gate.key("read-write").await.key;
    let address = gate.port.address();

    // Out, while the origin still writes.
    let mut connection = Connection::open(&address).await.unwrap();
    let request = Request::get("/v1/memory/x?demo=stream&chunks=20").bearer(&key);
    connection.send(&request.encode(&address)).await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    let start = Instant::now();
    let (mut lines, mut first) = (String::new(), Duration::ZERO);
    while let Some(chunk) = connection.read_chunk().await.unwrap() {
        if lines.is_empty() {
            first = start.elapsed();
        }
        lines.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert_eq!(lines.lines().count(), 20);
    assert!(
        start.elapsed() > first + Duration::from_millis(700),
        "the first line came after {first:?}"
    );

    // In, while the caller still writes.
    let mut connection = Connection::open(&address).await.unwrap();
    let head = Request::new("POST", "/v1/memory/x?demo=echo")
        .bearer(&key)
        .header("transfer-encoding", "chunked");
    connection.send(&head.encode(&address)).await.unwrap();
    connection.send(b"5\r\nfirst\r\n").await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    assert_eq!(connection.read_chunk().await.unwrap().unwrap(), b"first");
    connection.send(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(connection.read_chunk().await.unwrap().unwrap(), b"second");

    let body: Vec<u8> = (0..3_000_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let big = Request::new("POST", "/v1/memory/x?demo=echo").body(&body);
    assert!(gate.caller(&key).send(big).await.expect(200).body == body);
    gate.stack.origin.take();

    // A socket, with a credential and only with one, and none on a strict route.
    let connect = async |path: &str, credential: Option<&str>| {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        if let Some(credential) = credential {
            let value = format!("Bearer {credential}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let stream = TcpStream::connect(&address).await.unwrap();
        let connected = tokio_tungstenite::client_async(request, stream).await;
        connected.map(|(socket, _)| socket)
    };
    assert!(connect(PATH, None).await.unwrap_err().to_string().contains("401"));
    let admin = gate.stack.admin_key.clone();
    assert!(
        connect(STRICT, Some(&admin))
            .await
            .unwrap_err()
            .to_string()
            .contains("403")
    );
    let mut socket = connect(PATH, Some(&key)).await.expect("101");
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
    let seen = gate.stack.origin.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(!seen[0].headers.contains_key("authorization"), "{seen:?}");
    assert!(
        seen[0].headers.contains_key("x-portcullis-credential"),
        "{seen:?}"
    );
}

/// On guarded routes; and a route may name an origin of its own, and ask for the credential to be passed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_open_past_the_routes_time_and_routes_go_where_they_say() {
    let policy = json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
        "presets": { "read": ["memory:read"], "read-write": ["memory:read"], "admin": ["admin"] },
        "routes": [
            { "path": "/v1/memory/ready", "scopes": ["memory:read"] },
            { "path": "/v1/memory/**", "scopes": ["memory:read"], "max_connection_seconds": 1 },
            { "path": "/passed-on/**", "scopes": ["memory:read"], "forward_credential": true },
            { "path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true }
        ]
    });
    let scene = Example::scene_of(Stack::with().policy(policy).start().await).await;
    let upstream = scene.0.origin.url();
    let gate = Gate::before(scene, &upstream, &[]).await;
    let key = gate.key("read").await.key;
    let address = gate.port.address();

    let mut connection = Connection::open(&address).await.unwrap();
    let endless = Request::get("/v1/memory/x?demo=stream&chunks=2000").bearer(&key);
    connection.send(&endless.encode(&address)).await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    let start = Instant::now();
    while let Ok(Some(_)) = connection.read_chunk().await {}
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    // One that says how long it is may take as long.
    let whole = gate
        .caller(&key)
        .get("/v1/memory/x?demo=measured&chunks=3")
        .await
        .expect(200);
    assert_eq!(whole.header("content-length"), Some("21"));
    let mut connection = Connection::open(&address).await.unwrap();
    let slow = Request::get("/v1/memory/x?demo=measured&chunks=2000").bearer(&key);
    connection.send(&slow.encode(&address)).await.unwrap();
    let start = Instant::now();
    assert!(connection.read_response("GET").await.is_err(), "it is cut");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    let mut request = format!("ws://{address}{PATH}").into_client_request().unwrap();
    let value = format!("Bearer {key}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    socket.send(Message::text("one")).await.unwrap();
    assert!(socket.next().await.unwrap().is_ok());
    let start = Instant::now();
    while let Some(Ok(_)) = socket.next().await {}
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    gate.stack.origin.take();

    gate.caller(&key).get("/passed-on/x").await.expect(200);
    let seen = gate.stack.origin.take();
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {key}"));
    // The control plane's own API, through the gate.
    let admin = gate.caller(&gate.stack.admin_key.clone());
    let listed = admin.get("/v1/auth/keys").await.expect(200);
    assert!(listed.text().contains("key_"), "{}", listed.text());
    assert!(gate.stack.origin.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_upstream_do_not_speak_for_the_gate() {
    let gate = Gate::start().await;
    let key = gate.key("read").await.key;
    let answer = gate
        .caller(&key)
        .get("/v1/memory/x?demo=headers")
        .await
        .expect(200);
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
    let redirect = gate.caller(&key).get("/v1/memory/x?demo=status&code=302").await;
    assert_eq!(redirect.status, 302, "it is passed on, not followed");
}
