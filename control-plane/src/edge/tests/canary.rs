//! Canaries, from egg to 401.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use shared::id::LIMIT;

use super::{actions, alerts, audit, region, regions, start};
use crate::edge::canary::{Outcome, Pace, run, summary};
use crate::edge::watch;
use crate::revocation::tests::{Region, pair, pair_on};
use crate::store::Store;
use crate::store::conformance::suite;
use crate::testing::TestApp;

const PACE: Pace = Pace {
    admission: Duration::from_secs(5),
    patience: Duration::from_millis(500),
    pause: Duration::from_millis(20),
};

suite! {
    a_canary_is_let_in_revoked_and_refused,
}

fn outcome(test: &TestApp, region: &str) -> Option<Outcome> {
    summary(&test.app, &("hub".to_owned(), region.to_owned())).map(|summary| summary.outcome)
}

async fn a_canary_is_let_in_revoked_and_refused(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    start(&test.app, &hub).await;
    let before = test.admin(Method::GET, "/v1/auth/keys", None).await.body;
    run(&test.app, PACE).await.expect("a run");
    for name in ["weur", "enam"] {
        let summary = summary(&test.app, &("hub".to_owned(), name.to_owned())).expect("it was measured");
        assert_eq!(summary.outcome, Outcome::InTime);
        let times = summary.time_to_401.expect("a time");
        assert!(times.count == 1 && times.max_ms <= summary.bound_ms, "{times:?}");
    }
    let shown = hub.with(|shelf| shelf.canaries[0].clone());
    let statement = shared::key::parse(&shown).expect("a key").statement;
    assert_eq!(statement.org.get(), LIMIT - 1);
    assert!(statement.scopes.is_empty() && statement.workspace.is_none());
    let life = statement.expires_at.expect("it ends").0 - statement.issued_at.0;
    assert_eq!(life, 600);
    assert!(hub.is_revoked(statement.index));
    // It is in no list and no trail, and the database knows it all the same.
    assert_eq!(test.admin(Method::GET, "/v1/auth/keys", None).await.body, before);
    for target in [
        shared::id::KeyId::from(statement.index).to_string(),
        "canary".to_owned(),
    ] {
        assert!(audit(&test.app, &target).await.is_empty());
    }
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert!(tx.is_canary(statement.index).await.expect("asked"));
    assert_eq!(
        tx.index_is_live(statement.index).await.expect("asked"),
        Some(false)
    );
    // Nobody can call us with it.
    assert_eq!(
        test.call(Method::GET, "/v1/auth/keys", &shown, None).await.status,
        401
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_goes_on_letting_it_in_raises_an_alert() {
    let (test, hub) = pair().await;
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    start(&test.app, &hub).await;
    // It claims to hold no lease, so nobody waits for it.
    region(&hub, "enam", |region| {
        (region.follows, region.lease_ms) = (false, 0);
    });
    run(&test.app, PACE).await.expect("a run");
    assert_eq!(outcome(&test, "enam"), Some(Outcome::TooLong));
    assert_eq!(outcome(&test, "weur"), Some(Outcome::InTime));
    let canaries = async || {
        watch::judge(&test.app).await.expect("judged");
        let mut all = alerts(&test.app).await;
        all.retain(|(_, kind)| kind == "canary");
        all
    };
    let up = [("enam".to_owned(), "canary".to_owned())];
    assert_eq!(canaries().await, up);
    assert_eq!(canaries().await, up, "it is raised once");
    region(&hub, "enam", |region| region.follows = true);
    run(&test.app, PACE).await.expect("a run");
    assert_eq!(canaries().await, []);
    let told = actions(&test.app, "hub/enam").await;
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    assert!(
        told.starts_with(&["edge.bound_broken"]) && told.ends_with(&["edge.bound_restored"]),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_knows_no_canaries_is_no_failure() {
    let (test, hub) = pair().await;
    regions(&hub, &[Region::awake("weur")]);
    hub.with(|shelf| shelf.without_canary = true);
    start(&test.app, &hub).await;
    run(&Arc::clone(&test.app), PACE).await.expect("a run");
    assert_eq!(outcome(&test, "weur"), Some(Outcome::Unsupported));
    watch::judge(&test.app).await.expect("judged");
    assert_eq!(alerts(&test.app).await, []);
    assert_eq!(
        hub.with(|shelf| shelf.canaries.len()),
        0,
        "no credential was shown to it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_stops_answering_proves_nothing() {
    let (test, hub) = pair().await;
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    start(&test.app, &hub).await;
    let goes = async {
        while hub.with(|shelf| shelf.canaries.len()) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Not even unknown: what answers in its name names another one.
        region(&hub, "enam", |region| region.name = "gone");
    };
    let (done, ()) = tokio::join!(run(&test.app, PACE), goes);
    done.expect("a run");
    assert_eq!(outcome(&test, "weur"), Some(Outcome::InTime));
    assert_eq!(outcome(&test, "enam"), Some(Outcome::NoAnswer));
}
