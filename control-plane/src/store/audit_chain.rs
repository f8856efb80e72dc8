//! SQL for the chain over the audit trail: what waits, what is chained, the seals, and what a walk along it needs.

use super::audit::AuditRow;
use super::{StoreError, Tx, on_db, rows_affected};

/// A row that waits to be chained.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingRow {
    /// Its id.
    pub audit_id: i64,
    /// Its chain.
    pub chain: i64,
    /// Of what it says; `None` in rows of an older release.
    pub digest: Option<Vec<u8>>,
}

/// A place in a chain.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ChainRow {
    /// From 1.
    pub position: i64,
    /// Which row is there.
    pub audit_id: i64,
    /// Since when.
    pub sealed_at: i64,
    /// The head up to here.
    pub head: Vec<u8>,
}

/// How far a chain was when it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SealHeadRow {
    /// The chain.
    pub chain: i64,
    /// Its last position.
    pub position: i64,
    /// By which seal.
    pub seal: i64,
    /// The head up to there.
    pub head: Vec<u8>,
}

/// A seal over the heads of chains.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SealRow {
    /// From 1.
    pub number: i64,
    /// When.
    pub sealed_at: i64,
    /// Over the seal before, and the heads.
    pub head: Vec<u8>,
    /// Which key made the code.
    pub mac_key: Vec<u8>,
    /// The authentication code of the head.
    pub mac: Vec<u8>,
}

/// A row that is beside the chain.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LinkRow {
    /// When it says that it was written.
    pub at: i64,
    /// Its id.
    pub id: i64,
    /// In which chain it has a place.
    pub chained: Option<i64>,
    /// In which chain it waits for one.
    pub waiting: Option<i64>,
}

/// What the last walk along a chain found.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CheckRow {
    /// The chain.
    pub chain: i64,
    /// When it ended.
    pub checked_at: i64,
    /// The last position that was looked at.
    pub position: i64,
    /// The first that is bad; 0 for a row without a place.
    pub bad_position: Option<i64>,
    /// Why.
    pub reason: Option<String>,
}

impl Tx {
    /// Says that a row is to be chained; part of the transaction that writes it.
    pub async fn wait_for_seal(&mut self, row: &AuditRow, digest: &[u8; 32]) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("INSERT INTO audit_waiting (audit_id, chain, at, digest) VALUES ($1, $2, $3, $4)")
                .bind(row.id)
                .bind(row.chain)
                .bind(row.at)
                .bind(digest.as_slice())
        )?;
        Ok(())
    }

    /// Whether anything waits.
    pub async fn has_waiting(&mut self) -> Result<bool, StoreError> {
        let one: Option<i64> = on_db!(self, conn => sqlx::query_scalar("SELECT audit_id FROM audit_waiting LIMIT 1")
            .fetch_optional(conn).await)?;
        Ok(one.is_some())
    }

    /// Holds the sealer until the commit, and gives the last seal.
    pub async fn hold_sealer(&mut self) -> Result<(i64, Vec<u8>), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO audit_sealer (id, number, head) VALUES (1, 0, $1) ON CONFLICT (id) DO NOTHING"
            )
            .bind([0u8; 32].as_slice())
        )?;
        on_db!(self, conn => sqlx::query_as("UPDATE audit_sealer SET number = number WHERE id = 1 RETURNING number, head")
            .fetch_one(conn).await)
    }

    /// The number and the head of the last seal, if there is one.
    pub async fn last_seal(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        on_db!(self, conn => sqlx::query_as("SELECT number, head FROM audit_sealer WHERE id = 1")
            .fetch_optional(conn).await)
    }

    /// What waits, oldest first.
    pub async fn waiting(&mut self, limit: u32) -> Result<Vec<WaitingRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT audit_id, chain, digest FROM audit_waiting ORDER BY at, audit_id LIMIT $1")
            .bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// A row that waits without a digest.
    pub async fn audit_row(&mut self, id: i64) -> Result<Option<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, at, chain, org_id, actor, credential, action, target, detail, salt, detail_digest, personal, address,
                    request_id
             FROM audit WHERE id = $1").bind(id).fetch_optional(conn).await)
    }

    /// How far a chain is sealed. By the seals, not by the chain: what was cut off there is not taken up again.
    pub async fn sealed_up_to(&mut self, chain: i64) -> Result<Option<SealHeadRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT chain, position, seal, head FROM audit_seal_heads WHERE chain = $1 ORDER BY position DESC LIMIT 1")
            .bind(chain).fetch_optional(conn).await)
    }

    /// Whether a row has a place in any chain.
    pub async fn is_chained(&mut self, audit_id: i64) -> Result<bool, StoreError> {
        let place: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT position FROM audit_chain WHERE audit_id = $1").bind(audit_id).fetch_optional(conn).await)?;
        Ok(place.is_some())
    }

    /// The last place of a chain.
    pub async fn last_chained(&mut self, chain: i64) -> Result<Option<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar("SELECT MAX(position) FROM audit_chain WHERE chain = $1")
            .bind(chain).fetch_one(conn).await)
    }

    /// Puts a row into a chain.
    pub async fn insert_chained(&mut self, chain: i64, row: &ChainRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO audit_chain (chain, position, audit_id, sealed_at, head) VALUES ($1, $2, $3, $4, $5)"
            )
            .bind(chain)
            .bind(row.position)
            .bind(row.audit_id)
            .bind(row.sealed_at)
            .bind(row.head.as_slice())
        )?;
        Ok(())
    }

    /// A row waits no more.
    pub async fn drop_waiting(&mut self, audit_id: i64) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM audit_waiting WHERE audit_id = $1").bind(audit_id)
        )?;
        Ok(())
    }

    /// Writes a seal with its heads, and makes it the last one.
    pub async fn insert_seal(&mut self, seal: &SealRow, heads: &[SealHeadRow]) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO audit_seals (number, sealed_at, head, mac_key, mac) VALUES ($1, $2, $3, $4, $5)"
            )
            .bind(seal.number)
            .bind(seal.sealed_at)
            .bind(seal.head.as_slice())
            .bind(seal.mac_key.as_slice())
            .bind(seal.mac.as_slice())
        )?;
        for head in heads {
            rows_affected!(
                self,
                sqlx::query(
                    "INSERT INTO audit_seal_heads (chain, position, seal, head) VALUES ($1, $2, $3, $4)"
                )
                .bind(head.chain)
                .bind(head.position)
                .bind(head.seal)
                .bind(head.head.as_slice())
            )?;
        }
        rows_affected!(
            self,
            sqlx::query("UPDATE audit_sealer SET number = $1, head = $2 WHERE id = 1")
                .bind(seal.number)
                .bind(seal.head.as_slice())
        )?;
        Ok(())
    }

    /// Places of a chain after one of them.
    pub async fn chained(&mut self, chain: i64, after: i64, limit: u32) -> Result<Vec<ChainRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT position, audit_id, sealed_at, head FROM audit_chain WHERE chain = $1 AND position > $2
             ORDER BY position LIMIT $3")
            .bind(chain).bind(after).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// The head at a place.
    pub async fn chain_head(&mut self, chain: i64, position: i64) -> Result<Option<Vec<u8>>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar("SELECT head FROM audit_chain WHERE chain = $1 AND position = $2")
            .bind(chain).bind(position).fetch_optional(conn).await)
    }

    /// The rows at the places after one up to another.
    pub async fn audit_rows_at(
        &mut self,
        chain: i64,
        after: i64,
        to: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT a.id, a.at, a.chain, a.org_id, a.actor, a.credential, a.action, a.target, a.detail, a.salt,
                    a.detail_digest, a.personal, a.address, a.request_id
             FROM audit_chain c JOIN audit a ON a.id = c.audit_id
             WHERE c.chain = $1 AND c.position > $2 AND c.position <= $3")
            .bind(chain).bind(after).bind(to).fetch_all(conn).await)
    }

    /// How far a chain was at each seal after a place up to another.
    pub async fn seal_heads_at(
        &mut self,
        chain: i64,
        after: i64,
        to: i64,
    ) -> Result<Vec<SealHeadRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT chain, position, seal, head FROM audit_seal_heads
             WHERE chain = $1 AND position > $2 AND position <= $3 ORDER BY position")
            .bind(chain).bind(after).bind(to).fetch_all(conn).await)
    }

    /// A seal.
    pub async fn seal(&mut self, number: i64) -> Result<Option<SealRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as("SELECT number, sealed_at, head, mac_key, mac FROM audit_seals WHERE number = $1")
            .bind(number).fetch_optional(conn).await)
    }

    /// The seal with this head.
    pub async fn seal_with_head(&mut self, head: &[u8; 32]) -> Result<Option<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar("SELECT number FROM audit_seals WHERE head = $1")
            .bind(head.as_slice()).fetch_optional(conn).await)
    }

    /// The heads under a seal.
    pub async fn heads_of_seal(&mut self, number: i64) -> Result<Vec<SealHeadRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT chain, position, seal, head FROM audit_seal_heads WHERE seal = $1 ORDER BY chain")
            .bind(number).fetch_all(conn).await)
    }

    /// Rows of a chain by their time, with where each of them is chained or waits.
    pub async fn audit_links(
        &mut self,
        chain: i64,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<LinkRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT a.at, a.id, c.chain AS chained, w.chain AS waiting FROM audit a
             LEFT JOIN audit_chain c ON c.audit_id = a.id LEFT JOIN audit_waiting w ON w.audit_id = a.id
             WHERE a.chain = $1 AND (a.at, a.id) > ($2, $3) ORDER BY a.at, a.id LIMIT $4")
            .bind(chain).bind(after.0).bind(after.1).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// A row that waits to be chained and is not there.
    pub async fn lost_while_waiting(&mut self, chain: i64) -> Result<Option<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "SELECT w.audit_id FROM audit_waiting w LEFT JOIN audit a ON a.id = w.audit_id
             WHERE w.chain = $1 AND a.id IS NULL LIMIT 1")
            .bind(chain).fetch_optional(conn).await)
    }

    /// Every chain after one of them, with its last sealed position.
    pub async fn chains(&mut self, after: i64, limit: u32) -> Result<Vec<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "SELECT chain FROM (SELECT 0 AS chain UNION SELECT id AS chain FROM orgs) AS all_chains
             WHERE chain > $1 ORDER BY chain LIMIT $2")
            .bind(after).bind(i64::from(limit)).fetch_all(conn).await)
    }

    /// What the last walk found.
    pub async fn audit_check(&mut self, chain: i64) -> Result<Option<CheckRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT chain, checked_at, position, bad_position, reason FROM audit_checks WHERE chain = $1")
            .bind(chain).fetch_optional(conn).await)
    }

    /// Notes what a walk found.
    pub async fn set_audit_check(&mut self, check: &CheckRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO audit_checks (chain, checked_at, position, bad_position, reason) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (chain) DO UPDATE SET checked_at = excluded.checked_at, position = excluded.position,
                    bad_position = excluded.bad_position, reason = excluded.reason"
            )
            .bind(check.chain)
            .bind(check.checked_at)
            .bind(check.position)
            .bind(check.bad_position)
            .bind(&check.reason)
        )?;
        Ok(())
    }
}
