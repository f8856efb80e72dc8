//! How often somebody may try, and that nothing tells an account that exists from one that does not.

use super::*;

const WINDOW: u64 = 900_000;
const UNKNOWN: &str = "nobody@example.com";

/// What an attempt shows to the one who makes it, without what differs between any two requests.
fn shown(answer: &Answer, browser: &Browser<'_>, email: &str) -> (u16, String, Vec<String>) {
    let id = answer.headers["x-request-id"].to_str().expect("text");
    let text = answer
        .raw
        .replace(&browser.csrf, "CSRF")
        .replace(id, "ID")
        .replace(email, "EMAIL");
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (answer.status.as_u16(), text, names)
}

#[tokio::test]
async fn an_unknown_account_looks_like_a_wrong_password() {
    let test = TestApp::start().await;
    let known = test.made.admin_email.clone();
    let mut outcomes = Vec::new();
    for email in [known.as_str(), UNKNOWN] {
        let mut browser = Browser::new(&test);
        let before = verified(&test);
        let answer = browser.try_sign_in(email, "wrong password").await;
        assert_eq!(verified(&test), before + 1, "one argon2id run for {email}");
        assert_eq!(answer.status, 422);
        assert!(
            answer
                .raw
                .contains("The e-mail address or the password is wrong.")
        );
        assert_eq!(browser.session_cookie(), None);
        outcomes.push(shown(&answer, &browser, email));
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

#[tokio::test]
async fn an_account_is_locked_after_ten_failures_known_or_not() {
    let test = TestApp::start().await;
    let (known, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut outcomes = Vec::new();
    for email in [known.as_str(), UNKNOWN] {
        let mut browser = Browser::new(&test);
        for attempt in 1..=10 {
            let answer = browser.try_sign_in(email, "wrong password").await;
            assert_eq!(answer.status, 422, "attempt {attempt}");
        }
        let before = verified(&test);
        let answer = browser.try_sign_in(email, "wrong password").await;
        assert_eq!(answer.headers["retry-after"], "900");
        assert_eq!(verified(&test), before, "no work for those who are locked out");
        outcomes.push(shown(&answer, &browser, email));
    }
    assert_eq!(outcomes[0].0, 429);
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].1.contains("Wait 15 minutes"), "{}", outcomes[0].1);

    // From anywhere, with the right password too; written in another way it is the same account.
    let mut elsewhere = Browser::at(&test, "[2001:db8::1]:5000");
    let answer = elsewhere.try_sign_in(&known.to_uppercase(), &password).await;
    assert_eq!(answer.status, 429);
    let trail = audited(&test, &test.made.user.to_string()).await;
    let lock_outs = trail.iter().filter(|action| *action == "sign_in.lock_out");
    assert_eq!(lock_outs.count(), 1, "one row, not one per attempt");
    test.clock.advance_ms(WINDOW - 1);
    assert_eq!(elsewhere.try_sign_in(&known, &password).await.status, 429);
    test.clock.advance_ms(1);
    assert_eq!(elsewhere.try_sign_in(&known, &password).await.status, 303);
}

#[tokio::test]
async fn an_address_is_locked_after_fifty_failures() {
    let test = TestApp::start().await;
    let (known, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::at(&test, "[2001:db8:0:1::1]:5000");
    for attempt in 0..50 {
        let answer = browser
            .try_sign_in(&format!("user{attempt}@example.com"), "wrong password")
            .await;
        assert_eq!(answer.status, 422, "attempt {attempt}");
    }
    let mut neighbour = Browser::at(&test, "[2001:db8:0:1:ffff::9]:5000");
    assert_eq!(
        neighbour.try_sign_in(&known, &password).await.status,
        429,
        "one /64"
    );
    assert_eq!(audited(&test, "address").await, ["sign_in.lock_out"]);
    // Refused attempts count for the address alone: the account is not locked with it.
    for _ in 0..20 {
        neighbour.try_sign_in(&known, "wrong password").await;
    }
    let mut elsewhere = Browser::at(&test, "[2001:db8:0:2::1]:5000");
    assert_eq!(elsewhere.try_sign_in(&known, &password).await.status, 303);
}

#[tokio::test]
async fn a_right_password_is_not_a_failure() {
    let test = TestApp::start().await;
    let (known, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    for _ in 0..6 {
        for _ in 0..9 {
            assert_eq!(browser.try_sign_in(&known, "wrong password").await.status, 422);
        }
        // More than fifty attempts are made here, of which fewer are failures.
        assert_eq!(browser.try_sign_in(&known, &password).await.status, 303);
        test.clock.advance_ms(WINDOW / 2);
    }
    for _ in 0..55 {
        assert_eq!(browser.try_sign_in(&known, &password).await.status, 303);
    }
}

/// Each costs an argon2id run, whoever knows the password.
#[tokio::test]
async fn a_right_password_counts_sixty_times() {
    let test = TestApp::start().await;
    let (known, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    add_member(&test, 7, "bob@example.com").await;
    let mut browser = Browser::new(&test);
    for attempt in 1..=60 {
        let answer = browser.try_sign_in(&known, &password).await;
        assert_eq!(answer.status, 303, "{attempt}");
    }
    let before = verified(&test);
    let answer = browser.try_sign_in(&known.to_uppercase(), &password).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["retry-after"]),
        (429, &"900".parse().expect("a value"))
    );
    assert_eq!(verified(&test), before, "no work for those who are locked out");
    assert_eq!(browser.try_sign_in("bob@example.com", PASSWORD).await.status, 303);
    test.clock.advance_ms(WINDOW);
    assert_eq!(browser.try_sign_in(&known, &password).await.status, 303);
}

#[tokio::test]
async fn an_owner_of_one_account_can_not_wash_their_address() {
    let test = TestApp::start().await;
    let (known, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    for attempt in 0..50 {
        if attempt % 10 == 0 {
            assert_eq!(browser.try_sign_in(&known, &password).await.status, 303);
        }
        let email = format!("user{attempt}@example.com");
        assert_eq!(browser.try_sign_in(&email, "wrong").await.status, 422);
    }
    assert_eq!(browser.try_sign_in(&known, &password).await.status, 429);
}

#[tokio::test]
async fn guesses_at_the_same_time_all_count() {
    let test = TestApp::start_with(|config| config.sign_in.failures_per_account = Some(2)).await;
    let guess = async || {
        let answer = Browser::new(&test).try_sign_in(UNKNOWN, "wrong").await;
        answer.status.as_u16()
    };
    let (a, b, c, d) = tokio::join!(guess(), guess(), guess(), guess());
    let mut outcomes = [a, b, c, d];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [422, 422, 429, 429]);
}

#[tokio::test]
async fn development_is_generous() {
    let test = TestApp::start_with(|config| config.dev = true).await;
    assert_eq!(test.app.config.sign_in_failures_per_account(), 100_000);
    assert_eq!(test.app.config.sign_in_successes_per_account(), 100_000);
    let set = TestApp::start_with(|config| config.sign_in.failures_per_account = Some(2)).await;
    let mut browser = Browser::new(&set);
    for expected in [422, 422, 429] {
        assert_eq!(browser.try_sign_in(UNKNOWN, "wrong").await.status, expected);
    }
}
