//! `portcullis move`: one database into another, of the same engine or the other, beside a running server.
//!
//! While rows are copied everybody may read the source, and nobody may write to it. Steps, and what a crash after each
//! leaves:
//!
//! 1. The target is filled and committed, under an incarnation that no file names. Crash: two complete databases; the source
//!    is the one that publishes, and writes go on. The target is not empty and must be made again.
//! 2. The source is marked as moved and refuses every write. Crash: nobody publishes, nothing is lost; on the target
//!    `portcullis feed take-over`.
//! 3. The target gets the incarnation of the source, which the file names: it publishes, in the same epoch.

use serde_json::json;
use shared::time::UnixMillis;

use super::save::describe;
use super::{BackupError, Header, complete, counterparts, estrange, prepare, require_empty};
use crate::audit::{self, Actor, Event};
use crate::random::Random;
use crate::store::{Store, StoreError, Tx};

/// A database that was moved.
#[derive(Clone, Debug)]
pub struct Moved {
    /// What was moved.
    pub header: Header,
    /// The incarnation, which came along.
    pub incarnation: [u8; 16],
}

/// Copies everything from one database to an empty one, and ends the first. `to` is what the first says about where it went:
/// no secret.
pub async fn transfer(
    source: &Store,
    target: &Store,
    to: &str,
    random: &Random,
    now: UnixMillis,
) -> Result<Moved, BackupError> {
    source.migrate().await?;
    let mut from = source.begin().await?;
    from.lock_for_reading_only().await?;
    if let Some(place) = from.moved_to().await? {
        return Err(BackupError::AlreadyMoved(place));
    }
    // In the source before it is copied, so that both have it.
    record(&mut from, to, random, now).await?;
    let (header, tables) = describe(&mut from, source.engine(), now).await?;
    let incarnation = from.incarnation().await?.ok_or(BackupError::Nothing)?;
    prepare(target, header.schema).await?;
    let mut into = target.begin().await?;
    require_empty(&mut into).await?;
    let copies = counterparts(&into.tables().await?, &header.tables)?;
    let references = into.suspend_references().await?;
    let stranger: [u8; 16] = random.bytes()?;
    for (table, copy) in tables.iter().zip(&copies) {
        from.read_rows::<BackupError>(table, async |mut rows| {
            estrange(copy, &mut rows, stranger);
            Ok(into.write_rows(copy, &rows).await?)
        })
        .await?;
    }
    complete(&mut into, &copies, &header.tables, references).await?;
    into.commit().await?;
    // The target is complete. From here on there is one that takes writes: none, then the target.
    seal(from, to, now).await?;
    let mut into = target.begin().await?;
    into.set_incarnation(incarnation).await?;
    into.commit().await?;
    Ok(Moved { header, incarnation })
}

async fn seal(mut from: Tx, to: &str, now: UnixMillis) -> Result<(), StoreError> {
    from.mark_moved(to, now).await?;
    from.refuse_writes().await?;
    from.commit().await
}

async fn record(tx: &mut Tx, to: &str, random: &Random, now: UnixMillis) -> Result<(), BackupError> {
    let event = Event {
        org: None,
        actor: &Actor::command_line(),
        action: "installation.move",
        target: to.to_owned(),
        detail: json!({}),
    };
    Ok(audit::record(tx, random, &event, now).await?)
}
