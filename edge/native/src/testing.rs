//! For tests: the golden vectors, and a control plane that says what it is told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge::validator::vectors::{Case, Vectors};
use http::header::ETAG;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use shared::crypto::from_base64url;
use shared::time::UnixMillis;
use tokio::net::TcpListener;

use crate::answer::{Body, empty, full};
use crate::client::Client;
use crate::clock::Clock;
use crate::gate::Gate;
use crate::server::listen;
use crate::settings::Settings;

const VERDICTS: &[u8] = include_bytes!("../../../shared/vectors/verdicts.json");
/// What an uplink key looks like.
pub(crate) const UPLINK_KEY: &str = "pcu_0123456789abcdefghijklmnopqrstuvwxyz";

pub(crate) fn vectors() -> Vectors {
    serde_json::from_slice(VERDICTS).unwrap()
}

pub(crate) fn message(vectors: &Vectors) -> Vec<u8> {
    from_base64url(&vectors.message).unwrap()
}

/// The settings of the vectors, with the feed from there.
pub(crate) fn settings(vectors: &Vectors, control_plane: &str) -> Settings {
    Settings {
        brand: vectors.brand.clone(),
        environments: vectors.environments.iter().map(ToString::to_string).collect(),
        is_single: true,
        ..Settings::new(
            &vectors.issuer,
            &vectors.public_origin,
            control_plane,
            UPLINK_KEY.into(),
        )
        .trusting(&vectors.root, &vectors.feed)
    }
}

pub(crate) fn client() -> Client {
    Client::build().unwrap()
}

/// A gate in the state of the vectors, whose control plane is not there.
pub(crate) fn gate_for(vectors: &Vectors, case: &Case, client: Client) -> Gate {
    let now = UnixMillis(case.now * 1000);
    let gate = Gate::idle(
        &settings(vectors, "http://127.0.0.1:1"),
        Clock::manual(now),
        client,
    )
    .unwrap();
    let heard_at = UnixMillis(now.0.saturating_sub(case.contact_age_ms));
    let taken = gate
        .feed()
        .with(|core, now| core.take(&message(vectors), heard_at, now, true))
        .unwrap();
    assert!(taken.at_head && taken.refused.is_none(), "{taken:?}");
    gate
}

/// The case's request as it would arrive; `None` if HTTP cannot carry it.
pub(crate) fn request(case: &Case) -> Option<Request<Body>> {
    let mut request = Request::builder()
        .method(case.method.as_str())
        .uri(case.path.as_str());
    let min_seq = case.min_seq.map(|seq| seq.to_string());
    for (name, value) in [
        ("authorization", &case.authorization),
        ("origin", &case.origin),
        ("dpop", &case.proof),
        ("mcp-method", &case.mcp_method),
        ("mcp-name", &case.mcp_name),
        ("mcp-protocol-version", &case.mcp_version),
        ("portcullis-min-seq", &min_seq),
    ] {
        if let Some(value) = value {
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
    }
    // A target without a slash at its start is read as a host.
    request
        .body(empty())
        .ok()
        .filter(|request| request.uri().path() == case.path)
}

pub(crate) fn parts(case: &Case) -> Option<Parts> {
    request(case).map(|request| request.into_parts().0)
}

/// How the control plane answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What was published, then that there is nothing new.
    Honest = 0,
    /// What was published, with one bit changed.
    Forging = 1,
    /// 500.
    Failing = 2,
    /// Nothing, for a long time.
    Hanging = 3,
    /// 401.
    Refusing = 4,
}

/// A control plane.
#[derive(Clone)]
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    mood: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl ControlPlane {
    pub(crate) async fn start(message: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = Self {
            address: listener.local_addr().unwrap(),
            mood: Arc::default(),
            asked: Arc::default(),
            seen: Arc::default(),
        };
        let (state, message) = (control.clone(), Arc::new(message));
        tokio::spawn(listen::serve(
            listener,
            Duration::ZERO,
            std::future::pending(),
            move |request, _| {
                let (state, message) = (state.clone(), Arc::clone(&message));
                async move { state.answer(&request, &message).await }
            },
        ));
        control
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn answer<B>(&self, request: &Request<B>, message: &[u8]) -> Response<Body> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        self.seen.lock().unwrap().push(format!("{authorization} {query}"));
        let mut response = Response::new(empty());
        match self.mood.load(Ordering::SeqCst) {
            0 if !query.contains("after=0&") => *response.status_mut() = StatusCode::NOT_MODIFIED,
            0 => *response.body_mut() = full(message.to_vec()),
            1 => {
                let mut forged = message.to_vec();
                *forged.last_mut().unwrap() ^= 1;
                *response.body_mut() = full(forged);
            }
            2 => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            3 => std::future::pending().await,
            _ => *response.status_mut() = StatusCode::UNAUTHORIZED,
        }
        response
            .headers_mut()
            .insert(ETAG, HeaderValue::from_static("\"x\""));
        response
    }
}
