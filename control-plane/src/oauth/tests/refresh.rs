//! Refresh tokens: line 6 of the checklist, and the race that no honest client may lose.

use std::sync::Arc;

use super::is_live;
use super::support::{
    ClientApp, DAY, Person, SECOND, claims, client_with, confidential, decoded, outcome, public, published,
    published_with,
};
use crate::store::test_postgres::TestPostgres;
use crate::testing::TestApp;

const REFUSED: (u16, &str) = (400, "invalid_grant");

#[tokio::test]
async fn line_6_a_retry_gets_the_same_successor() {
    let test = published().await;
    let client = public(&test).await;
    let first = client.sign_in(&test).await.text("refresh_token");
    let second = client.refresh(&test, &first).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_eq!(second.body["expires_in"], 3600);
    assert!(second.text("refresh_token").starts_with("ref_"));
    assert_ne!(second.text("refresh_token"), first, "rotated");
    let [_, id] = decoded(&second.text("id_token"));
    assert_eq!(id.get("nonce"), None, "a nonce is for the first one");
    test.clock.advance_ms(29 * SECOND);
    let again = client.refresh(&test, &first).await;
    for member in ["access_token", "refresh_token", "id_token", "scope"] {
        assert_eq!(again.text(member), second.text(member), "{member}: the very same");
    }
    assert_eq!(again.body["expires_in"], 3571);
    // What is kept of it opens only with the token itself, and goes with the grace time.
    let sealed = async || {
        let mut tx = test.app.store.begin().await.expect("tx");
        tx.drop_sealed(test.clock.now()).await.expect("dropped");
        let digest = shared::crypto::sha256(first.as_bytes());
        let row = tx.refresh_token(&digest).await.expect("asked").expect("there");
        tx.commit().await.expect("commit");
        row.sealed
    };
    let kept = sealed().await.expect("within the grace time");
    let readable = String::from_utf8_lossy(&kept).into_owned();
    assert!(!readable.contains("ref_") && !readable.contains("usr_"));
    test.clock.advance_ms(SECOND);
    assert_eq!(sealed().await, None);
}

#[tokio::test]
async fn line_6_later_the_successor_must_be_unused() {
    let test = published().await;
    let client = public(&test).await;
    let granted = client.sign_in(&test).await;
    let first = granted.text("refresh_token");
    let lost = client.refresh(&test, &first).await.text("refresh_token");
    test.clock.advance_ms(31 * SECOND);
    let second = client.refresh(&test, &first).await;
    assert_eq!(second.status, 200, "nobody used the lost one: {second:?}");
    assert_ne!(second.text("refresh_token"), lost);
    assert_eq!(
        client.refresh(&test, &first).await.text("refresh_token"),
        second.text("refresh_token"),
        "which can be retried as well"
    );
    let third = client.refresh(&test, &second.text("refresh_token")).await;
    assert_eq!(third.status, 200);
    // The lost one was taken back: whoever comes with it is not who got the others.
    assert!(is_live(&test, &third).await);
    assert_eq!(outcome(&client.refresh(&test, &lost).await), REFUSED);
    assert!(!is_live(&test, &third).await && !is_live(&test, &granted).await);
    assert_eq!(
        outcome(&client.refresh(&test, &third.text("refresh_token")).await),
        REFUSED
    );
}

#[tokio::test]
async fn line_6_a_lost_answer_is_forgiven_for_a_day() {
    let test = published().await;
    let client = public(&test).await;
    let granted = client.sign_in(&test).await;
    let first = granted.text("refresh_token");
    let lost = client.refresh(&test, &first).await;
    assert_eq!(lost.status, 200);
    test.clock.advance_ms(24 * 3600 * SECOND + SECOND);
    // Nobody used the successor, but a token this old may be one that was found.
    assert_eq!(outcome(&client.refresh(&test, &first).await), REFUSED);
    assert_eq!(
        outcome(&client.refresh(&test, &lost.text("refresh_token")).await),
        REFUSED
    );
}

#[tokio::test]
async fn line_6_reuse_ends_the_grant() {
    let test = published().await;
    let client = public(&test).await;
    let granted = client.sign_in(&test).await;
    let first = granted.text("refresh_token");
    let second = client.refresh(&test, &first).await.text("refresh_token");
    let third = client.refresh(&test, &second).await;
    // Two generations old, even within the grace time: only the immediate predecessor is forgiven.
    assert_eq!(outcome(&client.refresh(&test, &first).await), REFUSED);
    assert_eq!(
        outcome(&client.refresh(&test, &third.text("refresh_token")).await),
        REFUSED
    );
    assert!(!is_live(&test, &third).await);
    let mut tx = test.app.store.begin().await.expect("tx");
    let index = super::index(&test, &granted);
    let grant = tx.grant_of_index(index).await.expect("asked").expect("there");
    let trail = tx.audit_of(&grant.to_string(), 10).await.expect("list");
    let reuse = trail
        .iter()
        .find(|row| row.action == "grant.revoke")
        .expect("audited");
    assert!(reuse.detail.contains("refresh_reuse"));
    assert_eq!(tx.heads_of_grant(grant).await.expect("list").len(), 1);
    // Another grant of the same person and client goes on.
    drop(tx);
    let other = client.sign_in(&test).await;
    assert_eq!(
        client.refresh(&test, &other.text("refresh_token")).await.status,
        200
    );
}

#[tokio::test]
async fn line_6_without_grace_a_retry_is_judged_at_once() {
    let test = published().await;
    let client = client_with(&test, |new| new.refresh_grace_seconds = 0).await;
    let first = client.sign_in(&test).await.text("refresh_token");
    let second = client.refresh(&test, &first).await.text("refresh_token");
    let other = client.refresh(&test, &first).await.text("refresh_token");
    assert_ne!(second, other, "nothing was kept");
    assert_eq!(outcome(&client.refresh(&test, &second).await), REFUSED);
    assert_eq!(outcome(&client.refresh(&test, &other).await), REFUSED);
}

#[tokio::test]
async fn line_6_a_refresh_token_is_bound_to_its_client_and_scope() {
    let test = published().await;
    let (client, other, server) = (
        public(&test).await,
        public(&test).await,
        confidential(&test).await,
    );
    let token = client.sign_in(&test).await.text("refresh_token");
    assert_eq!(outcome(&other.refresh(&test, &token).await), REFUSED);
    assert_eq!(outcome(&server.refresh(&test, &token).await), REFUSED);
    assert_eq!(outcome(&client.refresh(&test, "ref_nonsense").await), REFUSED);
    let scoped = async |token: &str, scope: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", scope),
        ];
        client.post(&test, "/token", &fields).await
    };
    for wider in [
        "memory:write",
        "openid email memory:read memory:write",
        "profile",
        "nonsense",
    ] {
        assert_eq!(
            outcome(&scoped(&token, wider).await),
            (400, "invalid_scope"),
            "{wider}"
        );
    }
    let narrow = scoped(&token, "openid").await;
    assert_eq!(
        (narrow.body["scope"].as_str(), claims(&narrow).scope.as_str()),
        (Some("openid"), "")
    );
    let whole = client.refresh(&test, &narrow.text("refresh_token")).await;
    assert_eq!(
        whole.body["scope"], "openid email memory:read",
        "the grant keeps all"
    );
    // A confidential client must prove itself for a refresh, too.
    let granted = server.sign_in(&test).await.text("refresh_token");
    let unproven = ClientApp {
        secret: None,
        ..server.clone()
    };
    assert_eq!(
        outcome(&unproven.refresh(&test, &granted).await),
        (401, "invalid_client")
    );
    assert_eq!(server.refresh(&test, &granted).await.status, 200);
}

#[tokio::test]
async fn line_6_idle_and_absolute_ends() {
    let test = published().await;
    let client = public(&test).await;
    let mut token = client.sign_in(&test).await.text("refresh_token");
    let idle = client.sign_in(&test).await.text("refresh_token");
    for _ in 0..4 {
        test.clock.advance_ms(22 * DAY);
        token = client.refresh(&test, &token).await.text("refresh_token");
    }
    assert_eq!(
        outcome(&client.refresh(&test, &idle).await),
        REFUSED,
        "30 days without use"
    );
    test.clock.advance_ms(2 * DAY);
    assert_eq!(
        outcome(&client.refresh(&test, &token).await),
        REFUSED,
        "90 days at most"
    );
}

#[tokio::test]
async fn what_kills_a_person_s_credentials_kills_their_grants() {
    let test = published().await;
    let client = public(&test).await;
    let granted = client.sign_in(&test).await;
    let user = claims(&granted).sub.parse().expect("a user");
    let mut tx = test.app.store.begin().await.expect("tx");
    test.clock.advance_ms(SECOND);
    let now = test.clock.now().seconds();
    tx.set_member_not_before(test.made.org, user, now)
        .await
        .expect("set");
    tx.commit().await.expect("commit");
    assert_eq!(
        outcome(&client.refresh(&test, &granted.text("refresh_token")).await),
        REFUSED
    );
}

/// A grant outlives token keys: its next token carries an index of the new key, and both die with it.
#[tokio::test]
async fn a_grant_moves_to_the_next_token_key() {
    let test = published().await;
    let client = public(&test).await;
    let first = client.sign_in(&test).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let (app, now) = (&test.app, test.clock.now());
    let purpose = crate::signing::Purpose::AccessToken;
    crate::signing::rotate(
        &mut tx,
        &app.keyring,
        &app.random,
        purpose,
        &crate::audit::Actor::system(),
        now,
    )
    .await
    .expect("a pending key");
    tx.commit().await.expect("commit");
    let token = first.text("refresh_token");
    let before = super::index(&test, &first);
    let mut second = client.refresh(&test, &token).await;
    crate::testing::eventually(async || {
        test.clock.advance_ms(SECOND);
        second = client.refresh(&test, &second.text("refresh_token")).await;
        super::index(&test, &second) != before
    })
    .await;
    assert_ne!(
        decoded(&first.text("access_token"))[0]["kid"],
        decoded(&second.text("access_token"))[0]["kid"]
    );
    let fields = [("token", second.text("refresh_token"))];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(client.post(&test, "/revoke", &fields).await.status, 200);
    assert!(!is_live(&test, &first).await && !is_live(&test, &second).await);
}

/// Five processes share one token store and refresh at once; some lose the answer after the server has committed. Nobody is
/// ever logged out, and exactly one lineage lives.
async fn the_race(test: TestApp) {
    const ROUNDS: usize = 50;
    let test = Arc::new(test);
    let client = public(&test).await;
    let granted = client.sign_in(&test).await;
    let grant = {
        let mut tx = test.app.store.begin_read().await.expect("tx");
        let index = super::index(&test, &granted);
        tx.grant_of_index(index).await.expect("asked").expect("there")
    };
    let mut token = granted.text("refresh_token");
    for round in 0..ROUNDS {
        // In some rounds the answers of the first attempt are lost for longer than the grace time.
        if round % 10 == 7 {
            assert_eq!(client.refresh(&test, &token).await.status, 200);
            test.clock.advance_ms(31 * SECOND);
        }
        let tasks: Vec<_> = (0..5)
            .map(|number| {
                let (test, client, token) = (Arc::clone(&test), client.clone(), token.clone());
                tokio::spawn(async move {
                    if number % 2 == round % 2 {
                        // Committed, and never read.
                        let lost = client.refresh(&test, &token).await;
                        assert_eq!(lost.status, 200, "round {round}: {lost:?}");
                    }
                    let answer = client.refresh(&test, &token).await;
                    assert_eq!(answer.status, 200, "round {round}: {answer:?}");
                    (answer.text("access_token"), answer.text("refresh_token"))
                })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.expect("a process"));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "round {round}: one successor for all");
        token = answers.remove(0).1;
        let mut tx = test.app.store.begin_read().await.expect("tx");
        let heads = tx.heads_of_grant(grant).await.expect("list");
        assert_eq!(heads.len(), 1, "round {round}: one lineage");
        assert_eq!(heads[0].digest, shared::crypto::sha256(token.as_bytes()));
        drop(tx);
        test.clock.advance_ms(SECOND);
    }
}

/// Line 3: of two exchanges of one code at the same moment one gets tokens, and they die at once.
async fn one_code_twice_at_once(test: TestApp) {
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    for _ in 0..10 {
        let code = person.allow(&client, &[]).await;
        let (one, other) = tokio::join!(client.exchange(&test, &code), client.exchange(&test, &code));
        let (granted, refused) = if one.status == 200 {
            (one, other)
        } else {
            (other, one)
        };
        assert_eq!(granted.status, 200, "{granted:?} {refused:?}");
        assert_eq!(outcome(&refused), REFUSED);
        assert!(!is_live(&test, &granted).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_refresh_at_once_on_sqlite() {
    the_race(published().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_3_one_code_twice_at_once_on_sqlite() {
    one_code_twice_at_once(published().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_3_one_code_twice_at_once_on_postgres() {
    let Some(server) = TestPostgres::start_or_skip() else {
        return;
    };
    server.database("code_race").await.close().await;
    let url = server.url("code_race");
    one_code_twice_at_once(published_with(|config| config.database_url = url).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_refresh_at_once_on_postgres() {
    let Some(server) = TestPostgres::start_or_skip() else {
        return;
    };
    server.database("refresh_race").await.close().await;
    let url = server.url("refresh_race");
    let test = published_with(|config| config.database_url = url).await;
    the_race(test).await;
}
