//! Identity assertions (ID-JAG): one test or row for each rule. The identity providers are served here.

use axum::Router;
use axum::http::Method;
use axum::routing::get;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::crypto::base64url;
use shared::id::{OrgId, UserId};

use super::super::id_jag;
use super::assertion::Signer;
use super::is_live;
use super::support::{self, ClientApp, claims, client_with, confidential, outcome, published_with};
use crate::config::IdentityProvider;
use crate::store::clients::ClientKind;
use crate::store::members::MemberState;
use crate::store::orgs::{NewUser, Role};
use crate::testing::{Answer, START, TestApp};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const IDP: &str = "https://idp.example";
const OTHER_IDP: &str = "https://idp.other.example";

fn org(number: u64) -> OrgId {
    OrgId::from_u64(number).expect("small")
}

fn user(number: u64) -> UserId {
    UserId::from_u64(number).expect("small")
}

/// Two organisations with an identity provider each, and a third with one that is found by discovery.
struct World {
    test: TestApp,
    signer: Signer,
    other: Signer,
    client: ClientApp,
    discovered: String,
}

fn serve(served: Vec<(&'static str, Value)>, listener: tokio::net::TcpListener) {
    let mut router = Router::new();
    for (path, body) in served {
        let text = body.to_string();
        let handler = move || async move { ([("content-type", "application/json")], text) };
        router = router.route(path, get(handler));
    }
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn world() -> World {
    let (signer, other) = (Signer::new(), Signer::new());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let discovery = |issuer: &str| json!({"issuer": issuer, "jwks_uri": format!("{base}/one")});
    let routes = vec![
        ("/one", signer.jwks()),
        ("/two", other.jwks()),
        ("/.well-known/openid-configuration", discovery(&base)),
        ("/elsewhere/.well-known/openid-configuration", discovery(&base)),
    ];
    serve(routes, listener);
    let provider = |issuer: &str, number, keys: Option<&str>| IdentityProvider {
        issuer: issuer.to_owned(),
        org: org(number),
        jwks_uri: keys.map(|path| format!("{base}{path}")),
        algorithms: vec!["EdDSA".to_owned(), "ES256".to_owned()],
    };
    let test = published_with(|config| {
        config.identity_providers = vec![
            provider(IDP, 77, Some("/one")),
            provider(OTHER_IDP, 78, Some("/two")),
            provider(&base, 77, None),
            provider(&format!("{base}/elsewhere"), 77, None),
            provider("https://silent.example", 77, Some("/none")),
        ];
        config.identity_providers[4].algorithms = vec!["ES256".to_owned()];
    })
    .await;
    let mut tx = test.app.store.begin().await.expect("tx");
    for number in [77, 78] {
        tx.insert_org(org(number), "Example", START).await.expect("org");
    }
    for (number, of, email) in [
        (71, 77, "ada@example.com"),
        (72, 77, "bob@example.com"),
        (73, 78, "eve@other.example"),
    ] {
        let new = NewUser {
            id: user(number),
            email,
            name: "Somebody",
            password_hash: None,
        };
        tx.insert_user(&new, START).await.expect("user");
        tx.insert_membership(org(of), user(number), Role::Member, START)
            .await
            .expect("membership");
    }
    tx.commit().await.expect("commit");
    let client = confidential(&test).await;
    World {
        test,
        signer,
        other,
        client,
        discovered: base,
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "one", "typ": "oauth-id-jag+jwt"})
}

impl World {
    fn claims(&self, jti: &str) -> Value {
        let now = self.test.clock.now().seconds().0;
        json!({
            "iss": IDP, "sub": "00u1", "aud": self.test.app.config.issuer, "client_id": self.client.id.to_string(),
            "resource": self.test.app.config.resource, "email": "Ada@Example.com", "scope": "memory:read memory:write",
            "iat": now, "exp": now + 300, "jti": jti,
        })
    }

    async fn present(&self, client: &ClientApp, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("grant_type", GRANT), ("assertion", assertion)];
        fields.extend_from_slice(more);
        client.post(&self.test, "/token", &fields).await
    }

    async fn send(&self, claims: &Value) -> Answer {
        self.present(&self.client, &self.signer.sign(&header(), claims), &[])
            .await
    }

    async fn change(&self, number: u64, role: Role, state: MemberState) {
        let mut tx = self.test.app.store.begin().await.expect("tx");
        let member = (org(77), user(number));
        let before = tx.member(member.0, member.1).await.expect("asked").expect("one");
        tx.change_member(member, (role, state), before.version, START)
            .await
            .expect("changed")
            .expect("in time");
        tx.commit().await.expect("commit");
    }

    async fn introspect(&self, token: &str) -> Value {
        let answer = self
            .client
            .post(&self.test, "/introspect", &[("token", token)])
            .await;
        answer.body
    }
}

#[tokio::test]
async fn an_assertion_becomes_a_token_of_the_person() {
    let world = world().await;
    let answer = world.send(&world.claims("a")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        (&answer.body["token_type"], &answer.body["scope"]),
        (&json!("Bearer"), &json!("memory:read memory:write"))
    );
    assert!(answer.body["refresh_token"].is_null() && answer.body["id_token"].is_null());
    let token = claims(&answer);
    assert_eq!(
        token.sub,
        user(71).to_string(),
        "our user, whatever the provider calls them"
    );
    assert_eq!((token.org, token.sid), (Some(org(77)), None));
    assert_eq!(token.aud, std::slice::from_ref(&world.test.app.config.resource));
    assert_eq!(token.client_id, world.client.id.to_string());
    assert_eq!(
        token.exp.0 - token.iat.0,
        world.test.app.config.tokens.access_seconds
    );

    let mut tx = world.test.app.store.begin_read().await.expect("tx");
    let rows = tx.audit_of(&token.sub, 10).await.expect("rows");
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["access_token.assert"]);
    drop(tx);

    // Whatever becomes of the person reaches it.
    let text = answer.text("access_token");
    assert_eq!(world.introspect(&text).await["scope"], "memory:read memory:write");
    world.change(71, Role::Viewer, MemberState::Active).await;
    assert_eq!(world.introspect(&text).await["scope"], "memory:read");
    world.change(71, Role::Viewer, MemberState::Suspended).await;
    assert_eq!(world.introspect(&text).await, json!({"active": false}));
    world.change(71, Role::Member, MemberState::Active).await;
    assert_eq!(world.introspect(&text).await["active"], true);
    let asked = world.test.call(Method::GET, "/userinfo", &text, None).await;
    assert_eq!(asked.status, 401, "nobody signed in");

    // It is revoked alone, and no other client gets one for it.
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", text.as_str()),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
    ];
    let service = client_with(&world.test, |new| {
        new.kind = ClientKind::Confidential;
        new.org = Some(org(77));
    })
    .await;
    let exchanged = service.post(&world.test, "/token", &exchange).await;
    assert_eq!(outcome(&exchanged), (400, "invalid_request"));
    let second = world.send(&world.claims("b")).await;
    let revoke = [("token", text.as_str())];
    assert_eq!(service.post(&world.test, "/revoke", &revoke).await.status, 200);
    assert!(is_live(&world.test, &answer).await, "another client's");
    let revoked = world.client.post(&world.test, "/revoke", &revoke).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert!(!is_live(&world.test, &answer).await && is_live(&world.test, &second).await);
    assert_eq!(world.introspect(&text).await, json!({"active": false}));
}

#[tokio::test]
async fn every_claim_holds() {
    let world = world().await;
    let now = START.seconds().0;
    let issuer = world.test.app.config.issuer.clone();
    let table = [
        ("iss", json!("https://elsewhere.example")),
        ("iss", json!("https://idp.example/")),
        ("iss", json!(issuer)),
        ("iss", json!(OTHER_IDP)),
        ("iss", json!("https://silent.example")),
        ("iss", Value::Null),
        ("sub", json!("")),
        ("sub", Value::Null),
        ("aud", json!([issuer])),
        ("aud", json!([issuer, "https://elsewhere.example"])),
        ("aud", json!(format!("{issuer}/token"))),
        ("aud", json!("https://elsewhere.example")),
        ("aud", Value::Null),
        ("client_id", json!("cli_000000001")),
        ("client_id", Value::Null),
        ("resource", json!("https://elsewhere.example")),
        ("resource", json!(issuer)),
        ("resource", Value::Null),
        ("email", json!("nobody@example.com")),
        ("email", json!("bob@example.com")),
        ("email", json!("eve@other.example")),
        ("email", json!(world.test.app.config.bootstrap_email)),
        ("email", json!("")),
        ("email", Value::Null),
        ("email_verified", json!(false)),
        ("email_verified", json!("true")),
        ("exp", json!(now)),
        ("exp", json!(now + 301)),
        ("exp", json!("soon")),
        ("exp", Value::Null),
        ("iat", json!(now + 61)),
        ("iat", json!(now - 1)),
        ("iat", Value::Null),
        ("nbf", json!(now + 61)),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
        ("jti", Value::Null),
        (
            "cnf",
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        ),
        ("cnf", json!({"x5t#S256": "x"})),
        ("scope", json!(["memory:read"])),
    ];
    world.change(72, Role::Member, MemberState::Suspended).await;
    for (claim, value) in table {
        let mut claims = world.claims("x");
        claims[claim] = value.clone();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(claim);
        }
        let answer = world.send(&claims).await;
        assert_eq!(outcome(&answer), (400, "invalid_grant"), "{claim} {value}");
    }
    // One sentence for whoever is not an active member, and none of all these took the jti.
    let mut sentences = std::collections::BTreeSet::new();
    for email in ["nobody@example.com", "bob@example.com", "eve@other.example"] {
        let mut claims = world.claims("x");
        claims["email"] = json!(email);
        sentences.insert(world.send(&claims).await.text("error_description"));
    }
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    assert_eq!(world.send(&world.claims("x")).await.status, 200);
    for (number, (claim, value)) in [
        ("email_verified", json!(true)),
        ("nbf", json!(now + 60)),
        ("auth_time", json!(now - 9000)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = world.claims(&number.to_string());
        claims[claim] = value.clone();
        assert_eq!(world.send(&claims).await.status, 200, "{claim} {value}");
    }
}

#[tokio::test]
async fn only_the_right_kind_under_a_key_of_the_issuer() {
    let world = world().await;
    let claims = world.claims("x");
    let signed = |header: &Value| world.signer.sign(header, &claims);
    for (member, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("at+jwt")),
        ("typ", json!("client-authentication+jwt")),
        ("typ", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("ES256")),
        ("kid", json!("two")),
        ("crit", json!(["x"])),
        ("jwk", world.signer.jwks()["keys"][0].clone()),
        ("jku", json!("https://evil.example/jwks")),
    ] {
        let mut header = header();
        header[member] = value.clone();
        if value.is_null() {
            header.as_object_mut().expect("an object").remove(member);
        }
        let answer = world.present(&world.client, &signed(&header), &[]).await;
        assert_eq!(outcome(&answer), (400, "invalid_grant"), "{member} {value}");
    }
    let by_other = world.other.sign(&header(), &claims);
    for text in ["x", "a.b.c", by_other.as_str()] {
        let answer = world.present(&world.client, text, &[]).await;
        assert_eq!(outcome(&answer), (400, "invalid_grant"), "{text}");
    }
    // A provider that signs well for its own organisation speaks for nobody of another.
    for (email, expected) in [("ada@example.com", 400), ("eve@other.example", 200)] {
        let mut claims = world.claims("y");
        claims["iss"] = json!(OTHER_IDP);
        claims["email"] = json!(email);
        let text = world.other.sign(&header(), &claims);
        let answer = world.present(&world.client, &text, &[]).await;
        assert_eq!(answer.status, expected, "{email} {answer:?}");
    }
    let answer = world.present(&world.client, &signed(&header()), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn an_assertion_counts_once_and_for_its_client() {
    let world = world().await;
    let text = world.signer.sign(&header(), &world.claims("a"));
    let other = confidential(&world.test).await;
    assert_eq!(
        outcome(&world.present(&other, &text, &[]).await),
        (400, "invalid_grant")
    );
    let public = support::public(&world.test).await;
    assert_eq!(
        outcome(&world.present(&public, &text, &[]).await),
        (400, "unauthorized_client")
    );
    let nobody = ClientApp {
        secret: Some("wrong".to_owned()),
        ..world.client.clone()
    };
    assert_eq!(
        outcome(&world.present(&nobody, &text, &[]).await),
        (401, "invalid_client")
    );
    let (one, two) = tokio::join!(
        world.present(&world.client, &text, &[]),
        world.present(&world.client, &text, &[])
    );
    let granted = [&one, &two].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(granted, 1, "{one:?} {two:?}");
    assert_eq!(
        outcome(&world.present(&world.client, &text, &[]).await),
        (400, "invalid_grant")
    );
    // Until it has expired, and then for that reason.
    world.test.clock.advance_ms(299_000);
    let mut tx = world.test.app.store.begin().await.expect("tx");
    let now = world.test.clock.now().seconds();
    assert_eq!(tx.forget_assertions(now).await.expect("asked"), 0);
    drop(tx);
    world.test.clock.advance_ms(1_000);
    assert_eq!(
        outcome(&world.present(&world.client, &text, &[]).await),
        (400, "invalid_grant")
    );
    let missing = world
        .client
        .post(&world.test, "/token", &[("grant_type", GRANT)])
        .await;
    assert_eq!(outcome(&missing), (400, "invalid_request"));
}

#[tokio::test]
async fn scopes_are_what_all_four_have() {
    let world = world().await;
    let mut number = 0;
    for (asserted, asked, expected) in [
        (Some("memory:read"), None, Ok("memory:read")),
        (
            Some("memory:read"),
            Some("memory:read memory:write"),
            Ok("memory:read"),
        ),
        (
            Some("memory:read memory:write"),
            Some("memory:write"),
            Ok("memory:write"),
        ),
        (
            Some("openid admin nonsense"),
            None,
            Ok("memory:read memory:write"),
        ),
        (None, None, Ok("memory:read memory:write")),
        (None, Some("openid memory:read vault:manage"), Ok("memory:read")),
        (Some("memory:read"), Some("memory:write"), Err("invalid_scope")),
        (Some("vault:manage"), None, Err("invalid_scope")),
        (Some("nonsense"), None, Err("invalid_scope")),
        (Some(""), None, Err("invalid_scope")),
        (None, Some("nonsense"), Err("invalid_scope")),
    ] {
        number += 1;
        let mut claims = world.claims(&number.to_string());
        match asserted {
            Some(scope) => claims["scope"] = json!(scope),
            None => drop(claims.as_object_mut().expect("an object").remove("scope")),
        }
        let text = world.signer.sign(&header(), &claims);
        let more: Vec<_> = asked.map(|scope| ("scope", scope)).into_iter().collect();
        let answer = world.present(&world.client, &text, &more).await;
        match expected {
            Ok(scope) => assert_eq!(answer.body["scope"], scope, "{asserted:?} {asked:?} {answer:?}"),
            Err(code) => assert_eq!(outcome(&answer), (400, code), "{asserted:?} {asked:?}"),
        }
    }
    // Nor more than the person may do.
    world.change(71, Role::Viewer, MemberState::Active).await;
    assert_eq!(world.send(&world.claims("v")).await.body["scope"], "memory:read");
    let text = world.signer.sign(&header(), &world.claims("r"));
    let elsewhere = [("resource", "https://elsewhere.example")];
    let answer = world.present(&world.client, &text, &elsewhere).await;
    assert_eq!(outcome(&answer), (400, "invalid_target"));
}

#[tokio::test]
async fn nothing_is_issued_on_an_assertion_older_than_the_end_of_everything() {
    let world = world().await;
    let old = world.claims("old");
    let mut tx = world.test.app.store.begin().await.expect("tx");
    tx.set_member_not_before(org(77), user(71), START.seconds())
        .await
        .expect("set");
    tx.commit().await.expect("commit");
    assert_eq!(outcome(&world.send(&old).await), (400, "invalid_grant"));
    world.test.clock.advance_ms(2_000);
    assert_eq!(outcome(&world.send(&old).await), (400, "invalid_grant"));
    assert_eq!(world.send(&world.claims("new")).await.status, 200);
}

#[tokio::test]
async fn keys_are_found_by_discovery_of_the_very_issuer() {
    let world = world().await;
    let elsewhere = format!("{}/elsewhere", world.discovered);
    for (issuer, expected) in [
        (world.discovered.as_str(), (200, "")),
        (&elsewhere, (503, "temporarily_unavailable")),
    ] {
        let mut claims = world.claims("d");
        claims["iss"] = json!(issuer);
        let answer = world.send(&claims).await;
        assert_eq!(outcome(&answer), expected, "{issuer} {answer:?}");
    }
}

#[tokio::test]
async fn metadata_says_it_only_where_a_provider_is() {
    let without = TestApp::start().await;
    let world = world().await;
    let profile = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    for (test, there) in [(&without, false), (&world.test, true)] {
        let document = super::get(test, "/.well-known/oauth-authorization-server")
            .await
            .body;
        let grants = document["grant_types_supported"].as_array().expect("a list");
        assert_eq!(grants.contains(&json!(GRANT)), there);
        assert_eq!(
            document["authorization_grant_profiles_supported"] == profile,
            there
        );
    }
    let client = confidential(&without).await;
    let fields = [("grant_type", GRANT), ("assertion", "x")];
    assert_eq!(
        outcome(&client.post(&without, "/token", &fields).await),
        (400, "unsupported_grant_type")
    );
}

proptest! {
    #[test]
    fn nothing_panics(text in "[A-Za-z0-9._-]{0,200}", header in ".{0,40}", claims in ".{0,40}") {
        let _ = id_jag::parse(&text);
        let parts = [base64url(header.as_bytes()), base64url(claims.as_bytes()), "AA".to_owned()];
        prop_assert!(id_jag::parse(&parts.join(".")).is_err());
    }
}

/// `POST /v1/revocations` with an issuer: what it vouched for is dead, also an assertion that was not presented yet; what it says
/// later counts.
#[tokio::test]
async fn a_revoked_provider_loses_what_it_vouched_for() {
    let world = world().await;
    let test = &world.test;
    let owner = NewUser {
        id: user(70),
        email: "owner@example.com",
        name: "Owner",
        password_hash: None,
    };
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_user(&owner, START).await.expect("user");
    tx.insert_membership(org(77), user(70), Role::Owner, START)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    let made = crate::revocations::local::admin_key(&test.app, Some(org(77)))
        .await
        .expect("a key");
    let key = made["admin_key"].as_str().expect("text");
    let revoke = async |issuer: &str| {
        let body = json!({"target": {"issuer": issuer}, "reason": "key_compromise"});
        test.call(axum::http::Method::POST, "/v1/revocations", key, Some(body))
            .await
    };
    let first = world.send(&world.claims("a")).await;
    let mut eve = world.claims("y");
    eve["iss"] = json!(OTHER_IDP);
    eve["email"] = json!("eve@other.example");
    let elsewhere = world
        .present(&world.client, &world.other.sign(&header(), &eve), &[])
        .await;
    let waiting = world.claims("b");
    let receipt = revoke(IDP).await;
    assert_eq!(
        (receipt.status.as_u16(), &receipt.body["revoked"]["tokens"]),
        (200, &json!(1)),
        "{receipt:?}"
    );
    let active =
        async |answer: &Answer| world.introspect(&answer.text("access_token")).await["active"].clone();
    assert_eq!(active(&first).await, false);
    assert_eq!(active(&elsewhere).await, true, "another organisation's provider");
    let late = world.send(&waiting).await;
    assert_eq!(outcome(&late), (400, "invalid_grant"), "signed before");
    assert_eq!(revoke(IDP).await.body, receipt.body, "nothing came since");
    assert_eq!(revoke(OTHER_IDP).await.status, 404);
    test.clock.advance_ms(61_000);
    let next = world.send(&world.claims("c")).await;
    assert_eq!(next.status, 200, "{next:?}");
    assert_eq!(active(&next).await, true);
    assert_ne!(revoke(IDP).await.body, receipt.body);
    assert_eq!(active(&next).await, false);
}
