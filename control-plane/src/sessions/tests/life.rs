//! How long a session lives, when its secret changes, and how it ends.

use super::*;
use crate::http::address::ClientAddress;
use crate::sessions::attempts::Attempt;
use crate::sessions::{begin, current};

const DAY: u64 = 24 * HOUR;

async fn sid(browser: &Browser<'_>) -> Option<String> {
    let cookie = browser.session_cookie()?;
    let headers = [(
        header::COOKIE,
        format!("portcullis_session={cookie}").parse().expect("a header"),
    )];
    let session = current(&browser.test.app, &headers.into_iter().collect()).await;
    session.expect("asked").map(|session| session.sid.to_string())
}

#[tokio::test]
async fn a_session_ends_after_24_hours_without_use() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    assert!(!browser.is_signed_in().await);
    browser.sign_in().await;
    test.clock.advance_ms(DAY - 1);
    assert!(browser.is_signed_in().await, "one millisecond before");
    test.clock.advance_ms(DAY - 1);
    assert!(browser.is_signed_in().await, "the use before counted");
    test.clock.advance_ms(DAY);
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn a_session_ends_after_7_days_of_use() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    for _ in 0..13 {
        test.clock.advance_ms(DAY / 2);
        assert!(browser.is_signed_in().await);
    }
    test.clock.advance_ms(DAY / 2 - 1);
    assert!(browser.is_signed_in().await, "one millisecond before");
    test.clock.advance_ms(1);
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn signing_in_again_rotates_the_secret_and_keeps_the_session() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let (before, name) = (browser.cookies.clone(), sid(&browser).await);
    test.clock.advance_ms(6 * DAY / 7);
    browser.sign_in().await;
    assert_ne!(Some(&before["portcullis_session"]), browser.session_cookie());
    assert_eq!(sid(&browser).await, name, "tokens of this browser live on");
    assert_eq!(dead_sessions(&test).await, Vec::<String>::new());
    let mut thief = Browser::new(&test);
    thief.cookies = before;
    assert!(!thief.is_signed_in().await, "the old secret is dead");
    // Both the time of the proof and the seven days begin anew.
    let page = browser.get("/account").await.raw;
    assert!(page.contains("22 November 2026, 19:42 UTC"), "{page}");
}

#[tokio::test]
async fn somebody_else_in_the_same_browser_ends_the_session() {
    let test = TestApp::start().await;
    add_member(&test, 77, "bob@example.com").await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let first = sid(&browser).await.expect("a session");
    let answer = browser.try_sign_in("bob@example.com", PASSWORD).await;
    assert_eq!(answer.status, 303);
    assert_ne!(sid(&browser).await, Some(first.clone()));
    assert_eq!(dead_sessions(&test).await, [first]);
}

#[tokio::test]
async fn logging_out_ends_the_session_here_and_at_the_edge() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    assert!(browser.is_signed_in().await);
    let name = sid(&browser).await.expect("a session");
    let stolen = browser.cookies.clone();
    let answer = browser.post("/logout", &[]).await;
    assert_eq!((answer.status.as_u16(), location(&answer)), (303, "/login"));
    assert_eq!(browser.session_cookie(), None);
    browser.cookies = stolen;
    assert!(!browser.is_signed_in().await, "the cookie is worth nothing");
    assert_eq!(dead_sessions(&test).await, std::slice::from_ref(&name));
    assert_eq!(audited(&test, &name).await, ["session.begin", "session.end"]);
}

#[tokio::test]
async fn log_out_everywhere_ends_every_session_and_no_key() {
    let test = TestApp::start().await;
    add_member(&test, 77, "bob@example.com").await;
    let (mut here, mut there, mut bob) = (Browser::new(&test), Browser::new(&test), Browser::new(&test));
    here.sign_in().await;
    there.sign_in().await;
    bob.try_sign_in("bob@example.com", PASSWORD).await;
    let mut names = [sid(&here).await.expect("one"), sid(&there).await.expect("two")];
    here.get("/account/sessions").await;
    let answer = here.post("/account/sessions/end-all", &[]).await;
    assert_eq!(location(&answer), "/login");
    assert_eq!((sid(&here).await, sid(&there).await), (None, None));
    assert!(bob.is_signed_in().await, "others stay");
    let mut dead = dead_sessions(&test).await;
    dead.sort();
    names.sort();
    assert_eq!(dead, names);
    let keys = test.admin(Method::GET, "/v1/auth/keys", None).await;
    assert_eq!(keys.status, 200, "API keys stay");
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert_eq!(trail, ["session.end_all", "user.create"]);
}

#[tokio::test]
async fn log_out_everywhere_reaches_sessions_that_ran_out() {
    let test = TestApp::start().await;
    let mut old = Browser::new(&test);
    old.sign_in().await;
    let name = sid(&old).await.expect("a session");
    test.clock.advance_ms(2 * DAY);
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    browser.get("/account/sessions").await;
    browser.post("/account/sessions/end-all", &[]).await;
    assert!(
        dead_sessions(&test).await.contains(&name),
        "its tokens may still live"
    );
}

#[tokio::test]
async fn one_session_of_ones_own_can_be_ended_and_no_other() {
    let test = TestApp::start().await;
    add_member(&test, 77, "bob@example.com").await;
    let (mut here, mut there, mut bob) = (Browser::new(&test), Browser::new(&test), Browser::new(&test));
    here.sign_in().await;
    there.sign_in().await;
    bob.try_sign_in("bob@example.com", PASSWORD).await;
    let (theirs, bobs) = (sid(&there).await.expect("two"), sid(&bob).await.expect("three"));
    let page = here.get("/account/sessions").await.raw;
    assert_eq!(page.matches("/end\"").count(), 2, "{page}");
    assert_eq!(page.matches("this browser").count(), 1);
    for wrong in [bobs.as_str(), "ses_000000001", "nonsense"] {
        let answer = here.post(&format!("/account/sessions/{wrong}/end"), &[]).await;
        assert_eq!(answer.status, 404, "{wrong}");
        here.get("/account/sessions").await;
    }
    let answer = here.post(&format!("/account/sessions/{theirs}/end"), &[]).await;
    assert_eq!(location(&answer), "/account/sessions");
    assert!(here.is_signed_in().await && bob.is_signed_in().await);
    assert!(!there.is_signed_in().await);
    assert_eq!(dead_sessions(&test).await, [theirs]);
}

/// The old password was right a moment ago; meanwhile it was changed, and all sessions ended.
#[tokio::test]
async fn a_password_that_was_replaced_meanwhile_begins_nothing() {
    let test = TestApp::start().await;
    let address = ClientAddress(None);
    let mut tx = test.app.store.begin().await.expect("tx");
    let account = tx.account_by_email(&test.made.admin_email).await;
    let account = account.expect("asked").expect("an account");
    let new = tx
        .replace_password(account.user, &account.password_hash, "new")
        .await;
    assert!(new.expect("replaced"));
    tx.commit().await.expect("commit");
    let attempt = Attempt::new(&test.made.admin_email, address);
    let browser = begin::Browser::of(&axum::http::HeaderMap::new(), address);
    let begun = begin::begin(&test.app, &account, &attempt, browser, None, None).await;
    assert!(begun.expect("asked").is_none());
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let left = tx.sessions_not_ended(account.user).await.expect("list");
    assert!(left.is_empty());
}

#[tokio::test]
async fn a_suspended_member_is_not_signed_in() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    sqlx::query("UPDATE users SET deactivated_at = 1")
        .execute(&mut **sqlite)
        .await
        .expect("deactivated");
    tx.commit().await.expect("commit");
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn only_the_digest_is_stored() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    let cookie = browser.session_cookie().expect("a cookie");
    let secret = shared::crypto::from_base64url(cookie).expect("base64url");
    assert_eq!(secret.len(), 32, "256 bits");
    let now = test.app.clock.now();
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let rows = tx
        .sessions_of(test.made.user, shared::time::UnixMillis(0), now)
        .await
        .expect("rows");
    assert_eq!(rows[0].digest, shared::crypto::sha256(&secret));
}

/// The password was right a moment ago; meanwhile the member was suspended.
#[tokio::test]
async fn somebody_who_was_shut_out_meanwhile_begins_nothing() {
    let test = TestApp::start().await;
    let address = ClientAddress(None);
    let mut tx = test.app.store.begin().await.expect("tx");
    let account = tx.account_by_email(&test.made.admin_email).await;
    let account = account.expect("asked").expect("an account");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    sqlx::query("UPDATE memberships SET suspended_at = 1")
        .execute(&mut **sqlite)
        .await
        .expect("suspended");
    tx.commit().await.expect("commit");
    let attempt = Attempt::new(&test.made.admin_email, address);
    let browser = begin::Browser::of(&axum::http::HeaderMap::new(), address);
    let begun = begin::begin(&test.app, &account, &attempt, browser, None, None).await;
    assert!(begun.expect("asked").is_none());
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let left = tx.sessions_not_ended(account.user).await.expect("list");
    assert!(left.is_empty());
}
