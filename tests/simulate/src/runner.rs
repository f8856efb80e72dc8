//! Many schedules on all cores, and what to say about one that broke a promise.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{Config, Fault, Faults};
use crate::rng::Rng;
use crate::world::{self, Outcome};

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many schedules.
    Schedules(u64),
    /// After so long.
    Elapsed(Duration),
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Schedules that ran.
    pub schedules: u64,
    /// Events that were handled.
    pub steps: u64,
    /// Requests that were answered.
    pub answers: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The lowest seed, of those that ran, whose schedule broke a promise.
    pub failed: Option<u64>,
    /// The rest of each schedule, in order of seeds.
    pub outcomes: Vec<(u64, Outcome)>,
}

impl Summary {
    /// One line for people.
    pub fn line(&self, what: &str) -> String {
        let rate = self.schedules as f64 / self.elapsed.as_secs_f64().max(0.001);
        format!(
            "{what}: {} schedules in {:.1} s ({rate:.0}/s), {} events, {} requests answered, {}",
            self.schedules,
            self.elapsed.as_secs_f64(),
            self.steps,
            self.answers,
            match self.failed {
                Some(seed) => format!("seed {seed} BROKE A PROMISE"),
                None => "every promise kept".to_owned(),
            }
        )
    }
}

/// Runs schedules from a seed on, until the first that breaks a promise. `keep`: every outcome, for its numbers.
#[expect(
    clippy::disallowed_methods,
    reason = "the budget of a run is wall time; nothing inside a schedule sees it"
)]
pub fn run_many(config: &Config, first_seed: u64, until: Until, keep: bool) -> Summary {
    let begin = Instant::now();
    let next = AtomicU64::new(first_seed);
    let stop = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let work = || {
        let mut own = Summary::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = match until {
                Until::Schedules(schedules) => seed - first_seed >= schedules,
                Until::Elapsed(budget) => begin.elapsed() >= budget,
            };
            if over {
                break;
            }
            let outcome = world::run(config, seed, false);
            own.schedules += 1;
            own.steps += outcome.steps;
            own.answers += outcome.answers;
            if !outcome.violations.is_empty() {
                own.failed = Some(seed);
                stop.store(true, Ordering::Relaxed);
            }
            if keep {
                own.outcomes.push((seed, outcome));
            }
        }
        let mut all = summary.lock().unwrap_or_else(PoisonError::into_inner);
        all.schedules += own.schedules;
        all.steps += own.steps;
        all.answers += own.answers;
        all.failed = [all.failed, own.failed].into_iter().flatten().min();
        all.outcomes.append(&mut own.outcomes);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.elapsed = begin.elapsed();
    summary.outcomes.sort_by_key(|(seed, _)| *seed);
    summary
}

/// The schedule of a seed that broke a promise: with the least trouble in which it still does, and what happened then to
/// the credential that it was about.
pub fn explain(config: &Config, seed: u64) -> String {
    let mut least = config.clone();
    least.faults = drawn(config, seed);
    least.draw_faults = false;
    // Without the draw everything after it is another schedule: keep the first one if nothing smaller fails.
    if world::run(&least, seed, false).violations.is_empty() {
        least = config.clone();
    }
    for fault in Fault::ALL {
        let mut fewer = least.clone();
        fewer.faults = least.faults.without(fault);
        if !world::run(&fewer, seed, false).violations.is_empty() {
            least = fewer;
        }
    }
    let outcome = world::run(&least, seed, true);
    let mut text = format!("seed {seed}: {} broken promises\n", outcome.violations.len());
    for violation in &outcome.violations {
        let _ = writeln!(text, "  {violation}");
    }
    let about = outcome
        .violations
        .first()
        .and_then(|violation| violation.credential);
    let until = outcome
        .violations
        .first()
        .map_or(u64::MAX, |violation| violation.at_us);
    let _ = writeln!(
        text,
        "what happened until then, but for the requests of other credentials:"
    );
    for line in &outcome.trace {
        if line.at_us <= until && (line.about.is_none() || line.about == about) {
            let _ = writeln!(text, "  {}", line.text);
        }
    }
    let _ = writeln!(text, "again: make simulate ARGS='--seed {seed}'");
    text
}

fn drawn(config: &Config, seed: u64) -> Faults {
    if config.draw_faults {
        config.faults.draw(&mut Rng::of(seed))
    } else {
        config.faults
    }
}
