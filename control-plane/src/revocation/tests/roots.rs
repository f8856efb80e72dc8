//! Another root, with an edge that trusts both for a while.

use shared::feed::{Replica, Trust};

use super::{head, key, pair_on, publish, revoke};
use crate::audit::Actor;
use crate::revocation::link::Link;
use crate::revocation::publish::round;
use crate::revocation::{FeedError, announce_root, replace_root, trust};
use crate::signing::{self, Purpose};
use crate::store::Store;
use crate::store::conformance::suite;

suite! {
    a_root_is_replaced_with_the_edge_and_not_without_it,
}

async fn a_root_is_replaced_with_the_edge_and_not_without_it(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let app = &test.app;
    let actor = Actor::command_line();
    let mut link = Link::new(hub.edge("hub"));
    publish(app, &mut link).await;
    let (kept, gone) = (key(&test).await, key(&test).await);
    revoke(&test, gone, "none").await;
    publish(app, &mut link).await;
    let early = replace_root(app, true, &actor).await;
    assert!(matches!(early, Err(FeedError::NoNewRoot)), "{early:?}");
    announce_root(app, &actor).await.expect("announced");
    announce_root(app, &actor).await.expect("twice is once");
    let roots = || {
        app.keyring
            .all()
            .into_iter()
            .filter(|key| key.purpose == Purpose::Root)
    };
    assert_eq!(roots().count(), 2);
    let next = signing::pending_root(&app.keyring).expect("announced");
    let lines = trust(&mut app.store.begin_read().await.expect("tx"), &app.keyring, None)
        .await
        .expect("lines");
    assert_eq!(lines.root_key.split(',').count(), 2);
    let refused = replace_root(app, false, &actor).await;
    assert!(
        matches!(refused, Err(FeedError::RootNotTaken { .. })),
        "{refused:?}"
    );
    assert_eq!(head(app).await.epoch, 1);

    // The edge is deployed with both, and loads what it has under them.
    let told = |other: bool| {
        hub.with(|shelf| {
            let old = shelf.replica.take().expect("trust");
            let trust = if other {
                Trust {
                    other_root: Some(next.public.clone()),
                    ..old.trust().clone()
                }
            } else {
                Trust::new(old.trust().feed, next.public.clone())
            };
            let mut replica = Replica::new(trust);
            for envelope in &shelf.log {
                // What the old root vouched for is refused when only the new one is pinned; the snapshot is enough.
                let _ = replica.accept(envelope);
            }
            shelf.replica = Some(replica);
        });
    };
    told(true);
    // One more that waits, announced under the old root.
    let late = key(&test).await;
    revoke(&test, late, "none").await;
    assert_eq!(replace_root(app, false, &actor).await.expect("an epoch"), 2);
    round(app).await.expect("it publishes");
    publish(app, &mut link).await;
    assert!(hub.is_revoked(gone) && hub.is_revoked(late) && !hub.is_revoked(kept));
    assert!(hub.knows(kept));
    told(false);
    publish(app, &mut Link::new(hub.edge("hub"))).await;
    let new = key(&test).await;
    revoke(&test, new, "none").await;
    publish(app, &mut link).await;
    assert!(hub.is_revoked(gone) && hub.is_revoked(new) && hub.knows(kept));
    assert_eq!(hub.position(), Some(head(app).await));
    let old = roots().find(|key| key.id != next.id).expect("listed");
    assert!(old.sign(b"x").is_err(), "its private half is destroyed");
}
