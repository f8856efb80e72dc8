//! Reports of a secret scanner, over HTTP: one test per rule. The scanner's keys are served here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::crypto::sha256;
use shared::feed::{Entry, Subject};
use shared::id::KeyId;

use crate::config::LeakAction;
use crate::orgs;
use crate::signals::sources::COOL_DOWN_MS;
use crate::store::audit::AuditRow;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp};

const PATH: &str = "/v1/signals/leaks";
const PLACE: &str = "https://github.com/octocat/Hello-World/blob/123456/foo.txt";
const PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A scanner with one key that is published, and one that is not yet.
struct Scanner {
    test: TestApp,
    key: EcdsaKeyPair,
    next: EcdsaKeyPair,
    asked: Arc<AtomicU64>,
    rotated: Arc<AtomicU64>,
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key")
}

fn listed(name: &str, key: &EcdsaKeyPair) -> Value {
    let der = [PREFIX.as_slice(), key.public_key().as_ref()].concat();
    let text = STANDARD.encode(der);
    let (one, two) = text.split_at(64);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{one}\n{two}\n-----END PUBLIC KEY-----\n");
    json!({"key_identifier": name, "key": pem, "is_current": true})
}

async fn scanner(action: LeakAction) -> Scanner {
    let (key, next) = (key(), key());
    let (asked, rotated) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let documents = [
        json!({"public_keys": [{"key_identifier": "rsa", "key": "x"}, listed("one", &key)]}),
        json!({"public_keys": [listed("one", &key), listed("two", &next)]}),
    ];
    let served = (Arc::clone(&asked), Arc::clone(&rotated));
    let handler = move || {
        let (asked, rotated) = served.clone();
        let documents = documents.clone();
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            let number = usize::from(rotated.load(Ordering::SeqCst) > 0);
            (
                [("content-type", "application/json")],
                documents[number].to_string(),
            )
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let keys_url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let router = Router::new().route("/keys", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let test = TestApp::start_with(|config| {
        config.edges = Vec::new();
        config.dev = true;
        config.leaks.enabled = true;
        config.leaks.keys_url = keys_url;
        config.leaks.action = action;
    })
    .await;
    Scanner {
        test,
        key,
        next,
        asked,
        rotated,
    }
}

impl Scanner {
    async fn send(&self, headers: &[(&str, String)], body: &str) -> Answer {
        let mut request = Request::post(PATH).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.test
            .send(request.body(Body::from(body.to_owned())).expect("a request"))
            .await
    }

    fn signed(name: &str, key: &EcdsaKeyPair, body: &str) -> Vec<(&'static str, String)> {
        let signature = key.sign(&SystemRandom::new(), body.as_bytes()).expect("signed");
        vec![
            ("Github-Public-Key-Identifier", name.to_owned()),
            ("Github-Public-Key-Signature", STANDARD.encode(signature.as_ref())),
        ]
    }

    async fn report(&self, findings: &Value) -> Answer {
        let body = findings.to_string();
        self.send(&Self::signed("one", &self.key, &body), &body).await
    }

    async fn key(&self, name: &str) -> (KeyId, String) {
        let body = json!({"name": name, "scope": "admin", "environment": "live"});
        let (id, text) = self.test.create_key(body).await;
        (id.parse().expect("an id"), text)
    }

    async fn lives(&self, key: &str) -> (u16, String) {
        let answer = self.test.call(Method::GET, "/v1/auth/keys", key, None).await;
        let (status, code) = answer.outcome();
        (status, code.to_owned())
    }

    async fn trail(&self, target: KeyId) -> Vec<AuditRow> {
        let mut tx = self.test.app.store.begin_read().await.expect("tx");
        let mut rows = tx.audit_of(&target.to_string(), 100).await.expect("rows");
        rows.retain(|row| row.actor == "secret-scanning");
        rows
    }

    /// The mails that wait, opened.
    async fn mails(&self) -> Vec<String> {
        let mut mails = Vec::new();
        crate::mail::send_due(Arc::clone(&self.test.app))
            .await
            .expect("sent");
        let mut tx = self.test.app.store.begin_read().await.expect("tx");
        for row in tx.shown_mails(50).await.expect("mails") {
            let plain = self
                .test
                .app
                .keyring
                .open(&format!("mail/{}", row.id), &row.sealed)
                .expect("opened");
            mails.push(String::from_utf8(plain.to_vec()).expect("text"));
        }
        mails
    }
}

fn finding(token: &str) -> Value {
    json!({"token": token, "type": "portcullis_api_key", "url": PLACE, "source": "commit"})
}

fn hash(token: &str) -> String {
    hex::encode(sha256(token.as_bytes()))
}

fn label(token: &str, label: &str) -> Value {
    json!({"token_hash": hash(token), "token_type": "portcullis_api_key", "label": label})
}

#[tokio::test]
async fn a_key_that_was_found_is_revoked_with_its_line() {
    let scanner = scanner(LeakAction::Revoke).await;
    let (id, text) = scanner.key("leaked").await;
    let (_, other) = scanner.key("other").await;
    let path = format!("/v1/auth/keys/{id}/rotate");
    let rotated = scanner.test.admin(Method::POST, &path, Some(json!({}))).await;
    assert_eq!(rotated.status, 201, "{rotated:?}");
    let successor = rotated.text("key");
    assert_eq!(scanner.lives(&successor).await.0, 200);

    let stranger = "pc_live_notakeyofours";
    let answer = scanner.report(&json!([finding(&text), finding(stranger)])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body,
        json!([label(&text, "true_positive"), label(stranger, "false_positive")])
    );
    for dead in [&text, &successor] {
        assert_eq!(scanner.lives(dead).await, (401, "invalid_token".to_owned()));
    }
    assert_eq!(scanner.lives(&other).await.0, 200);
    let mut tx = scanner.test.app.store.begin_read().await.expect("tx");
    let revoked = tx
        .key(id)
        .await
        .expect("asked")
        .expect("there")
        .revoked
        .expect("revoked");
    assert_eq!(
        (revoked.reason.as_str(), revoked.by.as_str()),
        ("key_compromise", "secret-scanning")
    );
    drop(tx);

    let trail = scanner.trail(id).await;
    let actions: Vec<_> = trail.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(trail.len(), 2, "{actions:?}");
    let leak = trail
        .iter()
        .find(|row| row.action == "signal.leak")
        .expect("a row");
    let detail: Value = serde_json::from_str(&leak.detail).expect("JSON");
    assert_eq!(
        (&detail["url"], &detail["source"], &detail["action"]),
        (&json!(PLACE), &json!("commit"), &json!("revoke"))
    );
    assert_eq!(detail["keys"].as_array().map(Vec::len), Some(2), "the line");
    let mails = scanner.mails().await;
    assert_eq!(mails.len(), 1);
    assert!(
        mails[0].contains(&id.to_string())
            && mails[0].contains(PLACE)
            && mails[0].contains("revoked at once")
    );
    for place in trail
        .iter()
        .map(|row| &row.detail)
        .chain(&mails)
        .chain([&answer.raw])
    {
        assert!(!place.contains(&text), "{place}");
    }

    // The same report again: the same answer, and nothing else.
    assert_eq!(
        scanner
            .report(&json!([finding(&text), finding(stranger)]))
            .await
            .body,
        answer.body
    );
    assert_eq!(
        (scanner.trail(id).await.len(), scanner.mails().await.len()),
        (2, 1)
    );
}

#[tokio::test]
async fn in_quarantine_a_key_reads_and_gives_nothing_out() {
    let scanner = scanner(LeakAction::Quarantine).await;
    let (id, text) = scanner.key("leaked").await;
    let answer = scanner.report(&json!([finding(&text)])).await;
    assert_eq!(answer.body, json!([label(&text, "true_positive")]));
    assert_eq!(scanner.lives(&text).await, (403, "insufficient_scope".to_owned()));
    let rotate = scanner
        .test
        .call(Method::POST, "/v1/auth/keys/self/rotate", &text, Some(json!({})))
        .await;
    assert_eq!(
        rotate.outcome(),
        (409, "key_quarantined"),
        "a new key would be out of quarantine"
    );
    let path = format!("/v1/auth/keys/{id}/rotate");
    let rotate = scanner.test.admin(Method::POST, &path, Some(json!({}))).await;
    assert_eq!(rotate.outcome(), (409, "key_quarantined"));
    // The edge is told the same.
    let mut tx = scanner.test.app.store.begin_read().await.expect("tx");
    let rows = tx.pending_entries(u32::MAX).await.expect("rows");
    let told: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let mut reader = shared::wire::Reader::new(&row.entry);
            match Entry::read(&mut reader).expect("an entry") {
                Entry::Ceiling {
                    subject: Subject::Index(index),
                    scopes,
                    ..
                } => Some((index, scopes)),
                _ => None,
            }
        })
        .collect();
    let reading = orgs::rights(Role::Viewer, &scanner.test.app.policy().policy);
    assert_eq!(told, [(id.into(), reading)]);
    drop(tx);
    let mails = scanner.mails().await;
    assert!(mails[0].contains("can only read now"), "{mails:?}");
    scanner.report(&json!([finding(&text)])).await;
    assert_eq!(
        (scanner.trail(id).await.len(), scanner.mails().await.len()),
        (2, 1),
        "once"
    );
    // And it can be revoked then, like any other.
    let revoked = scanner
        .test
        .admin(Method::DELETE, &format!("/v1/auth/keys/{id}"), None)
        .await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert_eq!(scanner.lives(&text).await.0, 401);
}

#[tokio::test]
async fn whoever_has_not_signed_learns_nothing() {
    let scanner = scanner(LeakAction::Revoke).await;
    let (id, text) = scanner.key("k").await;
    let body = json!([finding(&text)]).to_string();
    let good = Scanner::signed("one", &scanner.key, &body);
    let with = |number: usize, value: &str| {
        let mut headers = good.clone();
        headers[number].1 = value.to_owned();
        headers
    };
    let mut twice = good.clone();
    twice.push(good[1].clone());
    let mut bodies = Vec::new();
    for (why, headers, body) in [
        ("nothing", vec![], body.as_str()),
        ("no name", vec![good[1].clone()], &body),
        ("no signature", vec![good[0].clone()], &body),
        ("two signatures", twice, &body),
        (
            "another key's",
            Scanner::signed("one", &scanner.next, &body),
            &body,
        ),
        (
            "a key that nobody knows",
            Scanner::signed("two", &scanner.next, &body),
            &body,
        ),
        ("a key of another kind", with(0, "rsa"), &body),
        ("not base64", with(1, "!!"), &body),
        ("an empty one", with(1, ""), &body),
        ("of other bytes", good.clone(), &format!("{body} ")),
        ("not even JSON", good.clone(), "{"),
    ] {
        let answer = scanner.send(&headers, body).await;
        assert_eq!(answer.outcome(), (401, "invalid_signature"), "{why}");
        bodies.push((answer.text("detail"), answer.text("title")));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one sentence for every reason");
    assert_eq!(scanner.lives(&text).await.0, 200);
    assert_eq!(scanner.trail(id).await.len(), 0);
    assert_eq!(scanner.send(&good, &body).await.status, 200);
}

#[tokio::test]
async fn a_new_key_of_the_scanner_is_looked_up_once_in_a_cool_down() {
    let scanner = scanner(LeakAction::Revoke).await;
    let report = async |name: &str, key: &EcdsaKeyPair| {
        let answer = scanner.send(&Scanner::signed(name, key, "[]"), "[]").await;
        (answer.status.as_u16(), scanner.asked.load(Ordering::SeqCst))
    };
    assert_eq!(report("one", &scanner.key).await, (200, 1));
    scanner.rotated.store(1, Ordering::SeqCst);
    assert_eq!(report("two", &scanner.next).await, (401, 1), "not again so soon");
    scanner.test.clock.advance_ms(COOL_DOWN_MS);
    assert_eq!(report("two", &scanner.next).await, (200, 2));
    for _ in 0..5 {
        assert_eq!(report("three", &scanner.next).await, (401, 2));
    }
    scanner.test.clock.advance_ms(COOL_DOWN_MS);
    assert_eq!(report("three", &scanner.next).await, (401, 3));
    assert_eq!(report("one", &scanner.key).await, (200, 3));
}

#[tokio::test]
async fn what_cannot_be_checked_comes_again() {
    let test = TestApp::start_with(|config| {
        config.dev = true;
        config.leaks.enabled = true;
        // Nobody listens there.
        config.leaks.keys_url = "http://127.0.0.1:1/keys".to_owned();
    })
    .await;
    let request = Request::post(PATH)
        .header("Github-Public-Key-Identifier", "one")
        .header("Github-Public-Key-Signature", "AAAA")
        .body(Body::from("[]"));
    let answer = test.send(request.expect("a request")).await;
    assert_eq!(answer.outcome(), (503, "busy"));
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn without_leave_there_is_no_such_path() {
    let test = TestApp::start().await;
    let request = Request::post(PATH).body(Body::from("[]")).expect("a request");
    assert_eq!(test.send(request).await.outcome(), (404, "not_found"));
}

#[tokio::test]
async fn what_we_did_not_sign_is_a_false_positive() {
    let (one, other) = (
        scanner(LeakAction::Revoke).await,
        scanner(LeakAction::Revoke).await,
    );
    // A key of another installation: the same form, checksum and all.
    let (_, foreign) = other.key("k").await;
    let (id, text) = one.key("k").await;
    let mut broken = text.clone();
    broken.pop();
    let tokens = [foreign.as_str(), &broken, "", "ref_unknown", "x"];
    let findings: Vec<_> = tokens.iter().map(|token| finding(token)).collect();
    let answer = one.report(&json!(findings)).await;
    let labels: Vec<_> = tokens
        .iter()
        .map(|token| label(token, "false_positive"))
        .collect();
    assert_eq!(answer.body, json!(labels));
    assert_eq!(one.trail(id).await.len(), 0);
    assert_eq!(one.lives(&text).await.0, 200);
}

#[tokio::test]
async fn a_report_has_a_form_and_a_size() {
    let scanner = scanner(LeakAction::Revoke).await;
    for wrong in [
        "{}",
        "[1]",
        r#"[{"token":"x"}]"#,
        r#"[{"type":"x"}]"#,
        "",
        r#"[{"token":"x","token":"y","type":"z"}]"#,
    ] {
        let answer = scanner
            .send(&Scanner::signed("one", &scanner.key, wrong), wrong)
            .await;
        assert_eq!(answer.outcome(), (400, "invalid_json"), "{wrong}");
    }
    let many = json!(
        (0..501)
            .map(|_| json!({"token": "x", "type": "y"}))
            .collect::<Vec<_>>()
    );
    assert_eq!(scanner.report(&many).await.outcome(), (400, "invalid_json"));
    let some = json!(
        (0..500)
            .map(|_| json!({"token": "x", "type": "y"}))
            .collect::<Vec<_>>()
    );
    assert_eq!(scanner.report(&some).await.status, 200);
    let long = "x".repeat(super::MAX_BODY + 1);
    let answer = scanner
        .send(&Scanner::signed("one", &scanner.key, &long), &long)
        .await;
    assert_eq!(answer.status, 413, "{answer:?}");
    // More than other endpoints take.
    let large = json!([{"token": "x".repeat(100_000), "type": "y"}]);
    assert_eq!(scanner.report(&large).await.status, 200);
}
