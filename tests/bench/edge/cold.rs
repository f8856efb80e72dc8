//! A machine that knows nothing: what its start costs, and how soon it answers, beside an empty Worker.

use std::path::Path;

use e2e::{Port, Request, Workerd, http};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    load, peers,
    spread::Spread,
    world::{self, Failure, World},
};

const ROUNDS: usize = 9;

/// Of one Worker, in milliseconds.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "units belong to the names")]
pub(super) struct Start {
    /// CPU from the start of the process until it listens.
    start_cpu_ms: Spread,
    /// CPU of the first answer.
    first_cpu_ms: Spread,
    /// From the first byte of the first request to the last of its answer.
    first_ms: Spread,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    ours: Start,
    empty: Start,
}

pub(super) async fn run(folder: &Path) -> Result<Report, Failure> {
    let folder = folder.join("cold");
    let port = Port::reserve();
    let mut world = World::new(&port.url())?;
    let mut edge = world::edge(&folder.join("ours"), &port, "http://127.0.0.1:9").await?;
    world::push(&port.address(), &world.snapshot()?).await?;
    let request = Request::verify("GET", "/v1/memory/x").bearer(&world.api_key()?);
    let headers = vec![("HEADERS".to_owned(), "[]".to_owned())];
    let (mut empty, empty_port) = peers::start(&folder, "empty", headers, false).await?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(once(&mut edge, &port.address(), &request).await?);
        theirs.push(once(&mut empty, &empty_port.address(), &request).await?);
    }
    let report = Report {
        ours: start(&ours),
        empty: start(&theirs),
    };
    println!("\ncold start, {ROUNDS} rounds, median (ours / an empty Worker):");
    let line = |title: &str, of: fn(&Start) -> Spread| {
        println!(
            "  {title:<34}{:>7.1} ms /{:>7.1} ms",
            of(&report.ours).median,
            of(&report.empty).median
        );
    };
    line("CPU until workerd listens", |start| start.start_cpu_ms);
    line("CPU of the first answer", |start| start.first_cpu_ms);
    line("time to the first answer", |start| start.first_ms);
    Ok(report)
}

async fn once(workerd: &mut Workerd, address: &str, request: &Request) -> Result<[f64; 3], Failure> {
    workerd.restart().await?;
    let process = workerd.process().id();
    let listening = load::cpu_seconds(process)?;
    let started = Instant::now();
    let answer = http::once(address, request).await?;
    let first = started.elapsed().as_secs_f64();
    if answer.status != 200 {
        return Err(format!("a cold machine answered {} {}", answer.status, answer.text()).into());
    }
    let answered = load::cpu_seconds(process)?;
    Ok([listening * 1e3, (answered - listening) * 1e3, first * 1e3])
}

fn start(rounds: &[[f64; 3]]) -> Start {
    let [start_cpu_ms, first_cpu_ms, first_ms] =
        [0, 1, 2].map(|at: usize| Spread::of(rounds.iter().filter_map(|round| round.get(at).copied())));
    Start {
        start_cpu_ms,
        first_cpu_ms,
        first_ms,
    }
}
