//! SQL for the audit trail: append and read, nothing else.

use shared::id::{AuditId, OrgId};
use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected};

/// A row of the trail.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditRow {
    /// Its id.
    pub id: i64,
    /// When the change was made, in milliseconds.
    pub at: i64,
    /// In which organisation; `None` for the installation itself.
    pub org_id: Option<i64>,
    /// Who.
    pub actor: String,
    /// With which credential.
    pub credential: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// More, as a JSON object.
    pub detail: String,
    /// In which request.
    pub request_id: Option<String>,
}

impl Tx {
    /// Appends a row.
    pub async fn insert_audit(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO audit (id, at, org_id, actor, credential, action, target, detail, request_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            )
            .bind(row.id)
            .bind(row.at)
            .bind(row.org_id)
            .bind(&row.actor)
            .bind(&row.credential)
            .bind(&row.action)
            .bind(&row.target)
            .bind(&row.detail)
            .bind(&row.request_id)
        )?;
        Ok(())
    }

    /// What happened in an organisation, newest first.
    pub async fn audit_of_org(&mut self, org: OrgId, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, at, org_id, actor, credential, action, target, detail, request_id
             FROM audit WHERE org_id = $1 ORDER BY at DESC, id DESC LIMIT $2")
            .bind(int(org.get())).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// What happened to a target, newest first.
    pub async fn audit_of(&mut self, target: &str, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, at, org_id, actor, credential, action, target, detail, request_id
             FROM audit WHERE target = $1 ORDER BY at DESC, id DESC LIMIT $2")
            .bind(target).bind(i64::from(limit)).fetch_all(conn).await)
    }
}

/// The id and the organisation as stored.
pub(crate) fn stored_ids(id: AuditId, org: Option<OrgId>) -> (i64, Option<i64>) {
    (int(id.get()), org.map(|org| int(org.get())))
}

/// The time as stored.
pub(crate) fn stored_time(at: UnixMillis) -> i64 {
    int(at.0)
}
