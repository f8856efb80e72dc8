//! Who gets a page at all.

use axum::http::StatusCode;
use axum::http::header;

use super::{ROLES, somebody};
use crate::authority::{self, PAGES};
use crate::sessions::tests::{Browser, location};
use crate::testing::TestApp;

#[tokio::test]
async fn nobody_sees_a_page_without_a_session() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    assert_eq!(location(&browser.get("/").await), "/dashboard");
    for (method, path, _) in PAGES {
        let path = path.replace("{id}", "x").replace("{user}", "x");
        let answer = match *method {
            "GET" => browser.get(&path).await,
            _ => browser.post(&path, &[]).await,
        };
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{method} {path}");
        assert!(location(&answer).starts_with("/login?return_to=%2F"), "{path}");
    }
}

/// A sign-in that asked for nothing in particular ends at the dashboard; one that did ends where it was asked for.
#[tokio::test]
async fn a_sign_in_leads_to_the_dashboard() {
    let test = TestApp::start().await;
    for (n, role) in (100..).zip(ROLES) {
        let mut browser = somebody(&test, n, role).await;
        assert_eq!(location(&browser.get("/").await), "/dashboard", "{role:?}");
    }
    let mut browser = Browser::new(&test);
    browser.get("/login?return_to=%2Faccount%2Fkeys").await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let fields = [
        ("return_to", "/account/keys"),
        ("email", &*email),
        ("password", &*password),
    ];
    let answer = browser.post("/login", &fields).await;
    assert_eq!(location(&answer), "/account/keys");
}

/// Every role on every page: the table, and nothing but the table, decides.
#[tokio::test]
async fn every_role_on_every_page() {
    let test = TestApp::start().await;
    for (n, role) in (100..).zip(ROLES) {
        let mut browser = somebody(&test, n, role).await;
        for (method, path, act) in PAGES {
            // Nothing has this name: whoever may look is told so.
            let path = path.replace("{id}", "x").replace("{user}", "x");
            let answer = match *method {
                "GET" => browser.get(&path).await,
                _ => browser.post(&path, &[]).await,
            };
            let refused = answer.status == StatusCode::FORBIDDEN && answer.raw.contains("Your role here is");
            assert_eq!(
                refused,
                !authority::allows(role, *act),
                "{role:?} {method} {path}: {} {}",
                answer.status,
                answer.raw
            );
            assert!(
                !answer.status.is_server_error(),
                "{role:?} {method} {path}: {}",
                answer.raw
            );
        }
    }
}

/// A page that somebody forgets to put into the table is refused; this finds it earlier.
#[test]
fn every_route_of_the_dashboard_is_in_the_table() {
    let source = include_str!("../../routes.rs");
    let listed = source
        .split('"')
        .filter(|text| text.starts_with("/dashboard") || text.starts_with("/account/keys"));
    let mut count = 0;
    for path in listed {
        assert!(PAGES.iter().any(|(_, page, _)| *page == path), "{path}");
        count += 1;
    }
    let pages: std::collections::BTreeSet<_> = PAGES.iter().map(|(_, path, _)| path).collect();
    assert_eq!(
        count,
        pages.len(),
        "a line of the table without a route, or a route that is written twice"
    );
}

#[tokio::test]
async fn a_form_needs_its_token_and_our_own_origin() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, crate::store::orgs::Role::Owner).await;
    for (_, path, _) in PAGES.iter().filter(|(method, ..)| *method == "POST") {
        let path = path.replace("{id}", "x").replace("{user}", "x");
        browser.get("/dashboard").await;
        let token = browser.csrf.clone();
        let refused = [
            (String::new(), test.app.config.issuer.clone()),
            ("x".to_owned(), test.app.config.issuer.clone()),
            (token, "https://evil.example".to_owned()),
        ];
        for (csrf, origin) in refused {
            let answer = browser
                .post_exactly(&path, &[("csrf", csrf)], &[("origin", origin)])
                .await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            assert!(
                answer.raw.contains("This form has expired"),
                "{path}: {}",
                answer.raw
            );
        }
    }
}

#[tokio::test]
async fn pages_are_protected_and_never_stored() {
    let test = TestApp::start().await;
    let mut browser = somebody(&test, 100, crate::store::orgs::Role::Viewer).await;
    let answer = browser.get("/dashboard").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.raw);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("text");
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        !answer.raw.contains("style=") && !answer.raw.contains("<script>"),
        "nothing inline"
    );
}
