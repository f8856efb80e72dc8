//! Edges whose regions speak for themselves: what a receipt waits for, and what it says meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Hub, Region, beside, head, key, pair, pair_on, publish, revoke};
use crate::app::App;
use crate::audit::Actor;
use crate::config::Edge;
use crate::revocation::link::Link;
use crate::revocation::publish::advance_keys;
use crate::revocation::{Receipt, Wait, acknowledge, await_receipt, start};
use crate::signing::{self, KeyState, Purpose};
use crate::store::Store;
use crate::store::conformance::suite;
use crate::store::feed::{Peer, Position};
use crate::testing::{TestApp, eventually};

suite! {
    a_receipt_waits_for_every_region,
    another_instance_sees_what_regions_have,
    a_lease_that_is_over_counts,
    without_its_hub_an_edge_is_told_and_not_done,
    a_kind_is_used_when_every_edge_understands_it,
    a_signing_key_waits_for_every_region,
    what_is_not_there_any_more_is_forgotten,
}

fn regions(hub: &Hub, regions: &[Region]) {
    hub.with(|shelf| shelf.regions = regions.to_vec());
}

fn region(hub: &Hub, name: &str, change: impl FnOnce(&mut Region)) {
    hub.with(|shelf| {
        let region = shelf.regions.iter_mut().find(|region| region.name == name);
        change(region.expect("there is one"));
    });
}

async fn receipt(app: &App, subject: &str) -> Receipt {
    await_receipt(app, subject, Wait::None).await.expect("a receipt")
}

fn names(receipt: &Receipt) -> (Vec<&str>, Vec<&str>) {
    (
        receipt.acknowledged.iter().map(String::as_str).collect(),
        receipt.pending.iter().map(String::as_str).collect(),
    )
}

/// Revokes a fresh key; gives the receipt's subject.
async fn revoked(test: &TestApp) -> String {
    let victim = key(test).await;
    revoke(test, victim, "none").await;
    shared::id::KeyId::from(victim).to_string()
}

async fn a_receipt_waits_for_every_region(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    regions(
        &hub,
        &[Region::awake("weur"), Region::awake("enam"), Region::idle("oc")],
    );
    publish(&test.app, &mut link).await;
    region(&hub, "enam", |region| region.follows = false);
    let subject = revoked(&test).await;
    publish(&test.app, &mut link).await;
    let pending = receipt(&test.app, &subject).await;
    assert_eq!(names(&pending), (vec!["hub/oc", "hub/weur"], vec!["hub/enam"]));
    assert_eq!(pending.effective_at, None);
    region(&hub, "enam", |region| region.follows = true);
    publish(&test.app, &mut link).await;
    let done = receipt(&test.app, &subject).await;
    assert_eq!(names(&done), (vec!["hub/enam", "hub/oc", "hub/weur"], vec![]));
    assert!(done.effective_at.is_some());
    assert_eq!(
        done.bound_ms, 2000,
        "no cache in this test, and the longest route"
    );
}

async fn another_instance_sees_what_regions_have(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    publish(&test.app, &mut link).await;
    let other = beside(&test, |_| {}).await.expect("an application");
    region(&hub, "enam", |region| region.follows = false);
    let subject = revoked(&test).await;
    publish(&test.app, &mut link).await;
    let seen = receipt(&other, &subject).await;
    assert_eq!(names(&seen), (vec!["hub/weur"], vec!["hub/enam"]));
    test.clock.advance_ms(5000);
    acknowledge::settle(&test.app, "hub").await.expect("settled");
    assert!(receipt(&other, &subject).await.pending.is_empty());
}

async fn a_lease_that_is_over_counts(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    regions(&hub, &[Region::awake("weur")]);
    publish(&test.app, &mut link).await;
    // Cut off from its hub: it says nothing new, and what is known of it gets older.
    region(&hub, "weur", |region| {
        region.follows = false;
        region.lease_ms = 3000;
    });
    let subject = revoked(&test).await;
    publish(&test.app, &mut link).await;
    test.clock.advance_ms(2999);
    acknowledge::settle(&test.app, "hub").await.expect("settled");
    assert_eq!(names(&receipt(&test.app, &subject).await).1, ["hub/weur"]);
    test.clock.advance_ms(1);
    acknowledge::settle(&test.app, "hub").await.expect("settled");
    let done = receipt(&test.app, &subject).await;
    assert_eq!(names(&done).0, ["hub/weur"]);
    assert!(
        done.effective_at.is_some_and(|at| at.0 >= test.clock.now()),
        "the bound counts from then"
    );
}

async fn without_its_hub_an_edge_is_told_and_not_done(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    regions(&hub, &[Region::awake("weur"), Region::idle("oc")]);
    publish(&test.app, &mut link).await;
    hub.with(|shelf| shelf.hubless = true);
    let subject = revoked(&test).await;
    publish(&test.app, &mut link).await;
    test.clock.advance_ms(100_000);
    acknowledge::settle(&test.app, "hub").await.expect("settled");
    let waits = receipt(&test.app, &subject).await;
    assert_eq!(
        names(&waits),
        (vec![], vec!["hub/oc", "hub/weur"]),
        "each could be filled by a hub that lacks the frame"
    );
    // A region that lost everything gets everything again.
    hub.trust(&test.app).await;
    publish(&test.app, &mut link).await;
    assert_eq!(hub.position(), Some(head(&test.app).await));
    hub.with(|shelf| shelf.hubless = false);
    publish(&test.app, &mut link).await;
    assert!(receipt(&test.app, &subject).await.pending.is_empty());
    // Nobody is awake, and the hub is silent: that is no success.
    region(&hub, "weur", |region| *region = Region::idle("weur"));
    hub.with(|shelf| shelf.hubless = true);
    assert!(link.contact(&test.app).await.is_err());
}

async fn a_kind_is_used_when_every_edge_understands_it(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    let understood = |edges: &[&'static str]| test.app.feed.is_understood(9, edges.iter().copied());
    assert!(!understood(&["hub"]), "it was not asked yet");
    assert!(understood(&[]), "nobody is there to be stopped");
    hub.with(|shelf| shelf.kinds = vec![1, 2, 9]);
    publish(&test.app, &mut link).await;
    assert!(understood(&["hub"]) && !understood(&["hub", "other"]));
    hub.with(|shelf| shelf.kinds = vec![1, 2]);
    revoked(&test).await;
    publish(&test.app, &mut link).await;
    assert!(!understood(&["hub"]), "an older release was put back");
}

async fn a_signing_key_waits_for_every_region(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let app = &test.app;
    let mut link = Link::new(hub.edge("hub"));
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    publish(app, &mut link).await;
    region(&hub, "enam", |region| region.follows = false);
    let mut tx = app.store.begin().await.expect("tx");
    let actor = Actor::command_line();
    let now = app.clock.now();
    let new = signing::rotate(&mut tx, &app.keyring, &app.random, Purpose::ApiKey, &actor, now)
        .await
        .expect("a key");
    tx.commit().await.expect("commit");
    let state = async || {
        // Once to note that it is acknowledged, once when the bound has passed.
        for _ in 0..2 {
            advance_keys(app, app.clock.now()).await.expect("looked");
            test.clock.advance_ms(4000);
        }
        app.keyring.known(new).expect("known").state
    };
    publish(app, &mut link).await;
    hub.with(|shelf| shelf.regions[1].lease_ms = 60_000);
    publish(app, &mut link).await;
    assert_eq!(state().await, KeyState::Pending, "one region lacks it");
    region(&hub, "enam", |region| region.follows = true);
    publish(app, &mut link).await;
    assert_eq!(state().await, KeyState::Active);
}

async fn what_is_not_there_any_more_is_forgotten(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let app = &test.app;
    let rows = async || {
        let peers = app
            .store
            .begin_read()
            .await
            .expect("tx")
            .peers()
            .await
            .expect("list");
        peers.into_iter().map(|peer| peer.name).collect::<Vec<_>>()
    };
    let mut tx = app.store.begin().await.expect("tx");
    for name in ["gone", "gone/weur"] {
        let peer = Peer {
            name: name.to_owned(),
            position: Position { epoch: 1, seq: 1 },
            acked_at: app.clock.now(),
            feed: crate::store::feed::FeedNo::ALL,
        };
        tx.acknowledge(&peer).await.expect("noted");
    }
    tx.commit().await.expect("commit");
    crate::revocation::publish::forget_old_peers(app)
        .await
        .expect("forgotten");
    assert!(rows().await.is_empty());
    // An edge that learns of regions, and later loses one.
    let mut link = Link::new(hub.edge("hub"));
    publish(app, &mut link).await;
    assert_eq!(rows().await, ["hub"]);
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    publish(app, &mut link).await;
    assert_eq!(rows().await, ["hub/enam", "hub/weur"]);
    regions(&hub, &[Region::awake("weur")]);
    publish(app, &mut link).await;
    assert_eq!(
        rows().await,
        ["hub/enam", "hub/weur"],
        "it may still hold a lease"
    );
    test.clock.advance_ms(60_000);
    publish(app, &mut link).await;
    assert_eq!(rows().await, ["hub/weur"]);
    // The next process knows from the database what there was.
    regions(&hub, &[Region::awake("enam")]);
    let other = beside(&test, |_| {}).await.expect("an application");
    acknowledge::load(&other).await.expect("loaded");
    test.clock.advance_ms(60_000);
    publish(&other, &mut Link::new(hub.edge("hub"))).await;
    assert_eq!(rows().await, ["hub/enam"]);
}

/// The publisher's own loop, with a real clock for its pauses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_region_is_asked_about_soon() {
    let (test, hub) = pair().await;
    let slow = beside(&test, |config| {
        config.feed.heartbeat_ms = 60_000;
        config.edges = vec![Edge::push("hub", hub.url.clone())];
    })
    .await
    .expect("an application");
    regions(&hub, &[Region::awake("weur")]);
    start(Arc::clone(&slow));
    let acknowledged = async || {
        let peers = slow
            .store
            .begin_read()
            .await
            .expect("tx")
            .peers()
            .await
            .expect("list");
        peers.first().map(|peer| peer.position)
    };
    eventually(async || acknowledged().await == Some(head(&slow).await)).await;
    region(&hub, "weur", |region| region.follows = false);
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    slow.feed.wake();
    eventually(async || hub.is_revoked(victim)).await;
    let contacts = hub.with(|shelf| shelf.seen.len());
    region(&hub, "weur", |region| region.follows = true);
    let asked = tokio::time::Instant::now();
    eventually(async || acknowledged().await == Some(head(&slow).await)).await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "not at the next heartbeat"
    );
    assert!(hub.with(|shelf| shelf.seen.len()) >= contacts);
}

#[tokio::test]
async fn a_report_that_makes_no_sense_is_a_failed_contact() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    regions(&hub, &[Region::awake("Weur!")]);
    let refused = link.contact(&test.app).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("proper name")));
    assert_eq!(json!(test.app.feed.watch().borrow().acknowledged.len()), json!(0));
}
