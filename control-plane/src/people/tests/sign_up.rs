//! Sign-up: nothing exists before the link is confirmed, and no page tells who has an account.

use super::*;

const EMAIL: &str = "carol@example.com";

async fn sign_up(browser: &mut Browser<'_>, email: &str) -> Answer {
    let page = browser.get("/signup").await;
    assert_eq!(page.status, 200, "{}", page.raw);
    let fields = [
        ("email", email),
        ("name", "Carol"),
        ("org", "Carol's"),
        ("password", NEW),
    ];
    browser.post("/signup", &fields).await
}

async fn confirm(browser: &mut Browser<'_>, link: &str, password: &str) -> Answer {
    browser.get(link).await;
    let fields = [("token", token(link)), ("password", password)];
    browser.post("/signup/confirm", &fields).await
}

async fn exists(test: &TestApp, email: &str) -> bool {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    tx.is_email_taken(email).await.expect("asked")
}

#[tokio::test]
async fn an_account_exists_once_its_link_is_confirmed() {
    let test = TestApp::start_with(open).await;
    let mut browser = Browser::new(&test);
    let answer = sign_up(&mut browser, " Carol@Example.com ").await;
    assert_eq!(answer.status, 200);
    assert!(answer.raw.contains("Look into your mail"), "{}", answer.raw);
    let letter = last_to(&test, EMAIL).await;
    assert!(
        !letter.text.contains("Carol"),
        "nothing that a stranger chose: {}",
        letter.text
    );
    let link = letter.link(&test);

    // Opened by a scanner, and by a browser that does not know the password.
    let mut scanner = Browser::new(&test);
    for _ in 0..2 {
        let page = scanner.get(&link).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        assert_eq!(page.headers["cache-control"], "no-store");
    }
    let wrong = confirm(&mut scanner, &link, "another password").await;
    assert_eq!(wrong.status, 422, "{}", wrong.raw);
    assert!(!exists(&test, EMAIL).await);

    // Without a referrer browsers send no origin.
    browser.get(&link).await;
    let fields = [
        ("csrf", browser.csrf.clone()),
        ("token", token(&link).to_owned()),
        ("password", NEW.to_owned()),
    ];
    let headers = [
        ("origin", "null".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let answer = browser.post_exactly("/signup/confirm", &fields, &headers).await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/"),
        "{}",
        answer.raw
    );
    let page = browser.get("/account").await;
    assert!(
        page.raw.contains("Carol&#39;s") || page.raw.contains("Carol's"),
        "{}",
        page.raw
    );
    assert_eq!(Browser::new(&test).get(&link).await.status, 404, "it works once");
    assert_eq!(Browser::new(&test).try_sign_in(EMAIL, NEW).await.status, 303);

    let mut tx = test.app.store.begin_read().await.expect("tx");
    let account = tx.account_by_email(EMAIL).await.expect("asked").expect("one");
    assert_ne!(account.org, test.made.org);
    let membership = tx.membership(account.org, account.user).await.expect("asked");
    assert_eq!(membership.expect("one").role, crate::store::orgs::Role::Owner);
    drop(tx);
    assert_eq!(audited(&test, &account.org.to_string()).await, ["org.create"]);
    assert_eq!(audited(&test, &account.user.to_string()).await, ["user.create"]);
    assert_eq!(audited(&test, "new account").await, ["sign_up.request"]);
}

#[tokio::test]
async fn an_address_with_an_account_looks_like_any_other() {
    let test = TestApp::start_with(open).await;
    let known = test.made.admin_email.clone();
    let mut outcomes = Vec::new();
    for email in [known.as_str(), EMAIL] {
        let mut browser = Browser::new(&test);
        let before = waiting(&test).await.len();
        outcomes.push(shown(&sign_up(&mut browser, email).await));
        assert_eq!(waiting(&test).await.len(), before + 1, "one letter each");
    }
    assert_eq!(outcomes[0].0, 200);
    assert_eq!(outcomes[0], outcomes[1]);
    let letter = last_to(&test, &known).await;
    assert_eq!(letter.kind, "has_account");
    assert!(letter.text.contains("There is one already"), "{}", letter.text);
    assert!(!letter.text.contains("token="), "{}", letter.text);
    assert_eq!(last_to(&test, EMAIL).await.kind, "sign_up");
}

#[tokio::test]
async fn sign_up_is_closed_unless_it_is_opened() {
    let closed = TestApp::start_with(with_mail).await;
    let answer = Browser::new(&closed).get("/signup").await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.raw.contains("Ask an administrator for an invitation."),
        "{}",
        answer.raw
    );
    let answer = Browser::new(&closed).get("/signup/confirm?token=x").await;
    assert!(answer.raw.contains("Ask an administrator"), "{}", answer.raw);
    assert!(!Browser::new(&closed).get("/login").await.raw.contains("/signup"));
    let dev = TestApp::start_with(|config| config.dev = true).await;
    assert_eq!(Browser::new(&dev).get("/signup").await.status, 200);
    assert!(Browser::new(&dev).get("/login").await.raw.contains("/signup"));
}

#[tokio::test]
async fn an_address_gets_five_mails_in_an_hour() {
    let test = TestApp::start_with(open).await;
    for email in [EMAIL, test.made.admin_email.clone().as_str()] {
        let mut outcomes = Vec::new();
        for number in 0..6 {
            // From everywhere: it is the address that is counted.
            let mut browser = Browser::at(&test, &format!("198.51.100.{number}:4000"));
            outcomes.push(sign_up(&mut browser, email).await.status.as_u16());
        }
        assert_eq!(outcomes, [200, 200, 200, 200, 200, 429], "{email}");
    }
    let mut browser = Browser::at(&test, "198.51.100.99:4000");
    browser.get("/password/forgot").await;
    let answer = browser.post("/password/forgot", &[("email", EMAIL)]).await;
    assert_eq!(answer.status, 429, "one count for all that strangers send");
    assert_eq!(answer.headers["retry-after"], "3600");
    test.clock.advance_ms(HOUR - 1);
    assert_eq!(sign_up(&mut browser, EMAIL).await.status, 429);
    test.clock.advance_ms(1);
    assert_eq!(sign_up(&mut browser, EMAIL).await.status, 200);
}

#[tokio::test]
async fn a_client_address_sends_twenty_mails_in_an_hour() {
    let test = TestApp::start_with(open).await;
    let mut browser = Browser::at(&test, "[2001:db8:0:1::1]:5000");
    for number in 0..20 {
        browser.get("/password/forgot").await;
        let email = format!("user{number}@example.com");
        let answer = browser.post("/password/forgot", &[("email", &email)]).await;
        assert_eq!(answer.status, 200, "{number}");
    }
    let mut neighbour = Browser::at(&test, "[2001:db8:0:1:ffff::9]:5000");
    assert_eq!(sign_up(&mut neighbour, EMAIL).await.status, 429, "one /64");
    let mut elsewhere = Browser::at(&test, "[2001:db8:0:2::1]:5000");
    assert_eq!(sign_up(&mut elsewhere, EMAIL).await.status, 200);
}

/// Whoever typed another's address gets nothing by that other's click: the password is asked for, and guesses count.
#[tokio::test]
async fn a_link_without_its_password_is_worth_nothing() {
    let test = TestApp::start_with(open).await;
    sign_up(&mut Browser::new(&test), EMAIL).await;
    let link = last_to(&test, EMAIL).await.link(&test);
    let mut browser = Browser::at(&test, "198.51.100.1:4000");
    for _ in 0..10 {
        assert_eq!(confirm(&mut browser, &link, "a wrong password").await.status, 422);
    }
    assert_eq!(confirm(&mut browser, &link, NEW).await.status, 429);
    assert!(!exists(&test, EMAIL).await);
    test.clock.advance_ms(HOUR);
    assert_eq!(confirm(&mut browser, &link, NEW).await.status, 303);
}

#[tokio::test]
async fn a_link_runs_out_after_a_day() {
    let test = TestApp::start_with(open).await;
    let mut browser = Browser::new(&test);
    sign_up(&mut browser, EMAIL).await;
    let link = last_to(&test, EMAIL).await.link(&test);
    test.clock.advance_ms(DAY - 1);
    assert_eq!(browser.get(&link).await.status, 200);
    test.clock.advance_ms(1);
    assert_eq!(browser.get(&link).await.status, 404);
    let fields = [("token", token(&link)), ("password", NEW)];
    assert_eq!(browser.post("/signup/confirm", &fields).await.status, 404);
    assert!(!exists(&test, EMAIL).await);
}

#[tokio::test]
async fn of_two_sign_ups_for_one_address_one_wins() {
    let test = TestApp::start_with(open).await;
    let mut browser = Browser::new(&test);
    sign_up(&mut browser, EMAIL).await;
    let first = last_to(&test, EMAIL).await.link(&test);
    test.clock.advance_ms(1000);
    sign_up(&mut browser, EMAIL).await;
    let second = last_to(&test, EMAIL).await.link(&test);
    assert_ne!(first, second);
    assert_eq!(confirm(&mut browser, &second, NEW).await.status, 303);
    assert_eq!(Browser::new(&test).get(&first).await.status, 404);
}

#[tokio::test]
async fn what_was_typed_is_checked_and_forged_forms_are_refused() {
    let test = TestApp::start_with(open).await;
    let mut browser = Browser::new(&test);
    let fine = [
        ("email", EMAIL),
        ("name", "Carol"),
        ("org", "Acme"),
        ("password", NEW),
    ];
    for (field, value, expected) in [
        ("email", "carol", "not an e-mail address"),
        (
            "email",
            "carol@example.com\r\nBcc: x@example.com",
            "not an e-mail address",
        ),
        ("name", " ", "Your name needs"),
        ("name", "see https://evil.example", "Your name needs"),
        ("name", "go to evil.example", "no dot directly between"),
        ("org", "evil.example", "no dot directly between"),
        ("org", "a\u{202e}b", "organisation&#39;s name needs"),
        ("password", "too short", "at least 12 characters"),
    ] {
        browser.get("/signup").await;
        let fields = fine.map(|(name, old)| (name, if name == field { value } else { old }));
        let answer = browser.post("/signup", &fields).await;
        assert_eq!(answer.status, 422, "{field}={value:?}");
        assert!(answer.raw.contains(expected), "{field}={value:?}: {}", answer.raw);
        assert!(!answer.raw.contains(NEW), "a password is not shown again");
    }
    browser.csrf = "wrong".to_owned();
    assert_eq!(browser.post("/signup", &fine).await.status, 403);
    browser.get("/signup").await;
    let fields: Vec<_> = fine.map(|(name, value)| (name, value.to_owned())).into();
    let mut fields = fields;
    fields.push(("csrf", browser.csrf.clone()));
    for headers in [
        ("origin", "https://evil.example".to_owned()),
        ("origin", "null".to_owned()),
        ("sec-fetch-site", "cross-site".to_owned()),
    ] {
        let answer = browser
            .post_exactly("/signup", &fields, std::slice::from_ref(&headers))
            .await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    assert!(waiting(&test).await.is_empty());
}
