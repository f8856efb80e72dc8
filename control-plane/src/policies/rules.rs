//! Who may do what with the route policy, in one place.

use shared::scope::ADMIN;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::orgs;
use crate::store::Tx;
use crate::store::orgs::Role;

/// The longest reason.
const MAX_REASON: usize = 500;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// They belong to the operator's organisation: they see origins and the history.
    pub operator: bool,
    /// They may change the policy, if it is changed here at all.
    pub administers: bool,
    /// A file is the policy.
    pub managed_by_file: bool,
}

impl Access {
    /// Whether a change by them would be taken.
    pub fn may_change(self) -> bool {
        self.administers && !self.managed_by_file
    }
}

/// What this caller may do.
pub async fn access(tx: &mut Tx, app: &App, caller: &Caller) -> Result<Access, ApiError> {
    let operator = orgs::is_operator(tx, caller.org).await?;
    // A key for one workspace, or for tests, does not decide what all others may do.
    let widest = app.config.environments.iter().min();
    let whole = caller.workspace.is_none() && widest.is_none_or(|widest| caller.environment <= *widest);
    let admin = app.catalogue().parse([ADMIN]).map_err(ApiError::internal)?;
    let scopes = app.catalogue().satisfies(caller.scopes, admin);
    let role = matches!(caller.role, Role::Owner | Role::Admin);
    Ok(Access {
        operator,
        administers: operator && whole && scopes && role,
        managed_by_file: app.config.policy_file.is_some(),
    })
}

/// Whoever may see drafts beside what is in force.
pub(super) fn must_administer(access: Access) -> Result<(), ApiError> {
    if access.administers {
        return Ok(());
    }
    let detail = "the route policy is the whole installation's: it takes an owner or admin of the operator's organisation, \
                  with the scope `admin` for all workspaces, in the widest environment";
    Err(ApiError::new(Code::ExceedsCaller, detail))
}

/// Whoever may change what is in force.
pub(super) fn must_change(access: Access) -> Result<(), ApiError> {
    must_administer(access)?;
    if access.managed_by_file {
        let detail =
            "the policy is the file that `policy_file` names: change that, and start the server again";
        return Err(ApiError::new(Code::ManagedByFile, detail));
    }
    Ok(())
}

/// Who has changed what and why is the operator's own affair.
pub(super) fn must_operate(access: Access) -> Result<(), ApiError> {
    if access.operator {
        Ok(())
    } else {
        Err(ApiError::not_found("policy version"))
    }
}

/// A sentence, or nothing.
pub(super) fn reason(text: Option<&str>) -> Result<String, ApiError> {
    let remark = crate::text::remark(text.unwrap_or_default(), MAX_REASON);
    remark.map(str::to_owned).ok_or_else(|| {
        let detail = format!("at most {MAX_REASON} characters that can be seen, on one line");
        ApiError::invalid_field("reason", detail)
    })
}
