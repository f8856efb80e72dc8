//! A parcel of records → hours, last uses and books of windows. Each batch counts once per isolate and number, whoever brings it
//! and however often.
//!
//! A record is a unit: it counts in one transaction with its window's entry in the book. A parcel is applied in portions, each a
//! short transaction, so that a large one does not hold up others who write, and what is applied stays so if the rest fails. Whose
//! the counts are is looked up before.

use std::collections::{BTreeMap, HashMap};

use shared::time::UnixMillis;
use shared::usage::{Batch, Count, Holder, Record};

use super::book::{Book, Verdict};
use super::intake::{Intake, rows_of};
use super::names::{Name, Source};
use crate::app::App;
use crate::store::usage::{HourKey, Tally, Use};
use crate::store::{StoreError, Tx};

const HOUR_MS: u64 = 3_600_000;
/// What requests are counted under that have lost their details on the way.
pub(super) const UNCOUNTED: &str = "uncounted";
/// Two who add to the same hours at once may have to take turns.
const ATTEMPTS: u32 = 5;
/// Rows in one transaction, unless a single record has more.
const PORTION: usize = 2000;

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

impl Applied {
    fn add(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.unfit += other.unfit;
        self.requests = self.requests.saturating_add(other.requests);
    }
}

/// Applies what an edge has sent.
pub(super) async fn apply(app: &App, edge: &str, intake: &Intake) -> Result<Applied, StoreError> {
    // In the order of their isolates: so two who apply at once lock in one order.
    let mut records: Vec<&Record> = intake.records.iter().collect();
    records.sort_by_key(|record| record.isolate());
    let mut all = Applied {
        unfit: intake.unfit,
        ..Applied::default()
    };
    note(edge, &all);
    for portion in portions(&records) {
        let applied = apply_portion(app, edge, portion).await?;
        note(edge, &applied);
        all.add(applied);
    }
    Ok(all)
}

/// Cuts records into runs of about so many rows.
pub(super) fn portions<'a, 'b>(mut records: &'b [&'a Record]) -> Vec<&'b [&'a Record]> {
    let mut portions = Vec::new();
    while !records.is_empty() {
        let mut rows = 0;
        let more = records.iter().take_while(|record| {
            rows += rows_of(record);
            rows <= PORTION
        });
        let (portion, rest) = records.split_at(more.count().max(1));
        portions.push(portion);
        records = rest;
    }
    portions
}

async fn apply_portion(app: &App, edge: &str, records: &[&Record]) -> Result<Applied, StoreError> {
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        match apply_once(app, edge, records).await {
            Err(error) if error.is_busy() && attempts > 0 => {
                tracing::debug!(%error, "usage is applied again");
            }
            outcome => return outcome,
        }
    }
}

async fn apply_once(app: &App, edge: &str, records: &[&Record]) -> Result<Applied, StoreError> {
    let source = Source::new(&app.config, edge);
    let batches: Vec<&Batch> = records.iter().filter_map(|record| batch_of(record)).collect();
    let mut tx = app.store.begin_read().await?;
    let names = source.names(&mut tx, &batches).await?;
    drop(tx);
    let now = app.clock.now();
    let mut applied = Applied::default();
    let mut new = Vec::new();
    let mut tx = app.store.begin().await?;
    for records in records.chunk_by(|a, b| a.isolate() == b.isolate()) {
        let Some(isolate) = records.first().map(|record| record.isolate()) else {
            continue;
        };
        let (known, ends_at) = tx.hold_isolate(edge, &isolate, now).await?;
        let before = tx.missing_windows(edge, &isolate).await?;
        let mut book = Book {
            known,
            ends_at,
            missing: before.clone(),
        };
        for record in records {
            let verdict = match record {
                Record::Opening(opening) => book.open(opening.number, opening.from, now),
                Record::Batch(batch) => {
                    book.close(batch.number, (batch.from, batch.to), batch.next_open, now)
                }
            };
            match verdict {
                Verdict::New => {
                    applied.new += 1;
                    new.extend(batch_of(record));
                }
                Verdict::Known => applied.known += 1,
                Verdict::Unfit => applied.unfit += 1,
            }
        }
        tx.set_missing_windows(edge, &isolate, &before, &book.missing)
            .await?;
        tx.set_isolate(edge, &isolate, book.known, book.ends_at).await?;
    }
    applied.requests = add(&mut tx, source, (&new, &names), now).await?;
    tx.commit().await?;
    Ok(applied)
}

fn batch_of(record: &Record) -> Option<&Batch> {
    match record {
        Record::Opening(_) => None,
        Record::Batch(batch) => Some(batch),
    }
}

/// Adds the counts of those who have a name. Gives how many requests that were.
async fn add(
    tx: &mut Tx,
    source: Source<'_>,
    (batches, names): (&[&Batch], &HashMap<&Holder, Name>),
    now: UnixMillis,
) -> Result<u64, StoreError> {
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
            tally(
                hours.entry(source.place(key)).or_default(),
                batch.uncounted,
                batch.to,
            );
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
            tally(hours.entry(source.place(key)).or_default(), count.requests, last);
            if name.org != 0 {
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
