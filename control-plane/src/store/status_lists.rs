//! SQL for status lists: which indexes of a range do not count any more, and which do not count for now.
//!
//! The same facts that `oauth::effective` asks of one token, asked of all of a list at once.

use shared::id::{ClientId, OrgId, StatusIndex, UserId};
use shared::time::UnixSeconds;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// Whom a token that stands alone was issued to.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// In which organisation.
    pub org: OrgId,
    /// The person, if it acts for one.
    pub user: Option<UserId>,
    /// The client.
    pub client: ClientId,
    /// When: a not-before at or after it kills the token.
    pub issued_at: UnixSeconds,
}

/// What a list was computed from. Equal marks: nothing has changed that goes to the edge.
///
/// The head of the feed alone lags behind, and the newest row alone is not enough: PostgreSQL commits out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    epoch: i64,
    seq: i64,
    newest: i64,
    pending: i64,
}

impl Tx {
    /// How far the outbox and the feed are.
    pub async fn status_mark(&mut self) -> Result<Mark, StoreError> {
        let (epoch, seq): (i64, i64) = on_db!(self, conn => sqlx::query_as(
            "SELECT epoch, seq FROM feed_frames WHERE feed = 0 ORDER BY epoch DESC, seq DESC LIMIT 1")
            .fetch_optional(conn).await)?
        .unwrap_or_default();
        let newest: Option<i64> = on_db!(self, conn => sqlx::query_scalar("SELECT MAX(id) FROM outbox")
            .fetch_one(conn).await)?;
        let pending: i64 = on_db!(self, conn => sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE seq IS NULL")
            .fetch_one(conn).await)?;
        Ok(Mark {
            epoch,
            seq,
            newest: newest.unwrap_or_default(),
            pending,
        })
    }

    /// Whether the list that begins at this index exists and is not retired: it is still drawn from, or holds an index whose
    /// credential has not ended.
    pub async fn has_status_list(
        &mut self,
        start: StatusIndex,
        now: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let found: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM index_blocks b JOIN signing_keys k ON k.id = b.signing_key
             WHERE b.start = $1 AND b.retired_at IS NULL AND k.state <> 'removed' AND (b.closed_at IS NULL OR EXISTS (
                 SELECT 1 FROM status_indexes s
                 WHERE s.block = b.start AND (s.expires_seconds IS NULL OR s.expires_seconds > $2)))")
            .bind(int(start.get())).bind(int(now.0)).fetch_one(conn).await)?;
        Ok(found > 0)
    }

    /// The starts of all lists that exist and are not retired.
    pub async fn status_lists(&mut self, now: UnixSeconds) -> Result<Vec<u64>, StoreError> {
        let starts: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT b.start FROM index_blocks b JOIN signing_keys k ON k.id = b.signing_key
             WHERE b.retired_at IS NULL AND k.state <> 'removed' AND (b.closed_at IS NULL OR EXISTS (
                 SELECT 1 FROM status_indexes s
                 WHERE s.block = b.start AND (s.expires_seconds IS NULL OR s.expires_seconds > $1)))
             ORDER BY b.start")
            .bind(int(now.0)).fetch_all(conn).await)?;
        starts
            .into_iter()
            .map(|start| uint(start, "index block"))
            .collect()
    }

    /// The indexes from `start` to before `end` whose credentials are dead for good.
    pub async fn dead_indexes(
        &mut self,
        start: u64,
        end: u64,
        now: UnixSeconds,
    ) -> Result<Vec<u64>, StoreError> {
        let found: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT idx FROM status_indexes WHERE idx >= $1 AND idx < $2 AND revoked_at IS NOT NULL
             UNION
             SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 JOIN clients c ON c.id = g.client_id JOIN users u ON u.id = g.user_id JOIN orgs o ON o.id = g.org_id
                 JOIN memberships m ON m.org_id = g.org_id AND m.user_id = g.user_id
             WHERE i.idx >= $1 AND i.idx < $2
               AND (g.revoked_at IS NOT NULL OR c.disabled_at IS NOT NULL OR u.deactivated_at IS NOT NULL
                 OR m.deactivated_at IS NOT NULL OR g.issued_at_seconds <= c.not_before_seconds
                 OR g.issued_at_seconds <= o.not_before_seconds OR g.issued_at_seconds <= m.not_before_seconds)
             UNION
             SELECT k.id FROM api_keys k JOIN users u ON u.id = k.user_id JOIN orgs o ON o.id = k.org_id
                 JOIN memberships m ON m.org_id = k.org_id AND m.user_id = k.user_id
                 LEFT JOIN workspaces w ON w.id = k.workspace_id
             WHERE k.id >= $1 AND k.id < $2
               AND (k.revoked_at IS NOT NULL OR k.not_after_seconds <= $3 OR u.deactivated_at IS NOT NULL
                 OR m.deactivated_at IS NOT NULL OR k.issued_at_seconds <= o.not_before_seconds
                 OR k.issued_at_seconds <= m.not_before_seconds OR k.issued_at_seconds <= w.not_before_seconds)
             UNION
             SELECT s.idx FROM status_indexes s JOIN orgs o ON o.id = s.org_id
                 LEFT JOIN clients c ON c.id = s.client_id LEFT JOIN users u ON u.id = s.user_id
                 LEFT JOIN memberships m ON m.org_id = s.org_id AND m.user_id = s.user_id
             WHERE s.idx >= $1 AND s.idx < $2
               AND (c.disabled_at IS NOT NULL OR u.deactivated_at IS NOT NULL OR m.deactivated_at IS NOT NULL
                 OR s.issued_seconds <= c.not_before_seconds OR s.issued_seconds <= o.not_before_seconds
                 OR s.issued_seconds <= m.not_before_seconds)")
            .bind(int(start)).bind(int(end)).bind(int(now.0)).fetch_all(conn).await)?;
        found
            .into_iter()
            .map(|index| uint(index, "status index"))
            .collect()
    }

    /// The indexes from `start` to before `end` whose credentials do not count for now, or for less: their person is
    /// suspended, or they are in quarantine.
    pub async fn suspended_indexes(&mut self, start: u64, end: u64) -> Result<Vec<u64>, StoreError> {
        let found: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 JOIN memberships m ON m.org_id = g.org_id AND m.user_id = g.user_id
             WHERE i.idx >= $1 AND i.idx < $2 AND m.suspended_at IS NOT NULL
             UNION
             SELECT k.id FROM api_keys k JOIN memberships m ON m.org_id = k.org_id AND m.user_id = k.user_id
             WHERE k.id >= $1 AND k.id < $2 AND m.suspended_at IS NOT NULL
             UNION
             SELECT s.idx FROM status_indexes s JOIN memberships m ON m.org_id = s.org_id AND m.user_id = s.user_id
             WHERE s.idx >= $1 AND s.idx < $2 AND m.suspended_at IS NOT NULL
             UNION
             SELECT id FROM api_keys WHERE id >= $1 AND id < $2 AND quarantine IS NOT NULL")
            .bind(int(start)).bind(int(end)).fetch_all(conn).await)?;
        found
            .into_iter()
            .map(|index| uint(index, "status index"))
            .collect()
    }

    /// Notes whom a token that stands alone was issued to.
    pub async fn note_holder(&mut self, index: StatusIndex, holder: Holder) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE status_indexes SET org_id = $2, user_id = $3, client_id = $4, issued_seconds = $5 WHERE idx = $1"
            )
            .bind(int(index.get()))
            .bind(int(holder.org.get()))
            .bind(holder.user.map(|user| int(user.get())))
            .bind(int(holder.client.get()))
            .bind(int(holder.issued_at.0))
        )?;
        Ok(())
    }
}
