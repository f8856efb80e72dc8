//! Who may invite whom as what; invitations made, listed and taken back. The API and the dashboard call these (I11).
//!
//! Owners invite anybody, admins anybody but owners, others nobody. It is judged twice: when the invitation is made and,
//! because whoever made it may have lost their place since, when it is accepted.

use serde_json::json;
use shared::id::{InvitationId, LIMIT, OrgId, UserId};
use shared::time::UnixMillis;

use super::{fields, link};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::{self, Idempotency};
use crate::http::paging;
use crate::keys::{confirm_rights, hold_caller};
use crate::mail::{self, Letter, limits};
use crate::store::invitations::{Invitation, InvitationStatus};
use crate::store::orgs::Role;
use crate::store::{StoreError, Tx};

const LINK_MS: u64 = 7 * 24 * 3600 * 1000;
/// The operation's name in the idempotency table.
const OPERATION: &str = "invitation.create";

/// Whether somebody with one role may give another: never more than they have.
pub(super) fn may_give(own: Role, wanted: Role) -> bool {
    match own {
        Role::Owner => true,
        Role::Admin => wanted != Role::Owner,
        Role::Member | Role::Viewer => false,
    }
}

/// A member's role as it is now, held for the rest of the transaction; `None` if they are no member any more.
pub(super) async fn hold_role(tx: &mut Tx, org: OrgId, user: UserId) -> Result<Option<Role>, StoreError> {
    if tx.hold_membership(org, user).await?.is_none() {
        return Ok(None);
    }
    Ok(tx.membership(org, user).await?.map(|membership| membership.role))
}

/// Invites an address. One that was invited before by the same organisation gets a new link; the old one is dead. Whoever is
/// invited outlives the credential that asked, so it must be alive when this is written.
pub async fn invite(
    app: &App,
    caller: &Caller,
    (email, role): (&str, Role),
    idempotency: Option<Idempotency>,
) -> Result<Invitation, ApiError> {
    mail::require_for_api(app)?;
    let email = fields::email(email)
        .ok_or_else(|| ApiError::invalid_field("email", "this is not an e-mail address"))?;
    let now = app.clock.now();
    let secret = link::draw(app).map_err(ApiError::internal)?;
    let id = app.random.below(LIMIT).map_err(ApiError::internal)?;
    let invitation = Invitation {
        id: InvitationId::from_u64(id).ok_or(StoreError::Corrupt("invitation id"))?,
        org: caller.org,
        email,
        role,
        invited_by: caller.user,
        created_at: now,
        expires_at: now.saturating_add(LINK_MS),
        accepted_at: None,
        revoked_at: None,
    };
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    let who = (caller.org, caller.user);
    let number = invitation.id.get();
    if let Some(before) = idempotency::claim(&mut tx, who, OPERATION, idempotency, number, now).await? {
        let id = InvitationId::from_u64(before).ok_or(StoreError::Corrupt("invitation id"))?;
        let made = tx.invitation(caller.org, id).await?;
        return made.ok_or_else(|| ApiError::not_found("invitation"));
    }
    limits::charge_org(&mut tx, app, caller.org, now).await?;
    confirm_rights(&mut tx, caller).await?;
    if !may_give(caller.role, role) {
        let detail = format!(
            "a member with your role can not invite somebody as {}",
            role.as_str()
        );
        return Err(ApiError::new(Code::ExceedsCaller, detail).field("role"));
    }
    if is_member(&mut tx, caller.org, &invitation.email).await? {
        let detail = "this address already belongs to a member of the organisation";
        return Err(ApiError::invalid_field("email", detail));
    }
    limits::charge_invited(&mut tx, app, &invitation.email, now).await?;
    tx.revoke_invitations_to(caller.org, &invitation.email, now)
        .await?;
    tx.insert_invitation(&invitation, &secret.digest()).await?;
    let org = tx.org_name(caller.org).await?.unwrap_or_default();
    let profile = tx.profile(caller.user).await?;
    // A program invites in the name of its organisation.
    let name = profile.map_or_else(|| org.clone(), |(email, name)| format!("{name} ({email})"));
    let link = mail::link(app, "/invitation", &secret).map_err(ApiError::internal)?;
    let letter = Letter::invitation(&org, &name, role.as_str(), &link, invitation.expires_at);
    mail::queue(&mut tx, app, Some(&invitation.email), letter, now)
        .await
        .map_err(ApiError::internal)?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "invitation.create",
        target: invitation.id.to_string(),
        detail: json!({"email": invitation.email, "role": role}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(invitation)
}

async fn is_member(tx: &mut Tx, org: OrgId, email: &str) -> Result<bool, StoreError> {
    let Some((user, _)) = tx.user_by_email(email).await? else {
        return Ok(false);
    };
    Ok(tx.membership(org, user).await?.is_some())
}

/// A page of the organisation's invitations that are remembered, newest first, and the cursor of the next one.
pub async fn list(
    app: &App,
    org: OrgId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<Invitation>, Option<String>), ApiError> {
    let before = paging::place::<(UnixMillis, InvitationId)>(cursor)?;
    let mut tx = app.store.begin_read().await?;
    let mut rows = tx.invitations_of(org, before, limit.saturating_add(1)).await?;
    let next = paging::next(&mut rows, limit, |last| (last.created_at, last.id));
    Ok((rows, next))
}

/// A page of the invitations that can still be accepted, newest first, and the cursor of the next one.
pub async fn list_pending(
    app: &App,
    org: OrgId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<Invitation>, Option<String>), ApiError> {
    let before = paging::place::<(UnixMillis, InvitationId)>(cursor)?;
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let mut rows = tx
        .pending_invitations(org, before, limit.saturating_add(1), now)
        .await?;
    let next = paging::next(&mut rows, limit, |last| (last.created_at, last.id));
    Ok((rows, next))
}

/// Sends an invitation once more, in the name of whoever asks: a new link for so long again; the old one is dead.
pub async fn resend(app: &App, caller: &Caller, id: InvitationId) -> Result<Invitation, ApiError> {
    let found = app.store.begin_read().await?.invitation(caller.org, id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("invitation"))?;
    match found.status(app.clock.now()) {
        InvitationStatus::Accepted => Err(ApiError::new(
            Code::InvitationAccepted,
            "the invitation was accepted: whoever it was for is a member now",
        )),
        InvitationStatus::Revoked => Err(ApiError::not_found("invitation")),
        InvitationStatus::Pending | InvitationStatus::Expired => {
            invite(app, caller, (&found.email, found.role), None).await
        }
    }
}

/// Takes an invitation back. A second time it is the same answer.
pub async fn revoke(app: &App, caller: &Caller, id: InvitationId) -> Result<Invitation, ApiError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    confirm_rights(&mut tx, caller).await?;
    if !may_give(caller.role, Role::Viewer) {
        let detail = "only owners and admins take invitations back";
        return Err(ApiError::new(Code::ExceedsCaller, detail));
    }
    let revoked = tx.revoke_invitation(caller.org, id, now).await?;
    let invitation = tx.invitation(caller.org, id).await?;
    let invitation = invitation.ok_or_else(|| ApiError::not_found("invitation"))?;
    if !revoked {
        return match invitation.status(now) {
            InvitationStatus::Accepted => Err(ApiError::new(
                Code::InvitationAccepted,
                "the invitation was accepted: whoever it was for is a member now",
            )),
            _ => Ok(invitation),
        };
    }
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "invitation.revoke",
        target: id.to_string(),
        detail: json!({"email": invitation.email}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(invitation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gives_more_than_they_have() {
        let all = [Role::Owner, Role::Admin, Role::Member, Role::Viewer];
        let given = |own| {
            all.into_iter()
                .filter(|role| may_give(own, *role))
                .collect::<Vec<_>>()
        };
        assert_eq!(given(Role::Owner), all);
        assert_eq!(given(Role::Admin), [Role::Admin, Role::Member, Role::Viewer]);
        assert_eq!(given(Role::Member), []);
        assert_eq!(given(Role::Viewer), []);
    }
}
