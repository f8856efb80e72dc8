//! People in several organisations.

use super::*;

#[tokio::test]
async fn a_switch_rotates_the_cookie_and_is_remembered() {
    let test = TestApp::start().await;
    let other = add_org(&test, 500, "Elsewhere", test.made.user).await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let page = browser.get("/account").await.raw;
    assert!(
        page.contains("Switch to Elsewhere") && !page.contains("Switch to Default"),
        "{page}"
    );
    let before = browser.cookies.clone();
    // Later than the sign-in.
    test.clock.advance_ms(1000);
    let answer = browser.post("/account/org", &[("org", &other.to_string())]).await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/account"),
        "{}",
        answer.raw
    );
    assert_ne!(
        before["portcullis_session"],
        *browser.session_cookie().expect("one")
    );
    let page = browser.get("/account").await.raw;
    assert!(
        page.contains("Switch to Default") && page.contains(&other.to_string()),
        "{page}"
    );
    let mut thief = Browser::new(&test);
    thief.cookies = before;
    assert!(!thief.is_signed_in().await, "the secret was rotated");
    assert!(dead_sessions(&test).await.is_empty(), "apps keep what they have");
    let sid = {
        let mut tx = test.app.store.begin_read().await.expect("tx");
        tx.sessions_not_ended(test.made.user).await.expect("list")[0].to_string()
    };
    assert_eq!(
        audited(&test, &sid).await,
        ["session.begin", "session.switch_org"]
    );

    let mut later = Browser::new(&test);
    later.sign_in().await;
    assert!(
        later.get("/account").await.raw.contains("Switch to Default"),
        "where they were last"
    );
    test.clock.advance_ms(1000);
    let answer = later
        .post("/account/org", &[("org", &test.made.org.to_string())])
        .await;
    assert_eq!(answer.status, 303);
    browser = Browser::new(&test);
    browser.sign_in().await;
    assert!(browser.get("/account").await.raw.contains("Switch to Elsewhere"));
}

#[tokio::test]
async fn only_ones_own_organisations_and_only_with_a_form_of_ours() {
    let test = TestApp::start().await;
    let bob = add_member(&test, 77, "bob@example.com").await;
    let theirs = add_org(&test, 500, "Bob's", bob).await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    for wrong in [theirs.to_string(), "org_000000009".to_owned(), String::new()] {
        browser.get("/account").await;
        let answer = browser.post("/account/org", &[("org", &wrong)]).await;
        assert_eq!(answer.status, 404, "{wrong}");
    }
    let own = add_org(&test, 501, "Own", test.made.user).await;
    browser.csrf = "wrong".to_owned();
    assert_eq!(
        browser
            .post("/account/org", &[("org", &own.to_string())])
            .await
            .status,
        403
    );
    let mut tx = test.app.store.begin().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    sqlx::query("UPDATE memberships SET suspended_at = 1 WHERE org_id = 501")
        .execute(&mut **sqlite)
        .await
        .expect("suspended");
    tx.commit().await.expect("commit");
    assert!(!browser.get("/account").await.raw.contains("Switch to Own"));
    assert_eq!(
        browser
            .post("/account/org", &[("org", &own.to_string())])
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_new_pages_are_protected_and_run_no_script() {
    let test = TestApp::start_with(open).await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    for path in ["/signup", "/password/forgot", "/account/apps", "/account"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'"),
            "{policy}"
        );
        assert!(policy.contains("form-action 'self'"), "{policy}");
        for inline in ["<script", "<style", " style=", " onclick=", "javascript:"] {
            assert!(!answer.raw.contains(inline), "{path} has {inline}");
        }
        let labels = answer.raw.matches("<label ").count();
        let hidden = answer.raw.matches(r#"type="hidden""#).count();
        let fields = answer.raw.matches("<input ").count() + answer.raw.matches("<select ").count() - hidden;
        assert_eq!(labels, fields, "every field of {path} has a label");
    }
    let icon = browser.get("/favicon.ico").await;
    assert_eq!(icon.status, 200);
    assert_eq!(icon.headers["content-type"], "image/svg+xml");
}
