//! SQL for second factors: the authenticator app, recovery codes, and sign-ins that wait for one of them.

use std::collections::BTreeMap;

use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;
use sqlx::AssertSqlSafe;

use super::orgs::{org_id, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint, wanted};

/// Somebody's authenticator app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totp {
    /// Whose.
    pub user: UserId,
    /// The secret, sealed under the master key.
    pub sealed: Vec<u8>,
    /// The newest time step whose code was accepted.
    pub last_step: u64,
    /// When it was added.
    pub created_at: UnixMillis,
}

/// Somebody whose password was right, before their second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSignIn {
    /// SHA-256 of the cookie's value.
    pub digest: [u8; 32],
    /// Who.
    pub user: UserId,
    /// Where they will be signed in.
    pub org: OrgId,
    /// SHA-256 of the password hash that the password was right for: with another password this is void.
    pub password_digest: [u8; 32],
    /// Until when the second factor may come.
    pub expires_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct StoredPending {
    digest: Vec<u8>,
    user_id: i64,
    org_id: i64,
    password_digest: Vec<u8>,
    expires_at: i64,
}

impl TryFrom<StoredPending> for PendingSignIn {
    type Error = StoreError;

    fn try_from(row: StoredPending) -> Result<Self, StoreError> {
        let digest = |bytes: Vec<u8>| {
            bytes
                .try_into()
                .map_err(|_| StoreError::Corrupt("digest of a pending sign-in"))
        };
        Ok(Self {
            digest: digest(row.digest)?,
            user: user_id(row.user_id)?,
            org: org_id(row.org_id)?,
            password_digest: digest(row.password_digest)?,
            expires_at: UnixMillis(uint(row.expires_at, "time")?),
        })
    }
}

/// What somebody can sign in with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// A password.
    pub password: bool,
    /// An authenticator app.
    pub authenticator_app: bool,
    /// Recovery codes that were not used.
    pub recovery_codes: u64,
    /// Passkeys.
    pub passkeys: u64,
}

impl Tx {
    /// What each of these people can sign in with.
    pub async fn factors_of(&mut self, users: &[UserId]) -> Result<BTreeMap<UserId, Factors>, StoreError> {
        if users.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "{} SELECT w.id,
                 (SELECT COUNT(*) FROM users u WHERE u.id = w.id AND u.password_hash IS NOT NULL AND u.kind = 'person'
                  AND u.deactivated_at IS NULL),
                 (SELECT COUNT(*) FROM totp t WHERE t.user_id = w.id),
                 (SELECT COUNT(*) FROM recovery_codes r WHERE r.user_id = w.id AND r.used_at IS NULL),
                 (SELECT COUNT(*) FROM passkeys p WHERE p.user_id = w.id)
             FROM wanted w",
            wanted(1, users.len())
        );
        let rows: Vec<(i64, i64, i64, i64, i64)> = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone()));
            for user in users {
                query = query.bind(int(user.get()));
            }
            query.fetch_all(conn).await
        })?;
        rows.into_iter()
            .map(|(user, password, apps, codes, passkeys)| {
                let factors = Factors {
                    password: password != 0,
                    authenticator_app: apps != 0,
                    recovery_codes: uint(codes, "count")?,
                    passkeys: uint(passkeys, "count")?,
                };
                Ok((user_id(user)?, factors))
            })
            .collect()
    }

    /// Adds an authenticator app; false if there is one already.
    pub async fn insert_totp(&mut self, totp: &Totp) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO totp (user_id, sealed, last_step, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (user_id) DO NOTHING"
            )
            .bind(int(totp.user.get()))
            .bind(totp.sealed.as_slice())
            .bind(int(totp.last_step))
            .bind(int(totp.created_at.0))
        )?;
        Ok(rows == 1)
    }

    /// A user's authenticator app.
    pub async fn totp(&mut self, user: UserId) -> Result<Option<Totp>, StoreError> {
        let row: Option<(Vec<u8>, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT sealed, last_step, created_at FROM totp WHERE user_id = $1")
            .bind(int(user.get())).fetch_optional(conn).await)?;
        row.map(|(sealed, last_step, created_at)| {
            Ok(Totp {
                user,
                sealed,
                last_step: uint(last_step, "time step")?,
                created_at: UnixMillis(uint(created_at, "time")?),
            })
        })
        .transpose()
    }

    /// Uses up a time step and those before it; false if that was done before. Two that come with one code: one wins.
    pub async fn accept_totp_step(&mut self, user: UserId, step: u64) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE totp SET last_step = $2 WHERE user_id = $1 AND last_step < $2")
                .bind(int(user.get()))
                .bind(int(step))
        )?;
        Ok(rows == 1)
    }

    /// Removes a user's authenticator app and recovery codes; false if there is none.
    pub async fn remove_totp(&mut self, user: UserId) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("DELETE FROM totp WHERE user_id = $1").bind(int(user.get()))
        )?;
        self.replace_recovery_codes(user, &[]).await?;
        Ok(rows == 1)
    }

    /// Sets a user's recovery codes; those before are void.
    pub async fn replace_recovery_codes(
        &mut self,
        user: UserId,
        digests: &[[u8; 32]],
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1").bind(int(user.get()))
        )?;
        for digest in digests {
            rows_affected!(
                self,
                sqlx::query("INSERT INTO recovery_codes (user_id, digest) VALUES ($1, $2)")
                    .bind(int(user.get()))
                    .bind(digest.as_slice())
            )?;
        }
        Ok(())
    }

    /// Uses up a recovery code; false if it is not one of the user's, or was used.
    pub async fn use_recovery_code(
        &mut self,
        user: UserId,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE recovery_codes SET used_at = $3
                 WHERE user_id = $1 AND digest = $2 AND used_at IS NULL"
            )
            .bind(int(user.get()))
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// How many recovery codes a user has left.
    pub async fn recovery_codes_left(&mut self, user: UserId) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL")
            .bind(int(user.get())).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Adds a sign-in that waits for its second factor.
    pub async fn insert_pending_sign_in(&mut self, pending: &PendingSignIn) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO pending_sign_ins (digest, user_id, org_id, password_digest, expires_at)
                 VALUES ($1, $2, $3, $4, $5)"
            )
            .bind(pending.digest.as_slice())
            .bind(int(pending.user.get()))
            .bind(int(pending.org.get()))
            .bind(pending.password_digest.as_slice())
            .bind(int(pending.expires_at.0))
        )?;
        Ok(())
    }

    /// The sign-in that waits under this digest, while it may.
    pub async fn pending_sign_in(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<PendingSignIn>, StoreError> {
        let row: Option<StoredPending> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, user_id, org_id, password_digest, expires_at
             FROM pending_sign_ins WHERE digest = $1 AND expires_at > $2")
            .bind(digest.as_slice()).bind(int(now.0)).fetch_optional(conn).await)?;
        row.map(PendingSignIn::try_from).transpose()
    }

    /// Takes a sign-in that waits, once and in time.
    pub async fn take_pending_sign_in(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("DELETE FROM pending_sign_ins WHERE digest = $1 AND expires_at > $2")
                .bind(digest.as_slice())
                .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Ends a user's sign-ins that wait.
    pub async fn end_pending_sign_ins(&mut self, user: UserId) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM pending_sign_ins WHERE user_id = $1").bind(int(user.get()))
        )
    }

    /// Ends those of them that lead to one organisation.
    pub async fn end_pending_sign_ins_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM pending_sign_ins WHERE org_id = $1 AND user_id = $2")
                .bind(int(org.get()))
                .bind(int(user.get()))
        )
    }

    /// Forgets sign-ins that waited too long and challenges that nobody could answer any more.
    pub async fn forget_ceremonies(&mut self, now: UnixMillis) -> Result<u64, StoreError> {
        let waited = rows_affected!(
            self,
            sqlx::query("DELETE FROM pending_sign_ins WHERE expires_at <= $1").bind(int(now.0))
        )?;
        let spent = rows_affected!(
            self,
            sqlx::query("DELETE FROM spent_challenges WHERE expires_at <= $1").bind(int(now.0))
        )?;
        Ok(waited + spent)
    }
}
