//! Security events (RFC 8417, RFC 8935; CAEP, RISC): one test or row for each rule. The transmitters' keys are served here. And
//! a refresh token that a secret scanner found.

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
use shared::id::{OrgId, UserId};

use super::assertion::Signer;
use super::support::{ClientApp, Person, SECOND, client_with, decoded, outcome, published_with};
use crate::config::SignalTransmitter;
use crate::store::audit::AuditRow;
use crate::store::members::MemberState;
use crate::store::orgs::{NewUser, Role};
use crate::testing::{Answer, START, TestApp};

const PATH: &str = "/v1/signals/events";
const IDP: &str = "https://idp.example";
const OTHER: &str = "https://idp.other.example";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CHANGED: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// The first organisation with its transmitter, another with another, and one that is found by its metadata.
struct World {
    test: TestApp,
    signer: Signer,
    other: Signer,
    described: String,
    asked: Arc<AtomicU64>,
}

fn org(number: u64) -> OrgId {
    OrgId::from_u64(number).expect("small")
}

fn user(number: u64) -> UserId {
    UserId::from_u64(number).expect("small")
}

async fn world() -> World {
    let (signer, other) = (Signer::new(), Signer::new());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicU64::new(0));
    let mut router = Router::new();
    let metadata = |issuer: &str| json!({"issuer": issuer, "jwks_uri": format!("{base}/one")});
    for (path, body) in [
        ("/one", signer.jwks()),
        ("/two", other.jwks()),
        (
            "/.well-known/ssf-configuration/tenant",
            metadata(&format!("{base}/tenant")),
        ),
        ("/.well-known/ssf-configuration/lie", metadata(&base)),
    ] {
        let (text, asked) = (body.to_string(), Arc::clone(&asked));
        let handler = move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            ([("content-type", "application/json")], text)
        };
        router = router.route(path, get(handler));
    }
    tokio::spawn(async move { axum::serve(listener, router).await });
    let transmitter = |issuer: &str, org, keys: Option<&str>| SignalTransmitter {
        issuer: issuer.to_owned(),
        org,
        jwks_uri: keys.map(|path| format!("{base}{path}")),
        audience: None,
        algorithms: vec!["EdDSA".to_owned()],
    };
    let test = published_with(|config| {
        config.signal_transmitters = vec![
            transmitter(IDP, org(77), Some("/one")),
            transmitter(OTHER, org(78), Some("/two")),
            transmitter(&format!("{base}/tenant"), org(77), None),
            transmitter(&format!("{base}/lie"), org(77), None),
            transmitter("https://ec.example", org(77), Some("/one")),
        ];
        config.signal_transmitters[4].algorithms = vec!["ES256".to_owned()];
        config.signal_transmitters[1].audience = Some("urn:other".to_owned());
    })
    .await;
    let mut tx = test.app.store.begin().await.expect("tx");
    for number in [77, 78] {
        tx.insert_org(org(number), "Example", START).await.expect("org");
    }
    for (number, of, role, email) in [
        (71, 77, Role::Owner, "ada@example.com"),
        (72, 77, Role::Member, "bob@example.com"),
        (73, 78, Role::Member, "eve@other.example"),
    ] {
        let new = NewUser {
            id: user(number),
            email,
            name: "Somebody",
            password_hash: None,
        };
        tx.insert_user(&new, START).await.expect("user");
        tx.insert_membership(org(of), user(number), role, START)
            .await
            .expect("membership");
    }
    // The administrator, who can sign in, belongs to the transmitters' organisation too.
    tx.insert_membership(org(77), test.made.user, Role::Admin, START)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    World {
        test,
        signer,
        other,
        described: base,
        asked,
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "one", "typ": "secevent+jwt"})
}

fn email(address: &str) -> Value {
    json!({"format": "email", "email": address})
}

impl World {
    #[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
    fn claims(&self, jti: &str, event: &str, subject: Value) -> Value {
        json!({
            "iss": IDP, "aud": self.test.app.config.issuer, "iat": self.test.clock.now().seconds().0, "jti": jti,
            "sub_id": subject, "events": { event: {"event_timestamp": 1, "initiating_entity": "admin"} },
        })
    }

    async fn push(&self, body: &str, content_type: &str) -> Answer {
        let request = Request::post(PATH)
            .header("content-type", content_type)
            .body(Body::from(body.to_owned()));
        self.test.send(request.expect("a request")).await
    }

    async fn send(&self, claims: &Value) -> Answer {
        self.push(&self.signer.sign(&header(), claims), "application/secevent+jwt")
            .await
    }

    /// An event that is as it should be.
    async fn tell(&self, jti: &str, event: &str, subject: Value) {
        let answer = self.send(&self.claims(jti, event, subject)).await;
        assert_eq!((answer.status.as_u16(), answer.raw.as_str()), (202, ""), "{jti}");
    }

    async fn trail(&self, target: &str) -> Vec<(AuditRow, Value)> {
        let mut tx = self.test.app.store.begin_read().await.expect("tx");
        let rows = tx.audit_of(target, 100).await.expect("rows");
        rows.into_iter()
            .filter(|row| row.action.starts_with("signal."))
            .map(|row| {
                let detail = serde_json::from_str(&row.detail).expect("JSON");
                (row, detail)
            })
            .collect()
    }

    async fn state(&self, of: u64, number: u64) -> MemberState {
        let mut tx = self.test.app.store.begin_read().await.expect("tx");
        tx.member(org(of), user(number))
            .await
            .expect("asked")
            .expect("there")
            .state
    }

    fn admin(&self) -> Value {
        json!({"format": "iss_sub", "iss": self.test.app.config.issuer, "sub": self.test.made.user})
    }
}

fn err(answer: &Answer) -> (u16, &str) {
    (
        answer.status.as_u16(),
        answer.body["err"].as_str().unwrap_or_default(),
    )
}

/// An app of the transmitters' organisation, where the administrator's sessions begin: its id is the smallest.
async fn app(world: &World) -> ClientApp {
    client_with(&world.test, |new| new.org = Some(org(77))).await
}

async fn signs_in<'a>(world: &'a World, client: &ClientApp) -> (Person<'a>, Answer) {
    let mut person = Person::signed_in(&world.test).await;
    let code = person.allow(client, &[]).await;
    let answer = client.exchange(&world.test, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (person, answer)
}

async fn is_signed_in(person: &mut Person<'_>) -> bool {
    person.get("/account").await.status == 200
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[tokio::test]
async fn what_is_no_event_of_a_transmitter_is_refused() {
    let world = world().await;
    let good = world.claims("a", DISABLED, email("bob@example.com"));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    };
    let now = world.test.clock.now().seconds().0;
    for (why, claims, expected) in [
        (
            "another issuer",
            with("iss", json!("https://evil.example")),
            "invalid_issuer",
        ),
        ("a slash", with("iss", json!(format!("{IDP}/"))), "invalid_issuer"),
        (
            "ourselves",
            with("iss", json!(world.test.app.config.issuer)),
            "invalid_issuer",
        ),
        ("no issuer", without("iss"), "invalid_request"),
        (
            "another's signature",
            with("iss", json!(OTHER)),
            "authentication_failed",
        ),
        (
            "an algorithm of nobody",
            with("iss", json!("https://ec.example")),
            "invalid_key",
        ),
        (
            "another audience",
            with("aud", json!("https://elsewhere.example")),
            "invalid_audience",
        ),
        (
            "other audiences",
            with("aud", json!(["https://elsewhere.example"])),
            "invalid_audience",
        ),
        ("no audience", without("aud"), "invalid_audience"),
        ("from the future", with("iat", json!(now + 61)), "invalid_request"),
        (
            "of long ago",
            with("iat", json!(now - 7 * 86_400 - 1)),
            "invalid_request",
        ),
        ("no time", without("iat"), "invalid_request"),
        ("a time in words", with("iat", json!("now")), "invalid_request"),
        ("no jti", without("jti"), "invalid_request"),
        ("an empty jti", with("jti", json!("")), "invalid_request"),
        (
            "a long jti",
            with("jti", json!("x".repeat(257))),
            "invalid_request",
        ),
        ("no events", without("events"), "invalid_request"),
        ("none at all", with("events", json!({})), "invalid_request"),
        ("a list", with("events", json!([DISABLED])), "invalid_request"),
        (
            "an event in words",
            with("events", json!({DISABLED: "x"})),
            "invalid_request",
        ),
        (
            "too many",
            with(
                "events",
                json!({"a": {}, "b": {}, "c": {}, "d": {}, "e": {}, "f": {}}),
            ),
            "invalid_request",
        ),
        ("an id_token's sub", with("sub", json!("x")), "invalid_request"),
        ("an expiry", with("exp", json!(now + 60)), "invalid_request"),
    ] {
        let answer = world.send(&claims).await;
        assert_eq!(err(&answer), (400, expected), "{why}: {answer:?}");
        assert!(answer.body["description"].is_string());
        assert_eq!(answer.headers["content-language"], "en");
    }
    for (why, changed, expected) in [
        (
            "no type",
            json!({"alg": "EdDSA", "kid": "one"}),
            "invalid_request",
        ),
        (
            "another type",
            json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"}),
            "invalid_request",
        ),
        (
            "an access token",
            json!({"alg": "EdDSA", "kid": "one", "typ": "at+jwt"}),
            "invalid_request",
        ),
        (
            "none",
            json!({"alg": "none", "typ": "secevent+jwt"}),
            "invalid_request",
        ),
        (
            "a MAC",
            json!({"alg": "HS256", "typ": "secevent+jwt"}),
            "invalid_request",
        ),
        (
            "a key of its own",
            json!({"alg": "EdDSA", "typ": "secevent+jwt", "jwk": {}}),
            "invalid_request",
        ),
        (
            "critical",
            json!({"alg": "EdDSA", "typ": "secevent+jwt", "crit": ["x"]}),
            "invalid_request",
        ),
        (
            "a key that is not there",
            json!({"alg": "EdDSA", "kid": "two", "typ": "secevent+jwt"}),
            "authentication_failed",
        ),
    ] {
        let token = world.signer.sign(&changed, &good);
        let answer = world.push(&token, "application/secevent+jwt").await;
        assert_eq!(err(&answer), (400, expected), "{why}");
    }
    let token = world.signer.sign(&header(), &good);
    let forged = world.other.sign(&header(), &good);
    for (why, body, kind, expected) in [
        ("a form", token.as_str(), "application/jwt", "invalid_request"),
        ("JSON", "{}", "application/json", "invalid_request"),
        ("no token", "x", "application/secevent+jwt", "invalid_request"),
        ("nothing", "", "application/secevent+jwt", "invalid_request"),
        (
            "forged",
            &forged,
            "application/secevent+jwt",
            "authentication_failed",
        ),
    ] {
        assert_eq!(err(&world.push(body, kind).await), (400, expected), "{why}");
    }
    assert_eq!(world.state(77, 72).await, MemberState::Active);
    // As it is, it counts; its type may be written in full, and the media type with a parameter.
    let full = json!({"alg": "EdDSA", "typ": "application/secevent+jwt"});
    let answer = world
        .push(
            &world.signer.sign(&full, &good),
            "Application/SecEvent+JWT; charset=utf-8",
        )
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(world.state(77, 72).await, MemberState::Suspended);
}

#[tokio::test]
async fn the_end_of_a_session_there_ends_all_of_them_here() {
    let world = world().await;
    let client = app(&world).await;
    let (mut one, first) = signs_in(&world, &client).await;
    let (mut two, _) = signs_in(&world, &client).await;
    world.tell("a", REVOKED, world.admin()).await;
    assert!(!is_signed_in(&mut one).await && !is_signed_in(&mut two).await);
    let refreshed = client.refresh(&world.test, &first.text("refresh_token")).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
    let trail = world.trail(&world.test.made.user.to_string()).await;
    let (row, detail) = &trail[0];
    assert_eq!(
        (row.actor.as_str(), row.action.as_str()),
        (IDP, "signal.session_revoked")
    );
    assert_eq!(
        (
            &detail["jti"],
            &detail["initiating_entity"],
            &detail["outcome"]["ended"]["sessions"]
        ),
        (&json!("a"), &json!("admin"), &json!(2))
    );
    // The same event once more: acknowledged, and a session of a moment ago stays.
    let (mut three, _) = signs_in(&world, &client).await;
    world.tell("a", REVOKED, world.admin()).await;
    assert!(is_signed_in(&mut three).await);
    world.tell("b", REVOKED, world.admin()).await;
    assert!(!is_signed_in(&mut three).await);
}

#[tokio::test]
async fn one_session_can_be_named() {
    let world = world().await;
    let client = app(&world).await;
    let (mut one, answer) = signs_in(&world, &client).await;
    let (mut two, _) = signs_in(&world, &client).await;
    let sid = decoded(&answer.text("id_token"))[1]["sid"].clone();
    let complex = |session: Value| {
        json!({"format": "complex", "user": world.admin(), "session": {"format": "opaque", "id": session},
            "tenant": {"format": "opaque", "id": org(77)}})
    };
    // Somebody else's, or none: nobody's ends.
    world.tell("a", REVOKED, complex(json!("ses_000000001"))).await;
    let stranger = json!({"format": "complex", "user": email("bob@example.com"), "session": {"format": "opaque", "id": sid}});
    world.tell("b", REVOKED, stranger).await;
    assert!(is_signed_in(&mut one).await && is_signed_in(&mut two).await);
    world.tell("c", REVOKED, complex(sid)).await;
    assert!(!is_signed_in(&mut one).await && is_signed_in(&mut two).await);
    let refreshed = client.refresh(&world.test, &answer.text("refresh_token")).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
}

#[tokio::test]
async fn a_changed_credential_ends_sessions_and_what_was_agreed_to() {
    let world = world().await;
    let client = app(&world).await;
    let (mut person, _) = signs_in(&world, &client).await;
    world.tell("a", CHANGED, world.admin()).await;
    assert!(!is_signed_in(&mut person).await);
    let trail = world.trail(&world.test.made.user.to_string()).await;
    assert_eq!(trail[0].0.action, "signal.credential_change");
    let mut again = Person::signed_in(&world.test).await;
    let page = again.get(&client.request(&[])).await;
    assert_eq!(page.status, 200, "the app asks once more: {page:?}");
}

#[tokio::test]
async fn a_disabled_account_is_suspended_until_an_administrator_resumes_it() {
    let world = world().await;
    world.tell("a", DISABLED, email("BOB@example.com")).await;
    assert_eq!(world.state(77, 72).await, MemberState::Suspended);
    let trail = world.trail(&user(72).to_string()).await;
    assert_eq!(trail[0].1["outcome"]["suspended"], "done");
    world.tell("b", ENABLED, email("bob@example.com")).await;
    assert_eq!(
        world.state(77, 72).await,
        MemberState::Suspended,
        "nobody comes in by a signal"
    );
    world.tell("c", DISABLED, email("bob@example.com")).await;
    let trail = world.trail(&user(72).to_string()).await;
    let actions: Vec<_> = trail.iter().map(|(row, _)| row.action.as_str()).collect();
    assert_eq!(actions.len(), 3, "{actions:?}");
    assert!(
        trail
            .iter()
            .any(|(_, detail)| detail["outcome"]["suspended"] == "before")
    );
    // Their sessions here end.
    let client = app(&world).await;
    let (mut person, _) = signs_in(&world, &client).await;
    world.tell("d", DISABLED, world.admin()).await;
    let admin = world.test.made.user;
    let mut tx = world.test.app.store.begin_read().await.expect("tx");
    let left = tx.sessions_of_member(org(77), admin).await.expect("asked");
    assert!(left.is_empty(), "{left:?}");
    drop(tx);
    assert!(!is_signed_in(&mut person).await);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let world = world().await;
    world.tell("a", DISABLED, email("ada@example.com")).await;
    assert_eq!(world.state(77, 71).await, MemberState::Active);
    let trail = world.trail(&user(71).to_string()).await;
    assert_eq!(trail[0].1["outcome"]["suspended"], "last_owner");
}

#[tokio::test]
async fn a_transmitter_speaks_for_its_own_organisation() {
    let world = world().await;
    // Eve is elsewhere; the transmitter of elsewhere cannot reach Bob, and has an audience of its own.
    world.tell("a", DISABLED, email("eve@other.example")).await;
    assert_eq!(world.state(78, 73).await, MemberState::Active);
    let other = |jti: &str, audience: &str, address: &str| {
        let mut claims = world.claims(jti, DISABLED, email(address));
        claims["iss"] = json!(OTHER);
        claims["aud"] = json!(["x", audience]);
        world.other.sign(&header(), &claims)
    };
    let issuer = world.test.app.config.issuer.clone();
    let wrong = world
        .push(
            &other("a", &issuer, "eve@other.example"),
            "application/secevent+jwt",
        )
        .await;
    assert_eq!(err(&wrong), (400, "invalid_audience"));
    for address in ["bob@example.com", "eve@other.example"] {
        let answer = world
            .push(&other(address, "urn:other", address), "application/secevent+jwt")
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    assert_eq!(world.state(77, 72).await, MemberState::Active);
    assert_eq!(world.state(78, 73).await, MemberState::Suspended);
    // What names nobody is told to the administrator, without the text of a stranger.
    let trail = world.trail(IDP).await;
    assert_eq!(trail[0].1["outcome"], "nobody here is meant");
    assert!(!trail[0].0.detail.contains("eve"));
}

#[tokio::test]
async fn subjects_that_name_nobody_change_nothing() {
    let world = world().await;
    let bob = user(72).to_string();
    let issuer = world.test.app.config.issuer.clone();
    for (number, subject) in [
        Value::Null,
        json!("bob@example.com"),
        json!({"email": "bob@example.com"}),
        json!({"format": "phone_number", "phone_number": "+49"}),
        json!({"format": "email"}),
        json!({"format": "iss_sub", "iss": IDP, "sub": bob}),
        json!({"format": "iss_sub", "iss": format!("{issuer}/"), "sub": bob}),
        json!({"format": "opaque", "id": "org_000000001"}),
        json!({"format": "complex", "user": email("bob@example.com"), "tenant": {"format": "opaque", "id": org(78)}}),
        json!({"format": "complex", "user": email("bob@example.com"), "device": {"format": "opaque", "id": "x"}}),
        json!({"format": "complex", "user": email("bob@example.com"), "session": {"format": "opaque", "id": "x"}}),
        json!({"format": "complex"}),
        json!({"format": "aliases", "identifiers": [email("bob@example.com")]}),
    ]
    .into_iter()
    .enumerate()
    {
        world.tell(&format!("n{number}"), DISABLED, subject.clone()).await;
        assert_eq!(world.state(77, 72).await, MemberState::Active, "{subject}");
    }
    for (number, subject) in [
        json!({"format": "iss_sub", "iss": issuer, "sub": bob}),
        json!({"format": "opaque", "id": bob}),
        json!({"format": "complex", "user": {"format": "opaque", "id": bob}, "tenant": {"format": "opaque", "id": org(77)}}),
    ]
    .into_iter()
    .enumerate()
    {
        world.tell(&format!("y{number}"), DISABLED, subject.clone()).await;
        assert_eq!(world.state(77, 72).await, MemberState::Suspended, "{subject}");
        let mut tx = world.test.app.store.begin().await.expect("tx");
        let member = tx.member(org(77), user(72)).await.expect("asked").expect("there");
        tx.change_member((org(77), user(72)), (member.role, MemberState::Active), member.version, world.test.clock.now())
            .await
            .expect("resumed");
        tx.commit().await.expect("commit");
    }
    // As before SSF 1.0: in the event.
    let mut claims = world.claims("old", DISABLED, Value::Null);
    claims.as_object_mut().expect("an object").remove("sub_id");
    claims["events"][DISABLED]["subject"] = email("bob@example.com");
    assert_eq!(world.send(&claims).await.status, 202);
    assert_eq!(world.state(77, 72).await, MemberState::Suspended);
}

#[tokio::test]
async fn what_we_do_not_know_is_acknowledged() {
    let world = world().await;
    let caep = "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change";
    world.tell("a", caep, email("bob@example.com")).await;
    world.tell("b", "urn:x", email("bob@example.com")).await;
    assert_eq!(world.trail(&user(72).to_string()).await.len(), 0);
    world
        .tell("c", VERIFICATION, json!({"format": "opaque", "id": "stream"}))
        .await;
    let trail = world.trail(IDP).await;
    assert_eq!(
        (trail.len(), trail[0].0.action.as_str()),
        (1, "signal.verification")
    );
    // Beside one that we know, too.
    let mut claims = world.claims("d", DISABLED, email("bob@example.com"));
    claims["events"]["urn:x"] = json!({});
    assert_eq!(world.send(&claims).await.status, 202);
    assert_eq!(world.state(77, 72).await, MemberState::Suspended);
}

#[tokio::test]
async fn keys_are_found_by_the_transmitters_metadata() {
    let world = world().await;
    let claims = |path: &str| {
        let mut claims = world.claims(path, DISABLED, email("bob@example.com"));
        claims["iss"] = json!(format!("{}{path}", world.described));
        claims
    };
    assert_eq!(
        world.send(&claims("/lie")).await.outcome(),
        (503, "busy"),
        "its metadata is another's"
    );
    assert_eq!(world.send(&claims("/tenant")).await.status, 202);
    assert_eq!(world.state(77, 72).await, MemberState::Suspended);
    // Forgeries do not make us look again and again.
    let before = world.asked.load(Ordering::SeqCst);
    for number in 0..5 {
        let mut forged = claims("/tenant");
        forged["jti"] = json!(format!("f{number}"));
        let token = world.other.sign(&header(), &forged);
        let answer = world.push(&token, "application/secevent+jwt").await;
        assert_eq!(err(&answer), (400, "authentication_failed"));
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), before);
    world.test.clock.advance_ms(30 * SECOND);
    let token = world.other.sign(&header(), &claims("/tenant"));
    world.push(&token, "application/secevent+jwt").await;
    assert_eq!(world.asked.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn without_transmitters_there_is_no_such_path() {
    let test = TestApp::start().await;
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header("content-type", "application/secevent+jwt")
        .body(Body::from("x"));
    let answer = test.send(request.expect("a request")).await;
    assert_eq!(answer.outcome(), (404, "not_found"));
}

#[tokio::test]
async fn a_refresh_token_that_was_found_ends_its_grant() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let point = key.public_key().as_ref().to_vec();
    let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let prefix =
        (0..prefix.len() / 2).map(|at| u8::from_str_radix(&prefix[2 * at..2 * at + 2], 16).expect("hex"));
    let der: Vec<u8> = prefix.chain(point).collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    );
    let document =
        json!({"public_keys": [{"key_identifier": "one", "key": pem, "is_current": true}]}).to_string();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let keys_url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let handler = move || async move { ([("content-type", "application/json")], document) };
    let router = Router::new().route("/keys", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let test = published_with(|config| {
        config.leaks.enabled = true;
        config.leaks.keys_url = keys_url;
        // There is no reading a refresh token down: it ends all the same.
        config.leaks.action = crate::config::LeakAction::Quarantine;
    })
    .await;
    let client = super::support::public(&test).await;
    let token = client.sign_in(&test).await.text("refresh_token");
    for _ in 0..2 {
        let body =
            json!([{"token": token, "type": "refresh", "url": Value::Null, "source": "commit"}]).to_string();
        let signature = key.sign(&SystemRandom::new(), body.as_bytes()).expect("signed");
        let request = Request::post("/v1/signals/leaks")
            .header("Github-Public-Key-Identifier", "one")
            .header("Github-Public-Key-Signature", STANDARD.encode(signature.as_ref()))
            .body(Body::from(body));
        let answer = test.send(request.expect("a request")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body[0]["label"], "true_positive");
    }
    let refreshed = client.refresh(&test, &token).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
}
