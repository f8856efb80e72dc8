//! Parcels: applied once, whatever comes twice; named by what the database knows.

use shared::usage::Holder;

use super::{EDGE, after, apply, batch, bytes, count, key, opening, org};
use crate::store::Store;
use crate::store::conformance::suite;
use crate::store::usage::{Lost, UsageFilter, UsageRow};
use crate::testing::{START, TestApp};
use crate::usage::apply::Applied;

suite! {
    a_batch_counts_once,
    what_comes_at_once_counts_once,
    holders_are_named,
    a_record_that_cannot_be_read_holds_up_nothing,
    what_lost_its_details_keeps_its_number,
    old_usage_is_forgotten,
}

const HOUR_MS: u64 = 3_600_000;

async fn start(store: Store) -> TestApp {
    TestApp::start_on(Some(store), |_| {}).await
}

fn applied(new: u64, known: u64, unfit: u64, requests: u64) -> Applied {
    Applied {
        new,
        known,
        unfit,
        requests,
    }
}

/// Everything of an organisation in the hour of the start and the next.
async fn rows(test: &TestApp, org: u64, by: [bool; 5]) -> Vec<UsageRow> {
    let hour = START.0 / HOUR_MS;
    let filter = UsageFilter {
        org,
        from: hour - 1,
        to: hour + 2,
        hours: 1,
        credential: None,
        class: None,
        reason: None,
        by,
        after: None,
        limit: 100,
    };
    let mut tx = test.app.store.begin_read().await.expect("tx");
    tx.usage(&filter).await.expect("rows")
}

async fn total(test: &TestApp, org: u64) -> u64 {
    rows(test, org, [false; 5])
        .await
        .iter()
        .map(|row| row.requests)
        .sum()
}

async fn a_batch_counts_once(store: Store) {
    let test = start(store).await;
    let (id, _) = test
        .create_key(serde_json::json!({"name": "a", "scope": "read"}))
        .await;
    let own = test.made.org.get();
    let first = bytes(&batch(
        1,
        1,
        true,
        vec![count(key(&id), "allowed", 5), count(key(&id), "revoked", 2)],
    ));
    let second = bytes(&batch(1, 2, false, vec![count(key(&id), "allowed", 7)]));
    let opened = opening(1, 1);
    let all = [opened.clone(), first.clone(), second.clone()];
    assert_eq!(
        apply(&test.app, EDGE, &all).await.expect("applied"),
        applied(3, 0, 0, 14)
    );
    // An answer was lost: the same again, in another order, and once more within one parcel.
    let again = [second.clone(), first.clone(), opened, first.clone()];
    assert_eq!(
        apply(&test.app, EDGE, &again).await.expect("applied"),
        applied(0, 4, 0, 0)
    );
    assert_eq!(total(&test, own).await, 14);
    // The same isolate under another edge's name is another one.
    assert_eq!(
        apply(&test.app, "other", &[first]).await.expect("applied"),
        applied(1, 0, 0, 7)
    );
    let uses = test
        .app
        .store
        .begin_read()
        .await
        .expect("tx")
        .uses_of(test.made.org, &[id])
        .await
        .expect("uses");
    let (_, one) = uses.first().expect("one");
    assert_eq!((one.requests, one.refused), (17, 4));
    assert_eq!(
        (one.last_used, one.last_refused),
        (Some(after(3000)), Some(after(1000)))
    );
}

async fn what_comes_at_once_counts_once(store: Store) {
    let test = start(store).await;
    let (id, _) = test
        .create_key(serde_json::json!({"name": "a", "scope": "read"}))
        .await;
    let records: Vec<Vec<u8>> = (1..=4)
        .flat_map(|isolate| (1..=5).map(move |number| (isolate, number)))
        .map(|(isolate, number)| {
            bytes(&batch(
                isolate,
                number,
                number < 5,
                vec![count(key(&id), "allowed", 3)],
            ))
        })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for nth in 0..6 {
        let (app, mut records) = (test.app.clone(), records.clone());
        if nth % 2 == 1 {
            records.reverse();
        }
        tasks.spawn(async move { apply(&app, EDGE, &records).await });
    }
    let mut new = 0;
    while let Some(outcome) = tasks.join_next().await {
        new += outcome.expect("no panic").expect("applied").new;
    }
    assert_eq!((new, total(&test, test.made.org.get()).await), (20, 60));
}

async fn holders_are_named(store: Store) {
    let test = start(store).await;
    let (old, _) = test
        .create_key(serde_json::json!({"name": "a", "scope": "read"}))
        .await;
    let rotate = format!("/v1/auth/keys/{old}/rotate");
    let rotated = test.admin(axum::http::Method::POST, &rotate, None).await;
    let new = rotated.text("id");
    let own = test.made.org;
    let canary = {
        let mut tx = test.app.store.begin().await.expect("tx");
        let index = shared::id::StatusIndex::from_u64(99).expect("small");
        tx.insert_canary(index, START.seconds(), START)
            .await
            .expect("a canary");
        tx.commit().await.expect("committed");
        Holder::Key(index)
    };
    let alone = shared::id::StatusIndex::from_u64(77).expect("small");
    let unknown = shared::id::StatusIndex::from_u64(78).expect("small");
    let counts = vec![
        count(key(&old), "allowed", 1),
        count(key(&new), "allowed", 2),
        count(Holder::token(alone, own, "cli_000000007"), "allowed", 3),
        count(
            Holder::foreign(own, "https://issuer.example", "somebody"),
            "allowed",
            4,
        ),
        count(Holder::None, "credential_missing", 5),
        count(Holder::Key(unknown), "allowed", 6),
        count(canary, "audience_refused", 7),
    ];
    apply(&test.app, EDGE, &[bytes(&batch(1, 1, false, counts))])
        .await
        .expect("applied");
    let by_credential = [true, false, false, false, false];
    let named = |rows: Vec<UsageRow>| {
        let mut named: Vec<(String, u64)> = rows
            .into_iter()
            .map(|row| (row.key.by[0].clone(), row.requests))
            .collect();
        named.sort_by_key(|(_, requests)| *requests);
        named
    };
    assert_eq!(
        named(rows(&test, own.get(), by_credential).await),
        [
            (old.clone(), 1),
            (new, 2),
            ("cli_000000007".to_owned(), 3),
            ("https://issuer.example somebody".to_owned(), 4)
        ]
    );
    let nobodys = named(rows(&test, 0, by_credential).await);
    assert_eq!(nobodys, [(String::new(), 5), ("unknown".to_owned(), 6)]);
    assert_eq!(
        total(&test, org(5).get()).await,
        0,
        "nothing for another organisation"
    );
    let uses = test
        .app
        .store
        .begin_read()
        .await
        .expect("tx")
        .uses_of(own, &[old])
        .await
        .expect("uses");
    assert_eq!(uses[0].1.since_rotation, 1, "used after its rotation");
}

async fn a_record_that_cannot_be_read_holds_up_nothing(store: Store) {
    let test = start(store).await;
    let fine = bytes(&batch(1, 1, false, vec![count(Holder::None, "route_denied", 2)]));
    let mut later = bytes(&batch(1, 2, false, Vec::new()));
    later[0] = 9;
    let outcome = apply(&test.app, EDGE, &[later, vec![1; 30], fine])
        .await
        .expect("applied");
    assert_eq!(outcome, applied(1, 0, 2, 2));
    assert_eq!(total(&test, 0).await, 2);
}

async fn what_lost_its_details_keeps_its_number(store: Store) {
    let test = start(store).await;
    let mut lost = batch(1, 1, false, Vec::new());
    lost.uncounted = 41;
    assert_eq!(
        apply(&test.app, EDGE, &[bytes(&lost)])
            .await
            .expect("applied")
            .requests,
        41
    );
    let by_reason = rows(&test, 0, [false, false, true, false, false]).await;
    assert_eq!(
        (by_reason[0].key.by[2].as_str(), by_reason[0].requests),
        ("uncounted", 41)
    );
}

async fn old_usage_is_forgotten(store: Store) {
    let test = start(store).await;
    let (id, _) = test
        .create_key(serde_json::json!({"name": "a", "scope": "read"}))
        .await;
    let counts = vec![count(key(&id), "allowed", 1)];
    apply(
        &test.app,
        EDGE,
        &[bytes(&batch(1, 1, false, counts)), opening(2, 1)],
    )
    .await
    .expect("applied");
    let missing = async || {
        let mut tx = test.app.store.begin_read().await.expect("tx");
        let lost = Lost {
            heard: after(u64::MAX / 4),
            late_ms: 0,
        };
        tx.lost_windows(&[EDGE], (after(0), after(1)), lost, 10)
            .await
            .expect("rows")
            .len()
    };
    crate::usage::forget(test.app.clone()).await.expect("forgotten");
    assert_eq!((total(&test, test.made.org.get()).await, missing().await), (1, 1));
    test.clock.advance_ms(401 * 24 * HOUR_MS);
    crate::usage::forget(test.app.clone()).await.expect("forgotten");
    assert_eq!((total(&test, test.made.org.get()).await, missing().await), (0, 0));
    let uses = test
        .app
        .store
        .begin_read()
        .await
        .expect("tx")
        .uses_of(test.made.org, &[id])
        .await
        .expect("uses");
    assert_eq!(uses, []);
}
