//! Edge groups: whom they admit, and whose things are.

use std::collections::BTreeSet;

use shared::id::StatusIndex;

use super::{NOW, org, people, sample, user, workspace};
use crate::store::Store;
use crate::store::feed::{FeedNo, Peer, Position};
use crate::store::groups::Owner;
use crate::store::orgs::Role;

fn at(seq: u64) -> Position {
    Position { epoch: 1, seq }
}

pub(super) async fn a_group_remembers_whom_it_admitted(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.groups().await.expect("list").is_empty());
    let feed = tx.insert_group("acme", NOW).await.expect("added");
    assert_eq!(tx.feeds().await.expect("list"), [FeedNo::ALL], "not open yet");
    let both = BTreeSet::from([org(1), org(2)]);
    tx.set_group_orgs(feed, 1, &both, at(3)).await.expect("set");
    assert_eq!(tx.feeds().await.expect("list"), [FeedNo::ALL, feed]);
    assert_eq!(tx.feed_of_group("acme").await.expect("asked"), Some(feed));
    assert_eq!(tx.group_name(feed).await.expect("asked").as_deref(), Some("acme"));
    let one = BTreeSet::from([org(2)]);
    tx.set_group_orgs(feed, 2, &one, at(5)).await.expect("set");
    let group = tx.groups().await.expect("list").remove(0);
    assert_eq!((group.version, &group.orgs), (2, &one));
    assert_eq!(group.former, [(org(1), at(5))]);
    // The first time counts, and whoever comes back has not left.
    tx.set_group_orgs(feed, 3, &one, at(7)).await.expect("set");
    assert_eq!(tx.groups().await.expect("list")[0].former, [(org(1), at(5))]);
    tx.set_group_orgs(feed, 4, &both, at(9)).await.expect("set");
    assert!(tx.groups().await.expect("list")[0].former.is_empty());
    let other = tx.insert_group("beta", NOW).await.expect("added");
    assert_ne!(other, feed);
    tx.remove_group(feed, NOW).await.expect("removed");
    assert_eq!(tx.feed_of_group("acme").await.expect("asked"), None);
    assert_eq!(tx.insert_group("acme", NOW).await.expect("back"), feed);
    assert_eq!(tx.feed_of_group("acme").await.expect("asked"), Some(feed));
}

pub(super) async fn it_is_known_whose_a_thing_is(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_org(org(9), "Later", NOW).await.expect("org");
    tx.insert_membership(org(9), user(2), Role::Viewer, NOW)
        .await
        .expect("membership");
    tx.insert_key(&sample(40)).await.expect("key");
    let index = |number| StatusIndex::from_u64(number).expect("small");
    assert_eq!(tx.org_of_index(index(40)).await.expect("asked"), Some(org(1)));
    assert_eq!(tx.org_of_index(index(41)).await.expect("asked"), None);
    for owner in Owner::ALL {
        let owned = tx.owned_indexes(owner, -1, 9).await.expect("list");
        let keys: &[(i64, i64)] = if owner == Owner::Key { &[(40, 1)] } else { &[] };
        assert_eq!(owned, keys, "{owner:?}");
    }
    assert!(
        tx.owned_indexes(Owner::Key, 40, 9)
            .await
            .expect("list")
            .is_empty()
    );
    assert_eq!(
        tx.org_of_workspace(workspace(3)).await.expect("asked"),
        Some(org(1))
    );
    assert_eq!(tx.org_of_workspace(workspace(4)).await.expect("asked"), None);
    assert_eq!(
        tx.org_of_foreign_issuer("https://a.example")
            .await
            .expect("asked"),
        None
    );
    assert!(
        tx.orgs_of_session("ses_000000007")
            .await
            .expect("asked")
            .is_empty()
    );
    assert!(
        tx.orgs_of_session("another issuer's")
            .await
            .expect("asked")
            .is_empty()
    );
    tx.insert_session(&crate::store::sessions::SessionRow {
        digest: [7; 32],
        sid: "ses_000000007".parse().expect("an id"),
        user: user(2),
        org: org(1),
        created_at: NOW,
        last_seen_at: NOW,
        auth_time: NOW,
        expires_at: NOW.saturating_add(1000),
        user_agent: "curl/8".to_owned(),
        address: "192.0.2.1".to_owned(),
        methods: "pwd".to_owned(),
    })
    .await
    .expect("session");
    let orgs = tx.orgs_of_session("ses_000000007").await.expect("asked");
    assert_eq!(orgs, BTreeSet::from([org(1), org(9)]));
}

pub(super) async fn a_receipt_concerns_whom_its_row_does(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let row = tx.enqueue_entry("x", b"x", Some(",1,"), NOW).await.expect("row");
    tx.insert_receipt("x", NOW, row).await.expect("opened");
    let orgs = tx.receipt("x").await.expect("asked").expect("there").orgs;
    assert_eq!(orgs.as_deref(), Some(",1,"));
    tx.set_receipt_orgs("x", Some(",1,2,")).await.expect("set");
    let orgs = tx.receipt("x").await.expect("asked").expect("there").orgs;
    assert_eq!(orgs.as_deref(), Some(",1,2,"));
}

/// Whoever draws for an organisation does not wait for the edges of others.
pub(super) async fn edges_of_others_need_not_know_a_block(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let feed = tx.insert_group("acme", NOW).await.expect("added");
    tx.set_group_orgs(feed, 1, &BTreeSet::from([org(1)]), at(1))
        .await
        .expect("set");
    let row = tx.enqueue_entry("x", b"x", None, NOW).await.expect("row");
    tx.stamp_entries(row, row, at(5)).await.expect("stamped");
    for (name, seq, feed) in [("hub", 5, FeedNo::ALL), ("onprem", 4, feed)] {
        let peer = Peer {
            name: name.to_owned(),
            position: at(seq),
            acked_at: NOW,
            feed,
        };
        tx.acknowledge(&peer).await.expect("noted");
    }
    let mut is_known = async |number| {
        let orgs = BTreeSet::from([org(number)]);
        tx.is_acknowledged_for(row, &orgs).await.expect("asked")
    };
    assert!(!is_known(1).await && is_known(2).await);
    assert!(!tx.is_acknowledged(row).await.expect("asked"), "by all");
    // An edge that goes over to another feed begins anew.
    let peer = Peer {
        name: "hub".to_owned(),
        position: at(2),
        acked_at: NOW,
        feed,
    };
    tx.acknowledge(&peer).await.expect("noted");
    let peers = tx.peers().await.expect("list");
    assert_eq!((peers[0].position, peers[0].feed), (at(2), feed));
}
