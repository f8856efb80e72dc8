//! Other ways for the feed: shared by the machines of a data centre, and asked for by an edge that nobody can reach.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use control_plane::signing::Purpose;
use e2e::{Request, Stack, wait};
use serde_json::Value;
use shared::{
    feed::{Envelope, EnvelopeType, Frame, Head, Heartbeat, join_message, sign},
    time::UnixMillis,
};
use tokio::{net::TcpListener, sync::Mutex};

use crate::{
    oracle::Oracle,
    support::{assert_invalid_token, unix_now},
};

const PATH: &str = "/v1/memory/x";
const STRICT: &str = "/admin/x";
const WAIT: Duration = Duration::from_secs(20);

/// The cache of this harness never forgets anything: what is too old, the isolates have to see themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_isolate_has_read_the_others_of_its_data_centre_need_not() {
    let stack = Stack::with().gates(3).colo_cache().start().await;
    let admin = stack.admin();
    let alive = admin.key("admin").await;
    let health = async |gate: usize| {
        let answer = e2e::http::once(&stack.gate(gate), &Request::get("/.portcullis/health")).await;
        answer.unwrap().json()
    };
    let shared = async || {
        let mut total = 0;
        for gate in 0..3 {
            total += health(gate).await["shared_reads"].as_u64().unwrap();
        }
        total
    };
    wait::until_true("reads are shared", WAIT, || async {
        for gate in 0..3 {
            stack.caller_at(gate, &alive.key).get(PATH).await.expect(200);
        }
        shared().await > 3
    })
    .await;
    for _ in 0..3 {
        let dead = admin.key("admin").await;
        for gate in 0..3 {
            stack.caller_at(gate, &dead.key).get(PATH).await.expect(200);
        }
        admin.revoke(&dead.id, Some("ack")).await.expect(200);
        // Strict routes never share.
        for gate in 0..3 {
            assert_invalid_token(&stack.caller_at(gate, &dead.key).get(STRICT).await, "strict");
            assert_invalid_token(&stack.caller_at(gate, &dead.key).get(PATH).await, "then known");
        }
        let dead = admin.key("admin").await;
        for gate in 0..3 {
            stack.caller_at(gate, &dead.key).get(PATH).await.expect(200);
        }
        admin.revoke(&dead.id, None).await.expect(200);
        for gate in 0..3 {
            assert_invalid_token(&stack.caller_at(gate, &dead.key).get(PATH).await, "effective");
        }
    }
    // An answer is as old as its read, whoever made that.
    for gate in 0..3 {
        let age = health(gate).await["contact_age_ms"].as_u64().unwrap();
        assert!(age <= 2000, "{age}");
    }
}

/// What a control plane answers to polls: the frames after a place, and a heartbeat, from the real one's database.
struct Publisher {
    oracle: Mutex<Oracle>,
    reports: Mutex<Vec<Value>>,
    down: AtomicBool,
}

impl Publisher {
    async fn serve(stack: &Stack) -> (String, Arc<Self>) {
        let publisher = Arc::new(Self {
            oracle: Mutex::new(Oracle::open(stack).await),
            reports: Mutex::default(),
            down: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/edge/feed", get(answer))
            .with_state(Arc::clone(&publisher));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, publisher)
    }

    /// Everything after a seq, and how far it goes.
    async fn message(&self, after: u64) -> (Vec<u8>, u64) {
        let oracle = self.oracle.lock().await;
        let all = oracle.frames_after(0).await;
        let last = Envelope::decode(all.last().expect("a frame")).unwrap();
        let frame = Frame::decode(last.body).unwrap();
        let heartbeat = Heartbeat {
            feed: frame.feed,
            head: Head {
                epoch: frame.epoch,
                seq: frame.seq,
                digest: Frame::digest(last.body),
            },
            audit_head: [0; 32],
            time: UnixMillis(unix_now() * 1000),
        };
        let key = oracle.key(Purpose::Feed);
        let heartbeat = sign(
            EnvelopeType::Heartbeat,
            &last.certificate,
            &heartbeat.encode(),
            |message| key.sign_ed25519(message),
        )
        .unwrap();
        let mut envelopes = oracle.frames_after(after).await;
        envelopes.push(heartbeat);
        (join_message(envelopes.iter().map(Vec::as_slice)), frame.seq)
    }
}

async fn answer(
    State(publisher): State<Arc<Publisher>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if publisher.down.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let bearer = format!("Bearer {}", e2e::Spread::UPLINK_KEY);
    assert_eq!(headers[header::AUTHORIZATION], bearer.as_str());
    let report = headers["portcullis-report"].to_str().unwrap();
    assert!(report.len() <= 8192, "{}", report.len());
    publisher
        .reports
        .lock()
        .await
        .push(serde_json::from_str(report).unwrap());
    let query = query.unwrap_or_default();
    let number = |name: &str| -> u64 {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map_or(0, |(_, value)| value.parse().unwrap())
    };
    let (after, wait) = (number("after"), number("wait"));
    assert!(wait <= 25_000);
    let until = tokio::time::Instant::now() + Duration::from_millis(wait);
    loop {
        let (message, seq) = publisher.message(after).await;
        let etag = format!("\"{seq}\"");
        let known = headers
            .get(header::IF_NONE_MATCH)
            .is_some_and(|value| *value == etag);
        if !known {
            return ([(header::ETAG, etag)], message).into_response();
        }
        if tokio::time::Instant::now() >= until {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_nobody_can_reach_asks_for_the_feed_itself() {
    let mut stack = Stack::with().recorded().gates(2).start().await;
    let (alive, dead) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    let probe = stack.admin().key("read").await;
    stack.admin().revoke(&probe.id, Some("ack")).await.expect(200);
    stack.link.as_ref().unwrap().cut();
    let (url, publisher) = Publisher::serve(&stack).await;
    stack.edge.kill();
    stack.edge.set_var("PULL_FROM", &url);
    stack.edge.set_var("UPLINK_KEY", e2e::Spread::UPLINK_KEY);
    stack.edge.restart().await.unwrap();
    for gate in 0..2 {
        stack.caller_at(gate, &dead.key).get(STRICT).await.expect(200);
    }
    // Pushes do not arrive; it comes by itself, in the middle of a poll that waits.
    for victim in [dead, stack.admin().key("admin").await] {
        let revoked_at = tokio::time::Instant::now();
        stack.admin().revoke(&victim.id, Some("none")).await;
        for gate in 0..2 {
            let caller = stack.caller_at(gate, &victim.key);
            wait::until_true("it dies", WAIT, || async {
                caller.get(STRICT).await.status == 401 && caller.get(PATH).await.status == 401
            })
            .await;
            stack.caller_at(gate, &alive.key).get(STRICT).await.expect(200);
        }
        assert!(
            revoked_at.elapsed() < Duration::from_secs(8),
            "{:?}",
            revoked_at.elapsed()
        );
    }
    // And is acknowledged by the next poll, region by region.
    wait::until_true("an acknowledgement", WAIT, || async {
        stack.caller(&alive.key).get(PATH).await;
        let (_, seq) = publisher.message(0).await;
        let reports = publisher.reports.lock().await;
        let last = reports.last().expect("polls");
        last["hub"] == true && last["seq"] == seq && last["regions"][0]["seq"] == seq
    })
    .await;
    // A control plane that is away is asked again when it is back.
    publisher.down.store(true, Ordering::SeqCst);
    let late = stack.admin().key("admin").await;
    stack.admin().revoke(&late.id, Some("none")).await;
    stack.caller(&alive.key).get(STRICT).await.expect(200);
    publisher.down.store(false, Ordering::SeqCst);
    let caller = stack.caller(&late.key);
    wait::until_true("the rest comes", WAIT, || async {
        caller.get(STRICT).await.status == 401
    })
    .await;
    // It does not ask all the time.
    let before = publisher.reports.lock().await.len();
    let started = tokio::time::Instant::now();
    wait::until_true("some seconds pass", WAIT, || async {
        stack.caller(&alive.key).get(PATH).await.expect(200);
        started.elapsed() > Duration::from_secs(3)
    })
    .await;
    let polls = publisher.reports.lock().await.len() - before;
    assert!(polls <= 12, "{polls} in {:?}", started.elapsed());
}
