//! SQL for not-before times: everything that a subject was issued until then is dead, and what is issued later is dated later.
//!
//! Each gives the time T that the edge must know: `max(now, last_iat)` and never less than before, so that the issue of a
//! skewed instance is dead too, and a clock that was set back revives nothing. The row is that which issues are dated by
//! (`issue_time`, `client_issue_time`): an issue at the same time commits before and is dead, or sees T and is dated after it.

use shared::id::{ClientId, OrgId, StatusIndex, UserId, WorkspaceId};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::orgs::{org_id, seconds};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// `max($2, last_iat, not_before)` of a row.
macro_rules! latest {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "CASE WHEN last_iat_seconds >= $2 AND last_iat_seconds >= COALESCE(not_before_seconds, 0) THEN last_iat_seconds
                  WHEN COALESCE(not_before_seconds, 0) >= $2 THEN not_before_seconds
                  ELSE $2 END",
            $after
        )
    };
}

/// A token that came of an identity provider's assertion.
#[derive(Clone, Debug)]
pub struct AssertedToken {
    /// Its status index.
    pub index: StatusIndex,
    /// Where it counts.
    pub org: OrgId,
    /// Whom it acts for.
    pub user: UserId,
    /// Who has it.
    pub client: ClientId,
    /// The provider.
    pub issuer: String,
    /// What it states.
    pub scopes: ScopeSet,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends.
    pub expires: UnixSeconds,
}

impl Tx {
    /// Kills everything that an organisation was issued until now.
    pub async fn set_org_not_before(
        &mut self,
        org: OrgId,
        now: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(latest!(
            "UPDATE orgs SET not_before_seconds = ", " WHERE id = $1 RETURNING not_before_seconds"))
            .bind(int(org.get())).bind(int(now.0)).fetch_optional(conn).await)?;
        seconds(at)
    }

    /// Kills everything that was issued for a workspace until now.
    pub async fn set_workspace_not_before(
        &mut self,
        workspace: WorkspaceId,
        now: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(latest!(
            "UPDATE workspaces SET not_before_seconds = ", " WHERE id = $1 RETURNING not_before_seconds"))
            .bind(int(workspace.get())).bind(int(now.0)).fetch_optional(conn).await)?;
        seconds(at)
    }

    /// Kills everything that a client was issued until now. It can be issued more.
    pub async fn set_client_not_before(
        &mut self,
        client: ClientId,
        now: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(latest!(
            "UPDATE clients SET not_before_seconds = ", " WHERE id = $1 RETURNING not_before_seconds"))
            .bind(int(client.get())).bind(int(now.0)).fetch_optional(conn).await)?;
        seconds(at)
    }

    /// The not-before of an organisation.
    pub async fn org_not_before(&mut self, org: OrgId) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT not_before_seconds FROM orgs WHERE id = $1")
            .bind(int(org.get())).fetch_optional(conn).await)?;
        seconds(at.flatten())
    }

    /// Whether an organisation has a not-before, and was issued nothing since.
    pub async fn org_is_silent(&mut self, org: OrgId) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM orgs WHERE id = $1 AND last_iat_seconds <= not_before_seconds")
            .bind(int(org.get())).fetch_one(conn).await)?;
        Ok(count == 1)
    }

    /// The same for a member.
    pub async fn member_is_silent(&mut self, org: OrgId, user: UserId) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM memberships
             WHERE org_id = $1 AND user_id = $2 AND last_iat_seconds <= not_before_seconds")
            .bind(int(org.get())).bind(int(user.get())).fetch_one(conn).await)?;
        Ok(count == 1)
    }

    /// The same for a workspace.
    pub async fn workspace_is_silent(&mut self, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM workspaces WHERE id = $1 AND last_iat_seconds <= not_before_seconds")
            .bind(int(workspace.get())).fetch_one(conn).await)?;
        Ok(count == 1)
    }

    /// The same for a client.
    pub async fn client_is_silent(&mut self, client: ClientId) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM clients WHERE id = $1 AND last_iat_seconds <= not_before_seconds")
            .bind(int(client.get())).fetch_one(conn).await)?;
        Ok(count == 1)
    }

    /// The same for an identity provider.
    pub async fn issuer_is_silent(&mut self, issuer: &str) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM foreign_issuers WHERE issuer = $1 AND last_iat_seconds <= not_before_seconds")
            .bind(issuer).fetch_one(conn).await)?;
        Ok(count == 1)
    }

    /// Holds every organisation: nothing is issued anywhere for the rest of the transaction.
    pub async fn hold_every_org(&mut self) -> Result<(), StoreError> {
        // First the row that whoever makes an organisation waits for.
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE installation SET issuer_not_before_seconds = issuer_not_before_seconds WHERE id = 1"
            )
        )?;
        rows_affected!(
            self,
            sqlx::query("UPDATE orgs SET last_iat_seconds = last_iat_seconds")
        )?;
        Ok(())
    }

    /// Kills everything that this installation issued until now, in every organisation that there is or will be. The caller
    /// holds them all.
    pub async fn set_issuer_not_before(&mut self, now: UnixSeconds) -> Result<UnixSeconds, StoreError> {
        let (iat, not_before): (i64, i64) = on_db!(self, conn => sqlx::query_as(
            "SELECT COALESCE(MAX(last_iat_seconds), 0), COALESCE(MAX(not_before_seconds), 0) FROM orgs")
            .fetch_one(conn).await)?;
        let at = now.0.max(uint(iat, "time")?).max(uint(not_before, "time")?);
        self.raise_issuer_not_before(at).await?;
        Ok(UnixSeconds(at))
    }

    /// Raises the not-before of this installation, never lowers it.
    pub async fn raise_issuer_not_before(&mut self, seconds: u64) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE installation SET issuer_not_before_seconds = $1
             WHERE id = 1 AND (issuer_not_before_seconds IS NULL OR issuer_not_before_seconds < $1)"
            )
            .bind(int(seconds))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE orgs SET not_before_seconds = $1
             WHERE not_before_seconds IS NULL OR not_before_seconds < $1"
            )
            .bind(int(seconds))
        )
    }

    /// Whether something was issued anywhere since this installation's not-before, or it has none.
    pub async fn issuer_has_issued(&mut self) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM orgs o CROSS JOIN installation i
             WHERE i.issuer_not_before_seconds IS NULL OR o.last_iat_seconds > i.issuer_not_before_seconds")
            .fetch_one(conn).await)?;
        Ok(count > 0)
    }

    /// Notes that an identity provider's assertion of this time is taken, and gives the provider's not-before. Its row is held
    /// from here on: who revokes the provider waits for us, or we see it.
    pub async fn note_assertion(
        &mut self,
        issuer: &str,
        org: OrgId,
        iat: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "INSERT INTO foreign_issuers (issuer, org_id, last_iat_seconds) VALUES ($1, $2, $3)
             ON CONFLICT (issuer) DO UPDATE SET last_iat_seconds = CASE
                 WHEN foreign_issuers.last_iat_seconds > excluded.last_iat_seconds
                 THEN foreign_issuers.last_iat_seconds ELSE excluded.last_iat_seconds END
             RETURNING not_before_seconds")
            .bind(issuer).bind(int(org.get())).bind(int(iat.0)).fetch_one(conn).await)?;
        seconds(at)
    }

    /// Kills everything that an identity provider vouched for until now.
    pub async fn set_foreign_not_before(
        &mut self,
        issuer: &str,
        org: OrgId,
        now: UnixSeconds,
    ) -> Result<UnixSeconds, StoreError> {
        self.note_assertion(issuer, org, UnixSeconds(0)).await?;
        let at: i64 = on_db!(self, conn => sqlx::query_scalar(latest!(
            "UPDATE foreign_issuers SET not_before_seconds = ", " WHERE issuer = $1 RETURNING not_before_seconds"))
            .bind(issuer).bind(int(now.0)).fetch_one(conn).await)?;
        uint(at, "time").map(UnixSeconds)
    }

    /// Raises the not-before of an identity provider, never lowers it.
    pub async fn raise_foreign_not_before(
        &mut self,
        issuer: &str,
        org: OrgId,
        seconds: u64,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO foreign_issuers (issuer, org_id, last_iat_seconds, not_before_seconds) VALUES ($1, $2, 0, $3)
             ON CONFLICT (issuer) DO UPDATE SET not_before_seconds = excluded.not_before_seconds
             WHERE foreign_issuers.not_before_seconds IS NULL
                OR foreign_issuers.not_before_seconds < excluded.not_before_seconds"
            )
            .bind(issuer)
            .bind(int(org.get()))
            .bind(int(seconds))
        )
    }

    /// The organisation that an identity provider has spoken for, if it ever did.
    pub async fn org_of_issuer(&mut self, issuer: &str) -> Result<Option<OrgId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT org_id FROM foreign_issuers WHERE issuer = $1")
            .bind(issuer).fetch_optional(conn).await)?;
        id.map(org_id).transpose()
    }

    /// Remembers whose a token of an assertion is.
    pub async fn insert_asserted_token(&mut self, token: &AssertedToken) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query(
            "INSERT INTO asserted_tokens (idx, org_id, user_id, client_id, issuer, scopes, created_at, expires_seconds)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(int(token.index.get())).bind(int(token.org.get())).bind(int(token.user.get()))
            .bind(int(token.client.get())).bind(&token.issuer).bind(token.scopes.0.cast_signed())
            .bind(int(token.created_at.0)).bind(int(token.expires.0)))?;
        Ok(())
    }

    /// In which organisation a token of an assertion counts.
    pub async fn org_of_asserted_token(&mut self, index: StatusIndex) -> Result<Option<OrgId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT org_id FROM asserted_tokens WHERE idx = $1")
            .bind(int(index.get())).fetch_optional(conn).await)?;
        id.map(org_id).transpose()
    }

    /// Forgets tokens of assertions that expired before this moment.
    pub async fn forget_asserted_tokens(&mut self, before: UnixSeconds) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM asserted_tokens WHERE expires_seconds < $1").bind(int(before.0))
        )
    }
}
