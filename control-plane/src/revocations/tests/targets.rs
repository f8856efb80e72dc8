//! What dies with each target, what lives on, and that a repetition gives the same receipt.

use shared::id::KeyId;

use super::*;
use crate::oauth::tests::support::{ClientApp, Person, confidential, outcome, public};
use crate::store::orgs::Role;

/// Whether a client may still refresh, and its access token still counts.
async fn lives(test: &TestApp, client: &ClientApp, answer: &Answer) -> bool {
    let token = answer.text("access_token");
    let introspected = client.post(test, "/introspect", &[("token", &token)]).await;
    introspected.body["active"] == true
}

#[tokio::test]
async fn a_client_loses_all_that_it_was_issued_and_goes_on() {
    let test = published().await;
    let (client, other) = (confidential(&test).await, confidential(&test).await);
    let first = client.sign_in(&test).await;
    let machine = client
        .post(&test, "/token", &[("grant_type", "client_credentials")])
        .await;
    let beside = other.sign_in(&test).await;
    let waiting = Person::signed_in(&test).await.allow(&client, &[]).await;
    let id = client.id.to_string();

    let receipt = revoke(&test, "client", &id).await;
    assert_receipt(&receipt);
    assert_eq!(
        (
            receipt.text("id"),
            receipt.text("reason"),
            receipt.text("comment")
        ),
        (id.clone(), "key_compromise".into(), "a laptop was stolen".into())
    );
    assert_eq!(receipt.body["revoked"]["grants"], 1, "{receipt:?}");
    for token in [&first, &machine] {
        assert!(!lives(&test, &client, token).await);
    }
    let refreshed = client.refresh(&test, &first.text("refresh_token")).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
    let late = client.exchange(&test, &waiting).await;
    assert_eq!(
        outcome(&late),
        (400, "invalid_grant"),
        "what was allowed before, too"
    );
    assert!(lives(&test, &other, &beside).await, "not another's");
    let again = revoke(&test, "client", &id).await;
    assert_eq!(again.body, receipt.body, "nothing was issued since");
    let subject = Subject::Client(id.clone());
    assert_eq!(not_before_entries(&test, &subject).await, 1);

    // Within the same second: what comes later is dated later.
    let second = client.sign_in(&test).await;
    let own = client
        .post(&test, "/token", &[("grant_type", "client_credentials")])
        .await;
    assert!(claims(&second).iat > claims(&first).iat && claims(&own).iat > claims(&machine).iat);
    assert!(lives(&test, &client, &second).await && lives(&test, &client, &own).await);
    let third = revoke(&test, "client", &id).await;
    assert_ne!(third.text("revocation"), receipt.text("revocation"));
    assert!(!lives(&test, &client, &second).await && !lives(&test, &client, &own).await);
    assert_eq!(not_before_entries(&test, &subject).await, 2);
}

#[tokio::test]
async fn a_client_of_everybody_loses_what_this_organisation_gave_it() {
    let test = published().await;
    let client = crate::oauth::tests::support::client_with(&test, |new| {
        new.org = None;
    })
    .await;
    let id = client.id.to_string();
    assert_eq!(
        revoke(&test, "client", &id).await.status,
        404,
        "nobody here knows it"
    );
    let first = client.sign_in(&test).await;
    let waiting = Person::signed_in(&test).await.allow(&client, &[]).await;
    let receipt = revoke(&test, "client", &id).await;
    assert_receipt(&receipt);
    assert_eq!(receipt.body["revoked"]["grants"], 1);
    let refreshed = client.refresh(&test, &first.text("refresh_token")).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
    assert_eq!(
        outcome(&client.exchange(&test, &waiting).await),
        (400, "invalid_grant")
    );
    assert_eq!(
        not_before_entries(&test, &Subject::Client(id.clone())).await,
        0,
        "other organisations use it too"
    );
    assert_eq!(revoke(&test, "client", &id).await.body, receipt.body);
    // A code that was never fetched is something to end, and a receipt is due.
    Person::signed_in(&test).await.allow(&client, &[]).await;
    assert_receipt(&revoke(&test, "client", &id).await);
}

#[tokio::test]
async fn a_user_loses_everything_and_may_come_back() {
    let test = published().await;
    let (bob, key) = member(&test, 71, Role::Admin).await;
    let (second, _) = test
        .create_key(json!({"name": "second", "scope": "read", "user": bob}))
        .await;
    let receipt = revoke(&test, "user", &bob.to_string()).await;
    assert_receipt(&receipt);
    assert_eq!(receipt.body["revoked"]["keys"], 2, "{receipt:?}");
    assert!(!works(&test, &key).await && works(&test, &test.made.admin_key).await);
    let subject = Subject::Member(test.made.org, bob);
    assert_eq!(not_before_entries(&test, &subject).await, 1);
    let shown = test
        .admin(Method::GET, &format!("/v1/auth/keys/{second}"), None)
        .await;
    assert_eq!(
        (shown.text("status"), shown.text("revoked_reason")),
        ("revoked".into(), "key_compromise".into())
    );
    // A key of theirs has a receipt of its own when it is asked for.
    let path = format!("/v1/auth/keys/{second}");
    assert_receipt(&test.admin(Method::DELETE, &path, None).await);
    let again = revoke(&test, "user", &bob.to_string()).await;
    assert_eq!(again.body, receipt.body);
    let detail = audited(&test, &bob.to_string(), "membership.revoke").await;
    assert_eq!(
        (&detail["reason"], &detail["comment"], &detail["ids_complete"]),
        (
            &json!("key_compromise"),
            &json!("a laptop was stolen"),
            &json!(true)
        )
    );
    assert_eq!(detail["ids"].as_array().map(Vec::len), Some(2));
    // Not a deactivation: a new key works at once, though dated later.
    let (_, fresh) = test
        .create_key(json!({"name": "fresh", "scope": "admin", "user": bob}))
        .await;
    assert!(works(&test, &fresh).await);
    assert_ne!(
        revoke(&test, "user", &bob.to_string()).await.text("revocation"),
        receipt.text("revocation")
    );
    assert!(!works(&test, &fresh).await);
}

#[tokio::test]
async fn a_session_ends_with_what_came_of_it() {
    let test = published().await;
    let client = confidential(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    let first = client.exchange(&test, &code).await;
    let waiting = person.allow(&client, &[]).await;
    let other = client.sign_in(&test).await;
    let sid = claims(&first).sid.expect("a session");
    let receipt = revoke(&test, "session", &sid).await;
    assert_receipt(&receipt);
    assert_eq!(
        (
            &receipt.body["revoked"]["sessions"],
            &receipt.body["revoked"]["grants"]
        ),
        (&json!(1), &json!(1)),
        "{receipt:?}"
    );
    assert!(!lives(&test, &client, &first).await && lives(&test, &client, &other).await);
    assert_eq!(
        outcome(&client.exchange(&test, &waiting).await),
        (400, "invalid_grant")
    );
    assert_eq!(person.get("/account").await.status, 303, "signed out");
    assert_eq!(revoke(&test, "session", &sid).await.body, receipt.body);
    assert_eq!(not_before_entries(&test, &Subject::Session(sid)).await, 1);
    assert_eq!(revoke(&test, "session", "ses_000000001").await.status, 404);
}

#[tokio::test]
async fn a_grant_ends_alone() {
    let test = published().await;
    let client = confidential(&test).await;
    let (first, other) = (client.sign_in(&test).await, client.sign_in(&test).await);
    let index = crate::oauth::tests::index(&test, &first);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let grant = tx.grant_of_index(index).await.expect("asked").expect("one");
    drop(tx);
    let receipt = revoke(&test, "grant", &grant.to_string()).await;
    assert_receipt(&receipt);
    assert_eq!(receipt.text("id"), grant.to_string());
    assert!(!lives(&test, &client, &first).await && lives(&test, &client, &other).await);
    assert_eq!(
        revoke(&test, "grant", &grant.to_string()).await.body,
        receipt.body
    );
    let detail = audited(&test, &grant.to_string(), "grant.revoke").await;
    assert_eq!(
        (&detail["reason"], &detail["cause"]),
        (&json!("key_compromise"), &json!("asked"))
    );
}

#[tokio::test]
async fn a_key_goes_as_by_delete() {
    let test = published().await;
    let (id, key) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    let receipt = revoke(&test, "key", &id).await;
    assert_receipt(&receipt);
    assert!(!works(&test, &key).await);
    let deleted = test
        .admin(Method::DELETE, &format!("/v1/auth/keys/{id}"), None)
        .await;
    assert_eq!(deleted.body, receipt.body);
    let id: KeyId = id.parse().expect("an id");
    let detail = audited(&test, &id.to_string(), "api_key.revoke").await;
    assert_eq!(detail["comment"], "a laptop was stolen");
}

#[tokio::test]
async fn an_organisation_loses_everything_and_begins_again() {
    let test = published().await;
    let client = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    let first = client.exchange(&test, &code).await;
    let (_, reader) = test.create_key(json!({"name": "r", "scope": "read"})).await;
    let org = test.made.org.to_string();
    let receipt = revoke(&test, "org", &org).await;
    assert_receipt(&receipt);
    assert_eq!(
        receipt.body["revoked"],
        json!({"keys": 2, "grants": 1, "tokens": 0, "sessions": 1}),
    );
    assert!(!works(&test, &reader).await && !works(&test, &test.made.admin_key).await);
    let refreshed = client.refresh(&test, &first.text("refresh_token")).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
    assert_eq!(person.get("/account").await.status, 303);
    assert_eq!(not_before_entries(&test, &Subject::Org(test.made.org)).await, 1);
    // The way back is at the machine.
    let made = crate::revocations::local::admin_key(&test.app, Some(test.made.org))
        .await
        .expect("a key");
    let fresh = made["admin_key"].as_str().expect("text");
    assert!(works(&test, fresh).await);
    let path = format!("{PATH}/{}", receipt.text("revocation"));
    let shown = test.call(Method::GET, &path, fresh, None).await;
    assert_eq!(
        (shown.status.as_u16(), &shown.body["revoked"]),
        (200, &receipt.body["revoked"])
    );
    let credentials = test
        .call(Method::GET, &format!("{path}/credentials?limit=2"), fresh, None)
        .await;
    let ids = credentials.body["credentials"]
        .as_array()
        .expect("a list")
        .clone();
    assert!(
        ids.iter()
            .all(|id| id.as_str().is_some_and(|id| id.starts_with("key_")))
    );
    let next = credentials.text("next_cursor");
    let rest = test
        .call(
            Method::GET,
            &format!("{path}/credentials?cursor={next}"),
            fresh,
            None,
        )
        .await;
    assert_eq!(
        rest.body["credentials"].as_array().map(Vec::len),
        Some(1),
        "{rest:?}"
    );
    assert!(
        rest.body["credentials"][0]
            .as_str()
            .expect("text")
            .starts_with("grt_")
    );
}
