//! SQL for what security events end.

use shared::id::{OrgId, SessionId, StatusIndex, UserId};
use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

impl Tx {
    /// The sessions of a person that are in this organisation now and were not ended, oldest first.
    pub async fn sessions_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
    ) -> Result<Vec<SessionId>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT sid FROM sessions WHERE org_id = $1 AND user_id = $2 AND ended_at IS NULL ORDER BY created_at, sid")
            .bind(int(org.get())).bind(int(user.get())).fetch_all(conn).await)?;
        ids.into_iter()
            .map(|id| SessionId::from_u64(uint(id, "session id")?).ok_or(StoreError::Corrupt("session id")))
            .collect()
    }

    /// Ends every grant of a member, in whatever session it was made, with codes and devices that wait; gives how many, and the
    /// status indexes of their tokens.
    pub async fn end_grants_by_signal(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixMillis,
    ) -> Result<(u64, Vec<StatusIndex>), StoreError> {
        for table in [
            "UPDATE authorization_codes SET used_at = $3 WHERE org_id = $1 AND user_id = $2 AND used_at IS NULL",
            "UPDATE device_codes SET used_at = $3 WHERE org_id = $1 AND user_id = $2 AND used_at IS NULL",
        ] {
            rows_affected!(
                self,
                sqlx::query(table)
                    .bind(int(org.get()))
                    .bind(int(user.get()))
                    .bind(int(now.0))
            )?;
        }
        let ended = rows_affected!(
            self,
            sqlx::query(
                "UPDATE grants SET revoked_at = $3, revoked_reason = 'signal', version = version + 1
             WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(int(now.0))
        )?;
        // Also of those that ended with a session before: their tokens die by the session's own end, and by their index.
        let indexes: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE status_indexes SET revoked_at = $3
             WHERE revoked_at IS NULL AND idx IN (
                 SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 WHERE g.org_id = $1 AND g.user_id = $2 AND g.revoked_at IS NOT NULL)
             RETURNING idx")
            .bind(int(org.get())).bind(int(user.get())).bind(int(now.0)).fetch_all(conn).await)?;
        let indexes = indexes.into_iter().map(|index| {
            StatusIndex::from_u64(uint(index, "status index")?).ok_or(StoreError::Corrupt("status index"))
        });
        Ok((ended, indexes.collect::<Result<_, _>>()?))
    }

    /// Forgets what a member has agreed to: they are asked again.
    pub async fn forget_consents_of_member(&mut self, org: OrgId, user: UserId) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM consents WHERE org_id = $1 AND user_id = $2")
                .bind(int(org.get()))
                .bind(int(user.get()))
        )
    }
}
