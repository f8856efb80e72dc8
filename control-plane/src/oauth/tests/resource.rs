//! Resource indicators (RFC 8707), where the policy gives a part of the API an audience of its own.

use axum::http::StatusCode;
use shared::policy::{Policy, Route};

use super::support::{ClientApp, Person, claims, confidential, location, outcome, public};
use crate::testing::{Answer, TestApp};

const WHOLE: &str = "http://127.0.0.1:8787";
const SERVER: &str = "http://127.0.0.1:8787/mcp";

/// The demo's routes, and an MCP server.
async fn with_a_server() -> (TestApp, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.json");
    let test = TestApp::start_with(|config| {
        let mut policy = Policy::demo(&config.resource, &config.issuer);
        policy.routes.push(Route {
            path: "/mcp".into(),
            audience: Some(SERVER.into()),
            ..Route::default()
        });
        std::fs::write(&file, policy.to_json()).expect("written");
        config.policy_file = Some(file.clone());
    })
    .await;
    (test, folder)
}

fn audience(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    claims(answer).aud.join(" ")
}

async fn exchange(client: &ClientApp, test: &TestApp, code: &str, resource: &str) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", super::support::VERIFIER),
        ("redirect_uri", client.redirect),
        ("resource", resource),
    ];
    client.post(test, "/token", &fields).await
}

#[tokio::test]
async fn a_token_is_for_the_resource_that_was_asked_for() {
    let (test, _folder) = with_a_server().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[("resource", Some(SERVER))]).await;
    let granted = exchange(&client, &test, &code, SERVER).await;
    assert_eq!(audience(&granted), SERVER);
    // And stays so, whether the client says it again or not.
    let refreshed = client.refresh(&test, &granted.text("refresh_token")).await;
    assert_eq!(audience(&refreshed), SERVER);
    let token = refreshed.text("refresh_token");
    let fields = |resource| {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str()),
            ("resource", resource),
        ]
    };
    let elsewhere = client.post(&test, "/token", &fields(WHOLE)).await;
    assert_eq!(outcome(&elsewhere), (400, "invalid_target"));
    assert_eq!(
        audience(&client.post(&test, "/token", &fields(SERVER)).await),
        SERVER
    );
    // Without the parameter it is the API as a whole.
    let code = person.allow(&client, &[]).await;
    assert_eq!(audience(&client.exchange(&test, &code).await), WHOLE);
}

#[tokio::test]
async fn a_code_is_for_no_other_resource() {
    let (test, _folder) = with_a_server().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    assert_eq!(
        outcome(&exchange(&client, &test, &code, SERVER).await),
        (400, "invalid_target")
    );
    assert_eq!(audience(&exchange(&client, &test, &code, WHOLE).await), WHOLE);
}

/// Who let an app in to one part of the API was not asked about another.
#[tokio::test]
async fn what_was_agreed_to_for_one_resource_is_asked_for_another() {
    let (test, _folder) = with_a_server().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    person.allow(&client, &[]).await;
    let silent = |resource| client.request(&[("resource", Some(resource)), ("prompt", Some("none"))]);
    let again = person.get(&silent(WHOLE)).await;
    assert!(location(&again).1.contains_key("code"), "{again:?}");
    let elsewhere = person.get(&silent(SERVER)).await;
    assert_eq!(location(&elsewhere).1["error"], "consent_required");
    let page = person.get(&client.request(&[("resource", Some(SERVER))])).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.raw.contains(SERVER), "it says for what: {}", page.raw);
    person.allow(&client, &[("resource", Some(SERVER))]).await;
    for resource in [WHOLE, SERVER] {
        let again = person.get(&silent(resource)).await;
        assert!(location(&again).1.contains_key("code"), "{resource}: {again:?}");
    }
}

#[tokio::test]
async fn a_program_names_its_resource() {
    let (test, _folder) = with_a_server().await;
    let client = confidential(&test).await;
    for (resource, expected) in [(SERVER, SERVER), (WHOLE, WHOLE)] {
        let fields = [("grant_type", "client_credentials"), ("resource", resource)];
        assert_eq!(audience(&client.post(&test, "/token", &fields).await), expected);
    }
}

/// `/v1/auth/**` has the issuer as its audience: whoever names it would get a token that manages keys.
#[tokio::test]
async fn nobody_names_the_server_itself() {
    let (test, _folder) = with_a_server().await;
    let issuer = test.app.config.issuer.clone();
    let client = confidential(&test).await;
    for resource in [
        issuer.as_str(),
        "http://127.0.0.1:8787/mcp/",
        "http://127.0.0.1:8787/MCP",
    ] {
        let fields = [("grant_type", "client_credentials"), ("resource", resource)];
        let answer = client.post(&test, "/token", &fields).await;
        assert_eq!(outcome(&answer), (400, "invalid_target"), "{resource}");
        let mut person = Person::signed_in(&test).await;
        let answer = person.get(&client.request(&[("resource", Some(resource))])).await;
        assert_eq!(location(&answer).1["error"], "invalid_target", "{resource}");
    }
}
