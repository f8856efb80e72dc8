//! A region: a durable copy near the isolates that read it. Fresh while it holds a lease of the hub.

use shared::feed::{Head, Refusal, Trust};
use shared::id::StatusIndex;
use shared::time::UnixMillis;

use super::feed::OpenError;
use super::hub::settle;
use super::{Account, Caught, Feed, Lease, LocalSet, Log, Position, Taken, compare};

/// A region's state: everything but the transport.
#[derive(Clone, Debug)]
pub struct Region<L> {
    feed: Feed<L>,
    lease: Lease,
    /// What was ended here or elsewhere at the edge.
    local: LocalSet,
    /// What the hub said of its own news.
    feed_age: Option<(u64, UnixMillis)>,
}

impl<L: Log> Region<L> {
    /// Opens what the log holds. It is not fresh before its first pull.
    pub fn open(log: L, trust: Trust) -> Result<Self, OpenError<L::Error>> {
        let mut feed = Feed::open(log, trust)?;
        let stored = feed.log().local().map_err(OpenError::Log)?;
        let local = LocalSet::of(stored, feed.state());
        Ok(Self {
            feed,
            lease: Lease::default(),
            local,
            feed_age: None,
        })
    }

    /// Its copy of the feed.
    pub fn feed(&mut self) -> &mut Feed<L> {
        &mut self.feed
    }

    /// The log, when the object is gone.
    pub fn into_log(self) -> L {
        self.feed.into_log()
    }

    /// Where it stands.
    pub fn head(&self) -> Option<Head> {
        self.feed.head()
    }

    /// Its right to answer as fresh.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// What it says of itself.
    pub fn account(&self, now: UnixMillis) -> Account {
        Account {
            contact_age_ms: self.lease.age_ms(now),
            feed_age_ms: self.feed_age.map(|(age, at)| age.saturating_add(now.since(at))),
            local: self.local.all(),
            ..self.feed.account(now)
        }
    }

    /// What a reader at a place lacks.
    pub fn since(&self, theirs: Position) -> Result<Vec<u8>, L::Error> {
        self.feed.since(theirs)
    }

    /// Takes in what was pushed. A push renews no lease: nobody knows how long it was on its way.
    pub fn apply(&mut self, message: &[u8], now: UnixMillis) -> Result<Taken, L::Error> {
        let taken = self.feed.apply(message, now)?;
        settle(&mut self.local, &mut self.feed)?;
        Ok(taken)
    }

    /// Takes in the hub's answer to a pull that started at `started`. The lease begins there, if the answer leaves the
    /// region at the hub's head.
    pub fn take_pull(
        &mut self,
        message: &[u8],
        account: &Account,
        started: UnixMillis,
        now: UnixMillis,
    ) -> Result<Result<Caught, Refusal>, L::Error> {
        let taken = self.apply(message, now)?;
        for index in self.local.merge(account.local.iter().copied(), self.feed.state()) {
            self.feed.log().add_local(index)?;
        }
        if let Some(refusal) = taken.refused {
            return Ok(Err(refusal));
        }
        let caught = compare(self.head(), account.head.as_ref());
        if caught == Ok(Caught::Up) && !account.incompatible && !self.feed.is_incompatible() {
            self.lease.renew(started);
            self.feed_age = account.feed_age_ms.map(|age| (age, started));
        }
        Ok(caught)
    }

    /// Ends a credential here, at once and durably. False: there is no room, and it was not.
    pub fn end_locally(&mut self, index: StatusIndex) -> Result<bool, L::Error> {
        if self.feed.state().is_revoked(index) || self.local.contains(index) {
            return Ok(true);
        }
        if self.local.is_full() {
            return Ok(false);
        }
        self.feed.log().add_local(index)?;
        self.local.merge([index], self.feed.state());
        Ok(true)
    }

    /// What was ended at the edge and is in no frame yet: for the hub, and for readers.
    pub fn local(&self) -> &LocalSet {
        &self.local
    }
}
