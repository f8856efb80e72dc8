//! SQL for writing restrictions back that the edge has and this database lost. Each only ever tightens.

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected};

impl Tx {
    /// Where this database was moved to, if it was.
    pub async fn moved_to(&mut self) -> Result<Option<String>, StoreError> {
        let found: Option<Option<String>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT moved_to FROM installation WHERE id = 1").fetch_optional(conn).await)?;
        Ok(found.flatten())
    }

    /// Notes where this database was moved to.
    pub async fn mark_moved(&mut self, to: &str, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE installation SET moved_to = $1, moved_at = $2 WHERE id = 1")
                .bind(to)
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// It was not moved, or has come back.
    pub async fn unmark_moved(&mut self) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE installation SET moved_to = NULL, moved_at = NULL WHERE id = 1")
        )?;
        Ok(())
    }

    /// Gives this database another identity.
    pub async fn set_incarnation(&mut self, incarnation: [u8; 16]) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE installation SET incarnation = $1 WHERE id = 1").bind(incarnation.as_slice())
        )?;
        Ok(())
    }

    /// The keys in a range of indexes that are not revoked here.
    pub async fn live_keys_between(&mut self, first: u64, last: u64) -> Result<Vec<i64>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM api_keys WHERE id >= $1 AND id <= $2 AND revoked_at IS NULL ORDER BY id")
            .bind(int(first)).bind(int(last)).fetch_all(conn).await)
    }

    /// Marks the drawn indexes of a range as revoked.
    pub async fn revoke_indexes_between(
        &mut self,
        first: u64,
        last: u64,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(self, sqlx::query(
            "UPDATE status_indexes SET revoked_at = $3 WHERE idx >= $1 AND idx <= $2 AND revoked_at IS NULL")
            .bind(int(first)).bind(int(last)).bind(int(now.0)))
    }

    /// Ends the grants that own indexes of a range.
    pub async fn end_grants_between(
        &mut self,
        first: u64,
        last: u64,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE grants SET revoked_at = $3, revoked_reason = 'unspecified', version = version + 1
             WHERE revoked_at IS NULL AND id IN (SELECT grant_id FROM grant_indexes WHERE idx >= $1 AND idx <= $2)"
            )
            .bind(int(first))
            .bind(int(last))
            .bind(int(now.0))
        )
    }

    /// Brings the end of a key forward, never back.
    pub async fn shorten_key(&mut self, index: u64, seconds: u64) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET not_after_seconds = $2
             WHERE id = $1 AND (not_after_seconds IS NULL OR not_after_seconds > $2)"
            )
            .bind(int(index))
            .bind(int(seconds))
        )
    }

    /// Raises the `not_before` of an organisation, never lowers it.
    pub async fn raise_org_not_before(&mut self, org: u64, seconds: u64) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE orgs SET not_before_seconds = $2
             WHERE id = $1 AND (not_before_seconds IS NULL OR not_before_seconds < $2)"
            )
            .bind(int(org))
            .bind(int(seconds))
        )
    }

    /// Raises the `not_before` of a workspace, never lowers it.
    pub async fn raise_workspace_not_before(
        &mut self,
        workspace: u64,
        seconds: u64,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE workspaces SET not_before_seconds = $2
             WHERE id = $1 AND (not_before_seconds IS NULL OR not_before_seconds < $2)"
            )
            .bind(int(workspace))
            .bind(int(seconds))
        )
    }

    /// Raises the `not_before` of a member, never lowers it; their rights count as changed.
    pub async fn raise_member_not_before(
        &mut self,
        org: u64,
        user: u64,
        seconds: u64,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE memberships SET not_before_seconds = $3, version = version + 1
             WHERE org_id = $1 AND user_id = $2 AND (not_before_seconds IS NULL OR not_before_seconds < $3)"
            )
            .bind(int(org))
            .bind(int(user))
            .bind(int(seconds))
        )
    }

    /// Raises the `not_before` of a client, never lowers it.
    pub async fn raise_client_not_before(&mut self, client: u64, seconds: u64) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE clients SET not_before_seconds = $2
             WHERE id = $1 AND (not_before_seconds IS NULL OR not_before_seconds < $2)"
            )
            .bind(int(client))
            .bind(int(seconds))
        )
    }

    /// Disables a client that an edge knows to be disabled. Gives the number of rows.
    pub async fn disable_known_client(&mut self, client: u64, now: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE clients SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(int(client))
                .bind(int(now.0))
        )
    }
}
