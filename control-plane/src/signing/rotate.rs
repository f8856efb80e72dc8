//! Replacing a signing key, with overlap, and its later stations.
//!
//! What moves a key: `rotate` makes a pending one; [`advance`], called by the publisher, activates it when every edge has
//! acknowledged it and one bound has passed since, and retires its predecessor: an API-key signer's private half is
//! destroyed there and then; an access-token key is removed when its last token has ended. A feed key needs no
//! announcement (its certificate travels with all that it signs) and takes over at once.
//!
//! [`replace_compromised`] knows no overlap: the old key is removed at once, with everything that it signed.

use serde_json::json;
use shared::feed::{Entry, KeyRef};
use shared::id::{SigningKeyId, StatusIndex};
use shared::time::UnixMillis;

use super::ring::{Keyring, SigningKey};
use super::start::create_key;
use super::{KeyState, Purpose, SigningError};
use crate::audit::{self, Actor, Event};
use crate::keys::Reason;
use crate::random::Random;
use crate::revocation::{self, Reach};
use crate::store::keys::Revoked;
use crate::store::{StoreError, Tx, uint};

/// An edge's clock may be behind ours by so much, twice.
const SKEW_SECONDS: u64 = 120;
/// How long after its successor took over a feed key's certificate is still honoured.
const FEED_KEY_OVERLAP_MS: u64 = 3600 * 1000;

/// What must be true outside before a pending key may sign.
#[derive(Clone, Debug)]
pub struct Readiness<'a> {
    /// Every configured edge must have acknowledged, in all of its regions.
    pub edges: &'a [String],
    /// So long ago.
    pub bound_ms: u64,
}

/// Starts the replacement of the key of a purpose; gives the number of the new one.
pub async fn rotate(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    purpose: Purpose,
    actor: &Actor,
    now: UnixMillis,
) -> Result<SigningKeyId, SigningError> {
    keyring.reload(tx).await?;
    if purpose == Purpose::Root {
        return Err(SigningError::RootIsPinned);
    }
    if let Some(pending) = keyring
        .all()
        .iter()
        .find(|key| key.purpose == purpose && key.state == KeyState::Pending)
    {
        return Err(SigningError::RotationPending(pending.id));
    }
    let new = create_key(tx, keyring, purpose, KeyState::Pending, now).await?;
    if purpose == Purpose::Feed {
        switch(tx, keyring, random, &new, actor, now).await?;
    }
    record(tx, random, "signing_key.create", &new, actor, now).await?;
    Ok(new.id)
}

/// What [`replace_compromised`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// What is trusted no more.
    pub removed: Vec<SigningKeyId>,
    /// What signs from now on, where the signer itself was removed, and a status index of its first block. Others are
    /// drawn once every edge has acknowledged that block; who takes this one must know that it works only then.
    pub new: Option<(SigningKeyId, StatusIndex)>,
    /// How many API keys died with it.
    pub api_keys: u64,
}

/// Removes a key that somebody else has: everything that it signed is dead as soon as the edge knows. `which` names one,
/// perhaps retired long ago; without it the signer goes, and a pending successor, which was in the same drawer.
pub async fn replace_compromised(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    purpose: Purpose,
    which: Option<SigningKeyId>,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Replaced, SigningError> {
    keyring.reload(tx).await?;
    match purpose {
        Purpose::Root => return Err(SigningError::RootIsPinned),
        Purpose::Feed => return Err(SigningError::SignsNoCredentials(purpose)),
        Purpose::ApiKey | Purpose::AccessToken => {}
    }
    let lost = |key: &SigningKey| match which {
        Some(id) => key.id == id && key.state != KeyState::Removed,
        None => matches!(key.state, KeyState::Active | KeyState::Pending),
    };
    let mut done = Replaced {
        removed: Vec::new(),
        new: None,
        api_keys: 0,
    };
    for key in keyring.all() {
        // In the order of their numbers, as `switch` takes them.
        if key.purpose == purpose && lost(&key) && tx.disown_signing_key(key.id, now).await? {
            done.api_keys += kill(tx, random, &key, actor, now).await?;
            done.removed.push(key.id);
        }
    }
    if let (Some(id), true) = (which, done.removed.is_empty()) {
        return Err(SigningError::UnknownKey(id));
    }
    if tx.active_signing_key(purpose.as_str()).await?.is_none() {
        let new = create_key(tx, keyring, purpose, KeyState::Active, now).await?;
        record(tx, random, "signing_key.create", &new, actor, now).await?;
        done.new = Some((new.id, first_index(tx, random, new.id, now).await?));
    }
    keyring.reload(tx).await?;
    Ok(done)
}

/// Tells the edge that a disowned key counts no more, and the database that what it signed is revoked.
async fn kill(
    tx: &mut Tx,
    random: &Random,
    key: &SigningKey,
    actor: &Actor,
    now: UnixMillis,
) -> Result<u64, SigningError> {
    tx.close_index_blocks(Some(key.id), now).await?;
    let subject = format!("signing_key:{}", key.id);
    let outbox = revocation::enqueue(
        tx,
        &Reach::All,
        &subject,
        &Entry::KeyRemoved(KeyRef::Ours(key.id)),
        now,
    )
    .await?;
    tx.insert_receipt(&subject, now, outbox).await?;
    record(tx, random, "signing_key.compromise", key, actor, now).await?;
    if key.purpose != Purpose::ApiKey {
        return Ok(0);
    }
    let revoked = Revoked {
        at: now,
        reason: Reason::KeyCompromise.as_str().to_owned(),
        by: actor.who.clone(),
        outbox,
    };
    Ok(tx.revoke_keys_signed_by(key.id, &revoked).await?)
}

/// Takes an index of a key's first block, acknowledged or not.
pub(super) async fn first_index(
    tx: &mut Tx,
    random: &Random,
    key: SigningKeyId,
    now: UnixMillis,
) -> Result<StatusIndex, SigningError> {
    let blocks = tx.open_index_blocks(key).await?;
    let block = blocks.first().ok_or(StoreError::Corrupt("index block"))?;
    let (start, length) = (
        uint(block.start, "index block")?,
        uint(block.length, "index block")?,
    );
    let number = start.saturating_add(random.below(length)?);
    let index = StatusIndex::from_u64(number).ok_or(StoreError::Corrupt("index block"))?;
    // The block was made in this transaction: nobody else can have drawn from it.
    tx.take_index(index, block.start, None, now).await?;
    Ok(index)
}

/// Moves every key that is due one station further; true if one moved. Cheap when nothing is under way.
pub async fn advance(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    readiness: &Readiness<'_>,
    now: UnixMillis,
) -> Result<bool, SigningError> {
    keyring.reload(tx).await?;
    let mut moved = false;
    for key in keyring.all() {
        moved |= match key.state {
            KeyState::Pending => activate_if_ready(tx, keyring, random, &key, readiness, now).await?,
            KeyState::Retired => remove_if_over(tx, random, &key, readiness, now).await?,
            KeyState::Active | KeyState::Removed => false,
        };
    }
    if moved {
        keyring.reload(tx).await?;
    }
    Ok(moved)
}

async fn activate_if_ready(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    key: &SigningKey,
    readiness: &Readiness<'_>,
    now: UnixMillis,
) -> Result<bool, SigningError> {
    let Some(acknowledged_at) = key.acknowledged_at else {
        if is_acknowledged(tx, key.announced_by, readiness).await? {
            tx.note_key_acknowledged(key.id, now).await?;
        }
        return Ok(false);
    };
    if now.since(acknowledged_at) < readiness.bound_ms {
        return Ok(false);
    }
    switch(tx, keyring, random, key, &Actor::system(), now).await?;
    Ok(true)
}

async fn is_acknowledged(
    tx: &mut Tx,
    announced_by: Option<i64>,
    readiness: &Readiness<'_>,
) -> Result<bool, SigningError> {
    let Some(outbox) = announced_by else {
        return Ok(false);
    };
    let peers = tx.peers().await?;
    let all_known = readiness
        .edges
        .iter()
        .all(|edge| peers.iter().any(|peer| peer.edge() == edge));
    Ok(all_known && tx.is_acknowledged(outbox).await?)
}

/// The new key signs from now on; the old one, if there is one, is retired.
async fn switch(
    tx: &mut Tx,
    keyring: &Keyring,
    random: &Random,
    new: &SigningKey,
    actor: &Actor,
    now: UnixMillis,
) -> Result<(), SigningError> {
    if let Some(old) = tx.active_signing_key(new.purpose.as_str()).await? {
        let destroy = matches!(new.purpose, Purpose::ApiKey | Purpose::Feed);
        if tx.retire_signing_key(old, destroy, now).await? {
            tx.close_index_blocks(Some(old), now).await?;
            let old = keyring.key(tx, old).await?;
            record(tx, random, "signing_key.retire", &old, actor, now).await?;
        }
    }
    if tx.activate_signing_key(new.id, now).await? {
        record(tx, random, "signing_key.activate", new, actor, now).await?;
    }
    keyring.reload(tx).await
}

async fn remove_if_over(
    tx: &mut Tx,
    random: &Random,
    key: &SigningKey,
    readiness: &Readiness<'_>,
    now: UnixMillis,
) -> Result<bool, SigningError> {
    let over = match key.purpose {
        // API keys may live for ever, and so does what verifies them.
        Purpose::ApiKey | Purpose::Root => false,
        Purpose::AccessToken => {
            // An issue that began before the switch may still be under way.
            let retired = key.retired_at.unwrap_or(now).seconds();
            let end = tx
                .last_expiry(key.id)
                .await?
                .map_or(retired, |end| end.max(retired));
            end.saturating_add(SKEW_SECONDS) < now.seconds()
        }
        Purpose::Feed => {
            let retired_at = key.retired_at.unwrap_or(now);
            let peers = tx.peers().await?;
            // Nothing that it signed is sent to a new edge any more, in any feed, and no edge still lacks it.
            let mut over = now.since(retired_at) > FEED_KEY_OVERLAP_MS;
            for feed in tx.feeds().await? {
                let snapshot = tx.last_snapshot(feed).await?;
                over = over
                    && snapshot.is_some_and(|(at, made)| {
                        let reached = |edge: &String| {
                            let mut regions = peers.iter().filter(|peer| peer.edge() == edge).peekable();
                            regions.peek().is_some()
                                && regions.all(|region| region.feed != feed || region.position >= at)
                        };
                        made > retired_at && readiness.edges.iter().all(reached)
                    });
            }
            over
        }
    };
    if !over || !tx.remove_signing_key(key.id, now).await? {
        return Ok(false);
    }
    let subject = format!("signing_key:{}", key.id);
    revocation::enqueue(
        tx,
        &Reach::All,
        &subject,
        &Entry::KeyRemoved(KeyRef::Ours(key.id)),
        now,
    )
    .await?;
    record(tx, random, "signing_key.remove", key, &Actor::system(), now).await?;
    Ok(true)
}

async fn record(
    tx: &mut Tx,
    random: &Random,
    action: &'static str,
    key: &SigningKey,
    actor: &Actor,
    now: UnixMillis,
) -> Result<(), SigningError> {
    let detail = json!({ "purpose": key.purpose.as_str() });
    let event = Event {
        org: None,
        actor,
        action,
        target: key.id.to_string(),
        detail,
    };
    Ok(audit::record(tx, random, &event, now).await?)
}
