//! The canary: a credential without rights, which the control plane revokes and probes to measure how long that takes.
//!
//! It is an API key of an organisation that does not exist, with the highest number an organisation can have. The gate
//! refuses it everywhere but at the canary's own endpoint, where a region says whether its state lets it live.

use shared::id::{LIMIT, OrgId};
use shared::policy::Captures;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use super::{Credential, Statement, Validator};

/// Whether this is the organisation of canaries.
pub(crate) fn is_canary(org: OrgId) -> bool {
    org.get() == LIMIT.saturating_sub(1)
}

impl Validator<'_> {
    /// Whose canary an Authorization header shows: form and signature. Not whether it lives.
    pub fn canary_statement(&self, authorization: Option<&str>) -> Result<Statement, Reason> {
        let credential = Credential::from_authorization(authorization)?;
        let Credential::ApiKey(_) = credential else {
            return Err(Reason::AudienceRefused);
        };
        let statement = self.verify(&credential)?;
        if is_canary(statement.org) {
            Ok(statement)
        } else {
            Err(Reason::AudienceRefused)
        }
    }

    /// The same for one that lives by this state.
    pub fn canary(&self, authorization: Option<&str>, now: UnixSeconds) -> Result<Statement, Reason> {
        let statement = self.canary_statement(authorization)?;
        self.check_standing(&statement, Captures::default())?;
        self.check_times(&statement, now)?;
        Ok(statement)
    }
}
