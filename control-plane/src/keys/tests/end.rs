//! Rotation and revocation.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::key;

use super::{KEYS, actions, read_key};
use crate::config::{Config, Keys};
use crate::store::keys::Reach;
use crate::testing::TestApp;

#[tokio::test]
async fn rotation_keeps_the_rights_and_ends_the_old_key() {
    let test = TestApp::start().await;
    let (id, plain) = test.create_key(json!({"name": "ci", "scope": "admin", "environment": "test", "expires_at": "2027-01-01T00:00:00Z"})).await;
    let answer = test
        .admin(
            Method::POST,
            &format!("{KEYS}/{id}/rotate"),
            Some(json!({"overlap_seconds": 60})),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let (old, new) = (key::parse(&plain).expect("old").statement, answer.text("key"));
    let new_statement = key::parse(&new).expect("new").statement;
    assert_ne!(new_statement.index, old.index);
    assert_eq!(
        (
            new_statement.org,
            new_statement.user,
            new_statement.workspace,
            new_statement.scopes,
            new_statement.expires_at
        ),
        (old.org, old.user, old.workspace, old.scopes, old.expires_at)
    );
    assert_eq!(answer.body["rotated_from"], id.as_str());
    assert_eq!(answer.body["old"]["status"], "rotating");
    assert_eq!(answer.body["old"]["not_after"], "2026-11-21T23:09:40Z");
    assert_eq!(answer.body["old"]["rotated_to"], answer.body["id"]);

    let works = async |key: &str| test.call(Method::GET, KEYS, key, None).await.status == StatusCode::OK;
    assert!(works(&plain).await && works(&new).await);
    test.clock.advance_ms(59_999);
    assert!(works(&plain).await);
    test.clock.advance_ms(1);
    assert!(!works(&plain).await, "the overlap is over");
    assert!(works(&new).await);

    let again = test
        .admin(Method::POST, &format!("{KEYS}/{id}/rotate"), None)
        .await;
    assert_eq!(again.outcome(), (409, "key_expired"));
}

#[tokio::test]
async fn rotation_edge_cases() {
    let test = TestApp::start().await;
    let rotate = async |id: &str, body: Option<Value>| {
        test.admin(Method::POST, &format!("{KEYS}/{id}/rotate?wait=none"), body)
            .await
    };

    // The overlap never outlives the key itself; the default is a day.
    let (short, _) = test
        .create_key(json!({"name": "a", "scope": "read", "expires_at": "2026-11-22T00:00:00Z"}))
        .await;
    let answer = rotate(&short, None).await;
    assert_eq!(answer.body["old"]["not_after"], "2026-11-22T00:00:00Z");
    assert_eq!(rotate(&short, None).await.outcome(), (409, "already_rotated"));
    let (long, _) = test.create_key(read_key("b")).await;
    assert_eq!(
        rotate(&long, None).await.body["old"]["not_after"],
        "2026-11-22T23:08:40Z"
    );

    // No overlap: revoked at once.
    let (id, _) = test.create_key(read_key("c")).await;
    let answer = rotate(&id, Some(json!({"overlap_seconds": 0}))).await;
    assert_eq!(answer.body["old"]["status"], "revoked");
    assert_eq!(answer.body["old"]["revoked_reason"], "superseded");
    assert_eq!(answer.body["receipt"]["id"], id.as_str());
    assert_eq!(rotate(&id, None).await.outcome(), (409, "key_revoked"));

    assert_eq!(
        rotate(&id, Some(json!({"overlap_seconds": 2_592_001})))
            .await
            .outcome(),
        (400, "invalid_field")
    );
    assert_eq!(rotate("key_000000001", None).await.outcome(), (404, "not_found"));
}

#[tokio::test]
async fn a_key_rotates_itself_without_admin_but_not_too_often() {
    let limit = Keys {
        self_rotations_per_hour: Some(2),
        ..Keys::default()
    };
    let test = TestApp::start_with(|config: &mut Config| config.keys = limit).await;
    let (_, mut plain) = test.create_key(read_key("ci")).await;
    let path = format!("{KEYS}/self/rotate?wait=none");
    for _ in 0..2 {
        let answer = test
            .call(Method::POST, &path, &plain, Some(json!({"overlap_seconds": 0})))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(
            test.call(Method::POST, &path, &plain, None).await.outcome(),
            (401, "invalid_token")
        );
        plain = answer.text("key");
        test.clock.advance_ms(1000);
    }
    let answer = test.call(Method::POST, &path, &plain, None).await;
    assert_eq!(answer.outcome(), (429, "rate_limited"));
    assert_eq!(answer.headers["retry-after"], "3598");
    // Another line of keys is not affected, and the hour ends.
    let (_, other) = test.create_key(read_key("other")).await;
    assert_eq!(
        test.call(Method::POST, &path, &other, None).await.status,
        StatusCode::CREATED
    );
    test.clock.advance_ms(3_598_000);
    assert_eq!(
        test.call(Method::POST, &path, &plain, None).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn a_revoked_key_is_dead_and_stays_so() {
    let test = TestApp::start().await;
    let (id, plain) = test.create_key(json!({"name": "a", "scope": "admin"})).await;
    let path = format!("{KEYS}/{id}?wait=none&reason=key_compromise");
    let receipt = test.admin(Method::DELETE, &path, None).await;
    assert_eq!(receipt.status, StatusCode::OK, "{receipt:?}");
    assert_eq!(
        (receipt.text("id"), receipt.text("reason")),
        (id.clone(), "key_compromise".to_owned())
    );
    assert_eq!(receipt.text("revoked_at"), "2026-11-21T23:08:40Z");
    assert_eq!(
        test.call(Method::GET, KEYS, &plain, None).await.outcome(),
        (401, "invalid_token")
    );

    test.clock.advance_ms(5000);
    let again = test
        .admin(
            Method::DELETE,
            &format!("{KEYS}/{id}?wait=none&reason=superseded"),
            None,
        )
        .await;
    assert_eq!(
        (again.text("revoked_at"), again.text("reason")),
        (receipt.text("revoked_at"), receipt.text("reason"))
    );

    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&id, 10).await.expect("a trail");
    assert_eq!(actions(&trail), ["api_key.create", "api_key.revoke"]);
    assert!(
        trail
            .iter()
            .all(|row| row.credential == Some(test.made.admin_key_id.to_string()))
    );
    let key = tx
        .key_in_reach(Reach::all_of(test.made.org), id.parse().expect("id"))
        .await
        .expect("row")
        .expect("key");
    let outbox = key.revoked.expect("revoked").outbox;
    let pending = tx.pending_entries(1000).await.expect("rows");
    assert!(
        pending.iter().any(|row| row.id == outbox),
        "the edge will be told"
    );

    for (path, body) in [
        (format!("{KEYS}/{id}?reason=bored"), None),
        (format!("{KEYS}/{id}?wait=later"), None),
        (
            format!("{KEYS}/{id}?reason=superseded"),
            Some(json!({"reason": "superseded"})),
        ),
    ] {
        assert_eq!(
            test.admin(Method::DELETE, &path, body).await.outcome(),
            (400, "invalid_field"),
            "{path}"
        );
    }
    for unknown in ["key_000000001", "key_", "nonsense", &plain] {
        assert_eq!(
            test.admin(Method::DELETE, &format!("{KEYS}/{unknown}"), None)
                .await
                .outcome(),
            (404, "not_found")
        );
    }
}
