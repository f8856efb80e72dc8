//! One edge: what it has, what it gets next. A link is a loop of contacts; a contact is one message and its answer.
//!
//! An edge is known by its head. A head that this database has written (or has taken over) tells what is missing; any
//! other head means that the edge knows more than we do, and `recover` takes that over before anything is sent.
//!
//! Where the hub did not answer, the edge gave the message to its regions itself. Then the last of those that are awake
//! decides what comes next, and the hub gets it once more when it is back.

use std::sync::Arc;

use shared::feed::{Head, join_message};
use shared::id::SigningKeyId;
use shared::time::UnixMillis;

use super::acknowledge::take_report;
use super::die::{self, Place};
use super::edge_api;
use super::frame::{Pen, head, head_of, heartbeat, position};
use super::report::Report;
use super::{FeedError, groups, incarnation, recover};
use crate::app::App;
use crate::config::Edge;
use crate::signing::{KeyState, Purpose, SigningKey};
use crate::store::feed::{FeedNo, Position};
use crate::store::{StoreError, Tx};

/// Frames in one message.
const BATCH: u32 = 128;
/// Bytes of frames in one message.
const MAX_BATCH: usize = 4 << 20;
/// An edge that makes us take over its state so often in a short time gets another publisher's frames.
const MAX_TAKEOVERS: usize = 3;
const TAKEOVER_WINDOW_MS: u64 = 10 * 60 * 1000;

/// What an edge holds, in terms of this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not asked yet.
    Unknown,
    /// Nothing.
    Empty,
    /// The current epoch up to here.
    At(Position),
    /// An older epoch, which the current one contains.
    Behind,
    /// Something that we did not write, or have lost.
    Stranger(Head),
}

/// What a contact left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to send.
    More,
    /// The edge has everything.
    UpToDate,
}

/// The publisher's side of one edge.
#[derive(Debug)]
pub(crate) struct Link {
    edge: Edge,
    standing: Standing,
    takeovers: Vec<UnixMillis>,
    /// The feed key that we had then.
    key: Option<SigningKeyId>,
}

/// What an edge gets next.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) message: Vec<u8>,
    /// Where the edge will be if it takes everything.
    pub(crate) target: Head,
    more: bool,
    bulk: bool,
}

impl Link {
    pub(crate) fn new(edge: Edge) -> Self {
        Self {
            edge,
            standing: Standing::Unknown,
            takeovers: Vec::new(),
            key: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.edge.name
    }

    /// Whether the edge knows more than this database, which the next contact takes over.
    pub(super) fn is_stranger(&self) -> bool {
        matches!(self.standing, Standing::Stranger(_))
    }

    /// Sends what is missing, or a heartbeat, and takes note of the answer.
    pub(crate) async fn contact(&mut self, app: &App) -> Result<Step, FeedError> {
        if let Standing::Stranger(theirs) = self.standing {
            self.take_over(app, theirs).await?;
        }
        let feed = groups::feed_of(&mut app.store.begin_read().await?, &self.edge).await?;
        let mut plan = plan(app, feed, &mut self.standing).await?;
        let before = self.standing;
        let has_news = matches!(before, Standing::At(at) if at < position(plan.target));
        if has_news {
            die::here(Place::BeforePush);
        }
        let answer = edge_api::push(
            &app.http,
            &self.edge.url,
            std::mem::take(&mut plan.message),
            plan.bulk,
        )
        .await
        .inspect_err(|_| {
            // It may have taken everything, or come back empty.
            self.standing = Standing::Unknown;
        })?;
        if has_news {
            die::here(Place::AfterPush);
        }
        let now = app.clock.now();
        let report = &answer.report;
        let skew = answer.date.map(|date| skew_ms(date, now));
        app.feed
            .ledger(self.name(), |ledger| ledger.skew_ms = skew.or(ledger.skew_ms));
        if !report.hub {
            return self.note_regions(app, feed, &plan, report).await;
        }
        self.standing = standing(&mut app.store.begin_read().await?, feed, report.head).await?;
        take_report(app, &self.edge, feed, report, self.standing).await?;
        let forward = match (before, self.standing) {
            (Standing::Unknown, _)
            | (_, Standing::Stranger(_))
            | (Standing::Empty | Standing::Behind, Standing::At(_)) => true,
            (Standing::At(was), Standing::At(is)) => was < is || (was == is && !plan.more),
            // Before the first frame there is nothing to hold.
            (Standing::Empty, Standing::Empty) => plan.target.seq == 0,
            _ => false,
        };
        if !forward {
            return Err(not_taken(report));
        }
        let complete = match self.standing {
            Standing::At(at) => at == position(plan.target),
            Standing::Empty => before != Standing::Unknown,
            _ => false,
        };
        Ok(if complete && !plan.more {
            Step::UpToDate
        } else {
            Step::More
        })
    }

    /// Without the hub: its regions have what they say, and nothing is known of those that are idle.
    async fn note_regions(
        &mut self,
        app: &App,
        feed: FeedNo,
        plan: &Plan,
        report: &Report,
    ) -> Result<Step, FeedError> {
        let before = self.standing;
        let lowest = take_report(app, &self.edge, feed, report, before).await?;
        let Some(lowest) = lowest else {
            self.standing = Standing::Unknown;
            return Err(FeedError::Edge(
                "the hub does not answer, and no region is awake".to_owned(),
            ));
        };
        self.standing = lowest;
        if lowest == Standing::At(position(plan.target)) && !plan.more {
            return Ok(Step::UpToDate);
        }
        if lowest == before {
            return Err(not_taken(report));
        }
        Ok(Step::More)
    }

    async fn take_over(&mut self, app: &App, theirs: Head) -> Result<(), FeedError> {
        let now = app.clock.now();
        // Whoever got in between with a stolen key is out once it was replaced: that is no reason to wait any more.
        let key = feed_key(app);
        if self.key != key {
            self.takeovers.clear();
            self.key = key;
        }
        self.takeovers.retain(|at| now.since(*at) < TAKEOVER_WINDOW_MS);
        if self.takeovers.len() >= MAX_TAKEOVERS {
            self.standing = Standing::Unknown;
            return Err(FeedError::Rival);
        }
        recover::absorb(app, &self.edge, theirs).await.inspect_err(|_| {
            // It is asked again where it is: by then it may be elsewhere.
            self.standing = Standing::Unknown;
        })?;
        self.takeovers.push(now);
        let mut tx = app.store.begin_read().await?;
        let feed = groups::feed_of(&mut tx, &self.edge).await?;
        self.standing = standing(&mut tx, feed, Some(theirs)).await?;
        Ok(())
    }
}

/// The newest that may sign.
fn feed_key(app: &App) -> Option<SigningKeyId> {
    let keys = app.keyring.all();
    let signs = |key: &&Arc<SigningKey>| key.purpose == Purpose::Feed && key.state == KeyState::Active;
    keys.iter().filter(signs).map(|key| key.id).max()
}

fn not_taken(report: &Report) -> FeedError {
    let why = if report.refused.is_empty() {
        "nothing said".to_owned()
    } else {
        report.refused.join(", ")
    };
    FeedError::Edge(format!("the edge does not take what was sent: {why}"))
}

/// How far a clock that shows whole seconds is ahead of ours.
fn skew_ms(theirs: UnixMillis, ours: UnixMillis) -> i64 {
    let middle = i64::try_from(theirs.0.saturating_add(500)).unwrap_or(i64::MAX);
    middle.saturating_sub(i64::try_from(ours.0).unwrap_or(i64::MAX))
}

/// What a head of a feed means to this database. Asked after the answer came: whatever was sent was committed before.
pub(crate) async fn standing(tx: &mut Tx, feed: FeedNo, theirs: Option<Head>) -> Result<Standing, FeedError> {
    let Some(theirs) = theirs else {
        return Ok(Standing::Empty);
    };
    let at = position(theirs);
    let written = tx
        .frame(feed, at)
        .await?
        .is_some_and(|frame| frame.digest == theirs.digest);
    let current = head(tx).await?.epoch;
    // A frame of ours that is not below the opening of the next epoch is not in its snapshot.
    let contained = written
        && tx
            .opening_after(at.epoch)
            .await?
            .is_some_and(|opening| at.seq < opening);
    Ok(if written && at.epoch == current {
        Standing::At(at)
    } else if at.epoch < current && (contained || tx.is_absorbed(at, &theirs.digest).await?) {
        Standing::Behind
    } else {
        Standing::Stranger(theirs)
    })
}

/// What comes next for an edge at this place of its feed.
pub(crate) async fn plan(app: &App, feed: FeedNo, standing: &mut Standing) -> Result<Plan, FeedError> {
    let mut tx = app.store.begin_read().await?;
    incarnation::check(&mut tx, &app.config).await?;
    let end = head_of(&mut tx, feed).await?;
    if matches!(standing, Standing::At(at) if at.epoch < end.epoch) {
        *standing = Standing::Behind;
    }
    let standing = *standing;
    let now = app.clock.now();
    let pen = match standing {
        // The edge may hold the removal of our feed key, if we have lost that. It must answer all the same.
        Standing::Unknown => Pen::borrow(&mut tx, &app.keyring, (feed, end.epoch), now).await?,
        _ => Pen::read(&mut tx, &app.keyring, (feed, end.epoch), now).await?,
    };
    let mut envelopes = Vec::new();
    let mut target = Head {
        epoch: end.epoch,
        seq: 0,
        digest: [0; 32],
    };
    let mut start = match standing {
        // Nothing but a heartbeat: its answer tells where the edge is.
        Standing::Unknown | Standing::Stranger(_) => None,
        Standing::Empty | Standing::Behind => {
            let at = Position {
                epoch: end.epoch,
                seq: 0,
            };
            Some(
                with_snapshot(&mut tx, feed, at, &mut envelopes)
                    .await?
                    .unwrap_or(at),
            )
        }
        Standing::At(at) => Some(at),
    };
    if let Some(at) = start
        && envelopes.is_empty()
    {
        let next = tx.frames_after(feed, at, 1).await?;
        if next.first().is_some_and(|frame| frame.envelope.is_none()) {
            start = with_snapshot(&mut tx, feed, at, &mut envelopes).await?;
        }
    }
    let bulk = !envelopes.is_empty();
    let mut more = start.is_none();
    if let Some(start) = start {
        target.seq = start.seq;
        let mut size: usize = 0;
        for frame in tx.frames_after(feed, start, BATCH).await? {
            let Some(envelope) = frame.envelope else { break };
            if size > MAX_BATCH {
                break;
            }
            size += envelope.len();
            target.seq = frame.seq.unsigned_abs();
            envelopes.push(envelope);
        }
        more = target.seq < end.seq;
    }
    if !more || start.is_none() {
        envelopes.push(heartbeat(&mut tx, &pen, end, now).await?);
        target = if start.is_some() { end } else { target };
    }
    Ok(Plan {
        message: join_message(envelopes.iter().map(Vec::as_slice)),
        target,
        more,
        bulk,
    })
}

/// Puts the newest snapshot of the epoch first, if it is past a place; gives where it stands.
async fn with_snapshot(
    tx: &mut Tx,
    feed: FeedNo,
    after: Position,
    envelopes: &mut Vec<Vec<u8>>,
) -> Result<Option<Position>, StoreError> {
    let newest = tx.last_snapshot(feed).await?.map(|(at, _)| at);
    let Some(at) = newest.filter(|at| at.epoch == after.epoch && at.seq > after.seq) else {
        return Ok(None);
    };
    envelopes.push(tx.snapshot(feed, at).await?);
    Ok(Some(at))
}
