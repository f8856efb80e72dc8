//! The validator: a pure, synchronous function of (state, policy, request facts, now).
//!
//! What it decides: whether a request may pass, as whom, and if not, why. What it does not do: read a clock, a header map
//! or the network, or choose status codes and texts; the adapter does. When a decision needs a fresher state than the
//! adapter has, it says so ([`Decision::Refresh`]), and is asked again.
//!
//! The order of the steps is part of the contract: what costs nothing comes first, and a request reaches the restriction
//! list only with a signature that holds.
//!
//! 1. the canonical path
//! 2. the route
//! 3. is it public?
//! 4. the browser origin, and the scopes that the operation needs
//! 5. the one credential of the Authorization header
//! 6. the statement that it makes: form and signature, remembered per credential; does it come under its scheme?
//! 7. admitted organisation, signing key, block, list, times
//! 8. audience and tenant
//! 9. scopes under their ceilings
//! 10. the proof of possession, where the token is bound to a key
//! 11. freshness of the state

mod cache;
mod canary;
pub mod cors;
mod credential;
mod explain;
mod foreign;
mod judge;
mod mcp;
mod proof;
mod replay;
mod shares;
mod statement;
pub mod vectors;

use std::sync::Arc;

use shared::dpop::Proof;
use shared::feed::State;
use shared::key::Environment;
use shared::path;
use shared::policy::{CompiledPolicy, CompiledRoute, DEFAULT_MAX_STALENESS_MS, OnStale};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use crate::replication::LocalSet;

pub use cache::{CacheReport, StatementCache, Tag};
pub(crate) use canary::is_canary;
pub use credential::{Credential, Scheme};
pub use explain::{Explanation, Step};
pub use foreign::{MAX_LIFETIME_SECONDS, qualified};
pub use replay::Replays;
pub use shares::Shares;
pub use statement::{Kind, Signer, Statement};

/// DESIGN §9: how far another clock may be ahead of ours. Never extends an expiry.
pub const CLOCK_SKEW_SECONDS: u64 = 60;

/// What this deployment accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The brand of its API keys.
    pub brand: String,
    /// The environments of keys that it admits.
    pub environments: Vec<Environment>,
    /// Our own issuer, byte for byte.
    pub issuer: String,
}

/// What the adapter saw of a request. Has no Debug: it holds the credential.
#[derive(Clone, Copy, Default)]
pub struct RequestFacts<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path, as sent, without the query.
    pub path: &'a str,
    /// All Authorization headers, joined with commas as the Fetch standard does.
    pub authorization: Option<&'a str>,
    /// The Origin header.
    pub origin: Option<&'a str>,
    /// All DPoP headers, joined in the same way.
    pub proof: Option<&'a str>,
    /// Scheme, host and port that the caller addressed, as `shared::dpop::origin` writes them.
    pub public_origin: &'a str,
    /// The Mcp-Method header, several joined by commas.
    pub mcp_method: Option<&'a str>,
    /// The Mcp-Name header, several joined by commas.
    pub mcp_name: Option<&'a str>,
    /// The MCP-Protocol-Version header, several joined by commas.
    pub mcp_version: Option<&'a str>,
    /// The caller's address has shown too many bad credentials: none is looked at that is not known to be true.
    pub braked: bool,
    /// The least seq that a state must have for this decision; 0: any.
    pub min_seq: u64,
}

/// How old the state is, and what the adapter has already tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Freshness {
    /// Milliseconds since the hub was last heard, through a region.
    pub contact_age_ms: u64,
    /// Milliseconds since the newest heartbeat came to the hub, where known.
    pub feed_age_ms: Option<u64>,
    /// The seq that the state has reached.
    pub seq: u64,
    /// The state was read by a read that started after this request arrived.
    pub read_after_arrival: bool,
    /// No further read is to be had for this request: decide with what there is.
    pub exhausted: bool,
}

/// Why a fresher state is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The route is strict: a read that starts after the request arrived.
    Strict,
    /// The state is older than the route allows.
    Stale,
    /// The caller named a seq that the state has not reached.
    Seq,
    /// A key of ours signed for an index of which this state has not heard: its block may be newer.
    Block,
}

/// Who was let in, and to what.
#[derive(Clone, Debug)]
pub struct Grant<'p> {
    /// The route that matched.
    pub route: &'p CompiledRoute,
    /// The canonical path, which is the one to forward.
    pub path: String,
    /// The credential's statement; `None` on a public route.
    pub statement: Option<Arc<Statement>>,
    /// Its scopes with everything they imply, under every ceiling.
    pub effective: ScopeSet,
    /// The proof that came with it. Let nobody in before it was remembered: a proof counts once.
    pub proof: Option<Proof>,
}

/// Who was refused, and why.
#[derive(Clone, Debug)]
pub struct Refusal<'p> {
    /// The exact reason.
    pub reason: Reason,
    /// The route, where one matched: for the challenge's scopes and CORS.
    pub route: Option<&'p CompiledRoute>,
    /// Everything that the operation needs, for the challenge.
    pub needed: ScopeSet,
    /// The credential's status index, where its signature held: for usage.
    pub statement: Option<Arc<Statement>>,
}

/// What comes out.
#[derive(Clone, Debug)]
pub enum Decision<'p> {
    /// Let it in.
    Allow(Grant<'p>),
    /// Keep it out.
    Refuse(Refusal<'p>),
    /// Ask again with a fresher state.
    Refresh(Need),
}

/// State, policy and deployment: everything that a decision depends on, except the request and the time.
#[derive(Clone, Copy, Debug)]
pub struct Validator<'p> {
    /// What this deployment accepts.
    pub deployment: &'p Deployment,
    /// The joined restriction list.
    pub state: &'p State,
    /// What was ended at the edge and is in no frame yet.
    pub local: &'p LocalSet,
    /// The compiled policy of that state.
    pub policy: &'p CompiledPolicy,
}

impl<'p> Validator<'p> {
    /// Decides about one request.
    pub fn check(
        &self,
        facts: &RequestFacts<'_>,
        freshness: Freshness,
        now: UnixSeconds,
        cache: &mut StatementCache,
    ) -> Decision<'p> {
        // 1. One form of the path, for matching and for forwarding.
        let Ok(path) = path::canonical(facts.path) else {
            return refuse(Reason::PathMalformed, None, None);
        };
        // 2. Deny by default.
        let Some((route, captures)) = self.policy.route(facts.method, &path) else {
            return stale(None, freshness, self.policy)
                .unwrap_or_else(|| refuse(Reason::RouteDenied, None, None));
        };
        // 3. A public route looks at no credential.
        if route.route.public {
            return stale(Some(route), freshness, self.policy).unwrap_or_else(|| {
                Decision::Allow(Grant {
                    route,
                    path: path.clone(),
                    statement: None,
                    effective: ScopeSet::EMPTY,
                    proof: None,
                })
            });
        }
        // 4. What is it that they want? A page that the route does not know wants nothing here.
        if let Err(reason) = judge::check_origin(route, facts.origin) {
            return refuse(reason, Some(route), None);
        }
        let operation = match mcp::needed(route, facts) {
            Ok(operation) => operation,
            Err(reason) => return refuse(reason, Some(route), None),
        };
        let refused = |reason, statement| {
            let decision = refuse_unless_stale(reason, route, statement, freshness);
            with_needs(decision, operation)
        };
        // 5. and 6. Who says so?
        let statement = match self.statement(facts, cache) {
            Ok(found) => found,
            Err(reason) => return refused(reason, None),
        };
        // 7. to 9. May they?
        let effective = match self.judge(&statement, route, operation, captures, facts.origin, now) {
            Ok(effective) => effective,
            Err(reason) => return refused(reason, Some(statement)),
        };
        // 10. Are they the one whose token it is?
        let proof = match proof::check(facts, &statement, &path, now) {
            Ok(proof) => proof,
            Err(reason) => return with_needs(refuse(reason, Some(route), Some(statement)), operation),
        };
        // 11. Only now may a request cost a read.
        let stale = stale(Some(route), freshness, self.policy);
        stale.or_else(|| behind(route, facts, freshness)).map_or_else(
            || {
                Decision::Allow(Grant {
                    route,
                    path: path.clone(),
                    statement: Some(statement.clone()),
                    effective,
                    proof,
                })
            },
            |decision| of(decision, &statement),
        )
    }

    fn statement(
        &self,
        facts: &RequestFacts<'_>,
        cache: &mut StatementCache,
    ) -> Result<Arc<Statement>, Reason> {
        let credential = Credential::from_authorization(facts.authorization)?;
        judge::check_single(facts.proof)?;
        let tag = cache.tag(credential.text());
        let known = cache.find(tag).filter(|known| self.is_current(known));
        let statement = if let Some(known) = known {
            known
        } else if facts.braked {
            return Err(Reason::AddressBraked);
        } else {
            let statement = Arc::new(self.verify(&credential)?);
            cache.insert(tag, Arc::clone(&statement));
            statement
        };
        // The same token under another scheme is the same statement, so this is asked every time.
        let scheme = facts.authorization.and_then(Scheme::of);
        statement.check_scheme(scheme.unwrap_or(Scheme::Bearer))?;
        Ok(statement)
    }
}

/// A refusal that a newer state could lift is only given if the state is fresh enough to be believed. A block that every
/// region has acknowledged is in use at once, so only a read that started after the request arrived can deny one.
fn refuse_unless_stale(
    reason: Reason,
    route: &CompiledRoute,
    statement: Option<Arc<Statement>>,
    freshness: Freshness,
) -> Decision<'_> {
    let is_believed = match reason {
        Reason::IndexUnknown => freshness.read_after_arrival,
        Reason::OrgNotAdmitted
        | Reason::SigningKeyUnknown
        | Reason::IssuerRefused
        | Reason::ScopeInsufficient => freshness.contact_age_ms <= route.max_staleness_ms,
        _ => true,
    };
    match reason {
        _ if is_believed => refuse(reason, Some(route), statement),
        _ if freshness.exhausted => refuse(Reason::StateStale, Some(route), statement),
        Reason::IndexUnknown => Decision::Refresh(Need::Block),
        _ => Decision::Refresh(Need::Stale),
    }
}

fn refuse(reason: Reason, route: Option<&CompiledRoute>, statement: Option<Arc<Statement>>) -> Decision<'_> {
    Decision::Refuse(Refusal {
        reason,
        route,
        needed: route.map(|route| route.all.union(route.any)).unwrap_or_default(),
        statement,
    })
}

/// A refusal of somebody who was proven.
fn of<'p>(decision: Decision<'p>, statement: &Arc<Statement>) -> Decision<'p> {
    match decision {
        Decision::Refuse(refusal) => Decision::Refuse(Refusal {
            statement: Some(Arc::clone(statement)),
            ..refusal
        }),
        other => other,
    }
}

/// A refusal names what this operation needs beside what its route does.
fn with_needs(decision: Decision<'_>, operation: ScopeSet) -> Decision<'_> {
    match decision {
        Decision::Refuse(refusal) => Decision::Refuse(Refusal {
            needed: refusal.needed.union(operation),
            ..refusal
        }),
        other => other,
    }
}

/// What to do instead of letting a request in, if the state is not fresh enough for its route.
fn stale<'p>(
    route: Option<&'p CompiledRoute>,
    freshness: Freshness,
    policy: &CompiledPolicy,
) -> Option<Decision<'p>> {
    let (strict, bound, on_stale) = match route {
        Some(route) => (route.route.strict, route.max_staleness_ms, route.route.on_stale),
        None => (false, DEFAULT_MAX_STALENESS_MS, OnStale::Deny),
    };
    // A revocation that never reached the hub was never acknowledged; but a publisher that has been silent for so long has
    // lost the edge.
    let orphaned = freshness
        .feed_age_ms
        .filter(|age| *age > policy.max_feed_age_ms());
    let need = match strict {
        true if !freshness.read_after_arrival => Need::Strict,
        false if freshness.contact_age_ms > bound => Need::Stale,
        _ if orphaned.is_some() => Need::Stale,
        _ => return None,
    };
    if !freshness.exhausted {
        return Some(Decision::Refresh(need));
    }
    let age = freshness.contact_age_ms.max(orphaned.unwrap_or(0));
    match on_stale {
        OnStale::AllowForSeconds(seconds) if need == Need::Stale && age <= seconds.saturating_mul(1000) => {
            None
        }
        _ => Some(refuse(Reason::StateStale, route, None)),
    }
}

/// What to do instead of letting a request in, if its caller knows of a newer state.
fn behind<'p>(
    route: &'p CompiledRoute,
    facts: &RequestFacts<'_>,
    freshness: Freshness,
) -> Option<Decision<'p>> {
    if facts.min_seq <= freshness.seq {
        None
    } else if freshness.exhausted || freshness.read_after_arrival {
        Some(refuse(Reason::StateStale, Some(route), None))
    } else {
        Some(Decision::Refresh(Need::Seq))
    }
}

#[cfg(test)]
mod tests;
