//! What a check costs at the edge, a grant at the control plane and a long restriction list everywhere, beside their peers:
//! what `make bench` runs.
//!
//! All candidates alternate within one run, because machines are noisy and only ratios last. The figure to read is the
//! server's CPU time; requests per second of a machine that also runs the load generator say less. Writes
//! `target/bench/edge.json`, `grants.json` and `list.json`. Rounds: `BENCH_ROUNDS` (7); one of the three: `BENCH_ONLY`
//! (`edge`, `grants`, `list`).

mod candidates;
mod grants;
mod list;
mod load;
mod report;

use std::{error::Error, process::ExitCode};

use candidates::{Candidate, Candidates};
use e2e::files;
use report::{Report, Sample};

/// Requests in one round of one candidate.
const REQUESTS: usize = 1000;
/// Keep-alive connections.
const CONNECTIONS: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let rounds = files::variable("BENCH_ROUNDS").map_or(Ok(7), |text| text.parse::<usize>())?;
    let only = files::variable("BENCH_ONLY");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("edge") {
        edge(rounds).await?;
    }
    if wanted("grants") {
        grants::run(rounds).await?;
    }
    if wanted("list") {
        list::run().await?;
    }
    Ok(())
}

async fn edge(rounds: usize) -> Result<(), Box<dyn Error>> {
    eprintln!("bench: starting workerd three times, and a control plane");
    let mut candidates = Candidates::start().await?;
    eprintln!("bench: issuing {} keys and as many tokens", REQUESTS * rounds);
    candidates.issue(REQUESTS * rounds).await?;

    let mut report = Report::new(rounds);
    // Round 0 warms up and is not counted.
    for round in 0..=rounds {
        eprintln!("bench: round {round} of {rounds}");
        for candidate in Candidate::ALL {
            let requests = candidates.requests(candidate, round.checked_sub(1));
            let before = load::cpu_seconds(candidates.process(candidate))?;
            let sent = load::send(&candidates.address(candidate), requests, CONNECTIONS).await?;
            let cpu = load::cpu_seconds(candidates.process(candidate))? - before;
            if round > 0 {
                report.add(candidate, Sample::new(REQUESTS, sent.seconds, cpu));
            }
        }
    }
    report.wasm(&files::edge_modules(false).join("index_bg.wasm"))?;
    println!("{}", report.table());
    let path = files::root().join("target/bench/edge.json");
    report.write(&path)?;
    println!("written to {}", path.display());
    Ok(())
}
