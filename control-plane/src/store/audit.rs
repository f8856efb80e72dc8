//! SQL for the audit trail: rows are appended and searched here, and never changed but by retention, which drops what their
//! digests keep. The chain over them is in `audit_chain`.

use std::collections::BTreeMap;

use shared::id::{AuditId, OrgId};
use shared::time::UnixMillis;
use sqlx::AssertSqlSafe;

use super::{StoreError, Tx, int, on_db, places, rows_affected};

/// A row of the trail.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditRow {
    /// Its id.
    pub id: i64,
    /// When the change was made, in milliseconds.
    pub at: i64,
    /// In which chain it is: the number of the organisation, 0 for the installation.
    pub chain: i64,
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
    /// More, as a JSON object; empty once it was dropped.
    pub detail: String,
    /// Goes into the digest of the detail; `None` in rows of an older release, and once the detail was dropped.
    pub salt: Option<Vec<u8>>,
    /// What is left of a detail that was dropped.
    pub detail_digest: Option<Vec<u8>>,
    /// Names and addresses of people, sealed; or the digest of what was dropped.
    pub personal: Option<Vec<u8>>,
    /// The network address, likewise.
    pub address: Option<Vec<u8>>,
    /// In which request.
    pub request_id: Option<String>,
}

/// A row and its place in the chain, once it has one.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditEntry {
    /// The row.
    #[sqlx(flatten)]
    pub row: AuditRow,
    /// From 1.
    pub position: Option<i64>,
}

/// Which rows of a chain are wanted. One of actor, action and target decides the index; all of them are looked at.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// The chain.
    pub chain: i64,
    /// By whom.
    pub actor: Option<String>,
    /// What.
    pub action: Option<String>,
    /// To what.
    pub target: Option<String>,
    /// The far end of the time: rows at or after it, backwards; before it, forwards.
    pub until: i64,
    /// Where to go on: the time and the id of the row before.
    pub after: (i64, i64),
    /// At most so many rows are read.
    pub limit: u32,
}

impl AuditFilter {
    /// Whether a row is wanted.
    pub fn admits(&self, row: &AuditRow) -> bool {
        let same = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
        same(&self.actor, &row.actor) && same(&self.action, &row.action) && same(&self.target, &row.target)
    }
}

/// One statement per index and direction: with `OR` no engine would use an index. What is looked up is compared for equality, and
/// only the time and the id as a row value: of a row value that says where a scan ends, PostgreSQL believes the first column only,
/// and reads on to the end of the chain. Which index SQLite takes depends on the order in which they were made (migration 0029).
macro_rules! search {
    (all, back) => {
        search!(@ "a.chain = $1 AND $2 = '' AND a.at >= $3 AND (a.at, a.id) < ($4, $5) ORDER BY a.at DESC, a.id DESC")
    };
    (all, on) => {
        search!(@ "a.chain = $1 AND $2 = '' AND a.at < $3 AND (a.at, a.id) > ($4, $5) ORDER BY a.at, a.id")
    };
    ($column:literal, back) => {
        search!(@ concat!(
            "a.chain = $1 AND ", $column, " = $2 AND a.at >= $3 AND (a.at, a.id) < ($4, $5) ORDER BY a.at DESC, a.id DESC"))
    };
    ($column:literal, on) => {
        search!(@ concat!(
            "a.chain = $1 AND ", $column, " = $2 AND a.at < $3 AND (a.at, a.id) > ($4, $5) ORDER BY a.at, a.id"))
    };
    (@ $rest:expr) => {
        concat!(
            "SELECT a.id, a.at, a.chain, a.org_id, a.actor, a.credential, a.action, a.target, a.detail, a.salt,
                    a.detail_digest, a.personal, a.address, a.request_id
             FROM audit a WHERE ", $rest, " LIMIT $6")
    };
}

/// The statement for a filter, newest or oldest first, and what it looks up.
fn statement(filter: &AuditFilter, newest_first: bool) -> (&'static str, &str) {
    match (filter, newest_first) {
        (
            AuditFilter {
                target: Some(target), ..
            },
            true,
        ) => (search!("a.target", back), target),
        (
            AuditFilter {
                target: Some(target), ..
            },
            false,
        ) => (search!("a.target", on), target),
        (
            AuditFilter {
                actor: Some(actor), ..
            },
            true,
        ) => (search!("a.actor", back), actor),
        (
            AuditFilter {
                actor: Some(actor), ..
            },
            false,
        ) => (search!("a.actor", on), actor),
        (
            AuditFilter {
                action: Some(action), ..
            },
            true,
        ) => (search!("a.action", back), action),
        (
            AuditFilter {
                action: Some(action), ..
            },
            false,
        ) => (search!("a.action", on), action),
        (_, true) => (search!(all, back), ""),
        (_, false) => (search!(all, on), ""),
    }
}

impl Tx {
    /// Appends a row.
    pub async fn insert_audit(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO audit (id, at, chain, org_id, actor, credential, action, target, detail, salt, detail_digest,
                                    personal, address, request_id)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
            )
            .bind(row.id)
            .bind(row.at)
            .bind(row.chain)
            .bind(row.org_id)
            .bind(&row.actor)
            .bind(&row.credential)
            .bind(&row.action)
            .bind(&row.target)
            .bind(&row.detail)
            .bind(row.salt.as_deref())
            .bind(row.detail_digest.as_deref())
            .bind(row.personal.as_deref())
            .bind(row.address.as_deref())
            .bind(&row.request_id)
        )?;
        Ok(())
    }

    /// What happened in an organisation, newest first.
    pub async fn audit_of_org(&mut self, org: OrgId, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, at, chain, org_id, actor, credential, action, target, detail, salt, detail_digest, personal, address,
                    request_id
             FROM audit WHERE chain = $1 ORDER BY at DESC, id DESC LIMIT $2")
            .bind(int(org.get())).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// What happened to a target, newest first.
    pub async fn audit_of(&mut self, target: &str, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, at, chain, org_id, actor, credential, action, target, detail, salt, detail_digest, personal, address,
                    request_id
             FROM audit WHERE target = $1 ORDER BY at DESC, id DESC LIMIT $2")
            .bind(target).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// One row of a chain.
    pub async fn audit_entry(&mut self, chain: i64, id: i64) -> Result<Option<AuditEntry>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT a.id, a.at, a.chain, a.org_id, a.actor, a.credential, a.action, a.target, a.detail, a.salt,
                    a.detail_digest, a.personal, a.address, a.request_id, c.position
             FROM audit a LEFT JOIN audit_chain c ON c.audit_id = a.id WHERE a.chain = $1 AND a.id = $2")
            .bind(chain).bind(id).fetch_optional(conn).await)
    }

    /// Rows by one index of what is wanted, newest first. The caller applies the rest of the filter.
    pub async fn audit_back(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let (text, wanted) = statement(filter, true);
        on_db!(self, conn => sqlx::query_as(text)
            .bind(filter.chain).bind(wanted).bind(filter.until).bind(filter.after.0).bind(filter.after.1)
            .bind(i64::from(filter.limit)).fetch_all(conn).await)
    }

    /// The same, oldest first.
    pub async fn audit_on(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let (text, wanted) = statement(filter, false);
        on_db!(self, conn => sqlx::query_as(text)
            .bind(filter.chain).bind(wanted).bind(filter.until).bind(filter.after.0).bind(filter.after.1)
            .bind(i64::from(filter.limit)).fetch_all(conn).await)
    }

    /// Rows with their places in the chain, in their order.
    pub async fn with_positions(&mut self, rows: Vec<AuditRow>) -> Result<Vec<AuditEntry>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT audit_id, position FROM audit_chain WHERE audit_id IN ({})",
            places(1, rows.len())
        );
        let found: Vec<(i64, i64)> = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone()));
            for row in &rows {
                query = query.bind(row.id);
            }
            query.fetch_all(conn).await
        })?;
        let positions: BTreeMap<i64, i64> = found.into_iter().collect();
        let placed = |row: AuditRow| AuditEntry {
            position: positions.get(&row.id).copied(),
            row,
        };
        Ok(rows.into_iter().map(placed).collect())
    }

    /// The newest row of a chain about an action.
    pub async fn last_audit(&mut self, chain: i64, action: &str) -> Result<Option<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, at, chain, org_id, actor, credential, action, target, detail, salt, detail_digest, personal, address,
                    request_id
             FROM audit WHERE chain = $1 AND action = $2 ORDER BY at DESC, id DESC LIMIT 1")
            .bind(chain).bind(action).fetch_optional(conn).await)
    }
}

/// The plan of a search on SQLite.
#[cfg(test)]
pub(crate) async fn plan_of_search(tx: &mut Tx, filter: &AuditFilter, newest_first: bool) -> String {
    let (text, wanted) = statement(filter, newest_first);
    let sql = format!("EXPLAIN QUERY PLAN {text}");
    let plan: Vec<(i64, i64, i64, String)> = on_db!(tx, conn => sqlx::query_as(AssertSqlSafe(sql.clone()))
        .bind(filter.chain).bind(wanted).bind(filter.until).bind(filter.after.0).bind(filter.after.1).bind(1i64)
        .fetch_all(conn).await)
    .expect("a plan");
    plan.into_iter()
        .map(|(.., step)| step)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The id and the organisation as stored.
pub(crate) fn stored_ids(id: AuditId, org: Option<OrgId>) -> (i64, Option<i64>) {
    (int(id.get()), org.map(|org| int(org.get())))
}

/// The time as stored.
pub(crate) fn stored_time(at: UnixMillis) -> i64 {
    int(at.0)
}
