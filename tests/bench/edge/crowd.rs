//! A hundred thousand live credentials through one isolate: what it remembers, what that takes, and whether a flood of forged
//! ones drives it out.

use std::{fs, path::Path};

use e2e::{Port, Request, http};
use serde::Serialize;
use serde_json::Value;

use crate::{
    load,
    pairs::CONNECTIONS,
    spread::random,
    world::{self, Failure, World},
};

const CREDENTIALS: usize = 100_000;
const FORGED: usize = 20_000;
/// Requests at a time, so that they need not all be in memory.
const CHUNK: usize = 5000;

/// One phase.
#[derive(Debug, Serialize)]
struct Phase {
    title: &'static str,
    requests: usize,
    cpu_us: f64,
    hit_rate: f64,
    statements: u64,
    statement_bytes: u64,
    evicted: u64,
    wasm_memory_bytes: u64,
    process_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    credentials: usize,
    phases: Vec<Phase>,
}

struct Crowd {
    address: String,
    process: u32,
    phases: Vec<Phase>,
    /// Hits, misses, evictions so far.
    before: [u64; 3],
}

pub(super) async fn run(folder: &Path) -> Result<Report, Failure> {
    eprintln!("bench: making {CREDENTIALS} keys");
    let port = Port::reserve();
    let mut world = World::new(&port.url())?;
    let mut edge = world::edge(&folder.join("crowd"), &port, "http://127.0.0.1:9").await?;
    world::push(&port.address(), &world.snapshot()?).await?;
    let keys = (0..CREDENTIALS)
        .map(|_| world.api_key())
        .collect::<Result<Vec<_>, _>>()?;
    let forged = (0..FORGED)
        .map(|_| world.forged_key())
        .collect::<Result<Vec<_>, _>>()?;
    let mut crowd = Crowd {
        address: port.address(),
        process: edge.process().id(),
        phases: Vec::new(),
        before: [0; 3],
    };
    let mut seed = 11;
    let mut drawn = |count: usize, of: usize| -> Vec<&String> {
        let mut at = || usize::try_from(random(&mut seed) >> 11).unwrap_or(0) % of;
        (0..count).filter_map(|_| keys.get(at())).collect()
    };
    println!("\n{CREDENTIALS} live API keys through one isolate");
    println!(
        "{:<44}{:>8}{:>9}{:>9}{:>9}{:>9}{:>11}{:>11}",
        "", "CPU µs", "hits", "held", "MB", "evicted", "Wasm MB", "process MB"
    );
    crowd
        .send("each once", &keys.iter().collect::<Vec<_>>(), 200)
        .await?;
    crowd
        .send("each once more", &keys.iter().collect::<Vec<_>>(), 200)
        .await?;
    crowd
        .send("any of them, at random", &drawn(CREDENTIALS, CREDENTIALS), 200)
        .await?;
    crowd
        .send(
            "one of a tenth of them, at random",
            &drawn(CREDENTIALS / 2, CREDENTIALS / 10),
            200,
        )
        .await?;
    crowd
        .send(
            "forged ones, all different",
            &forged.iter().collect::<Vec<_>>(),
            401,
        )
        .await?;
    crowd
        .send(
            "the tenth again: is it still there?",
            &drawn(CREDENTIALS / 10, CREDENTIALS / 10),
            200,
        )
        .await?;
    Ok(Report {
        credentials: CREDENTIALS,
        phases: crowd.phases,
    })
}

impl Crowd {
    #[expect(clippy::cast_precision_loss, reason = "numbers for people")]
    async fn send(&mut self, title: &'static str, keys: &[&String], status: u16) -> Result<(), Failure> {
        let cpu = load::cpu_seconds(self.process)?;
        for chunk in keys.chunks(CHUNK) {
            let one = |key: &&String| Request::verify("GET", "/v1/memory/x").bearer(key);
            load::send_for(
                &self.address,
                chunk.iter().map(one).collect(),
                CONNECTIONS,
                status,
            )
            .await?;
        }
        let cpu = load::cpu_seconds(self.process)? - cpu;
        let health: Value = http::once(&self.address, &Request::get("/.portcullis/health"))
            .await?
            .json();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let held = &health["statements"];
        let now = [
            number(&held["hits"]),
            number(&held["misses"]),
            number(&held["evicted"]),
        ];
        let [hits, misses, evicted] = [0, 1, 2].map(|at: usize| now[at] - self.before[at]);
        self.before = now;
        let phase = Phase {
            title,
            requests: keys.len(),
            cpu_us: cpu * 1e6 / keys.len() as f64,
            hit_rate: hits as f64 / (hits + misses).max(1) as f64,
            statements: number(&health["statements_cached"]),
            statement_bytes: number(&held["bytes"]),
            evicted,
            wasm_memory_bytes: number(&health["wasm_memory_bytes"]),
            process_bytes: resident(self.process)?,
        };
        println!(
            "  {:<42}{:>8.1}{:>8.1}%{:>9}{:>9.1}{:>9}{:>11.1}{:>11.1}",
            title,
            phase.cpu_us,
            phase.hit_rate * 100.0,
            phase.statements,
            phase.statement_bytes as f64 / 1e6,
            evicted,
            phase.wasm_memory_bytes as f64 / 1e6,
            phase.process_bytes as f64 / 1e6,
        );
        self.phases.push(phase);
        Ok(())
    }
}

/// What the process has in memory, in bytes.
fn resident(process: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.ok_or("no VmRSS")? * 1024)
}
