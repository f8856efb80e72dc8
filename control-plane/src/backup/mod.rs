//! The whole database into one file, out of one, and from one engine to the other.
//!
//! | file | does |
//! | --- | --- |
//! | `file` | the format of a backup |
//! | `save` | `portcullis backup`: one snapshot into a file, beside a running server |
//! | `load` | `portcullis restore`: a file into an empty database |
//! | `transfer` | `portcullis move`: one database into another, and the end of the first |
//!
//! A table list is read from the schema each time, so that a new table cannot be forgotten. No copy that is made here
//! publishes by itself: it gets an incarnation that no file names (see `revocation::incarnation`). A database that was moved
//! refuses every write from the moment on in which the other one is complete.
//!
//! What it does not: copy the master key or the incarnation file. Without the master key a backup opens no private key.

mod file;
mod load;
mod save;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt::Write as _;

use crate::store::copy::{Row, Table, Value};
use crate::store::{Store, StoreError, Tx};

pub use file::{Contents, Header};
pub use load::{Restored, restore};
pub use save::{Saved, save};
pub use transfer::{Moved, transfer};

/// Why there is no backup, or no database from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error("cannot read or write the backup: {0}")]
    File(#[from] std::io::Error),
    /// Something is there already.
    #[error("{0} exists: give another name, or --force to replace it")]
    Exists(String),
    /// Another kind of file.
    #[error("this is not a backup of portcullis")]
    NotABackup,
    /// Written by a later program.
    #[error(
        "this backup has format {0}, which this version does not know: use the version that made it, or a later one"
    )]
    UnknownFormat(u16),
    /// Of a schema that this program does not know.
    #[error(
        "the {what} has schema {found}, this version knows only those up to {known}: use the version that made it, or a later one"
    )]
    NewerSchema {
        /// Backup or database.
        what: &'static str,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Cut off, or altered.
    #[error("the backup is damaged: {0}. Nothing was restored; take another one")]
    Damaged(&'static str),
    /// No format holds it.
    #[error("a {0} is too large for a backup")]
    TooLarge(&'static str),
    /// Nothing to copy.
    #[error("this database is not set up, so there is nothing in it to copy")]
    Nothing,
    /// The target has something.
    #[error("the database is not empty: {0}. Give one that is new")]
    NotEmpty(String),
    /// Tables or columns differ, though the version is the same.
    #[error("table {0} has other columns here than in the source: is this another program's database?")]
    OtherColumns(String),
    /// Rows were lost on the way.
    #[error("table {table} has {found} rows and should have {expected}: nothing was kept")]
    RowsLost {
        /// Which.
        table: String,
        /// In the source.
        expected: u64,
        /// In the copy.
        found: u64,
    },
    /// It has moved before.
    #[error("this database was moved to {0} before")]
    AlreadyMoved(String),
    /// From and to are one.
    #[error("this is the database that is configured already")]
    Same,
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] crate::random::RandomError),
    /// The incarnation file.
    #[error(transparent)]
    Feed(#[from] crate::revocation::FeedError),
}

/// Refuses a database that has anything in it, and says what.
async fn require_empty(tx: &mut Tx) -> Result<(), BackupError> {
    let mut found = Vec::new();
    for table in tx.tables().await.map_err(foreign)? {
        match tx.count_rows(&table.name).await? {
            0 => {}
            1 => found.push(format!("1 row in {}", table.name)),
            rows => found.push(format!("{rows} rows in {}", table.name)),
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(5);
    found.truncate(5);
    let mut text = found.join(", ");
    if more > 0 {
        let _ = write!(text, ", and {more} more tables");
    }
    Err(BackupError::NotEmpty(text))
}

/// A column of a type that we never use.
fn foreign(error: StoreError) -> BackupError {
    match error {
        StoreError::Corrupt(_) => BackupError::NotEmpty("it has tables of another program".to_owned()),
        error => error.into(),
    }
}

/// Brings an empty database to a version, ready to be filled.
async fn prepare(store: &Store, schema: i64) -> Result<(), BackupError> {
    let known = Store::latest_schema();
    if schema > known {
        return Err(BackupError::NewerSchema {
            what: "backup",
            found: schema,
            known,
        });
    }
    let mut tx = store.begin_read().await?;
    let present = tx.schema_version().await?;
    require_empty(&mut tx).await?;
    drop(tx);
    if present.is_some_and(|present| present > schema) {
        return Err(BackupError::NotEmpty(
            "it has a newer schema than the source".to_owned(),
        ));
    }
    store.migrate_to(schema).await?;
    Ok(())
}

/// The table here into which one of the source goes: with its columns, in the source's order.
fn counterpart(tables: &[Table], source: &Contents) -> Result<Table, BackupError> {
    let other = || BackupError::OtherColumns(source.name.clone());
    let here = tables
        .iter()
        .find(|table| table.name == source.name)
        .ok_or_else(other)?;
    let sorted = |table: &[crate::store::copy::Column]| {
        let mut columns = table.to_vec();
        columns.sort();
        columns
    };
    if sorted(&here.columns) != sorted(&source.columns) {
        return Err(other());
    }
    Ok(Table {
        columns: source.columns.clone(),
        ..here.clone()
    })
}

/// Every table of the source has one here, and the other way round.
fn counterparts(tables: &[Table], sources: &[Contents]) -> Result<Vec<Table>, BackupError> {
    if let Some(more) = tables
        .iter()
        .find(|table| !sources.iter().any(|source| source.name == table.name))
    {
        return Err(BackupError::OtherColumns(more.name.clone()));
    }
    sources.iter().map(|source| counterpart(tables, source)).collect()
}

/// What a copy is called until somebody makes it the one that publishes: a number that no file names.
fn estrange(table: &Table, rows: &mut [Row], incarnation: [u8; 16]) {
    if table.name != "installation" {
        return;
    }
    for row in rows {
        for (column, value) in table.columns.iter().zip(row) {
            match column.name.as_str() {
                "incarnation" => *value = Value::Bytes(incarnation.to_vec()),
                "moved_at" | "moved_to" => *value = Value::Null,
                _ => {}
            }
        }
    }
}

/// After the last row: numbers go on where they were, references hold, and nothing is missing.
async fn complete(
    tx: &mut Tx,
    tables: &[Table],
    sources: &[Contents],
    references: Vec<crate::store::copy::Reference>,
) -> Result<(), BackupError> {
    for (table, source) in tables.iter().zip(sources) {
        if let Some(last) = source.last_number {
            tx.number_after(table, last).await?;
        }
        let found = tx.count_rows(&table.name).await?;
        if found != source.rows {
            return Err(BackupError::RowsLost {
                table: table.name.clone(),
                expected: source.rows,
                found,
            });
        }
    }
    tx.resume_references(references).await?;
    Ok(())
}
