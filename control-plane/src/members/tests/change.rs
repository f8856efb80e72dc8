//! What a change does to keys, grants and sessions, what the edge is told, and the receipt.

use super::*;
use crate::orgs::rights;
use crate::store::factors::PendingSignIn;

fn ceiling_of(test: &TestApp, role: Role) -> ScopeSet {
    rights(role, &test.app.policy().policy)
}

#[tokio::test]
async fn a_demotion_reaches_keys_and_comes_back() {
    let test = published().await;
    let owner = test.made.admin_key.clone();
    let (bob, key) = member(&test, 71, Role::Admin).await;
    let list = async || test.call(Method::GET, PATH, &key, None).await;
    assert_eq!(list().await.status, 200);

    let answer = set_role(&test, &owner, bob, "member").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (
            &answer.body["role"],
            &answer.body["state"],
            &answer.body["pending"]
        ),
        (&json!("member"), &json!("active"), &json!([]))
    );
    assert_eq!(
        answer.body["ceiling"],
        json!(["memory:read", "memory:write", "memory:delete"])
    );
    assert!(answer.body["effective_at"].is_string() && answer.body["open_connections_until"].is_string());
    assert_eq!(list().await.outcome(), (403, "insufficient_scope"));
    let refused = json!({"name": "b", "scope": "admin", "user": bob});
    let refused = test.admin(Method::POST, "/v1/auth/keys", Some(refused)).await;
    assert_eq!(
        refused.outcome(),
        (403, "exceeds_caller"),
        "nor is a new one made"
    );

    let again = set_role(&test, &owner, bob, "member").await;
    assert_eq!(again.body, answer.body, "the same receipt");
    assert_eq!(set_role(&test, &owner, bob, "admin").await.status, 200);
    assert_eq!(
        list().await.status,
        200,
        "never above the key's own scopes, but up to them"
    );
    let wanted = vec![
        (2, ceiling_of(&test, Role::Member)),
        (3, ceiling_of(&test, Role::Admin)),
    ];
    assert_eq!(told(&test, bob).await, (wanted, 0));
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&bob.to_string(), 100).await.expect("rows");
    let changes: Vec<_> = trail
        .iter()
        .filter(|row| row.action == "membership.change_role")
        .collect();
    assert_eq!(changes.len(), 2, "one row for each change");
}

#[tokio::test]
async fn a_suspension_can_be_lifted() {
    let test = published().await;
    let owner = test.made.admin_key.clone();
    let (bob, key) = member(&test, 71, Role::Admin).await;
    let answer = post(&test, &owner, bob, "suspend").await;
    assert_eq!(
        (&answer.body["state"], &answer.body["ceiling"]),
        (&json!("suspended"), &json!([]))
    );
    let refused = test.call(Method::GET, PATH, &key, None).await;
    assert_eq!(refused.outcome(), (401, "invalid_token"));
    let body = json!({"name": "b", "scope": "read", "user": bob});
    let refused = test.admin(Method::POST, "/v1/auth/keys", Some(body)).await;
    assert_eq!(refused.outcome(), (400, "invalid_field"));
    // Another role changes nothing of that, now.
    let demoted = set_role(&test, &owner, bob, "member").await;
    assert_eq!(
        (&demoted.body["role"], &demoted.body["ceiling"]),
        (&json!("member"), &json!([]))
    );
    assert_eq!(
        set_role(&test, &owner, bob, "admin").await.body["state"],
        "suspended"
    );
    let resumed = post(&test, &owner, bob, "resume").await;
    assert_eq!(resumed.body["state"], "active");
    assert_eq!(test.call(Method::GET, PATH, &key, None).await.status, 200);
    let none = ScopeSet::EMPTY;
    let wanted = vec![
        (2, none),
        (3, none),
        (4, none),
        (5, ceiling_of(&test, Role::Admin)),
    ];
    assert_eq!(told(&test, bob).await, (wanted, 0));
}

#[tokio::test]
async fn a_deactivation_ends_everything_for_good() {
    let test = published().await;
    let owner = test.made.admin_key.clone();
    let (bob, key) = member(&test, 71, Role::Admin).await;
    let body = json!({"name": "second", "scope": "read", "user": bob});
    let (second, _) = test.create_key(body).await;
    let (mine, _) = test.create_key(json!({"name": "mine", "scope": "read"})).await;
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let pending = PendingSignIn {
        digest: [7; 32],
        user: bob,
        org: test.made.org,
        password_digest: [8; 32],
        expires_at: now.saturating_add(300_000),
    };
    tx.insert_pending_sign_in(&pending).await.expect("added");
    tx.commit().await.expect("commit");
    let answer = post(&test, &owner, bob, "deactivate").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["state"]),
        (200, &json!("deactivated"))
    );
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let waiting = tx.pending_sign_in(&[7; 32], now).await.expect("asked");
    assert_eq!(waiting, None, "no code is awaited any more");
    drop(tx);
    assert_eq!(post(&test, &owner, bob, "deactivate").await.body, answer.body);
    assert_eq!(
        post(&test, &owner, bob, "suspend").await.body,
        answer.body,
        "that is less"
    );
    let (ceilings, epochs) = told(&test, bob).await;
    assert_eq!(
        (ceilings, epochs),
        (vec![(3, ScopeSet::EMPTY)], 1),
        "one entry for all"
    );
    let status = async |id: &str| {
        let shown = test
            .admin(Method::GET, &format!("/v1/auth/keys/{id}"), None)
            .await;
        shown.text("status")
    };
    assert_eq!(
        (status(&second).await, status(&mine).await),
        ("revoked".into(), "active".into())
    );
    let receipt = test
        .admin(Method::DELETE, &format!("/v1/auth/keys/{second}"), None)
        .await;
    assert_eq!(receipt.body["reason"], "affiliation_changed", "{receipt:?}");

    let resumed = post(&test, &owner, bob, "resume").await;
    assert_eq!(resumed.body["state"], "active");
    let dead = test.call(Method::GET, PATH, &key, None).await;
    assert_eq!(dead.outcome(), (401, "invalid_token"), "only the block is lifted");
    let body = json!({"name": "fresh", "scope": "admin", "user": bob});
    let (_, fresh) = test.create_key(body).await;
    assert_eq!(test.call(Method::GET, PATH, &fresh, None).await.status, 200);
}

/// Both see two owners; one of them stays.
#[tokio::test]
async fn two_owners_cannot_take_each_other_out() {
    let test = published().await;
    let (first, first_key) = (test.made.user, test.made.admin_key.clone());
    let (second, second_key) = member(&test, 71, Role::Owner).await;
    let (a, b) = tokio::join!(
        set_role(&test, &first_key, second, "viewer"),
        set_role(&test, &second_key, first, "viewer")
    );
    assert_eq!(
        [&a, &b].into_iter().filter(|answer| answer.status == 200).count(),
        1,
        "{a:?} {b:?}"
    );
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert!(tx.first_owner(test.made.org).await.expect("asked").is_some());
}
