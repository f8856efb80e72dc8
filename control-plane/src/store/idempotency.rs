//! SQL for idempotency keys: which create was answered with which resource.

use shared::crypto::Digest;
use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// Who asked for what under which key.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencySlot {
    /// The caller's organisation.
    pub org: OrgId,
    /// The caller.
    pub user: UserId,
    /// The operation: the same key may be used for another.
    pub operation: &'static str,
    /// SHA-256 of the Idempotency-Key header.
    pub key_digest: Digest,
}

impl Tx {
    /// Claims a slot. `None`: it was free and is now taken by `resource`; else what took it before: the digest of that
    /// request's body and the resource that it made. A rival transaction is waited for.
    pub async fn claim_idempotency(
        &mut self,
        slot: &IdempotencySlot,
        body_digest: Digest,
        resource: u64,
        now: UnixMillis,
    ) -> Result<Option<(Digest, u64)>, StoreError> {
        let inserted = rows_affected!(self, sqlx::query(
            "INSERT INTO idempotency (org_id, user_id, operation, key_digest, body_digest, resource, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (org_id, user_id, operation, key_digest) DO NOTHING")
            .bind(int(slot.org.get())).bind(int(slot.user.get())).bind(slot.operation)
            .bind(slot.key_digest.as_slice()).bind(body_digest.as_slice()).bind(int(resource)).bind(int(now.0)))?;
        if inserted == 1 {
            return Ok(None);
        }
        let before = self.idempotency(slot).await?;
        before
            .map(Some)
            .ok_or(StoreError::Corrupt("idempotency: the row is gone"))
    }

    /// What took a slot: the digest of that request and the resource that it made.
    pub async fn idempotency(&mut self, slot: &IdempotencySlot) -> Result<Option<(Digest, u64)>, StoreError> {
        let row: Option<(Vec<u8>, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT body_digest, resource FROM idempotency
             WHERE org_id = $1 AND user_id = $2 AND operation = $3 AND key_digest = $4")
            .bind(int(slot.org.get())).bind(int(slot.user.get())).bind(slot.operation)
            .bind(slot.key_digest.as_slice())
            .fetch_optional(conn).await)?;
        let Some((digest, resource)) = row else {
            return Ok(None);
        };
        let digest = digest.try_into().map_err(|_| StoreError::Corrupt("digest"))?;
        Ok(Some((digest, uint(resource, "resource")?)))
    }

    /// Frees slots that were taken before `before`.
    pub async fn forget_idempotency(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM idempotency WHERE created_at < $1").bind(int(before.0))
        )
    }
}
