//! Signing keys under replacement.

use crate::store::feed::FeedNo;
use shared::feed::KeyRef;

use super::NOW;
use super::installation::{Installation, LATER, enqueue_revocation, index};
use crate::signing::{self, KeyState, Purpose, SigningError};
use crate::store::Store;

pub(super) async fn a_key_is_replaced_when_every_edge_has_it(store: Store) {
    let installation = Installation::new(store).await;
    installation.publish().await;
    let old = installation
        .tx()
        .await
        .active_signing_key("api_key")
        .await
        .expect("asked")
        .expect("one");
    let edges = ["a".to_owned(), "b".to_owned()];
    installation.acknowledge("a", installation.head().await).await;
    installation.acknowledge("b", installation.head().await).await;
    let new = installation.rotate(Purpose::ApiKey).await.expect("rotated");
    assert!(
        matches!(installation.rotate(Purpose::ApiKey).await, Err(SigningError::RotationPending(id)) if id == new)
    );
    assert!(!installation.advance(&edges, NOW).await, "not even framed");
    installation.publish().await;
    installation.acknowledge("a", installation.head().await).await;
    assert!(!installation.advance(&edges, NOW).await, "b has not said so");
    installation.acknowledge("b", installation.head().await).await;
    assert!(!installation.advance(&edges, NOW).await, "a bound must pass");
    assert_eq!(installation.state_of(new), KeyState::Pending);
    assert!(installation.advance(&edges, LATER).await);
    assert_eq!(
        (installation.state_of(old), installation.state_of(new)),
        (KeyState::Retired, KeyState::Active)
    );
    let retired = installation.keyring.known(old).expect("known");
    assert!(
        matches!(retired.sign(b"x"), Err(SigningError::NoPrivateHalf(_))),
        "destroyed"
    );
    assert!(
        installation.keyring.api_key_verifier(old).is_some(),
        "what it signed counts"
    );
    let mut tx = installation.tx().await;
    let (signer, _) = signing::draw_index(
        &mut tx,
        Purpose::ApiKey,
        &crate::revocation::Reach::All,
        None,
        &installation.random,
        LATER,
    )
    .await
    .expect("drawn");
    assert_eq!(signer, new);
    assert_eq!(tx.open_index_blocks(old).await.expect("blocks"), []);
    tx.commit().await.expect("commit");
    assert_eq!(installation.replica().await.state().keys().count(), 3);
}

pub(super) async fn a_token_key_goes_with_its_last_token(store: Store) {
    let installation = Installation::new(store).await;
    let end = NOW.seconds().saturating_add(3600);
    let (old, _) = installation.draw(Some(end)).await.expect("drawn");
    let new = installation.rotate(Purpose::AccessToken).await.expect("rotated");
    installation.publish().await;
    assert!(!installation.advance(&[], NOW).await, "seen");
    assert!(installation.advance(&[], LATER).await, "switched");
    assert_eq!(
        (installation.state_of(old), installation.state_of(new)),
        (KeyState::Retired, KeyState::Active)
    );
    assert!(
        !installation.advance(&[], end.millis()).await,
        "a token still lives"
    );
    assert!(installation.advance(&[], end.saturating_add(200).millis()).await);
    assert_eq!(installation.state_of(old), KeyState::Removed);
    installation.publish().await;
    assert!(
        installation
            .replica()
            .await
            .state()
            .is_removed(&KeyRef::Ours(old))
    );
}

pub(super) async fn a_feed_key_takes_over_at_once(store: Store) {
    let installation = Installation::new(store.clone()).await;
    installation.publish().await;
    let new = installation.rotate(Purpose::Feed).await.expect("rotated");
    assert_eq!(installation.state_of(new), KeyState::Active);
    enqueue_revocation(&store, 5).await;
    installation.publish().await;
    assert!(
        installation.replica().await.state().is_revoked(index(5)),
        "one chain under two certificates"
    );
    let mut tx = installation.tx().await;
    assert!(
        tx.certificate(FeedNo::ALL, 1, new.get())
            .await
            .expect("asked")
            .is_some()
    );
    assert!(
        tx.certificate(FeedNo::ALL, 2, new.get())
            .await
            .expect("asked")
            .is_none()
    );
}

pub(super) async fn a_compromised_key_goes_at_once(store: Store) {
    let installation = Installation::new(store).await;
    let end = NOW.seconds().saturating_add(3600);
    let (old, _) = installation.draw(Some(end)).await.expect("drawn");
    let pending = installation.rotate(Purpose::AccessToken).await.expect("rotated");
    let done = installation
        .replace_compromised(Purpose::AccessToken, None)
        .await
        .expect("replaced");
    assert_eq!(
        done.removed,
        [old, pending],
        "what lay beside it is not trusted either"
    );
    let (new, first) = done.new.expect("a signer");
    assert_eq!(
        [old, pending, new].map(|id| installation.state_of(id)),
        [KeyState::Removed, KeyState::Removed, KeyState::Active]
    );
    for gone in [old, pending] {
        let key = installation.keyring.known(gone).expect("known");
        assert!(matches!(key.sign(b"x"), Err(SigningError::NoPrivateHalf(_))));
    }
    installation.publish().await;
    let replica = installation.replica().await;
    assert!(
        [old, pending]
            .map(KeyRef::Ours)
            .iter()
            .all(|key| replica.state().is_removed(key))
    );
    assert!(!replica.state().is_removed(&KeyRef::Ours(new)));
    assert_eq!(replica.state().owner(first), Some(new));
    let (signer, drawn) = installation.draw(Some(end)).await.expect("drawn");
    assert_eq!(signer, new);
    assert_ne!(drawn, first, "taken");
    let mut tx = installation.tx().await;
    for gone in [old, pending] {
        assert_eq!(tx.open_index_blocks(gone).await.expect("blocks"), []);
        let trail = tx.audit_of(&gone.to_string(), 10).await.expect("rows");
        assert!(trail.iter().any(|row| row.action == "signing_key.compromise"));
    }
    drop(tx);
    assert!(!installation.advance(&[], LATER).await, "nothing is on its way");
    for (purpose, which) in [
        (Purpose::Root, None),
        (Purpose::Feed, None),
        (Purpose::AccessToken, Some(old)),
    ] {
        let refused = installation.replace_compromised(purpose, which).await;
        assert!(refused.is_err(), "{purpose} {refused:?}");
    }
}

/// Whoever only rotated after a leak has not lost the way to remove the leaked key.
pub(super) async fn a_retired_key_can_be_named(store: Store) {
    let installation = Installation::new(store).await;
    let active = async || {
        let mut tx = installation.tx().await;
        tx.active_signing_key("api_key")
            .await
            .expect("asked")
            .expect("one")
    };
    let old = active().await;
    let new = installation.rotate(Purpose::ApiKey).await.expect("rotated");
    installation.publish().await;
    assert!(!installation.advance(&[], NOW).await, "seen");
    assert!(installation.advance(&[], LATER).await, "switched");
    let wrong = installation
        .replace_compromised(Purpose::AccessToken, Some(old))
        .await;
    assert!(
        matches!(wrong, Err(SigningError::UnknownKey(id)) if id == old),
        "not of this purpose"
    );
    let done = installation
        .replace_compromised(Purpose::ApiKey, Some(old))
        .await
        .expect("removed");
    assert_eq!((done.removed, done.new), (vec![old], None));
    assert_eq!(active().await, new, "the good one goes on");
    installation.publish().await;
    assert!(
        installation
            .replica()
            .await
            .state()
            .is_removed(&KeyRef::Ours(old))
    );
}

pub(super) async fn the_root_stays(store: Store) {
    let installation = Installation::new(store).await;
    assert!(matches!(
        installation.rotate(Purpose::Root).await,
        Err(SigningError::RootIsPinned)
    ));
    let mut tx = installation.tx().await;
    let root = tx.active_signing_key("root").await.expect("asked").expect("one");
    assert!(
        !tx.remove_signing_key(root, NOW).await.expect("asked"),
        "only a retired key is removed"
    );
    assert!(tx.disown_signing_key(root, NOW).await.expect("asked"));
    assert!(!tx.disown_signing_key(root, NOW).await.expect("asked"));
}
