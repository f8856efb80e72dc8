//! SQL for route policies: each version that edges were told, with who, when and why. Rows are added, never changed.

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A row of `policies`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PolicyRow {
    /// The version that edges know it under.
    pub version: i64,
    /// The document.
    pub document: Vec<u8>,
    /// Who put it in force: `usr_…`, `system`, `policy_file`.
    pub applied_by: String,
    /// When.
    pub applied_at: i64,
    /// Why, in their words.
    pub reason: String,
    /// The version that it is a copy of.
    pub restored_from: Option<i64>,
}

/// A version without its document, for lists.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PolicyVersion {
    /// The version that edges know it under.
    pub version: i64,
    /// Who put it in force.
    pub applied_by: String,
    /// When.
    pub applied_at: i64,
    /// Why.
    pub reason: String,
    /// The version that it is a copy of.
    pub restored_from: Option<i64>,
}

impl Tx {
    /// Adds a version. In the transaction that tells the edges.
    pub async fn insert_policy(&mut self, row: &PolicyRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO policies (version, document, applied_by, applied_at, reason, restored_from)
             VALUES ($1, $2, $3, $4, $5, $6)"
            )
            .bind(row.version)
            .bind(&row.document)
            .bind(&row.applied_by)
            .bind(row.applied_at)
            .bind(&row.reason)
            .bind(row.restored_from)
        )?;
        Ok(())
    }

    /// One version.
    pub async fn policy(&mut self, version: u64) -> Result<Option<PolicyRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT version, document, applied_by, applied_at, reason, restored_from FROM policies WHERE version = $1")
            .bind(int(version)).fetch_optional(conn).await)
    }

    /// The newest versions, those before one of them if it is named.
    pub async fn policies(
        &mut self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyVersion>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT version, applied_by, applied_at, reason, restored_from FROM policies
             WHERE version < $1 ORDER BY version DESC LIMIT $2")
            .bind(before.map_or(i64::MAX, int)).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// The highest version that was ever used; 0 before the first.
    pub async fn last_policy(&mut self) -> Result<u64, StoreError> {
        let version: Option<i64> = on_db!(self, conn => sqlx::query_scalar("SELECT MAX(version) FROM policies").fetch_one(conn).await)?;
        uint(version.unwrap_or(0), "policy version")
    }

    /// The version that edges were told last; `None` before there is a feed.
    pub async fn published_policy_version(&mut self) -> Result<Option<u64>, StoreError> {
        let version: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT policy_version FROM feed_state WHERE id = 1").fetch_optional(conn).await)?;
        version.map(|version| uint(version, "policy version")).transpose()
    }

    /// The scopes of the keys with the highest numbers, and whether each still counts: a sample of what is held.
    pub async fn scopes_of_some_keys(&mut self, limit: u32) -> Result<Vec<(u64, bool)>, StoreError> {
        let rows: Vec<(i64, Option<i64>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT scopes, revoked_at FROM api_keys ORDER BY id DESC LIMIT $1")
            .bind(i64::from(limit)).fetch_all(conn).await)?;
        Ok(rows
            .into_iter()
            .map(|(scopes, revoked_at)| (scopes.cast_unsigned(), revoked_at.is_none()))
            .collect())
    }
}

/// A version and its document as they are written, before anybody has read them.
pub fn row(version: u64, document: Vec<u8>, (by, reason): (&str, &str), now: UnixMillis) -> PolicyRow {
    PolicyRow {
        version: int(version),
        document,
        applied_by: by.to_owned(),
        applied_at: int(now.0),
        reason: reason.to_owned(),
        restored_from: None,
    }
}
