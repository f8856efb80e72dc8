//! A database with a feed, for the suites that need one.

use shared::feed::{Entry, Replica, Trust};
use shared::id::{SigningKeyId, StatusIndex};
use shared::policy::Policy;
use shared::time::{UnixMillis, UnixSeconds};

use super::NOW;
use crate::audit::Actor;
use crate::random::Random;
use crate::revocation::{self, frame_pending};
use crate::signing::{self, KeyState, Keyring, MasterKey, Purpose, Readiness, Replaced, SigningError};
use crate::store::feed::{FeedNo, Peer, Position};
use crate::store::{Store, Tx};

pub(super) const LATER: UnixMillis = UnixMillis(1_795_302_521_000);

pub(super) struct Installation {
    pub(super) store: Store,
    pub(super) keyring: Keyring,
    pub(super) random: Random,
}

impl Installation {
    pub(super) async fn new(store: Store) -> Self {
        let new = Self {
            store,
            keyring: Keyring::new(MasterKey::for_tests(7)),
            random: Random::system(),
        };
        assert!(new.initialise().await);
        new
    }

    pub(super) async fn initialise(&self) -> bool {
        let policy = Policy::demo("https://api.example", "https://auth.example")
            .compile()
            .expect("valid");
        let mut tx = self.tx().await;
        let made = signing::initialise(&mut tx, &self.keyring, &policy, &self.random, NOW)
            .await
            .expect("set up");
        tx.commit().await.expect("commit");
        made
    }

    pub(super) async fn tx(&self) -> Tx {
        self.store.begin().await.expect("tx")
    }

    pub(super) async fn publish(&self) {
        while frame_pending(&self.store, &self.keyring, NOW)
            .await
            .expect("framed")
            .is_some()
        {}
    }

    /// An edge that got everything.
    pub(super) async fn replica(&self) -> Replica {
        let mut tx = self.tx().await;
        let root = self.keyring.signer(&mut tx, Purpose::Root).await.expect("root");
        let trust = Trust {
            feed: signing::feed_id(&mut tx).await.expect("feed"),
            root: root.public.clone(),
            other_root: None,
        };
        let mut replica = Replica::new(trust);
        for frame in tx
            .frames_after(FeedNo::ALL, Position { epoch: 1, seq: 0 }, 10_000)
            .await
            .expect("frames")
        {
            replica.accept(&frame.envelope.expect("bytes")).expect("accepted");
        }
        replica
    }

    pub(super) async fn draw(
        &self,
        expires: Option<UnixSeconds>,
    ) -> Result<(SigningKeyId, StatusIndex), SigningError> {
        let mut tx = self.tx().await;
        let drawn = signing::draw_index(
            &mut tx,
            Purpose::AccessToken,
            &crate::revocation::Reach::All,
            expires,
            &self.random,
            NOW,
        )
        .await;
        tx.commit().await.expect("commit");
        drawn
    }

    pub(super) async fn acknowledge(&self, edge: &str, position: Position) {
        let mut tx = self.tx().await;
        tx.acknowledge(&Peer {
            name: edge.to_owned(),
            position,
            acked_at: NOW,
            feed: FeedNo::ALL,
        })
        .await
        .expect("noted");
        tx.commit().await.expect("commit");
    }

    pub(super) async fn head(&self) -> Position {
        let frame = self
            .tx()
            .await
            .last_frame(FeedNo::ALL, 1)
            .await
            .expect("frame")
            .expect("one");
        Position {
            epoch: 1,
            seq: frame.seq.unsigned_abs(),
        }
    }

    pub(super) async fn rotate(&self, purpose: Purpose) -> Result<SigningKeyId, SigningError> {
        let mut tx = self.tx().await;
        let actor = Actor::command_line();
        let id = signing::rotate(&mut tx, &self.keyring, &self.random, purpose, &actor, NOW).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub(super) async fn replace_compromised(
        &self,
        purpose: Purpose,
        which: Option<SigningKeyId>,
    ) -> Result<Replaced, SigningError> {
        let mut tx = self.tx().await;
        let actor = Actor::command_line();
        let (ring, random) = (&self.keyring, &self.random);
        let done = signing::replace_compromised(&mut tx, ring, random, purpose, which, &actor, NOW).await?;
        tx.commit().await?;
        Ok(done)
    }

    pub(super) async fn advance(&self, edges: &[String], now: UnixMillis) -> bool {
        let mut tx = self.tx().await;
        let readiness = Readiness { edges, bound_ms: 500 };
        let moved = signing::advance(&mut tx, &self.keyring, &self.random, &readiness, now)
            .await
            .expect("advanced");
        tx.commit().await.expect("commit");
        moved
    }

    pub(super) fn state_of(&self, id: SigningKeyId) -> KeyState {
        self.keyring.known(id).expect("known").state
    }
}

pub(super) fn index(number: u64) -> StatusIndex {
    StatusIndex::from_u64(number).expect("small")
}

pub(super) async fn enqueue_revocation(store: &Store, number: u64) {
    let mut tx = store.begin().await.expect("tx");
    revocation::enqueue(
        &mut tx,
        &crate::revocation::Reach::All,
        &format!("test:{number}"),
        &Entry::revoked(index(number)),
        NOW,
    )
    .await
    .expect("enqueued");
    tx.commit().await.expect("commit");
}
