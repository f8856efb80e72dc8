//! SQL for logout tokens that wait to be delivered.

use shared::id::{ClientId, OrgId, UserId};
use shared::time::UnixMillis;

use super::grants::client_id;
use super::orgs::{org_id, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A client that is to hear of the end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRow {
    /// Made of what follows, by whoever queues it.
    pub id: [u8; 32],
    /// The client.
    pub client: ClientId,
    /// In which organisation the person let it in.
    pub org: OrgId,
    /// The person.
    pub user: UserId,
    /// The session, as `sid` names it.
    pub session: String,
    /// When it ended.
    pub created_at: UnixMillis,
    /// When nobody needs to hear of it any more.
    pub expires_at: UnixMillis,
    /// How often it was tried, this time included.
    pub attempts: u64,
}

/// A client with an address for logout tokens, and for whom it has had tokens in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The client.
    pub client: ClientId,
    /// In which organisation.
    pub org: OrgId,
    /// The person.
    pub user: UserId,
}

type Stored = (Vec<u8>, i64, i64, i64, String, i64, i64, i64);

fn row(stored: Stored) -> Result<LogoutRow, StoreError> {
    let (id, client, org, user, session, created_at, expires_at, attempts) = stored;
    Ok(LogoutRow {
        id: id.try_into().map_err(|_| StoreError::Corrupt("logout id"))?,
        client: client_id(client)?,
        org: org_id(org)?,
        user: user_id(user)?,
        session,
        created_at: UnixMillis(uint(created_at, "time")?),
        expires_at: UnixMillis(uint(expires_at, "time")?),
        attempts: uint(attempts, "count")?,
    })
}

impl Tx {
    /// The clients that had tokens in a session and want to hear of its end, each once; also those whose grant is over: their own
    /// session may not be.
    pub async fn listeners_of_session(&mut self, session: &str) -> Result<Vec<Listener>, StoreError> {
        let rows: Vec<(i64, i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "SELECT g.client_id, MIN(g.org_id), MIN(g.user_id) FROM grants g JOIN clients c ON c.id = g.client_id
             WHERE g.session = $1 AND c.backchannel_logout_uri IS NOT NULL AND c.disabled_at IS NULL
             GROUP BY g.client_id ORDER BY g.client_id")
            .bind(session).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(client, org, user)| {
                Ok(Listener {
                    client: client_id(client)?,
                    org: org_id(org)?,
                    user: user_id(user)?,
                })
            })
            .collect()
    }

    /// Puts a logout into the queue, due at once.
    pub async fn insert_logout(&mut self, logout: &LogoutRow) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO logouts (id, client_id, org_id, user_id, session, created_at, expires_at, due_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $6) ON CONFLICT (id) DO NOTHING"
            )
            .bind(logout.id.as_slice())
            .bind(int(logout.client.get()))
            .bind(int(logout.org.get()))
            .bind(int(logout.user.get()))
            .bind(&logout.session)
            .bind(int(logout.created_at.0))
            .bind(int(logout.expires_at.0))
        )?;
        Ok(())
    }

    /// Clients that have something due, with whose they are: 0, nobody's.
    pub async fn waiting_clients(&mut self, now: UnixMillis) -> Result<Vec<(u64, u64)>, StoreError> {
        // From one client to the next in the index, past whatever waits for each.
        let rows: Vec<(i64, i64)> = on_db!(self, conn => sqlx::query_as(
            "WITH RECURSIVE waiting (id) AS (
                SELECT MIN(client_id) FROM logouts
                UNION ALL
                SELECT (SELECT MIN(l.client_id) FROM logouts l WHERE l.client_id > waiting.id)
                FROM waiting WHERE waiting.id IS NOT NULL)
             SELECT c.id, COALESCE(c.org_id, 0) FROM waiting JOIN clients c ON c.id = waiting.id
             WHERE EXISTS (SELECT 1 FROM logouts l WHERE l.client_id = c.id AND l.due_at <= $1)")
            .bind(int(now.0)).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(client, org)| Ok((uint(client, "client id")?, uint(org, "organisation id")?)))
            .collect()
    }

    /// Takes a client's logout that has been due for longest; nobody else gets it before `until`.
    pub async fn take_logout(
        &mut self,
        client: u64,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<Option<LogoutRow>, StoreError> {
        let stored: Option<Stored> = on_db!(self, conn => sqlx::query_as(
            "UPDATE logouts SET due_at = $2, attempts = attempts + 1
             WHERE id = (SELECT id FROM logouts WHERE client_id = $3 AND due_at <= $1 ORDER BY due_at, id LIMIT 1) AND due_at <= $1
             RETURNING id, client_id, org_id, user_id, session, created_at, expires_at, attempts")
            .bind(int(now.0)).bind(int(until.0)).bind(int(client)).fetch_optional(conn).await)?;
        stored.map(row).transpose()
    }

    /// Puts a logout that was not delivered back, due later; and what else waits for its client, which would not take that either.
    pub async fn postpone_logouts(
        &mut self,
        logout: &LogoutRow,
        due_at: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE logouts SET due_at = $3 WHERE id = $1 OR (client_id = $2 AND due_at < $3)")
                .bind(logout.id.as_slice())
                .bind(int(logout.client.get()))
                .bind(int(due_at.0))
        )?;
        Ok(())
    }

    /// Has what waits for a client tried now that is due later than `later`.
    pub async fn hasten_logouts(
        &mut self,
        client: ClientId,
        later: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE logouts SET due_at = $3 WHERE client_id = $1 AND due_at > $2")
                .bind(int(client.get()))
                .bind(int(later.0))
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Drops a logout: delivered, given up, or for nobody.
    pub async fn drop_logout(&mut self, id: &[u8; 32]) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM logouts WHERE id = $1").bind(id.as_slice())
        )?;
        Ok(())
    }
}
