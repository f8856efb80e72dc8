//! The policy as JSON.

use serde::Serialize;
use serde_json::{Value, json};
use shared::policy::{Policy, PolicyError};

use super::change::{Applied, Checked};
use super::diff::Changes;
use super::read::{Current, Shown};
use super::trial::Tried;
use super::warn::Warning;
use crate::error::ApiError;
use crate::http::time::Timestamp;
use crate::revocation::Receipt;
use crate::store::policies::PolicyVersion;

/// The policy in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyInForce)]
pub struct CurrentView {
    /// The version that edges know it under.
    pub version: u64,
    /// `file` or `database`.
    pub managed_by: &'static str,
    /// The caller may change it here.
    pub editable: bool,
    /// Who put it in force, when and why: for the operator's organisation.
    #[serde(flatten)]
    pub applied: Option<VersionView>,
    /// The document.
    #[schema(value_type = Object)]
    pub policy: Policy,
}

/// Who put a version in force, when and why.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyVersion)]
pub struct VersionView {
    /// The version, where it is not told beside it.
    #[serde(rename = "version", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub number: Option<u64>,
    /// Who.
    pub applied_by: String,
    /// When.
    pub applied_at: Timestamp,
    /// Why.
    pub reason: String,
    /// The version that it put in force again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub restored_from: Option<i64>,
}

impl VersionView {
    /// With its number.
    pub fn new(row: &PolicyVersion) -> Result<Self, ApiError> {
        Ok(Self {
            number: Some(row.number()?),
            applied_by: row.applied_by.clone(),
            applied_at: row.at()?.into(),
            reason: row.reason.clone(),
            restored_from: row.restored_from,
        })
    }
}

impl CurrentView {
    /// As the caller may see it.
    pub fn new(current: Current) -> Result<Self, ApiError> {
        let applied = current.applied.as_ref().map(VersionView::new).transpose()?;
        Ok(Self {
            version: current.version,
            managed_by: if current.access.managed_by_file {
                "file"
            } else {
                "database"
            },
            editable: current.access.may_change(),
            applied: applied.map(|applied| VersionView {
                number: None,
                ..applied
            }),
            policy: current.policy,
        })
    }
}

/// A version of the history.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyVersionShown)]
pub struct ShownView {
    /// Who, when, why.
    #[serde(flatten)]
    pub applied: VersionView,
    /// It is in force.
    pub current: bool,
    /// Who has it; absent for a version from before there was a history.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
    /// The document as edges were told it.
    #[schema(value_type = Object)]
    pub policy: Value,
}

impl ShownView {
    /// As it was.
    pub fn new(shown: &Shown) -> Result<Self, ApiError> {
        Ok(Self {
            applied: VersionView::new(&shown.row)?,
            current: shown.current,
            receipt: shown.receipt.clone(),
            policy: serde_json::from_slice(&shown.document).map_err(ApiError::internal)?,
        })
    }
}

/// The answer to a check.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyChecked)]
pub struct CheckedView {
    /// Nothing is wrong with it.
    pub valid: bool,
    /// The version that it was compared with.
    pub base: u64,
    /// Everything that is wrong.
    #[schema(value_type = Vec<Object>)]
    pub problems: Vec<Value>,
    /// What it changes.
    #[schema(value_type = Object)]
    pub changes: Changes,
    /// What of that is worth a second look.
    #[schema(value_type = Vec<Object>)]
    pub warnings: Vec<Warning>,
    /// The document in its one form.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub policy: Option<Policy>,
}

impl From<Checked> for CheckedView {
    fn from(checked: Checked) -> Self {
        Self {
            valid: checked.problems.is_empty(),
            base: checked.base,
            problems: checked.problems.iter().map(problem).collect(),
            changes: checked.changes,
            warnings: checked.warnings,
            policy: checked.policy,
        }
    }
}

/// The answer to a change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PolicyApplied)]
pub struct AppliedView {
    /// The version in force now.
    pub version: u64,
    /// False: it was in force already.
    pub changed: bool,
    /// What it changed.
    #[schema(value_type = Object)]
    pub changes: Changes,
    /// What of that is worth a second look.
    #[schema(value_type = Vec<Object>)]
    pub warnings: Vec<Warning>,
    /// Who has it, and from when on every default and strict route goes by it.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

impl From<Applied> for AppliedView {
    fn from(applied: Applied) -> Self {
        Self {
            version: applied.version,
            changed: applied.changed,
            changes: applied.changes,
            warnings: applied.warnings,
            receipt: applied.receipt,
        }
    }
}

/// The answer to a test.
pub(super) fn tried(tried: &Tried) -> Value {
    let mut view = crate::explain::api::view(&tried.explanation);
    view["status"] = tried.status.into();
    view["sentence"] = tried.sentence.as_str().into();
    view
}

/// A mistake.
pub(super) fn problem(problem: &PolicyError) -> Value {
    json!({ "place": problem.place, "problem": problem.problem })
}
