//! Who may administer an organisation, and with which credential.

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::store::orgs::Role;

/// What concerns every workspace and environment needs a credential that reaches them all.
pub(crate) fn must_reach_everything(app: &App, caller: &Caller) -> Result<(), ApiError> {
    let exceeds = |detail: &str| Err(ApiError::new(Code::ExceedsCaller, detail));
    if caller.workspace.is_some() {
        return exceeds("this concerns the whole organisation, and the credential is for one workspace");
    }
    let environments = &app.config.environments;
    if environments
        .iter()
        .any(|environment| *environment < caller.environment)
    {
        return exceeds("this concerns every environment, and the credential is for a lesser one");
    }
    Ok(())
}

/// The same, of an owner or an admin.
pub(crate) fn must_administer(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if matches!(caller.role, Role::Owner | Role::Admin) {
        return must_reach_everything(app, caller);
    }
    let detail = "only owners and admins of the organisation do this";
    Err(ApiError::new(Code::ExceedsCaller, detail))
}
