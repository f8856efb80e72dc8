//! The demo comes and goes without a trace in what it has not made.

use axum::http::Method;
use serde_json::json;

use super::{remove, seed};
use crate::audit::Actor;
use crate::dashboard::tests::somebody;
use crate::store::orgs::Role;
use crate::testing::TestApp;

#[tokio::test]
async fn it_comes_once_shows_everywhere_and_goes() {
    let test = TestApp::start().await;
    let (own, _) = test.create_key(json!({"name": "ours", "scope": "read"})).await;
    let actor = Actor::command_line();
    let made = seed(&test.app, &actor)
        .await
        .expect("seeded")
        .expect("the first time");
    assert!(made.requests > 100_000 && made.keys == 12, "{made:?}");
    assert_eq!(
        seed(&test.app, &actor).await.expect("no error"),
        None,
        "the second time"
    );

    let mut browser = somebody(&test, 100, Role::Admin).await;
    let page = browser.get("/dashboard").await.raw;
    assert!(page.contains("<svg") && page.contains("notebook Luc"), "{page}");
    let page = browser.get("/dashboard/keys?q=ci").await.raw;
    assert!(
        page.contains("rotating out") && page.contains("jonas.weber@acme.example"),
        "{page}"
    );

    let gone = remove(&test.app, &actor)
        .await
        .expect("removed")
        .expect("it was there");
    assert_eq!(gone.keys, 12);
    assert_eq!(remove(&test.app, &actor).await.expect("no error"), None);
    let keys = test.admin(Method::GET, "/v1/auth/keys", None).await;
    let mut names: Vec<_> = keys.body["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, [Some("bootstrap admin key"), Some("ours")]);
    assert_eq!(
        test.admin(Method::GET, &format!("/v1/auth/keys/{own}"), None)
            .await
            .text("status"),
        "active"
    );
    assert!(
        browser
            .get("/dashboard")
            .await
            .raw
            .contains("Nothing has come through yet")
    );
    // It can come again.
    assert!(seed(&test.app, &actor).await.expect("seeded").is_some());
}
