//! Authorization codes: line 3 of the checklist, and what ends them and their grants.

use super::super::authorize::{self, Prepared};
use super::super::request::Visitor;
use super::device;
use super::support::{
    ClientApp, DAY, Person, REDIRECT, SECOND, VERIFIER, for_devices, hidden, public, published,
    published_with,
};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::mail::tests::{last_to, with_mail};
use crate::testing::TestApp;

const NEW: &str = "correct horse battery";

fn fields(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn line_3_a_code_is_bound_short_lived_and_single_use() {
    let test = published().await;
    let client = public(&test).await;
    let other = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    let send = async |client: &ClientApp, changes: &[(&str, &str)]| {
        let mut fields = std::collections::BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT),
        ]);
        fields.extend(changes.iter().copied());
        let fields: Vec<_> = fields.into_iter().collect();
        let answer = client.post(&test, "/token", &fields).await;
        (
            answer.status.as_u16(),
            answer.body["error"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let refused = (400, "invalid_grant".to_owned());
    assert_eq!(send(&other, &[]).await, refused, "another client's");
    assert_eq!(
        send(&client, &[("redirect_uri", "https://app.example.com/other")]).await,
        refused
    );
    assert_eq!(
        send(
            &client,
            &[("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")]
        )
        .await,
        refused
    );
    assert_eq!(
        send(&client, &[("code_verifier", "")]).await,
        (400, "invalid_request".to_owned())
    );
    assert_eq!(send(&client, &[("code", "code_nonsense")]).await, refused);
    assert_eq!(
        send(&client, &[]).await.0,
        200,
        "the failures above used nothing up"
    );

    let late = person.allow(&client, &[]).await;
    test.clock.advance_ms(60 * SECOND);
    assert_eq!(
        super::outcome(&client.exchange(&test, &late).await),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn line_3_a_code_that_comes_twice_kills_what_came_of_it() {
    let test = published().await;
    let client = public(&test).await;
    let code = Person::signed_in(&test).await.allow(&client, &[]).await;
    let first = client.exchange(&test, &code).await;
    assert_eq!(first.status, 200);
    assert!(super::is_live(&test, &first).await);
    let second = client.exchange(&test, &code).await;
    assert_eq!(super::outcome(&second), (400, "invalid_grant"));
    assert!(!super::is_live(&test, &first).await, "its status index is pushed");
    let refreshed = client.refresh(&test, &first.text("refresh_token")).await;
    assert_eq!(super::outcome(&refreshed), (400, "invalid_grant"));
}

#[tokio::test]
async fn whoever_only_saw_a_spent_code_ends_nothing_with_it() {
    let test = published().await;
    let client = public(&test).await;
    let code = Person::signed_in(&test).await.allow(&client, &[]).await;
    let first = client.exchange(&test, &code).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
    ];
    let without_verifier = client.post(&test, "/token", &fields).await;
    assert_eq!(super::outcome(&without_verifier), (400, "invalid_grant"));
    assert!(super::is_live(&test, &first).await);
}

#[tokio::test]
async fn the_end_of_a_session_reaches_codes_and_grants() {
    let test = published().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    let granted = client.exchange(&test, &code).await;
    let code = person.allow(&client, &[]).await;
    let page = person.get("/account").await;
    let csrf = super::support::hidden(&page, "csrf");
    let ended = person.post("/logout", &[("csrf", csrf)]).await;
    assert_eq!(ended.status, 303, "{ended:?}");
    assert_eq!(
        super::outcome(&client.exchange(&test, &code).await),
        (400, "invalid_grant")
    );
    let refreshed = client.refresh(&test, &granted.text("refresh_token")).await;
    assert_eq!(super::outcome(&refreshed), (400, "invalid_grant"));
    // To give back what ended with the session is no error, and is acknowledged by the edge like any other.
    let token = granted.text("refresh_token");
    let revoked = client.post(&test, "/revoke", &[("token", &token)]).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert!(!super::is_live(&test, &granted).await);
    // A session that merely ran out ends nothing that it began.
    let other = client.sign_in(&test).await;
    test.clock.advance_ms(8 * DAY);
    assert_eq!(
        client.refresh(&test, &other.text("refresh_token")).await.status,
        200
    );
}

/// Whether somebody who signs in anew is asked before this client gets a code.
async fn is_asked(test: &TestApp, client: &ClientApp, password: &str) -> bool {
    let mut person = Person::new(test);
    let page = person.get("/login").await;
    let email = test.made.admin_email.clone();
    let csrf = hidden(&page, "csrf");
    let form = fields(&[("csrf", &csrf), ("email", &email), ("password", password)]);
    assert_eq!(person.post("/login", &form).await.status, 303);
    person.get(&client.request(&[])).await.status == 200
}

#[tokio::test]
async fn a_new_password_ends_what_was_allowed_and_not_fetched_yet() {
    let test = published().await;
    let client = for_devices(&test).await;
    let old = test.made.admin_password.clone();
    let mut person = Person::signed_in(&test).await;
    // Whoever stole the cookie has a code and a device up their sleeve.
    let code = person.allow(&client, &[]).await;
    let begun = device::begin(&test, &client).await;
    let done = device::answer(&mut person, &begun, "allow").await;
    assert_eq!(done.status, 200);
    assert!(!is_asked(&test, &client, &old).await, "remembered");
    let page = person.get("/account/password").await;
    let csrf = hidden(&page, "csrf");
    let form = fields(&[("csrf", &csrf), ("current", &old), ("new", NEW), ("repeat", NEW)]);
    assert_eq!(person.post("/account/password", &form).await.status, 303);

    let refused = (400, "invalid_grant");
    assert_eq!(super::outcome(&client.exchange(&test, &code).await), refused);
    assert_eq!(
        super::outcome(&device::poll(&test, &client, &begun).await),
        refused
    );
    assert!(
        is_asked(&test, &client, NEW).await,
        "nothing was agreed to by whoever it was"
    );
    // The session goes on, and so does what is allowed in it from now on.
    let code = person.allow(&client, &[]).await;
    assert_eq!(client.exchange(&test, &code).await.status, 200);
}

/// Whoever stole the cookie sends the answer before the password is changed, and it is written after it.
#[tokio::test]
async fn an_answer_that_was_overtaken_by_a_new_password_counts_for_nothing() {
    let test = published().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let visitor = Visitor {
        browser: &[0; 32],
        address: ClientAddress(None),
    };
    let query = client.request(&[]);
    let query = query.trim_start_matches("/authorize?");
    let read = async |person: &Person<'_>| {
        let prepared = authorize::prepare(&test.app, query, &person.headers(), visitor).await;
        prepared.expect("a request").expect("of somebody signed in")
    };
    let answer = async |prepared: &Prepared| {
        let id = RequestId("a-request".to_owned());
        let answered = authorize::answer(&test.app, prepared, prepared.asked, true, &id).await;
        let answered = answered.expect("an answer");
        let place = answered.headers()["location"].to_str().expect("text").to_owned();
        place.contains("code=")
    };
    let early = read(&person).await;
    let page = person.get("/account/password").await;
    let csrf = hidden(&page, "csrf");
    let old = test.made.admin_password.clone();
    let form = fields(&[("csrf", &csrf), ("current", &old), ("new", NEW), ("repeat", NEW)]);
    assert_eq!(person.post("/account/password", &form).await.status, 303);
    assert!(!answer(&early).await, "the session goes on under another secret");
    assert!(is_asked(&test, &client, NEW).await, "nothing is remembered");
    // Whoever has that one goes on.
    assert!(answer(&read(&person).await).await);
}

#[tokio::test]
async fn a_reset_forgets_what_was_agreed_to() {
    let test = published_with(with_mail).await;
    let client = public(&test).await;
    client.sign_in(&test).await;
    assert!(!is_asked(&test, &client, &test.made.admin_password).await);
    let email = test.made.admin_email.clone();
    let mut person = Person::new(&test);
    let csrf = hidden(&person.get("/password/forgot").await, "csrf");
    person
        .post("/password/forgot", &fields(&[("csrf", &csrf), ("email", &email)]))
        .await;
    let link = last_to(&test, &email).await.link(&test);
    let page = person.get(&link).await;
    let (csrf, token) = (hidden(&page, "csrf"), hidden(&page, "token"));
    let form = fields(&[("csrf", &csrf), ("token", &token), ("new", NEW), ("repeat", NEW)]);
    assert_eq!(person.post("/password/reset", &form).await.status, 200);
    assert!(is_asked(&test, &client, NEW).await);
}
