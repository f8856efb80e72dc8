//! What a grant costs: code exchange and refresh, ours on both databases beside npm `oidc-provider` with its grants in
//! memory, and beside what the machine needs for the signatures alone. Each answer has an access token and an id_token, so
//! two RS256 signatures, and a new refresh token.
//!
//! CPU is the server process's. What PostgreSQL's own processes use is not in it; the peer keeps nothing at all.

use std::{error::Error, fmt::Write as _, fs, io, process::Command, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};
use e2e::{
    Database, Person, Port, Process, Request, Response, Stack, files, http,
    person::{self, CHALLENGE, REDIRECT, VERIFIER},
    wait,
};
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    load::{self, Sent},
    spread::Spread,
};

type Failure = Box<dyn Error>;

/// Grants of one candidate in one round, unless `BENCH_GRANTS` says otherwise.
const GRANTS: usize = 300;
/// Concurrent clients.
const CONNECTIONS: usize = 4;
/// Concurrency at which issuing for one organisation is looked at.
const STEPS: [usize; 3] = [1, 4, 16];
const SIGNATURES: usize = 300;

/// One operation of one candidate in one round.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    grants_per_second: f64,
    cpu_ms_per_grant: f64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    fn new(count: usize, seconds: f64, cpu_seconds: f64) -> Self {
        Self {
            grants_per_second: count as f64 / seconds,
            cpu_ms_per_grant: cpu_seconds * 1000.0 / count as f64,
        }
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    title: &'static str,
    exchange: Vec<Sample>,
    refresh: Vec<Sample>,
}

/// Runs everything; prints the table and writes the file.
pub(crate) async fn run(rounds: usize) -> Result<(), Failure> {
    let grants = files::variable("BENCH_GRANTS").map_or(Ok(GRANTS), |text| text.parse::<usize>())?;
    eprintln!("bench: starting two control planes and oidc-provider");
    let mut candidates = [
        Candidate::ours("ours, SQLite", Database::Sqlite).await?,
        Candidate::ours("ours, PostgreSQL", Database::Postgres).await?,
        Candidate::peer("oidc-provider, in memory").await?,
    ];
    let mut signing = Vec::new();
    let mut lines: Vec<Line> = candidates
        .iter()
        .map(|candidate| Line {
            title: candidate.title,
            exchange: Vec::new(),
            refresh: Vec::new(),
        })
        .collect();
    // Round 0 warms up and is not counted.
    for round in 0..=rounds {
        eprintln!("bench: grants, round {round} of {rounds}");
        let raw = raw_signatures()?;
        for (candidate, line) in candidates.iter_mut().zip(&mut lines) {
            let (exchange, refresh) = candidate.round(grants, CONNECTIONS).await?;
            if round > 0 {
                line.exchange.push(exchange);
                line.refresh.push(refresh);
            }
        }
        if round > 0 {
            signing.push(raw);
        }
    }
    let scaling = scaling(&mut candidates, grants).await?;
    println!("{}", table((rounds, grants), &lines, &signing, &scaling));
    let path = files::root().join("target/bench/grants.json");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let report = json!({
        "rounds": rounds, "grants_per_round": grants, "connections": CONNECTIONS, "candidates": lines,
        "raw_rsa_2048_signatures": signing, "one_organisation": scaling,
    });
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}

/// A server that grants.
struct Candidate {
    title: &'static str,
    server: Server,
}

enum Server {
    Ours(Box<Stack>, Vec<Person>),
    Peer {
        process: Process,
        port: Port,
        _folder: TempDir,
    },
}

impl Candidate {
    async fn ours(title: &'static str, database: Database) -> Result<Self, Failure> {
        let stack = Stack::with().database(database).start().await;
        let mut people = Vec::new();
        for number in 0..STEPS.into_iter().max().unwrap_or(CONNECTIONS) {
            people.push(Person::sign_in(&stack, &format!("bench {number}")).await?);
        }
        let server = Server::Ours(Box::new(stack), people);
        Ok(Self { title, server })
    }

    async fn peer(title: &'static str) -> Result<Self, Failure> {
        let (port, folder) = (Port::reserve(), tempfile::tempdir()?);
        let mut command = Command::new(files::root().join("node_modules/.bin/node"));
        command
            .arg(files::root().join("tests/bench/provider.mjs"))
            .env("NODE_ENV", "production")
            .env("PORT", port.number().to_string())
            .env("RESOURCE", "http://127.0.0.1:1")
            .env("REDIRECT", REDIRECT)
            .env("CHALLENGE", CHALLENGE);
        let process = Process::spawn("oidc-provider", command, &folder.path().join("log"))?;
        let (address, probe) = (port.address(), Request::get("/.well-known/openid-configuration"));
        wait::until_true("oidc-provider answers", Duration::from_mins(1), || async {
            http::once(&address, &probe)
                .await
                .is_ok_and(|answer| answer.status == 200)
        })
        .await;
        let server = Server::Peer {
            process,
            port,
            _folder: folder,
        };
        Ok(Self { title, server })
    }

    fn address(&self) -> String {
        match &self.server {
            Server::Ours(stack, _) => stack.control.address(),
            Server::Peer { port, .. } => port.address(),
        }
    }

    fn process(&mut self) -> u32 {
        match &mut self.server {
            Server::Ours(stack, _) => stack.control.process().map_or(0, |process| process.id()),
            Server::Peer { process, .. } => process.id(),
        }
    }

    /// So many codes, exchanged and then refreshed, each measured by itself.
    async fn round(&mut self, count: usize, connections: usize) -> Result<(Sample, Sample), Failure> {
        let requests = self.codes(count, connections).await?;
        let (exchange, sent) = self.measured(requests, connections).await?;
        let requests = self.refreshes(&sent.answers)?;
        let (refresh, _) = self.measured(requests, connections).await?;
        Ok((exchange, refresh))
    }

    async fn measured(&mut self, requests: Vec<Request>, connections: usize) -> io::Result<(Sample, Sent)> {
        let (count, process) = (requests.len(), self.process());
        let before = load::cpu_seconds(process)?;
        let sent = load::send(&self.address(), requests, connections).await?;
        let cpu = load::cpu_seconds(process)? - before;
        Ok((Sample::new(count, sent.seconds, cpu), sent))
    }

    /// Fresh codes, as the requests that exchange them. Not measured.
    async fn codes(&mut self, count: usize, connections: usize) -> Result<Vec<Request>, Failure> {
        let mut requests = Vec::with_capacity(count);
        match &mut self.server {
            Server::Ours(_, people) => {
                for number in 0..count {
                    let person = &mut people[number % connections];
                    let code = person.code().await?;
                    requests.push(person.exchange_request(&code));
                }
            }
            Server::Peer { port, .. } => {
                let request = Request::new("POST", &format!("/bench/codes?count={count}"));
                let answer = http::once(&port.address(), &request).await?;
                for code in answer.json().as_array().cloned().unwrap_or_default() {
                    let form = [
                        ("grant_type", "authorization_code".to_owned()),
                        ("client_id", "bench".to_owned()),
                        ("code", code.as_str().unwrap_or_default().to_owned()),
                        ("code_verifier", VERIFIER.to_owned()),
                        ("redirect_uri", REDIRECT.to_owned()),
                    ];
                    requests.push(person::post("/token", &form));
                }
            }
        }
        Ok(requests)
    }

    fn refreshes(&self, answers: &[Response]) -> io::Result<Vec<Request>> {
        let requests = answers.iter().map(|answer| {
            let token = person::tokens(answer)?.refresh;
            let client_id = match &self.server {
                // The token's own client, as its access token names it.
                Server::Ours(..) => person::client_of(answer)?,
                Server::Peer { .. } => "bench".to_owned(),
            };
            let form = [
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", client_id),
                ("refresh_token", token),
            ];
            Ok(person::post("/token", &form))
        });
        requests.collect()
    }
}

/// Issuing for one organisation at rising concurrency: does it get faster, and who waits for whom?
#[derive(Debug, Serialize)]
struct Step {
    title: &'static str,
    connections: usize,
    exchange: Sample,
    /// Connections to PostgreSQL that wait for another's row, on average.
    waiting: Option<f64>,
}

async fn scaling(candidates: &mut [Candidate], grants: usize) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for connections in STEPS {
        for candidate in &mut *candidates {
            let Server::Ours(..) = candidate.server else {
                continue;
            };
            let requests = candidate.codes(grants, connections).await?;
            let watch = match &candidate.server {
                Server::Ours(stack, _) => stack.control.watch_locks().ok(),
                Server::Peer { .. } => None,
            };
            let (exchange, _) = candidate.measured(requests, connections).await?;
            steps.push(Step {
                title: candidate.title,
                connections,
                exchange,
                waiting: watch.map(e2e::LockWatch::end).transpose()?.flatten(),
            });
        }
    }
    Ok(steps)
}

/// What one core does with a key of the size and library that we sign with.
fn raw_signatures() -> Result<Sample, Failure> {
    let failed = |_| "no RSA in aws-lc-rs";
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let random = SystemRandom::new();
    let mut signature = vec![0; key.public_modulus_len()];
    let (own, start) = (std::process::id(), Instant::now());
    let before = load::cpu_seconds(own)?;
    for number in 0..SIGNATURES {
        let message = number.to_le_bytes();
        key.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature)
            .map_err(failed)?;
    }
    let cpu = load::cpu_seconds(own)? - before;
    Ok(Sample::new(SIGNATURES, start.elapsed().as_secs_f64(), cpu))
}

fn table((rounds, grants): (usize, usize), lines: &[Line], signing: &[Sample], scaling: &[Step]) -> String {
    let cpu = |samples: &[Sample]| Spread::of(samples.iter().map(|sample| sample.cpu_ms_per_grant));
    let rate = |samples: &[Sample]| Spread::of(samples.iter().map(|sample| sample.grants_per_second));
    let spread = |spread: Spread, digits: usize| {
        format!(
            "{:.digits$} ({:.digits$} to {:.digits$})",
            spread.median, spread.least, spread.most
        )
    };
    let raw = cpu(signing).median * 2.0;
    let mut text = format!(
        "\n{rounds} alternating rounds of {grants} grants over {CONNECTIONS} connections; median (lowest to highest)\n\n"
    );
    let _ = writeln!(
        text,
        "{:<27}{:<10}{:<29}{:<12}grants/s",
        "", "", "CPU ms per grant", "to 2 signs"
    );
    for line in lines {
        for (name, samples) in [("exchange", &line.exchange), ("refresh", &line.refresh)] {
            let ratio = format!("{:.2}", cpu(samples).median / raw);
            let _ = writeln!(
                text,
                "{:<27}{name:<10}{:<29}{ratio:<12}{}",
                line.title,
                spread(cpu(samples), 3),
                spread(rate(samples), 0)
            );
        }
    }
    let _ = writeln!(
        text,
        "{:<27}{:<10}{:<29}{:<12}{} signatures/s",
        "RSA-2048, aws-lc-rs, a core",
        "",
        spread(cpu(signing), 3),
        "0.50",
        spread(rate(signing), 0)
    );
    let _ = writeln!(text, "\none organisation, code exchanges, by connections:");
    for step in scaling {
        let waiting = step
            .waiting
            .map(|waiting| format!("; {waiting:.1} wait for another's row"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<27}{:<4}{:.0} grants/s{waiting}",
            step.title, step.connections, step.exchange.grants_per_second
        );
    }
    text
}
