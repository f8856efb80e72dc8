//! The Durable Object `Hub`: the edge's first durable copy of the feed. What it has answered "accepted" to is on disk.
//!
//! What it does: takes envelopes in strictly in order, pushes them to the regions that are in use, keeps the book of their
//! leases ([`replication::Hub`] decides all that), and gives a publisher back what it lost. What it does not: decide about
//! requests, or trust a caller.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /hub/apply`, a feed message | what was accepted and refused, and where the regions stand |
//! | `GET /hub/state?region=&epoch=&after=&digest=` | what a region that stands there lacks, and a lease |
//! | `POST /hub/fetch`, a signed fetch request | the same, for the publisher, without a lease |
//! | `POST /hub/local`, a JSON list of indexes | credentials that were ended in a region |
//! | `POST /hub/usage`, records | 200: they are on disk here, until the control plane has them |
//! | `POST /hub/collect`, a signed question | the oldest of them, after forgetting what the question says is applied |
//! | `POST /hub/proof`, a DPoP proof's id and end | whether it is new |
//!
//! In pull mode it asks the control plane itself ([`polling`]). Every answer carries the hub's [`Account`]. While the hub waits for regions other events run: nothing is borrowed then,
//! and what was learnt before is asked again.

mod handing;
mod polling;
mod proofs;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};
use shared::feed::{Head, MAX_MESSAGE, kinds};
use shared::id::StatusIndex;
use shared::json_tree;
use shared::strict_json;
use shared::time::UnixMillis;
use worker::{DurableObject, Env, Request, Response, Result, State, console_error, durable_object};

use super::config::EdgeConfig;
use super::http;
use super::log::SqlLog;
use super::object::{self, Reply};
use super::peers::{PUSH_MS, Peer, Question};
use super::response::{self, FORBIDDEN, HUB_UNREACHABLE, INVALID_REQUEST, NOT_FOUND, OK};
use super::usage::{self, Shelf};
use crate::replication::{self, Account, Place, Position, RegionName, Taken};
use polling::Polling;
use proofs::Proofs;

/// A fetch request older than this, or from further ahead, may be a replay.
const FETCH_WINDOW_MS: u64 = 15 * 60 * 1000;
/// KV takes one write a second per key; the copy is for emergencies only.
const COPY_INTERVAL_MS: u64 = 30_000;
/// The most bytes of a list of local indexes.
const MAX_LOCAL_BYTES: usize = 32 * 1024;

type Core = replication::Hub<SqlLog>;

/// The object.
#[durable_object(alarm)]
pub struct Hub {
    state: State,
    env: Env,
    /// `None` before it is opened, and after the disk failed: then only the disk counts.
    core: RefCell<Option<Core>>,
    copied_at: Cell<Option<UnixMillis>>,
    polling: Polling,
    /// Opened when first needed: most deployments never are asked.
    proofs: RefCell<Option<Proofs>>,
    /// Usage records on their way to the control plane.
    shelf: Rc<Shelf>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let hub = Self {
            state,
            env,
            core: RefCell::new(None),
            copied_at: Cell::new(None),
            polling: Polling::default(),
            proofs: RefCell::new(None),
            shelf: Rc::default(),
        };
        // The leases of the one before count from here.
        hub.with(|_| Ok(()));
        hub
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let url = request.inner().url();
        let (_, path, query) = http::split_url(&url);
        let Some(path) = path.strip_prefix("/hub/") else {
            return object::respond(&Reply::status(NOT_FOUND.status));
        };
        let limit = match path {
            "apply" | "fetch" => MAX_MESSAGE,
            "local" | "collect" => MAX_LOCAL_BYTES,
            "proof" => proofs::LENGTH,
            "usage" => usage::MAX_BODY,
            _ => 0,
        };
        let Ok(Some(body)) = http::body(request.inner(), limit).await else {
            return object::respond(&Reply::status(INVALID_REQUEST.status));
        };
        let reply = match path {
            "apply" => self.apply(&body).await,
            "state" => self.pull(query),
            "fetch" => self.fetch_back(&body),
            "local" => self.add_local(&body),
            "proof" => Some(Reply::status(self.judge_proof(&body))),
            "usage" => Some(self.keep_usage(&body)),
            "collect" => self.hand_out_usage(&body),
            _ => Some(Reply::status(NOT_FOUND.status)),
        };
        self.copy_to_kv();
        self.keep_polling();
        object::respond(&reply.unwrap_or_else(|| Reply::status(HUB_UNREACHABLE.status)))
    }

    /// Set in pull mode only.
    async fn alarm(&self) -> Result<Response> {
        self.poll_for_a_while().await?;
        object::respond(&Reply::status(OK))
    }
}

impl Hub {
    /// Runs a function on the hub, opened if need be. `None`, with a line in the log: the disk failed, or it cannot start.
    fn with<T>(&self, use_it: impl FnOnce(&mut Core) -> Result<T>) -> Option<T> {
        object::with(&self.core, || self.open(), "hub", use_it)
    }

    fn open(&self) -> Result<Core> {
        let config = EdgeConfig::of_isolate(&self.env)?;
        let log = SqlLog::open(self.state.storage().sql())?;
        Core::open(
            log,
            config.trust.clone(),
            config.regions.iter().cloned(),
            http::now(),
        )
        .map_err(object::open_error)
    }

    /// Takes a message in; then the regions in use get what they lack. A region that does not answer is pushed to again with
    /// the next message, be it a heartbeat.
    async fn take(&self, message: &[u8]) -> Option<Taken> {
        let now = http::now();
        let (taken, pushes) = self.with(|hub| {
            let taken = hub.apply(message, now)?;
            Ok((taken, hub.pushes(now)?))
        })?;
        let answers = self.push(pushes).await;
        let now = http::now();
        self.with(|hub| {
            for (region, applied) in &answers {
                hub.pushed(region, *applied, now);
            }
            Ok(())
        })?;
        Some(taken)
    }

    /// What a publisher pushed.
    async fn apply(&self, message: &[u8]) -> Option<Reply> {
        let taken = self.take(message).await?;
        let now = http::now();
        self.with(|hub| {
            let account = hub.account(now);
            Ok(Reply {
                status: taken.refused.map_or(OK, response::feed_status),
                body: json_tree::text(&receipt(hub, &account, &taken, &self.usage_report(), now))
                    .into_bytes(),
                account: Some(account),
            })
        })
    }

    /// Pushes to all at once; gives what those who answered have applied.
    async fn push(&self, pushes: Vec<(RegionName, Vec<u8>)>) -> Vec<(RegionName, Option<Head>)> {
        let Ok(config) = EdgeConfig::of_isolate(&self.env) else {
            return Vec::new();
        };
        let (mut names, mut questions) = (Vec::new(), Vec::new());
        for (name, message) in pushes {
            let peer = Peer::Region(&name);
            match Question::send(&self.env, &config, peer, "/apply", Some(&message), PUSH_MS) {
                Ok(question) => {
                    questions.push(question);
                    names.push(name);
                }
                Err(error) => console_error!("hub: {} cannot be reached: {}", name, http::describe(&error)),
            }
        }
        if questions.is_empty() {
            return Vec::new();
        }
        let answers = Question::all(questions).await;
        let heard = names.into_iter().zip(answers).filter_map(|(name, answer)| {
            let answer = answer.filter(|answer| answer.account.is_some())?;
            Some((name, answer.head()))
        });
        heard.collect()
    }

    /// A region's pull.
    fn pull(&self, query: Option<&str>) -> Option<Reply> {
        let now = http::now();
        let Some(region) = object::parameter(query, "region").and_then(|name| name.parse().ok()) else {
            return Some(Reply::status(INVALID_REQUEST.status));
        };
        let applied = Head::try_from(&Place {
            epoch: object::number(query, "epoch"),
            seq: object::number(query, "after"),
            digest: object::parameter(query, "digest").unwrap_or_default().to_owned(),
        });
        self.with(|hub| {
            let message: Option<Vec<u8>> = hub.pull(&region, applied.ok(), now)?;
            Ok(message.map_or_else(
                || Reply::status(NOT_FOUND.status),
                |body| Reply::ok(body, hub.account(now)),
            ))
        })
    }

    /// Answers a publisher that has lost what it once sent.
    fn fetch_back(&self, request: &[u8]) -> Option<Reply> {
        let now = http::now();
        self.with(|hub| {
            let (status, body) = match hub.feed().fetch_request(request) {
                Ok(request) if request.time.0.abs_diff(now.0) <= FETCH_WINDOW_MS => {
                    let theirs = Position {
                        epoch: request.epoch,
                        seq: request.after,
                    };
                    (OK, hub.feed().since(theirs)?)
                }
                Ok(_) => (FORBIDDEN.status, refused("too_old")),
                Err(refusal) => (response::feed_status(refusal), refused(&refusal.to_string())),
            };
            Ok(Reply {
                status,
                body,
                account: Some(hub.account(now)),
            })
        })
    }

    /// A region tells of credentials that were ended there.
    fn add_local(&self, body: &[u8]) -> Option<Reply> {
        let Ok(indexes) = strict_json::read_any::<Vec<StatusIndex>>(body) else {
            return Some(Reply::status(INVALID_REQUEST.status));
        };
        let now = http::now();
        self.with(|hub| {
            hub.add_local(&indexes)?;
            Ok(Reply::ok(Vec::new(), hub.account(now)))
        })
    }

    /// Whether a proof is new. Nothing is awaited: one event, one transaction.
    fn judge_proof(&self, question: &[u8]) -> u16 {
        let Ok(mut slot) = self.proofs.try_borrow_mut() else {
            return HUB_UNREACHABLE.status;
        };
        let opened = match slot.take() {
            Some(proofs) => Ok(proofs),
            None => Proofs::open(self.state.storage().sql()),
        };
        let answered = opened.and_then(|mut proofs| proofs.answer(question).map(|status| (proofs, status)));
        match answered {
            Ok((proofs, status)) => {
                *slot = Some(proofs);
                status
            }
            Err(error) => {
                // Counted anew from the disk next time.
                console_error!("hub: proofs cannot be kept: {}", error);
                HUB_UNREACHABLE.status
            }
        }
    }

    /// Renews the copy in KV, if one is due: the time it was made, big-endian, then the whole feed.
    fn copy_to_kv(&self) {
        let now = http::now();
        let is_due = self
            .copied_at
            .get()
            .is_none_or(|at| at > now || now.since(at) >= COPY_INTERVAL_MS);
        if !is_due || !http::has_kv(&self.env) {
            return;
        }
        let copy = self.with(|hub| {
            if hub.head().is_none() || hub.feed().is_incompatible() {
                return Ok(None);
            }
            let mut copy = now.0.to_be_bytes().to_vec();
            copy.extend(hub.feed().since(Position::default())?);
            Ok(Some(copy))
        });
        let Some(copy) = copy.flatten() else { return };
        self.copied_at.set(Some(now));
        let env = self.env.clone();
        self.state.wait_until(async move {
            if let Err(error) = http::save_to_kv(&env, &copy).await {
                console_error!("hub: KV did not take the copy: {}", http::describe(&error));
            }
        });
    }
}

/// What a publisher is told.
fn receipt(hub: &Core, account: &Account, taken: &Taken, usage: &Value, now: UnixMillis) -> Value {
    json!({
        "epoch": account.head.as_ref().map(|head| head.epoch),
        "seq": account.head.as_ref().map(|head| head.seq),
        "digest": account.head.as_ref().map(|head| head.digest.as_str()),
        "accepted": taken.accepted,
        "known": taken.known,
        "refused": taken.refused.iter().map(|refusal| json!({"code": refusal.to_string()})).collect::<Vec<_>>(),
        "kinds": kinds::SUPPORTED,
        "counters": account.refused,
        "hub": true,
        "regions": hub.report(now),
        "local": account.local,
        "usage": usage,
    })
}

fn refused(code: &str) -> Vec<u8> {
    json_tree::text(&json!({ "refused": [{ "code": code }] })).into_bytes()
}
