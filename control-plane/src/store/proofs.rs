//! SQL for DPoP proofs that were used.

use shared::crypto::Digest;
use shared::time::UnixSeconds;

use super::{StoreError, Tx, int, rows_affected};

impl Tx {
    /// Notes that a proof was used; false if it was before. Somebody who is using it right now is waited for.
    pub async fn spend_proof(&mut self, id: &Digest, ends: UnixSeconds) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO dpop_proofs (id, ends_seconds) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING"
            )
            .bind(id.as_slice())
            .bind(int(ends.0))
        )?;
        Ok(rows == 1)
    }

    /// Forgets proofs that had ended by `now`.
    pub async fn forget_proofs(&mut self, now: UnixSeconds) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM dpop_proofs WHERE ends_seconds <= $1").bind(int(now.0))
        )
    }
}
