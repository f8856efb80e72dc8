//! What is about a person lies sealed, is shown to who may read, and is gone with the key, which the chain survives.

use axum::http::Method;
use serde_json::{Value, json};

use super::super::personal::email_subject;
use super::super::{Actor, Event, chain_of, record};
use super::{seal, start, walk};
use crate::store::conformance::suite;
use crate::store::{Store, on_db};
use crate::testing::TestApp;

suite! { what_is_personal_is_sealed_and_goes_with_its_key }

async fn entry(test: &TestApp, action: &str) -> Value {
    let answer = test
        .admin(Method::GET, &format!("/v1/audit?action={action}"), None)
        .await;
    answer.body["entries"][0].clone()
}

/// Detail, what is sealed of it, and the sealed address.
type Stored = (String, Option<Vec<u8>>, Option<Vec<u8>>);

#[expect(clippy::too_many_lines, reason = "one story")]
async fn what_is_personal_is_sealed_and_goes_with_its_key(store: Store) {
    let test = start(Some(store)).await;
    let (org, user) = (test.made.org, test.made.user);
    let events = [
        (
            "session.begin",
            "ses_1",
            json!({"address": "192.0.2.7", "method": "password"}),
        ),
        (
            "invitation.create",
            "inv_1",
            json!({"email": "Guest@example.com", "role": "member"}),
        ),
        (
            "passkey.add",
            &user.to_string(),
            json!({"passkey": "x", "name": "Anna's phone"}),
        ),
        (
            "api_key.rename",
            "key_000000001",
            json!({"from": "a", "name": "ci"}),
        ),
    ];
    let mut tx = test.app.store.begin().await.expect("tx");
    for (action, target, detail) in events {
        let actor = Actor {
            who: user.to_string(),
            ..Actor::system()
        };
        let event = Event {
            org: Some(org),
            actor: &actor,
            action,
            target: target.to_owned(),
            detail,
        };
        record(&mut tx, &test.app.random, &event, test.clock.now())
            .await
            .expect("row");
    }
    tx.commit().await.expect("commit");
    seal(&test).await;

    // Nothing of it is readable in the table; a key's name is nobody's.
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let stored: Vec<Stored> =
        on_db!(&mut tx, conn => sqlx::query_as("SELECT detail, personal, address FROM audit").fetch_all(conn).await).expect("rows");
    drop(tx);
    for (detail, personal, address) in &stored {
        let text = format!(
            "{detail} {:?}",
            [personal, address].map(|bytes| bytes.as_deref().map(String::from_utf8_lossy))
        );
        for word in ["192.0.2.7", "uest@example.com", "Anna"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    assert!(stored.iter().any(|(detail, ..)| detail.contains("\"ci\"")));
    assert_eq!(
        entry(&test, "session.begin").await["detail"],
        json!({"address": "192.0.2.7", "method": "password"})
    );
    assert_eq!(
        entry(&test, "invitation.create").await["detail"]["email"],
        "Guest@example.com"
    );
    assert_eq!(
        entry(&test, "passkey.add").await["detail"]["name"],
        "Anna's phone"
    );

    // The key is destroyed: what it sealed is gone, the rest is there, the chain holds.
    let chain = chain_of(Some(org));
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.destroy_person_key((chain, &user.to_string()), 1, test.clock.now())
        .await
        .expect("destroyed");
    tx.commit().await.expect("commit");
    let begun = entry(&test, "session.begin").await;
    assert_eq!(
        (&begun["detail"], &begun["left_out"]),
        (&json!({"method": "password"}), &json!(["erased"]))
    );
    assert_eq!(
        entry(&test, "invitation.create").await["detail"]["email"],
        "Guest@example.com",
        "another's"
    );
    let mut tx = test.app.store.begin().await.expect("tx");
    assert!(
        tx.forget_person_key(chain, &email_subject("guest@EXAMPLE.com"))
            .await
            .expect("forgotten")
    );
    tx.commit().await.expect("commit");
    assert_eq!(
        entry(&test, "invitation.create").await["left_out"],
        json!(["erased"])
    );
    assert_eq!(walk(&test, "").await["ok"], true);

    // Nothing more is kept about them.
    let mut tx = test.app.store.begin().await.expect("tx");
    let actor = Actor {
        who: user.to_string(),
        ..Actor::system()
    };
    let event = Event {
        org: Some(org),
        actor: &actor,
        action: "session.end",
        target: "ses_1".to_owned(),
        detail: json!({"address": "192.0.2.8"}),
    };
    record(&mut tx, &test.app.random, &event, test.clock.now())
        .await
        .expect("row");
    tx.commit().await.expect("commit");
    assert_eq!(entry(&test, "session.end").await["detail"], json!({}));
}
