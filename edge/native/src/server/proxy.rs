//! The reverse proxy: what is let in goes on to the upstream, streaming both ways; what is not gets a problem and a challenge.
//!
//! The request goes out in the canonical path that was judged, with the query as sent, without the credential that was consumed and
//! without anything that only a gate may say; who it is goes with it. On guarded routes nothing stays open past the route's
//! `max_connection_seconds`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use edge::answer::{BODY_NOT_ALLOWED, INVALID_REQUEST, MISCONFIGURED, ORIGIN_UNREACHABLE, Problem};
use edge::library::{Allowed, HeaderPairs};
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::{Server, is_own, not_found, upgrade};
use crate::answer::{self, Body, BoxError};
use crate::client::{describe, is_callers};
use crate::gate::Decision;
use crate::headers;
use crate::layer::is_consumed;
use crate::question;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers one request to the API.
pub(super) async fn handle(
    server: &Server,
    parts: Parts,
    body: Incoming,
    peer: SocketAddr,
) -> Response<Body> {
    let question = question::about(&parts);
    let request_id = question.request_id.clone();
    // However it was spelled: these addresses are not the upstream's. And without one, no address is.
    if is_own(&question.path) || server.upstream.is_none() {
        return not_found(&request_id);
    }
    let (has_body, authority) = (question.has_body, question.authority.clone());
    let has_credential = question::has_credential(question.authorization.as_deref());
    let allowed = match server.gate.verify(question).await {
        Decision::Allow(allowed) => allowed,
        Decision::Refuse(refused) => return answer::refusal(&refused),
    };
    if has_body && matches!(parts.method, Method::GET | Method::HEAD) {
        return refuse(BODY_NOT_ALLOWED, &request_id, &allowed);
    }
    let Some(uri) = target(server, &allowed, parts.uri.query()) else {
        tracing::error!(
            path = allowed.path,
            "a route's origin is no URL that a request could go to"
        );
        return refuse(MISCONFIGURED, &request_id, &allowed);
    };
    let wanted = upgrade::wanted(&parts.headers);
    let mut outgoing = Request::new(body.map_err(Into::into).boxed_unsync());
    *outgoing.method_mut() = parts.method.clone();
    *outgoing.uri_mut() = uri;
    let origin = server.gate.public_origin(&authority);
    let callers = parts.headers.clone();
    *outgoing.headers_mut() = headers_for(server, &parts, &allowed, has_credential);
    let going = outgoing.headers_mut();
    headers::insert(going, REQUEST_ID, &request_id);
    headers::insert(going, FORWARDED_HOST, &authority);
    let scheme = origin.split_once("://").map_or("http", |(scheme, _)| scheme);
    headers::insert(going, FORWARDED_PROTO, scheme);
    let before = question::header(&callers, FORWARDED_FOR.as_str());
    let hops = before.map_or_else(
        || peer.ip().to_string(),
        |before| format!("{before}, {}", peer.ip()),
    );
    headers::insert(going, FORWARDED_FOR, &hops);
    if wanted {
        upgrade::ask(going);
    }
    // From here on, and not from when the upstream has begun: who was let in now is out by then.
    let end = (!allowed.public).then(|| end_of(&allowed));
    let sent = tokio::time::timeout(server.upstream_limit, server.client.send(outgoing)).await;
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if is_callers(&error) => return refuse(INVALID_REQUEST, &request_id, &allowed),
        Ok(Err(error)) => return unreachable(server, &describe(&error), &request_id, &allowed),
        Err(_) => return unreachable(server, "no answer in time", &request_id, &allowed),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if !wanted {
            return unreachable(server, "an upgrade that nobody asked for", &request_id, &allowed);
        }
        return upgrade::join(parts, response, &allowed, end);
    }
    passed_back(response, &allowed, end)
}

/// The upstream's address for the path that was judged.
fn target(server: &Server, allowed: &Allowed, query: Option<&str>) -> Option<Uri> {
    let upstream = server.upstream(allowed.route.origin.as_deref())?;
    let path = &allowed.path;
    match query {
        Some(query) => format!("{upstream}{path}?{query}"),
        None => format!("{upstream}{path}"),
    }
    .parse()
    .ok()
}

/// What goes on of a request's headers, and who it is.
fn headers_for(server: &Server, parts: &Parts, allowed: &Allowed, has_credential: bool) -> HeaderMap {
    let mut going = parts.headers.clone();
    headers::strip_request(&mut going);
    if is_consumed(allowed, has_credential) {
        headers::remove_credentials(&mut going);
    }
    // The client writes these itself: the host that it speaks to, and the length of what it sends. And it has the body already.
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        going.remove(name);
    }
    answer::set(&mut going, &allowed.headers);
    server.assert(allowed, parts.method.as_str(), &mut going);
    going
}

impl Server {
    /// Adds the gate's signed word about a request with this method, if it has a key for that.
    pub(super) fn assert(&self, allowed: &Allowed, method: &str, headers: &mut HeaderMap) {
        let upstream = self.upstream(allowed.route.origin.as_deref());
        if let (Some(signer), Some(upstream)) = (&self.signer, upstream)
            && let Some(text) =
                signer.about(allowed, &self.gate.resource(), upstream, method, self.gate.now())
        {
            headers::insert(headers, HeaderName::from_static(shared::assertion::HEADER), &text);
        }
    }
}

/// When a connection that was let in now is over.
fn end_of(allowed: &Allowed) -> Pin<Box<Sleep>> {
    let limit = Duration::from_secs(allowed.route.max_connection_seconds);
    Box::pin(tokio::time::sleep(limit))
}

/// The answer. Its body is cut at `end`: it may go on for ever (server-sent events), and one that says how long it is may take as long.
fn passed_back(
    response: Response<Incoming>,
    allowed: &Allowed,
    end: Option<Pin<Box<Sleep>>>,
) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    finish(&mut parts.headers, allowed);
    let body = match end {
        Some(end) if !body.is_end_stream() => Limited { body, end }.boxed_unsync(),
        _ => body.map_err(Into::into).boxed_unsync(),
    };
    Response::from_parts(parts, body)
}

/// What an answer of the upstream may say.
pub(super) fn finish(headers: &mut HeaderMap, allowed: &Allowed) {
    headers::strip_response(headers);
    headers::finish(headers, allowed.public, allowed.own_cors);
    answer::set(headers, &allowed.response_headers);
}

fn unreachable(server: &Server, what: &str, request_id: &str, allowed: &Allowed) -> Response<Body> {
    tracing::warn!(request = request_id, error = what, "the upstream did not answer");
    server.unreachable.fetch_add(1, Ordering::Relaxed);
    refuse(ORIGIN_UNREACHABLE, request_id, allowed)
}

/// A problem after the request was let in: a page may read it as it could have read the answer.
fn refuse(problem: Problem, request_id: &str, allowed: &Allowed) -> Response<Body> {
    let mut headers = HeaderPairs::default();
    for (name, value) in allowed
        .response_headers
        .iter()
        .filter(|(name, _)| *name != REQUEST_ID.as_str())
    {
        headers.push(name, value);
    }
    answer::problem_with(problem, request_id, headers)
}

/// A body that is cut when its time is up.
struct Limited {
    body: Incoming,
    end: Pin<Box<Sleep>>,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("max_connection".into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
