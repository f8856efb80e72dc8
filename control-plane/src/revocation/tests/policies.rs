//! What outlives a policy: its bound for a while, its scopes for ever.

use shared::policy::{CompiledPolicy, Policy};
use shared::scope::Catalogue;
use shared::time::UnixMillis;

use super::{beside, head, key, revoke};
use crate::audit::Actor;
use crate::revocation::policy::{bound_ms, note_acknowledged, republish};
use crate::revocation::publish::advance_keys;
use crate::revocation::{Cause, Wait, await_receipt, check_policy, frame_pending, publish_policy};
use crate::signing::{self, KeyState, Purpose, SigningError};
use crate::store::Store;
use crate::store::conformance::suite;
use crate::store::feed::Peer;
use crate::testing::TestApp;

suite! {
    a_tighter_policy_counts_when_every_edge_has_it,
    a_policy_that_was_lost_counts_until_ours_is_back,
    scopes_are_only_appended,
}

/// Publishes a policy, frames everything, and lets the edge have it.
async fn publish(test: &TestApp, policy: &CompiledPolicy) {
    let app = &test.app;
    let mut tx = app.store.begin().await.expect("tx");
    let actor = Actor::system();
    let cause = Cause::system(&actor, "a test");
    publish_policy(&mut tx, policy, cause, &test.app.random, test.clock.now())
        .await
        .expect("published");
    tx.commit().await.expect("commit");
}

async fn acknowledge(test: &TestApp) {
    let app = &test.app;
    frame_pending(&app.store, &app.keyring, test.clock.now())
        .await
        .expect("framed");
    let position = head(app).await;
    let mut tx = app.store.begin().await.expect("tx");
    let peer = Peer {
        name: "hub".to_owned(),
        position,
        acked_at: test.clock.now(),
        feed: crate::store::feed::FeedNo::ALL,
    };
    tx.acknowledge(&peer).await.expect("noted");
    tx.commit().await.expect("commit");
}

async fn bound(test: &TestApp, at: UnixMillis) -> u64 {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let state = tx.feed_state().await.expect("asked").expect("there");
    bound_ms(&state, at).expect("a bound")
}

async fn a_tighter_policy_counts_when_every_edge_has_it(store: Store) {
    let test = TestApp::start_on(Some(store), |config| config.feed.colo_ttl_ms = 0).await;
    let tight = &test.app.policy();
    let mut loose = tight.policy.clone();
    let deny = loose
        .routes
        .iter_mut()
        .find(|route| !route.public && !route.strict);
    deny.expect("a route").max_staleness_ms = Some(10_000);
    let loose = loose.compile().expect("valid");
    assert_eq!((tight.bound_ms(), loose.bound_ms()), (2000, 10_000));

    publish(&test, &loose).await;
    assert_eq!(bound(&test, test.clock.now()).await, 10_000, "from the start");
    acknowledge(&test).await;
    note_acknowledged(&test.app).await.expect("noted");
    test.clock.advance_ms(60_000);
    publish(&test, tight).await;
    let later = test.clock.now().saturating_add(3_600_000);
    assert_eq!(
        bound(&test, later).await,
        10_000,
        "nobody has said that they have it"
    );

    let actor = Actor::system();
    let mut tx = test.app.store.begin().await.expect("tx");
    let (app, now) = (&test.app, test.clock.now());
    let signer = signing::rotate(&mut tx, &app.keyring, &app.random, Purpose::ApiKey, &actor, now)
        .await
        .expect("rotated");
    tx.commit().await.expect("commit");
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    acknowledge(&test).await;
    let subject = shared::id::KeyId::from(victim).to_string();
    let receipt = await_receipt(app, &subject, Wait::Ack).await.expect("a receipt");
    let effective_at = receipt.effective_at.expect("acknowledged");
    assert_eq!(
        (receipt.bound_ms, effective_at.0),
        (10_000, now.saturating_add(10_000))
    );

    note_acknowledged(app).await.expect("noted");
    let state = |at: KeyState| app.keyring.known(signer).expect("known").state == at;
    advance_keys(app, now).await.expect("seen");
    let last = now.saturating_add(9999);
    advance_keys(app, last).await.expect("too early");
    assert_eq!(
        (bound(&test, last).await, state(KeyState::Pending)),
        (10_000, true)
    );
    let over = now.saturating_add(10_000);
    advance_keys(app, over).await.expect("switched");
    assert_eq!((bound(&test, over).await, state(KeyState::Active)), (2000, true));
}

/// An edge has a policy that this database lost: its bound counts until every edge has ours again.
async fn a_policy_that_was_lost_counts_until_ours_is_back(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let tight = &test.app.policy();
    let mut loose = tight.policy.clone();
    let deny = loose
        .routes
        .iter_mut()
        .find(|route| !route.public && !route.strict);
    deny.expect("a route").max_staleness_ms = Some(10_000);
    let json = loose.to_json();
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    for (theirs, version, bound) in [
        (&json[..], 6, 10_000),
        (b"{\"scopes\":[],\"of\":\"a later version\"}", 10, 3_600_000),
    ] {
        let theirs = Some((version - 1, theirs));
        let ours = republish(&mut tx, theirs, tight, &test.app.random, now)
            .await
            .expect("published");
        assert_eq!(ours, version, "past theirs");
        let state = tx.feed_state().await.expect("asked").expect("there");
        assert_eq!(bound_ms(&state, now).expect("a bound"), bound);
        assert_eq!(state.policy, tight.policy.to_json());
    }
}

async fn scopes_are_only_appended(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let app = &test.app;
    let names = app.catalogue().all().to_vec();
    let with = |names: Vec<String>| -> CompiledPolicy {
        let policy = Policy {
            scopes: Catalogue::try_from(names).expect("a catalogue"),
            ..app.policy().policy.clone()
        };
        policy.compile().expect("valid")
    };
    let mut swapped = names.clone();
    swapped.swap(0, names.len() - 1);
    let swapped = with(swapped);
    let actor = Actor::system();
    let cause = Cause::system(&actor, "a test");
    let mut tx = app.store.begin().await.expect("tx");
    let refused = publish_policy(&mut tx, &swapped, cause, &app.random, test.clock.now()).await;
    assert!(
        matches!(refused, Err(SigningError::ScopesMoved { place: 1, .. })),
        "{refused:?}"
    );
    assert!(check_policy(&mut tx, &swapped).await.is_err());
    let more = with([names.clone(), vec!["later".to_owned()]].concat());
    assert_eq!(
        publish_policy(&mut tx, &more, cause, &app.random, test.clock.now())
            .await
            .expect("published"),
        Some(2)
    );
    let fewer = check_policy(&mut tx, &app.policy())
        .await
        .expect_err("a scope is gone");
    assert!(
        fewer.to_string().ends_with("was `later` and is nothing now"),
        "{fewer}"
    );
    drop(tx);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.json");
    std::fs::write(&path, swapped.policy.to_json()).expect("written");
    let refused = beside(&test, |config| config.policy_file = Some(path)).await;
    let error = refused.expect_err("the process does not start");
    assert!(error.to_string().contains("same order"), "{error}");
}
