//! Second factors as a browser and an authenticator use them: through the real router, with a clock that the test moves.

mod admin;
mod app;
mod authenticator;
mod passkeys;
mod second;
mod step_up;

use shared::id::UserId;

use super::totp::{self, Secret};
use crate::sessions::tests::{Browser, PASSWORD, add_member, audited, dead_sessions, location};
use crate::store::factors::Totp;
use crate::testing::{Answer, TestApp};

/// One time step.
const STEP: u64 = 30_000;

/// The value of a hidden field, or of any attribute that is written like one.
fn attribute(page: &str, before: &str) -> String {
    let (_, rest) = page
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {page}"));
    let value = rest.split('"').next().expect("an end");
    value
        .replace("&#34;", "\"")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
}

/// What an authenticator app reads on the page.
fn read_secret(page: &str) -> Secret {
    let (_, rest) = page.split_once("type it into the app: <code>").expect("a secret");
    let text = rest.split('<').next().expect("an end").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(text).expect("base32");
    Secret::from_slice(secret.as_bytes()).expect("20 bytes")
}

/// The recovery codes of a page that shows them.
fn read_codes(page: &str) -> Vec<String> {
    let parts = page.split("<li><code>").skip(1);
    parts
        .map(|part| part.split('<').next().expect("an end").to_owned())
        .collect()
}

/// Adds an authenticator app to whoever is signed in.
async fn add_app(browser: &mut Browser<'_>) -> (Secret, Vec<String>) {
    let page = browser.get("/account/totp").await.raw;
    let secret = read_secret(&page);
    let draft = attribute(&page, r#"name="draft" value=""#);
    let code = code(browser.test, &secret);
    let answer = browser
        .post("/account/totp", &[("draft", &draft), ("code", &code)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.raw);
    let codes = read_codes(&answer.raw);
    assert_eq!(codes.len(), 10, "{}", answer.raw);
    (secret, codes)
}

/// The code of now.
fn code(test: &TestApp, secret: &Secret) -> String {
    secret.code_at(test.clock.now().seconds())
}

/// Somebody with an authenticator app whose codes were never used.
async fn member_with_app(test: &TestApp, number: u64, email: &str) -> (UserId, Secret) {
    let user = add_member(test, number, email).await;
    let secret = Secret::new([u8::try_from(number).expect("small"); 20]);
    insert_app(test, user, &secret).await;
    (user, secret)
}

async fn insert_app(test: &TestApp, user: UserId, secret: &Secret) {
    let sealed = test.app.keyring.seal(&totp::row_context(user), secret.bytes());
    let row = Totp {
        user,
        sealed: sealed.expect("sealed"),
        last_step: 0,
        created_at: test.clock.now(),
    };
    let mut tx = test.app.store.begin().await.expect("tx");
    assert!(tx.insert_totp(&row).await.expect("a row"));
    tx.commit().await.expect("commit");
}

/// A browser after the right password of somebody with an authenticator app.
async fn half_way<'a>(test: &'a TestApp, address: &str, email: &str, password: &str) -> Browser<'a> {
    let mut browser = Browser::at(test, address);
    let answer = browser.try_sign_in(email, password).await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/login/code?return_to=%2F"),
        "{}",
        answer.raw
    );
    assert_eq!(
        browser.session_cookie(),
        None,
        "no session before the second factor"
    );
    let page = browser.get(location(&answer)).await;
    assert_eq!(page.status, 200, "{}", page.raw);
    browser
}

async fn show_code(browser: &mut Browser<'_>, code: &str) -> Answer {
    browser
        .post("/login/code", &[("return_to", "/account"), ("code", code)])
        .await
}

async fn show_recovery_code(browser: &mut Browser<'_>, code: &str) -> Answer {
    browser
        .post("/login/code", &[("return_to", "/account"), ("recovery", code)])
        .await
}
