//! Usage on the control plane's side: books of windows, parcels applied once, and what is shown.

mod api;
mod apply;
mod book;
mod guard;

use shared::id::{KeyId, OrgId, StatusIndex};
use shared::time::UnixMillis;
use shared::usage::{Batch, Count, Holder, Opening, encode, encode_opening};

use super::apply::Applied;
use super::intake::Intake;
use crate::app::App;
use crate::store::StoreError;
use crate::testing::START;

pub(super) const EDGE: &str = "hub";

pub(super) async fn apply(app: &App, edge: &str, records: &[Vec<u8>]) -> Result<Applied, StoreError> {
    let intake = Intake::read(records).expect("not too much");
    super::apply::apply(app, edge, &intake).await
}

pub(super) fn after(milliseconds: u64) -> UnixMillis {
    UnixMillis(START.0 + milliseconds)
}

/// A window of an isolate: three seconds from `number - 1` times as many.
pub(super) fn batch(isolate: u8, number: u64, next_open: bool, counts: Vec<Count>) -> Batch {
    let mut counts = counts;
    counts.sort_by(|a, b| a.key().cmp(&b.key()));
    let from = after((number - 1) * 3000);
    Batch {
        isolate: [isolate; 16],
        number,
        from,
        to: from.saturating_add(3000),
        next_open,
        uncounted: 0,
        colo: "FRA".to_owned(),
        counts,
    }
}

pub(super) fn bytes(batch: &Batch) -> Vec<u8> {
    encode(batch)
}

pub(super) fn opening(isolate: u8, number: u64) -> Vec<u8> {
    encode_opening(&Opening {
        isolate: [isolate; 16],
        number,
        from: after((number - 1) * 3000),
    })
}

pub(super) fn count(holder: Holder, reason: &str, requests: u64) -> Count {
    Count {
        holder,
        class: Some("default".to_owned()),
        reason: reason.to_owned(),
        country: "DE".to_owned(),
        requests,
        last: after(1000),
    }
}

pub(super) fn key(id: &str) -> Holder {
    let id: KeyId = id.parse().expect("a key's id");
    Holder::Key(StatusIndex::from(id))
}

pub(super) fn org(number: u64) -> OrgId {
    OrgId::from_u64(number).expect("small")
}
