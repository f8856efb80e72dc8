//! SQL for what administrators do to members: roles, suspension, and the end of all that acts for somebody.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::id::{OrgId, StatusIndex, UserId};
use shared::time::UnixMillis;

use super::keys::Revoked;
use super::orgs::{Role, millis, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// What a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// Somebody with an address, who signs in.
    #[default]
    Person,
    /// A program: it has keys, and never signs in.
    Service,
}

impl MemberKind {
    /// The text in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

impl FromStr for MemberKind {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Person, Self::Service]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(StoreError::Corrupt("kind of a member"))
    }
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// May do what the role allows.
    Active,
    /// May do nothing, for now.
    Suspended,
    /// May do nothing, and everything that acted for them was ended.
    Deactivated,
}

impl MemberState {
    /// The text in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A member as administrators see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// A person or a program.
    pub kind: MemberKind,
    /// Their address; empty for a program.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// The same in lower case, as lists are ordered by it.
    pub search_name: String,
    /// What they may do while they are active.
    pub role: Role,
    /// Where they stand.
    pub state: MemberState,
    /// Grows with every change.
    pub version: u64,
    /// The version that the edge was told last, if it was told any.
    pub ceiling_version: Option<u64>,
    /// When an administrator changed something last.
    pub changed_at: Option<UnixMillis>,
    /// When they joined.
    pub created_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    user_id: i64,
    kind: String,
    email: String,
    name: String,
    search_name: String,
    role: String,
    version: i64,
    ceiling_version: Option<i64>,
    changed_at: Option<i64>,
    created_at: i64,
    suspended_at: Option<i64>,
    deactivated_at: Option<i64>,
    account_deactivated_at: Option<i64>,
}

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, StoreError> {
        let state = if row.deactivated_at.is_some() || row.account_deactivated_at.is_some() {
            MemberState::Deactivated
        } else if row.suspended_at.is_some() {
            MemberState::Suspended
        } else {
            MemberState::Active
        };
        let kind: MemberKind = row.kind.parse()?;
        Ok(Self {
            user: user_id(row.user_id)?,
            kind,
            email: match kind {
                MemberKind::Person => row.email,
                MemberKind::Service => String::new(),
            },
            name: row.name,
            search_name: row.search_name,
            role: row.role.parse()?,
            state,
            version: uint(row.version, "membership version")?,
            ceiling_version: row
                .ceiling_version
                .map(|version| uint(version, "ceiling version"))
                .transpose()?,
            changed_at: millis(row.changed_at)?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
        })
    }
}

/// What a list of members shows.
#[derive(Clone, Debug)]
pub struct MemberFilter {
    /// Of which organisation.
    pub org: OrgId,
    /// People or programs.
    pub kind: MemberKind,
    /// With this role.
    pub role: Option<Role>,
    /// In this state.
    pub state: Option<MemberState>,
    /// How the name begins, or the address: lower case.
    pub begins_with: String,
    /// By address, not by name.
    pub by_email: bool,
    /// After this one: the text that the list is ordered by, in lower case, and the id.
    pub after: Option<(String, UserId)>,
    /// At most so many.
    pub limit: u32,
}

/// Members: the query with this ending.
macro_rules! member {
    ($($ending:tt)*) => {
        concat!(
            "SELECT m.user_id, u.kind, u.email, u.name, m.search_name, m.role, m.version, m.ceiling_version, m.changed_at, m.created_at,
                    m.suspended_at, m.deactivated_at, u.deactivated_at AS account_deactivated_at
             FROM memberships m JOIN users u ON u.id = m.user_id ",
            $($ending)*
        )
    };
}

/// A page of members in the order of a column. Where a state is asked for, it stands between two pieces of the filter, written
/// as the indexes have it.
macro_rules! list {
    ($order:literal, $filter:literal, $after_state:literal) => {
        member!(
            "WHERE m.org_id = $1 AND m.kind = $2 AND (",
            $order,
            ", m.user_id) > ($3, $4) AND ",
            $order,
            " < $5 ",
            $filter,
            "(CASE WHEN m.deactivated_at IS NOT NULL THEN 'deactivated'
                   WHEN m.suspended_at IS NOT NULL THEN 'suspended' ELSE 'active' END)",
            $after_state,
            " ORDER BY ",
            $order,
            ", m.user_id LIMIT $6"
        )
    };
    ($order:literal, $filter:literal) => {
        member!(
            "WHERE m.org_id = $1 AND m.kind = $2 AND (",
            $order,
            ", m.user_id) > ($3, $4) AND ",
            $order,
            " < $5 ",
            $filter,
            " ORDER BY ",
            $order,
            ", m.user_id LIMIT $6"
        )
    };
}

impl Tx {
    /// Holds an organisation for the rest of the transaction: changes of its members come one after the other, and nothing is
    /// issued in it meanwhile.
    pub async fn hold_org(&mut self, org: OrgId) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE orgs SET last_iat_seconds = last_iat_seconds WHERE id = $1")
                .bind(int(org.get()))
        )?;
        Ok(())
    }

    /// One member.
    pub async fn member(&mut self, org: OrgId, user: UserId) -> Result<Option<Member>, StoreError> {
        let row: Option<MemberRow> = on_db!(self, conn => sqlx::query_as(
            member!("WHERE m.org_id = $1 AND m.user_id = $2"))
            .bind(int(org.get())).bind(int(user.get())).fetch_optional(conn).await)?;
        row.map(Member::try_from).transpose()
    }

    /// Members of one kind in the order of their names, or of their addresses if that is what is searched.
    pub async fn members(&mut self, filter: &MemberFilter) -> Result<Vec<Member>, StoreError> {
        let text = match (&filter.by_email, filter.role, filter.state) {
            (true, _, _) => list!(
                "m.search_email",
                "AND ($7 IS NULL OR m.role = $7) AND ($8 IS NULL OR $8 = ",
                ")"
            ),
            (false, None, None) => list!("m.search_name", "AND $7 IS NULL AND $8 IS NULL"),
            (false, Some(_), None) => list!("m.search_name", "AND m.role = $7 AND $8 IS NULL"),
            (false, None, Some(_)) => list!("m.search_name", "AND $7 IS NULL AND $8 = ", ""),
            (false, Some(_), Some(_)) => list!("m.search_name", "AND m.role = $7 AND $8 = ", ""),
        };
        let (after, after_id) = filter
            .after
            .as_ref()
            .map_or((filter.begins_with.as_str(), -1), |(text, user)| {
                (text.as_str(), int(user.get()))
            });
        let rows: Vec<MemberRow> = on_db!(self, conn => sqlx::query_as(text)
            .bind(int(filter.org.get())).bind(filter.kind.as_str()).bind(after).bind(after_id)
            .bind(format!("{}{}", filter.begins_with, char::MAX)).bind(i64::from(filter.limit))
            .bind(filter.role.map(Role::as_str)).bind(filter.state.map(MemberState::as_str))
            .fetch_all(conn).await)?;
        rows.into_iter().map(Member::try_from).collect()
    }

    /// Whether somebody else than this user is an active owner.
    pub async fn has_other_owner(&mut self, org: OrgId, user: UserId) -> Result<bool, StoreError> {
        let others: i64 = on_db!(self, conn => sqlx::query_scalar(
            "SELECT COUNT(*) FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.org_id = $1 AND m.user_id <> $2 AND m.role = 'owner' AND m.suspended_at IS NULL
               AND u.deactivated_at IS NULL AND u.kind = 'person'")
            .bind(int(org.get())).bind(int(user.get())).fetch_one(conn).await)?;
        Ok(others > 0)
    }

    /// Gives a member another role and state if nobody changed the membership since `version`, and gives the new version,
    /// under which the edge is to be told.
    pub async fn change_member(
        &mut self,
        (org, user): (OrgId, UserId),
        (role, state): (Role, MemberState),
        version: u64,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let now = int(now.0);
        let suspended_at = (state != MemberState::Active).then_some(now);
        let deactivated_at = (state == MemberState::Deactivated).then_some(now);
        let version: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE memberships
             SET role = $3, version = version + 1, ceiling_version = version + 1, changed_at = $4,
                 suspended_at = CASE WHEN $5 IS NULL THEN NULL ELSE COALESCE(suspended_at, $5) END,
                 deactivated_at = CASE WHEN $6 IS NULL THEN NULL ELSE COALESCE(deactivated_at, $6) END
             WHERE org_id = $1 AND user_id = $2 AND version = $7
             RETURNING version")
            .bind(int(org.get())).bind(int(user.get())).bind(role.as_str()).bind(now)
            .bind(suspended_at).bind(deactivated_at).bind(int(version))
            .fetch_optional(conn).await)?;
        version
            .map(|version| uint(version, "membership version"))
            .transpose()
    }

    /// Takes over a restriction that an edge knows: this role, perhaps suspended, under the edge's version. Nothing happens
    /// if the membership is newer.
    pub async fn restrict_member(
        &mut self,
        (org, user): (OrgId, UserId),
        role: Role,
        suspended_at: Option<UnixMillis>,
        version: u64,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE memberships SET role = $3, suspended_at = COALESCE(suspended_at, $4), version = $5
             WHERE org_id = $1 AND user_id = $2 AND version <= $5"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(role.as_str())
            .bind(suspended_at.map(|at| int(at.0)))
            .bind(int(version))
        )
    }

    /// Holds the keys of a member that are not revoked, and gives their status indexes. Before the organisation is held:
    /// whoever issues holds the calling key first.
    pub async fn hold_keys_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
    ) -> Result<Vec<StatusIndex>, StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE api_keys SET acted_at = acted_at WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL
             RETURNING id")
            .bind(int(org.get())).bind(int(user.get())).fetch_all(conn).await)?;
        indexes(ids)
    }

    /// Revokes every key of a member; gives how many those were.
    pub async fn revoke_keys_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
        revoked: &Revoked,
    ) -> Result<u64, StoreError> {
        rows_affected!(self, sqlx::query(
            "UPDATE api_keys SET revoked_at = $3, revoked_reason = $4, revoked_by = $5, revoke_outbox = $6
             WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL")
            .bind(int(org.get())).bind(int(user.get())).bind(int(revoked.at.0)).bind(&revoked.reason)
            .bind(&revoked.by).bind(revoked.outbox))
    }

    /// Ends every grant of a member, and gives how many, and the status indexes of their tokens.
    pub async fn end_grants_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixMillis,
    ) -> Result<(u64, Vec<StatusIndex>), StoreError> {
        let ids: Vec<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
             WHERE g.org_id = $1 AND g.user_id = $2 AND g.revoked_at IS NULL")
            .bind(int(org.get())).bind(int(user.get())).fetch_all(conn).await)?;
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE status_indexes SET revoked_at = $3
             WHERE revoked_at IS NULL AND idx IN (
                 SELECT i.idx FROM grant_indexes i JOIN grants g ON g.id = i.grant_id
                 WHERE g.org_id = $1 AND g.user_id = $2 AND g.revoked_at IS NULL)"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(int(now.0))
        )?;
        let ended = rows_affected!(
            self,
            sqlx::query(
                "UPDATE grants SET revoked_at = $3, revoked_reason = 'affiliation_changed', version = version + 1
             WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(int(now.0))
        )?;
        Ok((ended, indexes(ids)?))
    }

    /// Ends a member's sessions in an organisation; gives how many those were.
    pub async fn end_sessions_of_member(
        &mut self,
        org: OrgId,
        user: UserId,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE sessions SET ended_at = $3 WHERE org_id = $1 AND user_id = $2 AND ended_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(int(user.get()))
            .bind(int(now.0))
        )
    }
}

fn indexes(stored: Vec<i64>) -> Result<Vec<StatusIndex>, StoreError> {
    stored
        .into_iter()
        .map(|index| {
            StatusIndex::from_u64(uint(index, "status index")?).ok_or(StoreError::Corrupt("status index"))
        })
        .collect()
}
