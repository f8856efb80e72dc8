//! SQL for what is sealed under the master key, and for the end of a feed.

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected};

/// What the database knows about its master key.
#[derive(Clone, Debug, Default)]
pub struct MasterRow {
    /// Its number; `None` while it is the first one.
    pub number: Option<[u8; 16]>,
    /// The key before it, sealed under it.
    pub former: Option<Vec<u8>>,
    /// What other keys are derived from, sealed under it.
    pub derivation: Option<Vec<u8>>,
}

/// Every place where something is sealed under the master key. (`refresh_tokens.sealed` is sealed under the tokens.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// Private keys.
    SigningKeys,
    /// The secrets of authenticator apps.
    Totp,
    /// Letters that wait.
    Mails,
    /// The secrets that messages to webhooks are signed with.
    Webhooks,
}

impl SealedPlace {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::SigningKeys, Self::Totp, Self::Mails, Self::Webhooks];

    /// The table.
    pub fn table(self) -> &'static str {
        match self {
            Self::SigningKeys => "signing_keys",
            Self::Totp => "totp",
            Self::Mails => "mails",
            Self::Webhooks => "webhooks",
        }
    }
}

/// A sealed secret where it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SealedRow {
    /// The row: key, user or mail.
    pub id: i64,
    /// What else its place depends on: a signing key's purpose.
    pub purpose: String,
    /// The secret.
    pub sealed: Vec<u8>,
}

impl Tx {
    /// What is known about the master key; `None` before the first start.
    pub async fn master_row(&mut self) -> Result<Option<MasterRow>, StoreError> {
        type Stored = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<Stored> = on_db!(self, conn => sqlx::query_as(
            "SELECT master_id, former_master, derivation FROM installation WHERE id = 1").fetch_optional(conn).await)?;
        row.map(|(number, former, derivation)| {
            let number = number
                .map(|bytes| {
                    bytes
                        .try_into()
                        .map_err(|_| StoreError::Corrupt("master key number"))
                })
                .transpose()?;
            Ok(MasterRow {
                number,
                former,
                derivation,
            })
        })
        .transpose()
    }

    /// From now on everything here is sealed under this key. Compare-and-set on the number before; false if another was faster.
    pub async fn set_master(
        &mut self,
        before: Option<[u8; 16]>,
        row: &MasterRow,
    ) -> Result<bool, StoreError> {
        let before: Option<Vec<u8>> = before.map(|number| number.to_vec());
        let number: Option<Vec<u8>> = row.number.map(|number| number.to_vec());
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE installation SET master_id = $2, former_master = $3, derivation = $4
             WHERE id = 1 AND (master_id = $1 OR (master_id IS NULL AND $1 IS NULL))"
            )
            .bind(before.as_deref())
            .bind(number.as_deref())
            .bind(row.former.as_deref())
            .bind(row.derivation.as_deref())
        )?;
        Ok(rows == 1)
    }

    /// Everything that is sealed in a place.
    pub async fn sealed_rows(&mut self, place: SealedPlace) -> Result<Vec<SealedRow>, StoreError> {
        let sql = match place {
            SealedPlace::SigningKeys => {
                "SELECT id, purpose, sealed FROM signing_keys WHERE sealed IS NOT NULL ORDER BY id"
            }
            SealedPlace::Totp => "SELECT user_id AS id, '' AS purpose, sealed FROM totp ORDER BY user_id",
            SealedPlace::Mails => "SELECT id, '' AS purpose, sealed FROM mails ORDER BY id",
            SealedPlace::Webhooks => "SELECT id, '' AS purpose, sealed FROM webhooks ORDER BY id",
        };
        on_db!(self, conn => sqlx::query_as(sql).fetch_all(conn).await)
    }

    /// Puts another sealed form in the place of one; false if that is not there any more.
    pub async fn seal_again(
        &mut self,
        place: SealedPlace,
        row: &SealedRow,
        sealed: &[u8],
    ) -> Result<bool, StoreError> {
        let sql = match place {
            SealedPlace::SigningKeys => "UPDATE signing_keys SET sealed = $3 WHERE id = $1 AND sealed = $2",
            SealedPlace::Totp => "UPDATE totp SET sealed = $3 WHERE user_id = $1 AND sealed = $2",
            SealedPlace::Mails => "UPDATE mails SET sealed = $3 WHERE id = $1 AND sealed = $2",
            SealedPlace::Webhooks => "UPDATE webhooks SET sealed = $3 WHERE id = $1 AND sealed = $2",
        };
        let rows = rows_affected!(
            self,
            sqlx::query(sql)
                .bind(row.id)
                .bind(row.sealed.as_slice())
                .bind(sealed)
        )?;
        Ok(rows == 1)
    }

    /// Ends the feed and everything that was signed: nothing here can be signed, verified or opened any more. Gives how many
    /// API keys died.
    pub async fn end_everything_signed(&mut self, now: UnixMillis) -> Result<u64, StoreError> {
        let now = int(now.0);
        for table in [
            "DELETE FROM feed_certificates",
            "DELETE FROM feed_frames",
            "DELETE FROM feed_snapshots",
            "DELETE FROM absorbed_heads",
            "DELETE FROM edge_peers",
            "DELETE FROM feed_group_orgs",
            "DELETE FROM feed_groups",
            "DELETE FROM feed_state",
            "DELETE FROM mails",
            // Of the feed that is gone: whoever asks whether an edge has it is told that nothing is left to wait for.
            "UPDATE outbox SET epoch = 0, seq = 0",
        ] {
            rows_affected!(self, sqlx::query(table))?;
        }
        for sql in [
            "UPDATE signing_keys SET state = 'removed', removed_at = $1, sealed = NULL WHERE state <> 'removed'",
            "UPDATE index_blocks SET closed_at = $1 WHERE closed_at IS NULL",
            "UPDATE status_indexes SET revoked_at = $1 WHERE revoked_at IS NULL",
            "UPDATE grants SET revoked_at = $1, revoked_reason = 'master_key_lost', version = version + 1
             WHERE revoked_at IS NULL",
        ] {
            rows_affected!(self, sqlx::query(sql).bind(now))?;
        }
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET revoked_at = $1, revoked_reason = 'superseded', revoked_by = 'command-line',
                 revoke_outbox = (SELECT COALESCE(MAX(id), 0) FROM outbox)
             WHERE revoked_at IS NULL"
            )
            .bind(now)
        )
    }
}
