//! Revocation under load: hundreds of credentials in use on eight connections that never pause, while revokers end them by
//! every way that there is and new ones take their place. What happened is written down and checked afterwards.
//!
//! | file | does |
//! | --- | --- |
//! | `check` | the log, and what it must not contain |
//! | `pool` | the credentials in use, and who is asked next |
//! | `ways` | every way to revoke |
//! | `report` | the numbers |
//!
//! `make scale` runs it in full, the end-to-end tests a twentieth.

pub mod check;
mod pool;
mod report;
mod ways;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

pub use report::Outcome;

use check::{Asked, Receipt, Revocation, Route, Wait};
use pool::Pool;
use ways::{Revoker, Tenant, Way, grants};

use crate::{
    Connection, Database, MailServer, Stack,
    http::{self, Request},
    person::{self, Person, REDIRECT, expect},
    wait,
};

/// What every client may ask for.
const SCOPE: &str = "memory:read";
const CONNECTIONS: usize = 8;
const REVOKERS: usize = 12;
const TENANTS: usize = 2;
/// Nobody revokes these until the end: keys, which end with their signing key, and tokens, which live on.
const BYSTANDER_KEYS: usize = 150;
const BYSTANDER_TOKENS: usize = 50;
/// Of each batch so many are asked with all the time while they die.
const PROBES: usize = 3;
const PASSWORD: &str = "a password of some length";
/// The server's limit for a receipt; longer than usual, for a busy machine.
const RECEIPT_WAIT: Duration = Duration::from_secs(20);
/// How long a condition may take to come true.
const LIMIT: Duration = Duration::from_mins(3);

/// How the edge is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Hub, two regions and four gates, each a process.
    Apart,
    /// All in one process.
    One,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How often each way that ends one credential is gone, with each wait that it has.
    pub single: usize,
    /// How often each way that ends many.
    pub many: usize,
    /// How many that is.
    pub batch: usize,
}

/// The whole.
pub const REVOCATIONS: usize = 5000;

impl Size {
    /// A twentieth: each way once with each wait.
    pub const TWENTIETH: Self = Self {
        single: 1,
        many: 1,
        batch: 3,
    };

    /// About so many revocations, mostly of many at once.
    pub fn about(revocations: usize) -> Self {
        Self {
            single: (revocations / 250).max(1),
            many: (revocations / 625).max(1),
            batch: 24,
        }
    }
}

/// What everybody in a storm shares.
#[derive(Debug)]
struct Storm {
    stack: Stack,
    pool: Pool,
    tasks: Mutex<Vec<(Way, Wait)>>,
    tenants: Mutex<Vec<Tenant>>,
    numbers: AtomicUsize,
    incomplete: AtomicUsize,
    ended: AtomicBool,
    batch: usize,
}

fn beyond(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

fn policy() -> Value {
    json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
        "presets": {
            "read": ["memory:read"],
            "read-write": ["memory:read", "memory:write", "memory:delete"],
            "admin": ["admin"]
        },
        "routes": [
            { "path": "/v1/memory/**", "scopes": ["memory:read"] },
            { "path": "/strict/**", "scopes": ["memory:read"], "strict": true },
            { "path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true }
        ]
    })
}

/// Runs it and checks the log; what is wrong is in the outcome. An error is something that should not have failed at all.
pub async fn run(shape: Shape, database: Database, size: Size) -> io::Result<Outcome> {
    let mail = MailServer::start().await;
    let stack = Stack::with()
        .database(database)
        .regions(if shape == Shape::Apart { 2 } else { 0 })
        .gates(pool::GATES)
        .policy(policy())
        .config(&mail.config())
        .config(&format!("[feed]\nreceipt_wait_ms = {}", RECEIPT_WAIT.as_millis()))
        .start()
        .await;
    stack.secrets.saw(PASSWORD);
    let storm = Arc::new(Storm {
        stack,
        pool: Pool::new(),
        tasks: Mutex::new(plan(size)),
        tenants: Mutex::default(),
        numbers: AtomicUsize::new(0),
        incomplete: AtomicUsize::new(0),
        ended: AtomicBool::new(false),
        batch: size.batch,
    });
    let (bystanders, revokers) = set_up(&storm, &mail).await?;

    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        connections.spawn(ask(Arc::clone(&storm), number % pool::GATES));
    }
    in_use(&storm, &bystanders).await;
    storm.pool.begin();
    let began = storm.pool.now();
    let mut work = JoinSet::new();
    for revoker in revokers {
        work.spawn(revoke_all(revoker));
    }
    while let Some(done) = work.join_next().await {
        done.map_err(io::Error::other)??;
    }
    let seconds = storm.pool.now().saturating_sub(began).as_secs_f64();
    let fewest = storm.pool.fewest();
    end_the_keys(&storm, &bystanders[..BYSTANDER_KEYS]).await?;
    storm.ended.store(true, Ordering::SeqCst);
    while let Some(done) = connections.join_next().await {
        done.map_err(io::Error::other)??;
    }
    let log = storm.pool.end();
    let incomplete = storm.incomplete.load(Ordering::SeqCst);
    Ok(Outcome::new(shape, database, log, (fewest, incomplete, seconds)))
}

/// Every way with every wait, as often as wanted, the ways mixed.
fn plan(size: Size) -> Vec<(Way, Wait)> {
    let each = |ways: &'static [Way], times: usize| {
        (0..times).flat_map(move |_| {
            ways.iter()
                .flat_map(|way| way.waits().iter().map(move |wait| (*way, *wait)))
        })
    };
    let mut all: Vec<_> = each(&Way::SINGLE, size.single)
        .chain(each(&Way::MANY, size.many))
        .collect();
    // A fixed shuffle: every run has the same order.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..all.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = u64::try_from(last + 1).unwrap_or(1);
        all.swap(last, usize::try_from(state % length).unwrap_or(0));
    }
    all
}

/// Members, clients and organisations for the revokers, and what is in use all the time.
async fn set_up(storm: &Arc<Storm>, mail: &MailServer) -> io::Result<(Vec<usize>, Vec<Revoker>)> {
    let mut revokers = Vec::new();
    for number in 0..REVOKERS {
        let app = storm.stack.client(
            &format!("app {number}"),
            &["--scopes", SCOPE, "--public", "--redirect-uri", REDIRECT],
        )?;
        let machine = storm
            .stack
            .client(&format!("machine {number}"), &["--scopes", SCOPE])?;
        let app = text(&app, "client_id")?;
        let email = format!("member{number}@example.com");
        let (person, user) = storm.invite(mail, &email, &app).await?;
        revokers.push(Revoker {
            storm: Arc::clone(storm),
            person,
            email,
            user,
            app,
            machine: (text(&machine, "client_id")?, text(&machine, "client_secret")?),
            signed_in: true,
        });
    }
    let any = storm.stack.client(
        "anybody's",
        &[
            "--scopes",
            SCOPE,
            "--public",
            "--redirect-uri",
            REDIRECT,
            "--any-org",
        ],
    )?;
    let any = text(&any, "client_id")?;
    for number in 0..TENANTS {
        let tenant = storm.found(mail, number, &any).await?;
        storm.tenants.lock().unwrap().push(tenant);
    }
    let mut all = Vec::new();
    for _ in 0..BYSTANDER_KEYS {
        let key = storm.key(&storm.stack.admin_key, "bystander", None).await?;
        all.push(key.1);
    }
    let mut owner = Person::sign_in(&storm.stack, "bystanders").await?;
    all.extend(grants(&mut owner, BYSTANDER_TOKENS / 2).await?);
    let machine = storm.stack.client("bystander", &["--scopes", SCOPE])?;
    let machine = (text(&machine, "client_id")?, text(&machine, "client_secret")?);
    for _ in 0..BYSTANDER_TOKENS / 2 {
        all.push(storm.machine_token(&machine).await?);
    }
    Ok((storm.pool.add(&all, PROBES), revokers))
}

/// One connection, until the end.
async fn ask(storm: Arc<Storm>, gate: usize) -> io::Result<()> {
    let mut connection = Connection::open(&storm.stack.gate(gate)).await?;
    while !storm.ended.load(Ordering::SeqCst) {
        let Some(next) = storm.pool.next(gate) else {
            tokio::task::yield_now().await;
            continue;
        };
        let request = match next.route {
            Route::Default => Request::get("/v1/memory/x"),
            Route::Strict => Request::get("/strict/x"),
            Route::MinSeq => Request::verify("GET", "/v1/memory/x"),
        };
        let request = match next.min_seq {
            Some(seq) => request.header("portcullis-min-seq", seq.to_string()),
            None => request,
        };
        let request = request.bearer(&next.bearer);
        let sent = storm.pool.now();
        let answer = connection.exchange(&request).await?;
        let done = storm.pool.now();
        storm.pool.note(Asked {
            credential: next.credential,
            route: next.route,
            gate,
            min_seq: next.min_seq,
            sent,
            done,
            status: answer.status,
            stale: answer.status == 503 && answer.text().contains("\"state_stale\""),
        });
        // The demo API keeps what it has seen until somebody looks.
        storm.stack.origin.take();
    }
    Ok(())
}

/// One revoker, until nothing is left to do.
async fn revoke_all(mut revoker: Revoker) -> io::Result<()> {
    let storm = Arc::clone(&revoker.storm);
    loop {
        let task = storm.tasks.lock().unwrap().pop();
        let Some((way, wait)) = task else { return Ok(()) };
        let number = storm.numbers.fetch_add(1, Ordering::SeqCst);
        let mut tenant = None;
        if way == Way::Org {
            let free = || async { storm.tenants.lock().unwrap().pop() };
            tenant = Some(wait::until("an organisation is free", LIMIT * 4, free).await);
        }
        let named =
            |error: io::Error| beyond(&format!("{} with wait={}: {error}", way.name(), wait.as_str()));
        let made = revoker.make(way, storm.batch, number, tenant.as_mut()).await;
        let batch = made.map_err(named)?;
        let numbers = storm.pool.add(&batch.bearers, PROBES);
        in_use(&storm, &numbers).await;
        storm.pool.dying(&numbers);
        let sent = storm.pool.now();
        let receipt = revoker.revoke(way, wait, &batch, tenant.as_ref()).await;
        storm.pool.dead(Revocation {
            way: way.name(),
            credentials: numbers.clone(),
            wait,
            sent,
            receipt: receipt.map_err(named)?,
        });
        refused(&storm, &numbers).await;
        storm.pool.remove(&numbers);
        revoker.mend(way, tenant.as_mut()).await.map_err(named)?;
        storm.tenants.lock().unwrap().extend(tenant);
    }
}

/// The last way: the key that has signed all API keys is revoked, at the machine. Tokens are another's, and live on.
async fn end_the_keys(storm: &Arc<Storm>, keys: &[usize]) -> io::Result<()> {
    let list = storm.portcullis(&["keys", "signing", "list"]).await?;
    let mut list = list.as_array().into_iter().flatten();
    let active = list.find(|key| key["purpose"] == "api_key" && key["state"] == "active");
    let kid = text(active.unwrap_or(&Value::Null), "kid")?;
    storm.pool.dying(keys);
    let sent = storm.pool.now();
    let done = storm
        .portcullis(&["revoke", "signing-key", &kid, "--wait", "effective"])
        .await?;
    let received = storm.pool.now();
    storm.stack.secrets.saw(&text(&done, "admin_key")?);
    let bound = Duration::from_millis(done["bound_ms"].as_u64().unwrap_or_default());
    let receipt = Receipt {
        received,
        seq: done["seq"].as_u64(),
        bound,
    };
    storm.pool.dead(Revocation {
        way: "signing key",
        credentials: keys.to_vec(),
        wait: Wait::Effective,
        sent,
        receipt: done["effective_at"].is_string().then_some(receipt),
    });
    refused(storm, keys).await;
    Ok(())
}

async fn in_use(storm: &Storm, numbers: &[usize]) {
    wait::until_true("all of them are let in on each route", LIMIT, || async {
        storm.pool.are_in_use(numbers)
    })
    .await;
}

async fn refused(storm: &Storm, numbers: &[usize]) {
    wait::until_true("all of them are refused on each route", LIMIT, || async {
        storm.pool.are_refused(numbers)
    })
    .await;
}

fn text(value: &Value, name: &str) -> io::Result<String> {
    let found = value[name].as_str().map(str::to_owned);
    found.ok_or_else(|| beyond(&format!("no {name} in the answer")))
}

impl Storm {
    fn count_incomplete(&self) {
        self.incomplete.fetch_add(1, Ordering::SeqCst);
    }

    /// The command line, while everything goes on.
    async fn portcullis(self: &Arc<Self>, args: &[&str]) -> io::Result<Value> {
        let storm = Arc::clone(self);
        let args: Vec<String> = ["--format", "json"]
            .iter()
            .chain(args)
            .map(|arg| (*arg).to_owned())
            .collect();
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            storm.stack.control.run(&args)
        };
        let printed = tokio::task::spawn_blocking(run).await??;
        Ok(serde_json::from_str(&printed)?)
    }

    /// An API key that may read: its id and its text, which is not kept as a secret, for there are thousands.
    async fn key(&self, admin: &str, name: &str, user: Option<&str>) -> io::Result<(String, String)> {
        let mut body = json!({"name": name, "scope": "read", "environment": "live"});
        if let Some(user) = user {
            body["user"] = user.into();
        }
        let request = Request::new("POST", "/v1/auth/keys").bearer(admin).json(&body);
        let answer = http::once(&self.stack.control.address(), &request).await?;
        expect(&answer, 201)?;
        let answer = answer.json();
        Ok((text(&answer, "id")?, text(&answer, "key")?))
    }

    /// A token by client_credentials.
    async fn machine_token(&self, (id, secret): &(String, String)) -> io::Result<String> {
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", id.clone()),
            ("client_secret", secret.clone()),
        ];
        let request = person::post("/token", &form);
        let answer = http::once(&self.stack.control.address(), &request).await?;
        expect(&answer, 200)?;
        text(&answer.json(), "access_token")
    }

    /// A new admin key for the first owner of an organisation.
    async fn org_admin(self: &Arc<Self>, org: &str) -> io::Result<String> {
        let made = self.portcullis(&["keys", "admin", "--org", org]).await?;
        let key = text(&made, "admin_key")?;
        self.stack.secrets.saw(&key);
        Ok(key)
    }

    /// The link in the first mail to an address: its path, and its token.
    async fn link(&self, mail: &MailServer, email: &str) -> io::Result<(String, String)> {
        let text = mail.wait_for(email, 1).await.text();
        let line = text.lines().find(|line| line.contains("?token=")).map(str::trim);
        let path = line.and_then(|line| line.strip_prefix(&self.stack.control.url()));
        let parts = path.and_then(|path| Some((path.to_owned(), path.split_once("?token=")?.1.to_owned())));
        parts.ok_or_else(|| beyond("a mail without a link"))
    }

    /// A member of the first organisation, and their id.
    async fn invite(
        self: &Arc<Self>,
        mail: &MailServer,
        email: &str,
        app: &str,
    ) -> io::Result<(Person, String)> {
        let control = self.stack.control.address();
        let request = Request::new("POST", "/v1/invitations")
            .bearer(&self.stack.admin_key)
            .json(&json!({"email": email, "role": "member"}));
        expect(&http::once(&control, &request).await?, 201)?;
        let (path, token) = self.link(mail, email).await?;
        let mut person = Person::visit(&control, app).await?;
        let fields = [
            ("token", token.as_str()),
            ("name", "Member"),
            ("new", PASSWORD),
            ("repeat", PASSWORD),
        ];
        expect(&person.submit(&path, "/invitation", &fields).await?, 303)?;
        let tokens = grants(&mut person, 1).await?;
        let user = person::claim(&tokens[0], "sub")?;
        Ok((person, user))
    }

    /// An organisation of its own.
    async fn found(self: &Arc<Self>, mail: &MailServer, number: usize, app: &str) -> io::Result<Tenant> {
        let mut person = Person::visit(&self.stack.control.address(), app).await?;
        let email = format!("owner{number}@example.com");
        let name = format!("Tenant {number}");
        let fields = [
            ("email", email.as_str()),
            ("name", "Owner"),
            ("org", name.as_str()),
            ("password", PASSWORD),
        ];
        expect(&person.submit("/signup", "/signup", &fields).await?, 200)?;
        let (path, token) = self.link(mail, &email).await?;
        let fields = [("token", token.as_str()), ("password", PASSWORD)];
        expect(&person.submit(&path, "/signup/confirm", &fields).await?, 303)?;
        person.log_in(&email, PASSWORD).await?;
        let tokens = grants(&mut person, 1).await?;
        let claims = person::claims(&tokens[0]).ok_or_else(|| beyond("no claims"))?;
        let org = text(&claims, "org")?;
        let admin_key = self.org_admin(&org).await?;
        Ok(Tenant {
            org,
            person,
            email,
            admin_key,
        })
    }
}
