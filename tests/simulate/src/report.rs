//! The numbers of the large configuration, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::runner::Summary;

/// A distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many values.
    pub count: usize,
    /// Half of them are below.
    pub p50_ms: f64,
    /// 99 of 100 are below.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Spread {
    fn of(mut values_us: Vec<u64>) -> Self {
        values_us.sort_unstable();
        let at = |part: usize| {
            let place = (values_us.len() * part / 100).min(values_us.len().saturating_sub(1));
            values_us.get(place).map_or(0.0, |us| *us as f64 / 1000.0)
        };
        Self {
            count: values_us.len(),
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms ({} revocations)",
            self.p50_ms, self.p99_ms, self.max_ms, self.count
        )
    }
}

/// What the large configuration says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Schedules.
    pub runs: u64,
    /// From commit until the last region and isolate enforces.
    pub enforced: Spread,
    /// From when the hub had it until the last region and isolate enforces.
    pub enforced_from_hub: Spread,
    /// From commit to the `effective` receipt.
    pub receipt: Spread,
    /// Requests per second that the hub takes in: on average, and in the busiest second of any run.
    pub hub_per_second: (f64, u64),
    /// The same for the busiest region.
    pub region_per_second: (f64, u64),
}

impl Report {
    /// From runs whose outcomes were kept.
    pub fn of(summary: &Summary) -> Self {
        let outcomes = || summary.outcomes.iter().map(|(_, outcome)| outcome);
        let load = |pick: &dyn Fn(&crate::Outcome) -> (f64, u64)| {
            let loads: Vec<_> = outcomes().map(pick).collect();
            let mean = loads.iter().map(|load| load.0).sum::<f64>() / loads.len().max(1) as f64;
            (mean, loads.iter().map(|load| load.1).max().unwrap_or(0))
        };
        Self {
            runs: summary.schedules,
            enforced: Spread::of(outcomes().flat_map(|o| o.enforced_us.clone()).collect()),
            enforced_from_hub: Spread::of(outcomes().flat_map(|o| o.enforced_from_hub_us.clone()).collect()),
            receipt: Spread::of(outcomes().flat_map(|o| o.receipt_us.clone()).collect()),
            hub_per_second: load(&|outcome| outcome.hub_load),
            region_per_second: load(&|outcome| outcome.region_load),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        let _ = writeln!(text, "  commit to the last isolate enforcing: {}", self.enforced);
        let _ = writeln!(
            text,
            "  hub to the last isolate enforcing:    {}",
            self.enforced_from_hub
        );
        let _ = writeln!(text, "  commit to the effective receipt:      {}", self.receipt);
        let (mean, most) = self.hub_per_second;
        let _ = writeln!(
            text,
            "  requests to the hub:                  {mean:.1}/s, at most {most}/s"
        );
        let (mean, most) = self.region_per_second;
        let _ = write!(
            text,
            "  requests to the busiest region:       {mean:.1}/s, at most {most}/s"
        );
        f.write_str(&text)
    }
}
