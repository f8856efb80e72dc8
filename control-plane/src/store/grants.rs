//! SQL for grants and consents.

use shared::id::{ClientId, GrantId, OrgId, SigningKeyId, StatusIndex, UserId};
use shared::jwk::Thumbprint;
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::orgs::{millis, org_id, seconds, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// What a person lets a client do, and with whom the tokens speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The client.
    pub client: ClientId,
    /// The person.
    pub user: UserId,
    /// In which of their organisations.
    pub org: OrgId,
    /// Scopes of the catalogue.
    pub scopes: ScopeSet,
    /// Scopes of OpenID Connect, as bits of `oauth::scopes::Identity`.
    pub identity: u8,
    /// The audience of the access tokens.
    pub resource: String,
    /// The session in which the person signed in.
    pub session: Option<String>,
    /// When they proved who they are.
    pub auth_time: UnixSeconds,
}

/// One consent: a family of refresh tokens and the access tokens that came with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// What was agreed to.
    pub terms: Terms,
    /// Dated after every `not_before` that applied: a later one kills the grant.
    pub issued_at: UnixSeconds,
    /// What its next access token carries.
    pub index: StatusIndex,
    /// The key that owns the index.
    pub signing_key: SigningKeyId,
    /// RFC 9449 §5: whoever refreshes it must hold this key.
    pub bound_to: Option<Thumbprint>,
    /// Its end if it is not refreshed until then.
    pub idle_expires: UnixSeconds,
    /// Its end in any case.
    pub expires: UnixSeconds,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Since when it is over.
    pub revoked_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    id: i64,
    client_id: i64,
    user_id: i64,
    org_id: i64,
    scopes: i64,
    identity: i64,
    resource: String,
    session: Option<String>,
    auth_time_seconds: i64,
    issued_at_seconds: i64,
    status_index: i64,
    signing_key: i64,
    dpop_jkt: Option<Vec<u8>>,
    idle_expires_seconds: i64,
    expires_seconds: i64,
    created_at: i64,
    revoked_at: Option<i64>,
}

pub(super) fn client_id(stored: i64) -> Result<ClientId, StoreError> {
    ClientId::from_u64(uint(stored, "client id")?).ok_or(StoreError::Corrupt("client id"))
}

pub(super) fn grant_id(stored: i64) -> Result<GrantId, StoreError> {
    GrantId::from_u64(uint(stored, "grant id")?).ok_or(StoreError::Corrupt("grant id"))
}

pub(super) fn identity(stored: i64) -> Result<u8, StoreError> {
    u8::try_from(stored).map_err(|_| StoreError::Corrupt("identity scopes"))
}

pub(super) fn thumbprint(stored: Option<Vec<u8>>) -> Result<Option<Thumbprint>, StoreError> {
    let read = |bytes: Vec<u8>| bytes.try_into().map_err(|_| StoreError::Corrupt("thumbprint"));
    Ok(stored.map(read).transpose()?.map(Thumbprint))
}

pub(super) fn second(stored: i64) -> Result<UnixSeconds, StoreError> {
    uint(stored, "time").map(UnixSeconds)
}

impl TryFrom<GrantRow> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: grant_id(row.id)?,
            terms: Terms {
                client: client_id(row.client_id)?,
                user: user_id(row.user_id)?,
                org: org_id(row.org_id)?,
                scopes: ScopeSet(row.scopes.cast_unsigned()),
                identity: identity(row.identity)?,
                resource: row.resource,
                session: row.session,
                auth_time: second(row.auth_time_seconds)?,
            },
            issued_at: second(row.issued_at_seconds)?,
            index: StatusIndex::from_u64(uint(row.status_index, "status index")?)
                .ok_or(StoreError::Corrupt("status index"))?,
            signing_key: SigningKeyId::from_u64(uint(row.signing_key, "signing key")?)
                .ok_or(StoreError::Corrupt("signing key"))?,
            bound_to: thumbprint(row.dpop_jkt)?,
            idle_expires: second(row.idle_expires_seconds)?,
            expires: second(row.expires_seconds)?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            revoked_at: millis(row.revoked_at)?,
        })
    }
}

impl Tx {
    /// Adds a grant, and its index.
    pub async fn insert_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        let terms = &grant.terms;
        rows_affected!(self, sqlx::query(
            "INSERT INTO grants
                 (id, client_id, user_id, org_id, scopes, identity, resource, session, auth_time_seconds,
                  issued_at_seconds, status_index, signing_key, idle_expires_seconds, expires_seconds, created_at, acted_at,
                  dpop_jkt)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16)")
            .bind(int(grant.id.get())).bind(int(terms.client.get())).bind(int(terms.user.get()))
            .bind(int(terms.org.get())).bind(terms.scopes.0.cast_signed()).bind(i64::from(terms.identity))
            .bind(&terms.resource).bind(&terms.session).bind(int(terms.auth_time.0)).bind(int(grant.issued_at.0))
            .bind(int(grant.index.get())).bind(int(grant.signing_key.get())).bind(int(grant.idle_expires.0))
            .bind(int(grant.expires.0)).bind(int(grant.created_at.0))
            .bind(grant.bound_to.as_ref().map(|key| key.0.as_slice())))?;
        self.insert_grant_index(grant.id, grant.index).await
    }

    async fn insert_grant_index(&mut self, id: GrantId, index: StatusIndex) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("INSERT INTO grant_indexes (idx, grant_id) VALUES ($1, $2)")
                .bind(int(index.get()))
                .bind(int(id.get()))
        )?;
        Ok(())
    }

    /// The grant with this id, without locking it.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        let row: Option<GrantRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, client_id, user_id, org_id, scopes, identity, resource, session, auth_time_seconds,
                    issued_at_seconds, status_index, signing_key, idle_expires_seconds, expires_seconds, created_at, revoked_at,
                    dpop_jkt
             FROM grants WHERE id = $1")
            .bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Grant::try_from).transpose()
    }

    /// The grant whose tokens carry, or carried, this index.
    pub async fn grant_of_index(&mut self, index: StatusIndex) -> Result<Option<GrantId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar("SELECT grant_id FROM grant_indexes WHERE idx = $1")
            .bind(int(index.get())).fetch_optional(conn).await)?;
        id.map(grant_id).transpose()
    }

    /// Every index that a grant's tokens carry or carried, in order.
    pub async fn indexes_of_grant(&mut self, id: GrantId) -> Result<Vec<StatusIndex>, StoreError> {
        let indexes: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT idx FROM grant_indexes WHERE grant_id = $1 ORDER BY idx")
            .bind(int(id.get())).fetch_all(conn).await)?;
        indexes
            .into_iter()
            .map(|index| {
                StatusIndex::from_u64(uint(index, "status index")?).ok_or(StoreError::Corrupt("status index"))
            })
            .collect()
    }

    /// Holds a grant for the rest of the transaction and moves its idle end; false if it is over. Whoever revokes it waits
    /// for us, or we see that it is dead.
    pub async fn hold_grant(
        &mut self,
        id: GrantId,
        idle_expires: UnixSeconds,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE grants SET acted_at = $2, version = version + 1,
                    idle_expires_seconds = CASE WHEN $3 < expires_seconds THEN $3 ELSE expires_seconds END
             WHERE id = $1 AND revoked_at IS NULL AND idle_expires_seconds > $4 AND expires_seconds > $4"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
            .bind(int(idle_expires.0))
            .bind(int(now.seconds().0))
        )?;
        Ok(rows == 1)
    }

    /// Holds a grant whose access token calls, for the rest of the transaction; false if it is over. Its revocation waits for
    /// this transaction, so nothing that the caller gives out can commit after it.
    pub async fn hold_grant_of_caller(&mut self, id: GrantId) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE grants SET acted_at = acted_at WHERE id = $1 AND revoked_at IS NULL")
                .bind(int(id.get()))
        )?;
        Ok(rows == 1)
    }

    /// Gives a grant another index for its next tokens; those of the old one still belong to it.
    pub async fn move_grant(
        &mut self,
        id: GrantId,
        key: SigningKeyId,
        index: StatusIndex,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE grants SET status_index = $2, signing_key = $3 WHERE id = $1")
                .bind(int(id.get()))
                .bind(int(index.get()))
                .bind(int(key.get()))
        )?;
        self.insert_grant_index(id, index).await
    }

    /// When a grant ended, and why.
    pub async fn grant_end(&mut self, id: GrantId) -> Result<Option<(UnixMillis, String)>, StoreError> {
        let row: Option<(i64, Option<String>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT revoked_at, revoked_reason FROM grants WHERE id = $1 AND revoked_at IS NOT NULL")
            .bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(|(at, reason)| Ok((UnixMillis(uint(at, "time")?), reason.unwrap_or_default())))
            .transpose()
    }

    /// Ends a grant; false if it was over before.
    pub async fn revoke_grant(
        &mut self,
        id: GrantId,
        reason: &str,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE grants SET revoked_at = $2, revoked_reason = $3, version = version + 1
             WHERE id = $1 AND revoked_at IS NULL"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
            .bind(reason)
        )?;
        Ok(rows == 1)
    }

    /// Ends the grants that were made in a session, and gives their number; codes and devices that a person agreed to there
    /// become none. Their access tokens name the session, whose own end kills them at the edge.
    pub async fn end_grants_of_session(&mut self, session: &str, now: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE authorization_codes SET used_at = $2 WHERE session = $1 AND used_at IS NULL")
                .bind(session)
                .bind(int(now.0))
        )?;
        rows_affected!(
            self,
            sqlx::query("UPDATE device_codes SET used_at = $2 WHERE session = $1 AND used_at IS NULL")
                .bind(session)
                .bind(int(now.0))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE grants SET revoked_at = $2, revoked_reason = 'cessation_of_operation', version = version + 1
             WHERE session = $1 AND revoked_at IS NULL"
            )
            .bind(session)
            .bind(int(now.0))
        )
    }

    /// Revokes the indexes of the grants that [`Tx::end_grants_of_session`] ended at `now`, and gives them.
    pub async fn revoke_indexes_of_session(
        &mut self,
        session: &str,
        now: UnixMillis,
    ) -> Result<Vec<StatusIndex>, StoreError> {
        let indexes: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE status_indexes SET revoked_at = $2
             WHERE revoked_at IS NULL AND idx IN (
                 SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 WHERE g.session = $1 AND g.revoked_at = $2)
             RETURNING idx")
            .bind(session).bind(int(now.0)).fetch_all(conn).await)?;
        indexes
            .into_iter()
            .map(|index| {
                StatusIndex::from_u64(uint(index, "status index")?).ok_or(StoreError::Corrupt("status index"))
            })
            .collect()
    }

    /// Forgets what hangs on grants that ended before `before`, and them. Gives how many.
    pub async fn forget_grants(&mut self, before: UnixSeconds) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM refresh_tokens WHERE grant_id IN (SELECT id FROM grants WHERE expires_seconds < $1)"
            )
            .bind(int(before.0))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM grant_indexes WHERE grant_id IN (SELECT id FROM grants WHERE expires_seconds < $1)"
            )
            .bind(int(before.0))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM grants WHERE expires_seconds < $1 AND NOT EXISTS
                 (SELECT 1 FROM authorization_codes WHERE grant_id = grants.id)"
            )
            .bind(int(before.0))
        )
    }

    /// The `not_before` of a client.
    pub async fn client_not_before(&mut self, client: ClientId) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT not_before_seconds FROM clients WHERE id = $1")
            .bind(int(client.get())).fetch_optional(conn).await)?;
        seconds(at.flatten())
    }

    /// Remembers a token that carries an index, so that the index and its key outlive it. False if the index is revoked or
    /// forgotten.
    pub async fn extend_index(
        &mut self,
        index: StatusIndex,
        expires: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE status_indexes SET expires_seconds = CASE WHEN expires_seconds > $2 THEN expires_seconds ELSE $2 END
             WHERE idx = $1 AND revoked_at IS NULL"
            )
            .bind(int(index.get()))
            .bind(int(expires.0))
        )?;
        Ok(rows == 1)
    }

    /// Whether an index was drawn and is not revoked; `None` if it is not known.
    pub async fn index_is_live(&mut self, index: StatusIndex) -> Result<Option<bool>, StoreError> {
        let revoked: Option<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT revoked_at FROM status_indexes WHERE idx = $1")
            .bind(int(index.get())).fetch_optional(conn).await)?;
        Ok(revoked.map(|at| at.is_none()))
    }

    /// What a person has agreed to for a client at a resource: scopes and identity scopes.
    pub async fn consent(
        &mut self,
        org: OrgId,
        user: UserId,
        client: ClientId,
        resource: &str,
    ) -> Result<Option<(ScopeSet, u8)>, StoreError> {
        let row: Option<(i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT scopes, identity FROM consents
             WHERE user_id = $1 AND org_id = $2 AND client_id = $3 AND resource = $4")
            .bind(int(user.get())).bind(int(org.get())).bind(int(client.get())).bind(resource).fetch_optional(conn).await)?;
        row.map(|(scopes, bits)| Ok((ScopeSet(scopes.cast_unsigned()), identity(bits)?)))
            .transpose()
    }

    /// Forgets all that a person agreed to, for every client.
    pub async fn forget_consents_of_user(&mut self, user: UserId) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM consents WHERE user_id = $1").bind(int(user.get()))
        )
    }

    /// Remembers an agreement, added to earlier ones for the same resource; false if it adds nothing.
    pub async fn add_consent(&mut self, terms: &Terms, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO consents (user_id, org_id, client_id, scopes, identity, created_at, updated_at, resource)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
             ON CONFLICT (user_id, org_id, client_id, resource) DO UPDATE SET scopes = consents.scopes | excluded.scopes,
                 identity = consents.identity | excluded.identity, updated_at = excluded.updated_at
             WHERE consents.scopes <> (consents.scopes | excluded.scopes)
                OR consents.identity <> (consents.identity | excluded.identity)"
            )
            .bind(int(terms.user.get()))
            .bind(int(terms.org.get()))
            .bind(int(terms.client.get()))
            .bind(terms.scopes.0.cast_signed())
            .bind(i64::from(terms.identity))
            .bind(int(now.0))
            .bind(&terms.resource)
        )?;
        Ok(rows == 1)
    }
}
