//! A new password.

use super::*;

const NEW: &str = "correct horse battery";

async fn change(browser: &mut Browser<'_>, current: &str, new: &str, repeat: &str) -> Answer {
    browser.get("/account/password").await;
    let fields = [("current", current), ("new", new), ("repeat", repeat)];
    browser.post("/account/password", &fields).await
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let test = TestApp::start().await;
    let (email, old) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let (mut here, mut there) = (Browser::new(&test), Browser::new(&test));
    here.sign_in().await;
    there.sign_in().await;
    let before = here.cookies.clone();
    let answer = change(&mut here, &old, NEW, NEW).await;
    assert_eq!(location(&answer), "/account?password-changed", "{}", answer.raw);
    assert!(
        here.get(location(&answer))
            .await
            .raw
            .contains("Your password was changed.")
    );
    assert!(here.is_signed_in().await);
    assert!(!there.is_signed_in().await);
    assert_eq!(dead_sessions(&test).await.len(), 1);
    let mut thief = Browser::new(&test);
    thief.cookies = before;
    assert!(!thief.is_signed_in().await, "the secret was rotated");
    let mut new = Browser::new(&test);
    assert_eq!(new.try_sign_in(&email, &old).await.status, 422);
    assert_eq!(new.try_sign_in(&email, NEW).await.status, 303);
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"user.change_password".to_owned()), "{trail:?}");
}

#[tokio::test]
async fn the_current_password_is_asked_for_and_guesses_count() {
    let test = TestApp::start().await;
    let (email, old) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let refused = async |browser: &mut Browser<'_>, current: &str, new: &str, repeat: &str| {
        let answer = change(browser, current, new, repeat).await;
        assert_eq!(answer.status, 422, "{}", answer.raw);
        answer.raw
    };
    let before = verified(&test);
    assert!(
        refused(&mut browser, &old, "too short", "too short")
            .await
            .contains("12 characters")
    );
    assert!(
        refused(&mut browser, &old, NEW, "another")
            .await
            .contains("repeated")
    );
    assert!(
        refused(&mut browser, &old, &old, &old)
            .await
            .contains("current one")
    );
    assert_eq!(verified(&test), before);
    for _ in 0..10 {
        let page = refused(&mut browser, "wrong", NEW, NEW).await;
        assert!(page.contains("The current password is wrong."));
    }
    assert_eq!(change(&mut browser, &old, NEW, NEW).await.status, 429);
    let mut new = Browser::new(&test);
    assert_eq!(
        new.try_sign_in(&email, &old).await.status,
        429,
        "one count for both"
    );
    test.clock.advance_ms(900_000);
    assert_eq!(
        new.try_sign_in(&email, &old).await.status,
        303,
        "nothing was changed"
    );
}
