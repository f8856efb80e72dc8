//! Who may do what to whom.

use shared::key::Environment;
use shared::scope::ScopeSet;

use super::change::Change;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::orgs;
use crate::store::members::{Member, MemberKind, MemberState};
use crate::store::orgs::Role;

/// The most that a member's credentials can do.
pub(super) fn ceiling(app: &App, role: Role, state: MemberState) -> ScopeSet {
    match state {
        MemberState::Active => orgs::rights(role, &app.policy().policy),
        MemberState::Suspended | MemberState::Deactivated => ScopeSet::EMPTY,
    }
}

/// A change of a member reaches every workspace and environment, so the calling credential must.
pub(super) fn may_administer(caller: &Caller, environments: &[Environment]) -> Result<(), ApiError> {
    let exceeds = |detail: &str| Err(ApiError::new(Code::ExceedsCaller, detail));
    if !matches!(caller.role, Role::Owner | Role::Admin) {
        return exceeds("only owners and admins change members");
    }
    if caller.workspace.is_some() {
        return exceeds("a credential for one workspace cannot change members, who are in all of them");
    }
    if environments
        .iter()
        .any(|environment| *environment < caller.environment)
    {
        return exceeds("a key of a lesser environment cannot change what keys of the others may do");
    }
    Ok(())
}

/// What becomes of a member, if somebody of this role may do that: only owners make, change and shut out owners.
pub(super) fn next(caller: Role, member: &Member, change: Change) -> Result<(Role, MemberState), ApiError> {
    let (role, state) = match (change, member.state) {
        (Change::Role(role), state) => (role, state),
        (Change::Suspend, MemberState::Active) => (member.role, MemberState::Suspended),
        (Change::Suspend, state) => (member.role, state),
        (Change::Resume, _) => (member.role, MemberState::Active),
        (Change::Deactivate, _) => (member.role, MemberState::Deactivated),
    };
    if member.kind == MemberKind::Service && role == Role::Owner {
        let detail = "a service account cannot be an owner: an organisation belongs to people";
        return Err(ApiError::invalid_field("role", detail));
    }
    if caller != Role::Owner && member.role == Role::Owner {
        let detail = "only an owner changes an owner";
        return Err(ApiError::new(Code::ExceedsCaller, detail));
    }
    if caller != Role::Owner && role == Role::Owner {
        let detail = "nobody gives more than they have: only an owner makes an owner";
        return Err(ApiError::new(Code::ExceedsCaller, detail).field("role"));
    }
    Ok((role, state))
}

/// Whether the change takes an active owner away.
pub(super) fn loses_owner(member: &Member, (role, state): (Role, MemberState)) -> bool {
    let is_owner = |role: Role, state: MemberState| role == Role::Owner && state == MemberState::Active;
    is_owner(member.role, member.state) && !is_owner(role, state)
}
