//! The outbox and the frames that are made of it.

use std::collections::BTreeMap;

use shared::feed::{Entry, Frame};
use shared::id::StatusIndex;

use super::NOW;
use super::installation::{Installation, enqueue_revocation, index};
use crate::revocation::{self, frame_pending};
use crate::signing::{Keyring, MasterKey, SigningError};
use crate::store::feed::{FeedNo, Position};
use crate::store::{Store, StoreError};

pub(super) async fn a_first_start_makes_a_feed_once(store: Store) {
    let installation = Installation::new(store).await;
    assert!(
        !installation.initialise().await,
        "the second start changes nothing"
    );
    installation.publish().await;
    let replica = installation.replica().await;
    let state = replica.state();
    assert_eq!(state.keys().count(), 2);
    assert_eq!(state.blocks().count(), 6);
    assert_eq!(state.policy().map(|(version, _)| version), Some(1));
    assert!(
        state
            .blocks()
            .all(|block| block.length == StatusIndex::LIST_LENGTH && block.start.get() > 0)
    );
    let again = Keyring::new(MasterKey::for_tests(8));
    let wrong = again.reload(&mut installation.tx().await).await;
    assert!(
        matches!(wrong, Err(SigningError::Key(_))),
        "another master key opens nothing: {wrong:?}"
    );
}

pub(super) async fn rival_publishers_make_one_chain(store: Store) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 15;
    let installation = Installation::new(store.clone()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..EACH {
                enqueue_revocation(&store, writer * 1000 + number * 2).await;
            }
        });
    }
    for _ in 0..3 {
        let (store, keyring) = (store.clone(), installation.keyring.clone());
        tasks.spawn(async move {
            for _ in 0..40 {
                // Losing every attempt is allowed; losing a row is not.
                let _ = frame_pending(&store, &keyring, NOW).await;
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    installation.publish().await;
    let replica = installation.replica().await;
    assert_eq!(replica.state().revoked_count(), WRITERS * EACH);
    // Each row is in exactly one frame, and stamped with it.
    let mut tx = installation.tx().await;
    let mut seen: BTreeMap<StatusIndex, u64> = BTreeMap::new();
    for frame in tx
        .frames_after(FeedNo::ALL, Position { epoch: 1, seq: 0 }, 10_000)
        .await
        .expect("frames")
    {
        let envelope = frame.envelope.expect("bytes");
        let envelope = shared::feed::Envelope::decode(&envelope).expect("an envelope");
        for entry in Frame::decode(envelope.body).expect("a frame").entries {
            if let Entry::Revoked(ranges) = entry {
                for range in ranges {
                    *seen.entry(range.0).or_default() += 1;
                }
            }
        }
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    assert_eq!(tx.pending_count().await.expect("count"), 0);
}

pub(super) async fn what_was_not_committed_is_not_framed(store: Store) {
    let installation = Installation::new(store.clone()).await;
    installation.publish().await;
    let head = installation.head().await;
    let mut tx = store.begin().await.expect("tx");
    revocation::enqueue(
        &mut tx,
        &crate::revocation::Reach::All,
        "test",
        &Entry::revoked(index(1)),
        NOW,
    )
    .await
    .expect("enqueued");
    drop(tx);
    assert_eq!(
        frame_pending(&store, &installation.keyring, NOW)
            .await
            .expect("framed"),
        None
    );
    assert_eq!(installation.head().await, head);
    assert_eq!(
        installation
            .tx()
            .await
            .entries_after(FeedNo::ALL, Position { epoch: 1, seq: 0 })
            .await
            .expect("count"),
        9
    );
}

pub(super) async fn a_frame_leaves_room_for_the_next(store: Store) {
    let installation = Installation::new(store.clone()).await;
    installation.publish().await;
    let before = installation.head().await;
    let mut tx = store.begin().await.expect("tx");
    for version in 2..6 {
        let entry = Entry::Policy {
            version,
            json: vec![b' '; 400 * 1024],
        };
        revocation::enqueue(&mut tx, &crate::revocation::Reach::All, "policy", &entry, NOW)
            .await
            .expect("enqueued");
    }
    let huge = Entry::Unknown {
        kind: 99,
        critical: false,
        payload: vec![0; 1 << 20],
    };
    assert!(matches!(
        revocation::enqueue(&mut tx, &crate::revocation::Reach::All, "x", &huge, NOW).await,
        Err(StoreError::Corrupt(_))
    ));
    tx.commit().await.expect("commit");
    installation.publish().await;
    assert_eq!(
        installation.head().await.seq,
        before.seq + 2,
        "two of 400 KiB in each frame of 1 MiB"
    );
    assert_eq!(
        installation
            .replica()
            .await
            .state()
            .policy()
            .map(|(version, _)| version),
        Some(5)
    );
}

pub(super) async fn a_pending_entry_can_be_withdrawn(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let id = tx.enqueue_entry("x", b"x", None, NOW).await.expect("enqueued");
    assert!(tx.withdraw_entry(id).await.expect("asked"));
    assert!(!tx.withdraw_entry(id).await.expect("asked"));
    let id = tx.enqueue_entry("x", b"x", None, NOW).await.expect("enqueued");
    let at = Position { epoch: 1, seq: 3 };
    assert_eq!(tx.stamp_entries(id, id, at).await.expect("stamped"), 1);
    assert_eq!(tx.outbox_position(id).await.expect("asked"), Some(at));
    assert!(!tx.withdraw_entry(id).await.expect("asked"), "framed");
}
