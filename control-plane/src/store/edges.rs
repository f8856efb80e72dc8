//! SQL for edges: the keys of those that fetch, alerts, canaries, and who does what only one instance does.

use shared::crypto::Digest;
use shared::id::StatusIndex;
use shared::time::{UnixMillis, UnixSeconds};
use sqlx::AssertSqlSafe;

use super::usage::{CHUNK, status_index};
use super::{StoreError, Tx, int, on_db, places, rows_affected, uint};

/// A row of `edge_keys`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct EdgeKeyRow {
    /// Its id: `upl_…`.
    pub id: String,
    /// Which edge has it.
    pub edge: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was last seen, to some seconds.
    pub used_at: Option<i64>,
    /// Since when it counts no more.
    pub revoked_at: Option<i64>,
}

/// A row of `edge_alerts`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AlertRow {
    /// The edge.
    pub edge: String,
    /// The region; empty for the edge as a whole.
    pub region: String,
    /// What is wrong.
    pub kind: String,
    /// Since when.
    pub since: i64,
    /// More, as a sentence.
    pub detail: String,
}

impl Tx {
    /// Stores a key that an edge may fetch with.
    pub async fn insert_edge_key(
        &mut self,
        id: &str,
        edge: &str,
        digest: &Digest,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("INSERT INTO edge_keys (id, edge, digest, created_at) VALUES ($1, $2, $3, $4)")
                .bind(id)
                .bind(edge)
                .bind(digest.as_slice())
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Holds the valid keys of an edge: two who make one at the same time come one after the other, if there was one.
    pub async fn hold_edge_keys(&mut self, edge: &str) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE edge_keys SET edge = edge WHERE edge = $1 AND revoked_at IS NULL").bind(edge)
        )?;
        Ok(())
    }

    /// Every key of every edge, oldest first.
    pub async fn edge_keys(&mut self) -> Result<Vec<EdgeKeyRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, edge, created_at, used_at, revoked_at FROM edge_keys ORDER BY created_at, id")
            .fetch_all(conn).await)
    }

    /// The valid key with this digest.
    pub async fn edge_key(&mut self, digest: &Digest) -> Result<Option<EdgeKeyRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, edge, created_at, used_at, revoked_at FROM edge_keys
             WHERE digest = $1 AND revoked_at IS NULL")
            .bind(digest.as_slice()).fetch_optional(conn).await)
    }

    /// Notes that a key was seen.
    pub async fn touch_edge_key(&mut self, id: &str, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE edge_keys SET used_at = $2 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)"
            )
            .bind(id)
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Ends a key of an edge; false if there is no such valid key.
    pub async fn revoke_edge_key(
        &mut self,
        edge: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE edge_keys SET revoked_at = $3 WHERE edge = $1 AND id = $2 AND revoked_at IS NULL"
            )
            .bind(edge)
            .bind(id)
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// What is wrong at the moment.
    pub async fn edge_alerts(&mut self) -> Result<Vec<AlertRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT edge, region, kind, since, detail FROM edge_alerts ORDER BY edge, region, kind")
            .fetch_all(conn).await)
    }

    /// Raises an alert; false if it is up already.
    pub async fn raise_edge_alert(&mut self, alert: &AlertRow) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO edge_alerts (edge, region, kind, since, detail) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (edge, region, kind) DO NOTHING"
            )
            .bind(&alert.edge)
            .bind(&alert.region)
            .bind(&alert.kind)
            .bind(alert.since)
            .bind(&alert.detail)
        )?;
        Ok(rows == 1)
    }

    /// Takes an alert down; false if it was not up.
    pub async fn clear_edge_alert(
        &mut self,
        edge: &str,
        region: &str,
        kind: &str,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("DELETE FROM edge_alerts WHERE edge = $1 AND region = $2 AND kind = $3")
                .bind(edge)
                .bind(region)
                .bind(kind)
        )?;
        Ok(rows == 1)
    }

    /// Remembers the index of a canary.
    pub async fn insert_canary(
        &mut self,
        index: StatusIndex,
        expires: UnixSeconds,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("INSERT INTO canaries (idx, made_at, expires_seconds) VALUES ($1, $2, $3)")
                .bind(int(index.get()))
                .bind(int(now.0))
                .bind(int(expires.0))
        )?;
        Ok(())
    }

    /// Marks a canary as revoked; false if it was, or there is none.
    pub async fn revoke_canary(&mut self, index: StatusIndex, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE canaries SET revoked_at = $2 WHERE idx = $1 AND revoked_at IS NULL")
                .bind(int(index.get()))
                .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Whether an index is a canary's.
    pub async fn is_canary(&mut self, index: StatusIndex) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar("SELECT COUNT(*) FROM canaries WHERE idx = $1")
            .bind(int(index.get())).fetch_one(conn).await)?;
        Ok(count > 0)
    }

    /// Those of some indexes that are canaries'.
    pub async fn canaries_among(&mut self, indexes: &[StatusIndex]) -> Result<Vec<StatusIndex>, StoreError> {
        let mut found = Vec::new();
        for some in indexes.chunks(CHUNK) {
            let sql = format!(
                "SELECT idx FROM canaries WHERE idx IN ({})",
                places(1, some.len())
            );
            let rows: Vec<i64> = on_db!(self, conn => {
                let mut query = sqlx::query_scalar(AssertSqlSafe(sql.clone()));
                for index in some {
                    query = query.bind(int(index.get()));
                }
                query.fetch_all(conn).await
            })?;
            for index in rows {
                found.push(status_index(index)?);
            }
        }
        Ok(found)
    }

    /// Forgets canaries whose indexes were retired.
    pub async fn forget_canaries(&mut self) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM canaries WHERE idx NOT IN (SELECT idx FROM status_indexes)")
        )
    }

    /// Takes or renews a lease until `until`; false if somebody else has it.
    pub async fn take_lease(
        &mut self,
        name: &str,
        holder: &str,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO leases (name, holder, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
             WHERE leases.holder = excluded.holder OR leases.expires_at < $4"
            )
            .bind(name)
            .bind(holder)
            .bind(int(until.0))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// When an edge was last heard of that fetches, by any instance.
    pub async fn last_fetch(&mut self, edge: &str) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT MAX(used_at) FROM edge_keys WHERE edge = $1").bind(edge).fetch_one(conn).await)?;
        at.map(|at| uint(at, "time").map(UnixMillis)).transpose()
    }
}
