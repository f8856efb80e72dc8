//! `GET /v1/usage`, and what keys show of their use.

use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use shared::usage::{Holder, Parcel};

use super::{EDGE, after, apply, batch, bytes, count, key, opening};
use crate::audit::Actor;
use crate::config::Edge;
use crate::edge::uplink;
use crate::store::orgs::Role;
use crate::testing::{TestApp, member};
use crate::usage::Waiting;

const USAGE: &str = "/v1/usage";

async fn get(test: &TestApp, query: &str) -> Value {
    let answer = test.admin(Method::GET, &format!("{USAGE}?{query}"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn usage_is_shown_by_time_and_kind() {
    let test = TestApp::start().await;
    let (one, _) = test.create_key(json!({"name": "one", "scope": "read"})).await;
    let (two, _) = test.create_key(json!({"name": "two", "scope": "read"})).await;
    let counts = vec![
        count(key(&one), "allowed", 5),
        count(key(&one), "revoked", 2),
        count(key(&two), "allowed", 1),
        count(Holder::None, "credential_missing", 9),
    ];
    apply(&test.app, EDGE, &[bytes(&batch(1, 1, false, counts))])
        .await
        .expect("applied");

    let all = get(&test, "").await;
    let row = &all["usage"][0];
    assert_eq!(
        (&row["requests"], &row["refused"]),
        (&json!(8), &json!(2)),
        "{all}"
    );
    assert_eq!(row["from"], "2026-11-21T23:00:00Z");
    assert_eq!(row["last_at"], "2026-11-21T23:08:41Z");
    assert!(row.get("credential").is_none());
    let days = get(&test, "interval=day").await;
    assert_eq!(days["usage"][0]["from"], "2026-11-21T00:00:00Z");

    let of_one = get(&test, &format!("credential={one}&group_by=reason")).await;
    let of_one: Vec<(&str, u64)> = of_one["usage"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            (
                row["reason"].as_str().expect("one"),
                row["requests"].as_u64().expect("a number"),
            )
        })
        .collect();
    assert_eq!(of_one, [("allowed", 5), ("revoked", 2)]);
    assert_eq!(get(&test, "class=other").await["usage"], json!([]));
    assert_eq!(get(&test, "reason=revoked").await["usage"][0]["requests"], 2);
    let places = get(&test, "group_by=country,colo").await;
    assert_eq!(
        (&places["usage"][0]["country"], &places["usage"][0]["colo"]),
        (&json!("DE"), &json!("FRA"))
    );
    let nobody = get(&test, "credential=none&group_by=class,reason").await;
    assert_eq!(nobody["usage"][0]["requests"], 9);

    // Page by page, the same rows.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&test, &format!("group_by=credential,reason&limit=1{cursor}")).await;
        seen.extend(page["usage"].as_array().expect("rows").clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(
        Value::Array(seen),
        get(&test, "group_by=credential,reason").await["usage"]
    );

    for wrong in [
        "interval=week",
        "group_by=user",
        "limit=0",
        "cursor=x",
        "from=yesterday",
        "from=2030-01-01T00:00:00Z&to=2029-01-01T00:00:00Z",
        "color=red",
    ] {
        let answer = test.admin(Method::GET, &format!("{USAGE}?{wrong}"), None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn only_administrators_see_their_own() {
    let test = TestApp::start().await;
    let (live, _) = test.create_key(json!({"name": "live", "scope": "read"})).await;
    let (_, reader) = test.create_key(json!({"name": "reader", "scope": "read"})).await;
    let (_, lesser) = test
        .create_key(json!({"name": "lesser", "scope": "admin", "environment": "test"}))
        .await;
    let (dev, _) = test
        .create_key(json!({"name": "dev", "scope": "read", "environment": "dev"}))
        .await;
    let (_, colleague) = member(&test, 7, Role::Admin).await;
    let counts = vec![count(key(&live), "allowed", 5), count(key(&dev), "allowed", 1)];
    apply(&test.app, EDGE, &[bytes(&batch(1, 1, false, counts))])
        .await
        .expect("applied");
    let outcome = async |key: &str, query: &str| {
        let answer = test
            .call(Method::GET, &format!("{USAGE}?{query}"), key, None)
            .await;
        answer.status.as_u16()
    };
    assert_eq!(outcome(&reader, "").await, 403);
    assert_eq!(outcome(&colleague, "").await, 200);
    // A key for a lesser environment: one key in its reach at a time.
    assert_eq!(outcome(&lesser, "").await, 400);
    assert_eq!(outcome(&lesser, "credential=none").await, 403);
    assert_eq!(outcome(&lesser, &format!("credential={live}")).await, 404);
    assert_eq!(outcome(&lesser, &format!("credential={dev}")).await, 200);
}

#[tokio::test]
async fn keys_show_their_use() {
    let test = TestApp::start().await;
    let (id, _) = test.create_key(json!({"name": "one", "scope": "read"})).await;
    let path = format!("/v1/auth/keys/{id}");
    let before = test.admin(Method::GET, &path, None).await.body;
    assert_eq!(
        (&before["last_used_at"], &before["requests"]),
        (&Value::Null, &json!(0))
    );
    let early = bytes(&batch(1, 1, true, vec![count(key(&id), "allowed", 5)]));
    apply(&test.app, EDGE, &[early]).await.expect("applied");
    test.clock.advance_ms(2000);
    let rotated = test
        .admin(Method::POST, &format!("{path}/rotate"), None)
        .await
        .body;
    assert_eq!(rotated["requests"], 0, "the new one");
    assert_eq!(
        (
            &rotated["old"]["requests"],
            &rotated["old"]["requests_since_rotation"]
        ),
        (&json!(5), &json!(0))
    );
    assert_eq!(rotated["old"]["last_used_at"], "2026-11-21T23:08:41Z");
    let mut late = count(key(&id), "allowed", 3);
    late.last = after(4000);
    let refused = count(key(&id), "scope_insufficient", 2);
    apply(
        &test.app,
        EDGE,
        &[bytes(&batch(1, 2, false, vec![late, refused]))],
    )
    .await
    .expect("applied");
    let shown = test.admin(Method::GET, &path, None).await.body;
    assert_eq!(shown["last_used_at"], "2026-11-21T23:08:44Z");
    assert_eq!(
        (
            &shown["requests"],
            &shown["refused"],
            &shown["requests_since_rotation"]
        ),
        (&json!(8), &json!(2), &json!(3))
    );
    let list = test.admin(Method::GET, "/v1/auth/keys", None).await.body;
    let listed = list["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .find(|key| key["id"] == id.as_str())
        .expect("there");
    assert_eq!(listed["requests_since_rotation"], 3);
}

#[tokio::test]
async fn numbers_have_an_age_and_holes_a_name() {
    let test = TestApp::start().await;
    let nothing = get(&test, "").await;
    assert_eq!(nothing["complete_until"], Value::Null);
    let records = |records: u64| {
        Some(Waiting {
            records: Some(records),
            refused: 0,
        })
    };
    // Nothing waits: whole up to a moment ago.
    test.app.usage.heard(EDGE, records(0), test.clock.now());
    assert_eq!(get(&test, "").await["complete_until"], "2026-11-21T23:08:35Z");
    // An open window holds the rest up.
    apply(&test.app, EDGE, &[opening(1, 1)]).await.expect("applied");
    test.clock.advance_ms(10_000);
    test.app.usage.heard(EDGE, records(0), test.clock.now());
    let open = get(&test, "").await;
    assert_eq!(
        (&open["complete_until"], &open["open_windows"]),
        (&json!("2026-11-21T23:08:40Z"), &json!(1))
    );
    assert_eq!(open["incomplete"], json!([]));
    // Until it is taken for lost.
    test.clock.advance_ms(30_000);
    test.app.usage.heard(EDGE, records(0), test.clock.now());
    let lost = get(&test, "").await;
    assert_eq!(
        (&lost["complete_until"], &lost["open_windows"]),
        (&json!("2026-11-21T23:09:15Z"), &json!(0))
    );
    assert_eq!(
        lost["incomplete"],
        json!([{"edge": EDGE, "isolate": "01".repeat(16), "first": 1, "last": 1, "from": "2026-11-21T23:08:40Z"}])
    );
    // It comes all the same.
    apply(&test.app, EDGE, &[bytes(&batch(1, 1, false, Vec::new()))])
        .await
        .expect("applied");
    assert_eq!(get(&test, "").await["incomplete"], json!([]));
    // Only an edge that was heard of says how old its numbers are.
    let other = TestApp::start_with(|config| config.edges.push(Edge::pull("dmz"))).await;
    other.app.usage.heard(EDGE, records(0), other.clock.now());
    assert_eq!(get(&other, "").await["complete_until"], Value::Null);
}

#[tokio::test]
async fn an_edge_that_fetches_brings_its_usage() {
    let test = TestApp::start_with(|config| {
        config.edges = vec![Edge::pull("dmz"), Edge::push("hub", "http://127.0.0.1:1")];
    })
    .await;
    let (_, uplink_key) = uplink::create(&test.app, "dmz", &Actor::command_line())
        .await
        .expect("a key");
    let (id, admin) = test.create_key(json!({"name": "one", "scope": "admin"})).await;
    let record = bytes(&batch(1, 1, false, vec![count(key(&id), "allowed", 5)]));
    let parcel = Parcel {
        store: [1; 16],
        waiting: 1,
        records: vec![(4, record)],
    };
    let post = async |key: &str, body: Vec<u8>| {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/edge/usage")
            .header("authorization", format!("Bearer {key}"))
            .body(body.into())
            .expect("a request");
        test.send(request).await
    };
    assert_eq!(
        post(&admin, parcel.encode()).await.outcome().0,
        401,
        "no admin key will do"
    );
    assert_eq!(
        post(uplink_key.expose(), vec![1, 2]).await.outcome(),
        (400, "invalid_field")
    );
    assert_eq!(
        post(uplink_key.expose(), vec![1; crate::usage::MAX_BYTES + 1])
            .await
            .outcome(),
        (413, "body_too_large")
    );
    let first = post(uplink_key.expose(), parcel.encode()).await;
    assert_eq!(
        (first.status, &first.body["applied"]),
        (StatusCode::OK, &json!(1))
    );
    let again = post(uplink_key.expose(), parcel.encode()).await;
    assert_eq!((again.status, &again.body["known"]), (StatusCode::OK, &json!(1)));
    assert_eq!(get(&test, "").await["usage"][0]["requests"], 5);
}
