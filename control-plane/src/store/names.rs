//! SQL for what ids are called: of people and workspaces of one organisation, for pages that show ids' owners.

use std::collections::HashMap;

use shared::id::{OrgId, UserId, WorkspaceId};
use sqlx::AssertSqlSafe;

use super::orgs::{user_id, workspace_id};
use super::{StoreError, Tx, int, on_db};

impl Tx {
    /// The e-mail addresses of members, by id; of a program its name. Ids of others are left out.
    pub async fn emails_of(
        &mut self,
        org: OrgId,
        users: &[UserId],
    ) -> Result<HashMap<UserId, String>, StoreError> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let places: Vec<String> = (0..users.len()).map(|nth| format!("${}", nth + 2)).collect();
        let sql = format!(
            "SELECT u.id, CASE WHEN u.kind = 'service' THEN u.name ELSE u.email END FROM users u
             WHERE u.id IN ({}) AND EXISTS (SELECT 1 FROM memberships m WHERE m.org_id = $1 AND m.user_id = u.id)",
            places.join(", ")
        );
        let rows: Vec<(i64, String)> = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone())).bind(int(org.get()));
            for user in users {
                query = query.bind(int(user.get()));
            }
            query.fetch_all(conn).await
        })?;
        rows.into_iter()
            .map(|(id, email)| Ok((user_id(id)?, email)))
            .collect()
    }

    /// The workspaces of an organisation that are in use, by name.
    pub async fn workspace_names(
        &mut self,
        org: OrgId,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, String)>, StoreError> {
        let rows: Vec<(i64, String)> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, name FROM workspaces WHERE org_id = $1 AND archived_at IS NULL ORDER BY name LIMIT $2")
            .bind(int(org.get())).bind(i64::from(limit)).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(id, name)| Ok((workspace_id(id)?, name)))
            .collect()
    }
}
