//! `portcullis restore`: a backup into an empty database, whole or not at all.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::json;
use shared::time::UnixMillis;

use super::file::{Header, Reader};
use super::{BackupError, complete, counterparts, estrange, prepare, require_empty};
use crate::audit::{self, Actor, Event};
use crate::random::Random;
use crate::store::{Store, Tx};

/// A database that was filled.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup said.
    pub header: Header,
    /// The schema now.
    pub schema: i64,
}

/// Fills an empty database. The file is read to its end before anything is touched, and once more while rows are written:
/// what does not match leaves the database empty. Afterwards nothing publishes from it until `portcullis feed take-over`.
pub async fn restore(
    store: &Store,
    path: &Path,
    random: &Random,
    now: UnixMillis,
) -> Result<Restored, BackupError> {
    let header = verify(path)?;
    prepare(store, header.schema).await?;
    let mut tx = store.begin().await?;
    fill(&mut tx, path, &header, random.bytes()?).await?;
    let current = header.schema == Store::latest_schema();
    if current {
        record(&mut tx, &header, random, now).await?;
    }
    tx.commit().await?;
    store.migrate().await?;
    if !current {
        // The trail of an old schema may lack columns.
        let mut tx = store.begin().await?;
        record(&mut tx, &header, random, now).await?;
        tx.commit().await?;
    }
    Ok(Restored {
        header,
        schema: Store::latest_schema(),
    })
}

fn open(path: &Path) -> Result<Reader<BufReader<File>>, BackupError> {
    Reader::new(BufReader::new(File::open(path)?))
}

/// Reads a backup to its end: it is whole, and has as many rows as it says.
pub(super) fn verify(path: &Path) -> Result<Header, BackupError> {
    let mut reader = open(path)?;
    let mut found = vec![0; reader.header().tables.len()];
    while let Some((table, rows)) = reader.block()? {
        if let Some(count) = found.get_mut(table) {
            *count += rows.len() as u64;
        }
    }
    let header = reader.header().clone();
    if header.tables.iter().map(|table| table.rows).ne(found) {
        return Err(BackupError::Damaged("it has not as many rows as it says"));
    }
    Ok(header)
}

async fn fill(tx: &mut Tx, path: &Path, header: &Header, incarnation: [u8; 16]) -> Result<(), BackupError> {
    // Somebody may have been faster.
    require_empty(tx).await?;
    let tables = counterparts(&tx.tables().await?, &header.tables)?;
    let references = tx.suspend_references().await?;
    let mut reader = open(path)?;
    if reader.header() != header {
        return Err(BackupError::Damaged("it is being written to"));
    }
    while let Some((place, mut rows)) = reader.block()? {
        let table = tables
            .get(place)
            .ok_or(BackupError::Damaged("a table is missing"))?;
        estrange(table, &mut rows, incarnation);
        tx.write_rows(table, &rows).await?;
    }
    complete(tx, &tables, &header.tables, references).await
}

async fn record(tx: &mut Tx, header: &Header, random: &Random, now: UnixMillis) -> Result<(), BackupError> {
    let event = Event {
        org: None,
        actor: &Actor::command_line(),
        action: "installation.restore",
        target: format!("schema {}", header.schema),
        detail: json!({"created_at": header.created_at, "engine": header.engine, "rows": header.rows()}),
    };
    Ok(audit::record(tx, random, &event, now).await?)
}
