//! Changes to how somebody signs in need a sign-in that is recent.

use super::*;

#[tokio::test]
async fn after_ten_minutes_one_signs_in_again() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    test.clock.advance_ms(600_000);
    let page = browser.get("/account/totp").await;
    assert!(page.raw.contains("<svg "), "to the second");
    assert_eq!(browser.get("/account/password").await.status, 200);
    test.clock.advance_ms(1000);
    let page = browser.get("/account/totp").await;
    assert!(
        page.raw.contains("Sign in again to add an app") && !page.raw.contains("<svg "),
        "{}",
        page.raw
    );
    for path in [
        "/account/password",
        "/account/totp",
        "/account/totp/remove",
        "/account/totp/codes",
    ] {
        let answer = browser.post(path, &[("password", "x")]).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(
            location(&answer).ends_with("&why=recent"),
            "{}",
            location(&answer)
        );
    }
    for path in ["/account/passkeys", "/account/passkeys/x/remove"] {
        let answer = browser.post(path, &[("name", "x")]).await;
        assert_eq!(
            location(&answer),
            "/login?return_to=%2Faccount%2Fpasskeys&why=recent"
        );
    }
    let answer = browser.get("/account/password").await;
    assert_eq!(
        location(&answer),
        "/login?return_to=%2Faccount%2Fpassword&why=recent"
    );
    let page = browser.get(location(&answer)).await;
    assert!(page.raw.contains("show once more that it is you"), "{}", page.raw);
    // What is no change of this kind goes on.
    assert_eq!(browser.get("/account/sessions").await.status, 200);
    browser.sign_in().await;
    assert_eq!(browser.get("/account/password").await.status, 200);
}

#[tokio::test]
async fn a_change_does_not_count_as_a_sign_in() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    test.clock.advance_ms(500_000);
    add_app(&mut browser).await;
    test.clock.advance_ms(101_000);
    let page = browser.get("/account/totp").await;
    assert!(page.raw.contains("Sign in again to change this"), "{}", page.raw);
}

/// A session of before, however new, is not enough for somebody who has an authenticator app by now.
#[tokio::test]
async fn a_password_alone_is_no_recent_sign_in_of_somebody_with_an_app() {
    let test = TestApp::start().await;
    let user = add_member(&test, 7, "bob@example.com").await;
    let mut browser = Browser::new(&test);
    browser.try_sign_in("bob@example.com", PASSWORD).await;
    assert_eq!(browser.get("/account/password").await.status, 200);

    let secret = Secret::new([7; 20]);
    insert_app(&test, user, &secret).await;
    assert!(browser.is_signed_in().await);
    let answer = browser.get("/account/password").await;
    assert!(location(&answer).ends_with("&why=recent"), "{}", answer.raw);
    let answer = browser.post("/account/passkeys", &[("name", "x")]).await;
    assert!(location(&answer).ends_with("&why=recent"), "{}", answer.raw);

    browser.try_sign_in("bob@example.com", PASSWORD).await;
    browser.get("/login/code").await;
    let code = code(&test, &secret);
    assert_eq!(show_code(&mut browser, &code).await.status, 303);
    assert_eq!(browser.get("/account/password").await.status, 200);
}
