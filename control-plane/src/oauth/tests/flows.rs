//! Devices, pushed requests and exchanges, of clients with keys and of clients that nobody registered.

use serde_json::json;
use shared::crypto::{base64url, sha256};

use super::dpop::{self, Holder, NO_PROOF, REFUSED, bound_to};
use super::open_clients::{device_notes, document, notes, open, register, rows};
use super::support::{
    ClientApp, Person, REDIRECT, SECOND, VERIFIER, claims, client_with, confidential, encode, for_devices,
    location, outcome, post_form, public, published,
};
use super::{device, token_exchange};
use crate::store::clients::ClientKind;
use crate::testing::{Answer, TestApp};

#[tokio::test]
async fn line_11_dpop_a_device_s_grant_stays_with_its_key() {
    let test = published().await;
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    let client = for_devices(&test).await;
    let begun = device::begin(&test, &client).await;
    let mut person = Person::signed_in(&test).await;
    device::answer(&mut person, &begun, "allow").await;
    let code = begun.text("device_code");
    let fields = [("grant_type", device::GRANT), ("device_code", &*code)];
    let granted = dpop::token(&test, &client, &fields, &[&holder.proof(&test)]).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(bound_to(&granted), holder.jkt());
    let refresh = granted.text("refresh_token");
    let bare = dpop::refresh(&test, &client, &refresh, &[]).await;
    assert_eq!(outcome(&bare), NO_PROOF);
    let stolen = dpop::refresh(&test, &client, &refresh, &[&thief.proof(&test)]).await;
    assert_eq!(outcome(&stolen), REFUSED);
    let own = dpop::refresh(&test, &client, &refresh, &[&holder.proof(&test)]).await;
    assert_eq!(bound_to(&own), holder.jkt());
}

async fn push(test: &TestApp, client: &ClientApp, more: &[(&str, &str)], proofs: &[&str]) -> Answer {
    let challenge = base64url(&sha256(VERIFIER.as_bytes()));
    let mut fields = vec![
        ("response_type", "code"),
        ("redirect_uri", client.redirect),
        ("scope", "memory:read"),
        ("code_challenge", &*challenge),
        ("code_challenge_method", "S256"),
    ];
    fields.extend_from_slice(more);
    dpop::post_to(test, "/par", client, &fields, proofs).await
}

fn link(client_id: &str, pushed: &Answer) -> String {
    let uri = pushed.text("request_uri");
    format!(
        "/authorize?{}",
        encode(&[("client_id", client_id), ("request_uri", &uri)])
    )
}

async fn allow(person: &mut Person<'_>, path: &str) -> String {
    let page = person.get(path).await;
    assert_eq!(page.status, 200, "{page:?}");
    let answer = person.post("/authorize", &Person::form(&page, "allow")).await;
    location(&answer).1["code"].clone()
}

#[tokio::test]
async fn line_11_dpop_a_request_is_pushed_with_a_proof() {
    let test = published().await;
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    let client = public(&test).await;
    let proof = || holder.proof_with(&test, "POST", "/par", |_| {});
    // RFC 9449 §10.1: both say the same, or nothing is kept.
    let twice = push(&test, &client, &[("dpop_jkt", &thief.jkt())], &[&proof()]).await;
    assert_eq!(outcome(&twice), (400, "invalid_request"));
    let elsewhere = push(&test, &client, &[], &[&holder.proof(&test)]).await;
    assert_eq!(outcome(&elsewhere), NO_PROOF, "a proof for /token");
    let first = proof();
    let pushed = push(&test, &client, &[], &[&first]).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    assert_eq!(
        outcome(&push(&test, &client, &[], &[&first]).await),
        NO_PROOF,
        "spent"
    );
    let mut person = Person::signed_in(&test).await;
    let code = allow(&mut person, &link(&client.id.to_string(), &pushed)).await;
    assert_eq!(
        outcome(&dpop::exchange(&test, &client, &code, &[]).await),
        NO_PROOF
    );
    let stolen = dpop::exchange(&test, &client, &code, &[&thief.proof(&test)]).await;
    assert_eq!(outcome(&stolen), REFUSED);
    let granted = dpop::exchange(&test, &client, &code, &[&holder.proof(&test)]).await;
    assert_eq!(bound_to(&granted), holder.jkt());
}

#[tokio::test]
async fn line_11_dpop_a_bound_token_is_exchanged_by_the_holder_of_its_key() {
    let test = published().await;
    let (holder, other) = (Holder::new(1), Holder::new(2));
    let (app, service) = (public(&test).await, confidential(&test).await);
    let token = holder.sign_in(&test, &app).await.text("access_token");
    let fields = [
        ("grant_type", token_exchange::GRANT),
        ("subject_token", &*token),
        ("subject_token_type", token_exchange::ACCESS_TOKEN),
    ];
    let bare = dpop::token(&test, &service, &fields, &[]).await;
    assert_eq!(outcome(&bare), (400, "invalid_request"));
    let stolen = dpop::token(&test, &service, &fields, &[&other.proof(&test)]).await;
    assert_eq!(outcome(&stolen), (400, "invalid_request"));
    let proof = holder.proof(&test);
    let exchanged = dpop::token(&test, &service, &fields, &[&proof]).await;
    assert_eq!(exchanged.status, 200, "{exchanged:?}");
    assert_eq!(bound_to(&exchanged), holder.jkt());
    let again = dpop::token(&test, &service, &fields, &[&proof]).await;
    assert_eq!(outcome(&again), NO_PROOF);
    // A client that is registered for DPoP gets nothing else here either.
    let strict = client_with(&test, |new| {
        new.kind = ClientKind::Confidential;
        new.dpop_bound_access_tokens = true;
    })
    .await;
    let token = app.sign_in(&test).await.text("access_token");
    let fields = [fields[0], ("subject_token", &*token), fields[2]];
    assert_eq!(
        outcome(&dpop::token(&test, &strict, &fields, &[]).await),
        NO_PROOF
    );
    let exchanged = dpop::token(&test, &strict, &fields, &[&other.proof(&test)]).await;
    assert_eq!(bound_to(&exchanged), other.jkt());
}

async fn device_code(test: &TestApp, client_id: &str) -> Answer {
    let body = encode(&[("client_id", client_id), ("scope", "memory:read")]);
    let begun = post_form(test, "/device_authorization", &body).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    begun
}

#[tokio::test]
async fn a_device_s_client_that_nobody_registered_costs_no_row_until_a_person_agrees() {
    let test = TestApp::start_with(|config| {
        config.dev = true;
        // Longer than a document is kept.
        config.device.code_seconds = 1200;
    })
    .await;
    let (url, served) = document().await;
    let without = register(&test, &notes("none")).await.text("client_id");
    for client_id in [&without, &url] {
        let body = encode(&[("client_id", client_id), ("scope", "memory:read")]);
        let refused = post_form(&test, "/device_authorization", &body).await;
        assert_eq!(outcome(&refused), (400, "unauthorized_client"));
    }
    let says = |grants: serde_json::Value| {
        served.lock().expect("the document").as_mut().expect("there")["grant_types"] = grants;
        test.clock.advance_ms(601 * SECOND);
    };
    says(json!(["authorization_code", device::GRANT]));
    let made = register(&test, &device_notes()).await;
    assert_eq!(
        made.body["grant_types"],
        json!(["authorization_code", "refresh_token", device::GRANT])
    );
    let sealed = made.text("client_id");
    let mut person = Person::signed_in(&test).await;
    for (client_id, warning, expected) in [
        (&sealed, "nobody has checked it", 1),
        (&url, "It says that it is an app of 127.0.0.1.", 2),
    ] {
        let refused = device_code(&test, client_id).await;
        device::answer(&mut person, &refused, "deny").await;
        let begun = device_code(&test, client_id).await;
        let page = device::type_code(&mut person, &begun.text("user_code")).await;
        assert!(page.raw.contains(warning), "{}", page.raw);
        assert_eq!(rows(&test).await, expected - 1, "no consent, no row");
        let done = person.post("/device", &device::form(&page, "allow")).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(rows(&test).await, expected);
        let code = begun.text("device_code");
        let fields = [
            ("grant_type", device::GRANT),
            ("device_code", &*code),
            ("client_id", client_id),
        ];
        let granted = post_form(&test, "/token", &encode(&fields)).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        assert_eq!(claims(&granted).client_id, *client_id);
    }
    // A document that takes it back ends what waits, for the person and for the device.
    let begun = device_code(&test, &url).await;
    says(json!(["authorization_code"]));
    let page = device::type_code(&mut person, &begun.text("user_code")).await;
    assert_eq!(page.status, 422, "{page:?}");
    let code = begun.text("device_code");
    let fields = [
        ("grant_type", device::GRANT),
        ("device_code", &*code),
        ("client_id", &url),
    ];
    let refused = post_form(&test, "/token", &encode(&fields)).await;
    assert_eq!(outcome(&refused), (400, "unauthorized_client"));
}

#[tokio::test]
async fn a_client_that_nobody_registered_pushes_its_requests() {
    let test = open().await;
    let (url, kept) = document().await;
    let sealed = register(&test, &notes("none")).await.text("client_id");
    let mut person = Person::signed_in(&test).await;
    let challenge = base64url(&sha256(VERIFIER.as_bytes()));
    for (client_id, expected) in [(&sealed, 1), (&url, 2)] {
        let fields = [
            ("client_id", &**client_id),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let pushed = post_form(&test, "/par", &encode(&fields)).await;
        assert_eq!(pushed.status, 201, "{pushed:?}");
        assert_eq!(rows(&test).await, expected - 1, "no consent, no row");
        allow(&mut person, &link(client_id, &pushed)).await;
        assert_eq!(rows(&test).await, expected);
    }
    // And signs out to where its document says.
    kept.lock().expect("the document").as_mut().expect("there")["post_logout_redirect_uris"] =
        json!(["https://app.example.com/bye"]);
    test.clock.advance_ms(600_000);
    let back = [
        ("client_id", &*url),
        ("post_logout_redirect_uri", "https://app.example.com/bye"),
    ];
    let page = person.get(&format!("/logout?{}", encode(&back))).await;
    assert_eq!(page.status, 200, "{page:?}");
    let elsewhere = [
        ("client_id", &*url),
        ("post_logout_redirect_uri", "https://evil.example/"),
    ];
    let page = person.get(&format!("/logout?{}", encode(&elsewhere))).await;
    assert_eq!(page.status, 400);
}

#[tokio::test]
async fn a_client_that_nobody_registered_exchanges_nothing() {
    let test = open().await;
    let token = public(&test).await.sign_in(&test).await.text("access_token");
    let made = register(&test, &notes("client_secret_post")).await;
    let (id, secret) = (made.text("client_id"), made.text("client_secret"));
    let fields = [
        ("client_id", &*id),
        ("client_secret", &*secret),
        ("grant_type", token_exchange::GRANT),
        ("subject_token", &*token),
        ("subject_token_type", token_exchange::ACCESS_TOKEN),
    ];
    let answer = post_form(&test, "/token", &encode(&fields)).await;
    assert_eq!(outcome(&answer), (400, "unauthorized_client"));
}
