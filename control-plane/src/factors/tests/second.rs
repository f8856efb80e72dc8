//! The second step of a sign-in.

use super::*;

const WINDOW: u64 = 900_000;
const EMAIL: &str = "bob@example.com";

async fn begin<'a>(test: &'a TestApp, address: &str) -> Browser<'a> {
    half_way(test, address, EMAIL, PASSWORD).await
}

#[tokio::test]
async fn a_code_after_the_password_signs_in() {
    let test = TestApp::start().await;
    let (user, secret) = member_with_app(&test, 77, EMAIL).await;
    let mut browser = begin(&test, "192.0.2.1:1").await;
    assert!(!browser.is_signed_in().await);
    browser.get("/login/code").await;
    let wrong = show_code(&mut browser, "000000").await;
    assert_eq!(wrong.status, 422);
    assert!(!browser.is_signed_in().await);
    browser.get("/login/code").await;
    let answer = show_code(&mut browser, &code(&test, &secret)).await;
    assert_eq!((answer.status.as_u16(), location(&answer)), (303, "/account"));
    assert!(browser.is_signed_in().await);
    assert!(
        !browser.cookies.contains_key("portcullis_pending"),
        "it is taken back"
    );
    assert!(browser.get("/account").await.raw.contains(EMAIL));
    let left = browser.get("/login/code").await;
    assert_eq!(
        location(&left),
        "/login?return_to=%2F",
        "there is nothing to go on with"
    );
    assert!(audited(&test, &user.to_string()).await.is_empty(), "no lock-out");
}

#[tokio::test]
async fn a_code_works_once() {
    let test = TestApp::start().await;
    let (_, secret) = member_with_app(&test, 77, EMAIL).await;
    let now = code(&test, &secret);
    let mut first = begin(&test, "192.0.2.1:1").await;
    assert_eq!(show_code(&mut first, &now).await.status, 303);
    let mut second = begin(&test, "192.0.2.2:1").await;
    assert_eq!(
        show_code(&mut second, &now).await.status,
        422,
        "the same code again"
    );
    let before = secret.code_at(shared::time::UnixSeconds(test.clock.now().seconds().0 - 30));
    assert_eq!(show_code(&mut second, &before).await.status, 422, "an older one");
    test.clock.advance_ms(STEP);
    assert_eq!(
        show_code(&mut second, &now).await.status,
        422,
        "in the next step too"
    );
    assert_eq!(show_code(&mut second, &code(&test, &secret)).await.status, 303);
}

#[tokio::test]
async fn the_code_that_added_the_app_is_used_up() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let (secret, _) = add_app(&mut browser).await;
    let mut other = half_way(&test, "192.0.2.2:1", &email, &password).await;
    assert_eq!(show_code(&mut other, &code(&test, &secret)).await.status, 422);
}

#[tokio::test]
async fn of_two_sign_ins_with_one_code_one_wins() {
    let test = TestApp::start().await;
    let (_, secret) = member_with_app(&test, 77, EMAIL).await;
    for _ in 0..4 {
        let (mut a, mut b) = (
            begin(&test, "192.0.2.1:1").await,
            begin(&test, "192.0.2.2:1").await,
        );
        let code = code(&test, &secret);
        let (a, b) = tokio::join!(show_code(&mut a, &code), show_code(&mut b, &code));
        let mut outcomes = [a.status.as_u16(), b.status.as_u16()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, [303, 422]);
        test.clock.advance_ms(STEP);
    }
}

#[tokio::test]
async fn of_two_answers_of_one_browser_one_wins() {
    let test = TestApp::start().await;
    let (_, secret) = member_with_app(&test, 77, EMAIL).await;
    let mut browser = begin(&test, "192.0.2.1:1").await;
    let mut copy = Browser::at(&test, "192.0.2.1:2");
    copy.cookies = browser.cookies.clone();
    copy.csrf.clone_from(&browser.csrf);
    assert_eq!(show_code(&mut browser, &code(&test, &secret)).await.status, 303);
    test.clock.advance_ms(STEP);
    let again = show_code(&mut copy, &code(&test, &secret)).await;
    assert_eq!(
        location(&again),
        "/login?return_to=%2Faccount",
        "the wait is over"
    );
    assert_eq!(copy.session_cookie(), None);
}

#[tokio::test]
async fn codes_of_the_steps_beside_now_work() {
    let test = TestApp::start().await;
    let (_, secret) = member_with_app(&test, 77, EMAIL).await;
    for (offset, expected) in [(-2i64, 422), (-1, 303), (0, 303), (1, 303), (2, 422)] {
        let mut browser = begin(&test, "192.0.2.1:1").await;
        let at = test
            .clock
            .now()
            .seconds()
            .0
            .checked_add_signed(offset * 30)
            .expect("a time");
        let answer = show_code(&mut browser, &secret.code_at(shared::time::UnixSeconds(at))).await;
        assert_eq!(answer.status.as_u16(), expected, "{offset}");
        test.clock.advance_ms(4 * STEP);
    }
}

#[tokio::test]
async fn the_wait_ends_after_five_minutes() {
    let test = TestApp::start().await;
    let (_, secret) = member_with_app(&test, 77, EMAIL).await;
    let (mut early, mut late) = (
        begin(&test, "192.0.2.1:1").await,
        begin(&test, "192.0.2.2:1").await,
    );
    test.clock.advance_ms(299_999);
    assert_eq!(show_code(&mut early, &code(&test, &secret)).await.status, 303);
    test.clock.advance_ms(1);
    let answer = show_code(&mut late, &code(&test, &secret)).await;
    assert_eq!(location(&answer), "/login?return_to=%2Faccount");
    assert_eq!(late.session_cookie(), None);
}

#[tokio::test]
async fn a_new_password_ends_the_wait() {
    let test = TestApp::start().await;
    let (user, secret) = member_with_app(&test, 77, EMAIL).await;
    let mut browser = begin(&test, "192.0.2.1:1").await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let (_, hash) = tx.user_secret(user).await.expect("asked").expect("a user");
    let old = hash.expect("a hash");
    assert!(
        tx.replace_password(user, &old, "another")
            .await
            .expect("replaced")
    );
    tx.commit().await.expect("commit");
    assert_eq!(show_code(&mut browser, &code(&test, &secret)).await.status, 422);
    assert_eq!(browser.session_cookie(), None);
}

#[tokio::test]
async fn five_wrong_codes_lock_the_second_step() {
    let test = TestApp::start().await;
    let (user, secret) = member_with_app(&test, 77, EMAIL).await;
    let mut browser = begin(&test, "192.0.2.1:1").await;
    for attempt in 1..=5 {
        assert_eq!(
            show_code(&mut browser, "000000").await.status,
            422,
            "attempt {attempt}"
        );
    }
    let locked = show_code(&mut browser, &code(&test, &secret)).await;
    assert_eq!(locked.status, 429, "with the right code too");
    assert_eq!(locked.headers["retry-after"], "900");
    // Neither another place nor the right password, once more, takes anything back.
    let mut elsewhere = begin(&test, "[2001:db8::1]:5000").await;
    assert_eq!(show_code(&mut elsewhere, &code(&test, &secret)).await.status, 429);
    assert_eq!(
        show_recovery_code(&mut elsewhere, "aaaa-aaaa-aaaa-aaaa")
            .await
            .status,
        429
    );
    assert_eq!(audited(&test, &user.to_string()).await, ["sign_in.lock_out"]);
    test.clock.advance_ms(WINDOW);
    let mut later = begin(&test, "[2001:db8::1]:5000").await;
    assert_eq!(show_code(&mut later, &code(&test, &secret)).await.status, 303);
}

#[tokio::test]
async fn twenty_wrong_codes_lock_an_address() {
    let test = TestApp::start().await;
    let mut secret = None;
    for number in 0..5 {
        let email = format!("user{number}@example.com");
        let (_, theirs) = member_with_app(&test, 100 + number, &email).await;
        let mut browser = half_way(&test, "[2001:db8:0:1::1]:5000", &email, PASSWORD).await;
        if number < 4 {
            for _ in 0..5 {
                assert_eq!(show_code(&mut browser, "000000").await.status, 422);
            }
        } else {
            assert_eq!(show_code(&mut browser, &code(&test, &theirs)).await.status, 429);
            secret = Some(theirs);
        }
    }
    let secret = secret.expect("the last one's");
    let email = "user4@example.com";
    let mut elsewhere = half_way(&test, "[2001:db8:0:2::1]:5000", email, PASSWORD).await;
    assert_eq!(
        show_code(&mut elsewhere, &code(&test, &secret)).await.status,
        303,
        "refused for their address, they were not counted for the account"
    );
}

#[tokio::test]
async fn development_is_generous() {
    let test = TestApp::start_with(|config| config.dev = true).await;
    assert_eq!(test.app.config.factor_failures_per_account(), 100_000);
    assert_eq!(test.app.config.factor_failures_per_address(), 100_000);
}

#[tokio::test]
async fn a_recovery_code_works_once() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let (_, codes) = add_app(&mut browser).await;
    let (mut a, mut b) = (
        half_way(&test, "192.0.2.1:1", &email, &password).await,
        half_way(&test, "192.0.2.2:1", &email, &password).await,
    );
    let typed = codes[3].to_uppercase();
    let (first, second) = tokio::join!(
        show_recovery_code(&mut a, &typed),
        show_recovery_code(&mut b, &codes[3])
    );
    let mut outcomes = [first.status.as_u16(), second.status.as_u16()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [303, 422]);
    let page = browser.get("/account/totp").await.raw;
    assert!(page.contains("You have 9 recovery codes left."), "{page}");
    let trail = audited(&test, &test.made.user.to_string()).await;
    let uses = trail.iter().filter(|action| *action == "recovery_code.use");
    assert_eq!(uses.count(), 1, "{trail:?}");
}

#[tokio::test]
async fn nothing_tells_of_an_app_before_the_password_was_right() {
    let test = TestApp::start().await;
    member_with_app(&test, 77, EMAIL).await;
    add_member(&test, 78, "carol@example.com").await;
    let mut outcomes = Vec::new();
    for email in [EMAIL, "carol@example.com", "nobody@example.com"] {
        let mut browser = Browser::new(&test);
        let answer = browser.try_sign_in(email, "wrong password").await;
        let id = answer.headers["x-request-id"].to_str().expect("text");
        let shown = answer
            .raw
            .replace(&browser.csrf, "CSRF")
            .replace(id, "ID")
            .replace(email, "EMAIL");
        assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["portcullis_form"]);
        outcomes.push((answer.status, shown));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[1], outcomes[2]);
}

#[tokio::test]
async fn the_form_must_be_the_browser_s_own() {
    let test = TestApp::start().await;
    let (_, secret) = member_with_app(&test, 77, EMAIL).await;
    let mut browser = begin(&test, "192.0.2.1:1").await;
    let other = begin(&test, "192.0.2.2:1").await;
    let code = code(&test, &secret);
    for csrf in [String::new(), other.csrf.clone()] {
        let fields = [("csrf", csrf), ("code", code.clone())];
        assert_eq!(
            browser.post_exactly("/login/code", &fields, &[]).await.status,
            403
        );
    }
    let own = [("csrf", browser.csrf.clone()), ("code", code.clone())];
    let foreign = [("origin", "https://evil.example".to_owned())];
    assert_eq!(
        browser.post_exactly("/login/code", &own, &foreign).await.status,
        403
    );
    let led = [("return_to", "https://evil.example"), ("code", code.as_str())];
    assert_eq!(browser.post("/login/code", &led).await.status, 400);
    assert_eq!(show_code(&mut browser, &code).await.status, 303);
}

/// The sign-in that was begun before is over, and no session comes of a code.
#[tokio::test]
async fn somebody_who_was_shut_out_meanwhile_is_not_signed_in() {
    let test = TestApp::start().await;
    let (user, secret) = member_with_app(&test, 7, "bob@example.com").await;
    let mut browser = half_way(&test, "192.0.2.9:1", "bob@example.com", PASSWORD).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    sqlx::query("UPDATE memberships SET suspended_at = 1 WHERE user_id = 7")
        .execute(&mut **sqlite)
        .await
        .expect("suspended");
    tx.commit().await.expect("commit");
    let code = code(&test, &secret);
    assert_eq!(show_code(&mut browser, &code).await.status, 422);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert!(tx.sessions_not_ended(user).await.expect("list").is_empty());
}
