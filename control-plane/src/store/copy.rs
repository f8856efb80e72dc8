//! Whole tables, row by row, between databases of either engine: what backup, restore and move are made of.
//!
//! What it does: read from the catalogue which tables and columns there are, stream rows out and write them in, put
//! references and sequences right, lock and seal a database that moves. Besides `mod.rs` this is the only file that asks
//! which engine it is, because every catalogue is another. What it does not: know what a table means, or any file.

use std::ops::AsyncFnMut;

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use super::{
    POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS, SqliteTx, Store, StoreError, Tx, on_db, rows_affected, uint,
};

/// Rows are handed on when they have about so many bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// At most so many rows come at once.
const BATCH_ROWS: usize = 500;
/// SQLite takes 32,766 parameters in one statement.
const MAX_PARAMETERS: usize = 30_000;
/// What the triggers of a database that was moved say. [`StoreError::is_moved`] looks for it.
pub(super) const MOVED: &str = "portcullis: this database was moved";
/// How long a move waits for writers, as PostgreSQL reads it.
const LOCK_TIMEOUT: &str = "30s";

/// What a column holds: both engines have nothing else (rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole number.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

/// What is in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    fn size(&self) -> usize {
        match self {
            Self::Null | Self::Int(_) => 9,
            Self::Text(text) => text.len() + 5,
            Self::Bytes(bytes) => bytes.len() + 5,
        }
    }
}

/// The fields of a row, in the order of the table's columns.
pub type Row = Vec<Value>;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order in which rows are read and written.
    pub columns: Vec<Column>,
    /// The column that the database numbers itself.
    pub numbered: Option<String>,
}

/// A foreign key of PostgreSQL, as the statement that makes it again.
#[derive(Clone, Debug)]
pub struct Reference(String);

/// `"name"`, for a statement that is put together.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

impl Table {
    fn column_list(&self) -> String {
        list(self.columns.iter().map(|column| quoted(&column.name)))
    }
}

/// The rows of one statement, handed on in batches, on one driver.
macro_rules! stream {
    ($conn:expr, $sql:expr, $table:expr, $take:expr) => {{
        use sqlx::Row as _;
        let mut rows = sqlx::query(AssertSqlSafe($sql)).fetch($conn);
        let mut batch: Vec<Row> = Vec::new();
        let (mut bytes, mut total): (usize, u64) = (0, 0);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let mut fields = Vec::with_capacity($table.columns.len());
            for (place, column) in $table.columns.iter().enumerate() {
                let value = match column.kind {
                    Kind::Int => row.try_get::<Option<i64>, _>(place).map(|v| v.map(Value::Int)),
                    Kind::Text => row
                        .try_get::<Option<String>, _>(place)
                        .map(|v| v.map(Value::Text)),
                    Kind::Bytes => row
                        .try_get::<Option<Vec<u8>>, _>(place)
                        .map(|v| v.map(Value::Bytes)),
                };
                let value = value.map_err(StoreError::from)?.unwrap_or(Value::Null);
                bytes += value.size();
                fields.push(value);
            }
            batch.push(fields);
            total += 1;
            if bytes >= BATCH_BYTES || batch.len() >= BATCH_ROWS {
                $take(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            $take(batch).await?;
        }
        Ok(total)
    }};
}

/// Binds every field of some rows, on one driver.
macro_rules! bound {
    ($sql:expr, $table:expr, $rows:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql));
        for row in $rows {
            for (column, value) in $table.columns.iter().zip(row) {
                query = match (column.kind, value) {
                    (Kind::Int, Value::Int(number)) => query.bind(Some(*number)),
                    (Kind::Int, _) => query.bind(None::<i64>),
                    (Kind::Text, Value::Text(text)) => query.bind(Some(text.as_str())),
                    (Kind::Text, _) => query.bind(None::<&str>),
                    (Kind::Bytes, Value::Bytes(bytes)) => query.bind(Some(bytes.as_slice())),
                    (Kind::Bytes, _) => query.bind(None::<&[u8]>),
                };
            }
        }
        query
    }};
}

impl Store {
    /// The newest schema that this program knows.
    pub fn latest_schema() -> i64 {
        SQLITE_MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
    }

    /// Brings the schema to a version, not further.
    pub async fn migrate_to(&self, version: i64) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(pool, _) => SQLITE_MIGRATIONS.run_to(version, pool).await?,
            Self::Postgres(pool) => POSTGRES_MIGRATIONS.run_to(version, pool).await?,
        }
        Ok(())
    }

    /// A transaction in which everything is as it was at its first look, whatever others write meanwhile.
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            // In WAL mode a deferred transaction that only reads is one.
            Self::Sqlite(pool, _) => Tx::Sqlite(SqliteTx::new(pool.begin().await?, None)),
            Self::Postgres(pool) => Tx::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?,
            ),
        })
    }

    /// `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite(..) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl Tx {
    /// Every table of ours, by name: those that are there, so that none is ever forgotten.
    pub async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let mut tables = Vec::new();
        for name in self.table_names().await? {
            let (columns, numbered): (Vec<(String, String)>, Option<String>) = match self {
                Self::Sqlite(tx) => {
                    let columns = sqlx::query_as("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
                        .bind(&name)
                        .fetch_all(&mut **tx)
                        .await?;
                    let numbered = sqlx::query_scalar(
                        "SELECT name FROM pragma_table_info($1) WHERE pk = 1 AND EXISTS
                           (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1 AND sql LIKE '%AUTOINCREMENT%')",
                    )
                    .bind(&name)
                    .fetch_optional(&mut **tx)
                    .await?;
                    (columns, numbered)
                }
                Self::Postgres(tx) => {
                    let rows: Vec<(String, String, String)> = sqlx::query_as(
                        "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(is_identity AS TEXT)
                         FROM information_schema.columns
                         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
                    )
                    .bind(&name)
                    .fetch_all(&mut **tx)
                    .await?;
                    let numbered = rows.iter().find(|row| row.2 == "YES").map(|row| row.0.clone());
                    (rows.into_iter().map(|row| (row.0, row.1)).collect(), numbered)
                }
            };
            let columns = columns
                .into_iter()
                .map(|(name, declared)| {
                    Some(Column {
                        kind: kind(&declared)?,
                        name,
                    })
                })
                .collect::<Option<Vec<_>>>()
                .ok_or(StoreError::Corrupt(
                    "column type: only integers, text and bytes are copied",
                ))?;
            tables.push(Table {
                name,
                columns,
                numbered,
            });
        }
        Ok(tables)
    }

    async fn table_names(&mut self) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<String> = match self {
            Self::Sqlite(tx) => {
                sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
                    .fetch_all(&mut **tx)
                    .await?
            }
            Self::Postgres(tx) => {
                sqlx::query_scalar(
                    "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
                     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'",
                )
                .fetch_all(&mut **tx)
                .await?
            }
        };
        names.retain(|name| !name.starts_with("sqlite_") && name != "_sqlx_migrations");
        names.sort();
        Ok(names)
    }

    /// The newest migration that was applied; `None` before the first.
    pub async fn schema_version(&mut self) -> Result<Option<i64>, StoreError> {
        let known: i64 = match self {
            Self::Sqlite(tx) => {
                sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
                    .fetch_one(&mut **tx)
                    .await?
            }
            Self::Postgres(tx) => {
                sqlx::query_scalar(
                    "SELECT COUNT(*) FROM information_schema.tables
                     WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'",
                )
                .fetch_one(&mut **tx)
                .await?
            }
        };
        if known == 0 {
            return Ok(None);
        }
        on_db!(self, conn => sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(conn).await)
    }

    /// How many rows a table has.
    pub async fn count_rows(&mut self, table: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM {}", quoted(table));
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Hands on every row of a table, some at a time; gives how many there were.
    pub async fn read_rows<E: From<StoreError>>(
        &mut self,
        table: &Table,
        mut take: impl AsyncFnMut(Vec<Row>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let sql = format!("SELECT {} FROM {}", table.column_list(), quoted(&table.name));
        match self {
            Self::Sqlite(tx) => stream!(&mut **tx, sql, table, take),
            Self::Postgres(tx) => stream!(&mut **tx, sql, table, take),
        }
    }

    /// Writes rows as they are, numbers included.
    pub async fn write_rows(&mut self, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
        let width = table.columns.len().max(1);
        let columns = table.column_list();
        let name = quoted(&table.name);
        for rows in rows.chunks((MAX_PARAMETERS / width).max(1)) {
            let places = (0..rows.len()).map(|row| {
                format!(
                    "({})",
                    list((1..=width).map(|place| format!("${}", row * width + place)))
                )
            });
            let overriding = match (&*self, &table.numbered) {
                (Self::Postgres(_), Some(_)) => "OVERRIDING SYSTEM VALUE ",
                _ => "",
            };
            let sql = format!(
                "INSERT INTO {name} ({columns}) {overriding}VALUES {}",
                list(places)
            );
            match self {
                Self::Sqlite(tx) => bound!(sql, table, rows).execute(&mut **tx).await.map(drop)?,
                Self::Postgres(tx) => bound!(sql, table, rows).execute(&mut **tx).await.map(drop)?,
            }
        }
        Ok(())
    }

    /// The last number that a table gave out, which may be past every row that is left.
    pub async fn last_number(&mut self, table: &Table) -> Result<Option<i64>, StoreError> {
        let Some(column) = &table.numbered else {
            return Ok(None);
        };
        match self {
            Self::Sqlite(tx) => Ok(
                sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = $1")
                    .bind(&table.name)
                    .fetch_optional(&mut **tx)
                    .await?,
            ),
            Self::Postgres(tx) => {
                let sequence: String = sqlx::query_scalar("SELECT pg_get_serial_sequence($1, $2)")
                    .bind(quoted(&table.name))
                    .bind(column)
                    .fetch_one(&mut **tx)
                    .await?;
                let sql = format!("SELECT last_value FROM {sequence} WHERE is_called");
                Ok(sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_optional(&mut **tx)
                    .await?)
            }
        }
    }

    /// The next number is past this one.
    pub async fn number_after(&mut self, table: &Table, last: i64) -> Result<(), StoreError> {
        let Some(column) = &table.numbered else {
            return Ok(());
        };
        match self {
            Self::Sqlite(tx) => {
                // Its rows have no key: an entry that an insert has made is replaced.
                sqlx::query("DELETE FROM sqlite_sequence WHERE name = $1")
                    .bind(&table.name)
                    .execute(&mut **tx)
                    .await?;
                sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)")
                    .bind(&table.name)
                    .bind(last)
                    .execute(&mut **tx)
                    .await?;
            }
            Self::Postgres(tx) => {
                sqlx::query("SELECT setval(CAST(pg_get_serial_sequence($1, $2) AS regclass), $3)")
                    .bind(quoted(&table.name))
                    .bind(column)
                    .bind(last)
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }

    /// Rows may come in any order from here on. PostgreSQL: what is dropped here, [`Tx::resume_references`] makes again, and
    /// checks. SQLite checks at the commit.
    pub async fn suspend_references(&mut self) -> Result<Vec<Reference>, StoreError> {
        match self {
            Self::Sqlite(tx) => {
                sqlx::query("PRAGMA defer_foreign_keys = ON")
                    .execute(&mut **tx)
                    .await?;
                Ok(Vec::new())
            }
            Self::Postgres(tx) => {
                let found: Vec<(String, String, String)> = sqlx::query_as(
                    "SELECT CAST(CAST(conrelid AS regclass) AS TEXT), CAST(conname AS TEXT), pg_get_constraintdef(oid)
                     FROM pg_constraint
                     WHERE contype = 'f' AND connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
                     ORDER BY 1, 2",
                )
                .fetch_all(&mut **tx)
                .await?;
                let mut references = Vec::new();
                for (table, name, definition) in found {
                    let name = quoted(&name);
                    let sql = format!("ALTER TABLE {table} DROP CONSTRAINT {name}");
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut **tx).await?;
                    references.push(Reference(format!(
                        "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
                    )));
                }
                Ok(references)
            }
        }
    }

    /// Every row must have what it refers to.
    pub async fn resume_references(&mut self, references: Vec<Reference>) -> Result<(), StoreError> {
        for Reference(sql) in references {
            rows_affected!(self, sqlx::query(AssertSqlSafe(sql.clone())))?;
        }
        let broken: i64 = match self {
            Self::Sqlite(tx) => {
                sqlx::query_scalar("SELECT COUNT(*) FROM pragma_foreign_key_check")
                    .fetch_one(&mut **tx)
                    .await?
            }
            Self::Postgres(_) => 0,
        };
        if broken > 0 {
            return Err(StoreError::Corrupt("reference to a row that is not there"));
        }
        Ok(())
    }

    /// Nobody else writes until this transaction ends; everybody may read. On SQLite a transaction that may write is that.
    pub async fn lock_for_reading_only(&mut self) -> Result<(), StoreError> {
        let names = self.table_names().await?;
        if let Self::Postgres(tx) = self {
            let wait = format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'");
            sqlx::query(AssertSqlSafe(wait)).execute(&mut **tx).await?;
            let sql = format!(
                "LOCK TABLE {} IN EXCLUSIVE MODE",
                list(names.iter().map(|name| quoted(name)))
            );
            sqlx::query(AssertSqlSafe(sql)).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// From the commit on the database itself refuses every write, whoever tries.
    pub async fn refuse_writes(&mut self) -> Result<(), StoreError> {
        let names = self.table_names().await?;
        if let Self::Postgres(tx) = self {
            let sql = format!(
                "CREATE OR REPLACE FUNCTION portcullis_moved() RETURNS trigger LANGUAGE plpgsql AS \
                 $$BEGIN RAISE EXCEPTION '{MOVED}'; END$$"
            );
            sqlx::query(AssertSqlSafe(sql)).execute(&mut **tx).await?;
        }
        for name in &names {
            for sql in trigger(self, name) {
                rows_affected!(self, sqlx::query(AssertSqlSafe(sql.clone())))?;
            }
        }
        Ok(())
    }

    /// Takes [`Tx::refuse_writes`] back; false if there was nothing to take back.
    pub async fn accept_writes(&mut self) -> Result<bool, StoreError> {
        let mut found = false;
        for name in self.table_names().await? {
            for (operation, table) in OPERATIONS.iter().map(|operation| (*operation, quoted(&name))) {
                let trigger = quoted(&format!("portcullis_moved_{name}_{operation}"));
                let (known, sql) = match self {
                    Self::Sqlite(tx) => (
                        sqlx::query_scalar::<_, i64>(
                            "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'trigger' AND name = $1",
                        )
                        .bind(format!("portcullis_moved_{name}_{operation}"))
                        .fetch_one(&mut **tx)
                        .await?,
                        format!("DROP TRIGGER IF EXISTS {trigger}"),
                    ),
                    Self::Postgres(tx) => (
                        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM pg_trigger WHERE tgname = $1")
                            .bind(format!("portcullis_moved_{name}_{operation}"))
                            .fetch_one(&mut **tx)
                            .await?,
                        format!("DROP TRIGGER IF EXISTS {trigger} ON {table}"),
                    ),
                };
                if known > 0 {
                    rows_affected!(self, sqlx::query(AssertSqlSafe(sql.clone())))?;
                    found = true;
                }
            }
        }
        Ok(found)
    }
}

const OPERATIONS: [&str; 3] = ["insert", "update", "delete"];

/// The statements that keep a table as it is.
fn trigger(tx: &Tx, name: &str) -> Vec<String> {
    let table = quoted(name);
    OPERATIONS
        .iter()
        .map(|operation| {
            let trigger = quoted(&format!("portcullis_moved_{name}_{operation}"));
            match tx {
                Tx::Sqlite(_) => format!(
                    "CREATE TRIGGER {trigger} BEFORE {operation} ON {table} BEGIN SELECT RAISE(ABORT, '{MOVED}'); END"
                ),
                Tx::Postgres(_) => format!(
                    "CREATE TRIGGER {trigger} BEFORE {operation} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION \
                     portcullis_moved()"
                ),
            }
        })
        .collect()
}

/// What a declared type holds, as either catalogue spells it; `None` for one that rule 1 does not know.
fn kind(declared: &str) -> Option<Kind> {
    match declared {
        "bigint" | "INTEGER" => Some(Kind::Int),
        "text" | "TEXT" => Some(Kind::Text),
        "bytea" | "BLOB" => Some(Kind::Bytes),
        _ => None,
    }
}
