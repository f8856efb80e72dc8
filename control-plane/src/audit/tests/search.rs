//! Search: each condition alone and together, pages, bounds on what is read, and who may.

use axum::http::Method;
use serde_json::{Value, json};

use super::{seal, start, write};
use crate::store::orgs::Role;
use crate::testing::{TestApp, member};

async fn page(test: &TestApp, query: &str) -> Value {
    let answer = test.admin(Method::GET, &format!("/v1/audit?{query}"), None).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.body
}

fn targets(page: &Value) -> Vec<&str> {
    let entries = page["entries"].as_array().expect("entries");
    entries
        .iter()
        .map(|entry| entry["target"].as_str().expect("a target"))
        .collect()
}

#[tokio::test]
async fn each_condition_narrows_and_pages_join() {
    let test = start(None).await;
    write(&test, Some(test.made.org), 25).await;
    seal(&test).await;
    let (_, key) = test.create_key(json!({"name": "one", "scope": "read"})).await;
    assert_eq!(
        targets(&page(&test, "action=test.write&target=thing+3").await),
        ["thing 3"]
    );
    assert_eq!(
        targets(&page(&test, "action=api_key.create&actor=system").await).len(),
        1
    );
    let made = page(&test, &format!("actor={}&action=api_key.create", test.made.user)).await;
    assert_eq!(made["entries"][0]["detail"]["name"], "one");
    assert_eq!(
        made["entries"][0]["position"],
        Value::Null,
        "it waits for its seal"
    );
    // Pages of seven: all of them, each once, newest first.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(&test, &format!("action=test.write&limit=7{cursor}")).await;
        seen.extend(targets(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("thing {number}")).collect();
    assert_eq!(seen, expected);
    // Times: from is in, to is not.
    let all = page(&test, "action=test.write&limit=200").await;
    let at = |place: usize| all["entries"][place]["at"].as_str().expect("a time").to_owned();
    let some = page(&test, &format!("action=test.write&from={}&to={}", at(10), at(5))).await;
    assert_eq!(
        targets(&some),
        ["thing 18", "thing 17", "thing 16", "thing 15", "thing 14"]
    );
    // Two conditions of which the looked-up one is common: short pages that go on.
    let mut empty = 0;
    cursor.clear();
    loop {
        let page = page(
            &test,
            &format!("actor=system&action=installation.nothing&limit=1{cursor}"),
        )
        .await;
        assert!(targets(&page).is_empty());
        empty += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!((2..10).contains(&empty), "{empty}");
    assert!(!key.is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let test = start(None).await;
    for (query, code) in [
        ("limit=0", "invalid_field"),
        ("limit=201", "invalid_field"),
        ("cursor=x", "invalid_cursor"),
        ("from=yesterday", "invalid_field"),
        ("trail=mine", "invalid_field"),
        ("who=me", "unknown_field"),
    ] {
        let answer = test.admin(Method::GET, &format!("/v1/audit?{query}"), None).await;
        assert_eq!(answer.outcome(), (400, code), "{query}");
    }
    for query in ["after=x", "anchor=zz"] {
        let answer = test
            .admin(Method::GET, &format!("/v1/audit/verify?{query}"), None)
            .await;
        assert_eq!(answer.status.as_u16(), 400, "{query}");
    }
}

#[tokio::test]
async fn only_those_who_reach_everything_read() {
    let test = start(None).await;
    let (_, admin) = member(&test, 11, Role::Admin).await;
    let (_, reader) = member(&test, 12, Role::Member).await;
    let (_, viewer) = member(&test, 13, Role::Viewer).await;
    let (_, narrow) = test
        .create_key(json!({"name": "test", "scope": "admin", "environment": "test"}))
        .await;
    for path in ["/v1/audit", "/v1/audit/export", "/v1/audit/verify"] {
        assert_eq!(
            test.call(Method::GET, path, &admin, None).await.status.as_u16(),
            200,
            "{path}"
        );
        for key in [&reader, &viewer] {
            let answer = test.call(Method::GET, path, key, None).await;
            assert_eq!(answer.outcome(), (403, "insufficient_scope"), "{path}");
        }
        let answer = test.call(Method::GET, path, &narrow, None).await;
        assert_eq!(answer.outcome(), (403, "exceeds_caller"), "{path}");
    }
}

/// What is read of the database is bounded by the page, by its plan: an index decides, and nothing is sorted.
#[tokio::test]
async fn every_search_goes_by_an_index() {
    use crate::store::audit::{AuditFilter, plan_of_search};
    let test = start(None).await;
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let word = || Some("x".to_owned());
    for (actor, action, target, index) in [
        (
            word(),
            word(),
            word(),
            "audit_chain_target (chain=? AND target=? AND at>? AND at<?)",
        ),
        (
            word(),
            word(),
            None,
            "audit_chain_actor (chain=? AND actor=? AND at>? AND at<?)",
        ),
        (
            None,
            word(),
            None,
            "audit_chain_action (chain=? AND action=? AND at>? AND at<?)",
        ),
        (None, None, None, "audit_chain_at (chain=? AND at>? AND at<?)"),
    ] {
        let filter = AuditFilter {
            chain: 1,
            actor,
            action,
            target,
            until: 0,
            after: (1, 1),
            limit: 1,
        };
        for newest_first in [true, false] {
            let plan = plan_of_search(&mut tx, &filter, newest_first).await;
            assert!(
                plan.contains(index) && !plan.contains("TEMP B-TREE"),
                "{index}: {plan}"
            );
        }
    }
}
