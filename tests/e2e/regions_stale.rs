//! What the edge answers from a state that is too old: exactly what its routes' policies say. And what it does for a caller
//! who knows of a newer one.

use std::time::Duration;

use e2e::{EdgeCaller, Request, Stack, wait};
use serde_json::{Value, json};

use crate::support::{assert_invalid_token, network_reads};

const PATH: &str = "/v1/memory/x";

/// A route's path, its rules, and what it answers at an age of so many milliseconds.
struct Row {
    path: &'static str,
    rules: Value,
    answer: fn(u64) -> u16,
}

fn table() -> Vec<Row> {
    let row = |path, rules, answer| Row { path, rules, answer };
    vec![
        row("/default", json!({"scopes": ["admin"]}), |age| {
            if age <= 2000 { 200 } else { 503 }
        }),
        row(
            "/quick",
            json!({"scopes": ["admin"], "max_staleness_ms": 500}),
            |age| {
                if age <= 500 { 200 } else { 503 }
            },
        ),
        row(
            "/patient",
            json!({"scopes": ["admin"], "max_staleness_ms": 5000}),
            |age| {
                if age <= 5000 { 200 } else { 503 }
            },
        ),
        row("/strict", json!({"scopes": ["admin"], "strict": true}), |_| 503),
        row(
            "/allow",
            json!({"scopes": ["admin"], "on_stale": {"allow_for_seconds": 3600}}),
            |_| 200,
        ),
        row(
            "/allow-4s",
            json!({"scopes": ["admin"], "on_stale": {"allow_for_seconds": 4}}),
            |age| {
                if age <= 4000 { 200 } else { 503 }
            },
        ),
        row(
            "/allow-0s",
            json!({"scopes": ["admin"], "on_stale": {"allow_for_seconds": 0}}),
            |age| {
                if age <= 2000 { 200 } else { 503 }
            },
        ),
        row("/public", json!({"public": true}), |age| {
            if age <= 2000 { 200 } else { 503 }
        }),
        row(
            "/public-allow",
            json!({"public": true, "on_stale": {"allow_for_seconds": 3600}}),
            |_| 200,
        ),
        row("/unknown", Value::Null, |age| if age <= 2000 { 403 } else { 503 }),
    ]
}

fn policy() -> Value {
    let mut routes = vec![
        json!({"path": "/v1/memory/**", "scopes": ["memory:read"]}),
        json!({"path": "/admin/**", "scopes": ["admin"], "strict": true}),
        json!({"path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true}),
    ];
    for row in table() {
        if let Value::Object(mut route) = row.rules {
            route.insert("path".into(), row.path.into());
            routes.push(route.into());
        }
    }
    json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
        "presets": {"read": ["memory:read"], "read-write": ["memory:read"], "admin": ["admin"]},
        "max_feed_age_seconds": 3600,
        "routes": routes,
    })
}

async fn age(stack: &Stack) -> u64 {
    let health = stack.anon().get("/.portcullis/health").await.expect(200).json();
    health["contact_age_ms"].as_u64().unwrap_or(u64::MAX)
}

/// The region dies, so nothing fresher is to be had; then every route is asked at every age from nothing to seven seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_answers_from_a_stale_state_exactly_as_its_routes_policies_say() {
    let mut stack = Stack::with().policy(policy()).regions(1).start().await;
    let (alive, dead) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    stack.admin().revoke(&dead.id, None).await.expect(200);
    for row in table() {
        let fresh = stack.caller(&alive.key).get(row.path).await.status;
        assert_eq!(
            fresh,
            if row.path == "/unknown" { 403 } else { 200 },
            "{}",
            row.path
        );
    }
    stack.spread().region("weur").process.kill();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let mut end = 0;
        for row in table() {
            let before = age(&stack).await;
            let answer = stack.caller(&alive.key).get(row.path).await;
            // What is revoked stays so, however old the state.
            if !row.path.starts_with("/public") && row.path != "/unknown" {
                assert_invalid_token(&stack.caller(&dead.key).get(row.path).await, row.path);
            }
            let after = age(&stack).await;
            end = after;
            let (first, last) = ((row.answer)(before), (row.answer)(after));
            if first == last {
                let text = answer.text();
                assert_eq!(
                    answer.status, first,
                    "{} at {before} to {after} ms: {text}",
                    row.path
                );
                seen.insert((row.path, first));
            }
            if answer.status == 503 {
                assert_eq!(answer.json()["code"], "state_stale");
                assert!(answer.header("retry-after").is_some());
            }
        }
        if end > 7000 {
            break;
        }
    }
    // The loop was quick enough to see both sides of every bound.
    for row in table() {
        for status in [(row.answer)(400), (row.answer)(6500)] {
            assert!(
                seen.contains(&(row.path, status)),
                "{} never was {status}",
                row.path
            );
        }
    }
    stack.spread().region("weur").process.restart().await.unwrap();
    for row in table().iter().filter(|row| row.path != "/unknown") {
        let caller = stack.caller(&alive.key);
        wait::until_true("all come back", Duration::from_secs(10), || async {
            caller.get(row.path).await.status == 200
        })
        .await;
    }
}

async fn with_min_seq(caller: &EdgeCaller, path: &str, seq: &str) -> e2e::Response {
    caller
        .send(Request::get(path).header("portcullis-min-seq", seq))
        .await
}

/// A caller who has a receipt need not wait for anybody's bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_names_a_seq_is_answered_from_that_state_or_not_at_all() {
    let stack = Stack::with().gates(2).start().await;
    let alive = stack.admin().key("read").await;
    for _ in 0..3 {
        let dead = stack.admin().key("read").await;
        for gate in 0..2 {
            stack.caller_at(gate, &dead.key).get(PATH).await.expect(200);
        }
        let receipt = stack
            .admin()
            .revoke(&dead.id, Some("ack"))
            .await
            .expect(200)
            .json();
        let seq = receipt["seq"].to_string();
        for gate in 0..2 {
            let answer = with_min_seq(&stack.caller_at(gate, &dead.key), PATH, &seq).await;
            // 503: a refresh has just ended, and one a second is what a caller may cause.
            assert!(matches!(answer.status, 401 | 503), "{}", answer.text());
            let caller = stack.caller_at(gate, &alive.key);
            wait::until_true(
                "the good one passes, from that state",
                Duration::from_secs(5),
                || async { with_min_seq(&caller, PATH, &seq).await.status == 200 },
            )
            .await;
            assert_invalid_token(
                &with_min_seq(&stack.caller_at(gate, &dead.key), PATH, &seq).await,
                "from that state",
            );
        }
    }

    let caller = stack.caller(&alive.key);
    let future = with_min_seq(&caller, PATH, "9007199254740991").await;
    assert_eq!(
        (future.status, future.json()["code"].as_str()),
        (503, Some("state_stale"))
    );
    assert!(future.header("retry-after").is_some());
    for wrong in [
        "",
        "x",
        "-1",
        "+1",
        "1, 2",
        "1.5",
        "9007199254740992",
        "99999999999999999999",
    ] {
        let answer = with_min_seq(&caller, PATH, wrong).await;
        assert_eq!(answer.status, 400, "{wrong:?}: {}", answer.text());
        let verify = Request::verify("GET", PATH).header("portcullis-min-seq", wrong);
        assert_eq!(caller.send(verify).await.status, 400, "{wrong:?}");
    }
    let verify = Request::verify("GET", PATH).header("portcullis-min-seq", "1");
    caller.send(verify).await.expect(200);
    // It says nothing to the origin.
    stack.origin.take();
    with_min_seq(&caller, PATH, "1").await.expect(200);
    let seen = stack.origin.take();
    assert!(!format!("{seen:?}").contains("min-seq"), "{seen:?}");
}

/// The header costs reads only with a credential that would pass, and no more than one a second then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_seq_costs_no_more_than_a_refresh_a_second() {
    let stack = Stack::start().await;
    let (alive, dead) = (stack.admin().key("read").await, stack.admin().key("read").await);
    stack.admin().revoke(&dead.id, None).await.expect(200);
    let seqs = async || {
        let health = stack.anon().get("/.portcullis/health").await.expect(200).json();
        health["hub_reads_by_cause"]["seq"].as_u64().unwrap()
    };
    let reads = network_reads(&stack).await;
    let before = seqs().await;
    for credential in ["nonsense", dead.key.as_str()] {
        for _ in 0..20 {
            let caller = stack.caller(credential);
            assert_invalid_token(&with_min_seq(&caller, PATH, "9007199254740991").await, "bad");
        }
    }
    let public = stack.caller("nonsense");
    with_min_seq(&public, "/public/x", "9007199254740991")
        .await
        .expect(200);
    assert_eq!(seqs().await, before, "who does not pass causes nothing");
    reads.assert_only_refreshes(&stack).await;
    let started = tokio::time::Instant::now();
    let caller = stack.caller(&alive.key);
    while started.elapsed() < Duration::from_millis(2500) {
        assert_eq!(with_min_seq(&caller, PATH, "9007199254740991").await.status, 503);
    }
    let caused = seqs().await - before;
    assert!(
        (1..=started.elapsed().as_secs() + 2).contains(&caused),
        "{caused} in {:?}",
        started.elapsed()
    );
}

/// What the publisher's silence does at its bound is in the verdict vectors; here it is seen at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_the_feed_is_shown_and_grows_without_a_publisher() {
    let mut stack = Stack::start().await;
    let feed_age = async |stack: &Stack| {
        let health = stack.anon().get("/.portcullis/health").await.expect(200).json();
        assert_eq!(health["status"], "ok", "{health}");
        health["feed_age_ms"].as_u64().expect("a heartbeat came")
    };
    // The stack is ready with the first frames; a heartbeat may come after them.
    wait::until_true("a heartbeat comes", Duration::from_secs(10), || async {
        let health = stack.anon().get("/.portcullis/health").await.json();
        health["feed_age_ms"].is_u64()
    })
    .await;
    assert!(feed_age(&stack).await < 5000);
    stack.control.kill();
    wait::until_true("it grows", Duration::from_secs(10), || async {
        feed_age(&stack).await > 4000
    })
    .await;
    // The edge has not lost its hub, so it goes on.
    stack.caller(&stack.admin_key).get(PATH).await.expect(200);
}
