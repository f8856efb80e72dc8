//! `simulate`: many schedules of the small world, some of the large one; or one seed with everything that happens in it.

use std::process::ExitCode;

use simulate::{Config, Report, Until, explain, run, run_many};

const USAGE: &str = "simulate [--schedules N] [--large N] [--first-seed N]   many (default 1000000 and 100)
simulate --seed N [--large]                             one, with its trace";

struct Args {
    schedules: u64,
    large: u64,
    first_seed: u64,
    seed: Option<u64>,
}

fn read_args() -> Option<Args> {
    let mut args = std::env::args().skip(1).peekable();
    let mut read = Args {
        schedules: 1_000_000,
        large: 100,
        first_seed: 1,
        seed: None,
    };
    let mut large_given = None;
    while let Some(name) = args.next() {
        let number = args.next_if(|next| !next.starts_with("--"));
        let number = number.map(|text| text.parse::<u64>()).transpose().ok()?;
        match (name.as_str(), number) {
            ("--schedules", Some(number)) => read.schedules = number,
            ("--large", number) => large_given = Some(number),
            ("--first-seed", Some(number)) => read.first_seed = number,
            ("--seed", Some(number)) => read.seed = Some(number),
            _ => return None,
        }
    }
    match large_given {
        Some(Some(number)) => read.large = number,
        None if read.seed.is_some() => read.large = 0,
        _ => {}
    }
    Some(read)
}

fn main() -> ExitCode {
    let Some(args) = read_args() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(seed) = args.seed {
        return one(seed, args.large > 0);
    }
    let small = Config::small();
    let summary = run_many(&small, args.first_seed, Until::Schedules(args.schedules), false);
    println!(
        "{}",
        summary.line("small world (2 regions, 3 isolates, all faults)")
    );
    if let Some(seed) = summary.failed {
        println!("{}", explain(&small, seed));
        return ExitCode::FAILURE;
    }
    if args.large == 0 {
        return ExitCode::SUCCESS;
    }
    let large = Config::large();
    let summary = run_many(&large, args.first_seed, Until::Schedules(args.large), true);
    println!(
        "{}",
        summary.line("large world (6 regions, 300 colos, 600 isolates, loss, delay, partitions)")
    );
    if let Some(seed) = summary.failed {
        println!("{}", explain(&large, seed));
        return ExitCode::FAILURE;
    }
    println!("{}", Report::of(&summary));
    ExitCode::SUCCESS
}

fn one(seed: u64, large: bool) -> ExitCode {
    let config = if large { Config::large() } else { Config::small() };
    let outcome = run(&config, seed, true);
    for line in &outcome.trace {
        println!("{}", line.text);
    }
    for violation in &outcome.violations {
        println!("BROKEN {violation}");
    }
    if outcome.violations.is_empty() {
        println!("seed {seed}: {} answers, every promise kept", outcome.answers);
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
