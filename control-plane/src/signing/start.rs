//! Making keys: the first start, and every later one. Issuing keys are announced in the transaction that creates them.

use std::sync::Arc;

use serde_json::json;
use shared::feed::{Certificate, Entry, FeedId, IssuingKey, KeyOwner, KeyRef};
use shared::id::SigningKeyId;
use shared::policy::CompiledPolicy;
use shared::time::{UnixMillis, UnixSeconds};

use super::index::{SPARE_BLOCKS, allocate_blocks};
use super::ring::{Keyring, SigningKey};
use super::{KeyState, Purpose, SigningError};
use crate::audit::{self, Actor, Event};
use crate::random::Random;
use crate::revocation::{self, Reach};
use crate::store::feed::FeedNo;
use crate::store::signing::SigningKeyRow;
use crate::store::{StoreError, Tx, int};

/// A feed key's certificate is renewed when less than half of this is left.
pub(crate) const CERTIFICATE_SECONDS: u64 = 366 * 24 * 3600;

/// Gives an empty database its feed, its keys, their first index blocks and the policy; false if it has them already.
pub async fn initialise(
    tx: &mut Tx,
    keyring: &Keyring,
    policy: &CompiledPolicy,
    random: &Random,
    now: UnixMillis,
) -> Result<bool, SigningError> {
    let feed_id: [u8; 16] = random.bytes()?;
    if !tx.insert_feed_state(&feed_id, now).await? {
        return Ok(false);
    }
    create_key(tx, keyring, Purpose::Root, KeyState::Active, now).await?;
    ensure_signers(tx, keyring, now).await?;
    let system = Actor::system();
    let cause = revocation::Cause::system(&system, "the first start");
    revocation::publish_policy(tx, policy, cause, random, now).await?;
    let event = Event {
        org: None,
        actor: &Actor::system(),
        action: "installation.create",
        target: FeedId(feed_id).to_string(),
        detail: json!({}),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(true)
}

/// Makes an active key for every purpose that has none; the root is made once, at the first start.
pub(crate) async fn ensure_signers(
    tx: &mut Tx,
    keyring: &Keyring,
    now: UnixMillis,
) -> Result<(), SigningError> {
    for purpose in [Purpose::Feed, Purpose::ApiKey, Purpose::AccessToken] {
        if tx.active_signing_key(purpose.as_str()).await?.is_none() {
            create_key(tx, keyring, purpose, KeyState::Active, now).await?;
        }
    }
    Ok(())
}

/// Makes a key in a given state. One that issues credentials is announced, with its blocks.
pub(crate) async fn create_key(
    tx: &mut Tx,
    keyring: &Keyring,
    purpose: Purpose,
    state: KeyState,
    now: UnixMillis,
) -> Result<Arc<SigningKey>, SigningError> {
    let id = tx.next_signing_key_id().await?;
    let (private, sealed) = keyring.generate(purpose, id).await?;
    let public = private.public()?;
    let mut announced_by = None;
    if let Some(issuing) = purpose.issuing() {
        let message = IssuingKey::root_message(feed_id(tx).await?, id, issuing, &public);
        let root_signature = keyring.signer(tx, Purpose::Root).await?.sign_ed25519(&message)?;
        let key = IssuingKey {
            reference: KeyRef::Ours(id),
            purpose: issuing,
            key: public.clone(),
            owner: KeyOwner::Ours(root_signature),
        };
        let entry = Entry::Key(Box::new(key));
        revocation::enqueue(tx, &Reach::All, &format!("signing_key:{id}"), &entry, now).await?;
        announced_by = allocate_blocks(tx, id, SPARE_BLOCKS, now).await?;
    }
    let at = int(now.0);
    tx.insert_signing_key(&SigningKeyRow {
        id: int(id.get()),
        purpose: purpose.as_str().to_owned(),
        public_key: public.material().to_vec(),
        sealed: Some(sealed),
        state: state.as_str().to_owned(),
        announced_by,
        created_at: at,
        acknowledged_at: None,
        activated_at: (state == KeyState::Active).then_some(at),
        retired_at: None,
        removed_at: None,
    })
    .await?;
    keyring.key(tx, id).await
}

/// The certificate under which a feed key signs an epoch: the stored one, or a new one by the root.
pub(crate) async fn certificate(
    tx: &mut Tx,
    keyring: &Keyring,
    key: &SigningKey,
    (feed, epoch): (FeedNo, u64),
    now: UnixMillis,
) -> Result<Certificate, SigningError> {
    if let Some(stored) = tx.certificate(feed, epoch, key.id.get()).await? {
        let stored = Certificate::decode(&stored).map_err(|_| StoreError::Corrupt("feed certificate"))?;
        if stored.not_after > now.seconds().saturating_add(CERTIFICATE_SECONDS / 2) {
            return Ok(stored);
        }
    }
    let end = now.seconds().saturating_add(CERTIFICATE_SECONDS);
    let fresh = certify(tx, keyring, key, key.id, (feed, epoch), end).await?;
    tx.insert_certificate(feed, epoch, key.id.get(), &fresh.encode(), now)
        .await?;
    Ok(fresh)
}

/// A certificate for a feed key under any number until a time, signed by the root and not stored.
pub(crate) async fn certify(
    tx: &mut Tx,
    keyring: &Keyring,
    key: &SigningKey,
    number: SigningKeyId,
    (feed, epoch): (FeedNo, u64),
    not_after: UnixSeconds,
) -> Result<Certificate, SigningError> {
    let mut certificate = Certificate {
        feed: revocation::groups::id(tx, feed).await?,
        epoch,
        number,
        key: key
            .public
            .material()
            .try_into()
            .map_err(|_| StoreError::Corrupt("feed key"))?,
        not_after,
        root_signature: [0; 64],
    };
    let root = keyring.signer(tx, Purpose::Root).await?;
    certificate.root_signature = root.sign_ed25519(&certificate.root_message())?;
    Ok(certificate)
}

/// The id of this installation's feed.
pub(crate) async fn feed_id(tx: &mut Tx) -> Result<FeedId, SigningError> {
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    Ok(FeedId(
        state
            .feed_id
            .try_into()
            .map_err(|_| StoreError::Corrupt("feed id"))?,
    ))
}
