//! What holders revoked at the edge while we did not answer: "this is mine, and somebody else has it". The edge refuses
//! these credentials already; here they become revocations like any other, each in a transaction of its own.
//!
//! What it does not: undo anything, or ask who says so. An edge may only restrict, and only what it names; one of a group only
//! what belongs to the organisations that it admits: it may be another customer's machine.

use serde_json::json;
use shared::feed::Entry;
use shared::id::{KeyId, StatusIndex};
use shared::time::UnixMillis;

use super::{Reach, enqueue};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::Edge;
use crate::keys::Reason;
use crate::store::keys::Revoked;
use crate::store::{StoreError, Tx};

/// What became of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Revoked,
    /// By somebody else, or before.
    Known,
    /// No credential of ours.
    Unknown,
    /// Of an organisation that the edge does not admit.
    Foreign,
}

/// Revokes what these indexes stand for.
pub(super) async fn revoke(app: &App, configured: &Edge, indexes: &[StatusIndex]) -> Result<(), StoreError> {
    let edge = configured.name.as_str();
    let fresh: Vec<StatusIndex> = app.feed.ledger(edge, |ledger| ledger.new_local(indexes));
    let mut changed = false;
    for index in fresh {
        let outcome = revoke_one(app, configured, index).await?;
        let word = match outcome {
            Outcome::Revoked => "revoked",
            Outcome::Known => "known",
            Outcome::Unknown => "unknown",
            Outcome::Foreign => "foreign",
        };
        metrics::counter!("portcullis_edge_self_revocations_total", "edge" => edge.to_owned(), "outcome" => word)
            .increment(1);
        changed |= outcome == Outcome::Revoked;
        // Only what is committed is not asked again.
        app.feed.ledger(edge, |ledger| ledger.handled_local(index));
    }
    if changed {
        app.feed.wake();
    }
    Ok(())
}

async fn revoke_one(app: &App, edge: &Edge, index: StatusIndex) -> Result<Outcome, StoreError> {
    let actor = Actor {
        who: format!("edge:{}", edge.name),
        credential: None,
        request_id: None,
    };
    // Whatever an edge lists, only what is there and alive is worth a turn to write.
    let mut tx = app.store.begin_read().await?;
    let is_live = match tx.key(index.into()).await? {
        Some(key) => Some(key.revoked.is_none()),
        None => tx.index_is_live(index).await?,
    };
    let org = tx.org_of_index(index).await?;
    drop(tx);
    if !app.config.admits(edge, org) {
        return Ok(Outcome::Foreign);
    }
    match is_live {
        None => return Ok(Outcome::Unknown),
        Some(false) => return Ok(Outcome::Known),
        Some(true) => {}
    }
    let mut tx = app.store.begin().await?;
    let outcome = if tx.key(index.into()).await?.is_some() {
        end_key(&mut tx, app, index.into(), &actor).await?
    } else if tx.grant_of_index(index).await?.is_some() {
        end_grant(&mut tx, app, index, &actor).await?
    } else {
        end_index(&mut tx, app, index, &actor).await?
    };
    if outcome == Outcome::Revoked {
        tx.commit().await?;
    }
    Ok(outcome)
}

/// The key alone: its line is for those to end who may manage it.
async fn end_key(tx: &mut Tx, app: &App, id: KeyId, actor: &Actor) -> Result<Outcome, StoreError> {
    if !tx.hold_unrevoked(id).await? {
        return Ok(Outcome::Known);
    }
    let now = app.clock.now();
    let subject = id.to_string();
    let org = tx.key(id).await?.map(|key| key.org);
    let outbox = enqueue(tx, &org.into(), &subject, &Entry::revoked(id.into()), now).await?;
    let revoked = Revoked {
        at: now,
        reason: Reason::KeyCompromise.as_str().to_owned(),
        by: actor.who.clone(),
        outbox,
    };
    if !tx.revoke_key(id, &revoked).await? {
        return Ok(Outcome::Known);
    }
    tx.insert_receipt(&subject, now, outbox).await?;
    let event = Event {
        org,
        actor,
        action: "api_key.self_revoke",
        target: subject,
        detail: json!({ "reason": Reason::KeyCompromise }),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(Outcome::Revoked)
}

/// The whole grant: an access token shares its index with the others of its family.
async fn end_grant(tx: &mut Tx, app: &App, index: StatusIndex, actor: &Actor) -> Result<Outcome, StoreError> {
    let now = app.clock.now();
    let Some(id) = tx.grant_of_index(index).await? else {
        return Ok(Outcome::Unknown);
    };
    if !tx.revoke_grant(id, Reason::KeyCompromise.as_str(), now).await? {
        return Ok(Outcome::Known);
    }
    let subject = id.to_string();
    let grant = tx.grant(id).await?.ok_or(StoreError::Corrupt("grant"))?;
    let reach = Reach::from(grant.terms.org);
    let mut last = None;
    for index in tx.indexes_of_grant(id).await? {
        tx.revoke_index(index, now).await?;
        last = Some(enqueue(tx, &reach, &subject, &Entry::revoked(index), now).await?);
    }
    let outbox = last.ok_or(StoreError::Corrupt("grant: it has no index"))?;
    tx.insert_receipt(&subject, now, outbox).await?;
    let event = Event {
        org: Some(grant.terms.org),
        actor,
        action: "grant.self_revoke",
        target: subject,
        detail: json!({
            "reason": Reason::KeyCompromise,
            "client_id": grant.terms.client,
            "user": grant.terms.user,
        }),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(Outcome::Revoked)
}

/// A token that stands alone, by client_credentials or for an identity assertion.
async fn end_index(tx: &mut Tx, app: &App, index: StatusIndex, actor: &Actor) -> Result<Outcome, StoreError> {
    let now: UnixMillis = app.clock.now();
    // Nobody holds one but us.
    if tx.is_canary(index).await? {
        return Ok(Outcome::Unknown);
    }
    match tx.index_is_live(index).await? {
        None => return Ok(Outcome::Unknown),
        Some(false) => return Ok(Outcome::Known),
        Some(true) => {}
    }
    if !tx.revoke_index(index, now).await? {
        return Ok(Outcome::Known);
    }
    let subject = format!("index:{}", index.get());
    let org = tx.org_of_index(index).await?;
    let outbox = enqueue(tx, &org.into(), &subject, &Entry::revoked(index), now).await?;
    tx.insert_receipt(&subject, now, outbox).await?;
    let event = Event {
        org,
        actor,
        action: "access_token.self_revoke",
        target: subject,
        detail: json!({ "reason": Reason::KeyCompromise }),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(Outcome::Revoked)
}
