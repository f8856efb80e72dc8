//! When a revocation is over.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{head, key, pair, revoke};
use crate::config::Edge;
use crate::revocation::{Receipt, Wait, start};
use crate::testing::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_say_when_it_is_over() {
    let (test, hub) = pair().await;
    start(Arc::clone(&test.app));
    while hub.position().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while test
        .app
        .store
        .begin_read()
        .await
        .expect("tx")
        .peers()
        .await
        .expect("list")
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let victim = key(&test).await;
    let started = tokio::time::Instant::now();
    let receipt = revoke(&test, victim, "effective").await;
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "the bound has passed"
    );
    assert!(hub.is_revoked(victim));
    assert_eq!(
        (&receipt["acknowledged"], &receipt["pending"]),
        (&json!(["hub"]), &json!([]))
    );
    assert_eq!(
        (&receipt["bound_ms"], &receipt["seq"]),
        (&json!(2000), &json!(head(&test.app).await.seq))
    );
    let started = tokio::time::Instant::now();
    assert_eq!(revoke(&test, victim, "ack").await, receipt, "the same receipt");
    let second = key(&test).await;
    let receipt = revoke(&test, second, "ack").await;
    assert_eq!(receipt["acknowledged"], json!(["hub"]));
    assert!(hub.is_revoked(second));
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "an acknowledgement is quick"
    );
    assert!(test.app.feed.alive(test.clock.now()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_does_not_wait_for_ever() {
    let test = TestApp::start_with(|config| {
        config.edges = vec![Edge::push("gone", "http://127.0.0.1:9")];
        config.feed.receipt_wait_ms = 300;
    })
    .await;
    start(Arc::clone(&test.app));
    let victim = key(&test).await;
    let receipt = revoke(&test, victim, "effective").await;
    assert_eq!(
        (&receipt["acknowledged"], &receipt["pending"]),
        (&json!([]), &json!(["gone"]))
    );
    assert_eq!(receipt["effective_at"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_edges_a_revocation_is_effective_at_once() {
    let test = TestApp::start_with(|config| config.edges = Vec::new()).await;
    start(Arc::clone(&test.app));
    let victim = key(&test).await;
    let started = tokio::time::Instant::now();
    let receipt = revoke(&test, victim, "effective").await;
    assert!(started.elapsed() < Duration::from_millis(1500));
    assert_eq!(
        (
            &receipt["acknowledged"],
            &receipt["pending"],
            &receipt["bound_ms"]
        ),
        (&json!([]), &json!([]), &json!(0))
    );
    assert!(receipt["effective_at"].is_string());
}

#[test]
fn waits_are_words() {
    for (text, wait) in [
        ("effective", Wait::Effective),
        ("ack", Wait::Ack),
        ("none", Wait::None),
    ] {
        assert_eq!(text.parse(), Ok(wait));
    }
    assert!("later".parse::<Wait>().is_err());
    let receipt = Receipt {
        seq: None,
        acknowledged: vec![],
        pending: vec![],
        bound_ms: 1,
        effective_at: None,
    };
    assert!(
        serde_json::to_value(receipt)
            .expect("JSON")
            .get("effective_at")
            .is_some()
    );
}
