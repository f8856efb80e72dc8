//! The route policy as an entry of the feed: published when it differs from the last one, with a line per rule that changed.

use std::collections::BTreeSet;

use shared::feed::Entry;
use shared::policy::{CompiledPolicy, Policy, Route};
use shared::time::UnixMillis;

use super::enqueue;
use crate::signing::SigningError;
use crate::store::{StoreError, Tx, uint};

/// Puts the policy into the outbox if it is not the one that was published last; gives its version if so.
pub async fn publish_policy(
    tx: &mut Tx,
    policy: &CompiledPolicy,
    now: UnixMillis,
) -> Result<Option<u64>, SigningError> {
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    let json = policy.policy.to_json();
    if json == state.policy {
        return Ok(None);
    }
    let known = uint(state.policy_version, "policy version")?;
    let version = known.saturating_add(1);
    if !tx.set_published_policy(known, version, &json).await? {
        return Ok(None);
    }
    log_changes(
        Policy::from_json(&state.policy).ok().as_ref(),
        &policy.policy,
        version,
    );
    let entry = Entry::Policy { version, json };
    enqueue(tx, "policy", &entry, now)
        .await
        .map_err(|error| match error {
            StoreError::Corrupt(_) => StoreError::Corrupt("route policy: it is larger than a frame").into(),
            error => SigningError::Store(error),
        })?;
    Ok(Some(version))
}

/// A change shows what it opens: every rule that is new or altered, and every rule that went.
fn log_changes(old: Option<&Policy>, new: &Policy, version: u64) {
    let old_rules = old.map(rules).unwrap_or_default();
    let new_rules = rules(new);
    tracing::info!(version, routes = new.routes.len(), "a new route policy goes out");
    for opened in new_rules.difference(&old_rules) {
        tracing::info!(version, rule = %opened, "the policy admits now");
    }
    for closed in old_rules.difference(&new_rules) {
        tracing::info!(version, rule = %closed, "the policy has no longer");
    }
    // The first match wins, so the same rules in another order may admit something else.
    if old.is_some() && old_rules == new_rules {
        tracing::info!(version, "the same rules in another order, or other settings");
    }
}

fn rules(policy: &Policy) -> BTreeSet<String> {
    policy.routes.iter().map(rule).collect()
}

fn rule(route: &Route) -> String {
    let methods = if route.methods.is_empty() {
        "ANY".to_owned()
    } else {
        route.methods.join(",")
    };
    let needs = match (
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
    };
    let strict = if route.strict { ", strict" } else { "" };
    let origin = route
        .origin
        .as_deref()
        .map(|origin| format!(" -> {origin}"))
        .unwrap_or_default();
    format!("{methods} {}: {needs}{strict}{origin}", route.path)
}
