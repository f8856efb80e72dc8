//! Asks the edges that we can reach for what waits there. Every report of an edge says how many records that are, so nothing is
//! asked in vain; the question says what is applied, and only then does the edge forget it.

use std::sync::Arc;
use std::time::Duration;

use super::apply::apply;
use super::intake::Intake;
use crate::app::App;
use crate::config::Edge;
use crate::revocation::{FeedError, collect_usage};

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Starts a task for each edge. They end with the process.
pub fn start(app: &Arc<App>) {
    for edge in app.config.pushed_edges().cloned() {
        tokio::spawn(keep_collecting(Arc::clone(app), edge));
    }
}

async fn keep_collecting(app: Arc<App>, edge: Edge) {
    let mut news = app.usage.news.subscribe();
    let mut failures: u32 = 0;
    loop {
        news.borrow_and_update();
        if app.usage.known(&edge.name).waiting > 0 {
            match drain(&app, &edge).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    metrics::counter!("portcullis_usage_failures_total", "edge" => edge.name.clone())
                        .increment(1);
                    if failures.is_power_of_two() {
                        tracing::warn!(edge = edge.name, failures, %error, "usage could not be collected; it waits at the edge");
                    }
                    let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(8));
                    tokio::time::sleep(doubled.min(MAX_BACKOFF)).await;
                    continue;
                }
            }
        }
        // An error means that the application is gone.
        if news.changed().await.is_err() {
            return;
        }
    }
}

/// Everything that waits at one edge.
pub(super) async fn drain(app: &App, edge: &Edge) -> Result<(), FeedError> {
    let mut applied = ([0; 16], 0);
    loop {
        let parcel = collect_usage(app, edge, applied).await?;
        let Some(through) = parcel.through() else {
            let waiting = super::Waiting {
                records: Some(parcel.waiting),
                refused: app.usage.known(&edge.name).refused,
            };
            app.usage.heard(&edge.name, Some(waiting), app.clock.now());
            return Ok(());
        };
        let records: Vec<Vec<u8>> = parcel.records.into_iter().map(|(_, record)| record).collect();
        let intake = Intake::read(&records).map_err(|error| FeedError::Edge(error.to_string()))?;
        while let Err(many) = app.usage.admit(&edge.name, &intake) {
            tokio::time::sleep(Duration::from_secs(many.retry_after_seconds)).await;
        }
        apply(app, &edge.name, &intake).await?;
        applied = (parcel.store, through);
    }
}
