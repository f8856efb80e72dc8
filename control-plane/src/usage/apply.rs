//! A parcel of records → hours, last uses and books of windows, in one transaction. Each batch counts once per isolate and
//! number, whoever brings it and however often.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::id::{KeyId, OrgId, StatusIndex};
use shared::time::UnixMillis;
use shared::usage::{Batch, Count, Holder, Record, decode};

use super::book::{Book, Verdict};
use crate::app::App;
use crate::store::usage::{HourKey, Owner, Tally, Use};
use crate::store::{StoreError, Tx};

const HOUR_MS: u64 = 3_600_000;
/// What requests are counted under that have lost their details on the way.
pub(super) const UNCOUNTED: &str = "uncounted";
/// Two who add to the same hours at once may have to take turns.
const ATTEMPTS: u32 = 5;

/// What became of a parcel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Batches and openings that were new.
    pub(super) new: u64,
    /// Those that were applied before.
    pub(super) known: u64,
    /// Those that cannot be read or make no sense: their windows stay missing.
    pub(super) unfit: u64,
    /// Requests in the new ones.
    pub(super) requests: u64,
}

/// Applies what an edge has sent.
pub(super) async fn apply(app: &App, edge: &str, records: &[Vec<u8>]) -> Result<Applied, StoreError> {
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        match apply_once(app, edge, records).await {
            Err(error) if error.is_busy() && attempts > 0 => {
                tracing::debug!(%error, "usage is applied again");
            }
            outcome => {
                if let Ok(applied) = &outcome {
                    note(edge, applied);
                }
                return outcome;
            }
        }
    }
}

async fn apply_once(app: &App, edge: &str, records: &[Vec<u8>]) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    // In the order of their isolates: so two who apply at once lock in one order.
    let mut isolates: BTreeMap<[u8; 16], Vec<Record>> = BTreeMap::new();
    for bytes in records {
        match decode(bytes) {
            Ok(record) => isolates.entry(record.isolate()).or_default().push(record),
            Err(_) => applied.unfit += 1,
        }
    }
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let mut batches = Vec::new();
    for (isolate, records) in isolates {
        let (known, ends_at) = tx.hold_isolate(edge, &isolate, now).await?;
        let before = tx.missing_windows(edge, &isolate).await?;
        let mut book = Book {
            known,
            ends_at,
            missing: before.clone(),
        };
        for record in records {
            let verdict = match &record {
                Record::Opening(opening) => book.open(opening.number, opening.from, now),
                Record::Batch(batch) => {
                    book.close(batch.number, (batch.from, batch.to), batch.next_open, now)
                }
            };
            match (verdict, record) {
                (Verdict::New, record) => {
                    applied.new += 1;
                    if let Record::Batch(batch) = record {
                        batches.push(batch);
                    }
                }
                (Verdict::Known, _) => applied.known += 1,
                (Verdict::Unfit, _) => applied.unfit += 1,
            }
        }
        tx.set_missing_windows(edge, &isolate, &before, &book.missing)
            .await?;
        tx.set_isolate(edge, &isolate, book.known, book.ends_at).await?;
    }
    let edge = app.config.edges.iter().find(|known| known.name == edge);
    let admits = |org: u64| edge.is_none_or(|edge| app.config.admits(edge, OrgId::from_u64(org)));
    applied.requests = add(&mut tx, &batches, admits, now).await?;
    tx.commit().await?;
    Ok(applied)
}

/// Adds the counts, but those of organisations that the edge does not admit: it may be somebody's own machine. Gives how many
/// requests that were.
async fn add(
    tx: &mut Tx,
    batches: &[Batch],
    admits: impl Fn(u64) -> bool,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let mut names = names(tx, batches).await?;
    names.retain(|_, name| name.org == 0 || admits(name.org));
    let mut hours: BTreeMap<HourKey, Tally> = BTreeMap::new();
    let mut uses: BTreeMap<(u64, &str), Use> = BTreeMap::new();
    let mut total = 0u64;
    for batch in batches {
        total = total.saturating_add(batch.uncounted);
        if batch.uncounted > 0 {
            let key = HourKey {
                org: 0,
                hour: within(batch.from, now).0 / HOUR_MS,
                credential: String::new(),
                class: String::new(),
                reason: UNCOUNTED.to_owned(),
                country: String::new(),
                colo: batch.colo.clone(),
            };
            tally(hours.entry(key).or_default(), batch.uncounted, batch.to);
        }
        for count in &batch.counts {
            let Some(name) = names.get(&count.holder) else {
                continue;
            };
            total = total.saturating_add(count.requests);
            let last = within(count.last, now);
            let key = HourKey {
                org: name.org,
                hour: last.0 / HOUR_MS,
                credential: name.credential.clone(),
                class: count.class.clone().unwrap_or_default(),
                reason: count.reason.clone(),
                country: count.country.clone(),
                colo: batch.colo.clone(),
            };
            tally(hours.entry(key).or_default(), count.requests, last);
            if !name.credential.is_empty() {
                let one = uses.entry((name.org, &name.credential)).or_default();
                add_use(one, count, last, name.rotated_at);
            }
        }
    }
    let hours: Vec<(&HourKey, Tally)> = hours.iter().map(|(key, tally)| (key, *tally)).collect();
    tx.add_usage_hours(&hours).await?;
    let uses: Vec<((u64, &str), Use)> = uses.into_iter().collect();
    tx.add_uses(&uses, now).await?;
    Ok(total)
}

/// An isolate's clock may be ahead, but not by hours.
fn within(at: UnixMillis, now: UnixMillis) -> UnixMillis {
    at.min(now.saturating_add(HOUR_MS))
}

fn tally(tally: &mut Tally, requests: u64, last: UnixMillis) {
    tally.requests = tally.requests.saturating_add(requests);
    tally.last = tally.last.max(last);
}

/// Whoever asks whether an old key can go must not be told so too early: a window in which it was used after its rotation counts
/// as a whole.
fn add_use(one: &mut Use, count: &Count, last: UnixMillis, rotated_at: Option<UnixMillis>) {
    if is_accepted(&count.reason) {
        one.requests = one.requests.saturating_add(count.requests);
        one.last_used = one.last_used.max(Some(last));
        if rotated_at.is_some_and(|rotated_at| last >= rotated_at) {
            one.since_rotation = one.since_rotation.saturating_add(count.requests);
        }
    } else {
        one.refused = one.refused.saturating_add(count.requests);
        one.last_refused = one.last_refused.max(Some(last));
    }
}

/// The two reasons for which a request is let in.
fn is_accepted(reason: &str) -> bool {
    matches!(reason, "allowed" | "public")
}

/// How a holder is called here.
#[derive(Clone, Debug, Default)]
struct Name {
    org: u64,
    credential: String,
    rotated_at: Option<UnixMillis>,
}

/// The names of all holders. What belongs to a key or grant of ours is told by its index, whatever the edge says of it; a token
/// that stands alone is its client's. Canaries have none.
async fn names<'a>(tx: &mut Tx, batches: &'a [Batch]) -> Result<HashMap<&'a Holder, Name>, StoreError> {
    let holders: BTreeSet<&Holder> = batches
        .iter()
        .flat_map(|batch| batch.counts.iter().map(|count| &count.holder))
        .collect();
    let index_of = |holder: &Holder| match holder {
        Holder::Key(index) | Holder::Token { index, .. } => Some(*index),
        Holder::None | Holder::Foreign { .. } => None,
    };
    let indexes: BTreeSet<StatusIndex> = holders.iter().filter_map(|holder| index_of(holder)).collect();
    let indexes: Vec<StatusIndex> = indexes.into_iter().collect();
    let owners: HashMap<StatusIndex, Owner> = tx.owners_of(&indexes).await?.into_iter().collect();
    let mut names = HashMap::new();
    for holder in holders {
        let owner = index_of(holder).and_then(|index| owners.get(&index));
        let name = match (owner, holder) {
            (Some(Owner::Key(key, org, rotated_at)), _) => Name {
                org: org.get(),
                credential: key.to_string(),
                rotated_at: *rotated_at,
            },
            (Some(Owner::Grant(grant, org)), _) => Name {
                org: org.get(),
                credential: grant.to_string(),
                rotated_at: None,
            },
            (None, Holder::None) => Name::default(),
            (None, Holder::Key(index)) => {
                if tx.is_canary(*index).await? {
                    continue;
                }
                // Ours, but this database does not know it: it may have been restored.
                Name {
                    credential: KeyId::from(*index).to_string(),
                    ..Name::default()
                }
            }
            (None, Holder::Token { org, client, .. }) => Name {
                org: org.get(),
                credential: client.clone(),
                rotated_at: None,
            },
            (None, Holder::Foreign { org, name }) => Name {
                org: org.get(),
                credential: name.clone(),
                rotated_at: None,
            },
        };
        names.insert(holder, name);
    }
    Ok(names)
}

fn note(edge: &str, applied: &Applied) {
    let count = |name: &'static str, outcome: &'static str, number: u64| {
        if number > 0 {
            metrics::counter!(name, "edge" => edge.to_owned(), "outcome" => outcome).increment(number);
        }
    };
    count("portcullis_usage_records_total", "applied", applied.new);
    count("portcullis_usage_records_total", "known", applied.known);
    count("portcullis_usage_records_total", "unfit", applied.unfit);
    metrics::counter!("portcullis_usage_requests_total", "edge" => edge.to_owned())
        .increment(applied.requests);
    if applied.unfit > 0 {
        tracing::warn!(
            edge,
            records = applied.unfit,
            "usage that cannot be read was passed over; its windows are listed as incomplete"
        );
    }
}
