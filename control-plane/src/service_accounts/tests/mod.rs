//! Service accounts through the real router: their keys are members' keys, and nobody ever signs in as one.

use axum::http::Method;
use serde_json::{Value, json};

use crate::dashboard::tests::somebody;
use crate::mail::tests::{waiting, with_mail};
use crate::oauth::tests::support::{published, published_with};
use crate::sessions::tests::{Browser, PASSWORD, location};
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, member};

const PATH: &str = "/v1/service-accounts";

async fn call(test: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    test.admin(method, &format!("{PATH}{path}"), body).await
}

async fn made(test: &TestApp, name: &str, role: &str) -> String {
    let answer = call(test, Method::POST, "", Some(json!({"name": name, "role": role}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        (&answer.body["kind"], &answer.body["email"]),
        (&json!("service"), &Value::Null)
    );
    answer.text("user")
}

#[tokio::test]
async fn a_service_account_lives_and_ends_as_members_do() {
    let test = published().await;
    let id = made(&test, "nightly", "admin").await;
    let key = json!({"name": "its key", "scope": "admin", "user": id});
    let (key_id, key) = test.create_key(key).await;
    let list = async || test.call(Method::GET, "/v1/auth/keys", &key, None).await;
    assert_eq!(list().await.status, 200);

    let path = format!("/{id}");
    let demoted = call(&test, Method::PATCH, &path, Some(json!({"role": "member"}))).await;
    assert_eq!(demoted.status, 200, "{demoted:?}");
    assert!(demoted.body["effective_at"].is_string());
    assert_eq!(
        list().await.outcome(),
        (403, "insufficient_scope"),
        "its key follows"
    );
    let suspended = call(&test, Method::POST, &format!("{path}/suspend"), None).await;
    assert_eq!(suspended.text("state"), "suspended");
    assert_eq!(list().await.outcome(), (401, "invalid_token"));
    assert_eq!(
        call(&test, Method::POST, &format!("{path}/resume"), None)
            .await
            .text("state"),
        "active"
    );
    assert_eq!(list().await.outcome(), (403, "insufficient_scope"));
    let ended = call(&test, Method::POST, &format!("{path}/deactivate"), None).await;
    assert_eq!(ended.text("state"), "deactivated");
    let dead = test
        .admin(Method::GET, &format!("/v1/auth/keys/{key_id}"), None)
        .await;
    assert_eq!(dead.text("status"), "revoked");

    let renamed = call(&test, Method::PATCH, &path, Some(json!({"name": "hourly"}))).await;
    assert_eq!(renamed.text("name"), "hourly");
    let found = call(&test, Method::GET, "?search=hour&state=deactivated", None).await;
    assert_eq!(found.body["service_accounts"][0]["user"], id);
    let people = test.admin(Method::GET, "/v1/memberships", None).await.body;
    assert!(!people.to_string().contains(&id), "not among the people");
    let programs = test
        .admin(Method::GET, "/v1/memberships?kind=service", None)
        .await
        .body;
    assert!(programs.to_string().contains(&id), "but a member");
}

#[tokio::test]
async fn it_is_never_an_owner_and_never_a_person() {
    let test = published().await;
    let id = made(&test, "robot", "viewer").await;
    for (path, body) in [
        (format!("{PATH}/{id}"), json!({"role": "owner"})),
        (format!("/v1/memberships/{id}"), json!({"role": "owner"})),
    ] {
        let answer = test.admin(Method::PATCH, &path, Some(body)).await;
        assert_eq!(answer.outcome(), (400, "invalid_field"), "{path}");
    }
    let owner = json!({"name": "boss", "role": "owner"});
    assert_eq!(
        call(&test, Method::POST, "", Some(owner)).await.outcome(),
        (400, "invalid_field")
    );
    let both = json!({"name": "a", "role": "viewer"});
    assert_eq!(
        call(&test, Method::PATCH, &format!("/{id}"), Some(both))
            .await
            .outcome(),
        (400, "missing_field")
    );
    // A person is not found here, and a member changes nothing.
    let (bob, reader) = member(&test, 71, Role::Member).await;
    for (method, path) in [
        (Method::GET, format!("/{bob}")),
        (Method::POST, format!("/{bob}/deactivate")),
    ] {
        assert_eq!(
            call(&test, method, &path, None).await.outcome(),
            (404, "not_found")
        );
    }
    let name = Some(json!({"name": "x"}));
    let answer = call(&test, Method::PATCH, &format!("/{bob}"), name).await;
    assert_eq!(answer.outcome(), (404, "not_found"));
    let answer = test.call(Method::GET, PATH, &reader, None).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
}

/// Every door that starts from an address, with the id that stands where others have one.
#[tokio::test]
async fn nobody_signs_in_as_one() {
    let test = published_with(with_mail).await;
    let id = made(&test, "robot", "admin").await;
    let mut browser = Browser::new(&test);
    let answer = browser.try_sign_in(&id, PASSWORD).await;
    assert_ne!(answer.status, 303, "{}", answer.raw);
    assert!(!browser.is_signed_in().await);
    let letters = waiting(&test).await.len();
    browser.get("/password/forgot").await;
    browser.post("/password/forgot", &[("email", &id)]).await;
    let sent = waiting(&test).await;
    assert!(
        sent.iter()
            .skip(letters)
            .all(|letter| letter.to.as_deref() != Some(&id)),
        "{sent:?}"
    );
    let invited = json!({"email": id, "role": "viewer"});
    let answer = test.admin(Method::POST, "/v1/invitations", Some(invited)).await;
    assert_eq!(answer.outcome(), (400, "invalid_field"));
    let answer = test
        .admin(Method::GET, &format!("/v1/memberships/{id}/sign-in"), None)
        .await;
    assert_eq!(answer.outcome(), (404, "not_found"));
}

/// A program with an admin key does what admins do: it is named in letters by its organisation.
#[tokio::test]
async fn it_may_invite_people() {
    let test = published_with(with_mail).await;
    let id = made(&test, "robot", "admin").await;
    let (_, key) = test
        .create_key(json!({"name": "k", "scope": "admin", "user": id}))
        .await;
    let body = json!({"email": "carol@example.com", "role": "viewer"});
    let answer = test.call(Method::POST, "/v1/invitations", &key, Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let letter = crate::mail::tests::last_to(&test, "carol@example.com").await;
    assert!(!letter.text.contains(&id), "{}", letter.text);
}

#[tokio::test]
async fn the_pages_make_rename_and_end_one() {
    let test = published().await;
    let mut admin = somebody(&test, 80, Role::Admin).await;
    assert_eq!(admin.get("/dashboard/service-accounts/new").await.status, 200);
    let answer = admin
        .post(
            "/dashboard/service-accounts/new",
            &[("name", "nightly"), ("role", "owner")],
        )
        .await;
    assert_eq!(answer.status, 422, "{}", answer.raw);
    let answer = admin
        .post(
            "/dashboard/service-accounts/new",
            &[("name", "nightly"), ("role", "member")],
        )
        .await;
    assert_eq!(answer.status, 303, "{}", answer.raw);
    let page = location(&answer).to_owned();
    let shown = admin.get(&page).await.raw;
    assert!(
        shown.contains("nightly") && shown.contains("It has no key yet"),
        "{shown}"
    );
    let id = page.rsplit('/').next().expect("an id");
    let as_person = format!("/dashboard/people/{id}");
    assert_eq!(admin.get(&as_person).await.status, 404, "a program is no person");
    admin.get(&page).await;
    let answer = admin.post(&format!("{page}/rename"), &[("name", "hourly")]).await;
    assert_eq!(answer.status, 303);
    for (action, field, expected) in [
        ("role", ("role", "viewer"), "a viewer now"),
        ("suspend", ("x", ""), "is suspended"),
        ("resume", ("x", ""), "may go on"),
    ] {
        let answer = admin.post(&format!("{page}/{action}"), &[field]).await;
        assert_eq!(answer.status, 303, "{action} {}", answer.raw);
        let shown = admin.get(&page).await.raw;
        assert!(
            shown.contains(expected) && shown.contains("in force everywhere"),
            "{shown}"
        );
    }
    let end = format!("{page}/deactivate");
    let asked = admin.get(&end).await.raw;
    assert!(asked.contains("<strong>hourly</strong>"), "{asked}");
    assert_eq!(admin.post(&end, &[("confirm", "nightly")]).await.status, 422);
    assert_eq!(admin.post(&end, &[("confirm", "hourly")]).await.status, 303);
    assert!(admin.get(&page).await.raw.contains("deactivated"));
}
