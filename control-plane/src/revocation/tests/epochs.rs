//! Frames and epochs at the same moment, on both engines; and what an epoch may hold.

use std::sync::Arc;

use shared::feed::{Entry, Envelope, EnvelopeType, Head, MAX_REVOKED, State};
use shared::id::{KeyId, StatusIndex};
use tokio::task::JoinHandle;

use super::{head, key, pair_on, publish, revoke};
use crate::audit::Actor;
use crate::revocation::link::{Link, Standing, standing};
use crate::revocation::recover::{Opening, absorb, open_epoch, recover, reopen};
use crate::revocation::{FeedError, Wait, await_receipt, enqueue, frame, frame_pending, snapshot};
use crate::store::conformance::suite;
use crate::store::feed::{FeedNo, Peer, Position};
use crate::store::{Store, rows_affected};
use crate::testing::TestApp;

suite! {
    a_frame_under_way_is_in_the_epoch_that_opens,
    a_frame_under_way_is_in_the_epoch_that_takes_over,
    a_frame_waits_for_an_epoch_under_way,
    a_frame_beside_an_epoch_is_not_in_it,
    an_epoch_that_no_edge_would_take_is_not_opened,
    a_borrowed_certificate_is_short_and_changes_nothing,
}

/// Until the task waits for a lock of the database, or is done. SQLite lets one write at a time, in whatever order.
async fn until_it_waits<T>(store: &Store, task: &JoinHandle<T>) {
    let Store::Postgres(pool) = store else { return };
    while !task.is_finished() {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await
        .expect("asked");
        if waiting > 0 {
            return;
        }
    }
}

async fn knows_as_revoked(test: &TestApp, index: StatusIndex) -> bool {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let replica = snapshot::rebuild(&mut tx, &test.app.keyring, FeedNo::ALL)
        .await
        .expect("rebuilt");
    replica.state().is_revoked(index)
}

async fn a_frame_under_way_is_in_the_epoch_that_opens(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    let mut tx = test.app.store.begin().await.expect("tx");
    frame::write_frame(&mut tx, &test.app.keyring, test.clock.now())
        .await
        .expect("framed")
        .expect("a frame");
    let app = Arc::clone(&test.app);
    let epoch = tokio::spawn(async move { recover(&app, &Actor::system()).await });
    until_it_waits(&test.app.store, &epoch).await;
    tx.commit().await.expect("commit");
    assert_eq!(epoch.await.expect("task").expect("an epoch"), 2);
    assert!(knows_as_revoked(&test, victim).await);
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    assert!(hub.is_revoked(victim));
}

async fn a_frame_under_way_is_in_the_epoch_that_takes_over(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let store = &test.app.store;
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    // The edge gets a frame that the database then loses.
    let mut tx = store.begin().await.expect("tx");
    let lost = StatusIndex::from_u64(5).expect("small");
    enqueue(
        &mut tx,
        &crate::revocation::Reach::All,
        "test",
        &Entry::revoked(lost),
        test.clock.now(),
    )
    .await
    .expect("enqueued");
    tx.commit().await.expect("commit");
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let at = head(&test.app).await;
    let mut tx = store.begin().await.expect("tx");
    for table in ["feed_frames", "outbox"] {
        let forget = format!("DELETE FROM {table} WHERE seq = {}", at.seq);
        rows_affected!(&mut tx, sqlx::query(sqlx::AssertSqlSafe(forget.clone()))).expect("deleted");
    }
    tx.commit().await.expect("commit");
    let theirs = hub.with(|shelf| shelf.replica.as_ref().expect("trust").head());

    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    let mut tx = store.begin().await.expect("tx");
    frame::write_frame(&mut tx, &test.app.keyring, test.clock.now())
        .await
        .expect("framed")
        .expect("a frame");
    let (app, edge) = (Arc::clone(&test.app), hub.edge("hub"));
    let taken = tokio::spawn(async move { absorb(&app, &edge, theirs.expect("a head")).await });
    until_it_waits(store, &taken).await;
    tx.commit().await.expect("commit");
    taken.await.expect("task").expect("taken over");
    for index in [victim, lost] {
        assert!(knows_as_revoked(&test, index).await);
    }
}

async fn a_frame_waits_for_an_epoch_under_way(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    let mut tx = test.app.store.begin().await.expect("tx");
    frame::lock(&mut tx).await.expect("locked");
    reopen(&mut tx, &test.app, &Actor::system(), "feed.recover")
        .await
        .expect("an epoch");
    let app = Arc::clone(&test.app);
    let framed = tokio::spawn(async move { frame_pending(&app.store, &app.keyring, app.clock.now()).await });
    until_it_waits(&test.app.store, &framed).await;
    tx.commit().await.expect("commit");
    let at = framed.await.expect("task").expect("framed").expect("a frame");
    assert_eq!(at.epoch, 2, "after the snapshot, not beside it");
    assert!(knows_as_revoked(&test, victim).await);
}

/// Braces to the belt: should a frame ever stand beside an epoch, nobody takes it for a part of that epoch.
async fn a_frame_beside_an_epoch_is_not_in_it(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let app = &test.app;
    publish(app, &mut Link::new(hub.edge("hub"))).await;
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    let inside = head(app).await;
    recover(app, &Actor::system()).await.expect("an epoch");
    let opening = head(app).await;
    let beside = Position {
        epoch: inside.epoch,
        ..opening
    };
    let mut tx = app.store.begin().await.expect("tx");
    tx.insert_frame(FeedNo::ALL, beside, &[7; 32], None, 1, test.clock.now())
        .await
        .expect("stored");
    let pending = tx.pending_entries(9).await.expect("rows");
    let row = pending.last().expect("the revocation").id;
    tx.stamp_entries(row, row, beside).await.expect("stamped");
    let peer = Peer {
        name: "hub".to_owned(),
        position: opening,
        acked_at: test.clock.now(),
        feed: crate::store::feed::FeedNo::ALL,
    };
    tx.acknowledge(&peer).await.expect("noted");
    assert!(!tx.is_acknowledged(row).await.expect("asked"));
    tx.commit().await.expect("commit");

    let mut tx = app.store.begin_read().await.expect("tx");
    let head_at = |at: Position, digest| Head {
        epoch: at.epoch,
        seq: at.seq,
        digest,
    };
    let theirs = head_at(beside, [7; 32]);
    let beside = standing(&mut tx, FeedNo::ALL, Some(theirs)).await.expect("asked");
    assert_eq!(beside, Standing::Stranger(theirs), "it is to be taken over");
    let digest = tx
        .frame(FeedNo::ALL, inside)
        .await
        .expect("asked")
        .expect("there")
        .digest;
    let theirs = head_at(inside, digest.try_into().expect("32 bytes"));
    let inside = standing(&mut tx, FeedNo::ALL, Some(theirs)).await.expect("asked");
    assert_eq!(inside, Standing::Behind);
    drop(tx);
    let receipt = await_receipt(app, &KeyId::from(victim).to_string(), Wait::None)
        .await
        .expect("a receipt");
    assert_eq!(
        (receipt.pending, receipt.effective_at),
        (vec!["hub".to_owned()], None)
    );
}

async fn an_epoch_that_no_edge_would_take_is_not_opened(store: Store) {
    let (test, _hub) = pair_on(Some(store)).await;
    let index = |number| StatusIndex::from_u64(number).expect("small");
    let mut state = State::default();
    for start in [0, MAX_REVOKED] {
        state.join(Entry::Revoked(vec![(
            index(start),
            index(start + MAX_REVOKED / 2),
        )]));
    }
    let mut tx = test.app.store.begin().await.expect("tx");
    let opening = Opening {
        state,
        groups: Vec::new(),
        epoch: 2,
        seq: 1,
        from: 1,
    };
    let refused = open_epoch(&mut tx, &test.app, opening, &Actor::system(), "test").await;
    assert!(
        matches!(refused, Err(FeedError::TooManyRevoked(count)) if count == MAX_REVOKED + 2),
        "{refused:?}"
    );
    assert_eq!(frame::head(&mut tx).await.expect("a head").epoch, 1);
}

async fn a_borrowed_certificate_is_short_and_changes_nothing(store: Store) {
    let (test, _hub) = pair_on(Some(store)).await;
    let now = test.clock.now();
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let pen = frame::Pen::borrow(&mut tx, &test.app.keyring, (FeedNo::ALL, 1), now)
        .await
        .expect("borrowed");
    for kind in [EnvelopeType::Frame, EnvelopeType::Snapshot] {
        assert!(matches!(pen.sign(kind, b"x"), Err(FeedError::Borrowed)));
    }
    for kind in [EnvelopeType::Fetch, EnvelopeType::Heartbeat] {
        let signed = pen.sign(kind, b"x").expect("signed");
        let end = Envelope::decode(&signed)
            .expect("an envelope")
            .certificate
            .not_after;
        let minutes = |minutes: u64| now.seconds().saturating_add(minutes * 60);
        assert!(
            end > minutes(10) && end <= minutes(15),
            "clocks differ, by ten minutes at most"
        );
    }
}
