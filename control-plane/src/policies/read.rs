//! What is in force, and what was.

use shared::policy::Policy;
use shared::time::UnixMillis;

use super::change::{self, Base};
use super::diff::{self, Changes};
use super::rules::{self, Access};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::revocation::{Receipt, Wait};
use crate::store::policies::{PolicyRow, PolicyVersion};
use crate::store::{StoreError, uint};

/// What is in force.
#[derive(Clone, Debug)]
pub struct Current {
    /// The version that edges know it under.
    pub version: u64,
    /// The document; without the addresses of origins for those who are not the operator's.
    pub policy: Policy,
    /// What the caller may do.
    pub access: Access,
    /// Who put it in force, when and why, for those who may know.
    pub applied: Option<PolicyVersion>,
}

/// A version of the history.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Who, when, why.
    pub row: PolicyVersion,
    /// The document as it was told to edges.
    pub document: Vec<u8>,
    /// It is in force.
    pub current: bool,
    /// Who has it.
    pub receipt: Option<Receipt>,
}

/// The policy in force, for anybody with a credential.
pub async fn show(app: &App, caller: &Caller) -> Result<Current, ApiError> {
    let mut tx = app.store.begin_read().await?;
    let access = rules::access(&mut tx, app, caller).await?;
    let base = Base::read(&mut tx, app).await?;
    let mut policy = base.policy.policy;
    let mut applied = None;
    if access.operator {
        applied = tx.policy(base.version).await?.map(without_document);
    } else {
        let internal = |origin: &String| origin != "control-plane";
        for route in &mut policy.routes {
            route.origin = route.origin.take().filter(|origin| !internal(origin));
        }
    }
    Ok(Current {
        version: base.version,
        policy,
        access,
        applied,
    })
}

/// The newest versions, those before one of them if it is named; and whether there are more.
pub async fn history(
    app: &App,
    caller: &Caller,
    before: Option<u64>,
    page: u32,
) -> Result<(Vec<PolicyVersion>, bool), ApiError> {
    let mut tx = app.store.begin_read().await?;
    rules::must_operate(rules::access(&mut tx, app, caller).await?)?;
    let mut rows = tx.policies(before, page.saturating_add(1)).await?;
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    let more = rows.len() > page;
    rows.truncate(page);
    Ok((rows, more))
}

/// One version, and how far it has come.
pub async fn version(app: &App, caller: &Caller, version: u64) -> Result<Shown, ApiError> {
    let mut tx = app.store.begin_read().await?;
    rules::must_operate(rules::access(&mut tx, app, caller).await?)?;
    let row = tx.policy(version).await?;
    let row = row.ok_or_else(|| ApiError::not_found("policy version"))?;
    let current = tx.published_policy_version().await? == Some(version);
    drop(tx);
    let document = row.document.clone();
    Ok(Shown {
        row: without_document(row),
        document,
        current,
        receipt: change::receipt(app, version, Wait::None).await?,
    })
}

/// What a version changed, compared with the one before it; `None`: it is the first that is known.
pub async fn changes_of(app: &App, caller: &Caller, version: u64) -> Result<Option<Changes>, ApiError> {
    let mut tx = app.store.begin_read().await?;
    rules::must_operate(rules::access(&mut tx, app, caller).await?)?;
    let row = tx.policy(version).await?;
    let row = row.ok_or_else(|| ApiError::not_found("policy version"))?;
    let Some(before) = tx.policies(Some(version), 1).await?.into_iter().next() else {
        return Ok(None);
    };
    let before = tx.policy(before.number()?).await?;
    let before = before.ok_or(StoreError::Corrupt("policy history"))?;
    Ok(Some(diff::between(
        &parsed(&before.document)?,
        &parsed(&row.document)?,
    )))
}

/// What putting a version in force again would change, and what it is compared with.
pub async fn changes_back(app: &App, caller: &Caller, version: u64) -> Result<(u64, Changes), ApiError> {
    let mut tx = app.store.begin_read().await?;
    rules::must_change(rules::access(&mut tx, app, caller).await?)?;
    let row = tx.policy(version).await?;
    let row = row.ok_or_else(|| ApiError::not_found("policy version"))?;
    let base = Base::read(&mut tx, app).await?;
    let again = Policy {
        scopes: base.policy.catalogue().clone(),
        resource: app.config.resource.clone(),
        ..parsed(&row.document)?
    };
    Ok((base.version, diff::between(&base.policy.policy, &again)))
}

fn parsed(document: &[u8]) -> Result<Policy, ApiError> {
    Policy::from_json(document).map_err(ApiError::internal)
}

fn without_document(row: PolicyRow) -> PolicyVersion {
    PolicyVersion {
        version: row.version,
        applied_by: row.applied_by,
        applied_at: row.applied_at,
        reason: row.reason,
        restored_from: row.restored_from,
    }
}

impl PolicyVersion {
    /// The version that edges know it under.
    pub fn number(&self) -> Result<u64, StoreError> {
        uint(self.version, "policy version")
    }

    /// When it was put in force.
    pub fn at(&self) -> Result<UnixMillis, StoreError> {
        uint(self.applied_at, "time").map(UnixMillis)
    }
}
