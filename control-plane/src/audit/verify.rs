//! The walk along a chain: every row still says what it said when it was written, none is missing, none was put in, and the seals
//! agree.
//!
//! A walk is cut into parts, so that a call stays short however long the chain is: each part says where the next begins. First come
//! the places of the chain in order, then the rows by their time, each of which must have a place or wait for one.
//!
//! What it does not: repair anything, or say who did it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use shared::crypto::{base64url, from_base64url};
use shared::id::AuditId;

use super::chain;
use super::seal::mac_key;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::retention;
use crate::store::audit::AuditRow;
use crate::store::audit_chain::{ChainRow, CheckRow, SealHeadRow};
use crate::store::{StoreError, Tx, int};

/// Rows in one statement.
const PAGE: u32 = 500;
/// Rows in one part of a walk.
pub(super) const PART: u64 = 20_000;

/// How old a finding may be before a chain is walked again.
const CHECK_MS: i64 = 24 * 3_600_000;

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditFinding)]
pub struct Bad {
    /// At which place of the chain; absent for a row that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub position: Option<u64>,
    /// Which row, where one is there: `aud_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub entry: Option<String>,
    /// `changed`, `removed`, `inserted`, `cut_off`, `resealed`, `rolled_back` or `dropped_early`.
    pub reason: &'static str,
    /// The same in a sentence.
    pub detail: &'static str,
}

/// What a part of a walk found.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditVerification)]
pub struct Verification {
    /// Whether nothing is wrong so far.
    pub ok: bool,
    /// Whether the walk is at its end.
    pub complete: bool,
    /// The last place that is under a seal.
    pub sealed_up_to: u64,
    /// The head there, in hexadecimal digits: note it elsewhere, and ask for it later.
    pub head: Option<String>,
    /// The head of all seals, which rides in every heartbeat to the edge.
    pub audit_head: Option<String>,
    /// The last place that was looked at, in this part and those before.
    pub checked_up_to: u64,
    /// Seals that were made under a master key that was replaced since: they hold together, and prove less.
    pub unproven_seals: u64,
    /// What is wrong first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bad: Option<Bad>,
    /// Where the next part begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// Where a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// Behind this position of the chain; all places so far were sound. With the number of seals that could not be proven.
    Chain(i64, u64),
    /// Behind this row, by time.
    Rows(i64, i64, i64, u64),
}

impl Place {
    fn encode(self) -> String {
        base64url(serde_json::to_string(&self).unwrap_or_default().as_bytes())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        from_base64url(text)
            .filter(|bytes| bytes.len() <= 200)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| {
                ApiError::new(Code::InvalidCursor, "use `next` of the part before, unchanged").field("after")
            })
    }
}

struct Walk<'a> {
    app: &'a App,
    tx: Tx,
    chain: i64,
    /// How far the chain was when this part began.
    sealed: Option<SealHeadRow>,
    /// Before these times what a row leaves out was let go: the details, the addresses.
    let_go: (i64, i64),
    unproven: u64,
    left: u64,
}

/// Takes one part of the walk along a chain. `anchor`: a head of all seals, noted elsewhere, that must be found.
pub async fn verify(
    app: &App,
    chain: i64,
    cursor: Option<&str>,
    anchor: Option<&[u8; 32]>,
) -> Result<Verification, ApiError> {
    let place = cursor.map_or(Ok(Place::Chain(0, 0)), Place::decode)?;
    Ok(part(app, chain, place, anchor).await?)
}

async fn part(
    app: &App,
    chain: i64,
    place: Place,
    anchor: Option<&[u8; 32]>,
) -> Result<Verification, crate::signing::SigningError> {
    let mut tx = app.store.begin_read().await?;
    let sealed = tx.sealed_up_to(chain).await?;
    let audit_head = tx.last_seal().await?;
    let let_go = retention::let_go(&mut tx, chain).await?;
    let mut walk = Walk {
        app,
        tx,
        chain,
        sealed,
        let_go,
        unproven: 0,
        left: PART,
    };
    let (mut checked, mut bad, mut next) = (0, None, None);
    if matches!(place, Place::Chain(0, _)) {
        bad = walk.anchors(anchor).await?;
    }
    let mut at = place;
    while bad.is_none() {
        match at {
            Place::Chain(position, unproven) => {
                checked = position;
                if walk.left == 0 {
                    next = Some(at);
                    break;
                }
                walk.unproven = unproven;
                match walk.places(position).await? {
                    Step::On(position) => at = Place::Chain(position, walk.unproven),
                    Step::End => at = Place::Rows(i64::MIN, 0, position, walk.unproven),
                    Step::Bad(found) => bad = Some(found),
                }
            }
            Place::Rows(time, id, position, unproven) => {
                (checked, walk.unproven) = (position, unproven);
                if walk.left == 0 {
                    next = Some(at);
                    break;
                }
                match walk.rows((time, id)).await? {
                    RowStep::On(time, id) => at = Place::Rows(time, id, position, unproven),
                    RowStep::End => break,
                    RowStep::Bad(found) => bad = Some(found),
                }
            }
        }
    }
    let (sealed_up_to, head) = match &walk.sealed {
        Some(sealed) => (sealed.position, Some(hex::encode(&sealed.head))),
        None => (0, None),
    };
    Ok(Verification {
        ok: bad.is_none(),
        complete: next.is_none(),
        sealed_up_to: unsigned(sealed_up_to),
        head,
        audit_head: audit_head.map(|(_, head)| hex::encode(&head)),
        checked_up_to: unsigned(checked),
        unproven_seals: walk.unproven,
        bad,
        next: next.map(Place::encode),
    })
}

enum Step {
    On(i64),
    End,
    Bad(Bad),
}

enum RowStep {
    On(i64, i64),
    End,
    Bad(Bad),
}

impl Walk<'_> {
    /// What was seen of the seals before must still be there.
    async fn anchors(&mut self, anchor: Option<&[u8; 32]>) -> Result<Option<Bad>, StoreError> {
        if let Some((number, head)) = self.app.audit.seen() {
            let now = self.tx.seal(number).await?;
            if now.is_none_or(|seal| seal.head != head) {
                return Ok(Some(bad(None, None, ROLLED_BACK)));
            }
        }
        if let Some(anchor) = anchor
            && self.tx.seal_with_head(anchor).await?.is_none()
        {
            return Ok(Some(bad(None, None, ROLLED_BACK)));
        }
        Ok(None)
    }

    async fn places(&mut self, after: i64) -> Result<Step, crate::signing::SigningError> {
        let places = self.tx.chained(self.chain, after, PAGE).await?;
        let end = self.sealed.as_ref().map_or(0, |sealed| sealed.position);
        let Some(last) = places.last().map(|place| place.position) else {
            return Ok(if after < end {
                Step::Bad(bad(Some(after.saturating_add(1)), None, CUT_OFF))
            } else {
                Step::End
            });
        };
        let rows = self.tx.audit_rows_at(self.chain, after, last).await?;
        let rows: BTreeMap<i64, AuditRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        let heads = self.tx.seal_heads_at(self.chain, after, last).await?;
        let heads: BTreeMap<i64, SealHeadRow> = heads.into_iter().map(|head| (head.position, head)).collect();
        let mut before = match after {
            0 => vec![0; 32],
            _ => self.tx.chain_head(self.chain, after).await?.unwrap_or_default(),
        };
        let mut expected = after;
        for place in &places {
            expected = expected.saturating_add(1);
            if place.position != expected {
                return Ok(Step::Bad(bad(Some(expected), None, REMOVED)));
            }
            if let Some(found) = self.row_at(place, rows.get(&place.audit_id), &before) {
                return Ok(Step::Bad(found));
            }
            if let Some(head) = heads.get(&place.position)
                && head.head != place.head
            {
                return Ok(Step::Bad(bad(Some(expected), Some(place.audit_id), RESEALED)));
            }
            before.clone_from(&place.head);
        }
        let seals: BTreeSet<i64> = heads.values().map(|head| head.seal).collect();
        for number in seals {
            if !self.seal(number).await? {
                let first = heads
                    .values()
                    .find(|head| head.seal == number)
                    .map(|head| head.position);
                return Ok(Step::Bad(bad(first, None, RESEALED)));
            }
        }
        let rows = u64::try_from(places.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(rows);
        Ok(Step::On(last))
    }

    fn row_at(&self, place: &ChainRow, row: Option<&AuditRow>, before: &[u8]) -> Option<Bad> {
        let (position, id) = (Some(place.position), Some(place.audit_id));
        let Some(row) = row else {
            return Some(bad(position, id, REMOVED));
        };
        let digest = chain::row_digest(row);
        let head = chain::head(before, place.position, place.sealed_at, &digest);
        if row.chain != self.chain || head.as_slice() != place.head {
            return Some(bad(position, id, CHANGED));
        }
        let (detail, address) = chain::is_trimmed(row);
        let early = (detail && row.at >= self.let_go.0) || (address && row.at >= self.let_go.1);
        early.then(|| bad(position, id, DROPPED_EARLY))
    }

    /// Whether a seal holds what it held, and is ours.
    async fn seal(&mut self, number: i64) -> Result<bool, crate::signing::SigningError> {
        let Some(seal) = self.tx.seal(number).await? else {
            return Ok(false);
        };
        let before = match number {
            1 => vec![0; 32],
            _ => match self.tx.seal(number.saturating_sub(1)).await? {
                Some(seal) => seal.head,
                None => return Ok(false),
            },
        };
        let heads = self.tx.heads_of_seal(number).await?;
        if chain::seal(&before, number, seal.sealed_at, &heads).as_slice() != seal.head {
            return Ok(false);
        }
        let key = mac_key(&self.app.keyring)?;
        if key.number.as_slice() != seal.mac_key {
            self.unproven = self.unproven.saturating_add(1);
            return Ok(true);
        }
        Ok(hmac::verify(&key.key, &seal.head, &seal.mac).is_ok())
    }

    async fn rows(&mut self, after: (i64, i64)) -> Result<RowStep, StoreError> {
        let links = self.tx.audit_links(self.chain, after, PAGE).await?;
        for link in &links {
            let placed = link.chained.or(link.waiting);
            if placed != Some(self.chain) {
                return Ok(RowStep::Bad(bad(None, Some(link.id), INSERTED)));
            }
        }
        let rows = u64::try_from(links.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(rows);
        if let Some(last) = links.last()
            && rows == u64::from(PAGE)
        {
            return Ok(RowStep::On(last.at, last.id));
        }
        let lost = self.tx.lost_while_waiting(self.chain).await?;
        Ok(lost.map_or(RowStep::End, |id| RowStep::Bad(bad(None, Some(id), REMOVED))))
    }
}

const CHANGED: (&str, &str) = ("changed", "the row does not say what it said when it was written");
const REMOVED: (&str, &str) = ("removed", "the row that was here is gone");
const INSERTED: (&str, &str) = ("inserted", "the row was not written by the product");
const CUT_OFF: (&str, &str) = ("cut_off", "rows that were sealed are gone from the end");
const RESEALED: (&str, &str) = (
    "resealed",
    "the chain was computed anew: it is not the one that was sealed",
);
const ROLLED_BACK: (&str, &str) = (
    "rolled_back",
    "a seal that was seen before is not there: the trail was put back to an earlier state",
);
const DROPPED_EARLY: (&str, &str) = ("dropped_early", "a detail is gone that retention has not let go");

fn bad(position: Option<i64>, entry: Option<i64>, (reason, detail): (&'static str, &'static str)) -> Bad {
    Bad {
        position: position.map(unsigned),
        entry: entry
            .and_then(|id| AuditId::from_u64(unsigned(id)))
            .map(|id| id.to_string()),
        reason,
        detail,
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The job: walks along every chain once a day, says what is wrong, and notes what it found. Whichever instance comes first does it.
pub async fn check_all(app: Arc<App>) -> anyhow::Result<()> {
    let (mut chain, mut wrong) = (-1, 0u32);
    loop {
        let chains = app.store.begin_read().await?.chains(chain, 100).await?;
        let Some(last) = chains.last() else { break };
        chain = *last;
        for chain in chains {
            wrong = wrong.saturating_add(u32::from(!check(&app, chain).await?));
        }
    }
    metrics::gauge!("portcullis_audit_chains_bad").set(f64::from(wrong));
    Ok(())
}

async fn check(app: &App, chain: i64) -> anyhow::Result<bool> {
    let last = last_check(app, chain).await.ok().flatten();
    let due = int(app.clock.now().0).saturating_sub(CHECK_MS);
    if let Some(last) = last.filter(|last| last.checked_at > due) {
        return Ok(last.reason.is_none());
    }
    let mut place = Place::Chain(0, 0);
    let found = loop {
        let found = part(app, chain, place, None).await?;
        match found.next.as_deref().map(Place::decode) {
            Some(Ok(next)) => place = next,
            _ => break found,
        }
    };
    if let Some(bad) = &found.bad {
        tracing::error!(
            chain,
            position = bad.position,
            entry = bad.entry,
            reason = bad.reason,
            "the audit trail was tampered with"
        );
    }
    let row = CheckRow {
        chain,
        checked_at: int(app.clock.now().0),
        position: int(found.checked_up_to),
        bad_position: found.bad.as_ref().map(|bad| int(bad.position.unwrap_or(0))),
        reason: found.bad.as_ref().map(|bad| bad.reason.to_owned()),
    };
    let mut tx = app.store.begin().await?;
    tx.set_audit_check(&row).await?;
    tx.commit().await?;
    Ok(found.bad.is_none())
}

/// What the job found last.
pub async fn last_check(app: &App, chain: i64) -> Result<Option<CheckRow>, ApiError> {
    Ok(app.store.begin_read().await?.audit_check(chain).await?)
}
