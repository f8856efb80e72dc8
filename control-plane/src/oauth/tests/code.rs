//! Authorization codes: line 3 of the checklist, and what ends them and their grants.

use super::support::{ClientApp, DAY, Person, REDIRECT, SECOND, VERIFIER, public, published};

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
