//! SQL for who belongs where: a person's organisations.

use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;

use super::orgs::{Role, org_id};
use super::{StoreError, Tx, int, on_db, rows_affected};

/// An organisation that somebody belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// Which.
    pub org: OrgId,
    /// What it is called.
    pub name: String,
    /// As what.
    pub role: Role,
}

impl Tx {
    /// What an organisation is called.
    pub async fn org_name(&mut self, org: OrgId) -> Result<Option<String>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar("SELECT name FROM orgs WHERE id = $1")
            .bind(int(org.get())).fetch_optional(conn).await)
    }

    /// The organisations in which a user is alive, by name.
    pub async fn orgs_of(&mut self, user: UserId) -> Result<Vec<Belonging>, StoreError> {
        let rows: Vec<(i64, String, String)> = on_db!(self, conn => sqlx::query_as(
            "SELECT o.id, o.name, m.role FROM memberships m
             JOIN orgs o ON o.id = m.org_id JOIN users u ON u.id = m.user_id
             WHERE m.user_id = $1 AND m.suspended_at IS NULL AND u.deactivated_at IS NULL
             ORDER BY o.name, o.id")
            .bind(int(user.get())).fetch_all(conn).await)?;
        let belonging = |(org, name, role): (i64, String, String)| {
            Ok(Belonging {
                org: org_id(org)?,
                name,
                role: role.parse()?,
            })
        };
        rows.into_iter().map(belonging).collect()
    }

    /// Whether a user belongs to another organisation besides this one, suspended or not.
    pub async fn belongs_elsewhere(&mut self, user: UserId, org: OrgId) -> Result<bool, StoreError> {
        let found: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM memberships WHERE user_id = $1 AND org_id <> $2")
            .bind(int(user.get())).bind(int(org.get())).fetch_one(conn).await)?;
        Ok(found > 0)
    }

    /// Whether an address belongs to an account, deactivated ones included.
    pub async fn is_email_taken(&mut self, email: &str) -> Result<bool, StoreError> {
        let found: i64 = on_db!(self, conn => sqlx::query_scalar("SELECT COUNT(*) FROM users WHERE email = $1")
            .bind(email).fetch_one(conn).await)?;
        Ok(found > 0)
    }

    /// Notes that a user works in this organisation now; false if they are not alive there. Held like
    /// [`Tx::hold_membership`].
    pub async fn use_membership(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE memberships SET last_used_at = $3
                 WHERE org_id = $1 AND user_id = $2 AND suspended_at IS NULL
                   AND EXISTS (SELECT 1 FROM users WHERE id = $2 AND kind = 'person' AND deactivated_at IS NULL)"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Sets a password hash whatever the old one was; false if there is no such user, or deactivated.
    pub async fn set_password(&mut self, user: UserId, hash: &str) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1 AND deactivated_at IS NULL")
                .bind(int(user.get()))
                .bind(hash)
        )?;
        Ok(rows == 1)
    }

    /// Moves a session to another organisation of its user, under a new secret; false if `old` is not its secret any
    /// more, or it was ended.
    pub async fn move_session(
        &mut self,
        old: &[u8; 32],
        new: &[u8; 32],
        org: OrgId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET digest = $2, org_id = $3, last_seen_at = $4
                 WHERE digest = $1 AND ended_at IS NULL"
            )
            .bind(old.as_slice())
            .bind(new.as_slice())
            .bind(int(org.get()))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }
}
