//! Pull mode: the hub asks the control plane for the feed, for an edge that the control plane cannot reach (I5).
//!
//! An alarm keeps it going: each runs polls for a while and sets the next. A poll is a GET that waits for news at the other
//! end; what it asks after is the acknowledgement of what came before, and a header reports refusals and regions as the answer
//! to a push would. An answer of "nothing new" holds no heartbeat, so the poll after it does not wait.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde_json::{Value, json};
use shared::json_tree;
use shared::time::UnixMillis;
use worker::{Result, console_error};

use super::Hub;
use crate::replication::Taken;
use crate::worker_adapter::config::EdgeConfig;
use crate::worker_adapter::http;
use crate::worker_adapter::peers::{self, Polled};
use crate::worker_adapter::response::{NOT_MODIFIED, OK};

/// How long the control plane may wait for news.
const WAIT_MS: u32 = 10_000;
/// The same while a region lacks something, or may still answer without it: the control plane waits for news of that.
const HURRY_MS: u32 = 500;
/// What an answer may take beyond the wait: it may hold a snapshot.
const GRACE_MS: u32 = 50_000;
/// How long one alarm goes on.
const ALARM_MS: u64 = 60_000;
/// When it is tried again after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// At least so long from one poll to the next, unless there was news.
const MIN_INTERVAL_MS: u32 = 250;
/// A poll that has not ended after this long was cancelled with its alarm.
const LAPSE_MS: u64 = 70_000;
/// Local endings in one report: a header has little room, and those that a frame says make room for the next.
const MAX_LOCAL: usize = 200;

/// What is remembered from poll to poll.
#[derive(Debug, Default)]
pub(super) struct Polling {
    /// When the last poll started.
    at: Cell<Option<UnixMillis>>,
    etag: RefCell<Option<String>>,
    /// What the last answer held that was refused.
    refused: RefCell<Vec<String>>,
}

impl Hub {
    /// Sees to it that somebody polls, if this edge does.
    pub(super) fn keep_polling(&self) {
        let now = http::now();
        let pulls = EdgeConfig::of_isolate(&self.env).is_ok_and(|config| config.pull_from.is_some());
        let at = self.polling.at.get();
        if !pulls || at.is_some_and(|at| at <= now && now.since(at) < LAPSE_MS) {
            return;
        }
        self.polling.at.set(Some(now));
        let storage = self.state.storage();
        self.state.wait_until(async move {
            if let Err(error) = storage.set_alarm(Duration::ZERO).await {
                console_error!("hub: no alarm to poll by: {}", error);
            }
        });
    }

    /// Polls, and sets the next alarm.
    pub(super) async fn poll_for_a_while(&self) -> Result<()> {
        let config = EdgeConfig::of_isolate(&self.env)?;
        let Some(base) = &config.pull_from else {
            return Ok(());
        };
        let begun = http::now();
        let mut pause = Duration::ZERO;
        while http::now().since(begun) < ALARM_MS {
            let started = http::now();
            self.polling.at.set(Some(started));
            self.carry_usage();
            match self.poll(base).await {
                Some(true) => {}
                Some(false) if http::now().since(started) >= u64::from(MIN_INTERVAL_MS) => {}
                Some(false) => http::pause(MIN_INTERVAL_MS).await,
                None => {
                    pause = RETRY;
                    break;
                }
            }
        }
        self.state.storage().set_alarm(pause).await
    }

    /// One poll. Whether there was news; `None`: it failed.
    async fn poll(&self, base: &str) -> Option<bool> {
        let now = http::now();
        let refused = take(&self.polling.refused);
        let usage = self.usage_report();
        let (place, report, is_settled) = self.with(|hub| {
            let account = hub.account(now);
            let regions = hub.report(now);
            let seq = account.head.as_ref().map(|head| head.seq);
            let is_settled = regions
                .iter()
                .all(|region| region.lease_ms == 0 && (region.seq == seq || region.age_ms.is_none()));
            let refused: Vec<Value> = refused.iter().map(|code| json!({ "code": code })).collect();
            let local: Vec<_> = account.local.iter().take(MAX_LOCAL).collect();
            let report = json!({
                "hub": true,
                "epoch": account.head.as_ref().map(|head| head.epoch),
                "seq": seq,
                "digest": account.head.as_ref().map(|head| head.digest.as_str()),
                "refused": refused,
                "regions": regions,
                "local": local,
                "usage": usage,
            });
            Ok((
                peers::place_query(account.head.as_ref()),
                json_tree::text(&report),
                is_settled,
            ))
        })?;
        let wait = if is_settled { WAIT_MS } else { HURRY_MS };
        let url = format!("{base}/v1/edge/feed?{place}&wait={wait}");
        let etag = take(&self.polling.etag);
        let limit = wait.saturating_add(GRACE_MS);
        match peers::poll(&self.env, &url, etag.as_deref(), &report, limit).await {
            Ok(answer) if answer.status == OK => self.take_polled(answer).await,
            Ok(answer) if answer.status == NOT_MODIFIED => Some(false),
            Ok(answer) => {
                console_error!("hub: the control plane answered {} to a poll", answer.status);
                None
            }
            Err(error) => {
                console_error!(
                    "hub: the control plane did not answer a poll: {}",
                    http::describe(&error)
                );
                None
            }
        }
    }

    async fn take_polled(&self, answer: Polled) -> Option<bool> {
        let before = self.with(|hub| Ok(hub.head()))?;
        let taken: Taken = self.take(&answer.body).await?;
        self.copy_to_kv();
        if let Some(refusal) = taken.refused {
            console_error!("hub: what the control plane sent is refused: {}", refusal);
            *self.polling.refused.try_borrow_mut().ok()? = vec![refusal.to_string()];
            // The next poll says so. Not at once: it may get the same again.
            return None;
        }
        *self.polling.etag.try_borrow_mut().ok()? = Some(answer.etag).filter(|etag| !etag.is_empty());
        Some(self.with(|hub| Ok(hub.head()))? != before)
    }
}

/// `RefCell::take` would panic if somebody had it, which nobody does.
fn take<T: Default>(cell: &RefCell<T>) -> T {
    cell.try_borrow_mut()
        .map(|mut value| std::mem::take(&mut *value))
        .unwrap_or_default()
}
