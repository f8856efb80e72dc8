//! SQL for devices that wait for a person (RFC 8628).

use shared::id::{OrgId, UserId};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::grants::{identity, second};
use super::orgs::{millis, org_id, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A device that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// SHA-256 of the device's own secret.
    pub digest: [u8; 32],
    /// SHA-256 of what the person types.
    pub user_code: [u8; 32],
    /// The `client_id` of the client on the device.
    pub client: String,
    /// Scopes of the catalogue: asked for, then agreed to.
    pub scopes: ScopeSet,
    /// Scopes of OpenID Connect, as bits of `oauth::scopes::Identity`.
    pub identity: u8,
    /// The audience of the access tokens.
    pub resource: String,
    /// How long the device must wait between two questions.
    pub interval_seconds: u64,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it is of no use any more.
    pub expires_at: UnixMillis,
    /// When a person answered.
    pub decided_at: Option<UnixMillis>,
    /// Who agreed; nobody if the answer was no.
    pub person: Option<Person>,
    /// When tokens were given out for it.
    pub used_at: Option<UnixMillis>,
}

/// Who let a device in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person.
    pub user: UserId,
    /// In which of their organisations.
    pub org: OrgId,
    /// The session in which they did.
    pub session: String,
    /// When they proved who they are.
    pub auth_time: UnixSeconds,
}

#[derive(sqlx::FromRow)]
struct DeviceRow {
    digest: Vec<u8>,
    user_code: Vec<u8>,
    client: String,
    scopes: i64,
    identity: i64,
    resource: String,
    interval_seconds: i64,
    created_at: i64,
    expires_at: i64,
    decided_at: Option<i64>,
    user_id: Option<i64>,
    org_id: Option<i64>,
    session: Option<String>,
    auth_time_seconds: Option<i64>,
    used_at: Option<i64>,
}

impl TryFrom<DeviceRow> for DeviceCode {
    type Error = StoreError;

    fn try_from(row: DeviceRow) -> Result<Self, StoreError> {
        let digest = |bytes: Vec<u8>| {
            bytes
                .try_into()
                .map_err(|_| StoreError::Corrupt("device code digest"))
        };
        let person = match (row.user_id, row.org_id, row.session, row.auth_time_seconds) {
            (Some(user), Some(org), Some(session), Some(auth_time)) => Some(Person {
                user: user_id(user)?,
                org: org_id(org)?,
                session,
                auth_time: second(auth_time)?,
            }),
            _ => None,
        };
        Ok(Self {
            digest: digest(row.digest)?,
            user_code: digest(row.user_code)?,
            client: row.client,
            scopes: ScopeSet(row.scopes.cast_unsigned()),
            identity: identity(row.identity)?,
            resource: row.resource,
            interval_seconds: uint(row.interval_seconds, "interval")?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            expires_at: UnixMillis(uint(row.expires_at, "time")?),
            decided_at: millis(row.decided_at)?,
            person,
            used_at: millis(row.used_at)?,
        })
    }
}

impl Tx {
    /// Adds a device that waits; false if its user code is taken.
    pub async fn insert_device_code(&mut self, code: &DeviceCode) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO device_codes
                     (digest, user_code, client, scopes, identity, resource, interval_seconds, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (user_code) DO NOTHING"
            )
            .bind(code.digest.as_slice())
            .bind(code.user_code.as_slice())
            .bind(&code.client)
            .bind(code.scopes.0.cast_signed())
            .bind(i64::from(code.identity))
            .bind(&code.resource)
            .bind(int(code.interval_seconds))
            .bind(int(code.created_at.0))
            .bind(int(code.expires_at.0))
        )?;
        Ok(rows == 1)
    }

    /// The device with this secret.
    pub async fn device_code(&mut self, digest: &[u8; 32]) -> Result<Option<DeviceCode>, StoreError> {
        let row: Option<DeviceRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, user_code, client, scopes, identity, resource, interval_seconds, created_at, expires_at, decided_at,
                    user_id, org_id, session, auth_time_seconds, used_at
             FROM device_codes WHERE digest = $1")
            .bind(digest.as_slice()).fetch_optional(conn).await)?;
        row.map(DeviceCode::try_from).transpose()
    }

    /// The device that shows this code and waits for an answer.
    pub async fn waiting_device(
        &mut self,
        user_code: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<DeviceCode>, StoreError> {
        let row: Option<DeviceRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, user_code, client, scopes, identity, resource, interval_seconds, created_at, expires_at, decided_at,
                    user_id, org_id, session, auth_time_seconds, used_at
             FROM device_codes WHERE user_code = $1 AND decided_at IS NULL AND expires_at > $2")
            .bind(user_code.as_slice()).bind(int(now.0)).fetch_optional(conn).await)?;
        row.map(DeviceCode::try_from).transpose()
    }

    /// Notes that a waiting device asks; false if it did not wait long enough, and then it must wait `more` seconds longer
    /// from now on. `slack_ms` is what a network may take off its waiting time.
    pub async fn poll_device(
        &mut self,
        digest: &[u8; 32],
        more: u64,
        slack_ms: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE device_codes SET polled_at = $2
                 WHERE digest = $1 AND (polled_at IS NULL OR polled_at + interval_seconds * 1000 <= $2 + $3)"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
            .bind(int(slack_ms))
        )?;
        if rows == 0 {
            rows_affected!(
                self,
                sqlx::query(
                    "UPDATE device_codes SET polled_at = $2, interval_seconds = interval_seconds + $3 WHERE digest = $1"
                )
                .bind(digest.as_slice())
                .bind(int(now.0))
                .bind(int(more))
            )?;
        }
        Ok(rows == 1)
    }

    /// Writes a person's answer, once and in time: who agreed to what, or nobody. False if somebody answered before, or it
    /// is too late.
    pub async fn decide_device(
        &mut self,
        user_code: &[u8; 32],
        agreed: Option<(&Person, ScopeSet, u8)>,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let person = agreed.map(|(person, ..)| person);
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE device_codes SET decided_at = $2, user_id = $3, org_id = $4, session = $5, auth_time_seconds = $6,
                     scopes = COALESCE($7, scopes), identity = COALESCE($8, identity)
                 WHERE user_code = $1 AND decided_at IS NULL AND expires_at > $2"
            )
            .bind(user_code.as_slice())
            .bind(int(now.0))
            .bind(person.map(|person| int(person.user.get())))
            .bind(person.map(|person| int(person.org.get())))
            .bind(person.map(|person| person.session.as_str()))
            .bind(person.map(|person| int(person.auth_time.0)))
            .bind(agreed.map(|(_, scopes, _)| scopes.0.cast_signed()))
            .bind(agreed.map(|(.., identity)| i64::from(identity)))
        )?;
        Ok(rows == 1)
    }

    /// Uses a device code up, once and in time; false if somebody did before, nobody agreed, or it is too late.
    pub async fn take_device_code(&mut self, digest: &[u8; 32], now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE device_codes SET used_at = $2
                 WHERE digest = $1 AND used_at IS NULL AND user_id IS NOT NULL AND expires_at > $2"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Forgets devices that were of no use any more before this moment.
    pub async fn forget_device_codes(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM device_codes WHERE expires_at < $1").bind(int(before.0))
        )
    }
}
