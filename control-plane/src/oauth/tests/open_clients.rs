//! Clients that nobody registered: they say what they are in a document, or register themselves.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use serde_json::{Value, json};

use super::assertion::Signer;
use super::support::{self, Person, REDIRECT, VERIFIER, claims, decoded, location, outcome, published};
use crate::testing::{Answer, TestApp};

pub(super) async fn open() -> TestApp {
    TestApp::start_with(|config| config.dev = true).await
}

async fn call(test: &TestApp, method: Method, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    test.send(request.body(Body::from(body.to_string())).expect("a request"))
        .await
}

pub(super) async fn register(test: &TestApp, metadata: &Value) -> Answer {
    call(test, Method::POST, "/register", None, metadata).await
}

pub(super) fn notes(method: &str) -> Value {
    json!({"client_name": "Notes", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": method})
}

/// A public one that is for devices too.
pub(super) fn device_notes() -> Value {
    let mut metadata = notes("none");
    metadata["grant_types"] = json!(["authorization_code", super::device::GRANT]);
    metadata
}

/// The authorization request of a client, with these changes.
pub(super) fn request(client_id: &str, redirect: &str, scope: Option<&str>) -> String {
    let challenge = shared::crypto::base64url(&shared::crypto::sha256(VERIFIER.as_bytes()));
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect),
        ("state", "s"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    if let Some(scope) = scope {
        fields.push(("scope", scope));
    }
    format!("/authorize?{}", support::encode(&fields))
}

/// Agrees on the page of this request and gives the code.
async fn allow(person: &mut Person<'_>, path: &str) -> String {
    let page = person.get(path).await;
    assert_eq!(page.status, 200, "{page:?}");
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    location(&answer)
        .1
        .get("code")
        .unwrap_or_else(|| panic!("{answer:?}"))
        .clone()
}

async fn exchange(
    test: &TestApp,
    client_id: &str,
    redirect: &str,
    code: &str,
    more: &[(&str, &str)],
) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", redirect),
        ("client_id", client_id),
    ];
    fields.extend_from_slice(more);
    support::post_form(test, "/token", &support::encode(&fields)).await
}

async fn refresh(test: &TestApp, client_id: &str, answer: &Answer) -> Answer {
    let token = answer.text("refresh_token");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*token),
        ("client_id", client_id),
    ];
    support::post_form(test, "/token", &support::encode(&fields)).await
}

pub(super) async fn rows(test: &TestApp) -> usize {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    tx.clients().await.expect("clients").len()
}

#[tokio::test]
async fn a_registration_costs_no_row_until_a_person_agrees() {
    let test = open().await;
    let made = register(&test, &notes("none")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.headers["cache-control"], "no-store");
    assert_eq!(made.headers["access-control-allow-origin"], "*");
    assert!(made.body.get("client_secret").is_none());
    assert_eq!(made.body["application_type"], "web");
    assert_eq!(
        made.body["grant_types"],
        json!(["authorization_code", "refresh_token"])
    );
    let id = made.text("client_id");
    let path = request(&id, REDIRECT, Some("openid memory:read"));
    let mut person = Person::signed_in(&test).await;
    let page = person.get(&path).await;
    assert!(
        page.raw.contains("nobody has checked it") && page.raw.contains("app.example.com"),
        "{}",
        page.raw
    );
    let silent = person.get(&format!("{path}&prompt=none")).await;
    assert_eq!(location(&silent).1["error"], "consent_required");
    let refused = person.post("/authorize", &Person::form(&page, "deny")).await;
    assert_eq!(location(&refused).1["error"], "access_denied");
    assert_eq!(rows(&test).await, 0, "no consent, no row");

    let code = allow(&mut person, &path).await;
    assert_eq!(rows(&test).await, 1);
    let granted = exchange(&test, &id, REDIRECT, &code, &[]).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(claims(&granted).client_id, id);
    assert_eq!(
        claims(&granted).org,
        Some(test.made.org),
        "the org of whoever agreed"
    );
    let [_, id_token] = decoded(&granted.text("id_token"));
    assert_eq!(id_token["aud"], id);
    assert_eq!(refresh(&test, &id, &granted).await.status, 200);
    let again = person.get(&path).await;
    assert!(
        location(&again).1.contains_key("code"),
        "it is remembered: {again:?}"
    );
    assert_eq!(rows(&test).await, 1);
    // Another registration of the same metadata is another client.
    let other = register(&test, &notes("none")).await.text("client_id");
    assert_eq!(person.get(&request(&other, REDIRECT, None)).await.status, 200);
    let stolen = exchange(&test, &other, REDIRECT, &code, &[]).await;
    assert_eq!(outcome(&stolen), (400, "invalid_grant"));
}

#[tokio::test]
async fn a_registered_secret_is_asked_for() {
    let test = open().await;
    // RFC 7591 §2: client_secret_basic without a word.
    let made = register(&test, &json!({"redirect_uris": [REDIRECT]})).await;
    assert_eq!(made.body["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(made.body["client_secret_expires_at"], 0);
    assert_eq!(made.body["client_name"], "app.example.com");
    let (id, secret) = (made.text("client_id"), made.text("client_secret"));
    let mut person = Person::signed_in(&test).await;
    let path = request(&id, REDIRECT, None);
    let code = allow(&mut person, &path).await;
    for wrong in [
        &[][..],
        &[("client_secret", "x")],
        &[("client_secret", &*made.text("registration_access_token"))],
    ] {
        let answer = exchange(&test, &id, REDIRECT, &code, wrong).await;
        assert_eq!(outcome(&answer), (401, "invalid_client"));
    }
    let granted = exchange(&test, &id, REDIRECT, &code, &[("client_secret", &secret)]).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    // It stands for nobody but the people who let it in.
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &*id),
        ("client_secret", &*secret),
    ];
    let alone = support::post_form(&test, "/token", &support::encode(&fields)).await;
    assert_eq!(outcome(&alone), (400, "unauthorized_client"));
}

#[tokio::test]
async fn a_client_that_nobody_registered_gets_what_people_may_give() {
    let test = open().await;
    let id = register(&test, &notes("none")).await.text("client_id");
    let mut person = Person::signed_in(&test).await;
    for (asked, given) in [
        (None, "memory:read"),
        (Some("memory:read memory:write admin"), "memory:read memory:write"),
        (Some("openid vault:manage"), "openid vault:manage"),
    ] {
        let code = allow(&mut person, &request(&id, REDIRECT, asked)).await;
        let granted = exchange(&test, &id, REDIRECT, &code, &[]).await;
        assert_eq!(granted.body["scope"], given, "{granted:?}");
    }
    let nothing = person.get(&request(&id, REDIRECT, Some("admin"))).await;
    assert_eq!(location(&nothing).1["error"], "invalid_scope");
}

#[tokio::test]
async fn registration_is_closed_by_default() {
    let test = TestApp::start().await;
    assert_eq!(
        outcome(&register(&test, &notes("none")).await),
        (403, "access_denied")
    );
    let document = call(
        &test,
        Method::GET,
        "/.well-known/oauth-authorization-server",
        None,
        &json!(null),
    )
    .await;
    assert!(document.body.get("registration_endpoint").is_none());
    assert_eq!(document.body["client_id_metadata_document_supported"], true);
    let opened = open().await;
    let document = call(
        &opened,
        Method::GET,
        "/.well-known/oauth-authorization-server",
        None,
        &json!(null),
    )
    .await;
    let expected = format!("{}/register", opened.app.config.issuer);
    assert_eq!(document.body["registration_endpoint"], expected);
}

#[tokio::test]
async fn an_address_registers_so_often_in_an_hour() {
    let test = TestApp::start_with(|config| config.clients.registration = Some(true)).await;
    for _ in 0..20 {
        assert_eq!(register(&test, &notes("none")).await.status, 201);
    }
    let more = register(&test, &notes("none")).await;
    assert_eq!(outcome(&more), (429, "temporarily_unavailable"));
    assert_eq!(more.headers["retry-after"], "180");
    test.clock.advance_ms(180_000);
    assert_eq!(register(&test, &notes("none")).await.status, 201);
}

#[tokio::test]
async fn an_address_manages_so_often_in_a_minute() {
    let test = TestApp::start_with(|config| config.rate_limits.requests_per_address = Some(3)).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = call(&test, method, "/register/dyn_x", Some("reg_x"), &json!({})).await;
        assert_eq!(outcome(&answer), (401, "invalid_token"));
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = call(&test, method, "/register/dyn_x", Some("reg_x"), &json!({})).await;
        assert_eq!(answer.status, 429, "{answer:?}");
    }
}

#[tokio::test]
async fn metadata_that_makes_no_sense_is_refused() {
    let test = TestApp::start_with(|config| {
        config.dev = true;
        config.clients.redirect_hosts = vec!["app.example.com".to_owned(), "loopback".to_owned()];
    })
    .await;
    for (member, value, error) in [
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        (
            "redirect_uris",
            json!(["https://evil.example/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["http://app.example.com/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["com.example.app:/cb"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!(["https://app.example.com/cb#x"]),
            "invalid_redirect_uri",
        ),
        (
            "redirect_uris",
            json!("https://app.example.com/cb"),
            "invalid_client_metadata",
        ),
        (
            "token_endpoint_auth_method",
            json!("tls_client_auth"),
            "invalid_client_metadata",
        ),
        (
            "token_endpoint_auth_method",
            json!("private_key_jwt"),
            "invalid_client_metadata",
        ),
        ("grant_types", json!(["implicit"]), "invalid_client_metadata"),
        ("response_types", json!(["token"]), "invalid_client_metadata"),
        ("application_type", json!("phone"), "invalid_client_metadata"),
        ("client_name", json!("a\u{200b}b"), "invalid_client_metadata"),
        ("client_name", json!("x".repeat(101)), "invalid_client_metadata"),
        ("jwks_uri", json!("ftp://x/y"), "invalid_client_metadata"),
        (
            "redirect_uris",
            json!(vec![format!("https://app.example.com/{}", "x".repeat(900)); 3]),
            "invalid_client_metadata",
        ),
    ] {
        let mut metadata = notes("none");
        metadata[member] = value.clone();
        let answer = register(&test, &metadata).await;
        assert_eq!(outcome(&answer), (400, error), "{member} {value}");
    }
    let web = json!({"redirect_uris": ["http://127.0.0.1/cb"], "application_type": "web"});
    assert_eq!(
        outcome(&register(&test, &web).await),
        (400, "invalid_redirect_uri")
    );
    let native = json!({"redirect_uris": ["http://127.0.0.1/cb"], "scope": "memory:read", "unknown": 1});
    let made = register(&test, &native).await;
    assert_eq!(
        (made.status.as_u16(), &made.body["application_type"]),
        (201, &json!("native"))
    );
    assert!(
        made.text("scope").contains("memory:write"),
        "the scope of a registration caps nothing"
    );
}

#[tokio::test]
async fn a_registration_is_managed_from_the_first_consent_on() {
    let test = published().await;
    let made = register(&test, &notes("none")).await;
    let (id, token) = (made.text("client_id"), made.text("registration_access_token"));
    let uri = made.text("registration_client_uri");
    let path = uri
        .strip_prefix(&test.app.config.issuer)
        .expect("ours")
        .to_owned();
    let manage = async |method: Method, token: &str, body: &Value| {
        let answer = call(&test, method, &path, Some(token), body).await;
        (answer.status.as_u16(), answer.body)
    };
    let (status, shown) = manage(Method::GET, &token, &json!(null)).await;
    assert_eq!((status, &shown), (200, &made.body), "from the client_id itself");
    assert_eq!(manage(Method::GET, "reg_x", &json!(null)).await.0, 401);
    let mut changed = notes("none");
    changed["client_id"] = json!(id);
    changed["client_name"] = json!("Better notes");
    assert_eq!(
        manage(Method::PUT, &token, &changed).await.0,
        403,
        "nothing is kept yet"
    );
    assert_eq!(manage(Method::DELETE, &token, &json!(null)).await.0, 403);
    assert_eq!(rows(&test).await, 0);

    let mut person = Person::signed_in(&test).await;
    let asked = request(&id, REDIRECT, None);
    let code = allow(&mut person, &asked).await;
    let granted = exchange(&test, &id, REDIRECT, &code, &[]).await;
    assert_eq!(person.get(&asked).await.status, 303, "remembered");
    for (member, value) in [
        ("client_id", json!("dyn_x")),
        ("client_secret", json!("x")),
        ("registration_access_token", json!(token)),
        ("redirect_uris", json!([])),
    ] {
        let mut wrong = changed.clone();
        wrong[member] = value;
        assert_eq!(manage(Method::PUT, &token, &wrong).await.0, 400, "{member}");
    }
    assert_eq!(manage(Method::PUT, "reg_x", &changed).await.0, 401);
    let (status, shown) = manage(Method::PUT, &token, &changed).await;
    assert_eq!(
        (status, &shown["client_name"]),
        (200, &json!("Better notes")),
        "{shown}"
    );
    let page = person.get(&asked).await;
    assert_eq!(page.status, 200, "asked again");
    assert!(page.raw.contains("Better notes"));

    assert_eq!(manage(Method::DELETE, &token, &json!(null)).await.0, 204);
    assert_eq!(
        outcome(&refresh(&test, &id, &granted).await),
        (401, "invalid_client")
    );
    assert_eq!(
        manage(Method::GET, &token, &json!(null)).await.0,
        401,
        "the seal alone does not bring it back"
    );
    let gone = person.get(&asked).await;
    assert_eq!(gone.status, 400);
    assert!(!gone.headers.contains_key("location"));
}

/// A document on this machine: its text can be changed, and taken away.
pub(super) async fn document() -> (String, Arc<Mutex<Option<Value>>>) {
    let kept: Arc<Mutex<Option<Value>>> = Arc::default();
    let served = Arc::clone(&kept);
    let handler = move || {
        let text = served.lock().expect("the document").clone();
        async move {
            match text {
                Some(text) => ([("content-type", "application/json")], text.to_string()).into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let url = format!(
        "http://{}/client.json",
        listener.local_addr().expect("an address")
    );
    let router = Router::new().route("/client.json", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    *kept.lock().expect("the document") =
        Some(json!({"client_id": url, "client_name": "Notes", "redirect_uris": [REDIRECT]}));
    (url, kept)
}

#[tokio::test]
async fn a_document_says_what_a_client_is() {
    let test = open().await;
    let (url, served) = document().await;
    let change = |member: &str, value: Value| {
        served.lock().expect("the document").as_mut().expect("there")[member] = value;
    };
    let mut person = Person::signed_in(&test).await;
    let asked = request(&url, REDIRECT, Some("memory:read"));
    let page = person.get(&asked).await;
    assert!(
        page.raw.contains("It says that it is an app of 127.0.0.1."),
        "{}",
        page.raw
    );
    assert!(page.raw.contains("app.example.com"));
    assert_eq!(rows(&test).await, 0);
    let elsewhere = person.get(&request(&url, "https://evil.example/", None)).await;
    assert_eq!(elsewhere.status, 400, "not an address of the document's");
    let code = allow(&mut person, &asked).await;
    assert_eq!(rows(&test).await, 1);
    let granted = exchange(&test, &url, REDIRECT, &code, &[]).await;
    assert_eq!(claims(&granted).client_id, url);
    assert_eq!(person.get(&asked).await.status, 303, "remembered");

    // Within its minute the document is not read again; then people are asked about what it has become.
    change("client_name", json!("Other notes"));
    assert_eq!(person.get(&asked).await.status, 303);
    test.clock.advance_ms(600_000);
    let page = person.get(&asked).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.raw.contains("Other notes"));
    allow(&mut person, &asked).await;
    assert_eq!(
        (person.get(&asked).await.status.as_u16(), rows(&test).await),
        (303, 1)
    );

    // Gone: nobody is sent anywhere, and whoever was let in before stays in.
    *served.lock().expect("the document") = None;
    test.clock.advance_ms(600_000);
    let gone = person.get(&asked).await;
    assert_eq!(gone.status, 400);
    assert!(
        !gone.headers.contains_key("location") && gone.raw.contains("404"),
        "{}",
        gone.raw
    );
    assert_eq!(refresh(&test, &url, &granted).await.status, 200);
}

#[tokio::test]
async fn a_client_with_a_document_and_a_key() {
    let test = open().await;
    let (url, served) = document().await;
    let signer = Signer::new();
    {
        let mut kept = served.lock().expect("the document");
        let document = kept.as_mut().expect("there");
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["jwks"] = signer.jwks();
    }
    let mut person = Person::signed_in(&test).await;
    let code = allow(&mut person, &request(&url, REDIRECT, None)).await;
    let alone = exchange(&test, &url, REDIRECT, &code, &[]).await;
    assert_eq!(outcome(&alone), (401, "invalid_client"), "its name is not enough");
    let assertion = signer.assertion(&test.app.config.issuer, &url, "a");
    let fields = [
        ("client_assertion_type", super::super::assertion::TYPE),
        ("client_assertion", &*assertion),
    ];
    let granted = exchange(&test, &url, REDIRECT, &code, &fields).await;
    assert_eq!(granted.status, 200, "{granted:?}");
}

#[tokio::test]
async fn a_key_that_was_withdrawn_does_not_count_when_the_document_is_gone() {
    let test = open().await;
    let (url, served) = document().await;
    let (old, new) = (Signer::new(), Signer::new());
    let publish = |signer: &Signer| {
        let mut kept = served.lock().expect("the document");
        let document = kept.as_mut().expect("there");
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["jwks"] = signer.jwks();
    };
    publish(&old);
    let mut person = Person::signed_in(&test).await;
    let asked = request(&url, REDIRECT, None);
    let code = allow(&mut person, &asked).await;
    let show = async |signer: &Signer, jti: &str| {
        let now = test.clock.now().seconds().0;
        let assertion = signer.assertion_at(now, &test.app.config.issuer, &url, jti);
        let fields = [
            ("client_assertion_type", super::super::assertion::TYPE),
            ("client_assertion", &*assertion),
        ];
        exchange(&test, &url, REDIRECT, &code, &fields).await
    };
    publish(&new);
    test.clock.advance_ms(600_000);
    assert_eq!(
        person.get(&asked).await.status,
        303,
        "the document was read again"
    );
    *served.lock().expect("the document") = None;
    test.clock.advance_ms(600_000);
    assert_eq!(outcome(&show(&old, "a").await), (401, "invalid_client"));
    assert_eq!(
        outcome(&show(&new, "b").await),
        (400, "invalid_grant"),
        "known; the code is old"
    );
}

/// RFC 9700 §4.11.2: or a link to us would lead to any address in silence.
#[tokio::test]
async fn a_silent_link_of_a_strangers_app_leads_nowhere() {
    let test = open().await;
    let (url, _served) = document().await;
    let asked = format!("{}&prompt=none", request(&url, REDIRECT, None));
    let answer = Person::new(&test).get(&asked).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(!answer.headers.contains_key("location"));
    let answer = Person::signed_in(&test).await.get(&asked).await;
    assert_eq!(answer.status, 303, "consent_required, to whom they came from");
}

/// No row, no redirect, and a reason, whatever the URL is.
#[tokio::test]
async fn a_url_that_is_no_client_leads_nowhere() {
    let strict = TestApp::start().await;
    let (url, _text) = document().await;
    for wrong in [
        &*url,
        "https://127.0.0.1/client.json",
        "https://app.example.com/",
        "https://app.example.com/a#b",
    ] {
        let answer = Person::new(&strict).get(&request(wrong, REDIRECT, None)).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(!answer.headers.contains_key("location"), "{wrong}");
    }
    let off = TestApp::start_with(|config| {
        config.dev = true;
        config.clients.metadata_documents = false;
    })
    .await;
    assert_eq!(
        Person::new(&off).get(&request(&url, REDIRECT, None)).await.status,
        400
    );
    let token = exchange(&off, &url, REDIRECT, "x", &[]).await;
    assert_eq!(outcome(&token), (401, "invalid_client"));
}

#[tokio::test]
async fn an_address_makes_us_look_so_often_in_an_hour() {
    let test = TestApp::start().await;
    let mut person = Person::new(&test);
    for number in 0..60 {
        let url = format!("https://127.0.0.1/{number}");
        let page = person.get(&request(&url, REDIRECT, None)).await;
        assert!(page.raw.contains("not on the public internet"), "{}", page.raw);
    }
    let page = person
        .get(&request("https://127.0.0.1/more", REDIRECT, None))
        .await;
    assert!(page.raw.contains("too many look-ups"), "{}", page.raw);
}
