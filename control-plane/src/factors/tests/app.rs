//! The authenticator app: added, given new recovery codes, removed.

use super::*;

#[tokio::test]
async fn an_app_counts_once_its_code_was_right() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let page = browser.get("/account/totp").await.raw;
    assert!(page.contains("<svg "), "{page}");
    let (secret, draft) = (read_secret(&page), attribute(&page, r#"name="draft" value=""#));
    let wrong = browser
        .post("/account/totp", &[("draft", &draft), ("code", "000000")])
        .await;
    assert_eq!(wrong.status, 422);
    assert_eq!(
        read_secret(&wrong.raw).bytes(),
        secret.bytes(),
        "the same secret: it was scanned already"
    );
    let mut other = Browser::new(&test);
    assert_eq!(
        location(&other.try_sign_in(&email, &password).await),
        "/",
        "nothing is on before"
    );
    // A draft is its session's own.
    other.get("/account/totp").await;
    let stolen = other
        .post(
            "/account/totp",
            &[("draft", &draft), ("code", &code(&test, &secret))],
        )
        .await;
    assert_eq!(stolen.status, 422, "{}", stolen.raw);

    let before = browser.session_cookie().cloned();
    add_app(&mut browser).await;
    assert_ne!(
        browser.session_cookie().cloned(),
        before,
        "the session's secret is new"
    );
    assert!(browser.is_signed_in().await);
    let page = browser.get("/account/totp").await.raw;
    assert!(page.contains("You have 10 recovery codes left."), "{page}");
    assert!(!page.contains("<svg "), "the secret is not shown again");
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"totp.add".to_owned()), "{trail:?}");
}

#[tokio::test]
async fn a_draft_ends_after_five_minutes_and_counts_once() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let page = browser.get("/account/totp").await.raw;
    let (secret, draft) = (read_secret(&page), attribute(&page, r#"name="draft" value=""#));
    test.clock.advance_ms(300_000);
    let late = browser
        .post(
            "/account/totp",
            &[("draft", &draft), ("code", &code(&test, &secret))],
        )
        .await;
    assert_eq!(late.status, 422);
    assert!(late.raw.contains("That took too long."), "{}", late.raw);

    let draft = attribute(&late.raw, r#"name="draft" value=""#);
    let secret = read_secret(&late.raw);
    let fields = [("draft", draft.as_str()), ("code", &code(&test, &secret))];
    assert_eq!(browser.post("/account/totp", &fields).await.status, 200);
    let password = test.made.admin_password.clone();
    browser.get("/account/totp").await;
    let removed = browser
        .post("/account/totp/remove", &[("password", &password)])
        .await;
    assert_eq!(removed.status, 303, "{}", removed.raw);
    browser.get("/account/totp").await;
    assert_eq!(
        browser.post("/account/totp", &fields).await.status,
        400,
        "an old secret does not come back"
    );
}

#[tokio::test]
async fn the_secret_is_sealed_and_codes_are_digests() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let (secret, codes) = add_app(&mut browser).await;
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let row = tx.totp(test.made.user).await.expect("asked").expect("a row");
    assert!(!row.sealed.windows(20).any(|window| window == secret.bytes()));
    let elsewhere = totp::row_context(UserId::from_u64(99).expect("small"));
    assert!(
        test.app.keyring.open(&elsewhere, &row.sealed).is_err(),
        "in its own row only"
    );
    drop(tx);
    let letters = codes[0].replace('-', "");
    let mut tx = test.app.store.begin().await.expect("tx");
    let digest = shared::crypto::sha256(letters.as_bytes());
    let now = test.clock.now();
    assert!(
        tx.use_recovery_code(test.made.user, &digest, now)
            .await
            .expect("asked")
    );
}

#[tokio::test]
async fn removal_needs_the_password() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    add_app(&mut browser).await;
    let before = browser.session_cookie().cloned();
    let refused = browser
        .post("/account/totp/remove", &[("password", "wrong")])
        .await;
    assert_eq!(refused.status, 422);
    assert!(refused.raw.contains("The password is wrong."), "{}", refused.raw);
    half_way(&test, "192.0.2.9:1", &email, &password).await;
    let removed = browser
        .post("/account/totp/remove", &[("password", &password)])
        .await;
    assert_eq!(
        (removed.status.as_u16(), location(&removed)),
        (303, "/account/totp")
    );
    assert_ne!(
        browser.session_cookie().cloned(),
        before,
        "the session's secret is new"
    );
    assert!(browser.is_signed_in().await);
    let mut other = Browser::new(&test);
    assert_eq!(location(&other.try_sign_in(&email, &password).await), "/");
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"totp.remove".to_owned()), "{trail:?}");
}

#[tokio::test]
async fn passwords_that_are_guessed_at_removal_count() {
    let test = TestApp::start().await;
    let password = test.made.admin_password.clone();
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    add_app(&mut browser).await;
    for _ in 0..10 {
        let refused = browser
            .post("/account/totp/remove", &[("password", "wrong")])
            .await;
        assert_eq!(refused.status, 422);
    }
    let locked = browser
        .post("/account/totp/remove", &[("password", &password)])
        .await;
    assert_eq!(locked.status, 429);
}

#[tokio::test]
async fn new_recovery_codes_void_the_old() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let (_, old) = add_app(&mut browser).await;
    let answer = browser.post("/account/totp/codes", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.raw);
    let new = read_codes(&answer.raw);
    assert_eq!(new.len(), 10);
    let mut other = half_way(&test, "192.0.2.9:1", &email, &password).await;
    assert_eq!(show_recovery_code(&mut other, &old[0]).await.status, 422);
    assert_eq!(show_recovery_code(&mut other, &new[0]).await.status, 303);
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"recovery_codes.renew".to_owned()), "{trail:?}");
}

/// Whoever has a session from before, perhaps with a stolen password, does not keep it.
#[tokio::test]
async fn an_app_ends_the_other_sessions() {
    let test = TestApp::start().await;
    let mut stranger = Browser::at(&test, "192.0.2.9:1");
    stranger.sign_in().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let bystander = add_member(&test, 7, "bob@example.com").await;
    let mut bob = Browser::at(&test, "192.0.2.7:1");
    bob.try_sign_in("bob@example.com", PASSWORD).await;

    add_app(&mut browser).await;
    assert!(!stranger.is_signed_in().await);
    assert_eq!(
        dead_sessions(&test).await.len(),
        1,
        "the edge is told, of that one only"
    );
    assert!(bob.is_signed_in().await, "{bystander} is somebody else");
    assert!(browser.is_signed_in().await);
    let page = browser.get("/account/totp").await.raw;
    assert!(
        !page.contains("Sign in again to change this"),
        "it has shown a code: {page}"
    );
}
