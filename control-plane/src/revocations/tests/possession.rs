//! Whoever holds a credential gives it up; nobody else learns anything.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header};
use std::net::SocketAddr;

use super::*;
use crate::oauth::tests::dpop::Holder;
use crate::oauth::tests::support::{confidential, outcome, public};

const SELF: &str = "/v1/auth/self-revoke";

async fn give_up(test: &TestApp, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(SELF).extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 9], 4000))));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    test.send(request.body(Body::from(body.to_owned())).expect("a request"))
        .await
}

async fn bearer(test: &TestApp, credential: &str) -> Answer {
    give_up(test, &[("authorization", &format!("Bearer {credential}"))], "").await
}

#[tokio::test]
async fn a_key_of_any_scope_ends_itself_and_its_line() {
    let test = published().await;
    let (id, key) = test.create_key(json!({"name": "leaked", "scope": "read"})).await;
    let rotated = test
        .admin(Method::POST, &format!("/v1/auth/keys/{id}/rotate"), None)
        .await;
    let successor = rotated.text("key");
    let receipt = bearer(&test, &key).await;
    assert_receipt(&receipt);
    assert_eq!(
        (receipt.text("id"), receipt.text("reason")),
        (id.clone(), "key_compromise".into())
    );
    assert!(!works(&test, &key).await && !works(&test, &successor).await);
    assert_eq!(bearer(&test, &key).await.body, receipt.body, "a retry is safe");
    let detail = audited(&test, &id, "api_key.self_revoked").await;
    assert_eq!(detail["cause"], "possession");
}

/// A dead key is worth nothing: it does not end what took its place.
#[tokio::test]
async fn a_key_that_is_dead_ends_nothing() {
    let test = published().await;
    let (id, key) = test.create_key(json!({"name": "old", "scope": "read"})).await;
    let rotated = test
        .admin(Method::POST, &format!("/v1/auth/keys/{id}/rotate"), None)
        .await;
    let successor = rotated.text("key");
    let revoked = test
        .admin(
            Method::DELETE,
            &format!("/v1/auth/keys/{id}?reason=superseded"),
            None,
        )
        .await;
    assert_eq!(revoked.status, 200);
    let answer = bearer(&test, &key).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("reason")),
        (200, "superseded".into())
    );
    assert!(works(&test, &successor).await);
    // One that expired is refused like a stranger's.
    let body = json!({"overlap_seconds": 1});
    let rotated = test
        .call(Method::POST, "/v1/auth/keys/self/rotate", &successor, Some(body))
        .await;
    test.clock.advance_ms(5000);
    assert_eq!(bearer(&test, &successor).await.outcome(), (401, "invalid_token"));
    assert!(works(&test, &rotated.text("key")).await);
}

#[tokio::test]
async fn tokens_take_their_grant_along() {
    let test = published().await;
    let client = confidential(&test).await;
    for form in [false, true] {
        let first = client.sign_in(&test).await;
        let second = client.refresh(&test, &first.text("refresh_token")).await;
        // An older refresh token of the family will do, too.
        let receipt = if form {
            give_up(&test, &[], &format!("token={}", first.text("refresh_token"))).await
        } else {
            bearer(&test, &first.text("access_token")).await
        };
        assert_receipt(&receipt);
        let grant = receipt.text("id");
        assert!(grant.starts_with("grt_"), "{receipt:?}");
        let refreshed = client.refresh(&test, &second.text("refresh_token")).await;
        assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
        let again = bearer(&test, &second.text("access_token")).await;
        assert_eq!(again.body, receipt.body);
        audited(&test, &grant, "grant.self_revoked").await;
    }
    let machine = client
        .post(&test, "/token", &[("grant_type", "client_credentials")])
        .await;
    let receipt = bearer(&test, &machine.text("access_token")).await;
    assert_receipt(&receipt);
    let introspected = client
        .post(&test, "/introspect", &[("token", &machine.text("access_token"))])
        .await;
    assert_eq!(introspected.body, json!({"active": false}));
    assert_eq!(
        bearer(&test, &machine.text("access_token")).await.body,
        receipt.body
    );
    audited(&test, &receipt.text("id"), "access_token.self_revoked").await;
}

/// Who found a bound token but not its key ends nobody's sign-in with it.
#[tokio::test]
async fn what_is_bound_to_a_key_needs_it() {
    let test = published().await;
    let (client, holder) = (public(&test).await, Holder::new(3));
    let tokens = holder.sign_in(&test, &client).await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let bare = bearer(&test, &access).await;
    assert_eq!(bare.outcome(), (401, "invalid_token"));
    let form = format!("token={refresh}");
    assert_eq!(
        give_up(&test, &[], &form).await.outcome(),
        (401, "invalid_dpop_proof")
    );
    let thief = Holder::new(4).proof_with(&test, "POST", SELF, |_| {});
    let stolen = give_up(&test, &[("dpop", &thief)], &form).await;
    assert_eq!(stolen.outcome(), (401, "invalid_dpop_proof"));
    let proof = holder.proof_with(&test, "POST", SELF, |_| {});
    let receipt = give_up(&test, &[("dpop", &proof)], &form).await;
    assert_receipt(&receipt);
    let replayed = give_up(&test, &[("dpop", &proof)], &form).await;
    assert_eq!(replayed.outcome(), (401, "invalid_dpop_proof"));
    let digest = shared::crypto::base64url(&shared::crypto::sha256(access.as_bytes()));
    let proof = holder.proof_with(&test, "POST", SELF, |claims| claims["ath"] = digest.into());
    let scheme = format!("DPoP {access}");
    let again = give_up(&test, &[("authorization", &scheme), ("dpop", &proof)], "").await;
    assert_eq!(again.body, receipt.body);
}

#[tokio::test]
async fn everything_else_gets_one_answer() {
    let test = published().await;
    let (_, key) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    let other = TestApp::start().await;
    let (_, foreign) = other.create_key(json!({"name": "k", "scope": "read"})).await;
    let mut bent = key.clone();
    let last = bent.pop().expect("a character");
    bent.push(if last == 'a' { 'b' } else { 'a' });
    let mut answers = Vec::new();
    for text in [foreign.as_str(), &bent, "x", "a.b.c"] {
        answers.push(bearer(&test, text).await);
    }
    let unknown = format!("token=ref_{}", "a".repeat(43));
    answers.push(give_up(&test, &[], &unknown).await);
    answers.push(give_up(&test, &[], &format!("token={key}")).await);
    for answer in &answers {
        assert_eq!(answer.outcome(), (401, "invalid_token"), "{answer:?}");
    }
    let both = [("authorization", format!("Bearer {key}"))];
    let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        give_up(&test, &both, "token=x").await.outcome(),
        (400, "several_credentials")
    );
    assert_eq!(
        give_up(&test, &[], "").await.outcome(),
        (401, "credentials_missing")
    );
    assert_eq!(
        give_up(&test, &both, "reason=nonsense").await.outcome(),
        (400, "invalid_field")
    );
    assert!(works(&test, &key).await);
}

/// Strangers run into a limit; a right credential never does.
#[tokio::test]
async fn failures_are_counted_and_holders_are_not_kept_out() {
    let test = crate::oauth::tests::support::published_with(|config| {
        config.rate_limits.failures_per_address = Some(3);
    })
    .await;
    let (_, key) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    for _ in 0..3 {
        assert_eq!(bearer(&test, "x").await.outcome(), (401, "invalid_token"));
    }
    let limited = bearer(&test, "x").await;
    assert_eq!(limited.outcome(), (429, "rate_limited"));
    assert!(limited.headers.contains_key("retry-after"));
    assert_receipt(&bearer(&test, &key).await);
}
