//! `/v1/policy` through the real router.

use axum::http::Method;
use serde_json::{Value, json};

use super::{body, document, other_org, put, with_route};
use crate::revocation::frame_pending;
use crate::store::orgs::Role;
use crate::testing::{TestApp, member};

const PATH: &str = "/v1/policy";

async fn show(test: &TestApp) -> crate::testing::Answer {
    test.admin(Method::GET, PATH, None).await
}

fn tag(answer: &crate::testing::Answer) -> String {
    answer.headers["etag"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_change_is_applied_with_history_audit_and_outbox() {
    let test = TestApp::start().await;
    let first = show(&test).await;
    assert_eq!(
        (tag(&first).as_str(), &first.body["version"]),
        ("\"1\"", &json!(1))
    );
    assert_eq!(
        (&first.body["managed_by"], &first.body["editable"]),
        (&json!("database"), &json!(true))
    );
    while frame_pending(&test.app.store, &test.app.keyring, test.clock.now())
        .await
        .expect("framed")
        .is_some()
    {}
    let draft = with_route(&test, json!({"path": "/reports/**", "scopes": ["memory:read"]}));
    let applied = put(&test, &test.made.admin_key, Some("\"1\""), body(&draft)).await;
    assert_eq!(applied.status.as_u16(), 200, "{applied:?}");
    assert_eq!(tag(&applied), "\"2\"");
    assert_eq!(
        (&applied.body["version"], &applied.body["changed"]),
        (&json!(2), &json!(true))
    );
    let routes = &applied.body["changes"]["routes"];
    assert_eq!(
        (&routes[0]["change"], &routes[0]["is"]),
        (&json!("added"), &json!(0))
    );
    assert_eq!(applied.body["pending"], json!(["hub"]));

    // In force here at once, and on its way to the edges.
    let policy = test.app.policy();
    let (route, _) = policy.route("GET", "/reports/x").expect("the new route");
    assert_eq!(route.number, 0);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert_eq!(tx.pending_count().await.expect("counted"), 1);
    drop(tx);
    let now = show(&test).await;
    assert_eq!(now.body["policy"], draft);
    assert_eq!(now.body["reason"], "a test");
    assert_eq!(now.body["applied_by"], json!(test.made.user));
    let history = test.admin(Method::GET, "/v1/policy/history", None).await;
    let versions: Vec<_> = history.body["versions"]
        .as_array()
        .expect("versions")
        .iter()
        .map(|version| (version["version"].clone(), version["applied_by"].clone()))
        .collect();
    assert_eq!(
        versions,
        [(json!(2), json!(test.made.user)), (json!(1), json!("system"))]
    );
    let audited = audit(&test).await;
    assert!(
        audited.contains(&"policy.apply policy/2".to_owned()),
        "{audited:?}"
    );

    // The same again is no change.
    let again = put(&test, &test.made.admin_key, Some("\"2\""), body(&draft)).await;
    assert_eq!(
        (&again.body["version"], &again.body["changed"]),
        (&json!(2), &json!(false))
    );
}

async fn audit(test: &TestApp) -> Vec<String> {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let rows = tx.audit_of("policy/2", 10).await.expect("rows");
    rows.into_iter()
        .map(|row| format!("{} {}", row.action, row.target))
        .collect()
}

#[tokio::test]
async fn a_stale_writer_is_refused() {
    let test = TestApp::start().await;
    let key = test.made.admin_key.clone();
    let mine = with_route(&test, json!({"path": "/mine", "scopes": ["admin"]}));
    let theirs = with_route(&test, json!({"path": "/theirs", "scopes": ["admin"]}));
    assert_eq!(
        put(&test, &key, Some("\"1\""), body(&theirs))
            .await
            .status
            .as_u16(),
        200
    );
    let stale = put(&test, &key, Some("\"1\""), body(&mine)).await;
    assert_eq!(stale.outcome(), (412, "precondition_failed"));
    assert_eq!(stale.body["version"], 2);
    for (tag, expected) in [
        (None, (428, "precondition_required")),
        (Some("W/\"2\""), (412, "precondition_failed")),
        (Some("\"x\""), (412, "precondition_failed")),
    ] {
        let refused = put(&test, &key, tag, body(&mine)).await;
        assert_eq!(refused.outcome(), expected, "{tag:?}");
    }
    assert!(test.app.policy().route("GET", "/mine").is_none());
    assert_eq!(
        put(&test, &key, Some("*"), body(&mine)).await.status.as_u16(),
        200
    );
    let known = show(&test).await;
    let request = axum::http::Request::get(PATH)
        .header("authorization", format!("Bearer {key}"))
        .header("if-none-match", tag(&known))
        .body(axum::body::Body::empty());
    assert_eq!(test.send(request.expect("a request")).await.status.as_u16(), 304);
}

#[tokio::test]
async fn mistakes_are_listed_and_nothing_happens() {
    let test = TestApp::start().await;
    let mut draft = document(&test);
    draft["routes"][0]["path"] = json!("public");
    draft["routes"][1]["scopes"] = json!(["nope"]);
    draft["scopes"] = json!(["admin"]);
    let refused = put(&test, &test.made.admin_key, Some("\"1\""), body(&draft)).await;
    assert_eq!(refused.outcome(), (422, "invalid_policy"));
    let listed = refused.body["problems"].as_array().expect("problems").clone();
    assert!(listed.len() >= 3, "{listed:?}");
    let places: Vec<_> = listed
        .iter()
        .map(|problem| problem["place"].as_str().unwrap_or_default())
        .collect();
    assert!(
        places.contains(&"routes[0].path") && places.contains(&"scopes[0]"),
        "{places:?}"
    );
    let checked = test
        .admin(Method::POST, "/v1/policy/check", Some(json!({"policy": draft})))
        .await;
    assert_eq!(
        (checked.status.as_u16(), &checked.body["valid"]),
        (200, &json!(false))
    );
    assert_eq!(checked.body["problems"], refused.body["problems"]);
    assert_eq!(show(&test).await.body["version"], 1);
}

#[tokio::test]
async fn an_earlier_version_comes_back_with_the_scopes_of_now() {
    let test = TestApp::start().await;
    let key = test.made.admin_key.clone();
    let before = document(&test);
    let mut draft = with_route(&test, json!({"path": "/r", "scopes": ["reports:read"]}));
    draft["scopes"]
        .as_array_mut()
        .expect("scopes")
        .push(json!("reports:read"));
    assert_eq!(
        put(&test, &key, Some("\"1\""), body(&draft))
            .await
            .status
            .as_u16(),
        200
    );
    // A key may hold it from now on.
    let (_, holder) = test
        .create_key(json!({"name": "r", "scopes": ["reports:read"]}))
        .await;
    assert!(!holder.is_empty());
    let path = "/v1/policy/rollback?wait=none";
    let stale = roll_back(&test, path, "\"1\"").await;
    assert_eq!(stale.outcome(), (412, "precondition_failed"));
    let done = roll_back(&test, path, "\"2\"").await;
    assert_eq!(done.body["version"], 3, "{done:?}");
    let now = show(&test).await.body;
    assert_eq!(now["policy"]["routes"], before["routes"]);
    assert_eq!(now["policy"]["scopes"], draft["scopes"]);
    assert_eq!(now["restored_from"], 1);
    let shown = test.admin(Method::GET, "/v1/policy/history/3", None).await;
    assert_eq!(
        (&shown.body["current"], &shown.body["pending"]),
        (&json!(true), &json!(["hub"]))
    );
    let missing = test.admin(Method::GET, "/v1/policy/history/9", None).await;
    assert_eq!(missing.outcome(), (404, "not_found"));
}

async fn roll_back(test: &TestApp, path: &str, tag: &str) -> crate::testing::Answer {
    let request = axum::http::Request::post(path)
        .header("authorization", format!("Bearer {}", test.made.admin_key))
        .header("content-type", "application/json")
        .header("if-match", tag)
        .body(axum::body::Body::from(json!({"version": 1}).to_string()));
    test.send(request.expect("a request")).await
}

#[tokio::test]
async fn only_the_operators_administrators_change_it() {
    let test = TestApp::start().await;
    let draft = with_route(
        &test,
        json!({"path": "/r", "origin": "https://inside.example", "scopes": ["admin"]}),
    );
    let key = test.made.admin_key.clone();
    assert_eq!(
        put(&test, &key, Some("\"1\""), body(&draft))
            .await
            .status
            .as_u16(),
        200
    );

    let (_, viewer) = member(&test, 77, Role::Viewer).await;
    let (_, admin) = member(&test, 78, Role::Admin).await;
    let stranger = other_org(&test).await;
    let narrow = json!({"name": "narrow", "scope": "read"});
    let (_, narrow) = test.create_key(narrow).await;
    for (name, key, code) in [
        ("viewer", &viewer, "insufficient_scope"),
        ("stranger", &stranger, "exceeds_caller"),
        ("narrow key", &narrow, "insufficient_scope"),
    ] {
        for (method, path, body) in [
            (Method::PUT, "/v1/policy", body(&draft)),
            (Method::POST, "/v1/policy/rollback", json!({"version": 1})),
        ] {
            let request = axum::http::Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", format!("Bearer {key}"))
                .header("content-type", "application/json")
                .header("if-match", "*")
                .body(axum::body::Body::from(body.to_string()));
            let refused = test.send(request.expect("a request")).await;
            assert_eq!(refused.outcome(), (403, code), "{name} {path}");
        }
        let check = json!({"policy": draft});
        let refused = test
            .call(Method::POST, "/v1/policy/check", key, Some(check))
            .await;
        assert_eq!(refused.outcome(), (403, code), "{name} check");
        let read = test.call(Method::GET, PATH, key, None).await;
        assert_eq!(
            (read.status.as_u16(), &read.body["editable"]),
            (200, &json!(false))
        );
    }
    // Addresses inside, and who did what, stay with the operator.
    let outline = test.call(Method::GET, PATH, &stranger, None).await;
    assert!(!outline.raw.contains("inside.example"), "{outline:?}");
    assert_eq!(outline.body["applied_by"], Value::Null);
    for path in ["/v1/policy/history", "/v1/policy/history/2"] {
        let refused = test.call(Method::GET, path, &stranger, None).await;
        assert_eq!(refused.outcome(), (404, "not_found"), "{path}");
        assert_eq!(
            test.call(Method::GET, path, &viewer, None).await.status.as_u16(),
            200
        );
    }
    let other = with_route(&test, json!({"path": "/q", "scopes": ["admin"]}));
    assert_eq!(
        put(&test, &admin, Some("\"2\""), body(&other))
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn a_file_is_changed_by_nobody_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.json");
    let config = crate::config::Config::default();
    let policy = shared::policy::Policy::demo(&config.resource, &config.issuer);
    std::fs::write(&path, policy.to_json()).expect("written");
    let test = TestApp::start_with(|config| config.policy_file = Some(path)).await;
    let shown = show(&test).await;
    assert_eq!(
        (&shown.body["managed_by"], &shown.body["editable"]),
        (&json!("file"), &json!(false))
    );
    let draft = with_route(&test, json!({"path": "/r", "scopes": ["admin"]}));
    let refused = put(&test, &test.made.admin_key, Some("*"), body(&draft)).await;
    assert_eq!(refused.outcome(), (409, "managed_by_file"));
    // What would be in the file can be looked at all the same.
    let checked = test
        .admin(Method::POST, "/v1/policy/check", Some(json!({"policy": draft})))
        .await;
    assert_eq!(checked.body["valid"], true, "{checked:?}");
}

#[tokio::test]
async fn would_it_pass() {
    let test = TestApp::start().await;
    let ask = async |body: Value| test.admin(Method::POST, "/v1/policy/test", Some(body)).await;
    for (request, status, verdict) in [
        (json!({"path": "/public/x"}), 200, "public"),
        (json!({"path": "/v1/memory/x"}), 401, "credential_missing"),
        (
            json!({"path": "/v1/memory/x", "scopes": ["memory:read"]}),
            200,
            "allowed",
        ),
        (
            json!({"path": "/v1/memory/x", "method": "POST", "scopes": ["memory:read"]}),
            403,
            "scope_insufficient",
        ),
        (
            json!({"path": "/v1/memory/x", "method": "POST", "scopes": ["admin"]}),
            200,
            "allowed",
        ),
        (
            json!({"path": "/nowhere", "scopes": ["admin"]}),
            403,
            "route_denied",
        ),
        (json!({"path": "/public/..%2fadmin"}), 400, "path_malformed"),
    ] {
        let answer = ask(request.clone()).await;
        assert_eq!(
            (&answer.body["status"], &answer.body["verdict"]),
            (&json!(status), &json!(verdict)),
            "{request}"
        );
        assert!(answer.text("sentence").ends_with('.'), "{answer:?}");
    }
    // Under a draft: what it would be.
    let draft = with_route(&test, json!({"path": "/v1/memory/**", "public": true}));
    let answer = ask(json!({"path": "/v1/memory/x", "policy": draft})).await;
    assert_eq!(answer.body["verdict"], "public");
    let unknown = ask(json!({"path": "/x", "scopes": ["nope"]})).await;
    assert_eq!(unknown.outcome(), (400, "invalid_field"));
    let both = ask(json!({"path": "/x", "scopes": [], "credential": "pc_live_x"})).await;
    assert_eq!(both.outcome(), (400, "invalid_field"));

    // Others may ask about the policy, and about nobody's credential.
    let stranger = other_org(&test).await;
    let body = json!({"path": "/v1/memory/x", "scopes": ["memory:read"]});
    let answer = test
        .call(Method::POST, "/v1/policy/test", &stranger, Some(body))
        .await;
    assert_eq!(answer.body["verdict"], "allowed");
    let draft = json!({"path": "/x", "policy": document(&test)});
    let refused = test
        .call(Method::POST, "/v1/policy/test", &stranger, Some(draft))
        .await;
    assert_eq!(refused.outcome(), (403, "exceeds_caller"));
}
