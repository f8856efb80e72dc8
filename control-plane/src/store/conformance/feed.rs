//! Receipts, acknowledgements, snapshots, epochs.

use super::NOW;
use super::installation::LATER;
use crate::store::feed::{FeedNo, NewPolicy, Peer, Position, ReceiptRow};
use crate::store::{Store, int};

pub(super) async fn a_receipt_is_completed_once(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let first = tx
        .enqueue_entry("key_1", b"x", None, NOW)
        .await
        .expect("enqueued");
    let second = tx
        .enqueue_entry("key_1", b"y", None, NOW)
        .await
        .expect("enqueued");
    tx.insert_receipt("key_1", NOW, first).await.expect("opened");
    tx.insert_receipt("key_1", LATER, second).await.expect("ignored");
    let open = ReceiptRow {
        outbox_id: first,
        bound_ms: None,
        effective_at: None,
        acknowledged: None,
        orgs: None,
    };
    assert_eq!(tx.receipt("key_1").await.expect("asked"), Some(open));
    assert!(
        tx.complete_receipt("key_1", 2000, LATER, "[]")
            .await
            .expect("completed")
    );
    assert!(!tx.complete_receipt("key_1", 9, NOW, "[1]").await.expect("asked"));
    let row = tx.receipt("key_1").await.expect("asked").expect("there");
    assert_eq!((row.bound_ms, row.effective_at), (Some(2000), Some(int(LATER.0))));
    assert_eq!(tx.receipt("key_2").await.expect("asked"), None);
    assert_eq!(tx.outbox_position(first).await.expect("asked"), None);
}

pub(super) async fn acknowledgements_never_go_back(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    for (epoch, seq) in [(1, 5), (1, 3), (2, 1), (1, 9)] {
        let peer = Peer {
            name: "a".to_owned(),
            position: Position { epoch, seq },
            acked_at: NOW,
            feed: FeedNo::ALL,
        };
        tx.acknowledge(&peer).await.expect("noted");
    }
    let peers = tx.peers().await.expect("list");
    assert_eq!(
        peers.iter().map(|peer| peer.position).collect::<Vec<_>>(),
        [Position { epoch: 2, seq: 1 }]
    );
}

pub(super) async fn snapshots_come_back_whole(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let bytes: Vec<u8> = (0..2_600_000u32)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2])
        .collect();
    let (old, new) = (Position { epoch: 1, seq: 4 }, Position { epoch: 2, seq: 5 });
    tx.insert_snapshot(FeedNo::ALL, old, b"old", NOW)
        .await
        .expect("stored");
    tx.insert_snapshot(FeedNo::ALL, new, &bytes, LATER)
        .await
        .expect("stored");
    tx.insert_snapshot(FeedNo::ALL, new, b"another", LATER)
        .await
        .expect("ignored");
    assert_eq!(
        tx.last_snapshot(FeedNo::ALL).await.expect("asked"),
        Some((new, LATER))
    );
    assert!(tx.snapshot(FeedNo::ALL, new).await.expect("read") == bytes);
    tx.drop_snapshots(FeedNo::ALL, new).await.expect("dropped");
    assert!(tx.snapshot(FeedNo::ALL, old).await.expect("read").is_empty());
    tx.insert_frame(FeedNo::ALL, old, &[1; 32], Some(b"frame"), 3, NOW)
        .await
        .expect("stored");
    assert_eq!(tx.drop_frame_bytes(FeedNo::ALL, new).await.expect("dropped"), 1);
    let frame = tx.frame(FeedNo::ALL, old).await.expect("asked").expect("there");
    assert_eq!((frame.digest, frame.envelope), (vec![1; 32], None));
    let twice = tx.insert_frame(FeedNo::ALL, old, &[2; 32], None, 0, NOW).await;
    assert!(twice.is_err_and(|error| error.is_unique_violation()));
}

pub(super) async fn epochs_and_policies_are_compare_and_set(store: Store) {
    let policy = |json| NewPolicy {
        version: 1,
        json,
        bound_ms: 2000,
        former_bound_ms: 5000,
        outbox: 7,
    };
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.lock_feed().await.expect("asked"), None, "there is none");
    assert!(tx.insert_feed_state(&[3; 16], NOW).await.expect("made"));
    assert!(!tx.insert_feed_state(&[4; 16], NOW).await.expect("asked"));
    assert!(tx.advance_epoch(1, 4).await.expect("advanced"));
    assert!(!tx.advance_epoch(1, 5).await.expect("asked"));
    assert_eq!(tx.lock_feed().await.expect("locked"), Some(4));
    assert!(tx.set_published_policy(0, policy(b"{}")).await.expect("set"));
    assert!(!tx.set_published_policy(0, policy(b"[]")).await.expect("asked"));
    assert!(!tx.note_policy_acknowledged(8, NOW).await.expect("another"));
    assert!(tx.note_policy_acknowledged(7, NOW).await.expect("noted"));
    assert!(!tx.note_policy_acknowledged(7, LATER).await.expect("asked"));
    let state = tx.feed_state().await.expect("asked").expect("there");
    assert_eq!(
        (state.epoch, state.policy_version, state.policy),
        (4, 1, b"{}".to_vec())
    );
    let head = Position { epoch: 1, seq: 7 };
    tx.insert_absorbed_head(head, &[5; 32], NOW).await.expect("noted");
    tx.insert_absorbed_head(head, &[5; 32], NOW).await.expect("again");
    assert!(tx.is_absorbed(head, &[5; 32]).await.expect("asked"));
    assert!(!tx.is_absorbed(head, &[6; 32]).await.expect("asked"));
    tx.set_incarnation([1; 16]).await.expect("set");
}
