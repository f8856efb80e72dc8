//! The endpoint through the real router, on a state that the publisher has framed.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use crate::revocation;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, eventually, member};

const PATH: &str = "/v1/explain";
const READ: &str = "/v1/memory/x";

/// A control plane without edges whose publisher has framed its keys and its policy.
async fn published() -> TestApp {
    let test = TestApp::start_with(|config| {
        config.edges = Vec::new();
        config.dev = true;
    })
    .await;
    revocation::start(Arc::clone(&test.app));
    let known = json!({"credential": test.made.admin_key, "path": READ});
    eventually(async || ask(&test, known.clone()).await.body["verdict"] == "allowed").await;
    test
}

async fn ask(test: &TestApp, body: Value) -> Answer {
    test.admin(Method::POST, PATH, Some(body)).await
}

fn step<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let steps = answer.body["steps"].as_array().expect("steps");
    steps
        .iter()
        .find(|step| step["step"] == name)
        .unwrap_or_else(|| panic!("{name} in {answer:?}"))
}

#[tokio::test]
async fn each_step_says_what_it_found() {
    let test = published().await;
    let (id, key) = test.create_key(json!({"name": "mine", "scope": "read"})).await;
    let good = ask(&test, json!({"credential": key, "path": READ})).await;
    assert_eq!(
        (&good.body["allowed"], &good.body["verdict"]),
        (&json!(true), &json!("allowed"))
    );
    let signature = &step(&good, "signature")["facts"];
    assert_eq!(signature["credential"], json!(id));
    assert_eq!(signature["issued_at"], "2026-11-21T23:08:40Z");
    assert_eq!(step(&good, "route")["facts"]["needs_all"], "memory:read");
    assert!(!good.raw.contains(&key), "it is not said again");

    let write = ask(&test, json!({"credential": key, "path": READ, "method": "POST"})).await;
    assert_eq!(write.body["verdict"], "scope_insufficient");
    assert_eq!(step(&write, "scopes")["facts"]["missing"], "memory:write");
    assert_eq!(step(&write, "restriction list")["passed"], true);

    let nobody = ask(&test, json!({"path": READ})).await;
    assert_eq!(nobody.body["verdict"], "credential_missing");
    let forged = format!("{}A", &key[..key.len() - 1]);
    let wrong = ask(&test, json!({"credential": forged, "path": READ})).await;
    assert_eq!(wrong.body["allowed"], false);

    // It follows the feed: what was true a moment ago is not said from memory.
    let path = format!("/v1/auth/keys/{id}?wait=none");
    test.admin(Method::DELETE, &path, None).await;
    eventually(async || {
        let dead = ask(&test, json!({"credential": key, "path": READ})).await;
        dead.body["verdict"] == "revoked" && step(&dead, "scopes")["passed"] == true
    })
    .await;
    let dead = ask(&test, json!({"credential": key, "path": READ})).await;
    let facts = &step(&dead, "restriction list")["facts"];
    assert_eq!(facts["revoked_at"], "2026-11-21T23:08:40Z");
    assert_eq!(facts["revoked_reason"], "unspecified");
    assert_eq!(facts["revoked_by"], json!(test.made.user));
}

#[tokio::test]
async fn a_ceiling_is_named() {
    let test = published().await;
    let (user, key) = member(&test, 77, Role::Admin).await;
    let body = Some(json!({"role": "viewer"}));
    test.admin(Method::PATCH, &format!("/v1/memberships/{user}"), body)
        .await;
    eventually(async || {
        let answer = ask(&test, json!({"credential": key, "path": "/admin/x"})).await;
        answer.body["verdict"] == "scope_insufficient"
            && step(&answer, "scopes")["facts"]["ceiling_of"] == format!("{user} in {}", test.made.org)
    })
    .await;
}

#[tokio::test]
async fn only_administrators_of_the_organisation_are_told() {
    let test = published().await;
    let (_, viewer) = member(&test, 78, Role::Viewer).await;
    let refused = test
        .call(Method::POST, PATH, &viewer, Some(json!({"path": READ})))
        .await;
    assert_eq!(refused.outcome(), (403, "insufficient_scope"));

    let other = stranger(&test).await;
    let answer = ask(&test, json!({"credential": other, "path": READ})).await;
    assert_eq!(answer.outcome(), (404, "not_found"));
    assert!(!answer.raw.contains("usr_"), "{answer:?}");
}

/// Whom others trust is their business: their issuer is as unknown as one that nobody trusts.
#[tokio::test]
async fn an_issuer_of_others_is_one_that_nobody_trusts() {
    use shared::crypto::base64url;
    use shared::feed::issuer::{Forms, WorkspaceRule};
    use shared::feed::{Entry, IssuerBinding, IssuerEntry};
    use shared::id::OrgId;

    let test = published().await;
    let binding = IssuerBinding {
        audiences: vec!["api".to_owned()],
        cap: shared::scope::ScopeSet(1),
        forms: Forms::ALL,
        subject: vec!["sub".to_owned()],
        scopes: Vec::new(),
        scope_values: None,
        workspace: WorkspaceRule::All,
        keys: std::collections::BTreeMap::new(),
    };
    let trusted = |issuer: &str, org| {
        Entry::Issuer(Box::new(IssuerEntry {
            issuer: issuer.to_owned(),
            version: 1,
            org,
            binding: Some(binding.clone()),
        }))
    };
    let theirs = OrgId::from_u64(4711).expect("small");
    let mut tx = test.app.store.begin().await.expect("tx");
    for entry in [
        trusted("https://theirs.example", theirs),
        trusted("https://ours.example", test.made.org),
    ] {
        let now = test.clock.now();
        revocation::enqueue(&mut tx, &revocation::Reach::All, "test", &entry, now)
            .await
            .expect("queued");
    }
    tx.commit().await.expect("commit");
    test.app.feed.wake();
    let answer = async |issuer: &str| {
        let part = |json: Value| base64url(json.to_string().as_bytes());
        let header = part(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "one"}));
        let claims = part(json!({"iss": issuer, "sub": "ada", "aud": "api", "exp": 4_000_000_000_u64}));
        let token = format!("{header}.{claims}.{}", base64url(&[7; 64]));
        ask(&test, json!({"credential": token, "path": READ})).await.body
    };
    eventually(async || answer("https://ours.example").await["verdict"] != "issuer_refused").await;
    let nobodys = answer("https://nobodys.example").await;
    assert_eq!(nobodys["verdict"], "issuer_refused");
    assert_eq!(answer("https://theirs.example").await, nobodys);
}

/// A true key of another organisation: signed by our key, inside its block.
async fn stranger(test: &TestApp) -> String {
    use crate::revocation::Reach;
    use crate::signing::{Purpose, draw_index};
    use shared::id::{OrgId, UserId};
    use shared::key::{self, Environment, Statement};
    use shared::scope::ScopeSet;

    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let drawn = draw_index(&mut tx, Purpose::ApiKey, &Reach::All, None, &test.app.random, now).await;
    let (signing_key, index) = drawn.expect("an index");
    let signer = test.app.keyring.key(&mut tx, signing_key).await.expect("the key");
    tx.commit().await.expect("commit");
    let statement = Statement {
        signing_key,
        index,
        org: OrgId::from_u64(4711).expect("small"),
        user: UserId::from_u64(4712).expect("small"),
        workspace: None,
        scopes: ScopeSet(1),
        issued_at: now.seconds(),
        expires_at: None,
        nonce: [7; 8],
    };
    let made = key::build(&test.app.config.brand, Environment::Live, &statement, |message| {
        signer.sign_ed25519(message)
    });
    made.expect("a key").expose().to_owned()
}
