//! Lists and names.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{KEYS, actions, read_key};
use crate::testing::{Answer, TestApp};

#[tokio::test]
async fn a_list_has_pages_and_filters() {
    let test = TestApp::start().await;
    for number in 0..5 {
        let environment = if number % 2 == 0 { "live" } else { "test" };
        test.create_key(
            json!({"name": format!("Key {number}%"), "scope": "read", "environment": environment}),
        )
        .await;
        test.clock.advance_ms(if number < 3 { 0 } else { 10 });
    }
    let names = |answer: &Answer| -> Vec<String> {
        answer.body["keys"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|key| key["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let mut seen = Vec::new();
    let mut path = format!("{KEYS}?limit=2");
    loop {
        let page = test.admin(Method::GET, &path, None).await;
        seen.extend(names(&page));
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("{KEYS}?limit=2&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "Key 0%",
            "Key 1%",
            "Key 2%",
            "Key 3%",
            "Key 4%",
            "bootstrap admin key"
        ]
    );

    let filtered = async |query: &str| {
        let mut names = names(&test.admin(Method::GET, &format!("{KEYS}?{query}"), None).await);
        names.sort();
        names
    };
    assert_eq!(filtered("environment=test").await, ["Key 1%", "Key 3%"]);
    assert_eq!(filtered("name=KEY%204").await, ["Key 4%"]);
    assert_eq!(
        filtered("name=%25").await.len(),
        5,
        "% is a character, not a wildcard"
    );
    assert_eq!(filtered("name=_").await.len(), 0);
    assert_eq!(filtered("workspace=all").await.len(), 6);
    assert_eq!(
        filtered(&format!("workspace={}", test.made.workspace))
            .await
            .len(),
        0
    );
    assert_eq!(filtered("status=active").await.len(), 6);
    for status in ["revoked", "expired", "rotating"] {
        assert_eq!(filtered(&format!("status={status}")).await.len(), 0);
    }
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "status=dead",
        "colour=red",
    ] {
        assert_eq!(
            test.admin(Method::GET, &format!("{KEYS}?{wrong}"), None)
                .await
                .status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_rename_changes_the_name_only() {
    let test = TestApp::start().await;
    let (id, plain) = test.create_key(read_key("before")).await;
    let answer = test
        .admin(
            Method::PATCH,
            &format!("{KEYS}/{id}"),
            Some(json!({"name": "After"})),
        )
        .await;
    assert_eq!(
        (answer.status, answer.text("name")),
        (StatusCode::OK, "After".to_owned())
    );
    assert!(answer.text("masked").ends_with(&plain[plain.len() - 4..]));
    assert_eq!(
        test.admin(Method::PATCH, &format!("{KEYS}/{id}"), Some(json!({"name": " "})))
            .await
            .status,
        400
    );
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&id, 10).await.expect("a trail");
    assert_eq!(actions(&trail), ["api_key.create", "api_key.rename"]);
}
