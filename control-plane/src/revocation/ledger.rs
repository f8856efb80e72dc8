//! What the regions of an edge have, as this process knows it, and from when on it counts as acknowledged.
//!
//! A region is done with a frame when its hub has the frame and (a) the region says that it has applied it, or (b) the time is
//! over for which the region may still answer from an older state: its lease. (b) is a promise with a date, counted from the
//! arrival of the answer by the clock that never goes back. Idle regions have no lease: they must ask their hub first.
//!
//! What a region was told directly, while its hub was silent, is in force there at once, but is no acknowledgement: if the
//! region loses its disk, the hub fills it again, and gives it a lease, without the frame.
//!
//! What it does not: keep anything. `acknowledge` writes what is done to the database, where other instances see it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared::feed::Head;
use shared::id::StatusIndex;
use shared::time::UnixMillis;

use super::report::{MAX_LEASE_MS, RegionReport};
use super::window::Window;
use crate::store::feed::{FeedNo, Position};

/// The only region of an edge that names none.
pub(crate) const PLAIN: &str = "";
/// Promises that are waited for at a time; further ones wait together.
const MAX_PROMISES: usize = 64;
/// A region that its hub does not list any more can hold no lease after this.
const FORGET_AFTER: Duration = Duration::from_millis(MAX_LEASE_MS);
/// Refusal codes that are counted on their own.
const MAX_CODES: usize = 32;

/// One edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// The feed that it gets.
    pub(super) feed: FeedNo,
    pub(crate) regions: BTreeMap<String, Region>,
    /// Dropped, and still in the database.
    forgotten: BTreeSet<String>,
    /// Whether the hub spoke at the last contact.
    pub(crate) hub: Option<bool>,
    /// Where the hub was when it last spoke.
    pub(crate) hub_at: Option<Position>,
    /// When the hub last spoke to this process.
    pub(crate) contact: Option<(Duration, UnixMillis)>,
    /// The edge's clock minus ours.
    pub(crate) skew_ms: Option<i64>,
    /// The entry kinds that it said it understands.
    pub(super) kinds: BTreeSet<u8>,
    /// What went wrong since the last contact, if anything.
    pub(crate) failure: Option<String>,
    pub(crate) failures: u64,
    /// How often, by code, since this process began.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// Local revocations of the last report that were dealt with: they come again until the frames have them.
    local: BTreeSet<StatusIndex>,
}

/// One region.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// What it says that it has, where we wrote that.
    pub(crate) applied: Option<Position>,
    /// Up to where it is done.
    pub(crate) done: Option<Position>,
    pub(crate) done_at: Option<UnixMillis>,
    pub(crate) lease_ms: u64,
    pub(crate) age_ms: Option<u64>,
    /// When that was said; `None` if it was only read from the database.
    pub(crate) reported_at: Option<Duration>,
    /// From framing to done, over an hour.
    pub(crate) lags: Window,
    listed_at: Duration,
    /// Ascending, both.
    promises: VecDeque<(Position, Duration)>,
    /// A head of it that is ours, and where that is.
    judged: Option<(Head, Position)>,
    told: Option<Position>,
    saved: Option<Position>,
}

/// What a contact brought.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// The hub spoke.
    pub(super) spoke: bool,
    /// Where it is, if it spoke and we wrote that.
    pub(super) hub: Option<Position>,
    /// Each with what its head means to us.
    pub(super) regions: Vec<(RegionReport, Option<Position>)>,
}

/// What is to be told and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Regions that got further: from where, to where.
    pub(super) advanced: Vec<(String, Option<Position>, Position)>,
    /// What the database does not have yet.
    pub(super) unsaved: Vec<(String, Position)>,
    pub(super) forgotten: Vec<String>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.advanced.is_empty() && self.unsaved.is_empty() && self.forgotten.is_empty()
    }
}

impl Region {
    fn new(now: Duration) -> Self {
        Self {
            applied: None,
            done: None,
            done_at: None,
            lease_ms: 0,
            age_ms: None,
            reported_at: None,
            lags: Window::hour(),
            listed_at: now,
            promises: VecDeque::new(),
            judged: None,
            told: None,
            saved: None,
        }
    }

    /// From `due` on it is done up to `at`.
    fn promise(&mut self, at: Position, due: Duration) {
        if self.done.is_some_and(|done| done >= at) {
            return;
        }
        while self
            .promises
            .back()
            .is_some_and(|(other, later)| *other <= at && *later >= due)
        {
            self.promises.pop_back();
        }
        if self
            .promises
            .back()
            .is_some_and(|(other, earlier)| *other >= at && *earlier <= due)
        {
            return;
        }
        // The first ones come true whatever follows, and then there is room.
        if self.promises.len() >= MAX_PROMISES {
            self.promises.pop_back();
        }
        self.promises.push_back((at, due));
    }

    fn keep_promises(&mut self, now: Duration) {
        while let Some((at, due)) = self.promises.front().copied() {
            if due > now {
                return;
            }
            self.promises.pop_front();
            self.done = self.done.max(Some(at));
        }
    }
}

impl Ledger {
    /// What the database has of a region, at the start of the process.
    pub(super) fn load(&mut self, region: &str, done: Position, at: UnixMillis, now: Duration) {
        let region = self
            .regions
            .entry(region.to_owned())
            .or_insert_with(|| Region::new(now));
        region.done = region
            .done
            .max(Some(done).filter(|done| *done != Position::default()));
        region.done_at = region.done_at.or(Some(at));
        region.told = region.told.max(Some(done));
        region.saved = region.saved.max(Some(done));
    }

    /// Where a region's head is, if it was found to be ours before.
    pub(super) fn judged(&self, region: &str, head: Head) -> Option<Position> {
        let (known, at) = self.regions.get(region)?.judged?;
        (known == head).then_some(at)
    }

    /// Those of a list of local revocations that were not dealt with yet. What is not listed any more is not kept in mind.
    pub(super) fn new_local(&mut self, listed: &[StatusIndex]) -> Vec<StatusIndex> {
        let listed: BTreeSet<StatusIndex> = listed.iter().copied().collect();
        self.local.retain(|index| listed.contains(index));
        listed.difference(&self.local).copied().collect()
    }

    pub(super) fn handled_local(&mut self, index: StatusIndex) {
        self.local.insert(index);
    }

    /// A contact that failed.
    pub(super) fn failed(&mut self, problem: &str) {
        self.failure = Some(problem.to_owned());
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn count_refusal(&mut self, code: &str) {
        if let Some(count) = self.refusals.get_mut(code) {
            *count = count.saturating_add(1);
        } else if self.refusals.len() < MAX_CODES {
            self.refusals.insert(code.to_owned(), 1);
        }
    }

    /// Takes note of a contact.
    pub(super) fn take(&mut self, news: News, now: Duration, time: UnixMillis) {
        self.hub = Some(news.spoke);
        self.failure = None;
        self.failures = 0;
        if news.spoke {
            self.contact = Some((now, time));
            self.hub_at = news.hub;
        }
        let listed: BTreeSet<String> = if news.regions.is_empty() && news.spoke {
            let region = self.region(PLAIN, now);
            region.applied = news.hub;
            region.done = region.done.max(news.hub);
            region.reported_at = Some(now);
            BTreeSet::from([PLAIN.to_owned()])
        } else {
            news.regions
                .iter()
                .map(|(report, _)| report.name.clone())
                .collect()
        };
        for (report, applied) in news.regions {
            let region = self.region(&report.name, now);
            region.applied = applied;
            region.done = region
                .done
                .max(applied.zip(news.hub).map(|(applied, hub)| applied.min(hub)));
            region.lease_ms = report.lease_ms;
            region.age_ms = report.age_ms;
            region.reported_at = Some(now);
            region.judged = report.head.zip(applied);
            if let Some(hub) = news.hub {
                region.promise(hub, now.saturating_add(Duration::from_millis(report.lease_ms)));
            }
        }
        if news.spoke {
            let forgotten = &mut self.forgotten;
            self.regions.retain(|name, region| {
                let stays = listed.contains(name)
                    || (name != PLAIN && now.saturating_sub(region.listed_at) < FORGET_AFTER);
                if !stays {
                    forgotten.insert(name.clone());
                }
                stays
            });
        }
    }

    fn region(&mut self, name: &str, now: Duration) -> &mut Region {
        self.forgotten.remove(name);
        let region = self
            .regions
            .entry(name.to_owned())
            .or_insert_with(|| Region::new(now));
        region.listed_at = now;
        region
    }

    /// Keeps the promises whose time has come; gives what is new since the last time, or could not be written.
    pub(super) fn settle(&mut self, now: Duration, time: UnixMillis) -> Changes {
        let mut changes = Changes {
            forgotten: self.forgotten.iter().cloned().collect(),
            ..Changes::default()
        };
        for (name, region) in &mut self.regions {
            region.keep_promises(now);
            // An edge that has nothing yet is known by its configuration, and holds up no new index block.
            if name == PLAIN && region.done.is_none() {
                continue;
            }
            let done = region.done.unwrap_or_default();
            if region.told.is_none_or(|told| told < done) {
                changes.advanced.push((name.clone(), region.told, done));
                region.told = Some(done);
                region.done_at = Some(time);
            }
            if region.saved.is_none_or(|saved| saved < done) {
                changes.unsaved.push((name.clone(), done));
            }
        }
        changes
    }

    /// The database has it.
    pub(super) fn saved(&mut self, changes: &Changes) {
        for (name, done) in &changes.unsaved {
            if let Some(region) = self.regions.get_mut(name) {
                region.saved = region.saved.max(Some(*done));
            }
        }
        for name in &changes.forgotten {
            self.forgotten.remove(name);
        }
    }

    /// Whether a region is not done with all that there is.
    pub(crate) fn is_pending(&self, head: Position) -> bool {
        self.regions.values().any(|region| region.done < Some(head))
    }

    /// When the next promise comes true.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let fronts = self.regions.values().filter_map(|region| region.promises.front());
        fronts.map(|(_, due)| *due).min()
    }
}

/// The name of a region in receipts, and of its row.
pub(crate) fn peer_name(edge: &str, region: &str) -> String {
    if region == PLAIN {
        edge.to_owned()
    } else {
        format!("{edge}/{region}")
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
