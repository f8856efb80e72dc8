//! What a check costs at the edge, a grant at the control plane and a long restriction list everywhere, beside their peers:
//! what `make bench` runs.
//!
//! All candidates alternate within one run, because machines are noisy and only ratios last. The figure to read is the
//! server's CPU time; requests per second of a machine that also runs the load generator say less. Writes
//! `target/bench/edge.json`, `grants.json` and `list.json`. One of the three: `BENCH_ONLY` (`edge`, `grants`, `list`); a part of
//! the first: `BENCH_PART`; rounds of the second: `BENCH_ROUNDS` (7).

mod edge;
mod grants;
mod list;
mod load;
mod pairs;
mod peers;
mod spread;
mod world;

use std::{error::Error, process::ExitCode};

use e2e::files;

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
    let only = files::variable("BENCH_ONLY");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("edge") {
        edge::run().await?;
    }
    if wanted("grants") {
        let rounds = files::variable("BENCH_ROUNDS").map_or(Ok(7), |text| text.parse::<usize>())?;
        grants::run(rounds).await?;
    }
    if wanted("list") {
        list::run().await?;
    }
    Ok(())
}
