//! Forged forms, links that lead elsewhere, and cookies.

use super::*;

fn same_origin(test: &TestApp) -> Vec<(&'static str, String)> {
    vec![("origin", test.app.config.issuer.clone())]
}

#[tokio::test]
async fn a_sign_in_form_needs_the_token_of_its_browser() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut theirs = Browser::new(&test);
    theirs.get("/login").await;
    let mut browser = Browser::new(&test);
    browser.get("/login").await;
    let credentials = [("email", email), ("password", password)];
    let with = |csrf: Option<&str>| {
        let mut fields = credentials.to_vec();
        fields.extend(csrf.map(|csrf| ("csrf", csrf.to_owned())));
        fields
    };
    let own = browser.csrf.clone();
    let headers = same_origin(&test);
    for wrong in [None, Some(""), Some("x"), Some(theirs.csrf.as_str())] {
        let answer = browser.post_exactly("/login", &with(wrong), &headers).await;
        assert_eq!(answer.status, 403, "{wrong:?}");
        assert_eq!(browser.session_cookie(), None);
    }
    let cookies = std::mem::take(&mut browser.cookies);
    let answer = browser.post_exactly("/login", &with(Some(&own)), &headers).await;
    assert_eq!(answer.status, 403, "without the cookie");
    browser.cookies = cookies;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = browser
            .post_exactly("/login", &with(Some(&own)), &[(name, value.to_owned())])
            .await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    assert_eq!(verified(&test), 0, "none of them was looked at");
    let answer = browser.post_exactly("/login", &with(Some(&own)), &headers).await;
    assert_eq!(answer.status, 303);
}

#[tokio::test]
async fn every_form_of_a_session_needs_its_token() {
    let test = TestApp::start().await;
    let mut other = Browser::new(&test);
    other.sign_in().await;
    other.get("/account").await;
    let mut browser = Browser::new(&test);
    browser.sign_in().await;
    browser.get("/account").await;
    let own = browser.csrf.clone();
    for path in [
        "/logout",
        "/account/sessions/end-all",
        "/account/sessions/ses_000000001/end",
        "/account/password",
        "/account/totp",
        "/account/totp/codes",
        "/account/totp/remove",
        "/account/passkeys",
        "/account/passkeys/x/rename",
        "/account/passkeys/x/remove",
    ] {
        for wrong in [None, Some(""), Some(other.csrf.as_str())] {
            let fields: Vec<_> = wrong.map(|csrf| ("csrf", csrf.to_owned())).into_iter().collect();
            let answer = browser.post_exactly(path, &fields, &same_origin(&test)).await;
            assert_eq!(answer.status, 403, "{path} {wrong:?}");
        }
        let fields = [("csrf", own.clone())];
        let elsewhere = [("origin", "https://evil.example".to_owned())];
        let answer = browser.post_exactly(path, &fields, &elsewhere).await;
        assert_eq!(answer.status, 403, "{path} from another origin");
    }
    assert!(browser.is_signed_in().await);
    assert_eq!(dead_sessions(&test).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_form_without_a_session_leads_to_sign_in() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    for (path, back) in [
        ("/logout", "%2Faccount"),
        ("/account/sessions/end-all", "%2Faccount%2Fsessions"),
        ("/account/password", "%2Faccount%2Fpassword"),
        ("/account/totp/remove", "%2Faccount%2Ftotp"),
        ("/account/passkeys", "%2Faccount%2Fpasskeys"),
    ] {
        let answer = browser.post(path, &[]).await;
        assert_eq!(location(&answer), format!("/login?return_to={back}"), "{path}");
    }
}

#[tokio::test]
async fn sign_in_leads_back_and_nowhere_else() {
    let test = TestApp::start().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let mut browser = Browser::new(&test);
    let back = "/authorize?client_id=x&redirect_uri=https%3A%2F%2Fapp.example%2F";
    let encoded: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
    let page = browser
        .get(&format!(
            "/login?return_to={encoded}&login_hint=ada%40example.com"
        ))
        .await;
    assert!(page.raw.contains(r#"value="ada@example.com""#), "{}", page.raw);
    let credentials = [("email", email.as_str()), ("password", password.as_str())];
    let fields = [&credentials[..], &[("return_to", back)]].concat();
    assert_eq!(location(&browser.post("/login", &fields).await), back);
    for wrong in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(wrong.as_bytes()).collect();
        let answer = browser.get(&format!("/login?return_to={encoded}")).await;
        assert_eq!((answer.status.as_u16(), location(&answer)), (400, ""), "{wrong}");
        browser.get("/login").await;
        let fields = [&credentials[..], &[("return_to", wrong)]].concat();
        let answer = browser.post("/login", &fields).await;
        assert_eq!((answer.status.as_u16(), location(&answer)), (400, ""), "{wrong}");
    }
}

#[tokio::test]
async fn cookies_are_for_this_host_and_https_alone() {
    let test = TestApp::start_with(|config| config.issuer = "https://auth.example".to_owned()).await;
    let mut browser = Browser::new(&test);
    let form = browser.get("/login").await.headers[header::SET_COOKIE].clone();
    browser.sign_in().await;
    let (email, password) = (test.made.admin_email.clone(), test.made.admin_password.clone());
    let session = browser.try_sign_in(&email, &password).await.headers[header::SET_COOKIE].clone();
    for (cookie, name) in [(form, "__Host-portcullis-form="), (session, "__Host-portcullis=")] {
        let line = cookie.to_str().expect("text");
        assert!(line.starts_with(name), "{line}");
        assert!(
            line.ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn input_is_escaped() {
    let test = TestApp::start().await;
    let mut browser = Browser::new(&test);
    let answer = browser
        .try_sign_in(r#""><script>alert(1)</script>"#, "wrong")
        .await;
    assert_eq!(answer.status, 422);
    assert!(!answer.raw.contains("<script"), "{}", answer.raw);
}
