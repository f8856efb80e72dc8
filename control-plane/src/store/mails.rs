//! SQL for mail that waits to be sent, and for the outbox of development.

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A mail that waits. Whom it goes to and what it says is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailRow {
    /// Its number.
    pub id: u64,
    /// What it is about, for logs and metrics.
    pub kind: String,
    /// Recipient, subject and text, under the master key.
    pub sealed: Vec<u8>,
    /// When it was written.
    pub created_at: UnixMillis,
    /// When it is of no use any more.
    pub expires_at: UnixMillis,
    /// How often it was tried, this time included.
    pub attempts: u64,
}

type Stored = (i64, String, Vec<u8>, i64, i64, i64);

fn row(stored: Stored) -> Result<MailRow, StoreError> {
    let (id, kind, sealed, created_at, expires_at, attempts) = stored;
    Ok(MailRow {
        id: uint(id, "mail id")?,
        kind,
        sealed,
        created_at: UnixMillis(uint(created_at, "time")?),
        expires_at: UnixMillis(uint(expires_at, "time")?),
        attempts: uint(attempts, "count")?,
    })
}

impl Tx {
    /// Puts a mail into the queue, due at once.
    pub async fn insert_mail(&mut self, mail: &MailRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO mails (id, kind, sealed, created_at, expires_at, due_at) VALUES ($1, $2, $3, $4, $5, $4)"
            )
            .bind(int(mail.id))
            .bind(&mail.kind)
            .bind(mail.sealed.as_slice())
            .bind(int(mail.created_at.0))
            .bind(int(mail.expires_at.0))
        )?;
        Ok(())
    }

    /// Takes the mail that has been due for longest; nobody else gets it before `until`.
    pub async fn take_mail(
        &mut self,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<Option<MailRow>, StoreError> {
        let stored: Option<Stored> = on_db!(self, conn => sqlx::query_as(
            "UPDATE mails SET due_at = $2, attempts = attempts + 1
             WHERE id = (SELECT id FROM mails WHERE due_at <= $1 AND shown_at IS NULL ORDER BY due_at, id LIMIT 1)
               AND due_at <= $1 AND shown_at IS NULL
             RETURNING id, kind, sealed, created_at, expires_at, attempts")
            .bind(int(now.0)).bind(int(until.0)).fetch_optional(conn).await)?;
        stored.map(row).transpose()
    }

    /// Puts a mail that was not sent back, due later.
    pub async fn postpone_mail(&mut self, id: u64, due_at: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE mails SET due_at = $2 WHERE id = $1")
                .bind(int(id))
                .bind(int(due_at.0))
        )?;
        Ok(())
    }

    /// Drops a mail: sent, given up, or for nobody.
    pub async fn drop_mail(&mut self, id: u64) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query("DELETE FROM mails WHERE id = $1").bind(int(id)))?;
        Ok(())
    }

    /// Moves a mail to the outbox.
    pub async fn show_mail(&mut self, id: u64, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE mails SET shown_at = $2 WHERE id = $1")
                .bind(int(id))
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// The outbox, newest first.
    pub async fn shown_mails(&mut self, limit: u32) -> Result<Vec<MailRow>, StoreError> {
        let stored: Vec<Stored> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, kind, sealed, created_at, expires_at, attempts FROM mails
             WHERE shown_at IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT $1")
            .bind(i64::from(limit)).fetch_all(conn).await)?;
        stored.into_iter().map(row).collect()
    }

    /// Clears the outbox of what was shown before `before`.
    pub async fn forget_shown_mails(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM mails WHERE shown_at < $1").bind(int(before.0))
        )
    }
}
