//! Looks each second whether what is promised holds: regions have frames within the bound, edges are heard of, clocks agree,
//! canaries die in time. One instance at a time decides, by a lease; all of them show.
//!
//! What it does not: hold for ever what an instance that went away has seen. Its successor looks for itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::time::UnixMillis;
use tokio::time::{Instant, MissedTickBehavior};

use super::alerts::{self, Broken, Kind};
use super::canary;
use crate::app::App;
use crate::config::EdgeMode;
use crate::revocation::ledger::Ledger;
use crate::revocation::receipt::{bound_ms, names};
use crate::revocation::{FeedError, frame};
use crate::store::feed::Position;
use crate::store::{StoreError, Tx};

const EVERY: Duration = Duration::from_secs(1);
const LEASE: &str = "edge-watch";
const LEASE_MS: u64 = 15_000;
const RENEW_EVERY: Duration = Duration::from_secs(5);
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// A bound of nothing cannot be watched more closely than this.
const SHORTEST_BOUND_MS: u64 = 1000;
/// More than clocks that are kept right differ.
const MOST_SKEW_MS: u64 = 60_000;

pub(super) async fn keep_watching(app: Arc<App>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut renew, mut forget) = (Instant::now(), Instant::now());
    loop {
        ticks.tick().await;
        if Instant::now() >= renew {
            renew = Instant::now() + RENEW_EVERY;
            let leads = lead(&app).await.unwrap_or_else(|error| {
                tracing::error!(%error, "edges are not watched by this instance for now");
                false
            });
            app.edges.leads.store(leads, Ordering::Relaxed);
        }
        if let Err(error) = round(&app).await {
            tracing::error!(%error, "edges could not be watched; it is tried again");
        }
        if app.edges.leads() && Instant::now() >= forget {
            forget = Instant::now() + FORGET_EVERY;
            if let Err(error) = canary::forget(&app).await {
                tracing::error!(%error, "old canaries could not be forgotten; it is tried again");
            }
        }
    }
}

/// Whether this instance decides. One whose publisher does not run knows nothing that counts.
pub(super) async fn lead(app: &App) -> Result<bool, StoreError> {
    let now = app.clock.now();
    if app.config.edges.is_empty() || !app.feed.alive(now) {
        return Ok(false);
    }
    let until = now.saturating_add(LEASE_MS);
    let mut tx = app.store.begin().await?;
    let leads = tx.take_lease(LEASE, &app.edges.holder, until, now).await?;
    tx.commit().await?;
    Ok(leads)
}

async fn round(app: &App) -> Result<(), FeedError> {
    show_edges(app);
    if app.edges.leads() {
        judge(app).await?;
    }
    let rows = app.store.begin_read().await?.edge_alerts().await?;
    alerts::show(app, &rows, true);
    Ok(())
}

/// Raises what is broken, clears what is not.
pub(super) async fn judge(app: &App) -> Result<(), FeedError> {
    let broken = broken(app).await?;
    let up = app.store.begin_read().await?.edge_alerts().await?;
    let is_up = |broken: &Broken| {
        up.iter().any(|row| {
            (row.edge.as_str(), row.region.as_str(), row.kind.as_str())
                == (
                    broken.place.0.as_str(),
                    broken.place.1.as_str(),
                    broken.kind.as_str(),
                )
        })
    };
    for new in broken.iter().filter(|broken| !is_up(broken)) {
        alerts::raise(app, new).await?;
    }
    let still: BTreeSet<(&str, &str, &str)> = broken
        .iter()
        .map(|broken| {
            (
                broken.place.0.as_str(),
                broken.place.1.as_str(),
                broken.kind.as_str(),
            )
        })
        .collect();
    let is_configured = |name: &str| app.config.edges.iter().any(|edge| edge.name == name);
    for row in &up {
        // That one is for `pull` to clear, at the edge's next fetch.
        let left_alone = row.kind == Kind::Ahead.as_str() && is_configured(&row.edge);
        if !left_alone && !still.contains(&(&row.edge, &row.region, &row.kind)) {
            alerts::clear(app, row).await?;
        }
    }
    Ok(())
}

async fn broken(app: &App) -> Result<Vec<Broken>, FeedError> {
    let mut tx = app.store.begin_read().await?;
    let mut broken = Vec::new();
    let now = app.clock.now();
    let state = tx
        .feed_state()
        .await?
        .ok_or(StoreError::Corrupt("feed: there is none"))?;
    let bound = bound_ms(app, &state, now)?.max(SHORTEST_BOUND_MS);
    let head = frame::position(frame::head(&mut tx).await?);
    let ledgers = app.feed.ledgers().clone();
    for edge in &app.config.edges {
        for (region, since) in pending(app, &mut tx, &edge.name, head).await? {
            let age = now.since(since);
            if age > bound {
                broken.push(Broken {
                    place: (edge.name.clone(), region),
                    kind: Kind::Pending,
                    detail: format!("it lacks a frame that is older than {bound} ms"),
                });
            }
        }
        let ledger = ledgers.get(&edge.name);
        let silent_ms = match (edge.mode, ledger.and_then(|ledger| ledger.contact)) {
            (EdgeMode::Push, Some((at, _))) => millis(app.clock.elapsed().saturating_sub(at)),
            // Another instance may have answered it.
            (EdgeMode::Pull, here) => {
                let there = tx.last_fetch(&edge.name).await?;
                let last = there.max(here.map(|(_, at)| at)).unwrap_or_default();
                now.since(last.max(app.edges.started))
            }
            (EdgeMode::Push, None) => now.since(app.edges.started),
        };
        let limit = app.config.feed.contact_alert_ms;
        if silent_ms > limit {
            broken.push(Broken {
                place: (edge.name.clone(), String::new()),
                kind: Kind::Contact,
                detail: format!("its hub was not heard of for more than {limit} ms"),
            });
        }
        let skew = ledger.and_then(|ledger| ledger.skew_ms);
        if skew.is_some_and(|skew| skew.unsigned_abs() > MOST_SKEW_MS) {
            broken.push(Broken {
                place: (edge.name.clone(), String::new()),
                kind: Kind::Clock,
                detail: "its clock and this machine's are more than a minute apart".to_owned(),
            });
        }
    }
    broken.extend(canary::broken(app));
    Ok(broken)
}

/// The regions of an edge that lack something, and since when it was there to be had.
async fn pending(
    app: &App,
    tx: &mut Tx,
    edge: &str,
    head: Position,
) -> Result<Vec<(String, UnixMillis)>, StoreError> {
    let stored = tx.peers().await?;
    let progress = app.feed.watch().borrow().clone();
    let mut pending = Vec::new();
    for name in names(edge, &stored) {
        let here = progress.acknowledged.get(&name).map(|ack| (ack.position, ack.at));
        let there = stored
            .iter()
            .find(|peer| peer.name == name)
            .map(|peer| (peer.position, peer.acked_at));
        // An edge that was never heard of has no regions yet; `contact` is for it.
        let Some((at, since)) = here.max(there) else {
            continue;
        };
        if at >= head {
            continue;
        }
        if let Some(framed) = tx.first_frame_time(at).await? {
            // Of a region that is new, what was there before is not held against it.
            let framed = if at == Position::default() {
                framed.max(since)
            } else {
                framed
            };
            let region = name.split_once('/').map_or("", |(_, region)| region);
            pending.push((region.to_owned(), framed));
        }
    }
    Ok(pending)
}

/// What each edge looks like from here, as metrics.
fn show_edges(app: &App) {
    let ledgers = app.feed.ledgers().clone();
    let head = app.feed.watch().borrow().head;
    let elapsed = app.clock.elapsed();
    for edge in &app.config.edges {
        let Some(ledger) = ledgers.get(&edge.name) else {
            continue;
        };
        show_edge(&edge.name, ledger, head, elapsed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers for a graph")]
fn show_edge(edge: &str, ledger: &Ledger, head: Position, elapsed: Duration) {
    if let Some((at, _)) = ledger.contact {
        metrics::gauge!("portcullis_edge_contact_age_ms", "edge" => edge.to_owned())
            .set(millis(elapsed.saturating_sub(at)) as f64);
    }
    if let Some(skew) = ledger.skew_ms {
        metrics::gauge!("portcullis_edge_clock_skew_ms", "edge" => edge.to_owned()).set(skew as f64);
    }
    for (name, region) in &ledger.regions {
        let labels = [("edge", edge.to_owned()), ("region", name.clone())];
        metrics::gauge!("portcullis_edge_lag_frames", &labels).set(lag_frames(head, region.done) as f64);
        if let Some(age) = age_ms(region.age_ms, region.reported_at, elapsed) {
            metrics::gauge!("portcullis_edge_age_ms", &labels).set(age as f64);
        }
    }
}

/// How many frames a region lacks. The numbers go on through the epochs.
pub(super) fn lag_frames(head: Position, done: Option<Position>) -> u64 {
    let done = done.unwrap_or_default();
    if done >= head {
        return 0;
    }
    head.seq.saturating_sub(done.seq).max(1)
}

/// How long ago the hub heard from a region, by now.
pub(super) fn age_ms(said: Option<u64>, reported_at: Option<Duration>, elapsed: Duration) -> Option<u64> {
    let since = millis(elapsed.saturating_sub(reported_at?));
    Some(said?.saturating_add(since))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
