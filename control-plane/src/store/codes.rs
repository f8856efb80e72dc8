//! SQL for authorization codes.

use shared::id::GrantId;
use shared::jwk::Thumbprint;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::grants::{Terms, client_id, grant_id, identity, second, thumbprint};
use super::orgs::{millis, org_id, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// An authorization code that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// SHA-256 of its text.
    pub digest: [u8; 32],
    /// What was agreed to.
    pub terms: Terms,
    /// Where it was sent.
    pub redirect_uri: String,
    /// RFC 7636: the S256 challenge.
    pub challenge: String,
    /// For the id_token.
    pub nonce: Option<String>,
    /// RFC 9449 §10: whoever exchanges it must hold this key.
    pub bound_to: Option<Thumbprint>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it is of no use any more.
    pub expires_at: UnixMillis,
    /// When it was exchanged.
    pub used_at: Option<UnixMillis>,
    /// What it was exchanged for.
    pub grant: Option<GrantId>,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    digest: Vec<u8>,
    client_id: i64,
    user_id: i64,
    org_id: i64,
    scopes: i64,
    identity: i64,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    dpop_jkt: Option<Vec<u8>>,
    resource: String,
    session: Option<String>,
    auth_time_seconds: i64,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    grant_id: Option<i64>,
}

impl TryFrom<CodeRow> for AuthorizationCode {
    type Error = StoreError;

    fn try_from(row: CodeRow) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row
                .digest
                .try_into()
                .map_err(|_| StoreError::Corrupt("code digest"))?,
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
            redirect_uri: row.redirect_uri,
            challenge: row.challenge,
            nonce: row.nonce,
            bound_to: thumbprint(row.dpop_jkt)?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            expires_at: UnixMillis(uint(row.expires_at, "time")?),
            used_at: millis(row.used_at)?,
            grant: row.grant_id.map(grant_id).transpose()?,
        })
    }
}

impl Tx {
    /// Adds a code.
    pub async fn insert_code(&mut self, code: &AuthorizationCode) -> Result<(), StoreError> {
        let terms = &code.terms;
        rows_affected!(self, sqlx::query(
            "INSERT INTO authorization_codes
                 (digest, client_id, user_id, org_id, scopes, identity, redirect_uri, challenge, nonce, resource, session,
                  auth_time_seconds, created_at, expires_at, dpop_jkt)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)")
            .bind(code.digest.as_slice()).bind(int(terms.client.get())).bind(int(terms.user.get()))
            .bind(int(terms.org.get())).bind(terms.scopes.0.cast_signed()).bind(i64::from(terms.identity))
            .bind(&code.redirect_uri).bind(&code.challenge).bind(&code.nonce).bind(&terms.resource)
            .bind(&terms.session).bind(int(terms.auth_time.0)).bind(int(code.created_at.0))
            .bind(int(code.expires_at.0)).bind(code.bound_to.as_ref().map(|key| key.0.as_slice())))?;
        Ok(())
    }

    /// The code with this digest.
    pub async fn code(&mut self, digest: &[u8; 32]) -> Result<Option<AuthorizationCode>, StoreError> {
        let row: Option<CodeRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, client_id, user_id, org_id, scopes, identity, redirect_uri, challenge, nonce, resource, session,
                    auth_time_seconds, created_at, expires_at, used_at, grant_id, dpop_jkt
             FROM authorization_codes WHERE digest = $1")
            .bind(digest.as_slice()).fetch_optional(conn).await)?;
        row.map(AuthorizationCode::try_from).transpose()
    }

    /// Takes a code, once and in time; false if somebody did before, or it is too late.
    pub async fn take_code(&mut self, digest: &[u8; 32], now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE authorization_codes SET used_at = $2
             WHERE digest = $1 AND used_at IS NULL AND expires_at > $2"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Notes what a taken code was exchanged for.
    pub async fn note_code_grant(&mut self, digest: &[u8; 32], grant: GrantId) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE authorization_codes SET grant_id = $2 WHERE digest = $1 AND grant_id IS NULL"
            )
            .bind(digest.as_slice())
            .bind(int(grant.get()))
        )?;
        Ok(())
    }

    /// Forgets codes that were made before `before`.
    pub async fn forget_codes(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM authorization_codes WHERE created_at < $1").bind(int(before.0))
        )
    }
}
