//! The wire between control plane and edge: records every push, and can be cut. Tests that replay or reorder frames take them
//! from here: real ones.
//!
//! It changes nothing in what passes, unless a test sets a judge, who gives each message its [`Fate`]: late, twice, out of
//! order, broken, answered by somebody else.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request as AxumRequest, State},
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

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

/// What happens to a message on its way.
pub enum Fate {
    /// It passes.
    Pass,
    /// It passes later.
    Late(Duration),
    /// It passes so many times; the last answer counts.
    Repeated(usize),
    /// These bytes pass in its stead.
    Changed(Vec<u8>),
    /// It is answered 503, and passes after the next one.
    Overtaken,
    /// Half of it passes; the rest waits until the other side is gone.
    Halved,
    /// It does not pass: this is the answer, a JSON text.
    Forged(Vec<u8>),
    /// It does not pass: the last answer to the same target is given again, if there was one.
    Frozen,
    /// It passes, and the answer becomes what this makes of it.
    Edited(fn(Vec<u8>) -> Vec<u8>),
}

/// By target, body, and number.
type Judge = Box<dyn Fn(&str, &[u8], u64) -> Fate + Send + Sync>;

struct Wire {
    edge: String,
    pushes: Mutex<Vec<Push>>,
    cut: AtomicBool,
    judge: Mutex<Option<Judge>>,
    passed: AtomicU64,
    halved: AtomicU64,
    overtaken: Mutex<Option<Request>>,
    answers: Mutex<HashMap<String, http::Response>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("edge", &self.edge)
            .finish_non_exhaustive()
    }
}

impl Wire {
    fn fate(&self, target: &str, body: &[u8]) -> Fate {
        if is_usage(target) {
            return Fate::Pass;
        }
        let number = self.passed.fetch_add(1, Ordering::SeqCst);
        let judge = self.judge.lock().unwrap();
        judge
            .as_ref()
            .map_or(Fate::Pass, |judge| judge(target, body, number))
    }

    /// Half of it, and then nothing until the other side ends.
    async fn halve(&self, onward: &Request, body: usize) -> io::Result<()> {
        let bytes = onward.encode(&self.edge);
        let mut stream = TcpStream::connect(&self.edge).await?;
        stream.write_all(&bytes[..bytes.len() - body.div_ceil(2)]).await?;
        stream.flush().await?;
        self.halved.fetch_add(1, Ordering::SeqCst);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.map(|_| ())
    }

    fn record(&self, path: &str, body: &[u8], status: u16) {
        if is_usage(path) {
            return;
        }
        self.pushes.lock().unwrap().push(Push {
            path: path.to_owned(),
            body: body.to_vec(),
            status,
        });
    }
}

/// Counts travel on the same wires when they like. They are no messages of the feed: neither recorded nor judged, only cut off.
fn is_usage(target: &str) -> bool {
    target
        .split('?')
        .next()
        .is_some_and(|path| path.ends_with("/usage") || path.ends_with("/usage/collect"))
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
            judge: Mutex::default(),
            passed: AtomicU64::new(0),
            halved: AtomicU64::new(0),
            overtaken: Mutex::default(),
            answers: Mutex::default(),
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

    /// From now on each message gets its fate from `judge`.
    pub fn judge(&self, judge: impl Fn(&str, &[u8], u64) -> Fate + Send + Sync + 'static) {
        *self.wire.judge.lock().unwrap() = Some(Box::new(judge));
    }

    /// From now on all pass, and what was held back is lost.
    pub fn pass(&self) {
        *self.wire.judge.lock().unwrap() = None;
        *self.wire.overtaken.lock().unwrap() = None;
    }

    /// How many messages wait, or waited, in the middle.
    pub fn halved(&self) -> u64 {
        self.wire.halved.load(Ordering::SeqCst)
    }

    /// Gives the last push that arrived, for as long as somebody keeps this.
    pub fn newest(&self) -> impl Fn() -> Option<Push> + Send + Sync + use<> {
        let wire = Arc::clone(&self.wire);
        move || {
            let pushes = wire.pushes.lock().unwrap();
            pushes.iter().rev().find(|push| push.status == 200).cloned()
        }
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
    let onward_is_read = parts.method == "GET";
    let mut onward = Request::new(parts.method.as_str(), target).body(&body);
    for (name, value) in &parts.headers {
        if !matches!(
            name.as_str(),
            "host" | "content-length" | "connection" | "transfer-encoding"
        ) {
            onward = onward.header(name.as_str(), value.as_bytes());
        }
    }
    let mut edit: Option<fn(Vec<u8>) -> Vec<u8>> = None;
    let mut times = 1;
    match wire.fate(target, &body) {
        Fate::Pass => {}
        Fate::Late(delay) => tokio::time::sleep(delay).await,
        Fate::Repeated(number) => times = number.max(1),
        Fate::Changed(bytes) => onward = onward.body(bytes),
        Fate::Overtaken => {
            *wire.overtaken.lock().unwrap() = Some(onward);
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Fate::Halved => {
            let _ = wire.halve(&onward, body.len()).await;
            return StatusCode::BAD_GATEWAY.into_response();
        }
        Fate::Forged(json) => {
            return ([("content-type", "application/json")], json).into_response();
        }
        Fate::Frozen => {
            let known = wire.answers.lock().unwrap().get(target).cloned();
            if let Some(known) = known {
                return replay(known);
            }
        }
        Fate::Edited(with) => edit = Some(with),
    }
    let mut last = None;
    for _ in 0..times {
        let Ok(answer) = http::once(&wire.edge, &onward).await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        last = Some(answer);
    }
    let late = wire.overtaken.lock().unwrap().take();
    if let Some(late) = late {
        let _ = http::once(&wire.edge, &late).await;
    }
    let Some(mut answer) = last else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if let Some(edit) = edit {
        answer.body = edit(answer.body);
    }
    wire.record(target, &body, answer.status);
    if onward_is_read {
        wire.answers
            .lock()
            .unwrap()
            .insert(target.to_owned(), answer.clone());
    }
    replay(answer)
}

/// The answer as it came.
fn replay(answer: http::Response) -> Response {
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
