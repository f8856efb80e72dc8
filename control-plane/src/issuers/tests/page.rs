//! Trusted issuers as an administrator sees them in a browser without JavaScript; and who settles whose an issuer is.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{World, key};
use crate::dashboard::tests::{somebody, stranger};
use crate::policies::tests::other_org;
use crate::sessions::tests::location;
use crate::store::orgs::Role;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn an_issuer_is_found_trusted_changed_and_removed() {
    let world = World::start().await;
    let mut browser = somebody(&world.test, 100, Role::Admin).await;
    assert!(
        browser
            .get("/dashboard/issuers")
            .await
            .raw
            .contains("No other issuer is trusted")
    );
    let bad = json!({"kty": "oct", "kid": "secret", "k": "AAAA"});
    world
        .idp
        .say(|says| says.keys = json!({"keys": [key("one", 1), bad]}));
    let url = world.idp.url.clone();
    let new = "/dashboard/issuers/new";
    let looked = browser
        .post(new, &[("issuer", url.as_str()), ("do", "look")])
        .await;
    assert_eq!(looked.status, StatusCode::OK, "{}", looked.raw);
    assert!(
        looked.raw.contains("Found 1 keys") && looked.raw.contains("left out"),
        "{}",
        looked.raw
    );
    assert!(
        looked.raw.contains(&format!("value=\"{url}\"")),
        "what was typed stays"
    );
    let fields = [
        ("issuer", url.as_str()),
        ("audiences", "api"),
        ("scope.memory:read", "on"),
        ("scope_claim", "realm_access.roles"),
        ("scope_values", "reader=memory:read\r\n"),
        ("workspace", "all"),
        ("do", "create"),
    ];
    let without = browser
        .post(new, &[("issuer", url.as_str()), ("do", "create")])
        .await;
    assert_eq!(
        without.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        without.raw
    );
    let made = browser.post(new, &fields).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.raw);
    let path = location(&made).to_owned();
    let page = browser.get(&path).await.raw;
    for words in [
        "keys fresh",
        "realm_access.roles",
        "reader = memory:read",
        "1 are not fit",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let post =
        async |browser: &mut crate::sessions::tests::Browser<'_>, verb: &str, fields: &[(&str, &str)]| {
            browser.post(&format!("{path}/{verb}"), fields).await
        };
    assert_eq!(
        post(&mut browser, "block", &[("subject", "auth0|<x>")])
            .await
            .status,
        StatusCode::SEE_OTHER
    );
    assert!(browser.get(&path).await.raw.contains("auth0|&#60;x&#62;</code>"));
    post(&mut browser, "unblock", &[("subject", "auth0|<x>")]).await;
    assert!(browser.get(&path).await.raw.contains("Nobody. Blocking stops"));
    let edit = browser.get(&format!("{path}/edit")).await.raw;
    assert!(edit.contains(
        "id=\"scope.memory:read\" name=\"scope.memory:read\" type=\"checkbox\" value=\"on\" checked"
    ));
    let changed = [("audiences", "api other"), ("scope.memory:write", "on")];
    assert_eq!(
        post(&mut browser, "edit", &changed).await.status,
        StatusCode::SEE_OTHER
    );
    let page = browser.get(&path).await.raw;
    assert!(
        page.contains("api, other") && page.contains("memory:write"),
        "{page}"
    );
    let too_soon = post(&mut browser, "refresh", &[]).await;
    assert!(matches!(too_soon.status.as_u16(), 303 | 422), "{}", too_soon.raw);

    let mut viewer = somebody(&world.test, 101, Role::Viewer).await;
    let seen = viewer.get(&path).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert!(!seen.raw.contains("/remove"), "viewers change nothing");
    world.test.clock.advance_ms(1000);
    let mut other = stranger(&world.test, 700).await;
    for page in [path.clone(), format!("{path}/edit"), format!("{path}/remove")] {
        assert_eq!(other.get(&page).await.status, StatusCode::NOT_FOUND, "{page}");
    }

    let mistyped = post(&mut browser, "remove", &[("confirm", "yes")]).await;
    assert_eq!(mistyped.status, StatusCode::UNPROCESSABLE_ENTITY);
    let removed = post(&mut browser, "remove", &[("confirm", url.as_str())]).await;
    assert_eq!(location(&removed), "/dashboard/issuers");
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND);
}

/// Somebody takes an issuer who does not own it; the operator takes it away, and its owner can have it.
#[tokio::test]
async fn the_operator_settles_who_has_an_issuer() {
    let world = World::start().await;
    let test = &world.test;
    let squatter = other_org(test).await;
    let body = world.body(json!({}));
    let path = "/v1/issuers?wait=none";
    let taken = test.call(Method::POST, path, &squatter, Some(body.clone())).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{taken:?}");
    let refused = world.post("", body.clone()).await;
    assert_eq!(refused.outcome(), (409, "issuer_taken"));
    let id = refused.text("id");
    assert_eq!(id, taken.text("id"), "the operator is told which");

    // Nothing else of it is theirs.
    let one = format!("/v1/issuers/{id}");
    assert_eq!(
        test.admin(Method::GET, &one, None).await.outcome(),
        (404, "not_found")
    );
    let change = json!({"scopes": ["admin"]});
    let refused = test.admin(Method::PATCH, &one, Some(change)).await;
    assert_eq!(refused.outcome(), (404, "not_found"));
    let removed = test
        .admin(Method::DELETE, &format!("{one}?wait=none"), None)
        .await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    assert_eq!(world.entry().await.binding, None);
    let own = world.trust(json!({})).await;

    // The other way round it is nobody's business.
    let refused = test.call(Method::POST, path, &squatter, Some(body)).await;
    assert_eq!(refused.outcome(), (409, "issuer_taken"));
    assert!(!refused.raw.contains(&own), "{refused:?}");
    let own = format!("/v1/issuers/{own}?wait=none");
    let refused = test.call(Method::DELETE, &own, &squatter, None).await;
    assert_eq!(refused.outcome(), (404, "not_found"));
}
