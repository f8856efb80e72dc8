//! How a change reaches the edge: outbox → frame → push → acknowledgement → receipt.
//!
//! A change writes its entry to the outbox in its own transaction ([`enqueue`]). The publisher ([`start`]) turns pending
//! rows into signed frames, each in one transaction, and pushes committed frames to every edge until the edge says that it
//! has them. Nothing is sent that is not committed, so a kill at any moment loses nothing and repeats at most a push.
//!
//! | file | does |
//! | --- | --- |
//! | `frame` | outbox rows → the next signed frame |
//! | `snapshot` | the state at one seq, for edges that lack too much |
//! | `link`, `edge_api` | one edge: what it has, what it gets next, its answers |
//! | `report` | what an edge says of itself, in an answer or when it fetches |
//! | `ledger`, `acknowledge` | which regions have what, and from when on that counts |
//! | `local` | what was revoked at the edge itself |
//! | `collect` | the signed question for usage |
//! | `window` | durations of the last hour |
//! | `publish` | the tasks, and what they do each second |
//! | `recover` | an edge knows more than we do, or a new epoch is asked for |
//! | `receipt` | when nobody lets a revoked credential in any more |
//! | `incarnation` | whether this copy of the database may publish |
//! | `policy` | the route policy as a feed entry |
//! | `die` | where a test lets the process die |
//! | `ranges` | many revoked indexes in few entries |
//! | `reach` | whom an entry concerns |
//! | `groups` | edges that admit some organisations only: a feed for each group of them |
//!
//! What it does not: decide who may revoke what (the features do), or apply anything (the edge does).

mod acknowledge;
mod collect;
pub(crate) mod die;
pub(crate) mod edge_api;
pub(crate) mod frame;
pub mod groups;
pub(crate) mod incarnation;
pub(crate) mod ledger;
pub(crate) mod link;
mod local;
mod policy;
pub(crate) mod publish;
mod ranges;
mod reach;
pub(crate) mod receipt;
mod recover;
pub(crate) mod report;
mod root;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod window;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::feed::{Entry, MAX_FRAME, Refusal, Trust};
use shared::time::UnixMillis;
use tokio::sync::{Mutex, Notify, watch};

use ledger::Ledger;

use crate::signing::{self, Keyring, Purpose, SigningError};
use crate::store::feed::{FeedNo, Position};
use crate::store::{StoreError, Tx};

pub(crate) use acknowledge::take_report;
pub(crate) use collect::collect_usage;
#[cfg(test)]
pub(crate) use frame::decode as entry_of;
pub use frame::frame_pending;
pub(crate) use policy::rule as policy_rule;
pub use policy::{Cause, check_policy, moved_scope, policy_receipt, publish_policy};
pub use publish::start;
pub use ranges::revoked;
use ranges::revoked_ranges;
pub use reach::{Reach, enqueue_all, enqueue_revoked};
pub use receipt::{Receipt, Wait, await_receipt};
pub use recover::{recover, take_over};
pub use root::{announce_root, replace_root};
pub(crate) use snapshot::follow;

/// A publisher that has not completed a round for so long is not alive.
const ALIVE_MS: u64 = 10_000;
/// Room for a frame's own fields around one entry.
const FRAME_OVERHEAD: usize = 1024;

/// Why the feed could not go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Keys.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What we stored or fetched is not a chain of ours.
    #[error("the feed does not verify: {0}")]
    Chain(#[from] Refusal),
    /// Another instance was faster, several times in a row.
    #[error("other publishers were faster; trying again")]
    Contended,
    /// The edge could not be reached, or answered something else.
    #[error("{0}")]
    Edge(String),
    /// The state does not fit into a message any more.
    #[error("the state is too large for a snapshot")]
    TooLarge,
    /// The edge would refuse the whole state.
    #[error("{0} credentials would be revoked, more than an edge holds: nothing was changed")]
    TooManyRevoked(u64),
    /// Nobody has written down yet whom the group admits.
    #[error(
        "the edge group {0:?} has no feed yet: the server makes it when it starts with this configuration"
    )]
    NoGroup(String),
    /// A borrowed certificate changes nothing.
    #[error("a borrowed certificate signs only questions and heartbeats")]
    Borrowed,
    /// This may be a copy of the database that publishes.
    #[error(
        "the incarnation file {file} {problem}, so this may be a copy of a database that publishes elsewhere: to publish \
         from here, stop every other copy and run `portcullis feed take-over`",
        file = file.display()
    )]
    Copy {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no other root to go over to.
    #[error("no new root was announced: run `portcullis feed rotate-root` first")]
    NoNewRoot,
    /// An edge would be deaf afterwards.
    #[error(
        "the edge {edge} does not take what the new root vouches for ({problem}): give it the ROOT_KEY that `portcullis feed \
         trust` prints, with both keys, and try again"
    )]
    RootNotTaken {
        /// Which.
        edge: String,
        /// What it said.
        problem: String,
    },
    /// The incarnation file cannot be read or written.
    #[error("cannot use the incarnation file {file}: {error}; `incarnation_file` sets another place", file = file.display())]
    IncarnationFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Two installations push to one edge.
    #[error(
        "this edge keeps getting another history: does a copy of this installation run? `portcullis feed take-over`"
    )]
    Rival,
    /// The process is shutting down.
    #[error("interrupted")]
    Interrupted,
}

impl FeedError {
    fn is_contention(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::Store(error) | Self::Signing(SigningError::Store(error)) => {
                error.is_unique_violation() || error.is_busy()
            }
            _ => false,
        }
    }
}

/// The publisher as the rest of the process sees it: wake it, ask whether it runs, watch what edges have. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    wake: Notify,
    progress: watch::Sender<Progress>,
    round_at: AtomicU64,
    recovery: Mutex<()>,
    ledgers: std::sync::Mutex<BTreeMap<String, Ledger>>,
}

/// How far the feed is, here and in each region of each edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) head: Position,
    /// By the name that receipts use. A region that has nothing yet is at the very beginning.
    pub(crate) acknowledged: BTreeMap<String, Ack>,
}

/// What a region has, and since when we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) position: Position,
    pub(crate) at: UnixMillis,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Inner {
            wake: Notify::new(),
            progress: watch::channel(Progress::default()).0,
            round_at: AtomicU64::new(0),
            recovery: Mutex::new(()),
            ledgers: std::sync::Mutex::default(),
        }))
    }
}

impl Feed {
    /// There is something in the outbox: call it after the commit.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Whether the publisher has done its work lately.
    pub fn alive(&self, now: UnixMillis) -> bool {
        now.since(UnixMillis(self.0.round_at.load(Ordering::Relaxed))) < ALIVE_MS
    }

    /// Whether every one of these edges has said that it understands a kind of entry. One that does not would stop at the first
    /// entry of it, and go stale.
    pub(crate) fn is_understood<'a>(&self, kind: u8, mut edges: impl Iterator<Item = &'a str>) -> bool {
        let ledgers = self.ledgers();
        edges.all(|edge| {
            ledgers
                .get(edge)
                .is_some_and(|ledger| ledger.kinds.contains(&kind))
        })
    }

    /// As if an edge had said that it understands these.
    #[cfg(test)]
    pub(crate) fn hear_kinds(&self, edge: &str, kinds: &[u8]) {
        self.ledger(edge, |ledger| ledger.kinds = kinds.iter().copied().collect());
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    async fn woken(&self) {
        self.0.wake.notified().await;
    }

    fn note_round(&self, head: Position, now: UnixMillis) {
        self.0.round_at.store(now.0, Ordering::Relaxed);
        self.0
            .progress
            .send_if_modified(|progress| std::mem::replace(&mut progress.head, head) != head);
    }
}

/// Writes an entry to the outbox, in the transaction of the change that it tells of, for the edges of those whom it concerns.
/// Gives the row's number. After the commit, [`Feed::wake`].
pub async fn enqueue(
    tx: &mut Tx,
    reach: &Reach,
    subject: &str,
    entry: &Entry,
    now: UnixMillis,
) -> Result<i64, StoreError> {
    let bytes = entry.encode();
    if bytes.len() > MAX_FRAME - FRAME_OVERHEAD {
        // It would never fit, and hold up everything behind it.
        return Err(StoreError::Corrupt("feed entry: it is larger than a frame"));
    }
    tx.enqueue_entry(subject, &bytes, reach.to_text().as_deref(), now)
        .await
}

/// What an edge's configuration pins.
#[derive(Clone, Debug)]
pub struct TrustLines {
    /// The root's Ed25519 key, base64url; with a comma and the next one while it is being replaced.
    pub root_key: String,
    /// The feed's id, hexadecimal.
    pub feed_id: String,
}

impl std::fmt::Display for TrustLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ROOT_KEY={}\nFEED_ID={}", self.root_key, self.feed_id)
    }
}

/// What the configuration of an edge of this group must pin to listen to this installation; without a group, of one that
/// admits every organisation.
pub async fn trust(tx: &mut Tx, keyring: &Keyring, group: Option<&str>) -> Result<TrustLines, SigningError> {
    let feed = groups::id_of(signing::feed_id(tx).await?, group);
    let root = keyring.signer(tx, Purpose::Root).await?;
    let trust = Trust::new(feed, root.public.clone());
    let text = |root: &shared::crypto::VerifyingKey| shared::crypto::base64url(root.material());
    let root_key = match signing::pending_root(keyring) {
        Some(next) => format!("{},{}", text(&trust.root), text(&next.public)),
        None => text(&trust.root),
    };
    Ok(TrustLines {
        root_key,
        feed_id: trust.feed.to_string(),
    })
}

pub(crate) async fn pinned(tx: &mut Tx, keyring: &Keyring, feed: FeedNo) -> Result<Trust, SigningError> {
    let root = keyring.signer(tx, Purpose::Root).await?;
    Ok(Trust::new(groups::id(tx, feed).await?, root.public.clone()))
}
