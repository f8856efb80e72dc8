//! The decision without the forwarding, for a server that has each request judged first.
//!
//! **`/.portcullis/verify`**, as the Worker has it: nginx `auth_request`, Traefik `forwardAuth`, Caddy `forward_auth`. The request
//! that is asked about is in `X-Original-Method` and `X-Original-URI`, or `X-Forwarded-Method` and `X-Forwarded-Uri`, and its
//! credential in Authorization, with its proof in DPoP. Where both pairs are sent they must agree. nginx takes only 2xx, 401 and 403
//! for an answer: `?answers=auth_request` turns the rest into 403.
//!
//! **`/.portcullis/ext_authz/…`**, for Envoy's `ext_authz` filter over HTTP with this path as its `path_prefix`: method and path are
//! those of the question itself, behind the prefix. Whatever a client sent in headers that only a gate may set, Envoy is told to
//! take away, in every spelling with underscores, and so is what could replace the method or path that was judged.
//!
//! Nobody but the server in front may reach these addresses: what a gate signs for origins is in the answer. So they are on the
//! gate's own listener only where it is for that server anyway, and on one of their own else ([`super`]).
//!
//! The path goes through the same canonical form as everywhere: nothing that the proxy refuses passes here. A proof names the
//! origin of the resource, or that of `X-Forwarded-Host` if it is among the public origins.

use std::collections::BTreeSet;

use edge::answer::{self as outside, FORBIDDEN, INVALID_TOKEN, ORIGINAL_REQUEST_UNCLEAR};
use edge::library::{Allowed, Question};
use edge::original;
use http::request::Parts;
use http::{HeaderName, Method, Response};
use shared::assertion::HEADER;

use super::{Server, is_own};
use crate::answer::{self, Body};
use crate::gate::Decision;
use crate::headers;
use crate::layer::is_consumed;
use crate::question::{self, header};

/// Where nginx, Traefik and Caddy ask.
pub(super) const VERIFY: &str = "/.portcullis/verify";
/// Where Envoy asks.
pub(super) const EXT_AUTHZ: &str = "/.portcullis/ext_authz";
/// What Envoy takes away from the request before it goes on.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
/// All that a gate says to an origin.
const SAID: &[&str] = &[
    "x-portcullis-subject",
    "x-portcullis-issuer",
    "x-portcullis-org",
    "x-portcullis-workspace",
    "x-portcullis-scopes",
    "x-portcullis-credential",
    HEADER,
];

/// Answers a question whose request is named in headers.
pub(super) async fn verify(server: &Server, parts: &Parts) -> Response<Body> {
    let request_id = question::request_id(&parts.headers);
    if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
        return answer::problem(outside::METHOD_NOT_ALLOWED, &request_id);
    }
    let headers = &parts.headers;
    let (methods, uris) = (
        [
            header(headers, "x-original-method"),
            header(headers, "x-forwarded-method"),
        ],
        [
            header(headers, "x-original-uri"),
            header(headers, "x-forwarded-uri"),
        ],
    );
    let [original_method, forwarded_method] = methods.each_ref();
    let [original_uri, forwarded_uri] = uris.each_ref();
    let named = original::named(
        (original_method.as_deref(), forwarded_method.as_deref()),
        (original_uri.as_deref(), forwarded_uri.as_deref()),
    );
    let Some((method, path)) = named else {
        return answer::problem(ORIGINAL_REQUEST_UNCLEAR, &request_id);
    };
    let question = question::about_another(parts, method, path);
    match judge(server, question).await {
        Ok((method, allowed)) => allow(server, parts, &method, &allowed, &request_id),
        Err(response) if only_three(parts) && !is_one_of_three(&response) => {
            answer::problem(FORBIDDEN, &request_id)
        }
        Err(response) => response,
    }
}

/// Answers a question about the path behind the prefix.
pub(super) async fn ext_authz(server: &Server, parts: &Parts, original: &str) -> Response<Body> {
    let request_id = question::request_id(&parts.headers);
    if !original.starts_with('/') {
        return answer::problem(ORIGINAL_REQUEST_UNCLEAR, &request_id);
    }
    let question = question::about_another(parts, parts.method.as_str(), original);
    let has_credential = question::has_credential(question.authorization.as_deref());
    let (method, allowed) = match judge(server, question).await {
        Ok(judged) => judged,
        Err(response) => return response,
    };
    let mut response = allow(server, parts, &method, &allowed, &request_id);
    let said = response.headers_mut();
    let ours = SAID.iter().flat_map(|name| headers::spellings(name));
    let overrides = headers::OVERRIDES
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.replace('-', "_")]);
    // What the client sent, as far as Envoy shows it: a lenient origin reads more signs than `_` as a hyphen.
    let sent = parts
        .headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| headers::is_dropped(name));
    let all = ours.chain(overrides).chain(sent.map(str::to_owned));
    let mut gone: BTreeSet<String> = all.filter(|name| !said.contains_key(name.as_str())).collect();
    if is_consumed(&allowed, has_credential) {
        gone.extend(
            headers::CREDENTIALS
                .iter()
                .flat_map(|name| headers::spellings(name)),
        );
    }
    let gone: Vec<String> = gone.into_iter().collect();
    headers::insert(said, REMOVE, &gone.join(","));
    response
}

/// What is asked about is never one of the gate's own addresses, and never a method that would show what goes to the origin.
async fn judge(server: &Server, question: Question) -> Result<(String, Box<Allowed>), Response<Body>> {
    if outside::is_refused_method(&question.method) || is_own(&question.path) {
        return Err(answer::problem(FORBIDDEN, &question.request_id));
    }
    let method = question.method.clone();
    match server.gate.verify(question).await {
        Decision::Allow(allowed) => Ok((method, allowed)),
        Decision::Refuse(refused) => Err(answer::refusal(&refused)),
    }
}

/// 200, and who it is: as far as a route goes to the upstream, also signed for it.
fn allow(
    server: &Server,
    parts: &Parts,
    method: &str,
    allowed: &Allowed,
    request_id: &str,
) -> Response<Body> {
    let mut pairs = allowed.headers.clone();
    pairs.push("cache-control", "no-store");
    pairs.push("x-request-id", request_id);
    let mut response = answer::bare(200, &pairs);
    server.assert(allowed, method, response.headers_mut());
    tracing::trace!(request = request_id, path = parts.uri.path(), "asked, and let in");
    response
}

fn only_three(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query
        .split('&')
        .any(|parameter| parameter == "answers=auth_request")
}

fn is_one_of_three(response: &Response<Body>) -> bool {
    [INVALID_TOKEN.status, FORBIDDEN.status].contains(&response.status().as_u16())
}
