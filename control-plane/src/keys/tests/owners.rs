//! A key has the role of its user: nobody gets hold of an owner's by making it.

use axum::http::Method;
use serde_json::{Value, json};
use shared::id::UserId;

use super::{KEYS, read_key};
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, member};

async fn role(test: &TestApp, key: &str) -> String {
    test.call(Method::GET, "/v1/whoami", key, None).await.text("role")
}

async fn set_role(test: &TestApp, user: UserId, role: Role) {
    let mut tx = test.app.store.begin().await.expect("tx");
    let membership = tx
        .membership(test.made.org, user)
        .await
        .expect("asked")
        .expect("one");
    let set = tx.set_role(test.made.org, user, role, membership.version).await;
    assert!(set.expect("set"));
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn an_admin_gets_no_key_of_an_owner() {
    let test = TestApp::start().await;
    let (_, admin) = member(&test, 71, Role::Admin).await;
    let (own, _) = test.create_key(read_key("of the owner")).await;
    let (other, _) = test
        .create_key(json!({"name": "b", "scope": "read", "user": UserId::from_u64(71)}))
        .await;
    let owner = json!({"name": "x", "scope": "read", "user": test.made.user});
    let post = async |key: &str, path: &str, body: Value| -> Answer {
        test.call(Method::POST, &format!("{KEYS}{path}"), key, Some(body))
            .await
    };
    let ways = [
        (String::new(), owner),
        (format!("/{own}/rotate"), json!({})),
        (format!("/{other}/reissue"), json!({"user": test.made.user})),
    ];
    for (path, body) in ways {
        let refused = post(&admin, &path, body.clone()).await;
        assert_eq!(refused.outcome(), (403, "exceeds_caller"), "{path}");
        let made = post(&test.made.admin_key, &path, body).await;
        assert_eq!(made.status, 201, "{path} {made:?}");
    }
}

#[tokio::test]
async fn what_somebody_else_made_does_not_become_an_owners() {
    let test = TestApp::start().await;
    let (_, maker) = member(&test, 71, Role::Admin).await;
    let (user, theirs) = member(&test, 72, Role::Admin).await;
    let body = json!({"name": "lent", "scope": "admin", "user": user});
    let made = test.call(Method::POST, KEYS, &maker, Some(body)).await;
    let lent = made.text("key");
    assert_eq!(role(&test, &lent).await, "admin");
    // What it makes is in the same hands, whomever it acts for.
    let body = json!({"name": "made with it", "scope": "admin"});
    let made = test.call(Method::POST, KEYS, &lent, Some(body)).await.text("key");
    set_role(&test, user, Role::Owner).await;
    assert_eq!(role(&test, &theirs).await, "owner");
    assert_eq!(role(&test, &lent).await, "admin");
    assert_eq!(role(&test, &made).await, "admin");
    // Nor by rotating itself: the text stays in the same hands.
    let path = format!("{KEYS}/self/rotate");
    let rotated = test.call(Method::POST, &path, &lent, Some(json!({}))).await;
    assert_eq!(rotated.status, 201, "{rotated:?}");
    assert_eq!(role(&test, &rotated.text("key")).await, "admin");
}
