//! A stack under load: keys that are made, used at every gate and revoked without a pause while something goes wrong, with a
//! log of all of it. [`Run::finish`] waits for convergence, probes every key at every gate, and lets the checker judge.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use e2e::{Builder, Connection, Request, Secrets, Stack, http, wait};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use super::{
    checker::{Rules, Violation, check},
    log::{Log, Route, What},
};

/// Keys that are never revoked.
const SURVIVORS: usize = 3;
/// Connections to each gate.
const CONNECTIONS: usize = 2;
/// Between two requests of a connection, so that two processors are enough for all.
const BREATH: Duration = Duration::from_millis(4);
/// Colo TTL and `max_staleness` of the demo's routes.
const BOUND_MS: u64 = 3000;
const SLACK_MS: u64 = 1000;
/// How long everything may take to come together again.
const LIMIT: Duration = Duration::from_secs(90);

/// A key by its number in the log.
#[derive(Clone, Debug)]
struct Key {
    id: String,
    key: String,
}

/// What the tasks of a run share.
#[derive(Clone, Debug)]
struct Shared {
    log: Log,
    keys: Arc<Mutex<Vec<Key>>>,
    /// What the load does not use any more.
    resting: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    /// The control plane's clock minus ours.
    offset_ms: Arc<Mutex<i64>>,
    admin_key: String,
    secrets: Secrets,
}

/// A stack with load.
pub(super) struct Run {
    pub(super) stack: Stack,
    pub(super) rules: Rules,
    shared: Shared,
    load: JoinSet<()>,
    churn: Option<Churn>,
}

struct Churn {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Run {
    /// Starts the stack, makes the first keys, and puts load on every gate.
    pub(super) async fn start(name: &str, builder: Builder, gates: usize) -> Self {
        let stack = builder.gates(gates).start().await;
        let shared = Shared {
            log: Log::new(name),
            keys: Arc::default(),
            resting: Arc::default(),
            requests: Arc::default(),
            offset_ms: Arc::default(),
            admin_key: stack.admin_key.clone(),
            secrets: stack.secrets.clone(),
        };
        let rules = Rules {
            gates,
            bound_ms: BOUND_MS,
            slack_ms: SLACK_MS,
            young_may_be_refused: false,
        };
        let mut run = Self {
            stack,
            rules,
            shared,
            load: JoinSet::new(),
            churn: None,
        };
        for _ in 0..SURVIVORS {
            run.create().await;
        }
        for number in 0..gates * CONNECTIONS {
            let (shared, gate) = (run.shared.clone(), number % gates);
            run.load.spawn(load(shared, run.stack.gate(gate), gate, number));
        }
        run
    }

    /// From now on keys are made and revoked all the time, in all three ways.
    pub(super) fn churn(&mut self) {
        let address = self.stack.control.address();
        self.churn_at(&[&address]);
    }

    /// The same at several control planes.
    pub(super) fn churn_at(&mut self, addresses: &[&str]) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for address in addresses {
            for waits in [&["ack", "none"][..], &["effective"]] {
                let (shared, stop) = (self.shared.clone(), Arc::clone(&stop));
                tasks.push(tokio::spawn(churn(shared, (*address).to_owned(), waits, stop)));
            }
        }
        self.churn = Some(Churn { stop, tasks });
    }

    /// Ends that, and waits for the last answers.
    pub(super) async fn rest(&mut self) {
        if let Some(churn) = self.churn.take() {
            churn.stop.store(true, Ordering::SeqCst);
            for task in churn.tasks {
                task.await.expect("a churning task");
            }
        }
    }

    /// A new key, by its number.
    pub(super) async fn create(&self) -> usize {
        let (address, shared) = (self.stack.control.address(), &self.shared);
        // Just after a start it may still be busy.
        wait::until("a key is made", LIMIT, || shared.create(&address, "test")).await
    }

    /// Revokes a key; gives the receipt, if there was one.
    pub(super) async fn revoke(&self, key: usize, wait: &str) -> Option<Value> {
        let address = self.stack.control.address();
        self.shared.revoke(&address, "test", key, wait).await
    }

    /// The same, for a task of its own.
    pub(super) fn revoker(&self) -> impl Fn(usize, &'static str) -> JoinHandle<Option<Value>> + use<> {
        let (shared, address) = (self.shared.clone(), self.stack.control.address());
        move |key, wait| {
            let (shared, address) = (shared.clone(), address.clone());
            tokio::spawn(async move { shared.revoke(&address, "test", key, wait).await })
        }
    }

    /// A key's text.
    pub(super) fn key(&self, number: usize) -> String {
        self.shared.keys.lock().unwrap()[number].key.clone()
    }

    /// From now on something is wrong.
    pub(super) fn begin(&self, fault: &str) {
        self.begin_isolating(fault, &[], 0);
    }

    /// The same, with gates that can not learn anything.
    pub(super) fn begin_isolating(&self, fault: &str, gates: &[usize], grace_ms: u64) {
        self.shared.log.note(
            "test",
            What::FaultBegins {
                fault: fault.to_owned(),
                isolates: gates.to_vec(),
                grace_ms,
            },
        );
    }

    /// It is over.
    pub(super) fn end(&self, fault: &str) {
        let fault = fault.to_owned();
        self.shared.log.note("test", What::FaultEnds { fault });
    }

    /// How far the control plane's clock is ahead, from now on.
    pub(super) fn control_is_ahead(&self, seconds: i64) {
        *self.shared.offset_ms.lock().unwrap() = seconds * 1000;
    }

    /// How many answers the load has had so far.
    pub(super) fn answers(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Waits until the load has had so many more answers: time passes in requests here.
    pub(super) async fn load(&self, more: u64) {
        let until = self.answers() + more;
        wait::until_true("the load goes on", LIMIT, || async { self.answers() >= until }).await;
    }

    /// Waits until a new revocation has a receipt in force: everything before it is everywhere, too.
    pub(super) async fn converge(&self) {
        let address = self.stack.control.address();
        self.converge_at(&address).await;
    }

    /// The same by another control plane.
    pub(super) async fn converge_at(&self, address: &str) {
        let shared = &self.shared;
        let probe = wait::until("a key is made", LIMIT, || shared.create(address, "probe")).await;
        wait::until_true("a receipt in force for something new", LIMIT, || async {
            let receipt = shared.revoke(address, "probe", probe, "effective").await;
            receipt.is_some_and(|receipt| {
                receipt["pending"] == json!([]) && shared.effective_in_ms(&receipt).is_some_and(|ms| ms <= 0)
            })
        })
        .await;
    }

    /// All is well again: converges, probes everything, and gives what the checker finds.
    pub(super) async fn violations(self) -> Vec<Violation> {
        let address = self.stack.control.address();
        self.violations_at(&address).await
    }

    /// The same with another control plane.
    pub(super) async fn violations_at(mut self, address: &str) -> Vec<Violation> {
        self.rest().await;
        self.converge_at(address).await;
        self.judged().await
    }

    /// Probes everything as it is.
    pub(super) async fn judged(mut self) -> Vec<Violation> {
        self.rest().await;
        let shared = &self.shared;
        shared.log.note("test", What::Converged);
        let keys = shared.keys.lock().unwrap().clone();
        for gate in 0..self.rules.gates {
            let address = self.stack.gate(gate);
            for number in 0..keys.len() {
                for route in Route::ALL {
                    wait::until_true("an answer that decides", LIMIT, || async {
                        let status = shared.ask(&mut None, &address, gate, number, route).await;
                        !matches!(status, 0 | 503)
                    })
                    .await;
                }
            }
        }
        shared.resting.store(true, Ordering::SeqCst);
        while let Some(ended) = self.load.join_next().await {
            ended.expect("a loading task");
        }
        let events = shared.log.events();
        eprintln!(
            "{} events of {} keys in {}",
            events.len(),
            keys.len(),
            shared.log.file().display()
        );
        check(&events, &self.rules)
    }

    /// Everything was kept.
    pub(super) async fn finish(self) {
        let found = self.violations().await;
        assert!(
            found.is_empty(),
            "{} violations: {:?}",
            found.len(),
            first(&found)
        );
    }

    /// The same by another control plane.
    pub(super) async fn finish_at(self, address: &str) {
        let found = self.violations_at(address).await;
        assert!(
            found.is_empty(),
            "{} violations: {:?}",
            found.len(),
            first(&found)
        );
    }
}

fn first(found: &[Violation]) -> &[Violation] {
    &found[..found.len().min(12)]
}

impl Shared {
    async fn create(&self, address: &str, actor: &str) -> Option<usize> {
        let body = json!({ "name": "fault", "scope": "admin", "environment": "live" });
        let request = Request::new("POST", "/v1/auth/keys").json(&body);
        let answer = http::once(address, &request.bearer(&self.admin_key)).await.ok()?;
        if answer.status != 201 {
            return None;
        }
        let made = answer.json();
        let (id, key) = (made["id"].as_str()?.to_owned(), made["key"].as_str()?.to_owned());
        self.secrets.saw(&key);
        // Noted before any task can use it.
        let mut keys = self.keys.lock().unwrap();
        let number = keys.len();
        self.log.note(actor, What::Created { key: number });
        keys.push(Key { id, key });
        Some(number)
    }

    async fn revoke(&self, address: &str, actor: &str, key: usize, wait: &str) -> Option<Value> {
        let id = self.keys.lock().unwrap()[key].id.clone();
        let request = Request::new("DELETE", &format!("/v1/auth/keys/{id}?wait={wait}"));
        let wait = wait.to_owned();
        self.log.note(
            actor,
            What::RevokeSent {
                key,
                wait: wait.clone(),
            },
        );
        let answer = http::once(address, &request.bearer(&self.admin_key)).await;
        let answer = answer.ok().filter(|answer| matches!(answer.status, 200 | 202));
        let Some(answer) = answer else {
            self.log.note(actor, What::RevokeLost { key });
            return None;
        };
        let receipt = answer.json();
        let names = |field: &str| {
            let list = receipt[field].as_array().expect("a list of names");
            list.iter()
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .collect()
        };
        self.log.note(
            actor,
            What::Receipt {
                key,
                wait,
                seq: receipt["seq"].as_u64(),
                bound_ms: receipt["bound_ms"].as_u64().unwrap_or_default(),
                acknowledged: names("acknowledged"),
                pending: names("pending"),
                effective_in_ms: self.effective_in_ms(&receipt),
            },
        );
        Some(receipt)
    }

    fn effective_in_ms(&self, receipt: &Value) -> Option<i64> {
        let at = unix_millis_of(receipt["effective_at"].as_str()?)?;
        let now = unix_millis() + *self.offset_ms.lock().unwrap();
        Some(at - now)
    }

    /// One request, logged; 0 if there was no answer.
    async fn ask(
        &self,
        connection: &mut Option<Connection>,
        address: &str,
        gate: usize,
        key: usize,
        route: Route,
    ) -> u16 {
        let text = self.keys.lock().unwrap()[key].key.clone();
        if connection.is_none() {
            *connection = Connection::open(address).await.ok();
        }
        let request = self.requests.fetch_add(1, Ordering::SeqCst);
        let actor = format!("gate{gate}");
        self.log.note(
            &actor,
            What::Sent {
                request,
                key,
                gate,
                route,
            },
        );
        let status = match connection {
            Some(open) => {
                let asked = Request::get(route.path()).bearer(&text);
                open.exchange(&asked).await.map_or(0, |answer| answer.status)
            }
            None => 0,
        };
        if status == 0 {
            *connection = None;
        }
        self.log.note(&actor, What::Answered { request, status });
        status
    }
}

/// One connection that is never idle: half of its requests are for the newest keys.
async fn load(shared: Shared, address: String, gate: usize, number: usize) {
    let mut connection = None;
    let mut turn = number;
    while !shared.resting.load(Ordering::SeqCst) {
        turn += 1;
        let count = shared.keys.lock().unwrap().len();
        let key = match turn % 2 {
            0 => (turn / 2) % count,
            _ => count - 1 - (turn / 2) % count.min(6),
        };
        let route = Route::ALL[(turn / 4) % 2];
        let status = shared.ask(&mut connection, &address, gate, key, route).await;
        tokio::time::sleep(if status == 0 { BREATH * 10 } else { BREATH }).await;
    }
}

/// Makes keys and revokes them, until it is stopped.
async fn churn(shared: Shared, address: String, waits: &'static [&'static str], stop: Arc<AtomicBool>) {
    let actor = format!("admin {}", waits.join(" "));
    let mut turn = 0;
    while !stop.load(Ordering::SeqCst) {
        turn += 1;
        if let Some(key) = shared.create(&address, &actor).await {
            tokio::time::sleep(Duration::from_millis(60)).await;
            shared
                .revoke(&address, &actor, key, waits[turn % waits.len()])
                .await;
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
}

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is a client, and has a clock of its own"
)]
fn unix_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the year 292 million")
}

/// A time as `/v1` writes it, with its fraction.
fn unix_millis_of(text: &str) -> Option<i64> {
    let seconds = control_plane::http::time::parse_rfc3339(text)?;
    let fraction = text
        .split_once('.')
        .map_or("", |(_, rest)| rest.trim_end_matches('Z'));
    let digits: String = format!("{fraction}000").chars().take(3).collect();
    Some(i64::try_from(seconds.0).ok()? * 1000 + digits.parse::<i64>().ok()?)
}

#[test]
fn times_are_read_with_their_fraction() {
    assert_eq!(unix_millis_of("1970-01-01T00:00:01.25Z"), Some(1250));
    assert_eq!(unix_millis_of("1970-01-01T00:00:01Z"), Some(1000));
}
