//! Several callers at once, through the whole stack, on both engines.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use shared::id::KeyId;

use super::{KEYS, read_key};
use crate::http::time::Timestamp;
use crate::store::Store;
use crate::store::keys::ApiKey;
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
    a_revocation_is_dated_when_its_row_is_held(test).await;
    a_rotation_does_not_slip_out_of_its_line(test).await;
    lines_are_revoked_side_by_side(test).await;
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

/// Until somebody waits for a lock. SQLite has one writer: there whoever comes second waits at the very beginning.
async fn until_one_waits(store: &Store) {
    let Store::Postgres(pool) = store else {
        return tokio::task::yield_now().await;
    };
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let looking = async {
        loop {
            let count: i64 = sqlx::query_scalar(waiting)
                .fetch_one(pool)
                .await
                .expect("a count");
            if count > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .expect("somebody waits");
}

async fn a_revocation_is_dated_when_its_row_is_held(test: &TestApp) {
    let (id, _) = test.create_key(read_key("busy")).await;
    let (store, now) = (&test.app.store, test.app.clock.now());
    let mut rival = store.begin().await.expect("tx");
    assert!(rival.hold_key(id.parse().expect("id"), now).await.expect("held"));
    let path = format!("{KEYS}/{id}?wait=none");
    let (answer, ()) = tokio::join!(test.admin(Method::DELETE, &path, None), async {
        until_one_waits(store).await;
        test.clock.advance_ms(3000);
        rival.commit().await.expect("commit");
    });
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let released = Timestamp::from(now.saturating_add(3000));
    assert_eq!(answer.body["revoked_at"], json!(released));
}

/// A successor that is committed while its line is being revoked is revoked with it.
async fn a_rotation_does_not_slip_out_of_its_line(test: &TestApp) {
    let (first, plain) = test.create_key(read_key("stolen")).await;
    let path = format!("{KEYS}/self/rotate");
    let second = test.call(Method::POST, &path, &plain, None).await.text("id");
    let (store, now) = (&test.app.store, test.app.clock.now());
    let mut rival = store.begin().await.expect("tx");
    let second: KeyId = second.parse().expect("id");
    let end = now.seconds().saturating_add(60);
    assert!(
        rival
            .claim_rotation(second, end, now.seconds())
            .await
            .expect("claim")
    );
    let old = rival.key(second).await.expect("row").expect("key");
    let third = ApiKey {
        id: KeyId::from_u64(7).expect("small"),
        rotated_from: Some(second),
        rotated_to: None,
        not_after: None,
        ..old
    };
    rival.insert_key(&third).await.expect("insert");
    rival.set_successor(second, third.id).await.expect("successor");
    let path = format!("{KEYS}/{first}?wait=none&reason=key_compromise");
    let (answer, ()) = tokio::join!(test.admin(Method::DELETE, &path, None), async {
        until_one_waits(store).await;
        rival.commit().await.expect("commit");
    });
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["live_successors"], json!([]));
    let mut tx = store.begin_read().await.expect("tx");
    let third = tx.key(third.id).await.expect("row").expect("key");
    assert!(third.revoked.is_some(), "{third:?}");
}

/// Two who revoke one line from its two ends do not lock each other out.
async fn lines_are_revoked_side_by_side(test: &TestApp) {
    for _ in 0..5 {
        let (first, plain) = test.create_key(read_key("line")).await;
        let path = format!("{KEYS}/self/rotate");
        let last = test.call(Method::POST, &path, &plain, None).await.text("id");
        let revoke = async |id: &str| {
            let path = format!("{KEYS}/{id}?wait=none&line=true");
            test.admin(Method::DELETE, &path, None).await
        };
        let (one, other) = tokio::join!(revoke(&first), revoke(&last));
        assert_eq!(
            (one.status, other.status),
            (StatusCode::OK, StatusCode::OK),
            "{one:?} {other:?}"
        );
    }
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
