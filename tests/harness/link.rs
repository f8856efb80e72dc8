//! The wire between control plane and edge: records every push, and can be cut.
//!
//! It changes nothing in what passes. Tests that replay or reorder frames take them from here: real ones.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Request as AxumRequest, State},
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::http::{self, Request};

/// One push that the control plane sent.
#[derive(Clone, Debug)]
pub struct Push {
    /// The path, `/.portcullis/feed` or below.
    pub path: String,
    /// The body: a feed message.
    pub body: Vec<u8>,
    /// What the edge answered; 503 if the wire was cut.
    pub status: u16,
}

#[derive(Debug)]
struct Wire {
    edge: String,
    pushes: Mutex<Vec<Push>>,
    cut: AtomicBool,
}

impl Wire {
    fn record(&self, path: &str, body: &[u8], status: u16) {
        self.pushes.lock().unwrap().push(Push {
            path: path.to_owned(),
            body: body.to_vec(),
            status,
        });
    }
}

/// A running recorder.
#[derive(Debug)]
pub struct Link {
    url: String,
    wire: Arc<Wire>,
    task: JoinHandle<()>,
}

impl Link {
    /// Listens on a port of its own and passes everything on to `edge` (`host:port`).
    pub async fn start(edge: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let wire = Arc::new(Wire {
            edge: edge.to_owned(),
            pushes: Mutex::default(),
            cut: AtomicBool::new(false),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&wire));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, wire, task })
    }

    /// Where the control plane has to push to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on every push gets 503 and does not arrive.
    pub fn cut(&self) {
        self.wire.cut.store(true, Ordering::SeqCst);
    }

    /// Lets pushes pass again.
    pub fn mend(&self) {
        self.wire.cut.store(false, Ordering::SeqCst);
    }

    /// Everything that was sent so far, in order; 503 is what did not arrive.
    pub fn pushes(&self) -> Vec<Push> {
        self.wire.pushes.lock().unwrap().clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(wire): State<Arc<Wire>>, request: AxumRequest) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    if wire.cut.load(Ordering::SeqCst) {
        wire.record(target, &body, 503);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let mut onward = Request::new(parts.method.as_str(), target).body(&body);
    for (name, value) in &parts.headers {
        if !matches!(
            name.as_str(),
            "host" | "content-length" | "connection" | "transfer-encoding"
        ) {
            onward = onward.header(name.as_str(), value.as_bytes());
        }
    }
    let Ok(answer) = http::once(&wire.edge, &onward).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    wire.record(target, &body, answer.status);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in answer.headers {
        let hop = matches!(
            name.as_str(),
            "content-length" | "connection" | "transfer-encoding" | "keep-alive"
        );
        let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let ((Ok(name), Ok(value)), false) = (pair, hop) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
