//! The Durable Object `Region`: a durable copy of the feed near the isolates that read it, one per region.
//!
//! What it does: pulls from the hub when its lease needs it, takes what the hub (or a publisher, past a hub that is silent)
//! pushes, and serves the isolates; [`replication::Region`] decides all that. What it does not: decide about requests, but
//! for the canary.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /NAME/state?epoch=&after=` | what an isolate that stands there lacks |
//! | `POST /NAME/apply`, a feed message | nothing but the account |
//! | `POST /NAME/local`, a JSON list of one index | 200: that credential is dead here, on disk |
//! | `POST /NAME/usage`, records | 200: they are on disk here, and go on to the hub |
//! | `POST /NAME/quota`, a question | the next batch of requests that a limit allows |
//! | `POST /NAME/canary`, an Authorization header | 200, 401, or 503 if this region is not fresh |
//!
//! Every answer carries the region's account of itself. A pull is one event's own, and goes on behind it: all that need it sleep
//! on timers of their own and look again, and its latch, a start time, lapses.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use shared::feed::{MAX_MESSAGE, Refusal};
use shared::id::StatusIndex;
use shared::policy::Policy;
use shared::strict_json;
use shared::time::UnixMillis;
use shared::usage::join_records;
use worker::{DurableObject, Env, Request, Response, Result, State, console_error, durable_object};

use super::config::EdgeConfig;
use super::http;
use super::limits::{self, Quotas};
use super::log::SqlLog;
use super::object::{self, Reply};
use super::peers::{self, PULL_MS, PUSH_MS, Peer};
use super::response::{self, HUB_UNREACHABLE, INVALID_REQUEST, INVALID_TOKEN, NOT_FOUND, OK};
use super::usage::{self, Shelf};
use crate::replication::{self, Caught, Place, Position, RegionName};
use crate::validator::Validator;

/// A pull that has not ended after this long never will.
const LATCH_MS: u64 = 45_000;
/// Pulls start at most this often, whatever asks for them.
const MIN_INTERVAL_MS: u64 = 200;
/// How long an event waits for a pull.
const WAIT_MS: u64 = 2500;
const NAP_MS: u32 = 5;
/// Answers in a row that one pull may take to catch up, and for how long it starts another.
const MAX_ROUNDS: usize = 8;
const MAX_PULL_MS: u64 = 20_000;
/// When the hub is told again of what was ended here.
const RETRY: Duration = Duration::from_secs(1);
/// When what is left of usage is handed on again.
const USAGE_RETRY: Duration = Duration::from_secs(3);
/// The most bytes of an Authorization header, and of a list of one index.
const MAX_QUESTION: usize = 9 * 1024;

type Core = replication::Region<SqlLog>;

/// The object.
#[durable_object(alarm)]
pub struct Region {
    inner: Rc<Inner>,
}

/// Shared with pulls that nobody waits for.
struct Inner {
    state: State,
    env: Env,
    /// `None` before it is opened, and after the disk failed: then only the disk counts.
    core: RefCell<Option<Core>>,
    latch: Cell<Option<UnixMillis>>,
    attempted_at: Cell<Option<UnixMillis>>,
    /// Records on their way to the hub.
    shelf: Shelf,
    /// Opened when first needed: most deployments have no limits.
    quotas: RefCell<Option<Quotas>>,
}

impl DurableObject for Region {
    fn new(state: State, env: Env) -> Self {
        Self {
            inner: Rc::new(Inner {
                state,
                env,
                core: RefCell::new(None),
                latch: Cell::new(None),
                attempted_at: Cell::new(None),
                shelf: Shelf::default(),
                quotas: RefCell::new(None),
            }),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let url = request.inner().url();
        let (_, path, query) = http::split_url(&url);
        let config = EdgeConfig::of_isolate(&self.inner.env)?;
        let (name, path) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .unwrap_or_default();
        let Some(name) = config.region(name) else {
            return object::respond(&Reply::status(NOT_FOUND.status));
        };
        let limit = match path {
            "apply" => MAX_MESSAGE,
            "local" | "canary" => MAX_QUESTION,
            "usage" => usage::MAX_BODY,
            "quota" => limits::MAX_QUESTION,
            _ => 0,
        };
        let Ok(Some(body)) = http::body(request.inner(), limit).await else {
            return object::respond(&Reply::status(INVALID_REQUEST.status));
        };
        let inner = &self.inner;
        let reply = match path {
            "state" => inner.state(name, query).await,
            "apply" => inner.apply(&body),
            "local" => inner.end_locally(name, &body).await,
            "canary" => inner.canary(name, &body, &config).await,
            "usage" => Some(inner.keep_usage(&body)),
            "quota" => inner.grant(&body),
            _ => Some(Reply::status(NOT_FOUND.status)),
        };
        object::respond(&reply.unwrap_or_else(|| Reply::status(HUB_UNREACHABLE.status)))
    }

    /// Set while the hub has not been told of an ending, or has not taken usage: a region that nobody asks any more must tell it
    /// all the same.
    async fn alarm(&self) -> Result<Response> {
        self.inner.hand_on_usage().await;
        let local = self.inner.with(|region| Ok(region.local().all()));
        let config = EdgeConfig::of_isolate(&self.inner.env)?;
        if let Some(local) = local.filter(|local| !local.is_empty()) {
            self.inner.tell_hub_or_retry(&config, &local).await?;
        }
        object::respond(&Reply::status(OK))
    }
}

impl Inner {
    /// Runs a function on the region, opened if need be. `None`, with a line in the log: the disk failed, or it cannot start.
    fn with<T>(&self, use_it: impl FnOnce(&mut Core) -> Result<T>) -> Option<T> {
        object::with(&self.core, || self.open(), "region", use_it)
    }

    fn open(&self) -> Result<Core> {
        let config = EdgeConfig::of_isolate(&self.env)?;
        let log = SqlLog::open(self.state.storage().sql())?;
        Core::open(log, config.trust.clone()).map_err(object::open_error)
    }

    /// What an isolate lacks. An isolate that is told while the lease holds is as fresh as this region.
    async fn state(self: &Rc<Self>, name: &RegionName, query: Option<&str>) -> Option<Reply> {
        self.freshen(name).await?;
        let now = http::now();
        let theirs = Position {
            epoch: object::number(query, "epoch"),
            seq: object::number(query, "after"),
        };
        self.with(|region| Ok(Reply::ok(region.since(theirs)?, region.account(now))))
    }

    /// Waits for a pull if the lease does not hold, and starts one behind the answer's back if it is due.
    async fn freshen(self: &Rc<Self>, name: &RegionName) -> Option<()> {
        let arrived = http::now();
        let mut has_started = false;
        loop {
            let (now, lease) = (http::now(), self.with(|region| Ok(region.lease()))?);
            let holds = lease.holds(now);
            if (!holds || lease.is_pull_due(now)) && !has_started && self.take_latch(now) {
                has_started = true;
                let (inner, name) = (Rc::clone(self), name.clone());
                // It may be a snapshot from far away: it goes on when this event is over.
                self.state.wait_until(async move {
                    inner.pull(&name).await;
                    inner.release_latch(now);
                });
            }
            // Or nobody is at it any more, in vain.
            if holds || self.latch.get().is_none() || now.since(arrived) >= WAIT_MS {
                return Some(());
            }
            http::pause(NAP_MS).await;
        }
    }

    /// Starts a pull, unless one is running or has just been. A start that lies ahead was noted before the clock jumped back.
    fn take_latch(&self, now: UnixMillis) -> bool {
        let within = |start: Option<UnixMillis>, limit: u64| {
            start.is_some_and(|start| start <= now && now.since(start) < limit)
        };
        if !within(self.latch.get(), LATCH_MS) {
            self.latch.set(None);
        }
        if self.latch.get().is_some() || within(self.attempted_at.get(), MIN_INTERVAL_MS) {
            return false;
        }
        self.latch.set(Some(now));
        self.attempted_at.set(Some(now));
        true
    }

    /// Ends the pull that started then, unless a later one has taken over.
    fn release_latch(&self, start: UnixMillis) {
        if self.latch.get() == Some(start) {
            self.latch.set(None);
        }
    }

    /// Catches up with the hub. What it has learnt is in the core, the lease included.
    async fn pull(&self, name: &RegionName) {
        let Ok(config) = EdgeConfig::of_isolate(&self.env) else {
            return;
        };
        let first = http::now();
        let mut from_scratch = false;
        for _ in 0..MAX_ROUNDS {
            let started = http::now();
            if started.since(first) > MAX_PULL_MS {
                break;
            }
            let Some(head) = self.with(|region| Ok(region.head().map(Place::from))) else {
                return;
            };
            let place = peers::place_query(head.as_ref().filter(|_| !from_scratch));
            let question = format!("/state?region={name}&{place}");
            let answer = match peers::ask_peer(&self.env, &config, Peer::Hub, &question, None, PULL_MS).await
            {
                Ok(answer) if answer.status == OK => answer,
                Ok(answer) => {
                    console_error!("{}: the hub answered {}", name, answer.status);
                    return;
                }
                Err(error) => {
                    console_error!("{}: the hub did not answer: {}", name, http::describe(&error));
                    return;
                }
            };
            let Some(account) = answer.account else { return };
            let taken = self.with(|region| {
                let caught = region.take_pull(&answer.body, &account, started, http::now())?;
                let mut untold = region.local().all();
                untold.retain(|index| !account.local.contains(index));
                Ok((caught, untold))
            });
            let Some((caught, untold)) = taken else { return };
            if !untold.is_empty() {
                self.tell_hub(&config, &untold).await;
            }
            match caught {
                Ok(Caught::Up) if answer.body.is_empty() => return,
                // What came is told by the next pull, at once: until then the hub, and with it receipts and new index blocks,
                // would wait for it.
                Ok(Caught::Behind | Caught::Up) => {}
                Ok(Caught::Ahead) => {
                    console_error!("{}: the hub has forgotten what it once told", name);
                    return;
                }
                // Frames that do not fit may still be bridged by a snapshot.
                Err(Refusal::Gap | Refusal::BadCertificate) if !from_scratch => from_scratch = true,
                Err(refusal) => {
                    console_error!("{}: an answer of the hub is refused: {}", name, refusal);
                    return;
                }
            }
        }
    }

    /// Tells the hub of credentials that were ended here.
    async fn tell_hub(&self, config: &EdgeConfig, indexes: &[StatusIndex]) -> bool {
        let body = serde_json::to_vec(indexes).unwrap_or_default();
        let told = peers::ask_peer(&self.env, config, Peer::Hub, "/local", Some(&body), PUSH_MS).await;
        told.is_ok_and(|answer| answer.status == OK)
    }

    /// The same, and again by an alarm until it has heard.
    async fn tell_hub_or_retry(&self, config: &EdgeConfig, indexes: &[StatusIndex]) -> Result<()> {
        if self.tell_hub(config, indexes).await {
            return Ok(());
        }
        console_error!("the hub was not told of what was ended here; it will be told again");
        self.state.storage().set_alarm(RETRY).await
    }

    /// Gives an isolate its next batch of a limit.
    fn grant(&self, question: &[u8]) -> Option<Reply> {
        let Ok(question) = strict_json::read_any(question) else {
            return Some(Reply::status(INVALID_REQUEST.status));
        };
        let sql = self.state.storage().sql();
        let grant = object::with(
            &self.quotas,
            || Quotas::open(sql),
            "limits",
            |quotas| quotas.grant(&question),
        )?;
        Some(Reply {
            status: OK,
            body: serde_json::to_vec(&grant).unwrap_or_default(),
            account: None,
        })
    }

    /// Takes an isolate's usage records in, and hands them on behind the answer.
    fn keep_usage(self: &Rc<Self>, body: &[u8]) -> Reply {
        let status = self.shelf.keep(&self.state.storage().sql(), body);
        if status == OK {
            let inner = Rc::clone(self);
            self.state.wait_until(async move { inner.hand_on_usage().await });
        }
        Reply::status(status)
    }

    /// Hands on to the hub what waits. An alarm sees to what is left, should this fail or be cut off, and nobody ask this region
    /// any more.
    async fn hand_on_usage(&self) {
        let storage = self.state.storage();
        if self.shelf.waiting(&storage.sql()) == Some(0) {
            return;
        }
        if matches!(storage.get_alarm().await, Ok(None))
            && let Err(error) = storage.set_alarm(USAGE_RETRY).await
        {
            console_error!("no alarm for usage: {}", error);
        }
        let started = http::now();
        if !self.shelf.take_latch(started) {
            return;
        }
        self.empty_shelf().await;
        self.shelf.release(started);
    }

    /// `None`: something is left.
    async fn empty_shelf(&self) -> Option<()> {
        let config = EdgeConfig::of_isolate(&self.env).ok()?;
        let sql = self.state.storage().sql();
        loop {
            let parcel = self.shelf.parcel(&sql)?;
            let Some(through) = parcel.through() else {
                return Some(());
            };
            let body = join_records(parcel.records.iter().map(|(_, record)| record.as_slice()));
            let asked =
                peers::ask_peer(&self.env, &config, Peer::Hub, usage::PATH, Some(&body), PULL_MS).await;
            match asked {
                Ok(answer) if answer.status == OK => self.shelf.forget(&sql, parcel.store, through)?,
                Ok(answer) => {
                    console_error!("the hub answered {} to usage", answer.status);
                    return None;
                }
                Err(error) => {
                    console_error!("the hub did not take usage: {}", http::describe(&error));
                    return None;
                }
            }
        }
    }

    /// Takes a push in.
    fn apply(&self, message: &[u8]) -> Option<Reply> {
        let now = http::now();
        self.with(|region| {
            let taken = region.apply(message, now)?;
            Ok(Reply {
                status: taken.refused.map_or(OK, response::feed_status),
                body: Vec::new(),
                account: Some(region.account(now)),
            })
        })
    }

    /// Ends a credential, whose holder has shown it to the gate.
    async fn end_locally(&self, name: &RegionName, body: &[u8]) -> Option<Reply> {
        let Ok([index]) = strict_json::read_any::<[StatusIndex; 1]>(body) else {
            return Some(Reply::status(INVALID_REQUEST.status));
        };
        let now = http::now();
        let (done, account) = self.with(|region| Ok((region.end_locally(index)?, region.account(now))))?;
        if !done {
            console_error!("{}: no room for another local ending", name);
            return Some(Reply::status(HUB_UNREACHABLE.status));
        }
        if let Ok(config) = EdgeConfig::of_isolate(&self.env)
            && let Err(error) = self.tell_hub_or_retry(&config, &[index]).await
        {
            // Dead here it is; the next pull tells the hub.
            console_error!("{}: no alarm: {}", name, error);
        }
        Some(Reply::ok(Vec::new(), account))
    }

    /// Whether a canary lives by this region's own state, if that is fresh.
    async fn canary(
        self: &Rc<Self>,
        name: &RegionName,
        authorization: &[u8],
        config: &EdgeConfig,
    ) -> Option<Reply> {
        self.freshen(name).await?;
        let now = http::now();
        self.with(|region| {
            let account = region.account(now);
            let status = if region.lease().holds(now) {
                judge_canary(region, authorization, config, now)
            } else {
                HUB_UNREACHABLE.status
            };
            Ok(Reply {
                status,
                body: Vec::new(),
                account: Some(account),
            })
        })
    }
}

fn judge_canary(region: &mut Core, authorization: &[u8], config: &EdgeConfig, now: UnixMillis) -> u16 {
    let local = region.local().clone();
    let state = region.feed().state();
    let policy = state.policy().and_then(|(_, document)| {
        let policy = Policy::from_feed(document).ok()?;
        policy.compile().ok()
    });
    let Some(policy) = policy else {
        return HUB_UNREACHABLE.status;
    };
    let validator = Validator {
        deployment: &config.deployment,
        state,
        local: &local,
        policy: &policy,
    };
    match validator.canary(std::str::from_utf8(authorization).ok(), now.seconds()) {
        Ok(_) => OK,
        Err(_) => INVALID_TOKEN.status,
    }
}
