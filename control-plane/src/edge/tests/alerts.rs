//! What raises an alert, what clears it, and who decides.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::{actions, alerts, audit, region, regions};
use crate::app::App;
use crate::edge::alerts::show;
use crate::edge::watch;
use crate::revocation::link::Link;
use crate::revocation::publish::round;
use crate::revocation::tests::{Region, beside, key, pair_on, publish, revoke};
use crate::store::Store;
use crate::store::conformance::suite;

suite! {
    a_region_that_lacks_a_frame_for_too_long,
    an_edge_that_was_not_heard_of,
    clocks_that_differ,
    one_instance_decides,
}

async fn judged(app: &App) -> Vec<(String, String)> {
    watch::judge(app).await.expect("judged");
    alerts(app).await
}

fn alert(region: &str, kind: &str) -> (String, String) {
    (region.to_owned(), kind.to_owned())
}

async fn a_region_that_lacks_a_frame_for_too_long(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    regions(&hub, &[Region::awake("weur"), Region::awake("enam")]);
    publish(&test.app, &mut link).await;
    round(&test.app).await.expect("a round");
    test.clock.advance_ms(20_000);
    assert_eq!(judged(&test.app).await, [], "it has everything");
    region(&hub, "enam", |region| region.follows = false);
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    publish(&test.app, &mut link).await;
    test.clock.advance_ms(2000);
    assert_eq!(judged(&test.app).await, []);
    test.clock.advance_ms(1);
    assert_eq!(judged(&test.app).await, [alert("enam", "pending")]);
    test.clock.advance_ms(1000);
    assert_eq!(judged(&test.app).await, [alert("enam", "pending")]);
    let rows = audit(&test.app, "hub/enam").await;
    assert_eq!((rows.len(), rows[0].actor.as_str()), (1, "system"));
    assert!(rows[0].detail.contains("pending"));
    region(&hub, "enam", |region| region.follows = true);
    publish(&test.app, &mut link).await;
    assert_eq!(judged(&test.app).await, []);
    assert_eq!(
        actions(&test.app, "hub/enam").await,
        ["edge.bound_broken", "edge.bound_restored"]
    );
}

async fn an_edge_that_was_not_heard_of(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    // Nothing is held against an edge that there was no time to hear of.
    test.clock.advance_ms(30_000);
    let contact = async || {
        let mut all = judged(&test.app).await;
        all.retain(|(_, kind)| kind == "contact");
        all
    };
    assert_eq!(contact().await, []);
    test.clock.advance_ms(1);
    assert_eq!(contact().await, [alert("", "contact")]);
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    assert_eq!(contact().await, []);
    // That the regions answer is not enough: the hub is where new regions ask.
    regions(&hub, &[Region::awake("weur")]);
    hub.with(|shelf| shelf.hubless = true);
    test.clock.advance_ms(30_001);
    publish(&test.app, &mut link).await;
    assert_eq!(contact().await, [alert("", "contact")]);
}

async fn clocks_that_differ(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    let said = async |link: &mut Link, date: &'static str| {
        hub.with(|shelf| shelf.date = Some(date));
        publish(&test.app, link).await;
        judged(&test.app).await
    };
    // The test's clock says 23:08:40.
    assert_eq!(said(&mut link, "Sat, 21 Nov 2026 23:09:30 GMT").await, []);
    assert_eq!(
        said(&mut link, "Sat, 21 Nov 2026 23:18:40 GMT").await,
        [alert("", "clock")]
    );
    assert_eq!(said(&mut link, "Sat, 21 Nov 2026 23:08:40 GMT").await, []);
    assert_eq!(
        said(&mut link, "Sat, 21 Nov 2026 22:58:40 GMT").await,
        [alert("", "clock")]
    );
    assert_eq!(
        said(&mut link, "yesterday").await,
        [alert("", "clock")],
        "that says nothing"
    );
}

async fn one_instance_decides(store: Store) {
    let (test, _hub) = pair_on(Some(store)).await;
    let other = beside(&test, |_| {}).await.expect("an application");
    assert!(
        !watch::lead(&test.app).await.expect("asked"),
        "its publisher does not run"
    );
    for app in [&test.app, &other] {
        round(app).await.expect("a round");
    }
    assert!(watch::lead(&test.app).await.expect("taken"));
    assert!(!watch::lead(&other).await.expect("asked"));
    assert!(watch::lead(&test.app).await.expect("renewed"));
    test.clock.advance_ms(15_001);
    round(&other).await.expect("a round");
    assert!(watch::lead(&other).await.expect("it was over"));
    round(&test.app).await.expect("a round");
    assert!(!watch::lead(&test.app).await.expect("asked"));
}

#[tokio::test]
async fn the_metric_says_what_is_up() {
    let (test, _hub) = pair_on(None).await;
    let app = Arc::clone(&test.app);
    test.clock.advance_ms(30_001);
    judged(&app).await;
    let rows = app
        .store
        .begin_read()
        .await
        .expect("tx")
        .edge_alerts()
        .await
        .expect("list");
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let line =
        |value: u8| format!("portcullis_edge_alert{{edge=\"hub\",region=\"\",kind=\"contact\"}} {value}");
    metrics::with_local_recorder(&recorder, || show(&app, &rows, true));
    assert!(handle.render().contains(&line(1)), "{}", handle.render());
    metrics::with_local_recorder(&recorder, || show(&app, &[], true));
    assert!(handle.render().contains(&line(0)), "{}", handle.render());
}
