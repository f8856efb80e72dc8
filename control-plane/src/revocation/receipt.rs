//! Receipts: who has a revocation, and from when on nobody lets the credential in.
//!
//! Edges that name their regions are waited for region by region (`hub/weur`): a region has it when it says so, or when it
//! can answer from an older state no more (see `ledger`). `effective_at` is when the last of them had it plus `bound_ms`: by then every isolate that decided
//! from a state without the revocation is past the bound of every route that denies on staleness. Strict routes need no
//! bound. Once complete, a receipt is kept: asking again gives the same one.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::time::UnixMillis;
use tokio::time::Instant;

use super::die::{self, Place};
use super::{Progress, Reach, policy};
use crate::app::App;
use crate::config::Edge;
use crate::http::time::Timestamp;
use crate::store::feed::{FeedStateRow, Peer, Position, ReceiptRow};
use crate::store::groups::Group;
use crate::store::{StoreError, uint};

/// How often the database is asked when another process publishes.
const FOREIGN_POLL: Duration = Duration::from_millis(100);
const OWN_POLL: Duration = Duration::from_secs(1);

/// What an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Until no default or strict route lets it in.
    #[default]
    Effective,
    /// Until every edge has it: from then on strict routes refuse.
    Ack,
    /// For nothing: the revocation is committed.
    None,
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "effective" => Ok(Self::Effective),
            "ack" => Ok(Self::Ack),
            "none" => Ok(Self::None),
            _ => Err("expected one of effective, ack, none".to_owned()),
        }
    }
}

/// Where a revocation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Receipt {
    /// The frame that holds it; absent for the moment before it is framed.
    pub seq: Option<u64>,
    /// The regions that have it, or can not answer without it.
    pub acknowledged: Vec<String>,
    /// The regions of which that is not known yet; an edge of which nothing is known counts as one.
    pub pending: Vec<String>,
    /// How long after the last acknowledgement a default route may still go by an older state.
    pub bound_ms: u64,
    /// From then on nobody lets it in; absent while an edge is pending.
    pub effective_at: Option<Timestamp>,
}

/// The longest that a route which denies on staleness may go by a state that an edge's hub has left behind by then.
pub(crate) fn bound_ms(app: &App, state: &FeedStateRow, at: UnixMillis) -> Result<u64, StoreError> {
    Ok(if app.config.edges.is_empty() {
        0
    } else {
        app.config
            .feed
            .colo_ttl_ms
            .saturating_add(policy::bound_ms(state, at)?)
    })
}

/// Whether an edge that stands at `theirs` has the frame at `ours`; `opening` is where the epoch after `ours` opened.
pub(super) fn has_frame(theirs: Position, ours: Position, opening: Option<u64>) -> bool {
    match theirs.epoch.cmp(&ours.epoch) {
        Ordering::Less => false,
        Ordering::Equal => theirs.seq >= ours.seq,
        // The later epochs hold what the first of them opened with.
        Ordering::Greater => opening.is_some_and(|opening| ours.seq < opening),
    }
}

/// The receipt of the revocation of `subject`, once what is waited for has happened or the configured limit has passed.
pub async fn await_receipt(app: &App, subject: &str, wait: Wait) -> Result<Receipt, StoreError> {
    let deadline = Instant::now() + Duration::from_millis(app.config.feed.receipt_wait_ms);
    let mut progress = app.feed.watch();
    loop {
        // Not in one line: the guard of a borrow may not live across an await.
        let seen = progress.borrow_and_update().clone();
        let (receipt, now) = look(app, subject, &seen).await?;
        let remaining = match (wait, receipt.effective_at) {
            (Wait::None, _) | (Wait::Ack, Some(_)) => return Ok(receipt),
            (Wait::Effective, Some(at)) => Some(Duration::from_millis(at.0.since(now))),
            (Wait::Effective | Wait::Ack, None) => None,
        };
        if let Some(remaining) = remaining {
            tokio::time::sleep_until(deadline.min(Instant::now() + remaining)).await;
            return Ok(receipt);
        }
        let poll = if app.feed.alive(now) {
            OWN_POLL
        } else {
            FOREIGN_POLL
        };
        tokio::select! {
            // An error means that the publisher is gone, which it is not while `app` is there.
            _ = progress.changed() => {}
            () = tokio::time::sleep_until(deadline.min(Instant::now() + poll)) => {}
        }
        if Instant::now() >= deadline {
            let seen = progress.borrow().clone();
            return Ok(look(app, subject, &seen).await?.0);
        }
    }
}

async fn look(app: &App, subject: &str, progress: &Progress) -> Result<(Receipt, UnixMillis), StoreError> {
    let mut tx = app.store.begin_read().await?;
    let row = tx
        .receipt(subject)
        .await?
        .ok_or(StoreError::Corrupt("receipt: there is none"))?;
    let position = tx.outbox_position(row.outbox_id).await?;
    let opening = match position {
        Some(at) => tx.opening_after(at.epoch).await?,
        None => None,
    };
    let stored = tx.peers().await?;
    let groups = if app.config.edge_groups.is_empty() {
        Vec::new()
    } else {
        tx.groups().await?
    };
    let state = tx
        .feed_state()
        .await?
        .ok_or(StoreError::Corrupt("feed: there is none"))?;
    drop(tx);
    // The time after the look, so that an acknowledgement is never dated before it came.
    let now = app.clock.now();
    if let Some(receipt) = completed(&row, position)? {
        return Ok((receipt, now));
    }
    let reached = |name: &String, is_enough: &dyn Fn(Position) -> bool| {
        let here = progress.acknowledged.get(name).map(|ack| (ack.position, ack.at));
        let there = stored
            .iter()
            .find(|peer| peer.name == *name)
            .map(|peer| (peer.position, peer.acked_at));
        let since = |known: Option<(Position, UnixMillis)>| {
            known.filter(|(theirs, _)| is_enough(*theirs)).map(|(_, at)| at)
        };
        // Either tells the truth; the earlier moment is the tighter one.
        match (since(here), since(there)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    };
    let has =
        |name: &String| position.and_then(|ours| reached(name, &|theirs| has_frame(theirs, ours, opening)));
    let reach = Reach::from_text(row.orgs.as_deref())?;
    let mut concerned = Vec::new();
    let mut left_at = None;
    for edge in &app.config.edges {
        let names = names(&edge.name, &stored);
        let past = |at: Position| {
            // Later epochs begin with the list as it was then, so positions say it all.
            let times = names.iter().map(|name| reached(name, &|theirs| theirs >= at));
            times
                .collect::<Option<Vec<_>>>()
                .and_then(|times| times.into_iter().max())
        };
        match concern(edge, &groups, &reach, past) {
            Concern::Yes => concerned.extend(names),
            Concern::SinceNotAnyMore(at) => left_at = left_at.max(Some(at)),
            Concern::No => {}
        }
    }
    let names = concerned.into_iter();
    let (acknowledged, pending): (Vec<_>, Vec<_>) = names.partition(|name| has(name).is_some());
    let mut receipt = Receipt {
        seq: position.map(|at| at.seq),
        acknowledged,
        pending,
        bound_ms: bound_ms(app, &state, now)?,
        effective_at: None,
    };
    if position.is_none() || !receipt.pending.is_empty() {
        return Ok((receipt, now));
    }
    let last = receipt
        .acknowledged
        .iter()
        .filter_map(has)
        .chain(left_at)
        .max()
        .unwrap_or(now)
        .min(now);
    // The bound when the last edge had it, not now: isolates counted from then.
    let bound = bound_ms(app, &state, last)?;
    receipt.bound_ms = bound;
    let effective_at = last.saturating_add(bound);
    let mut tx = app.store.begin().await?;
    let names = serde_json::to_string(&receipt.acknowledged).unwrap_or_default();
    if tx.complete_receipt(subject, bound, effective_at, &names).await? {
        tx.commit().await?;
        die::here(Place::AfterReceipt);
        receipt.effective_at = Some(effective_at.into());
        return Ok((receipt, now));
    }
    // Another request completed it: there is one receipt.
    let row = tx
        .receipt(subject)
        .await?
        .ok_or(StoreError::Corrupt("receipt: there is none"))?;
    Ok((completed(&row, position)?.unwrap_or(receipt), now))
}

/// Whether a revocation is an edge's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    Yes,
    /// It was, and the edge has taken since that it is not. Its isolates may not know before the bound after this.
    SinceNotAnyMore(UnixMillis),
    No,
}

/// Edges without a group admit everyone. One of a group counts while it admits somebody concerned: until it is known to have the
/// frame of the removal, which `past` tells.
fn concern(
    edge: &Edge,
    groups: &[Group],
    reach: &Reach,
    past: impl Fn(Position) -> Option<UnixMillis>,
) -> Concern {
    let Some(name) = &edge.group else {
        return Concern::Yes;
    };
    let Some(group) = groups.iter().find(|group| group.name == *name) else {
        return Concern::Yes;
    };
    if reach.includes(&group.orgs) {
        return Concern::Yes;
    }
    let former = group
        .former
        .iter()
        .filter(|(org, _)| reach.includes(&BTreeSet::from([*org])));
    former.fold(Concern::No, |so_far, (_, removed_at)| {
        match (so_far, past(*removed_at)) {
            (Concern::Yes, _) | (_, None) => Concern::Yes,
            (Concern::SinceNotAnyMore(other), Some(at)) => Concern::SinceNotAnyMore(other.max(at)),
            (Concern::No, Some(at)) => Concern::SinceNotAnyMore(at),
        }
    })
}

/// Whom a receipt waits for at an edge: the regions that are written down, by whichever instance hears from it; or else
/// itself.
pub(crate) fn names(edge: &str, stored: &[Peer]) -> BTreeSet<String> {
    let regions = stored
        .iter()
        .filter(|peer| peer.edge() == edge && !peer.region().is_empty());
    let regions: BTreeSet<String> = regions.map(|peer| peer.name.clone()).collect();
    if regions.is_empty() {
        BTreeSet::from([edge.to_owned()])
    } else {
        regions
    }
}

fn completed(row: &ReceiptRow, position: Option<Position>) -> Result<Option<Receipt>, StoreError> {
    let (Some(bound), Some(effective), Some(names)) = (row.bound_ms, row.effective_at, &row.acknowledged)
    else {
        return Ok(None);
    };
    Ok(Some(Receipt {
        seq: position.map(|at| at.seq),
        acknowledged: serde_json::from_str(names).map_err(|_| StoreError::Corrupt("receipt"))?,
        pending: Vec::new(),
        bound_ms: uint(bound, "receipt")?,
        effective_at: Some(UnixMillis(uint(effective, "receipt")?).into()),
    }))
}
