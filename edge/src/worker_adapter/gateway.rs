//! The gateway: what is let in goes on to its origin, streaming both ways; what is not gets a problem and a challenge.
//!
//! The request goes out in the canonical path that was judged, with the query as sent. What a caller says in headers of
//! ours is dropped in both directions; `http.js` does that to every request and answer that passes.

use shared::assertion::HEADER;
use shared::id::LIMIT;
use shared::path;
use shared::verdict::Reason;
use wasm_bindgen::JsValue;
use worker::{Context, Env, console_error};

use super::config::EdgeConfig;
use super::decide::{self, Pass, Stop};
use super::feed;
use super::http::{self, ForwardRules, HeaderList, Incoming};
use super::response::{
    self, Answer, BODY_NOT_ALLOWED, METHOD_NOT_ALLOWED, MIN_SEQ, MISCONFIGURED, NOT_FOUND,
    ORIGIN_UNREACHABLE, Problem, STATE_STALE, UPGRADE_REFUSED,
};
use super::{assertion, cors, isolate, metadata, self_revoke};
use crate::answer;
use crate::validator::{Credential, RequestFacts, Scheme};

/// Below this the gate itself answers; nothing is ever forwarded there.
pub(super) const OWN_PREFIX: &str = "/.portcullis";

/// Answers one request to the API.
pub(super) async fn handle(
    request: &web_sys::Request,
    incoming: &Incoming,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    if cors::is_preflight(incoming) {
        return preflight(incoming, env, context, config).await;
    }
    // However it was spelled: these addresses are not the origin's.
    if path::canonical(&incoming.path).is_ok_and(|path| is_own(&path)) {
        return response::refuse(NOT_FOUND, &incoming.request_id, HeaderList::default());
    }
    if answer::is_refused_method(&incoming.method) {
        return response::refuse(METHOD_NOT_ALLOWED, &incoming.request_id, HeaderList::default());
    }
    let Some(facts) = facts(incoming, config) else {
        return response::refuse(MIN_SEQ, &incoming.request_id, HeaderList::default());
    };
    match decide::decide(facts, &incoming.place, env, context, config).await {
        Ok(pass) => forward(request, incoming, pass, env, config).await,
        Err(stop) => {
            let authorization = incoming.authorization.as_deref();
            refusal(stop, authorization, &incoming.request_id, &incoming.path, config).send()
        }
    }
}

/// Whether a path belongs to the gate.
pub(super) fn is_own(path: &str) -> bool {
    path.strip_prefix(OWN_PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The seq that a caller asks for: 0 without the header, `None` if it is no number below 2^53.
pub(super) fn min_seq(incoming: &Incoming) -> Option<u64> {
    let Some(text) = incoming.min_seq.as_deref() else {
        return Some(0);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|seq| digits && *seq < LIMIT)
}

/// What the validator looks at; `None` if it cannot be read.
fn facts<'a>(incoming: &'a Incoming, config: &'a EdgeConfig) -> Option<RequestFacts<'a>> {
    Some(RequestFacts {
        min_seq: min_seq(incoming)?,
        braked: false,
        method: &incoming.method,
        path: &incoming.path,
        authorization: incoming.authorization.as_deref(),
        origin: incoming.origin.as_deref(),
        proof: incoming.proof.as_deref(),
        public_origin: config.public_origin(incoming.authority()),
        mcp_method: incoming.mcp_method.as_deref(),
        mcp_name: incoming.mcp_name.as_deref(),
        mcp_version: incoming.mcp_version.as_deref(),
    })
}

async fn preflight(
    incoming: &Incoming,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    feed::warm_up(env, config).await;
    feed::refresh_in_background(env, context);
    match isolate::with(|isolate| isolate.policy().map(|policy| cors::preflight(policy, incoming))).flatten()
    {
        Some(answer) => answer,
        None => response::refuse(STATE_STALE, &incoming.request_id, HeaderList::default()),
    }
}

async fn forward(
    request: &web_sys::Request,
    incoming: &Incoming,
    pass: Pass,
    env: &Env,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    let Some(upstream) = config.upstream(pass.origin.as_deref()) else {
        console_error!("a route goes to the control plane, but CONTROL_PLANE is not set");
        return response::refuse(MISCONFIGURED, &incoming.request_id, pass.cors);
    };
    let url = match &incoming.query {
        Some(query) => format!("{upstream}{}?{query}", pass.path),
        None => format!("{upstream}{}", pass.path),
    };
    let mut outgoing = pass.identity;
    if let Some(word) = assertion::word(pass.caller, config) {
        outgoing.push(HEADER, &word);
    }
    outgoing.push("x-request-id", &incoming.request_id);
    if let Some((scheme, host)) = incoming.base.split_once("://") {
        outgoing.push("x-forwarded-proto", scheme);
        outgoing.push("x-forwarded-host", host);
    }
    let mut answer = pass.cors.clone();
    answer.append(&pass.limits);
    answer.push("x-request-id", &incoming.request_id);
    let rules = ForwardRules {
        guarded: !pass.public,
        remove_authorization: if pass.public {
            has_credential(incoming.authorization.as_deref())
        } else {
            !pass.forward_credential
        },
        websocket: incoming.is_websocket(),
        own_cors: pass.own_cors,
        bodiless_delete: pass.mcp,
        lifetime_ms: pass.lifetime_ms,
    };
    // A strict route promises that what is revoked is out at once. A socket that is open already would still be in.
    // And what passes on one says in no header what it asks for, so rules per operation could not hold.
    if (pass.strict || pass.mcp) && rules.websocket {
        return response::refuse(UPGRADE_REFUSED, &incoming.request_id, pass.cors);
    }
    // What the gate itself can do should the control plane be away.
    let ending = pass.index.filter(|_| {
        pass.origin.as_deref() == Some("control-plane")
            && pass.path == self_revoke::PATH
            && incoming.method == "POST"
    });
    let wait_ms = ending.map(|_| self_revoke::WAIT_MS);
    match (
        http::send(request, &url, rules, &outgoing, &answer, wait_ms).await,
        ending,
    ) {
        (Ok(Some(response)), Some(index)) if self_revoke::is_absent(response.status()) => {
            self_revoke::end_here(index, incoming, pass.cors, env, config).await
        }
        (Err(_), Some(index)) => self_revoke::end_here(index, incoming, pass.cors, env, config).await,
        (sent, _) => answered(sent, incoming, pass.cors),
    }
}

/// What the caller gets for what the origin said.
fn answered(
    sent: Result<Option<web_sys::Response>, JsValue>,
    incoming: &Incoming,
    cors: HeaderList,
) -> Result<web_sys::Response, JsValue> {
    match sent {
        Ok(Some(response)) => Ok(response),
        Ok(None) => response::refuse(BODY_NOT_ALLOWED, &incoming.request_id, cors),
        Err(error) => unreachable(&error, &incoming.request_id, cors),
    }
}

/// The answer in place of an origin that gave none.
pub(super) fn unreachable(
    error: &JsValue,
    request_id: &str,
    cors: HeaderList,
) -> Result<web_sys::Response, JsValue> {
    console_error!(
        "{} the origin did not answer: {}",
        request_id,
        http::describe(error)
    );
    response::refuse(ORIGIN_UNREACHABLE, request_id, cors)
}

/// On public routes nobody looks at credentials; ours still go no further. Another scheme is the origin's business.
pub(super) fn has_credential(authorization: Option<&str>) -> bool {
    Credential::from_authorization(authorization) != Err(Reason::CredentialMissing)
}

/// A refusal of a request for `path`, with its challenge.
pub(super) fn refusal(
    stop: Stop,
    authorization: Option<&str>,
    request_id: &str,
    path: &str,
    config: &EdgeConfig,
) -> Answer {
    let problem = Problem::of_reason(stop.reason);
    let mut headers = stop.cors;
    headers.push("vary", "Authorization, Origin");
    let scopes = answer::scopes_for(stop.reason, &stop.scopes);
    let scheme = authorization.and_then(Scheme::of);
    let audience = stop.audience.as_deref().unwrap_or(&config.resource);
    let metadata = metadata::url_for(audience, path, config);
    response::challenge(&mut headers, problem, &metadata, scopes, scheme);
    response::problem_answer(problem, request_id, headers)
}
