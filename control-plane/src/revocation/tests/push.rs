//! What reaches the edge, whatever happens on the way.

use crate::store::feed::FeedNo;
use axum::http::StatusCode;

use super::{head, key, pair, publish, revoke};
use crate::revocation::link::Link;
use crate::revocation::{frame_pending, snapshot};

#[tokio::test]
async fn a_change_reaches_the_edge() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    let (one, two) = (key(&test).await, key(&test).await);
    assert!(hub.knows(one) && hub.knows(two), "a new key works at once");
    revoke(&test, one, "none").await;
    assert!(!hub.is_revoked(one));
    publish(&test.app, &mut link).await;
    assert!(hub.is_revoked(one) && !hub.is_revoked(two));
    assert_eq!(hub.position(), Some(head(&test.app).await));
    assert!(hub.with(|shelf| shelf.heartbeats) > 0);
}

#[tokio::test]
async fn a_kill_between_commit_and_push_loses_nothing() {
    let (test, hub) = pair().await;
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let (framed, pending) = (key(&test).await, key(&test).await);
    revoke(&test, framed, "none").await;
    assert!(
        frame_pending(&test.app.store, &test.app.keyring, test.clock.now())
            .await
            .expect("framed")
            .is_some()
    );
    revoke(&test, pending, "none").await;
    assert!(!hub.is_revoked(framed), "the process dies here");
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    assert!(hub.is_revoked(framed) && hub.is_revoked(pending));
}

#[tokio::test]
async fn a_lost_answer_is_only_asked_again() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    assert!(
        frame_pending(&test.app.store, &test.app.keyring, test.clock.now())
            .await
            .expect("framed")
            .is_some()
    );
    hub.with(|shelf| shelf.mute = true);
    assert!(link.contact(&test.app).await.is_err());
    assert!(hub.is_revoked(victim), "it was taken in");
    hub.with(|shelf| shelf.mute = false);
    let frames = hub.with(|shelf| shelf.log.len());
    publish(&test.app, &mut link).await;
    assert_eq!(
        hub.with(|shelf| shelf.log.len()),
        frames,
        "nothing is applied twice"
    );
}

#[tokio::test]
async fn played_again_or_out_of_order_nothing_changes() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    for _ in 0..3 {
        let victim = key(&test).await;
        revoke(&test, victim, "none").await;
        publish(&test.app, &mut link).await;
    }
    let (before, mut messages) = (hub.position(), hub.with(|shelf| shelf.seen.clone()));
    messages.reverse();
    for message in messages {
        let answer = test
            .app
            .http
            .post(format!("{}/.portcullis/feed", hub.url))
            .body(message)
            .send()
            .await;
        assert!(answer.expect("an answer").status() != StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(hub.position(), before);
    let late = key(&test).await;
    revoke(&test, late, "none").await;
    publish(&test.app, &mut link).await;
    assert!(hub.is_revoked(late), "and the feed goes on");
}

#[tokio::test]
async fn two_publishers_on_one_database_agree() {
    let (test, hub) = pair().await;
    let mut links = [Link::new(hub.edge("hub")), Link::new(hub.edge("hub"))];
    for _ in 0..4 {
        let victim = key(&test).await;
        revoke(&test, victim, "none").await;
        for link in &mut links {
            publish(&test.app, link).await;
        }
        assert!(hub.is_revoked(victim));
    }
    assert_eq!(
        head(&test.app).await.epoch,
        1,
        "neither takes the other for a stranger"
    );
}

#[tokio::test]
async fn an_edge_that_lacks_much_gets_a_snapshot() {
    let (test, hub) = pair().await;
    let app = &test.app;
    let mut victims = Vec::new();
    for _ in 0..3 {
        victims.push(key(&test).await);
        revoke(&test, victims[victims.len() - 1], "none").await;
        while frame_pending(&app.store, &app.keyring, app.clock.now())
            .await
            .expect("framed")
            .is_some()
        {}
        snapshot::make(&app.store, &app.keyring, FeedNo::ALL, app.clock.now())
            .await
            .expect("a snapshot");
    }
    publish(app, &mut Link::new(hub.edge("hub"))).await;
    assert!(victims.iter().all(|victim| hub.is_revoked(*victim)));
    assert_eq!(hub.with(|shelf| shelf.log.len()), 1, "one snapshot, no frame");
    // The publisher's own view is the edge's.
    let mut tx = app.store.begin_read().await.expect("tx");
    let own = snapshot::rebuild(&mut tx, &app.keyring, FeedNo::ALL)
        .await
        .expect("rebuilt");
    assert!(hub.with(|shelf| shelf.replica.as_ref().expect("trust").state() == own.state()));
}

#[tokio::test]
async fn a_snapshot_is_due_by_age() {
    let (test, _hub) = pair().await;
    let app = &test.app;
    let due = async || {
        let mut tx = app.store.begin_read().await.expect("tx");
        snapshot::is_due(&mut tx, &app.keyring, FeedNo::ALL, app.clock.now())
            .await
            .expect("asked")
    };
    assert!(!due().await, "there is nothing yet");
    frame_pending(&app.store, &app.keyring, app.clock.now())
        .await
        .expect("framed");
    assert!(!due().await);
    test.clock.advance_ms(10 * 60 * 1000);
    assert!(due().await);
    snapshot::make(&app.store, &app.keyring, FeedNo::ALL, app.clock.now())
        .await
        .expect("a snapshot");
    test.clock.advance_ms(60 * 60 * 1000);
    assert!(!due().await, "nothing has changed since");
}
