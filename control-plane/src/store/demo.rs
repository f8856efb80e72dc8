//! SQL for the demo's objects: what `portcullis demo` made, made older, and taken away again.

use shared::id::{ClientId, GrantId, InvitationId, KeyId, OrgId, UserId, WebhookId, WorkspaceId};
use shared::time::UnixMillis;

use super::grants::{client_id, grant_id};
use super::orgs::{user_id, workspace_id};
use super::webhooks::Delivery;
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
    /// Their apps.
    pub clients: Vec<ClientId>,
    /// What they let apps do.
    pub grants: Vec<GrantId>,
    /// Whom they asked in.
    pub invitations: Vec<InvitationId>,
    /// Who is told of changes.
    pub webhooks: Vec<WebhookId>,
}

/// What is dated back: a statement that touches what the demo made, and nothing else.
macro_rules! backdate {
    ($kind:literal, $set:literal) => {
        concat!(
            "UPDATE ",
            $set,
            " WHERE id = $1 AND EXISTS
                 (SELECT 1 FROM demo_objects WHERE kind = '",
            $kind,
            "' AND demo_objects.id = $1)"
        )
    };
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
                "client" => objects.clients.push(client_id(id)?),
                "grant" => objects.grants.push(grant_id(id)?),
                "invitation" => {
                    let id = InvitationId::from_u64(uint(id, "invitation id")?);
                    objects
                        .invitations
                        .push(id.ok_or(StoreError::Corrupt("invitation id"))?);
                }
                "webhook" => {
                    let id = WebhookId::from_u64(uint(id, "webhook id")?);
                    objects
                        .webhooks
                        .push(id.ok_or(StoreError::Corrupt("webhook id"))?);
                }
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
        let sql = backdate!("key", "api_keys SET created_at = $2, issued_at_seconds = $3");
        rows_affected!(
            self,
            sqlx::query(sql)
                .bind(int(id.get()))
                .bind(int(at.0))
                .bind(int(at.seconds().0))
        )?;
        Ok(())
    }

    /// The same for an app.
    pub async fn backdate_demo_client(&mut self, id: ClientId, at: UnixMillis) -> Result<(), StoreError> {
        let sql = backdate!("client", "clients SET created_at = $2");
        rows_affected!(self, sqlx::query(sql).bind(int(id.get())).bind(int(at.0)))?;
        Ok(())
    }

    /// The same for what somebody let an app do, and when the app last acted.
    pub async fn backdate_demo_grant(
        &mut self,
        id: GrantId,
        at: UnixMillis,
        acted: UnixMillis,
    ) -> Result<(), StoreError> {
        let sql = backdate!("grant", "grants SET created_at = $2, acted_at = $3");
        rows_affected!(
            self,
            sqlx::query(sql)
                .bind(int(id.get()))
                .bind(int(at.0))
                .bind(int(acted.0))
        )?;
        Ok(())
    }

    /// Makes a webhook one that is switched off, after it took something or failed.
    pub async fn switch_off_demo_webhook(
        &mut self,
        id: WebhookId,
        reason: &str,
        (made, off): (UnixMillis, UnixMillis),
        (delivered, failing): (Option<UnixMillis>, Option<UnixMillis>),
    ) -> Result<(), StoreError> {
        let sql = backdate!(
            "webhook",
            "webhooks SET created_at = $2, disabled_at = $3, disabled_reason = $4, delivered_at = $5, failing_since = $6"
        );
        rows_affected!(
            self,
            sqlx::query(sql)
                .bind(int(id.get()))
                .bind(int(made.0))
                .bind(int(off.0))
                .bind(reason)
                .bind(delivered.map(|at| int(at.0)))
                .bind(failing.map(|at| int(at.0)))
        )?;
        Ok(())
    }

    /// Adds a message that is over: nobody sends it.
    pub async fn insert_demo_delivery(&mut self, message: &Delivery) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO webhook_deliveries (id, webhook_id, event, payload, created_at, attempts, last_at, last_status,
                                                 last_error, delivered_at, given_up_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
            )
            .bind(int(message.id.get()))
            .bind(int(message.webhook.get()))
            .bind(&message.event)
            .bind(&message.payload)
            .bind(int(message.created_at.0))
            .bind(int(message.attempts))
            .bind(message.last_at.map(|at| int(at.0)))
            .bind(message.last_status.map(int))
            .bind(&message.last_error)
            .bind(message.delivered_at.map(|at| int(at.0)))
            .bind(message.given_up_at.map(|at| int(at.0)))
        )?;
        Ok(())
    }

    /// Takes the demo's objects away, and the use of its keys. Keys and grants must be revoked, and that must have left the
    /// outbox's writer: this only forgets them. What somebody else made with one of them stands in the way.
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
            "DELETE FROM webhook_deliveries WHERE webhook_id IN (SELECT id FROM demo_objects WHERE kind = 'webhook')",
            "DELETE FROM webhooks WHERE id IN (SELECT id FROM demo_objects WHERE kind = 'webhook')",
            "DELETE FROM invitations WHERE id IN (SELECT id FROM demo_objects WHERE kind = 'invitation')",
            "DELETE FROM grant_indexes WHERE grant_id IN (SELECT id FROM demo_objects WHERE kind = 'grant')",
            "DELETE FROM grants WHERE revoked_at IS NOT NULL AND id IN (SELECT id FROM demo_objects WHERE kind = 'grant')",
            "DELETE FROM consents WHERE user_id IN (SELECT id FROM demo_objects WHERE kind = 'user')",
            "DELETE FROM clients WHERE id IN (SELECT id FROM demo_objects WHERE kind = 'client')",
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
