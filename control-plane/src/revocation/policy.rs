//! The route policy as an entry of the feed: published when it differs from the last one, with a row of its history, an audit row
//! and a line in the log per rule that changed.
//!
//! Two things outlive a policy. Its scopes: issued keys hold places in the catalogue, so it only grows at its end. Its
//! bound: an edge goes by it until it has the next policy, and its isolates so long again, so a tighter one counts later.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use shared::feed::Entry;
use shared::id::OrgId;
use shared::policy::mcp::{Legacy, McpPolicy};
use shared::policy::{CompiledPolicy, Policy, Route};
use shared::time::UnixMillis;

use super::{FeedError, Reach, enqueue};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::random::Random;
use crate::signing::SigningError;
use crate::store::feed::{FeedStateRow, NewPolicy};
use crate::store::policies::{self, PolicyRow};
use crate::store::{StoreError, Tx, int, uint};

/// The longest that a policy can let a route wait: for a document that this version cannot read.
const LONGEST_BOUND_MS: u64 = 3_600_000;
/// As many rules of each kind as an audit row names.
const MOST_RULES: usize = 50;

/// Who puts a policy in force and why, for its history and the audit trail.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// In whose audit trail it stands; `None`: the installation's.
    pub org: Option<OrgId>,
    /// Who.
    pub actor: &'a Actor,
    /// `policy.publish`, `policy.apply`, `policy.rollback`.
    pub action: &'static str,
    /// Why, in a sentence.
    pub reason: &'a str,
    /// The version that is put in force again.
    pub restored_from: Option<u64>,
}

impl<'a> Cause<'a> {
    /// The product itself.
    pub fn system(actor: &'a Actor, reason: &'a str) -> Self {
        Self {
            org: None,
            actor,
            action: "policy.publish",
            reason,
            restored_from: None,
        }
    }
}

/// Puts the policy into the outbox if it is not the one that was published last; gives its version if so.
pub async fn publish_policy(
    tx: &mut Tx,
    policy: &CompiledPolicy,
    cause: Cause<'_>,
    random: &Random,
    now: UnixMillis,
) -> Result<Option<u64>, SigningError> {
    tx.lock_feed().await?;
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    if policy.policy.to_json() == state.policy {
        return Ok(None);
    }
    announce(tx, &state, (None, cause), policy, random, now)
        .await
        .map(Some)
}

/// Publishes the policy again, past the one that an edge has: edges may go by that one or by ours until they have this.
pub(super) async fn republish(
    tx: &mut Tx,
    theirs: Option<(u64, &[u8])>,
    policy: &CompiledPolicy,
    random: &Random,
    now: UnixMillis,
) -> Result<u64, SigningError> {
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    let actor = Actor::system();
    let cause = Cause::system(&actor, "an edge knew another history, and is told this one again");
    announce(tx, &state, (theirs, cause), policy, random, now).await
}

/// Refuses a policy under which keys that were issued would mean something else.
pub async fn check_policy(tx: &mut Tx, policy: &CompiledPolicy) -> Result<(), SigningError> {
    match tx.feed_state().await? {
        Some(state) => keeps_scopes(&state.policy, policy),
        None => Ok(()),
    }
}

/// Under which the receipt of a version is found.
pub fn policy_receipt(version: u64) -> String {
    format!("policy/{version}")
}

async fn announce(
    tx: &mut Tx,
    state: &FeedStateRow,
    (theirs, cause): (Option<(u64, &[u8])>, Cause<'_>),
    policy: &CompiledPolicy,
    random: &Random,
    now: UnixMillis,
) -> Result<u64, SigningError> {
    keeps_scopes(&state.policy, policy)?;
    let mut former_bound_ms = bound_ms(state, now)?;
    let known = uint(state.policy_version, "policy version")?;
    // A feed that began anew counts from nothing; its history does not.
    let mut version = known.max(tx.last_policy().await?);
    if let Some((their_version, json)) = theirs {
        keeps_scopes(json, policy)?;
        former_bound_ms = former_bound_ms.max(bound_of(json));
        version = version.max(their_version);
    }
    version = version.saturating_add(1);
    let json = policy.policy.to_json();
    let entry = Entry::Policy {
        version,
        json: json.clone(),
    };
    let outbox = enqueue(tx, &Reach::All, "policy", &entry, now)
        .await
        .map_err(|error| match error {
            StoreError::Corrupt(_) => StoreError::Corrupt("route policy: it is larger than a frame"),
            error => error,
        })?;
    let new = NewPolicy {
        version,
        json: &json,
        bound_ms: policy.bound_ms(),
        former_bound_ms,
        outbox,
    };
    if !tx.set_published_policy(known, new).await? {
        return Err(StoreError::Corrupt("policy version: it moved under a lock").into());
    }
    let old = Policy::from_json(&state.policy).ok();
    let (opened, closed) = compare(old.as_ref(), &policy.policy);
    log_changes(&opened, &closed, version);
    let row = PolicyRow {
        restored_from: cause.restored_from.map(int),
        ..policies::row(version, json, (&cause.actor.who, cause.reason), now)
    };
    tx.insert_policy(&row).await?;
    tx.insert_receipt(&policy_receipt(version), now, outbox).await?;
    let most = |rules: &[String]| rules.iter().take(MOST_RULES).cloned().collect::<Vec<_>>();
    let event = Event {
        org: cause.org,
        actor: cause.actor,
        action: cause.action,
        target: policy_receipt(version),
        detail: json!({
            "version": version,
            "from": known,
            "restored_from": cause.restored_from,
            "reason": cause.reason,
            "admits_now": most(&opened),
            "has_no_longer": most(&closed),
        }),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(version)
}

/// How long an isolate may go by a state that its hub has left behind, at this moment and with what edges have by then.
pub(super) fn bound_ms(state: &FeedStateRow, at: UnixMillis) -> Result<u64, StoreError> {
    let bound = uint(state.policy_bound_ms, "bound")?;
    let former = uint(state.former_bound_ms, "bound")?;
    let over = match state.policy_acknowledged_at {
        Some(since) => at >= UnixMillis(uint(since, "time")?).saturating_add(former),
        None => false,
    };
    Ok(if over { bound } else { bound.max(former) })
}

/// Notes that every configured edge has the policy, once that is so: from then on the former bound runs out.
pub(super) async fn note_acknowledged(app: &App) -> Result<(), FeedError> {
    let mut tx = app.store.begin_read().await?;
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    let (Some(outbox), None) = (state.policy_outbox, state.policy_acknowledged_at) else {
        return Ok(());
    };
    let peers = tx.peers().await?;
    let mut edges = app.config.edges.iter();
    let all_known = edges.all(|edge| peers.iter().any(|peer| peer.edge() == edge.name));
    if !all_known || !tx.is_acknowledged(outbox).await? {
        return Ok(());
    }
    drop(tx);
    // After the look: never before the last acknowledgement came.
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    tx.note_policy_acknowledged(outbox, now).await?;
    Ok(tx.commit().await?)
}

fn bound_of(json: &[u8]) -> u64 {
    Policy::from_json(json)
        .ok()
        .and_then(|policy| policy.compile().ok())
        .map_or(LONGEST_BOUND_MS, |policy| policy.bound_ms())
}

/// Of a published document only this, so that a version that cannot read the rest still compares it.
#[derive(Deserialize)]
struct Published {
    scopes: Vec<String>,
}

/// The published scopes are the first ones of the new policy.
fn keeps_scopes(published: &[u8], policy: &CompiledPolicy) -> Result<(), SigningError> {
    if published.is_empty() {
        return Ok(());
    }
    let published: Published =
        serde_json::from_slice(published).map_err(|_| StoreError::Corrupt("route policy"))?;
    let scopes = policy.catalogue().all();
    let Some(place) = moved_scope(&published.scopes, scopes) else {
        return Ok(());
    };
    let was = published.scopes.get(place).cloned().unwrap_or_default();
    let is = scopes
        .get(place)
        .map_or_else(|| "nothing".to_owned(), |name| format!("`{name}`"));
    let place = place.saturating_add(1);
    Err(SigningError::ScopesMoved { place, was, is })
}

/// The published scopes are the first ones of the new policy; else the place that would mean something else.
pub fn moved_scope(published: &[String], scopes: &[String]) -> Option<usize> {
    let mut pairs = published.iter().enumerate();
    pairs
        .find(|(place, was)| scopes.get(*place) != Some(*was))
        .map(|(place, _)| place)
}

/// The rules that are new or altered, and those that went.
fn compare(old: Option<&Policy>, new: &Policy) -> (Vec<String>, Vec<String>) {
    let old = old.map(rules).unwrap_or_default();
    let new = rules(new);
    let opened = new.difference(&old).cloned().collect();
    (opened, old.difference(&new).cloned().collect())
}

/// A change shows what it opens: every rule that is new or altered, and every rule that went.
fn log_changes(opened: &[String], closed: &[String], version: u64) {
    tracing::info!(version, "a new route policy goes out");
    for rule in opened {
        tracing::info!(version, %rule, "the policy admits now");
    }
    for rule in closed {
        tracing::info!(version, %rule, "the policy has no longer");
    }
    // The first match wins, so the same rules in another order may admit something else.
    if opened.is_empty() && closed.is_empty() {
        tracing::info!(version, "the same rules, in another order or with other settings");
    }
}

fn rules(policy: &Policy) -> BTreeSet<String> {
    policy.routes.iter().map(rule).collect()
}

/// A rule on one line: what it is for, and who may pass.
pub(crate) fn rule(route: &Route) -> String {
    let methods = if route.methods.is_empty() {
        "ANY".to_owned()
    } else {
        route.methods.join(",")
    };
    let needs = needs(route);
    let operations = route.mcp.as_ref().map(operations).unwrap_or_default();
    let strict = if route.strict { ", strict" } else { "" };
    let origin = route
        .origin
        .as_deref()
        .map(|origin| format!(" -> {origin}"))
        .unwrap_or_default();
    format!("{methods} {}: {needs}{operations}{strict}{origin}", route.path)
}

/// Who may pass, in words.
pub(crate) fn needs(route: &Route) -> String {
    match (
        route.public,
        route.scopes.is_empty() && route.any_scope.is_empty(),
    ) {
        (true, _) => "nobody in particular".to_owned(),
        (false, true) => "any valid credential".to_owned(),
        (false, false) => {
            let all = route.scopes.join(" and ");
            let any = route.any_scope.join(" or ");
            [all, any]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(", and ")
        }
    }
}

/// What operations of the Model Context Protocol need in addition.
fn operations(policy: &McpPolicy) -> String {
    let rules = policy.rules.iter().map(|rule| {
        let names = rule.names.join(" or ");
        format!(", {} {names} also {}", rule.method, rule.scopes.join(" and "))
    });
    let legacy = match policy.legacy {
        Legacy::AllScopes => "all of these",
        Legacy::BaseScopes => "none of these",
        Legacy::Deny => "not admitted",
    };
    format!("{}, unnamed operations: {legacy}", rules.collect::<String>())
}
