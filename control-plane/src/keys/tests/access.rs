//! Who is let in, and how far.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use shared::key;

use super::{KEYS, read_key};
use crate::store::orgs::Role;
use crate::testing::TestApp;

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let test = TestApp::start().await;
    assert_eq!(
        test.admin(Method::GET, "/v1/nothing", None).await.outcome(),
        (404, "not_found")
    );
    let answer = test.admin(Method::PUT, KEYS, None).await;
    assert_eq!(answer.outcome(), (405, "method_not_allowed"));
    assert!(answer.headers.contains_key("allow"));
}

#[tokio::test]
async fn only_a_valid_admin_key_is_let_in() {
    let test = TestApp::start().await;
    let (_, reader) = test.create_key(read_key("reader")).await;
    let list = async |key: &str| test.call(Method::GET, KEYS, key, None).await;

    let answer = list(&reader).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
    let challenge = answer.headers["www-authenticate"]
        .to_str()
        .expect("plain")
        .to_owned();
    assert!(
        challenge.contains("error=\"insufficient_scope\", scope=\"admin\""),
        "{challenge}"
    );

    let none = test
        .send(Request::get(KEYS).body(Body::empty()).expect("a request"))
        .await;
    assert_eq!(none.outcome(), (401, "credentials_missing"));
    assert_eq!(none.headers["www-authenticate"], "Bearer realm=\"portcullis\"");

    let twice = Request::get(KEYS)
        .header("authorization", format!("Bearer {}", test.made.admin_key))
        .header("authorization", format!("Bearer {}", test.made.admin_key))
        .body(Body::empty());
    assert_eq!(
        test.send(twice.expect("a request")).await.outcome(),
        (400, "several_credentials")
    );

    let admin = &test.made.admin_key;
    let mut tampered = admin.clone();
    tampered.replace_range(20..21, if &admin[20..21] == "a" { "b" } else { "a" });
    for wrong in ["", "x", &admin[..admin.len() - 1], &tampered, "a.b.c"] {
        let answer = list(wrong).await;
        assert_eq!(answer.outcome(), (401, "invalid_token"), "{wrong}");
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .expect("plain")
                .contains("invalid_token")
        );
    }
    assert_eq!(list(admin).await.status, StatusCode::OK);
}

/// A statement that a stolen signing key signed under a known index does not pass: the row must say the same.
#[tokio::test]
async fn a_forged_statement_under_a_known_index_is_refused() {
    let test = TestApp::start().await;
    let (id, plain) = test.create_key(read_key("reader")).await;
    let parsed = key::parse(&plain).expect("a key");
    let mut statement = parsed.statement.clone();
    statement.scopes = test.app.catalogue().parse(["admin"]).expect("known");
    let signer = test
        .app
        .keyring
        .known(statement.signing_key)
        .expect("a signing key");
    let forged = key::build("pc", parsed.environment, &statement, |message| {
        signer.sign_ed25519(message)
    })
    .expect("a key");
    assert_eq!(
        test.call(Method::GET, KEYS, forged.expose(), None)
            .await
            .outcome(),
        (401, "invalid_token")
    );
    assert_eq!(
        test.call(Method::GET, &format!("{KEYS}/{id}"), &plain, None)
            .await
            .outcome(),
        (403, "insufficient_scope")
    );
}

#[tokio::test]
async fn another_brand_or_environment_is_refused() {
    let test = TestApp::start_with(|config| config.environments = vec![key::Environment::Live]).await;
    let answer = test
        .admin(
            Method::POST,
            KEYS,
            Some(json!({"name": "a", "scope": "read", "environment": "test"})),
        )
        .await;
    assert_eq!(
        (answer.outcome(), answer.body["field"].as_str()),
        ((400, "invalid_field"), Some("environment"))
    );
    let parsed = key::parse(&test.made.admin_key).expect("a key");
    let signer = test
        .app
        .keyring
        .known(parsed.statement.signing_key)
        .expect("a signing key");
    for (brand, environment) in [("px", key::Environment::Live), ("pc", key::Environment::Test)] {
        let other = key::build(brand, environment, &parsed.statement, |message| {
            signer.sign_ed25519(message)
        })
        .expect("a key");
        assert_eq!(
            test.call(Method::GET, KEYS, other.expose(), None).await.outcome(),
            (401, "invalid_token")
        );
    }
}

#[tokio::test]
async fn a_key_reaches_only_its_workspace_and_environment() {
    let test = TestApp::start().await;
    let (everywhere, _) = test.create_key(read_key("everywhere")).await;
    let admin_of = async |extra: (&str, Value)| {
        let mut body = json!({"name": "limited", "scope": "admin"});
        body[extra.0] = extra.1;
        test.create_key(body).await.1
    };
    let of_workspace = admin_of(("workspace", json!(test.made.workspace))).await;
    let of_test = admin_of(("environment", json!("test"))).await;
    for limited in [&of_workspace, &of_test] {
        let path = format!("{KEYS}/{everywhere}");
        for (method, path, body) in [
            (Method::GET, path.clone(), None),
            (Method::PATCH, path.clone(), Some(json!({"name": "x"}))),
            (Method::POST, format!("{path}/rotate"), None),
            (Method::DELETE, format!("{path}?wait=none"), None),
        ] {
            assert_eq!(
                test.call(method.clone(), &path, limited, body).await.outcome(),
                (404, "not_found"),
                "{method}"
            );
        }
        let listed = test.call(Method::GET, KEYS, limited, None).await;
        let names: Vec<_> = listed.body["keys"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|key| key["name"].clone())
            .collect();
        assert_eq!(names, ["limited"]);
    }
}

#[tokio::test]
async fn a_member_is_capped_by_its_role() {
    let test = TestApp::start().await;
    let mut tx = test.app.store.begin().await.expect("tx");
    assert!(
        tx.set_role(test.made.org, test.made.user, Role::Member, 1)
            .await
            .expect("a role")
    );
    tx.commit().await.expect("commit");
    // The key still says admin; its user is not one any more.
    assert_eq!(
        test.admin(Method::GET, KEYS, None).await.outcome(),
        (403, "insufficient_scope")
    );
}

#[tokio::test]
async fn not_before_kills_what_was_issued_and_nothing_later() {
    let test = TestApp::start().await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let now = test.app.clock.now().seconds();
    let at = tx
        .set_member_not_before(test.made.org, test.made.user, now)
        .await
        .expect("a time");
    assert_eq!(at, Some(now));
    tx.commit().await.expect("commit");
    assert_eq!(
        test.admin(Method::GET, KEYS, None).await.outcome(),
        (401, "invalid_token")
    );
}

#[tokio::test]
async fn an_expired_key_is_dead() {
    let test = TestApp::start().await;
    let (id, plain) = test
        .create_key(json!({"name": "a", "scope": "admin", "expires_at": "2026-11-21T23:09:40Z"}))
        .await;
    assert_eq!(
        test.call(Method::GET, KEYS, &plain, None).await.status,
        StatusCode::OK
    );
    test.clock.advance_ms(60_000);
    assert_eq!(
        test.call(Method::GET, KEYS, &plain, None).await.outcome(),
        (401, "invalid_token")
    );
    assert_eq!(
        test.admin(Method::GET, &format!("{KEYS}/{id}"), None).await.body["status"],
        "expired"
    );
}
