//! Pushed authorization requests and request objects: line 11 of the checklist, RFC 9126 and RFC 9101.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use shared::crypto::base64url;
use shared::time::UnixMillis;

use super::outcome;
use super::support::{
    ClientApp, Person, REDIRECT, SECOND, client_with, confidential, encode, location, post_form, public,
    published,
};
use crate::store::clients::ClientKind;
use crate::testing::{Answer, TestApp};

/// The parameters that `/authorize` would get, as fields of a form.
fn fields(client: &ClientApp, changes: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
    let request = client.request(changes);
    let (_, query) = request.split_once('?').expect("a query");
    let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
    pairs.filter(|(name, _)| name != "client_id").collect()
}

async fn push(test: &TestApp, client: &ClientApp, changes: &[(&str, Option<&str>)]) -> Answer {
    let fields = fields(client, changes);
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    client.post(test, "/par", &fields).await
}

/// Where a browser goes with a request that was pushed.
fn link(client: &ClientApp, pushed: &Answer) -> String {
    let (id, uri) = (client.id.to_string(), pushed.text("request_uri"));
    format!(
        "/authorize?{}",
        encode(&[("client_id", &id), ("request_uri", &uri)])
    )
}

#[tokio::test]
async fn line_11_a_pushed_request_is_opened_by_its_name_and_used_once() {
    let test = published().await;
    let client = confidential(&test).await;
    let pushed = push(&test, &client, &[]).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    assert_eq!(pushed.headers["cache-control"], "no-store");
    assert_eq!(pushed.headers["access-control-allow-origin"], "*");
    assert_eq!(pushed.body["expires_in"], 90);
    let uri = pushed.text("request_uri");
    let name = uri
        .strip_prefix("urn:ietf:params:oauth:request_uri:")
        .expect("RFC 9126 §2.2");
    assert_eq!(name.len(), 43, "256 bits");

    // Through sign-in and consent, with nothing but the name; what else is in the link does not count.
    let mut person = Person::new(&test);
    let widened = format!(
        "{}&scope=memory%3Awrite&state=other&redirect_uri=https%3A%2F%2Fevil.example",
        link(&client, &pushed)
    );
    let to_login = person.get(&widened).await;
    let (page, parameters) = location(&to_login);
    assert_eq!(page, "/login");
    test.clock.advance_ms(120 * SECOND);
    let back = person.sign_in(&parameters["return_to"]).await;
    let back = back.headers[header::LOCATION].to_str().expect("text").to_owned();
    let page = person.get(&back).await;
    assert!(page.raw.contains("Read what is stored in memory"), "{}", page.raw);
    assert!(!page.raw.contains("Add to memory"), "{}", page.raw);
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    let (base, parameters) = location(&answer);
    assert_eq!(
        (base.as_str(), parameters["state"].as_str()),
        (REDIRECT, "st a&te")
    );
    assert_eq!(client.exchange(&test, &parameters["code"]).await.status, 200);
    // Once: not again in this browser, also not by the form that is still open.
    assert_eq!(person.get(&widened).await.status, 400);
    assert_eq!(
        person
            .post("/authorize", &Person::form(&page, "allow"))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn line_11_a_pushed_request_belongs_to_its_client_one_browser_and_ninety_seconds() {
    let test = published().await;
    let client = public(&test).await;
    let other = public(&test).await;
    let pushed = push(&test, &client, &[]).await;
    let mut person = Person::signed_in(&test).await;
    assert_eq!(
        person.get(&link(&other, &pushed)).await.status,
        400,
        "another client's name"
    );
    assert_eq!(
        person.get(&link(&client, &pushed)).await.status,
        200,
        "the failure used nothing up"
    );
    assert_eq!(
        person.get(&link(&client, &pushed)).await.status,
        200,
        "the same browser, again"
    );
    let mut somebody_else = Person::signed_in(&test).await;
    assert_eq!(somebody_else.get(&link(&client, &pushed)).await.status, 400);
    test.clock.advance_ms(600 * SECOND);
    assert_eq!(
        person.get(&link(&client, &pushed)).await.status,
        400,
        "ten minutes are over"
    );
    let late = push(&test, &client, &[]).await;
    test.clock.advance_ms(90 * SECOND);
    assert_eq!(person.get(&link(&client, &late)).await.status, 400);
    let unknown = person
        .get(&format!(
            "/authorize?client_id={}&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Ax",
            client.id
        ))
        .await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn line_11_a_request_is_checked_when_it_is_pushed() {
    let test = published().await;
    let client = confidential(&test).await;
    for (changes, error) in [
        (
            ("redirect_uri", Some("https://app.example.com/other")),
            "invalid_request",
        ),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("response_type", Some("token")), "unsupported_response_type"),
        (("scope", Some("admin")), "invalid_scope"),
        (("scope", Some("nonsense")), "invalid_scope"),
        (("resource", Some("https://elsewhere.example")), "invalid_target"),
        (("prompt", Some("none login")), "invalid_request"),
        (
            ("request_uri", Some("urn:ietf:params:oauth:request_uri:x")),
            "invalid_request",
        ),
        (("request", Some("x.y.z")), "invalid_request_object"),
    ] {
        let answer = push(&test, &client, &[changes]).await;
        assert_eq!(outcome(&answer), (400, error), "{changes:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    // Authenticated as at the token endpoint.
    let unproved = ClientApp {
        secret: Some("wrong".to_owned()),
        ..client.clone()
    };
    assert_eq!(
        outcome(&push(&test, &unproved, &[]).await),
        (401, "invalid_client")
    );
    let twice = format!("client_id={}&scope=memory:read&scope=memory:read", client.id);
    assert_eq!(
        outcome(&post_form(&test, "/par", &twice).await),
        (400, "invalid_request")
    );
    let get = Request::get("/par").body(Body::empty()).expect("a request");
    assert_eq!(test.send(get).await.status, 405);
    let preflight = Request::options("/par").body(Body::empty()).expect("a request");
    assert_eq!(
        test.send(preflight).await.headers["access-control-allow-origin"],
        "*"
    );
}

#[tokio::test]
async fn a_client_may_have_to_push_its_requests() {
    let test = published().await;
    let client = client_with(&test, |new| new.require_pushed_authorization_requests = true).await;
    let mut person = Person::signed_in(&test).await;
    let (base, parameters) = location(&person.get(&client.request(&[])).await);
    assert_eq!(
        (base.as_str(), parameters["error"].as_str()),
        (REDIRECT, "invalid_request")
    );
    let pushed = push(&test, &client, &[]).await;
    assert_eq!(person.get(&link(&client, &pushed)).await.status, 200);
}

#[tokio::test]
async fn a_request_uri_of_others_stays_refused() {
    let test = published().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let answer = person
        .get(&client.request(&[("request_uri", Some("https://app.example.com/r"))]))
        .await;
    assert_eq!(location(&answer).1["error"], "request_uri_not_supported");
}

/// A client's key, and what it signs.
enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Key {
    fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
    }

    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn jwk(&self) -> Value {
        match self {
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref())})
            }
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y), "use": "sig", "alg": "ES256"})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = match self {
            Self::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), text.as_bytes());
                signature.expect("a signature").as_ref().to_vec()
            }
        };
        format!("{text}.{}", base64url(&signature))
    }
}

async fn signing_client(test: &TestApp, keys: &[&Key]) -> ClientApp {
    let set: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    client_with(test, |new| {
        new.kind = ClientKind::Confidential;
        new.jwks = Some(json!({ "keys": set }));
    })
    .await
}

/// The claims of a request object, changed; `null` leaves one out.
fn claims(test: &TestApp, client: &ClientApp, changes: &Value) -> Value {
    let id = client.id.to_string();
    let mut claims = json!({
        "iss": id,
        "client_id": id,
        "aud": test.app.config.issuer,
        "exp": test.clock.now().seconds().0 + 60,
        "max_age": 3600,
    });
    for (name, value) in fields(client, &[]) {
        claims[&name] = value.into();
    }
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let members = claims.as_object_mut().expect("an object");
    members.retain(|_, value| !value.is_null());
    claims
}

fn by_value(client: &ClientApp, object: &str) -> String {
    let id = client.id.to_string();
    format!(
        "/authorize?{}",
        encode(&[("client_id", &id), ("request", object), ("scope", "memory:write")])
    )
}

#[tokio::test]
async fn line_11_a_request_object_speaks_alone() {
    let test = published().await;
    for (key, alg) in [
        (Key::ed25519(), "EdDSA"),
        (Key::ed25519(), "Ed25519"),
        (Key::p256(), "ES256"),
    ] {
        let client = signing_client(&test, &[&Key::ed25519(), &key]).await;
        let header = json!({"alg": alg, "typ": "oauth-authz-req+jwt"});
        let object = key.sign(&header, &claims(&test, &client, &json!({})));
        // Nobody is signed in: the object may expire while they do.
        let mut person = Person::new(&test);
        let (page, parameters) = location(&person.get(&by_value(&client, &object)).await);
        assert_eq!(page, "/login", "{alg}");
        test.clock.advance_ms(120 * SECOND);
        let back = person.sign_in(&parameters["return_to"]).await;
        let back = back.headers[header::LOCATION].to_str().expect("text").to_owned();
        let page = person.get(&back).await;
        assert!(page.raw.contains("Read what is stored"), "{alg}: {}", page.raw);
        assert!(
            !page.raw.contains("Add to memory"),
            "what stands beside the object does not count"
        );
        let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
        assert!(location(&answer).1.contains_key("code"), "{alg}: {answer:?}");
    }
}

#[tokio::test]
async fn line_11_a_request_object_is_the_clients_own_for_us_and_fresh() {
    let test = published().await;
    let (key, other) = (Key::ed25519(), Key::ed25519());
    let client = signing_client(&test, &[&key]).await;
    let now = test.clock.now().seconds().0;
    let right = json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt"});
    let object = |header: &Value, changes: &Value| key.sign(header, &claims(&test, &client, changes));
    let mut person = Person::signed_in(&test).await;
    let good = object(&right, &json!({}));
    assert_eq!(person.get(&by_value(&client, &good)).await.status, 200);
    let (unsigned, _) = good.rsplit_once('.').expect("parts");
    let none = format!(
        "{}.{}.",
        base64url(br#"{"alg":"none","typ":"oauth-authz-req+jwt"}"#),
        unsigned.split_once('.').expect("parts").1
    );
    let wrong = [
        ("nonsense", "x.y.z".to_owned()),
        ("alg none", none),
        ("no signature", format!("{unsigned}.")),
        (
            "another key",
            other.sign(&right, &claims(&test, &client, &json!({}))),
        ),
        (
            "a MAC",
            object(&json!({"alg": "HS256", "typ": "oauth-authz-req+jwt"}), &json!({})),
        ),
        (
            "another algorithm",
            object(&json!({"alg": "ES256", "typ": "oauth-authz-req+jwt"}), &json!({})),
        ),
        ("no typ", object(&json!({"alg": "EdDSA"}), &json!({}))),
        (
            "typ JWT",
            object(&json!({"alg": "EdDSA", "typ": "JWT"}), &json!({})),
        ),
        (
            "an assertion",
            object(
                &json!({"alg": "EdDSA", "typ": "client-authentication+jwt"}),
                &json!({}),
            ),
        ),
        (
            "its own key",
            object(
                &json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt", "jwk": key.jwk()}),
                &json!({}),
            ),
        ),
        (
            "crit",
            object(
                &json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt", "crit": ["x"]}),
                &json!({}),
            ),
        ),
        (
            "unknown kid",
            object(
                &json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt", "kid": "x"}),
                &json!({}),
            ),
        ),
        ("iss", object(&right, &json!({"iss": "cli_000000zzz"}))),
        ("no iss", object(&right, &json!({"iss": null}))),
        (
            "client_id",
            object(&right, &json!({"client_id": "cli_000000zzz"})),
        ),
        ("no client_id", object(&right, &json!({"client_id": null}))),
        ("sub", object(&right, &json!({"sub": client.id.to_string()}))),
        (
            "aud",
            object(
                &right,
                &json!({"aud": format!("{}/token", test.app.config.issuer)}),
            ),
        ),
        ("no aud", object(&right, &json!({"aud": null}))),
        ("expired", object(&right, &json!({"exp": now}))),
        ("no exp", object(&right, &json!({"exp": null}))),
        ("for long", object(&right, &json!({"exp": now + 3600}))),
        ("not yet", object(&right, &json!({"nbf": now + 300}))),
        ("an object in it", object(&right, &json!({"request": "x"}))),
        ("a list", object(&right, &json!({"scope": ["memory:read"]}))),
    ];
    for (case, object) in &wrong {
        let answer = person.get(&by_value(&client, object)).await;
        assert_eq!(answer.status, 400, "{case}: {answer:?}");
        assert!(!answer.headers.contains_key(header::LOCATION), "{case}");
    }
    // Nor does one client speak for another, nor one without keys.
    let keyless = public(&test).await;
    assert_eq!(person.get(&by_value(&keyless, &good)).await.status, 400);
    let both = format!(
        "{}&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Ax",
        by_value(&client, &good)
    );
    assert_eq!(person.get(&both).await.status, 400);
}

/// How many requests are kept. They are gone then.
async fn kept(test: &TestApp) -> u64 {
    let mut tx = test.app.store.begin().await.expect("tx");
    let rows = tx.forget_pushed_requests(UnixMillis(i64::MAX.cast_unsigned()));
    let rows = rows.await.expect("asked");
    tx.commit().await.expect("commit");
    rows
}

#[tokio::test]
async fn an_object_is_one_request() {
    let test = published().await;
    let key = Key::p256();
    let client = signing_client(&test, &[&key]).await;
    let header = json!({"alg": "ES256", "typ": "oauth-authz-req+jwt"});
    let asked = claims(&test, &client, &json!({}));
    let mut person = Person::signed_in(&test).await;
    // One signature is as good as another, and says the same.
    for _ in 0..3 {
        let link = by_value(&client, &key.sign(&header, &asked));
        assert_eq!(person.get(&link).await.status, 200);
    }
    let link = by_value(&client, &key.sign(&header, &asked));
    let mut other = Person::signed_in(&test).await;
    assert_eq!(other.get(&link).await.status, 400, "it is the first browser's");
    let page = person.get(&link).await;
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    assert!(location(&answer).1.contains_key("code"), "{answer:?}");
    assert_eq!(person.get(&link).await.status, 400, "and used");
    assert_eq!(kept(&test).await, 1);
}

#[tokio::test]
async fn an_object_stays_used_as_long_as_it_counts() {
    let test = published().await;
    let key = Key::ed25519();
    let client = signing_client(&test, &[&key]).await;
    let header = json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt"});
    let exp = test.clock.now().seconds().0 + 660;
    let link = by_value(
        &client,
        &key.sign(&header, &claims(&test, &client, &json!({ "exp": exp }))),
    );
    let mut person = Person::signed_in(&test).await;
    let page = person.get(&link).await;
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    assert!(location(&answer).1.contains_key("code"), "{answer:?}");
    let forget = async || {
        let mut tx = test.app.store.begin().await.expect("tx");
        let now = test.app.clock.now();
        super::super::pushed::forget(&mut tx, now)
            .await
            .expect("forgotten");
        tx.commit().await.expect("commit");
    };
    test.clock.advance_ms(659 * SECOND);
    forget().await;
    assert_eq!(person.get(&link).await.status, 400);
    test.clock.advance_ms(2 * SECOND);
    forget().await;
    assert_eq!(kept(&test).await, 0, "not kept for longer");
}

#[tokio::test]
async fn an_address_brings_so_many_requests_to_keep_in_a_minute() {
    let test = TestApp::start_with(|config| config.rate_limits.requests_per_address = Some(5)).await;
    let key = Key::ed25519();
    let client = signing_client(&test, &[&key]).await;
    let header = json!({"alg": "EdDSA", "typ": "oauth-authz-req+jwt"});
    let mut person = Person::new(&test);
    let mut bring = async |number: u64| {
        let object = key.sign(&header, &claims(&test, &client, &json!({ "nonce": number })));
        person.get(&by_value(&client, &object)).await
    };
    for number in 0..5 {
        assert_eq!(bring(number).await.status, 303);
    }
    let more = bring(5).await;
    assert_eq!(more.status, 429, "{more:?}");
    assert_eq!(more.headers[header::RETRY_AFTER], "12");
    let unknown = format!(
        "/authorize?client_id={}&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Ax",
        client.id
    );
    assert_eq!(Person::new(&test).get(&unknown).await.status, 429);
    let plain = Person::new(&test).get(&client.request(&[])).await;
    assert_eq!(plain.status, 303, "what is not kept is not counted");
    assert_eq!(kept(&test).await, 5);
    let elsewhere = "198.51.100.7:4000".parse().expect("an address");
    assert_eq!(
        Person::new(&test).moved_to(elsewhere).get(&unknown).await.status,
        400
    );
}

#[tokio::test]
async fn an_unknown_name_waits_for_no_writer() {
    let test = published().await;
    let client = public(&test).await;
    let writer = test.app.store.begin().await.expect("tx");
    let unknown = format!(
        "/authorize?client_id={}&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Ax",
        client.id
    );
    assert_eq!(Person::new(&test).get(&unknown).await.status, 400);
    drop(writer);
}

#[tokio::test]
async fn a_request_of_more_than_8_kib_is_not_kept() {
    let test = published().await;
    let client = public(&test).await;
    let long = "x".repeat(8 * 1024);
    let pushed = push(&test, &client, &[("login_hint", Some(&long))]).await;
    assert_eq!(outcome(&pushed), (400, "invalid_request"));
    let shorter = "x".repeat(7 * 1024);
    let pushed = push(&test, &client, &[("login_hint", Some(&shorter))]).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
}

#[tokio::test]
async fn what_ended_is_forgotten() {
    let test = published().await;
    let client = super::support::for_devices(&test).await;
    assert_eq!(push(&test, &client, &[]).await.status, 201);
    super::device::begin(&test, &client).await;
    test.clock.advance_ms((600 + 3600 + 1) * SECOND);
    let now = test.app.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    super::super::grants::prune(&mut tx, now).await.expect("pruned");
    super::super::pushed::forget(&mut tx, now)
        .await
        .expect("forgotten");
    let ever = UnixMillis(i64::MAX.cast_unsigned());
    assert_eq!(tx.forget_device_codes(ever).await.expect("asked"), 0);
    assert_eq!(tx.forget_pushed_requests(ever).await.expect("asked"), 0);
}
