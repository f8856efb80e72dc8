//! Workspaces through the real router: made, renamed, archived with their keys, taken out again.

use axum::http::Method;
use serde_json::{Value, json};
use shared::feed::{Entry, Subject};

use crate::dashboard::tests::somebody;
use crate::oauth::tests::support::published;
use crate::sessions::tests::location;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, member};

const PATH: &str = "/v1/workspaces";

async fn call(test: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    test.admin(method, &format!("{PATH}{path}"), body).await
}

async fn made(test: &TestApp, name: &str) -> String {
    let answer = call(test, Method::POST, "", Some(json!({"name": name}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.text("id")
}

async fn works(test: &TestApp, key: &str) -> bool {
    test.call(Method::GET, "/v1/auth/keys", key, None).await.status != 401
}

#[tokio::test]
async fn a_workspace_is_archived_with_its_keys_and_taken_out_again() {
    let test = published().await;
    let id = made(&test, "Staging").await;
    let taken = call(&test, Method::POST, "", Some(json!({"name": "Staging"}))).await;
    assert_eq!(taken.outcome(), (409, "name_taken"));
    for name in ["", "all", "a\u{200b}b"] {
        let answer = call(&test, Method::POST, "", Some(json!({"name": name}))).await;
        assert_eq!(answer.outcome(), (400, "invalid_field"), "{name:?}");
    }
    let renamed = call(
        &test,
        Method::PATCH,
        &format!("/{id}"),
        Some(json!({"name": "Stage"})),
    )
    .await;
    assert_eq!(renamed.text("name"), "Stage");
    let narrow = json!({"name": "narrow", "scope": "admin", "workspace": id});
    let (narrow_id, narrow) = test.create_key(narrow).await;
    let (_, wide) = test.create_key(json!({"name": "wide", "scope": "read"})).await;
    let shown = call(&test, Method::GET, &format!("/{id}"), None).await;
    assert_eq!(
        (&shown.body["keys_in_use"], &shown.body["keys_in_use_is_minimum"]),
        (&json!(1), &json!(false))
    );

    let archived = call(&test, Method::POST, &format!("/{id}/archive"), None).await;
    assert_eq!(archived.status, 200, "{archived:?}");
    assert_eq!(archived.body["revoked"]["keys"], 1);
    assert!(archived.body["archived_at"].is_string() && archived.body["effective_at"].is_string());
    assert!(!works(&test, &narrow).await && works(&test, &wide).await);
    let key = test
        .admin(Method::GET, &format!("/v1/auth/keys/{narrow_id}"), None)
        .await;
    assert_eq!(key.text("revoked_reason"), "cessation_of_operation");
    assert_eq!(told(&test, &id).await, 1, "one entry kills them all");
    let again = call(&test, Method::POST, &format!("/{id}/archive"), None).await;
    assert_eq!(again.text("revocation"), archived.text("revocation"));
    assert_eq!(told(&test, &id).await, 1);
    let body = json!({"name": "late", "scope": "read", "workspace": id});
    let refused = test
        .admin(Method::POST, "/v1/auth/keys", Some(body.clone()))
        .await;
    assert_eq!(refused.outcome(), (400, "invalid_field"));
    let names = async |archived: bool| {
        let page = call(&test, Method::GET, &format!("?archived={archived}"), None).await;
        let all = page.body["workspaces"].as_array().expect("a list").clone();
        all.iter()
            .map(|one| one["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(true).await, ["Stage"]);
    assert!(!names(false).await.contains(&"Stage".to_owned()));

    let restored = call(&test, Method::POST, &format!("/{id}/restore"), None).await;
    assert_eq!(restored.body["archived_at"], Value::Null);
    assert!(!works(&test, &narrow).await, "what was ended stays dead");
    let (_, fresh) = test.create_key(body).await;
    assert!(works(&test, &fresh).await, "and what is new is dated after it");
    // Archived again: what was issued since ends too, under another receipt.
    let second = call(&test, Method::POST, &format!("/{id}/archive"), None).await;
    assert_ne!(second.text("revocation"), archived.text("revocation"));
    assert!(!works(&test, &fresh).await);
}

/// The second call once kept the database to itself while it waited for somebody who writes.
#[tokio::test]
async fn a_second_archiving_waits_for_the_receipt_of_the_first() {
    let test = published().await;
    let id = made(&test, "Staging").await;
    let first = call(&test, Method::POST, &format!("/{id}/archive?wait=none"), None).await;
    assert_eq!(first.status, 200, "{first:?}");
    let second = call(
        &test,
        Method::POST,
        &format!("/{id}/archive?wait=effective"),
        None,
    )
    .await;
    assert_eq!(second.status, 200, "{second:?}");
    assert!(second.body["effective_at"].is_string(), "{second:?}");
    assert_eq!(second.text("revocation"), first.text("revocation"));
}

/// How often the edge was told that a workspace's keys are dead.
async fn told(test: &TestApp, id: &str) -> usize {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT entry FROM outbox ORDER BY id")
        .fetch_all(&mut **sqlite)
        .await
        .expect("rows");
    let entries = rows
        .iter()
        .map(|row| Entry::read(&mut shared::wire::Reader::new(row)).expect("an entry"));
    entries
        .filter(
            |entry| matches!(entry, Entry::NotBefore(Subject::Workspace(who), _) if who.to_string() == id),
        )
        .count()
}

#[tokio::test]
async fn a_key_for_one_workspace_sees_that_one_and_changes_none() {
    let test = published().await;
    let (own, other) = (made(&test, "own").await, made(&test, "other").await);
    let body = json!({"name": "narrow", "scope": "admin", "workspace": own});
    let (_, key) = test.create_key(body).await;
    let page = test.call(Method::GET, PATH, &key, None).await;
    let all = page.body["workspaces"].as_array().expect("a list");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["id"], own);
    let path = format!("{PATH}/{other}");
    assert_eq!(
        test.call(Method::GET, &path, &key, None).await.outcome(),
        (404, "not_found")
    );
    let name = Some(json!({"name": "x"}));
    for (method, path, body) in [
        (Method::POST, PATH.to_owned(), name.clone()),
        (Method::PATCH, format!("{PATH}/{own}"), name),
        (Method::POST, format!("{PATH}/{own}/archive"), None),
        (Method::POST, format!("{PATH}/{own}/restore"), None),
    ] {
        let answer = test.call(method, &path, &key, body).await;
        assert_eq!(answer.outcome(), (403, "exceeds_caller"), "{path}");
    }
    for id in ["ws_000000999", "nonsense"] {
        let answer = call(&test, Method::POST, &format!("/{id}/archive"), None).await;
        assert_eq!(answer.outcome(), (404, "not_found"));
    }
    let (_, reader) = member(&test, 71, Role::Member).await;
    let answer = test.call(Method::GET, PATH, &reader, None).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
}

#[tokio::test]
async fn the_pages_make_rename_and_archive() {
    let test = published().await;
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let list = "/dashboard/workspaces";
    let answer = admin.post(list, &[("name", "Lab")]).await;
    assert_eq!(answer.status, 303, "{}", answer.raw);
    let page = location(&answer).to_owned();
    assert!(admin.get(&page).await.raw.contains("The workspace Lab was made"));
    let answer = admin.post(list, &[("name", "Lab")]).await;
    assert_eq!(answer.status, 422);
    assert!(answer.raw.contains("has this name"), "{}", answer.raw);
    let answer = admin.post(&format!("{page}/rename"), &[("name", "Labs")]).await;
    assert_eq!(answer.status, 303);
    let archive = format!("{page}/archive");
    let asked = admin.get(&archive).await.raw;
    assert!(asked.contains("<strong>Labs</strong>"), "{asked}");
    let mistyped = admin.post(&archive, &[("confirm", "Lab")]).await;
    assert_eq!(mistyped.status, 422);
    let answer = admin.post(&archive, &[("confirm", "Labs")]).await;
    assert_eq!(answer.status, 303, "{}", answer.raw);
    let shown = admin.get(&page).await.raw;
    assert!(shown.contains("Labs is archived, and 0 keys ended"), "{shown}");
    assert!(
        admin
            .get(&format!("{list}?show=archived"))
            .await
            .raw
            .contains("Labs")
    );
    let answer = admin.post(&format!("{page}/restore"), &[]).await;
    assert_eq!(answer.status, 303);
    let mut viewer = somebody(&test, 81, Role::Viewer).await;
    let shown = viewer.get(list).await;
    assert!(shown.status == 200 && shown.raw.contains("Labs") && !shown.raw.contains("Add workspace"));
}
