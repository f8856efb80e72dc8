//! The hub: the edge's first durable copy. It takes what the publisher pushes, and keeps the book of leases.

use shared::feed::{Head, Trust};
use shared::id::StatusIndex;
use shared::time::UnixMillis;

use super::feed::OpenError;
use super::{Account, Feed, Leases, LocalSet, Log, Position, RegionName, RegionReport, Taken};

/// The longest message that is pushed to a region.
const MAX_PUSH: usize = 4 << 20;

/// The hub's state: everything but the transport.
#[derive(Clone, Debug)]
pub struct Hub<L> {
    feed: Feed<L>,
    leases: Leases,
    local: LocalSet,
}

impl<L: Log> Hub<L> {
    /// Opens what the log holds, for regions of these names.
    pub fn open(
        log: L,
        trust: Trust,
        regions: impl IntoIterator<Item = RegionName>,
        now: UnixMillis,
    ) -> Result<Self, OpenError<L::Error>> {
        let feed = Feed::open(log, trust)?;
        Self::with(feed, regions, now).map_err(OpenError::Log)
    }

    fn with(
        mut feed: Feed<L>,
        regions: impl IntoIterator<Item = RegionName>,
        now: UnixMillis,
    ) -> Result<Self, L::Error> {
        let local = LocalSet::of(feed.log().local()?, feed.state());
        Ok(Self {
            feed,
            leases: Leases::open(regions, now),
            local,
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

    /// What it says of itself: the hub is as fresh as can be.
    pub fn account(&self, now: UnixMillis) -> Account {
        Account {
            contact_age_ms: Some(0),
            local: self.local.all(),
            ..self.feed.account(now)
        }
    }

    /// Takes in what the publisher sent.
    pub fn apply(&mut self, message: &[u8], now: UnixMillis) -> Result<Taken, L::Error> {
        let taken = self.feed.apply(message, now)?;
        settle(&mut self.local, &mut self.feed)?;
        Ok(taken)
    }

    /// Answers a region's pull with what it lacks, and with a lease if that is everything. An incompatible hub gives none.
    /// `applied`: where the region says that it stands. `None`: there is no such region.
    pub fn pull(
        &mut self,
        region: &RegionName,
        applied: Option<Head>,
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, L::Error> {
        if !self.leases.knows(region) {
            return Ok(None);
        }
        self.leases.heard(region, applied, now);
        let message = self
            .feed
            .since(applied.map_or(Position::default(), Position::from))?;
        if !self.feed.is_incompatible() {
            // Nothing is a head too: a region that has nothing either is level with it, and takes its lease.
            let head = self.feed.head().map_or(Position::default(), Position::from);
            self.leases.grant(region, head, now);
        }
        Ok(Some(message))
    }

    /// What to push to whom: the regions that were heard lately and lack something. One that lacks much pulls it when it is
    /// needed there: a push is for news, and all of them are in memory at the same time.
    pub fn pushes(&self, now: UnixMillis) -> Result<Vec<(RegionName, Vec<u8>)>, L::Error> {
        let mut pushes = Vec::new();
        for (name, applied) in self.leases.active(now) {
            let message = self
                .feed
                .since(applied.map_or(Position::default(), Position::from))?;
            if (1..=MAX_PUSH).contains(&message.len()) {
                pushes.push((name.clone(), message));
            }
        }
        Ok(pushes)
    }

    /// A region answered a push: this is what it has.
    pub fn pushed(&mut self, region: &RegionName, applied: Option<Head>, now: UnixMillis) {
        self.leases.heard(region, applied, now);
    }

    /// A region tells of credentials that were ended there. On disk before it is answered.
    pub fn add_local(&mut self, indexes: &[StatusIndex]) -> Result<(), L::Error> {
        for index in self.local.merge(indexes.iter().copied(), self.feed.state()) {
            self.feed.log().add_local(index)?;
        }
        Ok(())
    }

    /// Credentials that were ended at the edge, for the publisher to put into a frame.
    pub fn local(&self) -> &LocalSet {
        &self.local
    }

    /// What the publisher is told of the regions.
    pub fn report(&self, now: UnixMillis) -> Vec<RegionReport> {
        self.leases.report(self.feed.head(), now)
    }
}

/// Forgets what the feed contains now, in memory and on disk.
pub(super) fn settle<L: Log>(local: &mut LocalSet, feed: &mut Feed<L>) -> Result<(), L::Error> {
    if local.is_empty() {
        return Ok(());
    }
    for index in local.settle(feed.state()) {
        feed.log().drop_local(index)?;
    }
    Ok(())
}
