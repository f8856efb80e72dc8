//! SQL for sign-in sessions and for counting failed attempts.
//!
//! A session is alive while it was not ended, is not too old, was seen lately, and its member may sign in. The caller gives
//! the times: `now`, and `idle_since`, before which a session that was last seen has ended by itself.

use shared::id::{OrgId, SessionId, UserId};
use shared::time::{UnixMillis, UnixSeconds};

use super::orgs::{millis, org_id, seconds, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A sign-in session as stored. Of the secret only its digest is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie's value.
    pub digest: [u8; 32],
    /// Its public name.
    pub sid: SessionId,
    /// Who is signed in.
    pub user: UserId,
    /// In which organisation.
    pub org: OrgId,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it was last used, to the minute.
    pub last_seen_at: UnixMillis,
    /// When the user last proved who they are.
    pub auth_time: UnixMillis,
    /// When it ends whatever happens.
    pub expires_at: UnixMillis,
    /// The browser, as it calls itself.
    pub user_agent: String,
    /// Where it began.
    pub address: String,
    /// How the user proved who they are: `amr` values (RFC 8176), joined by a space.
    pub methods: String,
}

#[derive(sqlx::FromRow)]
struct StoredSession {
    digest: Vec<u8>,
    sid: i64,
    user_id: i64,
    org_id: i64,
    created_at: i64,
    last_seen_at: i64,
    auth_time: i64,
    expires_at: i64,
    user_agent: String,
    address: String,
    methods: String,
}

impl TryFrom<StoredSession> for SessionRow {
    type Error = StoreError;

    fn try_from(row: StoredSession) -> Result<Self, StoreError> {
        let time = |at| uint(at, "time").map(UnixMillis);
        Ok(Self {
            digest: row
                .digest
                .try_into()
                .map_err(|_| StoreError::Corrupt("session digest"))?,
            sid: session_id(row.sid)?,
            user: user_id(row.user_id)?,
            org: org_id(row.org_id)?,
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

/// Somebody who may sign in with a password.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who.
    pub user: UserId,
    /// The organisation that they used last, or joined first, and are alive in.
    pub org: OrgId,
    /// An argon2id PHC string.
    pub password_hash: String,
}

/// How often an account or an address was tried in the current window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// This one included.
    pub count: u64,
    /// Since when.
    pub window_started_at: UnixMillis,
}

impl Tx {
    /// Adds a session: of a person, never of a program.
    pub async fn insert_session(&mut self, session: &SessionRow) -> Result<(), StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO sessions (digest, sid, user_id, org_id, created_at, last_seen_at, auth_time, expires_at,
                 user_agent, address, methods)
                 SELECT $1, $2, id, $4, $5, $6, $7, $8, $9, $10, $11 FROM users WHERE id = $3 AND kind = 'person'"
            )
            .bind(session.digest.as_slice())
            .bind(int(session.sid.get()))
            .bind(int(session.user.get()))
            .bind(int(session.org.get()))
            .bind(int(session.created_at.0))
            .bind(int(session.last_seen_at.0))
            .bind(int(session.auth_time.0))
            .bind(int(session.expires_at.0))
            .bind(&session.user_agent)
            .bind(&session.address)
            .bind(&session.methods)
        )?;
        (rows == 1)
            .then_some(())
            .ok_or(StoreError::Corrupt("session: its user is nobody who signs in"))
    }

    /// The session with this digest, if it is alive.
    pub async fn session(
        &mut self,
        digest: &[u8; 32],
        idle_since: UnixMillis,
        now: UnixMillis,
    ) -> Result<Option<SessionRow>, StoreError> {
        let row: Option<StoredSession> = on_db!(self, conn => sqlx::query_as(
            "SELECT s.digest, s.sid, s.user_id, s.org_id, s.created_at, s.last_seen_at, s.auth_time, s.expires_at,
                    s.user_agent, s.address, s.methods
             FROM sessions s
             JOIN users u ON u.id = s.user_id
             JOIN memberships m ON m.org_id = s.org_id AND m.user_id = s.user_id
             WHERE s.digest = $1 AND s.ended_at IS NULL AND s.last_seen_at > $2 AND s.expires_at > $3
               AND u.kind = 'person' AND u.deactivated_at IS NULL AND m.suspended_at IS NULL")
            .bind(digest.as_slice()).bind(int(idle_since.0)).bind(int(now.0)).fetch_optional(conn).await)?;
        row.map(SessionRow::try_from).transpose()
    }

    /// A user's sessions that are alive, the last used first.
    pub async fn sessions_of(
        &mut self,
        user: UserId,
        idle_since: UnixMillis,
        now: UnixMillis,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let rows: Vec<StoredSession> = on_db!(self, conn => sqlx::query_as(
            "SELECT digest, sid, user_id, org_id, created_at, last_seen_at, auth_time, expires_at, user_agent, address,
                    methods
             FROM sessions
             WHERE user_id = $1 AND ended_at IS NULL AND last_seen_at > $2 AND expires_at > $3
             ORDER BY last_seen_at DESC, sid")
            .bind(int(user.get())).bind(int(idle_since.0)).bind(int(now.0)).fetch_all(conn).await)?;
        rows.into_iter().map(SessionRow::try_from).collect()
    }

    /// Notes that a session was used. Never backwards.
    pub async fn touch_session(&mut self, digest: &[u8; 32], now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET last_seen_at = $2 WHERE digest = $1 AND ended_at IS NULL AND last_seen_at < $2"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Gives a session a new secret after its user proved who they are: `new` has the digest, the times and the browser.
    /// False if `old` is not its secret any more, or it was ended.
    pub async fn rotate_session(&mut self, old: &[u8; 32], new: &SessionRow) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET digest = $2, last_seen_at = $3, auth_time = $4, expires_at = $5, user_agent = $6,
                 address = $7, methods = $8 WHERE digest = $1 AND ended_at IS NULL"
            )
            .bind(old.as_slice())
            .bind(new.digest.as_slice())
            .bind(int(new.last_seen_at.0))
            .bind(int(new.auth_time.0))
            .bind(int(new.expires_at.0))
            .bind(&new.user_agent)
            .bind(&new.address)
            .bind(&new.methods)
        )?;
        Ok(rows == 1)
    }

    /// Whether a session that was not ended has this secret. Ask after something that locks it, such as
    /// [`Tx::session_issue_time`].
    pub async fn is_session_secret(&mut self, sid: SessionId, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let found: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT sid FROM sessions WHERE sid = $1 AND digest = $2 AND ended_at IS NULL")
            .bind(int(sid.get())).bind(digest.as_slice()).fetch_optional(conn).await)?;
        Ok(found.is_some())
    }

    /// Ends one of a user's sessions, and gives the time T that the edge must know: `max(now, last_iat)`. `None` if it is
    /// not theirs or was ended before.
    pub async fn end_session(
        &mut self,
        user: UserId,
        sid: SessionId,
        now: UnixMillis,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE sessions SET ended_at = $3
             WHERE sid = $1 AND user_id = $2 AND ended_at IS NULL
             RETURNING CASE WHEN last_iat_seconds > $4 THEN last_iat_seconds ELSE $4 END")
            .bind(int(sid.get())).bind(int(user.get())).bind(int(now.0)).bind(int(now.seconds().0))
            .fetch_optional(conn).await)?;
        seconds(at)
    }

    /// Ends a session that an edge knows to have ended, whoever's it was. Gives the number of rows.
    pub async fn end_known_session(&mut self, sid: SessionId, now: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE sessions SET ended_at = $2 WHERE sid = $1 AND ended_at IS NULL")
                .bind(int(sid.get()))
                .bind(int(now.0))
        )
    }

    /// Every session of a user that was not ended, also those that ran out: their tokens may still live.
    pub async fn sessions_not_ended(&mut self, user: UserId) -> Result<Vec<SessionId>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT sid FROM sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY created_at, sid")
            .bind(int(user.get())).fetch_all(conn).await)?;
        ids.into_iter().map(session_id).collect()
    }

    /// Dates a token that is issued from a session, and remembers it: the session's end will be dated past it. `None` if
    /// the session was ended or is not there; one that merely ran out still has its tokens renewed.
    pub async fn session_issue_time(
        &mut self,
        sid: SessionId,
        earliest: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "UPDATE sessions SET last_iat_seconds = CASE WHEN last_iat_seconds > $2 THEN last_iat_seconds ELSE $2 END
             WHERE sid = $1 AND ended_at IS NULL")
            .bind(int(sid.get())).bind(int(earliest.0)))?;
        Ok((rows == 1).then_some(earliest))
    }

    /// How the user of a session proved who they are, if that was at this time: they may have done so again since.
    pub async fn session_methods(
        &mut self,
        sid: SessionId,
        auth_time: UnixSeconds,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(i64, String)> = on_db!(self, conn => sqlx::query_as(
            "SELECT auth_time, methods FROM sessions WHERE sid = $1")
            .bind(int(sid.get())).fetch_optional(conn).await)?;
        let Some((at, methods)) = row else { return Ok(None) };
        let at = UnixMillis(uint(at, "time")?).seconds();
        Ok((at == auth_time).then_some(methods))
    }

    /// When a session was ended: by its user, by a sign-in of somebody else in the same browser, or by a new password.
    pub async fn session_ended_at(&mut self, sid: SessionId) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT ended_at FROM sessions WHERE sid = $1")
            .bind(int(sid.get())).fetch_optional(conn).await)?;
        millis(at.flatten())
    }

    /// Forgets sessions that ran out before `before`, and gives their number.
    pub async fn forget_sessions(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM sessions WHERE expires_at < $1").bind(int(before.0))
        )
    }

    /// The account with this e-mail address, if it can sign in with a password and has an organisation to sign in to.
    pub async fn account_by_email(&mut self, email: &str) -> Result<Option<Account>, StoreError> {
        let row: Option<(i64, i64, String)> = on_db!(self, conn => sqlx::query_as(
            "SELECT u.id, m.org_id, u.password_hash
             FROM users u JOIN memberships m ON m.user_id = u.id
             WHERE u.email = $1 AND u.kind = 'person' AND u.password_hash IS NOT NULL AND u.deactivated_at IS NULL
               AND m.suspended_at IS NULL
             ORDER BY COALESCE(m.last_used_at, 0) DESC, m.created_at, m.org_id LIMIT 1")
            .bind(email).fetch_optional(conn).await)?;
        row.map(|(user, org, password_hash)| {
            Ok(Account {
                user: user_id(user)?,
                org: org_id(org)?,
                password_hash,
            })
        })
        .transpose()
    }

    /// A user's e-mail address and password hash.
    pub async fn user_secret(
        &mut self,
        user: UserId,
    ) -> Result<Option<(String, Option<String>)>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT email, password_hash FROM users WHERE id = $1 AND kind = 'person' AND deactivated_at IS NULL")
            .bind(int(user.get())).fetch_optional(conn).await)
    }

    /// Whether this is still the user's password hash, and they may sign in; held for the rest of the transaction.
    pub async fn hold_password(&mut self, user: UserId, hash: &str) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE users SET password_hash = $2
                 WHERE id = $1 AND password_hash = $2 AND deactivated_at IS NULL"
            )
            .bind(int(user.get()))
            .bind(hash)
        )?;
        Ok(rows == 1)
    }

    /// Sets a new password hash; false if the old one is not `old` any more.
    pub async fn replace_password(&mut self, user: UserId, old: &str, new: &str) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
                .bind(int(user.get()))
                .bind(old)
                .bind(new)
        )?;
        Ok(rows == 1)
    }

    /// Counts an attempt. A window that began at or before `expired` is over, and a new one begins now.
    pub async fn count_attempt(
        &mut self,
        subject: &[u8; 32],
        expired: UnixMillis,
        now: UnixMillis,
    ) -> Result<Attempts, StoreError> {
        let (count, started): (i64, i64) = on_db!(self, conn => sqlx::query_as(
            "INSERT INTO sign_in_failures (subject, window_started_at, failures) VALUES ($1, $2, 1)
             ON CONFLICT (subject) DO UPDATE SET
                 failures = CASE WHEN sign_in_failures.window_started_at <= $3 THEN 1
                                 ELSE sign_in_failures.failures + 1 END,
                 window_started_at = CASE WHEN sign_in_failures.window_started_at <= $3 THEN $2
                                          ELSE sign_in_failures.window_started_at END
             RETURNING failures, window_started_at")
            .bind(subject.as_slice()).bind(int(now.0)).bind(int(expired.0)).fetch_one(conn).await)?;
        Ok(Attempts {
            count: uint(count, "count")?,
            window_started_at: UnixMillis(uint(started, "time")?),
        })
    }

    /// How often a subject was counted in its window, unless that began at or before `expired`. Counts nothing.
    pub async fn counted_attempts(
        &mut self,
        subject: &[u8; 32],
        expired: UnixMillis,
    ) -> Result<Option<Attempts>, StoreError> {
        let row: Option<(i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT failures, window_started_at FROM sign_in_failures WHERE subject = $1 AND window_started_at > $2")
            .bind(subject.as_slice()).bind(int(expired.0)).fetch_optional(conn).await)?;
        row.map(|(count, started)| {
            Ok(Attempts {
                count: uint(count, "count")?,
                window_started_at: UnixMillis(uint(started, "time")?),
            })
        })
        .transpose()
    }

    /// Takes back one attempt: it was not a failure.
    pub async fn uncount_attempt(&mut self, subject: &[u8; 32]) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sign_in_failures SET failures = failures - 1 WHERE subject = $1 AND failures > 0"
            )
            .bind(subject.as_slice())
        )?;
        Ok(())
    }

    /// Forgets the attempts of a subject.
    pub async fn forget_attempts(&mut self, subject: &[u8; 32]) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM sign_in_failures WHERE subject = $1").bind(subject.as_slice())
        )?;
        Ok(())
    }

    /// Forgets windows that began before `before`, and gives their number.
    pub async fn forget_attempts_before(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM sign_in_failures WHERE window_started_at < $1").bind(int(before.0))
        )
    }
}

pub(super) fn session_id(stored: i64) -> Result<SessionId, StoreError> {
    SessionId::from_u64(uint(stored, "session id")?).ok_or(StoreError::Corrupt("session id"))
}
