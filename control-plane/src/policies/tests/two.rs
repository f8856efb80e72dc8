//! Several instances on one database, on both engines; and starts.

use std::sync::Arc;

use axum::http::Method;
use serde_json::json;
use shared::policy::Policy;

use super::{body, put, with_route};
use crate::policies;
use crate::revocation::tests::beside;
use crate::store::Store;
use crate::store::conformance::suite;
use crate::testing::TestApp;

suite! {
    an_instance_follows_the_other,
    of_two_changes_one_wins,
    a_start_undoes_no_change,
    the_policy_of_a_file_stays_without_it,
    what_nobody_changed_follows_the_configuration,
}

async fn an_instance_follows_the_other(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let other = beside(&test, |_| {}).await.expect("a second instance");
    let mut draft = with_route(&test, json!({"path": "/r", "scopes": ["reports:read"]}));
    draft["scopes"]
        .as_array_mut()
        .expect("scopes")
        .push(json!("reports:read"));
    let catalogue = other.catalogue();
    let applied = put(&test, &test.made.admin_key, Some("\"1\""), body(&draft)).await;
    assert_eq!(applied.status.as_u16(), 200, "{applied:?}");
    assert!(other.policy().route("GET", "/r").is_none());
    policies::follow(Arc::clone(&other)).await.expect("followed");
    assert!(other.policy().route("GET", "/r").is_some());
    assert_eq!(other.policies.version(), 2);
    assert_eq!(other.catalogue().all().len(), 7);
    assert_eq!(catalogue.all().len(), 6, "what was lent stays what it was");
}

async fn of_two_changes_one_wins(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let key = test.made.admin_key.clone();
    let drafts = ["/a", "/b"].map(|path| with_route(&test, json!({"path": path, "scopes": ["admin"]})));
    let [a, b] = &drafts;
    let (a, b) = tokio::join!(
        put(&test, &key, Some("\"1\""), body(a)),
        put(&test, &key, Some("\"1\""), body(b))
    );
    let mut outcomes = [a.outcome(), b.outcome()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(200, ""), (412, "precondition_failed")]);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert_eq!(tx.last_policy().await.expect("asked"), 2);
    let page = async |tx: &mut crate::store::Tx, before, limit| {
        let rows = tx.policies(before, limit).await.expect("asked");
        rows.into_iter().map(|row| row.version).collect::<Vec<_>>()
    };
    assert_eq!(page(&mut tx, None, 5).await, [2, 1]);
    assert_eq!(page(&mut tx, None, 1).await, [2]);
    assert_eq!(page(&mut tx, Some(2), 5).await, [1]);
}

/// An instance that started before the change, and publishes only now.
async fn a_start_undoes_no_change(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let other = beside(&test, |_| {}).await.expect("a second instance");
    let draft = with_route(&test, json!({"path": "/r", "scopes": ["admin"]}));
    put(&test, &test.made.admin_key, Some("\"1\""), body(&draft)).await;
    policies::publish_at_start(&other).await.expect("published");
    assert!(other.policy().route("GET", "/r").is_some());
    let shown = test.admin(Method::GET, "/v1/policy", None).await;
    assert_eq!(
        (&shown.body["version"], &shown.body["policy"]),
        (&json!(2), &draft)
    );
}

async fn the_policy_of_a_file_stays_without_it(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.json");
    let mut policy = Policy::clone(&test.app.policy().policy);
    policy.routes.remove(0);
    std::fs::write(&path, policy.to_json()).expect("written");
    let filed = beside(&test, |config| config.policy_file = Some(path))
        .await
        .expect("starts");
    policies::publish_at_start(&filed).await.expect("published");
    assert_eq!(filed.policies.version(), 2);
    // A file is followed by nobody, and follows nobody.
    policies::follow(Arc::clone(&filed)).await.expect("nothing");
    let bare = beside(&test, |_| {}).await.expect("starts");
    policies::publish_at_start(&bare).await.expect("published");
    assert_eq!((bare.policies.version(), bare.policy().routes().len()), (2, 5));
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let row = tx.policy(2).await.expect("asked").expect("there");
    assert_eq!(row.applied_by, "policy_file");
}

async fn what_nobody_changed_follows_the_configuration(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let elsewhere = "https://elsewhere.example";
    let moved = beside(&test, |config| config.resource = elsewhere.to_owned())
        .await
        .expect("starts");
    policies::publish_at_start(&moved).await.expect("published");
    assert_eq!(
        moved.policy().policy,
        Policy::demo(elsewhere, &moved.config.issuer)
    );
    assert_eq!(moved.policies.version(), 2);
    // One that somebody changed keeps its routes, and has the configured resource.
    policies::follow(Arc::clone(&test.app)).await.expect("followed");
    let mut draft = with_route(&test, json!({"path": "/r", "scopes": ["admin"]}));
    draft["resource"] = json!(test.app.config.resource);
    let applied = put(&test, &test.made.admin_key, Some("\"2\""), body(&draft)).await;
    assert_eq!(applied.status.as_u16(), 200, "{applied:?}");
    policies::publish_at_start(&moved).await.expect("published");
    assert_eq!(moved.policy().policy.resource, elsewhere);
    assert_eq!((moved.policies.version(), moved.policy().routes().len()), (4, 7));
}
