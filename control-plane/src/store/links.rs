//! SQL for what a mailed link stands for: a sign-up, a new password. Invitations are in `invitations`.
//!
//! A link is found by the SHA-256 of its secret, is worth something until it is used or runs out, and is used once.

use shared::id::UserId;
use shared::time::UnixMillis;

use super::orgs::user_id;
use super::{StoreError, Tx, int, on_db, rows_affected};

/// A sign-up that waits for its confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignUpRow {
    /// SHA-256 of the link's secret.
    pub digest: [u8; 32],
    /// Lower case.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What their organisation will be called.
    pub org_name: String,
    /// An argon2id PHC string.
    pub password_hash: String,
    /// When it was asked for.
    pub created_at: UnixMillis,
    /// When it runs out.
    pub expires_at: UnixMillis,
}

impl Tx {
    /// Adds a sign-up; `dead` if it must never be confirmed.
    pub async fn insert_sign_up(&mut self, row: &SignUpRow, dead: bool) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO sign_ups (digest, email, name, org_name, password_hash, created_at, expires_at, used_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            )
            .bind(row.digest.as_slice())
            .bind(&row.email)
            .bind(&row.name)
            .bind(&row.org_name)
            .bind(&row.password_hash)
            .bind(int(row.created_at.0))
            .bind(int(row.expires_at.0))
            .bind(dead.then_some(int(row.created_at.0)))
        )?;
        Ok(())
    }

    /// The sign-up behind a link, if it can still be confirmed. Its times are not read.
    pub async fn sign_up(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<SignUpRow>, StoreError> {
        let row: Option<(String, String, String, String)> = on_db!(self, conn => sqlx::query_as(
            "SELECT email, name, org_name, password_hash FROM sign_ups
             WHERE digest = $1 AND used_at IS NULL AND expires_at > $2")
            .bind(digest.as_slice()).bind(int(now.0)).fetch_optional(conn).await)?;
        Ok(row.map(|(email, name, org_name, password_hash)| SignUpRow {
            digest: *digest,
            email,
            name,
            org_name,
            password_hash,
            created_at: now,
            expires_at: now,
        }))
    }

    /// Uses a sign-up up, with every other one of its address; false if it was used or ran out.
    pub async fn use_sign_up(
        &mut self,
        digest: &[u8; 32],
        email: &str,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE sign_ups SET used_at = $2, password_hash = ''
                 WHERE digest = $1 AND used_at IS NULL AND expires_at > $2"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sign_ups SET used_at = $2, password_hash = '' WHERE email = $1 AND used_at IS NULL"
            )
            .bind(email)
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Adds a link to a new password. Without a user it opens nothing.
    pub async fn insert_password_reset(
        &mut self,
        digest: &[u8; 32],
        user: Option<UserId>,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO password_resets (digest, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)"
            )
            .bind(digest.as_slice())
            .bind(user.map(|user| int(user.get())))
            .bind(int(now.0))
            .bind(int(expires_at.0))
        )?;
        Ok(())
    }

    /// Whose password a link may replace, if it still may.
    pub async fn password_reset(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<UserId>, StoreError> {
        let user: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT r.user_id FROM password_resets r JOIN users u ON u.id = r.user_id
             WHERE r.digest = $1 AND r.used_at IS NULL AND r.expires_at > $2 AND u.deactivated_at IS NULL")
            .bind(digest.as_slice()).bind(int(now.0)).fetch_optional(conn).await)?;
        user.map(user_id).transpose()
    }

    /// Uses a link up; false if it was used or ran out.
    pub async fn use_password_reset(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE password_resets SET used_at = $2
                 WHERE digest = $1 AND user_id IS NOT NULL AND used_at IS NULL AND expires_at > $2"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Ends every link to a new password of a user: they have one.
    pub async fn void_password_resets(&mut self, user: UserId, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE password_resets SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL")
                .bind(int(user.get()))
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Forgets links that ran out before `before`, and gives their number.
    pub async fn forget_links(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        let sign_ups = rows_affected!(
            self,
            sqlx::query("DELETE FROM sign_ups WHERE expires_at < $1").bind(int(before.0))
        )?;
        let resets = rows_affected!(
            self,
            sqlx::query("DELETE FROM password_resets WHERE expires_at < $1").bind(int(before.0))
        )?;
        Ok(sign_ups.saturating_add(resets))
    }
}
