//! Request ids, health, and what is logged.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Method, Request};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::testing::TestApp;

#[test]
fn a_request_id_is_short_plain_text() {
    assert!(is_harmless("req_AbC-123"));
    for wrong in [
        "short",
        "has space",
        "line\nbreak",
        "quote\"quote",
        &"x".repeat(65),
    ] {
        assert!(!is_harmless(wrong), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_request_id_goes_through() {
    let test = TestApp::start().await;
    let send = async |id: &str| {
        let request = Request::get("/health/live")
            .header("x-request-id", id)
            .body(Body::empty());
        let answer = test.send(request.expect("a request")).await;
        answer.headers["x-request-id"].to_str().expect("text").to_owned()
    };
    assert_eq!(send("edge-12345678").await, "edge-12345678");
    let fresh = send("bad id").await;
    assert!(fresh.starts_with("req_"), "{fresh}");
    assert_ne!(fresh, send("bad id").await);
}

#[tokio::test]
async fn live_is_not_ready() {
    let test = TestApp::start().await;
    let get = async |path: &str| {
        let answer = test
            .send(Request::get(path).body(Body::empty()).expect("a request"))
            .await;
        (answer.status.as_u16(), answer.body)
    };
    assert_eq!(get("/health/live").await.0, 200);
    // No publisher runs in this test.
    let (status, body) = get("/health/ready").await;
    assert_eq!(
        (status, body["checks"]["publisher"].as_str()),
        (503, Some("failing"))
    );
    assert_eq!(body["checks"]["database"], "ok");
    test.app.store.close().await;
    assert_eq!(get("/health/ready").await.1["checks"]["database"], "failing");
    assert_eq!(get("/health/live").await.0, 200);
    assert_eq!(
        get("/metrics").await.0,
        404,
        "only on its own listener, or in dev"
    );
}

/// Whoever sends methods of their own makes one label of it, not one each.
#[tokio::test]
async fn methods_are_counted_under_known_names() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let test = TestApp::start().await;
    for method in ["GET", "DELETE", "get", "SPAM1", "SPAM2"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        test.admin(method, "/v1/nothing", None).await;
    }
    let lines = counted.render();
    let count = |method: &str| {
        let labels = format!("{{method=\"{method}\",route=\"unmatched\",status=\"404\"}} ");
        let line = lines.lines().find(|line| line.contains(&labels));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(
        ["GET", "DELETE", "other"].map(count),
        ["1", "1", "3"].map(|n| Some(n.to_owned())),
        "{lines}"
    );
    assert!(!lines.contains("SPAM") && !lines.contains("\"get\""), "{lines}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Signs the owner in, uses the session, and gives the cookie's value.
async fn sign_in(test: &TestApp) -> String {
    use axum::http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
    let cookie = |headers: &HeaderMap| {
        let line = headers[SET_COOKIE].to_str().expect("text");
        line.split(';').next().expect("a pair").to_owned()
    };
    let request = Request::get("/login").body(Body::empty());
    let page = test.send(request.expect("a request")).await;
    let (_, token) = page.raw.split_once(r#"name="csrf" value=""#).expect("a token");
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("csrf", token.split('"').next().expect("an end"))
        .append_pair("email", &test.made.admin_email)
        .append_pair("password", &test.made.admin_password)
        .finish();
    let request = Request::post("/login")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(COOKIE, cookie(&page.headers))
        .body(Body::from(body));
    let answer = test.send(request.expect("a request")).await;
    let session = cookie(&answer.headers);
    let request = Request::get("/account")
        .header(COOKIE, &session)
        .body(Body::empty());
    assert_eq!(test.send(request.expect("a request")).await.status, 200);
    let (_, value) = session.split_once('=').expect("a pair");
    value.to_owned()
}

/// Every place of a request that may hold a secret, and an error of ours.
#[tokio::test]
async fn no_secret_is_logged() {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone());
    // With one subscriber alone, whichever thread reaches a log line first decides for all whether it is wanted, and no other
    // test has one. With two, all of them are asked, and once more when ours comes.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(log.finish());
    let test = TestApp::start().await;
    let body = serde_json::json!({"name": "a", "scope": "read"});
    let (id, key) = test.create_key(body).await;
    let admin = test.made.admin_key.clone();
    test.admin(Method::DELETE, &format!("/v1/auth/keys/{key}"), None)
        .await;
    test.admin(Method::GET, &format!("/v1/auth/keys?name={key}"), None)
        .await;
    test.admin(Method::GET, &format!("/nowhere/{key}?token={key}"), None)
        .await;
    test.admin(
        Method::PATCH,
        &format!("/v1/auth/keys/{id}"),
        Some(serde_json::json!({ key.clone(): 1 })),
    )
    .await;
    // A key is a word, and any word may be a method.
    let method = Method::from_bytes(key.as_bytes()).expect("a method");
    test.admin(method, "/v1/auth/keys", None).await;
    let cookie = sign_in(&test).await;
    test.app.store.close().await;
    assert_eq!(
        test.admin(Method::GET, "/v1/auth/keys", None).await.outcome(),
        (500, "internal")
    );
    let logged = String::from_utf8(lines.0.lock().expect("a lock").clone()).expect("text");
    assert!(
        logged.contains("internal error") && logged.contains("/v1/auth/keys/{id}"),
        "{logged}"
    );
    for secret in [&key, &admin, &test.made.admin_password, &cookie] {
        assert!(!logged.contains(secret.as_str()));
        assert!(!logged.contains(&secret[10..]), "nor most of one");
    }
}
