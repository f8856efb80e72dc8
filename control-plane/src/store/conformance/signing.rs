//! Status indexes: drawn once, from blocks that the edge knows.

use std::collections::BTreeSet;

use shared::feed::Entry;
use shared::id::StatusIndex;
use shared::time::UnixMillis;

use super::NOW;
use super::installation::{Installation, LATER, index};
use crate::signing::{self, Purpose, SigningError};
use crate::store::feed::Position;
use crate::store::keys::ApiKey;
use crate::store::signing::BlockRow;
use crate::store::{Store, Tx, int};

pub(super) async fn an_index_is_drawn_once(store: Store) {
    let installation = Installation::new(store).await;
    installation.publish().await;
    let replica = installation.replica().await;
    let mut drawn = BTreeSet::new();
    for _ in 0..50 {
        let (key, index) = installation.draw(None).await.expect("drawn");
        assert_eq!(
            replica.state().owner(index),
            Some(key),
            "the edge knows the block"
        );
        assert!(drawn.insert(index));
    }
    let taken = index(drawn.first().expect("some").get());
    let block = taken.list() * StatusIndex::LIST_LENGTH;
    let mut tx = installation.tx().await;
    assert!(
        !tx.take_index(taken, int(block), None, NOW).await.expect("asked"),
        "taken"
    );
    assert_eq!(tx.taken_indexes(int(block)).await.expect("list").len(), 50);
    assert!(tx.revoke_index(taken, NOW).await.expect("revoked"));
    assert!(
        !tx.revoke_index(taken, LATER).await.expect("revoked"),
        "the first time counts"
    );
}

pub(super) async fn an_index_waits_for_its_block(store: Store) {
    let installation = Installation::new(store).await;
    installation
        .draw(None)
        .await
        .expect("before any edge there is nobody to wait for");
    installation.publish().await;
    installation.acknowledge("a", Position { epoch: 1, seq: 0 }).await;
    assert!(matches!(
        installation.draw(None).await,
        Err(SigningError::NoIndex(Purpose::AccessToken))
    ));
    installation.acknowledge("a", installation.head().await).await;
    installation.draw(None).await.expect("acknowledged");
    installation.acknowledge("b", Position { epoch: 1, seq: 0 }).await;
    assert!(installation.draw(None).await.is_err(), "every edge");
    installation.tx().await.forget_peer("b").await.expect("forgotten");
    let mut tx = installation.tx().await;
    tx.forget_peer("b").await.expect("forgotten");
    tx.commit().await.expect("commit");
    installation
        .draw(None)
        .await
        .expect("an edge that is gone holds nothing up");
}

pub(super) async fn a_full_block_is_closed(store: Store) {
    let installation = Installation::new(store).await;
    let mut tx = installation.tx().await;
    let key = tx
        .active_signing_key("access_token")
        .await
        .expect("asked")
        .expect("one");
    let announced_by = tx
        .enqueue_entry("test", &Entry::revoked(index(1)).encode(), None, NOW)
        .await
        .expect("enqueued");
    let small = BlockRow {
        start: 16,
        length: 4,
        signing_key: int(key.get()),
        announced_by: None,
        closed_at: None,
    };
    assert!(tx.insert_index_block(&small, NOW).await.expect("inserted"));
    assert!(
        !tx.insert_index_block(&small, NOW).await.expect("asked"),
        "handed out once"
    );
    tx.announce_index_block(16, announced_by)
        .await
        .expect("announced");
    tx.commit().await.expect("commit");
    let mut inside = 0;
    for _ in 0..12 {
        let (_, drawn) = installation.draw(None).await.expect("drawn");
        inside += u32::from(drawn.get() < 20);
    }
    // By chance, the last ones may never have been met before the block counted as full.
    assert!((1..=4).contains(&inside), "{inside}");
    let mut tx = installation.tx().await;
    let blocks = tx.index_blocks().await.expect("blocks");
    assert!(
        blocks
            .iter()
            .any(|block| block.start == 16 && block.closed_at.is_some())
    );
    assert_eq!(
        tx.open_index_blocks(key).await.expect("blocks").len(),
        3,
        "two to spare"
    );
    let next = tx.next_block_start().await.expect("start");
    assert!(blocks.iter().all(|block| block.start + block.length <= int(next)));
}

pub(super) async fn old_indexes_are_forgotten(store: Store) {
    let installation = Installation::new(store).await;
    let end = NOW.seconds().saturating_add(3600);
    let (key, _) = installation.draw(Some(end)).await.expect("drawn");
    let mut tx = installation.tx().await;
    assert_eq!(tx.last_expiry(key).await.expect("asked"), Some(end));
    let after = UnixMillis(end.millis().0 + 48 * 3600 * 1000);
    assert_eq!(
        signing::prune_indexes(&mut tx, after).await.expect("pruned"),
        0,
        "its block is still drawn from"
    );
    tx.close_index_blocks(Some(key), NOW).await.expect("closed");
    assert_eq!(
        signing::prune_indexes(&mut tx, NOW).await.expect("pruned"),
        0,
        "it still lives"
    );
    assert_eq!(signing::prune_indexes(&mut tx, after).await.expect("pruned"), 1);
    assert_eq!(tx.last_expiry(key).await.expect("asked"), None);
}

/// A list goes when its last credential has, and not before: whether that is a token or a key, ended or revoked.
pub(super) async fn a_list_without_life_is_retired(store: Store) {
    let installation = Installation::new(store.clone()).await;
    let end = NOW.seconds().saturating_add(3600);
    let (signer, token) = installation.draw(Some(end)).await.expect("drawn");
    let list = token.list();
    super::people(&store).await.commit().await.expect("commit");
    let first = list * StatusIndex::LIST_LENGTH;
    let (forever, expiring) = (super::sample(first + 7), super::sample(first + 8));
    let expiring = ApiKey {
        expires_at: Some(end),
        ..expiring
    };
    let mut tx = installation.tx().await;
    tx.insert_key(&forever).await.expect("inserted");
    tx.insert_key(&expiring).await.expect("inserted");
    let after = end.saturating_add(48 * 3600).millis();
    let retire = async |tx: &mut Tx, now| signing::retire_blocks(tx, now).await.expect("looked");
    assert_eq!(retire(&mut tx, after).await, 0, "still drawn from");
    tx.close_index_blocks(Some(signer), NOW).await.expect("closed");
    let spares = tx.index_blocks().await.expect("blocks");
    let spares = spares.iter().filter(|block| block.closed_at.is_some()).count() as u64 - 1;
    assert_eq!(
        retire(&mut tx, NOW).await,
        0,
        "all that was ever sent could still be on its way"
    );
    assert_eq!(
        retire(&mut tx, after).await,
        spares,
        "those that were never used, but not the one with a key that has no end"
    );
    tx.revoke_key(forever.id, &super::revoked(0))
        .await
        .expect("revoked");
    assert_eq!(
        retire(&mut tx, end.saturating_add(3600).millis()).await,
        0,
        "within a day"
    );
    assert_eq!(retire(&mut tx, after).await, 1);
    assert_eq!(retire(&mut tx, after).await, 0, "once");
    assert_eq!(tx.taken_indexes(int(first)).await.expect("list"), [] as [i64; 0]);
    tx.commit().await.expect("commit");
    installation.publish().await;
    let replica = installation.replica().await;
    assert!(replica.state().is_retired(token) && replica.state().owner(token).is_none());
}
