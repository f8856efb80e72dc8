//! `private_key_jwt`: STANDARDS' line 12 and everything around it. The keys are made here.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::crypto::base64url;

use super::super::assertion::{TYPE, parse};
use super::support::{self, ClientApp, client_with, outcome};
use crate::store::clients::ClientKind;
use crate::testing::{Answer, START, TestApp};

/// A client's Ed25519 key.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(super) fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    pub(super) fn jwks(&self) -> Value {
        let x = base64url(self.0.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x}]})
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = base64url(self.0.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    /// An assertion as it should be.
    pub(super) fn assertion(&self, issuer: &str, client_id: &str, jti: &str) -> String {
        self.sign(&header(), &claims(issuer, client_id, jti))
    }

    /// The same, made at this second.
    pub(super) fn assertion_at(&self, now: u64, issuer: &str, client_id: &str, jti: &str) -> String {
        let mut claims = claims(issuer, client_id, jti);
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + 60);
        self.sign(&header(), &claims)
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"})
}

fn claims(issuer: &str, client_id: &str, jti: &str) -> Value {
    let now = START.seconds().0;
    json!({"iss": client_id, "sub": client_id, "aud": issuer, "iat": now, "exp": now + 60, "jti": jti})
}

async fn client(test: &TestApp, signer: &Signer) -> ClientApp {
    client_with(test, |new| {
        new.kind = ClientKind::Confidential;
        new.jwks = Some(signer.jwks());
    })
    .await
}

async fn ask(test: &TestApp, path: &str, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![("client_assertion_type", TYPE), ("client_assertion", assertion)];
    fields.extend_from_slice(more);
    support::post_form(test, path, &support::encode(&fields)).await
}

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn line_12_an_assertion_counts_once() {
    let test = TestApp::start().await;
    let signer = Signer::new();
    let client = client(&test, &signer).await;
    assert!(client.secret.is_none(), "it has a key, so it gets no secret");
    let id = client.id.to_string();
    let assertion = signer.assertion(&test.app.config.issuer, &id, "a");
    let answer = ask(&test, "/token", &assertion, &[GRANT]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let again = ask(&test, "/token", &assertion, &[GRANT]).await;
    assert_eq!(outcome(&again), (401, "invalid_client"));
    // Nor at another endpoint; each works there with one of its own.
    let token = answer.text("access_token");
    let field = [("token", token.as_str())];
    assert_eq!(
        outcome(&ask(&test, "/introspect", &assertion, &field).await).0,
        401
    );
    let fresh = |jti| signer.assertion(&test.app.config.issuer, &id, jti);
    let told = ask(&test, "/introspect", &fresh("b"), &field).await;
    assert_eq!(
        (told.status.as_u16(), &told.body["active"]),
        (200, &json!(true)),
        "{told:?}"
    );
    let fields = [("token", token.as_str()), ("wait", "none"), ("client_id", &id)];
    assert_eq!(ask(&test, "/revoke", &fresh("c"), &fields).await.status, 200);
    // What has ended is forgotten, and does not count for another reason.
    test.clock.advance_ms(61_000);
    let mut tx = test.app.store.begin().await.expect("tx");
    assert_eq!(
        tx.forget_assertions(test.clock.now().seconds())
            .await
            .expect("forgotten"),
        3
    );
    tx.commit().await.expect("commit");
    assert_eq!(outcome(&ask(&test, "/token", &assertion, &[GRANT]).await).0, 401);
}

#[tokio::test]
async fn line_12_the_audience_is_the_issuer_and_every_claim_holds() {
    let test = TestApp::start().await;
    let signer = Signer::new();
    let id = client(&test, &signer).await.id.to_string();
    let issuer = test.app.config.issuer.clone();
    let now = START.seconds().0;
    let endpoint = format!("{issuer}/token");
    let fraction = serde_json::from_str(&format!("{now}.5")).expect("a number");
    let good = [
        ("exp", json!(now + 360)),
        ("exp", fraction),
        ("nbf", json!(now)),
        ("iat", json!(now + 60)),
    ];
    for (number, (claim, value)) in good.into_iter().enumerate() {
        let mut claims = claims(&issuer, &id, &number.to_string());
        claims[claim] = value.clone();
        let answer = ask(&test, "/token", &signer.sign(&header(), &claims), &[GRANT]).await;
        assert_eq!(answer.status, 200, "{claim} {value} {answer:?}");
    }
    for (claim, value) in [
        ("aud", json!(endpoint)),
        ("aud", json!([issuer])),
        ("aud", json!([issuer, endpoint])),
        ("aud", json!(format!("{issuer}/"))),
        ("aud", Value::Null),
        ("iss", json!("cli_000000001")),
        ("iss", Value::Null),
        ("sub", json!("cli_000000001")),
        ("exp", json!(now)),
        ("exp", json!(now + 361)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("iat", json!(now + 61)),
        ("nbf", json!(now + 61)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
    ] {
        let mut claims = claims(&issuer, &id, "wrong");
        claims[claim] = value.clone();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(claim);
        }
        let answer = ask(&test, "/token", &signer.sign(&header(), &claims), &[GRANT]).await;
        assert_eq!(outcome(&answer), (401, "invalid_client"), "{claim} {value}");
    }
}

#[tokio::test]
async fn line_12_only_listed_algorithms_and_the_clients_own_keys() {
    let test = TestApp::start().await;
    let (signer, stranger) = (Signer::new(), Signer::new());
    let id = client(&test, &signer).await.id.to_string();
    let claims = claims(&test.app.config.issuer, &id, "x");
    let stranger = stranger.sign(&header(), &claims);
    assert_eq!(
        outcome(&ask(&test, "/token", &stranger, &[GRANT]).await),
        (401, "invalid_client")
    );
    for (member, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("RS512")),
        ("alg", json!("eddsa")),
        ("kid", json!("two")),
        ("typ", json!("at+jwt")),
        ("typ", json!("dpop+jwt")),
        ("crit", json!(["x"])),
        ("b64", json!(false)),
        ("jwk", signer.jwks()["keys"][0].clone()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5c", json!([])),
    ] {
        let mut header = header();
        header[member] = value.clone();
        let answer = ask(&test, "/token", &signer.sign(&header, &claims), &[GRANT]).await;
        assert_eq!(outcome(&answer), (401, "invalid_client"), "{member} {value}");
    }
    // None of those took the jti; and what may vary does.
    for (number, header) in [
        json!({"alg": "EdDSA"}),
        json!({"alg": "Ed25519", "typ": "client-authentication+jwt"}),
        json!({"alg": "EdDSA", "typ": "application/JWT"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = claims.clone();
        claims["jti"] = json!(format!(
            "x{}",
            if number == 0 {
                String::new()
            } else {
                number.to_string()
            }
        ));
        let answer = ask(&test, "/token", &signer.sign(&header, &claims), &[GRANT]).await;
        assert_eq!(answer.status, 200, "{header} {answer:?}");
    }
}

#[tokio::test]
async fn an_es256_key_works_and_a_weak_set_is_not_admitted() {
    let test = TestApp::start().await;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)});
    let client = client_with(&test, |new| {
        new.kind = ClientKind::Confidential;
        new.jwks = Some(json!({"keys": [jwk]}));
    })
    .await;
    let message = message(
        &json!({"alg": "ES256"}),
        &claims(&test.app.config.issuer, &client.id.to_string(), "a"),
    );
    let signature = key.sign(&random, message.as_bytes()).expect("signed");
    let assertion = format!("{message}.{}", base64url(signature.as_ref()));
    assert_eq!(ask(&test, "/token", &assertion, &[GRANT]).await.status, 200);
}

#[tokio::test]
async fn one_method_per_request_and_the_one_that_is_registered() {
    let test = TestApp::start().await;
    let signer = Signer::new();
    let keyed = client(&test, &signer).await;
    let secret = support::confidential(&test).await;
    let issuer = test.app.config.issuer.clone();
    let id = keyed.id.to_string();
    let fresh = |jti: &str| signer.assertion(&issuer, &id, jti);
    for (more, expected) in [
        (("client_secret", "x"), (400, "invalid_request")),
        (("client_id", "cli_000000001"), (400, "invalid_request")),
        (("client_id", &id), (200, "")),
    ] {
        let answer = ask(&test, "/token", &fresh(more.1), &[GRANT, more]).await;
        assert_eq!(outcome(&answer), expected, "{more:?}");
    }
    // Another type, or none at all.
    for fields in [
        vec![("client_assertion", fresh("t"))],
        vec![("client_assertion_type", TYPE.to_owned())],
        vec![
            ("client_assertion", fresh("t")),
            ("client_assertion_type", "urn:x".to_owned()),
        ],
    ] {
        let mut all = vec![GRANT];
        all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = support::post_form(&test, "/token", &support::encode(&all)).await;
        assert_eq!(outcome(&answer), (401, "invalid_client"), "{fields:?}");
    }
    // A client with a key shows no secret and does not just say its name; one with a secret has no key.
    assert_eq!(
        outcome(&keyed.post(&test, "/token", &[GRANT]).await),
        (401, "invalid_client")
    );
    let guessed = [GRANT, ("client_secret", "")];
    assert_eq!(
        outcome(&keyed.post(&test, "/token", &guessed).await),
        (401, "invalid_client")
    );
    let other = signer.assertion(&issuer, &secret.id.to_string(), "o");
    assert_eq!(
        outcome(&ask(&test, "/token", &other, &[GRANT]).await),
        (401, "invalid_client")
    );
}

proptest! {
    #[test]
    fn nothing_panics(text in "[A-Za-z0-9._-]{0,200}", header in ".{0,40}", claims in ".{0,40}") {
        let _ = parse(&text);
        let parts = [base64url(header.as_bytes()), base64url(claims.as_bytes()), "AA".to_owned()];
        prop_assert!(parse(&parts.join(".")).is_err());
    }
}
