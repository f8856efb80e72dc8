//! What every page carries.

use super::*;

#[tokio::test]
async fn pages_are_protected_and_run_no_script() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    for (path, status) in [
        ("/login", 200),
        ("/login?return_to=https://evil.example", 400),
        ("/account", 200),
        ("/account/sessions", 200),
        ("/account/password", 200),
        ("/account/totp", 200),
        ("/account/passkeys", 200),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert!(
            !policy.contains("unsafe") && !policy.contains("script-src"),
            "{policy}"
        );
        for inline in ["<script", "<style", " style=", " onclick=", "javascript:"] {
            assert!(!answer.raw.contains(inline), "{path} has {inline}");
        }
        assert!(answer.raw.contains(r#"<html lang="en">"#), "{path}");
        let labels = answer.raw.matches("<label ").count();
        let fields = answer.raw.matches("<input ").count() - answer.raw.matches(r#"type="hidden""#).count();
        assert_eq!(labels, fields, "every field of {path} has a label");
    }
    let redirect = Browser::new(&test).get("/account").await;
    assert_eq!(redirect.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn the_stylesheet_is_where_pages_say() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    let page = browser.get("/login").await.raw;
    let (_, rest) = page.split_once(r#"rel="stylesheet" href=""#).expect("a link");
    let path = rest.split('"').next().expect("an end").to_owned();
    let answer = browser.get(&path).await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.headers["content-type"], "text/css; charset=utf-8");
    assert!(
        answer.headers["cache-control"]
            .to_str()
            .expect("text")
            .contains("immutable")
    );
    assert!(answer.raw.contains("prefers-color-scheme: dark"));
}

#[tokio::test]
async fn an_error_page_names_the_request_and_nothing_else() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    test.app.store.close().await;
    let answer = browser.get("/account").await;
    assert_eq!(answer.status, 500);
    let id = answer.headers["x-request-id"].to_str().expect("text");
    assert!(
        answer.raw.contains(id) && answer.raw.contains("This is our fault"),
        "{}",
        answer.raw
    );
    assert!(!answer.raw.to_lowercase().contains("pool"), "{}", answer.raw);
}
