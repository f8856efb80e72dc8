//! Edges that fetch: who may, what they get, how long they wait, and what their questions acknowledge.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use shared::feed::{Head, Refusal, Replica, split_message};
use shared::id::{KeyId, StatusIndex};
use tower::ServiceExt as _;

use super::{actions, alerts};
use crate::app::App;
use crate::audit::Actor;
use crate::config::Edge;
use crate::edge::{uplink, watch};
use crate::revocation::publish::round;
use crate::revocation::tests::{beside, head, key, revoke};
use crate::revocation::{Wait, await_receipt, frame_pending, start};
use crate::routes;
use crate::store::Store;
use crate::store::conformance::suite;
use crate::testing::{TestApp, eventually};

suite! {
    an_edge_fetches_what_it_lacks_and_its_next_question_acknowledges,
    only_a_valid_key_of_an_edge_that_fetches,
    an_edge_that_knows_more_is_told_so,
}

/// An edge that fetches.
struct Fetcher {
    id: String,
    key: String,
    replica: Mutex<Replica>,
    tag: Mutex<Option<String>>,
}

async fn site(store: Option<Store>) -> (TestApp, Fetcher) {
    let test = TestApp::start_on(store, |config| {
        config.edges = vec![Edge::pull("dmz")];
        config.feed.colo_ttl_ms = 0;
    })
    .await;
    let fetcher = fetcher(&test).await;
    (test, fetcher)
}

async fn fetcher(test: &TestApp) -> Fetcher {
    let (id, key) = uplink::create(&test.app, "dmz", &Actor::command_line())
        .await
        .expect("a key");
    let mut tx = test.app.store.begin().await.expect("tx");
    let trust = crate::revocation::pinned(&mut tx, &test.app.keyring, crate::store::feed::FeedNo::ALL)
        .await
        .expect("trust");
    Fetcher {
        id,
        key: key.expose().to_owned(),
        replica: Mutex::new(Replica::new(trust)),
        tag: Mutex::default(),
    }
}

impl Fetcher {
    fn head(&self) -> Option<Head> {
        self.replica.lock().expect("a replica").head()
    }

    fn is_revoked(&self, index: StatusIndex) -> bool {
        self.replica.lock().expect("a replica").state().is_revoked(index)
    }

    fn request(&self, wait_ms: u64, report: Option<&Value>) -> Request<Body> {
        let mut path = format!("/v1/edge/feed?wait={wait_ms}");
        if let Some(head) = self.head() {
            path = format!(
                "{path}&epoch={}&after={}&digest={}",
                head.epoch,
                head.seq,
                hex::encode(head.digest)
            );
        }
        let mut request = Request::get(path).header("authorization", format!("Bearer {}", self.key));
        if let Some(tag) = self.tag.lock().expect("a tag").as_ref() {
            request = request.header("if-none-match", tag);
        }
        if let Some(report) = report {
            request = request.header("portcullis-report", report.to_string());
        }
        request.body(Body::empty()).expect("a request")
    }

    /// One question; takes in what comes.
    async fn ask(&self, app: &Arc<App>, wait_ms: u64, report: Option<&Value>) -> StatusCode {
        let answer = send(app, self.request(wait_ms, report)).await;
        let status = answer.status();
        if let Some(tag) = answer.headers().get("etag") {
            *self.tag.lock().expect("a tag") = Some(tag.to_str().expect("text").to_owned());
        }
        if status == StatusCode::OK {
            assert_eq!(
                answer.headers()["content-type"],
                "application/vnd.portcullis.feed"
            );
            let body = axum::body::to_bytes(answer.into_body(), 32 << 20)
                .await
                .expect("a body");
            let mut replica = self.replica.lock().expect("a replica");
            for envelope in split_message(&body).expect("a message") {
                match replica.accept(envelope) {
                    Ok(_) | Err(Refusal::Replayed) => {}
                    // A heartbeat before the first frame.
                    Err(Refusal::Gap) if replica.head().is_none() => {}
                    Err(refusal) => panic!("{refusal}"),
                }
            }
        }
        status
    }
}

async fn send(app: &Arc<App>, request: Request<Body>) -> Response {
    routes::router(Arc::clone(app))
        .oneshot(request)
        .await
        .expect("infallible")
}

async fn framed(app: &App) {
    while frame_pending(&app.store, &app.keyring, app.clock.now())
        .await
        .expect("framed")
        .is_some()
    {}
    round(app).await.expect("a round");
}

async fn revoked(test: &TestApp) -> (StatusIndex, String) {
    let victim = key(test).await;
    revoke(test, victim, "none").await;
    (victim, KeyId::from(victim).to_string())
}

async fn an_edge_fetches_what_it_lacks_and_its_next_question_acknowledges(store: Store) {
    let (test, edge) = site(Some(store)).await;
    let app = &test.app;
    framed(app).await;
    assert_eq!(edge.ask(app, 0, None).await, StatusCode::OK);
    assert_eq!(
        edge.head().map(crate::revocation::frame::position),
        Some(head(app).await)
    );
    let (victim, subject) = revoked(&test).await;
    framed(app).await;
    assert!(!edge.is_revoked(victim));
    assert_eq!(edge.ask(app, 0, None).await, StatusCode::OK);
    assert!(edge.is_revoked(victim));
    let receipt = await_receipt(app, &subject, Wait::None).await.expect("a receipt");
    assert_eq!(
        (receipt.acknowledged, receipt.pending),
        (vec![], vec!["dmz".to_owned()]),
        "it took it in, and did not say so yet"
    );
    assert_eq!(edge.ask(app, 0, None).await, StatusCode::NOT_MODIFIED);
    let receipt = await_receipt(app, &subject, Wait::None).await.expect("a receipt");
    assert_eq!(
        (receipt.acknowledged, receipt.pending),
        (vec!["dmz".to_owned()], vec![])
    );
    assert!(receipt.effective_at.is_some());
    // Another instance answers the next one, and knows all that.
    let other = beside(&test, |_| {}).await.expect("an application");
    assert_eq!(edge.ask(&other, 0, None).await, StatusCode::NOT_MODIFIED);
    // Half a minute later there is a fresh heartbeat.
    test.clock.advance_ms(30_000);
    assert_eq!(edge.ask(app, 0, None).await, StatusCode::OK);
    assert_eq!(edge.ask(app, 0, None).await, StatusCode::NOT_MODIFIED);
    // Whoever has the tag and not the state gets the state.
    let tag = edge.tag.lock().expect("a tag").clone();
    let fresh = fetcher(&test).await;
    *fresh.tag.lock().expect("a tag") = tag;
    assert_eq!(fresh.ask(app, 0, None).await, StatusCode::OK);
    assert!(fresh.is_revoked(victim));
}

async fn only_a_valid_key_of_an_edge_that_fetches(store: Store) {
    let (test, edge) = site(Some(store)).await;
    let app = &test.app;
    framed(app).await;
    let status = async |app: &Arc<App>, key: Option<&str>| {
        let mut request = Request::get("/v1/edge/feed");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        send(app, request.body(Body::empty()).expect("a request"))
            .await
            .status()
            .as_u16()
    };
    let wrong = format!("pcu_{}", "A".repeat(43));
    assert_eq!(status(app, None).await, 401);
    assert_eq!(status(app, Some(&wrong)).await, 401);
    assert_eq!(status(app, Some(&test.made.admin_key)).await, 401);
    assert_eq!(status(app, Some(&edge.key)).await, 200);
    // An instance that pushes to this edge, or does not know it, is not where it fetches.
    for edges in [
        vec![],
        vec![Edge::push("dmz", "http://127.0.0.1:9")],
        vec![Edge::pull("another")],
    ] {
        let other = beside(&test, |config| config.edges = edges)
            .await
            .expect("an application");
        assert_eq!(status(&other, Some(&edge.key)).await, 403);
    }
    // Both count while one takes over from the other.
    let next = fetcher(&test).await;
    assert_eq!(status(app, Some(&next.key)).await, 200);
    assert_eq!(status(app, Some(&edge.key)).await, 200);
    uplink::revoke(app, "dmz", &edge.id, &Actor::command_line())
        .await
        .expect("ended");
    assert_eq!(status(app, Some(&edge.key)).await, 401);
    assert_eq!(status(app, Some(&next.key)).await, 200);
    // Guessing ends soon.
    let mut last = 0;
    for _ in 0..12 {
        last = status(app, Some(&wrong)).await;
    }
    assert_eq!(last, 429);
}

async fn an_edge_that_knows_more_is_told_so(store: Store) {
    let (test, edge) = site(Some(store)).await;
    let app = &test.app;
    framed(app).await;
    edge.ask(app, 0, None).await;
    let known = edge.head().expect("a head");
    let path = |seq: u64| {
        let digest = hex::encode([7; 32]);
        format!("/v1/edge/feed?epoch={}&after={seq}&digest={digest}", known.epoch)
    };
    let ask = async |path: String| {
        let request = Request::get(path).header("authorization", format!("Bearer {}", edge.key));
        let answer = test.send(request.body(Body::empty()).expect("a request")).await;
        (answer.status.as_u16(), answer.text("code"))
    };
    assert_eq!(ask(path(known.seq + 9)).await, (409, "edge_ahead".to_owned()));
    assert_eq!(
        ask(path(known.seq)).await,
        (409, "edge_ahead".to_owned()),
        "the same place in another history"
    );
    let up = [(String::new(), "ahead".to_owned())];
    assert_eq!(alerts(app).await, up);
    watch::judge(app).await.expect("judged");
    assert_eq!(alerts(app).await, up, "until the edge itself says something else");
    assert_eq!(edge.ask(app, 0, None).await, StatusCode::NOT_MODIFIED);
    assert_eq!(alerts(app).await, []);
    assert_eq!(
        actions(app, "dmz").await,
        ["edge.bound_broken", "edge.bound_restored"]
    );
}

#[tokio::test]
async fn a_report_is_read_as_an_answer_to_a_push_is() {
    let (test, edge) = site(None).await;
    let app = &test.app;
    framed(app).await;
    edge.ask(app, 0, None).await;
    let holder = key(&test).await;
    let (_, subject) = revoked(&test).await;
    framed(app).await;
    edge.ask(app, 0, None).await;
    let position = head(app).await;
    let region = |name: &str, seq: u64, lease: u64| {
        json!({"name": name, "epoch": position.epoch, "seq": seq, "digest": hex::encode(edge.head().expect("a head").digest),
               "lease_ms": lease, "age_ms": 10})
    };
    let report = json!({
        "hub": true,
        "refused": [{"code": "gap"}],
        "regions": [region("weur", position.seq, 3000), {"name": "oc", "lease_ms": 4000, "age_ms": 10}],
        "local": [holder.get()],
    });
    edge.ask(app, 0, Some(&report)).await;
    let receipt = await_receipt(app, &subject, Wait::None).await.expect("a receipt");
    assert_eq!(
        (receipt.acknowledged, receipt.pending),
        (vec!["dmz/weur".to_owned()], vec!["dmz/oc".to_owned()])
    );
    framed(app).await;
    edge.ask(app, 0, None).await;
    assert!(edge.is_revoked(holder), "what the holder revoked at the edge");
    for (value, problem) in [
        ("{".to_owned(), 400),
        (
            json!({"regions": [{"name": "X", "lease_ms": 0}]}).to_string(),
            400,
        ),
        (format!("{{\"pad\":\"{}\"}}", "x".repeat(8 * 1024)), 400),
        ("{}".to_owned(), 200),
    ] {
        let mut request = edge.request(0, None);
        request.headers_mut().remove("if-none-match");
        request
            .headers_mut()
            .insert("portcullis-report", value.parse().expect("a header"));
        assert_eq!(send(app, request).await.status().as_u16(), problem, "{value:.40}");
    }
    for query in [
        "epoch=1",
        "epoch=1&after=2",
        "epoch=1&after=2&digest=xy",
        "after=-1",
        "since=3",
        "wait=x",
    ] {
        let request = Request::get(format!("/v1/edge/feed?{query}"))
            .header("authorization", format!("Bearer {}", edge.key));
        let status = send(app, request.body(Body::empty()).expect("a request"))
            .await
            .status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_everything_waits() {
    let (test, edge) = site(None).await;
    let app = &test.app;
    start(Arc::clone(app));
    eventually(async || head(app).await.seq > 0).await;
    eventually(async || edge.ask(app, 0, None).await == StatusCode::NOT_MODIFIED).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(edge.ask(app, 300, None).await, StatusCode::NOT_MODIFIED);
    assert!(asked.elapsed() >= Duration::from_millis(300));
    // The end of the process ends the wait.
    let ending = beside(&test, |_| {}).await.expect("an application");
    let asked = tokio::time::Instant::now();
    let (status, ()) = tokio::join!(edge.ask(&ending, 20_000, None), async { ending.edges.stop() });
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert!(asked.elapsed() < Duration::from_secs(10));
    // A change ends the wait: made here,
    let wait = async { (edge.ask(app, 20_000, None).await, tokio::time::Instant::now()) };
    let change = async {
        let (victim, _) = revoked(&test).await;
        (victim, tokio::time::Instant::now())
    };
    let ((status, answered), (victim, changed)) = tokio::join!(wait, change);
    assert_eq!(status, StatusCode::OK);
    assert!(edge.is_revoked(victim) && answered.saturating_duration_since(changed) < Duration::from_secs(5));
    eventually(async || edge.ask(app, 0, None).await == StatusCode::NOT_MODIFIED).await;
    // or by another instance, which tells nobody.
    let other = beside(&test, |_| {}).await.expect("an application");
    let before = head(app).await;
    let change = async {
        let mut tx = other.store.begin().await.expect("tx");
        let entry = shared::feed::Entry::revoked(StatusIndex::from_u64(1 << 21).expect("small"));
        crate::revocation::enqueue(
            &mut tx,
            &crate::revocation::Reach::All,
            "test",
            &entry,
            other.clock.now(),
        )
        .await
        .expect("enqueued");
        tx.commit().await.expect("commit");
        frame_pending(&other.store, &other.keyring, other.clock.now())
            .await
            .expect("framed");
    };
    let asked = tokio::time::Instant::now();
    let (status, ()) = tokio::join!(edge.ask(app, 20_000, None), change);
    assert_eq!(status, StatusCode::OK);
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(edge.head().is_some_and(|head| head.seq > before.seq));
}
