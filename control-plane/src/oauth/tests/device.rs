//! Devices without a browser: line 10 of the checklist, RFC 8628.

use std::net::SocketAddr;

use super::outcome;
use super::support::{
    ClientApp, Person, SECOND, client_with, for_devices, hidden, location, public, published,
};
use crate::store::clients::ClientKind;
use crate::testing::{Answer, TestApp};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) async fn begin(test: &TestApp, client: &ClientApp) -> Answer {
    let answer = client
        .post(test, "/device_authorization", &[("scope", "openid memory:read")])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

pub(super) async fn poll(test: &TestApp, client: &ClientApp, begun: &Answer) -> Answer {
    let code = begun.text("device_code");
    client
        .post(test, "/token", &[("grant_type", GRANT), ("device_code", &code)])
        .await
}

pub(super) async fn type_code(person: &mut Person<'_>, code: &str) -> Answer {
    let page = person.get("/device").await;
    let fields = [("csrf", hidden(&page, "csrf")), ("user_code", code.to_owned())];
    person.post("/device", &fields).await
}

pub(super) fn form(page: &Answer, decision: &str) -> Vec<(&'static str, String)> {
    let mut fields: Vec<_> = ["csrf", "user_code", "scopes", "identity"]
        .into_iter()
        .map(|name| (name, hidden(page, name)))
        .collect();
    fields.push(("decision", decision.to_owned()));
    fields
}

pub(super) async fn answer(person: &mut Person<'_>, begun: &Answer, decision: &str) -> Answer {
    let page = type_code(person, &begun.text("user_code")).await;
    assert_eq!(page.status, 200, "{page:?}");
    person.post("/device", &form(&page, decision)).await
}

#[tokio::test]
async fn line_10_a_person_lets_a_device_in() {
    let test = published().await;
    let confidential = client_with(&test, |new| {
        new.kind = ClientKind::Confidential;
        new.device_flow = true;
    });
    for client in [for_devices(&test).await, confidential.await] {
        let begun = begin(&test, &client).await;
        assert_eq!(begun.headers["cache-control"], "no-store");
        let issuer = &test.app.config.issuer;
        let user_code = begun.text("user_code");
        assert_eq!(begun.text("verification_uri"), format!("{issuer}/device"));
        assert_eq!(
            begun.text("verification_uri_complete"),
            format!("{issuer}/device?user_code={user_code}")
        );
        assert_eq!(
            (&begun.body["expires_in"], &begun.body["interval"]),
            (&600.into(), &5.into())
        );
        let device_code = begun.text("device_code");
        assert_eq!(
            device_code.len(),
            "device_".len() + 44 + 6,
            "256 bits and a check"
        );
        assert_eq!(user_code.len(), 9, "34 bits");
        assert_eq!(
            outcome(&poll(&test, &client, &begun).await),
            (400, "authorization_pending")
        );

        // By the link on the device: sign-in first, then the code to compare, then what is asked for.
        let mut person = Person::new(&test);
        let (page, parameters) = location(&person.get(&format!("/device?user_code={user_code}")).await);
        assert_eq!(page, "/login");
        let back = person.sign_in(&parameters["return_to"]).await;
        let page = person.get(back.headers["location"].to_str().expect("text")).await;
        assert!(page.raw.contains(&user_code), "{}", page.raw);
        let page = type_code(&mut person, &user_code.to_lowercase().replace('-', " ")).await;
        for wanted in [
            "Notes",
            &user_code,
            "Read what is stored in memory",
            "Did somebody send you this code",
        ] {
            assert!(page.raw.contains(wanted), "{wanted} in {}", page.raw);
        }
        let done = person.post("/device", &form(&page, "allow")).await;
        assert!(done.raw.contains("The device is connected"), "{}", done.raw);

        let granted = poll(&test, &client, &begun).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        assert_eq!(granted.body["scope"], "openid memory:read");
        assert!(super::is_live(&test, &granted).await);
        let refreshed = client.refresh(&test, &granted.text("refresh_token")).await;
        assert_eq!(refreshed.status, 200);
        // Once, for the device and for the person.
        assert_eq!(
            outcome(&poll(&test, &client, &begun).await),
            (400, "invalid_grant")
        );
        assert_eq!(person.post("/device", &form(&page, "allow")).await.status, 422);
        // Not remembered: the next device asks again.
        let next = begin(&test, &client).await;
        assert_eq!(type_code(&mut person, &next.text("user_code")).await.status, 200);
    }
}

#[tokio::test]
async fn line_10_a_device_that_asks_too_often_waits_longer() {
    let test = published().await;
    let client = for_devices(&test).await;
    let begun = begin(&test, &client).await;
    let ask = async |after: u64| {
        test.clock.advance_ms(after * SECOND);
        outcome(&poll(&test, &client, &begun).await).1.to_owned()
    };
    assert_eq!(ask(0).await, "authorization_pending");
    assert_eq!(ask(5).await, "authorization_pending");
    assert_eq!(ask(4).await, "slow_down", "now 10 s");
    assert_eq!(ask(6).await, "slow_down", "now 15 s");
    assert_eq!(ask(14).await, "slow_down", "now 20 s");
    assert_eq!(ask(20).await, "authorization_pending");
    test.clock.advance_ms(600 * SECOND);
    assert_eq!(
        outcome(&poll(&test, &client, &begun).await),
        (400, "expired_token")
    );
    let mut person = Person::signed_in(&test).await;
    assert_eq!(
        type_code(&mut person, &begun.text("user_code")).await.status,
        422,
        "for the person too"
    );
}

#[tokio::test]
async fn line_10_a_device_code_is_bound_to_its_client_and_to_the_answer() {
    let test = published().await;
    let client = for_devices(&test).await;
    let other = for_devices(&test).await;
    let begun = begin(&test, &client).await;
    assert_eq!(
        outcome(&poll(&test, &other, &begun).await),
        (400, "invalid_grant")
    );
    let mut person = Person::signed_in(&test).await;
    let done = answer(&mut person, &begun, "deny").await;
    assert!(done.raw.contains("Nothing was allowed"), "{}", done.raw);
    assert_eq!(
        outcome(&poll(&test, &client, &begun).await),
        (400, "access_denied")
    );
    for code in ["", "device_nonsense", "code_x"] {
        let refused = client
            .post(&test, "/token", &[("grant_type", GRANT), ("device_code", code)])
            .await;
        assert_eq!(refused.status, 400, "{code}");
    }
    let wide = client
        .post(&test, "/device_authorization", &[("scope", "admin")])
        .await;
    assert_eq!(outcome(&wide), (400, "invalid_scope"));
    let elsewhere = [("resource", "https://elsewhere.example")];
    let elsewhere = client.post(&test, "/device_authorization", &elsewhere).await;
    assert_eq!(outcome(&elsewhere), (400, "invalid_target"));

    // More than was shown is not given; what ends the session before the device asks ends the answer.
    let begun = begin(&test, &client).await;
    let page = type_code(&mut person, &begun.text("user_code")).await;
    let mut widened = form(&page, "allow");
    widened.retain(|(name, _)| *name != "scopes");
    widened.push(("scopes", u64::MAX.to_string()));
    assert_eq!(person.post("/device", &widened).await.status, 200);
    let page = person.get("/account").await;
    person.post("/logout", &[("csrf", hidden(&page, "csrf"))]).await;
    assert_eq!(
        outcome(&poll(&test, &client, &begun).await),
        (400, "invalid_grant")
    );
    let mut person = Person::signed_in(&test).await;
    let begun = begin(&test, &client).await;
    answer(&mut person, &begun, "allow").await;
    assert_eq!(
        poll(&test, &client, &begun).await.body["scope"],
        "openid memory:read"
    );
}

#[tokio::test]
async fn line_10_codes_of_others_can_not_be_guessed() {
    let test = TestApp::start().await;
    let client = for_devices(&test).await;
    let begun = begin(&test, &client).await;
    let mut person = Person::signed_in(&test).await;
    for attempt in 1..=10 {
        let answer = type_code(&mut person, "BCDF-GHJK").await;
        assert_eq!(answer.status, 422, "attempt {attempt}");
        // A code of one's own, and a text that is no code, change nothing.
        if attempt == 5 {
            assert_eq!(type_code(&mut person, &begun.text("user_code")).await.status, 200);
            assert_eq!(type_code(&mut person, "AEIOU").await.status, 422);
        }
    }
    let locked = type_code(&mut person, &begun.text("user_code")).await;
    assert_eq!(
        (locked.status.as_u16(), &locked.headers["retry-after"]),
        (429, &"900".parse().expect("text"))
    );
    // Another session of the same person is the same person.
    let mut again = Person::signed_in(&test).await;
    assert_eq!(type_code(&mut again, &begun.text("user_code")).await.status, 429);
    test.clock.advance_ms(901 * SECOND);
    let begun = begin(&test, &client).await;
    assert_eq!(type_code(&mut person, &begun.text("user_code")).await.status, 200);
}

#[tokio::test]
async fn an_address_guesses_fifty_times_at_most() {
    let test = TestApp::start_with(|config| config.device.guesses_per_user = Some(1000)).await;
    let mut person = Person::signed_in(&test).await;
    for attempt in 1..=50 {
        assert_eq!(
            type_code(&mut person, "BCDF-GHJK").await.status,
            422,
            "attempt {attempt}"
        );
    }
    assert_eq!(type_code(&mut person, "BCDF-GHJK").await.status, 429);
    let elsewhere: SocketAddr = "198.51.100.7:4000".parse().expect("an address");
    let mut person = person.moved_to(elsewhere);
    assert_eq!(type_code(&mut person, "BCDF-GHJK").await.status, 422);
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let test = published().await;
    let client = for_devices(&test).await;
    let begun = begin(&test, &client).await;
    let mut person = Person::signed_in(&test).await;
    let page = type_code(&mut person, &begun.text("user_code")).await;
    let mut forged = form(&page, "allow");
    forged[0].1 = "x".to_owned();
    assert_eq!(person.post("/device", &forged).await.status, 403);
    let foreign = person
        .post_from("/device", &form(&page, "allow"), "https://evil.example")
        .await;
    assert_eq!(foreign.status, 403);
    assert_eq!(
        outcome(&poll(&test, &client, &begun).await),
        (400, "authorization_pending")
    );
}

/// Whoever knows the name of an app that people trust, and that signs people in by redirect alone, asks for nothing in its name.
#[tokio::test]
async fn only_clients_that_are_for_devices_begin() {
    let test = published().await;
    let unauthorized = (400, "unauthorized_client");
    let confidential = client_with(&test, |new| new.kind = ClientKind::Confidential).await;
    for client in [public(&test).await, confidential] {
        let refused = client
            .post(&test, "/device_authorization", &[("scope", "memory:read")])
            .await;
        assert_eq!(outcome(&refused), unauthorized);
        let asked = [("grant_type", GRANT), ("device_code", "device_x")];
        assert_eq!(outcome(&client.post(&test, "/token", &asked).await), unauthorized);
    }
    // One that has no other flow needs nowhere to send people back to.
    let client = client_with(&test, |new| {
        new.redirect_uris = Vec::new();
        new.device_flow = true;
    })
    .await;
    let mut person = Person::signed_in(&test).await;
    let begun = begin(&test, &client).await;
    answer(&mut person, &begun, "allow").await;
    assert_eq!(poll(&test, &client, &begun).await.status, 200);
}
