//! Passkeys: added, used, renamed, removed, and misused.

use serde_json::Value;

use super::authenticator::Authenticator;
use super::*;
use crate::sessions::tests::HOUR;

const PAGE: &str = "/account/passkeys";

async fn start() -> TestApp {
    TestApp::start_with(|config| config.issuer = "http://localhost:7070".to_owned()).await
}

/// What a page asks an authenticator, and the sealed challenge.
fn asked(page: &str) -> (Value, String) {
    let options = attribute(page, r#"data-options=""#);
    let state = attribute(page, r#"name="state" value=""#);
    (serde_json::from_str(&options).expect("JSON"), state)
}

async fn add(browser: &mut Browser<'_>, device: &mut Authenticator, name: &str) -> Answer {
    let (options, state) = asked(&browser.get(PAGE).await.raw);
    let credential = device.create(&options);
    let fields = [("state", &*state), ("credential", &credential), ("name", name)];
    browser.post(PAGE, &fields).await
}

/// A browser whose user has added this device.
async fn with_passkey<'a>(test: &'a TestApp, device: &mut Authenticator) -> Browser<'a> {
    let mut browser = Browser::new(test);
    browser.sign_in().await;
    let answer = add(&mut browser, device, "Laptop").await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, PAGE),
        "{}",
        answer.raw
    );
    browser
}

async fn send(browser: &mut Browser<'_>, state: &str, credential: &str) -> Answer {
    let fields = [
        ("return_to", "/account"),
        ("state", state),
        ("credential", credential),
    ];
    browser.post("/login/passkey", &fields).await
}

async fn sign_in(browser: &mut Browser<'_>, device: &Authenticator) -> Answer {
    let (options, state) = asked(&browser.get("/login").await.raw);
    send(browser, &state, &device.get(&options)).await
}

fn id(page: &str) -> String {
    let (_, rest) = page.split_once("/account/passkeys/").expect("a passkey");
    rest.split('/').next().expect("an end").to_owned()
}

#[tokio::test]
async fn a_passkey_signs_in_alone() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    add_app(&mut browser).await;
    let before = browser.session_cookie().cloned();
    assert_eq!(add(&mut browser, &mut device, "Laptop").await.status, 303);
    assert_ne!(
        browser.session_cookie().cloned(),
        before,
        "the session's secret is new"
    );
    let page = browser.get(PAGE).await.raw;
    assert!(page.contains("Laptop") && page.contains("Never used"), "{page}");

    let mut other = Browser::new(&test);
    let answer = sign_in(&mut other, &device).await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/account"),
        "both factors at once: {}",
        answer.raw
    );
    assert!(other.is_signed_in().await);
    assert!(other.get("/account").await.raw.contains(&test.made.admin_email));
    assert!(other.get(PAGE).await.raw.contains("Last used"));
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"passkey.add".to_owned()), "{trail:?}");
}

#[tokio::test]
async fn a_passkey_is_renamed_and_removed() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    let mut browser = with_passkey(&test, &mut device).await;
    let id = id(&browser.get(PAGE).await.raw);
    let rename = format!("{PAGE}/{id}/rename");
    assert_eq!(browser.post(&rename, &[("name", "Phone")]).await.status, 303);
    assert_eq!(browser.post(&rename, &[("name", "a\u{202e}b")]).await.status, 422);
    assert!(browser.get(PAGE).await.raw.contains("Phone"));

    // Nobody else's.
    add_member(&test, 77, "bob@example.com").await;
    let mut bob = Browser::new(&test);
    bob.try_sign_in("bob@example.com", PASSWORD).await;
    bob.get(PAGE).await;
    for action in ["rename", "remove"] {
        let answer = bob.post(&format!("{PAGE}/{id}/{action}"), &[("name", "x")]).await;
        assert_eq!(answer.status, 404, "{action}");
    }
    let before = browser.session_cookie().cloned();
    let removed = browser.post(&format!("{PAGE}/{id}/remove"), &[]).await;
    assert_eq!((removed.status.as_u16(), location(&removed)), (303, PAGE));
    assert_ne!(
        browser.session_cookie().cloned(),
        before,
        "the session's secret is new"
    );
    assert_eq!(sign_in(&mut Browser::new(&test), &device).await.status, 422);
    assert_eq!(
        browser.post(&format!("{PAGE}/{id}/remove"), &[]).await.status,
        403,
        "an old form"
    );
    let trail = audited(&test, &test.made.user.to_string()).await;
    for action in ["passkey.add", "passkey.rename", "passkey.remove"] {
        assert!(trail.contains(&action.to_owned()), "{trail:?}");
    }
}

#[tokio::test]
async fn a_challenge_is_answered_once() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    let mut browser = with_passkey(&test, &mut device).await;
    let mut other = Browser::new(&test);
    let (options, state) = asked(&other.get("/login").await.raw);
    let answer = device.get(&options);
    let csrf = other.csrf.clone();
    assert_eq!(send(&mut other, &state, &answer).await.status, 303);
    // The device does not count, so only the challenge tells that this was seen before.
    other.csrf.clone_from(&csrf);
    assert_eq!(send(&mut other, &state, &answer).await.status, 422);

    let (mut a, mut b) = (Browser::new(&test), Browser::new(&test));
    let (options, state) = asked(&a.get("/login").await.raw);
    b.cookies = a.cookies.clone();
    b.csrf.clone_from(&a.csrf);
    let answer = device.get(&options);
    let (a, b) = tokio::join!(send(&mut a, &state, &answer), send(&mut b, &state, &answer));
    let mut outcomes = [a.status.as_u16(), b.status.as_u16()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [303, 422]);

    // A registration's too.
    let (options, state) = asked(&browser.get(PAGE).await.raw);
    let mut second = Authenticator::new(2);
    let credential = second.create(&options);
    let fields = [("state", &*state), ("credential", &credential), ("name", "Phone")];
    assert_eq!(browser.post(PAGE, &fields).await.status, 303);
    let id = base64_digest(2);
    browser.get(PAGE).await;
    assert_eq!(
        browser.post(&format!("{PAGE}/{id}/remove"), &[]).await.status,
        303
    );
    browser.get(PAGE).await;
    assert_eq!(
        browser.post(PAGE, &fields).await.status,
        422,
        "it does not come back"
    );
}

fn base64_digest(number: u8) -> String {
    shared::crypto::base64url(&shared::crypto::sha256(&[number; 32]))
}

#[tokio::test]
async fn a_challenge_lives_for_five_minutes_in_one_browser() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    let mut browser = with_passkey(&test, &mut device).await;
    let mut other = Browser::new(&test);
    let (options, state) = asked(&other.get("/login").await.raw);
    let answer = device.get(&options);
    test.clock.advance_ms(300_000);
    assert_eq!(send(&mut other, &state, &answer).await.status, 422);
    let (options, state) = asked(&other.get("/login").await.raw);
    let answer = device.get(&options);
    test.clock.advance_ms(299_999);
    let mut thief = Browser::new(&test);
    thief.get("/login").await;
    assert_eq!(
        send(&mut thief, &state, &answer).await.status,
        422,
        "another browser's"
    );
    assert_eq!(send(&mut other, &state, &answer).await.status, 303);
    // A challenge to sign in adds nothing, nor the other way round.
    test.clock.advance_ms(HOUR / 60);
    let (options, state) = asked(&other.get("/login").await.raw);
    browser.sign_in().await;
    browser.get(PAGE).await;
    let credential = Authenticator::new(3).get(&options);
    let fields = [("state", &*state), ("credential", &credential), ("name", "x")];
    assert_eq!(browser.post(PAGE, &fields).await.status, 422);
}

#[tokio::test]
async fn the_counter_must_go_up() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    device.counter = 5;
    with_passkey(&test, &mut device).await;
    device.counter = 6;
    assert_eq!(sign_in(&mut Browser::new(&test), &device).await.status, 303);
    for counter in [6, 5, 0] {
        device.counter = counter;
        assert_eq!(
            sign_in(&mut Browser::new(&test), &device).await.status,
            422,
            "{counter}"
        );
    }
    let trail = audited(&test, &test.made.user.to_string()).await;
    assert!(trail.contains(&"passkey.suspect".to_owned()), "{trail:?}");
    device.counter = 7;
    assert_eq!(sign_in(&mut Browser::new(&test), &device).await.status, 303);
}

#[tokio::test]
async fn the_device_must_check_who_holds_it() {
    let test = start().await;
    let mut careless = Authenticator::new(2);
    careless.verifies = false;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    assert_eq!(add(&mut browser, &mut careless, "Key").await.status, 422);
    let mut device = Authenticator::new(1);
    assert_eq!(add(&mut browser, &mut device, "Laptop").await.status, 303);
    device.verifies = false;
    assert_eq!(sign_in(&mut Browser::new(&test), &device).await.status, 422);
    device.verifies = true;
    assert_eq!(sign_in(&mut Browser::new(&test), &device).await.status, 303);
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_refused() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    with_passkey(&test, &mut device).await;
    for origin in [
        "http://localhost:7071",
        "https://localhost:7070",
        "http://evil.example",
    ] {
        device.origin = origin.to_owned();
        assert_eq!(
            sign_in(&mut Browser::new(&test), &device).await.status,
            422,
            "{origin}"
        );
    }
    device.origin = "http://localhost:7070".to_owned();
    let own = device.handle.clone();
    device.handle = [&own[..15], &[own[15] ^ 1]].concat();
    assert_eq!(
        sign_in(&mut Browser::new(&test), &device).await.status,
        422,
        "another user"
    );
    device.handle = own;
    let mut stranger = Authenticator::new(9);
    stranger.handle.clone_from(&device.handle);
    assert_eq!(
        sign_in(&mut Browser::new(&test), &stranger).await.status,
        422,
        "another key"
    );
    let mut browser = Browser::new(&test);
    browser.get("/login").await;
    for nonsense in ["", "{}", "null", "[1]"] {
        assert_eq!(send(&mut browser, "x", nonsense).await.status, 422, "{nonsense}");
    }
    assert_eq!(sign_in(&mut Browser::new(&test), &device).await.status, 303);
}

#[tokio::test]
async fn a_passkey_is_one_user_s() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    let mut browser = with_passkey(&test, &mut device).await;
    assert_eq!(add(&mut browser, &mut device, "Again").await.status, 422);
    add_member(&test, 77, "bob@example.com").await;
    let mut bob = Browser::new(&test);
    bob.try_sign_in("bob@example.com", PASSWORD).await;
    let handle = device.handle.clone();
    assert_eq!(add(&mut bob, &mut device, "Mine now").await.status, 422);
    device.handle = handle;
    let mut other = Browser::new(&test);
    sign_in(&mut other, &device).await;
    assert!(other.get("/account").await.raw.contains(&test.made.admin_email));
}

#[tokio::test]
async fn twenty_wrong_passkeys_lock_an_address() {
    let test = start().await;
    let mut device = Authenticator::new(1);
    with_passkey(&test, &mut device).await;
    let mut browser = Browser::at(&test, "203.0.113.5:1");
    for _ in 0..20 {
        browser.get("/login").await;
        assert_eq!(send(&mut browser, "x", "{}").await.status, 422);
    }
    assert_eq!(sign_in(&mut browser, &device).await.status, 429);
    assert_eq!(
        sign_in(&mut Browser::new(&test), &device).await.status,
        303,
        "elsewhere it works"
    );
}

#[tokio::test]
async fn without_a_name_there_are_no_passkeys() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    let page = browser.get("/login").await;
    assert!(
        !page.raw.contains("passkey") && !page.raw.contains("<script"),
        "{}",
        page.raw
    );
    assert_eq!(send(&mut browser, "x", "{}").await.status, 422);
    browser.sign_in().await;
    let page = browser.get(PAGE).await;
    assert_eq!(page.status, 200);
    assert!(
        page.raw
            .contains("they work at http://localhost or at an https address with a domain, not at http://127.0.0.1:7070."),
        "{}",
        page.raw
    );
    assert!(!page.raw.contains("<script"));
    let fields = [("state", "x"), ("credential", "{}"), ("name", "x")];
    assert_eq!(browser.post(PAGE, &fields).await.status, 422);
}

#[tokio::test]
async fn one_script_of_ours_and_only_where_it_is_needed() {
    let test = start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    for path in ["/login", PAGE] {
        let answer = browser.get(path).await;
        let policy = answer.headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.raw.matches("<script").count(), 1, "{path}");
        for inline in ["<style", " style=", " onclick=", "javascript:"] {
            assert!(!answer.raw.contains(inline), "{path} has {inline}");
        }
        let script = attribute(&answer.raw, r#"<script src=""#);
        let script = browser.get(&script).await;
        assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");
        assert!(script.raw.contains("navigator.credentials"));
    }
    for path in [
        "/account",
        "/account/totp",
        "/account/sessions",
        "/account/password",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.headers["content-security-policy"].to_str().expect("text");
        assert!(
            !policy.contains("script-src") && !answer.raw.contains("<script"),
            "{path}"
        );
    }
}
