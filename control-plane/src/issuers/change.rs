//! Trusting an issuer, changing that, and ending it: each is one transaction with its audit row and what the edge must know.
//!
//! Keys are looked up before the transaction: nothing waits for a stranger's server with a lock in hand.

use serde_json::{Value, json};
use shared::crypto::Algorithm;
use shared::feed::{Entry, IssuerBinding, IssuerEntry, Subject, kinds};
use shared::id::{IssuerId, LIMIT, OrgId};
use shared::jwks::LeftOut;
use shared::time::UnixMillis;

use super::keys::Found;
use super::rules::{self, Asked};
use super::{block, watch};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::{self, Idempotency};
use crate::http::tag::{IfMatch, Tag};
use crate::keys::{confirm_rights, hold_caller};
use crate::orgs;
use crate::revocation::{self, Reach, Receipt, Wait};
use crate::store::issuers::{TrustedIssuer, Watch};
use crate::store::{StoreError, Tx};

/// Issuers that one organisation can trust at a time.
const MOST_ISSUERS: usize = 20;
/// The operation's name in the idempotency table.
const OPERATION: &str = "issuer.create";

/// The answer to a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The issuer as it is now.
    pub issuer: TrustedIssuer,
    /// Keys of its set that are not trusted, and why; `None` if they were not looked up.
    pub left_out: Option<Vec<(String, LeftOut)>>,
    /// Who has the change, and from when on every default and strict route goes by it.
    pub receipt: Receipt,
}

/// Trusts an issuer in the caller's organisation.
pub async fn create(
    app: &App,
    caller: &Caller,
    (issuer, asked): (String, Asked),
    idempotency: Option<Idempotency>,
    wait: Wait,
) -> Result<Changed, ApiError> {
    // 1. What is asked for.
    rules::may_administer(app, caller)?;
    rules::issuer(&issuer, app)?;
    let algorithms = rules::algorithms(asked.algorithms.as_deref())?;
    let asked_es512 = asked.algorithms.is_some() && algorithms.contains(&Algorithm::Es512);
    let jwks_uri = asked.jwks_uri.as_deref().unwrap_or_default();
    let jwks_uri = rules::jwks_uri(jwks_uri, app)?;
    let mut binding = rules::nothing();
    rules::apply(&mut binding, asked, caller, app.catalogue())?;
    must_be_understood(app, caller.org, asked_es512)?;
    let who = (caller.org, caller.user);
    let mut tx = app.store.begin_read().await?;
    if let Some(before) = idempotency::made_before(&mut tx, who, OPERATION, idempotency).await? {
        return made(app, tx, caller.org, before, wait).await;
    }
    free(&mut tx, app, caller.org, &issuer).await?;
    own_workspaces(&mut tx, caller.org, &binding).await?;
    drop(tx);
    // 2. Its keys.
    let found = look_up(app, caller, &issuer, jwks_uri.as_deref(), &algorithms).await?;
    binding.keys.clone_from(&found.keys.keys);
    // 3. Locks: the calling key, the organisation, the issuer.
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let now = app.clock.now();
    let id = app.random.below(LIMIT).map_err(ApiError::internal)?;
    if let Some(before) = idempotency::claim(&mut tx, who, OPERATION, idempotency, id, now).await? {
        return made(app, tx, caller.org, before, wait).await;
    }
    own_workspaces(&mut tx, caller.org, &binding).await?;
    let former = free(&mut tx, app, caller.org, &issuer).await?;
    // 4. Row, outbox, receipt, audit.
    let row = TrustedIssuer {
        id: IssuerId::from_u64(id).ok_or(StoreError::Corrupt("issuer id"))?,
        entry: IssuerEntry {
            issuer,
            version: former
                .as_ref()
                .map_or(1, |former| former.entry.version.saturating_add(1)),
            org: caller.org,
            binding: Some(binding),
        },
        algorithms: names(&algorithms),
        jwks_uri,
        created_by: caller.actor().who,
        created_at: now,
        updated_at: now,
        removed_at: None,
        watch: watched(app, &found, now)?,
    };
    match former {
        Some(former) if tx.change_issuer(former.entry.version, &row).await? => {
            if former.entry.org != caller.org {
                let both = Reach::from(former.entry.org).and(caller.org.into());
                block::forget(&mut tx, &both, &row.entry.issuer, now).await?;
            }
        }
        Some(_) => return Err(taken(None)),
        None => match tx.insert_issuer(&row).await {
            Err(error) if error.is_unique_violation() => return Err(taken(None)),
            outcome => outcome?,
        },
    }
    tx.give_issuer(&row.entry.issuer, caller.org).await?;
    let detail = described(app, &row);
    tell(
        &mut tx,
        app,
        &row,
        (&caller.actor(), "issuer.create", detail),
        now,
    )
    .await?;
    done(app, tx, row, Some(found.keys.left_out), wait).await
}

/// What an Idempotency-Key made before.
async fn made(app: &App, mut tx: Tx, org: OrgId, number: u64, wait: Wait) -> Result<Changed, ApiError> {
    let id = IssuerId::from_u64(number).ok_or(StoreError::Corrupt("issuer id"))?;
    let issuer = find(&mut tx, org, id).await?;
    drop(tx);
    let receipt = revocation::await_receipt(app, &receipt_name(&issuer), wait).await?;
    Ok(Changed {
        issuer,
        left_out: None,
        receipt,
    })
}

/// The version of what is known of an issuer.
pub fn tag(issuer: &TrustedIssuer) -> Tag {
    Tag::of(&(issuer.id, issuer.entry.version, issuer.updated_at))
}

/// Changes what an issuer may do, how it is read, or where its keys are, if it still is what the caller has seen.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: IssuerId,
    (asked, seen): (Asked, &IfMatch),
    wait: Wait,
) -> Result<Changed, ApiError> {
    rules::may_administer(app, caller)?;
    let known = find(&mut app.store.begin_read().await?, caller.org, id).await?;
    let algorithms = match asked.algorithms.as_deref() {
        Some(names) => rules::algorithms(Some(names))?,
        None => watch::algorithms(&known),
    };
    if algorithms.contains(&Algorithm::Es512) && !watch::algorithms(&known).contains(&Algorithm::Es512) {
        must_be_understood(app, caller.org, true)?;
    }
    let jwks_uri = match asked.jwks_uri.as_deref() {
        Some(text) => rules::jwks_uri(text, app)?,
        None => known.jwks_uri.clone(),
    };
    let elsewhere = jwks_uri != known.jwks_uri || names(&algorithms) != known.algorithms;
    let found = if elsewhere {
        let found = look_up(app, caller, &known.entry.issuer, jwks_uri.as_deref(), &algorithms).await?;
        Some(found)
    } else {
        None
    };
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let before = find(&mut tx, caller.org, id).await?;
    seen.confirm(&tag(&before))?;
    let now = app.clock.now();
    let mut row = before.clone();
    let binding = row
        .entry
        .binding
        .as_mut()
        .ok_or_else(|| ApiError::not_found("issuer"))?;
    rules::apply(binding, asked, caller, app.catalogue())?;
    own_workspaces(&mut tx, caller.org, binding).await?;
    if let Some(found) = &found {
        binding.keys.clone_from(&found.keys.keys);
        row.watch = watched(app, found, now)?;
        (row.jwks_uri, row.algorithms) = (jwks_uri, names(&algorithms));
    }
    row.entry.version = row.entry.version.saturating_add(1);
    row.updated_at = now;
    if !tx.change_issuer(before.entry.version, &row).await? {
        return Err(changed_meanwhile());
    }
    let detail = json!({"from": described(app, &before), "to": described(app, &row)});
    tell(
        &mut tx,
        app,
        &row,
        (&caller.actor(), "issuer.change", detail),
        now,
    )
    .await?;
    done(app, tx, row, found.map(|found| found.keys.left_out), wait).await
}

/// Ends the trust, for good as far as tokens go that were made until now: whoever trusts the issuer again later does not let
/// those in. Administrators of the operator's organisation may end anybody's: an issuer that somebody has taken who does not own it
/// is kept from its owner otherwise.
pub async fn remove(app: &App, caller: &Caller, id: IssuerId, wait: Wait) -> Result<Changed, ApiError> {
    rules::may_administer(app, caller)?;
    let mut tx = app.store.begin_read().await?;
    let org = match tx.issuer(caller.org, id).await? {
        Some(_) => caller.org,
        None => taken_by(&mut tx, caller, id).await?,
    };
    drop(tx);
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.hold_org(org).await?;
    confirm_rights(&mut tx, caller).await?;
    let before = find(&mut tx, org, id).await?;
    let now = app.clock.now();
    let mut row = before.clone();
    row.entry.binding = None;
    row.entry.version = row.entry.version.saturating_add(1);
    (row.removed_at, row.updated_at) = (Some(now), now);
    if !tx.change_issuer(before.entry.version, &row).await? {
        return Err(changed_meanwhile());
    }
    let issuer = &row.entry.issuer;
    let at = tx.set_foreign_not_before(issuer, org, now.seconds()).await?;
    let entry = Entry::NotBefore(Subject::Issuer(issuer.clone()), at);
    revocation::enqueue(&mut tx, &org.into(), &row.id.to_string(), &entry, now).await?;
    let detail = described(app, &before);
    tell(
        &mut tx,
        app,
        &row,
        (&caller.actor(), "issuer.remove", detail),
        now,
    )
    .await?;
    done(app, tx, row, None, wait).await
}

/// Which other organisation trusts this issuer, for the operator alone.
async fn taken_by(tx: &mut Tx, caller: &Caller, id: IssuerId) -> Result<OrgId, ApiError> {
    let org = tx.org_of_issuer_id(id).await?;
    match org {
        Some(org) if orgs::is_operator(tx, caller.org).await? => Ok(org),
        _ => Err(ApiError::not_found("issuer")),
    }
}

/// What an issuer shows of itself to somebody who thinks of trusting it.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// Where its keys are.
    pub uri: String,
    /// Name and algorithm of those that can be trusted.
    pub keys: Vec<(String, &'static str)>,
    /// Those that cannot, and why.
    pub left_out: Vec<(String, String)>,
}

/// Looks an issuer's keys up without trusting it.
pub async fn discover(
    app: &App,
    caller: &Caller,
    issuer: &str,
    jwks_uri: Option<&str>,
) -> Result<Discovered, ApiError> {
    rules::may_administer(app, caller)?;
    rules::issuer(issuer, app)?;
    let jwks_uri = rules::jwks_uri(jwks_uri.unwrap_or_default(), app)?;
    let found = look_up(app, caller, issuer, jwks_uri.as_deref(), &Algorithm::ALL).await?;
    let keys = found.keys.keys.iter();
    let left_out = found.keys.left_out.iter();
    Ok(Discovered {
        uri: found.uri,
        keys: keys
            .map(|(kid, key)| (kid.clone(), key.algorithm().jose()))
            .collect(),
        left_out: left_out
            .map(|(kid, why)| (kid.clone(), why.to_string()))
            .collect(),
    })
}

/// An issuer that the organisation trusts.
pub(super) async fn find(tx: &mut Tx, org: OrgId, id: IssuerId) -> Result<TrustedIssuer, ApiError> {
    let row = tx.issuer(org, id).await?;
    row.ok_or_else(|| ApiError::not_found("issuer"))
}

/// Writes the entry, its receipt and the audit row of a change.
pub(super) async fn tell(
    tx: &mut Tx,
    app: &App,
    row: &TrustedIssuer,
    (actor, action, detail): (&Actor, &'static str, Value),
    now: UnixMillis,
) -> Result<(), StoreError> {
    let entry = Entry::Issuer(Box::new(row.entry.clone()));
    let subject = receipt_name(row);
    let outbox = revocation::enqueue(tx, &row.entry.org.into(), &subject, &entry, now).await?;
    tx.insert_receipt(&subject, now, outbox).await?;
    let event = Event {
        org: Some(row.entry.org),
        actor,
        action,
        target: row.id.to_string(),
        detail,
    };
    audit::record(tx, &app.random, &event, now).await
}

pub(super) fn receipt_name(row: &TrustedIssuer) -> String {
    format!("{}/{}", row.id, row.entry.version)
}

async fn done(
    app: &App,
    tx: Tx,
    row: TrustedIssuer,
    left_out: Option<Vec<(String, LeftOut)>>,
    wait: Wait,
) -> Result<Changed, ApiError> {
    tx.commit().await?;
    app.feed.wake();
    let receipt = revocation::await_receipt(app, &receipt_name(&row), wait).await?;
    Ok(Changed {
        issuer: row,
        left_out,
        receipt,
    })
}

/// An edge would stop at an entry that it does not know, and go stale. Only those are told of it that admit the organisation.
fn must_be_understood(app: &App, org: OrgId, with_es512: bool) -> Result<(), ApiError> {
    let detail = if !is_understood(app, org, kinds::ISSUER) {
        "an edge has not said yet that it understands other issuers: let it be reached, or deploy this release there first"
    } else if with_es512 && !is_understood(app, org, kinds::ISSUER_ES512) {
        "an edge does not know ES512: let it be reached, deploy this release there first, or leave ES512 out of `algorithms`"
    } else {
        return Ok(());
    };
    Err(ApiError::new(Code::EdgesBehind, detail).retry_after(2))
}

fn is_understood(app: &App, org: OrgId, kind: u8) -> bool {
    let edges = app.config.edges.iter();
    let concerned = edges.filter(|edge| app.config.admits(edge, Some(org)));
    app.feed
        .is_understood(kind, concerned.map(|edge| edge.name.as_str()))
}

/// Those of the algorithms that every edge of the organisation knows. Keys for the others are left out until it does.
pub(super) fn understood(app: &App, org: OrgId, mut algorithms: Vec<Algorithm>) -> Vec<Algorithm> {
    if !is_understood(app, org, kinds::ISSUER_ES512) {
        algorithms.retain(|algorithm| *algorithm != Algorithm::Es512);
    }
    algorithms
}

/// Whether the organisation may trust this issuer; gives the row of one that was removed.
async fn free(tx: &mut Tx, app: &App, org: OrgId, issuer: &str) -> Result<Option<TrustedIssuer>, ApiError> {
    let bare = issuer.trim_end_matches('/');
    let mut providers = app.config.identity_providers.iter();
    if providers.any(|provider| provider.issuer.trim_end_matches('/') == bare && provider.org != org) {
        return Err(taken(None));
    }
    let known = tx.issuer_named(issuer).await?;
    if let Some(known) = &known
        && known.removed_at.is_none()
    {
        // The operator settles who has it.
        let told = known.entry.org == org || orgs::is_operator(tx, org).await?;
        return Err(taken(told.then_some(known.id)));
    }
    if tx.issuers_of(org).await?.len() >= MOST_ISSUERS {
        let detail = format!("an organisation trusts at most {MOST_ISSUERS} issuers; remove one first");
        return Err(ApiError::invalid_field("issuer", detail));
    }
    Ok(known)
}

fn taken(own: Option<IssuerId>) -> ApiError {
    let detail = "this issuer is trusted already, and an issuer belongs to one organisation";
    let error = ApiError::new(Code::IssuerTaken, detail).field("issuer");
    match own {
        Some(id) => error.with("id", id.to_string()),
        None => error,
    }
}

fn changed_meanwhile() -> ApiError {
    let detail = "the issuer was changed during this request; nothing was done, try again";
    ApiError::new(Code::RightsChanged, detail)
}

async fn own_workspaces(tx: &mut Tx, org: OrgId, binding: &IssuerBinding) -> Result<(), ApiError> {
    for workspace in rules::workspaces(binding) {
        if !tx.has_workspace(org, workspace).await? {
            let detail = format!("{workspace} is no workspace of this organisation");
            return Err(ApiError::invalid_field("workspace", detail));
        }
    }
    Ok(())
}

/// The keys of an issuer that a caller names, or why there are none.
async fn look_up(
    app: &App,
    caller: &Caller,
    issuer: &str,
    jwks_uri: Option<&str>,
    algorithms: &[Algorithm],
) -> Result<Found, ApiError> {
    app.issuers
        .attempts
        .take(&caller.org.to_string())
        .map_err(|many| {
            ApiError::new(
                Code::RateLimited,
                "too many look-ups of issuers; wait as long as it says",
            )
            .retry_after(many.retry_after_seconds)
        })?;
    let algorithms = understood(app, caller.org, algorithms.to_vec());
    let found = app.issuers.look_up(issuer, jwks_uri, &algorithms).await;
    found.map_err(|error| {
        let detail = format!("the issuer's keys cannot be read: {error}");
        ApiError::new(Code::IssuerUnreachable, detail).field(if jwks_uri.is_some() {
            "jwks_uri"
        } else {
            "issuer"
        })
    })
}

fn watched(app: &App, found: &Found, now: UnixMillis) -> Result<Watch, ApiError> {
    Ok(Watch {
        keys_uri: Some(found.uri.clone()),
        attempted_at: now,
        refreshed_at: now,
        due_at: watch::next(app, found.fresh_seconds, now).map_err(ApiError::internal)?,
        failures: 0,
        failure: None,
    })
}

fn names(algorithms: &[Algorithm]) -> Vec<String> {
    algorithms
        .iter()
        .map(|algorithm| algorithm.jose().to_owned())
        .collect()
}

/// For the audit trail: what is trusted with what.
fn described(app: &App, row: &TrustedIssuer) -> Value {
    let binding = row.entry.binding.as_ref();
    json!({
        "issuer": row.entry.issuer,
        "version": row.entry.version,
        "audiences": binding.map(|binding| &binding.audiences),
        "scopes": binding.map(|binding| app.catalogue().names(binding.cap)),
        "algorithms": row.algorithms,
        "keys": binding.map(|binding| binding.keys.keys().collect::<Vec<_>>()),
    })
}
