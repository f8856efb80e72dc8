//! SQL for what acts in an organisation, for lists: sessions, grants and keys by whom they act for.
//!
//! Every list has its index and a cursor. What has run out by itself is left out; it is behind the rest in the index, or goes
//! soon. What it does not: end any of it.

use shared::id::{ClientId, GrantId, OrgId, SessionId, UserId};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::grants::{client_id, grant_id, identity};
use super::keys::{ApiKey, ApiKeyRow, select_keys};
use super::orgs::user_id;
use super::sessions::session_id;
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A session, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// Its public name.
    pub sid: SessionId,
    /// Who is signed in.
    pub user: UserId,
    /// What people call them.
    pub name: String,
    /// Their address.
    pub email: String,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it was used last, to the minute.
    pub last_seen_at: UnixMillis,
    /// When they last proved who they are.
    pub auth_time: UnixMillis,
    /// Its end in any case.
    pub expires_at: UnixMillis,
    /// What the browser says it is.
    pub user_agent: String,
    /// From where it was begun.
    pub address: String,
    /// How they proved who they are: values of `amr`.
    pub methods: String,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    sid: i64,
    user_id: i64,
    name: String,
    email: String,
    created_at: i64,
    last_seen_at: i64,
    auth_time: i64,
    expires_at: i64,
    user_agent: String,
    address: String,
    methods: String,
}

impl TryFrom<SessionRow> for ListedSession {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        Ok(Self {
            sid: session_id(row.sid)?,
            user: user_id(row.user_id)?,
            name: row.name,
            email: row.email,
            created_at: time(row.created_at)?,
            last_seen_at: time(row.last_seen_at)?,
            auth_time: time(row.auth_time)?,
            expires_at: time(row.expires_at)?,
            user_agent: row.user_agent,
            address: row.address,
            methods: row.methods,
        })
    }
}

/// Which sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionFilter {
    /// Of which organisation.
    pub org: OrgId,
    /// Of one person.
    pub user: Option<UserId>,
    /// Those not used since then are over.
    pub idle_since: UnixMillis,
    /// Those whose end has passed by then are over.
    pub now: UnixMillis,
    /// Behind this one: its end and its name.
    pub before: Option<(UnixMillis, SessionId)>,
    /// At most so many.
    pub limit: u32,
}

/// A grant, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGrant {
    /// Its id.
    pub id: GrantId,
    /// The app.
    pub client: ClientId,
    /// The app's `client_id`.
    pub client_identifier: String,
    /// What the app is called.
    pub client_name: String,
    /// For whom it acts.
    pub user: UserId,
    /// What people call them.
    pub user_name: String,
    /// Their address.
    pub user_email: String,
    /// What was agreed to.
    pub scopes: ScopeSet,
    /// Scopes of OpenID Connect, as bits.
    pub identity: u8,
    /// Where its tokens are for.
    pub resource: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When the app last got a token.
    pub last_used_at: UnixMillis,
    /// Its end in any case.
    pub expires: UnixSeconds,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    id: i64,
    client_id: i64,
    identifier: Option<String>,
    client_name: String,
    user_id: i64,
    user_name: String,
    email: String,
    scopes: i64,
    identity: i64,
    resource: String,
    created_at: i64,
    acted_at: i64,
    expires_seconds: i64,
}

impl TryFrom<GrantRow> for ListedGrant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        let client = client_id(row.client_id)?;
        Ok(Self {
            id: grant_id(row.id)?,
            client,
            client_identifier: row.identifier.unwrap_or_else(|| client.to_string()),
            client_name: row.client_name,
            user: user_id(row.user_id)?,
            user_name: row.user_name,
            user_email: row.email,
            scopes: ScopeSet(row.scopes.cast_unsigned()),
            identity: identity(row.identity)?,
            resource: row.resource,
            created_at: time(row.created_at)?,
            last_used_at: time(row.acted_at)?,
            expires: UnixSeconds(uint(row.expires_seconds, "time")?),
        })
    }
}

/// Which grants: of a person, or of a client, or all.
#[derive(Clone, Copy, Debug)]
pub struct GrantFilter {
    /// Of which organisation.
    pub org: OrgId,
    /// Of one person.
    pub user: Option<UserId>,
    /// Of one client.
    pub client: Option<ClientId>,
    /// Still to be refreshed then.
    pub live_at: UnixSeconds,
    /// Older than this one: when it was made, and its id.
    pub before: Option<(UnixMillis, GrantId)>,
    /// At most so many.
    pub limit: u32,
}

fn time(stored: i64) -> Result<UnixMillis, StoreError> {
    uint(stored, "time").map(UnixMillis)
}

/// Sessions of people who may still use them, with a condition more.
macro_rules! sessions {
    ($condition:literal) => {
        concat!(
            "SELECT s.sid, s.user_id, u.name, u.email, s.created_at, s.last_seen_at, s.auth_time, s.expires_at,
                    s.user_agent, s.address, s.methods
             FROM sessions s JOIN users u ON u.id = s.user_id
             WHERE s.org_id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.last_seen_at > $3
               AND (s.expires_at, s.sid) < ($4, $5) AND ",
            $condition,
            " ORDER BY s.expires_at DESC, s.sid DESC LIMIT $7"
        )
    };
}

/// Grants that are not over: the query with this ending.
macro_rules! grants_where {
    ($($ending:tt)*) => {
        concat!(
            "SELECT g.id, g.client_id, c.identifier, c.name AS client_name, g.user_id, u.name AS user_name, u.email, g.scopes,
                    g.identity, g.resource, g.created_at, g.acted_at, g.expires_seconds
             FROM grants g JOIN clients c ON c.id = g.client_id JOIN users u ON u.id = g.user_id
             WHERE g.org_id = $1 AND g.revoked_at IS NULL ",
            $($ending)*
        )
    };
}

/// A page of them, with a condition more.
macro_rules! grants {
    ($condition:literal) => {
        grants_where!(
            "AND g.idle_expires_seconds > $2 AND (g.created_at, g.id) < ($3, $4) AND ",
            $condition,
            " ORDER BY g.created_at DESC, g.id DESC LIMIT $7"
        )
    };
}

impl Tx {
    /// Sessions of an organisation that are alive, the newest sign-in first.
    pub async fn list_sessions(&mut self, filter: &SessionFilter) -> Result<Vec<ListedSession>, StoreError> {
        let text = if filter.user.is_some() {
            sessions!("s.user_id = $6")
        } else {
            sessions!("$6 IS NULL")
        };
        let (before_at, before_sid) = filter
            .before
            .map_or((i64::MAX, i64::MAX), |(at, sid)| (int(at.0), int(sid.get())));
        let rows: Vec<SessionRow> = on_db!(self, conn => sqlx::query_as(text)
            .bind(int(filter.org.get())).bind(int(filter.now.0)).bind(int(filter.idle_since.0))
            .bind(before_at).bind(before_sid).bind(filter.user.map(|id| int(id.get())))
            .bind(i64::from(filter.limit)).fetch_all(conn).await)?;
        rows.into_iter().map(ListedSession::try_from).collect()
    }

    /// Grants of an organisation that are not over, newest first.
    pub async fn list_grants(&mut self, filter: &GrantFilter) -> Result<Vec<ListedGrant>, StoreError> {
        let text = match (filter.user, filter.client) {
            (None, None) => grants!("$5 IS NULL AND $6 IS NULL"),
            (Some(_), None) => grants!("g.user_id = $5 AND $6 IS NULL"),
            (None, Some(_)) => grants!("$5 IS NULL AND g.client_id = $6"),
            (Some(_), Some(_)) => grants!("g.user_id = $5 AND g.client_id = $6"),
        };
        let (before_at, before_id) = filter
            .before
            .map_or((i64::MAX, i64::MAX), |(at, id)| (int(at.0), int(id.get())));
        let rows: Vec<GrantRow> = on_db!(self, conn => sqlx::query_as(text)
            .bind(int(filter.org.get())).bind(int(filter.live_at.0)).bind(before_at).bind(before_id)
            .bind(filter.user.map(|id| int(id.get()))).bind(filter.client.map(|id| int(id.get())))
            .bind(i64::from(filter.limit)).fetch_all(conn).await)?;
        rows.into_iter().map(ListedGrant::try_from).collect()
    }

    /// How many grants of an organisation can still be refreshed, counted up to `most`.
    pub async fn count_live_grants(
        &mut self,
        org: OrgId,
        live_at: UnixSeconds,
        most: u32,
    ) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM (SELECT id FROM grants
             WHERE org_id = $1 AND revoked_at IS NULL AND idle_expires_seconds > $2 AND expires_seconds > $2
             LIMIT $3) AS counted")
            .bind(int(org.get())).bind(int(live_at.0)).bind(i64::from(most)).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// One grant of an organisation, if it was not revoked.
    pub async fn listed_grant(&mut self, org: OrgId, id: GrantId) -> Result<Option<ListedGrant>, StoreError> {
        let row: Option<GrantRow> = on_db!(self, conn => sqlx::query_as(grants_where!("AND g.id = $2"))
            .bind(int(org.get())).bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(ListedGrant::try_from).transpose()
    }

    /// Keys that act for a member and have not ended, newest first.
    pub async fn keys_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = on_db!(self, conn => sqlx::query_as(
            select_keys!("WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL
               AND (expires_at_seconds IS NULL OR expires_at_seconds > $3)
               AND (not_after_seconds IS NULL OR not_after_seconds > $3)
             ORDER BY created_at DESC, id DESC LIMIT $4"))
            .bind(int(org.get())).bind(int(user.get())).bind(int(now.0)).bind(i64::from(limit))
            .fetch_all(conn).await)?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    /// Forgets what a person agreed to for one client in an organisation: they are asked again.
    pub async fn forget_consents_for(
        &mut self,
        (org, user): (OrgId, UserId),
        client: ClientId,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM consents WHERE user_id = $1 AND org_id = $2 AND client_id = $3")
                .bind(int(user.get()))
                .bind(int(org.get()))
                .bind(int(client.get()))
        )
    }

    /// The same for everybody in an organisation.
    pub async fn forget_consents_in(&mut self, org: OrgId, client: ClientId) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM consents WHERE client_id = $2 AND org_id = $1")
                .bind(int(org.get()))
                .bind(int(client.get()))
        )
    }
}
