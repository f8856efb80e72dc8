//! `portcullis backup`: one snapshot of the database into a file, while a server goes on writing.

use std::fs::File;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use shared::time::UnixMillis;

use super::BackupError;
use super::file::{Header, Writer, contents};
use crate::store::{Store, Tx};

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What is in it.
    pub header: Header,
    /// How large it is.
    pub bytes: u64,
}

/// Writes everything that is in the database at one moment into a file of mode 0600. What is there under that name stays
/// unless `force`, and until the new one is complete and on the disk.
pub async fn save(store: &Store, path: &Path, force: bool, now: UnixMillis) -> Result<Saved, BackupError> {
    let exists = || BackupError::Exists(path.display().to_string());
    if !force && path.try_exists()? {
        return Err(exists());
    }
    let draft = Draft::new(path);
    let saved = write(store, &draft.0, now).await?;
    if force {
        std::fs::rename(&draft.0, path)?;
    } else {
        // Unlike a rename this never replaces what came meanwhile.
        std::fs::hard_link(&draft.0, path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(),
            _ => error.into(),
        })?;
        std::fs::remove_file(&draft.0)?;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(saved)
}

/// A file that is not complete. Gone with this value, if it was not renamed.
struct Draft(PathBuf);

impl Draft {
    fn new(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        Self(PathBuf::from(name))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn write(store: &Store, draft: &Path, now: UnixMillis) -> Result<Saved, BackupError> {
    let mut tx = store.begin_snapshot().await?;
    let (header, tables) = describe(&mut tx, store.engine(), now).await?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    let mut writer = Writer::new(BufWriter::new(file), &header)?;
    for (place, (table, listed)) in tables.iter().zip(&header.tables).enumerate() {
        let rows = tx
            .read_rows::<BackupError>(table, async |rows| writer.rows(place, &rows))
            .await?;
        if rows != listed.rows {
            return Err(BackupError::RowsLost {
                table: table.name.clone(),
                expected: listed.rows,
                found: rows,
            });
        }
    }
    let (out, bytes) = writer.finish()?;
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(Saved { header, bytes })
}

/// What a database holds, as the header of a backup.
pub(super) async fn describe(
    tx: &mut Tx,
    engine: &str,
    now: UnixMillis,
) -> Result<(Header, Vec<crate::store::copy::Table>), BackupError> {
    let schema = tx.schema_version().await?.ok_or(BackupError::Nothing)?;
    let known = Store::latest_schema();
    if schema > known {
        return Err(BackupError::NewerSchema {
            what: "database",
            found: schema,
            known,
        });
    }
    let tables = tx.tables().await?;
    let mut listed = Vec::new();
    for table in &tables {
        let rows = tx.count_rows(&table.name).await?;
        if table.name == "installation" && rows == 0 {
            return Err(BackupError::Nothing);
        }
        let last_number = tx.last_number(table).await?;
        listed.push(contents(table, rows, last_number));
    }
    let header = Header {
        schema,
        engine: engine.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now.0,
        tables: listed,
    };
    Ok((header, tables))
}
