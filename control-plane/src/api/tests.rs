//! That the description says what there is, and that what there is says it as described.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use super::document::document;
use super::{docs, errors};
use crate::authority::calls::CALLS;
use crate::testing::TestApp;

fn described() -> Value {
    serde_json::to_value(document("https://portcullis.example")).expect("JSON")
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

/// The paths of the router, as its debug form names them: nothing else tells.
fn routed(test: &TestApp) -> BTreeSet<String> {
    let text = format!("{:?}", test.router());
    let quoted = text.split('"');
    quoted
        .filter(|part| part.starts_with("/v1/"))
        .map(str::to_owned)
        .collect()
}

/// Pages for people are no part of the API.
fn is_page(path: &str) -> bool {
    path.starts_with("/v1/docs")
}

#[tokio::test]
async fn every_route_is_described_and_every_description_has_a_route() {
    let test = TestApp::start().await;
    let mut there = BTreeSet::new();
    for path in routed(&test).iter().filter(|path| !is_page(path)) {
        // What a path takes is what the refusal of another method lists.
        let concrete = ["{id}", "{user}", "{version}", "{message}", "{purpose}"]
            .iter()
            .fold(path.clone(), |path, parameter| path.replace(parameter, "x"));
        assert!(!concrete.contains('{'), "name the parameter of {path} here");
        let request = Request::builder().method(Method::TRACE).uri(&concrete);
        let answer = test.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 405, "{path}");
        let allow = answer.headers["allow"].to_str().expect("text").to_owned();
        let methods = allow.split(',').filter(|method| *method != "HEAD");
        there.extend(methods.map(|method| (method.to_owned(), path.clone())));
    }
    assert!(there.len() > 30, "the router names its paths no more: {there:?}");
    let written: BTreeSet<_> = operations(&described())
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let missing: Vec<_> = there.difference(&written).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    let lines = CALLS.iter().filter(|(_, path, _)| !is_page(path));
    let table: BTreeSet<_> = lines
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    let open: Vec<_> = there.symmetric_difference(&table).collect();
    assert!(
        open.is_empty(),
        "in the router or in the table of calls, not in both: {open:?}"
    );
    let made_up: Vec<_> = written.difference(&there).collect();
    assert!(made_up.is_empty(), "described, and not there: {made_up:?}");
}

#[test]
fn every_operation_is_described_in_full() {
    let document = described();
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .filter_map(|tag| tag["name"].as_str())
        .collect();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id.clone()), "two operations are called {id}");
        assert!(
            operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{name}"
        );
        let tag = operation["tags"][0].as_str().expect("a tag");
        assert!(
            tags.contains(tag) && operation["tags"][1].is_null(),
            "{name}: {tag}"
        );
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in &parameters {
            let words = parameter["description"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{name}: {parameter}");
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            assert!(
                response["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{name} {status}"
            );
            if status.starts_with(['4', '5']) {
                let own = path == "/v1/signals/events" && status == "400";
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert!(
                    own || problem == "#/components/schemas/Problem",
                    "{name} {status}: {response}"
                );
            }
        }
        // What every endpoint of a kind takes.
        let takes = |header: &str| {
            parameters
                .iter()
                .any(|one| one["in"] == "header" && one["name"] == header)
        };
        let responses = &operation["responses"];
        assert_eq!(
            takes("Idempotency-Key"),
            responses.get("201").is_some(),
            "{name}: creates take Idempotency-Key"
        );
        let updates = method == "PATCH" || method == "PUT";
        if updates {
            assert!(takes("If-Match"), "{name}: updates take If-Match");
            assert!(
                responses["200"]["headers"].get("ETag").is_some(),
                "{name}: what is updated has a version"
            );
            let shown = &document["paths"][&path]["get"]["responses"]["200"]["headers"];
            assert!(
                shown.get("ETag").is_some(),
                "{name}: and whoever reads it learns it"
            );
        }
        let pages = parameters.iter().any(|one| one["name"] == "cursor");
        let limits = parameters.iter().any(|one| one["name"] == "limit");
        assert!(!limits || pages, "{name}: pages have a limit and a cursor");
    }
}

/// A reference that leads nowhere would only be found by whoever reads the document.
#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').expect("within the document");
                    assert!(document.pointer(pointer).is_some(), "{target}");
                }
                members.values().for_each(|member| walk(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document)),
            _ => {}
        }
    }
    let document = described();
    walk(&document, &document);
}

#[tokio::test]
async fn the_type_of_every_problem_leads_to_its_paragraph() {
    let test = TestApp::start().await;
    let answer = test.admin(Method::GET, "/v1/auth/keys/key_zzzzzzzzz", None).await;
    let kind = answer.text("type");
    let (page, code) = kind.split_once('#').expect("a fragment");
    assert_eq!(page, format!("{}{}", test.app.config.issuer, docs::ERRORS));
    assert_eq!(code, answer.text("code"));
    let get = |path: &str| {
        let request = Request::builder().uri(path.to_owned());
        request.body(Body::empty()).expect("a request")
    };
    let page = test.send(get(docs::ERRORS)).await;
    assert_eq!(page.status, 200);
    for code in errors::ALL {
        assert!(
            page.raw.contains(&format!("id=\"{}\"", code.as_str())),
            "{code:?}"
        );
    }
    // Every group has its page, and it names its endpoints.
    let index = test.send(get("/v1/docs")).await;
    assert_eq!(index.status, 200);
    for (method, path, operation) in operations(&described()) {
        let tag = operation["tags"][0].as_str().expect("a tag");
        let page = test.send(get(&format!("/v1/docs/{tag}"))).await;
        assert_eq!(page.status, 200, "{tag}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(page.raw.contains(&format!("id=\"{id}\"")), "{method} {path}");
        assert!(
            index.raw.contains(&format!("/v1/docs/{tag}#{id}")),
            "{method} {path}"
        );
    }
    assert_eq!(test.send(get("/v1/docs/nonsense")).await.status, 404);
    // The policy of every page: nothing that runs, nothing from elsewhere.
    let policy = index.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"));
    assert!(!index.raw.contains("<script") && !index.raw.contains(" style="));
    let document = test.send(get("/v1/openapi.json")).await;
    assert_eq!(document.body["servers"][0]["url"], json!(test.app.config.issuer));
}

#[tokio::test]
async fn a_credential_has_a_share_of_its_own_and_is_told() {
    let test = TestApp::start_with(|config| config.rate_limits.calls_per_credential = Some(3)).await;
    let (_, other) = test
        .create_key(json!({"name": "other", "scope": "admin", "workspace": "all"}))
        .await;
    let list = || test.admin(Method::GET, "/v1/auth/keys", None);
    let first = list().await;
    assert_eq!(first.status, 200);
    assert_eq!(first.headers["ratelimit-policy"], "\"credential\";q=3;w=60");
    assert_eq!(first.headers["ratelimit"], "\"credential\";r=1;t=40");
    assert_eq!(list().await.status, 200);
    let refused = list().await;
    assert_eq!(refused.outcome(), (429, "rate_limited"));
    assert_eq!(refused.headers["retry-after"], "20");
    assert!(
        refused.headers["ratelimit"]
            .to_str()
            .expect("text")
            .starts_with("\"credential\";r=0")
    );
    // Another credential of the same person goes on, and can end the one that went wild.
    let answer = test.call(Method::GET, "/v1/auth/keys", &other, None).await;
    assert_eq!(answer.status, 200);
    // Whoever has no credential that counts learns nothing of shares.
    let stranger = test
        .call(Method::GET, "/v1/auth/keys", "pc_live_nonsense", None)
        .await;
    assert_eq!(stranger.status, 401);
    assert!(!stranger.headers.contains_key("ratelimit"));
    test.clock.advance_ms(20_000);
    assert_eq!(list().await.status, 200);
}

#[tokio::test]
async fn an_update_for_another_version_does_nothing() {
    let test = TestApp::start().await;
    let (id, _) = test
        .create_key(json!({"name": "a", "scope": "read", "workspace": "all"}))
        .await;
    let path = format!("/v1/auth/keys/{id}");
    let seen = test.admin(Method::GET, &path, None).await;
    let tag = seen.headers["etag"].to_str().expect("text").to_owned();
    let rename = |name: &'static str, tag: Option<String>| {
        let mut request = Request::builder()
            .method(Method::PATCH)
            .uri(&path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", test.made.admin_key));
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        test.send(
            request
                .body(Body::from(json!({ "name": name }).to_string()))
                .expect("a request"),
        )
    };
    let first = rename("b", Some(tag.clone())).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.headers["etag"], *tag);
    let second = rename("c", Some(tag)).await;
    assert_eq!(second.outcome(), (412, "precondition_failed"));
    assert_eq!(test.admin(Method::GET, &path, None).await.body["name"], "b");
    // Without the header the last one wins.
    assert_eq!(rename("d", None).await.status, 200);
    assert_eq!(
        rename("e", Some("nonsense".to_owned())).await.outcome(),
        (400, "invalid_field")
    );
}

#[tokio::test]
async fn a_create_that_comes_again_is_done_once() {
    let test = TestApp::start().await;
    let (id, _) = test
        .create_key(json!({"name": "a", "scope": "read", "workspace": "all"}))
        .await;
    let send = |path: String, key: &'static str, body: Value| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .header("authorization", format!("Bearer {}", test.made.admin_key));
        test.send(request.body(Body::from(body.to_string())).expect("a request"))
    };
    // A rotation: the answer held a key, which nobody has any more.
    let rotate = format!("/v1/auth/keys/{id}/rotate");
    let first = send(rotate.clone(), "r", json!({})).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = send(rotate.clone(), "r", json!({})).await;
    assert_eq!(again.outcome(), (409, "already_created"));
    assert_eq!(again.text("id"), first.text("id"));
    assert_eq!(
        send(rotate.clone(), "r", json!({"overlap_seconds": 1}))
            .await
            .outcome(),
        (422, "idempotency_mismatch")
    );
    assert_eq!(
        send(rotate, "s", json!({})).await.outcome(),
        (409, "already_rotated")
    );
    // The same key for another thing of the same kind is a mistake, not a repetition.
    let successor = first.text("id");
    let other = send(format!("/v1/auth/keys/{successor}/rotate"), "r", json!({})).await;
    assert_eq!(other.outcome(), (422, "idempotency_mismatch"));
}
