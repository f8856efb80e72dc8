//! Webhooks end to end within the process: changes, messages, a receiver that checks signatures on its own, failures.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::post;
use axum::{Router, body::Bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{deliver_due, events, forget};
use crate::store::conformance::suite;
use crate::store::orgs::Role;
use crate::store::{Store, on_db, rows_affected};
use crate::testing::{TestApp, eventually, member};

suite! {
    a_change_is_told_once_it_is_committed,
    a_message_comes_again_until_it_is_taken,
    a_process_that_dies_while_telling_tells_again,
    of_two_instances_one_tells,
    what_is_disabled_hears_nothing,
    who_does_not_answer_holds_up_nobody,
    a_webhook_that_fails_is_left_alone,
    what_waits_for_a_webhook_has_an_end,
    a_webhook_of_others_is_not_there,
}

/// Somewhere else: takes what comes, and answers as it is told to.
struct Receiver {
    url: String,
    seen: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answer: Arc<Mutex<u16>>,
    server: JoinHandle<()>,
}

type Shelf = (Arc<Mutex<Vec<(HeaderMap, String)>>>, Arc<Mutex<u16>>);

impl Receiver {
    async fn start() -> Self {
        let (seen, answer) = (Arc::default(), Arc::new(Mutex::new(204)));
        let shelf: Shelf = (Arc::clone(&seen), Arc::clone(&answer));
        let take = async |State((seen, answer)): State<Shelf>, headers: HeaderMap, body: Bytes| {
            let body = String::from_utf8(body.to_vec()).expect("text");
            seen.lock().expect("seen").push((headers, body));
            StatusCode::from_u16(*answer.lock().expect("answer")).expect("a status")
        };
        let router = Router::new().route("/hooks", post(take)).with_state(shelf);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self {
            url,
            seen,
            answer,
            server,
        }
    }

    fn answer(&self, status: u16) {
        *self.answer.lock().expect("answer") = status;
    }

    fn seen(&self) -> Vec<(HeaderMap, String)> {
        self.seen.lock().expect("seen").clone()
    }

    fn types(&self) -> Vec<String> {
        let body = |text: &str| {
            serde_json::from_str::<Value>(text).expect("JSON")["type"]
                .as_str()
                .expect("a type")
                .to_owned()
        };
        self.seen().iter().map(|(_, text)| body(text)).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn start(store: Option<Store>) -> TestApp {
    TestApp::start_on(store, |config| config.dev = true).await
}

async fn hook(test: &TestApp, url: &str, events: &[&str]) -> (String, String) {
    let body = json!({"url": url, "events": events, "description": "tests"});
    let answer = test.admin(Method::POST, "/v1/webhooks", Some(body)).await;
    assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
    (answer.text("id"), answer.text("secret"))
}

async fn deliver(test: &TestApp) {
    deliver_due(test.app.clone()).await.expect("delivered");
}

/// The specification, written down a second time: HMAC-SHA256 (RFC 2104) over SHA-256 by hand, a comparison with each signature.
fn verifies(secret: &str, headers: &HeaderMap, body: &str) -> bool {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").expect("a prefix"))
        .expect("base64");
    let header = |name: &str| headers[name].to_str().expect("text");
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(&key);
    let pad = |with: u8| block.map(|byte| byte ^ with).to_vec();
    let inner = shared::crypto::sha256(&[pad(0x36), signed.into_bytes()].concat());
    let tag = shared::crypto::sha256(&[pad(0x5c), inner.to_vec()].concat());
    let ours = format!("v1,{}", STANDARD.encode(tag));
    header("webhook-signature")
        .split(' ')
        .any(|signature| signature == ours)
}

async fn a_change_is_told_once_it_is_committed(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, secret) = hook(&test, &receiver.url, &["key.*"]).await;
    let (key, _) = test.create_key(json!({"name": "ci", "scope": "read"})).await;
    // A change that did not happen is not told.
    let refused = test
        .admin(
            Method::POST,
            "/v1/auth/keys",
            Some(json!({"name": "x", "scope": "read", "workspace": "ws_000000009"})),
        )
        .await;
    assert_eq!(refused.status.as_u16(), 400);
    test.admin(Method::DELETE, &format!("/v1/auth/keys/{key}?wait=none"), None)
        .await;
    deliver(&test).await;
    // In no certain order.
    let mut types = receiver.types();
    types.sort();
    assert_eq!(types, ["key.created", "key.revoked"]);
    for (headers, body) in receiver.seen() {
        assert!(verifies(&secret, &headers, &body), "{headers:?}");
        assert!(!verifies(&secret, &headers, &format!("{body} ")));
        let sent: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (&sent["data"]["id"], &sent["data"]["org"]),
            (&json!(key), &json!(test.made.org))
        );
        assert_eq!(headers["content-type"], "application/json");
    }
    deliver(&test).await;
    assert_eq!(receiver.seen().len(), 2, "each once");

    // A new secret: for a day both count, then only the new one.
    let answer = test
        .admin(Method::POST, &format!("/v1/webhooks/{id}/rotate-secret"), None)
        .await;
    let renewed = answer.text("secret");
    assert_ne!(renewed, secret);
    for (hours, old_counts) in [(23, true), (2, false)] {
        test.clock.advance_ms(hours * 3_600_000);
        test.admin(Method::POST, &format!("/v1/webhooks/{id}/ping"), None)
            .await;
        deliver(&test).await;
        let (headers, body) = receiver.seen().pop().expect("a message");
        assert!(verifies(&renewed, &headers, &body));
        assert_eq!(verifies(&secret, &headers, &body), old_counts);
    }
    assert_eq!(receiver.types()[2..], ["webhook.ping", "webhook.ping"]);
    let listed = test.admin(Method::GET, "/v1/webhooks", None).await;
    assert!(!listed.raw.contains("whsec_"), "{}", listed.raw);
}

async fn messages(test: &TestApp, id: &str) -> Vec<Value> {
    let answer = test
        .admin(Method::GET, &format!("/v1/webhooks/{id}/messages"), None)
        .await;
    answer.body["messages"].as_array().expect("messages").clone()
}

async fn a_message_comes_again_until_it_is_taken(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&test, &receiver.url, &["key.created"]).await;
    test.create_key(json!({"name": "ci", "scope": "read"})).await;
    receiver.answer(500);
    for _ in 0..3 {
        deliver(&test).await;
        // More than any wait so far.
        test.clock.advance_ms(200_000);
    }
    let ids: Vec<String> = receiver
        .seen()
        .iter()
        .map(|(headers, _)| headers["webhook-id"].to_str().expect("text").to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let waiting = messages(&test, &id).await.remove(0);
    assert_eq!(
        (&waiting["state"], &waiting["attempts"], &waiting["last_status"]),
        (&json!("waiting"), &json!(3), &json!(500))
    );
    receiver.answer(200);
    test.clock.advance_ms(3_600_000);
    deliver(&test).await;
    let taken = messages(&test, &id).await.remove(0);
    assert_eq!(
        (&taken["state"], &taken["attempts"]),
        (&json!("delivered"), &json!(4))
    );

    // Again on request, under the same id.
    let message = taken["id"].as_str().expect("an id");
    let answer = test
        .admin(
            Method::POST,
            &format!("/v1/webhooks/{id}/messages/{message}/replay"),
            None,
        )
        .await;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    deliver(&test).await;
    let (headers, _) = receiver.seen().pop().expect("a message");
    assert_eq!(headers["webhook-id"], ids[0].as_str());

    // Days without success: disabled, with a row in the trail; what waits is given up.
    test.create_key(json!({"name": "two", "scope": "read"})).await;
    receiver.answer(503);
    for _ in 0..2 {
        deliver(&test).await;
        test.clock.advance_ms(5 * 86_400_000 + 1000);
        test.create_key(json!({"name": "more", "scope": "read"})).await;
    }
    deliver(&test).await;
    let shown = test.admin(Method::GET, &format!("/v1/webhooks/{id}"), None).await;
    assert_eq!(
        (&shown.body["enabled"], &shown.body["disabled_reason"]),
        (&json!(false), &json!("failing")),
        "{shown:?}"
    );
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert_eq!(
        tx.audit_of(&id, 1).await.expect("rows")[0].action,
        "webhook.disable"
    );
    drop(tx);
    let before = receiver.seen().len();
    test.create_key(json!({"name": "unheard", "scope": "read"})).await;
    deliver(&test).await;
    assert_eq!(receiver.seen().len(), before);
    // Enabled again, it hears of what comes then, and of what is replayed.
    receiver.answer(200);
    test.admin(
        Method::PATCH,
        &format!("/v1/webhooks/{id}"),
        Some(json!({"enabled": true})),
    )
    .await;
    test.create_key(json!({"name": "heard", "scope": "read"})).await;
    deliver(&test).await;
    assert_eq!(receiver.seen().len(), before + 1);

    // Old messages are forgotten, those that wait are not.
    receiver.answer(500);
    test.create_key(json!({"name": "waits", "scope": "read"})).await;
    deliver(&test).await;
    test.clock.advance_ms(31 * 86_400_000);
    forget(test.app.clone()).await.expect("forgotten");
    let left = messages(&test, &id).await;
    assert_eq!(
        (left.len(), &left[0]["state"]),
        (1, &json!("waiting")),
        "{left:?}"
    );
}

/// Killed between the answer and its commit: the message is taken for a minute, then it comes again, under its id.
async fn a_process_that_dies_while_telling_tells_again(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&test, &receiver.url, &["*"]).await;
    let id = id.parse::<shared::id::WebhookId>().expect("an id").get();
    test.create_key(json!({"name": "ci", "scope": "read"})).await;
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let taken = tx
        .take_delivery(id, now, now.saturating_add(60_000))
        .await
        .expect("taken")
        .expect("a message");
    tx.commit().await.expect("commit");
    deliver(&test).await;
    assert!(receiver.seen().is_empty(), "somebody has it");
    test.clock.advance_ms(60_001);
    deliver(&test).await;
    let (headers, _) = receiver.seen().pop().expect("it came");
    assert_eq!(headers["webhook-id"], taken.id.to_string().as_str());
}

async fn of_two_instances_one_tells(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    hook(&test, &receiver.url, &["key.created"]).await;
    for number in 0..20 {
        test.create_key(json!({"name": format!("key {number}"), "scope": "read"}))
            .await;
    }
    let (first, second) = tokio::join!(deliver_due(test.app.clone()), deliver_due(test.app.clone()));
    first.and(second).expect("delivered");
    assert_eq!(receiver.seen().len(), 20);
}

async fn what_is_disabled_hears_nothing(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&test, &receiver.url, &["*"]).await;
    let off = test
        .admin(
            Method::PATCH,
            &format!("/v1/webhooks/{id}"),
            Some(json!({"enabled": false})),
        )
        .await;
    assert_eq!(off.body["disabled_reason"], "by_admin");
    let refused = test
        .admin(Method::POST, &format!("/v1/webhooks/{id}/ping"), None)
        .await;
    assert_eq!(refused.outcome(), (409, "webhook_disabled"));
    test.create_key(json!({"name": "ci", "scope": "read"})).await;
    deliver(&test).await;
    assert!(receiver.seen().is_empty());
    // Gone: told so by the other side.
    test.admin(
        Method::PATCH,
        &format!("/v1/webhooks/{id}"),
        Some(json!({"enabled": true})),
    )
    .await;
    receiver.answer(410);
    test.admin(Method::POST, &format!("/v1/webhooks/{id}/ping"), None)
        .await;
    deliver(&test).await;
    let shown = test.admin(Method::GET, &format!("/v1/webhooks/{id}"), None).await;
    assert_eq!(shown.body["disabled_reason"], "gone");
    // Removed, with its messages.
    let removed = test
        .admin(Method::DELETE, &format!("/v1/webhooks/{id}"), None)
        .await;
    assert_eq!(removed.status.as_u16(), 200, "{removed:?}");
    let mut tx = test.app.store.begin().await.expect("tx");
    let left: i64 = on_db!(&mut tx, conn => sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries").fetch_one(conn).await).expect("count");
    assert_eq!(left, 0);
    drop(tx);
    // A secret that nobody can read any more is said to be lost.
    let (id, _) = hook(&test, &receiver.url, &["*"]).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    rows_affected!(
        &mut tx,
        sqlx::query("UPDATE webhooks SET sealed = $1").bind([1u8; 40].as_slice())
    )
    .expect("changed");
    tx.commit().await.expect("commit");
    test.admin(Method::POST, &format!("/v1/webhooks/{id}/ping"), None)
        .await;
    deliver(&test).await;
    let shown = test.admin(Method::GET, &format!("/v1/webhooks/{id}"), None).await;
    assert_eq!(shown.body["disabled_reason"], "secret_lost");
}

/// Somewhere that takes connections, and never answers; and how many it has taken.
async fn silent() -> (String, Arc<Mutex<Vec<tokio::net::TcpStream>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
    let open: Arc<Mutex<Vec<tokio::net::TcpStream>>> = Arc::default();
    let kept = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            kept.lock().expect("open").push(stream);
        }
    });
    (url, open)
}

/// An organisation whose twenty webhooks never answer has four places; another one's message comes meanwhile.
async fn who_does_not_answer_holds_up_nobody(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&test, &receiver.url, &["key.expiring"]).await;
    let victim: shared::id::WebhookId = id.parse().expect("an id");
    let mut tx = test.app.store.begin().await.expect("tx");
    let other = shared::id::OrgId::from_u64(99).expect("small");
    tx.insert_org(other, "Another", test.clock.now())
        .await
        .expect("org");
    rows_affected!(&mut tx, sqlx::query("UPDATE webhooks SET org_id = 99")).expect("moved");
    tx.commit().await.expect("commit");
    let (url, open) = silent().await;
    for _ in 0..20 {
        hook(&test, &url, &["key.created"]).await;
    }
    for name in ["a", "b", "c", "d"] {
        test.create_key(json!({"name": name, "scope": "read"})).await;
    }
    test.clock.advance_ms(1000);
    let mut tx = test.app.store.begin().await.expect("tx");
    let id = crate::store::int(victim.get());
    tx.insert_delivery((1, id), ("webhook.ping", "{}"), None, test.clock.now())
        .await
        .expect("queued");
    tx.commit().await.expect("commit");
    let job = tokio::spawn(deliver_due(test.app.clone()));
    eventually(async || receiver.seen().len() == 1).await;
    let open = open.lock().expect("open").len();
    assert!((1..=4).contains(&open), "{open}");
    // What became due meanwhile is found while others still do not answer.
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_delivery((2, id), ("webhook.ping", "{}"), None, test.clock.now())
        .await
        .expect("queued");
    tx.commit().await.expect("commit");
    eventually(async || receiver.seen().len() == 2).await;
    assert!(!job.is_finished(), "the others still do not answer");
    job.abort();
    assert!(job.await.is_err());
}

/// However many messages wait for it: one attempt, then a pause.
async fn a_webhook_that_fails_is_left_alone(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&test, &receiver.url, &["key.created"]).await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        test.create_key(json!({"name": name, "scope": "read"})).await;
    }
    receiver.answer(500);
    deliver(&test).await;
    assert_eq!(receiver.seen().len(), 2, "two at a time, and no third");
    deliver(&test).await;
    assert_eq!(receiver.seen().len(), 2);
    for (seconds, seen) in [(4, 2), (1, 3), (4, 3), (1, 4), (4, 4)] {
        test.clock.advance_ms(seconds * 1000);
        deliver(&test).await;
        assert_eq!(receiver.seen().len(), seen, "after {seconds} s more");
    }
    // Somebody has mended it, and does not wait.
    receiver.answer(200);
    test.admin(Method::POST, &format!("/v1/webhooks/{id}/ping"), None)
        .await;
    deliver(&test).await;
    test.clock.advance_ms(3_600_000);
    deliver(&test).await;
    let states = messages(&test, &id).await;
    assert_eq!(states.len(), 7);
    assert!(states.iter().all(|message| message["state"] == "delivered"));
}

/// More than that is written down, and can be sent again.
async fn what_waits_for_a_webhook_has_an_end(store: Store) {
    let test = start(Some(store)).await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&test, &receiver.url, &["key.created"]).await;
    let webhook: shared::id::WebhookId = id.parse().expect("an id");
    let mut tx = test.app.store.begin().await.expect("tx");
    rows_affected!(
        &mut tx,
        sqlx::query(
            "INSERT INTO webhook_deliveries (id, webhook_id, event, payload, created_at, due_at)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
             SELECT i, $1, 'key.created', '{}', 0, 9000000000000 FROM n"
        )
        .bind(crate::store::int(webhook.get()))
    )
    .expect("queued");
    tx.commit().await.expect("commit");
    for name in ["a", "b"] {
        test.create_key(json!({"name": name, "scope": "read"})).await;
        test.clock.advance_ms(1);
    }
    let newest = messages(&test, &id).await;
    assert_eq!(
        (&newest[1]["state"], &newest[1]["last_error"]),
        (&json!("waiting"), &Value::Null)
    );
    assert_eq!(newest[0]["state"], "given_up");
    let why = newest[0]["last_error"].as_str().expect("a reason");
    assert!(why.contains("too many"), "{why}");
    let message = newest[0]["id"].as_str().expect("an id");
    let path = format!("/v1/webhooks/{id}/messages/{message}/replay");
    let answer = test.admin(Method::POST, &path, None).await;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    deliver(&test).await;
    assert_eq!(receiver.seen().len(), 2);
}

async fn a_webhook_of_others_is_not_there(store: Store) {
    let test = start(Some(store)).await;
    let (id, _) = hook(&test, "https://example.com/hooks", &["*"]).await;
    // The same webhook, moved to another organisation.
    let mut tx = test.app.store.begin().await.expect("tx");
    let other = shared::id::OrgId::from_u64(99).expect("small");
    tx.insert_org(other, "Another", test.clock.now())
        .await
        .expect("org");
    rows_affected!(&mut tx, sqlx::query("UPDATE webhooks SET org_id = 99")).expect("moved");
    tx.commit().await.expect("commit");
    for (method, path) in [
        (Method::GET, format!("/v1/webhooks/{id}")),
        (Method::DELETE, format!("/v1/webhooks/{id}")),
        (Method::GET, format!("/v1/webhooks/{id}/messages")),
        (Method::POST, format!("/v1/webhooks/{id}/ping")),
        (Method::POST, format!("/v1/webhooks/{id}/rotate-secret")),
        (
            Method::POST,
            format!("/v1/webhooks/{id}/messages/msg_000000001/replay"),
        ),
        (Method::GET, "/v1/webhooks/nonsense".to_owned()),
    ] {
        let answer = test.admin(method.clone(), &path, None).await;
        assert_eq!(answer.outcome(), (404, "not_found"), "{method} {path}");
    }
    let answer = test
        .admin(
            Method::PATCH,
            &format!("/v1/webhooks/{id}"),
            Some(json!({"enabled": false})),
        )
        .await;
    assert_eq!(answer.outcome(), (404, "not_found"));
    // Nor does it hear of us.
    test.create_key(json!({"name": "ci", "scope": "read"})).await;
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let queued: i64 = on_db!(&mut tx, conn => sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries").fetch_one(conn).await).expect("count");
    assert_eq!(queued, 0);
}

#[tokio::test]
async fn a_webhook_is_made_once_and_changed_as_it_was_read() {
    let test = TestApp::start().await;
    let send = async |method: Method, path: &str, header: (&str, &str), body: Value| {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header(header.0, header.1)
            .header("authorization", format!("Bearer {}", test.made.admin_key));
        let body = axum::body::Body::from(body.to_string());
        test.send(request.body(body).expect("a request")).await
    };
    let make = async |events: Value| {
        let body = json!({"url": "https://example.com/hooks", "events": events});
        send(Method::POST, "/v1/webhooks", ("idempotency-key", "k"), body).await
    };
    let made = make(json!(["key.*"])).await;
    assert_eq!(made.status, 201, "{made:?}");
    let again = make(json!(["key.*"])).await;
    assert_eq!(again.outcome(), (409, "already_created"), "its secret was shown");
    assert_eq!(again.text("id"), made.text("id"));
    assert_eq!(make(json!(["*"])).await.outcome(), (422, "idempotency_mismatch"));

    let path = format!("/v1/webhooks/{}", made.text("id"));
    let tag = made.headers["etag"].to_str().expect("text").to_owned();
    let seen = test.admin(Method::GET, &path, None).await;
    assert_eq!(seen.headers["etag"], *tag);
    let rename = async |name: &str, tag: &str| {
        let body = json!({"description": name});
        send(Method::PATCH, &path, ("if-match", tag), body).await
    };
    let first = rename("a", &tag).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_ne!(first.headers["etag"], *tag);
    assert_eq!(rename("b", &tag).await.outcome(), (412, "precondition_failed"));
    let now = test.admin(Method::GET, &path, None).await;
    assert_eq!(now.text("description"), "a");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let test = TestApp::start().await;
    for (url, events, field) in [
        ("http://example.com/hooks", json!(["*"]), "url"),
        ("http://127.0.0.1:9/hooks", json!(["*"]), "url"),
        ("https://127.0.0.1/hooks", json!(["*"]), "url"),
        ("https://[::1]/hooks", json!(["*"]), "url"),
        ("https://169.254.169.254/latest", json!(["*"]), "url"),
        ("https://me:secret@example.com/", json!(["*"]), "url"),
        ("https://example.com/#x", json!(["*"]), "url"),
        ("ftp://example.com/", json!(["*"]), "url"),
        ("https://example.com/", json!([]), "events"),
        ("https://example.com/", json!(["key.made"]), "events"),
        ("https://example.com/", json!(["ke*"]), "events"),
        ("https://example.com/", json!(["key.* user.*"]), "events"),
    ] {
        let body = json!({"url": url, "events": events});
        let answer = test.admin(Method::POST, "/v1/webhooks", Some(body)).await;
        assert_eq!(answer.outcome(), (400, "invalid_field"), "{url} {events}");
        assert_eq!(answer.body["field"], field, "{url} {events}");
    }
    for number in 0..20 {
        hook(&test, &format!("https://example.com/{number}"), &["*"]).await;
    }
    let body = json!({"url": "https://example.com/", "events": ["*"]});
    let answer = test.admin(Method::POST, "/v1/webhooks", Some(body)).await;
    assert_eq!(answer.outcome(), (409, "too_many"));
    let (_, key) = member(&test, 12, Role::Member).await;
    let answer = test.call(Method::GET, "/v1/webhooks", &key, None).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
}

#[test]
fn events_have_names_and_patterns() {
    assert_eq!(events::of("api_key.create", "key_1"), Some("key.created"));
    assert_eq!(events::of("signal.leak", "grt_1"), Some("grant.leaked"));
    assert_eq!(events::of("session.begin", "ses_1"), None);
    for (patterns, event, wanted) in [
        ("*", "key.created", true),
        ("key.*", "key.created", true),
        ("user.* key.created", "key.created", true),
        ("user.*", "key.created", false),
        ("key.creat", "key.created", false),
        ("", "key.created", false),
    ] {
        assert_eq!(events::wants(patterns, event), wanted, "{patterns}");
    }
    // Every event is of a family that the documentation names.
    for event in events::all() {
        assert!(
            ["key.", "grant.", "user.", "edge."]
                .iter()
                .any(|family| event.starts_with(family)),
            "{event}"
        );
    }
}
