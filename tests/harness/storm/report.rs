//! What a storm showed.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    Shape,
    check::{self, Log, Route, Times, Violation, Wait},
};
use crate::Database;

/// The numbers of one run, and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// How the edge was built, and on which database.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Requests with a credential.
    pub requests: usize,
    /// Credentials that were revoked.
    pub revoked: usize,
    /// In so many revocations.
    pub revocations: usize,
    /// The least number of credentials that lived and were in use at any time before the end.
    pub fewest_alive: usize,
    /// Answers that said that something was pending, and were asked for again.
    pub incomplete: usize,
    /// Revocations that got no receipt: the edge gave up waiting for the control plane and ended the credential itself, or the
    /// answer came so late that it says nothing.
    pub without_receipt: usize,
    /// Requests by route.
    pub asked: BTreeMap<&'static str, usize>,
    /// 503 `state_stale` among them.
    pub stale: BTreeMap<&'static str, usize>,
    /// By what was waited for: the latest 200 after a receipt, by route, in ms.
    pub let_in_after_receipt_ms: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// The bound that receipts named, in ms.
    pub bound_ms: u64,
    /// From the revocation's first byte to the first 401's last one.
    pub time_to_401: Times,
    /// The same by way.
    pub by_way: BTreeMap<&'static str, Times>,
    /// The same by route.
    pub by_route: BTreeMap<&'static str, Times>,
    /// How many of which violations.
    pub violations: BTreeMap<String, usize>,
    /// The first of them, in words.
    pub first_violations: Vec<String>,
    /// Everything, to be looked at again.
    #[serde(skip)]
    pub log: Log,
}

impl Outcome {
    pub(super) fn new(
        shape: Shape,
        database: Database,
        log: Log,
        (fewest_alive, incomplete, seconds): (usize, usize, f64),
    ) -> Self {
        let violations = check::check(&log);
        let mut asked: BTreeMap<_, _> = Route::ALL.map(|route| (route.as_str(), 0)).into();
        let mut stale = asked.clone();
        for one in &log.asked {
            *asked.entry(one.route.as_str()).or_default() += 1;
            *stale.entry(one.route.as_str()).or_default() += usize::from(one.stale);
        }
        let late = [Wait::Effective, Wait::Ack, Wait::None].map(|wait| {
            let by_route = check::let_in_after_receipt(&log, wait).into_iter();
            let by_route = by_route.map(|(route, time)| (route.as_str(), milliseconds(time)));
            (wait.as_str(), by_route.collect())
        });
        let receipts = log.revocations.iter().filter_map(|one| one.receipt.as_ref());
        let bounds = receipts.filter(|receipt| receipt.seq.is_some());
        let mut kinds = BTreeMap::new();
        for violation in &violations {
            *kinds.entry(format!("{:?}", violation.rule)).or_default() += 1;
        }
        let all = check::times_to_401(&log, |_, _| ());
        Self {
            name: format!(
                "{}, {}",
                match shape {
                    Shape::Apart => "hub, 2 regions, 4 gates apart",
                    Shape::One => "4 gates in one process",
                },
                match database {
                    Database::Sqlite => "SQLite",
                    Database::Postgres => "PostgreSQL",
                }
            ),
            seconds,
            requests: log.asked.len(),
            revoked: log.revocations.iter().map(|one| one.credentials.len()).sum(),
            revocations: log.revocations.len(),
            fewest_alive,
            incomplete,
            without_receipt: log.revocations.iter().filter(|one| one.receipt.is_none()).count(),
            asked,
            stale,
            let_in_after_receipt_ms: late.into(),
            bound_ms: bounds.map(|one| milliseconds(one.bound)).max().unwrap_or(0),
            time_to_401: all.into_values().next().unwrap_or_default(),
            by_way: check::times_to_401(&log, |revocation, _| revocation.way),
            by_route: check::times_to_401(&log, |_, route| route.as_str()),
            violations: kinds,
            first_violations: violations.iter().take(20).map(Violation::to_string).collect(),
            log,
        }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} credentials revoked in {} revocations, {} requests, {:.0} s; never fewer than {} alive and in use; {} \
             receipts asked for again, {} never got",
            self.name,
            self.revoked,
            self.revocations,
            self.requests,
            self.seconds,
            self.fewest_alive,
            self.incomplete,
            self.without_receipt
        )?;
        writeln!(f, "  time to 401 in ms         times     p50     p99     max")?;
        let one = [("all", &self.time_to_401)];
        let rows = one.into_iter().chain(self.by_route.iter().map(|(k, v)| (*k, v)));
        for (name, times) in rows.chain(self.by_way.iter().map(|(k, v)| (*k, v))) {
            writeln!(
                f,
                "  {name:<24} {:>6} {:>7} {:>7} {:>7}",
                times.count, times.p50_ms, times.p99_ms, times.max_ms
            )?;
        }
        for (wait, by_route) in &self.let_in_after_receipt_ms {
            let by_route: Vec<_> = by_route
                .iter()
                .map(|(route, ms)| format!("{route} {ms}"))
                .collect();
            writeln!(
                f,
                "  let in after a receipt of wait={wait}, at the latest, ms: {} (bound {})",
                by_route.join(", "),
                self.bound_ms
            )?;
        }
        let stale: Vec<_> = self
            .stale
            .iter()
            .map(|(route, stale)| format!("{route} {stale} of {}", self.asked[route]))
            .collect();
        writeln!(f, "  503 state_stale: {}", stale.join(", "))?;
        if self.violations.is_empty() {
            return write!(f, "  no violation");
        }
        write!(f, "  VIOLATIONS: {:?}", self.violations)?;
        for violation in &self.first_violations {
            write!(f, "\n    {violation}")?;
        }
        Ok(())
    }
}
