//! SQL for the keys under which the audit trail keeps what is about people.

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected};

/// A key of a person in a chain. Its secret is not printed.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PersonKeyRow {
    /// Its number, which rows of the trail name.
    pub id: i64,
    /// 32 bytes; zeros once it is destroyed.
    pub secret: Vec<u8>,
    /// When it was.
    pub destroyed_at: Option<i64>,
}

impl std::fmt::Debug for PersonKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonKeyRow")
            .field("id", &self.id)
            .field("destroyed_at", &self.destroyed_at)
            .finish_non_exhaustive()
    }
}

impl Tx {
    /// The key of a subject; without one, this one becomes it.
    pub async fn person_key(
        &mut self,
        (chain, subject): (i64, &str),
        id: i64,
        secret: &[u8; 32],
        now: UnixMillis,
    ) -> Result<PersonKeyRow, StoreError> {
        if let Some(found) = self.person_key_of(chain, subject).await? {
            return Ok(found);
        }
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO person_keys (id, chain, subject, secret, created_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (chain, subject) DO NOTHING"
            )
            .bind(id)
            .bind(chain)
            .bind(subject)
            .bind(secret.as_slice())
            .bind(int(now.0))
        )?;
        self.person_key_of(chain, subject)
            .await?
            .ok_or(StoreError::Corrupt("person key"))
    }

    /// The key of a subject.
    pub async fn person_key_of(
        &mut self,
        chain: i64,
        subject: &str,
    ) -> Result<Option<PersonKeyRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, secret, destroyed_at FROM person_keys WHERE chain = $1 AND subject = $2")
            .bind(chain).bind(subject).fetch_optional(conn).await)
    }

    /// The key with a number.
    pub async fn person_key_numbered(&mut self, id: i64) -> Result<Option<PersonKeyRow>, StoreError> {
        on_db!(self, conn => sqlx::query_as("SELECT id, secret, destroyed_at FROM person_keys WHERE id = $1")
            .bind(id).fetch_optional(conn).await)
    }

    /// Destroys the key of a subject, and remembers that there was one: nothing more is kept about them. Overwritten, not
    /// deleted, so that the page holds zeros.
    pub async fn destroy_person_key(
        &mut self,
        (chain, subject): (i64, &str),
        id: i64,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO person_keys (id, chain, subject, secret, created_at, destroyed_at)
                 VALUES ($1, $2, $3, $4, $5, $5)
                 ON CONFLICT (chain, subject) DO UPDATE SET secret = excluded.secret,
                    destroyed_at = COALESCE(person_keys.destroyed_at, excluded.destroyed_at)"
            )
            .bind(id)
            .bind(chain)
            .bind(subject)
            .bind([0u8; 32].as_slice())
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Forgets the key of a subject that must not be remembered, after overwriting it.
    pub async fn forget_person_key(&mut self, chain: i64, subject: &str) -> Result<bool, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE person_keys SET secret = $3 WHERE chain = $1 AND subject = $2")
                .bind(chain)
                .bind(subject)
                .bind([0u8; 32].as_slice())
        )?;
        let gone = rows_affected!(
            self,
            sqlx::query("DELETE FROM person_keys WHERE chain = $1 AND subject = $2")
                .bind(chain)
                .bind(subject)
        )?;
        Ok(gone == 1)
    }
}
