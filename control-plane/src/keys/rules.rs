//! What may be asked for, and by whom: pure functions.

use shared::id::WorkspaceId;
use shared::key::Environment;
use shared::policy::Policy;
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::format_rfc3339;
use crate::text::{self, MAX_NAME};

/// The furthest expiry: beyond it, "never" is meant.
const MAX_LIFETIME_SECONDS: u64 = 100 * 366 * 86_400;
/// The longest overlap of a rotation.
pub(super) const MAX_OVERLAP_SECONDS: u64 = 30 * 86_400;

/// What is being given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) environment: Environment,
    pub(super) scopes: ScopeSet,
    pub(super) expires_at: Option<UnixSeconds>,
}

/// A name that a list can show.
pub(super) fn name(text: &str) -> Result<String, ApiError> {
    let detail = || format!("a name has 1 to {MAX_NAME} characters, all of which can be seen");
    text::name(text)
        .map(str::to_owned)
        .ok_or_else(|| ApiError::invalid_field("name", detail()))
}

/// The scopes that a preset or a list names; exactly one of the two.
pub fn scopes(preset: Option<&str>, list: Option<&[String]>, policy: &Policy) -> Result<ScopeSet, ApiError> {
    let (field, names) = match (preset, list) {
        (Some(preset), None) => {
            let known = || {
                policy
                    .presets
                    .keys()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let names = policy.presets.get(preset).ok_or_else(|| {
                let detail = format!(
                    "there is no such preset; use one of {}, or list `scopes`",
                    known()
                );
                ApiError::invalid_field("scope", detail)
            })?;
            ("scope", names.as_slice())
        }
        (None, Some(names)) => ("scopes", names),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_field(
                "scopes",
                "give either `scope` or `scopes`, not both",
            ));
        }
        (None, None) => {
            let detail = "give `scope` (a preset such as `read`) or `scopes` (a list)";
            return Err(ApiError::new(Code::MissingField, detail).field("scope"));
        }
    };
    let set = policy.scopes.parse(names).map_err(|unknown| {
        let known = policy.scopes.all().join(", ");
        ApiError::invalid_field(field, format!("{unknown}; this deployment has {known}"))
    })?;
    if set.is_empty() {
        return Err(ApiError::invalid_field(field, "a key needs at least one scope"));
    }
    Ok(set)
}

/// An expiry in the future, within reason.
pub(super) fn expiry(at: Option<UnixSeconds>, now: UnixSeconds) -> Result<Option<UnixSeconds>, ApiError> {
    match at {
        Some(at) if at <= now => Err(ApiError::invalid_field("expires_at", "must be in the future")),
        Some(at) if at > now.saturating_add(MAX_LIFETIME_SECONDS) => Err(ApiError::invalid_field(
            "expires_at",
            "must be within 100 years; leave it out for a key without end",
        )),
        at => Ok(at),
    }
}

/// A caller can never give a key more than it has itself. Scopes are compared with the hierarchy expanded on the caller's
/// side only: to give `admin` away one must have it.
pub(super) fn may_grant(caller: &Caller, grant: &Grant) -> Result<(), ApiError> {
    let exceeds = |field: &str, detail: String| Err(ApiError::new(Code::ExceedsCaller, detail).field(field));
    if !caller.scopes.contains(grant.scopes) {
        return exceeds(
            "scopes",
            "the key would have scopes that the caller does not have".to_owned(),
        );
    }
    if caller.workspace.is_some() && caller.workspace != grant.workspace {
        let own = caller.workspace.map(|id| id.to_string()).unwrap_or_default();
        return exceeds(
            "workspace",
            format!("the caller is limited to the workspace {own}"),
        );
    }
    if caller.environment > grant.environment {
        return exceeds(
            "environment",
            format!(
                "a {} key can not make a {} key",
                caller.environment, grant.environment
            ),
        );
    }
    match (caller.ends_at, grant.expires_at) {
        (None, _) => Ok(()),
        (Some(own), Some(wanted)) if wanted <= own => Ok(()),
        (Some(own), _) => {
            let own = format_rfc3339(own.millis());
            exceeds(
                "expires_at",
                format!("the caller itself ends at {own}: give `expires_at` no later than that"),
            )
        }
    }
}

/// How long the old key lives on.
pub(super) fn overlap(seconds: u64) -> Result<u64, ApiError> {
    if seconds > MAX_OVERLAP_SECONDS {
        let detail = format!("must be from 0 to {MAX_OVERLAP_SECONDS} (30 days)");
        return Err(ApiError::invalid_field("overlap_seconds", detail));
    }
    Ok(seconds)
}
