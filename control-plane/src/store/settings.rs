//! SQL for what organisations set, and for what the settings do: keys that end, data that is let go.

use shared::id::{KeyId, OrgId, UserId};
use shared::time::{UnixMillis, UnixSeconds};

use super::audit::AuditRow;
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// What an organisation, or the installation, has set. `None`: as the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Grows with every change.
    pub version: u64,
    /// How long usage is kept.
    pub usage_days: Option<u64>,
    /// How long network addresses are.
    pub address_days: Option<u64>,
    /// How long details of the audit trail are.
    pub detail_days: Option<u64>,
    /// The longest life of a key.
    pub key_max_days: Option<u64>,
    /// How long before its end the owner of a key is told.
    pub key_remind_days: Option<u64>,
    /// Since when rotating a key starts its life anew.
    pub renewed_since: Option<UnixMillis>,
    /// How long a key that signs API keys does; of the installation only.
    pub api_key_signer_days: Option<u64>,
    /// The same for access tokens.
    pub token_signer_days: Option<u64>,
}

#[derive(sqlx::FromRow)]
struct SettingsRow {
    version: i64,
    usage_days: Option<i64>,
    address_days: Option<i64>,
    detail_days: Option<i64>,
    key_max_days: Option<i64>,
    key_remind_days: Option<i64>,
    renewed_since: Option<i64>,
    api_key_signer_days: Option<i64>,
    token_signer_days: Option<i64>,
}

impl TryFrom<SettingsRow> for Settings {
    type Error = StoreError;

    fn try_from(row: SettingsRow) -> Result<Self, StoreError> {
        let days = |stored: Option<i64>| stored.map(|days| uint(days, "days")).transpose();
        Ok(Self {
            version: uint(row.version, "version")?,
            usage_days: days(row.usage_days)?,
            address_days: days(row.address_days)?,
            detail_days: days(row.detail_days)?,
            key_max_days: days(row.key_max_days)?,
            key_remind_days: days(row.key_remind_days)?,
            renewed_since: days(row.renewed_since)?.map(UnixMillis),
            api_key_signer_days: days(row.api_key_signer_days)?,
            token_signer_days: days(row.token_signer_days)?,
        })
    }
}

/// A key that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingKey {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub user: UserId,
    /// What it is called.
    pub name: String,
    /// When it ends.
    pub expires_at: UnixSeconds,
}

impl Tx {
    /// What was set; nothing before the first change. 0: the installation.
    pub async fn settings(&mut self, org: u64) -> Result<Settings, StoreError> {
        let row: Option<SettingsRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT version, usage_days, address_days, detail_days, key_max_days, key_remind_days, renewed_since,
                    api_key_signer_days, token_signer_days
             FROM settings WHERE org_id = $1").bind(int(org)).fetch_optional(conn).await)?;
        row.map_or(Ok(Settings::default()), Settings::try_from)
    }

    /// Writes what is set, if nobody did since the version before; false otherwise.
    pub async fn set_settings(
        &mut self,
        org: u64,
        settings: &Settings,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let number = |days: Option<u64>| days.map(int);
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO settings (org_id, version, usage_days, address_days, detail_days, key_max_days,
                    key_remind_days, renewed_since, api_key_signer_days, token_signer_days, changed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (org_id) DO UPDATE SET version = excluded.version, usage_days = excluded.usage_days,
                    address_days = excluded.address_days, detail_days = excluded.detail_days,
                    key_max_days = excluded.key_max_days, key_remind_days = excluded.key_remind_days,
                    renewed_since = excluded.renewed_since, api_key_signer_days = excluded.api_key_signer_days,
                    token_signer_days = excluded.token_signer_days, changed_at = excluded.changed_at
                 WHERE settings.version = excluded.version - 1"
            )
            .bind(int(org))
            .bind(int(settings.version))
            .bind(number(settings.usage_days))
            .bind(number(settings.address_days))
            .bind(number(settings.detail_days))
            .bind(number(settings.key_max_days))
            .bind(number(settings.key_remind_days))
            .bind(settings.renewed_since.map(|at| int(at.0)))
            .bind(number(settings.api_key_signer_days))
            .bind(number(settings.token_signer_days))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Organisations that want owners of keys to be told, with how many days before.
    pub async fn reminding_orgs(&mut self) -> Result<Vec<(i64, i64)>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT org_id, key_remind_days FROM settings WHERE org_id > 0 AND key_remind_days IS NOT NULL ORDER BY org_id")
            .fetch_all(conn).await)
    }

    /// Keys that end after `now` and before `until`, whose owners were not told, soonest first.
    pub async fn keys_to_remind(
        &mut self,
        org: OrgId,
        (now, until): (UnixSeconds, UnixSeconds),
        limit: u32,
    ) -> Result<Vec<EndingKey>, StoreError> {
        let rows: Vec<(i64, i64, String, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, user_id, name, expires_at_seconds FROM api_keys
             WHERE org_id = $1 AND expires_at_seconds > $2 AND expires_at_seconds <= $3 AND expires_at_seconds IS NOT NULL
               AND revoked_at IS NULL AND rotated_to IS NULL AND reminded_at IS NULL
             ORDER BY expires_at_seconds, id LIMIT $4")
            .bind(int(org.get())).bind(int(now.0)).bind(int(until.0)).bind(i64::from(limit)).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(id, user, name, expires_at)| {
                Ok(EndingKey {
                    id: KeyId::from_u64(uint(id, "key id")?).ok_or(StoreError::Corrupt("key id"))?,
                    user: super::orgs::user_id(user)?,
                    name,
                    expires_at: UnixSeconds(uint(expires_at, "time")?),
                })
            })
            .collect()
    }

    /// Notes that the owner of a key is told; false if somebody else just did.
    pub async fn note_reminded(&mut self, id: KeyId, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET reminded_at = $2 WHERE id = $1 AND reminded_at IS NULL AND revoked_at IS NULL"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Up to when the details, the addresses and the usage of a chain were let go.
    pub async fn let_go_so_far(&mut self, chain: i64) -> Result<(i64, i64, i64), StoreError> {
        let row: Option<(i64, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT details_before, addresses_before, usage_before FROM retention_state WHERE chain = $1")
            .bind(chain).fetch_optional(conn).await)?;
        Ok(row.unwrap_or_default())
    }

    /// Notes it.
    pub async fn set_let_go(
        &mut self,
        chain: i64,
        (details, addresses, usage): (i64, i64, i64),
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO retention_state (chain, details_before, addresses_before, usage_before)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (chain) DO UPDATE SET details_before = excluded.details_before,
                    addresses_before = excluded.addresses_before, usage_before = excluded.usage_before"
            )
            .bind(chain)
            .bind(details)
            .bind(addresses)
            .bind(usage)
        )?;
        Ok(())
    }

    /// Puts what is left of a row in the place of what was there.
    pub async fn let_go_of(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE audit SET detail = $2, salt = $3, detail_digest = $4, personal = $5, address = $6 WHERE id = $1"
            )
            .bind(row.id)
            .bind(&row.detail)
            .bind(row.salt.as_deref())
            .bind(row.detail_digest.as_deref())
            .bind(row.personal.as_deref())
            .bind(row.address.as_deref())
        )?;
        Ok(())
    }

    /// Forgets an organisation's usage before an hour, and before its day. What nobody's was is 0.
    pub async fn forget_usage_of(&mut self, org: u64, before: UnixMillis) -> Result<u64, StoreError> {
        let hour = before.0 / 3_600_000;
        let mut rows = 0;
        for (sql, before) in [
            ("DELETE FROM usage_hours WHERE org_id = $1 AND hour < $2", hour),
            ("DELETE FROM usage_days WHERE org_id = $1 AND day < $2", hour / 24),
        ] {
            rows += rows_affected!(self, sqlx::query(sql).bind(int(org)).bind(int(before)))?;
        }
        Ok(rows)
    }

    /// Forgets from where ended sessions of an organisation came.
    pub async fn forget_session_addresses(
        &mut self,
        org: OrgId,
        before: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET address = '', user_agent = ''
                 WHERE org_id = $1 AND created_at < $2 AND (ended_at IS NOT NULL OR expires_at < $2) AND address <> ''"
            )
            .bind(int(org.get()))
            .bind(int(before.0))
        )
    }

    /// Marks somebody as erased in an organisation; false if they are.
    pub async fn erase_member(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE memberships SET erased_at = $3, search_name = '', search_email = ''
                 WHERE org_id = $1 AND user_id = $2 AND erased_at IS NULL AND deactivated_at IS NOT NULL"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// When somebody was erased in an organisation.
    pub async fn erased_at(&mut self, org: OrgId, user: UserId) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT erased_at FROM memberships WHERE org_id = $1 AND user_id = $2")
            .bind(int(org.get())).bind(int(user.get())).fetch_optional(conn).await)?;
        at.flatten()
            .map(|at| Ok(UnixMillis(uint(at, "time")?)))
            .transpose()
    }

    /// Whether any organisation still has somebody. Holds the account: of two last erasures one sees the other's.
    pub async fn is_kept_anywhere(&mut self, user: UserId) -> Result<bool, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE users SET name = name WHERE id = $1").bind(int(user.get()))
        )?;
        let one: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT org_id FROM memberships WHERE user_id = $1 AND erased_at IS NULL LIMIT 1")
            .bind(int(user.get())).fetch_optional(conn).await)?;
        Ok(one.is_some())
    }

    /// What an organisation keeps of somebody beside the trail: invitations to their address, from where their sessions came.
    pub async fn erase_in_org(&mut self, org: OrgId, user: UserId, email: &str) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE invitations SET email = '' WHERE org_id = $1 AND email = $2")
                .bind(int(org.get()))
                .bind(email)
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET address = '', user_agent = '' WHERE org_id = $1 AND user_id = $2"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
        )?;
        Ok(())
    }

    /// Empties an account for good. Its number stays, and names nobody.
    pub async fn erase_account(
        &mut self,
        user: UserId,
        email: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM passkeys WHERE user_id = $1",
            "DELETE FROM totp WHERE user_id = $1",
            "DELETE FROM recovery_codes WHERE user_id = $1",
            "DELETE FROM pending_sign_ins WHERE user_id = $1",
            "DELETE FROM password_resets WHERE user_id = $1",
            "UPDATE sessions SET address = '', user_agent = '' WHERE user_id = $1",
        ] {
            rows_affected!(self, sqlx::query(sql).bind(int(user.get())))?;
        }
        rows_affected!(
            self,
            sqlx::query("DELETE FROM sign_ups WHERE email = $1").bind(email)
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE users SET email = $2, name = '', password_hash = NULL, erased_at = $3,
                    deactivated_at = COALESCE(deactivated_at, $3)
                 WHERE id = $1"
            )
            .bind(int(user.get()))
            .bind(format!("erased:{user}"))
            .bind(int(now.0))
        )?;
        Ok(())
    }
}
