//! The life of a key, as an administrator leads it in a browser without JavaScript.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::dashboard::tests::somebody;
use crate::sessions::tests::location;
use crate::store::orgs::Role;
use crate::testing::TestApp;

const NEW: [(&str, &str); 6] = [
    ("name", "ci <deploy>"),
    ("preset", "read"),
    ("environment", "live"),
    ("workspace", "all"),
    ("lifetime", "90"),
    ("once", "abc"),
];

/// What stands between two texts of a page.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = page
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {page}"));
    rest.split_once(after).expect("an end").0
}

#[tokio::test]
async fn a_key_is_made_shown_once_used_renamed_rotated_and_revoked() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, Role::Admin).await;
    assert!(
        browser
            .get("/dashboard/keys/new")
            .await
            .raw
            .contains("Exactly these")
    );
    let made = browser.post("/dashboard/keys/new", &NEW).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.raw);
    let key = between(&made.raw, "readonly value=\"", "\"").to_owned();
    assert!(key.starts_with("pc_live_"), "{key}");
    let path = between(&made.raw, "<a class=\"button\" href=\"", "\"").to_owned();

    // It is a key like any other, acts for its maker, and its text is nowhere any more.
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let view = test
        .admin(Method::GET, &format!("/v1/auth/keys/{id}"), None)
        .await;
    assert_eq!(view.text("name"), "ci <deploy>");
    for page in [&path, "/dashboard/keys", "/dashboard/keys?q=CI", "/dashboard"] {
        let answer = browser.get(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}");
        assert!(!answer.raw.contains(&key), "{page} shows the key again");
        assert!(!answer.raw.contains("<deploy>"), "{page} does not escape");
    }
    assert!(
        browser
            .get("/dashboard/keys?q=deploy")
            .await
            .raw
            .contains("No key fits")
    );

    // The same form again makes no second key.
    let again = browser.post("/dashboard/keys/new", &NEW).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.raw.contains("was made already"), "{}", again.raw);

    let renamed = browser
        .post(&format!("{path}/rename"), &[("name", "deployer")])
        .await;
    assert_eq!(
        (renamed.status, location(&renamed)),
        (StatusCode::SEE_OTHER, path.as_str())
    );
    let page = browser.get(&path).await.raw;
    assert!(
        page.contains("The key is called “deployer” now."),
        "the sentence after a form"
    );
    assert!(
        !browser.get(&path).await.raw.contains("is called “deployer” now"),
        "it is said once"
    );

    let rotated = browser
        .post(&format!("{path}/rotate"), &[("overlap", "3600")])
        .await;
    assert!(rotated.raw.contains("The old key works until"), "{}", rotated.raw);
    assert!(
        browser
            .get(&path)
            .await
            .raw
            .contains("Nobody has used this one since.")
    );

    let mistyped = browser
        .post(
            &format!("{path}/revoke"),
            &[("confirm", "x"), ("reason", "superseded")],
        )
        .await;
    assert_eq!(mistyped.status, StatusCode::UNPROCESSABLE_ENTITY);
    let view = test
        .admin(Method::GET, &format!("/v1/auth/keys/{id}"), None)
        .await;
    assert_eq!(view.text("status"), "rotating", "nothing was changed");
    let revoked = browser
        .post(
            &format!("{path}/revoke"),
            &[("confirm", "deployer"), ("reason", "superseded")],
        )
        .await;
    assert_eq!(revoked.status, StatusCode::SEE_OTHER, "{}", revoked.raw);
    let view = test
        .admin(Method::GET, &format!("/v1/auth/keys/{id}"), None)
        .await;
    assert_eq!(
        (view.text("status"), view.text("revoked_reason")),
        ("revoked".into(), "superseded".into())
    );
    assert!(browser.get(&path).await.raw.contains("id=\"receipt\""));
    assert_eq!(
        browser.get(&format!("{path}/receipt")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_form_that_is_refused_keeps_what_was_typed() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, Role::Admin).await;
    for (field, value, sentence) in [
        ("name", "", "A name has 1 to"),
        ("lifetime", "0", "Expires at: choose how long"),
        ("preset", "scopes", "Scopes: a key needs at least one scope"),
        ("environment", "moon", "Environment: choose one"),
        ("workspace", "ws_000000999", "no such workspace"),
    ] {
        let mut fields: Vec<_> = NEW.into_iter().filter(|(name, _)| *name != field).collect();
        fields.push((field, value));
        let answer = browser.post("/dashboard/keys/new", &fields).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{field}: {}",
            answer.raw
        );
        assert!(answer.raw.contains(sentence), "{field}: {}", answer.raw);
        assert!(
            field == "name" || answer.raw.contains("ci &#60;deploy&#62;"),
            "{field}"
        );
    }
    assert!(
        browser
            .get("/dashboard/keys?q=ci")
            .await
            .raw
            .contains("No key fits"),
        "nothing was made"
    );
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let test = TestApp::start().await;
    for n in 0..60 {
        test.create_key(json!({"name": format!("key {n:02}"), "scope": "read"}))
            .await;
    }
    let mut browser = somebody(&test, 100, Role::Viewer).await;
    for first in ["/dashboard/keys", "/dashboard/keys?q=key&environment=live"] {
        let mut path = first.to_owned();
        let mut names = Vec::new();
        loop {
            let page = browser.get(&path).await.raw;
            assert!(!page.contains("New key"), "a viewer is offered nothing to change");
            names.extend(
                page.split("<th scope=\"row\">")
                    .skip(1)
                    .map(|cell| between(cell, "\">", "</a>").to_owned()),
            );
            let Some((before, _)) = page.split_once("\" rel=\"next\"") else {
                break;
            };
            path = before.rsplit('"').next().expect("a link").replace("&#38;", "&");
        }
        names.retain(|name| name.starts_with("key "));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (60, 60), "{first}");
    }
}

#[tokio::test]
async fn keys_of_another_organisation_do_not_exist() {
    let test = TestApp::start().await;
    let (id, _) = test.create_key(json!({"name": "theirs", "scope": "read"})).await;
    let mut browser = crate::dashboard::tests::stranger(&test, 200).await;
    for path in ["", "/rotate", "/revoke", "/receipt"] {
        let answer = browser.get(&format!("/dashboard/keys/{id}{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        let unknown = browser.get(&format!("/dashboard/keys/key_000000001{path}")).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{path}");
    }
    for (path, fields) in [
        ("rename", ("name", "x")),
        ("rotate", ("overlap", "0")),
        ("revoke", ("confirm", "theirs")),
    ] {
        let answer = browser
            .post(&format!("/dashboard/keys/{id}/{path}"), &[fields])
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.raw);
    }
    assert!(!browser.get("/dashboard/keys").await.raw.contains("theirs"));
}

#[tokio::test]
async fn a_member_has_keys_of_their_own_and_sees_no_others_there() {
    let test = TestApp::start().await;
    let (theirs, _) = test.create_key(json!({"name": "theirs", "scope": "read"})).await;
    let mut browser = somebody(&test, 100, Role::Member).await;
    assert!(browser.get("/account/keys").await.raw.contains("No keys yet"));
    let made = browser.post("/account/keys/new", &NEW).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.raw);
    let mut admin = NEW.to_vec();
    admin.retain(|(name, _)| *name != "preset" && *name != "once");
    admin.extend([("preset", "admin"), ("user", "usr_000000001")]);
    let refused = browser.post("/account/keys/new", &admin).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.raw.contains("scopes that the caller does not have"),
        "{}",
        refused.raw
    );

    let page = browser.get("/account/keys").await.raw;
    assert!(
        page.contains("ci &#60;deploy&#62;") && !page.contains("theirs"),
        "{page}"
    );
    let own = between(&made.raw, "<a class=\"button\" href=\"", "\"").to_owned();
    assert!(own.starts_with("/account/keys/key_"), "{own}");
    assert!(browser.get(&own).await.raw.contains("Another name"));
    for path in ["", "/rotate", "/revoke", "/receipt"] {
        assert_eq!(
            browser.get(&format!("/account/keys/{theirs}{path}")).await.status,
            StatusCode::NOT_FOUND
        );
    }
    for (path, field) in [
        ("rename", ("name", "x")),
        ("rotate", ("overlap", "0")),
        ("revoke", ("confirm", "theirs")),
    ] {
        let answer = browser
            .post(&format!("/account/keys/{theirs}/{path}"), &[field])
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let revoked = browser
        .post(&format!("{own}/revoke"), &[("confirm", "ci <deploy>")])
        .await;
    assert_eq!(location(&revoked), own, "{}", revoked.raw);
}
