//! `GET|POST /.portcullis/verify`: the decision without the forwarding, for nginx `auth_request`, Traefik `forwardAuth`,
//! Envoy `ext_authz`, and other Workers through a service binding.
//!
//! The request that is asked about comes in `X-Original-Method` and `X-Original-URI`, or `X-Forwarded-Method` and
//! `X-Forwarded-Uri`, and its credential in Authorization, with its proof in DPoP. Where both pairs are sent they must agree.
//! A proof names the origin of `RESOURCE`, or that of `X-Forwarded-Host` if it is among `PUBLIC_ORIGINS`. The path goes
//! through the same canonical form as in the gateway: nothing that the gateway refuses passes here.
//!
//! Everybody can ask, and about any request: so what a gate signs for origins is never in the answer. It goes with requests that the
//! gateway itself sends on.
//!
//! Answers 200 with the identity headers, 401, 403, 400 for a request that cannot be judged, 503 for a stale state. nginx
//! takes only 2xx, 401 and 403 for an answer: `?answers=auth_request` turns the rest into 403.

use shared::path;
use wasm_bindgen::JsValue;
use worker::{Context, Env};

use super::config::EdgeConfig;
use super::decide::{self, Stop};
use super::gateway;
use super::http::{self, HeaderList, Incoming, request_header};
use super::response::{
    self, Answer, FORBIDDEN, INVALID_TOKEN, METHOD_NOT_ALLOWED, MIN_SEQ, OK, ORIGINAL_REQUEST_UNCLEAR,
};
use crate::answer;
use crate::original;
use crate::validator::RequestFacts;

/// The endpoint.
pub(super) const PATH: &str = "/.portcullis/verify";

/// Answers one question.
pub(super) async fn handle(
    request: &web_sys::Request,
    incoming: &Incoming,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    if !matches!(incoming.method.as_str(), "GET" | "HEAD" | "POST") {
        return response::refuse(METHOD_NOT_ALLOWED, &incoming.request_id, HeaderList::default());
    }
    let named = [
        request_header(request, "x-original-method"),
        request_header(request, "x-forwarded-method"),
        request_header(request, "x-original-uri"),
        request_header(request, "x-forwarded-uri"),
    ];
    let [original_method, forwarded_method, original_uri, forwarded_uri] = named.each_ref();
    let original = original::named(
        (original_method.as_deref(), forwarded_method.as_deref()),
        (original_uri.as_deref(), forwarded_uri.as_deref()),
    );
    let Some((method, path)) = original else {
        return response::refuse(
            ORIGINAL_REQUEST_UNCLEAR,
            &incoming.request_id,
            HeaderList::default(),
        );
    };
    if answer::is_refused_method(method) || path::canonical(path).is_ok_and(|path| gateway::is_own(&path)) {
        return response::refuse(FORBIDDEN, &incoming.request_id, HeaderList::default());
    }
    let Some(min_seq) = gateway::min_seq(incoming) else {
        return response::refuse(MIN_SEQ, &incoming.request_id, HeaderList::default());
    };
    let host = request_header(request, "x-forwarded-host");
    let facts = RequestFacts {
        method,
        path,
        authorization: incoming.authorization.as_deref(),
        origin: incoming.origin.as_deref(),
        proof: incoming.proof.as_deref(),
        public_origin: config.public_origin(host.as_deref().unwrap_or(incoming.authority())),
        mcp_method: incoming.mcp_method.as_deref(),
        mcp_name: incoming.mcp_name.as_deref(),
        mcp_version: incoming.mcp_version.as_deref(),
        min_seq,
        braked: false,
    };
    match decide::decide(facts, &incoming.place, env, context, config).await {
        Ok(pass) => {
            let mut headers = pass.identity;
            headers.append(&pass.limits);
            headers.push("cache-control", "no-store");
            headers.push("x-request-id", &incoming.request_id);
            http::answer(OK, &headers, None)
        }
        Err(stop) => {
            let (query, authorization) = (incoming.query.as_deref(), incoming.authorization.as_deref());
            refusal(stop, query, authorization, &incoming.request_id, path, config).send()
        }
    }
}

/// A refusal, in a form that the asking server understands.
pub(super) fn refusal(
    stop: Stop,
    query: Option<&str>,
    authorization: Option<&str>,
    request_id: &str,
    path: &str,
    config: &EdgeConfig,
) -> Answer {
    let mut parameters = query.unwrap_or_default().split('&');
    let only_three = parameters.any(|parameter| parameter == "answers=auth_request");
    let status = answer::Problem::of_reason(stop.reason).status;
    if only_three && status != INVALID_TOKEN.status && status != FORBIDDEN.status {
        return response::problem_answer(FORBIDDEN, request_id, stop.cors);
    }
    gateway::refusal(stop, authorization, request_id, path, config)
}
