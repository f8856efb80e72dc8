//! A forgotten password.

use super::*;

async fn ask(browser: &mut Browser<'_>, email: &str) -> Answer {
    browser.get("/password/forgot").await;
    browser.post("/password/forgot", &[("email", email)]).await
}

async fn choose(browser: &mut Browser<'_>, link: &str, new: &str, repeat: &str) -> Answer {
    browser.get(link).await;
    let fields = [("token", token(link)), ("new", new), ("repeat", repeat)];
    browser.post("/password/reset", &fields).await
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_every_link() {
    let test = TestApp::start_with(with_mail).await;
    let (email, old) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let (mut here, mut there) = (Browser::new(&test), Browser::new(&test));
    here.sign_in().await;
    there.sign_in().await;
    let mut visitor = Browser::new(&test);
    ask(&mut visitor, &email).await;
    let first = last_to(&test, &email).await.link(&test);
    test.clock.advance_ms(1000);
    ask(&mut visitor, &email.to_uppercase()).await;
    let second = last_to(&test, &email).await.link(&test);
    test.clock.advance_ms(1000);
    // Guesses locked the account; whoever has the mail gets in again.
    for _ in 0..11 {
        visitor.try_sign_in(&email, "wrong password").await;
    }
    assert_eq!(visitor.try_sign_in(&email, &old).await.status, 429);

    for _ in 0..2 {
        let page = visitor.get(&second).await;
        assert_eq!(
            (page.status.as_u16(), &page.headers["referrer-policy"]),
            (200, &"no-referrer".parse().expect("a value"))
        );
    }
    assert!(here.is_signed_in().await, "opening the link does nothing");
    let short = choose(&mut visitor, &second, "too short", "too short").await;
    assert_eq!(short.status, 422, "{}", short.raw);
    assert_eq!(
        choose(&mut visitor, &second, NEW, "another one").await.status,
        422
    );
    let answer = choose(&mut visitor, &second, NEW, NEW).await;
    assert_eq!(answer.status, 200);
    assert!(answer.raw.contains("Your password was changed"), "{}", answer.raw);

    assert!(!here.is_signed_in().await && !there.is_signed_in().await);
    assert_eq!(
        dead_sessions(&test).await.len(),
        2,
        "their tokens are dead at the edge too"
    );
    assert_eq!(visitor.get(&second).await.status, 404, "it works once");
    assert_eq!(visitor.get(&first).await.status, 404, "no other link is left");
    let again = [("token", token(&second)), ("new", NEW), ("repeat", NEW)];
    assert_eq!(visitor.post("/password/reset", &again).await.status, 404);
    assert_eq!(visitor.try_sign_in(&email, &old).await.status, 422);
    assert_eq!(
        visitor.try_sign_in(&email, NEW).await.status,
        303,
        "not locked out any more"
    );
    assert_eq!(last_to(&test, &email).await.kind, "password_changed");
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"user.forgot_password".to_owned()), "{trail:?}");
    assert!(trail.contains(&"user.reset_password".to_owned()), "{trail:?}");
}

#[tokio::test]
async fn an_unknown_address_looks_like_any_other_and_gets_no_mail() {
    let test = TestApp::start_with(with_mail).await;
    let known = test.made.admin_email.clone();
    let mut outcomes = Vec::new();
    for email in [known.as_str(), "nobody@example.com"] {
        let before = waiting(&test).await.len();
        outcomes.push(shown(&ask(&mut Browser::new(&test), email).await));
        assert_eq!(
            waiting(&test).await.len(),
            before + 1,
            "one letter each, for the same work"
        );
    }
    assert_eq!(outcomes[0].0, 200);
    assert_eq!(outcomes[0], outcomes[1]);
    let letters = waiting(&test).await;
    let to: Vec<_> = letters.iter().filter_map(|letter| letter.to.as_deref()).collect();
    assert_eq!(to, [known.as_str()]);
    // What nobody was sent opens nothing.
    let orphan = letters.iter().find(|letter| letter.to.is_none()).expect("one");
    assert_eq!(Browser::new(&test).get(&orphan.link(&test)).await.status, 404);
    assert_eq!(audited(&test, "unknown account").await, ["user.forgot_password"]);
}

#[tokio::test]
async fn a_link_runs_out_after_half_an_hour() {
    let test = TestApp::start_with(with_mail).await;
    let email = test.made.admin_email.clone();
    let mut browser = Browser::new(&test);
    ask(&mut browser, &email).await;
    let link = last_to(&test, &email).await.link(&test);
    test.clock.advance_ms(30 * 60_000 - 1);
    assert_eq!(browser.get(&link).await.status, 200);
    test.clock.advance_ms(1);
    assert_eq!(choose(&mut browser, &link, NEW, NEW).await.status, 404);
    assert_eq!(browser.try_sign_in(&email, NEW).await.status, 422);
}

#[tokio::test]
async fn a_change_of_the_password_ends_links_and_is_told_by_mail() {
    let test = TestApp::start_with(with_mail).await;
    let (email, old) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    ask(&mut Browser::new(&test), &email).await;
    let link = last_to(&test, &email).await.link(&test);
    test.clock.advance_ms(1000);
    browser.get("/account/password").await;
    let fields = [("current", old.as_str()), ("new", NEW), ("repeat", NEW)];
    assert_eq!(browser.post("/account/password", &fields).await.status, 303);
    assert_eq!(browser.get(&link).await.status, 404);
    assert_eq!(last_to(&test, &email).await.kind, "password_changed");
}

#[tokio::test]
async fn a_link_of_one_kind_opens_no_other_page() {
    let test = TestApp::start_with(open).await;
    let email = test.made.admin_email.clone();
    let mut browser = Browser::new(&test);
    ask(&mut browser, &email).await;
    let link = last_to(&test, &email).await.link(&test);
    for page in ["/signup/confirm", "/invitation"] {
        let answer = browser.get(&format!("{page}?token={}", token(&link))).await;
        assert_eq!(answer.status, 404, "{page}");
        assert!(
            answer.raw.contains("This link does not work any more"),
            "{}",
            answer.raw
        );
    }
    for wrong in ["", "?token=", "?token=link_x", "?other=1"] {
        assert_eq!(
            browser.get(&format!("/password/reset{wrong}")).await.status,
            404,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn without_mail_the_page_says_so() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    let answer = browser.get("/password/forgot").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.raw.contains("This installation cannot send mail"),
        "{}",
        answer.raw
    );
    assert!(!browser.get("/login").await.raw.contains("/password/forgot"));
    let body = Some(json!({"email": "bob@example.com", "role": "member"}));
    let answer = test.admin(Method::POST, "/v1/invitations", body).await;
    assert_eq!(answer.outcome(), (503, "no_mail"));
}
