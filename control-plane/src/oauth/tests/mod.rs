mod assertion;
mod authorize;
mod backchannel;
mod built_in;
mod code;
mod device;
pub(crate) mod dpop;
mod flows;
mod inherit;
mod jwt_bearer;
mod logout;
mod open_clients;
mod par;
mod refresh;
mod resource;
mod revoke;
mod signals;
mod status_lists;
pub(crate) mod support;
mod token_exchange;

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::crypto::{Algorithm, VerifyingKey, from_base64url};
use shared::feed::{Entry, Subject};
use shared::scope::ScopeSet;

use super::clients::{CreateError, CreatedClient, NewClient, create, disable};
use super::form::{Form, FormError};
use crate::audit::Actor;
use crate::store::clients::ClientKind;
use crate::testing::{Answer, TestApp};
use support::outcome;

const FORM: &str = "application/x-www-form-urlencoded";

async fn client(test: &TestApp, scopes: &[&str]) -> CreatedClient {
    let app = &test.app;
    let scopes = app.catalogue().parse(scopes).expect("known");
    let mut tx = app.store.begin().await.expect("tx");
    let new = NewClient::new(test.made.org, "batch", scopes, ClientKind::Confidential);
    let actor = Actor::command_line();
    let made = create(&mut tx, &app.random, "pc", new, &actor, app.clock.now())
        .await
        .expect("a client");
    tx.commit().await.expect("commit");
    made
}

fn secret_of(made: &CreatedClient) -> &str {
    made.secret.as_ref().expect("confidential").expose()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn post(test: &TestApp, authorization: Option<&str>, body: &str) -> Answer {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/token")
        .header("content-type", FORM);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    test.send(request.body(Body::from(body.to_owned())).expect("a request"))
        .await
}

/// The status index that an answer's access token carries.
pub(crate) fn index(test: &TestApp, answer: &Answer) -> shared::id::StatusIndex {
    let status = support::claims(answer).status.expect("a status");
    status
        .status_list
        .index(&test.app.config.issuer)
        .expect("our list")
}

/// Whether the access token of an answer is not revoked; where it is, the edge is told.
async fn is_live(test: &TestApp, answer: &Answer) -> bool {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    tx.index_is_live(index(test, answer)).await.expect("asked") == Some(true)
}

#[tokio::test]
async fn a_client_gets_a_token_that_verifies() {
    let test = TestApp::start().await;
    let made = client(&test, &["memory:read", "memory:write"]).await;
    let (id, secret) = (made.client.id.to_string(), secret_of(&made));
    let answer = post(&test, Some(&basic(&id, secret)), "grant_type=client_credentials").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 3600);
    assert_eq!(answer.body["scope"], "memory:read memory:write");

    let granted = answer.text("access_token");
    let token = shared::token::parse(&granted).expect("an access token");
    assert_eq!(token.algorithm, Algorithm::Rs256);
    let jwks = get(&test, "/.well-known/jwks.json").await;
    let key = jwks.body["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .find(|key| key["kid"] == token.kid.as_str());
    let key = key.expect("the kid is published");
    let member = |name: &str| from_base64url(key[name].as_str().expect("text")).expect("base64url");
    let public = VerifyingKey::rsa(Algorithm::Rs256, &member("n"), &member("e")).expect("admitted");
    assert!(public.verify_base64url(token.message.as_bytes(), token.signature));
    assert!(key.get("d").is_none(), "no private member");

    let claims = &token.claims;
    let config = &test.app.config;
    assert_eq!(
        (claims.iss.as_str(), claims.aud.as_slice()),
        (config.issuer.as_str(), [config.resource.clone()].as_slice())
    );
    assert_eq!(
        (claims.sub.as_str(), claims.client_id.as_str()),
        (id.as_str(), id.as_str())
    );
    assert_eq!(claims.exp.0 - claims.iat.0, 3600);
    assert_eq!(claims.org, Some(test.made.org));
    let status = claims.status.as_ref().expect("a status");
    let index = status.status_list.index(&config.issuer).expect("our list");
    let mut tx = test.app.store.begin().await.expect("tx");
    let block = crate::store::int(index.list() * (1 << 20));
    assert_eq!(
        tx.taken_indexes(block).await.expect("list"),
        [crate::store::int(index.get())],
        "its row"
    );
    drop(tx);

    let second = post(&test, Some(&basic(&id, secret)), "grant_type=client_credentials")
        .await
        .text("access_token");
    let second = shared::token::parse(&second).expect("an access token").claims;
    assert_ne!(second.jti, claims.jti);
    assert_ne!(second.status, claims.status, "an index of its own");
}

async fn get(test: &TestApp, path: &str) -> Answer {
    test.send(
        Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a request"),
    )
    .await
}

#[tokio::test]
async fn scope_and_resource_are_kept_within_bounds() {
    let test = TestApp::start().await;
    let made = client(&test, &["memory:read", "memory:write"]).await;
    let header = basic(&made.client.id.to_string(), secret_of(&made));
    let narrowed = post(
        &test,
        Some(&header),
        "grant_type=client_credentials&scope=memory%3Aread",
    )
    .await;
    assert_eq!(narrowed.body["scope"], "memory:read");
    for (body, error) in [
        ("scope=admin", "invalid_scope"),
        ("scope=memory:read+nonsense", "invalid_scope"),
        ("scope=memory:read++memory:write", "invalid_scope"),
        ("resource=https://elsewhere.example", "invalid_target"),
        ("resource=http://127.0.0.1:8787/x", "invalid_target"),
    ] {
        let answer = post(
            &test,
            Some(&header),
            &format!("grant_type=client_credentials&{body}"),
        )
        .await;
        assert_eq!(outcome(&answer), (400, error), "{body}");
    }
    for resource in [
        "http://127.0.0.1:8787",
        "http://127.0.0.1:8787/",
        "http%3A%2F%2F127.0.0.1%3A8787",
    ] {
        let answer = post(
            &test,
            Some(&header),
            &format!("grant_type=client_credentials&resource={resource}"),
        )
        .await;
        let claims = shared::token::parse(&answer.text("access_token"))
            .expect("a token")
            .claims;
        assert_eq!(
            claims.aud,
            ["http://127.0.0.1:8787"],
            "byte for byte as configured"
        );
    }
    let admin = client(&test, &["admin"]).await;
    let header = basic(&admin.client.id.to_string(), secret_of(&admin));
    let answer = post(
        &test,
        Some(&header),
        "grant_type=client_credentials&scope=vault:manage",
    )
    .await;
    assert_eq!(answer.body["scope"], "vault:manage", "admin implies all");
}

#[tokio::test]
async fn exactly_one_right_authentication() {
    let test = TestApp::start().await;
    let made = client(&test, &["memory:read"]).await;
    let (id, secret) = (made.client.id.to_string(), secret_of(&made).to_owned());
    let right = basic(&id, &secret);
    let in_body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    assert_eq!(post(&test, None, &in_body).await.status, 200);
    let same_id = format!("grant_type=client_credentials&client_id={id}");
    assert_eq!(post(&test, Some(&right), &same_id).await.status, 200);

    let grant = "grant_type=client_credentials";
    let unknown = basic("cli_000000zzz", &secret);
    let (colonless, wrong, bearer) = (
        format!("Basic {}", STANDARD.encode("x")),
        basic(&id, "no"),
        format!("Bearer {secret}"),
    );
    let other_id = format!("{grant}&client_id=cli_000000zzz");
    let no_id = format!("{grant}&client_secret={secret}");
    let assertion = format!("{grant}&client_assertion=x&client_assertion_type=y");
    let table: [(&str, Option<&str>, &str, u16, &str); 11] = [
        ("none", None, grant, 401, "invalid_client"),
        ("both", Some(&right), &in_body, 400, "invalid_request"),
        ("wrong secret", Some(&wrong), grant, 401, "invalid_client"),
        ("unknown client", Some(&unknown), grant, 401, "invalid_client"),
        ("no colon", Some(&colonless), grant, 401, "invalid_client"),
        ("not base64", Some("Basic ***"), grant, 401, "invalid_client"),
        ("bearer", Some(&bearer), grant, 401, "invalid_client"),
        ("two ids", Some(&right), &other_id, 400, "invalid_request"),
        ("secret without id", None, &no_id, 400, "invalid_request"),
        ("assertion", None, &assertion, 401, "invalid_client"),
        (
            "no grant type",
            Some(&right),
            "scope=memory:read",
            400,
            "invalid_request",
        ),
    ];
    for (case, authorization, body, status, error) in table {
        let answer = post(&test, authorization, body).await;
        assert_eq!(outcome(&answer), (status, error), "{case}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{case}");
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            status == 401,
            "{case}"
        );
        assert!(!answer.body.to_string().contains(&secret), "{case}");
    }
    let password = format!("grant_type=password&client_id={id}&client_secret={secret}");
    assert_eq!(
        outcome(&post(&test, None, &password).await),
        (400, "unsupported_grant_type")
    );
}

#[tokio::test]
async fn a_request_is_read_strictly() {
    let test = TestApp::start().await;
    let made = client(&test, &["memory:read"]).await;
    let header = basic(&made.client.id.to_string(), secret_of(&made));
    let grant = "grant_type=client_credentials";
    for body in [
        format!("{grant}&{grant}"),
        format!("{grant}&scope=memory:read&scope=memory:read"),
        format!("{grant}&scope=%zz"),
        format!("{grant}&scope=%ff"),
        format!("{grant}&x={}", "a".repeat(20_000)),
    ] {
        let answer = post(&test, Some(&header), &body).await;
        assert_eq!(outcome(&answer), (400, "invalid_request"), "{body:.60}");
    }
    let in_url = Request::builder()
        .method(Method::POST)
        .uri("/token?grant_type=client_credentials")
        .header("content-type", FORM)
        .header("authorization", &header);
    let answer = test
        .send(in_url.body(Body::from(grant)).expect("a request"))
        .await;
    assert_eq!(outcome(&answer), (400, "invalid_request"));
    let json = Request::builder()
        .method(Method::POST)
        .uri("/token")
        .header("content-type", "application/json");
    let answer = test
        .send(
            json.header("authorization", &header)
                .body(Body::from("{}"))
                .expect("a request"),
        )
        .await;
    assert_eq!(outcome(&answer), (400, "invalid_request"));
    // An empty parameter counts as absent.
    assert_eq!(
        post(&test, Some(&header), &format!("{grant}&scope=&resource="))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_client_has_a_name_and_an_audit_row() {
    let test = TestApp::start().await;
    let made = client(&test, &["memory:read"]).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let rows = tx.audit_of(&made.client.id.to_string(), 10).await.expect("rows");
    assert_eq!(
        rows.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(),
        ["client.create"]
    );
    assert!(!format!("{rows:?}{made:?}").contains(secret_of(&made)));
    assert!(secret_of(&made).len() >= "pc_secret_".len() + 43, "256 bits");
    for name in ["", "  ", "a\nb", "a\u{200b}b"] {
        let new = NewClient::new(test.made.org, name, ScopeSet::EMPTY, ClientKind::Confidential);
        let now = test.app.clock.now();
        let made = create(&mut tx, &test.app.random, "pc", new, &Actor::system(), now).await;
        assert!(matches!(made, Err(CreateError::Name)), "{name:?}");
    }
}

#[tokio::test]
async fn a_disabled_client_gets_nothing_and_the_edge_is_told() {
    let test = TestApp::start().await;
    let (made, other) = (
        client(&test, &["memory:read"]).await,
        client(&test, &["memory:read"]).await,
    );
    let token = async |made: &CreatedClient| {
        let header = basic(&made.client.id.to_string(), secret_of(made));
        let answer = post(&test, Some(&header), "grant_type=client_credentials").await;
        answer.status.as_u16()
    };
    assert_eq!(token(&made).await, 200);
    // The audit trail has no order within a millisecond.
    test.clock.advance_ms(1000);
    let now = test.app.clock.now();
    let subject = made.client.id.to_string();
    for _ in 0..2 {
        let mut tx = test.app.store.begin().await.expect("tx");
        let actor = Actor::command_line();
        let done = disable(&mut tx, &test.app.random, made.client.id, &actor, now)
            .await
            .expect("done")
            .expect("there is one");
        assert_eq!(done.disabled_at, Some(now));
        tx.commit().await.expect("commit");
        test.clock.advance_ms(5000);
    }
    assert_eq!((token(&made).await, token(&other).await), (401, 200));

    let mut tx = test.app.store.begin().await.expect("tx");
    let rows = tx.audit_of(&subject, 10).await.expect("rows");
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["client.disable", "client.create"], "newest first");
    let entry = Entry::NotBefore(Subject::Client(subject.clone()), now.seconds()).encode();
    let pending = tx.pending_entries(1000).await.expect("rows");
    let told: Vec<_> = pending
        .iter()
        .filter(|row| row.entry == entry)
        .map(|row| row.id)
        .collect();
    let receipt = tx.receipt(&subject).await.expect("asked").expect("one");
    assert_eq!(told, [receipt.outbox_id], "once, and the receipt waits for it");
    let unknown = "cli_000000zzz".parse().expect("an id");
    let nobody = disable(&mut tx, &test.app.random, unknown, &Actor::command_line(), now).await;
    assert!(nobody.expect("asked").is_none());
}

#[test]
fn a_form_is_decoded() {
    let kind = "application/x-www-form-urlencoded; charset=UTF-8";
    let form = Form::parse(Some(kind), b"a=1%2B+2&b=&c").expect("valid");
    assert_eq!(
        (form.value("a"), form.value("b"), form.value("c"), form.value("d")),
        (Some("1+ 2"), None, None, None)
    );
    let refused = |kind, body: &[u8]| Form::parse(Some(kind), body).err();
    assert_eq!(refused("text/plain", b"a=1"), Some(FormError::ContentType));
    assert_eq!(refused(FORM, b"a=1&a=1"), Some(FormError::Repeated));
    assert_eq!(
        refused(FORM, b"a=1&%61=1"),
        Some(FormError::Repeated),
        "after decoding"
    );
    for wrong in [&b"a=%"[..], b"a=%4", b"a=%g0", b"a=\xff", b"a=%c3%28", b"a=b c"] {
        assert_eq!(refused(FORM, wrong), Some(FormError::Encoding), "{wrong:?}");
    }
}
