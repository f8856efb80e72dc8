//! Looks for the keys of every issuer again and again, each at its own time, and tells the edge what changed.
//!
//! An answer is believed as long as its server says, within `issuers.refresh_least_seconds` and `refresh_most_seconds`, and a
//! tenth of that by chance, so that not all are asked at once. A failure changes nothing but the time of the next try, until it
//! has lasted for `issuers.stale_seconds`: then the issuer has no keys, until it can be read again. One instance looks at a
//! time: it has taken the row for a minute.
//!
//! Somebody who knows of a new key (`POST /v1/issuers/{id}/refresh`) need not wait; but however many ask, one issuer is asked
//! once in `issuers.cool_down_seconds`, and not at all for a key that is known.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::crypto::Algorithm;
use shared::id::IssuerId;
use shared::jwks::Admitted;
use shared::time::UnixMillis;
use tokio::task::JoinSet;

use super::change::{Changed, find, receipt_name, tell, understood};
use super::keys::Found;
use super::rules;
use crate::app::App;
use crate::audit::Actor;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::fetch::FetchError;
use crate::random::RandomError;
use crate::revocation::{self, Wait};
use crate::store::issuers::TrustedIssuer;

/// How often it is asked who is due.
const TICK: Duration = Duration::from_secs(1);
/// An instance that took an issuer and has not come back by then is given up. Longer than any look-up.
const TAKEN_MS: u64 = 60_000;
/// Look-ups at the same time.
const MOST_AT_ONCE: usize = 8;

/// Starts the watch. It ends with the runtime.
pub fn start(app: Arc<App>) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = look(&app).await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "issuers could not be looked at; it is tried again"
                );
                metrics::counter!("portcullis_job_failures_total", "job" => "watch issuers").increment(1);
            }
        }
    });
}

/// Everybody who is due, a few at a time.
pub(super) async fn look(app: &Arc<App>) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    loop {
        while running.len() < MOST_AT_ONCE {
            let now = app.clock.now();
            // On SQLite a write transaction keeps others out: look first.
            if !app.store.begin_read().await?.is_issuer_due(now).await? {
                break;
            }
            let mut tx = app.store.begin().await?;
            let due = tx.take_due_issuer(now, now.saturating_add(TAKEN_MS)).await?;
            tx.commit().await?;
            let Some(due) = due else { break };
            let app = Arc::clone(app);
            running.spawn(async move { update(&app, &due).await });
        }
        match running.join_next().await {
            Some(ended) => {
                ended?.map_err(cause)?;
            }
            None => break,
        }
    }
    gauges(app).await
}

/// For the log: an API error keeps what went wrong to itself.
#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn cause(error: ApiError) -> anyhow::Error {
    match &error.problem().cause {
        Some(cause) => anyhow::anyhow!("{cause:#}"),
        None => anyhow::anyhow!("{}", error.problem().detail),
    }
}

async fn gauges(app: &App) -> anyhow::Result<()> {
    let counts = app.store.begin_read().await?.count_issuers().await?;
    #[expect(clippy::cast_precision_loss, reason = "numbers for a graph")]
    {
        metrics::gauge!("portcullis_issuers").set(counts.trusted as f64);
        metrics::gauge!("portcullis_issuers_failing").set(counts.failing as f64);
    }
    Ok(())
}

/// Looks for an issuer's keys now, unless that was done a moment ago, or `kid` is known.
pub async fn refresh(
    app: &App,
    caller: &Caller,
    id: IssuerId,
    kid: Option<&str>,
    wait: Wait,
) -> Result<Changed, ApiError> {
    rules::may_administer(app, caller)?;
    let mut row = find(&mut app.store.begin_read().await?, caller.org, id).await?;
    let mut left_out = None;
    let known = |row: &TrustedIssuer, kid: &str| {
        let binding = row.entry.binding.as_ref();
        binding.is_some_and(|binding| binding.keys.contains_key(kid))
    };
    if !kid.is_some_and(|kid| known(&row, kid)) {
        let now = app.clock.now();
        let cool_down = app.config.issuers.cool_down_seconds.saturating_mul(1000);
        let before = UnixMillis(now.0.saturating_sub(cool_down));
        let mut tx = app.store.begin().await?;
        if !tx.take_issuer(&row.entry.issuer, now, before).await? {
            let wait = cool_down
                .saturating_sub(now.since(row.watch.attempted_at))
                .div_ceil(1000);
            let detail = "this issuer was asked a moment ago; wait as long as it says";
            return Err(ApiError::new(Code::RateLimited, detail).retry_after(wait.max(1)));
        }
        tx.commit().await?;
        left_out = update(app, &row).await?;
        row = find(&mut app.store.begin_read().await?, caller.org, id).await?;
        if let Some(failure) = &row.watch.failure {
            let detail = format!("the issuer's keys cannot be read, so those that are known stay: {failure}");
            return Err(ApiError::new(Code::IssuerUnreachable, detail));
        }
    }
    let receipt = revocation::await_receipt(app, &receipt_name(&row), wait).await?;
    Ok(Changed {
        issuer: row,
        left_out,
        receipt,
    })
}

/// One look-up, and what becomes of it. Gives what of the set is not trusted.
async fn update(
    app: &App,
    row: &TrustedIssuer,
) -> Result<Option<Vec<(String, shared::jwks::LeftOut)>>, ApiError> {
    // After a start no edge has said yet what it knows: keys that the feed has stay in it.
    let algorithms = if row.entry.has_es512() {
        algorithms(row)
    } else {
        understood(app, row.entry.org, algorithms(row))
    };
    let found = app
        .issuers
        .look_up(&row.entry.issuer, row.jwks_uri.as_deref(), &algorithms)
        .await;
    let outcome = if found.is_ok() { "ok" } else { "failed" };
    metrics::counter!("portcullis_issuer_refreshes_total", "outcome" => outcome).increment(1);
    settle(app, row, &found).await?;
    Ok(found.ok().map(|found| found.keys.left_out))
}

/// Writes down what was found, unless somebody has changed the issuer meanwhile: then it is looked at again when it is due.
async fn settle(app: &App, seen: &TrustedIssuer, found: &Result<Found, FetchError>) -> Result<(), ApiError> {
    let now = app.clock.now();
    let mut row = seen.clone();
    row.watch.attempted_at = now;
    let change = match found {
        Ok(found) => {
            row.watch.keys_uri = Some(found.uri.clone());
            row.watch.refreshed_at = now;
            row.watch.due_at = next(app, found.fresh_seconds, now).map_err(ApiError::internal)?;
            (row.watch.failures, row.watch.failure) = (0, None);
            put(&mut row, &found.keys).map(|detail| ("issuer.keys", detail))
        }
        Err(error) => {
            row.watch.failures = row.watch.failures.saturating_add(1);
            row.watch.failure = Some(error.to_string());
            row.watch.due_at = later(app, row.watch.failures, now).map_err(ApiError::internal)?;
            if row.watch.failures.is_power_of_two() {
                tracing::warn!(issuer = row.entry.issuer, failures = row.watch.failures, %error, "an issuer's keys cannot be read");
            }
            let stale = app.config.issuers.stale_seconds.saturating_mul(1000);
            let over = now.since(row.watch.refreshed_at) >= stale;
            let put = over.then(|| put(&mut row, &Admitted::default())).flatten();
            put.map(|detail| ("issuer.stale", detail))
        }
    };
    if change.is_some() {
        row.entry.version = row.entry.version.saturating_add(1);
        row.updated_at = now;
    }
    let mut tx = app.store.begin().await?;
    if !tx.change_issuer(seen.entry.version, &row).await? {
        tracing::debug!(
            issuer = row.entry.issuer,
            "it was changed meanwhile, and is looked at again"
        );
        return Ok(());
    }
    if let Some((action, detail)) = change {
        tracing::info!(issuer = row.entry.issuer, version = row.entry.version, %detail, "{action}");
        tell(&mut tx, app, &row, (&Actor::system(), action, detail), now).await?;
        tx.commit().await?;
        app.feed.wake();
        metrics::counter!("portcullis_issuer_key_changes_total", "action" => action).increment(1);
    } else {
        tx.commit().await?;
    }
    Ok(())
}

/// Replaces the keys; gives what changed, if anything did.
fn put(row: &mut TrustedIssuer, found: &Admitted) -> Option<serde_json::Value> {
    let binding = row.entry.binding.as_mut()?;
    if binding.keys == found.keys {
        return None;
    }
    let missing = |from: &Admitted, kid: &String| from.keys.get(kid) != binding.keys.get(kid);
    let gone: Vec<&String> = binding.keys.keys().filter(|kid| missing(found, kid)).collect();
    let come: Vec<&String> = found.keys.keys().filter(|kid| missing(found, kid)).collect();
    let detail = json!({"issuer": row.entry.issuer, "removed": gone, "added": come});
    binding.keys.clone_from(&found.keys);
    Some(detail)
}

/// What an issuer's keys may be for.
pub(super) fn algorithms(row: &TrustedIssuer) -> Vec<Algorithm> {
    let names = row.algorithms.iter();
    names.filter_map(|name| Algorithm::from_jose(name)).collect()
}

/// When to look again after an answer that may be kept for so long.
pub(super) fn next(app: &App, fresh_seconds: u64, now: UnixMillis) -> Result<UnixMillis, RandomError> {
    let bounds = &app.config.issuers;
    let most = bounds.refresh_most_seconds.max(bounds.refresh_least_seconds);
    let seconds = fresh_seconds.clamp(bounds.refresh_least_seconds, most);
    spread(app, seconds, now)
}

/// When to look again after so many failures in a row.
fn later(app: &App, failures: u64, now: UnixMillis) -> Result<UnixMillis, RandomError> {
    let bounds = &app.config.issuers;
    let doubled = 1_u64 << failures.saturating_sub(1).min(16);
    let most = bounds.refresh_most_seconds.max(bounds.refresh_least_seconds);
    let seconds = bounds.refresh_least_seconds.saturating_mul(doubled).min(most);
    spread(app, seconds, now)
}

/// Up to a tenth earlier, by chance.
fn spread(app: &App, seconds: u64, now: UnixMillis) -> Result<UnixMillis, RandomError> {
    let ms = seconds.saturating_mul(1000);
    let early = app.random.below(ms / 10 + 1)?;
    Ok(now.saturating_add(ms.saturating_sub(early)))
}
