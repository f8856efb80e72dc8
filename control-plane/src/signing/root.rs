//! Another root: announced, so that edges can be told; then it signs, and the old one's private half is destroyed.
//!
//! What it does not: decide when every edge trusts the new one, or sign anew what the old one signed (`revocation::root`).

use std::sync::Arc;

use serde_json::json;
use shared::time::UnixMillis;

use super::ring::{Keyring, SigningKey};
use super::start::create_key;
use super::{KeyState, Purpose, SigningError};
use crate::audit::{self, Actor, Event};
use crate::random::Random;
use crate::store::Tx;

/// The root that was announced and does not sign yet, as this process knows it.
pub fn pending_root(keyring: &Keyring) -> Option<Arc<SigningKey>> {
    keyring
        .all()
        .into_iter()
        .find(|key| key.purpose == Purpose::Root && key.state == KeyState::Pending)
}

/// Makes the next root, or gives the one that was made before.
pub async fn announce_root(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Arc<SigningKey>, SigningError> {
    keyring.reload(tx).await?;
    if let Some(pending) = pending_root(keyring) {
        return Ok(pending);
    }
    let new = create_key(tx, keyring, Purpose::Root, KeyState::Pending, now).await?;
    record(tx, random, "signing_key.create", &new, actor, now).await?;
    Ok(new)
}

/// The announced root signs from now on; nobody can sign with the old one any more.
pub async fn switch_root(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    new: &SigningKey,
    actor: &Actor,
    now: UnixMillis,
) -> Result<(), SigningError> {
    let old = keyring.signer(tx, Purpose::Root).await?;
    tx.retire_signing_key(old.id, true, now).await?;
    record(tx, random, "signing_key.retire", &old, actor, now).await?;
    tx.activate_signing_key(new.id, now).await?;
    record(tx, random, "signing_key.activate", new, actor, now).await?;
    keyring.reload(tx).await
}

async fn record(
    tx: &mut Tx,
    random: &Random,
    action: &'static str,
    key: &SigningKey,
    actor: &Actor,
    now: UnixMillis,
) -> Result<(), SigningError> {
    let event = Event {
        org: None,
        actor,
        action,
        target: key.id.to_string(),
        detail: json!({ "purpose": key.purpose.as_str() }),
    };
    Ok(audit::record(tx, random, &event, now).await?)
}
