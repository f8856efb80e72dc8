//! Exact use: many requests at four isolates while everything between them and the database fails in turn, and then a look at
//! what the database has of them. `make scale` runs it in full, the end-to-end tests a twentieth.
//!
//! Four gates in four processes, two regions, a hub. While requests go on, the wires between gates and a region and between a
//! region and the hub are cut, the hub is killed, and the control plane is killed; each comes back. No gate dies, so not one
//! request may be missing, and none may count twice, once no window is open any more.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Connection, Database, Stack,
    http::{self, Request},
    wait,
};

/// The whole.
pub const REQUESTS: usize = 1_000_000;
const GATES: usize = 4;
const CONNECTIONS: usize = 8;
const KEYS: usize = 12;
/// How long what was counted may take to arrive, all troubles over.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// Requests that were answered.
    pub sent: usize,
    /// What the database has of them.
    pub counted: usize,
    /// How long sending took.
    pub seconds: f64,
    /// From the last answer to the moment at which everything was counted.
    pub arrival_seconds: f64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, usize>,
    /// Sendings of isolates that failed, at least.
    pub failures: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = self.sent as f64 / self.seconds;
        write!(
            f,
            "{:<9}{} requests at {GATES} isolates in {:.1} s ({rate:.0}/s), {} counted {:.1} s later; {} failed flushes; {:?}",
            self.database,
            self.sent,
            self.seconds,
            self.counted,
            self.arrival_seconds,
            self.failures,
            self.statuses,
        )
    }
}

/// One kind of request, what it is counted under, and how often it was answered by status.
#[derive(Debug)]
struct Kind {
    credential: String,
    request: Request,
    by_status: BTreeMap<u16, usize>,
}

/// Runs it and compares everything; an error says what is wrong.
pub async fn run(database: Database, requests: usize) -> io::Result<Outcome> {
    let mut stack = Stack::with()
        .database(database)
        .regions(2)
        .gates(GATES)
        .start()
        .await;
    let kinds = kinds(&stack).await;
    let left = Arc::new(AtomicUsize::new(requests));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let address = stack.gate(number % GATES);
        callers.spawn(call(address, kinds.clone(), number, Arc::clone(&left)));
    }
    trouble(&mut stack, requests, &left).await?;
    let mut answered: BTreeMap<String, BTreeMap<u16, usize>> = BTreeMap::new();
    while let Some(result) = callers.join_next().await {
        for kind in result.map_err(io::Error::other)?? {
            let of_kind = answered.entry(kind.credential).or_default();
            for (status, count) in kind.by_status {
                *of_kind.entry(status).or_default() += count;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let end = Instant::now();
    let counted = settle(&stack, requests).await?;
    let arrival_seconds = end.elapsed().as_secs_f64();
    compare(&counted, &answered)?;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, count) in answered.values().flatten() {
        *statuses.entry(*status).or_default() += count;
    }
    Ok(Outcome {
        database: match database {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
        },
        sent: requests,
        counted: counted.values().map(|(requests, _)| requests).sum(),
        seconds,
        arrival_seconds,
        statuses,
        failures: failures(&stack).await,
    })
}

/// Keys that are good, one that is revoked, nobody, and paths that no route has.
async fn kinds(stack: &Stack) -> Vec<(String, Request)> {
    let admin = stack.admin();
    let mut kinds = Vec::new();
    for number in 0..KEYS {
        let body = json!({ "name": format!("key {number}"), "scope": "read", "environment": "live" });
        let created = admin.create(body).await;
        let path = format!("/v1/memory/{number}");
        kinds.push((created.id, Request::verify("GET", &path).bearer(&created.key)));
    }
    let revoked = admin.key("read").await;
    admin.revoke(&revoked.id, None).await.expect(200);
    let ended = Request::verify("GET", "/v1/memory/x").bearer(&revoked.key);
    kinds.push((revoked.id, ended));
    kinds.push((String::new(), Request::verify("GET", "/v1/memory/x")));
    kinds.push((String::new(), Request::verify("GET", "/public/x")));
    kinds.push((String::new(), Request::verify("GET", "/nowhere")));
    kinds
}

/// One connection, until no request is left.
async fn call(
    address: String,
    kinds: Vec<(String, Request)>,
    first: usize,
    left: Arc<AtomicUsize>,
) -> io::Result<Vec<Kind>> {
    let mut kinds: Vec<Kind> = kinds
        .into_iter()
        .map(|(credential, request)| Kind {
            credential,
            request,
            by_status: BTreeMap::new(),
        })
        .collect();
    let mut connection = Connection::open(&address).await?;
    let mut next = first;
    while left
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        next += 1;
        let count = kinds.len();
        let kind = &mut kinds[next % count];
        let answer = connection.exchange(&kind.request).await?;
        *kind.by_status.entry(answer.status).or_default() += 1;
    }
    Ok(kinds)
}

/// One thing fails after the other, each when a further eighth of the requests is through.
async fn trouble(stack: &mut Stack, requests: usize, left: &AtomicUsize) -> io::Result<()> {
    let eighths = async |passed: usize| {
        wait::until_true("requests pass", Duration::from_mins(30), || async {
            left.load(Ordering::SeqCst) <= requests - requests / 8 * passed
        })
        .await;
    };
    eighths(1).await;
    stack.spread().regions[0].reads.cut();
    eighths(2).await;
    // A quiet machine is through an eighth before any window ends.
    wait::until_true("a sending fails", Duration::from_secs(30), async || {
        failures(stack).await > 0
    })
    .await;
    stack.spread().regions[0].reads.mend();
    stack.spread().regions[1].part();
    eighths(3).await;
    stack.spread().regions[1].join();
    stack.control.kill();
    eighths(4).await;
    stack.control.restart().await?;
    stack.spread().hub.kill();
    eighths(5).await;
    stack.spread().hub.restart().await?;
    eighths(6).await;
    stack.spread().regions[0].process.kill();
    stack.spread().regions[0].process.restart().await
}

/// Requests and refusals by credential, as `GET /v1/usage` says: the organisation's, and nobody's under an empty name.
async fn counted(stack: &Stack) -> io::Result<BTreeMap<String, (usize, usize)>> {
    let number = |value: &Value| {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| io::Error::other(format!("no number: {value}")))
    };
    let mut counted: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for query in ["group_by=credential", "group_by=credential&credential=none"] {
        let target = format!("/v1/usage?interval=day&limit=1000&{query}");
        let page = stack.admin().send(Request::get(&target)).await.json();
        let rows = page["usage"].as_array().cloned();
        for row in rows.ok_or_else(|| io::Error::other(page.to_string()))? {
            let credential = row["credential"].as_str().unwrap_or_default().to_owned();
            let of_credential = counted.entry(credential).or_default();
            of_credential.0 += number(&row["requests"])?;
            of_credential.1 += number(&row["refused"])?;
        }
    }
    // What the harness itself asks until everything is up.
    let keys = stack
        .admin()
        .send(Request::get("/v1/auth/keys?name=bootstrap"))
        .await
        .json();
    counted.remove(keys["keys"][0]["id"].as_str().unwrap_or_default());
    Ok(counted)
}

/// Waits until no window is open and everything has arrived; gives what was counted.
async fn settle(stack: &Stack, requests: usize) -> io::Result<BTreeMap<String, (usize, usize)>> {
    let start = Instant::now();
    loop {
        let counted = counted(stack).await?;
        let total: usize = counted.values().map(|(requests, _)| requests).sum();
        let missing = stack.count("SELECT COUNT(*) FROM usage_missing")?;
        if missing == 0 && total == requests {
            return Ok(counted);
        }
        if start.elapsed() > PATIENCE || total > requests {
            return Err(io::Error::other(format!(
                "{total} of {requests} requests were counted, and {missing} windows are missing"
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Credential by credential: as many requests as there were answers, and as many refusals as answers that were not 200.
fn compare(
    counted: &BTreeMap<String, (usize, usize)>,
    answered: &BTreeMap<String, BTreeMap<u16, usize>>,
) -> io::Result<()> {
    let expected: BTreeMap<String, (usize, usize)> = answered
        .iter()
        .map(|(credential, statuses)| {
            let all: usize = statuses.values().sum();
            let passed = statuses.get(&200).copied().unwrap_or(0);
            (credential.clone(), (all, all - passed))
        })
        .collect();
    if *counted == expected {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "counted {counted:?}, but answered {expected:?}"
    )))
}

/// Sendings that failed at the gates.
async fn failures(stack: &Stack) -> u64 {
    let mut failures = 0;
    for gate in 0..GATES {
        let health = http::once(&stack.gate(gate), &Request::get("/.portcullis/health")).await;
        let health = health.map(|answer| answer.json()).unwrap_or_default();
        failures += health["usage"]["failures"].as_u64().unwrap_or(0);
    }
    failures
}
