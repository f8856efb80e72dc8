//! SQL for quarantine: the most that a key can do for now, under a version that only grows.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::id::KeyId;
use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// What a quarantined key can still do, within its own scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ceiling {
    /// What a viewer can.
    Read,
    /// Nothing.
    None,
}

impl Ceiling {
    /// The text in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::None => "none",
        }
    }
}

impl FromStr for Ceiling {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Read, Self::None]
            .into_iter()
            .find(|ceiling| ceiling.as_str() == text)
            .ok_or(StoreError::Corrupt("quarantine"))
    }
}

impl Tx {
    /// Gives a key that is not revoked another ceiling, or none, and gives the version under which the edge is to be told.
    pub async fn set_quarantine(
        &mut self,
        id: KeyId,
        ceiling: Option<Ceiling>,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let version: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE api_keys SET quarantine = $2, quarantined_at = $3, ceiling_version = ceiling_version + 1
             WHERE id = $1 AND revoked_at IS NULL RETURNING ceiling_version")
            .bind(int(id.get())).bind(ceiling.map(Ceiling::as_str)).bind(ceiling.map(|_| int(now.0)))
            .fetch_optional(conn).await)?;
        version.map(|version| uint(version, "version")).transpose()
    }

    /// The version under which the edge was told last; 0: never.
    pub async fn ceiling_version(&mut self, id: KeyId) -> Result<u64, StoreError> {
        let version: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT ceiling_version FROM api_keys WHERE id = $1")
            .bind(int(id.get())).fetch_optional(conn).await)?;
        uint(version.unwrap_or_default(), "version")
    }

    /// Takes over the ceiling of a key that an edge knows, under the edge's version. Nothing happens if the key's is newer.
    pub async fn restore_quarantine(
        &mut self,
        index: u64,
        ceiling: Option<Ceiling>,
        version: u64,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET quarantine = $2, quarantined_at = $3, ceiling_version = $4
             WHERE id = $1 AND ceiling_version < $4"
            )
            .bind(int(index))
            .bind(ceiling.map(Ceiling::as_str))
            .bind(ceiling.map(|_| int(now.0)))
            .bind(int(version))
        )
    }
}
