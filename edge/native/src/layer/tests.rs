//! The layer around a handler that says what reached it.

use std::convert::Infallible;

use http::StatusCode;
use http::header::{AUTHORIZATION, VARY, WWW_AUTHENTICATE};
use secrecy::SecretString;
use tower::ServiceExt as _;

use super::*;
use crate::answer::{empty, full};
use crate::assertion::AssertionSigner;
use crate::testing::{client, gate_for, request, vectors};

const GATE: &str = "https://api.example";
const ORIGIN: &str = "https://origin.example";

/// Says path, headers and identity, and claims to be a gate.
async fn tell(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let identity = request.extensions().get::<Identity>();
    let names: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let told = serde_json::json!({
        "path": request.uri().to_string(),
        "headers": names,
        "subject": identity.map(|identity| identity.subject.clone()),
        "workspace": identity.and_then(|identity| identity.workspace.clone()),
        "scopes": identity.map(|identity| identity.scopes.clone()),
    });
    let mut response = Response::new(full(told.to_string()));
    response
        .headers_mut()
        .insert("x-portcullis-subject", "usr_forged".parse().unwrap());
    Ok(response)
}

async fn call(
    layer: &PortcullisLayer,
    request: Request<Body>,
) -> (StatusCode, http::HeaderMap, serde_json::Value) {
    let response = layer
        .layer(tower::service_fn(tell))
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

fn spoofed(mut request: Request<Body>) -> Request<Body> {
    for (name, value) in [
        ("x-portcullis-subject", "usr_forged"),
        ("x_portcullis_org", "org_forged"),
        ("portcullis_assertion", "forged"),
        ("x-original-uri", "/forged"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn alone_it_lets_in_by_the_credential_and_says_who() {
    let vectors = vectors();
    let named = |name: &str| vectors.cases.iter().find(|case| case.name == name).unwrap();
    let case = named("a good key");
    let layer = PortcullisLayer::alone(gate_for(&vectors, case, client()));
    let (status, headers, told) = call(&layer, spoofed(request(case).unwrap())).await;
    assert_eq!(status, 200, "{told}");
    assert!(told["subject"].as_str().unwrap().starts_with("usr_"), "{told}");
    assert!(!told.to_string().contains("forged"), "{told}");
    assert!(!told.to_string().contains("authorization"), "{told}");
    assert!(!headers.contains_key("x-portcullis-subject"));
    assert_eq!(headers[VARY], "Authorization, Origin");
    assert_eq!(headers["cache-control"], "private");

    let mut none = request(case).unwrap();
    none.headers_mut().remove(AUTHORIZATION);
    let (status, headers, body) = call(&layer, spoofed(none)).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (401, Some("unauthenticated"))
    );
    assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer "));
    let mut twice = request(case).unwrap();
    twice
        .headers_mut()
        .append(AUTHORIZATION, "Basic dTpw".parse().unwrap());
    assert_eq!(call(&layer, twice).await.0, 400);

    // More than the policy asks for.
    let layer = layer.requiring(["no:such"]);
    let (status, headers, body) = call(&layer, request(case).unwrap()).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (403, Some("insufficient_scope"))
    );
    assert!(
        headers[WWW_AUTHENTICATE]
            .to_str()
            .unwrap()
            .contains("scope=\"no:such\"")
    );
}

#[tokio::test]
async fn what_is_routed_by_is_what_was_judged() {
    let vectors = vectors();
    let case = vectors
        .cases
        .iter()
        .find(|case| case.name == "a good key")
        .unwrap();
    let layer = PortcullisLayer::alone(gate_for(&vectors, case, client()));
    let mut disguised = case.clone();
    disguised.path = case.path.replacen("/v1/m", "/v1/%6d", 1);
    assert_ne!(disguised.path, case.path);
    let mut request = request(&disguised).unwrap();
    *request.uri_mut() = format!("{}?a=%2e%2e", disguised.path).parse().unwrap();
    let (status, _, told) = call(&layer, request).await;
    assert_eq!(status, 200);
    assert_eq!(told["path"], format!("{}?a=%2e%2e", case.path));
}

fn signer() -> AssertionSigner {
    AssertionSigner::from_seeds(&SecretString::from(shared::crypto::base64url(&[9; 32]))).unwrap()
}

fn unsigned(path: &str) -> Request<Body> {
    Request::get(path).body(empty()).unwrap()
}

fn with_assertion(text: &str) -> Request<Body> {
    let mut request = spoofed(unsigned("/x"));
    request.headers_mut().insert(HEADER, text.parse().unwrap());
    request
}

#[tokio::test]
async fn behind_a_gateway_only_its_word_counts() {
    let vectors = vectors();
    let case = vectors
        .cases
        .iter()
        .find(|case| case.name == "a good key")
        .unwrap();
    let gate = gate_for(&vectors, case, client());
    let asked = crate::question::about(&request(case).unwrap().into_parts().0);
    let Decision::Allow(mut allowed) = gate.verify(asked).await else {
        panic!("a good key");
    };
    // What it was let in to.
    allowed.path = "/x".into();
    let signer = signer();
    let now = crate::clock::Clock::system().now().seconds();
    let about = |issuer: &str, origin: &str| signer.about(&allowed, issuer, origin, "GET", now).unwrap();
    let verifier = AssertionVerifier::with_keys(GATE, ORIGIN, &signer.jwks().to_string()).unwrap();
    let layer = PortcullisLayer::behind(verifier.clone());

    let good = about(GATE, ORIGIN);
    let (status, _, told) = call(&layer, with_assertion(&good)).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["subject"], allowed.subject.clone().unwrap());
    assert!(!told.to_string().contains("forged"), "{told}");
    assert!(
        !told.to_string().contains("portcullis-assertion"),
        "never passed on: {told}"
    );
    assert!(told.to_string().contains("x-portcullis-subject=usr_"), "{told}");

    let other =
        AssertionSigner::from_seeds(&SecretString::from(shared::crypto::base64url(&[8; 32]))).unwrap();
    let signer_of_another = other.about(&allowed, GATE, ORIGIN, "GET", now).unwrap();
    for (what, text) in [
        ("another origin's", about(GATE, "https://other.example")),
        ("another key", signer_of_another),
        ("another path", about(GATE, &format!("{ORIGIN}/base"))),
        (
            "another method",
            signer.about(&allowed, GATE, ORIGIN, "DELETE", now).unwrap(),
        ),
        ("changed", good.replacen('.', ".e30", 1).into()),
    ] {
        let (status, headers, body) = call(&layer, with_assertion(&text)).await;
        assert_eq!(
            (status.as_u16(), body["code"].as_str()),
            (401, Some("invalid_token")),
            "{what}"
        );
        assert!(
            headers[WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
    }
    // The memory of assertions goes by the caller, so another signer tells another gate's.
    let foreign = self::signer()
        .about(&allowed, "https://other.example", ORIGIN, "GET", now)
        .unwrap();
    assert_eq!(call(&layer, with_assertion(&foreign)).await.0, 401);
    // The path that counts is the one that this origin gets, in any spelling, and whatever the query.
    let mut below = with_assertion(&about(GATE, &format!("{ORIGIN}/base")));
    *below.uri_mut() = "/base/%78?q=1".parse().unwrap();
    assert_eq!(call(&layer, below).await.0, 200);
    let mut twice = with_assertion(&good);
    twice.headers_mut().append(HEADER, good.parse().unwrap());
    assert_eq!(call(&layer, twice).await.0, 401, "two are none");

    // None: nobody, and on an origin with public routes nobody in particular.
    let (status, headers, body) = call(&layer, spoofed(unsigned("/x"))).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (401, Some("unauthenticated"))
    );
    assert!(!headers[WWW_AUTHENTICATE].to_str().unwrap().contains("error"));
    let open = PortcullisLayer::behind_with_public_routes(verifier.clone());
    let (status, _, told) = call(&open, spoofed(unsigned("/x"))).await;
    assert_eq!(
        (status.as_u16(), &told["subject"]),
        (200, &serde_json::Value::Null)
    );
    assert!(!told.to_string().contains("forged"), "{told}");
    assert_eq!(call(&open, with_assertion("forged")).await.0, 401);
    let scoped = PortcullisLayer::behind(verifier).requiring(["memory:read"]);
    assert_eq!(call(&scoped, with_assertion(&good)).await.0, 200);
    let scoped = scoped.requiring(["admin"]);
    assert_eq!(call(&scoped, with_assertion(&good)).await.0, 403);
}

#[tokio::test]
async fn without_the_gateways_keys_nobody_can_say() {
    let verifier = AssertionVerifier::fetching(GATE, ORIGIN, "http://127.0.0.1:1").unwrap();
    let layer = PortcullisLayer::behind(verifier);
    let (status, headers, body) = call(&layer, with_assertion("a.b.c")).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (503, Some("state_stale"))
    );
    assert_eq!(headers["retry-after"], "1");
}
