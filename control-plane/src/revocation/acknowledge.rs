//! From what an edge says to what receipts say: heads are compared with our chain, the ledger decides what is done, and that
//! is told to whoever waits here and written down for other instances. Push and pull go the same way.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use shared::feed::Head;
use shared::time::UnixMillis;

use super::die::{self, Place};
use super::ledger::{Changes, Ledger, News, peer_name};
use super::link::{Standing, standing};
use super::report::{RegionReport, Report};
use super::{Ack, Feed, FeedError, local};
use crate::app::App;
use crate::config::Edge;
use crate::store::StoreError;
use crate::store::feed::{FeedNo, Peer, Position};

/// Frames of one acknowledgement whose delay is noted.
const MAX_LAGS: u32 = 128;

impl Feed {
    /// The ledgers of all edges, for a moment: never across an await.
    pub(crate) fn ledgers(&self) -> MutexGuard<'_, BTreeMap<String, Ledger>> {
        // A panic between two changes leaves a ledger that says less than is true.
        self.0.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledger<T>(&self, edge: &str, use_it: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledgers = self.ledgers();
        if let Some(ledger) = ledgers.get_mut(edge) {
            return use_it(ledger);
        }
        use_it(ledgers.entry(edge.to_owned()).or_default())
    }

    /// What is written down, to those who wait here.
    fn tell(&self, edge: &str, changes: &Changes, now: UnixMillis) {
        self.0.progress.send_if_modified(|progress| {
            for (region, done) in &changes.unsaved {
                let ack = Ack {
                    position: *done,
                    at: now,
                };
                progress.acknowledged.insert(peer_name(edge, region), ack);
            }
            for region in &changes.forgotten {
                progress.acknowledged.remove(&peer_name(edge, region));
            }
            !changes.is_empty()
        });
    }
}

/// Takes a report in; `standing` is what the hub's head means. Gives where the regions are that speak for themselves: for
/// a hub that did not.
pub(crate) async fn take_report(
    app: &App,
    configured: &Edge,
    feed: FeedNo,
    report: &Report,
    hub: Standing,
) -> Result<Option<Standing>, FeedError> {
    let edge = configured.name.as_str();
    let arrived = app.clock.elapsed();
    for code in &report.refused {
        metrics::counter!("portcullis_feed_refusals_total", "edge" => edge.to_owned(), "code" => code.clone())
            .increment(1);
    }
    app.feed.ledger(edge, |ledger| {
        report.refused.iter().for_each(|code| ledger.count_refusal(code));
        ledger.kinds.clone_from(&report.kinds);
        ledger.feed = feed;
    });
    let mut regions = Vec::with_capacity(report.regions.len());
    for region in &report.regions {
        let applied = match region.head {
            Some(head) => judge(app, (edge, feed), region, head, (report.head, hub)).await?,
            None => None,
        };
        regions.push((region.clone(), applied));
    }
    app.usage.heard(edge, report.usage, app.clock.now());
    let lowest = lowest(&regions);
    let news = News {
        spoke: report.hub,
        hub: match hub {
            Standing::At(at) if report.hub => Some(at),
            _ => None,
        },
        regions,
    };
    let now = app.clock.now();
    app.feed.ledger(edge, |ledger| ledger.take(news, arrived, now));
    settle(app, edge).await?;
    if !report.local.is_empty() {
        local::revoke(app, configured, &report.local).await?;
    }
    Ok(lowest)
}

/// What a region has, in terms of our chain. The database is asked only about heads that are new.
async fn judge(
    app: &App,
    (edge, feed): (&str, FeedNo),
    region: &RegionReport,
    head: Head,
    (hub_head, hub): (Option<Head>, Standing),
) -> Result<Option<Position>, FeedError> {
    if let (Some(same), Standing::At(at)) = (hub_head, hub)
        && same == head
    {
        return Ok(Some(at));
    }
    // Only what we wrote stays what it is: a stranger may be taken over.
    if let Some(known) = app.feed.ledger(edge, |ledger| ledger.judged(&region.name, head)) {
        return Ok(Some(known));
    }
    Ok(
        match standing(&mut app.store.begin_read().await?, feed, Some(head)).await? {
            Standing::At(at) => Some(at),
            _ => None,
        },
    )
}

/// Where the last of the regions is that are not idle; `None` if all are.
fn lowest(regions: &[(RegionReport, Option<Position>)]) -> Option<Standing> {
    let awake = regions.iter().filter(|(report, _)| report.age_ms.is_some());
    let at = awake.map(|(_, applied)| *applied).min()?;
    Some(at.map_or(Standing::Empty, Standing::At))
}

/// Writes down what is done by now, and tells it. In this order: the rows say which regions there are, and a receipt that
/// knew of one region only from here would wait for it alone. Cheap where nothing is new.
pub(crate) async fn settle(app: &App, edge: &str) -> Result<(), StoreError> {
    let elapsed = app.clock.elapsed();
    let now = app.clock.now();
    let (changes, feed) = app
        .feed
        .ledger(edge, |ledger| (ledger.settle(elapsed, now), ledger.feed));
    if changes.is_empty() {
        return Ok(());
    }
    let is_news = !changes.advanced.is_empty();
    if is_news {
        die::here(Place::BeforeAcknowledged);
    }
    let mut tx = app.store.begin().await?;
    for (region, position) in &changes.unsaved {
        tx.acknowledge(&Peer {
            name: peer_name(edge, region),
            position: *position,
            acked_at: now,
            feed,
        })
        .await?;
    }
    for region in &changes.forgotten {
        tx.forget_peer(&peer_name(edge, region)).await?;
    }
    tx.commit().await?;
    if is_news {
        die::here(Place::AfterAcknowledged);
    }
    app.feed.ledger(edge, |ledger| ledger.saved(&changes));
    app.feed.tell(edge, &changes, now);
    note_lags(app, edge, &changes, now).await
}

/// How long each frame took from its commit to the region.
async fn note_lags(app: &App, edge: &str, changes: &Changes, now: UnixMillis) -> Result<(), StoreError> {
    let mut tx = app.store.begin_read().await?;
    let elapsed = app.clock.elapsed();
    for (region, from, to) in &changes.advanced {
        let labels = [("edge", edge.to_owned()), ("region", region.clone())];
        #[expect(clippy::cast_precision_loss, reason = "numbers for a graph")]
        metrics::gauge!("portcullis_feed_edge_seq", &labels).set(to.seq as f64);
        // A region that is new, or had to begin again, was not slow.
        let Some(from) = from.filter(|from| from.epoch == to.epoch) else {
            continue;
        };
        for framed_at in tx.frame_times(from, *to, MAX_LAGS).await? {
            let lag = now.since(framed_at);
            #[expect(clippy::cast_precision_loss, reason = "a duration for a graph")]
            metrics::histogram!("portcullis_feed_acknowledgement_ms", &labels).record(lag as f64);
            app.feed.ledger(edge, |ledger| {
                if let Some(region) = ledger.regions.get_mut(region) {
                    region.lags.record(lag, elapsed);
                }
            });
        }
    }
    Ok(())
}

/// What other processes and earlier runs wrote down, so that a region which is gone is forgotten some day.
pub(super) async fn load(app: &App) -> Result<(), StoreError> {
    let elapsed = app.clock.elapsed();
    let peers = app.store.begin_read().await?.peers().await?;
    for peer in peers {
        let (edge, region) = (peer.edge().to_owned(), peer.region().to_owned());
        app.feed.ledger(&edge, |ledger| {
            ledger.load(&region, peer.position, peer.acked_at, elapsed);
            ledger.feed = peer.feed;
        });
    }
    Ok(())
}
