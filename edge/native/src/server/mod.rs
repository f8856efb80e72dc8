//! A gate as a process of its own, beside the API or before it. What `portcullis gate` runs.
//!
//! | address | what it is |
//! | --- | --- |
//! | `/.portcullis/verify` | for [who asks](asked): nginx `auth_request`, Traefik `forwardAuth`, Caddy `forward_auth` |
//! | `/.portcullis/ext_authz/…` | for [who asks](asked): Envoy's `ext_authz` over HTTP, by its path prefix |
//! | `/.portcullis/jwks.json` | the public half of the assertion key |
//! | `/.well-known/oauth-protected-resource…` | where to get a token (RFC 9728) |
//! | everything else | [`proxy`]: to the upstream, if there is one |
//!
//! Callers get no answer to questions, for it says what the gate signs: questions are taken where there is no upstream, so that only
//! a server in front has a reason to come, and else on a listener of their own alone.
//!
//! Health and metrics are on a listener of their own ([`status`]): they are not for callers.
//!
//! HTTP/1.1 without TLS: it stands behind whatever ends TLS. What it does not: HTTP/2, gRPC, rate limits.

mod asked;
pub(crate) mod listen;
mod proxy;
mod status;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edge::answer::{INVALID_REQUEST, NOT_FOUND, Problem};
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use shared::assertion::JWKS_PATH;
use shared::path;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::answer::{self, Body};
use crate::assertion::AssertionSigner;
use crate::client::Client;
use crate::gate::Gate;
use crate::layer::metadata_for;
use crate::question;
use crate::settings::{SettingsError, base_url};

/// Below this the gate itself answers; nothing is ever forwarded there.
const OWN_PREFIX: &str = "/.portcullis";

/// What a gate does beside judging.
#[derive(Debug)]
pub struct Options {
    /// Where requests go that are let in: a base URL. Without it the gate only answers those who ask.
    pub upstream: Option<String>,
    /// Where routes with the origin `control-plane` go.
    pub control_plane: String,
    /// How long the upstream may take until the head of its answer.
    pub upstream_limit: Duration,
    /// What is signed for origins.
    pub signer: Option<AssertionSigner>,
    /// How long open requests may take when the process is asked to stop.
    pub grace: Duration,
}

/// Everything that a connection needs.
#[derive(Debug)]
struct Server {
    gate: Gate,
    client: Client,
    upstream: Option<String>,
    control_plane: String,
    upstream_limit: Duration,
    signer: Option<AssertionSigner>,
    unreachable: std::sync::atomic::AtomicU64,
}

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An option is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The machine.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Where a gate is reached.
#[derive(Debug)]
pub struct Listeners {
    /// By callers; where there is no upstream, by those who ask.
    pub callers: TcpListener,
    /// By those who ask, and nobody else. Then `callers` answers no question.
    pub askers: Option<TcpListener>,
    /// By whoever watches it.
    pub status: Option<TcpListener>,
}

/// Serves until `stop` is there; then what is open may end.
pub async fn serve(
    gate: Gate,
    options: Options,
    listeners: Listeners,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let base = |name: &str, url: &str| {
        base_url(url).ok_or_else(|| SettingsError::of(name, "expected http(s)://host[:port][/path]"))
    };
    let upstream = options
        .upstream
        .as_deref()
        .map(|url| base("upstream", url))
        .transpose()?;
    let server = Arc::new(Server {
        gate,
        client: Client::build()?,
        upstream,
        control_plane: base("control_plane", &options.control_plane)?,
        upstream_limit: options.upstream_limit,
        signer: options.signer,
        unreachable: std::sync::atomic::AtomicU64::new(0),
    });
    let Listeners {
        callers,
        askers,
        status,
    } = listeners;
    let watching = status.map(|status| {
        let server = Arc::clone(&server);
        let watching = listen::serve(
            status,
            Duration::ZERO,
            std::future::pending(),
            move |request, _| {
                let server = Arc::clone(&server);
                async move { status::answer(&server, &request) }
            },
        );
        tokio::spawn(watching)
    });
    let (stopping, stopped) = watch::channel(false);
    let is_public = server.upstream.is_some() || askers.is_some();
    let asking = askers.map(|askers| {
        let server = Arc::clone(&server);
        let mut stopped = stopped.clone();
        let stop = async move {
            // An error means that the process ends.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let asking = listen::serve(askers, options.grace, stop, move |request, _| {
            let server = Arc::clone(&server);
            async move { server.answer_asker(request).await }
        });
        tokio::spawn(asking)
    });
    let stop = async {
        stop.await;
        stopping.send_replace(true);
    };
    listen::serve(callers, options.grace, stop, move |request, peer| {
        let server = Arc::clone(&server);
        async move { server.answer(request, peer, is_public).await }
    })
    .await;
    if let Some(asking) = asking {
        // An error means that it ended early.
        let _ = asking.await;
    }
    if let Some(watching) = watching {
        watching.abort();
    }
    Ok(())
}

impl Server {
    /// The gate's own addresses, and the API behind it. Who is public gets no answer to a question.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, is_public: bool) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if !question::has_one_host(&parts) {
            return answer::problem(INVALID_REQUEST, &question::request_id(&parts.headers));
        }
        let known = match self.shown(&parts) {
            None if !is_public => self.answer_question(&parts).await,
            known => known,
        };
        match known {
            Some(response) => headed(&parts, response),
            None => proxy::handle(self, parts, body, peer).await,
        }
    }

    /// The gate's own addresses for a server in front of the API.
    async fn answer_asker(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, _) = request.into_parts();
        let known = match self.shown(&parts) {
            None => self.answer_question(&parts).await,
            known => known,
        };
        let response = known.unwrap_or_else(|| not_found(&question::request_id(&parts.headers)));
        headed(&parts, response)
    }

    /// A document that everybody may read.
    fn shown(&self, parts: &Parts) -> Option<Response<Body>> {
        if parts.uri.path() == JWKS_PATH {
            Some(self.keys(parts))
        } else {
            metadata_for(&self.gate, parts, &question::request_id(&parts.headers))
        }
    }

    async fn answer_question(&self, parts: &Parts) -> Option<Response<Body>> {
        let path = parts.uri.path();
        if path == asked::VERIFY {
            Some(asked::verify(self, parts).await)
        } else {
            let original = path.strip_prefix(asked::EXT_AUTHZ)?;
            Some(asked::ext_authz(self, parts, original).await)
        }
    }

    fn keys(&self, parts: &Parts) -> Response<Body> {
        let request_id = question::request_id(&parts.headers);
        let none = || serde_json::json!({ "keys": [] });
        let keys = self.signer.as_ref().map_or_else(none, AssertionSigner::jwks);
        let asked = question::header(&parts.headers, "access-control-request-headers");
        answer::document(&parts.method, &keys, asked.as_deref(), &request_id)
    }

    /// Where a route's requests go. `None`: nowhere.
    fn upstream<'a>(&'a self, origin: Option<&'a str>) -> Option<&'a str> {
        match origin {
            None => self.upstream.as_deref(),
            Some("control-plane") => Some(&self.control_plane),
            Some(url) => Some(url.trim_end_matches('/')),
        }
    }
}

/// Whether a path belongs to the gate, however it is spelled.
fn is_own(raw: &str) -> bool {
    path::canonical(raw).is_ok_and(|path| {
        path.strip_prefix(OWN_PREFIX)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// An answer to HEAD has no body.
fn headed(parts: &Parts, mut response: Response<Body>) -> Response<Body> {
    if parts.method == Method::HEAD {
        *response.body_mut() = answer::empty();
    }
    response
}

/// There is no such address.
fn not_found(request_id: &str) -> Response<Body> {
    let problem: Problem = NOT_FOUND;
    answer::problem(problem, request_id)
}
