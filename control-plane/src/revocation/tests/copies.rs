//! Which copy of a database publishes.

use super::{beside, head, key, pair_on, publish, revoke};
use crate::audit::Actor;
use crate::revocation::link::Link;
use crate::revocation::publish::round;
use crate::revocation::recover::{absorb, recover};
use crate::revocation::{FeedError, frame, incarnation, take_over};
use crate::store::Store;
use crate::store::conformance::suite;

suite! {
    a_copy_publishes_nothing_until_it_takes_over,
    a_take_over_that_was_cut_off_publishes_nothing,
}

async fn a_copy_publishes_nothing_until_it_takes_over(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    let (before, messages) = (head(&test.app).await, hub.with(|shelf| shelf.seen.len()));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("incarnation");
    let copy = beside(&test, |config| config.incarnation_file = Some(file.clone()))
        .await
        .expect("an application");
    let mut stranger = hub
        .with(|shelf| shelf.replica.as_ref().expect("trust").head())
        .expect("a head");
    stranger.epoch += 1;
    for problem in ["does not exist", "names another copy", "holds no incarnation"] {
        let refusals = [
            round(&copy).await.err(),
            Link::new(hub.edge("hub")).contact(&copy).await.err(),
            recover(&copy, &Actor::system()).await.err(),
            absorb(&copy, &hub.edge("hub"), stranger).await.err(),
        ];
        for refusal in refusals {
            assert!(
                matches!(&refusal, Some(FeedError::Copy { problem: why, .. }) if *why == problem),
                "{problem}: {refusal:?}"
            );
        }
        if problem == "does not exist" {
            incarnation::write(&file, [9; 16]).expect("written");
        } else {
            std::fs::write(&file, "no such thing").expect("written");
        }
    }
    assert!(!copy.feed.alive(test.clock.now()), "it is not ready");
    assert_eq!(head(&copy).await, before);
    assert_eq!(hub.with(|shelf| shelf.seen.len()), messages, "nothing was sent");

    assert_eq!(
        take_over(&copy, &Actor::command_line()).await.expect("an epoch"),
        2
    );
    round(&copy).await.expect("it publishes");
    assert!(copy.feed.alive(test.clock.now()));
    publish(&copy, &mut Link::new(hub.edge("hub"))).await;
    assert!(hub.is_revoked(victim));
    let other = round(&test.app).await;
    assert!(
        matches!(other, Err(FeedError::Copy { .. })),
        "the other stops: {other:?}"
    );
}

async fn a_take_over_that_was_cut_off_publishes_nothing(store: Store) {
    let (test, _hub) = pair_on(Some(store)).await;
    round(&test.app).await.expect("it publishes");
    // The file was written, the commit never came.
    incarnation::write(&test.app.config.incarnation_path(), [9; 16]).expect("written");
    assert!(matches!(round(&test.app).await, Err(FeedError::Copy { .. })));
    take_over(&test.app, &Actor::command_line())
        .await
        .expect("an epoch");
    round(&test.app).await.expect("it publishes again");
    let head = frame::head(&mut test.app.store.begin_read().await.expect("tx"))
        .await
        .expect("a head");
    assert_eq!(head.epoch, 2);
}
