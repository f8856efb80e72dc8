//! SQL for the installation, organisations, users, memberships and workspaces.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::id::{OrgId, UserId, WorkspaceId};
use shared::time::{UnixMillis, UnixSeconds};

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// What a member may do in the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, and cannot be removed while the last one.
    Owner,
    /// Everything but ownership.
    Admin,
    /// Uses the APIs.
    Member,
    /// Reads.
    Viewer,
}

impl Role {
    /// The text in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Owner, Self::Admin, Self::Member, Self::Viewer];
        all.into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(StoreError::Corrupt("role"))
    }
}

/// A user's place in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// What they may do.
    pub role: Role,
    /// Grows with every change; issuing compares it.
    pub version: u64,
    /// Credentials issued at or before this are dead.
    pub not_before: Option<UnixSeconds>,
    /// Neither the membership is suspended nor the user deactivated.
    pub alive: bool,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    role: String,
    version: i64,
    not_before_seconds: Option<i64>,
    suspended_at: Option<i64>,
    deactivated_at: Option<i64>,
}

impl TryFrom<MembershipRow> for Membership {
    type Error = StoreError;

    fn try_from(row: MembershipRow) -> Result<Self, StoreError> {
        Ok(Self {
            role: row.role.parse()?,
            version: uint(row.version, "membership version")?,
            not_before: seconds(row.not_before_seconds)?,
            alive: row.suspended_at.is_none() && row.deactivated_at.is_none(),
        })
    }
}

/// A user to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// Its id.
    pub id: UserId,
    /// Lower case.
    pub email: &'a str,
    /// What people call them.
    pub name: &'a str,
    /// An argon2id PHC string.
    pub password_hash: Option<&'a str>,
}

/// Whose issue is being dated: the rows whose `not_before` applies to the credential.
#[derive(Clone, Copy, Debug)]
pub struct IssueSubjects {
    /// Always.
    pub org: OrgId,
    /// A credential for one workspace.
    pub workspace: Option<WorkspaceId>,
    /// A credential that acts for a person.
    pub user: Option<UserId>,
}

pub(super) fn seconds(stored: Option<i64>) -> Result<Option<UnixSeconds>, StoreError> {
    stored.map(|at| uint(at, "time").map(UnixSeconds)).transpose()
}

pub(super) fn millis(stored: Option<i64>) -> Result<Option<UnixMillis>, StoreError> {
    stored.map(|at| uint(at, "time").map(UnixMillis)).transpose()
}

impl Tx {
    /// Marks this database as set up; false if another start was first.
    pub async fn claim_installation(
        &mut self,
        incarnation: [u8; 16],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(self, sqlx::query(
            "INSERT INTO installation (id, incarnation, created_at) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(incarnation.as_slice()).bind(int(now.0)))?;
        Ok(rows == 1)
    }

    /// Which database this is; `None` before the first start.
    pub async fn incarnation(&mut self) -> Result<Option<[u8; 16]>, StoreError> {
        let stored: Option<Vec<u8>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT incarnation FROM installation WHERE id = 1").fetch_optional(conn).await)?;
        stored
            .map(|bytes| bytes.try_into().map_err(|_| StoreError::Corrupt("incarnation")))
            .transpose()
    }

    /// Adds an organisation. What it is issued is dated after the not-before of the whole installation, whose row is held: a
    /// not-before that is set at the same time waits for this transaction, or is seen by it.
    pub async fn insert_org(&mut self, id: OrgId, name: &str, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE installation SET issuer_not_before_seconds = issuer_not_before_seconds WHERE id = 1"
            )
        )?;
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO orgs (id, name, created_at, not_before_seconds)
             VALUES ($1, $2, $3, (SELECT issuer_not_before_seconds FROM installation WHERE id = 1))"
            )
            .bind(int(id.get()))
            .bind(name)
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// The oldest organisation.
    pub async fn first_org(&mut self) -> Result<Option<OrgId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM orgs ORDER BY created_at, id LIMIT 1").fetch_optional(conn).await)?;
        id.map(org_id).transpose()
    }

    /// The owner of an organisation who was there first, if one is active.
    pub async fn first_owner(&mut self, org: OrgId) -> Result<Option<UserId>, StoreError> {
        let id: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.org_id = $1 AND m.role = 'owner' AND m.suspended_at IS NULL AND u.deactivated_at IS NULL
             ORDER BY m.created_at, m.user_id LIMIT 1")
            .bind(int(org.get())).fetch_optional(conn).await)?;
        id.map(user_id).transpose()
    }

    /// Adds a user. A second one with the same e-mail address is a unique violation.
    pub async fn insert_user(&mut self, user: &NewUser<'_>, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)"
            )
            .bind(int(user.id.get()))
            .bind(user.email)
            .bind(user.name)
            .bind(user.password_hash)
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// The id and password hash of the person with this e-mail address.
    pub async fn user_by_email(
        &mut self,
        email: &str,
    ) -> Result<Option<(UserId, Option<String>)>, StoreError> {
        let row: Option<(i64, Option<String>)> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, password_hash FROM users WHERE email = $1 AND kind = 'person' AND deactivated_at IS NULL")
            .bind(email).fetch_optional(conn).await)?;
        row.map(|(id, hash)| Ok((user_id(id)?, hash))).transpose()
    }

    /// The e-mail address and name of a person who is not deactivated. A program has no address: `None`.
    pub async fn profile(&mut self, user: UserId) -> Result<Option<(String, String)>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT email, name FROM users WHERE id = $1 AND kind = 'person' AND deactivated_at IS NULL")
            .bind(int(user.get())).fetch_optional(conn).await)
    }

    /// Adds a user to an organisation, with what lists order and search by.
    pub async fn insert_membership(
        &mut self,
        org: OrgId,
        user: UserId,
        role: Role,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let stored: Option<(String, String, String)> = on_db!(self, conn => sqlx::query_as(
            "SELECT kind, name, email FROM users WHERE id = $1")
            .bind(int(user.get())).fetch_optional(conn).await)?;
        // Without a user the reference is refused below.
        let (kind, name, email) =
            stored.unwrap_or_else(|| ("person".to_owned(), String::new(), String::new()));
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO memberships (org_id, user_id, role, created_at, kind, search_name, search_email)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(role.as_str())
            .bind(int(now.0))
            .bind(kind)
            .bind(name.to_lowercase())
            .bind(email)
        )?;
        Ok(())
    }

    /// A user's membership, without locking it.
    pub async fn membership(&mut self, org: OrgId, user: UserId) -> Result<Option<Membership>, StoreError> {
        let row: Option<MembershipRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT m.role, m.version, m.not_before_seconds, m.suspended_at, u.deactivated_at
             FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.org_id = $1 AND m.user_id = $2")
            .bind(int(org.get())).bind(int(user.get())).fetch_optional(conn).await)?;
        row.map(Membership::try_from).transpose()
    }

    /// The version of a membership, held for the rest of the transaction; `None` if it is not there or not alive.
    pub async fn hold_membership(&mut self, org: OrgId, user: UserId) -> Result<Option<u64>, StoreError> {
        let version: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE memberships SET version = version
             WHERE org_id = $1 AND user_id = $2 AND suspended_at IS NULL
               AND EXISTS (SELECT 1 FROM users WHERE id = $2 AND deactivated_at IS NULL)
             RETURNING version")
            .bind(int(org.get())).bind(int(user.get())).fetch_optional(conn).await)?;
        version
            .map(|version| uint(version, "membership version"))
            .transpose()
    }

    /// Changes a member's role if nobody else changed the membership since `version`; false if somebody did.
    pub async fn set_role(
        &mut self,
        org: OrgId,
        user: UserId,
        role: Role,
        version: u64,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE memberships SET role = $3, version = version + 1
             WHERE org_id = $1 AND user_id = $2 AND version = $4"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(role.as_str())
            .bind(int(version))
        )?;
        Ok(rows == 1)
    }

    /// Adds a workspace. A second one with the same name in the organisation is a unique violation.
    pub async fn insert_workspace(
        &mut self,
        id: WorkspaceId,
        org: OrgId,
        name: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("INSERT INTO workspaces (id, org_id, name, created_at) VALUES ($1, $2, $3, $4)")
                .bind(int(id.get()))
                .bind(int(org.get()))
                .bind(name)
                .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Whether the organisation has this workspace and it is not archived.
    pub async fn has_workspace(&mut self, org: OrgId, id: WorkspaceId) -> Result<bool, StoreError> {
        let found: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM workspaces WHERE id = $1 AND org_id = $2 AND archived_at IS NULL")
            .bind(int(id.get())).bind(int(org.get())).fetch_one(conn).await)?;
        Ok(found == 1)
    }

    /// The newest of the `not_before`s that apply to a credential of these subjects.
    pub async fn not_before(&mut self, subjects: IssueSubjects) -> Result<Option<UnixSeconds>, StoreError> {
        let times: Vec<Option<i64>> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT not_before_seconds FROM orgs WHERE id = $1
             UNION ALL SELECT not_before_seconds FROM workspaces WHERE id = $2
             UNION ALL SELECT not_before_seconds FROM memberships WHERE org_id = $1 AND user_id = $3")
            .bind(int(subjects.org.get())).bind(subjects.workspace.map(|id| int(id.get())))
            .bind(subjects.user.map(|id| int(id.get())))
            .fetch_all(conn).await)?;
        seconds(times.into_iter().flatten().max())
    }

    /// Dates an issue: now, or one second past the newest `not_before` that applies; and remembers it on every row, so that
    /// a later `not_before` starts past it.
    ///
    /// The rows are locked by writing them before they are judged: a `not_before` that is set at the same time waits for
    /// this transaction, or is seen by it.
    pub async fn issue_time(
        &mut self,
        subjects: IssueSubjects,
        now: UnixSeconds,
    ) -> Result<UnixSeconds, StoreError> {
        self.touch_last_iat(subjects, now).await?;
        let floor = self
            .not_before(subjects)
            .await?
            .map_or(UnixSeconds(0), |at| at.saturating_add(1));
        if floor <= now {
            return Ok(now);
        }
        self.touch_last_iat(subjects, floor).await?;
        Ok(floor)
    }

    async fn touch_last_iat(&mut self, subjects: IssueSubjects, iat: UnixSeconds) -> Result<(), StoreError> {
        let (org, iat) = (int(subjects.org.get()), int(iat.0));
        rows_affected!(self, sqlx::query(
            "UPDATE orgs SET last_iat_seconds = CASE WHEN last_iat_seconds > $2 THEN last_iat_seconds ELSE $2 END
             WHERE id = $1")
            .bind(org).bind(iat))?;
        if let Some(workspace) = subjects.workspace {
            rows_affected!(self, sqlx::query(
                "UPDATE workspaces SET last_iat_seconds = CASE WHEN last_iat_seconds > $2 THEN last_iat_seconds ELSE $2 END
                 WHERE id = $1")
                .bind(int(workspace.get())).bind(iat))?;
        }
        if let Some(user) = subjects.user {
            rows_affected!(self, sqlx::query(
                "UPDATE memberships SET last_iat_seconds = CASE WHEN last_iat_seconds > $3 THEN last_iat_seconds ELSE $3 END
                 WHERE org_id = $1 AND user_id = $2")
                .bind(org).bind(int(user.get())).bind(iat))?;
        }
        Ok(())
    }

    /// Kills every credential of a member that was issued until now, and gives the time T that the edge must know:
    /// `max(now, last_iat)`, so that a skewed instance's issue is dead too.
    pub async fn set_member_not_before(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        let at: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE memberships
             SET version = version + 1,
                 not_before_seconds = CASE
                     WHEN last_iat_seconds >= $3 AND last_iat_seconds >= COALESCE(not_before_seconds, 0) THEN last_iat_seconds
                     WHEN COALESCE(not_before_seconds, 0) >= $3 THEN not_before_seconds
                     ELSE $3 END
             WHERE org_id = $1 AND user_id = $2
             RETURNING not_before_seconds")
            .bind(int(org.get())).bind(int(user.get())).bind(int(now.0)).fetch_optional(conn).await)?;
        seconds(at)
    }
}

pub(super) fn org_id(stored: i64) -> Result<OrgId, StoreError> {
    OrgId::from_u64(uint(stored, "org id")?).ok_or(StoreError::Corrupt("org id"))
}

pub(super) fn user_id(stored: i64) -> Result<UserId, StoreError> {
    UserId::from_u64(uint(stored, "user id")?).ok_or(StoreError::Corrupt("user id"))
}

pub(super) fn workspace_id(stored: i64) -> Result<WorkspaceId, StoreError> {
    WorkspaceId::from_u64(uint(stored, "workspace id")?).ok_or(StoreError::Corrupt("workspace id"))
}
