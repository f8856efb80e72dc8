//! The pages of the record, in a browser without JavaScript: audit, webhooks, retention, settings.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{by_hand, seal, start, write};
use crate::dashboard::tests::{somebody, stranger};
use crate::sessions::tests::{HOUR, location};
use crate::store::orgs::Role;
use crate::testing::{TestApp, member};

#[tokio::test]
async fn an_admin_searches_exports_and_checks_the_trail() {
    let test = start(None).await;
    write(&test, Some(test.made.org), 60).await;
    seal(&test).await;
    let mut browser = somebody(&test, 100, Role::Admin).await;
    let page = browser.get("/dashboard/audit?action=test.write").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.raw);
    assert!(
        page.raw.contains("thing 59") && !page.raw.contains("thing 9<"),
        "{}",
        page.raw
    );
    let (_, rest) = page
        .raw
        .split_once("href=\"/dashboard/audit?action=test.write&#38;after=")
        .expect("a next page");
    let next = format!(
        "/dashboard/audit?action=test.write&after={}",
        rest.split('"').next().expect("an end")
    );
    assert!(browser.get(&next).await.raw.contains("thing 9<"));
    for (query, status) in [
        ("?from=2026-01-01&to=2026-12-31&actor=system", 200),
        ("?after=x", 400),
        ("?who=me", 400),
        ("?trail=installation", 200),
    ] {
        let answer = browser.get(&format!("/dashboard/audit{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query} {}", answer.raw);
    }
    let empty = browser.get("/dashboard/audit?action=nothing").await;
    assert!(empty.raw.contains("No entry fits"));
    let csv = browser
        .get("/dashboard/audit/export?form=csv&target=thing+7")
        .await;
    assert_eq!(
        csv.headers["content-type"],
        "text/csv; charset=utf-8; header=present"
    );
    assert!(csv.raw.contains("\"thing 7\"") && !csv.raw.contains("\"thing 8\""));
    assert!(
        browser
            .get("/dashboard/audit/verify")
            .await
            .raw
            .contains("Every entry is there")
    );
    by_hand(
        &test,
        "UPDATE audit SET actor = 'usr_000000009' WHERE target = 'thing 30'",
    )
    .await;
    let found = browser.get("/dashboard/audit/verify").await;
    assert!(
        found.raw.contains("was tampered with") && found.raw.contains("position 35"),
        "{}",
        found.raw
    );
    // Another organisation's owner sees nothing of it, and not the installation's trail.
    let mut other = stranger(&test, 900).await;
    let theirs = other.get("/dashboard/audit?action=test.write").await;
    assert!(!theirs.raw.contains("thing "), "{}", theirs.raw);
    assert_eq!(
        other.get("/dashboard/audit?trail=installation").await.status,
        StatusCode::FORBIDDEN
    );
    for path in [
        "/dashboard/audit/export?trail=installation",
        "/dashboard/audit/verify?trail=installation",
    ] {
        assert_eq!(other.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_webhook_is_made_changed_switched_and_removed() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, Role::Admin).await;
    assert!(
        browser
            .get("/dashboard/webhooks")
            .await
            .raw
            .contains("No webhooks yet")
    );
    browser.get("/dashboard/webhooks/new").await;
    let refused = browser
        .post(
            "/dashboard/webhooks/new",
            &[("url", "http://example.com/"), ("key.*", "on")],
        )
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.raw.contains("must be an https address")
            && refused.raw.contains("value=\"http://example.com/\"")
    );
    let fields = [
        ("url", "https://example.com/hooks"),
        ("description", "a <b>"),
        ("key.*", "on"),
        ("others", "user.erased"),
    ];
    let made = browser.post("/dashboard/webhooks/new", &fields).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.raw);
    assert!(made.raw.contains("value=\"whsec_"), "{}", made.raw);
    let (_, rest) = made
        .raw
        .split_once("href=\"/dashboard/webhooks/whk_")
        .expect("a link");
    let path = format!(
        "/dashboard/webhooks/whk_{}",
        rest.split('"').next().expect("an end")
    );
    let shown = browser.get(&path).await;
    assert!(
        !shown.raw.contains("whsec_")
            && !shown.raw.contains("a <b>")
            && shown.raw.contains("value=\"user.erased\""),
        "{}",
        shown.raw
    );
    // A message, and the same again.
    test.create_key(json!({"name": "ci", "scope": "read"})).await;
    let with = browser.get(&path).await.raw;
    let (_, rest) = with.split_once("name=\"message\" value=\"").expect("a message");
    let message = rest.split('"').next().expect("an end").to_owned();
    for (tail, fields) in [
        ("/ping", vec![]),
        ("/replay", vec![("message", message.as_str())]),
        ("/switch", vec![("enabled", "no")]),
        ("", vec![("url", "https://example.com/other"), ("user.*", "on")]),
    ] {
        let done = browser.post(&format!("{path}{tail}"), &fields).await;
        assert_eq!(
            (done.status, location(&done)),
            (StatusCode::SEE_OTHER, path.as_str()),
            "{tail} {}",
            done.raw
        );
    }
    let off = browser
        .post(&format!("{path}/replay"), &[("message", &message)])
        .await;
    assert_eq!(off.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", off.raw);
    assert!(
        browser
            .get(&path)
            .await
            .raw
            .contains("disabled by an administrator")
    );
    let secret = browser.post(&format!("{path}/rotate"), &[]).await;
    assert!(secret.raw.contains("value=\"whsec_") && secret.raw.contains("two signatures"));
    // Not another's.
    let mut other = stranger(&test, 900).await;
    assert_eq!(other.get(&path).await.status, StatusCode::NOT_FOUND);
    for tail in ["", "/ping", "/switch", "/rotate", "/remove", "/replay"] {
        let answer = other
            .post(
                &format!("{path}{tail}"),
                &[
                    ("url", "https://example.com/"),
                    ("key.*", "on"),
                    ("message", &message),
                ],
            )
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{tail}");
    }
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let mistyped = browser
        .post(&format!("{path}/remove"), &[("confirm", "whk")])
        .await;
    assert_eq!(mistyped.status, StatusCode::UNPROCESSABLE_ENTITY);
    let gone = browser.post(&format!("{path}/remove"), &[("confirm", &id)]).await;
    assert_eq!(location(&gone), "/dashboard/webhooks");
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn an_owner_sets_and_erases_and_signs_in_again_for_it() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, Role::Owner).await;
    let settings = browser.get("/dashboard/settings").await;
    assert_eq!(settings.status, StatusCode::OK, "{}", settings.raw);
    assert!(settings.raw.contains("memory:read") && settings.raw.contains("Rotate"));
    let wrong = browser
        .post("/dashboard/settings", &[("of", "keys"), ("key_max_days", "soon")])
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.raw.contains("Give whole days") && wrong.raw.contains("value=\"soon\""));
    let saved = browser
        .post(
            "/dashboard/settings",
            &[("of", "keys"), ("key_max_days", "90"), ("rotation_renews", "on")],
        )
        .await;
    assert_eq!(location(&saved), "/dashboard/settings", "{}", saved.raw);
    browser
        .post(
            "/dashboard/settings",
            &[("of", "signing"), ("api_key_signer_days", "30")],
        )
        .await;
    browser.get("/dashboard/retention").await;
    let kept = browser
        .post("/dashboard/retention", &[("address_days", "30")])
        .await;
    assert_eq!(location(&kept), "/dashboard/retention", "{}", kept.raw);
    let view = test.admin(Method::GET, "/v1/settings", None).await.body;
    assert_eq!(
        view["keys"],
        json!({"max_days": 90, "remind_days": null, "rotation_renews": true})
    );
    assert_eq!(
        (
            &view["signing"]["api_key_days"],
            &view["retention"]["set"]["address_days"]
        ),
        (&json!(30), &json!(30))
    );

    let (user, _) = {
        test.admin(Method::PATCH, "/v1/settings", Some(json!({"key_max_days": null})))
            .await;
        member(&test, 12, Role::Member).await
    };
    assert!(
        browser
            .get("/dashboard/retention")
            .await
            .raw
            .contains("Nobody to erase")
    );
    test.admin(
        Method::POST,
        &format!("/v1/memberships/{user}/deactivate?wait=none"),
        None,
    )
    .await;
    let path = format!("/dashboard/retention/erase/{user}");
    assert!(browser.get("/dashboard/retention").await.raw.contains(&path));
    assert!(browser.get(&path).await.raw.contains("The key under which"));
    // After a while they sign in once more, for this and for rotating a signing key.
    test.clock.advance_ms(HOUR);
    let again = browser.get(&path).await;
    assert!(location(&again).starts_with("/login?return_to="), "{again:?}");
    let again = browser.post(&path, &[("confirm", &user.to_string())]).await;
    assert!(location(&again).starts_with("/login?return_to="), "{again:?}");
    let again = browser
        .post("/dashboard/settings/rotate", &[("purpose", "access_token")])
        .await;
    assert!(location(&again).starts_with("/login?return_to="), "{again:?}");
    browser
        .try_sign_in("100@example.com", crate::sessions::tests::PASSWORD)
        .await;
    browser.get(&path).await;
    let mistyped = browser.post(&path, &[("confirm", "yes")]).await;
    assert_eq!(mistyped.status, StatusCode::UNPROCESSABLE_ENTITY);
    let erased = browser.post(&path, &[("confirm", &user.to_string())]).await;
    assert_eq!(location(&erased), "/dashboard/retention", "{}", erased.raw);
    assert!(
        browser
            .get("/dashboard/retention")
            .await
            .raw
            .contains("Erased person")
    );
    browser
        .get("/dashboard/settings/rotate?purpose=access_token")
        .await;
    let rotated = browser
        .post("/dashboard/settings/rotate", &[("purpose", "access_token")])
        .await;
    assert_eq!(location(&rotated), "/dashboard/settings", "{}", rotated.raw);
    assert!(browser.get("/dashboard/settings").await.raw.contains("pending"));
    // An owner of another organisation neither sees nor erases them, nor rotates keys of all.
    let mut other = stranger(&test, 900).await;
    assert_eq!(other.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        other.post(&path, &[("confirm", &user.to_string())]).await.status,
        StatusCode::NOT_FOUND
    );
    assert!(
        !other
            .get("/dashboard/settings")
            .await
            .raw
            .contains("Rotation by schedule")
    );
    let refused = other
        .post("/dashboard/settings/rotate", &[("purpose", "feed")])
        .await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        refused.raw
    );
}
