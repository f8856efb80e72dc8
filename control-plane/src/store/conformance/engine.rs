//! Idempotency, audit, and what is expected of the engine itself.

use super::{NOW, audit_row, key_id, people, sample, slot};
use crate::store::Store;

pub(super) async fn idempotency_is_forgotten(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.idempotency(&slot()).await.expect("asked"), None);
    tx.claim_idempotency(&slot(), [1; 32], 1, NOW)
        .await
        .expect("claim");
    assert_eq!(tx.idempotency(&slot()).await.expect("asked"), Some(([1; 32], 1)));
    assert_eq!(tx.forget_idempotency(NOW).await.expect("none"), 0);
    assert_eq!(
        tx.forget_idempotency(NOW.saturating_add(1)).await.expect("one"),
        1
    );
    assert_eq!(
        tx.claim_idempotency(&slot(), [1; 32], 2, NOW)
            .await
            .expect("claim"),
        None
    );
}

pub(super) async fn a_rollback_leaves_nothing(store: Store) {
    people(&store).await.commit().await.expect("commit");
    let mut tx = store.begin().await.expect("tx");
    tx.insert_key(&sample(7)).await.expect("insert");
    tx.claim_idempotency(&slot(), [1; 32], 7, NOW)
        .await
        .expect("claim");
    tx.insert_audit(&audit_row(1, "key_7")).await.expect("audit");
    drop(tx);
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.key(key_id(7)).await.expect("none"), None);
    assert_eq!(
        tx.claim_idempotency(&slot(), [1; 32], 8, NOW)
            .await
            .expect("claim"),
        None
    );
    assert!(tx.audit_of("key_7", 10).await.expect("none").is_empty());
}

pub(super) async fn references_are_checked(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let orphan = tx.insert_key(&sample(7)).await.expect_err("no organisation");
    assert!(!orphan.is_unique_violation() && !orphan.is_busy(), "{orphan:?}");
}

pub(super) async fn the_trail_is_appended_to(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    for (id, target) in [(1, "key_a"), (2, "key_b"), (3, "key_a")] {
        tx.insert_audit(&audit_row(id, target)).await.expect("audit");
    }
    assert_eq!(
        tx.audit_of("key_a", 10).await.expect("rows"),
        [audit_row(3, "key_a"), audit_row(1, "key_a")]
    );
    assert_eq!(
        tx.audit_of("key_a", 1).await.expect("rows"),
        [audit_row(3, "key_a")]
    );
    assert!(
        tx.insert_audit(&audit_row(1, "key_a"))
            .await
            .expect_err("same id")
            .is_unique_violation()
    );
}

pub(super) async fn a_database_answers(store: Store) {
    store.ping().await.expect("an answer");
    store
        .migrate()
        .await
        .expect("running the migrations again changes nothing");
    if let Store::Sqlite(pool, _) = &store {
        for (pragma, expected) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("foreign_keys", "1"),
            ("busy_timeout", "5000"),
        ] {
            let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"));
            let sql = if pragma == "busy_timeout" {
                sqlx::AssertSqlSafe("SELECT CAST(timeout AS TEXT) FROM pragma_busy_timeout".to_owned())
            } else {
                sql
            };
            let value: String = sqlx::query_scalar(sql).fetch_one(pool).await.expect("a pragma");
            assert_eq!(value, expected, "{pragma}");
        }
    }
    store.close().await;
    assert!(store.ping().await.is_err());
}
