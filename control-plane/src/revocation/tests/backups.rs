//! A backup put back behind an edge that knows more, and a database that moved.

use super::{Hub, head, key, pair_on, publish, revoke};
use crate::app::{App, Parts};
use crate::audit::Actor;
use crate::backup;
use crate::config::Config;
use crate::random::Random;
use crate::revocation::link::Link;
use crate::revocation::publish::round;
use crate::revocation::{FeedError, take_over};
use crate::store::Store;
use crate::store::conformance::suite;
use crate::testing::TestApp;
use std::sync::Arc;

suite! {
    a_restored_backup_waits_for_a_take_over_and_learns_what_it_lost,
    a_moved_database_publishes_in_the_same_epoch_and_the_old_one_nothing,
}

/// Another process on another database, with the same files beside it.
async fn on(test: &TestApp, store: Store) -> Arc<App> {
    let parts = Parts {
        config: Config::clone(&test.app.config),
        store,
        clock: test.clock.clone(),
        random: Random::system(),
        metrics: test.app.metrics.clone(),
    };
    App::build(parts).await.expect("an application")
}

async fn empty(folder: &tempfile::TempDir) -> Store {
    let url = format!("sqlite://{}", folder.path().join("other.db").display());
    Store::connect(&url).await.expect("a database")
}

async fn settle(app: &App, hub: &Hub) {
    round(app).await.expect("it publishes");
    let mut link = Link::new(hub.edge("hub"));
    link.contact(app).await.expect("contact");
    publish(app, &mut link).await;
}

async fn a_restored_backup_waits_for_a_take_over_and_learns_what_it_lost(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("portcullis.bak");
    let (kept, later) = (key(&test).await, key(&test).await);
    settle(&test.app, &hub).await;
    backup::save(&test.app.store, &file, false, test.clock.now())
        .await
        .expect("a backup");
    revoke(&test, later, "none").await;
    let lost = key(&test).await;
    settle(&test.app, &hub).await;
    let before = hub.position().expect("a head");
    assert!(hub.is_revoked(later) && !hub.is_revoked(lost));

    let copy = empty(&folder).await;
    backup::restore(&copy, &file, &Random::system(), test.clock.now())
        .await
        .expect("restored");
    let app = on(&test, copy).await;
    let refused = round(&app).await;
    assert!(matches!(refused, Err(FeedError::Copy { .. })), "{refused:?}");
    let refused = Link::new(hub.edge("hub")).contact(&app).await;
    assert!(matches!(refused, Err(FeedError::Copy { .. })));
    assert_eq!(hub.position(), Some(before), "nothing was sent");

    take_over(&app, &Actor::command_line()).await.expect("an epoch");
    settle(&app, &hub).await;
    assert!(hub.is_revoked(later), "not undone");
    assert!(hub.is_revoked(lost), "what nobody can list or revoke is dead");
    assert!(!hub.is_revoked(kept));
    let now = head(&app).await;
    assert!(
        now.epoch > before.epoch && now.seq > before.seq,
        "{now:?} {before:?}"
    );
    assert_eq!(hub.position(), Some(now));
    let mut tx = app.store.begin_read().await.expect("tx");
    let row = tx.key(later.into()).await.expect("read").expect("known");
    assert!(row.revoked.is_some());
    let refused = round(&test.app).await;
    assert!(
        matches!(refused, Err(FeedError::Copy { .. })),
        "the first one stops"
    );
}

async fn a_moved_database_publishes_in_the_same_epoch_and_the_old_one_nothing(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, before) = (key(&test).await, key(&test).await);
    revoke(&test, before, "none").await;
    // Not even framed: it must not get lost.
    let copy = empty(&folder).await;
    backup::transfer(
        &test.app.store,
        &copy,
        "there",
        &Random::system(),
        test.clock.now(),
    )
    .await
    .expect("moved");
    let refused = round(&test.app).await;
    assert!(
        matches!(&refused, Err(FeedError::Copy { problem, .. }) if problem.contains("moved")),
        "{refused:?}"
    );
    let refused = Link::new(hub.edge("hub")).contact(&test.app).await;
    assert!(matches!(refused, Err(FeedError::Copy { .. })));
    let app = on(&test, copy).await;
    settle(&app, &hub).await;
    assert!(hub.is_revoked(before) && !hub.is_revoked(kept));
    assert_eq!(head(&app).await.epoch, 1);
}
