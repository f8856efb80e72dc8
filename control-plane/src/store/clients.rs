//! SQL for OAuth clients.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;
use shared::id::{ClientId, OrgId};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};
use sqlx::AssertSqlSafe;

use super::orgs::{millis, org_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint, wanted};
use crate::oauth::built_in::COMMAND_LINE;

macro_rules! stored_words {
    ($($(#[$doc:meta])* $name:ident ($what:literal) { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The text in the database and in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = StoreError;

            fn from_str(text: &str) -> Result<Self, StoreError> {
                [$(Self::$variant),*]
                    .into_iter()
                    .find(|word| word.as_str() == text)
                    .ok_or(StoreError::Corrupt($what))
            }
        }
    )*};
}

stored_words! {
    /// Whether a client can prove who it is (RFC 6749 §2.1).
    ClientKind ("client kind") {
        /// In a browser or on somebody's machine: it has no secret.
        Public = "public",
        /// It has a secret or a key.
        Confidential = "confidential",
    }

    /// Who made a client known here.
    Origin ("client origin") {
        /// We did: it comes with the server.
        BuiltIn = "built_in",
        /// An administrator.
        Registered = "registered",
        /// Its `client_id` is the URL of a document that says what it is.
        MetadataDocument = "metadata_document",
        /// It registered itself (RFC 7591).
        Dynamic = "dynamic",
    }

    /// How a client proves who it is (RFC 7591 §2: `token_endpoint_auth_method`). Either way of sending a secret will do,
    /// whichever of the two is named.
    AuthMethod ("client authentication method") {
        /// It says its name.
        None = "none",
        /// A secret, in the header.
        ClientSecretBasic = "client_secret_basic",
        /// A secret, in the form.
        ClientSecretPost = "client_secret_post",
        /// An assertion that it signs (RFC 7523).
        PrivateKeyJwt = "private_key_jwt",
    }

    /// Where a client runs (OpenID Connect Registration §2).
    ApplicationType ("application type") {
        /// On a server, or in a browser.
        Web = "web",
        /// On somebody's machine.
        Native = "native",
    }
}

impl AuthMethod {
    /// Whether the client is confidential.
    pub fn kind(self) -> ClientKind {
        match self {
            Self::None => ClientKind::Public,
            Self::ClientSecretBasic | Self::ClientSecretPost | Self::PrivateKeyJwt => {
                ClientKind::Confidential
            }
        }
    }

    /// Whether the client shows a secret.
    pub fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// An OAuth client.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row: three of them are what registrations say about clients, each by itself"
)]
#[derive(Clone, Debug)]
pub struct Client {
    /// Its number here. While it is not [`stored`](Self::stored), nothing in the database refers to it.
    pub id: ClientId,
    /// Its `client_id`: `cli_…`, a URL, or what it got when it registered itself. In every token, and at the edge.
    pub identifier: String,
    /// Who made it known.
    pub origin: Origin,
    /// Whether it has a row. One that nobody registered gets it when a person first lets it in.
    pub stored: bool,
    /// The organisation that its tokens belong to. Without one: that of whoever lets it in.
    pub org: Option<OrgId>,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its secret, if it has one.
    pub secret_digest: Option<[u8; 32]>,
    /// Whether it can prove who it is: what `token_endpoint_auth_method` comes to.
    pub kind: ClientKind,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// How it proves who it is.
    pub token_endpoint_auth_method: AuthMethod,
    /// Its public keys, as a JWK Set (RFC 7517 §5).
    pub jwks: Option<Value>,
    /// Where its public keys are; never beside `jwks`.
    pub jwks_uri: Option<String>,
    /// Where people may be sent back to, in full.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after they have signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it hears of the end of sessions (OpenID Connect Back-Channel Logout 1.0 §2.2).
    pub backchannel_logout_uri: Option<String>,
    /// Whether it needs the session's `sid` there; it always gets it.
    pub backchannel_logout_session_required: bool,
    /// How long a refresh token can be retried.
    pub refresh_grace_seconds: u64,
    /// The most that a registered client may ask for, and what it gets without asking. Configuration says it for others.
    pub scopes: ScopeSet,
    /// Whether it gets only tokens that are bound to a key of its own (RFC 9449 §5.2).
    pub dpop_bound_access_tokens: bool,
    /// Whether it must push its authorization requests (RFC 9126 §6).
    pub require_pushed_authorization_requests: bool,
    /// Whether it may begin the device flow (RFC 8628), where no redirect URI says who really asks.
    pub device_flow: bool,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Since when it gets no tokens.
    pub disabled_at: Option<UnixMillis>,
}

impl Client {
    /// Whether an organisation registered it that is not this one: nobody else's people are for it.
    pub fn is_of_another(&self, org: OrgId) -> bool {
        self.org.is_some_and(|own| own != org)
    }
}

/// What a list of an organisation's clients shows.
#[derive(Clone, Copy, Debug)]
pub struct ClientFilter {
    /// Whose.
    pub org: OrgId,
    /// Those that were disabled, or those that were not.
    pub disabled: bool,
    /// Older than this one: when it was made, and its number.
    pub before: Option<(UnixMillis, ClientId)>,
    /// At most so many.
    pub limit: u32,
}

#[derive(sqlx::FromRow)]
struct ClientRow {
    id: i64,
    identifier: Option<String>,
    origin: String,
    org_id: Option<i64>,
    name: String,
    secret_digest: Vec<u8>,
    kind: String,
    application_type: String,
    token_endpoint_auth_method: String,
    jwks: Option<String>,
    jwks_uri: Option<String>,
    redirect_uris: String,
    post_logout_redirect_uris: String,
    backchannel_logout_uri: Option<String>,
    backchannel_logout_session_required: i64,
    refresh_grace_seconds: i64,
    scopes: i64,
    dpop_bound_access_tokens: i64,
    require_pushed_requests: i64,
    device_flow: i64,
    created_at: i64,
    disabled_at: Option<i64>,
}

impl TryFrom<ClientRow> for Client {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let id = ClientId::from_u64(uint(row.id, "client id")?).ok_or(StoreError::Corrupt("client id"))?;
        let method: AuthMethod = row.token_endpoint_auth_method.parse()?;
        let digest: [u8; 32] = row
            .secret_digest
            .try_into()
            .map_err(|_| StoreError::Corrupt("client secret digest"))?;
        let identifier = row.identifier.unwrap_or_else(|| id.to_string());
        let origin = if identifier == COMMAND_LINE {
            Origin::BuiltIn
        } else {
            row.origin.parse()?
        };
        Ok(Self {
            id,
            identifier,
            origin,
            stored: true,
            org: row.org_id.map(org_id).transpose()?,
            name: row.name,
            secret_digest: method.has_secret().then_some(digest),
            kind: row.kind.parse()?,
            application_type: row.application_type.parse()?,
            token_endpoint_auth_method: method,
            jwks: row
                .jwks
                .map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("client keys")))
                .transpose()?,
            jwks_uri: row.jwks_uri,
            redirect_uris: read_list(&row.redirect_uris)?,
            post_logout_redirect_uris: read_list(&row.post_logout_redirect_uris)?,
            backchannel_logout_uri: row.backchannel_logout_uri,
            backchannel_logout_session_required: row.backchannel_logout_session_required == 1,
            refresh_grace_seconds: uint(row.refresh_grace_seconds, "grace time")?,
            scopes: ScopeSet(row.scopes.cast_unsigned()),
            dpop_bound_access_tokens: row.dpop_bound_access_tokens == 1,
            require_pushed_authorization_requests: row.require_pushed_requests == 1,
            device_flow: row.device_flow == 1,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            disabled_at: millis(row.disabled_at)?,
        })
    }
}

/// Whole clients: the query with this ending.
macro_rules! select {
    ($ending:literal) => {
        concat!(
            "SELECT id, identifier, origin, org_id, name, secret_digest, kind, application_type, token_endpoint_auth_method,
                    jwks, jwks_uri, redirect_uris, post_logout_redirect_uris, refresh_grace_seconds, scopes,
                    dpop_bound_access_tokens, require_pushed_requests, device_flow, created_at, disabled_at,
                    backchannel_logout_uri, backchannel_logout_session_required FROM clients ",
            $ending
        )
    };
}

fn read_list(text: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt("list of URIs"))
}

fn write_list(list: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|_| StoreError::Corrupt("list of URIs"))
}

impl Tx {
    /// Adds a client; false if another of the same `client_id` is there.
    pub async fn insert_client(&mut self, client: &Client) -> Result<bool, StoreError> {
        let identifier = (client.origin != Origin::Registered).then_some(&client.identifier);
        // The table knows no clients that come with the server: like those that registered themselves, they are known by a
        // `client_id` that no registration can have.
        let origin = match client.origin {
            Origin::BuiltIn => Origin::Dynamic,
            origin => origin,
        };
        let rows = rows_affected!(self, sqlx::query(
            "INSERT INTO clients
                 (id, identifier, origin, org_id, name, secret_digest, kind, application_type, token_endpoint_auth_method, jwks,
                  jwks_uri, redirect_uris, post_logout_redirect_uris, scopes, refresh_grace_seconds,
                  dpop_bound_access_tokens, require_pushed_requests, device_flow, created_at, backchannel_logout_uri,
                  backchannel_logout_session_required)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
             ON CONFLICT (identifier) DO NOTHING")
            .bind(int(client.id.get())).bind(identifier).bind(origin.as_str())
            .bind(client.org.map(|org| int(org.get()))).bind(&client.name)
            .bind(client.secret_digest.unwrap_or_default().as_slice()).bind(client.kind.as_str())
            .bind(client.application_type.as_str()).bind(client.token_endpoint_auth_method.as_str())
            .bind(client.jwks.as_ref().map(Value::to_string)).bind(&client.jwks_uri)
            .bind(write_list(&client.redirect_uris)?).bind(write_list(&client.post_logout_redirect_uris)?)
            .bind(client.scopes.0.cast_signed()).bind(int(client.refresh_grace_seconds))
            .bind(i64::from(client.dpop_bound_access_tokens))
            .bind(i64::from(client.require_pushed_authorization_requests))
            .bind(i64::from(client.device_flow)).bind(int(client.created_at.0)).bind(&client.backchannel_logout_uri)
            .bind(i64::from(client.backchannel_logout_session_required)))?;
        Ok(rows == 1)
    }

    /// The client with this number.
    pub async fn client(&mut self, id: ClientId) -> Result<Option<Client>, StoreError> {
        let row: Option<ClientRow> = on_db!(self, conn => sqlx::query_as(
            select!("WHERE id = $1"))
            .bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Client::try_from).transpose()
    }

    /// The stored client with this `client_id`.
    pub async fn client_by_identifier(&mut self, identifier: &str) -> Result<Option<Client>, StoreError> {
        if let Ok(id) = identifier.parse() {
            let client = self.client(id).await?;
            return Ok(client.filter(|client| client.origin == Origin::Registered));
        }
        let row: Option<ClientRow> = on_db!(self, conn => sqlx::query_as(
            select!("WHERE identifier = $1"))
            .bind(identifier).fetch_optional(conn).await)?;
        row.map(Client::try_from).transpose()
    }

    /// Every client, oldest first.
    pub async fn clients(&mut self) -> Result<Vec<Client>, StoreError> {
        let rows: Vec<ClientRow> = on_db!(self, conn => sqlx::query_as(
            select!("ORDER BY created_at, id"))
            .fetch_all(conn).await)?;
        rows.into_iter().map(Client::try_from).collect()
    }

    /// Remembers a client assertion until it has expired; false if it was taken before (RFC 7523 §3: `jti`).
    pub async fn take_assertion(
        &mut self,
        digest: &[u8; 32],
        expires: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO client_assertions (digest, expires_seconds) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING"
            )
            .bind(digest.as_slice())
            .bind(int(expires.0))
        )?;
        Ok(rows == 1)
    }

    /// Forgets assertions that expired before this moment.
    pub async fn forget_assertions(&mut self, before: UnixSeconds) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM client_assertions WHERE expires_seconds < $1").bind(int(before.0))
        )
    }

    /// Replaces what a client says about itself; false if it is disabled.
    pub async fn update_client(&mut self, id: ClientId, client: &Client) -> Result<bool, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "UPDATE clients SET name = $2, secret_digest = $3, kind = $4, application_type = $5,
                 token_endpoint_auth_method = $6, jwks = $7, jwks_uri = $8, redirect_uris = $9,
                 post_logout_redirect_uris = $10, dpop_bound_access_tokens = $11, require_pushed_requests = $12,
                 device_flow = $13, backchannel_logout_uri = $14, backchannel_logout_session_required = $15
             WHERE id = $1 AND disabled_at IS NULL")
            .bind(int(id.get())).bind(&client.name)
            .bind(client.secret_digest.unwrap_or_default().as_slice()).bind(client.kind.as_str())
            .bind(client.application_type.as_str()).bind(client.token_endpoint_auth_method.as_str())
            .bind(client.jwks.as_ref().map(Value::to_string)).bind(&client.jwks_uri)
            .bind(write_list(&client.redirect_uris)?).bind(write_list(&client.post_logout_redirect_uris)?)
            .bind(i64::from(client.dpop_bound_access_tokens))
            .bind(i64::from(client.require_pushed_authorization_requests)).bind(i64::from(client.device_flow))
            .bind(&client.backchannel_logout_uri).bind(i64::from(client.backchannel_logout_session_required)))?;
        Ok(rows == 1)
    }

    /// Sets the most that a registered client may ask for; false if it is disabled.
    pub async fn set_client_scopes(&mut self, id: ClientId, scopes: ScopeSet) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE clients SET scopes = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(int(id.get()))
                .bind(scopes.0.cast_signed())
        )?;
        Ok(rows == 1)
    }

    /// The clients that an organisation registered, newest first.
    pub async fn clients_of(&mut self, filter: &ClientFilter) -> Result<Vec<Client>, StoreError> {
        let text = if filter.disabled {
            select!(
                "WHERE org_id = $1 AND disabled_at IS NOT NULL AND (created_at, id) < ($2, $3)
                 ORDER BY created_at DESC, id DESC LIMIT $4"
            )
        } else {
            select!(
                "WHERE org_id = $1 AND disabled_at IS NULL AND (created_at, id) < ($2, $3)
                 ORDER BY created_at DESC, id DESC LIMIT $4"
            )
        };
        let (at, id) = filter
            .before
            .map_or((i64::MAX, i64::MAX), |(at, id)| (int(at.0), int(id.get())));
        let rows: Vec<ClientRow> = on_db!(self, conn => sqlx::query_as(text)
            .bind(int(filter.org.get())).bind(at).bind(id).bind(i64::from(filter.limit))
            .fetch_all(conn).await)?;
        rows.into_iter().map(Client::try_from).collect()
    }

    /// Clients that nobody of an organisation registered and that people of it let in, in the order of their numbers, after
    /// one of them. It leaps from client to client in the index of grants, however many grants each has.
    pub async fn clients_let_in(
        &mut self,
        org: OrgId,
        after: Option<ClientId>,
        limit: u32,
    ) -> Result<Vec<Client>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "WITH RECURSIVE leap (id) AS (
                 SELECT (SELECT MIN(client_id) FROM grants WHERE org_id = $1 AND revoked_at IS NULL AND client_id > $2)
                 UNION ALL
                 SELECT (SELECT MIN(client_id) FROM grants
                         WHERE org_id = $1 AND revoked_at IS NULL AND client_id > leap.id)
                 FROM leap WHERE leap.id IS NOT NULL)
             SELECT leap.id FROM leap JOIN clients c ON c.id = leap.id WHERE c.org_id IS NULL LIMIT $3")
            .bind(int(org.get())).bind(after.map_or(-1, |id| int(id.get()))).bind(i64::from(limit))
            .fetch_all(conn).await)?;
        let mut clients = Vec::with_capacity(ids.len());
        for id in ids {
            let id = ClientId::from_u64(uint(id, "client id")?).ok_or(StoreError::Corrupt("client id"))?;
            clients.extend(self.client(id).await?);
        }
        Ok(clients)
    }

    /// How many grants of an organisation's people each of these clients has that can still be refreshed, counted up to `most`
    /// each.
    pub async fn grants_of_clients(
        &mut self,
        org: OrgId,
        clients: &[ClientId],
        live_at: UnixSeconds,
        most: u32,
    ) -> Result<BTreeMap<ClientId, u64>, StoreError> {
        if clients.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "{} SELECT c.id, (SELECT COUNT(*) FROM (
                 SELECT 1 FROM grants WHERE org_id = $1 AND client_id = c.id AND revoked_at IS NULL
                 AND idle_expires_seconds > $2 LIMIT $3) AS counted)
             FROM wanted c",
            wanted(4, clients.len())
        );
        let rows: Vec<(i64, i64)> = on_db!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql.clone()))
                .bind(int(org.get())).bind(int(live_at.0)).bind(i64::from(most));
            for client in clients {
                query = query.bind(int(client.get()));
            }
            query.fetch_all(conn).await
        })?;
        rows.into_iter()
            .map(|(id, count)| {
                let id =
                    ClientId::from_u64(uint(id, "client id")?).ok_or(StoreError::Corrupt("client id"))?;
                Ok((id, uint(count, "count")?))
            })
            .collect()
    }

    /// Forgets what people have agreed to for a client: they are asked again.
    pub async fn forget_consents(&mut self, client: ClientId) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM consents WHERE client_id = $1").bind(int(client.get()))
        )
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
