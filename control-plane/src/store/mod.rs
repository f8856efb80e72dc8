//! Storage: embedded SQLite by default, PostgreSQL by `database_url`. One SQL text per query, two native drivers.
//!
//! What it does: open a database, migrate it, hand out transactions, and hold every SQL text of the product, in one file
//! per subject. What it does not: rules. Who may do what is decided by the features that call it.
//!
//! # Rules for the SQL in this folder
//! 1. Columns: `BIGINT`/`INTEGER` for ids and Unix times, `BYTEA`/`BLOB` for digests, `TEXT` for names, JSON and enums, a
//!    nullable time where others put a boolean. SQLite tables are `STRICT`.
//! 2. Only what both engines accept: `$n` (a number may be reused), `ON CONFLICT … DO NOTHING | DO UPDATE`, `RETURNING`,
//!    `CASE`, `LIMIT $n`, `WITH RECURSIVE`. Not: `FOR UPDATE`, `now()`, arrays, `ILIKE`, `GREATEST`, `::casts`, `SUM` without a `CAST` around it
//!    (numeric there).
//! 3. Times and ids come from Rust, never from the database.
//! 4. A state change is compare-and-set: `UPDATE … WHERE … AND revoked_at IS NULL`, and the row count decides. PostgreSQL
//!    runs READ COMMITTED: a row is locked by updating it, never by reading it.
//! 5. Locks are taken in one order: feed state, sign-in attempts, user, calling key, org, workspace, membership, client, target
//!    (grant before its refresh token), other issuer, identity provider, factors (pending sign-in, app or passkey, challenge), session,
//!    index block, outbox, DPoP proof, edge key or alert, usage (isolates, hours,
//!    credentials, each in the order of its key).
//! 6. SQLite write transactions begin with `BEGIN IMMEDIATE`; a plain `BEGIN` that reads and then writes fails with
//!    "database is locked" whatever the busy timeout. `synchronous=FULL`: `NORMAL` may roll back an acknowledged
//!    revocation at a power loss. Within this process writers queue up (`turn`): SQLite itself lets them poll in no order,
//!    and with sixteen of them one may lose for five seconds.
//! 7. Migrations have the same names for both engines and are never edited after a release.
//! 8. A list goes on with `(a, b) < ($1, $2)`: with `a < $1 OR (a = $1 AND b < $2)` PostgreSQL reads it from the beginning. What
//!    stands still is compared for equality before it, and each end of a range is said once: PostgreSQL stops at the first column
//!    of a row value, and of two beginnings it may take the wider one.
//! 9. Every query is reached by `conformance.rs`, which runs on both engines.

pub mod audit;
pub mod audit_chain;
#[cfg(test)]
pub(crate) mod conformance;
pub mod idempotency;
pub mod key_lists;
pub mod keys;
pub mod orgs;
#[cfg(test)]
pub(crate) mod test_postgres;

pub mod belonging;
pub mod clients;
pub mod codes;
pub mod copy;
pub mod demo;
pub mod device_codes;
pub mod edges;
pub mod exchanges;
pub mod factors;
pub mod feed;
pub mod grants;
pub mod groups;
pub mod holdings;
pub mod invitations;
pub mod issuers;
pub mod links;
pub mod logouts;
pub mod mails;
pub mod master;
pub mod members;
pub mod names;
pub mod not_before;
pub mod passkeys;
pub mod person_keys;
pub mod policies;
pub mod proofs;
pub mod pushed_requests;
pub mod quarantine;
pub mod refresh_tokens;
pub mod restore;
pub mod revocations;
pub mod service_accounts;
pub mod sessions;
pub mod settings;
pub mod signals;
pub mod signing;
pub mod status_lists;
mod turn;
pub mod usage;
pub mod usage_days;
pub mod webhooks;
pub mod workspaces;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, Postgres, SqlitePool, Transaction};

pub use turn::{SqliteTx, Turn};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const SQLITE_CONNECTIONS: u32 = 8;
const POSTGRES_CONNECTIONS: u32 = 20;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The driver or the server failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migration failed: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row holds something that this version cannot have written.
    #[error("the database holds an invalid {0}")]
    Corrupt(&'static str),
    /// An id could not be drawn.
    #[error(transparent)]
    Random(#[from] crate::random::RandomError),
    /// The SQLite file is not there, and was not to be made.
    #[error("there is no such file")]
    Missing,
    /// The URL names no engine that we know.
    #[error("database_url must start with sqlite: or postgres:")]
    UnknownEngine,
}

impl StoreError {
    /// Whether a unique constraint or primary key refused the row.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether something else hangs on the row.
    pub fn is_foreign_key_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_foreign_key_violation())
    }

    /// Whether the same transaction may succeed if it is tried again: a lock was held too long, or two waited for each other.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::PoolTimedOut) => true,
            // SQLite: BUSY (5), BUSY_SNAPSHOT (517). PostgreSQL: serialization failure, deadlock.
            Self::Database(sqlx::Error::Database(error)) => {
                matches!(error.code().as_deref(), Some("5" | "517" | "40001" | "40P01"))
            }
            _ => false,
        }
    }

    /// Whether the database was moved elsewhere and refuses writes since.
    pub fn is_moved(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.message().contains(copy::MOVED))
    }
}

/// A database: one of two native pools. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// Embedded; one writer at a time.
    Sqlite(SqlitePool, Turn),
    /// A server, shared by any number of instances.
    Postgres(PgPool),
}

/// A transaction. Dropping it without [`Tx::commit`] rolls it back.
#[derive(Debug)]
pub enum Tx {
    /// Begun on SQLite.
    Sqlite(SqliteTx),
    /// Begun on PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

/// Expands one query body once per driver: the only place that knows there are two. Errors become [`StoreError`].
macro_rules! on_db {
    ($tx:expr, $conn:ident => $body:expr) => {
        match $tx {
            $crate::store::Tx::Sqlite(tx) => {
                let $conn = &mut **tx;
                $body.map_err($crate::store::StoreError::from)
            }
            $crate::store::Tx::Postgres(tx) => {
                let $conn = &mut **tx;
                $body.map_err($crate::store::StoreError::from)
            }
        }
    };
}
pub(crate) use on_db;

/// Like [`on_db!`] for a statement whose answer is the number of rows that it touched.
macro_rules! rows_affected {
    ($tx:expr, $query:expr) => {
        match $tx {
            $crate::store::Tx::Sqlite(tx) => $query
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
                .map_err($crate::store::StoreError::from),
            $crate::store::Tx::Postgres(tx) => $query
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
                .map_err($crate::store::StoreError::from),
        }
    };
}
pub(crate) use rows_affected;

impl Store {
    /// Opens the database; a SQLite file is created if it does not exist.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::open(url, true).await
    }

    /// Opens a database that must exist.
    pub async fn connect_existing(url: &str) -> Result<Self, StoreError> {
        Self::open(url, false).await
    }

    async fn open(url: &str, create: bool) -> Result<Self, StoreError> {
        match url.split_once(':') {
            Some(("sqlite", _)) => {
                let options = SqliteConnectOptions::from_str(url)?
                    .create_if_missing(create)
                    .foreign_keys(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(BUSY_TIMEOUT);
                if create {
                    create_private(options.get_filename()).map_err(sqlx::Error::Io)?;
                } else if !options.get_filename().exists() {
                    return Err(StoreError::Missing);
                }
                let pool = SqlitePoolOptions::new()
                    .max_connections(SQLITE_CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_with(options)
                    .await?;
                Ok(Self::Sqlite(pool, Turn::default()))
            }
            Some(("postgres" | "postgresql", _)) => {
                let pool = PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_with(PgConnectOptions::from_str(url)?)
                    .await?;
                Ok(Self::Postgres(pool))
            }
            _ => Err(StoreError::UnknownEngine),
        }
    }

    /// Brings the schema up to date. Safe to run by several instances at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(pool, _) => SQLITE_MIGRATIONS.run(pool).await?,
            Self::Postgres(pool) => POSTGRES_MIGRATIONS.run(pool).await?,
        }
        Ok(())
    }

    /// A transaction that may write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite(pool, turn) => {
                let turn = turn.wait(ACQUIRE_TIMEOUT).await?;
                Tx::Sqlite(SqliteTx::new(
                    pool.begin_with("BEGIN IMMEDIATE").await?,
                    Some(turn),
                ))
            }
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// A transaction that only reads: on SQLite it does not wait for writers.
    pub async fn begin_read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite(pool, _) => Tx::Sqlite(SqliteTx::new(pool.begin().await?, None)),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with("BEGIN READ ONLY").await?),
        })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_read().await?;
        let _: i64 =
            on_db!(&mut tx, conn => sqlx::query_scalar("SELECT CAST(1 AS BIGINT)").fetch_one(conn).await)?;
        Ok(())
    }

    /// Waits for open transactions and closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool, _) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A new database file is for its owner alone; SQLite gives its companions the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match opened {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

impl Tx {
    /// Makes every change of this transaction permanent.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// A number as both engines store it. Ids are below 2^53 and times far below 2^63, so nothing is ever cut off.
pub fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `$3, $4`: so many parameters from this one on. Not for none: `IN ()` is no SQL to PostgreSQL.
fn places(first: usize, number: usize) -> String {
    let places = (first..first + number).map(|nth| format!("${nth}"));
    places.collect::<Vec<_>>().join(", ")
}

/// A table `wanted (id)` of so many numbers, parameters from this one on: what is asked about each is looked up by it, while
/// `id IN (…)` may as well read all that there are.
fn wanted(first: usize, number: usize) -> String {
    let rows = (first..first + number).map(|nth| format!("(CAST(${nth} AS BIGINT))"));
    format!(
        "WITH wanted (id) AS (VALUES {})",
        rows.collect::<Vec<_>>().join(", ")
    )
}

/// A stored number that cannot be negative.
pub fn uint(number: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 7: both engines have the same migrations, by number and name.
    #[test]
    fn both_engines_have_the_same_migrations() {
        let names = |migrations: &Migrator| -> Vec<_> {
            migrations
                .iter()
                .map(|m| (m.version, m.description.to_string()))
                .collect()
        };
        assert!(!names(&SQLITE_MIGRATIONS).is_empty());
        assert_eq!(names(&SQLITE_MIGRATIONS), names(&POSTGRES_MIGRATIONS));
    }

    #[tokio::test]
    async fn a_new_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("new.db");
        let store = Store::connect(&format!("sqlite://{}", path.display()))
            .await
            .expect("a database");
        store.migrate().await.expect("a schema");
        for file in std::fs::read_dir(folder.path()).expect("files") {
            let mode = file
                .expect("a file")
                .metadata()
                .expect("its mode")
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[tokio::test]
    async fn an_unknown_engine_is_refused() {
        assert!(matches!(
            Store::connect("mysql://x").await,
            Err(StoreError::UnknownEngine)
        ));
    }
}
