//! SQL for signing keys, index blocks and drawn status indexes.

use std::collections::BTreeSet;

use shared::id::{OrgId, SigningKeyId, StatusIndex};
use shared::time::{UnixMillis, UnixSeconds};

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A row of `signing_keys`, as stored. `signing` gives it meaning.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SigningKeyRow {
    /// The key's number.
    pub id: i64,
    /// What it signs.
    pub purpose: String,
    /// The public half, in the encoding of `shared::crypto`.
    pub public_key: Vec<u8>,
    /// The private half under the master key, until it is destroyed.
    pub sealed: Option<Vec<u8>>,
    /// `pending`, `active`, `retired` or `removed`.
    pub state: String,
    /// The outbox row that announces it.
    pub announced_by: Option<i64>,
    /// Creation, in milliseconds.
    pub created_at: i64,
    /// When every edge was seen to have it.
    pub acknowledged_at: Option<i64>,
    /// When it became the signer.
    pub activated_at: Option<i64>,
    /// When another took its place.
    pub retired_at: Option<i64>,
    /// When its signatures ceased to count.
    pub removed_at: Option<i64>,
}

/// A row of `index_blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BlockRow {
    /// The first index.
    pub start: i64,
    /// How many indexes.
    pub length: i64,
    /// The owner.
    pub signing_key: i64,
    /// The outbox row that announces it.
    pub announced_by: Option<i64>,
    /// When drawing from it ended.
    pub closed_at: Option<i64>,
}

impl Tx {
    /// When an index was revoked.
    pub async fn index_end(&mut self, index: StatusIndex) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT revoked_at FROM status_indexes WHERE idx = $1")
            .bind(int(index.get())).fetch_optional(conn).await)?;
        super::orgs::millis(at.flatten())
    }

    /// Every signing key that was ever made, oldest first.
    pub async fn signing_keys(&mut self) -> Result<Vec<SigningKeyRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, purpose, public_key, sealed, state, announced_by, created_at, acknowledged_at, activated_at,
                    retired_at, removed_at
             FROM signing_keys ORDER BY id")
            .fetch_all(conn).await)
    }

    /// The id of the key that signs for this purpose now.
    pub async fn active_signing_key(&mut self, purpose: &str) -> Result<Option<SigningKeyId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM signing_keys WHERE purpose = $1 AND state = 'active'")
            .bind(purpose).fetch_optional(conn).await)?;
        id.map(signing_key_id).transpose()
    }

    /// The next free number for a signing key.
    pub async fn next_signing_key_id(&mut self) -> Result<SigningKeyId, StoreError> {
        let id: i64 = on_db!(self, conn => sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) + 1 FROM signing_keys")
            .fetch_one(conn).await)?;
        signing_key_id(id)
    }

    /// Adds a key.
    pub async fn insert_signing_key(&mut self, row: &SigningKeyRow) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query(
            "INSERT INTO signing_keys
                 (id, purpose, public_key, sealed, state, announced_by, created_at, acknowledged_at, activated_at,
                  retired_at, removed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            .bind(row.id).bind(&row.purpose).bind(&row.public_key).bind(&row.sealed).bind(&row.state)
            .bind(row.announced_by).bind(row.created_at).bind(row.acknowledged_at).bind(row.activated_at).bind(row.retired_at).bind(row.removed_at))?;
        Ok(())
    }

    /// Notes when every edge was seen to have a pending key; the first time counts.
    pub async fn note_key_acknowledged(
        &mut self,
        id: SigningKeyId,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE signing_keys SET acknowledged_at = $2 WHERE id = $1 AND acknowledged_at IS NULL"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// `pending` → `active`; false if it was not pending.
    pub async fn activate_signing_key(
        &mut self,
        id: SigningKeyId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "UPDATE signing_keys SET state = 'active', activated_at = $2 WHERE id = $1 AND state = 'pending'")
            .bind(int(id.get())).bind(int(now.0)))?;
        Ok(rows == 1)
    }

    /// `active` → `retired`; with `destroy` the private half is gone for good. False if it was not active.
    pub async fn retire_signing_key(
        &mut self,
        id: SigningKeyId,
        destroy: bool,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE signing_keys
             SET state = 'retired', retired_at = $2, sealed = CASE WHEN $3 = 1 THEN NULL ELSE sealed END
             WHERE id = $1 AND state = 'active'"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
            .bind(i64::from(destroy))
        )?;
        Ok(rows == 1)
    }

    /// Any state → `removed`, private half destroyed: the edge does not trust it any more.
    pub async fn disown_signing_key(
        &mut self,
        id: SigningKeyId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "UPDATE signing_keys SET state = 'removed', removed_at = $2, sealed = NULL WHERE id = $1 AND state <> 'removed'")
            .bind(int(id.get())).bind(int(now.0)))?;
        Ok(rows == 1)
    }

    /// When the last token that this key signed ends.
    pub async fn last_expiry(&mut self, id: SigningKeyId) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT MAX(s.expires_seconds) FROM status_indexes s JOIN index_blocks b ON b.start = s.block
             WHERE b.signing_key = $1")
            .bind(int(id.get())).fetch_one(conn).await)?;
        at.map(|at| uint(at, "time").map(UnixSeconds)).transpose()
    }

    /// `retired` → `removed`, private half destroyed; false if it was not retired.
    pub async fn remove_signing_key(
        &mut self,
        id: SigningKeyId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "UPDATE signing_keys SET state = 'removed', removed_at = $2, sealed = NULL WHERE id = $1 AND state = 'retired'")
            .bind(int(id.get())).bind(int(now.0)))?;
        Ok(rows == 1)
    }

    /// Every index block, in order.
    pub async fn index_blocks(&mut self) -> Result<Vec<BlockRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT start, length, signing_key, announced_by, closed_at FROM index_blocks ORDER BY start")
            .fetch_all(conn).await)
    }

    /// The blocks of this key that are still drawn from, in order.
    pub async fn open_index_blocks(&mut self, key: SigningKeyId) -> Result<Vec<BlockRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT start, length, signing_key, announced_by, closed_at
             FROM index_blocks WHERE signing_key = $1 AND closed_at IS NULL ORDER BY start")
            .bind(int(key.get())).fetch_all(conn).await)
    }

    /// The start of the next block: one past everything ever handed out. List 0 stays empty.
    pub async fn next_block_start(&mut self) -> Result<u64, StoreError> {
        let start: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COALESCE(MAX(start + length), $1) FROM index_blocks")
            .bind(int(StatusIndex::LIST_LENGTH)).fetch_one(conn).await)?;
        uint(start, "index block")
    }

    /// Adds a block, not announced yet; false if another instance took this place.
    pub async fn insert_index_block(
        &mut self,
        block: &BlockRow,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows =
            rows_affected!(self, sqlx::query(
            "INSERT INTO index_blocks (start, length, signing_key, announced_by, created_at, closed_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (start) DO NOTHING")
            .bind(block.start).bind(block.length).bind(block.signing_key).bind(block.announced_by)
            .bind(int(now.0)).bind(block.closed_at))?;
        Ok(rows == 1)
    }

    /// Notes which outbox row announces a block.
    pub async fn announce_index_block(&mut self, start: i64, outbox_id: i64) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE index_blocks SET announced_by = $2 WHERE start = $1")
                .bind(start)
                .bind(outbox_id)
        )?;
        Ok(())
    }

    /// Ends drawing from a block.
    pub async fn close_index_block(&mut self, start: i64, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE index_blocks SET closed_at = $2 WHERE start = $1 AND closed_at IS NULL")
                .bind(start)
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// The blocks that can be retired: nothing has been drawn from them since `closed_before`, and nothing in them lived on
    /// after `ended_before`.
    pub async fn lifeless_index_blocks(
        &mut self,
        closed_before: UnixMillis,
        ended_before: UnixSeconds,
    ) -> Result<Vec<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "SELECT b.start FROM index_blocks b
             WHERE b.retired_at IS NULL AND b.closed_at < $1
               AND NOT EXISTS (SELECT 1 FROM status_indexes s
                 WHERE s.idx >= b.start AND s.idx < b.start + b.length AND s.expires_seconds >= $2)
               AND NOT EXISTS (SELECT 1 FROM api_keys k
                 WHERE k.id >= b.start AND k.id < b.start + b.length AND k.revoked_at IS NULL
                   AND COALESCE(k.not_after_seconds, k.expires_at_seconds, $2) >= $2)
               AND NOT EXISTS (SELECT 1 FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 WHERE i.idx >= b.start AND i.idx < b.start + b.length AND g.revoked_at IS NULL
                   AND g.expires_seconds >= $2)
             ORDER BY b.start")
            .bind(int(closed_before.0)).bind(int(ended_before.0)).fetch_all(conn).await)
    }

    /// Retires a block and forgets which of its indexes were drawn; false if another instance was faster.
    pub async fn retire_index_block(&mut self, start: i64, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE index_blocks SET retired_at = $2 WHERE start = $1 AND retired_at IS NULL")
                .bind(start)
                .bind(int(now.0))
        )?;
        rows_affected!(
            self,
            sqlx::query("DELETE FROM status_indexes WHERE block = $1").bind(start)
        )?;
        Ok(rows == 1)
    }

    /// Ends drawing from every block of a key, or of all keys.
    pub async fn close_index_blocks(
        &mut self,
        key: Option<SigningKeyId>,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE index_blocks SET closed_at = $2
             WHERE closed_at IS NULL AND ($1 = 0 OR signing_key = $1)"
            )
            .bind(int(key.map_or(0, SigningKeyId::get)))
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Whether every edge that ever acknowledged anything has acknowledged this outbox row (and so its frame).
    /// An edge in a later epoch has it if it was framed before the next epoch opened.
    pub async fn is_acknowledged(&mut self, outbox_id: i64) -> Result<bool, StoreError> {
        let missing: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM edge_peers p JOIN outbox o ON o.id = $1
             WHERE o.seq IS NULL OR p.epoch < o.epoch OR (p.epoch = o.epoch AND p.seq < o.seq)
                OR (p.epoch > o.epoch AND o.seq >= COALESCE(
                    (SELECT f.seq FROM feed_frames f WHERE f.feed = 0 AND f.epoch > o.epoch ORDER BY f.epoch, f.seq LIMIT 1), 0))")
            .bind(outbox_id).fetch_one(conn).await)?;
        Ok(missing == 0)
    }

    /// The same for the edges that admit one of these organisations: all but those of other groups.
    pub async fn is_acknowledged_for(
        &mut self,
        outbox_id: i64,
        orgs: &BTreeSet<OrgId>,
    ) -> Result<bool, StoreError> {
        for org in orgs {
            let missing: i64 = on_db!(self, conn => sqlx::query_scalar(
                "SELECT COUNT(*) FROM edge_peers p JOIN outbox o ON o.id = $1
                 WHERE (p.feed = 0 OR p.feed IN
                        (SELECT g.feed FROM feed_group_orgs g WHERE g.org_id = $2 AND g.removed_seq IS NULL))
                   AND (o.seq IS NULL OR p.epoch < o.epoch OR (p.epoch = o.epoch AND p.seq < o.seq)
                    OR (p.epoch > o.epoch AND o.seq >= COALESCE((SELECT f.seq FROM feed_frames f
                        WHERE f.feed = 0 AND f.epoch > o.epoch ORDER BY f.epoch, f.seq LIMIT 1), 0)))")
                .bind(outbox_id).bind(int(org.get())).fetch_one(conn).await)?;
            if missing > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes this index if nobody has; false if it is taken.
    pub async fn take_index(
        &mut self,
        index: StatusIndex,
        block: i64,
        expires: Option<UnixSeconds>,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows =
            rows_affected!(self, sqlx::query(
            "INSERT INTO status_indexes (idx, block, drawn_at, expires_seconds) VALUES ($1, $2, $3, $4)
             ON CONFLICT (idx) DO NOTHING")
            .bind(int(index.get())).bind(block).bind(int(now.0)).bind(expires.map(|at| int(at.0))))?;
        Ok(rows == 1)
    }

    /// Every index drawn from a block, in order.
    pub async fn taken_indexes(&mut self, block: i64) -> Result<Vec<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar("SELECT idx FROM status_indexes WHERE block = $1 ORDER BY idx")
            .bind(block).fetch_all(conn).await)
    }

    /// Marks a drawn index as revoked; the first time counts.
    pub async fn revoke_index(&mut self, index: StatusIndex, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE status_indexes SET revoked_at = $2 WHERE idx = $1 AND revoked_at IS NULL")
                .bind(int(index.get()))
                .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Forgets tokens that ended before `before` in blocks that nothing is drawn from any more.
    pub async fn forget_expired_indexes(&mut self, before: UnixSeconds) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM status_indexes WHERE expires_seconds < $1
             AND block IN (SELECT start FROM index_blocks WHERE closed_at IS NOT NULL)"
            )
            .bind(int(before.0))
        )
    }
}

fn signing_key_id(id: i64) -> Result<SigningKeyId, StoreError> {
    SigningKeyId::from_u64(uint(id, "signing key")?).ok_or(StoreError::Corrupt("signing key"))
}
