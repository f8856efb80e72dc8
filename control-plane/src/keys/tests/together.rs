//! Several callers at once, through the whole stack, on both engines.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;

use super::{KEYS, read_key};
use crate::store::test_postgres::TestPostgres;
use crate::testing::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    all(&TestApp::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let Some(server) = TestPostgres::start_or_skip() else {
        return;
    };
    server.database("together").await.close().await;
    let url = server.url("together");
    let test = TestApp::start_with(|config| config.database_url = url).await;
    all(&test).await;
    test.app.store.close().await;
}

async fn all(test: &TestApp) {
    of_two_rotations_one_is_done(test).await;
    two_revocations_have_one_receipt(test).await;
    of_two_creates_with_one_idempotency_key_one_is_done(test).await;
    nobody_waits_for_ever(test).await;
}

async fn of_two_rotations_one_is_done(test: &TestApp) {
    let (id, _) = test.create_key(read_key("rotated")).await;
    let path = format!("{KEYS}/{id}/rotate");
    let rotate = || test.admin(Method::POST, &path, None);
    let (first, second) = tokio::join!(rotate(), rotate());
    let mut outcomes = [first.outcome(), second.outcome()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(201, ""), (409, "already_rotated")]);
}

async fn two_revocations_have_one_receipt(test: &TestApp) {
    let (id, _) = test.create_key(read_key("revoked")).await;
    let revoke = async |reason: &str| {
        let answer = test
            .admin(
                Method::DELETE,
                &format!("{KEYS}/{id}?wait=none&reason={reason}"),
                None,
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        (answer.text("revoked_at"), answer.text("reason"))
    };
    let (first, second) = tokio::join!(revoke("superseded"), revoke("key_compromise"));
    assert_eq!(first, second);
}

async fn of_two_creates_with_one_idempotency_key_one_is_done(test: &TestApp) {
    let create = || {
        let request = Request::post(KEYS)
            .header("authorization", format!("Bearer {}", test.made.admin_key))
            .header("content-type", "application/json")
            .header("idempotency-key", "one")
            .body(Body::from(read_key("once").to_string()));
        test.send(request.expect("a request"))
    };
    let (first, second) = tokio::join!(create(), create());
    assert_eq!(first.text("id"), second.text("id"));
    let mut outcomes = [first.outcome(), second.outcome()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(201, ""), (409, "already_created")]);
}

/// Creates, rotations and revocations of several administrators take their locks in one order.
async fn nobody_waits_for_ever(test: &TestApp) {
    let work = async |name: &str| {
        let (_, admin) = test.create_key(json!({"name": name, "scope": "admin"})).await;
        for _ in 0..5 {
            let made = test.call(Method::POST, KEYS, &admin, Some(read_key(name))).await;
            assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
            let path = format!("{KEYS}/{}", made.text("id"));
            let rotated = test
                .call(Method::POST, &format!("{path}/rotate"), &admin, None)
                .await;
            assert_eq!(rotated.status, StatusCode::CREATED, "{rotated:?}");
            let revoked = test
                .call(Method::DELETE, &format!("{path}?wait=none"), &admin, None)
                .await;
            assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
        }
    };
    tokio::join!(work("a"), work("b"), work("c"), work("d"));
}
