//! Issuing and revoking at the same time, on both engines: whatever commits is either revoked or dated after the not-before.

use super::*;
use crate::oauth::tests::support::confidential;
use crate::store::test_postgres::TestPostgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    all(&published().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let Some(server) = TestPostgres::start_or_skip() else {
        return;
    };
    server.database("races").await.close().await;
    let url = server.url("races");
    let test = crate::oauth::tests::support::published_with(|config| config.database_url = url).await;
    all(&test).await;
    test.app.store.close().await;
}

async fn all(test: &TestApp) {
    for round in 0..5 {
        keys_of_a_user(test, round).await;
        tokens_of_a_client(test).await;
    }
}

/// The clock of the test stands still: all of this is one second, the hardest case.
async fn keys_of_a_user(test: &TestApp, round: u64) {
    let (bob, _) = member(test, 100 + round, Role::Member).await;
    let create = async || {
        let body = json!({"name": "k", "scope": "read", "user": bob});
        let answer = test.admin(Method::POST, "/v1/auth/keys", Some(body)).await;
        // A lock that was given up is an honest answer.
        (answer.status == 201).then(|| answer.text("id"))
    };
    let end = async || {
        for _ in 0..20 {
            let answer = revoke(test, "user", &bob.to_string()).await;
            if answer.status == 200 {
                return;
            }
            assert_eq!(answer.outcome(), (503, "busy"), "{answer:?}");
        }
        panic!("always busy");
    };
    let (a, b, (), c, d) = tokio::join!(create(), create(), end(), create(), create());
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let member = tx
        .membership(test.made.org, bob)
        .await
        .expect("asked")
        .expect("one");
    let not_before = member.not_before.expect("set");
    for id in [a, b, c, d].into_iter().flatten() {
        let key = tx
            .key(id.parse().expect("an id"))
            .await
            .expect("asked")
            .expect("there");
        let is_later = key.issued_at > not_before;
        assert_ne!(
            is_later,
            key.revoked.is_some(),
            "{:?} {not_before:?} {:?}",
            key.issued_at,
            key.revoked
        );
    }
}

async fn tokens_of_a_client(test: &TestApp) {
    let client = confidential(test).await;
    let id = client.id.to_string();
    let token = async || {
        let answer = client
            .post(test, "/token", &[("grant_type", "client_credentials")])
            .await;
        (answer.status == 200).then_some(answer)
    };
    let end = async || {
        let answer = revoke(test, "client", &id).await;
        assert!(matches!(answer.status.as_u16(), 200 | 503), "{answer:?}");
        answer.status == 200
    };
    let (a, b, ended, c, d) = tokio::join!(token(), token(), end(), token(), token());
    if !ended {
        return;
    }
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let not_before = tx
        .client_not_before(client.id)
        .await
        .expect("asked")
        .expect("set");
    for answer in [a, b, c, d].into_iter().flatten() {
        let introspected = client
            .post(test, "/introspect", &[("token", &answer.text("access_token"))])
            .await;
        let is_later = claims(&answer).iat > not_before;
        assert_eq!(introspected.body["active"], is_later, "{introspected:?}");
    }
}
