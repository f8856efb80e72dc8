//! Edges from the operator's side, against the same edge in Rust that the publisher is tested with.

mod alerts;
mod canary;
mod fetch;
mod keys;
mod status;

use std::sync::Arc;

use crate::app::App;
use crate::revocation;
use crate::revocation::tests::{Hub, Region, head};
use crate::store::audit::AuditRow;
use crate::testing::eventually;

/// Starts the publisher, and waits until the edge has everything.
async fn start(app: &Arc<App>, hub: &Hub) {
    revocation::start(Arc::clone(app));
    eventually(async || hub.position() == Some(head(app).await)).await;
    eventually(async || {
        let at = head(app).await;
        let ledgers = app.feed.ledgers();
        !ledgers.is_empty() && !ledgers.values().any(|ledger| ledger.is_pending(at))
    })
    .await;
}

fn regions(hub: &Hub, regions: &[Region]) {
    hub.with(|shelf| shelf.regions = regions.to_vec());
}

fn region(hub: &Hub, name: &str, change: impl FnOnce(&mut Region)) {
    hub.with(|shelf| {
        let region = shelf.regions.iter_mut().find(|region| region.name == name);
        change(region.expect("there is one"));
    });
}

async fn audit(app: &App, target: &str) -> Vec<AuditRow> {
    let mut tx = app.store.begin_read().await.expect("tx");
    tx.audit_of(target, 50).await.expect("rows")
}

/// In the order of their names: the clock stands still.
async fn actions(app: &App, target: &str) -> Vec<String> {
    let mut actions: Vec<_> = audit(app, target)
        .await
        .into_iter()
        .map(|row| row.action)
        .collect();
    actions.sort();
    actions
}

/// Region, kind.
async fn alerts(app: &App) -> Vec<(String, String)> {
    let rows = app
        .store
        .begin_read()
        .await
        .expect("tx")
        .edge_alerts()
        .await
        .expect("list");
    rows.into_iter().map(|row| (row.region, row.kind)).collect()
}
