//! SQL for OAuth clients.

use std::str::FromStr;

use shared::id::{ClientId, OrgId};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// Whether a client can keep a secret (RFC 6749 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// In a browser or on somebody's machine: it has none.
    Public,
    /// On a server.
    Confidential,
}

impl ClientKind {
    /// The text in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Confidential => "confidential",
        }
    }
}

impl FromStr for ClientKind {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Public, Self::Confidential]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(StoreError::Corrupt("client kind"))
    }
}

/// An OAuth client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its `client_id`.
    pub id: ClientId,
    /// The organisation that its tokens belong to.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its secret, if it is confidential.
    pub secret_digest: Option<[u8; 32]>,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// Where people may be sent back to, in full.
    pub redirect_uris: Vec<String>,
    /// How long a refresh token can be retried.
    pub refresh_grace_seconds: u64,
    /// The most it may ask for, and what it gets without asking.
    pub scopes: ScopeSet,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Since when it gets no tokens.
    pub disabled_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct ClientRow {
    id: i64,
    org_id: i64,
    name: String,
    secret_digest: Vec<u8>,
    kind: String,
    redirect_uris: String,
    refresh_grace_seconds: i64,
    scopes: i64,
    created_at: i64,
    disabled_at: Option<i64>,
}

impl TryFrom<ClientRow> for Client {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let kind: ClientKind = row.kind.parse()?;
        let digest: [u8; 32] = row
            .secret_digest
            .try_into()
            .map_err(|_| StoreError::Corrupt("client secret digest"))?;
        Ok(Self {
            id: ClientId::from_u64(uint(row.id, "client id")?).ok_or(StoreError::Corrupt("client id"))?,
            org: OrgId::from_u64(uint(row.org_id, "org id")?).ok_or(StoreError::Corrupt("org id"))?,
            name: row.name,
            secret_digest: (kind == ClientKind::Confidential).then_some(digest),
            kind,
            redirect_uris: serde_json::from_str(&row.redirect_uris)
                .map_err(|_| StoreError::Corrupt("redirect URIs"))?,
            refresh_grace_seconds: uint(row.refresh_grace_seconds, "grace time")?,
            scopes: ScopeSet(row.scopes.cast_unsigned()),
            created_at: UnixMillis(uint(row.created_at, "time")?),
            disabled_at: row
                .disabled_at
                .map(|at| uint(at, "time").map(UnixMillis))
                .transpose()?,
        })
    }
}

impl Tx {
    /// Adds a client.
    pub async fn insert_client(&mut self, client: &Client) -> Result<(), StoreError> {
        let redirect_uris =
            serde_json::to_string(&client.redirect_uris).map_err(|_| StoreError::Corrupt("redirect URIs"))?;
        rows_affected!(self, sqlx::query(
            "INSERT INTO clients (id, org_id, name, secret_digest, scopes, created_at, kind, redirect_uris, refresh_grace_seconds)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(int(client.id.get())).bind(int(client.org.get())).bind(&client.name)
            .bind(client.secret_digest.unwrap_or_default().as_slice()).bind(client.scopes.0.cast_signed())
            .bind(int(client.created_at.0)).bind(client.kind.as_str()).bind(redirect_uris)
            .bind(int(client.refresh_grace_seconds)))?;
        Ok(())
    }

    /// The client with this id.
    pub async fn client(&mut self, id: ClientId) -> Result<Option<Client>, StoreError> {
        let row: Option<ClientRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, name, secret_digest, kind, redirect_uris, refresh_grace_seconds, scopes,
                    created_at, disabled_at FROM clients WHERE id = $1")
            .bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Client::try_from).transpose()
    }

    /// Every client, oldest first.
    pub async fn clients(&mut self) -> Result<Vec<Client>, StoreError> {
        let rows: Vec<ClientRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, name, secret_digest, kind, redirect_uris, refresh_grace_seconds, scopes,
                    created_at, disabled_at FROM clients ORDER BY created_at, id")
            .fetch_all(conn).await)?;
        rows.into_iter().map(Client::try_from).collect()
    }

    /// Disables a client and kills what it was issued until now. Gives the time T that the edge must know:
    /// `max(now, last_iat)`, so that a skewed instance's issue is dead too. None if it was disabled before.
    pub async fn disable_client(
        &mut self,
        client: ClientId,
        now: UnixMillis,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE clients SET disabled_at = $2, not_before_seconds = CASE
                 WHEN not_before_seconds >= $3 AND not_before_seconds >= last_iat_seconds THEN not_before_seconds
                 WHEN last_iat_seconds > $3 THEN last_iat_seconds
                 ELSE $3 END
             WHERE id = $1 AND disabled_at IS NULL
             RETURNING not_before_seconds")
            .bind(int(client.get())).bind(int(now.0)).bind(int(now.seconds().0)).fetch_optional(conn).await)?;
        at.map(|at| uint(at, "time").map(UnixSeconds)).transpose()
    }

    /// Dates an issue under a client: `earliest` (as its organisation allows), or one second past the client's own
    /// `not_before`; and remembers it. None if the client was disabled meanwhile.
    pub async fn client_issue_time(
        &mut self,
        client: ClientId,
        earliest: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let iat: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE clients SET last_iat_seconds = CASE
                 WHEN last_iat_seconds > $2 AND last_iat_seconds > COALESCE(not_before_seconds, 0) THEN last_iat_seconds
                 WHEN not_before_seconds >= $2 THEN not_before_seconds + 1
                 ELSE $2 END
             WHERE id = $1 AND disabled_at IS NULL
             RETURNING CASE WHEN not_before_seconds >= $2 THEN not_before_seconds + 1 ELSE $2 END")
            .bind(int(client.get())).bind(int(earliest.0)).fetch_optional(conn).await)?;
        iat.map(|at| uint(at, "time").map(UnixSeconds)).transpose()
    }
}
