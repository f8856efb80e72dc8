//! Who may revoke what.

use shared::id::UserId;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::store::Tx;
use crate::store::orgs::Role;

/// What reaches every workspace and environment needs a credential that does, of somebody who administers.
pub(super) fn may_administer(app: &App, caller: &Caller) -> Result<(), ApiError> {
    let exceeds = |detail: &str| Err(ApiError::new(Code::ExceedsCaller, detail));
    if !matches!(caller.role, Role::Owner | Role::Admin) {
        return exceeds("only owners and admins revoke more than API keys");
    }
    if caller.workspace.is_some() {
        return exceeds("a credential for one workspace revokes API keys of that workspace only");
    }
    if app
        .config
        .environments
        .iter()
        .any(|environment| *environment < caller.environment)
    {
        return exceeds(
            "a key of a lesser environment revokes API keys of its own and lesser environments only",
        );
    }
    Ok(())
}

/// What takes an owner's credentials, or everybody's, is for owners.
pub(super) fn must_be_owner(caller: &Caller, detail: &str) -> Result<(), ApiError> {
    if caller.role == Role::Owner {
        Ok(())
    } else {
        Err(ApiError::new(Code::ExceedsCaller, detail))
    }
}

/// Only an owner revokes all of an owner. Gives false if there is no such member.
pub(super) async fn may_end_person(tx: &mut Tx, caller: &Caller, user: UserId) -> Result<bool, ApiError> {
    let Some(member) = tx.member(caller.org, user).await? else {
        return Ok(false);
    };
    if member.role == Role::Owner {
        must_be_owner(caller, "only an owner revokes all of an owner")?;
    }
    Ok(true)
}
