//! WebSockets (RFC 6455): the only upgrade that passes. Another one could smuggle requests past the gate (h2c).
//!
//! What passes on an open socket is not judged; strict routes and MCP routes take none. On guarded routes the connection is cut
//! at the route's `max_connection_seconds`.

use std::pin::Pin;

use edge::library::Allowed;
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::time::Sleep;

use super::proxy;
use crate::answer::{self, Body};
use crate::question::header;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Whether a caller wants to speak WebSocket (§4.1).
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    header(headers, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        && header(headers, "connection").is_some_and(|value| {
            value
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        })
}

/// Asks the other side for it.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

/// Both sides have agreed: joins them until `end`, and answers the caller.
pub(super) fn join(
    parts: Parts,
    mut response: Response<Incoming>,
    allowed: &Allowed,
    end: Option<Pin<Box<Sleep>>>,
) -> Response<Body> {
    let theirs = hyper::upgrade::on(&mut response);
    let ours = hyper::upgrade::on(Request::from_parts(parts, ()));
    tokio::spawn(async move {
        let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else {
            tracing::debug!("an upgrade was agreed on and did not come");
            return;
        };
        let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
        let relayed = tokio::io::copy_bidirectional(&mut ours, &mut theirs);
        // However it ends, both are closed then.
        match end {
            Some(end) => tokio::select! {
                ended = relayed => drop(ended),
                () = end => {}
            },
            None => drop(relayed.await),
        }
    });
    let (mut head, _) = response.into_parts();
    proxy::finish(&mut head.headers, allowed);
    ask(&mut head.headers);
    Response::from_parts(head, answer::empty())
}
