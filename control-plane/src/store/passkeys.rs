//! SQL for passkeys and the challenges that were answered with them.

use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;

use super::orgs::{millis, org_id, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A passkey as stored: its public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPasskey {
    /// SHA-256 of the credential id.
    pub digest: [u8; 32],
    /// Whose.
    pub user: UserId,
    /// What they call it.
    pub name: String,
    /// What the WebAuthn library keeps of it, as JSON.
    pub credential: String,
    /// The signature counter that was seen last; 0 where the authenticator does not count.
    pub counter: u64,
    /// When it was added.
    pub created_at: UnixMillis,
    /// When it last signed in.
    pub last_used_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    digest: Vec<u8>,
    user_id: i64,
    name: String,
    credential: String,
    counter: i64,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl TryFrom<Row> for StoredPasskey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row
                .digest
                .try_into()
                .map_err(|_| StoreError::Corrupt("passkey digest"))?,
            user: user_id(row.user_id)?,
            name: row.name,
            credential: row.credential,
            counter: uint(row.counter, "counter")?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            last_used_at: millis(row.last_used_at)?,
        })
    }
}

impl Tx {
    /// Adds a passkey; false if somebody has it already.
    pub async fn insert_passkey(&mut self, passkey: &StoredPasskey) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO passkeys (digest, user_id, name, credential, counter, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest) DO NOTHING"
            )
            .bind(passkey.digest.as_slice())
            .bind(int(passkey.user.get()))
            .bind(&passkey.name)
            .bind(&passkey.credential)
            .bind(int(passkey.counter))
            .bind(int(passkey.created_at.0))
        )?;
        Ok(rows == 1)
    }

    /// The passkey with this digest.
    pub async fn passkey(&mut self, digest: &[u8; 32]) -> Result<Option<StoredPasskey>, StoreError> {
        let row: Option<Row> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, user_id, name, credential, counter, created_at, last_used_at
             FROM passkeys WHERE digest = $1")
            .bind(digest.as_slice()).fetch_optional(conn).await)?;
        row.map(StoredPasskey::try_from).transpose()
    }

    /// A user's passkeys, the oldest first.
    pub async fn passkeys_of(&mut self, user: UserId) -> Result<Vec<StoredPasskey>, StoreError> {
        let rows: Vec<Row> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, user_id, name, credential, counter, created_at, last_used_at
             FROM passkeys WHERE user_id = $1 ORDER BY created_at, digest")
            .bind(int(user.get())).fetch_all(conn).await)?;
        rows.into_iter().map(StoredPasskey::try_from).collect()
    }

    /// Notes a use with a counter that went up, or that stays 0 (WebAuthn §6.1.1). False if it did not: a copy may be about,
    /// or somebody was faster with the same answer.
    pub async fn note_passkey_use(
        &mut self,
        digest: &[u8; 32],
        credential: &str,
        counter: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE passkeys SET credential = $2, counter = $3, last_used_at = $4
                 WHERE digest = $1 AND (counter < $3 OR (counter = 0 AND $3 = 0))"
            )
            .bind(digest.as_slice())
            .bind(credential)
            .bind(int(counter))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Gives a passkey of this user another name; false if they have none such.
    pub async fn rename_passkey(
        &mut self,
        user: UserId,
        digest: &[u8; 32],
        name: &str,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE passkeys SET name = $3 WHERE digest = $1 AND user_id = $2")
                .bind(digest.as_slice())
                .bind(int(user.get()))
                .bind(name)
        )?;
        Ok(rows == 1)
    }

    /// Removes a passkey of this user; false if they have none such.
    pub async fn remove_passkey(&mut self, user: UserId, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("DELETE FROM passkeys WHERE digest = $1 AND user_id = $2")
                .bind(digest.as_slice())
                .bind(int(user.get()))
        )?;
        Ok(rows == 1)
    }

    /// Removes every passkey of a user, and gives their number.
    pub async fn remove_passkeys_of(&mut self, user: UserId) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM passkeys WHERE user_id = $1").bind(int(user.get()))
        )
    }

    /// Notes that a challenge was answered; false if it was before.
    pub async fn spend_challenge(
        &mut self,
        digest: &[u8; 32],
        expires_at: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO spent_challenges (digest, expires_at) VALUES ($1, $2)
                 ON CONFLICT (digest) DO NOTHING"
            )
            .bind(digest.as_slice())
            .bind(int(expires_at.0))
        )?;
        Ok(rows == 1)
    }

    /// Where somebody who needs no password signs in: the organisation that they joined first and are alive in.
    pub async fn home_of(&mut self, user: UserId) -> Result<Option<OrgId>, StoreError> {
        let org: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT m.org_id FROM users u JOIN memberships m ON m.user_id = u.id
             WHERE u.id = $1 AND u.kind = 'person' AND u.deactivated_at IS NULL AND m.suspended_at IS NULL
             ORDER BY m.created_at, m.org_id LIMIT 1")
            .bind(int(user.get())).fetch_optional(conn).await)?;
        org.map(org_id).transpose()
    }
}
