//! The planned replacement of the root: announce, tell every edge, go over.
//!
//! An edge pins the root in its configuration, so it has to be told by whoever deploys it: first both keys, then, when this
//! is done, the new one alone. Going over opens a new epoch: its certificate and every issuing key in its snapshot are signed
//! by the new root. No credential notices.
//!
//! What it does not: help against somebody who has the old root. They can speak to every edge that still pins it: there only
//! a new feed helps (`keys master lost`).

use shared::feed::State;

use super::frame::{self, Pen, head};
use super::recover::{Opening, open_epoch};
use super::{FeedError, edge_api, groups, incarnation, snapshot};
use crate::app::App;
use crate::audit::Actor;
use crate::config::Edge;
use crate::signing::{self, SigningKey};
use crate::store::Tx;
use crate::store::feed::FeedNo;

/// Makes the next root; [`trust`](super::trust) tells of both from now on. Harmless if it was done before.
pub async fn announce_root(app: &App, actor: &Actor) -> Result<(), FeedError> {
    let mut tx = app.store.begin().await?;
    signing::announce_root(&mut tx, &app.keyring, &app.random, actor, app.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// Goes over to the announced root; gives the new epoch. Refused while an edge does not trust it, unless `unchecked`.
pub async fn replace_root(app: &App, unchecked: bool, actor: &Actor) -> Result<u64, FeedError> {
    let _one_at_a_time = app.feed.0.recovery.lock().await;
    let mut tx = app.store.begin_read().await?;
    incarnation::check(&mut tx, &app.config).await?;
    app.keyring.reload(&mut tx).await?;
    drop(tx);
    let new = signing::pending_root(&app.keyring).ok_or(FeedError::NoNewRoot)?;
    if !unchecked {
        for edge in &app.config.edges {
            ask(app, edge, &new).await?;
        }
    }
    // What waits was signed by the old root: it goes out before.
    while frame::frame_pending(&app.store, &app.keyring, app.clock.now())
        .await?
        .is_some()
    {}
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    frame::lock(&mut tx).await?;
    if tx.pending_count().await? > 0 {
        return Err(FeedError::Contended);
    }
    let own = snapshot::rebuild(&mut tx, &app.keyring, FeedNo::ALL).await?;
    let groups = groups::own_states(&mut tx, &app.keyring).await?;
    signing::switch_root(&mut tx, &app.keyring, &app.random, &new, actor, now).await?;
    let ours = head(&mut tx).await?;
    let opening = Opening {
        state: signed_anew(&mut tx, own.state(), &new).await?,
        // Signed anew as they are opened.
        groups,
        epoch: ours.epoch + 1,
        seq: ours.seq + 1,
        from: ours.epoch,
    };
    open_epoch(&mut tx, app, opening, actor, "feed.rotate_root").await?;
    let committed = tx.commit().await;
    // After a failure the ring must not hold what is not in the database.
    app.keyring.reload(&mut app.store.begin_read().await?).await?;
    committed?;
    app.feed.wake();
    Ok(ours.epoch + 1)
}

/// Whether an edge takes what this root vouches for: a heartbeat, which changes nothing.
async fn ask(app: &App, edge: &Edge, root: &SigningKey) -> Result<(), FeedError> {
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let feed = groups::feed_of(&mut tx, edge).await?;
    let at = frame::head_of(&mut tx, feed).await?;
    let pen = Pen::borrow_under(&mut tx, &app.keyring, root, (feed, at.epoch), now).await?;
    let beat = frame::heartbeat(&mut tx, &pen, at, now).await?;
    drop(tx);
    let refused = |problem: String| FeedError::RootNotTaken {
        edge: edge.name.clone(),
        problem,
    };
    let message = shared::feed::join_message([beat.as_slice()]);
    let answer = edge_api::push(&app.http, &edge.url, message, false)
        .await
        .map_err(|error| refused(error.to_string()))?;
    match answer
        .report
        .refused
        .iter()
        .find(|code| *code == "bad_certificate")
    {
        Some(code) => Err(refused(code.clone())),
        None => Ok(()),
    }
}

/// The same state, with our issuing keys under the new root.
async fn signed_anew(tx: &mut Tx, state: &State, root: &SigningKey) -> Result<State, FeedError> {
    let feed = signing::feed_id(tx).await?;
    let mut fresh = State::default();
    for entry in state.entries() {
        fresh.join(groups::vouch(feed, root, entry)?);
    }
    Ok(fresh)
}
