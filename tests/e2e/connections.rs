//! Connections that outlive a decision: they end in time. And bodies that nobody vouches for: they are not held.

use std::time::Duration;

use e2e::{Connection, Request, Stack};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest as _};
use tokio_tungstenite::{WebSocketStream, client_async};

const LIMIT: Duration = Duration::from_secs(30);

/// Connections may stay open for two seconds.
fn policy() -> Value {
    json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
        "presets": { "read": ["memory:read"], "read-write": ["memory:read"], "admin": ["admin"] },
        "routes": [
            { "path": "/v1/memory/**", "scopes": ["memory:read"], "max_connection_seconds": 2 },
            { "path": "/strict/**", "scopes": ["memory:read"], "strict": true },
            { "path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true }
        ]
    })
}

async fn connect(stack: &Stack, path: &str, key: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{}{path}", stack.gate(0))
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {key}").parse().unwrap());
    let stream = TcpStream::connect(stack.gate(0)).await.unwrap();
    client_async(request, stream).await.map(|(socket, _)| socket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_websocket_ends_when_its_time_is_up() {
    let stack = Stack::with().policy(policy()).start().await;
    let key = stack.admin().key("read").await.key;
    let mut socket = connect(&stack, "/v1/memory/live", &key).await.expect("101");
    socket.send(Message::text("one")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "one");
    let end = tokio::time::timeout(LIMIT, socket.next()).await.expect("it ends");
    match end {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.reason.as_str(), "max_connection"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_ends_when_its_time_is_up() {
    let stack = Stack::with().policy(policy()).start().await;
    let key = stack.admin().key("read").await.key;
    let mut connection = Connection::open(&stack.gate(0)).await.unwrap();
    // Would take fifty seconds.
    let request = Request::get("/v1/memory/x?demo=stream&chunks=1000")
        .bearer(&key)
        .encode(&stack.gate(0));
    connection.send(&request).await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().status, 200);
    let mut text = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = connection.read_chunk().await {
            text.extend(chunk);
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("it ends");
    let lines = String::from_utf8(text).unwrap().lines().count();
    assert!((1..900).contains(&lines), "{lines} lines came");
}

/// Its length says nothing of its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_of_a_known_length_ends_when_its_time_is_up() {
    let stack = Stack::with().policy(policy()).start().await;
    let key = stack.admin().key("read").await.key;
    // On both ways through the gate: whoever names a seq goes the other.
    for seq in [None, Some("0")] {
        let ask = async |chunks: u16| {
            let request = Request::get(&format!("/v1/memory/x?demo=measured&chunks={chunks}")).bearer(&key);
            let request = match seq {
                Some(seq) => request.header("portcullis-min-seq", seq),
                None => request,
            };
            let mut connection = Connection::open(&stack.gate(0)).await.unwrap();
            connection.send(&request.encode(&stack.gate(0))).await.unwrap();
            connection.read_response("GET").await
        };
        let whole = ask(3).await.expect("within its time").expect(200);
        assert_eq!(
            whole.header("content-length"),
            Some("21"),
            "the length is passed on"
        );
        assert_eq!(whole.text(), "line 0\nline 1\nline 2\n");
        // These would take minutes. What is short comes whole or not at all.
        let late = tokio::time::timeout(LIMIT, ask(1000)).await.expect("it ends");
        assert_eq!(
            late.expect("an answer").expect(502).json()["code"],
            "origin_unreachable"
        );
        let cut = tokio::time::timeout(LIMIT, ask(3000)).await.expect("it ends");
        assert!(cut.is_err(), "{cut:?}");
    }
    let head = stack
        .caller(&key)
        .send(Request::new("HEAD", "/v1/memory/x?demo=measured"))
        .await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("35")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_routes_take_no_websockets() {
    let stack = Stack::with().policy(policy()).start().await;
    let key = stack.admin().key("read").await.key;
    stack.caller(&key).get("/strict/x").await.expect(200);
    let refused = connect(&stack, "/strict/live", &key)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("403"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_some_origins_take_for_ours_or_for_the_target_are_dropped() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await.key;
    let names = [
        "x.portcullis.org",
        "x!portcullis!org",
        "x--portcullis-org",
        "x_portcullis_org",
        "portcullis-assertion",
        "x-http-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x_http_method_override",
        "x.rewrite.url",
        "mcp_method",
        "mcp--name",
        "mcp_protocol_version",
        "x_request_id",
        "x_forwarded_host",
        "forwarded",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto-version",
        "x-forwarded_proto",
    ];
    for path in ["/v1/memory/x", "/public/x"] {
        let forged = names
            .into_iter()
            .fold(Request::get(path), |request, name| request.header(name, "forged"));
        stack.caller(&key).send(forged).await.expect(200);
        let seen = crate::support::only_seen(&stack);
        for name in names {
            assert!(
                !seen.headers.contains_key(name),
                "{name} reached the origin at {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_vouches_for_is_not_even_read() {
    let stack = Stack::start().await;
    let mut connection = Connection::open(&stack.gate(0)).await.unwrap();
    // 32 MiB are announced, a kilobyte of zeros is sent: the answer does not wait for the rest.
    let head = "POST /.portcullis/feed HTTP/1.1\r\nhost: edge\r\ncontent-length: 33554432\r\n\r\n";
    connection.send(head.as_bytes()).await.unwrap();
    connection.send(&[0; 1024]).await.unwrap();
    let answer = tokio::time::timeout(LIMIT, connection.read_head())
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(answer.status, 400);
}
