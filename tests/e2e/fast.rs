//! The fast path: it takes what it should, says what the other way says, and its refreshes go on behind requests.

use std::time::Duration;

use e2e::{Request, Response, Stack, http, wait};
use serde_json::Value;

const PATH: &str = "/v1/memory/x";

/// How many decisions fell on the fast path, and how many on the other.
async fn decisions(stack: &Stack) -> (u64, u64) {
    let health = http::once(&stack.gate(0), &Request::get("/.portcullis/health"))
        .await
        .unwrap()
        .json();
    let count = |name: &str| health["decisions"][name].as_u64().expect("a count");
    (count("fast"), count("other"))
}

/// What matters of an answer: not its time and its id.
fn told(answer: &Response) -> (u16, Vec<(String, String)>, Value) {
    let own = |name: &str| matches!(name, "date" | "x-request-id");
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !own(name))
        .cloned()
        .collect();
    headers.sort();
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
        // The demo origin's echo has it, too, and what sends a request the other way.
        if let Some(headers) = members.get_mut("headers").and_then(Value::as_object_mut) {
            headers.remove("x-request-id");
            headers.remove("portcullis-min-seq");
        }
    }
    (answer.status, headers, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_say_the_same() {
    let stack = Stack::start().await;
    let (reader, admin) = (stack.admin().key("read").await.key, stack.admin_key.clone());
    let revoked = stack.admin().key("read").await;
    stack.admin().revoke(&revoked.id, None).await.expect(200);
    let credentials = [
        None,
        Some(format!("Bearer {reader}")),
        Some(format!("Bearer {admin}")),
        Some(format!("Bearer {}", revoked.key)),
        Some(format!("Bearer {reader}x")),
        Some(format!("DPoP {reader}")),
        Some(format!("Bearer {reader}, Bearer {admin}")),
        Some("Basic YTpi".to_owned()),
        Some("Bearer ä".to_owned()),
    ];
    let targets = [
        ("GET", "/v1/memory/retrieve?a=b%20c"),
        ("HEAD", PATH),
        ("DELETE", PATH),
        ("GET", "/public/x"),
        ("GET", "/admin/x"),
        ("GET", "/nowhere"),
        ("GET", "/v1/memory/%61"),
        ("GET", "/v1/memory/../admin"),
        ("GET", "/.portcullis/none"),
        ("TRACE", PATH),
        // The address of the questions in a place where it asks nothing.
        ("POST", "/v1/memory/x?cb=https://a/.portcullis/verify"),
        ("GET", "/v1/memory/x?/.portcullis/verify"),
        ("GET", "/public/.portcullis/verify"),
        ("GET", "/.portcullis/verify/x"),
    ];
    let gate = stack.gate(0);
    for credential in &credentials {
        for (method, target) in targets {
            for origin in [None, Some("https://app.example.com")] {
                let with = |request: Request| {
                    let request = match credential {
                        Some(credential) => request.header("authorization", credential),
                        None => request,
                    };
                    match origin {
                        Some(origin) => request.header("origin", origin),
                        None => request,
                    }
                };
                let gateway = with(Request::new(method, target));
                let verify = with(Request::verify(method, target));
                for request in [gateway, verify] {
                    // Whoever names a seq goes the other way; any state has reached 0.
                    let other = request.clone().header("portcullis-min-seq", "0");
                    let here = http::once(&gate, &request).await.unwrap();
                    let there = http::once(&gate, &other).await.unwrap();
                    assert_eq!(told(&here), told(&there), "{method} {target} {origin:?}");
                }
            }
        }
    }
    stack.origin.take();
    let swallowed = Request::new("POST", "/v1/memory/x?cb=https://a/.portcullis/verify").bearer(&admin);
    let answer = http::once(&gate, &swallowed.body("{}"))
        .await
        .unwrap()
        .expect(200);
    let seen = stack.origin.take();
    assert_eq!(
        (seen.len(), seen[0].body.as_str()),
        (1, "{}"),
        "the origin has it"
    );
    assert_eq!(answer.header("x-portcullis-credential"), None, "{answer:?}");
    let (fast, other) = decisions(&stack).await;
    assert!(fast > 150 && other > 150, "both were asked: {fast}, {other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_credential_takes_the_fast_path_and_refreshes_go_on() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    caller.get(PATH).await.expect(200);
    let before = decisions(&stack).await;
    for _ in 0..20 {
        caller.get(PATH).await.expect(200);
        caller.send(Request::verify("GET", PATH)).await.expect(200);
    }
    caller.send(Request::get("/public/x")).await.expect(200);
    caller.send(Request::new("DELETE", PATH)).await.expect(403);
    let after = decisions(&stack).await;
    assert_eq!((after.0 - before.0, after.1 - before.1), (42, 0));

    // Nothing but requests on the fast path from now on: it learns of the end all the same.
    stack.admin().revoke(&key.id, Some("none")).await.expect(200);
    wait::until_true("the revocation arrives", Duration::from_secs(10), || async {
        caller.get(PATH).await.status == 401
    })
    .await;
    let health = http::once(&stack.gate(0), &Request::get("/.portcullis/health"))
        .await
        .unwrap()
        .json();
    assert_ne!(health["hub_reads_by_cause"]["refresh"], 0, "{health}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_requests_are_kept_if_they_are_harmless() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    for (method, target, status) in [("GET", PATH, 200), ("DELETE", PATH, 403)] {
        for verify in [false, true] {
            let request = if verify {
                Request::verify(method, target)
            } else {
                Request::new(method, target)
            };
            let request = request.bearer(&key.key);
            let id = |answer: &Response| answer.header("x-request-id").expect("an id").to_owned();
            let gate = stack.gate(0);
            let send = async |request: &Request| http::once(&gate, request).await.unwrap().expect(status);
            assert_eq!(
                id(&send(&request.clone().header("x-request-id", "a:B-9_.z")).await),
                "a:B-9_.z"
            );
            let long = "a".repeat(129);
            for strange in ["a b", "a\"b", "", "ä", long.as_str()] {
                let made = id(&send(&request.clone().header("x-request-id", strange)).await);
                assert_eq!((made.len(), made == strange), (36, false), "{strange}: {made}");
            }
            let one = id(&send(&request).await);
            assert_ne!(id(&send(&request).await), one, "each has its own");
        }
    }
    let seen = stack.origin.take();
    assert!(
        seen.iter().any(|seen| seen.headers["x-request-id"] == "a:B-9_.z"),
        "the origin has it, too"
    );
}
