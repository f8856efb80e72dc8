//! What a large restriction list costs: bytes on the wire, memory, look-ups, the first answer of a machine that knows nothing.
//!
//! 100 million credentials issued, of which none, one or ten million are revoked, at random. Beside it the two usual ways:
//! the same list as a sorted array of 64-bit hashes, and one KV read per check. Everything is signed with keys of its own:
//! no control plane takes part.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use e2e::{Port, Request, files, http, wait};
use serde::Serialize;
use shared::feed::{Entry, EnvelopeType, Frame, Head, Snapshot, State};
use shared::id::{LIMIT, StatusIndex};
use shared::time::UnixMillis;
use tokio::time::Instant;

use crate::{
    load, peers,
    world::{self, FEED, Failure, SIGNER, api_key_signer, block, index, policy, seal},
};

const ISSUED: u64 = 100_000_000;
const SIZES: [usize; 3] = [0, 1_000_000, 10_000_000];
const FIRST: u64 = StatusIndex::LIST_LENGTH;
const LOOK_UPS: u32 = 5_000_000;
const REQUESTS: usize = 2000;

/// One line of the table. Bytes and milliseconds, unless the name says otherwise.
#[derive(Debug, Serialize)]
struct Line {
    revoked: usize,
    state_bytes: usize,
    snapshot_bytes: usize,
    bitmap_bytes: u64,
    hashes_bytes: usize,
    make_snapshot_ms: f64,
    decode_ms: f64,
    look_up_ns: f64,
    hashes_look_up_ns: f64,
    hub_takes_snapshot_ms: f64,
    hub_takes_frame_ms: f64,
    first_answer_ms: f64,
    wasm_memory_bytes: Option<u64>,
    cpu_us_per_check: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    issued: u64,
    lines: Vec<Line>,
    kv_cpu_us_per_check: f64,
}

/// Runs it all and prints the table.
pub(crate) async fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut lines = Vec::new();
    for (number, revoked) in SIZES.into_iter().enumerate() {
        eprintln!("bench: a list of {revoked} revoked of {ISSUED}");
        lines.push(measure(&folder.path().join(number.to_string()), revoked).await?);
    }
    let report = Report {
        issued: ISSUED,
        lines,
        kv_cpu_us_per_check: kv(folder.path()).await?,
    };
    println!("{}", table(&report));
    let path = files::root().join("target/bench/list.json");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}

async fn measure(folder: &Path, revoked: usize) -> Result<Line, Failure> {
    let indexes = draw(revoked);
    let resource = Port::reserve();
    let state = state(&indexes, &resource.url())?;
    let state_bytes = state.encode().len();
    let bitmap_bytes = state.revoked_bytes();
    let started = Instant::now();
    let snapshot = Snapshot::opening(FEED, 1, 1, state);
    let (head, body) = (snapshot.head, snapshot.encode());
    let make_snapshot_ms = milliseconds(started);
    let started = Instant::now();
    let decoded = Snapshot::decode(&body).map_err(|_| "our own snapshot")?;
    let decode_ms = milliseconds(started);
    let (look_up_ns, hashes_look_up_ns) = look_ups(&decoded.state, &indexes);
    drop(decoded);

    let mut edge = world::edge(folder, &resource, "http://127.0.0.1:9").await?;
    let gate = resource.address();
    let gate = gate.as_str();
    let envelope = seal(EnvelopeType::Snapshot, &body)?;
    let hub_takes_snapshot_ms = push(gate, &envelope).await?;
    let (first_answer_ms, request) = first_answer(gate, &indexes).await?;
    let hub_takes_frame_ms = push(gate, &next_frame(head)?).await?;
    let health = http::once(gate, &Request::get("/.portcullis/health"))
        .await?
        .json();
    let cpu_us_per_check = cpu(edge.process().id(), gate, &request).await?;
    Ok(Line {
        revoked,
        state_bytes,
        snapshot_bytes: body.len(),
        bitmap_bytes,
        hashes_bytes: revoked * 8,
        make_snapshot_ms,
        decode_ms,
        look_up_ns,
        hashes_look_up_ns,
        hub_takes_snapshot_ms,
        hub_takes_frame_ms,
        first_answer_ms,
        wasm_memory_bytes: health["wasm_memory_bytes"].as_u64(),
        cpu_us_per_check,
    })
}

/// So many different indexes of all issued ones, ascending; the same in every run (splitmix64).
fn draw(count: usize) -> Vec<u64> {
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut indexes = Vec::with_capacity(count);
    while indexes.len() < count {
        let missing = count - indexes.len();
        indexes.extend((0..missing).map(|_| FIRST + next() % ISSUED));
        indexes.sort_unstable();
        indexes.dedup();
    }
    indexes
}

fn state(indexes: &[u64], resource: &str) -> Result<State, Failure> {
    let mut state = State::default();
    for chunk in indexes.chunks(1 << 16) {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in chunk {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *number => *last = *number,
                _ => ranges.push((*number, *number)),
            }
        }
        let ranges = ranges
            .into_iter()
            .map(|(first, last)| Ok((index(first)?, index(last)?)));
        state.join(Entry::Revoked(ranges.collect::<Result<_, Failure>>()?));
    }
    state.join(api_key_signer()?);
    let first = FIRST / StatusIndex::LIST_LENGTH;
    for list in first..=first + ISSUED / StatusIndex::LIST_LENGTH {
        state.join(block(list, SIGNER)?);
    }
    state.join(policy(resource)?);
    Ok(state)
}

/// Nanoseconds for one look-up of a random index: in our state, and by binary search in an array of hashes.
fn look_ups(state: &State, indexes: &[u64]) -> (f64, f64) {
    let mut hashes: Vec<u64> = indexes.iter().map(|index| mix(*index)).collect();
    hashes.sort_unstable();
    let time = |look: &dyn Fn(u64) -> bool| {
        let started = Instant::now();
        let mut found = 0u32;
        for number in 0..LOOK_UPS {
            let index = FIRST + mix(u64::from(number)) % ISSUED;
            found += u32::from(look(index));
        }
        std::hint::black_box(found);
        milliseconds(started) * 1e6 / f64::from(LOOK_UPS)
    };
    let ours = time(&|number| StatusIndex::from_u64(number).is_some_and(|index| state.is_revoked(index)));
    let theirs = time(&|number| hashes.binary_search(&mix(number)).is_ok());
    (ours, theirs)
}

/// A hash, as good as any for the purpose.
fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Milliseconds until the edge had taken the envelope, on disk.
async fn push(gate: &str, envelope: &[u8]) -> Result<f64, Failure> {
    let started = Instant::now();
    world::push(gate, envelope).await?;
    Ok(milliseconds(started))
}

fn next_frame(head: Head) -> Result<Vec<u8>, Failure> {
    let frame = Frame {
        feed: FEED,
        epoch: head.epoch,
        seq: head.seq + 1,
        previous: head.digest,
        time: UnixMillis(1),
        entries: vec![Entry::revoked(index(FIRST)?)],
    };
    seal(EnvelopeType::Frame, &frame.encode())
}

/// Milliseconds until an isolate that knew nothing has let a credential in; and the request that it let in.
async fn first_answer(gate: &str, revoked: &[u64]) -> Result<(f64, Request), Failure> {
    let alive = (FIRST + 1..LIMIT).find(|number| revoked.binary_search(number).is_err());
    let key = world::api_key(alive.ok_or("all are revoked")?, SIGNER)?;
    let request = Request::verify("GET", "/v1/memory/x").bearer(&key);
    let started = Instant::now();
    let answer = http::once(gate, &request).await?;
    let first = milliseconds(started);
    if answer.status != 200 {
        // A large state takes longer than one request waits: then the machine goes on with the next.
        wait::until_true("the edge admits the key", Duration::from_mins(1), || async {
            http::once(gate, &request)
                .await
                .is_ok_and(|answer| answer.status == 200)
        })
        .await;
        return Ok((milliseconds(started), request));
    }
    Ok((first, request))
}

/// CPU of the server per check, in microseconds.
async fn cpu(process: u32, gate: &str, request: &Request) -> Result<f64, Failure> {
    load::send(gate, vec![request.clone(); REQUESTS], crate::pairs::CONNECTIONS).await?;
    let before = load::cpu_seconds(process)?;
    load::send(gate, vec![request.clone(); REQUESTS], crate::pairs::CONNECTIONS).await?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let requests = REQUESTS as f64;
    Ok((load::cpu_seconds(process)? - before) * 1e6 / requests)
}

/// A Worker that asks KV about each credential, and does nothing else.
async fn kv(folder: &Path) -> Result<f64, Failure> {
    let (mut workerd, port) = peers::start(folder, "kv", Vec::new(), true).await?;
    let request = Request::get("/").bearer("pc_live_0123456789012345678901234567890123456789");
    cpu(workerd.process().id(), &port.address(), &request).await
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// A row of the table: its name, and what to read from a line.
type Row = (&'static str, fn(&Line) -> f64);

#[expect(clippy::cast_precision_loss, reason = "numbers for people")]
fn table(report: &Report) -> String {
    let rows: [Row; 13] = [
        ("state, bytes per revocation", |l| {
            l.state_bytes as f64 / l.revoked.max(1) as f64
        }),
        ("snapshot on the wire, bytes per revocation", |l| {
            l.snapshot_bytes as f64 / l.revoked.max(1) as f64
        }),
        ("snapshot on the wire, MB", |l| l.snapshot_bytes as f64 / 1e6),
        ("bitmap in memory, MB", |l| l.bitmap_bytes as f64 / 1e6),
        ("array of hashes, MB", |l| l.hashes_bytes as f64 / 1e6),
        ("look-up, ns", |l| l.look_up_ns),
        ("look-up in the array of hashes, ns", |l| l.hashes_look_up_ns),
        ("publisher makes a snapshot, ms", |l| l.make_snapshot_ms),
        ("native reader takes it in, ms", |l| l.decode_ms),
        ("workerd: hub has the snapshot, ms", |l| l.hub_takes_snapshot_ms),
        ("workerd: hub has a frame, ms", |l| l.hub_takes_frame_ms),
        ("workerd: first answer of a cold isolate, ms", |l| {
            l.first_answer_ms
        }),
        ("workerd: CPU per check, µs", |l| l.cpu_us_per_check),
    ];
    let mut text = format!("\n{:<46}", format!("{} issued, revoked:", report.issued));
    for line in &report.lines {
        let _ = write!(text, "{:>12}", line.revoked);
    }
    for (name, value) in rows {
        let _ = write!(text, "\n{name:<46}");
        for line in &report.lines {
            let _ = write!(text, "{:>12.2}", value(line));
        }
    }
    let _ = write!(text, "\n{:<46}", "workerd: Wasm memory, MB");
    for line in &report.lines {
        let memory = line
            .wasm_memory_bytes
            .map_or(f64::NAN, |bytes| bytes as f64 / 1e6);
        let _ = write!(text, "{memory:>12.2}");
    }
    text + &format!(
        "\n\none KV read per check instead (KV in the same process): {:.1} µs of CPU per check\n",
        report.kv_cpu_us_per_check
    )
}
