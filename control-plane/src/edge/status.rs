//! `GET /v1/edge/status`: where each region of each edge is, how long frames and canaries took, and what is wrong.
//!
//! Every administrator sees what receipts show anyway: names, places, times of the edges that admit their organisation. What is between the operator and the edges
//! (failures, refusals, clocks, keys) is for administrators of the first organisation.
//!
//! What it does not: speak for other instances. Positions and alerts are those of all, from the database; ages, lags and
//! canaries are what this process has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use shared::id::OrgId;
use shared::time::UnixMillis;
use utoipa::ToSchema;

use super::canary::{self, Summary};
use super::uplink;
use super::watch::{age_ms, lag_frames, millis};
use crate::app::App;
use crate::config::{Edge, EdgeMode};
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::time::Timestamp;
use crate::orgs;
use crate::revocation::frame;
use crate::revocation::ledger::Ledger;
use crate::revocation::receipt::{bound_ms, names};
use crate::revocation::window::Spread;
use crate::store::feed::{Peer, Position};
use crate::store::{StoreError, uint};

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EdgesStatus)]
pub struct Status {
    /// The newest frame.
    pub(super) head: Place,
    /// What receipts promise after the last acknowledgement.
    pub(super) bound_ms: u64,
    pub(super) edges: Vec<EdgeStatus>,
    pub(super) canary: CanaryStatus,
    pub(super) alerts: Vec<Alert>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedPlace)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

impl From<Position> for Place {
    fn from(Position { epoch, seq }: Position) -> Self {
        Self { epoch, seq }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EdgeStatus {
    pub(super) name: String,
    pub(super) mode: EdgeMode,
    /// The group that it belongs to; absent: it admits every organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) group: Option<String>,
    /// Whether the hub itself answered last.
    pub(super) hub: Option<bool>,
    /// Where the hub was when it last did.
    pub(super) position: Option<Place>,
    /// Since then.
    pub(super) contact_age_ms: Option<u64>,
    pub(super) last_contact: Option<Timestamp>,
    pub(super) regions: Vec<RegionStatus>,
    #[serde(flatten)]
    pub(super) operator: Option<OperatorStatus>,
}

/// For the operator alone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperatorStatus {
    pub(super) failures: u64,
    pub(super) failure: Option<String>,
    pub(super) clock_skew_ms: Option<i64>,
    pub(super) refusals: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<UplinkView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UplinkKey)]
pub(super) struct UplinkView {
    pub(super) id: String,
    pub(super) created_at: Timestamp,
    pub(super) used_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegionStatus {
    /// As in receipts.
    pub(super) name: String,
    /// Up to where it is done; absent before the first time.
    pub(super) epoch: Option<u64>,
    pub(super) seq: Option<u64>,
    /// What it says that it has itself.
    pub(super) applied: Option<Place>,
    pub(super) acknowledged_at: Option<Timestamp>,
    pub(super) lag_frames: u64,
    /// Since its hub heard from it; absent while it is idle.
    pub(super) age_ms: Option<u64>,
    /// How long it may go on without its hub, as it was said last.
    pub(super) lease_ms: Option<u64>,
    /// From a frame's commit to its acknowledgement, over an hour.
    pub(super) lag: Option<Spread>,
    pub(super) canary: Option<Summary>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CanaryStatus {
    pub(super) enabled: bool,
    pub(super) interval_seconds: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EdgeAlert)]
pub(super) struct Alert {
    pub(super) edge: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) region: String,
    pub(super) kind: String,
    pub(super) since: Timestamp,
    pub(super) detail: String,
}

/// `GET /v1/edge/status`
#[utoipa::path(
    get, path = "/v1/edge/status", tag = "edge", operation_id = "status",
    summary = "Where every edge is",
    description = "Of the edges that admit the caller's organisation: regions, how far they are, how long frames and canaries took, and \
        alerts. Failures, clocks and keys are for administrators of the first organisation.",
    responses((status = 200, description = "What is known at this moment.", body = Status)),
)]
pub async fn get(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Response, ApiError> {
    let viewer = Viewer::of(&app, caller.org).await?;
    let status = status(&app, viewer).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(status)).into_response())
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// An administrator of the first organisation.
    Operator,
    /// One of another.
    Of(OrgId),
}

impl Viewer {
    /// Somebody of this organisation.
    pub async fn of(app: &App, org: OrgId) -> Result<Self, StoreError> {
        let operator = orgs::is_operator(&mut app.store.begin_read().await?, org).await?;
        Ok(if operator { Self::Operator } else { Self::Of(org) })
    }

    /// An edge that does not admit one's organisation is nobody else's business.
    fn sees(self, app: &App, edge: &Edge) -> bool {
        match self {
            Self::Operator => true,
            Self::Of(org) => app.config.admits(edge, Some(org)),
        }
    }
}

/// What is known at this moment.
pub async fn status(app: &App, viewer: Viewer) -> Result<Status, ApiError> {
    let for_operator = viewer == Viewer::Operator;
    let mut tx = app.store.begin_read().await?;
    let state = tx
        .feed_state()
        .await?
        .ok_or(StoreError::Corrupt("feed: there is none"))?;
    let head = frame::head(&mut tx).await.map_err(ApiError::internal)?;
    let head = frame::position(head);
    let peers = tx.peers().await?;
    let rows = tx.edge_alerts().await?;
    drop(tx);
    let ledgers = app.feed.ledgers().clone();
    let mut edges = Vec::new();
    let seen = |edge: &&Edge| viewer.sees(app, edge);
    for edge in app.config.edges.iter().filter(seen) {
        let ledger = ledgers.get(&edge.name);
        let keys = if for_operator && edge.mode == EdgeMode::Pull {
            keys(app, edge).await?
        } else {
            Vec::new()
        };
        let operator = for_operator.then(|| OperatorStatus {
            failures: ledger.map_or(0, |ledger| ledger.failures),
            failure: ledger.and_then(|ledger| ledger.failure.clone()),
            clock_skew_ms: ledger.and_then(|ledger| ledger.skew_ms),
            refusals: ledger.map(|ledger| ledger.refusals.clone()).unwrap_or_default(),
            keys,
        });
        let contact = ledger.and_then(|ledger| ledger.contact);
        edges.push(EdgeStatus {
            name: edge.name.clone(),
            mode: edge.mode,
            group: edge.group.clone(),
            hub: ledger.and_then(|ledger| ledger.hub),
            position: ledger.and_then(|ledger| ledger.hub_at).map(Place::from),
            contact_age_ms: contact.map(|(at, _)| millis(app.clock.elapsed().saturating_sub(at))),
            last_contact: contact.map(|(_, at)| at.into()),
            regions: regions(app, edge, ledger, &peers, head),
            operator,
        });
    }
    let alert = |row: crate::store::edges::AlertRow| -> Result<Alert, StoreError> {
        Ok(Alert {
            since: UnixMillis(uint(row.since, "time")?).into(),
            edge: row.edge,
            region: row.region,
            kind: row.kind,
            detail: row.detail,
        })
    };
    let is_seen = |row: &crate::store::edges::AlertRow| {
        let mut edges = app.config.edges.iter();
        match edges.find(|edge| edge.name == row.edge) {
            Some(edge) => viewer.sees(app, edge),
            None => for_operator,
        }
    };
    Ok(Status {
        head: head.into(),
        bound_ms: bound_ms(app, &state, app.clock.now())?,
        edges,
        canary: CanaryStatus {
            enabled: app.config.has_canary(),
            interval_seconds: app.config.canary.interval_seconds,
        },
        alerts: rows
            .into_iter()
            .filter(is_seen)
            .map(alert)
            .collect::<Result<_, _>>()?,
    })
}

fn regions(
    app: &App,
    edge: &Edge,
    ledger: Option<&Ledger>,
    peers: &[Peer],
    head: Position,
) -> Vec<RegionStatus> {
    let progress = app.feed.watch().borrow().clone();
    let elapsed = app.clock.elapsed();
    let status = |name: String| {
        let region = name.split_once('/').map_or("", |(_, region)| region);
        let here = progress.acknowledged.get(&name).map(|ack| (ack.position, ack.at));
        let there = peers.iter().find(|peer| peer.name == name);
        let there = there.map(|peer| (peer.position, peer.acked_at));
        let done = here.max(there).filter(|(at, _)| *at != Position::default());
        let known = ledger.and_then(|ledger| ledger.regions.get(region));
        RegionStatus {
            epoch: done.map(|(at, _)| at.epoch),
            seq: done.map(|(at, _)| at.seq),
            applied: known.and_then(|known| known.applied).map(Place::from),
            acknowledged_at: done.map(|(_, at)| at.into()),
            lag_frames: lag_frames(head, done.map(|(at, _)| at)),
            age_ms: known.and_then(|known| age_ms(known.age_ms, known.reported_at, elapsed)),
            lease_ms: known
                .filter(|known| known.reported_at.is_some())
                .map(|known| known.lease_ms),
            lag: known.and_then(|known| known.lags.spread(elapsed)),
            canary: canary::summary(app, &(edge.name.clone(), region.to_owned())),
            name,
        }
    };
    names(&edge.name, peers).into_iter().map(status).collect()
}

async fn keys(app: &App, edge: &Edge) -> Result<Vec<UplinkView>, StoreError> {
    let view = |row: crate::store::edges::EdgeKeyRow| -> Result<UplinkView, StoreError> {
        let used_at = row
            .used_at
            .map(|at| uint(at, "time").map(UnixMillis))
            .transpose()?;
        Ok(UplinkView {
            id: row.id,
            created_at: UnixMillis(uint(row.created_at, "time")?).into(),
            used_at: used_at.map(Timestamp::from),
        })
    };
    uplink::list(app, &edge.name)
        .await?
        .into_iter()
        .map(view)
        .collect()
}
