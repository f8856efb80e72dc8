//! The one HTTP client: to the control plane, to a gate's keys, and to the upstream. HTTP/1.1, with or without TLS.
//!
//! It sends a request target exactly as it was made up: what was judged is what goes out. It follows no redirect, keeps no
//! cookies, and takes no proxy from the environment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::answer::{Body, BoxError, empty};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// Connections to one host that wait for their next request.
const MAX_IDLE: usize = 256;

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Body>);

/// A whole answer.
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// An error means that the machine's certificates cannot be read.
    pub(crate) fn build() -> std::io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        tcp.set_nodelay(true);
        // The scheme is the next layer's business.
        tcp.enforce_http(false);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self(client))
    }

    /// Sends a request on, and answers when the head of an answer is there.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        self.0.request(request).await.map_err(Into::into)
    }

    /// `GET uri`, within a time, and an answer of at most so many bytes.
    pub(crate) async fn get(
        &self,
        uri: Uri,
        headers: HeaderMap,
        most: usize,
        limit: Duration,
    ) -> Result<Whole, BoxError> {
        let mut request = Request::new(empty());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let whole = async {
            let (parts, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, most).collect().await?.to_bytes();
            Ok(Whole {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        tokio::time::timeout(limit, whole)
            .await
            .map_err(|_| BoxError::from("no answer in time"))?
    }
}

/// What went wrong, with what was behind it, in one line.
pub(crate) fn describe(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Whether it was the caller's own body that could not be read to its end.
pub(crate) fn is_callers(error: &BoxError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(inner) = cause {
        if inner
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_user)
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// So that the type of an empty body is named once.
pub(crate) fn nothing() -> Empty<Bytes> {
    Empty::new()
}
