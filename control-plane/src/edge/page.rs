//! `/dashboard/edge`: how far each region of each edge is, what revocations take to get there, and what is wrong.
//!
//! The part that changes is a fragment of its own, which a script asks for every few seconds; without one the page is what it was
//! when it was opened.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use shared::policy::OnStale;

use super::canary::{Outcome, Summary};
use super::status::{EdgeStatus, RegionStatus, Status, Viewer, status};
use crate::app::App;
use crate::config::EdgeMode;
use crate::dashboard::chart::grouped;
use crate::dashboard::{Shell, Visit, refused};
use crate::pages::Moment;
use crate::revocation::window::Spread;
use crate::sessions::Instead;

#[derive(Template)]
#[template(path = "dashboard/edge.html")]
struct EdgePage {
    shell: Shell,
    live: String,
    routes: Vec<RouteLine>,
    bound_ms: u64,
}

/// What a route does with an old list.
struct RouteLine {
    number: u64,
    path: String,
    staleness: String,
    on_stale: String,
}

/// The part that changes.
#[derive(Template)]
#[template(path = "dashboard/edge_live.html")]
struct Live {
    seq: u64,
    epoch: u64,
    edges: Vec<EdgeLine>,
    alerts: Vec<AlertLine>,
    canaries: bool,
    canary_seconds: u64,
    looked: Moment,
}

struct AlertLine {
    place: String,
    kind: String,
    since: Moment,
    detail: String,
}

struct EdgeLine {
    name: String,
    mode: &'static str,
    group: Option<String>,
    /// Tone and word of how it is.
    tone: &'static str,
    state: String,
    heard: String,
    position: String,
    usage: String,
    failure: Option<String>,
    clock: Option<String>,
    regions: Vec<RegionLine>,
}

struct RegionLine {
    name: String,
    tone: &'static str,
    state: String,
    seq: String,
    heard: String,
    /// In the middle, and the rest.
    lag: (String, String),
    /// Time from a canary's revocation to its 401, likewise.
    canary: (String, String),
    canary_tone: &'static str,
}

/// `GET /dashboard/edge`.
pub async fn get(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let seen = look(&app, &visit).await?;
    let live = Live::of(&app, &seen);
    let policy = app.policy();
    let guarded = policy.routes().iter().filter(|route| !route.route.public);
    let routes = guarded.map(|route| RouteLine {
        number: route.number,
        path: route.route.path.clone(),
        staleness: if route.route.strict {
            "strict: asked each time".to_owned()
        } else {
            format!("{} ms", route.max_staleness_ms)
        },
        on_stale: match route.route.on_stale {
            OnStale::Deny => "refuses with 503".to_owned(),
            OnStale::AllowForSeconds(seconds) => format!("goes on for {seconds} s"),
        },
    });
    Ok(visit.page(&EdgePage {
        shell: visit.shell(),
        live: live.render().unwrap_or_default(),
        routes: routes.collect(),
        bound_ms: seen.bound_ms,
    }))
}

/// `GET /dashboard/edge/live`.
pub async fn live(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let seen = look(&app, &visit).await?;
    Ok(visit.page(&Live::of(&app, &seen)))
}

async fn look(app: &App, visit: &Visit) -> Result<Status, Instead> {
    let viewer = Viewer::of(app, visit.caller.org).await?;
    status(app, viewer).await.map_err(refused)
}

impl Live {
    fn of(app: &App, status: &Status) -> Self {
        let alerts = status.alerts.iter().map(|alert| AlertLine {
            place: if alert.region.is_empty() {
                alert.edge.clone()
            } else {
                format!("{}/{}", alert.edge, alert.region)
            },
            kind: alert.kind.clone(),
            since: alert.since.0.into(),
            detail: alert.detail.clone(),
        });
        Self {
            seq: status.head.seq,
            epoch: status.head.epoch,
            edges: status.edges.iter().map(|edge| EdgeLine::of(app, edge)).collect(),
            alerts: alerts.collect(),
            canaries: status.canary.enabled,
            canary_seconds: status.canary.interval_seconds,
            looked: app.clock.now().into(),
        }
    }
}

impl EdgeLine {
    fn of(app: &App, edge: &EdgeStatus) -> Self {
        let behind = edge.regions.iter().filter(|region| region.lag_frames > 0).count();
        let (tone, state) = match (edge.contact_age_ms, edge.hub, behind) {
            (None, ..) => ("bad", "not heard of yet".to_owned()),
            (_, _, 0) => ("good", "up to date".to_owned()),
            (_, _, n) => ("warn", format!("{n} behind")),
        };
        let known = app.usage.waiting(&edge.name);
        let usage = match known {
            (0, Some(at)) => format!("counted up to {} ago", ago(app.clock.now().since(at))),
            (waiting, Some(at)) => format!(
                "{waiting} records wait; counted up to {} ago",
                ago(app.clock.now().since(at))
            ),
            (0, None) => "nothing heard yet".to_owned(),
            (waiting, None) => format!("{waiting} records wait"),
        };
        let operator = edge.operator.as_ref();
        Self {
            name: edge.name.clone(),
            mode: match edge.mode {
                EdgeMode::Pull => "fetches the feed",
                EdgeMode::Push => "is pushed to",
            },
            group: edge.group.clone(),
            tone,
            state,
            heard: edge
                .contact_age_ms
                .map_or_else(|| "never".to_owned(), |age| format!("{} ago", ago(age))),
            position: edge.position.as_ref().map_or_else(
                || "–".to_owned(),
                |at| format!("{} in epoch {}", at.seq, at.epoch),
            ),
            usage,
            failure: operator.and_then(|seen| seen.failure.clone()),
            clock: operator
                .and_then(|seen| seen.clock_skew_ms)
                .map(|skew| format!("{skew} ms off ours")),
            regions: edge.regions.iter().map(RegionLine::of).collect(),
        }
    }
}

impl RegionLine {
    fn of(region: &RegionStatus) -> Self {
        let (tone, state) = region_state(region);
        let (canary_tone, canary) = canary(region.canary.as_ref());
        Self {
            name: region.name.clone(),
            tone,
            state,
            seq: region.seq.map_or_else(|| "–".to_owned(), |seq| seq.to_string()),
            heard: region
                .age_ms
                .map_or_else(|| "idle".to_owned(), |age| format!("{} ago", ago(age))),
            lag: region.lag.map_or_else(
                || ("nothing lately".to_owned(), String::new()),
                |lag| spread(&lag),
            ),
            canary,
            canary_tone,
        }
    }
}

/// Tone and words of what a region has.
pub(super) fn region_state(region: &RegionStatus) -> (&'static str, String) {
    match (region.seq, region.lag_frames) {
        (None, _) => ("bad", "has nothing yet".to_owned()),
        (_, 0) => ("good", "has everything".to_owned()),
        (_, 1) => ("warn", "lacks a frame".to_owned()),
        (_, n) => ("warn", format!("lacks {n} frames")),
    }
}

fn canary(summary: Option<&Summary>) -> (&'static str, (String, String)) {
    let Some(summary) = summary else {
        return ("plain", ("none yet".to_owned(), String::new()));
    };
    let times = summary
        .time_to_401
        .map_or_else(|| (String::new(), String::new()), |times| spread(&times));
    let with = |words: &str| {
        (
            words.to_owned(),
            format!("{} {}", times.0, times.1).trim().to_owned(),
        )
    };
    match summary.outcome {
        Outcome::InTime => ("good", times),
        Outcome::TooLong => ("bad", with("let in for too long")),
        other => ("warn", with(&other.as_str().replace('_', " "))),
    }
}

/// The middle, and what else is to be known.
fn spread(spread: &Spread) -> (String, String) {
    (
        format!("{} ms", grouped(spread.p50_ms)),
        format!(
            "99 % within {} ms, last {} ms",
            grouped(spread.p99_ms),
            grouped(spread.last_ms)
        ),
    )
}

/// A duration in the unit that people would choose.
pub(super) fn ago(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::ago;

    #[test]
    fn durations_are_readable() {
        let texts = [0, 999, 1_000, 119_999, 120_000, 7_200_000].map(ago);
        assert_eq!(texts, ["0 ms", "999 ms", "1 s", "119 s", "2 min", "2 h"]);
    }
}
