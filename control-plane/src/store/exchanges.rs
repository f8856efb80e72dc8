//! SQL for status indexes that exchanged tokens share with the token they came from (RFC 8693).

use shared::id::StatusIndex;
use shared::time::UnixSeconds;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

impl Tx {
    /// Remembers that a token of `client` with this index was exchanged for one that lives until `expires`. An index that goes
    /// from client to client is remembered for each of them.
    pub async fn note_exchange(
        &mut self,
        index: StatusIndex,
        client: &str,
        expires: UnixSeconds,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO exchanged_indexes (idx, client, expires_seconds) VALUES ($1, $2, $3)
                 ON CONFLICT (idx, client) DO UPDATE SET expires_seconds = CASE
                     WHEN exchanged_indexes.expires_seconds > excluded.expires_seconds
                     THEN exchanged_indexes.expires_seconds ELSE excluded.expires_seconds END"
            )
            .bind(int(index.get()))
            .bind(client)
            .bind(int(expires.0))
        )?;
        Ok(())
    }

    /// The indexes of a client's tokens whose exchanged tokens may still live, in order.
    pub async fn exchanged_indexes(
        &mut self,
        client: &str,
        now: UnixSeconds,
    ) -> Result<Vec<StatusIndex>, StoreError> {
        let indexes: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT idx FROM exchanged_indexes WHERE client = $1 AND expires_seconds > $2 ORDER BY idx")
            .bind(client).bind(int(now.0)).fetch_all(conn).await)?;
        indexes
            .into_iter()
            .map(|index| {
                StatusIndex::from_u64(uint(index, "status index")?).ok_or(StoreError::Corrupt("status index"))
            })
            .collect()
    }

    /// Forgets exchanges whose tokens expired before this moment.
    pub async fn forget_exchanges(&mut self, before: UnixSeconds) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM exchanged_indexes WHERE expires_seconds < $1").bind(int(before.0))
        )
    }
}
