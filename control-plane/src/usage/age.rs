//! Up to when an organisation's numbers are whole, and what is missing: as far as the edges go that admit it. What other edges say,
//! or do not say, is nothing to it.
//!
//! An isolate announces a window within moments of its first request, so once nothing waits at an edge, all that is not applied
//! is either in a window that we know to be open, or younger than [`LAG_MS`]. A window that has not come a while after it was
//! announced is taken for lost: it is listed as incomplete, and holds the rest up no longer. Should it come all the same, it
//! counts, and leaves the list. One that is announced long after it began is listed at once: it would hold up what others
//! brought long ago.

use serde::Serialize;
use shared::id::OrgId;
use shared::time::UnixMillis;

use crate::app::App;
use crate::http::time::Timestamp;
use crate::store::usage::{Lost, MissingOf};
use crate::store::{StoreError, Tx};

/// From a request to the moment at which its window is known of.
const LAG_MS: u64 = 5000;
/// From a window's beginning to its announcement, with some minutes in which nothing could be delivered.
const LATE_MS: u64 = 10 * 60_000;
/// Windows in one answer.
const MOST: u32 = 100;

/// How whole the numbers are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = UsageAge)]
pub(super) struct Age {
    /// Everything before is counted, but for `incomplete`; absent: nothing was heard of yet.
    pub(super) complete_until: Option<Timestamp>,
    /// Windows that are open now.
    pub(super) open_windows: u64,
    /// Windows of the time asked about that were announced or skipped, and have not come. The newest 100.
    pub(super) incomplete: Vec<Incomplete>,
}

/// Windows that have not come.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = IncompleteUsage)]
pub(super) struct Incomplete {
    /// The edge.
    edge: String,
    /// Which of its isolates, hexadecimal.
    isolate: String,
    /// Numbers of the first and the last of them.
    first: u64,
    /// The last of them.
    last: u64,
    /// The earliest moment that may be in them.
    from: Timestamp,
}

/// How whole the numbers of a time are: those of an organisation, or nobody's.
pub(super) async fn age(
    app: &App,
    tx: &mut Tx,
    org: Option<OrgId>,
    time: (UnixMillis, UnixMillis),
) -> Result<Age, StoreError> {
    let now = app.clock.now();
    // A window is closed and delivered within seconds of its opening.
    let grace = app.config.usage.lost_after_seconds.saturating_mul(1000);
    let lost = Lost {
        heard: UnixMillis(now.0.saturating_sub(grace)),
        late_ms: LATE_MS,
    };
    // Every edge counts requests without a credential.
    let edges = app.config.edges.iter();
    let edges = edges.filter(|edge| org.is_none() || app.config.admits(edge, org));
    let edges: Vec<&str> = edges.map(|edge| edge.name.as_str()).collect();
    let (earliest, open) = tx.open_windows(&edges, lost).await?;
    let mut until: Option<UnixMillis> = None;
    for edge in &edges {
        let heard = app.usage.known(edge).empty_at;
        let heard = heard.map(|at| UnixMillis(at.0.saturating_sub(LAG_MS)));
        let Some(edge_until) = heard.max(tx.usage_ends_at(edge).await?) else {
            until = None;
            break;
        };
        // An isolate's clock may be ahead.
        let edge_until = edge_until.min(now);
        until = Some(until.map_or(edge_until, |until| until.min(edge_until)));
    }
    let until = until.map(|until| earliest.map_or(until, |earliest| until.min(earliest)));
    let incomplete = tx.lost_windows(&edges, time, lost, MOST).await?;
    Ok(Age {
        complete_until: until.map(Timestamp),
        open_windows: open,
        incomplete: incomplete.into_iter().map(self::incomplete).collect(),
    })
}

fn incomplete(row: MissingOf) -> Incomplete {
    Incomplete {
        edge: row.edge,
        isolate: hex::encode(&row.isolate),
        first: row.windows.first,
        last: row.windows.last,
        from: row.windows.from.into(),
    }
}
