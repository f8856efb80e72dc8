//! What runs beside the requests: one list, with names and intervals.
//!
//! Every job survives its own failures and may run in several instances at once. A job that ends is a fault: the process
//! stops being ready, and says so.

use std::sync::Arc;
use std::time::Duration;

use shared::time::UnixMillis;

use crate::app::App;
use crate::{
    audit, edge, issuers, mail, oauth, people, policies, retention, revocation, sessions, settings, signing,
    usage, webhooks,
};

const HOUR: Duration = Duration::from_hours(1);
const AUDIT: Duration = Duration::from_secs(1);
/// How long another instance goes by an older policy; edges have their own bound.
const POLICY: Duration = Duration::from_millis(500);
const METRICS: Duration = Duration::from_secs(5);
const MAIL: Duration = Duration::from_secs(1);
const LOGOUTS: Duration = Duration::from_secs(1);
const WEBHOOKS: Duration = Duration::from_secs(1);
const LIMITS: Duration = Duration::from_mins(1);
const PROOFS: Duration = Duration::from_mins(1);
const PUSHED: Duration = Duration::from_mins(1);
const SEALED: Duration = Duration::from_secs(10);
/// How long a create can be replayed.
const IDEMPOTENCY_MS: u64 = 24 * 3600 * 1000;

/// Starts all jobs. They end with the runtime.
pub fn start(app: &Arc<App>) {
    revocation::start(Arc::clone(app));
    edge::start(app);
    issuers::start(Arc::clone(app));
    usage::start(app);
    every("follow the route policy", POLICY, app, policies::follow);
    every("forget old usage", HOUR, app, usage::forget);
    every("forget old idempotency keys", HOUR, app, forget_idempotency);
    every("forget ended status indexes", HOUR, app, prune_indexes);
    every("forget ended sessions", HOUR, app, sessions::forget);
    every("forget ended grants", HOUR, app, forget_grants);
    every("forget ended requests", PUSHED, app, forget_pushed);
    every("forget used proofs", PROOFS, app, forget_proofs);
    every("drop sealed successors", SEALED, app, drop_sealed);
    every("send mail", MAIL, app, mail::send_due);
    every(
        "tell apps of logouts",
        LOGOUTS,
        app,
        oauth::backchannel::deliver_due,
    );
    every("seal the audit trail", AUDIT, app, audit::seal_waiting);
    every("check the audit trail", HOUR, app, audit::check_all);
    every("deliver to webhooks", WEBHOOKS, app, webhooks::deliver_due);
    every("forget delivered messages", HOUR, app, webhooks::forget);
    every("remind of keys that end", HOUR, app, settings::remind);
    every("rotate signing keys", HOUR, app, settings::rotate_due);
    every("apply retention", HOUR, app, retention::apply_all);
    every("clear the outbox", HOUR, app, mail::forget_shown);
    every("forget links", HOUR, app, people::forget);
    every("forget rate limits", LIMITS, app, prune_limits);
    every("forget ended client assertions", SEALED, app, forget_assertions);
    every("tidy up rates", HOUR, app, tidy_rates);
    every("tidy up metrics", METRICS, app, tidy_metrics);
}

fn every<F>(name: &'static str, interval: Duration, app: &Arc<App>, job: fn(Arc<App>) -> F)
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = job(Arc::clone(&app)).await {
                tracing::error!(
                    job = name,
                    error = format!("{error:#}"),
                    "a job failed; it runs again"
                );
                metrics::counter!("portcullis_job_failures_total", "job" => name).increment(1);
            }
        }
    });
}

async fn forget_idempotency(app: Arc<App>) -> anyhow::Result<()> {
    let before = UnixMillis(app.clock.now().0.saturating_sub(IDEMPOTENCY_MS));
    let mut tx = app.store.begin().await?;
    tx.forget_idempotency(before).await?;
    tx.commit().await?;
    Ok(())
}

async fn prune_indexes(app: Arc<App>) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    let now = app.clock.now();
    signing::prune_indexes(&mut tx, now).await?;
    // Those of a group understand whom they admit, an entry of a later kind, so they need not be asked: one that belongs to
    // somebody else, and says something else or nothing, would hold it up for all.
    let edges = app.config.edges.iter().filter(|edge| edge.group.is_none());
    let edges = edges.map(|edge| edge.name.as_str());
    let retired = if app.feed.is_understood(shared::feed::kinds::RETIRED, edges) {
        signing::retire_blocks(&mut tx, now).await?
    } else {
        0
    };
    tx.commit().await?;
    if retired > 0 {
        app.feed.wake();
        tracing::info!(
            lists = retired,
            "status lists without a living credential are retired"
        );
    }
    Ok(())
}

async fn forget_grants(app: Arc<App>) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    oauth::grants::prune(&mut tx, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn forget_pushed(app: Arc<App>) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    oauth::pushed::forget(&mut tx, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn forget_proofs(app: Arc<App>) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    oauth::dpop::forget(&mut tx, &app).await?;
    tx.commit().await?;
    Ok(())
}

async fn drop_sealed(app: Arc<App>) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    tx.drop_sealed(app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn prune_limits(app: Arc<App>) -> anyhow::Result<()> {
    app.limits.prune();
    Ok(())
}

async fn forget_assertions(app: Arc<App>) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    tx.forget_assertions(app.clock.now().seconds()).await?;
    tx.commit().await?;
    Ok(())
}

async fn tidy_rates(app: Arc<App>) -> anyhow::Result<()> {
    app.open_clients.tidy();
    Ok(())
}

/// Histograms keep their samples until somebody folds them.
async fn tidy_metrics(app: Arc<App>) -> anyhow::Result<()> {
    app.metrics.run_upkeep();
    Ok(())
}
