//! The sessions of an organisation's people: seen and ended by administrators.

use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::dashboard::tests::somebody;
use crate::oauth::tests::support::published;
use crate::testing::member;

const PATH: &str = "/v1/sessions";

async fn listed(test: &TestApp, query: &str) -> Vec<Value> {
    let answer = test.admin(Method::GET, &format!("{PATH}{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["sessions"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_administrator_sees_and_ends_sessions() {
    let test = published().await;
    let bob = add_member(&test, 71, "bob@example.com").await;
    let (mut first, mut second) = (Browser::new(&test), Browser::at(&test, "198.51.100.7:99"));
    first.try_sign_in("bob@example.com", PASSWORD).await;
    test.clock.advance_ms(1000);
    second.try_sign_in("bob@example.com", PASSWORD).await;
    let mut owner = Browser::new(&test);
    test.clock.advance_ms(1000);
    owner.sign_in().await;
    let all = listed(&test, "").await;
    assert_eq!(all.len(), 3);
    assert_eq!(
        all[0]["user"],
        test.made.user.to_string(),
        "the newest sign-in first"
    );
    assert_eq!(all[1]["address"], "198.51.100.7");
    assert_eq!(all[1]["user_email"], "bob@example.com");
    let page = test.admin(Method::GET, &format!("{PATH}?limit=2"), None).await;
    let cursor = page.text("next_cursor");
    assert_eq!(
        listed(&test, &format!("?limit=2&cursor={cursor}")).await,
        all[2..]
    );
    assert_eq!(listed(&test, &format!("?user={bob}")).await, all[1..]);

    let one = all[1]["id"].as_str().expect("an id").to_owned();
    let receipt = test.admin(Method::DELETE, &format!("{PATH}/{one}"), None).await;
    assert_eq!(receipt.status, 200, "{receipt:?}");
    assert_eq!(receipt.body["revoked"]["sessions"], 1);
    assert!(receipt.body["effective_at"].is_string());
    assert!(!second.is_signed_in().await && first.is_signed_in().await);
    let again = test.admin(Method::DELETE, &format!("{PATH}/{one}"), None).await;
    assert_eq!(again.body, receipt.body);

    let ended = test
        .admin(Method::DELETE, &format!("{PATH}?user={bob}"), None)
        .await;
    assert_eq!(
        (ended.status.as_u16(), &ended.body["ended"]),
        (200, &json!(1)),
        "{ended:?}"
    );
    assert!(ended.body["effective_at"].is_string());
    assert!(!first.is_signed_in().await && owner.is_signed_in().await);
    let none = test
        .admin(Method::DELETE, &format!("{PATH}?user={bob}"), None)
        .await;
    assert_eq!(none.body["ended"], 0);
    for (query, expected) in [
        ("", (400, "missing_field")),
        ("?user=usr_000000999", (404, "not_found")),
        ("/ses_000000999", (404, "not_found")),
    ] {
        let answer = test.admin(Method::DELETE, &format!("{PATH}{query}"), None).await;
        assert_eq!(answer.outcome(), expected, "{query}");
    }
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    let told: Vec<Vec<u8>> = sqlx::query_scalar("SELECT entry FROM outbox")
        .fetch_all(&mut **sqlite)
        .await
        .expect("rows");
    let dead = told
        .iter()
        .filter_map(|entry| Entry::read(&mut Reader::new(entry)).ok())
        .filter(|entry| matches!(entry, Entry::NotBefore(Subject::Session(_), _)));
    assert_eq!(dead.count(), 2, "the edge was told of both");
}

#[tokio::test]
async fn only_this_organisations_sessions_are_seen() {
    let test = published().await;
    let bob = add_member(&test, 71, "bob@example.com").await;
    let other = crate::people::tests::add_org(&test, 9, "Other", bob).await;
    let (mut here, mut there) = (Browser::new(&test), Browser::new(&test));
    here.try_sign_in("bob@example.com", PASSWORD).await;
    there.try_sign_in("bob@example.com", PASSWORD).await;
    there.get("/account").await;
    let moved = there.post("/account/org", &[("org", &other.to_string())]).await;
    assert_eq!(moved.status, 303, "{}", moved.raw);
    let seen = listed(&test, &format!("?user={bob}")).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let elsewhere = tx.sessions_of_member(other, bob).await.expect("listed");
    drop(tx);
    let path = format!("{PATH}/{}", elsewhere[0]);
    assert_eq!(
        test.admin(Method::DELETE, &path, None).await.outcome(),
        (404, "not_found")
    );
    let ended = test
        .admin(Method::DELETE, &format!("{PATH}?user={bob}"), None)
        .await;
    assert_eq!(ended.body["ended"], 1);
    assert!(!here.is_signed_in().await && there.is_signed_in().await);
}

#[tokio::test]
async fn an_owners_sessions_are_ended_by_owners() {
    let test = published().await;
    let owner = test.made.user;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let (_, key) = member(&test, 71, Role::Admin).await;
    let one = listed(&test, "").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for path in [format!("{PATH}/{one}"), format!("{PATH}?user={owner}")] {
        let answer = test.call(Method::DELETE, &path, &key, None).await;
        assert_eq!(answer.outcome(), (403, "exceeds_caller"), "{path}");
    }
    assert!(browser.is_signed_in().await);
    let (_, reader) = member(&test, 72, Role::Member).await;
    for method in [Method::GET, Method::DELETE] {
        let answer = test.call(method, PATH, &reader, None).await;
        assert_eq!(answer.outcome(), (403, "insufficient_scope"));
    }
}

#[tokio::test]
async fn the_pages_end_one_and_all_of_somebody() {
    let test = published().await;
    let bob = add_member(&test, 71, "bob@example.com").await;
    let mut theirs = Browser::new(&test);
    theirs.try_sign_in("bob@example.com", PASSWORD).await;
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let list = admin.get("/dashboard/sessions").await.raw;
    assert!(
        list.contains("bob@example.com") && list.contains("this browser"),
        "{list}"
    );
    let path = list
        .split("action=\"/dashboard/sessions/ses_")
        .skip(1)
        .find_map(|rest| {
            rest.split('"')
                .next()
                .filter(|_| rest.contains("bob@example.com"))
        });
    assert!(path.is_some() || list.contains("/dashboard/sessions/ses_"));
    let of_bob = format!("/dashboard/sessions?user={bob}");
    let list = admin.get(&of_bob).await.raw;
    let id = list.split("/dashboard/sessions/ses_").nth(1).expect("a button");
    let end = format!(
        "/dashboard/sessions/ses_{}",
        id.split('"').next().expect("an end")
    );
    assert_eq!(admin.post(&end, &[("user", &bob.to_string())]).await.status, 303);
    assert!(!theirs.is_signed_in().await);
    theirs.try_sign_in("bob@example.com", PASSWORD).await;
    let all = format!("/dashboard/sessions/end-all?user={bob}");
    assert!(admin.get(&all).await.raw.contains("Their API keys go on"));
    let done = admin
        .post("/dashboard/sessions/end-all", &[("user", &bob.to_string())])
        .await;
    assert_eq!(done.status, 303, "{}", done.raw);
    assert!(!theirs.is_signed_in().await);
    assert!(admin.get(&of_bob).await.raw.contains("1 session of"));
    let mut viewer = somebody(&test, 81, Role::Viewer).await;
    assert_eq!(viewer.get("/dashboard/sessions").await.status, 403);
}
