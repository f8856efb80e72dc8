//! Edges as an operator sees them: where they are, how long revocations take to reach them, and what is wrong.
//!
//! | file | does |
//! | --- | --- |
//! | `status` | `GET /v1/edge/status`: every region of every edge |
//! | `page` | the same in the dashboard |
//! | `glance` | the worst of it, for the dashboard's first page |
//! | `watch` | looks each second whether a bound is broken |
//! | `alerts` | raises and clears, with a log line, a metric and an audit row |
//! | `canary` | revokes a credential of its own every minute and measures how long it is let in |
//! | `pull` | `GET /v1/edge/feed`: for edges that fetch |
//! | `uplink` | the keys that those fetch with |
//!
//! What it does not: push (`revocation` does), or decide when a region has something (`revocation::ledger` does).

pub(crate) mod alerts;
mod canary;
mod glance;
pub mod page;
pub mod pull;
pub mod status;
pub mod uplink;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::crypto::base64url;
use shared::time::UnixMillis;
use tokio::sync::watch::Sender;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::limit::Limiter;
use crate::random::{Random, RandomError};
use canary::Record;

pub use glance::{Canary, Glance, glance};

const MINUTE: Duration = Duration::from_mins(1);
/// Far more than an edge that is well asks, with every revocation in a fetch of its own.
const FETCHES_PER_MINUTE: u64 = 6000;
const FETCHES_PER_MINUTE_IN_DEV: u64 = 1_000_000;

/// An edge's name and a region's; the region is empty for the edge as a whole.
pub(crate) type Place = (String, String);

/// What this process knows beside the ledgers.
#[derive(Debug)]
pub struct Edges {
    /// Names this process in leases.
    holder: String,
    /// Whether this instance watches, and sends canaries.
    leads: AtomicBool,
    started: UnixMillis,
    canaries: Mutex<BTreeMap<Place, Record>>,
    /// Alerts whose metric stands at 1.
    shown: Mutex<BTreeSet<(String, String, String)>>,
    fetches: Limiter,
    stopping: Sender<bool>,
}

impl Edges {
    /// Nothing known yet.
    pub fn new(config: &Config, clock: &Clock, random: &Random) -> Result<Self, RandomError> {
        let most = if config.dev {
            FETCHES_PER_MINUTE_IN_DEV
        } else {
            FETCHES_PER_MINUTE
        };
        Ok(Self {
            holder: base64url(&random.bytes::<16>()?),
            leads: AtomicBool::new(false),
            started: clock.now(),
            canaries: Mutex::default(),
            shown: Mutex::default(),
            fetches: Limiter::new("edge_fetches", most, MINUTE, clock),
            stopping: Sender::new(false),
        })
    }

    /// The process is about to end: whoever waits for a change is answered now.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    async fn stopped(&self) {
        // An error means that the sender is gone, which it is not while `self` is there.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    fn canaries(&self) -> MutexGuard<'_, BTreeMap<Place, Record>> {
        self.canaries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, BTreeSet<(String, String, String)>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts what watches edges. It ends with the runtime.
pub fn start(app: &Arc<App>) {
    tokio::spawn(watch::keep_watching(Arc::clone(app)));
    if app.config.has_canary() {
        tokio::spawn(canary::keep_sending(Arc::clone(app)));
    }
}
