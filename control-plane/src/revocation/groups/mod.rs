//! Edge groups: edges that admit some organisations only, and are told of nobody else. A customer's own data plane is one.
//!
//! **One numbering, several chains.** Beside the feed of all organisations (feed 0) each group has a feed of its own: its own
//! id, certificates, frames and snapshots. Whatever adds a frame adds one to every feed in the same transaction, at the same
//! epoch and seq; in a group's frame stands what of the outbox rows concerns the group, and often that is nothing. So a seq
//! means the same moment at every edge: receipts, `Portcullis-Min-Seq`, acknowledgements of keys and blocks, recovery and
//! epochs compare positions without asking in which feed. An edge of a group can tell when something happened elsewhere, and
//! how often, and nothing else about it.
//!
//! **What goes where.** Each outbox row says whom it concerns ([`Reach`]). What is everybody's (signing keys, index blocks,
//! retired lists, policy, canaries) goes to every feed; what is an organisation's goes to the feed of all and to the groups that
//! list it. A key of ours is signed by the root anew for each feed, because that signature names the feed.
//!
//! **Whom a group admits** stands in its feed, as the entry `admitted`; an edge refuses all others whatever else it knows. The
//! list never comes alone: a group's feed begins, and goes on after a change, with a snapshot at the next seq that holds the
//! list and everything that is known of those on it ([`open`]). So nobody is admitted before what restricts them is there.
//! Whoever leaves the list is refused from that seq on; receipts go on waiting for the edges that have not taken it yet. What
//! was said of them before stays in the feed (nothing is ever undone): a new name for the group is a new feed without it.
//!
//! **The id** of a group's feed is derived from the installation's and the group's name: a restored database finds the feeds
//! that its edges pin, and `feed trust --group` needs nothing but the configuration.
//!
//! **Trust.** A group's edges may be somebody else's machines. They can restrict what is theirs and nothing else (`local`),
//! and what they say that they hold counts only as far as our own signatures prove it (`recover`).
//!
//! | file | does |
//! | --- | --- |
//! | `share` | the part of a state that concerns some organisations |
//! | `configure` | from the configuration to the database |
//!
//! What it does not: another policy for a group; or blocks of its own: indexes say nothing about organisations.

mod configure;
mod share;
#[cfg(test)]
mod tests;

use shared::crypto::sha256;
use shared::feed::{Entry, EnvelopeType, FeedId, IssuingKey, KeyOwner, KeyRef, Snapshot, State};
use shared::time::UnixMillis;

pub use configure::{View, configure, views};
pub(super) use share::Owners;

use super::frame::{Pen, position};
use super::{FeedError, snapshot};
use crate::app::App;
use crate::config::Edge;
use crate::signing::{self, Keyring, Purpose, SigningError, SigningKey};
use crate::store::feed::{FeedNo, Position};
use crate::store::groups::Group;
use crate::store::{StoreError, Tx};

/// The id of a group's feed; without a group, the installation's own.
pub fn id_of(installation: FeedId, group: Option<&str>) -> FeedId {
    let Some(name) = group else {
        return installation;
    };
    let digest = sha256(
        &[
            b"portcullis/edge-group/v1".as_slice(),
            &installation.0,
            name.as_bytes(),
        ]
        .concat(),
    );
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    FeedId(id)
}

/// The id of a feed.
pub(crate) async fn id(tx: &mut Tx, feed: FeedNo) -> Result<FeedId, SigningError> {
    let installation = signing::feed_id(tx).await?;
    if feed == FeedNo::ALL {
        return Ok(installation);
    }
    let name = tx.group_name(feed).await?;
    let name = name.ok_or(StoreError::Corrupt("edge group: there is none"))?;
    Ok(id_of(installation, Some(&name)))
}

/// The feed that an edge gets.
pub(crate) async fn feed_of(tx: &mut Tx, edge: &Edge) -> Result<FeedNo, FeedError> {
    match &edge.group {
        None => Ok(FeedNo::ALL),
        Some(group) => tx
            .feed_of_group(group)
            .await?
            .ok_or_else(|| FeedError::NoGroup(group.clone())),
    }
}

/// The same entries for another feed: the root vouches for our keys in each feed apart.
pub(super) async fn signed_for(
    tx: &mut Tx,
    keyring: &Keyring,
    feed: FeedNo,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, FeedError> {
    let is_ours =
        |entry: &Entry| matches!(entry, Entry::Key(key) if matches!(key.reference, KeyRef::Ours(_)));
    if !entries.iter().any(is_ours) {
        return Ok(entries);
    }
    let root = keyring.signer(tx, Purpose::Root).await?;
    let id = id(tx, feed).await?;
    let signed = entries.into_iter().map(|entry| vouch(id, &root, entry));
    Ok(signed.collect::<Result<_, _>>()?)
}

/// An entry as a root signs it for a feed.
pub(super) fn vouch(feed: FeedId, root: &SigningKey, entry: Entry) -> Result<Entry, SigningError> {
    let Entry::Key(key) = entry else {
        return Ok(entry);
    };
    let KeyRef::Ours(number) = key.reference else {
        return Ok(Entry::Key(key));
    };
    let message = IssuingKey::root_message(feed, number, key.purpose, &key.key);
    Ok(Entry::Key(Box::new(IssuingKey {
        owner: KeyOwner::Ours(root.sign_ed25519(&message)?),
        ..*key
    })))
}

/// All groups that have a feed, each with what that adds up to. Before the root changes, which vouches for all of it: also those
/// that are not in use, which may come back.
pub(super) async fn own_states(tx: &mut Tx, keyring: &Keyring) -> Result<Vec<(Group, State)>, FeedError> {
    let mut states = Vec::new();
    for group in tx.groups().await?.into_iter().filter(|group| group.version > 0) {
        let own = snapshot::rebuild_last(tx, keyring, group.feed).await?;
        states.push((group, own));
    }
    Ok(states)
}

/// Begins or goes on with a group's feed by a snapshot at `at`: its list, what its feed said before (`own`), and what `full`,
/// the state of all organisations, holds about those on the list. The caller holds the lock.
pub(super) async fn open(
    tx: &mut Tx,
    app: &App,
    (group, own): (&Group, State),
    (full, owners): (&State, &Owners),
    at: Position,
    now: UnixMillis,
) -> Result<(), FeedError> {
    let mut state = own;
    for entry in owners.share(tx, &app.config, full, &group.orgs).await? {
        state.join(entry);
    }
    let id = id(tx, group.feed).await?;
    let root = app.keyring.signer(tx, Purpose::Root).await?;
    let mut signed = State::default();
    for entry in state.entries() {
        signed.join(vouch(id, &root, entry)?);
    }
    let listed = |state: &State| {
        state
            .admitted()
            .is_some_and(|(version, orgs)| version == group.version && *orgs == group.orgs)
    };
    let mut version = group.version;
    if !listed(&signed) {
        // Past whatever an edge may have seen.
        let seen = signed.admitted().map_or(0, |(version, _)| version);
        version = version.max(seen).saturating_add(1);
        signed.join(Entry::Admitted {
            version,
            orgs: group.orgs.iter().copied().collect(),
        });
    }
    tx.set_group_orgs(group.feed, version, &group.orgs, at).await?;
    write_snapshot(
        tx,
        &app.keyring,
        group.feed,
        Snapshot::opening(id, at.epoch, at.seq, signed),
        now,
    )
    .await
}

/// Stores a snapshot that stands in the chain where a frame would.
pub(super) async fn write_snapshot(
    tx: &mut Tx,
    keyring: &Keyring,
    feed: FeedNo,
    opening: Snapshot,
    now: UnixMillis,
) -> Result<(), FeedError> {
    let head = opening.head;
    let body = snapshot::encode(opening).await?;
    let envelope = Pen::take(tx, keyring, (feed, head.epoch), now)
        .await?
        .sign(EnvelopeType::Snapshot, &body)?;
    tx.insert_snapshot(feed, position(head), &envelope, now).await?;
    Ok(tx
        .insert_frame(feed, position(head), &head.digest, None, 0, now)
        .await?)
}
