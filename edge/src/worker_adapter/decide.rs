//! One decision: ask the validator, give it a fresher state where it wants one, and put what comes out into owned values.
//!
//! Gateway and verify endpoint share it. What it returns borrows nothing, so the isolate's memory is free again before
//! anything is awaited.

use std::sync::Arc;

use shared::dpop::Proof;
use shared::id::StatusIndex;
use shared::policy::OnStale;
use shared::policy::limits::CompiledLimit;
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
use crate::usage::Mark;
use crate::validator::{Decision, Freshness, Grant, Need, RequestFacts, Validator};

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

/// Decides about one request, of a caller at this place, and counts it.
pub(super) async fn decide(
    facts: RequestFacts<'_>,
    place: &str,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<Pass, Stop> {
    let facts = limits::braked(facts, place);
    let decided = reach(facts, env, context, config).await;
    let decided = limits::admit(decided, place, env, context, config).await;
    usage::count(&decided, place, env, context);
    decided
}

async fn reach(
    facts: RequestFacts<'_>,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<Pass, Stop> {
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
            Some(Judged::Refresh(Need::Seq)) => {
                freshness.exhausted = !feed::refresh_first(env, config, Cause::Seq).await;
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

enum Judged {
    /// With the proof that must count, and the resource that it came to.
    Pass(Pass, Option<(Proof, String)>),
    Stop(Stop),
    Refresh(Need),
}

fn judge(
    isolate: &mut Isolate,
    facts: &RequestFacts<'_>,
    mut freshness: Freshness,
    config: &EdgeConfig,
) -> Judged {
    let now = now();
    let from_copy = isolate.is_copy();
    // A region that was never fresh, or a clock that jumped back: nobody knows how old this is, so it is too old.
    freshness.contact_age_ms = isolate.contact_age_ms(now).unwrap_or(u64::MAX);
    freshness.feed_age_ms = isolate.feed_age_ms(now);
    freshness.seq = isolate.head().map_or(0, |head| head.seq);
    let Some((state, local, policy, cache)) = isolate.deciding() else {
        return Judged::Stop(Stop {
            reason: Reason::StateMissing,
            scopes: String::new(),
            audience: None,
            mark: Mark::default(),
            cors: HeaderList::default(),
        });
    };
    let validator = Validator {
        deployment: &config.deployment,
        state,
        local,
        policy,
    };
    match validator.check(facts, freshness, now.seconds(), cache) {
        Decision::Refresh(need) => Judged::Refresh(need),
        // KV may be a minute behind however young its copy looks: it never decides a route that denies on staleness.
        Decision::Allow(grant) if from_copy && grant.route.route.on_stale == OnStale::Deny => {
            if freshness.exhausted {
                let cors = cors::answer_headers(Some(grant.route), facts.origin);
                return Judged::Stop(Stop {
                    reason: Reason::StateStale,
                    scopes: String::new(),
                    audience: None,
                    mark: Mark {
                        statement: grant.statement,
                        class: Some(Arc::clone(&grant.route.class)),
                    },
                    cors,
                });
            }
            Judged::Refresh(Need::Stale)
        }
        Decision::Allow(grant) => {
            let identity = identity(&grant, &policy.catalogue().join(grant.effective));
            let route = grant.route;
            let pass = Pass {
                public: route.route.public,
                origin: route.route.origin.clone(),
                forward_credential: route.route.forward_credential,
                own_cors: cors::is_ours(route),
                strict: route.route.strict,
                mcp: route.mcp.is_some(),
                index: grant.statement.as_ref().map(|statement| statement.index),
                lifetime_ms: route.max_connection_seconds.saturating_mul(1000),
                cors: cors::answer_headers(Some(route), facts.origin),
                limit: route.limit.clone(),
                limits: HeaderList::default(),
                identity,
                mark: Mark {
                    statement: grant.statement,
                    class: Some(Arc::clone(&route.class)),
                },
                path: grant.path,
            };
            let bound = grant.proof.map(|proof| (proof, route.audience.clone()));
            Judged::Pass(pass, bound)
        }
        Decision::Refuse(refusal) => Judged::Stop(Stop {
            reason: refusal.reason,
            scopes: policy.catalogue().join(refusal.needed),
            audience: refusal.route.map(|route| route.audience.clone()),
            mark: Mark {
                statement: refusal.statement,
                class: refusal.route.map(|route| Arc::clone(&route.class)),
            },
            cors: cors::answer_headers(refusal.route, facts.origin),
        }),
    }
}

/// Who was let in, for the origin to read.
fn identity(grant: &Grant<'_>, scopes: &str) -> HeaderList {
    let mut headers = HeaderList::default();
    let Some(statement) = &grant.statement else {
        return headers;
    };
    headers.push("x-portcullis-subject", &statement.subject);
    headers.push("x-portcullis-org", &statement.org.to_string());
    let workspace = statement
        .workspace
        .map_or_else(|| "all".to_owned(), |workspace| workspace.to_string());
    headers.push("x-portcullis-workspace", &workspace);
    headers.push("x-portcullis-scopes", scopes);
    headers.push("x-portcullis-credential", &statement.credential);
    headers
}
