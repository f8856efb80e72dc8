//! Revoking a line of rotations, and what a compromised signing key takes with it.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{KEYS, actions, read_key};
use crate::audit::Actor;
use crate::keys;
use crate::signing::{self, Purpose};
use crate::testing::TestApp;

/// What a thief does first: the old key, the thief's keys in order.
async fn stolen(test: &TestApp) -> (String, Vec<(String, String)>) {
    let (id, mut plain) = test.create_key(json!({"name": "ci", "scope": "admin"})).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let path = format!("{KEYS}/self/rotate?wait=none");
        let answer = test.call(Method::POST, &path, &plain, None).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        plain = answer.text("key");
        made.push((answer.text("id"), plain.clone()));
    }
    (id, made)
}

async fn works(test: &TestApp, key: &str) -> bool {
    test.call(Method::GET, KEYS, key, None).await.status == StatusCode::OK
}

async fn delete(test: &TestApp, id: &str, query: &str, body: Option<Value>) -> Value {
    let path = format!("{KEYS}/{id}?wait=none{query}");
    let answer = test.admin(Method::DELETE, &path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_receipt_names_the_successors_that_live() {
    let test = TestApp::start().await;
    let (id, made) = stolen(&test).await;
    let ids: Vec<_> = made.iter().map(|(id, _)| id.as_str()).collect();
    let receipt = delete(&test, &id, "", None).await;
    assert_eq!(receipt["live_successors"], json!(ids), "{receipt}");
    assert!(works(&test, &made[0].1).await, "nothing else was asked for");
    // Of the middle one: what came after it. What came before is a matter of its own.
    let receipt = delete(&test, ids[1], "&reason=key_compromise&line=false", None).await;
    assert_eq!(receipt["live_successors"], json!([ids[2]]), "{receipt}");
    let receipt = delete(&test, &id, "", None).await;
    assert_eq!(
        receipt["live_successors"],
        json!([ids[0], ids[2]]),
        "as it is now"
    );
}

#[tokio::test]
async fn a_compromised_key_goes_with_its_line() {
    for (query, body, first) in [
        ("&reason=key_compromise", None, 0),
        ("&line=true", None, 1),
        ("", Some(json!({"reason": "superseded", "line": true})), 2),
    ] {
        let test = TestApp::start().await;
        let (old, made) = stolen(&test).await;
        let ids: Vec<_> = [&old].into_iter().chain(made.iter().map(|(id, _)| id)).collect();
        let (other, _) = test.create_key(read_key("other")).await;
        // Whichever of the line is named; and though it was revoked alone before.
        delete(&test, ids[first], "", None).await;
        let receipt = delete(&test, ids[first], query, body).await;
        assert_eq!(receipt["id"], *ids[first]);
        assert_eq!(receipt["reason"], "unspecified", "the first revocation stands");
        assert_eq!(receipt["live_successors"], json!([]));
        for (_, plain) in &made {
            assert!(!works(&test, plain).await, "{query}");
        }
        let mut tx = test.app.store.begin_read().await.expect("tx");
        let pending = tx.pending_entries(1000).await.expect("rows");
        for id in &ids {
            let trail = tx.audit_of(id, 10).await.expect("a trail");
            assert_eq!(
                actions(&trail)
                    .iter()
                    .filter(|did| **did == "api_key.revoke")
                    .count(),
                1,
                "{id}"
            );
            let key = tx.key(id.parse().expect("id")).await.expect("row").expect("key");
            let outbox = key.revoked.expect("revoked").outbox;
            assert!(
                pending.iter().any(|row| row.id == outbox),
                "the edge will be told"
            );
        }
        drop(tx);
        let shown = test.admin(Method::GET, &format!("{KEYS}/{other}"), None).await;
        assert_eq!(shown.body["status"], "active", "another line");
    }
}

/// The receipt of a line is that of its last key, even when the named one was told long ago.
#[tokio::test]
async fn the_receipt_of_a_line_waits_for_all_of_it() {
    let test = TestApp::start_with(|config| config.feed.receipt_wait_ms = 100).await;
    let (id, _) = stolen(&test).await;
    let publish = async || {
        let now = test.app.clock.now();
        while crate::revocation::frame_pending(&test.app.store, &test.app.keyring, now)
            .await
            .expect("framed")
            .is_some()
        {}
    };
    let alone = delete(&test, &id, "", None).await;
    assert_eq!(alone["seq"], Value::Null, "not framed yet");
    publish().await;
    let alone = delete(&test, &id, "", None).await["seq"].clone();
    assert!(alone.is_u64());
    let line = delete(&test, &id, "&line=true", None).await;
    assert_eq!(line["seq"], Value::Null, "the others are not framed yet");
    publish().await;
    let line = delete(&test, &id, "&line=true", None).await["seq"].clone();
    assert!(line.as_u64() > alone.as_u64(), "{line} {alone}");
}

#[tokio::test]
async fn a_line_is_true_or_false_and_said_once() {
    let test = TestApp::start().await;
    let (id, _) = test.create_key(read_key("a")).await;
    for (query, body) in [
        ("?line=perhaps", None),
        ("?line=true", Some(json!({"line": true}))),
    ] {
        let answer = test
            .admin(Method::DELETE, &format!("{KEYS}/{id}{query}"), body)
            .await;
        assert_eq!(answer.outcome(), (400, "invalid_field"), "{query}");
    }
}

/// `portcullis keys signing rotate --purpose api-key --compromised`
#[tokio::test]
async fn a_compromised_signing_key_takes_its_keys_with_it() {
    let test = TestApp::start().await;
    let (id, plain) = test.create_key(json!({"name": "a", "scope": "admin"})).await;
    let (before, _) = test.create_key(read_key("revoked before")).await;
    delete(&test, &before, "", None).await;
    let (app, now) = (&test.app, test.app.clock.now());
    let actor = Actor::command_line();
    let mut tx = app.store.begin().await.expect("tx");
    let done = signing::replace_compromised(
        &mut tx,
        &app.keyring,
        &app.random,
        Purpose::ApiKey,
        None,
        &actor,
        now,
    )
    .await
    .expect("replaced");
    assert_eq!(done.api_keys, 2, "the first admin key and this one");
    let drawn = done.new.expect("a signer");
    let admin = keys::create_admin(&mut tx, app, None, drawn, &actor, now)
        .await
        .expect("an admin key");
    tx.commit().await.expect("commit");

    for dead in [&plain, &test.made.admin_key] {
        let answer = test.call(Method::GET, KEYS, dead, None).await;
        assert_eq!(answer.outcome(), (401, "invalid_token"));
    }
    let call =
        async |method: Method, path: &str, body| test.call(method, path, admin.plain.expose(), body).await;
    let made = call(Method::POST, KEYS, Some(read_key("b"))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let shown = call(Method::GET, &format!("{KEYS}/{id}"), None).await;
    assert_eq!(
        (shown.text("status"), shown.text("revoked_reason")),
        ("revoked".to_owned(), "key_compromise".to_owned())
    );
    // It was revoked with many others; whoever asks gets its receipt.
    for _ in 0..2 {
        let receipt = call(Method::DELETE, &format!("{KEYS}/{id}?wait=none"), None).await;
        assert_eq!(receipt.status, StatusCode::OK, "{receipt:?}");
        assert_eq!(receipt.text("reason"), "key_compromise");
    }
}
