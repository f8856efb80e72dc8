//! The end of many credentials in the caller's transaction: bits, outbox, receipt, the row that remembers it, audit.

use serde::Serialize;
use serde_json::{Value, json};
use shared::feed::{Entry, Subject};
use shared::id::{LIMIT, OrgId, RevocationId, StatusIndex};
use shared::time::{UnixMillis, UnixSeconds};

use super::Why;
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::ApiError;
use crate::http::time::Timestamp;
use crate::revocation::{self, Reach, Receipt, Wait};
use crate::store::revocations::{Counts, GrantsWhere, KeysWhere, Mark, RevocationRow};
use crate::store::{StoreError, Tx};

/// An edge's clock may be behind ours by so much: what ended so recently by itself is revoked too.
const SKEW_SECONDS: u64 = 120;
/// So many ids stand in the audit row itself; all of them are found by the revocation's number.
const IDS_IN_AUDIT: usize = 1000;

/// The answer to a revocation, in the shape of that of a key.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RevocationReceipt {
    /// What was revoked, by the name that the caller gave it; of a revocation of all that match: its own id.
    pub id: String,
    /// Its id: which credentials it ended is found under it.
    #[schema(value_type = String, example = "rev_000000001")]
    pub revocation: RevocationId,
    /// When the revocation was committed.
    pub revoked_at: Timestamp,
    /// Why, in the words of RFC 5280 §5.3.1.
    pub reason: String,
    /// Why, in other words.
    pub comment: Option<String>,
    /// What it ended.
    pub revoked: Counts,
    /// Who has it, and when nobody lets any of it in any more.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// A connection that was let in before may stay open until then; absent while an edge is pending.
    pub open_connections_until: Option<Timestamp>,
}

/// What to end.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) keys: Option<KeysWhere>,
    pub(super) grants: Option<GrantsWhere>,
    /// Indexes that none of these has.
    pub(super) indexes: Vec<StatusIndex>,
    /// Told to the edge before the bits: they work at once, however many bits there are.
    pub(super) entries: Vec<Entry>,
    pub(super) sessions: u64,
    /// Whether the bits are told, too. Not where one entry stands for everything there is.
    pub(super) without_bits: bool,
}

/// How it is remembered.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) org: Option<OrgId>,
    /// What was revoked, in one text.
    pub(super) subject: String,
    pub(super) filter: Option<Value>,
    pub(super) action: &'static str,
    pub(super) target: String,
    pub(super) why: Why<'a>,
}

/// The moment from which on credentials count as alive, for keys.
pub(super) fn live_at(now: UnixMillis) -> UnixSeconds {
    now.seconds().saturating_sub(SKEW_SECONDS)
}

/// The same for grants, whose tokens may outlive them.
pub(super) fn live_grants_at(app: &App, now: UnixMillis) -> UnixSeconds {
    live_at(now).saturating_sub(app.config.tokens.access_seconds)
}

/// Ends it all. After the commit, wake the feed; the receipt's subject is the id of the row.
pub(super) async fn write(
    tx: &mut Tx,
    app: &App,
    scope: Scope,
    record: Record<'_>,
    now: UnixMillis,
) -> Result<RevocationRow, StoreError> {
    let id = RevocationId::from_u64(app.random.below(LIMIT)?).ok_or(StoreError::Corrupt("revocation id"))?;
    let name = id.to_string();
    let why = &record.why;
    let mark = Mark {
        revocation: id,
        at: now,
        reason: why.reason.as_str(),
        by: why.actor.who.clone(),
    };
    let mut told: Option<(i64, Reach)> = None;
    for entry in &scope.entries {
        let reach = Reach::of_entry(tx, &app.config, entry).await?;
        let outbox = revocation::enqueue(tx, &reach, &name, entry, now).await?;
        told = Some(with(told, (outbox, reach)));
    }
    // 1. Bits.
    let mut counts = Counts {
        sessions: scope.sessions,
        ..Counts::default()
    };
    let mut indexes = scope.indexes;
    if let Some(keys) = &scope.keys {
        let ended = tx.revoke_keys_where(keys, &mark).await?;
        counts.keys = ended.len() as u64;
        indexes.extend(ended);
    }
    if let Some(grants) = &scope.grants {
        let (ended, of_grants) = tx.revoke_grants_where(grants, &mark).await?;
        counts.grants = ended;
        indexes.extend(of_grants);
        let tokens = tx.revoke_tokens_where(grants, now).await?;
        counts.tokens = tokens.len() as u64;
        indexes.extend(tokens);
    }
    if !scope.without_bits {
        let bits = revocation::enqueue_revoked(tx, &name, indexes, now).await?;
        told = bits.map(|bits| with(told.clone(), bits)).or(told);
    }
    if let (None, Some(org)) = (&told, record.org) {
        // Nothing that the edge does not know: it is told again what it knows of the organisation.
        let at = tx.org_not_before(org).await?.unwrap_or_default();
        let entry = Entry::NotBefore(Subject::Org(org), at);
        let outbox = revocation::enqueue(tx, &org.into(), &name, &entry, now).await?;
        told = Some((outbox, org.into()));
    }
    // 2. The receipt is that of the last row: among committed rows the frames follow the numbers.
    let (outbox, reach) = told.ok_or(StoreError::Corrupt("revocation: it ends nothing"))?;
    tx.stamp_revoked_keys(id, outbox).await?;
    tx.insert_receipt(&name, now, outbox).await?;
    // It waits for the edges of all whom one of the rows concerns.
    tx.set_receipt_orgs(&name, reach.to_text().as_deref()).await?;
    let row = RevocationRow {
        id,
        org: record.org,
        subject: record.subject,
        reason: why.reason.as_str().to_owned(),
        comment: why.comment.map(str::to_owned),
        filter: record.filter.as_ref().map(Value::to_string),
        by: mark.by,
        at: now,
        outbox,
        counts,
    };
    tx.insert_revocation(&row).await?;
    // 3. One audit row.
    let mut detail = why.detail();
    detail["revocation"] = json!(id);
    detail["revoked"] = json!(counts);
    if let Some(filter) = record.filter {
        detail["filter"] = filter;
    }
    let (ids, complete) = ids(tx, id, counts).await?;
    detail["ids"] = ids.into();
    detail["ids_complete"] = complete.into();
    let event = Event {
        org: record.org,
        actor: why.actor,
        action: record.action,
        target: record.target,
        detail,
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(row)
}

/// The later row, and whom both concern.
fn with(before: Option<(i64, Reach)>, (outbox, reach): (i64, Reach)) -> (i64, Reach) {
    match before {
        Some((_, others)) => (outbox, others.and(reach)),
        None => (outbox, reach),
    }
}

/// The ids that fit into an audit row, and whether those are all.
async fn ids(tx: &mut Tx, id: RevocationId, counts: Counts) -> Result<(Vec<String>, bool), StoreError> {
    let limit = u32::try_from(IDS_IN_AUDIT).unwrap_or(u32::MAX);
    let keys = tx.keys_of_revocation(id, 0, limit).await?;
    let grants = tx.grants_of_revocation(id, 0, limit).await?;
    let mut ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
    ids.extend(grants.iter().map(ToString::to_string));
    ids.truncate(IDS_IN_AUDIT);
    let complete = ids.len() as u64 == counts.keys.saturating_add(counts.grants);
    Ok((ids, complete))
}

/// What a committed revocation counts.
pub(super) fn announce(app: &App, counts: Counts) {
    app.feed.wake();
    metrics::counter!("portcullis_api_keys_revoked_total").increment(counts.keys);
    metrics::counter!("portcullis_grants_revoked_total", "reason" => "asked").increment(counts.grants);
}

/// The receipt of a revocation that is committed, once what is waited for has happened or the limit has passed.
pub(super) async fn receipt(
    app: &App,
    name: String,
    row: RevocationRow,
    wait: Wait,
) -> Result<RevocationReceipt, ApiError> {
    let receipt = revocation::await_receipt(app, &row.id.to_string(), wait).await?;
    let open_connections_until = until(app, &receipt);
    Ok(RevocationReceipt {
        id: name,
        revocation: row.id,
        revoked_at: row.at.into(),
        reason: row.reason,
        comment: row.comment,
        revoked: row.counts,
        receipt,
        open_connections_until,
    })
}

/// How long connections that were let in before may stay open.
pub(super) fn until(app: &App, receipt: &Receipt) -> Option<Timestamp> {
    let lifetime_ms = app.policy().max_connection_seconds().saturating_mul(1000);
    receipt
        .effective_at
        .map(|at| at.0.saturating_add(lifetime_ms).into())
}
