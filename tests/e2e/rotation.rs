//! Line 3, first half: rotation with overlap, and keys that end by themselves.

use std::time::Duration;

use e2e::{Database, EdgeCaller, Request, Stack, wait};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{assert_invalid_token, on_both_databases, rfc3339, unix_now};

/// The edge counts in whole seconds, so an end may come this much early.
const GRAIN: Duration = Duration::from_secs(1);
const PATH: &str = "/v1/memory/x";

on_both_databases!(both_keys_work_during_the_overlap_then_only_the_new_one);

async fn both_keys_work_during_the_overlap_then_only_the_new_one(database: Database) {
    let stack = Stack::with().database(database).start().await;
    let old = stack.admin().key("read-write").await;
    let rotated_at = Instant::now();
    let new = stack.admin().rotate(&old.id, Some(4)).await;
    assert_ne!((&old.id, &old.key), (&new.id, &new.key));

    let (old, new) = (stack.caller(&old.key), stack.caller(&new.key));
    for caller in [&old, &new] {
        caller.get(PATH).await.expect(200);
        caller.post(PATH, "same rights").await.expect(200);
    }
    dies(&old, rotated_at, Duration::from_secs(4)).await;
    new.get(PATH).await.expect(200);
    assert_invalid_token(&old.get(PATH).await, "after the overlap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_overlap_the_old_key_dies_at_once() {
    let stack = Stack::start().await;
    let old = stack.admin().key("read").await;
    stack.caller(&old.key).get(PATH).await.expect(200);
    let new = stack.admin().rotate(&old.id, Some(0)).await;
    stack.caller(&new.key).get(PATH).await.expect(200);
    let old = stack.caller(&old.key);
    wait::until_true("the old key dies", Duration::from_secs(5), || async {
        old.get(PATH).await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotates_itself_without_an_administrator() {
    let stack = Stack::start().await;
    let old = stack.admin().key("read").await;
    let request = Request::new("POST", "/v1/auth/keys/self/rotate").json(&json!({ "overlap_seconds": 60 }));
    // Through the edge's one host, as a CI job would.
    let answer = stack.caller(&old.key).send(request).await;
    assert!(
        matches!(answer.status, 200 | 201),
        "{} {}",
        answer.status,
        answer.text()
    );
    let new = stack.admin().created(&answer);
    stack.caller(&new.key).get(PATH).await.expect(200);
    stack.caller(&old.key).get(PATH).await.expect(200);
    // The same rights, no more.
    stack.caller(&new.key).post(PATH, "x").await.expect(403);
    let list = Request::get("/v1/auth/keys").bearer(&new.key);
    assert_eq!(stack.anon_at_control().send(list).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_can_not_rotate() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    stack.admin().revoke(&key.id, Some("none")).await;
    let answer = stack
        .admin_with(&key.key)
        .send(Request::new("POST", "/v1/auth/keys/self/rotate").json(&json!({})))
        .await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let path = format!("/v1/auth/keys/{}/rotate", key.id);
    let answer = stack
        .admin()
        .send(Request::new("POST", &path).json(&json!({})))
        .await;
    assert!(
        matches!(answer.status, 404 | 409),
        "{} {}",
        answer.status,
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_an_expiry_ends_by_itself() {
    let stack = Stack::start().await;
    let started = Instant::now();
    let expires_at = rfc3339(unix_now() + 3);
    let body = json!({ "name": "short", "scope": "read", "environment": "live", "expires_at": expires_at });
    let key = stack.admin().create(body).await;
    let caller = stack.caller(&key.key);
    caller.get(PATH).await.expect(200);
    dies(&caller, started, Duration::from_secs(3)).await;
    assert_invalid_token(&caller.get(PATH).await, "expired");
}

/// Watches a key live until `lifetime` after `start`, and die then: not earlier, and not much later.
async fn dies(caller: &EdgeCaller, start: Instant, lifetime: Duration) {
    wait::until_true("the key dies", lifetime + Duration::from_secs(5), || async {
        let asked = start.elapsed();
        let status = caller.get(PATH).await.status;
        assert!(matches!(status, 200 | 401), "{status}");
        let answered = start.elapsed();
        assert!(
            status == 200 || answered + GRAIN >= lifetime,
            "dead after {answered:?}"
        );
        assert!(
            status == 401 || asked <= lifetime + GRAIN,
            "alive after {asked:?}"
        );
        status == 401
    })
    .await;
}
