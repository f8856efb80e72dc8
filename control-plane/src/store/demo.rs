//! SQL for the demo's objects: what `portcullis demo` made, made older, and taken away again.

use shared::id::{KeyId, OrgId, UserId, WorkspaceId};
use shared::time::UnixMillis;

use super::orgs::{user_id, workspace_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// What the demo made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoObjects {
    /// People.
    pub users: Vec<UserId>,
    /// Their workspaces.
    pub workspaces: Vec<WorkspaceId>,
    /// Their keys.
    pub keys: Vec<KeyId>,
}

impl Tx {
    /// Notes something that the demo made.
    pub async fn insert_demo_object(&mut self, kind: &str, id: u64) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("INSERT INTO demo_objects (kind, id) VALUES ($1, $2)")
                .bind(kind)
                .bind(int(id))
        )?;
        Ok(())
    }

    /// Everything that the demo made.
    pub async fn demo_objects(&mut self) -> Result<DemoObjects, StoreError> {
        let rows: Vec<(String, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT kind, id FROM demo_objects ORDER BY kind, id").fetch_all(conn).await)?;
        let mut objects = DemoObjects::default();
        for (kind, id) in rows {
            match kind.as_str() {
                "user" => objects.users.push(user_id(id)?),
                "workspace" => objects.workspaces.push(workspace_id(id)?),
                _ => {
                    let id = KeyId::from_u64(uint(id, "key id")?).ok_or(StoreError::Corrupt("key id"))?;
                    objects.keys.push(id);
                }
            }
        }
        Ok(objects)
    }

    /// Makes a demo key as old as its story says. Nobody has its text, so its statement does not matter.
    pub async fn backdate_demo_key(&mut self, id: KeyId, at: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET created_at = $2, issued_at_seconds = $3
                 WHERE id = $1 AND EXISTS (SELECT 1 FROM demo_objects WHERE kind = 'key' AND demo_objects.id = $1)"
            )
            .bind(int(id.get()))
            .bind(int(at.0))
            .bind(int(at.seconds().0))
        )?;
        Ok(())
    }

    /// Takes the demo's objects away, and the use of its keys. They must be revoked, and that must have left the outbox's
    /// writer: this only forgets them.
    pub async fn forget_demo(&mut self, org: OrgId, objects: &DemoObjects) -> Result<(), StoreError> {
        for key in &objects.keys {
            let name = key.to_string();
            for sql in [
                "DELETE FROM usage_hours WHERE org_id = $1 AND credential = $2",
                "DELETE FROM usage_credentials WHERE org_id = $1 AND credential = $2",
            ] {
                rows_affected!(self, sqlx::query(sql).bind(int(org.get())).bind(&name))?;
            }
            rows_affected!(
                self,
                sqlx::query("UPDATE api_keys SET rotated_from = NULL, rotated_to = NULL WHERE id = $1")
                    .bind(int(key.get()))
            )?;
        }
        rows_affected!(
            self,
            sqlx::query("DELETE FROM usage_days WHERE org_id = $1").bind(int(org.get()))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO usage_days (org_id, day, reason, requests, last_at)
                 SELECT org_id, hour / 24, reason, CAST(SUM(requests) AS BIGINT), MAX(last_at)
                 FROM usage_hours WHERE org_id = $1 GROUP BY org_id, hour / 24, reason"
            )
            .bind(int(org.get()))
        )?;
        for sql in [
            "DELETE FROM api_keys WHERE revoked_at IS NOT NULL AND id IN (SELECT id FROM demo_objects WHERE kind = 'key')",
            "DELETE FROM workspaces WHERE id IN (SELECT id FROM demo_objects WHERE kind = 'workspace')",
            "DELETE FROM memberships WHERE user_id IN (SELECT id FROM demo_objects WHERE kind = 'user')",
            "DELETE FROM users WHERE id IN (SELECT id FROM demo_objects WHERE kind = 'user')",
            "DELETE FROM demo_objects",
        ] {
            rows_affected!(self, sqlx::query(sql))?;
        }
        Ok(())
    }
}
