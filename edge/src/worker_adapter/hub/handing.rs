//! Usage at the hub: taken from regions, handed out to the control plane, which asks for it, or in pull mode carried there.
//!
//! The control plane says what it has applied, by the position in this store, and only then is anything forgotten.

use std::rc::Rc;

use serde_json::{Value, json};
use shared::usage::Parcel;
use worker::{Env, SqlStorage, console_error};

use super::{FETCH_WINDOW_MS, Hub, refused};
use crate::worker_adapter::config::EdgeConfig;
use crate::worker_adapter::http;
use crate::worker_adapter::object::Reply;
use crate::worker_adapter::peers;
use crate::worker_adapter::response::{self, FORBIDDEN, OK};
use crate::worker_adapter::usage::Shelf;

/// How long the control plane may take over one parcel.
const CARRY_MS: u32 = 20_000;

impl Hub {
    /// Takes records in. In pull mode they are carried on behind the answer.
    pub(super) fn keep_usage(&self, body: &[u8]) -> Reply {
        let status = self.shelf.keep(&self.state.storage().sql(), body);
        if status == OK {
            self.carry_usage();
        }
        Reply::status(status)
    }

    /// Carries what waits to the control plane, in pull mode, behind the back of this event.
    pub(super) fn carry_usage(&self) {
        let pulls = EdgeConfig::of_isolate(&self.env).is_ok_and(|config| config.pull_from.is_some());
        let sql = self.state.storage().sql();
        if !pulls || self.shelf.waiting(&sql).unwrap_or(0) == 0 {
            return;
        }
        let (shelf, env) = (Rc::clone(&self.shelf), self.env.clone());
        self.state.wait_until(async move {
            let started = http::now();
            if shelf.take_latch(started) {
                carry(&shelf, &sql, &env).await;
                shelf.release(started);
            }
        });
    }

    /// Answers a signed question for usage.
    pub(super) fn hand_out_usage(&self, question: &[u8]) -> Option<Reply> {
        let now = http::now();
        let (asked, account) =
            self.with(|hub| Ok((hub.feed().collect_request(question), hub.account(now))))?;
        let (status, body) = match asked {
            Ok(collect) if collect.time.0.abs_diff(now.0) <= FETCH_WINDOW_MS => {
                let sql = self.state.storage().sql();
                self.shelf.forget(&sql, collect.store, collect.through)?;
                (OK, self.shelf.parcel(&sql)?.encode())
            }
            Ok(_) => (FORBIDDEN.status, refused("too_old")),
            Err(refusal) => (response::feed_status(refusal), refused(&refusal.to_string())),
        };
        Some(Reply {
            status,
            body,
            account: Some(account),
        })
    }

    /// What a publisher is told of it.
    pub(super) fn usage_report(&self) -> Value {
        let waiting = self.shelf.waiting(&self.state.storage().sql());
        json!({ "waiting": waiting, "refused": self.shelf.refused() })
    }
}

/// Parcel by parcel, until nothing waits or one is not taken. The answer to one names what was applied.
async fn carry(shelf: &Shelf, sql: &SqlStorage, env: &Env) -> Option<()> {
    let config = EdgeConfig::of_isolate(env).ok()?;
    let url = format!("{}/v1/edge/usage", config.pull_from.as_deref()?);
    loop {
        let parcel: Parcel = shelf.parcel(sql)?;
        let through = parcel.through()?;
        match peers::carry(env, &url, &parcel.encode(), CARRY_MS).await {
            Ok(OK) => shelf.forget(sql, parcel.store, through)?,
            Ok(status) => {
                console_error!("hub: the control plane answered {} to usage", status);
                return None;
            }
            Err(error) => {
                console_error!(
                    "hub: the control plane did not take usage: {}",
                    http::describe(&error)
                );
                return None;
            }
        }
    }
}
