//! SQL for authorization requests that wait for a browser (RFC 9126).

use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected};

/// A request that a client has pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRequest {
    /// SHA-256 of its name.
    pub digest: [u8; 32],
    /// The `client_id` of the client that pushed it.
    pub client: String,
    /// Its parameters, form-encoded.
    pub parameters: String,
    /// When it came.
    pub created_at: UnixMillis,
    /// When it is of no use any more, unless a browser has opened it.
    pub expires_at: UnixMillis,
}

impl Tx {
    /// Keeps a request, unless one of this name is there.
    pub async fn insert_pushed_request(&mut self, request: &PushedRequest) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO pushed_requests (digest, client, parameters, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (digest) DO NOTHING"
            )
            .bind(request.digest.as_slice())
            .bind(&request.client)
            .bind(&request.parameters)
            .bind(int(request.created_at.0))
            .bind(int(request.expires_at.0))
        )?;
        Ok(())
    }

    /// Whether [`open_pushed_request`](Self::open_pushed_request) would find one.
    pub async fn has_pushed_request(
        &mut self,
        digest: &[u8; 32],
        client: &str,
        browser: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let found: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT expires_at FROM pushed_requests
             WHERE digest = $1 AND client = $2 AND (browser IS NULL OR browser = $3) AND used_at IS NULL AND expires_at > $4")
            .bind(digest.as_slice()).bind(client).bind(browser.as_slice()).bind(int(now.0))
            .fetch_optional(conn).await)?;
        Ok(found.is_some())
    }

    /// Opens a request in a browser, in time and not used, and gives its parameters. The first browser that does so is the
    /// only one, and has until `until`.
    pub async fn open_pushed_request(
        &mut self,
        digest: &[u8; 32],
        client: &str,
        browser: &[u8; 32],
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<Option<String>, StoreError> {
        on_db!(self, conn => sqlx::query_scalar(
            "UPDATE pushed_requests SET browser = $3, expires_at = CASE WHEN browser IS NULL THEN $4 ELSE expires_at END
             WHERE digest = $1 AND client = $2 AND (browser IS NULL OR browser = $3) AND used_at IS NULL AND expires_at > $5
             RETURNING parameters")
            .bind(digest.as_slice()).bind(client).bind(browser.as_slice()).bind(int(until.0)).bind(int(now.0))
            .fetch_optional(conn).await)
    }

    /// Uses a request up, once and in time; false if somebody did before, or it is too late.
    pub async fn take_pushed_request(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE pushed_requests SET used_at = $2 WHERE digest = $1 AND used_at IS NULL AND expires_at > $2"
            )
            .bind(digest.as_slice())
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Forgets requests that were of no use any more before this moment.
    pub async fn forget_pushed_requests(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM pushed_requests WHERE expires_at < $1").bind(int(before.0))
        )
    }
}
