//! The Durable Object `Hub`: the edge's one durable copy of the feed. What it has answered "accepted" to is on disk.
//!
//! What it does: takes envelopes in strictly in order ([`Replica`]), keeps snapshot, log and last heartbeat, and serves
//! them to isolates and to a publisher that lost its own. What it does not: decide about requests, or trust a caller.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /apply`, a feed message | what was accepted and refused |
//! | `GET /state?epoch=&after=` | what a consumer there lacks, as a feed message |
//! | `POST /fetch`, a signed fetch request | the same, for the publisher |
//! | `POST /proof`, a DPoP proof's id and end | whether it is new |
//!
//! Every answer carries the hub's [`Account`].

mod feed;
mod proofs;
mod storage;

use std::cell::RefCell;

use shared::feed::MAX_MESSAGE;
use wasm_bindgen::JsValue;
use worker::{DurableObject, Env, Request, Response, Result, State, console_error, durable_object};

use super::account::HEADER;
use super::http::{self, HeaderList};
use super::response::{HUB_UNREACHABLE, INVALID_REQUEST, NOT_FOUND, OK};
use feed::Feed;
use proofs::Proofs;

/// The object.
#[durable_object(fetch)]
pub struct Hub {
    state: State,
    env: Env,
    feed: RefCell<Option<Feed>>,
    /// Opened when first needed: most deployments never are asked.
    proofs: RefCell<Option<Proofs>>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let feed = Feed::load(&state, &env);
        Self {
            state,
            env,
            feed: RefCell::new(feed),
            proofs: RefCell::new(None),
        }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let url = request.inner().url();
        let (_, path, query) = http::split_url(&url);
        if path == "/proof" {
            let question = http::body(request.inner(), proofs::LENGTH).await;
            return Ok(self.answer(
                self.judge_proof(&question.ok().flatten().unwrap_or_default()),
                b"",
            )?);
        }
        let body = match path {
            "/apply" | "/fetch" => match http::body(request.inner(), MAX_MESSAGE).await {
                Ok(Some(body)) => body,
                Ok(None) | Err(_) => return Ok(self.answer(INVALID_REQUEST.status, b"")?),
            },
            _ => Vec::new(),
        };
        // From here on nothing is awaited: one event, one transaction.
        let Ok(mut slot) = self.feed.try_borrow_mut() else {
            return Ok(self.answer(HUB_UNREACHABLE.status, b"")?);
        };
        if slot.is_none() {
            *slot = Feed::load(&self.state, &self.env);
        }
        let Some(feed) = slot.as_mut() else {
            drop(slot);
            return Ok(self.answer(HUB_UNREACHABLE.status, b"")?);
        };
        let outcome = match path {
            "/apply" => feed
                .apply(&body)
                .map(|(status, value)| (status, value.to_string().into_bytes())),
            "/state" => feed
                .since(number(query, "epoch"), number(query, "after"))
                .map(|message| (OK, message)),
            "/fetch" => feed.fetch(&body),
            _ => Ok((NOT_FOUND.status, Vec::new())),
        };
        let copy = feed.due_copy(http::has_kv(&self.env));
        if outcome.is_err() {
            // Memory may be ahead of the disk now. Only the disk counts.
            *slot = None;
        }
        drop(slot);
        if let Some(copy) = copy {
            let env = self.env.clone();
            self.state.wait_until(async move {
                if let Err(error) = http::save_to_kv(&env, &copy).await {
                    console_error!("hub: KV did not take the copy: {}", http::describe(&error));
                }
            });
        }
        match outcome {
            Ok((status, body)) => Ok(self.answer(status, &body)?),
            Err(error) => {
                console_error!("hub: storage failed: {}", error);
                Ok(self.answer(HUB_UNREACHABLE.status, b"")?)
            }
        }
    }
}

impl Hub {
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

    fn answer(&self, status: u16, body: &[u8]) -> std::result::Result<Response, JsValue> {
        let account = self
            .feed
            .try_borrow()
            .ok()
            .and_then(|slot| slot.as_ref().map(Feed::account));
        let mut headers = HeaderList::default();
        if let Some(account) = account {
            headers.push(HEADER, &serde_json::to_string(&account).unwrap_or_default());
        }
        http::answer_bytes(status, &headers, body).map(Into::into)
    }
}

fn number(query: Option<&str>, name: &str) -> u64 {
    let mut pairs = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}
