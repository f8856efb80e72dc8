//! Usage: sums by whatever is asked for, page by page; missing windows; last uses.

use shared::time::UnixMillis;

use super::NOW;
use crate::store::Store;
use crate::store::usage::{HourKey, Lost, Missing, Tally, UsageFilter, UsageKey, Use};

const ISOLATE: [u8; 16] = [3; 16];

fn key(hour: u64, credential: &str, reason: &str, country: &str) -> HourKey {
    HourKey {
        org: 7,
        hour,
        credential: credential.to_owned(),
        class: "default".to_owned(),
        reason: reason.to_owned(),
        country: country.to_owned(),
        colo: "FRA".to_owned(),
    }
}

fn tally(requests: u64, last: u64) -> Tally {
    Tally {
        requests,
        last: UnixMillis(last),
    }
}

fn all() -> UsageFilter {
    UsageFilter {
        org: 7,
        from: 0,
        to: 1000,
        hours: 1,
        credential: None,
        class: None,
        reason: None,
        by: [false; 5],
        after: None,
        limit: 100,
    }
}

pub(super) async fn usage_is_summed_by_the_day(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let keys = [
        key(23, "a", "allowed", "DE"),
        key(24, "a", "allowed", "DE"),
        key(25, "b", "allowed", "US"),
        key(25, "b", "revoked", "US"),
    ];
    let rows: Vec<(&HourKey, Tally)> = keys.iter().map(|key| (key, tally(10, 5))).collect();
    tx.add_usage_hours(&rows).await.expect("added");
    tx.add_usage_hours(&[(&keys[1], tally(1, 9))])
        .await
        .expect("added");
    let mut days = async |org, from| -> Vec<(u64, String, u64, u64)> {
        let rows = tx.usage_days(org, from).await.expect("rows");
        rows.into_iter()
            .map(|row| (row.day, row.reason, row.requests, row.last.0))
            .collect()
    };
    let row = |day, reason: &str, requests, last| (day, reason.to_owned(), requests, last);
    assert_eq!(
        days(7, 0).await,
        [
            row(0, "allowed", 10, 5),
            row(1, "allowed", 21, 9),
            row(1, "revoked", 10, 5)
        ]
    );
    assert_eq!(days(7, 1).await.len(), 2);
    assert!(days(8, 0).await.is_empty(), "of another organisation");
    tx.forget_usage(UnixMillis(24 * 3_600_000))
        .await
        .expect("forgotten");
    assert_eq!(tx.usage_days(7, 0).await.expect("rows").len(), 2);
    // Of one organisation: its hours and its days.
    let other = HourKey {
        org: 8,
        ..key(25, "a", "allowed", "DE")
    };
    tx.add_usage_hours(&[(&other, tally(1, 9))]).await.expect("added");
    let before = UnixMillis(48 * 3_600_000);
    assert!(tx.forget_usage_of(7, before).await.expect("forgotten") > 2);
    assert_eq!(tx.usage_days(7, 0).await.expect("rows"), []);
    assert_eq!(tx.usage_days(8, 0).await.expect("rows").len(), 1);
}

pub(super) async fn usage_is_summed_by_what_is_asked(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let keys = [
        key(25, "a", "allowed", "DE"),
        key(25, "a", "revoked", "DE"),
        key(25, "b", "public", ""),
        key(26, "a", "allowed", "US"),
        key(49, "a", "allowed", "DE"),
    ];
    let rows: Vec<(&HourKey, Tally)> = keys.iter().map(|key| (key, tally(10, 5))).collect();
    tx.add_usage_hours(&rows).await.expect("added");
    tx.add_usage_hours(&[(&keys[0], tally(1, 3)), (&keys[4], tally(1, 9))])
        .await
        .expect("added");
    // Far more rows than one statement takes.
    let many: Vec<HourKey> = (0..1100)
        .map(|nth| HourKey {
            org: 8,
            ..key(1, &format!("{nth:04}"), "allowed", "")
        })
        .collect();
    let rows: Vec<(&HourKey, Tally)> = many.iter().map(|key| (key, tally(1, 1))).collect();
    tx.add_usage_hours(&rows).await.expect("added");
    tx.commit().await.expect("committed");

    let mut tx = store.begin_read().await.expect("tx");
    let mut sums = async |filter: UsageFilter| -> Vec<(u64, String, u64, u64, u64)> {
        let rows = tx.usage(&filter).await.expect("rows");
        rows.into_iter()
            .map(|row| {
                let by = row.key.by.join("/");
                (row.key.hour, by, row.requests, row.accepted, row.last.0)
            })
            .collect()
    };
    let none = || "////".to_owned();
    assert_eq!(
        sums(all()).await,
        [
            (25, none(), 31, 21, 5),
            (26, none(), 10, 10, 5),
            (49, none(), 11, 11, 9)
        ]
    );
    let days = UsageFilter {
        hours: 24,
        credential: Some("a".to_owned()),
        reason: Some("allowed".to_owned()),
        ..all()
    };
    assert_eq!(
        sums(days).await,
        [(24, none(), 21, 21, 5), (48, none(), 11, 11, 9)]
    );
    let window = UsageFilter {
        from: 26,
        to: 49,
        class: Some("default".to_owned()),
        ..all()
    };
    assert_eq!(sums(window).await, [(26, none(), 10, 10, 5)]);
    let by = UsageFilter {
        by: [true, true, true, true, true],
        limit: 2,
        ..all()
    };
    let first = sums(by.clone()).await;
    assert_eq!(first[0].1, "a/default/allowed/DE/FRA");
    let after = UsageKey {
        hour: 25,
        by: ["a", "default", "revoked", "DE", "FRA"].map(str::to_owned),
    };
    let second = sums(UsageFilter {
        after: Some(after),
        ..by
    })
    .await;
    assert_eq!(
        second
            .iter()
            .map(|row| (row.0, row.1.as_str()))
            .collect::<Vec<_>>(),
        [(25, "b/default/public//FRA"), (26, "a/default/allowed/US/FRA")]
    );
    assert_eq!(
        sums(UsageFilter { org: 8, ..all() }).await,
        [(1, none(), 1100, 1100, 1)]
    );
}

pub(super) async fn missing_windows_are_kept_by_isolate(store: Store) {
    let hole = |first, last, from| Missing {
        first,
        last,
        from: UnixMillis(from),
        heard: NOW,
    };
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(
        tx.hold_isolate("a", &ISOLATE, NOW).await.expect("held"),
        (0, UnixMillis(0))
    );
    tx.set_isolate("a", &ISOLATE, 9, UnixMillis(70))
        .await
        .expect("noted");
    assert_eq!(
        tx.hold_isolate("a", &ISOLATE, NOW).await.expect("held"),
        (9, UnixMillis(70))
    );
    let before = [hole(2, 3, 20), hole(9, 9, 90)];
    tx.set_missing_windows("a", &ISOLATE, &[], &before)
        .await
        .expect("noted");
    let after = [hole(2, 2, 20), hole(9, 9, 90)];
    tx.set_missing_windows("a", &ISOLATE, &before, &after)
        .await
        .expect("noted");
    assert_eq!(
        tx.missing_windows("a", &ISOLATE).await.expect("rows"),
        after.to_vec()
    );
    assert_eq!(tx.missing_windows("b", &ISOLATE).await.expect("rows"), []);
    let lost = |heard: u64, late_ms| Lost {
        heard: UnixMillis(heard),
        late_ms,
    };
    let time = |to| (UnixMillis(20), UnixMillis(to));
    let late = NOW.0 - 20;
    let cases: [(&[&str], _, _, &[Missing]); 6] = [
        (&["b", "a"], time(90), lost(NOW.0, late), &[after[0]]),
        (&["a"], time(91), lost(NOW.0, late), &[after[1], after[0]]),
        // Not heard long enough ago, and one of them too long after it began.
        (&["a"], time(91), lost(NOW.0 - 1, late), &[]),
        (&["a"], time(91), lost(NOW.0 - 1, late - 1), &[after[0]]),
        (&["b"], time(91), lost(NOW.0, late), &[]),
        (&[], time(91), lost(NOW.0, late), &[]),
    ];
    for (edges, time, lost, wanted) in cases {
        let found = tx.lost_windows(edges, time, lost, 10).await.expect("rows");
        assert!(found.iter().all(|row| row.edge == "a"));
        let found: Vec<Missing> = found.iter().map(|row| row.windows).collect();
        assert_eq!(found, wanted, "{edges:?} {time:?} {lost:?}");
    }
    let newest = tx.lost_windows(&["a"], time(91), lost(NOW.0, late), 1).await;
    assert_eq!(newest.expect("rows")[0].windows, after[1], "the newest first");
    let cases: [(&[&str], _, _); 5] = [
        (&["a", "b"], lost(NOW.0 - 1, late), (Some(UnixMillis(20)), 2)),
        (&["a"], lost(NOW.0 - 1, late - 1), (Some(UnixMillis(90)), 1)),
        (&["a"], lost(NOW.0, late), (None, 0)),
        (&["b"], lost(NOW.0 - 1, late), (None, 0)),
        (&[], lost(NOW.0 - 1, late), (None, 0)),
    ];
    for (edges, lost, wanted) in cases {
        let open = tx.open_windows(edges, lost).await.expect("counts");
        assert_eq!(open, wanted, "{edges:?} {lost:?}");
    }
    assert_eq!(tx.usage_ends_at("a").await.expect("a time"), Some(UnixMillis(70)));
    assert_eq!(tx.usage_ends_at("b").await.expect("asked"), None);
    let later = UnixMillis(NOW.0 + 1);
    assert_eq!(
        tx.forget_isolates(later).await.expect("asked"),
        0,
        "something of it is missing"
    );
    tx.set_missing_windows("a", &ISOLATE, &after, &[])
        .await
        .expect("noted");
    assert_eq!(tx.forget_isolates(NOW).await.expect("asked"), 0, "heard just now");
    assert_eq!(tx.forget_isolates(later).await.expect("asked"), 1);
}

pub(super) async fn uses_add_up(store: Store) {
    let org = shared::id::OrgId::from_u64(7).expect("small");
    let one = |requests, refused, last_used: Option<u64>, last_refused: Option<u64>| Use {
        requests,
        refused,
        since_rotation: requests,
        last_used: last_used.map(UnixMillis),
        last_refused: last_refused.map(UnixMillis),
    };
    let mut tx = store.begin().await.expect("tx");
    for some in [
        one(1, 0, Some(5), None),
        one(2, 1, Some(4), Some(8)),
        one(0, 1, None, Some(7)),
    ] {
        tx.add_uses(&[((7, "a"), some), ((8, "a"), some)], NOW)
            .await
            .expect("added");
    }
    let names = ["a".to_owned(), "b".to_owned()];
    assert_eq!(
        tx.uses_of(org, &names).await.expect("uses"),
        [("a".to_owned(), one(3, 2, Some(5), Some(8)))]
    );
    assert_eq!(tx.forget_usage(NOW).await.expect("asked"), 0);
    assert_eq!(tx.forget_usage(UnixMillis(NOW.0 + 1)).await.expect("asked"), 2);
}
