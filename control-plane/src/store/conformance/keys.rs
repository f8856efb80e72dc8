//! API keys: rows, lists, states.

use shared::id::{KeyId, LIMIT, SigningKeyId};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

use super::{NOW, filter, key_id, org, people, revoked, sample, user, workspace};
use crate::store::feed::Position;
use crate::store::key_lists::{KeyFilter, Place};
use crate::store::keys::{ApiKey, KeyStatus, Reach};
use crate::store::{Store, Tx};

pub(super) async fn a_key_comes_back_as_it_went_in(store: Store) {
    let mut tx = people(&store).await;
    let largest = ApiKey {
        workspace: Some(workspace(3)),
        environment: Environment::Dev,
        scopes: ScopeSet(u64::MAX),
        expires_at: Some(UnixSeconds(4_102_444_800)),
        name: "Schlüssel ✓".to_owned(),
        ..sample(LIMIT - 1)
    };
    tx.insert_key(&largest).await.expect("insert");
    tx.insert_key(&sample(7)).await.expect("insert");
    assert_eq!(tx.key(largest.id).await.expect("row"), Some(largest.clone()));
    assert!(tx.rename_key(largest.id, "Other").await.expect("rename"));
    assert!(!tx.rename_key(key_id(99), "Other").await.expect("nothing"));
    assert_eq!(
        tx.key(largest.id).await.expect("row").map(|key| key.name),
        Some("Other".to_owned())
    );
    assert_eq!(tx.key(key_id(99)).await.expect("none"), None);
    assert!(
        tx.insert_key(&sample(7))
            .await
            .expect_err("twice")
            .is_unique_violation()
    );
}

pub(super) async fn keys_of_others_are_out_of_reach(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_key(&ApiKey {
        workspace: Some(workspace(3)),
        environment: Environment::Test,
        ..sample(7)
    })
    .await
    .expect("insert");
    let all = Reach::all_of(org(1));
    for (reach, seen) in [
        (all, true),
        (Reach { org: org(4), ..all }, false),
        (
            Reach {
                workspace: Some(workspace(3)),
                ..all
            },
            true,
        ),
        (
            Reach {
                workspace: Some(workspace(4)),
                ..all
            },
            false,
        ),
        (
            Reach {
                environment: Environment::Test,
                ..all
            },
            true,
        ),
        (
            Reach {
                environment: Environment::Dev,
                ..all
            },
            false,
        ),
    ] {
        assert_eq!(
            tx.key_in_reach(reach, key_id(7)).await.expect("row").is_some(),
            seen,
            "{reach:?}"
        );
        let listed = tx.list_keys(&filter(reach), NOW.seconds()).await.expect("rows");
        assert_eq!(!listed.keys.is_empty(), seen, "{reach:?}");
    }
}

/// A page looks at ten times its size at most, says where it goes on, and nothing is left out or shown twice.
pub(super) async fn a_page_reads_a_bounded_number_of_rows(store: Store) {
    let mut tx = people(&store).await;
    for number in 1..=100 {
        let name = if number == 3 {
            "Deploy".to_owned()
        } else {
            format!("key {number}")
        };
        tx.insert_key(&ApiKey {
            name,
            created_at: NOW.saturating_add(number),
            ..sample(number)
        })
        .await
        .expect("insert");
    }
    let sparse = KeyFilter {
        name: Some("deploy".to_owned()),
        limit: 5,
        ..filter(Reach::all_of(org(1)))
    };
    let first = tx.list_keys(&sparse, NOW.seconds()).await.expect("rows");
    assert!(first.keys.is_empty(), "after fifty rows it gives up");
    assert_eq!(first.next, Some(Place::Made(NOW.saturating_add(51), key_id(51))));
    let second = KeyFilter {
        after: first.next,
        ..sparse
    };
    let second = tx.list_keys(&second, NOW.seconds()).await.expect("rows");
    assert_eq!(
        second.keys.iter().map(|key| key.id.get()).collect::<Vec<_>>(),
        [3]
    );

    let mut walk = KeyFilter {
        limit: 7,
        ..filter(Reach::all_of(org(1)))
    };
    let mut seen = Vec::new();
    loop {
        let page = tx.list_keys(&walk, NOW.seconds()).await.expect("rows");
        seen.extend(page.keys.iter().map(|key| key.id.get()));
        match page.next {
            Some(next) => walk.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (1..=100).rev().collect::<Vec<_>>());
}

/// What the overview asks: how many keys there are, up to a number, and which end soon.
pub(super) async fn the_overview_counts_and_looks_ahead(store: Store) {
    let mut tx = people(&store).await;
    let end = |days: u64| Some(NOW.seconds().saturating_add(days * 86_400));
    for (number, expires_at) in (1..).zip([None, end(9), end(3), end(30)]) {
        tx.insert_key(&ApiKey {
            expires_at,
            ..sample(number)
        })
        .await
        .expect("insert");
    }
    assert_eq!(tx.count_live_keys(org(1), 100).await.expect("count"), 4);
    assert_eq!(tx.count_live_keys(org(1), 3).await.expect("count"), 3);
    assert_eq!(tx.count_live_keys(org(9), 100).await.expect("count"), 0);
    let span = (NOW.seconds(), NOW.seconds().saturating_add(14 * 86_400));
    let ending = tx.ending_keys(org(1), span, 10).await.expect("rows");
    assert_eq!(ending.iter().map(|key| key.id.get()).collect::<Vec<_>>(), [3, 2]);
    let owner = sample(1).user;
    let emails = tx.emails_of(org(1), &[owner, user(77)]).await.expect("rows");
    assert!(emails.contains_key(&owner) && emails.len() == 1);
    assert!(tx.emails_of(org(9), &[owner]).await.expect("rows").is_empty());
    let names = tx.workspace_names(org(1), 10).await.expect("rows");
    assert!(names.iter().any(|(id, _)| *id == workspace(3)));
    assert!(tx.audit_of_org(org(1), 10).await.expect("rows").is_empty());
}

pub(super) async fn names_are_found_by_how_they_begin(store: Store) {
    let mut tx = people(&store).await;
    for (number, name) in (1..).zip(["deploy b", "Deploy A", "deplo", "éclair", "Z%_", "deploy b"]) {
        tx.insert_key(&ApiKey {
            name: name.to_owned(),
            ..sample(number)
        })
        .await
        .expect("insert");
    }
    let by = |prefix: &str| KeyFilter {
        prefix: Some(prefix.to_owned()),
        limit: 2,
        ..filter(Reach::all_of(org(1)))
    };
    let mut walk = async |mut filter: KeyFilter| -> Vec<u64> {
        let mut seen = Vec::new();
        loop {
            let page = tx.list_keys(&filter, NOW.seconds()).await.expect("rows");
            seen.extend(page.keys.iter().map(|key| key.id.get()));
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return seen,
            }
        }
    };
    assert_eq!(walk(by("DEPLOY")).await, [2, 1, 6]);
    assert_eq!(walk(by("")).await, [3, 2, 1, 6, 5, 4]);
    assert_eq!(walk(by("É")).await, [4]);
    assert_eq!(walk(by("z%")).await, [5]);
    assert_eq!(walk(by("_")).await, [0; 0]);
}

pub(super) async fn lists_are_ordered_paged_and_filtered(store: Store) {
    let mut tx = people(&store).await;
    for number in 1..=5 {
        let created_at = NOW.saturating_add(if number < 3 { 0 } else { number });
        let home = (number == 2).then(|| workspace(3));
        let environment = if number == 4 {
            Environment::Test
        } else {
            Environment::Live
        };
        tx.insert_key(&ApiKey {
            created_at,
            workspace: home,
            environment,
            ..sample(number)
        })
        .await
        .expect("insert");
    }
    let all = filter(Reach::all_of(org(1)));
    let mut ids = async |filter: KeyFilter| -> Vec<u64> {
        let page = tx.list_keys(&filter, NOW.seconds()).await.expect("rows");
        page.keys.iter().map(|key| key.id.get()).collect()
    };
    assert_eq!(ids(all.clone()).await, [5, 4, 3, 2, 1]);
    assert_eq!(
        ids(KeyFilter {
            limit: 2,
            ..all.clone()
        })
        .await,
        [5, 4]
    );
    let after = |number: u64, at: u64| KeyFilter {
        after: Some(Place::Made(NOW.saturating_add(at), key_id(number))),
        ..all.clone()
    };
    assert_eq!(ids(after(4, 4)).await, [3, 2, 1]);
    assert_eq!(
        ids(after(2, 0)).await,
        [1],
        "keys of one millisecond are split by id"
    );
    assert_eq!(
        ids(KeyFilter {
            workspace: Some(workspace(3)),
            ..all.clone()
        })
        .await,
        [2]
    );
    assert_eq!(
        ids(KeyFilter {
            all_workspaces: true,
            ..all.clone()
        })
        .await,
        [5, 4, 3, 1]
    );
    assert_eq!(
        ids(KeyFilter {
            environment: Some(Environment::Test),
            ..all.clone()
        })
        .await,
        [4]
    );
    assert_eq!(
        ids(KeyFilter {
            name: Some("KEY 3".to_owned()),
            ..all.clone()
        })
        .await,
        [3]
    );
    for wildcard in ["%", "_", "!", "Key_3"] {
        assert_eq!(
            ids(KeyFilter {
                name: Some(wildcard.to_owned()),
                ..all.clone()
            })
            .await,
            [0; 0],
            "{wildcard}"
        );
    }
}

pub(super) async fn a_status_follows_the_clock(store: Store) {
    let mut tx = people(&store).await;
    let now = NOW.seconds();
    let soon = now.saturating_add(10);
    tx.insert_key(&sample(1)).await.expect("insert");
    tx.insert_key(&ApiKey {
        expires_at: Some(soon),
        ..sample(2)
    })
    .await
    .expect("insert");
    tx.insert_key(&sample(3)).await.expect("insert");
    tx.insert_key(&ApiKey {
        rotated_from: Some(key_id(3)),
        family: key_id(3),
        ..sample(4)
    })
    .await
    .expect("insert");
    assert!(tx.claim_rotation(key_id(3), soon, now).await.expect("claim"));
    tx.set_successor(key_id(3), key_id(4)).await.expect("successor");
    tx.insert_key(&sample(5)).await.expect("insert");
    assert!(tx.revoke_key(key_id(5), &revoked(1)).await.expect("revoke"));
    let expected = [
        (
            now,
            [
                (KeyStatus::Active, vec![4, 2, 1]),
                (KeyStatus::Rotating, vec![3]),
                (KeyStatus::Expired, vec![]),
                (KeyStatus::Revoked, vec![5]),
            ],
        ),
        (
            soon,
            [
                (KeyStatus::Active, vec![4, 1]),
                (KeyStatus::Rotating, vec![]),
                (KeyStatus::Expired, vec![3, 2]),
                (KeyStatus::Revoked, vec![5]),
            ],
        ),
    ];
    for (at, statuses) in expected {
        for (status, ids) in statuses {
            let filter = KeyFilter {
                status: Some(status),
                ..filter(Reach::all_of(org(1)))
            };
            let keys = tx.list_keys(&filter, at).await.expect("rows").keys;
            assert_eq!(
                keys.iter().map(|key| key.id.get()).collect::<Vec<_>>(),
                ids,
                "{status:?} at {at:?}"
            );
            assert!(
                keys.iter().all(|key| key.status(at) == status),
                "SQL and Rust agree"
            );
        }
    }
}

pub(super) async fn a_dead_key_is_not_held(store: Store) {
    let mut tx = people(&store).await;
    let end = NOW.seconds().saturating_add(10);
    tx.insert_key(&ApiKey {
        expires_at: Some(end),
        ..sample(1)
    })
    .await
    .expect("insert");
    tx.insert_key(&sample(2)).await.expect("insert");
    tx.insert_key(&sample(3)).await.expect("insert");
    assert!(tx.hold_key(key_id(1), NOW).await.expect("alive"));
    assert!(!tx.hold_key(key_id(1), end.millis()).await.expect("expired"));
    assert!(
        tx.claim_rotation(key_id(2), end, NOW.seconds())
            .await
            .expect("claim")
    );
    assert!(tx.hold_key(key_id(2), NOW).await.expect("alive"));
    assert!(!tx.hold_key(key_id(2), end.millis()).await.expect("rotated away"));
    assert!(tx.revoke_key(key_id(3), &revoked(1)).await.expect("revoke"));
    assert!(!tx.hold_key(key_id(3), NOW).await.expect("revoked"));
    assert!(!tx.hold_key(key_id(99), NOW).await.expect("unknown"));
}

pub(super) async fn rotations_are_counted_by_line(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_key(&sample(1)).await.expect("insert");
    for (number, at) in [(2, 10), (3, 20)] {
        let created_at = NOW.saturating_add(at);
        let key = ApiKey {
            rotated_from: Some(key_id(number - 1)),
            family: key_id(1),
            created_at,
            ..sample(number)
        };
        tx.insert_key(&key).await.expect("insert");
    }
    assert_eq!(
        tx.count_rotations(key_id(1), NOW).await.expect("count"),
        (2, Some(NOW.saturating_add(10)))
    );
    assert_eq!(
        tx.count_rotations(key_id(1), NOW.saturating_add(10))
            .await
            .expect("count"),
        (1, Some(NOW.saturating_add(20)))
    );
    assert_eq!(
        tx.count_rotations(key_id(2), NOW).await.expect("count"),
        (0, None)
    );
}

/// 1 → 2 → 3 → 4, and 9 of another line. 1's overlap is over, 2 is in its overlap.
pub(super) async fn a_line_is_followed_to_its_end(store: Store) {
    let mut tx = people(&store).await;
    let now = NOW.seconds();
    for number in [1, 2, 3, 4, 9] {
        let member = number != 9;
        tx.insert_key(&ApiKey {
            rotated_from: (member && number > 1).then(|| key_id(number - 1)),
            family: key_id(if member { 1 } else { 9 }),
            // A clock that went back between two rotations changes nothing.
            created_at: NOW.saturating_add(10 - number),
            signing_key: SigningKeyId::from_u64(if number == 4 { 2 } else { 1 }).expect("small"),
            ..sample(number)
        })
        .await
        .expect("insert");
    }
    for (old, end) in [(1, now), (2, now.saturating_add(60)), (3, now.saturating_add(60))] {
        assert!(tx.claim_rotation(key_id(old), end, now).await.expect("claim"));
        tx.set_successor(key_id(old), key_id(old + 1))
            .await
            .expect("successor");
    }
    let ids = |keys: Vec<KeyId>| keys.into_iter().map(KeyId::get).collect::<Vec<_>>();
    assert_eq!(ids(tx.open_line(key_id(1), now).await.expect("ids")), [4, 3, 2]);
    for (of, successors) in [(1, vec![2, 3, 4]), (3, vec![4]), (4, vec![]), (9, vec![])] {
        assert_eq!(
            ids(tx.live_successors(key_id(of), now).await.expect("ids")),
            successors,
            "{of}"
        );
    }
    tx.hold_line(key_id(1)).await.expect("held");
    assert!(tx.hold_unrevoked(key_id(3)).await.expect("held"));
    assert!(tx.revoke_key(key_id(3), &revoked(7)).await.expect("revoke"));
    assert!(!tx.hold_unrevoked(key_id(3)).await.expect("asked"), "dead");
    assert!(!tx.hold_unrevoked(key_id(99)).await.expect("asked"), "unknown");
    assert_eq!(ids(tx.open_line(key_id(1), now).await.expect("ids")), [4, 2]);
    assert_eq!(
        ids(tx.live_successors(key_id(1), now).await.expect("ids")),
        [2, 4],
        "behind a dead one too"
    );
    let later = now.saturating_add(60);
    assert_eq!(ids(tx.live_successors(key_id(1), later).await.expect("ids")), [4]);

    let signer = SigningKeyId::from_u64(1).expect("small");
    assert_eq!(
        tx.revoke_keys_signed_by(signer, &revoked(8)).await.expect("done"),
        3
    );
    assert_eq!(
        tx.revoke_keys_signed_by(signer, &revoked(9)).await.expect("done"),
        0
    );
    let key = tx.key(key_id(3)).await.expect("row").expect("key");
    assert_eq!(key.revoked, Some(revoked(7)), "the first one stands");
    assert_eq!(ids(tx.open_line(key_id(1), now).await.expect("ids")), [4]);
}

pub(super) async fn the_last_of_a_line_is_what_the_edge_gets_last(store: Store) {
    let mut tx = people(&store).await;
    let mut outbox = Vec::new();
    for number in 1..=3 {
        tx.insert_key(&ApiKey {
            family: key_id(1),
            ..sample(number)
        })
        .await
        .expect("insert");
        outbox.push(tx.enqueue_entry("test", &[0], None, NOW).await.expect("enqueued"));
    }
    let last = async |tx: &mut Tx| tx.last_revoked_of_line(key_id(1)).await.expect("asked");
    assert_eq!(last(&mut tx).await, None);
    // The third was revoked under the lowest number.
    for (key, row) in [(1, 1), (2, 2), (3, 0)] {
        assert!(
            tx.revoke_key(key_id(key), &revoked(outbox[row]))
                .await
                .expect("revoke")
        );
    }
    assert_eq!(
        last(&mut tx).await,
        Some(key_id(2)),
        "all wait: the highest number"
    );
    let at = |epoch, seq| Position { epoch, seq };
    for (row, position, expected) in [(2, at(1, 5), 1), (1, at(1, 6), 3), (0, at(2, 1), 3)] {
        tx.stamp_entries(outbox[row], outbox[row], position)
            .await
            .expect("stamped");
        assert_eq!(last(&mut tx).await, Some(key_id(expected)), "{position:?}");
    }
}
