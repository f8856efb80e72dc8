//! What the overview says of the edges: the regions that are worst off first, and how long the last canaries were let in.
//!
//! What it does not: know more than `/dashboard/edge`, which shows all of it.

use std::cmp::Reverse;

use shared::id::OrgId;

use super::canary::Outcome;
use super::page::{ago, region_state};
use super::status::{RegionStatus, Status, Viewer, status};
use crate::app::App;
use crate::dashboard::chart::grouped;
use crate::error::ApiError;
use crate::revocation::window::Spread;

/// Regions that are named.
const NAMED: usize = 6;

/// The edges of an organisation, at a glance.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// The regions, the worst first.
    pub regions: Vec<Line>,
    /// How many more there are.
    pub more: usize,
    /// How many have the newest frame, and how many there are.
    pub up_to_date: (usize, usize),
    /// The newest frame: what regions are compared with.
    pub newest: String,
    /// What does not hold.
    pub alerts: usize,
    /// How long a revoked credential was let in.
    pub canary: Canary,
}

/// A region.
#[derive(Clone, Debug)]
pub struct Line {
    /// As in receipts.
    pub name: String,
    /// `good`, `warn` or `bad`.
    pub tone: &'static str,
    /// What it has, in words.
    pub state: String,
    /// The frame that it has.
    pub version: String,
    /// When it was heard of.
    pub age: String,
    /// How long frames take to get there.
    pub lag: String,
}

/// Time from a canary's revocation to its 401, in the slowest region.
#[derive(Clone, Debug, Default)]
pub struct Canary {
    /// Whether there are canaries.
    pub enabled: bool,
    /// Over a day; none was measured yet.
    pub measured: Option<Measured>,
    /// Regions that let the last one in for too long.
    pub too_long: usize,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units belong to the names")]
pub struct Measured {
    /// Half of the canaries were refused by then.
    pub median_ms: u64,
    /// The last one.
    pub last_ms: u64,
    /// What is promised.
    pub bound_ms: u64,
}

/// What is known at this moment of the edges that admit an organisation.
pub async fn glance(app: &App, org: OrgId) -> Result<Glance, ApiError> {
    let viewer = Viewer::of(app, org).await?;
    Ok(Glance::of(&status(app, viewer).await?))
}

impl Glance {
    fn of(status: &Status) -> Self {
        let mut regions: Vec<&RegionStatus> = status.edges.iter().flat_map(|edge| &edge.regions).collect();
        regions.sort_by_key(|region| worse_first(region));
        let all = regions.len();
        Self {
            up_to_date: (
                regions.iter().filter(|region| region.lag_frames == 0).count(),
                all,
            ),
            more: all.saturating_sub(NAMED),
            newest: grouped(status.head.seq),
            alerts: status.alerts.len(),
            canary: Canary::of(status.canary.enabled, &regions),
            regions: regions.into_iter().take(NAMED).map(Line::of).collect(),
        }
    }
}

/// What has nothing, what let a canary in for too long, what lacks most, what was not heard of for longest.
fn worse_first(region: &RegionStatus) -> (bool, bool, Reverse<u64>, Reverse<u64>, String) {
    let too_long = region.canary.as_ref().is_some_and(is_too_long);
    (
        region.seq.is_some(),
        !too_long,
        Reverse(region.lag_frames),
        Reverse(region.age_ms.unwrap_or_default()),
        region.name.clone(),
    )
}

fn is_too_long(summary: &super::canary::Summary) -> bool {
    summary.outcome == Outcome::TooLong
}

impl Line {
    fn of(region: &RegionStatus) -> Self {
        let (tone, state) = region_state(region);
        Self {
            name: region.name.clone(),
            tone,
            state,
            version: region.seq.map_or_else(|| "–".to_owned(), grouped),
            age: region
                .age_ms
                .map_or_else(|| "idle".to_owned(), |age| format!("{} ago", ago(age))),
            lag: region
                .lag
                .map_or_else(|| "–".to_owned(), |lag| format!("{} ms", grouped(lag.p50_ms))),
        }
    }
}

impl Canary {
    fn of(enabled: bool, regions: &[&RegionStatus]) -> Self {
        let known = || regions.iter().filter_map(|region| region.canary.as_ref());
        let measured: Vec<(Spread, u64)> = known()
            .filter_map(|summary| Some((summary.time_to_401?, summary.bound_ms)))
            .collect();
        let most = |of: fn(&(Spread, u64)) -> u64| measured.iter().map(of).max();
        let slowest = most(|(times, _)| times.p50_ms).map(|median_ms| Measured {
            median_ms,
            last_ms: most(|(times, _)| times.last_ms).unwrap_or_default(),
            bound_ms: most(|(_, bound)| *bound).unwrap_or_default(),
        });
        Self {
            enabled,
            measured: slowest,
            too_long: known().filter(|summary| is_too_long(summary)).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::time::UnixMillis;

    use super::super::canary::Summary;
    use super::*;

    fn region(name: &str, seq: Option<u64>, lag_frames: u64, age_ms: u64) -> RegionStatus {
        RegionStatus {
            name: name.to_owned(),
            epoch: seq.map(|_| 1),
            seq,
            applied: None,
            acknowledged_at: None,
            lag_frames,
            age_ms: Some(age_ms),
            lease_ms: None,
            lag: None,
            canary: None,
        }
    }

    fn measured(outcome: Outcome, p50_ms: u64, last_ms: u64) -> Summary {
        Summary {
            outcome,
            at: UnixMillis(0).into(),
            bound_ms: 3000,
            time_to_401: Some(Spread {
                count: 3,
                p50_ms,
                p99_ms: p50_ms,
                max_ms: p50_ms,
                last_ms,
            }),
        }
    }

    #[test]
    fn the_worst_region_stands_first() {
        let mut slow = region("hub/weur", Some(9), 0, 10);
        slow.canary = Some(measured(Outcome::TooLong, 4000, 4100));
        let regions = [
            region("hub/apac", Some(9), 0, 10),
            region("hub/enam", Some(9), 0, 900),
            region("hub/wnam", Some(7), 2, 10),
            slow,
            region("hub/oc", None, 9, 0),
        ];
        let mut sorted: Vec<&RegionStatus> = regions.iter().collect();
        sorted.sort_by_key(|region| worse_first(region));
        let names: Vec<_> = sorted.iter().map(|region| region.name.as_str()).collect();
        assert_eq!(names, ["hub/oc", "hub/weur", "hub/wnam", "hub/enam", "hub/apac"]);
    }

    #[test]
    fn the_canary_of_the_slowest_region_counts() {
        let mut one = region("hub/weur", Some(9), 0, 10);
        one.canary = Some(measured(Outcome::InTime, 300, 900));
        let mut other = region("hub/enam", Some(9), 0, 10);
        other.canary = Some(measured(Outcome::InTime, 500, 200));
        let canary = Canary::of(true, &[&one, &other]);
        let expected = Measured {
            median_ms: 500,
            last_ms: 900,
            bound_ms: 3000,
        };
        assert_eq!((canary.measured, canary.too_long), (Some(expected), 0));
        let none = Canary::of(true, &[&region("hub/oc", None, 9, 0)]);
        assert_eq!(none.measured, None);
    }
}
