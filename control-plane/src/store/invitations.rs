//! SQL for invitations into an organisation.

use shared::id::{InvitationId, OrgId, UserId};
use shared::time::UnixMillis;

use super::orgs::{Role, millis, org_id, user_id};
use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// An invitation. Of its link only the digest is stored, and that is not read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Into which organisation.
    pub org: OrgId,
    /// Whom: lower case.
    pub email: String,
    /// As what.
    pub role: Role,
    /// By whom.
    pub invited_by: UserId,
    /// When.
    pub created_at: UnixMillis,
    /// Until when it can be accepted.
    pub expires_at: UnixMillis,
    /// When it was accepted.
    pub accepted_at: Option<UnixMillis>,
    /// When it was taken back.
    pub revoked_at: Option<UnixMillis>,
}

/// Where an invitation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationStatus {
    /// Can be accepted.
    Pending,
    /// Was.
    Accepted,
    /// Was taken back.
    Revoked,
    /// Ran out.
    Expired,
}

impl Invitation {
    /// Where it is in its life.
    pub fn status(&self, now: UnixMillis) -> InvitationStatus {
        if self.accepted_at.is_some() {
            InvitationStatus::Accepted
        } else if self.revoked_at.is_some() {
            InvitationStatus::Revoked
        } else if self.expires_at <= now {
            InvitationStatus::Expired
        } else {
            InvitationStatus::Pending
        }
    }
}

#[derive(sqlx::FromRow)]
struct Stored {
    id: i64,
    org_id: i64,
    email: String,
    role: String,
    invited_by: i64,
    created_at: i64,
    expires_at: i64,
    accepted_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<Stored> for Invitation {
    type Error = StoreError;

    fn try_from(row: Stored) -> Result<Self, StoreError> {
        let id = uint(row.id, "invitation id")?;
        Ok(Self {
            id: InvitationId::from_u64(id).ok_or(StoreError::Corrupt("invitation id"))?,
            org: org_id(row.org_id)?,
            email: row.email,
            role: row.role.parse()?,
            invited_by: user_id(row.invited_by)?,
            created_at: UnixMillis(uint(row.created_at, "time")?),
            expires_at: UnixMillis(uint(row.expires_at, "time")?),
            accepted_at: millis(row.accepted_at)?,
            revoked_at: millis(row.revoked_at)?,
        })
    }
}

impl Tx {
    /// Adds an invitation.
    pub async fn insert_invitation(
        &mut self,
        invitation: &Invitation,
        digest: &[u8; 32],
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO invitations (id, digest, org_id, email, role, invited_by, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            )
            .bind(int(invitation.id.get()))
            .bind(digest.as_slice())
            .bind(int(invitation.org.get()))
            .bind(&invitation.email)
            .bind(invitation.role.as_str())
            .bind(int(invitation.invited_by.get()))
            .bind(int(invitation.created_at.0))
            .bind(int(invitation.expires_at.0))
        )?;
        Ok(())
    }

    /// The invitation behind a link, if it can still be accepted.
    pub async fn invitation_by_digest(
        &mut self,
        digest: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<Invitation>, StoreError> {
        let row: Option<Stored> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
             FROM invitations
             WHERE digest = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2")
            .bind(digest.as_slice()).bind(int(now.0)).fetch_optional(conn).await)?;
        row.map(Invitation::try_from).transpose()
    }

    /// An organisation's invitation.
    pub async fn invitation(
        &mut self,
        org: OrgId,
        id: InvitationId,
    ) -> Result<Option<Invitation>, StoreError> {
        let row: Option<Stored> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
             FROM invitations WHERE org_id = $1 AND id = $2")
            .bind(int(org.get())).bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Invitation::try_from).transpose()
    }

    /// An organisation's invitations, newest first.
    pub async fn invitations_of(
        &mut self,
        org: OrgId,
        before: Option<(UnixMillis, InvitationId)>,
        limit: u32,
    ) -> Result<Vec<Invitation>, StoreError> {
        let (at, id) = before.map_or((i64::MAX, i64::MAX), |(at, id)| (int(at.0), int(id.get())));
        let rows: Vec<Stored> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
             FROM invitations WHERE org_id = $1 AND (created_at, id) < ($2, $3)
             ORDER BY created_at DESC, id DESC LIMIT $4")
            .bind(int(org.get())).bind(at).bind(id).bind(i64::from(limit)).fetch_all(conn).await)?;
        rows.into_iter().map(Invitation::try_from).collect()
    }

    /// An organisation's invitations that can still be accepted, newest first, older than one of them.
    pub async fn pending_invitations(
        &mut self,
        org: OrgId,
        before: Option<(UnixMillis, InvitationId)>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Invitation>, StoreError> {
        let (at, id) = before.map_or((i64::MAX, i64::MAX), |(at, id)| (int(at.0), int(id.get())));
        let rows: Vec<Stored> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
             FROM invitations
             WHERE org_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2
               AND (created_at, id) < ($3, $4)
             ORDER BY created_at DESC, id DESC LIMIT $5")
            .bind(int(org.get())).bind(int(now.0)).bind(at).bind(id).bind(i64::from(limit)).fetch_all(conn).await)?;
        rows.into_iter().map(Invitation::try_from).collect()
    }

    /// Accepts an invitation; false if it was accepted, taken back, or ran out.
    pub async fn accept_invitation(
        &mut self,
        id: InvitationId,
        by: UserId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE invitations SET accepted_at = $2, accepted_by = $3
                 WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
            .bind(int(by.get()))
        )?;
        Ok(rows == 1)
    }

    /// Takes an invitation back; false if it was accepted or taken back before.
    pub async fn revoke_invitation(
        &mut self,
        org: OrgId,
        id: InvitationId,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE invitations SET revoked_at = $3
                 WHERE org_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(int(id.get()))
            .bind(int(now.0))
        )?;
        Ok(rows == 1)
    }

    /// Takes back what an organisation sent to an address before.
    pub async fn revoke_invitations_to(
        &mut self,
        org: OrgId,
        email: &str,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE invitations SET revoked_at = $3
                 WHERE org_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL"
            )
            .bind(int(org.get()))
            .bind(email)
            .bind(int(now.0))
        )
    }

    /// Forgets invitations that ran out before `before`, accepted or not, and gives their number.
    pub async fn forget_invitations(&mut self, before: UnixMillis) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query("DELETE FROM invitations WHERE expires_at < $1").bind(int(before.0))
        )
    }
}
