//! The command line's own client: its tokens call `/v1` as their person, as long as the person may, and nobody else gets any.

use axum::http::Method;
use serde_json::json;

use super::device::{GRANT, answer};
use super::outcome;
use super::support::{ClientApp, Person, claims, for_devices, post_form, published};
use crate::http::tag::IfMatch;
use crate::members::{self, Change};
use crate::oauth::built_in::COMMAND_LINE;
use crate::revocation::Wait;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp};

const KEYS: &str = "/v1/auth/keys";

async fn post(test: &TestApp, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("client_id", COMMAND_LINE)];
    all.extend_from_slice(fields);
    post_form(test, path, &super::support::encode(&all)).await
}

async fn begin(test: &TestApp) -> Answer {
    let answer = post(test, "/device_authorization", &[("scope", "admin")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The first owner signs in at the command line.
async fn signed_in(test: &TestApp) -> Answer {
    let begun = begin(test).await;
    let mut person = Person::signed_in(test).await;
    let done = answer(&mut person, &begun, "allow").await;
    assert_eq!(done.status, 200, "{done:?}");
    let code = begun.text("device_code");
    let granted = post(test, "/token", &[("grant_type", GRANT), ("device_code", &code)]).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    granted
}

#[tokio::test]
async fn a_person_calls_v1_as_themselves() {
    let test = published().await;
    let granted = signed_in(&test).await;
    let token = granted.text("access_token");
    assert_eq!(
        claims(&granted).aud,
        std::slice::from_ref(&test.app.config.issuer)
    );
    assert_eq!(test.call(Method::GET, KEYS, &token, None).await.status, 200);
    let me = test.call(Method::GET, "/v1/whoami", &token, None).await;
    assert_eq!(me.text("user"), test.made.user.to_string());
    assert!(me.text("credential").starts_with("grt_"), "{me:?}");

    // What they make outlives the token, and the trail says how they called.
    let body = json!({"name": "made at the command line", "scope": "read", "workspace": "all"});
    let made = test.call(Method::POST, KEYS, &token, Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&made.text("id"), 1).await.expect("a row");
    assert_eq!(trail.len(), 1);
    drop(tx);

    // It is no key: there is nothing that it could rotate.
    let itself = test
        .call(Method::POST, "/v1/auth/keys/self/rotate", &token, None)
        .await;
    assert_eq!(itself.outcome(), (403, "exceeds_caller"));

    // Refreshed, it goes on; signed out, it is dead at once.
    let refresh = granted.text("refresh_token");
    let next = post(
        &test,
        "/token",
        &[("grant_type", "refresh_token"), ("refresh_token", &refresh)],
    )
    .await;
    assert_eq!(next.status, 200, "{next:?}");
    let next_token = next.text("access_token");
    assert_eq!(test.call(Method::GET, KEYS, &next_token, None).await.status, 200);
    let ended = post(&test, "/revoke", &[("token", &next.text("refresh_token"))]).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    for dead in [token, next_token] {
        let answer = test.call(Method::GET, KEYS, &dead, None).await;
        assert_eq!(answer.outcome(), (401, "invalid_token"));
    }
}

#[tokio::test]
async fn a_demoted_person_is_demoted_at_the_command_line() {
    let test = published().await;
    let token = signed_in(&test).await.text("access_token");
    let (_, key) = crate::testing::member(&test, 7, Role::Owner).await;
    let path = format!("/v1/memberships/{}?wait=none", test.made.user);
    let viewer = Some(json!({"role": "viewer"}));
    let demoted = test.call(Method::PATCH, &path, &key, viewer).await;
    assert_eq!(demoted.status, 200, "{demoted:?}");
    let answer = test.call(Method::GET, KEYS, &token, None).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
    // They still are somebody; shut out, they are nobody.
    assert_eq!(
        test.call(Method::GET, "/v1/whoami", &token, None).await.status,
        200
    );
    let path = format!("/v1/memberships/{}/suspend?wait=none", test.made.user);
    assert_eq!(test.call(Method::POST, &path, &key, None).await.status, 200);
    let answer = test.call(Method::GET, "/v1/whoami", &token, None).await;
    assert_eq!(answer.outcome(), (401, "invalid_token"));
}

#[tokio::test]
async fn nobody_else_gets_a_token_for_v1() {
    let test = published().await;
    let issuer = test.app.config.issuer.clone();
    // Another client for devices, with every scope, may not name the issuer as its resource …
    let client: ClientApp = for_devices(&test).await;
    let fields = [("scope", "memory:read"), ("resource", issuer.as_str())];
    let refused = client.post(&test, "/device_authorization", &fields).await;
    assert_eq!(outcome(&refused), (400, "invalid_target"));
    // … and the command line may name nothing else.
    let fields = [
        ("scope", "admin"),
        ("resource", test.app.config.resource.as_str()),
    ];
    let refused = post(&test, "/device_authorization", &fields).await;
    assert_eq!(outcome(&refused), (400, "invalid_target"));
    // A token for the API, of an owner, is none for the administration.
    let begun = super::device::begin(&test, &client).await;
    let mut person = Person::signed_in(&test).await;
    answer(&mut person, &begun, "allow").await;
    let token = super::device::poll(&test, &client, &begun)
        .await
        .text("access_token");
    let answer = test.call(Method::GET, "/v1/whoami", &token, None).await;
    assert_eq!(answer.outcome(), (401, "invalid_token"));
}

#[tokio::test]
async fn whoever_ends_the_sign_in_waits_or_is_seen() {
    let test = published().await;
    let token = signed_in(&test).await.text("access_token");
    let caller = {
        let request = axum::http::Request::builder().header("authorization", format!("Bearer {token}"));
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        crate::http::auth::Caller::present(&test.app, &parts)
            .await
            .expect("it counts")
    };
    // Between the look at the token and the work, the person signs out everywhere else.
    let mut tx = test.app.store.begin().await.expect("tx");
    let now = test.clock.now();
    tx.end_grants_of_member(test.made.org, test.made.user, now)
        .await
        .expect("ended");
    tx.commit().await.expect("commit");
    let change = (Change::Suspend, &IfMatch::Any);
    let refused = members::change(&test.app, &caller, test.made.user, change, Wait::None).await;
    assert_eq!(refused.expect_err("it is over").code().as_str(), "invalid_token");
}
