//! Two at once: exactly one wins, and nobody is locked out.

use super::{NOW, SUBJECTS, filter, key_id, org, people, revoked, sample, slot, user};
use crate::store::Store;
use crate::store::idempotency::IdempotencySlot;
use crate::store::keys::{ApiKey, Reach};

pub(super) async fn an_issue_that_waited_for_a_not_before_survives_it(store: Store) {
    people(&store).await.commit().await.expect("commit");
    let mut first = store.begin().await.expect("tx");
    first
        .set_member_not_before(org(1), user(2), NOW.seconds())
        .await
        .expect("time");
    let rival = store.clone();
    let issue = tokio::spawn(async move {
        let mut tx = rival.begin().await.expect("tx");
        let issued_at = tx.issue_time(SUBJECTS(), NOW.seconds()).await.expect("time");
        tx.commit().await.expect("commit");
        issued_at
    });
    first.commit().await.expect("commit");
    assert_eq!(issue.await.expect("task"), NOW.seconds().saturating_add(1));
}

pub(super) async fn of_two_revocations_one_wins(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_key(&sample(7)).await.expect("insert");
    tx.commit().await.expect("commit");
    let revoke = async |outbox: i64| {
        let mut tx = store.begin().await.expect("tx");
        let won = tx.revoke_key(key_id(7), &revoked(outbox)).await.expect("revoke");
        tx.commit().await.expect("commit");
        won.then_some(outbox)
    };
    let (first, second) = tokio::join!(revoke(1), revoke(2));
    let winner = first.xor(second).expect("exactly one wins");
    let mut tx = store.begin_read().await.expect("tx");
    let key = tx.key(key_id(7)).await.expect("row").expect("key");
    assert_eq!(key.revoked, Some(revoked(winner)));
}

pub(super) async fn of_two_rotations_one_wins(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_key(&sample(7)).await.expect("insert");
    tx.commit().await.expect("commit");
    let now = NOW.seconds();
    let rotate = async |successor: u64| {
        let mut tx = store.begin().await.expect("tx");
        if !tx
            .claim_rotation(key_id(7), now.saturating_add(60), now)
            .await
            .expect("claim")
        {
            return None;
        }
        tx.insert_key(&ApiKey {
            rotated_from: Some(key_id(7)),
            family: key_id(7),
            ..sample(successor)
        })
        .await
        .expect("insert");
        tx.set_successor(key_id(7), key_id(successor))
            .await
            .expect("successor");
        tx.commit().await.expect("commit");
        Some(key_id(successor))
    };
    let (first, second) = tokio::join!(rotate(8), rotate(9));
    let winner = first.xor(second).expect("exactly one wins");
    let mut tx = store.begin_read().await.expect("tx");
    let key = tx.key(key_id(7)).await.expect("row").expect("key");
    assert_eq!(
        (key.rotated_to, key.not_after),
        (Some(winner), Some(now.saturating_add(60)))
    );
    drop(tx);

    let mut tx = store.begin().await.expect("tx");
    tx.insert_key(&ApiKey {
        expires_at: Some(now),
        ..sample(20)
    })
    .await
    .expect("insert");
    tx.insert_key(&sample(21)).await.expect("insert");
    assert!(tx.revoke_key(key_id(21), &revoked(1)).await.expect("revoke"));
    for dead in [20, 21] {
        assert!(
            !tx.claim_rotation(key_id(dead), now.saturating_add(60), now)
                .await
                .expect("claim"),
            "{dead}"
        );
    }
}

pub(super) async fn of_two_creates_with_one_key_one_wins(store: Store) {
    let create = async |resource: u64| {
        let mut tx = store.begin().await.expect("tx");
        let before = tx
            .claim_idempotency(&slot(), [1; 32], resource, NOW)
            .await
            .expect("claim");
        tx.commit().await.expect("commit");
        before
    };
    let (first, second) = tokio::join!(create(100), create(200));
    match (first, second) {
        (None, Some(before)) => assert_eq!(before, ([1; 32], 100)),
        (Some(before), None) => assert_eq!(before, ([1; 32], 200)),
        both => panic!("exactly one wins: {both:?}"),
    }
    let mut tx = store.begin().await.expect("tx");
    for other in [
        IdempotencySlot {
            org: org(2),
            ..slot()
        },
        IdempotencySlot {
            user: user(3),
            ..slot()
        },
        IdempotencySlot {
            operation: "other",
            ..slot()
        },
        IdempotencySlot {
            key_digest: [8; 32],
            ..slot()
        },
    ] {
        assert_eq!(
            tx.claim_idempotency(&other, [2; 32], 300, NOW)
                .await
                .expect("claim"),
            None,
            "{other:?}"
        );
    }
}

pub(super) async fn readers_that_write_do_not_lock_each_other_out(store: Store) {
    people(&store).await.commit().await.expect("commit");
    let tasks: Vec<_> = (0..8u64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    let mut tx = store.begin().await.expect("tx");
                    tx.membership(org(1), user(2)).await.expect("read");
                    tx.insert_key(&sample(1000 + task * 100 + round))
                        .await
                        .expect("write");
                    tx.commit().await.expect("commit");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no transaction failed");
    }
    let mut tx = store.begin_read().await.expect("tx");
    let keys = tx
        .list_keys(&filter(Reach::all_of(org(1))), NOW.seconds())
        .await
        .expect("rows")
        .keys;
    assert_eq!(keys.len(), 80);
}
