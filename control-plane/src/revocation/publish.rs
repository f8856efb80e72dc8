//! The publisher's tasks: one that frames, one per edge that pushes. They end with the process; any moment is a good one.
//!
//! Before the first frame every edge that can be reached is asked for its head: a database that was restored must learn
//! what it has lost before it goes on.

use std::sync::Arc;
use std::time::Duration;

use shared::time::UnixMillis;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::link::{Link, Step};
use super::{FeedError, Progress, acknowledge, frame, groups, incarnation, policy, snapshot};
use crate::app::App;
use crate::policies;
use crate::signing::{self, Readiness, SigningError};
use crate::store::StoreError;
use crate::store::feed::FeedNo;

/// How often the outbox is looked at when nobody wakes us: other instances and the command line write to it too.
const POLL: Duration = Duration::from_millis(250);
/// How often keys, snapshots and gauges are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_mins(10);
const FIRST_CONTACT_LIMIT: Duration = Duration::from_secs(10);
const FIRST_GLANCE: Duration = Duration::from_millis(100);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Starts the publisher. A task that fails is started again; readiness shows when none gets through.
pub fn start(app: Arc<App>) {
    tokio::spawn(async move {
        loop {
            let task: JoinHandle<Result<(), FeedError>> = tokio::spawn(run(Arc::clone(&app)));
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the publisher could not start; it tries again"),
                Err(_) => tracing::error!("the publisher ended unexpectedly; it starts again"),
            }
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    });
}

/// Ends the pushing tasks with the task that started them.
struct Links(Vec<JoinHandle<()>>);

impl Drop for Links {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

async fn run(app: Arc<App>) -> Result<(), FeedError> {
    wait_until_ours(&app).await?;
    forget_old_peers(&app).await?;
    acknowledge::load(&app).await?;
    let mut contacts = JoinSet::new();
    for edge in app.config.pushed_edges().cloned() {
        contacts.spawn(first_contact(Link::new(edge), Arc::clone(&app)));
    }
    let links = contacts.join_all().await;
    policies::publish_at_start(&app).await?;
    if groups::configure(&app).await? {
        app.feed.wake();
    }
    let _tasks = Links(
        links
            .into_iter()
            .map(|link| tokio::spawn(push(link, Arc::clone(&app))))
            .collect(),
    );
    let mut housekeeping = Instant::now();
    let mut prune = Instant::now();
    loop {
        match round(&app).await {
            Ok(()) => {}
            // Another took over: the links end with this.
            Err(error @ FeedError::Copy { .. }) => return Err(error),
            Err(error) => tracing::error!(%error, "framing failed; it is tried again"),
        }
        for edge in app.config.pulling_edges() {
            if let Err(error) = acknowledge::settle(&app, &edge.name).await {
                tracing::error!(edge = edge.name, %error, "an acknowledgement could not be written; it is tried again");
            }
        }
        if Instant::now() >= housekeeping {
            housekeeping = Instant::now() + HOUSEKEEPING;
            if let Err(error) = keep_house(&app).await {
                tracing::error!(%error, "the feed's housekeeping failed; it is tried again");
            }
        }
        if Instant::now() >= prune {
            prune = Instant::now() + PRUNE_EVERY;
            if let Err(error) = prune_indexes(&app).await {
                tracing::error!(%error, "old status indexes could not be forgotten; it is tried again");
            }
        }
        tokio::select! {
            () = app.feed.woken() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// A copy says once that it is one, and waits for `feed take-over`. It is not ready until then.
async fn wait_until_ours(app: &App) -> Result<(), FeedError> {
    let mut told = false;
    loop {
        match incarnation::check(&mut app.store.begin_read().await?, &app.config).await {
            Err(error @ FeedError::Copy { .. }) if !told => {
                tracing::error!(%error, "nothing is published");
                told = true;
            }
            Err(FeedError::Copy { .. }) => {}
            outcome => return outcome,
        }
        tokio::time::sleep(HOUSEKEEPING).await;
    }
}

/// Frames everything that is pending and tells the links where the chain ends.
pub(crate) async fn round(app: &App) -> Result<(), FeedError> {
    incarnation::check(&mut app.store.begin_read().await?, &app.config).await?;
    while frame::frame_pending(&app.store, &app.keyring, app.clock.now())
        .await?
        .is_some()
    {}
    let head = frame::head(&mut app.store.begin_read().await?).await?;
    app.feed.note_round(frame::position(head), app.clock.now());
    Ok(())
}

async fn keep_house(app: &App) -> Result<(), FeedError> {
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    app.keyring.reload(&mut tx).await?;
    let pending = tx.pending_count().await?;
    let head = frame::head(&mut tx).await?;
    let mut due = Vec::new();
    for feed in tx.feeds().await? {
        if snapshot::is_due(&mut tx, &app.keyring, feed, now).await? {
            due.push(feed);
        }
    }
    drop(tx);
    #[expect(clippy::cast_precision_loss, reason = "numbers for a graph")]
    {
        metrics::gauge!("portcullis_feed_pending_entries").set(pending as f64);
        metrics::gauge!("portcullis_feed_head_seq").set(head.seq as f64);
        metrics::gauge!("portcullis_feed_epoch").set(head.epoch as f64);
    }
    for feed in due {
        snapshot::make(&app.store, &app.keyring, feed, now).await?;
    }
    policy::note_acknowledged(app).await?;
    advance_keys(app, now).await
}

/// Moves keys under rotation. Opens a write transaction only if one is on its way.
pub(super) async fn advance_keys(app: &App, now: UnixMillis) -> Result<(), FeedError> {
    use signing::KeyState::{Pending, Retired};
    let on_the_way = |key: &Arc<signing::SigningKey>| {
        key.state == Pending || (key.state == Retired && key.purpose != signing::Purpose::ApiKey)
    };
    if !app.keyring.all().iter().any(on_the_way) {
        return Ok(());
    }
    let edges: Vec<String> = app.config.edges.iter().map(|edge| edge.name.clone()).collect();
    let mut tx = app.store.begin().await?;
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    let readiness = Readiness {
        edges: &edges,
        bound_ms: super::receipt::bound_ms(app, &state, now)?,
    };
    let moved = signing::advance(&mut tx, &app.keyring, &app.random, &readiness, now).await?;
    tx.commit().await?;
    if moved {
        app.feed.wake();
    }
    Ok(())
}

async fn prune_indexes(app: &App) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    signing::prune_indexes(&mut tx, app.clock.now()).await?;
    tx.commit().await
}

/// An edge that is not configured any more, or is in another group now, must not hold anything up.
pub(super) async fn forget_old_peers(app: &App) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    for peer in tx.peers().await? {
        let edge = app.config.edges.iter().find(|edge| edge.name == peer.edge());
        let feed = match edge.map(|edge| &edge.group) {
            None => None,
            Some(None) => Some(FeedNo::ALL),
            Some(Some(group)) => tx.feed_of_group(group).await?,
        };
        // What it had of another feed says nothing about this one.
        if feed != Some(peer.feed) {
            tx.forget_peer(&peer.name).await?;
        }
    }
    tx.commit().await
}

async fn first_contact(mut link: Link, app: Arc<App>) -> Link {
    let name = link.name().to_owned();
    let contact = async {
        link.contact(&app).await?;
        if link.is_stranger() {
            link.contact(&app).await?;
        }
        Ok::<_, FeedError>(())
    };
    match tokio::time::timeout(FIRST_CONTACT_LIMIT, contact).await {
        Ok(Ok(())) => tracing::info!(edge = %name, "the edge answers"),
        Ok(Err(error)) => tracing::warn!(edge = %name, %error, "the edge does not take the feed yet"),
        Err(_) => tracing::warn!(edge = %name, "the edge does not answer in time"),
    }
    link
}

/// Contacts one edge: at once when the chain grows, soon while a region is pending, each heartbeat otherwise, after a pause
/// when it failed.
async fn push(mut link: Link, app: Arc<App>) {
    let mut progress = app.feed.watch();
    let heartbeat = Duration::from_millis(app.config.feed.heartbeat_ms);
    let mut failures: u32 = 0;
    let mut glances: u32 = 0;
    loop {
        let started = Instant::now();
        let head = progress.borrow_and_update().head;
        match link.contact(&app).await {
            Ok(step) => {
                if failures > 0 {
                    tracing::info!(edge = link.name(), failures, "the edge takes the feed again");
                    failures = 0;
                }
                if step == Step::More {
                    continue;
                }
                let pending = app.feed.ledger(link.name(), |ledger| ledger.is_pending(head));
                glances = if pending { glances.saturating_add(1) } else { 0 };
                let pause = if pending {
                    glance(glances).min(heartbeat)
                } else {
                    heartbeat
                };
                if wait(&app, link.name(), started + pause, &mut progress, head).await {
                    glances = 0;
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                metrics::counter!("portcullis_feed_push_failures_total", "edge" => link.name().to_owned())
                    .increment(1);
                app.feed
                    .ledger(link.name(), |ledger| ledger.failed(&error.to_string()));
                if failures.is_power_of_two() {
                    tracing::warn!(edge = link.name(), failures, %error, "the feed does not reach the edge");
                }
                pause_settling(&app, link.name(), Instant::now() + backoff(failures)).await;
            }
        }
    }
}

/// Until a moment, or until the chain grows: then true. Leases run out meanwhile.
async fn wait(
    app: &App,
    edge: &str,
    until: Instant,
    progress: &mut watch::Receiver<Progress>,
    sent: crate::store::feed::Position,
) -> bool {
    tokio::select! {
        () = pause_settling(app, edge, until) => false,
        _ = progress.wait_for(|progress| progress.head > sent) => true,
    }
}

/// Waits, and tells of every lease that runs out while we do.
async fn pause_settling(app: &App, edge: &str, until: Instant) {
    loop {
        let due = app.feed.ledger(edge, |ledger| ledger.next_due());
        let remaining = due.map(|due| due.saturating_sub(app.clock.elapsed()));
        let next = remaining.map_or(until, |remaining| (Instant::now() + remaining).min(until));
        tokio::time::sleep_until(next).await;
        if let Err(error) = acknowledge::settle(app, edge).await {
            tracing::error!(edge, %error, "an acknowledgement could not be written; it is tried again");
            tokio::time::sleep_until(until).await;
        }
        if Instant::now() >= until {
            return;
        }
    }
}

/// How soon an edge is asked again whose regions are behind.
fn glance(glances: u32) -> Duration {
    FIRST_GLANCE.saturating_mul(1 << glances.saturating_sub(1).min(8))
}

fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(MAX_BACKOFF)
}
