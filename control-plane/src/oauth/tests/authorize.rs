//! `/authorize`: the lines of the checklist that a browser sees.

use axum::body::Body;
use axum::http::{Method, Request, header};
use shared::crypto::base64url;
use shared::id::OrgId;

use super::device;
use super::support::{
    Person, REDIRECT, SECOND, claims, client_with, decoded, for_devices, hidden, location, public, published,
};
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp};

fn error(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    let (base, parameters) = location(answer);
    assert_eq!(base, REDIRECT);
    // Line 7: RFC 9207, in errors too; and the state comes back as it went.
    assert_eq!(parameters["iss"], "http://127.0.0.1:7070");
    assert_eq!(parameters["state"], "st a&te");
    assert!(!parameters.contains_key("code"));
    parameters["error"].clone()
}

#[tokio::test]
async fn a_person_lets_a_client_in() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::new(&test);
    // Nobody is signed in: first to the sign-in page, and from there back to the same request.
    let answer = person
        .get(&client.request(&[("login_hint", Some("ada@example.com"))]))
        .await;
    let (page, parameters) = location(&answer);
    assert_eq!((answer.status.as_u16(), page.as_str()), (303, "/login"));
    assert_eq!(parameters["login_hint"], "ada@example.com");
    let signed_in = person.sign_in(&parameters["return_to"]).await;
    let back = signed_in.headers[header::LOCATION]
        .to_str()
        .expect("text")
        .to_owned();
    let page = person.get(&back).await;
    // In words, with the client's name and where the answer goes.
    assert_eq!(page.status, 200, "{page:?}");
    for wanted in [
        "Notes",
        "app.example.com",
        "Read what is stored in memory",
        "See your e-mail address",
        "admin@localhost",
        "in the organisation <strong>Default</strong>",
    ] {
        assert!(page.raw.contains(wanted), "{wanted} in {}", page.raw);
    }
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    let (base, parameters) = location(&answer);
    assert_eq!((answer.status.as_u16(), base.as_str()), (303, REDIRECT));
    assert_eq!(parameters["state"], "st a&te");
    assert_eq!(parameters["iss"], test.app.config.issuer);
    let granted = client.exchange(&test, &parameters["code"]).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let mut members: Vec<_> = granted.body.as_object().expect("an object").keys().collect();
    members.sort();
    assert_eq!(
        members,
        [
            "access_token",
            "expires_in",
            "id_token",
            "refresh_token",
            "scope",
            "token_type"
        ]
    );
    assert_eq!(granted.body["token_type"], "Bearer");
    assert_eq!(granted.body["expires_in"], 3600);
    assert_eq!(granted.body["scope"], "openid email memory:read");
    let access = claims(&granted);
    // OpenID Connect Core §2.
    let [head, id] = decoded(&granted.text("id_token"));
    assert_eq!(head["typ"], "JWT", "never taken for an access token");
    assert_eq!(
        (&id["nonce"], &id["aud"]),
        (&"n-1".into(), &client.id.to_string().into())
    );
    assert_eq!((&id["sub"], &id["iss"]), (&access.sub.into(), &access.iss.into()));
    assert_eq!(id["auth_time"], test.clock.now().seconds().0);
    assert_eq!(id["amr"], serde_json::json!(["pwd"]));
    // Remembered for the same and for less, per client; not for more.
    let again = person
        .get(&client.request(&[("scope", Some("memory:read"))]))
        .await;
    assert!(location(&again).1.contains_key("code"));
    let more = person
        .get(&client.request(&[("scope", Some("memory:read memory:write"))]))
        .await;
    assert_eq!(more.status, 200);
    let other = public(&test).await;
    assert_eq!(person.get(&other.request(&[])).await.status, 200);
}

#[tokio::test]
async fn line_8_access_tokens_are_rfc_9068() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let granted = client.sign_in(&test).await;
    let [head, body] = decoded(&granted.text("access_token"));
    assert_eq!((&head["typ"], &head["alg"]), (&"at+jwt".into(), &"RS256".into()));
    for claim in [
        "iss",
        "exp",
        "aud",
        "sub",
        "client_id",
        "iat",
        "jti",
        "sid",
        "org",
        "status",
    ] {
        assert!(!body[claim].is_null(), "{claim} in {body}");
    }
    let access = claims(&granted);
    assert!(access.sub.starts_with("usr_") && access.org == Some(test.made.org));
    assert_eq!(access.client_id, client.id.to_string());
    assert_eq!(
        access.scope, "memory:read",
        "what an API understands, and no more"
    );
    // From `resource`, in either spelling (RFC 8707).
    assert_eq!(access.aud.join(" "), test.app.config.resource);
    let mut person = Person::signed_in(&test).await;
    let slashed = format!("{}/", test.app.config.resource);
    let code = person.allow(&client, &[("resource", Some(&slashed))]).await;
    let granted = client.exchange(&test, &code).await;
    assert_eq!(claims(&granted).aud, access.aud);
}

/// And nothing in the database is a secret that works.
#[tokio::test]
async fn line_5_codes_and_refresh_tokens_are_256_random_bits() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let (one, other) = (person.allow(&client, &[]).await, person.allow(&client, &[]).await);
    assert_ne!(one, other);
    // 44 digits of base62 hold 256 bits and the leading one; six more check them.
    assert_eq!(one.len(), "code_".len() + 44 + 6);
    let refresh = client.exchange(&test, &one).await.text("refresh_token");
    assert_eq!(refresh.len(), "ref_".len() + 44 + 6);
    let mut tx = test.app.store.begin().await.expect("tx");
    let digest = shared::crypto::sha256(refresh.as_bytes());
    let row = tx
        .refresh_token(&digest)
        .await
        .expect("asked")
        .expect("found by its digest");
    assert!(row.sealed.is_none());
}

#[tokio::test]
async fn line_1_only_the_code_flow_and_only_with_s256() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    for (change, wanted) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (
            ("response_type", Some("code id_token")),
            "unsupported_response_type",
        ),
        (("response_type", None), "invalid_request"),
        (("response_mode", Some("fragment")), "invalid_request"),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("scope", Some("memory:read nonsense")), "invalid_scope"),
        (("scope", Some("memory:delete")), "invalid_scope"),
        (("resource", Some("https://elsewhere.example")), "invalid_target"),
        (("request_uri", Some("urn:x")), "request_uri_not_supported"),
        (("prompt", Some("none login")), "invalid_request"),
        (("max_age", Some("soon")), "invalid_request"),
    ] {
        assert_eq!(
            error(&person.get(&client.request(&[change])).await),
            wanted,
            "{change:?}"
        );
    }
    let answer = client
        .post(
            &test,
            "/token",
            &[("grant_type", "password"), ("username", "a"), ("password", "b")],
        )
        .await;
    assert_eq!(super::outcome(&answer), (400, "unsupported_grant_type"));
}

#[tokio::test]
async fn line_2_a_bad_redirect_uri_is_a_page_and_never_a_redirect() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let twice = |name: &str, value: &str| format!("{}&{name}={value}", client.request(&[]));
    for wrong in [
        client.request(&[("redirect_uri", Some("https://app.example.com/cb/"))]),
        client.request(&[("redirect_uri", Some("https://app.example.com/cb?x=1"))]),
        client.request(&[("redirect_uri", Some("https://evil.example/cb"))]),
        client.request(&[("client_id", Some("cli_000000000"))]),
        client.request(&[("client_id", Some("nonsense"))]),
        client.request(&[("client_id", None)]),
        twice("redirect_uri", "https%3A%2F%2Fapp.example.com%2Fcb"),
        twice("client_id", &client.id.to_string()),
        "/authorize".to_owned(),
        "/authorize?%zz".to_owned(),
    ] {
        let answer = person.get(&wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(!answer.headers.contains_key(header::LOCATION), "{wrong}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }
    // RFC 6749 §3.1: any other parameter twice is the client's to hear.
    assert_eq!(
        error(&person.get(&twice("scope", "openid")).await),
        "invalid_request"
    );
    // The only registered one may be left out.
    let answer = person
        .get(&client.request(&[("redirect_uri", None), ("prompt", Some("none"))]))
        .await;
    assert_eq!(error(&answer), "consent_required");
}

#[tokio::test]
async fn consent_is_asked_for_each_time_where_others_may_listen() {
    let test = TestApp::start().await;
    let mut client = client_with(&test, |new| {
        new.redirect_uris = vec!["http://127.0.0.1/cb".to_owned()];
    })
    .await;
    client.redirect = "http://127.0.0.1:4711/cb";
    let mut person = Person::signed_in(&test).await;
    person.allow(&client, &[]).await;
    // Any program can listen on some port and send this browser here.
    let answer = person.get(&client.request(&[("prompt", Some("none"))])).await;
    let location = answer.headers[header::LOCATION].to_str().expect("text");
    assert!(location.contains("error=consent_required"), "{location}");
    let page = person.get(&client.request(&[])).await;
    assert_eq!(page.status, 200, "the page, not a code");
    // Where only its owner listens, what was agreed to is remembered.
    let owned = public(&test).await;
    person.allow(&owned, &[]).await;
    assert_eq!(person.get(&owned.request(&[])).await.status, 303);
}

#[tokio::test]
async fn line_2_only_the_port_of_a_loopback_address_varies() {
    let test = TestApp::start().await;
    let client = client_with(&test, |new| {
        new.redirect_uris = vec!["http://127.0.0.1/cb".to_owned()];
    })
    .await;
    let mut person = Person::signed_in(&test).await;
    let at = |uri| client.request(&[("redirect_uri", Some(uri))]);
    let page = person.get(&at("http://127.0.0.1:51234/cb")).await;
    assert!(page.raw.contains("an app on this computer"), "{}", page.raw);
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    assert_eq!(location(&answer).0, "http://127.0.0.1:51234/cb");
    for wrong in [
        "http://127.0.0.1:51234/other",
        "http://localhost:51234/cb",
        "https://127.0.0.1/cb",
    ] {
        assert_eq!(person.get(&at(wrong)).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn line_2_nobody_is_sent_on_before_they_signed_in() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let bad = client.request(&[("scope", Some("nonsense"))]);
    let answer = Person::new(&test).get(&bad).await;
    let (page, parameters) = location(&answer);
    assert_eq!(
        page, "/login",
        "an error is no reason to send a stranger anywhere"
    );
    let mut person = Person::new(&test);
    let signed_in = person.sign_in(&parameters["return_to"]).await;
    let back = signed_in.headers[header::LOCATION]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(error(&person.get(&back).await), "invalid_scope");
    // Unless the client asked that nobody be asked (OpenID Connect Core §3.1.2.1).
    let answer = Person::new(&test)
        .get(&client.request(&[("prompt", Some("none"))]))
        .await;
    assert_eq!(error(&answer), "login_required");
}

#[tokio::test]
async fn line_2_no_cors_no_frames_no_307() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let page = person.get(&client.request(&[])).await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("text");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"));
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    assert_eq!(answer.status, 303, "never 307: that repeats the form");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    for method in [Method::GET, Method::OPTIONS, Method::POST] {
        let request = Request::builder()
            .method(method.clone())
            .uri(client.request(&[]))
            .header(header::ORIGIN, "https://app.example.com")
            .header("access-control-request-method", "GET");
        let answer = test.send(request.body(Body::empty()).expect("a request")).await;
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_decision_is_the_person_s_own() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let page = person.get(&client.request(&[])).await;
    let form = Person::form(&page, "allow");
    // Another site's form, another browser's token, no token.
    assert_eq!(
        person
            .post_from("/authorize", &form, "https://evil.example")
            .await
            .status,
        403
    );
    let mut stranger = Person::signed_in(&test).await;
    assert_eq!(stranger.post("/authorize", &form).await.status, 403);
    assert_eq!(person.post("/authorize", &form[1..]).await.status, 403);
    // What was not shown is not agreed to.
    let mut wider = form.clone();
    let more = client.request(&[("scope", Some("openid email memory:read memory:write"))]);
    wider[1].1 = more.trim_start_matches("/authorize?").to_owned();
    let answer = person.post("/authorize", &wider).await;
    let granted = client.exchange(&test, &location(&answer).1["code"]).await;
    assert_eq!(granted.body["scope"], "openid email memory:read");
    let page = person.get(&client.request(&[("prompt", Some("consent"))])).await;
    let denied = person.post("/authorize", &Person::form(&page, "deny")).await;
    assert_eq!(error(&denied), "access_denied");
}

#[tokio::test]
async fn prompt_and_max_age_are_heard() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    person.allow(&client, &[]).await;
    let silent = person.get(&client.request(&[("prompt", Some("none"))])).await;
    assert!(location(&silent).1.contains_key("code"));
    test.clock.advance_ms(100 * SECOND);
    for change in [
        ("prompt", Some("login")),
        ("max_age", Some("60")),
        ("max_age", Some("0")),
    ] {
        let answer = person.get(&client.request(&[change])).await;
        let (page, parameters) = location(&answer);
        assert_eq!(page, "/login", "{change:?}");
        let signed_in = person.sign_in(&parameters["return_to"]).await;
        let back = signed_in.headers[header::LOCATION]
            .to_str()
            .expect("text")
            .to_owned();
        let answer = person.get(&back).await;
        assert!(
            location(&answer).1.contains_key("code"),
            "once is enough: {change:?}"
        );
        test.clock.advance_ms(100 * SECOND);
    }
    let stale = client.request(&[("max_age", Some("60")), ("prompt", Some("none"))]);
    assert_eq!(error(&person.get(&stale).await), "login_required");
    let fresh = client.request(&[("max_age", Some("6000")), ("prompt", Some("none"))]);
    assert!(location(&person.get(&fresh).await).1.contains_key("code"));
}

/// Whoever sits at the browser does not waive the sign-in that an app insists on.
#[tokio::test]
async fn only_we_say_that_a_sign_in_was_for_a_request() {
    let test = TestApp::start().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    person.allow(&client, &[]).await;
    test.clock.advance_ms(100 * SECOND);
    let asked = client.request(&[("prompt", Some("login"))]);
    let other = client.request(&[("prompt", Some("login")), ("state", Some("another"))]);
    let sent_to_login = async |person: &mut Person<'_>, path: &str| {
        let (page, mut parameters) = location(&person.get(path).await);
        (page == "/login").then(|| parameters.remove("return_to").expect("a way back"))
    };
    let back = sent_to_login(&mut person, &asked)
        .await
        .expect("asked to sign in");
    let (_, mark) = back.split_once("portcullis_login_after=").expect("a mark");
    let (at, tag) = mark.split_once('.').expect("a moment and a tag");
    let earlier = at.parse::<u64>().expect("a moment") - 150;
    for forged in [
        earlier.to_string(),
        format!("{earlier}."),
        format!("{earlier}.{tag}"),
        format!("{earlier}.{}", base64url(&[0; 32])),
    ] {
        let path = format!("{asked}&portcullis_login_after={forged}");
        assert!(sent_to_login(&mut person, &path).await.is_some(), "{forged}");
    }
    assert!(
        sent_to_login(&mut person, &back).await.is_some(),
        "nobody has signed in"
    );
    person.sign_in(&back).await;
    // That was for one request, and counts for an hour.
    for path in [
        format!("{other}&portcullis_login_after={mark}"),
        format!("{back}&max_age=0"),
    ] {
        assert!(sent_to_login(&mut person, &path).await.is_some(), "{path}");
    }
    let done = location(&person.get(&back).await).1;
    assert!(done.contains_key("code"), "{done:?}");
    test.clock.advance_ms(3601 * SECOND);
    assert!(sent_to_login(&mut person, &back).await.is_some(), "too late");
}

/// Keys inherit, and so do tokens: never more than the person's role allows.
#[tokio::test]
async fn a_role_is_the_ceiling() {
    let test = published().await;
    let client = client_with(&test, |new| {
        new.scopes = test.app.catalogue().parse(["admin"]).expect("known");
    })
    .await;
    let mut person = Person::signed_in(&test).await;
    let scope = ("scope", Some("openid admin memory:read memory:write"));
    let code = person.allow(&client, &[scope]).await;
    let granted = client.exchange(&test, &code).await;
    assert_eq!(granted.body["scope"], "openid memory:read memory:write admin");
    let mut tx = test.app.store.begin().await.expect("tx");
    let user = claims(&granted).sub.parse().expect("a user");
    let version = tx
        .membership(test.made.org, user)
        .await
        .expect("asked")
        .expect("there")
        .version;
    let viewer = crate::store::orgs::Role::Viewer;
    assert!(
        tx.set_role(test.made.org, user, viewer, version)
            .await
            .expect("set")
    );
    tx.commit().await.expect("commit");
    let refreshed = client.refresh(&test, &granted.text("refresh_token")).await;
    assert_eq!(refreshed.body["scope"], "openid memory:read", "{refreshed:?}");
    let code = person.allow(&client, &[scope]).await;
    assert_eq!(
        client.exchange(&test, &code).await.body["scope"],
        "openid memory:read"
    );
    let answer = person
        .get(&client.request(&[("scope", Some("admin")), ("prompt", Some("none"))]))
        .await;
    assert_eq!(location(&answer).1["error"], "invalid_scope");
}

#[tokio::test]
async fn an_app_of_one_organisation_is_for_its_people() {
    let test = TestApp::start().await;
    let client = for_devices(&test).await;
    let begun = device::begin(&test, &client).await;
    let mut person = Person::signed_in(&test).await;
    let page = person.get(&client.request(&[])).await;
    let form = Person::form(&page, "allow");
    let other = OrgId::from_u64(500).expect("small");
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(other, "Elsewhere", now).await.expect("org");
    tx.insert_membership(other, test.made.user, Role::Admin, now)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    let switch = async |person: &mut Person<'_>, org: OrgId| {
        let csrf = hidden(&person.get("/account").await, "csrf");
        let fields = [("csrf", csrf), ("org", org.to_string())];
        assert_eq!(person.post("/account/org", &fields).await.status, 303);
    };
    let everybodys = client_with(&test, |new| new.org = None).await;
    switch(&mut person, other).await;
    assert_eq!(error(&person.get(&client.request(&[])).await), "access_denied");
    person.allow(&everybodys, &[]).await;
    let mut late = form.clone();
    late[0].1 = hidden(&person.get("/account").await, "csrf");
    assert_eq!(error(&person.post("/authorize", &late).await), "access_denied");
    let page = device::type_code(&mut person, &begun.text("user_code")).await;
    assert_eq!(page.status, 422);
    assert!(page.raw.contains("another organisation"), "{}", page.raw);
    switch(&mut person, test.made.org).await;
    person.allow(&client, &[]).await;
    let done = device::answer(&mut person, &begun, "allow").await;
    assert_eq!(done.status, 200);
}
