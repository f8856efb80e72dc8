//! Up to when the numbers are whole, and what is missing.
//!
//! An isolate announces a window within moments of its first request, so once nothing waits at an edge, all that is not applied
//! is either in a window that we know to be open, or younger than [`LAG_MS`]. A window that has not come a while after it was
//! announced is taken for lost: it is listed as incomplete, and holds the rest up no longer. Should it come all the same, it
//! counts, and leaves the list.

use serde::Serialize;
use shared::time::UnixMillis;

use crate::app::App;
use crate::http::time::Timestamp;
use crate::store::usage::MissingOf;
use crate::store::{StoreError, Tx};

/// From a request to the moment at which its window is known of.
const LAG_MS: u64 = 5000;
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
    /// Windows of the time asked about that were announced or skipped, and have not come. At most 100.
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

/// How whole the numbers of a time are.
pub(super) async fn age(app: &App, tx: &mut Tx, from: UnixMillis, to: UnixMillis) -> Result<Age, StoreError> {
    let now = app.clock.now();
    // A window is closed and delivered within seconds of its opening.
    let grace = app.config.usage.lost_after_seconds.saturating_mul(1000);
    let grace = UnixMillis(now.0.saturating_sub(grace));
    let (earliest, open, lost) = tx.open_windows(grace).await?;
    let mut until: Option<UnixMillis> = None;
    for edge in &app.config.edges {
        let heard = app.usage.known(&edge.name).empty_at;
        let heard = heard.map(|at| UnixMillis(at.0.saturating_sub(LAG_MS)));
        let Some(edge_until) = heard.max(tx.usage_ends_at(&edge.name).await?) else {
            until = None;
            break;
        };
        until = Some(until.map_or(edge_until, |until| until.min(edge_until)));
    }
    let until = until.map(|until| earliest.map_or(until, |earliest| until.min(earliest)));
    let missing = if lost == 0 {
        Vec::new()
    } else {
        tx.all_missing_windows(from, to, MOST).await?
    };
    let incomplete = missing
        .into_iter()
        .filter(|row| row.windows.heard <= grace)
        .map(incomplete)
        .collect();
    Ok(Age {
        complete_until: until.map(Timestamp),
        open_windows: open,
        incomplete,
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
