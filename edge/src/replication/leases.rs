//! The hub's book of leases: which region has applied what, and which may still answer as fresh from something older.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::feed::Head;
use shared::time::UnixMillis;

use super::{ACTIVE_MS, LEASE_MARGIN_MS, LEASE_MS, Position};

/// The name of a region: 1 to 16 lower-case letters, digits, hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegionName(String);

impl RegionName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=16).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected 1 to 16 lower-case letters, digits, hyphens")
        }
    }
}

impl TryFrom<String> for RegionName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RegionName> for String {
    fn from(name: RegionName) -> Self {
        name.0
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the publisher is told of one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionReport {
    /// Which.
    pub name: RegionName,
    /// What it is known to have applied; nothing known: three nulls.
    pub epoch: Option<u64>,
    /// See `epoch`.
    pub seq: Option<u64>,
    /// See `epoch`; lower-case hexadecimal.
    pub digest: Option<String>,
    /// How long it may still answer as fresh from a state older than the hub's head; 0: it cannot.
    pub lease_ms: u64,
    /// Since the hub last heard from it; `None`: never since the hub started.
    pub age_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    applied: Option<Head>,
    heard_at: Option<UnixMillis>,
    /// The end of the last lease, and the hub's head when it was given.
    last: Option<(Position, UnixMillis)>,
    /// The latest end of the leases that were given at earlier heads.
    older_until: Option<UnixMillis>,
}

/// The book. Memory only: whoever opens it takes every region for a holder until the longest lease has run out.
#[derive(Clone, Debug)]
pub struct Leases {
    regions: BTreeMap<RegionName, Known>,
    unknown_until: UnixMillis,
}

impl Leases {
    /// An empty book, opened at `now` for regions of these names.
    pub fn open(names: impl IntoIterator<Item = RegionName>, now: UnixMillis) -> Self {
        // `collect` would sort, and bring a sort of its own into the Wasm.
        let mut regions = BTreeMap::new();
        regions.extend(names.into_iter().map(|name| (name, Known::default())));
        Self {
            regions,
            unknown_until: end_of_lease(now),
        }
    }

    /// A region said what it has applied: with a pull, or as the answer to a push.
    pub fn heard(&mut self, name: &RegionName, applied: Option<Head>, now: UnixMillis) {
        if let Some(known) = self.regions.get_mut(name) {
            // What it says last counts: an object that lost its disk stands lower than it did.
            known.applied = applied;
            known.heard_at = Some(now);
        }
    }

    /// Whether there is a region of this name. A stranger is told nothing, or it would think that it holds a lease.
    pub fn knows(&self, name: &RegionName) -> bool {
        self.regions.contains_key(name)
    }

    /// A pull is answered with everything up to `head`: from then on the region may hold a lease.
    pub fn grant(&mut self, name: &RegionName, head: Position, now: UnixMillis) {
        let Some(known) = self.regions.get_mut(name) else {
            return;
        };
        let until = end_of_lease(now);
        let earlier = known.last.filter(|(at, _)| *at != head).map(|(_, end)| end);
        known.older_until = known.older_until.max(earlier);
        known.last = Some((head, until));
    }

    /// The regions that a new frame should be pushed to: those that were heard lately, with what they have.
    pub fn active(&self, now: UnixMillis) -> impl Iterator<Item = (&RegionName, Option<Head>)> {
        self.regions.iter().filter_map(move |(name, known)| {
            let heard = known.heard_at?;
            (now.since(heard) < ACTIVE_MS).then_some((name, known.applied))
        })
    }

    /// All regions, for a publisher that is told that the hub stands at `head`.
    pub fn report(&self, head: Option<Head>, now: UnixMillis) -> Vec<RegionReport> {
        self.regions
            .iter()
            .map(|(name, known)| RegionReport {
                name: name.clone(),
                epoch: known.applied.map(|at| at.epoch),
                seq: known.applied.map(|at| at.seq),
                digest: known.applied.map(|at| super::Place::from(at).digest),
                lease_ms: self.stale_lease_ms(known, head, now),
                age_ms: known.heard_at.map(|at| now.since(at)),
            })
            .collect()
    }

    /// How long leases run on that a region may use with a state older than `head`.
    fn stale_lease_ms(&self, known: &Known, head: Option<Head>, now: UnixMillis) -> u64 {
        let Some(head) = head else { return 0 };
        if known
            .applied
            .is_some_and(|applied| Position::from(applied) >= head.into())
        {
            return 0;
        }
        let last = known.last.filter(|(at, _)| *at < head.into()).map(|(_, end)| end);
        // Before this book was opened, another may have given leases at any head.
        let end = known.older_until.max(last).max(Some(self.unknown_until));
        end.map_or(0, |end| end.since(now))
    }
}

fn end_of_lease(now: UnixMillis) -> UnixMillis {
    now.saturating_add(LEASE_MS.saturating_add(LEASE_MARGIN_MS))
}
