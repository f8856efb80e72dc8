//! `/logout`: OpenID Connect RP-Initiated Logout 1.0.

use axum::http::header;

use super::outcome;
use super::support::{ClientApp, DAY, Person, client_with, encode, hidden, location, published};
use crate::testing::{Answer, TestApp};

const AFTER: &str = "https://app.example.com/bye";

async fn app(test: &TestApp) -> ClientApp {
    client_with(test, |new| new.post_logout_redirect_uris = vec![AFTER.to_owned()]).await
}

fn link(pairs: &[(&str, &str)]) -> String {
    format!("/logout?{}", encode(pairs))
}

async fn is_signed_in(person: &mut Person<'_>) -> bool {
    person.get("/account").await.status == 200
}

async fn tokens(test: &TestApp, person: &mut Person<'_>, client: &ClientApp) -> Answer {
    let code = person.allow(client, &[]).await;
    client.exchange(test, &code).await
}

#[tokio::test]
async fn an_app_that_knows_the_session_ends_it_and_gets_its_person_back() {
    let test = published().await;
    let client = app(&test).await;
    let mut person = Person::signed_in(&test).await;
    let granted = tokens(&test, &mut person, &client).await;
    // An id_token that has expired will do.
    test.clock.advance_ms(DAY / 2);
    let hint = granted.text("id_token");
    let wish = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", "s t&"),
    ];
    let answer = person.get(&link(&wish)).await;
    let (base, parameters) = location(&answer);
    assert_eq!(
        (
            answer.status.as_u16(),
            base.as_str(),
            parameters["state"].as_str()
        ),
        (303, AFTER, "s t&")
    );
    assert!(!is_signed_in(&mut person).await);
    let refreshed = client.refresh(&test, &granted.text("refresh_token")).await;
    assert_eq!(
        outcome(&refreshed),
        (400, "invalid_grant"),
        "what came of the session ends with it"
    );
    // And again, when there is nothing left to end.
    assert_eq!(location(&person.get(&link(&wish)).await).0, AFTER);
    let plain = person.get(&link(&[("id_token_hint", &hint)])).await;
    assert!(plain.raw.contains("You are signed out"), "{}", plain.raw);
}

#[tokio::test]
async fn a_foreign_link_ends_nothing_by_itself() {
    let test = published().await;
    let client = app(&test).await;
    let id = client.id.to_string();
    let mut other = Person::signed_in(&test).await;
    let others = tokens(&test, &mut other, &client).await.text("id_token");
    let mut person = Person::signed_in(&test).await;
    let access = tokens(&test, &mut person, &client).await.text("access_token");
    let mut tampered = others.clone();
    tampered.pop();
    for wish in [
        vec![],
        vec![("client_id", id.as_str()), ("post_logout_redirect_uri", AFTER)],
        vec![("id_token_hint", others.as_str())],
        vec![("id_token_hint", tampered.as_str())],
        // An access token is none.
        vec![("id_token_hint", access.as_str())],
    ] {
        let page = person.get(&link(&wish)).await;
        assert_eq!(page.status, 200, "{wish:?}: {page:?}");
        assert!(page.raw.contains("Sign out?"), "{wish:?}");
        assert!(is_signed_in(&mut person).await, "{wish:?}");
    }
    // A form of another site is led to the same question.
    let form = [
        ("client_id", id.clone()),
        ("post_logout_redirect_uri", AFTER.to_owned()),
    ];
    let asked = person.post_from("/logout", &form, "https://evil.example").await;
    assert_eq!(asked.status, 303);
    let page = person
        .get(asked.headers[header::LOCATION].to_str().expect("text"))
        .await;
    let answer = |csrf: &str| vec![("csrf", csrf.to_owned()), ("query", hidden(&page, "query"))];
    assert_eq!(person.post("/logout", &answer("x")).await.status, 403);
    let right = hidden(&page, "csrf");
    let foreign = person
        .post_from("/logout", &answer(&right), "https://evil.example")
        .await;
    assert_eq!(foreign.status, 403);
    assert!(is_signed_in(&mut person).await);
    let done = person.post("/logout", &answer(&right)).await;
    assert_eq!((done.status.as_u16(), location(&done).0.as_str()), (303, AFTER));
    assert!(!is_signed_in(&mut person).await);
    assert!(is_signed_in(&mut other).await);
    // Signed out already: the link says where it leads before anybody goes there.
    let page = person
        .get(&link(&[("client_id", &id), ("post_logout_redirect_uri", AFTER)]))
        .await;
    assert_eq!(page.status, 200);
    assert!(page.raw.contains("Go on to app.example.com"), "{}", page.raw);
}

#[tokio::test]
async fn only_a_registered_address_is_gone_to() {
    let test = published().await;
    let client = app(&test).await;
    let stranger = client_with(&test, |_| {}).await;
    let (id, stranger) = (client.id.to_string(), stranger.id.to_string());
    let mut person = Person::signed_in(&test).await;
    let hint = tokens(&test, &mut person, &client).await.text("id_token");
    for wish in [
        vec![
            ("client_id", id.as_str()),
            ("post_logout_redirect_uri", "https://app.example.com/bye/"),
        ],
        vec![
            ("client_id", id.as_str()),
            ("post_logout_redirect_uri", "https://app.example.com/cb"),
        ],
        vec![
            ("client_id", stranger.as_str()),
            ("post_logout_redirect_uri", AFTER),
        ],
        vec![
            ("client_id", "cli_000000zzz"),
            ("post_logout_redirect_uri", AFTER),
        ],
        vec![("post_logout_redirect_uri", AFTER)],
        vec![
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", "https://evil.example"),
        ],
        vec![("id_token_hint", hint.as_str()), ("client_id", stranger.as_str())],
        vec![("id_token_hint", hint.as_str()), ("id_token_hint", hint.as_str())],
    ] {
        let answer = person.get(&link(&wish)).await;
        assert_eq!(answer.status, 400, "{wish:?}");
        assert!(is_signed_in(&mut person).await, "{wish:?}");
    }
}
