//! The demo API behind the gateway: says in JSON what reached it, and remembers it.
//!
//! Whatever the path, `?demo=` asks for another behaviour: `stream` (`&chunks=n`, one line every 50 ms), `measured` (the
//! same, with its length said before), `echo` (the
//! body, piece by piece as it arrives), `headers` (answers with headers that a gateway has to remove), `status&code=n`.
//! A WebSocket upgrade is accepted everywhere, and echoes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRequestParts as _, Request, State, WebSocketUpgrade, ws::WebSocket},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};

/// One request, as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path, undecoded.
    pub path: String,
    /// What follows the `?`, undecoded.
    pub query: Option<String>,
    /// Header names in lower case; several values are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, as text.
    pub body: String,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// A running demo API.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    log: Log,
    task: JoinHandle<()>,
}

impl Origin {
    /// Listens on `address` and serves from a task of its own.
    pub async fn start(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let log = Log::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&log));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the demo origin ended: {error}");
            }
        });
        Ok(Self { address, log, task })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// Takes the requests so far out of the log.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(log): State<Log>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: texts(&parts.headers),
        body: String::new(),
    };
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        log.lock().unwrap().push(seen);
        return upgrade.on_upgrade(echo_messages);
    }
    let demo = parameter(&parts.uri, "demo");
    if demo.as_deref() == Some("echo") {
        log.lock().unwrap().push(seen);
        return Body::new(body).into_response();
    }
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    seen.body = String::from_utf8_lossy(&body).into_owned();
    log.lock().unwrap().push(seen.clone());
    match demo.as_deref() {
        Some("stream") => lines(number(&parts.uri, "chunks", 5)),
        Some("measured") => measured(number(&parts.uri, "chunks", 5)),
        Some("headers") => forbidden_headers(),
        Some("status") => status(number(&parts.uri, "code", 204)),
        _ => axum::Json(seen).into_response(),
    }
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        texts
            .entry(name.as_str().to_owned())
            .and_modify(|have| {
                have.push_str(", ");
                have.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    texts
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(have, _)| *have == name)
        .map(|(_, value)| value.to_owned())
}

fn number(uri: &Uri, name: &str, default: u16) -> u16 {
    parameter(uri, name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn lines(count: u16) -> Response {
    let stream = futures_util::stream::unfold(0, move |line| async move {
        if line == count {
            return None;
        }
        if line > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some((
            Ok::<_, Infallible>(Bytes::from(format!("line {line}\n"))),
            line + 1,
        ))
    });
    Body::from_stream(stream).into_response()
}

fn measured(count: u16) -> Response {
    let length: usize = (0..count).map(|line| format!("line {line}\n").len()).sum();
    let mut response = lines(count);
    response.headers_mut().insert("content-length", length.into());
    response
}

fn forbidden_headers() -> Response {
    let headers = [
        ("x-kept", "kept"),
        ("x-hop", "named by Connection"),
        ("connection", "x-hop"),
        ("keep-alive", "timeout=9"),
        ("proxy-authenticate", "Basic"),
        ("x-portcullis-subject", "usr_forged"),
        ("portcullis-assertion", "forged"),
    ];
    (headers, "with headers of a hop").into_response()
}

fn status(code: u16) -> Response {
    StatusCode::from_u16(code)
        .unwrap_or(StatusCode::IM_A_TEAPOT)
        .into_response()
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
