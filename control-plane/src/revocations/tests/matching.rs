//! Revoking all that match, on both engines.

use super::*;
use crate::oauth::tests::support::{Person, confidential};
use crate::store::test_postgres::TestPostgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    all(&published().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let Some(server) = TestPostgres::start_or_skip() else {
        return;
    };
    server.database("matching").await.close().await;
    let url = server.url("matching");
    let test = crate::oauth::tests::support::published_with(|config| config.database_url = url).await;
    all(&test).await;
    test.app.store.close().await;
}

async fn all(test: &TestApp) {
    conditions_are_joined(test).await;
    grants_match_too(test).await;
    the_calling_key_is_left_out(test).await;
    an_admin_spares_owners(test).await;
    there_is_a_most(test).await;
}

async fn where_(test: &TestApp, filter: Value, dry_run: bool) -> Answer {
    let body = json!({"filter": filter, "reason": "superseded", "dry_run": dry_run});
    test.admin(Method::POST, PATH, Some(body)).await
}

async fn matched(test: &TestApp, filter: Value) -> u64 {
    let answer = where_(test, filter.clone(), true).await;
    assert_eq!(answer.status, 200, "{filter} {answer:?}");
    assert_eq!(answer.body["dry_run"], true);
    let count = |name: &str| answer.body["matched"][name].as_u64().expect("a count");
    count("keys") + count("grants") + count("tokens")
}

async fn key(test: &TestApp, name: &str, more: Value) -> (String, String) {
    let mut body = json!({"name": name, "scope": "read"});
    for (field, value) in more.as_object().expect("an object") {
        body[field] = value.clone();
    }
    if body.get("scopes").is_some() {
        body.as_object_mut().expect("an object").remove("scope");
    }
    test.create_key(body).await
}

async fn conditions_are_joined(test: &TestApp) {
    let (bob, _) = member(test, 71, Role::Member).await;
    let (_, ci) = key(test, "CI-one", json!({})).await;
    let (_, second) = key(test, "ci-two", json!({"environment": "test"})).await;
    let (_, percent) = key(test, "ci%", json!({})).await;
    let (_, deploy) = key(test, "deploy", json!({"scopes": ["memory:write"], "user": bob})).await;
    for (filter, count) in [
        (json!({"kind": "keys", "name_prefix": "ci-"}), 2),
        (json!({"name_prefix": "CI-"}), 2),
        (json!({"name_prefix": "ci%"}), 1),
        (json!({"name_prefix": "i-"}), 0),
        (json!({"name_prefix": "ci-", "environment": "test"}), 1),
        (json!({"kind": "keys", "user": bob}), 2),
        // The caller's admin key has it by implication, and is left out.
        (json!({"kind": "keys", "scope": "memory:write"}), 1),
        (
            json!({"kind": "keys", "created_before": "2020-01-01T00:00:00Z"}),
            0,
        ),
        (
            json!({"kind": "keys", "created_after": "2020-01-01T00:00:00Z", "name_prefix": "ci"}),
            3,
        ),
        (json!({"workspace": "all", "name_prefix": "deploy"}), 1),
        (json!({"workspace": "ws_000000001"}), 0),
    ] {
        assert_eq!(matched(test, filter.clone()).await, count, "{filter}");
    }
    for key in [&ci, &second, &percent, &deploy] {
        assert!(works(test, key).await, "only counted so far");
    }
    let filter = json!({"kind": "keys", "name_prefix": "ci-"});
    let receipt = where_(test, filter.clone(), false).await;
    assert_receipt(&receipt);
    assert_eq!(receipt.body["revoked"]["keys"], 2, "{receipt:?}");
    assert!(!works(test, &ci).await && !works(test, &second).await);
    assert!(works(test, &percent).await && works(test, &deploy).await);
    assert_eq!(
        where_(test, filter, false).await.body,
        receipt.body,
        "nothing new"
    );
    let nothing = where_(test, json!({"name_prefix": "nobody"}), false).await;
    assert_eq!(
        (nothing.status.as_u16(), &nothing.body["matched"]["keys"]),
        (200, &json!(0))
    );
    assert!(nothing.body.get("effective_at").is_none());
    let detail = audited(test, &test.made.org.to_string(), "credentials.revoke").await;
    assert_eq!(detail["filter"], json!({"kind": "keys", "name_prefix": "ci-"}));
    assert_eq!(detail["ids"].as_array().map(Vec::len), Some(2));
    let path = format!("{PATH}/{}/credentials?limit=1", receipt.text("revocation"));
    let page = test.admin(Method::GET, &path, None).await;
    let next = format!("{path}&cursor={}", page.text("next_cursor"));
    let last = test.admin(Method::GET, &next, None).await;
    assert_eq!(
        json!([page.body["credentials"][0], last.body["credentials"][0]]),
        detail["ids"]
    );
    assert!(last.body.get("next_cursor").is_none());

    for (filter, field) in [
        (json!({}), "filter"),
        (json!({"kind": "keys"}), "filter"),
        (json!({"name_prefix": ""}), "filter.name_prefix"),
        (
            json!({"kind": "grants", "name_prefix": "x"}),
            "filter.name_prefix",
        ),
        (
            json!({"kind": "keys", "client": "cli_000000001"}),
            "filter.client",
        ),
        (
            json!({"kind": "keys", "last_used_before": "2020-01-01T00:00:00Z"}),
            "filter.last_used_before",
        ),
        (json!({"name_prefix": "x", "client": "y"}), "filter.name_prefix"),
        (json!({"created_before": "yesterday"}), "filter.created_before"),
        (json!({"scope": "nonsense"}), "filter.scope"),
        (json!({"user": "bob"}), "filter.user"),
        (json!({"workspace": "main"}), "filter.workspace"),
    ] {
        let answer = where_(test, filter.clone(), false).await;
        assert_eq!(answer.outcome(), (400, "invalid_field"), "{filter}");
        assert_eq!(answer.text("field"), field, "{filter}");
    }
    let empty = where_(test, json!({}), false).await;
    assert_eq!(
        empty.text("detail"),
        "name at least one condition, or revoke the organisation"
    );
}

async fn grants_match_too(test: &TestApp) {
    let (client, other) = (confidential(test).await, confidential(test).await);
    let mut person = Person::signed_in(test).await;
    let code = person.allow(&client, &[]).await;
    let first = client.exchange(test, &code).await;
    let code = person.allow(&other, &[]).await;
    let second = other.exchange(test, &code).await;
    let id = client.id.to_string();
    let soon = "2030-01-01T00:00:00Z";
    assert_eq!(matched(test, json!({"client": id})).await, 1);
    assert_eq!(
        matched(test, json!({"kind": "grants", "last_used_before": soon})).await,
        2
    );
    assert_eq!(
        matched(test, json!({"kind": "grants", "scope": "memory:delete"})).await,
        0
    );
    let filter = json!({"client": id, "user": test.made.user, "created_before": soon});
    let receipt = where_(test, filter, false).await;
    assert_receipt(&receipt);
    assert_eq!(receipt.body["revoked"]["grants"], 1);
    let lives = async |client: &crate::oauth::tests::support::ClientApp, answer: &Answer| {
        let token = answer.text("access_token");
        client.post(test, "/introspect", &[("token", &token)]).await.body["active"].clone()
    };
    assert_eq!(lives(&client, &first).await, false);
    assert_eq!(lives(&other, &second).await, true);
    let unknown = where_(test, json!({"client": "cli_000000001"}), false).await;
    assert_eq!(unknown.outcome(), (404, "not_found"));
}

async fn the_calling_key_is_left_out(test: &TestApp) {
    let (_, dev) = key(test, "left over", json!({"environment": "dev"})).await;
    let filter = json!({"kind": "keys", "created_after": "2020-01-01T00:00:00Z"});
    let counted = where_(test, filter.clone(), true).await;
    assert!(counted.text("left_out").starts_with("key_"), "{counted:?}");
    let receipt = where_(test, filter, false).await;
    assert_receipt(&receipt);
    assert!(receipt.text("left_out").starts_with("key_"), "{receipt:?}");
    assert!(!works(test, &dev).await && works(test, &test.made.admin_key).await);
}

async fn an_admin_spares_owners(test: &TestApp) {
    let (user, admin) = member(test, 73, Role::Admin).await;
    let (_, theirs) = key(test, "spare me", json!({"user": user})).await;
    let (_, owners) = key(test, "spare me too", json!({})).await;
    let ask = async |dry_run: bool| {
        let body = json!({"filter": {"name_prefix": "spare"}, "reason": "superseded", "dry_run": dry_run});
        test.call(Method::POST, PATH, &admin, Some(body)).await
    };
    let counted = ask(true).await;
    assert_eq!(
        (&counted.body["matched"]["keys"], &counted.body["owners_left_out"]),
        (&json!(1), &json!(1)),
        "{counted:?}"
    );
    let receipt = ask(false).await;
    assert_receipt(&receipt);
    assert!(!works(test, &theirs).await && works(test, &owners).await);
    // All of an owner is for owners, by a filter too.
    let body = json!({"filter": {"user": test.made.user}, "reason": "superseded"});
    let none = test.call(Method::POST, PATH, &admin, Some(body)).await;
    assert_eq!(none.body["matched"]["keys"], 0, "{none:?}");
    assert_eq!(matched(test, json!({"name_prefix": "spare"})).await, 1);
}

/// In tests the most is small.
async fn there_is_a_most(test: &TestApp) {
    let mut keys = Vec::new();
    for number in 0..26 {
        keys.push(key(test, &format!("many {number}"), json!({})).await.1);
    }
    let filter = json!({"name_prefix": "many"});
    let refused = where_(test, filter, false).await;
    assert_eq!(refused.outcome(), (409, "too_many_matches"));
    assert_eq!(refused.body["matched"]["keys"], 26);
    assert!(works(test, &keys[0]).await, "nothing was done");
    let fewer = where_(test, json!({"name_prefix": "many 1"}), false).await;
    assert_receipt(&fewer);
    assert_eq!(fewer.body["revoked"]["keys"], 11);
}
