//! Creating keys: what comes out, what is refused, and replays.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use shared::key;

use super::{KEYS, read_key};
use crate::testing::TestApp;

#[tokio::test]
async fn a_new_key_says_what_was_asked_for() {
    let test = TestApp::start().await;
    let body = json!({
        "name": " CI ", "scopes": ["memory:read", "vault:manage"], "workspace": test.made.workspace,
        "environment": "test", "expires_at": "2027-01-01T00:00:00Z",
    });
    let answer = test.admin(Method::POST, KEYS, Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        answer.headers["location"],
        format!("{KEYS}/{}", answer.text("id")).as_str()
    );
    let plain = answer.text("key");
    let parsed = key::parse(&plain).expect("a key");
    assert_eq!(parsed.brand, "pc");
    assert_eq!(parsed.environment.as_str(), "test");
    assert_eq!(parsed.statement.workspace, Some(test.made.workspace));
    assert_eq!(
        test.app.catalogue().names(parsed.statement.scopes),
        ["memory:read", "vault:manage"]
    );
    assert_eq!(parsed.statement.expires_at.map(|at| at.0), Some(1_798_761_600));
    let public = test
        .app
        .keyring
        .api_key_verifier(parsed.statement.signing_key)
        .expect("a signing key");
    assert!(public.verify(&parsed.message, &parsed.signature));

    let shown = test
        .admin(Method::GET, &format!("{KEYS}/{}", answer.text("id")), None)
        .await;
    assert_eq!(shown.body["name"], "CI");
    assert_eq!(shown.body["status"], "active");
    assert_eq!(shown.body["expires_at"], "2027-01-01T00:00:00Z");
    assert_eq!(
        shown.body["masked"],
        format!("pc_test_…{}", &plain[plain.len() - 4..])
    );
    assert!(shown.body.get("key").is_none(), "a key is shown once");
}

/// I2: nothing in the database from which the key could be rebuilt.
#[tokio::test]
async fn no_text_of_a_key_is_stored() {
    let test = TestApp::start().await;
    let (_, plain) = test.create_key(read_key("a")).await;
    let folder = std::path::Path::new(test.app.config.database_url.trim_start_matches("sqlite://"))
        .parent()
        .expect("a folder");
    let contains =
        |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|window| window == needle);
    let parsed = key::parse(&plain).expect("a key");
    for file in std::fs::read_dir(folder).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("its bytes");
        for secret in [
            plain.as_bytes(),
            &plain.as_bytes()[8..60],
            &parsed.signature,
            &parsed.statement.nonce,
            test.made.admin_password.as_bytes(),
        ] {
            assert!(!contains(&bytes, secret));
        }
    }
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let test = TestApp::start().await;
    let cases = [
        (json!({"scope": "read"}), "missing_field", "name"),
        (json!({"name": "a"}), "missing_field", "scope"),
        (
            json!({"name": "a", "scope": "read", "scopes": ["memory:read"]}),
            "invalid_field",
            "scopes",
        ),
        (json!({"name": "a", "scope": "write"}), "invalid_field", "scope"),
        (json!({"name": "a", "scopes": []}), "invalid_field", "scopes"),
        (
            json!({"name": "a", "scopes": ["memory:fly"]}),
            "invalid_field",
            "scopes",
        ),
        (
            json!({"name": "a", "scope": "read", "environment": "prod"}),
            "invalid_field",
            "environment",
        ),
        (
            json!({"name": "a", "scope": "read", "workspace": "ws_1"}),
            "invalid_field",
            "workspace",
        ),
        (
            json!({"name": "a", "scope": "read", "workspace": "ws_000000001"}),
            "invalid_field",
            "workspace",
        ),
        (
            json!({"name": "a", "scope": "read", "user": "usr_000000001"}),
            "invalid_field",
            "user",
        ),
        (
            json!({"name": "a", "scope": "read", "expires_at": "tomorrow"}),
            "invalid_field",
            "expires_at",
        ),
        (
            json!({"name": "a", "scope": "read", "expires_at": "2026-11-21T23:08:40Z"}),
            "invalid_field",
            "expires_at",
        ),
        (
            json!({"name": "a", "scope": "read", "expires_at": 1_900_000_000}),
            "invalid_field",
            "expires_at",
        ),
        (json!({"name": "", "scope": "read"}), "invalid_field", "name"),
        (json!({"name": "a\nb", "scope": "read"}), "invalid_field", "name"),
        (
            json!({"name": "a\u{202e}b", "scope": "read"}),
            "invalid_field",
            "name",
        ),
        (
            json!({"name": "x".repeat(101), "scope": "read"}),
            "invalid_field",
            "name",
        ),
        (
            json!({"name": "a", "scope": "read", "scop": 1}),
            "unknown_field",
            "scop",
        ),
    ];
    for (body, code, field) in cases {
        let answer = test.admin(Method::POST, KEYS, Some(body.clone())).await;
        assert_eq!(
            (answer.outcome(), answer.body["field"].as_str()),
            ((400, code), Some(field)),
            "{body} {answer:?}"
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(
            answer.body["request_id"].as_str(),
            answer.headers["x-request-id"].to_str().ok()
        );
        for member in ["type", "title", "detail"] {
            assert!(!answer.text(member).is_empty(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn bodies_are_capped_and_json_only() {
    let test = TestApp::start().await;
    let request = |content_type: &str, body: String| {
        Request::post(KEYS)
            .header("authorization", format!("Bearer {}", test.made.admin_key))
            .header("content-type", content_type)
            .body(Body::from(body))
            .expect("a request")
    };
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(
        test.send(request("application/json", long)).await.outcome(),
        (413, "body_too_large")
    );
    let form = test
        .send(request("application/x-www-form-urlencoded", "name=a".to_owned()))
        .await;
    assert_eq!(form.outcome(), (415, "unsupported_media_type"));
    let twice = r#"{"name":"a","scope":"read","scope":"admin"}"#.to_owned();
    assert_eq!(
        test.send(request("application/json", twice)).await.outcome(),
        (400, "invalid_json")
    );
}

#[tokio::test]
async fn a_replayed_create_makes_nothing_new() {
    let test = TestApp::start().await;
    let send = async |key: &str, body: &str| {
        let request = Request::post(KEYS)
            .header("authorization", format!("Bearer {}", test.made.admin_key))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_owned()));
        test.send(request.expect("a request")).await
    };
    let first = send("one", r#"{"name":"a","scope":"read"}"#).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let replay = send("one", r#"{ "scope": "read", "name": "a" }"#).await;
    assert_eq!(replay.outcome(), (409, "already_created"));
    assert_eq!(replay.text("id"), first.text("id"));
    assert!(
        !replay.body.to_string().contains("pc_live_"),
        "a replay never shows the key"
    );
    assert_eq!(
        send("one", r#"{"name":"b","scope":"read"}"#).await.outcome(),
        (422, "idempotency_mismatch")
    );
    assert_eq!(
        send("two", r#"{"name":"a","scope":"read"}"#).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        send("", r#"{"name":"a","scope":"read"}"#).await.outcome(),
        (400, "invalid_field")
    );
    let listed = test.admin(Method::GET, KEYS, None).await;
    assert_eq!(listed.body["keys"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_caller_gives_no_more_than_it_has() {
    let test = TestApp::start().await;
    let make = |extra: Value| {
        let mut body = json!({"name": "limited", "scope": "admin"});
        body.as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        body
    };
    let try_with = async |key: &str, body: Value| {
        let answer = test.call(Method::POST, KEYS, key, Some(body)).await;
        (
            answer.status.as_u16(),
            answer.body["code"].as_str().unwrap_or_default().to_owned(),
            answer.body["field"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let exceeds = |field: &str| (403, "exceeds_caller".to_owned(), field.to_owned());

    let (_, of_workspace) = test
        .create_key(make(json!({"workspace": test.made.workspace})))
        .await;
    assert_eq!(
        try_with(&of_workspace, make(json!({"workspace": "all"}))).await,
        exceeds("workspace")
    );
    assert_eq!(try_with(&of_workspace, make(json!({}))).await.0, 201);

    let (_, of_test) = test.create_key(make(json!({"environment": "test"}))).await;
    assert_eq!(
        try_with(&of_test, make(json!({"environment": "live"}))).await,
        exceeds("environment")
    );
    assert_eq!(
        try_with(&of_test, make(json!({"environment": "dev"}))).await.0,
        201
    );

    let (_, ending) = test
        .create_key(make(json!({"expires_at": "2027-01-01T00:00:00Z"})))
        .await;
    assert_eq!(try_with(&ending, make(json!({}))).await, exceeds("expires_at"));
    assert_eq!(
        try_with(&ending, make(json!({"expires_at": "2027-01-01T00:00:01Z"}))).await,
        exceeds("expires_at")
    );
    assert_eq!(
        try_with(&ending, make(json!({"expires_at": "2027-01-01T00:00:00Z"})))
            .await
            .0,
        201
    );
}

/// A request that was let in cannot make a key after the revocation of its own.
#[tokio::test]
async fn a_caller_that_dies_on_the_way_gives_nothing_out() {
    use crate::http::auth::{Caller, Credential};
    let test = TestApp::start().await;
    let (id, _) = test.create_key(json!({"name": "a", "scope": "admin"})).await;
    let id: shared::id::KeyId = id.parse().expect("an id");
    let mut caller = Caller {
        credential: Credential::ApiKey(id),
        ..crate::testing::caller(&test, test.made.org, test.made.user).await
    };
    let new = crate::keys::NewKey {
        name: "b".to_owned(),
        scopes: test.app.catalogue().parse(["memory:read"]).expect("known"),
        workspace: None,
        environment: key::Environment::Live,
        expires_at: None,
        user: None,
    };
    assert!(
        crate::keys::create(&test.app, &caller, new.clone(), None)
            .await
            .is_ok()
    );
    caller.membership_version = 2;
    let changed = crate::keys::create(&test.app, &caller, new.clone(), None)
        .await
        .expect_err("rights changed");
    assert_eq!(changed.code().as_str(), "rights_changed");
    caller.membership_version = 1;
    test.admin(Method::DELETE, &format!("{KEYS}/{id}?wait=none"), None)
        .await;
    let dead = crate::keys::create(&test.app, &caller, new, None)
        .await
        .expect_err("revoked");
    assert_eq!(dead.code().as_str(), "invalid_token");
    let dead = crate::keys::rotate_itself(
        &test.app,
        &caller,
        crate::keys::Rotation {
            overlap_seconds: None,
            wait: crate::revocation::Wait::default(),
        },
        None,
    )
    .await;
    assert_eq!(dead.expect_err("revoked").code().as_str(), "invalid_token");
}
