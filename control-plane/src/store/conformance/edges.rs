//! Keys of edges, alerts, canaries, leases.

use shared::id::StatusIndex;
use shared::time::{UnixMillis, UnixSeconds};

use super::NOW;
use super::installation::LATER;
use crate::store::edges::AlertRow;
use crate::store::feed::{FeedNo, Position};
use crate::store::{Store, int};

pub(super) async fn edge_keys_are_found_until_they_end(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    tx.insert_edge_key("upl_1", "a", &[1; 32], NOW)
        .await
        .expect("made");
    tx.insert_edge_key("upl_2", "a", &[2; 32], LATER)
        .await
        .expect("made");
    tx.hold_edge_keys("a").await.expect("held");
    let ids: Vec<_> = tx
        .edge_keys()
        .await
        .expect("list")
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, ["upl_1", "upl_2"]);
    let found = tx.edge_key(&[1; 32]).await.expect("asked").expect("there");
    assert_eq!((found.edge.as_str(), found.used_at), ("a", None));
    assert_eq!(tx.last_fetch("a").await.expect("asked"), None);
    tx.touch_edge_key("upl_1", LATER).await.expect("noted");
    tx.touch_edge_key("upl_1", NOW).await.expect("ignored");
    assert_eq!(tx.last_fetch("a").await.expect("asked"), Some(LATER));
    assert!(
        !tx.revoke_edge_key("b", "upl_1", NOW)
            .await
            .expect("another edge's")
    );
    assert!(tx.revoke_edge_key("a", "upl_1", NOW).await.expect("ended"));
    assert!(!tx.revoke_edge_key("a", "upl_1", LATER).await.expect("asked"));
    assert_eq!(tx.edge_key(&[1; 32]).await.expect("asked"), None);
    assert!(tx.edge_key(&[2; 32]).await.expect("asked").is_some());
}

pub(super) async fn an_alert_is_raised_once(store: Store) {
    let alert = |detail: &str| AlertRow {
        edge: "a".to_owned(),
        region: "weur".to_owned(),
        kind: "pending".to_owned(),
        since: int(NOW.0),
        detail: detail.to_owned(),
    };
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.raise_edge_alert(&alert("x")).await.expect("raised"));
    assert!(!tx.raise_edge_alert(&alert("y")).await.expect("asked"));
    assert_eq!(tx.edge_alerts().await.expect("list"), [alert("x")]);
    assert!(
        tx.clear_edge_alert("a", "weur", "pending")
            .await
            .expect("cleared")
    );
    assert!(!tx.clear_edge_alert("a", "weur", "pending").await.expect("asked"));
    assert!(tx.edge_alerts().await.expect("list").is_empty());
}

pub(super) async fn canaries_go_with_their_indexes(store: Store) {
    let index = StatusIndex::from_u64((1 << 20) + 7).expect("small");
    let mut tx = store.begin().await.expect("tx");
    let end = UnixSeconds(NOW.seconds().0 + 600);
    tx.insert_canary(index, end, NOW).await.expect("made");
    assert!(tx.is_canary(index).await.expect("asked"));
    // Among more than one statement takes.
    let many: Vec<StatusIndex> = (0..1200)
        .map(|nth| StatusIndex::from_u64((1 << 20) + nth).expect("small"))
        .collect();
    assert_eq!(tx.canaries_among(&many).await.expect("asked"), [index]);
    assert_eq!(tx.canaries_among(&many[..7]).await.expect("asked"), []);
    assert!(tx.revoke_canary(index, NOW).await.expect("revoked"));
    assert!(!tx.revoke_canary(index, LATER).await.expect("asked"));
    assert_eq!(
        tx.forget_canaries().await.expect("forgotten"),
        1,
        "its index was never drawn here"
    );
    assert!(!tx.is_canary(index).await.expect("asked"));
}

pub(super) async fn a_lease_has_one_holder(store: Store) {
    let end = |ms: u64| UnixMillis(NOW.0 + ms);
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.take_lease("watch", "a", end(10), NOW).await.expect("taken"));
    assert!(!tx.take_lease("watch", "b", end(10), NOW).await.expect("asked"));
    assert!(
        tx.take_lease("watch", "a", end(20), end(5))
            .await
            .expect("renewed")
    );
    assert!(
        !tx.take_lease("watch", "b", end(30), end(20))
            .await
            .expect("asked")
    );
    assert!(
        tx.take_lease("watch", "b", end(40), end(21))
            .await
            .expect("it was over")
    );
    assert!(
        !tx.take_lease("watch", "a", end(40), end(22))
            .await
            .expect("asked")
    );
    assert!(
        tx.take_lease("other", "a", end(40), end(22))
            .await
            .expect("another")
    );
}

pub(super) async fn frames_say_when_they_were_made(store: Store) {
    let at = |epoch, seq| Position { epoch, seq };
    let mut tx = store.begin().await.expect("tx");
    for seq in 1..=4u8 {
        let time = UnixMillis(NOW.0 + u64::from(seq));
        tx.insert_frame(FeedNo::ALL, at(1, seq.into()), &[seq; 32], Some(b"x"), 1, time)
            .await
            .expect("a frame");
    }
    tx.insert_frame(FeedNo::ALL, at(2, 5), &[5; 32], None, 0, LATER)
        .await
        .expect("an opening");
    let times = tx.frame_times(at(1, 1), at(1, 3), 10).await.expect("times");
    assert_eq!(times, [UnixMillis(NOW.0 + 3), UnixMillis(NOW.0 + 2)]);
    assert_eq!(
        tx.frame_times(at(1, 0), at(1, 4), 1).await.expect("times"),
        [UnixMillis(NOW.0 + 4)]
    );
    let first = async |tx: &mut crate::store::Tx, epoch, seq| {
        tx.first_frame_time(at(epoch, seq)).await.expect("asked")
    };
    assert_eq!(first(&mut tx, 1, 2).await, Some(UnixMillis(NOW.0 + 3)));
    assert_eq!(first(&mut tx, 1, 4).await, Some(LATER), "the next epoch's");
    assert_eq!(first(&mut tx, 2, 5).await, None);
}
