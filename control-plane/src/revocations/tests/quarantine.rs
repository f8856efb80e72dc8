//! A key that can do less for now.

use shared::id::KeyId;
use shared::scope::ScopeSet;

use super::*;
use crate::orgs::rights;

async fn put(test: &TestApp, id: &str, ceiling: &str) -> Answer {
    let path = format!("/v1/auth/keys/{id}/quarantine");
    let body = json!({"ceiling": ceiling, "comment": "seen in a log"});
    test.admin(Method::POST, &path, Some(body)).await
}

async fn release(test: &TestApp, id: &str) -> Answer {
    test.admin(Method::POST, &format!("/v1/auth/keys/{id}/release"), None)
        .await
}

/// What the edge was told of a key, in order.
async fn ceilings(test: &TestApp, id: &str) -> Vec<(u64, ScopeSet)> {
    let index = id.parse::<KeyId>().expect("an id").into();
    let of_it = |entry| match entry {
        Entry::Ceiling {
            subject: Subject::Index(who),
            version,
            scopes,
        } if who == index => Some((version, scopes)),
        _ => None,
    };
    told(test).await.into_iter().filter_map(of_it).collect()
}

#[tokio::test]
async fn a_key_is_put_under_a_ceiling_and_released() {
    let test = published().await;
    let (id, key) = test.create_key(json!({"name": "apart", "scope": "admin"})).await;
    let list = async || test.call(Method::GET, "/v1/auth/keys", &key, None).await;
    assert_eq!(list().await.status, 200);
    let receipt = put(&test, &id, "read").await;
    assert_eq!(receipt.status, 200, "{receipt:?}");
    assert_eq!(
        (
            &receipt.body["quarantined"],
            &receipt.body["pending"],
            &receipt.body["status"]
        ),
        (&json!("read"), &json!([]), &json!("active"))
    );
    assert!(receipt.body["effective_at"].is_string() && receipt.body["quarantined_at"].is_string());
    assert_eq!(
        list().await.outcome(),
        (403, "insufficient_scope"),
        "fewer rights here too"
    );
    assert_eq!(
        put(&test, &id, "read").await.body,
        receipt.body,
        "the same receipt"
    );
    assert_eq!(put(&test, &id, "none").await.body["quarantined"], "none");
    let shown = test.admin(Method::GET, "/v1/auth/keys?name=apart", None).await;
    assert_eq!(shown.body["keys"][0]["quarantined"], "none");
    let released = release(&test, &id).await;
    assert_eq!(released.body["quarantined"], Value::Null, "{released:?}");
    assert_eq!(release(&test, &id).await.body, released.body);
    assert_eq!(list().await.status, 200, "as before");
    let read = rights(Role::Viewer, &test.app.policy().policy);
    let wanted = [(1, read), (2, ScopeSet::EMPTY), (3, ScopeSet::ALL)];
    assert_eq!(ceilings(&test, &id).await, wanted, "each under a higher version");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&id, 100).await.expect("rows");
    let actions: Vec<_> = trail.iter().map(|row| row.action.as_str()).collect();
    let count = |action: &str| actions.iter().filter(|known| **known == action).count();
    assert_eq!((count("api_key.quarantine"), count("api_key.release")), (2, 1));
}

/// Whatever a key in quarantine made would be free of its ceiling.
#[tokio::test]
async fn a_key_in_quarantine_gives_nothing_out() {
    let test = published().await;
    for ceiling in ["read", "none"] {
        let (id, key) = test.create_key(json!({"name": ceiling, "scope": "admin"})).await;
        put(&test, &id, ceiling).await;
        let itself = test
            .call(Method::POST, "/v1/auth/keys/self/rotate", &key, None)
            .await;
        assert_eq!(itself.outcome(), (409, "key_quarantined"));
        let by_admin = test
            .admin(Method::POST, &format!("/v1/auth/keys/{id}/rotate"), None)
            .await;
        assert_eq!(by_admin.outcome(), (409, "key_quarantined"));
        let body = json!({"name": "way out", "scope": "read"});
        let made = test.call(Method::POST, "/v1/auth/keys", &key, Some(body)).await;
        assert_eq!(made.outcome(), (403, "insufficient_scope"));
        let path = format!("/v1/auth/keys/{id}/release");
        let freed = test.call(Method::POST, &path, &key, None).await;
        assert_eq!(
            freed.outcome(),
            (403, "insufficient_scope"),
            "nor does it free itself"
        );
        // It can still be given up, and revoked.
        let gone = test
            .admin(Method::DELETE, &format!("/v1/auth/keys/{id}"), None)
            .await;
        assert_eq!(gone.status, 200);
        assert_eq!(put(&test, &id, "read").await.outcome(), (409, "key_revoked"));
    }
}

#[tokio::test]
async fn what_cannot_be_put_into_quarantine() {
    let test = published().await;
    let (id, _) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    let path = format!("/v1/auth/keys/{id}/quarantine");
    for body in [json!({"ceiling": "write"}), json!({}), json!({"ceiling": null})] {
        let answer = test.admin(Method::POST, &path, Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.text("field"), "ceiling");
    }
    assert_eq!(
        put(&test, "key_000000001", "read").await.outcome(),
        (404, "not_found")
    );
    assert_eq!(put(&test, "nonsense", "read").await.outcome(), (404, "not_found"));
    let (_, viewer) = member(&test, 71, Role::Viewer).await;
    let body = Some(json!({"ceiling": "none"}));
    let refused = test.call(Method::POST, &path, &viewer, body).await;
    assert_eq!(refused.outcome(), (403, "insufficient_scope"));
}
