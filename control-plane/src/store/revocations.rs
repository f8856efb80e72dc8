//! SQL for revoking many credentials at once: which match, their end, and the row that remembers it.
//!
//! The caller holds the organisation, so nothing is issued in it meanwhile. What belongs to a revocation carries its number
//! (`revoked_in`): a credential is never revoked here without being among those that the edge is told of.

use shared::id::{ClientId, GrantId, KeyId, OrgId, RevocationId, StatusIndex, UserId, WorkspaceId};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::grants::grant_id;
use super::keys::Reach;
use super::orgs::org_id;
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// Which API keys. Those that ended before `live_at` are left alone.
#[derive(Clone, Debug)]
pub struct KeysWhere {
    /// Still valid then.
    pub live_at: UnixSeconds,
    /// `None`: of every organisation.
    pub org: Option<OrgId>,
    /// Of one person.
    pub user: Option<UserId>,
    /// The workspace that the caller is limited to.
    pub within: Option<WorkspaceId>,
    /// The caller's environment: its own and lesser ones.
    pub reach: Environment,
    /// Of one environment.
    pub environment: Option<Environment>,
    /// Of one workspace.
    pub workspace: Option<WorkspaceId>,
    /// For all workspaces only.
    pub all_workspaces: bool,
    /// How the name begins, upper and lower case alike.
    pub name_prefix: Option<String>,
    /// Made before.
    pub created_before: Option<UnixMillis>,
    /// Made then or later.
    pub created_after: Option<UnixMillis>,
    /// With one of these scopes; empty: with any.
    pub scopes: ScopeSet,
    /// All but this one.
    pub except: Option<KeyId>,
    /// All but those of the organisation's owners.
    pub spares_owners: bool,
}

impl KeysWhere {
    /// Every key in reach that is valid at a moment.
    pub fn in_reach(reach: Reach, live_at: UnixSeconds) -> Self {
        Self {
            live_at,
            org: Some(reach.org),
            user: None,
            within: reach.workspace,
            reach: reach.environment,
            environment: None,
            workspace: None,
            all_workspaces: false,
            name_prefix: None,
            created_before: None,
            created_after: None,
            scopes: ScopeSet::EMPTY,
            except: None,
            spares_owners: false,
        }
    }
}

/// Which grants, and which tokens that came of an identity provider's assertion.
#[derive(Clone, Debug)]
pub struct GrantsWhere {
    /// A grant that was alive then, or a token that expires later.
    pub live_at: UnixSeconds,
    /// `None`: of every organisation.
    pub org: Option<OrgId>,
    /// Of one person.
    pub user: Option<UserId>,
    /// Of one client.
    pub client: Option<ClientId>,
    /// Made in one session; tokens of assertions never are.
    pub session: Option<String>,
    /// Tokens of this identity provider's assertions; grants never are.
    pub issuer: Option<String>,
    /// Made before.
    pub created_before: Option<UnixMillis>,
    /// Made then or later.
    pub created_after: Option<UnixMillis>,
    /// Without a new token since.
    pub last_used_before: Option<UnixMillis>,
    /// With one of these scopes; empty: with any.
    pub scopes: ScopeSet,
    /// All but those of the organisation's owners.
    pub spares_owners: bool,
}

impl GrantsWhere {
    /// Every grant of an organisation, or of all, that was alive at a moment.
    pub fn of(org: Option<OrgId>, live_at: UnixSeconds) -> Self {
        Self {
            live_at,
            org,
            user: None,
            client: None,
            session: None,
            issuer: None,
            created_before: None,
            created_after: None,
            last_used_before: None,
            scopes: ScopeSet::EMPTY,
            spares_owners: false,
        }
    }
}

/// How credentials are marked as revoked.
#[derive(Clone, Debug)]
pub struct Mark {
    /// By which revocation.
    pub revocation: RevocationId,
    /// When.
    pub at: UnixMillis,
    /// Why, in the words of RFC 5280 §5.3.1.
    pub reason: &'static str,
    /// By whom.
    pub by: String,
}

/// A revocation of more than one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// Its id.
    pub id: RevocationId,
    /// In which organisation; `None`: in all of them.
    pub org: Option<OrgId>,
    /// What was revoked, in one text.
    pub subject: String,
    /// Why, in the words of RFC 5280 §5.3.1.
    pub reason: String,
    /// Why, in other words.
    pub comment: Option<String>,
    /// Of a revocation of all that match: the conditions, as JSON.
    pub filter: Option<String>,
    /// By whom.
    pub by: String,
    /// When.
    pub at: UnixMillis,
    /// The last outbox row that tells the edge.
    pub outbox: i64,
    /// What it ended.
    pub counts: Counts,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// API keys.
    pub keys: u64,
    /// Grants, with all their tokens.
    pub grants: u64,
    /// Access tokens that stand alone.
    pub tokens: u64,
    /// Sign-in sessions.
    pub sessions: u64,
}

impl Counts {
    /// All together.
    pub fn sum(&self) -> u64 {
        [self.keys, self.grants, self.tokens, self.sessions]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    org_id: Option<i64>,
    subject: String,
    reason: String,
    comment: Option<String>,
    filter: Option<String>,
    revoked_by: String,
    revoked_at: i64,
    outbox_id: i64,
    keys: i64,
    grants: i64,
    tokens: i64,
    sessions: i64,
}

impl TryFrom<Row> for RevocationRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: RevocationId::from_u64(uint(row.id, "revocation")?)
                .ok_or(StoreError::Corrupt("revocation"))?,
            org: row.org_id.map(org_id).transpose()?,
            subject: row.subject,
            reason: row.reason,
            comment: row.comment,
            filter: row.filter,
            by: row.revoked_by,
            at: UnixMillis(uint(row.revoked_at, "time")?),
            outbox: row.outbox_id,
            counts: Counts {
                keys: uint(row.keys, "count")?,
                grants: uint(row.grants, "count")?,
                tokens: uint(row.tokens, "count")?,
                sessions: uint(row.sessions, "count")?,
            },
        })
    }
}

/// A statement on the keys that match: fourteen parameters.
macro_rules! on_keys {
    ($what:literal, $after:literal) => {
        concat!(
            $what,
            " WHERE revoked_at IS NULL
               AND (expires_at_seconds IS NULL OR expires_at_seconds > $1)
               AND (not_after_seconds IS NULL OR not_after_seconds > $1)
               AND ($2 IS NULL OR org_id = $2)
               AND ($3 IS NULL OR user_id = $3)
               AND ($4 IS NULL OR workspace_id = $4)
               AND ($5 = 'live' OR environment = 'dev' OR ($5 = 'test' AND environment = 'test'))
               AND ($6 IS NULL OR environment = $6)
               AND ($7 IS NULL OR workspace_id = $7)
               AND ($8 = 0 OR workspace_id IS NULL)
               AND ($9 IS NULL OR name_lower LIKE $9 ESCAPE '!')
               AND ($10 IS NULL OR created_at < $10)
               AND ($11 IS NULL OR created_at >= $11)
               AND ($12 = 0 OR (scopes & $12) <> 0)
               AND ($13 IS NULL OR id <> $13)
               AND ($14 = 0 OR user_id NOT IN (
                   SELECT m.user_id FROM memberships m WHERE m.org_id = api_keys.org_id AND m.role = 'owner')) ",
            $after
        )
    };
}

macro_rules! bind_keys {
    ($which:expr, $query:expr) => {{
        let which: &KeysWhere = $which;
        $query
            .bind(int(which.live_at.0))
            .bind(which.org.map(|id| int(id.get())))
            .bind(which.user.map(|id| int(id.get())))
            .bind(which.within.map(|id| int(id.get())))
            .bind(which.reach.as_str())
            .bind(which.environment.map(Environment::as_str))
            .bind(which.workspace.map(|id| int(id.get())))
            .bind(i64::from(which.all_workspaces))
            .bind(which.name_prefix.as_deref().map(prefix_pattern))
            .bind(which.created_before.map(|at| int(at.0)))
            .bind(which.created_after.map(|at| int(at.0)))
            .bind(which.scopes.0.cast_signed())
            .bind(which.except.map(|id| int(id.get())))
            .bind(i64::from(which.spares_owners))
    }};
}

/// A statement on the grants that match: ten parameters.
macro_rules! on_grants {
    ($what:literal, $after:literal) => {
        concat!(
            $what,
            " WHERE revoked_at IS NULL
               AND idle_expires_seconds > $1
               AND ($2 IS NULL OR org_id = $2)
               AND ($3 IS NULL OR user_id = $3)
               AND ($4 IS NULL OR client_id = $4)
               AND ($5 IS NULL OR session = $5)
               AND ($6 IS NULL OR created_at < $6)
               AND ($7 IS NULL OR created_at >= $7)
               AND ($8 IS NULL OR acted_at < $8)
               AND ($9 = 0 OR (scopes & $9) <> 0)
               AND ($10 = 0 OR user_id NOT IN (
                   SELECT m.user_id FROM memberships m WHERE m.org_id = grants.org_id AND m.role = 'owner')) ",
            $after
        )
    };
}

/// A statement on the tokens of assertions that match: the parameters of [`on_grants`], the fifth being the issuer.
macro_rules! on_tokens {
    ($what:literal, $after:literal) => {
        concat!(
            $what,
            " WHERE revoked_at IS NULL AND idx IN (
                 SELECT idx FROM asserted_tokens
                 WHERE expires_seconds > $1
                   AND ($2 IS NULL OR org_id = $2)
                   AND ($3 IS NULL OR user_id = $3)
                   AND ($4 IS NULL OR client_id = $4)
                   AND ($5 IS NULL OR issuer = $5)
                   AND ($6 IS NULL OR created_at < $6)
                   AND ($7 IS NULL OR created_at >= $7)
                   AND ($8 IS NULL OR created_at < $8)
                   AND ($9 = 0 OR (scopes & $9) <> 0)
                   AND ($10 = 0 OR user_id NOT IN (
                       SELECT m.user_id FROM memberships m WHERE m.org_id = asserted_tokens.org_id AND m.role = 'owner'))) ",
            $after
        )
    };
}

macro_rules! bind_grants {
    ($which:expr, $fifth:expr, $query:expr) => {{
        let which: &GrantsWhere = $which;
        $query
            .bind(int(which.live_at.0))
            .bind(which.org.map(|id| int(id.get())))
            .bind(which.user.map(|id| int(id.get())))
            .bind(which.client.map(|id| int(id.get())))
            .bind($fifth)
            .bind(which.created_before.map(|at| int(at.0)))
            .bind(which.created_after.map(|at| int(at.0)))
            .bind(which.last_used_before.map(|at| int(at.0)))
            .bind(which.scopes.0.cast_signed())
            .bind(i64::from(which.spares_owners))
    }};
}

impl Tx {
    /// How many keys match.
    pub async fn count_keys_where(&mut self, which: &KeysWhere) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => bind_keys!(which, sqlx::query_scalar(
            on_keys!("SELECT COUNT(*) FROM api_keys", ""))).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Holds the keys that match. Before the organisation is held: whoever issues holds the calling key first.
    pub async fn hold_keys_where(&mut self, which: &KeysWhere) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            bind_keys!(
                which,
                sqlx::query(on_keys!("UPDATE api_keys SET acted_at = acted_at", ""))
            )
        )
    }

    /// Revokes the keys that match, and gives their status indexes. [`Tx::stamp_revoked_keys`] is to follow.
    pub async fn revoke_keys_where(
        &mut self,
        which: &KeysWhere,
        mark: &Mark,
    ) -> Result<Vec<StatusIndex>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => bind_keys!(which, sqlx::query_scalar(on_keys!(
            "UPDATE api_keys SET revoked_at = $15, revoked_reason = $16, revoked_by = $17, revoked_in = $18, revoke_outbox = 0",
            "RETURNING id")))
            .bind(int(mark.at.0)).bind(mark.reason).bind(&mark.by).bind(int(mark.revocation.get()))
            .fetch_all(conn).await)?;
        indexes(ids)
    }

    /// Names the outbox row that tells the edge of the keys of a revocation.
    pub async fn stamp_revoked_keys(&mut self, id: RevocationId, outbox: i64) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE api_keys SET revoke_outbox = $2 WHERE revoked_in = $1")
                .bind(int(id.get()))
                .bind(outbox)
        )
    }

    /// How many grants match.
    pub async fn count_grants_where(&mut self, which: &GrantsWhere) -> Result<u64, StoreError> {
        if which.issuer.is_some() {
            return Ok(0);
        }
        let count: i64 = on_db!(self, conn => bind_grants!(which, which.session.as_deref(), sqlx::query_scalar(
            on_grants!("SELECT COUNT(*) FROM grants", ""))).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Ends the grants that match, and gives how many, and every status index of their tokens.
    pub async fn revoke_grants_where(
        &mut self,
        which: &GrantsWhere,
        mark: &Mark,
    ) -> Result<(u64, Vec<StatusIndex>), StoreError> {
        if which.issuer.is_some() {
            return Ok((0, Vec::new()));
        }
        let revocation = int(mark.revocation.get());
        let ended = rows_affected!(
            self,
            bind_grants!(
                which,
                which.session.as_deref(),
                sqlx::query(on_grants!(
                    "UPDATE grants SET revoked_at = $11, revoked_reason = $12, revoked_in = $13, version = version + 1",
                    ""
                ))
            )
            .bind(int(mark.at.0))
            .bind(mark.reason)
            .bind(revocation)
        )?;
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id WHERE g.revoked_in = $1")
            .bind(revocation).fetch_all(conn).await)?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE status_indexes SET revoked_at = $2 WHERE revoked_at IS NULL AND idx IN (
                 SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id WHERE g.revoked_in = $1)"
            )
            .bind(revocation)
            .bind(int(mark.at.0))
        )?;
        Ok((ended, indexes(ids)?))
    }

    /// How many tokens of assertions match.
    pub async fn count_tokens_where(&mut self, which: &GrantsWhere) -> Result<u64, StoreError> {
        if which.session.is_some() {
            return Ok(0);
        }
        let count: i64 = on_db!(self, conn => bind_grants!(which, which.issuer.as_deref(), sqlx::query_scalar(
            on_tokens!("SELECT COUNT(*) FROM status_indexes", ""))).fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Revokes the tokens of assertions that match, and gives their status indexes.
    pub async fn revoke_tokens_where(
        &mut self,
        which: &GrantsWhere,
        now: UnixMillis,
    ) -> Result<Vec<StatusIndex>, StoreError> {
        if which.session.is_some() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = on_db!(self, conn => bind_grants!(which, which.issuer.as_deref(), sqlx::query_scalar(
            on_tokens!("UPDATE status_indexes SET revoked_at = $11", "RETURNING idx")))
            .bind(int(now.0)).fetch_all(conn).await)?;
        indexes(ids)
    }

    /// Ends what people of an organisation have agreed to for a client and it has not fetched: codes, and devices.
    pub async fn end_codes_of_client(
        &mut self,
        org: OrgId,
        client: ClientId,
        identifier: &str,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let codes = rows_affected!(
            self,
            sqlx::query(
                "UPDATE authorization_codes SET used_at = $3 WHERE org_id = $1 AND client_id = $2 AND used_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(int(client.get()))
            .bind(int(now.0))
        )?;
        let devices = rows_affected!(
            self,
            sqlx::query(
                "UPDATE device_codes SET used_at = $3 WHERE org_id = $1 AND client = $2 AND used_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(identifier)
            .bind(int(now.0))
        )?;
        Ok(codes.saturating_add(devices))
    }

    /// How many sessions of an organisation, or of one person in it, were not ended and have not run out.
    pub async fn count_sessions_in(
        &mut self,
        org: Option<OrgId>,
        user: Option<UserId>,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let count: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL AND expires_at > $3
               AND ($1 IS NULL OR org_id = $1) AND ($2 IS NULL OR user_id = $2)")
            .bind(org.map(|id| int(id.get()))).bind(user.map(|id| int(id.get()))).bind(int(now.0))
            .fetch_one(conn).await)?;
        uint(count, "count")
    }

    /// Ends those sessions, and sign-ins that wait for their second factor; gives the number of the sessions.
    pub async fn end_sessions_in(
        &mut self,
        org: Option<OrgId>,
        user: Option<UserId>,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM pending_sign_ins
                 WHERE ($1 IS NULL OR org_id = $1) AND ($2 IS NULL OR user_id = $2)"
            )
            .bind(org.map(|id| int(id.get())))
            .bind(user.map(|id| int(id.get())))
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET ended_at = $3 WHERE ended_at IS NULL
                   AND ($1 IS NULL OR org_id = $1) AND ($2 IS NULL OR user_id = $2)"
            )
            .bind(org.map(|id| int(id.get())))
            .bind(user.map(|id| int(id.get())))
            .bind(int(now.0))
        )
    }

    /// Whose a session is, dead or alive.
    pub async fn session_owner(
        &mut self,
        sid: shared::id::SessionId,
    ) -> Result<Option<(OrgId, UserId)>, StoreError> {
        let row: Option<(i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT org_id, user_id FROM sessions WHERE sid = $1")
            .bind(int(sid.get())).fetch_optional(conn).await)?;
        row.map(|(org, user)| Ok((org_id(org)?, super::orgs::user_id(user)?)))
            .transpose()
    }

    /// Remembers a revocation.
    pub async fn insert_revocation(&mut self, row: &RevocationRow) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query(
            "INSERT INTO revocations
                 (id, org_id, subject, reason, comment, filter, revoked_by, revoked_at, outbox_id, keys, grants, tokens, sessions)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
            .bind(int(row.id.get())).bind(row.org.map(|id| int(id.get()))).bind(&row.subject).bind(&row.reason)
            .bind(&row.comment).bind(&row.filter).bind(&row.by).bind(int(row.at.0)).bind(row.outbox)
            .bind(int(row.counts.keys)).bind(int(row.counts.grants)).bind(int(row.counts.tokens))
            .bind(int(row.counts.sessions)))?;
        Ok(())
    }

    /// The newest revocation of a subject.
    pub async fn last_revocation(&mut self, subject: &str) -> Result<Option<RevocationRow>, StoreError> {
        let row: Option<Row> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, subject, reason, comment, filter, revoked_by, revoked_at, outbox_id, keys, grants, tokens,
                    sessions
             FROM revocations WHERE subject = $1 ORDER BY revoked_at DESC, id DESC LIMIT 1")
            .bind(subject).fetch_optional(conn).await)?;
        row.map(RevocationRow::try_from).transpose()
    }

    /// One revocation.
    pub async fn revocation(&mut self, id: RevocationId) -> Result<Option<RevocationRow>, StoreError> {
        let row: Option<Row> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, subject, reason, comment, filter, revoked_by, revoked_at, outbox_id, keys, grants, tokens,
                    sessions
             FROM revocations WHERE id = $1")
            .bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(RevocationRow::try_from).transpose()
    }

    /// The keys that a revocation ended, in the order of their ids.
    pub async fn keys_of_revocation(
        &mut self,
        id: RevocationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<KeyId>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM api_keys WHERE revoked_in = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(int(id.get())).bind(int(after)).bind(i64::from(limit)).fetch_all(conn).await)?;
        Ok(indexes(ids)?.into_iter().map(KeyId::from).collect())
    }

    /// The grants that a revocation ended and that are not forgotten, in the order of their ids.
    pub async fn grants_of_revocation(
        &mut self,
        id: RevocationId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM grants WHERE revoked_in = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(int(id.get())).bind(int(after)).bind(i64::from(limit)).fetch_all(conn).await)?;
        ids.into_iter().map(grant_id).collect()
    }
}

fn prefix_pattern(prefix: &str) -> String {
    let mut pattern = String::new();
    for c in prefix.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn indexes(stored: Vec<i64>) -> Result<Vec<StatusIndex>, StoreError> {
    stored
        .into_iter()
        .map(|index| {
            StatusIndex::from_u64(uint(index, "status index")?).ok_or(StoreError::Corrupt("status index"))
        })
        .collect()
}
