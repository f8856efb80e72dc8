//! Many grants at once: codes and refresh tokens by concurrent clients of one organisation, and then a look at what the
//! database has of them. `make scale` runs it in full, the end-to-end tests a twentieth.
//!
//! Each client signs in once, and then repeats: `/authorize`, a code exchange, a refresh.

use std::{
    collections::HashSet,
    fmt, fs, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Database, Stack,
    http::Request,
    person::{self, Person},
};

/// Concurrent clients.
pub const CLIENTS: usize = 16;
/// The whole: code exchanges, and as many refreshes.
pub const GRANTS: usize = 20_000;
/// How often the server's memory is looked at.
const SAMPLE: Duration = Duration::from_millis(100);
/// What memory may grow by between the first and the last quarter of a run: a quarter of itself and a little, for buffers
/// and caches of a fixed size that are still filling.
const GROWTH_BYTES: u64 = 16 << 20;

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// Code exchanges; as many refreshes.
    pub grants: usize,
    /// How long they took.
    pub seconds: f64,
    /// The server's resident memory, median of the first quarter of the run.
    pub first_quarter_bytes: u64,
    /// The same of the last quarter.
    pub last_quarter_bytes: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = self.grants as f64 / self.seconds;
        write!(
            f,
            "{:<9}{} codes and as many refreshes by {CLIENTS} clients in {:.1} s ({rate:.0}/s of each); memory {:.1} → {:.1} MB",
            self.database,
            self.grants,
            self.seconds,
            megabytes(self.first_quarter_bytes),
            megabytes(self.last_quarter_bytes),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Runs it and checks everything; an error says what is wrong.
pub async fn run(database: Database, grants: usize) -> io::Result<Outcome> {
    let mut stack = Stack::with().database(database).start().await;
    let mut people = Vec::new();
    for number in 0..CLIENTS {
        people.push(Person::sign_in(&stack, &format!("client {number}")).await?);
    }
    let process = stack.control.process().map_or(0, |process| process.id());
    let memory = Memory::watch(process);
    let left = Arc::new(AtomicUsize::new(grants));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for person in people {
        clients.spawn(work(person, Arc::clone(&left)));
    }
    let mut made = Made::default();
    while let Some(result) = clients.join_next().await {
        made.add(result.map_err(io::Error::other)??)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (first_quarter_bytes, last_quarter_bytes) = memory.quarters();
    made.compare(&stack, grants).await?;
    if last_quarter_bytes > first_quarter_bytes + first_quarter_bytes / 4 + GROWTH_BYTES {
        return Err(io::Error::other(format!(
            "the server's memory grew from {first_quarter_bytes} to {last_quarter_bytes} bytes"
        )));
    }
    Ok(Outcome {
        database: match database {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
        },
        grants,
        seconds,
        first_quarter_bytes,
        last_quarter_bytes,
    })
}

/// What one client got.
#[derive(Default)]
struct Share {
    ids: Vec<String>,
    refresh_tokens: Vec<String>,
    last: Option<String>,
}

/// One client, until no grant is left to be made.
async fn work(mut person: Person, left: Arc<AtomicUsize>) -> io::Result<Share> {
    let mut share = Share::default();
    while left
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        let code = person.code().await?;
        let first = person.exchange(&code).await?;
        let second = person.refresh(&first.refresh).await?;
        share.ids.push(person::claim(&first.access, "jti")?);
        share.ids.push(person::claim(&second.access, "jti")?);
        share.refresh_tokens.extend([first.refresh, second.refresh]);
        share.last = Some(second.access);
    }
    Ok(share)
}

/// What all clients got.
#[derive(Default)]
struct Made {
    ids: HashSet<String>,
    refresh_tokens: HashSet<String>,
    last: Vec<String>,
}

impl Made {
    fn add(&mut self, share: Share) -> io::Result<()> {
        for id in share.ids {
            if !self.ids.insert(id) {
                return Err(io::Error::other("two access tokens have the same jti"));
            }
        }
        for token in share.refresh_tokens {
            if !self.refresh_tokens.insert(token) {
                return Err(io::Error::other("a refresh token was given out twice"));
            }
        }
        self.last.extend(share.last);
        Ok(())
    }

    /// The answers beside the database and the edge: nothing lost, nothing doubled.
    async fn compare(&self, stack: &Stack, grants: usize) -> io::Result<()> {
        let same = |what: &str, have: usize, wanted: usize| {
            if have == wanted {
                return Ok(());
            }
            Err(io::Error::other(format!("{what}: {have} instead of {wanted}")))
        };
        same("access tokens", self.ids.len(), 2 * grants)?;
        same("refresh tokens", self.refresh_tokens.len(), 2 * grants)?;
        let live = "SELECT grant_id FROM refresh_tokens WHERE used_at IS NULL AND replaced_at IS NULL";
        let counts = [
            (
                "grants",
                "SELECT COUNT(*) FROM grants WHERE revoked_at IS NULL".to_owned(),
                grants,
            ),
            (
                "their indexes",
                "SELECT COUNT(DISTINCT status_index) FROM grants".to_owned(),
                grants,
            ),
            (
                "refresh tokens in the database",
                "SELECT COUNT(*) FROM refresh_tokens".to_owned(),
                2 * grants,
            ),
            (
                "live refresh tokens",
                format!("SELECT COUNT(*) FROM ({live}) AS live"),
                grants,
            ),
            (
                "grants with one live refresh token",
                format!("SELECT COUNT(*) FROM ({live} GROUP BY grant_id HAVING COUNT(*) = 1) AS single"),
                grants,
            ),
            (
                "codes that were taken",
                "SELECT COUNT(*) FROM authorization_codes WHERE used_at IS NOT NULL AND grant_id IS NOT NULL"
                    .to_owned(),
                grants,
            ),
            (
                "codes",
                "SELECT COUNT(*) FROM authorization_codes".to_owned(),
                grants,
            ),
            (
                "audit rows",
                "SELECT COUNT(*) FROM audit WHERE action = 'grant.create'".to_owned(),
                grants,
            ),
        ];
        for (what, sql, wanted) in counts {
            same(what, stack.count(&sql)?, wanted)?;
        }
        // The last token of each client is as good as the first was.
        for token in &self.last {
            let answer = stack
                .caller(token)
                .send(Request::verify("GET", "/v1/memory/x"))
                .await;
            same("the edge's answer", usize::from(answer.status), 200)?;
        }
        Ok(())
    }
}

/// The resident memory of a process, sampled until asked for.
struct Memory {
    samples: Arc<Mutex<Vec<u64>>>,
    ended: Arc<AtomicBool>,
}

impl Memory {
    fn watch(process: u32) -> Self {
        let memory = Self {
            samples: Arc::default(),
            ended: Arc::default(),
        };
        let (samples, ended) = (Arc::clone(&memory.samples), Arc::clone(&memory.ended));
        tokio::spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                samples.lock().unwrap().extend(resident_bytes(process));
                tokio::time::sleep(SAMPLE).await;
            }
        });
        memory
    }

    /// Medians of the first and the last quarter; zeros where the system does not tell.
    fn quarters(self) -> (u64, u64) {
        self.ended.store(true, Ordering::SeqCst);
        let samples = self.samples.lock().unwrap().clone();
        let quarter = samples.len().div_ceil(4);
        let median = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part.get(part.len() / 2).copied().unwrap_or(0)
        };
        (
            median(&samples[..quarter]),
            median(&samples[samples.len() - quarter..]),
        )
    }
}

/// From `/proc`, where there is one.
pub(crate) fn resident_bytes(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
