//! Usage: who asked for what at the edges, how often, and how it ended; exactly, and with a word on what is missing.
//!
//! Isolates count in numbered windows and announce them (`shared::usage`); what they say waits at the hub of each edge until it
//! is applied here, once. A window that was announced or skipped and does not come is listed as
//! incomplete until it does.
//!
//! | file | does |
//! | --- | --- |
//! | `book` | which windows of an isolate are applied, missing, or new: pure |
//! | `intake` | how much of a parcel is taken, and how often |
//! | `names` | whose the counts are, as the database knows it |
//! | `apply` | a parcel of records → short transactions |
//! | `collect` | asks the edges that we can reach for what waits there |
//! | `carry` | `POST /v1/edge/usage`: takes it from edges that come to us |
//! | `age` | up to when the numbers are whole, and what is missing |
//! | `api` | `GET /v1/usage` |
//! | `uses` | last use and number of requests, for keys |
//!
//! What it does not: count (the edge does), limit, or bill.

mod age;
pub mod api;
mod apply;
mod book;
pub mod carry;
mod collect;
mod intake;
pub mod month;
mod names;
#[cfg(test)]
mod tests;
pub mod uses;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::time::UnixMillis;
use tokio::sync::watch;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::limit::Limiter;

pub use collect::start;
pub use intake::MAX_BYTES;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// An isolate that was silent for so long is gone, and no record of it is on its way any more.
const ISOLATE_MS: u64 = 7 * DAY_MS;
/// What an edge may have written: a hundred busy isolates stay below it, and a night's backlog is through within the hour.
const ROWS_PER_MINUTE: u64 = 600_000;
const ROWS_PER_MINUTE_IN_DEV: u64 = 100_000_000;

/// What an edge says of its usage in every report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Records that wait at its hub; `None`: it cannot say.
    pub(crate) records: Option<u64>,
    /// How often its hub had no room for more.
    pub(crate) refused: u64,
}

/// What this process knows of the usage at edges.
#[derive(Debug)]
pub struct Usage {
    edges: Mutex<BTreeMap<String, Known>>,
    /// Grows when something waits somewhere.
    news: watch::Sender<u64>,
    /// Rows that an edge may have written in a minute.
    rows: Limiter,
    turns: intake::Turns,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    waiting: u64,
    refused: u64,
    /// When nothing waited there last.
    empty_at: Option<UnixMillis>,
}

impl Usage {
    /// Nothing known yet.
    pub fn new(config: &Config, clock: &Clock) -> Self {
        let most = if config.dev {
            ROWS_PER_MINUTE_IN_DEV
        } else {
            ROWS_PER_MINUTE
        };
        Self {
            edges: Mutex::default(),
            news: watch::Sender::new(0),
            rows: Limiter::new("usage_rows", most, Duration::from_mins(1), clock),
            turns: intake::Turns::default(),
        }
    }

    /// Takes note of a report. An edge of an older release says nothing.
    pub(crate) fn heard(&self, edge: &str, waiting: Option<Waiting>, now: UnixMillis) {
        let Some(Waiting {
            records: Some(records),
            refused,
        }) = waiting
        else {
            return;
        };
        let labels = [("edge", edge.to_owned())];
        #[expect(clippy::cast_precision_loss, reason = "numbers for a graph")]
        {
            metrics::gauge!("portcullis_usage_waiting", &labels).set(records as f64);
            metrics::gauge!("portcullis_usage_refused", &labels).set(refused as f64);
        }
        let mut edges = self.edges();
        let known = edges.entry(edge.to_owned()).or_default();
        known.waiting = records;
        known.refused = refused;
        if records == 0 {
            known.empty_at = Some(now);
        }
        drop(edges);
        if records > 0 {
            self.news.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// How many records wait at an edge, and when none did last.
    pub(crate) fn waiting(&self, edge: &str) -> (u64, Option<UnixMillis>) {
        let known = self.known(edge);
        (known.waiting, known.empty_at)
    }

    fn known(&self, edge: &str) -> Known {
        self.edges().get(edge).copied().unwrap_or_default()
    }

    fn edges(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is older than it need be.
pub async fn forget(app: Arc<App>) -> anyhow::Result<()> {
    let now = app.clock.now();
    let kept = app.config.usage.retention_days.saturating_mul(DAY_MS);
    let mut tx = app.store.begin().await?;
    tx.forget_usage(UnixMillis(now.0.saturating_sub(kept))).await?;
    tx.forget_isolates(UnixMillis(now.0.saturating_sub(ISOLATE_MS)))
        .await?;
    tx.commit().await?;
    Ok(())
}
