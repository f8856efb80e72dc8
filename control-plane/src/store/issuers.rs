//! SQL for other issuers that organisations trust, and for people of theirs that are blocked.
//!
//! A row stays when its issuer is removed: it holds the version that the next entry must exceed. Changes are compare-and-set on
//! that version, so nobody writes over what they have not seen.

use shared::feed::{Entry, IssuerEntry};
use shared::id::{IssuerId, OrgId};
use shared::time::UnixMillis;
use shared::wire::Reader;

use super::orgs::{millis, org_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A row of `trusted_issuers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Its id.
    pub id: IssuerId,
    /// What the edge was told last.
    pub entry: IssuerEntry,
    /// The JOSE names of the algorithms that its keys may be for.
    pub algorithms: Vec<String>,
    /// Where its keys are, if somebody has said so; else its discovery document says.
    pub jwks_uri: Option<String>,
    /// Who trusted it.
    pub created_by: String,
    /// When.
    pub created_at: UnixMillis,
    /// When anything about it changed last.
    pub updated_at: UnixMillis,
    /// Since when it is trusted no more.
    pub removed_at: Option<UnixMillis>,
    /// How its keys are.
    pub watch: Watch,
}

/// What is known of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Where they were found.
    pub keys_uri: Option<String>,
    /// When they were looked for last.
    pub attempted_at: UnixMillis,
    /// When they were found last.
    pub refreshed_at: UnixMillis,
    /// When they are to be looked for again.
    pub due_at: UnixMillis,
    /// Failures since they were found last.
    pub failures: u64,
    /// What was wrong then.
    pub failure: Option<String>,
}

/// How many issuers there are, and how they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuerCounts {
    /// Trusted.
    pub trusted: u64,
    /// Of those, whose last look-up failed.
    pub failing: u64,
}

/// Somebody whom an issuer vouches for and who is, or was, blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedSubject {
    /// What the issuer calls them.
    pub subject: String,
    /// Of the ceiling that the edge has.
    pub version: u64,
    /// Since when; `None`: not any more.
    pub blocked_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Stored {
    id: i64,
    entry: Vec<u8>,
    algorithms: String,
    jwks_uri: Option<String>,
    keys_uri: Option<String>,
    created_by: String,
    created_at: i64,
    updated_at: i64,
    removed_at: Option<i64>,
    attempted_at: i64,
    refreshed_at: i64,
    due_at: i64,
    failures: i64,
    failure: Option<String>,
}

impl TryFrom<Stored> for TrustedIssuer {
    type Error = StoreError;

    fn try_from(row: Stored) -> Result<Self, StoreError> {
        let at = |time| uint(time, "time").map(UnixMillis);
        let id = IssuerId::from_u64(uint(row.id, "issuer id")?);
        let mut reader = Reader::new(&row.entry);
        let entry = match Entry::read(&mut reader) {
            Ok(Entry::Issuer(entry)) if reader.is_empty() => *entry,
            _ => return Err(StoreError::Corrupt("issuer entry")),
        };
        Ok(Self {
            id: id.ok_or(StoreError::Corrupt("issuer id"))?,
            entry,
            algorithms: row.algorithms.split(' ').map(str::to_owned).collect(),
            jwks_uri: row.jwks_uri,
            created_by: row.created_by,
            created_at: at(row.created_at)?,
            updated_at: at(row.updated_at)?,
            removed_at: millis(row.removed_at)?,
            watch: Watch {
                keys_uri: row.keys_uri,
                attempted_at: at(row.attempted_at)?,
                refreshed_at: at(row.refreshed_at)?,
                due_at: at(row.due_at)?,
                failures: uint(row.failures, "count")?,
                failure: row.failure,
            },
        })
    }
}

/// The columns of [`Stored`].
macro_rules! selected {
    ($rest:literal) => {
        concat!(
            "SELECT id, entry, algorithms, jwks_uri, keys_uri, created_by, created_at, updated_at, removed_at, attempted_at,
                    refreshed_at, due_at, failures, failure
             FROM trusted_issuers ",
            $rest
        )
    };
}

impl Tx {
    /// Adds an issuer.
    pub async fn insert_issuer(&mut self, row: &TrustedIssuer) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO trusted_issuers (issuer, id, org_id, version, entry, algorithms, jwks_uri, keys_uri, created_by,
                     created_at, updated_at, removed_at, attempted_at, refreshed_at, due_at, failures, failure)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
            )
            .bind(&row.entry.issuer)
            .bind(int(row.id.get()))
            .bind(int(row.entry.org.get()))
            .bind(int(row.entry.version))
            .bind(Entry::Issuer(Box::new(row.entry.clone())).encode())
            .bind(row.algorithms.join(" "))
            .bind(&row.jwks_uri)
            .bind(&row.watch.keys_uri)
            .bind(&row.created_by)
            .bind(int(row.created_at.0))
            .bind(int(row.updated_at.0))
            .bind(row.removed_at.map(|at| int(at.0)))
            .bind(int(row.watch.attempted_at.0))
            .bind(int(row.watch.refreshed_at.0))
            .bind(int(row.watch.due_at.0))
            .bind(int(row.watch.failures))
            .bind(&row.watch.failure)
        )?;
        Ok(())
    }

    /// Writes all of a row, unless its version is not `from` any more.
    pub async fn change_issuer(&mut self, from: u64, row: &TrustedIssuer) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE trusted_issuers SET id = $3, org_id = $4, version = $5, entry = $6, algorithms = $7, jwks_uri = $8,
                     keys_uri = $9, created_by = $10, created_at = $11, updated_at = $12, removed_at = $13,
                     attempted_at = $14, refreshed_at = $15, due_at = $16, failures = $17, failure = $18
                 WHERE issuer = $1 AND version = $2"
            )
            .bind(&row.entry.issuer)
            .bind(int(from))
            .bind(int(row.id.get()))
            .bind(int(row.entry.org.get()))
            .bind(int(row.entry.version))
            .bind(Entry::Issuer(Box::new(row.entry.clone())).encode())
            .bind(row.algorithms.join(" "))
            .bind(&row.jwks_uri)
            .bind(&row.watch.keys_uri)
            .bind(&row.created_by)
            .bind(int(row.created_at.0))
            .bind(int(row.updated_at.0))
            .bind(row.removed_at.map(|at| int(at.0)))
            .bind(int(row.watch.attempted_at.0))
            .bind(int(row.watch.refreshed_at.0))
            .bind(int(row.watch.due_at.0))
            .bind(int(row.watch.failures))
            .bind(&row.watch.failure)
        )?;
        Ok(rows == 1)
    }

    /// An issuer by its identifier, trusted or not any more.
    pub async fn issuer_named(&mut self, issuer: &str) -> Result<Option<TrustedIssuer>, StoreError> {
        let stored: Option<Stored> = on_db!(self, conn => sqlx::query_as(selected!("WHERE issuer = $1"))
                .bind(issuer).fetch_optional(conn).await)?;
        stored.map(TrustedIssuer::try_from).transpose()
    }

    /// An issuer that an organisation trusts.
    pub async fn issuer(&mut self, org: OrgId, id: IssuerId) -> Result<Option<TrustedIssuer>, StoreError> {
        let stored: Option<Stored> = on_db!(self, conn => sqlx::query_as(
                selected!("WHERE id = $1 AND org_id = $2 AND removed_at IS NULL"))
            .bind(int(id.get())).bind(int(org.get())).fetch_optional(conn).await)?;
        stored.map(TrustedIssuer::try_from).transpose()
    }

    /// Which organisation trusts it.
    pub async fn org_of_issuer_id(&mut self, id: IssuerId) -> Result<Option<OrgId>, StoreError> {
        let org: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
                "SELECT org_id FROM trusted_issuers WHERE id = $1 AND removed_at IS NULL")
            .bind(int(id.get())).fetch_optional(conn).await)?;
        org.map(org_id).transpose()
    }

    /// The issuers that an organisation trusts, oldest first.
    pub async fn issuers_of(&mut self, org: OrgId) -> Result<Vec<TrustedIssuer>, StoreError> {
        let stored: Vec<Stored> = on_db!(self, conn => sqlx::query_as(
                selected!("WHERE org_id = $1 AND removed_at IS NULL ORDER BY created_at, id"))
            .bind(int(org.get())).fetch_all(conn).await)?;
        stored.into_iter().map(TrustedIssuer::try_from).collect()
    }

    /// The organisation that an issuer belongs to, or did when it was removed.
    pub async fn org_of_trusted_issuer(&mut self, issuer: &str) -> Result<Option<OrgId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT org_id FROM trusted_issuers WHERE issuer = $1")
            .bind(issuer).fetch_optional(conn).await)?;
        id.map(org_id).transpose()
    }

    /// Whether the keys of any issuer are due.
    pub async fn is_issuer_due(&mut self, now: UnixMillis) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM trusted_issuers WHERE due_at <= $1 AND removed_at IS NULL")
            .bind(int(now.0)).fetch_one(conn).await)?;
        Ok(count > 0)
    }

    /// Takes the issuer whose keys have been due for longest; nobody else gets it before `until`.
    pub async fn take_due_issuer(
        &mut self,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<Option<TrustedIssuer>, StoreError> {
        let issuer: Option<String> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE trusted_issuers SET due_at = $2, attempted_at = $1
             WHERE issuer = (SELECT issuer FROM trusted_issuers WHERE due_at <= $1 AND removed_at IS NULL
                             ORDER BY due_at, issuer LIMIT 1) AND due_at <= $1 AND removed_at IS NULL
             RETURNING issuer")
            .bind(int(now.0)).bind(int(until.0)).fetch_optional(conn).await)?;
        match issuer {
            Some(issuer) => self.issuer_named(&issuer).await,
            None => Ok(None),
        }
    }

    /// Takes one issuer before it is due, unless somebody looked after `before`.
    pub async fn take_issuer(
        &mut self,
        issuer: &str,
        now: UnixMillis,
        before: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE trusted_issuers SET attempted_at = $2
                 WHERE issuer = $1 AND attempted_at <= $3 AND removed_at IS NULL"
            )
            .bind(issuer)
            .bind(int(now.0))
            .bind(int(before.0))
        )?;
        Ok(rows == 1)
    }

    /// How many issuers are trusted, and how they are.
    pub async fn count_issuers(&mut self) -> Result<IssuerCounts, StoreError> {
        let (trusted, failing): (i64, i64) = on_db!(self, conn => sqlx::query_as(
            "SELECT COUNT(*), COUNT(CASE WHEN failures > 0 THEN 1 END) FROM trusted_issuers WHERE removed_at IS NULL")
            .fetch_one(conn).await)?;
        Ok(IssuerCounts {
            trusted: uint(trusted, "count")?,
            failing: uint(failing, "count")?,
        })
    }

    /// Makes an issuer's not-before row the organisation's that trusts it now.
    pub async fn give_issuer(&mut self, issuer: &str, org: OrgId) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO foreign_issuers (issuer, org_id, last_iat_seconds) VALUES ($1, $2, 0)
                 ON CONFLICT (issuer) DO UPDATE SET org_id = excluded.org_id"
            )
            .bind(issuer)
            .bind(int(org.get()))
        )?;
        Ok(())
    }

    /// Blocks somebody, or lets them in again; gives the version of the ceiling that says so, or `None` if nothing changes.
    pub async fn block_subject(
        &mut self,
        issuer: &str,
        subject: &str,
        blocked: bool,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let version: Option<i64> = if blocked {
            on_db!(self, conn => sqlx::query_scalar(
                "INSERT INTO issuer_subjects (issuer, subject, version, blocked_at) VALUES ($1, $2, 1, $3)
                 ON CONFLICT (issuer, subject) DO UPDATE SET version = issuer_subjects.version + 1, blocked_at = $3
                 WHERE issuer_subjects.blocked_at IS NULL
                 RETURNING version")
                .bind(issuer).bind(subject).bind(int(now.0)).fetch_optional(conn).await)?
        } else {
            on_db!(self, conn => sqlx::query_scalar(
                "UPDATE issuer_subjects SET version = version + 1, blocked_at = NULL
                 WHERE issuer = $1 AND subject = $2 AND blocked_at IS NOT NULL
                 RETURNING version")
                .bind(issuer).bind(subject).fetch_optional(conn).await)?
        };
        version.map(|version| uint(version, "version")).transpose()
    }

    /// Somebody whom an issuer vouches for, if they were ever blocked.
    pub async fn blocked_subject(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<BlockedSubject>, StoreError> {
        let found: Option<(String, i64, Option<i64>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT subject, version, blocked_at FROM issuer_subjects WHERE issuer = $1 AND subject = $2")
            .bind(issuer).bind(subject).fetch_optional(conn).await)?;
        found.map(blocked).transpose()
    }

    /// Everybody of an issuer who is blocked, by name.
    pub async fn blocked_subjects(
        &mut self,
        issuer: &str,
        limit: u32,
    ) -> Result<Vec<BlockedSubject>, StoreError> {
        let found: Vec<(String, i64, Option<i64>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT subject, version, blocked_at FROM issuer_subjects
             WHERE issuer = $1 AND blocked_at IS NOT NULL ORDER BY subject LIMIT $2")
            .bind(issuer).bind(i64::from(limit)).fetch_all(conn).await)?;
        found.into_iter().map(blocked).collect()
    }

    /// Notes what an edge knows of somebody, unless more is known here.
    pub async fn restore_blocked_subject(
        &mut self,
        issuer: &str,
        subject: &str,
        version: u64,
        blocked_at: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO issuer_subjects (issuer, subject, version, blocked_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (issuer, subject) DO UPDATE SET version = excluded.version, blocked_at = excluded.blocked_at
                 WHERE issuer_subjects.version < excluded.version"
            )
            .bind(issuer)
            .bind(subject)
            .bind(int(version))
            .bind(blocked_at.map(|at| int(at.0)))
        )?;
        Ok(())
    }
}

fn blocked((subject, version, at): (String, i64, Option<i64>)) -> Result<BlockedSubject, StoreError> {
    Ok(BlockedSubject {
        subject,
        version: uint(version, "version")?,
        blocked_at: millis(at)?,
    })
}
