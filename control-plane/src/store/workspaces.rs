//! SQL for workspaces: their names, their end, and how many keys are in use in one.

use std::collections::BTreeMap;

use shared::id::{OrgId, WorkspaceId};
use shared::time::{UnixMillis, UnixSeconds};
use sqlx::AssertSqlSafe;

use super::orgs::{millis, workspace_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint, wanted};

/// A part of an organisation that credentials can be narrowed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// What people call it; no other of the organisation is called the same.
    pub name: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Since when nothing is issued for it.
    pub archived_at: Option<UnixMillis>,
}

/// What a list of workspaces shows.
#[derive(Clone, Debug)]
pub struct WorkspaceFilter {
    /// Of which organisation.
    pub org: OrgId,
    /// Those that were archived, or those that were not.
    pub archived: bool,
    /// After this name.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    name: String,
    created_at: i64,
    archived_at: Option<i64>,
}

impl TryFrom<Row> for Workspace {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: workspace_id(row.id)?,
            name: row.name,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            archived_at: millis(row.archived_at)?,
        })
    }
}

impl Tx {
    /// An organisation's workspace.
    pub async fn workspace(&mut self, org: OrgId, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        let row: Option<Row> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, name, created_at, archived_at FROM workspaces WHERE id = $2 AND org_id = $1")
            .bind(int(org.get())).bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Workspace::try_from).transpose()
    }

    /// Workspaces in the order of their names.
    pub async fn workspaces(&mut self, filter: &WorkspaceFilter) -> Result<Vec<Workspace>, StoreError> {
        let text = if filter.archived {
            "SELECT id, name, created_at, archived_at FROM workspaces
             WHERE org_id = $1 AND archived_at IS NOT NULL AND name > $2 ORDER BY name LIMIT $3"
        } else {
            "SELECT id, name, created_at, archived_at FROM workspaces
             WHERE org_id = $1 AND archived_at IS NULL AND name > $2 ORDER BY name LIMIT $3"
        };
        let rows: Vec<Row> = on_db!(self, conn => sqlx::query_as(text)
            .bind(int(filter.org.get())).bind(filter.after.as_deref().unwrap_or_default())
            .bind(i64::from(filter.limit)).fetch_all(conn).await)?;
        rows.into_iter().map(Workspace::try_from).collect()
    }

    /// Gives a workspace another name; false if there is none. A name that another has is a unique violation.
    pub async fn rename_workspace(
        &mut self,
        org: OrgId,
        id: WorkspaceId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE workspaces SET name = $3 WHERE org_id = $1 AND id = $2")
                .bind(int(org.get()))
                .bind(int(id.get()))
                .bind(name)
        )?;
        Ok(rows == 1)
    }

    /// Lets nothing be issued for a workspace any more; false if that is so already.
    pub async fn archive_workspace(
        &mut self,
        org: OrgId,
        id: WorkspaceId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE workspaces SET archived_at = $3 WHERE org_id = $1 AND id = $2 AND archived_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(int(id.get()))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Takes a workspace out of the archive; false if it is not there. What was ended stays dead.
    pub async fn restore_workspace(&mut self, org: OrgId, id: WorkspaceId) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE workspaces SET archived_at = NULL
                 WHERE org_id = $1 AND id = $2 AND archived_at IS NOT NULL"
            )
            .bind(int(org.get()))
            .bind(int(id.get()))
        )?;
        Ok(rows == 1)
    }

    /// How many keys are in use in each of these workspaces (neither revoked nor ended nor replaced), counted up to `most` each.
    pub async fn keys_in_use(
        &mut self,
        ids: &[WorkspaceId],
        now: UnixSeconds,
        most: u32,
    ) -> Result<BTreeMap<WorkspaceId, u64>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "{} SELECT w.id, (SELECT COUNT(*) FROM (
                 SELECT 1 FROM api_keys WHERE workspace_id = w.id AND expires_at_seconds IS NULL
                 AND revoked_at IS NULL AND rotated_to IS NULL
                 UNION ALL
                 SELECT 1 FROM api_keys WHERE workspace_id = w.id AND expires_at_seconds > $1
                 AND revoked_at IS NULL AND rotated_to IS NULL
                 LIMIT $2) AS counted)
             FROM wanted w",
            wanted(3, ids.len())
        );
        let rows: Vec<(i64, i64)> = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone())).bind(int(now.0)).bind(i64::from(most));
            for id in ids {
                query = query.bind(int(id.get()));
            }
            query.fetch_all(conn).await
        })?;
        rows.into_iter()
            .map(|(id, count)| Ok((workspace_id(id)?, uint(count, "count")?)))
            .collect()
    }
}
