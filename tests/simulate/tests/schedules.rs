//! As many schedules of the small world as fit in a minute; and the checker against code that is broken on purpose.

use std::time::Duration;

use simulate::{Config, Mutation, Until, explain, run, run_many};

#[test]
fn the_small_world_keeps_every_promise_for_a_minute() {
    let config = Config::small();
    let summary = run_many(&config, 1, Until::Elapsed(Duration::from_mins(1)), false);
    println!(
        "{}",
        summary.line("small world (2 regions, 3 isolates, all faults)")
    );
    if let Some(seed) = summary.failed {
        panic!("{}", explain(&config, seed));
    }
    assert!(summary.schedules > 1000, "{}", summary.schedules);
    assert!(summary.answers > summary.schedules * 50, "{}", summary.answers);
}

#[test]
fn the_large_world_keeps_every_promise_once() {
    let config = Config::large();
    let summary = run_many(&config, 1, Until::Schedules(1), true);
    assert_eq!(
        summary.failed,
        None,
        "{:?}",
        summary.failed.map(|seed| explain(&config, seed))
    );
    println!("{}", simulate::Report::of(&summary));
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in 0..20 {
        let text = |outcome: simulate::Outcome| {
            let lines: Vec<_> = outcome.trace.into_iter().map(|line| line.text).collect();
            lines.join("\n")
        };
        let first = text(run(&Config::small(), seed, true));
        assert!(first.lines().count() > 50, "seed {seed}");
        assert_eq!(first, text(run(&Config::small(), seed, true)), "seed {seed}");
    }
}

/// Broken in each of these ways, the code must be caught within so many seeds; whole, it passes all of them.
#[test]
fn broken_code_is_caught() {
    const SEEDS: u64 = 20_000;
    for mutation in Mutation::ALL {
        let broken = Config::broken(mutation);
        let summary = run_many(&broken, 1, Until::Schedules(SEEDS), false);
        let Some(seed) = summary.failed else {
            panic!("{mutation:?} was not caught in {SEEDS} schedules");
        };
        let outcome = run(&broken, seed, false);
        println!("{mutation:?}: seed {seed}: {}", outcome.violations[0]);
        let whole = Config {
            mutation: None,
            ..broken
        };
        assert_eq!(
            run(&whole, seed, false).violations,
            [],
            "{mutation:?}: seed {seed}"
        );
    }
}
