//! The policy as an administrator changes it in a browser without JavaScript.

use axum::http::StatusCode;
use serde_json::json;

use crate::dashboard::tests::{somebody, stranger};
use crate::policies::tests::{body, put, with_route};
use crate::sessions::tests::location;
use crate::store::orgs::Role;
use crate::testing::TestApp;

const INDEX: &str = "/dashboard/policies";
const EDIT: &str = "/dashboard/policies/edit";

/// The draft in a page.
fn document(page: &str) -> String {
    let (_, rest) = page.split_once("<textarea id=\"document\"").expect("a draft");
    let (_, rest) = rest.split_once('>').expect("its beginning");
    let text = rest.split_once("</textarea>").expect("its end").0;
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

#[tokio::test]
async fn a_draft_is_edited_checked_applied_and_taken_back() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, Role::Admin).await;
    let index = browser.get(INDEX).await;
    assert_eq!(index.status, StatusCode::OK, "{}", index.raw);
    for words in [
        "/v1/memory/**",
        "memory:delete",
        "strict: asked each time",
        "the first start",
    ] {
        assert!(index.raw.contains(words), "{words} in {}", index.raw);
    }
    let mut draft = document(&browser.get(EDIT).await.raw);

    // A route is added; its fields are filled in, wrongly at first.
    let form = |draft: &str, more: &[(&'static str, &str)]| {
        let mut fields = vec![("base", "1".to_owned()), ("document", draft.to_owned())];
        fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields
    };
    let mut send = async |fields: Vec<(&'static str, String)>| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        browser.post(EDIT, &fields).await
    };
    let added = send(form(&draft, &[("do", "add")])).await;
    assert!(added.raw.contains("Route 6</h2>"), "{}", added.raw);
    draft = document(&added.raw);
    let wrong = [
        ("do", "save:6"),
        ("open", "6"),
        ("r.path", "reports"),
        ("r.methods", "get"),
        ("r.scopes", "memory:read"),
        ("r.max_staleness_ms", "soon"),
    ];
    let refused = send(form(&draft, &wrong)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.raw.contains("It cannot be applied yet"),
        "{}",
        refused.raw
    );
    assert!(
        refused.raw.contains("id=\"r.max_staleness_ms-problem\""),
        "{}",
        refused.raw
    );
    let right = [
        ("do", "save:6"),
        ("open", "6"),
        ("r.path", "/reports/**"),
        ("r.methods", "GET, POST"),
        ("r.scopes", "memory:read"),
        ("r.max_staleness_ms", "5000"),
    ];
    let checked = send(form(&document(&refused.raw), &right)).await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.raw);
    for words in ["route 6: GET,POST /reports/**", "Worth a second look", "5000 ms"] {
        assert!(checked.raw.contains(words), "{words} in {}", checked.raw);
    }
    assert!(
        test.app.policy().route("GET", "/reports/x").is_none(),
        "a draft only"
    );
    let moved = send(form(&document(&checked.raw), &[("do", "up:6")])).await;
    draft = document(&moved.raw);

    let applied = send(form(&draft, &[("do", "apply"), ("reason", "reports <for> all")])).await;
    assert_eq!(applied.status, StatusCode::SEE_OTHER, "{}", applied.raw);
    assert_eq!(location(&applied), "/dashboard/policies/versions/2");
    assert_eq!(
        test.app
            .policy()
            .route("POST", "/reports/x")
            .map(|(route, _)| route.number),
        Some(5)
    );
    // Whoever still has the old version is told so, with what they would change now.
    let late = send(form(&draft.replace("reports", "other"), &[("do", "apply")])).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(late.raw.contains("was changed meanwhile"), "{}", late.raw);
    assert!(late.raw.contains("name=\"base\" value=\"2\""), "{}", late.raw);

    let version = browser.get("/dashboard/policies/versions/2").await.raw;
    for words in [
        "On its way to the edges",
        "not yet",
        "reports &#60;for&#62; all",
        "What it changed",
    ] {
        assert!(version.contains(words), "{words} in {version}");
    }
    let receipt = browser.get("/dashboard/policies/versions/2/receipt").await.raw;
    assert!(
        receipt.starts_with("<section") && receipt.contains("hx-get"),
        "{receipt}"
    );
    let restore = "/dashboard/policies/versions/1/restore";
    let asked = browser.get(restore).await.raw;
    assert!(asked.contains("gone route 5"), "{asked}");
    let stale = browser.post(restore, &[("base", "1")]).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", stale.raw);
    let back = browser.post(restore, &[("base", "2")]).await;
    assert_eq!(location(&back), "/dashboard/policies/versions/3");
    assert!(test.app.policy().route("POST", "/reports/x").is_none());
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_and_named() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, Role::Owner).await;
    for action in [
        "check",
        "apply",
        "add",
        "open:1",
        "remove:99",
        "up:0",
        "save:3",
        "nonsense",
    ] {
        let fields = [("base", "1"), ("document", "{ \"routes\": [<"), ("do", action)];
        let answer = browser.post(EDIT, &fields).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 422),
            "{action}: {}",
            answer.raw
        );
        assert!(
            answer.raw.contains("[&#60;</textarea>"),
            "{action}: {}",
            answer.raw
        );
    }
    let large = "x".repeat(200_000);
    let fields = [("base", "1"), ("document", large.as_str()), ("do", "check")];
    let answer = browser.post(EDIT, &fields).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "large ones arrive"
    );
}

#[tokio::test]
async fn requests_are_tested_on_the_page() {
    let test = TestApp::start().await;
    let mut viewer = somebody(&test, 100, Role::Viewer).await;
    let ask = "/dashboard/policies?method=POST&path=%2Fv1%2Fmemory%2Fx&who=scopes&scopes=memory%3Aread";
    let page = viewer.get(ask).await.raw;
    assert!(
        page.contains("which the caller lacks") && page.contains("with 403"),
        "{page}"
    );
    assert!(
        !page.contains("name=\"credential\""),
        "viewers try no credentials"
    );
    let mut admin = somebody(&test, 101, Role::Admin).await;
    let wrong = [
        ("method", "GET"),
        ("path", "/v1/memory/x"),
        ("credential", "pc_live_nonsense"),
    ];
    let page = admin.post("/dashboard/policies/test", &wrong).await;
    assert!(page.raw.contains("with 401"), "{}", page.raw);
    assert!(!page.raw.contains("pc_live_nonsense"), "it is not said again");
}

#[tokio::test]
async fn others_see_an_outline() {
    let test = TestApp::start().await;
    let draft = with_route(
        &test,
        json!({"path": "/r", "origin": "https://inside.example", "scopes": ["admin"]}),
    );
    put(&test, &test.made.admin_key, Some("\"1\""), body(&draft)).await;
    test.clock.advance_ms(1000);
    let mut owner = stranger(&test, 700).await;
    let index = owner.get(INDEX).await;
    assert_eq!(index.status, StatusCode::OK);
    assert!(
        !index.raw.contains("inside.example") && !index.raw.contains("History"),
        "{}",
        index.raw
    );
    for path in [EDIT, "/dashboard/policies/versions/1/restore"] {
        assert_eq!(owner.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(
        owner.get("/dashboard/policies/versions/2").await.status,
        StatusCode::NOT_FOUND
    );
    let mut fields = vec![("base", "2"), ("do", "apply")];
    let document = draft.to_string();
    fields.push(("document", &document));
    assert_eq!(owner.post(EDIT, &fields).await.status, StatusCode::FORBIDDEN);
}
