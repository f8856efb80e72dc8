//! What operators see.

use axum::http::Method;
use serde_json::json;

use super::{region, regions};
use crate::config::Edge;
use crate::edge::{status, uplink};
use crate::revocation::link::Link;
use crate::revocation::publish::round;
use crate::revocation::tests::{Region, head, key, pair, publish, revoke};
use crate::testing::TestApp;

#[tokio::test]
async fn every_region_is_there() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    regions(
        &hub,
        &[Region::awake("weur"), Region::awake("enam"), Region::idle("oc")],
    );
    publish(&test.app, &mut link).await;
    let before = head(&test.app).await;
    region(&hub, "enam", |region| region.follows = false);
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    crate::revocation::frame_pending(&test.app.store, &test.app.keyring, test.clock.now())
        .await
        .expect("framed");
    test.clock.advance_ms(40);
    publish(&test.app, &mut link).await;
    round(&test.app).await.expect("a round");
    test.clock.advance_ms(10);
    let answer = test.admin(Method::GET, "/v1/edge/status", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut browser = crate::dashboard::tests::somebody(&test, 100, crate::store::orgs::Role::Viewer).await;
    let page = browser.get("/dashboard/edge").await.raw;
    for words in [
        "hub/weur",
        "has everything",
        "lacks a frame",
        "idle",
        "<h1>Edge</h1>",
        "at most 2000 ms",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let live = browser.get("/dashboard/edge/live").await.raw;
    assert!(
        live.starts_with("<div id=\"edge-live\"") && !live.contains("<html"),
        "{live}"
    );
    let status = &answer.body;
    assert_eq!(status["head"], json!({"epoch": 1, "seq": before.seq + 1}));
    assert_eq!(status["bound_ms"], 2000);
    let edge = &status["edges"][0];
    assert_eq!(
        (&edge["name"], &edge["mode"], &edge["hub"]),
        (&json!("hub"), &json!("push"), &json!(true))
    );
    assert_eq!(
        (&edge["contact_age_ms"], &edge["failures"]),
        (&json!(10), &json!(0))
    );
    let names: Vec<_> = edge["regions"]
        .as_array()
        .expect("regions")
        .iter()
        .map(|region| &region["name"])
        .collect();
    assert_eq!(names, ["hub/enam", "hub/oc", "hub/weur"]);
    let [enam, oc, weur] = [0, 1, 2].map(|at| &edge["regions"][at]);
    assert_eq!(
        (&enam["seq"], &enam["lag_frames"], &enam["lease_ms"]),
        (&json!(before.seq), &json!(1), &json!(5000))
    );
    assert_eq!((&weur["lag_frames"], &weur["age_ms"]), (&json!(0), &json!(110)));
    assert_eq!(
        weur["lag"],
        json!({"count": 1, "p50_ms": 40, "p99_ms": 40, "max_ms": 40, "last_ms": 40})
    );
    assert_eq!(
        (&oc["lag_frames"], &oc["applied"], &oc["age_ms"]),
        (&json!(0), &json!(null), &json!(null))
    );
    assert_eq!(status["alerts"], json!([]));
    assert_eq!(status["canary"], json!({"enabled": true, "interval_seconds": 60}));
}

#[tokio::test]
async fn only_administrators_see_it_and_only_the_operator_sees_all() {
    let test = TestApp::start_with(|config| config.edges = vec![Edge::pull("dmz")]).await;
    let (_, reader) = test
        .create_key(json!({"name": "k", "scope": "read", "workspace": "all", "environment": "live"}))
        .await;
    let refused = test.call(Method::GET, "/v1/edge/status", &reader, None).await;
    assert_eq!(refused.outcome(), (403, "insufficient_scope"));
    let (id, _) = uplink::create(&test.app, "dmz", &crate::audit::Actor::command_line())
        .await
        .expect("a key");
    let all = test.admin(Method::GET, "/v1/edge/status", None).await.body;
    assert_eq!(all["edges"][0]["keys"][0]["id"], id);
    assert_eq!(
        all["edges"][0]["regions"][0]["name"], "dmz",
        "of which nothing is known yet"
    );
    let less = serde_json::to_value(
        status::status(&test.app, status::Viewer::Of(test.made.org))
            .await
            .expect("a status"),
    )
    .expect("JSON");
    for secret in ["keys", "failure", "refusals", "clock_skew_ms"] {
        assert!(less["edges"][0].get(secret).is_none(), "{secret}");
    }
}
