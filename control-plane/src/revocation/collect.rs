//! The signed question for usage: who may fetch the feed may fetch this.

use shared::feed::EnvelopeType;
use shared::usage::{Collect, Parcel};

use super::edge_api;
use super::frame::{self, Pen};
use super::{FeedError, groups, incarnation, pinned};
use crate::app::App;
use crate::config::Edge;

/// Asks an edge for the next parcel. `applied`: the store that the last one came from, and up to where it is applied.
pub(crate) async fn collect_usage(
    app: &App,
    edge: &Edge,
    applied: ([u8; 16], u64),
) -> Result<Parcel, FeedError> {
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    // Whoever is a copy must not make an edge forget anything.
    incarnation::check(&mut tx, &app.config).await?;
    let number = groups::feed_of(&mut tx, edge).await?;
    let feed = pinned(&mut tx, &app.keyring, number).await?.feed;
    let epoch = frame::head(&mut tx).await?.epoch;
    let pen = Pen::borrow(&mut tx, &app.keyring, (number, epoch), now).await?;
    drop(tx);
    let (store, through) = applied;
    let question = Collect {
        feed,
        store,
        through,
        time: now,
    };
    let question = pen.sign(EnvelopeType::Collect, &question.encode())?;
    let body = edge_api::collect(&app.http, &edge.url, question).await?;
    Parcel::decode(&body).map_err(|_| FeedError::Edge("the edge answered with no parcel of usage".to_owned()))
}
