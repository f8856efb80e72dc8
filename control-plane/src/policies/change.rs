//! Check a draft, put it in force, go back to an earlier version. Each change is one transaction with its row of history, its audit
//! row, what the edge must know and a receipt.

use serde_json::Value;
use shared::policy::{CompiledPolicy, Policy, PolicyError};
use shared::scope::ScopeSet;

use super::diff::{self, Changes};
use super::rules;
use super::warn::{self, Held, Warning};
use super::{draft, live};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::keys::{confirm_rights, hold_caller};
use crate::revocation::die::{self, Place};
use crate::revocation::{self, Cause, Receipt, Wait, policy_receipt};
use crate::store::{StoreError, Tx, uint};

/// So many keys are looked at for the scopes that they hold.
const SAMPLE: u32 = 1000;

/// A draft, looked at.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The version that it was compared with.
    pub base: u64,
    /// What is wrong; nothing: it can be applied.
    pub problems: Vec<PolicyError>,
    /// What it changes.
    pub changes: Changes,
    /// What of that is worth a second look.
    pub warnings: Vec<Warning>,
    /// The document in its one form, if nothing is wrong.
    pub policy: Option<Policy>,
}

/// A draft that was put in force.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The version in force now.
    pub version: u64,
    /// False: it said what was in force already, and nothing was done.
    pub changed: bool,
    /// What it changed.
    pub changes: Changes,
    /// What of that is worth a second look.
    pub warnings: Vec<Warning>,
    /// Who has it, and from when on everybody goes by it. A version from before there was a history has none.
    pub receipt: Option<Receipt>,
}

/// The policy in force, and its version.
pub(super) struct Base {
    pub(super) version: u64,
    pub(super) policy: CompiledPolicy,
}

impl Base {
    pub(super) async fn read(tx: &mut Tx, app: &App) -> Result<Self, ApiError> {
        let state = tx.feed_state().await?;
        let state = state.ok_or(StoreError::Corrupt("feed: there is none"))?;
        let policy = live::in_force(&app.config, &state.policy);
        Ok(Self {
            version: uint(state.policy_version, "policy version")?,
            policy: policy.map_err(ApiError::internal)?,
        })
    }
}

/// Looks at a draft: everything that is wrong with it, what it changes, what is worth a second look. Changes nothing.
pub async fn check(app: &App, caller: &Caller, document: Value) -> Result<Checked, ApiError> {
    let mut tx = app.store.begin_read().await?;
    rules::must_administer(rules::access(&mut tx, app, caller).await?)?;
    let base = Base::read(&mut tx, app).await?;
    let held = held(&mut tx).await?;
    drop(tx);
    let (_, checked) = look(app, &base, document, held);
    Ok(checked)
}

/// Puts a draft in force, if `expected` still is; `None`: whatever is.
pub async fn apply(
    app: &App,
    caller: &Caller,
    document: Value,
    (expected, reason): (Option<u64>, Option<&str>),
    wait: Wait,
) -> Result<Applied, ApiError> {
    let reason = rules::reason(reason)?;
    let mut tx = hold(app, caller, expected).await?;
    let base = Base::read(&mut tx, app).await?;
    must_be(&base, expected)?;
    let what = What {
        document,
        action: "policy.apply",
        reason: &reason,
        restored_from: None,
    };
    put(app, caller, tx, &base, what, wait).await
}

/// Puts an earlier version in force again, as a new one. Scopes that came since stay: keys may hold them.
pub async fn roll_back(
    app: &App,
    caller: &Caller,
    version: u64,
    (expected, reason): (Option<u64>, Option<&str>),
    wait: Wait,
) -> Result<Applied, ApiError> {
    let reason = rules::reason(reason)?;
    let mut tx = hold(app, caller, expected).await?;
    let base = Base::read(&mut tx, app).await?;
    must_be(&base, expected)?;
    let row = tx.policy(version).await?;
    let row = row.ok_or_else(|| ApiError::not_found("policy version"))?;
    let mut document = draft::parse(&row.document).map_err(|error| refused(&[error]))?;
    document["scopes"] = base.policy.catalogue().all().into();
    document["resource"] = app.config.resource.as_str().into();
    let what = What {
        document,
        action: "policy.rollback",
        reason: &reason,
        restored_from: Some(version),
    };
    put(app, caller, tx, &base, what, wait).await
}

/// A transaction that nobody else changes the policy beside, of a caller who may.
async fn hold(app: &App, caller: &Caller, expected: Option<u64>) -> Result<Tx, ApiError> {
    let mut tx = app.store.begin_read().await?;
    rules::must_change(rules::access(&mut tx, app, caller).await?)?;
    // Whoever is late learns it without a lock.
    let known = tx.published_policy_version().await?;
    drop(tx);
    if expected.is_some() && expected != known {
        return Err(changed(known.unwrap_or(0)));
    }
    let mut tx = app.store.begin().await?;
    tx.lock_feed().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    confirm_rights(&mut tx, caller).await?;
    Ok(tx)
}

fn must_be(base: &Base, expected: Option<u64>) -> Result<(), ApiError> {
    match expected {
        Some(expected) if expected != base.version => Err(changed(base.version)),
        _ => Ok(()),
    }
}

fn changed(version: u64) -> ApiError {
    let detail = format!(
        "the policy was changed meanwhile: version {version} is in force; look at what it says before you apply yours"
    );
    ApiError::new(Code::PreconditionFailed, detail).with("version", version)
}

struct What<'a> {
    document: Value,
    action: &'static str,
    reason: &'a str,
    restored_from: Option<u64>,
}

async fn put(
    app: &App,
    caller: &Caller,
    mut tx: Tx,
    base: &Base,
    what: What<'_>,
    wait: Wait,
) -> Result<Applied, ApiError> {
    let held = held(&mut tx).await?;
    let (policy, checked) = look(app, base, what.document, held);
    let policy = policy.ok_or_else(|| refused(&checked.problems))?;
    let cause = Cause {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: what.action,
        reason: what.reason,
        restored_from: what.restored_from,
    };
    let now = app.clock.now();
    let published = revocation::publish_policy(&mut tx, &policy, cause, &app.random, now)
        .await
        .map_err(ApiError::internal)?;
    if let Some(version) = published {
        tx.commit().await?;
        die::here(Place::AfterCommit);
        app.policies.set(version, policy);
        app.feed.wake();
        metrics::counter!("portcullis_policy_changes_total", "action" => what.action).increment(1);
    } else {
        drop(tx);
    }
    let version = published.unwrap_or(base.version);
    Ok(Applied {
        version,
        changed: published.is_some(),
        changes: checked.changes,
        warnings: checked.warnings,
        receipt: receipt(app, version, wait).await?,
    })
}

/// The receipt of a version; one from before there was a history has none.
pub(super) async fn receipt(app: &App, version: u64, wait: Wait) -> Result<Option<Receipt>, ApiError> {
    let subject = policy_receipt(version);
    if app.store.begin_read().await?.receipt(&subject).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(revocation::await_receipt(app, &subject, wait).await?))
}

fn look(app: &App, base: &Base, document: Value, held: Held) -> (Option<CompiledPolicy>, Checked) {
    let published = base.policy.catalogue().all();
    let mut checked = Checked {
        base: base.version,
        problems: Vec::new(),
        changes: Changes::default(),
        warnings: Vec::new(),
        policy: None,
    };
    match draft::read(document, &app.config.resource, published) {
        Ok(policy) => {
            checked.changes = diff::between(&base.policy.policy, &policy.policy);
            checked.warnings = warn::about(&base.policy, &policy, held);
            checked.policy = Some(policy.policy.clone());
            (Some(policy), checked)
        }
        Err(problems) => {
            checked.problems = problems;
            (None, checked)
        }
    }
}

/// What keys hold, as far as a look at some of them tells.
async fn held(tx: &mut Tx) -> Result<Held, ApiError> {
    let keys = tx.scopes_of_some_keys(SAMPLE).await?;
    let all = keys.len() < usize::try_from(SAMPLE).unwrap_or(usize::MAX);
    let living = keys.iter().filter(|(_, alive)| *alive);
    let scopes = living.fold(ScopeSet::EMPTY, |set, (scopes, _)| set.union(ScopeSet(*scopes)));
    Ok(Held { scopes, all })
}

/// The answer to a document that cannot be applied: the first mistake in words, and all of them as a list.
pub(super) fn refused(problems: &[PolicyError]) -> ApiError {
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n.saturating_sub(1)),
    };
    let list: Vec<Value> = problems.iter().map(super::json::problem).collect();
    let error = ApiError::new(Code::InvalidPolicy, format!("{first}{more}"));
    let error = match problems.first() {
        Some(problem) => error.field(problem.place.clone()),
        None => error,
    };
    error.with("problems", list)
}
