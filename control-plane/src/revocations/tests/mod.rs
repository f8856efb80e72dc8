//! Every way to revoke, through the real router. What it does at the edge is shown end to end.

mod local;
mod matching;
mod possession;
mod quarantine;
mod races;
mod rules;
mod targets;

use axum::http::Method;
use serde_json::{Value, json};
use shared::feed::{Entry, Subject};
use shared::id::UserId;

use crate::oauth::tests::support::{claims, published};
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, member};

const PATH: &str = "/v1/revocations";

/// Revokes a target as the first owner.
async fn revoke(test: &TestApp, kind: &str, id: &str) -> Answer {
    revoke_with(test, &test.made.admin_key, kind, id).await
}

async fn revoke_with(test: &TestApp, key: &str, kind: &str, id: &str) -> Answer {
    let body = json!({"target": {kind: id}, "reason": "key_compromise", "comment": "a laptop was stolen"});
    test.call(Method::POST, PATH, key, Some(body)).await
}

/// What is written for the edge that no frame holds yet, or that one holds.
async fn told(test: &TestApp) -> Vec<Entry> {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT entry FROM outbox ORDER BY id")
        .fetch_all(&mut **sqlite)
        .await
        .expect("rows");
    rows.iter()
        .map(|row| Entry::read(&mut shared::wire::Reader::new(row)).expect("an entry"))
        .collect()
}

/// How often the edge was told of a not-before of a subject.
async fn not_before_entries(test: &TestApp, subject: &Subject) -> usize {
    let told = told(test).await;
    let of_it = told
        .iter()
        .filter(|entry| matches!(entry, Entry::NotBefore(who, _) if who == subject));
    of_it.count()
}

/// Whether this key may do anything at `/v1`.
async fn works(test: &TestApp, key: &str) -> bool {
    match test.call(Method::GET, "/v1/auth/keys", key, None).await.outcome() {
        (200, _) | (403, "insufficient_scope") => true,
        (401, "invalid_token") => false,
        other => panic!("{other:?}"),
    }
}

/// The one audit row of an action on a target.
async fn audited(test: &TestApp, target: &str, action: &str) -> Value {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(target, 100).await.expect("rows");
    let mut rows = trail.iter().filter(|row| row.action == action);
    let row = rows.next().unwrap_or_else(|| panic!("no {action} of {target}"));
    assert_eq!(
        rows.next().map(|row| &row.detail),
        None,
        "one {action} of {target}"
    );
    serde_json::from_str(&row.detail).expect("JSON")
}

/// The members that every receipt has.
fn assert_receipt(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    for name in [
        "id",
        "revoked_at",
        "reason",
        "effective_at",
        "open_connections_until",
    ] {
        assert!(answer.body[name].is_string(), "{name} in {answer:?}");
    }
    assert!(
        answer.body["seq"].is_u64() && answer.body["bound_ms"].is_u64(),
        "{answer:?}"
    );
    assert_eq!(answer.body["pending"], json!([]), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
}
