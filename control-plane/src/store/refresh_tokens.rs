//! SQL for refresh tokens. A token is the head of its family, used, or replaced; only the head counts.

use shared::id::GrantId;
use shared::time::UnixMillis;

use super::grants::grant_id;
use super::orgs::millis;
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A refresh token that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of its text.
    pub digest: [u8; 32],
    /// Its family.
    pub grant: GrantId,
    /// One more than its predecessor's; the first has 1.
    pub generation: u64,
    /// The digest of the token that it was given out for.
    pub predecessor: Option<[u8; 32]>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was exchanged first.
    pub used_at: Option<UnixMillis>,
    /// When another took its place although it had not been used.
    pub replaced_at: Option<UnixMillis>,
    /// What it was exchanged for, under a key that only the token itself gives.
    pub sealed: Option<Vec<u8>>,
    /// Until when that counts.
    pub sealed_until: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    digest: Vec<u8>,
    grant_id: i64,
    generation: i64,
    predecessor: Option<Vec<u8>>,
    created_at: i64,
    used_at: Option<i64>,
    replaced_at: Option<i64>,
    sealed: Option<Vec<u8>>,
    sealed_until: Option<i64>,
}

fn digest(stored: Vec<u8>) -> Result<[u8; 32], StoreError> {
    stored
        .try_into()
        .map_err(|_| StoreError::Corrupt("refresh token digest"))
}

impl TryFrom<TokenRow> for RefreshToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        Ok(Self {
            digest: digest(row.digest)?,
            grant: grant_id(row.grant_id)?,
            generation: uint(row.generation, "generation")?,
            predecessor: row.predecessor.map(digest).transpose()?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            used_at: millis(row.used_at)?,
            replaced_at: millis(row.replaced_at)?,
            sealed: row.sealed,
            sealed_until: millis(row.sealed_until)?,
        })
    }
}

impl RefreshToken {
    /// Whether it is the one of its family that can be used.
    pub fn is_head(&self) -> bool {
        self.used_at.is_none() && self.replaced_at.is_none()
    }
}

impl Tx {
    /// Adds a token: the head of its family.
    pub async fn insert_refresh_token(&mut self, token: &RefreshToken) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO refresh_tokens (digest, grant_id, generation, predecessor, created_at)
             VALUES ($1, $2, $3, $4, $5)"
            )
            .bind(token.digest.as_slice())
            .bind(int(token.grant.get()))
            .bind(int(token.generation))
            .bind(token.predecessor.map(|digest| digest.to_vec()))
            .bind(int(token.created_at.0))
        )?;
        Ok(())
    }

    /// The token with this digest.
    pub async fn refresh_token(&mut self, digest: &[u8; 32]) -> Result<Option<RefreshToken>, StoreError> {
        let row: Option<TokenRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, grant_id, generation, predecessor, created_at, used_at, replaced_at, sealed, sealed_until
             FROM refresh_tokens WHERE digest = $1")
            .bind(digest.as_slice()).fetch_optional(conn).await)?;
        row.map(RefreshToken::try_from).transpose()
    }

    /// The tokens of a family that are neither used nor replaced: one while it lives.
    pub async fn heads_of_grant(&mut self, grant: GrantId) -> Result<Vec<RefreshToken>, StoreError> {
        let rows: Vec<TokenRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, grant_id, generation, predecessor, created_at, used_at, replaced_at, sealed, sealed_until
             FROM refresh_tokens WHERE grant_id = $1 AND used_at IS NULL AND replaced_at IS NULL ORDER BY generation")
            .bind(int(grant.get())).fetch_all(conn).await)?;
        rows.into_iter().map(RefreshToken::try_from).collect()
    }

    /// Uses the head of a family; false if it is not the head any more.
    pub async fn use_refresh_token(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE refresh_tokens SET used_at = $2
             WHERE digest = $1 AND used_at IS NULL AND replaced_at IS NULL"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Takes back the successor of a used token, if nobody has used it; false if somebody has.
    pub async fn replace_successor(
        &mut self,
        predecessor: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE refresh_tokens SET replaced_at = $2
             WHERE predecessor = $1 AND used_at IS NULL AND replaced_at IS NULL"
            )
            .bind(predecessor.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Whether the successor of a used token is still the head.
    pub async fn successor_is_unused(&mut self, predecessor: &[u8; 32]) -> Result<bool, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM refresh_tokens WHERE predecessor = $1 AND used_at IS NULL AND replaced_at IS NULL")
            .bind(predecessor.as_slice()).fetch_one(conn).await)?;
        Ok(count == 1)
    }

    /// Keeps, for a while, what a token was exchanged for.
    pub async fn seal_successor(
        &mut self,
        digest: &[u8; 32],
        sealed: &[u8],
        until: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE refresh_tokens SET sealed = $2, sealed_until = $3 WHERE digest = $1")
                .bind(digest.as_slice())
                .bind(sealed)
                .bind(int(until.0))
        )?;
        Ok(())
    }

    /// Drops what was kept longer than it may be.
    pub async fn drop_sealed(&mut self, now: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE refresh_tokens SET sealed = NULL, sealed_until = NULL WHERE sealed_until <= $1"
            )
            .bind(int(now.0))
        )
    }
}
