//! One decision: ask the validator, give it a fresher state where it wants one, and put what comes out into owned values.
//!
//! Gateway and verify endpoint share it. [`ask`] is the synchronous part, which the [fast path](super::fast) uses alone;
//! [`decide`] may read and wait. What that returns borrows nothing, so the isolate's memory is free again before anything is
//! awaited.

use std::sync::Arc;

use shared::dpop::Proof;
use shared::id::StatusIndex;
use shared::policy::limits::CompiledLimit;
use shared::policy::{CompiledPolicy, OnStale};
use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use shared::verdict::Reason;
use worker::{Context, Env, console_error};

use super::config::EdgeConfig;
use super::cors;
use super::feed;
use super::http::{self, HeaderList, now};
use super::isolate::{self, Cause, Isolate};
use super::limits;
use super::peers;
use super::response::{CONFLICT, OK};
use super::usage;
use crate::assertion::{Caller, Destination};
use crate::usage::Mark;
use crate::validator::{
    Decision, Freshness, Grant, Need, Refusal, RequestFacts, Signer, Statement, StatementCache, Validator,
};

/// Reads that one request may wait for.
const MAX_READS: usize = 3;

/// Let in: what the gateway needs to go on.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the policy"
)]
#[derive(Debug)]
pub(super) struct Pass {
    /// Canonical: the one form that is forwarded.
    pub(super) path: String,
    pub(super) public: bool,
    /// As in the policy: absent, `control-plane`, or a base URL.
    pub(super) origin: Option<String>,
    pub(super) forward_credential: bool,
    pub(super) own_cors: bool,
    pub(super) strict: bool,
    /// The route has rules per operation.
    pub(super) mcp: bool,
    /// The credential's; none on a public route.
    pub(super) index: Option<StatusIndex>,
    /// How long the connection may stay open.
    pub(super) lifetime_ms: u64,
    /// The limits of the route's class.
    pub(super) limit: Option<Arc<CompiledLimit>>,
    /// What the answer says of them.
    pub(super) limits: HeaderList,
    /// For usage.
    pub(super) mark: Mark,
    /// `X-Portcullis-*`, empty on a public route.
    pub(super) identity: HeaderList,
    /// What is to be signed for the origin, if the gate has a key for that.
    pub(super) caller: Option<Caller>,
    pub(super) cors: HeaderList,
}

/// Kept out.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) reason: Reason,
    /// Everything the operation needs, space-separated, for the challenge.
    pub(super) scopes: String,
    /// The resource that a token must be for, where a route matched.
    pub(super) audience: Option<String>,
    /// For usage.
    pub(super) mark: Mark,
    pub(super) cors: HeaderList,
}

/// Decides about one request, of a caller at this place, for good, and counts it: nothing that comes out of here is judged
/// again.
pub(super) async fn decide(
    facts: RequestFacts<'_>,
    place: &str,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<Pass, Stop> {
    let facts = limits::braked(facts, place);
    let decided = settle(facts, env, context, config).await;
    let decided = limits::admit(decided, place, env, context, config).await;
    isolate::with(|isolate| isolate.count_decision(false));
    usage::count(&decided, place, env, context);
    decided
}

async fn settle(
    facts: RequestFacts<'_>,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<Pass, Stop> {
    let arrived = now();
    feed::warm_up(env, config).await;
    let mut freshness = Freshness::default();
    for reads in 0..=MAX_READS {
        freshness.exhausted |= reads == MAX_READS;
        match isolate::with(|isolate| judge(isolate, &facts, freshness, config)) {
            Some(Judged::Pass(pass, bound)) => {
                feed::refresh_in_background(env, context);
                return match bound {
                    Some((proof, audience)) => spend(proof, audience, pass, env, config).await,
                    None => Ok(pass),
                };
            }
            Some(Judged::Stop(stop)) => {
                feed::refresh_in_background(env, context);
                return Err(stop);
            }
            // A read that starts now starts after the request arrived.
            Some(Judged::Refresh(Need::Strict)) => match feed::read(env, config, Cause::Strict).await {
                Ok(()) => freshness.read_after_arrival = true,
                Err(()) => freshness.exhausted = true,
            },
            Some(Judged::Refresh(Need::Stale)) => {
                freshness.exhausted = !feed::refresh_first(env, config, Cause::Stale).await;
            }
            Some(Judged::Refresh(Need::Seq | Need::Block)) => {
                freshness.read_after_arrival = feed::refresh_after(env, config, arrived).await;
                freshness.exhausted = !freshness.read_after_arrival;
            }
            None => break,
        }
    }
    Err(Stop {
        reason: Reason::StateStale,
        scopes: String::new(),
        audience: None,
        mark: Mark::default(),
        cors: HeaderList::default(),
    })
}

/// Lets a proof count, once (RFC 9449 §11.1): in this isolate, and on a strict route at the whole edge.
async fn spend(
    proof: Proof,
    audience: String,
    pass: Pass,
    env: &Env,
    config: &EdgeConfig,
) -> Result<Pass, Stop> {
    let at = now().seconds();
    let is_new = isolate::with(|isolate| isolate.replays.remember(&proof, at));
    let reason = match is_new {
        Some(true) if !pass.strict => return Ok(pass),
        Some(true) => match peers::ask_about_proof(env, config, &proof).await {
            Ok(OK) => return Ok(pass),
            Ok(CONFLICT) => Reason::ProofReplayed,
            Ok(status) => {
                console_error!("the hub answered {} about a proof", status);
                Reason::StateStale
            }
            Err(error) => {
                console_error!("the hub did not answer: {}", http::describe(&error));
                Reason::StateStale
            }
        },
        Some(false) => Reason::ProofReplayed,
        None => Reason::StateStale,
    };
    Err(Stop {
        reason,
        scopes: String::new(),
        audience: Some(audience),
        mark: pass.mark,
        cors: pass.cors,
    })
}

#[expect(
    clippy::large_enum_variant,
    reason = "moved once: a box would be an allocation for every request"
)]
enum Judged {
    /// With the proof that must count, and the resource that it came to.
    Pass(Pass, Option<(Proof, String)>),
    Stop(Stop),
    Refresh(Need),
}

/// What the validator says of a request as things stand, with the policy that it went by and what is remembered. `None`:
/// there is nothing to decide with yet.
pub(super) fn ask<'i>(
    isolate: &'i mut Isolate,
    facts: &RequestFacts<'_>,
    mut freshness: Freshness,
    config: &'i EdgeConfig,
    now: UnixMillis,
) -> Option<(Decision<'i>, &'i CompiledPolicy, &'i mut StatementCache)> {
    let from_copy = isolate.is_copy();
    // A region that was never fresh, or a clock that jumped back: nobody knows how old this is, so it is too old.
    freshness.contact_age_ms = isolate.contact_age_ms(now).unwrap_or(u64::MAX);
    freshness.feed_age_ms = isolate.feed_age_ms(now);
    freshness.seq = isolate.head().map_or(0, |head| head.seq);
    let (state, local, policy, cache) = isolate.deciding()?;
    let validator = Validator {
        deployment: &config.deployment,
        state,
        local,
        policy,
    };
    let decision = match validator.check(facts, freshness, now.seconds(), cache) {
        // KV may be a minute behind however young its copy looks: it never decides a route that denies on staleness.
        Decision::Allow(grant) if from_copy && grant.route.route.on_stale == OnStale::Deny => {
            if freshness.exhausted {
                Decision::Refuse(Refusal {
                    reason: Reason::StateStale,
                    route: Some(grant.route),
                    needed: ScopeSet::EMPTY,
                    statement: grant.statement,
                })
            } else {
                Decision::Refresh(Need::Stale)
            }
        }
        other => other,
    };
    Some((decision, policy, cache))
}

fn judge(
    isolate: &mut Isolate,
    facts: &RequestFacts<'_>,
    freshness: Freshness,
    config: &EdgeConfig,
) -> Judged {
    match ask(isolate, facts, freshness, config, now()) {
        None => Judged::Stop(Stop {
            reason: Reason::StateMissing,
            scopes: String::new(),
            audience: None,
            mark: Mark::default(),
            cors: HeaderList::default(),
        }),
        Some((Decision::Refresh(need), ..)) => Judged::Refresh(need),
        Some((Decision::Refuse(refusal), policy, _)) => Judged::Stop(stop(&refusal, policy, facts.origin)),
        Some((Decision::Allow(grant), policy, _)) => {
            let mut pass = pass(&grant, facts.origin);
            if let Some(statement) = &grant.statement {
                pass.identity = identity(statement, grant.effective, policy);
                pass.caller = caller(&grant, facts.method, policy, config);
            }
            let bound = grant.proof.map(|proof| (proof, grant.route.audience.clone()));
            Judged::Pass(pass, bound)
        }
    }
}

/// What goes on, but for who it is.
fn pass(grant: &Grant<'_>, origin: Option<&str>) -> Pass {
    let route = grant.route;
    Pass {
        public: route.route.public,
        origin: route.route.origin.clone(),
        forward_credential: route.route.forward_credential,
        own_cors: cors::is_ours(route),
        strict: route.route.strict,
        mcp: route.mcp.is_some(),
        index: grant.statement.as_ref().and_then(|statement| statement.index()),
        lifetime_ms: route.max_connection_seconds.saturating_mul(1000),
        cors: cors::answer_headers(Some(route), origin),
        limit: route.limit.clone(),
        limits: HeaderList::default(),
        identity: HeaderList::default(),
        caller: None,
        mark: Mark::of(grant.statement.as_ref(), Some(route)),
        path: grant.path.clone(),
    }
}

/// What the caller is told who stays out.
pub(super) fn stop(refusal: &Refusal<'_>, policy: &CompiledPolicy, origin: Option<&str>) -> Stop {
    Stop {
        reason: refusal.reason,
        scopes: policy.catalogue().join(refusal.needed),
        audience: refusal.route.map(|route| route.audience.clone()),
        mark: Mark::of(refusal.statement.as_ref(), refusal.route),
        cors: cors::answer_headers(refusal.route, origin),
    }
}

/// Who was let in, for the origin to read.
pub(super) fn identity(statement: &Statement, effective: ScopeSet, policy: &CompiledPolicy) -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push("x-portcullis-subject", &statement.subject);
    if let Signer::Issuer { name, .. } = &statement.signer {
        headers.push("x-portcullis-issuer", name);
    }
    headers.push("x-portcullis-org", &statement.org.to_string());
    headers.push("x-portcullis-workspace", &workspace(statement));
    headers.push("x-portcullis-scopes", &policy.catalogue().join(effective));
    headers.push("x-portcullis-credential", &statement.credential);
    headers
}

/// What is signed for the origin about a request that was let in. `None`: nothing is, or there is nobody to speak of.
pub(super) fn caller(
    grant: &Grant<'_>,
    method: &str,
    policy: &CompiledPolicy,
    config: &EdgeConfig,
) -> Option<Caller> {
    config.assertion.as_ref()?;
    let statement = grant.statement.as_ref()?;
    let upstream = config.upstream(grant.route.route.origin.as_deref())?;
    Some(Caller {
        to: Destination::of(upstream, method, &grant.path)?,
        subject: statement.subject.clone(),
        org: statement.org.to_string(),
        workspace: workspace(statement),
        scope: policy.catalogue().join(grant.effective),
        credential: statement.credential.clone(),
    })
}

fn workspace(statement: &Statement) -> String {
    statement
        .workspace
        .map_or_else(|| "all".to_owned(), |workspace| workspace.to_string())
}
