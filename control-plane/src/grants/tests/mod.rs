//! Which app acts for whom, and taking it back: as an administrator, and as oneself.

use axum::http::Method;
use serde_json::{Value, json};

use crate::dashboard::tests::somebody;
use crate::oauth::tests::support::{Person, client_with, outcome, published};
use crate::sessions::tests::Browser;
use crate::store::orgs::Role;
use crate::testing::{TestApp, member};

const PATH: &str = "/v1/grants";

async fn listed(test: &TestApp, query: &str) -> Vec<Value> {
    let answer = test.admin(Method::GET, &format!("{PATH}{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["grants"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_administrator_sees_and_ends_grants() {
    let test = published().await;
    let (notes, other) = (client_with(&test, |_| {}).await, client_with(&test, |_| {}).await);
    let first = notes.sign_in(&test).await;
    test.clock.advance_ms(1000);
    other.sign_in(&test).await;
    let all = listed(&test, "").await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["client"], other.id.to_string(), "newest first");
    let page = test.admin(Method::GET, &format!("{PATH}?limit=1"), None).await;
    let cursor = page.text("next_cursor");
    assert_eq!(
        listed(&test, &format!("?limit=1&cursor={cursor}")).await[0],
        all[1]
    );
    assert_eq!(listed(&test, &format!("?client={}", notes.id)).await, all[1..]);
    assert_eq!(listed(&test, &format!("?user={}", test.made.user)).await, all);
    assert!(listed(&test, "?user=usr_000000999").await.is_empty());
    let id = all[1]["id"].as_str().expect("an id").to_owned();
    let path = format!("{PATH}/{id}");
    assert_eq!(test.admin(Method::GET, &path, None).await.body, all[1]);

    let receipt = test
        .admin(
            Method::DELETE,
            &format!("{path}?reason=privilege_withdrawn"),
            None,
        )
        .await;
    assert_eq!(receipt.status, 200, "{receipt:?}");
    assert_eq!(
        (receipt.text("id"), receipt.text("reason")),
        (id, "privilege_withdrawn".to_owned())
    );
    assert!(receipt.body["effective_at"].is_string());
    let again = test.admin(Method::DELETE, &path, None).await;
    assert_eq!(again.body, receipt.body);
    assert_eq!(
        outcome(&notes.refresh(&test, &first.text("refresh_token")).await),
        (400, "invalid_grant")
    );
    assert_eq!(listed(&test, "").await.len(), 1);
    let asked = Person::signed_in(&test).await.get(&notes.request(&[])).await;
    assert_eq!(asked.status, 200, "the app has to ask again: {}", asked.raw);
    assert!(asked.raw.contains("Notes"));
    for (query, code) in [
        ("limit=0", "invalid_field"),
        ("cursor=x", "invalid_cursor"),
        ("user=x", "invalid_field"),
    ] {
        let answer = test.admin(Method::GET, &format!("{PATH}?{query}"), None).await;
        assert_eq!(answer.outcome(), (400, code));
    }
    let (_, reader) = member(&test, 71, Role::Member).await;
    let answer = test.call(Method::GET, PATH, &reader, None).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
}

#[tokio::test]
async fn a_grant_of_another_organisation_is_not_there() {
    let test = published().await;
    let notes = client_with(&test, |new| new.org = None).await;
    let other = crate::people::tests::add_org(&test, 9, "Other", test.made.user).await;
    notes.sign_in(&test).await;
    let id = listed(&test, "").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // The same person in the other organisation: they see nothing of it there.
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.set_role(other, test.made.user, Role::Owner, 1)
        .await
        .expect("set");
    tx.commit().await.expect("commit");
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    browser.get("/account").await;
    let moved = browser.post("/account/org", &[("org", &other.to_string())]).await;
    assert_eq!(moved.status, 303, "{}", moved.raw);
    let page = browser.get("/dashboard/grants").await;
    assert!(
        page.status == 200 && page.raw.contains("No app acts for anybody"),
        "{}",
        page.raw
    );
    let revoke = format!("/dashboard/grants/{id}/revoke");
    assert_eq!(browser.get(&revoke).await.status, 404);
    assert_eq!(browser.post(&revoke, &[]).await.status, 404);
    assert!(
        browser
            .get("/account/apps")
            .await
            .raw
            .contains("No app acts for you")
    );
    assert_eq!(listed(&test, "").await.len(), 1);
}

#[tokio::test]
async fn the_page_ends_one_after_a_question() {
    let test = published().await;
    let notes = client_with(&test, |_| {}).await;
    let tokens = notes.sign_in(&test).await;
    let id = listed(&test, "").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let mut viewer = somebody(&test, 81, Role::Viewer).await;
    let shown = viewer.get("/dashboard/grants").await.raw;
    assert!(shown.contains("Notes") && !shown.contains("Revoke…"), "{shown}");
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let revoke = format!("/dashboard/grants/{id}/revoke");
    assert!(admin.get("/dashboard/grants").await.raw.contains(&revoke));
    assert!(admin.get(&revoke).await.raw.contains("has to ask"));
    assert_eq!(admin.post(&revoke, &[]).await.status, 303);
    let shown = admin.get("/dashboard/grants").await.raw;
    assert!(
        shown.contains("may do nothing") && shown.contains("in force everywhere"),
        "{shown}"
    );
    assert_eq!(
        outcome(&notes.refresh(&test, &tokens.text("refresh_token")).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn everybody_takes_back_what_is_their_own() {
    let test = published().await;
    let notes = client_with(&test, |_| {}).await;
    let (first, second) = (notes.sign_in(&test).await, notes.sign_in(&test).await);
    let mut owner = Browser::new(&test);
    owner.sign_in().await;
    let page = owner.get("/account/apps").await.raw;
    let path = format!("/account/apps/{}/revoke", notes.id);
    assert_eq!(
        page.matches(&path).count(),
        1,
        "one app, however many grants: {page}"
    );
    // Somebody else has no such app.
    let mut viewer = somebody(&test, 81, Role::Viewer).await;
    assert!(
        viewer
            .get("/account/apps")
            .await
            .raw
            .contains("No app acts for you")
    );
    assert_eq!(viewer.post(&path, &[]).await.status, 404);
    assert_eq!(owner.post(&path, &[]).await.status, 303);
    for tokens in [&first, &second] {
        let refused = notes.refresh(&test, &tokens.text("refresh_token")).await;
        assert_eq!(outcome(&refused), (400, "invalid_grant"));
    }
    assert!(
        owner
            .get("/account/apps")
            .await
            .raw
            .contains("No app acts for you")
    );
    assert_eq!(owner.post(&path, &[]).await.status, 404);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&notes.id.to_string(), 10).await.expect("rows");
    let row = trail.iter().find(|row| row.action == "consent.take_back");
    let detail: Value = serde_json::from_str(&row.expect("a row").detail).expect("JSON");
    assert_eq!(detail["grants"], json!(2));
}
