//! The demo comes and goes without a trace in what it has not made.

use axum::http::Method;
use serde_json::json;

use super::{remove, seed};
use crate::audit::Actor;
use crate::dashboard::tests::somebody;
use crate::store::Store;
use crate::store::conformance::suite;
use crate::store::orgs::Role;
use crate::testing::TestApp;

suite! {
    it_comes_once_shows_everywhere_and_goes,
    it_stays_while_something_real_hangs_on_it,
}

async fn it_comes_once_shows_everywhere_and_goes(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let (own, _) = test.create_key(json!({"name": "ours", "scope": "read"})).await;
    let actor = Actor::command_line();
    let made = seed(&test.app, &actor)
        .await
        .expect("seeded")
        .expect("the first time");
    assert!(made.requests > 100_000 && made.keys == 12, "{made:?}");
    let others = (made.clients, made.grants, made.invitations, made.webhooks);
    assert_eq!(others, (6, 11, 3, 2));
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

    for (path, seen) in [
        ("/dashboard/clients", "Acme Portal"),
        ("/dashboard/clients?show=let_in", "Notebook Assistant"),
        ("/dashboard/grants", "lucia.romero@acme.example"),
        ("/dashboard/people/invitations", "noor.haddad@acme.example"),
        ("/dashboard/webhooks", "siem.acme.example"),
    ] {
        let page = browser.get(path).await.raw;
        assert!(page.contains(seen), "{path}: {page}");
    }

    let gone = remove(&test.app, &actor)
        .await
        .expect("removed")
        .expect("it was there");
    assert_eq!(gone.keys, 12);
    let others = (gone.clients, gone.grants, gone.invitations, gone.webhooks);
    assert_eq!(others, (6, 11, 3, 2));
    for path in [
        "/dashboard/people",
        "/dashboard/clients",
        "/dashboard/clients?show=let_in",
        "/dashboard/grants",
        "/dashboard/people/invitations",
        "/dashboard/webhooks",
    ] {
        let page = browser.get(path).await.raw;
        assert!(
            !page.contains("acme.example") && !page.contains("Notebook Assistant"),
            "{path}: {page}"
        );
    }
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

/// Somebody made a key for one of its people: nothing is taken away, and what stands in the way is said.
async fn it_stays_while_something_real_hangs_on_it(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let actor = Actor::command_line();
    seed(&test.app, &actor).await.expect("seeded").expect("made");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let objects = tx.demo_objects().await.expect("objects");
    drop(tx);
    let body = json!({"name": "real", "scope": "read", "user": objects.users[0].to_string()});
    let (real, _) = test.create_key(body).await;

    let refused = remove(&test.app, &actor).await.expect_err("refused");
    assert!(
        refused.problem().detail.contains("remove that first"),
        "{refused:?}"
    );
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert_eq!(tx.demo_objects().await.expect("objects"), objects);
    for id in &objects.keys {
        let key = tx.key(*id).await.expect("a row").expect("a key");
        assert!(key.revoked.is_none() || key.name == "zapier", "{}", key.name);
    }
    drop(tx);
    let path = format!("/v1/auth/keys/{real}");
    assert_eq!(
        test.admin(Method::GET, &path, None).await.text("status"),
        "active"
    );
}
