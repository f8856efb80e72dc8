//! Exact use. A twentieth of `make scale`: with everything failing in turn, every request is counted once. And a window that is
//! lost with its isolate is reported.

use std::time::Duration;

use e2e::{Database, Request, Stack, usage, wait};
use serde_json::{Value, json};

use crate::support::on_both_databases;

on_both_databases!(every_request_is_counted_once);

async fn every_request_is_counted_once(database: Database) {
    let outcome = usage::run(database, usage::REQUESTS / 20).await;
    let outcome = outcome.expect("everything is counted, once");
    println!("{outcome}");
    assert!(
        outcome.failures > 0,
        "isolates must have failed to send, or this shows nothing"
    );
    assert!(outcome.arrival_seconds < 30.0, "counted too late: {outcome}");
}

async fn page(stack: &Stack, query: &str) -> Value {
    let target = format!("/v1/usage?{query}");
    stack.admin().send(Request::get(&target)).await.expect(200).json()
}

/// Requests of a key, as far as they are counted.
async fn requests(stack: &Stack, id: &str) -> u64 {
    let page = page(stack, &format!("interval=day&credential={id}")).await;
    page["usage"][0]["requests"].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn a_window_that_is_lost_with_its_isolate_is_reported() {
    let mut stack = Stack::with()
        .regions(1)
        .gates(2)
        .config("[usage]\nlost_after_seconds = 8")
        .start()
        .await;
    let key = stack.admin().key("read").await;
    let (alive, doomed) = (stack.caller_at(0, &key.key), stack.caller_at(1, &key.key));
    let ask = Request::verify("GET", "/v1/memory/x");
    let mut sent = 0;
    for _ in 0..20 {
        alive.send(ask.clone()).await.expect(200);
        doomed.send(ask.clone()).await.expect(200);
        sent += 2;
    }
    wait::until_true("all of it is counted", Duration::from_secs(20), || async {
        requests(&stack, &key.id).await == sent
            && stack.count("SELECT COUNT(*) FROM usage_missing").unwrap() == 0
    })
    .await;
    let whole = page(&stack, "").await;
    assert_eq!(whole["incomplete"], json!([]), "{whole}");
    assert!(whole["complete_until"].is_string(), "{whole}");

    // One isolate opens a window, which is announced, and dies with what it has counted.
    doomed.send(ask.clone()).await.expect(200);
    wait::until_true("the window is announced", Duration::from_secs(10), || async {
        page(&stack, "").await["open_windows"] == 1
    })
    .await;
    stack.spread().gates[0].kill();
    for _ in 0..5 {
        alive.send(ask.clone()).await.expect(200);
        sent += 1;
    }
    let lost = wait::until("the lost window is listed", Duration::from_secs(30), || async {
        let page = page(&stack, "").await;
        let listed = page["incomplete"].as_array().is_some_and(|list| list.len() == 1);
        (listed && page["open_windows"] == 0).then_some(page)
    })
    .await;
    let window = &lost["incomplete"][0];
    assert_eq!(
        (&window["edge"], &window["first"]),
        (&json!("hub"), &window["last"]),
        "{lost}"
    );
    // The other isolate's requests are all there, and the numbers get no older by what was lost.
    assert_eq!(requests(&stack, &key.id).await, sent);
    let before = lost["complete_until"].as_str().expect("a time").to_owned();
    wait::until_true("time goes on", Duration::from_secs(20), || async {
        page(&stack, "").await["complete_until"].as_str() > Some(before.as_str())
    })
    .await;
}

#[tokio::test]
async fn a_key_under_rotation_shows_who_still_uses_it() {
    let stack = Stack::start().await;
    let old = stack.admin().key("read").await;
    stack.caller(&old.key).get("/v1/memory/x").await.expect(200);
    let new = stack.admin().rotate(&old.id, Some(3600)).await;
    assert_eq!(new.answer["old"]["requests_since_rotation"], 0, "{}", new.answer);
    stack.caller(&new.key).get("/v1/memory/x").await.expect(200);
    let shown = async |id: &str| {
        let path = format!("/v1/auth/keys/{id}");
        stack.admin().send(Request::get(&path)).await.expect(200).json()
    };
    wait::until_true("both are counted", Duration::from_secs(20), || async {
        shown(&old.id).await["requests"] == 1 && shown(&new.id).await["requests"] == 1
    })
    .await;
    stack.caller(&old.key).get("/v1/memory/x").await.expect(200);
    stack.caller(&old.key).get("/admin/x").await.expect(403);
    let used = wait::until("the old one's use", Duration::from_secs(20), || async {
        let key = shown(&old.id).await;
        (key["requests"] == 2 && key["refused"] == 1).then_some(key)
    })
    .await;
    assert!(used["last_used_at"].is_string(), "{used}");
    assert!(
        used["requests_since_rotation"].as_u64() >= Some(1),
        "whoever still uses it is seen: {used}"
    );
    // The command line shows the same.
    let id = &old.id;
    let table = stack
        .control
        .command(&["usage", "--credential", id, "--group-by", "reason"])
        .expect("a command")
        .env("PORTCULLIS_ADMIN_KEY", &stack.admin_key)
        .env("PORTCULLIS_URL", stack.control.url())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.status.success(), "{text}");
    assert!(
        text.contains("scope_insufficient") && text.contains("complete_until"),
        "{text}"
    );
}

/// In pull mode nothing reaches the edge: it brings what it has counted.
#[tokio::test]
async fn an_edge_that_fetches_brings_its_usage() {
    let mut stack = Stack::start().await;
    let edges = "dmz=pull";
    let made = stack
        .control
        .command(&["--format", "json", "edge", "key", "dmz"])
        .expect("a command")
        .env("PORTCULLIS_EDGES", edges)
        .output()
        .expect("it runs");
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let uplink_key = made["uplink_key"].as_str().expect("an uplink key").to_owned();
    stack.secrets.saw(&uplink_key);
    stack
        .control
        .set_environment(vec![("PORTCULLIS_EDGES".to_owned(), edges.to_owned())]);
    stack.control.restart().await.expect("it comes back");
    stack.edge.kill();
    stack.edge.set_var("PULL_FROM", &stack.control.url());
    stack.edge.set_var("UPLINK_KEY", &uplink_key);
    stack.edge.restart().await.expect("it comes back");
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    wait::until_true("the key works", Duration::from_secs(20), || async {
        caller.get("/v1/memory/x").await.status == 200
    })
    .await;
    wait::until_true("it is counted", Duration::from_secs(20), || async {
        requests(&stack, &key.id).await >= 1
    })
    .await;
    let page = wait::until("the numbers have an age", Duration::from_secs(40), || async {
        let page = page(&stack, "").await;
        page["complete_until"].is_string().then_some(page)
    })
    .await;
    assert_eq!(page["incomplete"], json!([]), "{page}");
}
