//! The publisher against a real consumer: `shared::feed::Replica` behind HTTP, which is the code that the hub runs.

mod backups;
mod copies;
mod epochs;
mod local;
mod policies;
mod push;
mod receipts;
mod regions;
mod restore;
mod roots;

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use shared::feed::{Head, Refusal, Replica, join_message, split_message};
use shared::id::{KeyId, StatusIndex};
use tokio::task::JoinHandle;

use super::link::{Link, Step};
use super::{frame, frame_pending};
use crate::app::{App, Parts};
use crate::config::{Config, Edge};
use crate::random::Random;
use crate::store::Store;
use crate::store::feed::{FeedNo, Position};
use crate::testing::TestApp;

/// An edge's hub: takes messages in, keeps what it accepted, gives it back.
pub(crate) struct Hub {
    pub(crate) url: String,
    pub(crate) shelf: Arc<Mutex<Shelf>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) replica: Option<Replica>,
    pub(crate) log: Vec<Vec<u8>>,
    /// Messages as they came, to be played again.
    pub(crate) seen: Vec<Vec<u8>>,
    pub(crate) heartbeats: u64,
    /// Takes everything in and then says nothing, as when the answer is lost.
    pub(crate) mute: bool,
    /// The hub does not speak: what was taken in, the regions that follow took in.
    pub(crate) hubless: bool,
    pub(crate) regions: Vec<Region>,
    /// Indexes that were revoked at the edge.
    pub(crate) local: Vec<u64>,
    /// The entry kinds that it says it understands.
    pub(crate) kinds: Vec<u8>,
    /// Keys that came to the place of canaries.
    pub(crate) canaries: Vec<String>,
    /// An older release, which has no such place.
    pub(crate) without_canary: bool,
    /// Where the hub says that it is, whatever it has.
    pub(crate) claimed: Option<Head>,
    /// What the edge's clock shows, if it says so.
    pub(crate) date: Option<&'static str>,
}

/// A region of the edge.
#[derive(Clone)]
pub(crate) struct Region {
    pub(crate) name: &'static str,
    /// Has what the hub has; otherwise what it had when that was last so.
    pub(crate) follows: bool,
    pub(crate) head: Option<Head>,
    pub(crate) lease_ms: u64,
    pub(crate) age_ms: Option<u64>,
}

impl Region {
    pub(crate) fn awake(name: &'static str) -> Self {
        Self {
            name,
            follows: true,
            head: None,
            lease_ms: 5000,
            age_ms: Some(100),
        }
    }

    pub(crate) fn idle(name: &'static str) -> Self {
        Self {
            name,
            follows: false,
            head: None,
            lease_ms: 0,
            age_ms: None,
        }
    }
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let shelf: Arc<Mutex<Shelf>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new()
            .route("/.portcullis/feed", post(take))
            .route("/.portcullis/feed/fetch", post(give))
            .route("/.portcullis/canary", get(canary))
            .with_state(Arc::clone(&shelf))
            .layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, shelf, server }
    }

    pub(crate) async fn trust(&self, app: &App) {
        let mut tx = app.store.begin().await.expect("tx");
        let trust = super::pinned(&mut tx, &app.keyring, FeedNo::ALL)
            .await
            .expect("trust");
        self.shelf.lock().expect("a shelf").replica = Some(Replica::new(trust));
    }

    pub(crate) fn edge(&self, name: &str) -> Edge {
        Edge::push(name, self.url.clone())
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Shelf) -> T) -> T {
        look(&mut self.shelf.lock().expect("a shelf"))
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.with(|shelf| shelf.replica.as_ref().expect("trust").head().map(frame::position))
    }

    pub(crate) fn is_revoked(&self, index: StatusIndex) -> bool {
        self.with(|shelf| shelf.replica.as_ref().expect("trust").state().is_revoked(index))
    }

    fn knows(&self, index: StatusIndex) -> bool {
        self.with(|shelf| {
            shelf
                .replica
                .as_ref()
                .expect("trust")
                .state()
                .owner(index)
                .is_some()
        })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shelf): State<Arc<Mutex<Shelf>>>, body: Bytes) -> Response {
    let mut shelf = shelf.lock().expect("a shelf");
    let Some(mut replica) = shelf.replica.take() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    shelf.seen.push(body.to_vec());
    let mut refused = Vec::new();
    for envelope in split_message(&body).expect("a message") {
        match replica.accept(envelope) {
            Ok(shared::feed::Applied::Heartbeat(_)) => shelf.heartbeats += 1,
            Ok(_) => shelf.log.push(envelope.to_vec()),
            Err(Refusal::Replayed) => {}
            Err(refusal) => {
                refused.push(json!({ "code": refusal.to_string() }));
                break;
            }
        }
    }
    let head = replica.head();
    shelf.replica = Some(replica);
    if shelf.mute {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let status = if refused.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    let known = |head: Option<Head>| {
        json!({
            "epoch": head.map(|head| head.epoch),
            "seq": head.map(|head| head.seq),
            "digest": head.map(|head| hex::encode(head.digest)),
        })
    };
    let mut answer = known(shelf.claimed.or(head).filter(|_| !shelf.hubless));
    answer["refused"] = json!(refused);
    answer["kinds"] = json!(shelf.kinds);
    if !shelf.regions.is_empty() {
        answer["hub"] = json!(!shelf.hubless);
        let regions = shelf.regions.iter_mut().map(|region| {
            if region.follows {
                region.head = head;
            }
            let mut said = known(region.head);
            said["name"] = json!(region.name);
            said["lease_ms"] = json!(region.lease_ms);
            said["age_ms"] = json!(region.age_ms);
            said
        });
        answer["regions"] = regions.collect();
        answer["local"] = json!(shelf.local);
    }
    let mut response = (status, Json(answer)).into_response();
    // Otherwise the server would say what time it really is.
    let date = shelf.date.unwrap_or("unknown");
    response
        .headers_mut()
        .insert("date", date.parse().expect("a header"));
    response
}

#[derive(serde::Deserialize)]
struct Asked {
    region: String,
}

/// A region that does not follow its hub goes on letting in what it knows.
async fn canary(
    State(shelf): State<Arc<Mutex<Shelf>>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let mut shelf = shelf.lock().expect("a shelf");
    let region = shelf
        .regions
        .iter()
        .find(|region| region.name == asked.region)
        .cloned();
    let Some(region) = region.filter(|_| !shelf.without_canary) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(key) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let key = key.strip_prefix("Bearer ").expect("a bearer").to_owned();
    let index = shared::key::parse(&key).expect("a key").statement.index;
    shelf.canaries.push(key);
    let state = shelf.replica.as_ref().expect("trust").state();
    if state.owner(index).is_none() || (state.is_revoked(index) && region.follows) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(json!({"region": region.name, "epoch": 1, "seq": 1})).into_response()
}

async fn give(State(shelf): State<Arc<Mutex<Shelf>>>, body: Bytes) -> Response {
    let mut shelf = shelf.lock().expect("a shelf");
    let Some(replica) = shelf.replica.as_mut() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let request = replica.fetch_request(&body).expect("signed by the certified key");
    let head = replica.head().map(frame::position).unwrap_or_default();
    if (Position {
        epoch: request.epoch,
        seq: request.after,
    }) >= head
    {
        return Vec::new().into_response();
    }
    join_message(shelf.log.iter().map(Vec::as_slice)).into_response()
}

/// A control plane with one edge that trusts it.
pub(crate) async fn pair() -> (TestApp, Hub) {
    pair_on(None).await
}

pub(crate) async fn pair_on(store: Option<Store>) -> (TestApp, Hub) {
    let hub = Hub::start().await;
    let edge = hub.edge("hub");
    let test = TestApp::start_on(store, |config| {
        config.edges = vec![edge];
        config.feed.colo_ttl_ms = 0;
        config.feed.heartbeat_ms = 50;
    })
    .await;
    hub.trust(&test.app).await;
    (test, hub)
}

/// Frames everything and pushes until the edge has it.
pub(crate) async fn publish(app: &App, link: &mut Link) {
    while frame_pending(&app.store, &app.keyring, app.clock.now())
        .await
        .expect("framed")
        .is_some()
    {}
    for _ in 0..20 {
        if link.contact(app).await.expect("a contact") == Step::UpToDate {
            return;
        }
    }
    panic!("the edge never has everything");
}

pub(crate) async fn head(app: &App) -> Position {
    frame::position(
        frame::head(&mut app.store.begin_read().await.expect("tx"))
            .await
            .expect("a head"),
    )
}

fn index(id: &str) -> StatusIndex {
    id.parse::<KeyId>().expect("a key id").into()
}

pub(crate) async fn key(test: &TestApp) -> StatusIndex {
    index(
        &test
            .create_key(json!({"name": "k", "scope": "read", "workspace": "all", "environment": "live"}))
            .await
            .0,
    )
}

pub(crate) async fn revoke(test: &TestApp, key: StatusIndex, wait: &str) -> serde_json::Value {
    let path = format!("/v1/auth/keys/{}?wait={wait}", KeyId::from(key));
    let answer = test.admin(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Another process on the same database, with another configuration.
pub(crate) async fn beside(test: &TestApp, change: impl FnOnce(&mut Config)) -> anyhow::Result<Arc<App>> {
    let mut config = test.app.config.clone();
    change(&mut config);
    let parts = Parts {
        config,
        store: test.app.store.clone(),
        clock: test.clock.clone(),
        random: Random::system(),
        metrics: test.app.metrics.clone(),
    };
    App::build(parts).await
}

/// Another process on another database file, as after a restore.
pub(crate) async fn reopen(test: &TestApp, database: &std::path::Path) -> Arc<App> {
    let url = format!("sqlite://{}", database.display());
    let store = Store::connect(&url).await.expect("a database");
    let config = Config {
        database_url: url,
        ..test.app.config.clone()
    };
    let metrics = test.app.metrics.clone();
    let parts = Parts {
        config,
        store,
        clock: test.clock.clone(),
        random: Random::system(),
        metrics,
    };
    App::build(parts).await.expect("an application")
}

pub(crate) async fn backup(test: &TestApp, path: &std::path::Path) {
    let Store::Sqlite(pool, _) = &test.app.store else {
        panic!("SQLite")
    };
    sqlx::query("VACUUM INTO $1")
        .bind(path.display().to_string())
        .execute(pool)
        .await
        .expect("a backup");
}
