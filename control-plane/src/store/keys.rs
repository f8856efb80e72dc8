//! SQL for API keys. The key's text is nowhere in the database; its id is its status index.

use shared::id::{KeyId, OrgId, SigningKeyId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::orgs::{millis, org_id, seconds, user_id, workspace_id};
use super::quarantine::Ceiling;
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// Everything that is known of an API key, except the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id and status index.
    pub id: KeyId,
    /// Whose it is.
    pub org: OrgId,
    /// Whom it acts for.
    pub user: UserId,
    /// One workspace, or all.
    pub workspace: Option<WorkspaceId>,
    /// What people call it.
    pub name: String,
    /// Which kind of environment it is for.
    pub environment: Environment,
    /// What it states, before any ceiling.
    pub scopes: ScopeSet,
    /// `pc_live_…` and its last four characters.
    pub masked: String,
    /// Who signed it.
    pub signing_key: SigningKeyId,
    /// Its `iat`.
    pub issued_at: UnixSeconds,
    /// When it ends by its own statement.
    pub expires_at: Option<UnixSeconds>,
    /// When it ends because it was rotated.
    pub not_after: Option<UnixSeconds>,
    /// The first key of its line of rotations.
    pub family: KeyId,
    /// The key that it took over from.
    pub rotated_from: Option<KeyId>,
    /// The key that takes over from it.
    pub rotated_to: Option<KeyId>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: UnixMillis,
    /// How it was revoked, if it was.
    pub revoked: Option<Revoked>,
    /// The most that it can do for now, and since when.
    pub quarantine: Option<(Ceiling, UnixMillis)>,
}

/// How a key was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When it was committed.
    pub at: UnixMillis,
    /// Why, in the words of RFC 5280 §5.3.1.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// The outbox row that tells the edge.
    pub outbox: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct ApiKeyRow {
    id: i64,
    org_id: i64,
    user_id: i64,
    workspace_id: Option<i64>,
    name: String,
    environment: String,
    scopes: i64,
    masked: String,
    signing_key: i64,
    issued_at_seconds: i64,
    expires_at_seconds: Option<i64>,
    not_after_seconds: Option<i64>,
    family: i64,
    rotated_from: Option<i64>,
    rotated_to: Option<i64>,
    created_by: String,
    created_at: i64,
    revoked_at: Option<i64>,
    revoked_reason: Option<String>,
    revoked_by: Option<String>,
    revoke_outbox: Option<i64>,
    quarantine: Option<String>,
    quarantined_at: Option<i64>,
}

/// The columns of an [`ApiKeyRow`], and what rows are meant.
macro_rules! select_keys {
    ($ending:literal) => {
        concat!(
            "SELECT id, org_id, user_id, workspace_id, name, environment, scopes, masked, signing_key,
                    issued_at_seconds, expires_at_seconds, not_after_seconds, family, rotated_from, rotated_to,
                    created_by, created_at, revoked_at, revoked_reason, revoked_by, revoke_outbox, quarantine,
                    quarantined_at
             FROM api_keys ",
            $ending
        )
    };
}
pub(super) use select_keys;

/// A scope set as stored: all 64 bits, reinterpreted.
fn bits(scopes: ScopeSet) -> i64 {
    i64::from_le_bytes(scopes.0.to_le_bytes())
}

fn key_id(stored: i64) -> Result<KeyId, StoreError> {
    KeyId::from_u64(uint(stored, "key id")?).ok_or(StoreError::Corrupt("key id"))
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let revoked = match (
            row.revoked_at,
            row.revoked_reason,
            row.revoked_by,
            row.revoke_outbox,
        ) {
            (None, None, None, None) => None,
            (Some(at), Some(reason), Some(by), Some(outbox)) => Some(Revoked {
                at: UnixMillis(uint(at, "time")?),
                reason,
                by,
                outbox,
            }),
            _ => return Err(StoreError::Corrupt("revocation")),
        };
        let quarantine = match row.quarantine {
            None => None,
            Some(ceiling) => Some((ceiling.parse()?, millis(row.quarantined_at)?.unwrap_or_default())),
        };
        Ok(Self {
            id: key_id(row.id)?,
            org: org_id(row.org_id)?,
            user: user_id(row.user_id)?,
            workspace: row.workspace_id.map(workspace_id).transpose()?,
            name: row.name,
            environment: row
                .environment
                .parse()
                .map_err(|_| StoreError::Corrupt("environment"))?,
            scopes: ScopeSet(u64::from_le_bytes(row.scopes.to_le_bytes())),
            masked: row.masked,
            signing_key: SigningKeyId::from_u64(uint(row.signing_key, "signing key")?)
                .ok_or(StoreError::Corrupt("signing key"))?,
            issued_at: UnixSeconds(uint(row.issued_at_seconds, "time")?),
            expires_at: seconds(row.expires_at_seconds)?,
            not_after: seconds(row.not_after_seconds)?,
            family: key_id(row.family)?,
            rotated_from: row.rotated_from.map(key_id).transpose()?,
            rotated_to: row.rotated_to.map(key_id).transpose()?,
            created_by: row.created_by,
            created_at: millis(Some(row.created_at))?.unwrap_or_default(),
            revoked,
            quarantine,
        })
    }
}

/// Which keys a caller can see: those of its organisation, of its workspace, and of its environment or a lesser one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Whose keys.
    pub org: OrgId,
    /// `None`: of every workspace, and those for all of them.
    pub workspace: Option<WorkspaceId>,
    /// The caller's own; live reaches all, test reaches test and dev, dev reaches dev.
    pub environment: Environment,
}

impl Reach {
    /// Every key of an organisation.
    pub fn all_of(org: OrgId) -> Self {
        Self {
            org,
            workspace: None,
            environment: Environment::Live,
        }
    }

    /// Whether a key of this workspace and environment would be in reach.
    pub fn covers(&self, workspace: Option<WorkspaceId>, environment: Environment) -> bool {
        (self.workspace.is_none() || self.workspace == workspace) && self.environment <= environment
    }
}

/// Where a key stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Rotated, still valid until its `not_after`.
    Rotating,
    /// Ended by its expiry or its rotation.
    Expired,
    /// Revoked.
    Revoked,
}

impl ApiKey {
    /// The end of the key by expiry or rotation, whichever is first.
    pub fn ends_at(&self) -> Option<UnixSeconds> {
        self.expires_at.into_iter().chain(self.not_after).min()
    }

    /// Where the key stands at `now`.
    pub fn status(&self, now: UnixSeconds) -> KeyStatus {
        if self.revoked.is_some() {
            KeyStatus::Revoked
        } else if self.ends_at().is_some_and(|end| end <= now) {
            KeyStatus::Expired
        } else if self.rotated_to.is_some() {
            KeyStatus::Rotating
        } else {
            KeyStatus::Active
        }
    }
}

impl Tx {
    /// Adds a key.
    pub async fn insert_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        rows_affected!(self, sqlx::query(
            "INSERT INTO api_keys
                 (id, org_id, user_id, workspace_id, name, name_lower, environment, scopes, masked, signing_key,
                  issued_at_seconds, expires_at_seconds, family, rotated_from, created_by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)")
            .bind(int(key.id.get())).bind(int(key.org.get())).bind(int(key.user.get()))
            .bind(key.workspace.map(|id| int(id.get()))).bind(&key.name).bind(key.name.to_lowercase())
            .bind(key.environment.as_str()).bind(bits(key.scopes)).bind(&key.masked).bind(int(key.signing_key.get()))
            .bind(int(key.issued_at.0)).bind(key.expires_at.map(|at| int(at.0))).bind(int(key.family.get()))
            .bind(key.rotated_from.map(|id| int(id.get()))).bind(&key.created_by).bind(int(key.created_at.0)))?;
        Ok(())
    }

    /// The key with this id, whoever it belongs to.
    pub async fn key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let row: Option<ApiKeyRow> = on_db!(self, conn => sqlx::query_as(
            select_keys!("WHERE id = $1"))
            .bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(ApiKey::try_from).transpose()
    }

    /// The key with this id, if it is in reach.
    pub async fn key_in_reach(&mut self, reach: Reach, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let key = self.key(id).await?;
        Ok(key.filter(|key| key.org == reach.org && reach.covers(key.workspace, key.environment)))
    }

    /// Gives a key another name; false if there is no such key.
    pub async fn rename_key(&mut self, id: KeyId, name: &str) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE api_keys SET name = $2, name_lower = $3 WHERE id = $1")
                .bind(int(id.get()))
                .bind(name)
                .bind(name.to_lowercase())
        )?;
        Ok(rows == 1)
    }

    /// Holds the calling key for the rest of the transaction; false if it is dead or in quarantine. Its revocation waits for this
    /// transaction, so nothing that it gives out can commit after its revocation.
    pub async fn hold_key(&mut self, id: KeyId, now: UnixMillis) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET acted_at = $2
             WHERE id = $1 AND revoked_at IS NULL AND quarantine IS NULL
               AND (expires_at_seconds IS NULL OR expires_at_seconds > $3)
               AND (not_after_seconds IS NULL OR not_after_seconds > $3)"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
            .bind(int(now.seconds().0))
        )?;
        Ok(rows == 1)
    }

    /// Claims a key for rotation: from now on it ends at `not_after`. False if it is dead, in quarantine, or was rotated before.
    pub async fn claim_rotation(
        &mut self,
        id: KeyId,
        not_after: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE api_keys SET not_after_seconds = $2
             WHERE id = $1 AND revoked_at IS NULL AND rotated_to IS NULL AND not_after_seconds IS NULL AND quarantine IS NULL
               AND (expires_at_seconds IS NULL OR expires_at_seconds > $3)"
            )
            .bind(int(id.get()))
            .bind(int(not_after.0))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Completes a claimed rotation by naming the successor.
    pub async fn set_successor(&mut self, id: KeyId, successor: KeyId) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE api_keys SET rotated_to = $2 WHERE id = $1 AND rotated_to IS NULL")
                .bind(int(id.get()))
                .bind(int(successor.get()))
        )?;
        Ok(())
    }

    /// How many keys of a line were made by rotation after `since`, and when the oldest of them was.
    pub async fn count_rotations(
        &mut self,
        family: KeyId,
        since: UnixMillis,
    ) -> Result<(u64, Option<UnixMillis>), StoreError> {
        let (count, oldest): (i64, Option<i64>) = on_db!(self, conn => sqlx::query_as(
            "SELECT COUNT(*), MIN(created_at) FROM api_keys
             WHERE family = $1 AND rotated_from IS NOT NULL AND created_at > $2")
            .bind(int(family.get())).bind(int(since.0)).fetch_one(conn).await)?;
        Ok((uint(count, "count")?, millis(oldest)?))
    }

    /// Holds a key for its revocation; false if it was revoked before. What is dated afterwards is not dated before a
    /// change that this transaction had to wait for.
    pub async fn hold_unrevoked(&mut self, id: KeyId) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE api_keys SET acted_at = acted_at WHERE id = $1 AND revoked_at IS NULL")
                .bind(int(id.get()))
        )?;
        Ok(rows == 1)
    }

    /// Holds the first key of a line, dead or alive: whoever revokes the whole line waits here, and nowhere later.
    pub async fn hold_line(&mut self, family: KeyId) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE api_keys SET acted_at = acted_at WHERE id = $1").bind(int(family.get()))
        )?;
        Ok(())
    }

    /// The keys of a line that are not revoked and whose overlap is not over, oldest first. One that can still be rotated
    /// is always among them.
    pub async fn open_line(&mut self, family: KeyId, now: UnixSeconds) -> Result<Vec<KeyId>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM api_keys
             WHERE family = $1 AND revoked_at IS NULL AND (not_after_seconds IS NULL OR not_after_seconds > $2)
             ORDER BY created_at, id")
            .bind(int(family.get())).bind(int(now.0)).fetch_all(conn).await)?;
        ids.into_iter().map(key_id).collect()
    }

    /// The keys that took over from this one, one after the other, as far as they are alive.
    pub async fn live_successors(&mut self, id: KeyId, now: UnixSeconds) -> Result<Vec<KeyId>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "WITH RECURSIVE line (id, place) AS (
                 SELECT rotated_to, 1 FROM api_keys WHERE id = $1
                 UNION ALL
                 SELECT k.rotated_to, line.place + 1 FROM line JOIN api_keys k ON k.id = line.id)
             SELECT k.id FROM line JOIN api_keys k ON k.id = line.id
             WHERE k.revoked_at IS NULL
               AND (k.expires_at_seconds IS NULL OR k.expires_at_seconds > $2)
               AND (k.not_after_seconds IS NULL OR k.not_after_seconds > $2)
             ORDER BY line.place")
            .bind(int(id.get())).bind(int(now.0)).fetch_all(conn).await)?;
        ids.into_iter().map(key_id).collect()
    }

    /// The key of a line whose revocation reaches the edge last: one that waits for its frame, or the one in the latest
    /// frame. Among committed rows the frames follow the numbers, so an edge that has this one has them all.
    pub async fn last_revoked_of_line(&mut self, family: KeyId) -> Result<Option<KeyId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT k.id FROM api_keys k JOIN outbox o ON o.id = k.revoke_outbox
             WHERE k.family = $1
             ORDER BY CASE WHEN o.seq IS NULL THEN 0 ELSE 1 END, o.epoch DESC, o.seq DESC, o.id DESC
             LIMIT 1")
            .bind(int(family.get())).fetch_optional(conn).await)?;
        id.map(key_id).transpose()
    }

    /// Revokes everything that a signing key has signed; gives how many keys that were.
    pub async fn revoke_keys_signed_by(
        &mut self,
        signer: SigningKeyId,
        revoked: &Revoked,
    ) -> Result<u64, StoreError> {
        rows_affected!(self, sqlx::query(
            "UPDATE api_keys SET revoked_at = $2, revoked_reason = $3, revoked_by = $4, revoke_outbox = $5
             WHERE signing_key = $1 AND revoked_at IS NULL")
            .bind(int(signer.get())).bind(int(revoked.at.0)).bind(&revoked.reason).bind(&revoked.by).bind(revoked.outbox))
    }

    /// Revokes a key; false if it was revoked before (whose revocation stands).
    pub async fn revoke_key(&mut self, id: KeyId, revoked: &Revoked) -> Result<bool, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "UPDATE api_keys SET revoked_at = $2, revoked_reason = $3, revoked_by = $4, revoke_outbox = $5
             WHERE id = $1 AND revoked_at IS NULL")
            .bind(int(id.get())).bind(int(revoked.at.0)).bind(&revoked.reason).bind(&revoked.by).bind(revoked.outbox))?;
        Ok(rows == 1)
    }
}
