//! One list: read from the database, packed and signed off the async threads, kept until something changes.
//!
//! A list is made anew when the feed or the outbox has moved, at most once a second, and in any case after `ttl`: then it is dated
//! anew. Whoever asks meanwhile waits for the one that is being made.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use shared::crypto::{base64url, sha256};
use shared::id::StatusIndex;
use shared::time::UnixMillis;
use tokio::sync::Mutex;

use super::bits::{Bits, Status};
use crate::app::App;
use crate::oauth::jws::{self, Type};
use crate::signing::{Purpose, SigningError};
use crate::store::status_lists::Mark;

/// Valid, invalid, suspended.
const WIDTH: u8 = 2;
/// A flood of revocations does not make every question a new list.
const LEAST_AGE_MS: u64 = 1000;
/// So many lists are kept: as many as are in use, and more.
const CAPACITY: usize = 64;

/// The lists that were made lately.
#[derive(Debug, Default)]
pub struct Lists(Mutex<BTreeMap<u64, Arc<Made>>>);

/// A signed list.
#[derive(Debug)]
pub(super) struct Made {
    /// The JWT.
    pub(super) token: String,
    /// Strong: it is the digest of the text.
    pub(super) etag: String,
    mark: Mark,
    at: UnixMillis,
}

/// The list of this number; `None` if there is none, or it is retired.
pub(super) async fn list(app: &App, number: u64) -> Result<Option<Arc<Made>>, SigningError> {
    let Some(start) = number
        .checked_mul(StatusIndex::LIST_LENGTH)
        .and_then(StatusIndex::from_u64)
    else {
        return Ok(None);
    };
    // Held while one is made: a crowd makes it once.
    let mut lists = app.status_lists.0.lock().await;
    let now = app.clock.now();
    let age = lists.get(&number).map(|made| now.since(made.at));
    if let Some(made) = lists.get(&number)
        && age.is_some_and(|age| age < LEAST_AGE_MS)
    {
        return Ok(Some(Arc::clone(made)));
    }
    let mut tx = app.store.begin_read().await?;
    if !tx.has_status_list(start, now.seconds()).await? {
        lists.remove(&number);
        return Ok(None);
    }
    let mark = tx.status_mark().await?;
    if let Some(made) = lists.get(&number)
        && made.mark == mark
        && age.is_some_and(|age| age < app.config.status_lists.effective_ttl_seconds() * 1000)
    {
        return Ok(Some(Arc::clone(made)));
    }
    let (first, end) = (start.get(), start.get().saturating_add(StatusIndex::LIST_LENGTH));
    let suspended = tx.suspended_indexes(first, end).await?;
    let dead = tx.dead_indexes(first, end, now.seconds()).await?;
    let signer = app.keyring.signer(&mut tx, Purpose::AccessToken).await?;
    drop(tx);
    let uri = format!("{}/status-lists/{number}", app.config.issuer);
    let (issuer, limits) = (app.config.issuer.clone(), app.config.status_lists.clone());
    let token = tokio::task::spawn_blocking(move || {
        let mut bits = Bits::new(WIDTH, StatusIndex::LIST_LENGTH);
        // What is dead is not merely suspended.
        for (indexes, status) in [(suspended, Status::Suspended), (dead, Status::Invalid)] {
            for index in indexes {
                bits.set(index.saturating_sub(first), status as u8);
            }
        }
        let iat = now.seconds();
        let claims = json!({
            "iss": issuer,
            "sub": uri,
            "iat": iat,
            "exp": iat.saturating_add(limits.expires_seconds),
            "ttl": limits.effective_ttl_seconds(),
            "status_list": { "bits": WIDTH, "lst": bits.encode() },
        });
        jws::sign(Type::StatusList, &claims, &signer)
    });
    let token = token.await.map_err(|_| SigningError::Interrupted)??;
    metrics::counter!("portcullis_status_lists_made_total").increment(1);
    let made = Arc::new(Made {
        etag: format!("\"{}\"", base64url(&sha256(token.as_bytes()))),
        token,
        mark,
        at: now,
    });
    if lists.len() >= CAPACITY && !lists.contains_key(&number) {
        let oldest = lists
            .iter()
            .min_by_key(|(_, made)| made.at)
            .map(|(number, _)| *number);
        oldest.and_then(|number| lists.remove(&number));
    }
    lists.insert(number, Arc::clone(&made));
    Ok(Some(made))
}

/// The URIs of all lists (draft §9: aggregation).
pub(super) async fn all(app: &App) -> Result<Vec<String>, SigningError> {
    let mut tx = app.store.begin_read().await?;
    let starts = tx.status_lists(app.clock.now().seconds()).await?;
    let uri = |start| {
        format!(
            "{}/status-lists/{}",
            app.config.issuer,
            start / StatusIndex::LIST_LENGTH
        )
    };
    Ok(starts.into_iter().map(uri).collect())
}
