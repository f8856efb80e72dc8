//! Alerts: something that is promised does not hold. Each is up until it holds again: a row, so that all instances agree,
//! and one log line, one audit row (`edge.bound_broken`, `edge.bound_restored`) and a metric per change.
//!
//! What it does not: find out (`watch`, `canary` and `pull` do), or tell people.

use serde_json::json;
use shared::time::UnixMillis;

use super::Place;
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::store::edges::AlertRow;
use crate::store::{StoreError, Tx, int, uint};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A region lacks a frame for longer than the bound.
    Pending,
    /// An edge was not heard of for too long.
    Contact,
    /// A revoked canary was let in for longer than the bound.
    Canary,
    /// The edge's clock and ours differ.
    Clock,
    /// An edge that fetches knows more than this database.
    Ahead,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Contact => "contact",
            Self::Canary => "canary",
            Self::Clock => "clock",
            Self::Ahead => "ahead",
        }
    }
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) detail: String,
}

/// Raises an alert that is not up; true if it was not.
pub(crate) async fn raise(app: &App, broken: &Broken) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let (edge, region) = broken.place.clone();
    let row = AlertRow {
        edge,
        region,
        kind: broken.kind.as_str().to_owned(),
        since: int(now.0),
        detail: broken.detail.clone(),
    };
    let mut tx = app.store.begin().await?;
    if !tx.raise_edge_alert(&row).await? {
        return Ok(false);
    }
    record(&mut tx, app, &row, "edge.bound_broken", now).await?;
    tx.commit().await?;
    let AlertRow {
        edge,
        region,
        kind,
        detail,
        ..
    } = &row;
    tracing::error!(
        edge,
        region,
        kind,
        detail,
        "what is promised of an edge does not hold"
    );
    show(app, std::slice::from_ref(&row), false);
    Ok(true)
}

/// Clears an alert.
pub(crate) async fn clear(app: &App, row: &AlertRow) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !tx.clear_edge_alert(&row.edge, &row.region, &row.kind).await? {
        return Ok(false);
    }
    record(&mut tx, app, row, "edge.bound_restored", now).await?;
    tx.commit().await?;
    let lasted_ms = now.since(UnixMillis(uint(row.since, "time")?));
    let AlertRow {
        edge, region, kind, ..
    } = row;
    tracing::warn!(
        edge,
        region,
        kind,
        lasted_ms,
        "what is promised of an edge holds again"
    );
    Ok(true)
}

async fn record(
    tx: &mut Tx,
    app: &App,
    row: &AlertRow,
    action: &'static str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let event = Event {
        org: None,
        actor: &Actor::system(),
        action,
        target: crate::revocation::ledger::peer_name(&row.edge, &row.region),
        detail: json!({ "kind": row.kind, "detail": row.detail }),
    };
    audit::record(tx, &app.random, &event, now).await
}

/// Brings the metric up to date with what is up: `all` if that is everything.
pub(crate) fn show(app: &App, rows: &[AlertRow], all: bool) {
    let up = rows
        .iter()
        .map(|row| (row.edge.clone(), row.region.clone(), row.kind.clone()));
    let up: std::collections::BTreeSet<_> = up.collect();
    let mut shown = app.edges.shown();
    if all {
        for gone in shown.difference(&up) {
            gauge(gone).set(0.0);
        }
        shown.retain(|alert| up.contains(alert));
    }
    for alert in up {
        gauge(&alert).set(1.0);
        shown.insert(alert);
    }
}

fn gauge((edge, region, kind): &(String, String, String)) -> metrics::Gauge {
    metrics::gauge!("portcullis_edge_alert", "edge" => edge.clone(), "region" => region.clone(), "kind" => kind.clone())
}
