//! Line 1: a key works at the edge at once; scopes, public and unknown paths; and the life of a key on both databases.

use e2e::{Database, Request, Stack};
use serde_json::json;

use crate::support::{assert_invalid_token, assert_no_credential, on_both_databases, only_seen};

on_both_databases!(a_key_lives_and_dies);

async fn a_key_lives_and_dies(database: Database) {
    let stack = Stack::with().database(database).start().await;
    let admin = stack.admin();

    let key = admin
        .create(json!({ "name": "agent", "scope": "read", "workspace": "all", "environment": "live" }))
        .await;
    assert!(key.key.starts_with("pc_live_"), "brand and environment");
    assert!(key.key.len() <= 160 && key.id.starts_with("key_"));

    // Listed masked, shown masked, renamed; never shown again.
    let list = admin
        .send(Request::get("/v1/auth/keys?limit=50"))
        .await
        .expect(200);
    assert!(list.text().contains(&key.id) && !list.text().contains(&key.key));
    let shown = admin
        .send(Request::get(&format!("/v1/auth/keys/{}", key.id)))
        .await
        .expect(200);
    assert!(!shown.text().contains(&key.key));
    assert_eq!(shown.json()["name"], "agent");
    let path = format!("/v1/auth/keys/{}", key.id);
    let renamed = admin
        .send(Request::new("PATCH", &path).json(&json!({ "name": "agent 7" })))
        .await
        .expect(200);
    assert_eq!(renamed.json()["name"], "agent 7");

    stack
        .caller(&key.key)
        .get("/v1/memory/retrieve")
        .await
        .expect(200);
    let receipt = admin.revoke(&key.id, None).await.expect(200).json();
    assert_eq!(receipt["id"], key.id.as_str());
    assert_eq!(receipt["acknowledged"], json!(["hub/weur"]));
    assert_eq!(receipt["pending"], json!([]));
    for member in [
        "revoked_at",
        "seq",
        "bound_ms",
        "effective_at",
        "open_connections_until",
    ] {
        assert!(!receipt[member].is_null(), "{member} in {receipt}");
    }
    assert_invalid_token(
        &stack.caller(&key.key).get("/v1/memory/retrieve").await,
        "revoked",
    );

    // A second DELETE gives the same receipt; somebody else's or no key is 404.
    let again = admin.revoke(&key.id, None).await.expect(200).json();
    for member in ["id", "revoked_at", "seq"] {
        assert_eq!(again[member], receipt[member], "{member}");
    }
    admin.revoke("key_000000009", None).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_works_at_the_edge_at_once_and_the_origin_learns_whose_it_is() {
    let stack = Stack::with().gates(2).start().await;
    for round in 0..10 {
        let key = stack.admin().key("read").await;
        let caller = stack.caller_at(round % 2, &key.key);
        // The first request ever with this key, and no wait before it.
        let answer = caller
            .get("/v1/memory/retrieve?q=example")
            .await
            .expect(200)
            .json();
        assert_eq!(answer["method"], "GET");
        assert_eq!(answer["query"], "q=example");
        let headers = &only_seen(&stack).headers;
        assert!(headers["x-portcullis-subject"].starts_with("usr_"), "{headers:?}");
        assert!(headers["x-portcullis-org"].starts_with("org_"), "{headers:?}");
        assert_eq!(headers["x-portcullis-scopes"], "memory:read");
        assert_eq!(headers["x-portcullis-credential"], key.id);
        assert!(
            !headers.contains_key("authorization"),
            "the credential ends at the edge: {headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_key_on_a_write_route_is_403_with_all_the_scopes_needed() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let refused = stack
        .caller(&key.key)
        .post("/v1/memory/store", "x")
        .await
        .expect(403);
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"memory:write\""), "{challenge}");
    assert_eq!(refused.json()["code"], "insufficient_scope");
    assert!(stack.origin.take().is_empty(), "nothing reaches the origin");

    let writer = stack.admin().key("read-write").await;
    stack
        .caller(&writer.key)
        .post("/v1/memory/store", "x")
        .await
        .expect(200);
    stack.caller(&writer.key).get("/admin/users").await.expect(403);
    let admin = stack.admin().key("admin").await;
    // `admin` implies every other scope.
    stack
        .caller(&admin.key)
        .post("/v1/memory/store", "x")
        .await
        .expect(200);
    stack.caller(&admin.key).get("/admin/users").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_credential_only_public_paths_answer() {
    let stack = Stack::start().await;
    assert_no_credential(&stack.anon().get("/v1/memory/retrieve").await);
    assert_no_credential(
        &stack
            .anon()
            .send(Request::get("/v1/memory/x").header("authorization", "Basic dTpw"))
            .await,
    );
    stack.anon().get("/public/hello").await.expect(200);
    assert_eq!(only_seen(&stack).path, "/public/hello");

    // No rule, no way: with or without a credential.
    let key = stack.admin().key("admin").await;
    for path in ["/", "/v1", "/v2/memory/x", "/internal", "/publicity"] {
        let anon = stack.anon().get(path).await;
        assert!(matches!(anon.status, 401 | 403 | 404), "{path}: {}", anon.status);
        let known = stack.caller(&key.key).get(path).await;
        assert!(matches!(known.status, 403 | 404), "{path}: {}", known.status);
    }
    assert!(stack.origin.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_route_ignores_a_bad_credential_and_strips_a_good_one() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    stack.caller(&key.key).get("/public/hello").await.expect(200);
    let seen = only_seen(&stack);
    assert!(!seen.headers.contains_key("authorization"), "{seen:?}");
    stack
        .caller("pc_live_nonsense")
        .get("/public/hello")
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_a_key_more_than_they_have() {
    let stack = Stack::start().await;
    let body = json!({ "name": "more", "scope": "admin", "environment": "live" });
    let reader = stack.admin().key("read").await;
    let refused = stack
        .admin_with(&reader.key)
        .send(Request::new("POST", "/v1/auth/keys").json(&body))
        .await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let anon = stack
        .anon_at_control()
        .send(Request::new("POST", "/v1/auth/keys").json(&body))
        .await;
    assert_eq!(anon.status, 401, "{}", anon.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_creates_once_and_never_shows_the_key_again() {
    let stack = Stack::start().await;
    let body = json!({ "name": "once", "scope": "read", "environment": "live" });
    let request = Request::new("POST", "/v1/auth/keys")
        .header("idempotency-key", "a-1")
        .json(&body);
    let first = stack.admin().send(request.clone()).await.expect(201);
    let created = stack.admin().created(&first);
    let replay = stack.admin().send(request).await.expect(409);
    assert_eq!(replay.json()["code"], "already_created");
    assert_eq!(replay.json()["id"], created.id.as_str());
    assert!(!replay.text().contains(&created.key));
    let other = json!({ "name": "another", "scope": "read", "environment": "live" });
    let misused = Request::new("POST", "/v1/auth/keys")
        .header("idempotency-key", "a-1")
        .json(&other);
    let misused = stack.admin().send(misused).await;
    assert!(matches!(misused.status, 409 | 422), "{}", misused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_request_says_which_field_what_was_wrong_and_what_to_do() {
    let stack = Stack::start().await;
    let cases = [
        (
            json!({ "name": "x", "scope": "raed", "environment": "live" }),
            "scope",
        ),
        (
            json!({ "name": "", "scope": "read", "environment": "live" }),
            "name",
        ),
        (
            json!({ "name": "x", "scope": "read", "environment": "prod" }),
            "environment",
        ),
        (
            json!({ "name": "x", "scopes": ["memory:fly"], "environment": "live" }),
            "scopes",
        ),
        (
            json!({ "name": "x", "scope": "read", "environment": "live", "expires_at": "2025-01-02T00:00:00Z" }),
            "expires_at",
        ),
        (
            json!({ "name": "x", "scope": "read", "environment": "live", "expiry": 1 }),
            "expiry",
        ),
    ];
    for (body, field) in cases {
        let answer = stack
            .admin()
            .send(Request::new("POST", "/v1/auth/keys").json(&body))
            .await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{body}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{body}"
        );
        let problem = answer.json();
        assert!(
            problem["code"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        assert!(
            problem.to_string().contains(field),
            "{field} is not named in {problem}"
        );
    }
}
