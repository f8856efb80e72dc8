//! What settings do, who may set them, and the trail of it.

use axum::http::Method;
use serde_json::{Value, json};

use super::{remind, rotate_due};
use crate::http::time::format_rfc3339;
use crate::signing::Purpose;
use crate::store::conformance::suite;
use crate::store::orgs::Role;
use crate::store::{Store, on_db};
use crate::testing::{TestApp, member};

const DAY_MS: u64 = 86_400_000;

suite! {
    a_setting_is_set_taken_back_and_left_alone,
    keys_end_as_the_organisation_says,
    owners_of_keys_are_told_once,
    signing_keys_are_rotated_by_schedule,
}

async fn set(test: &TestApp, body: Value) -> Value {
    let answer = test.admin(Method::PATCH, "/v1/settings", Some(body)).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.body
}

async fn a_setting_is_set_taken_back_and_left_alone(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let before = test.admin(Method::GET, "/v1/settings", None).await.body;
    assert_eq!(
        (&before["version"], &before["retention"]["set"]["usage_days"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        before["retention"]["effective"],
        json!({"usage_days": 400, "address_days": 365, "detail_days": null})
    );
    let view = set(&test, json!({"usage_days": 500, "address_days": 30})).await;
    assert_eq!(
        view["retention"]["effective"],
        json!({"usage_days": 400, "address_days": 30, "detail_days": null}),
        "never longer"
    );
    let view = set(&test, json!({"address_days": null, "rotation_renews": true})).await;
    assert_eq!(
        view["retention"]["set"],
        json!({"usage_days": 500, "address_days": null, "detail_days": null})
    );
    assert_eq!(
        (&view["version"], &view["keys"]["rotation_renews"]),
        (&json!(2), &json!(true))
    );
    // Nothing new: no version, no row.
    assert_eq!(set(&test, json!({"rotation_renews": true})).await["version"], 2);
    let rows = test
        .admin(Method::GET, "/v1/audit?action=settings.change", None)
        .await;
    assert_eq!(rows.body["entries"].as_array().expect("entries").len(), 2);
    for (body, field) in [
        (json!({"usage_days": 0}), "usage_days"),
        (json!({"key_max_days": 3661}), "key_max_days"),
        (json!({"key_max_days": "90"}), "key_max_days"),
    ] {
        let answer = test.admin(Method::PATCH, "/v1/settings", Some(body)).await;
        assert_eq!(
            (answer.outcome(), &answer.body["field"]),
            ((400, "invalid_field"), &json!(field))
        );
    }
    // Before keys must end: theirs does not.
    let (_, admin) = member(&test, 11, Role::Admin).await;
    // Two at once: both are there, or one is told to try again.
    let (first, second) = tokio::join!(
        test.admin(Method::PATCH, "/v1/settings", Some(json!({"key_max_days": 90}))),
        test.admin(Method::PATCH, "/v1/settings", Some(json!({"key_remind_days": 7})))
    );
    let view = test.admin(Method::GET, "/v1/settings", None).await.body;
    for (answer, name) in [(first, "max_days"), (second, "remind_days")] {
        match answer.status.as_u16() {
            200 => assert!(view["keys"][name].is_number(), "{view}"),
            409 => assert!(view["keys"][name].is_null(), "{view}"),
            other => panic!("{other}"),
        }
    }
    let refused = test
        .call(
            Method::PATCH,
            "/v1/settings",
            &admin,
            Some(json!({"usage_days": 9})),
        )
        .await;
    assert_eq!(refused.outcome(), (403, "exceeds_caller"));
    let path = "/v1/settings/signing-keys/api_key/rotate";
    assert_eq!(
        test.call(Method::POST, path, &admin, None).await.outcome(),
        (403, "exceeds_caller")
    );
}

async fn keys_end_as_the_organisation_says(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let at = |days: u64| format_rfc3339(test.clock.now().saturating_add(days * DAY_MS).seconds().millis());
    let create = async |expires_at: Option<String>| {
        let body = json!({"name": "ci", "scope": "read", "expires_at": expires_at});
        test.admin(Method::POST, "/v1/auth/keys", Some(body)).await
    };
    let free = create(None).await;
    assert_eq!(free.status.as_u16(), 201);
    set(&test, json!({"key_max_days": 90})).await;
    for refused in [None, Some(at(91))] {
        let answer = create(refused).await;
        assert_eq!(
            (answer.outcome(), &answer.body["field"]),
            ((400, "invalid_field"), &json!("expires_at"))
        );
    }
    let made = create(Some(at(30))).await;
    assert_eq!(made.status.as_u16(), 201, "{made:?}");
    let rotate = async |id: &str| {
        let answer = test
            .admin(Method::POST, &format!("/v1/auth/keys/{id}/rotate"), None)
            .await;
        assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
        answer.body
    };
    // A successor of a key without end gets one; a life is not made longer by rotating, unless that is set.
    let renewed = rotate(&free.text("id")).await;
    assert_eq!(renewed["expires_at"], at(90), "{renewed}");
    let end = at(30);
    test.clock.advance_ms(10 * DAY_MS);
    let same = rotate(&made.text("id")).await;
    assert_eq!(same["expires_at"], end);
    set(&test, json!({"rotation_renews": true})).await;
    let second = create(Some(at(40))).await;
    test.clock.advance_ms(39 * DAY_MS);
    let anew = rotate(&second.text("id")).await;
    assert_eq!(anew["expires_at"], at(40));
}

async fn owners_of_keys_are_told_once(store: Store) {
    let test = TestApp::start_on(Some(store), |config| config.dev = true).await;
    set(&test, json!({"key_remind_days": 14})).await;
    let at = |days: u64| format_rfc3339(test.clock.now().saturating_add(days * DAY_MS).seconds().millis());
    for (name, days) in [("soon", 10), ("later", 20), ("revoked", 9)] {
        let (id, _) = test
            .create_key(json!({"name": name, "scope": "read", "expires_at": at(days)}))
            .await;
        if name == "revoked" {
            test.admin(Method::DELETE, &format!("/v1/auth/keys/{id}?wait=none"), None)
                .await;
        }
    }
    let told = async || {
        remind(test.app.clone()).await.expect("reminded");
        let rows = test
            .admin(Method::GET, "/v1/audit?action=api_key.expiring", None)
            .await
            .body;
        let entries = rows["entries"].as_array().expect("entries").clone();
        entries
            .iter()
            .map(|entry| entry["detail"]["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(told().await, ["soon"]);
    assert_eq!(told().await, ["soon"], "once");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let mails: i64 = on_db!(&mut tx, conn => sqlx::query_scalar("SELECT COUNT(*) FROM mails WHERE kind = 'key_expiring'").fetch_one(conn).await).expect("count");
    assert_eq!(mails, 1);
    drop(tx);
    test.clock.advance_ms(7 * DAY_MS);
    assert_eq!(told().await, ["later", "soon"]);
    test.clock.advance_ms(20 * DAY_MS);
    assert_eq!(told().await.len(), 2, "what has ended is not told");
}

async fn signing_keys_are_rotated_by_schedule(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let of = |purpose: Purpose| {
        test.app
            .keyring
            .all()
            .iter()
            .filter(|key| key.purpose == purpose)
            .count()
    };
    rotate_due(test.app.clone()).await.expect("nothing is set");
    set(&test, json!({"api_key_signer_days": 30})).await;
    rotate_due(test.app.clone()).await.expect("not due");
    assert_eq!(of(Purpose::ApiKey), 1);
    let view = test.admin(Method::GET, "/v1/settings", None).await.body;
    let keys = view["signing_keys"].as_array().expect("keys").clone();
    let signer = keys
        .iter()
        .find(|key| key["purpose"] == "api_key")
        .expect("a signer");
    assert!(signer["next_rotation_at"].is_string(), "{signer}");
    test.clock.advance_ms(31 * DAY_MS);
    for _ in 0..2 {
        rotate_due(test.app.clone()).await.expect("rotated");
    }
    assert_eq!(
        (of(Purpose::ApiKey), of(Purpose::AccessToken)),
        (2, 1),
        "once, and only that"
    );
    // By hand: the other one. A second time it is under way.
    let path = "/v1/settings/signing-keys/access_token/rotate";
    assert_eq!(test.admin(Method::POST, path, None).await.status.as_u16(), 202);
    assert_eq!(
        test.admin(Method::POST, path, None).await.outcome(),
        (409, "already_rotated")
    );
    let root = test
        .admin(Method::POST, "/v1/settings/signing-keys/root/rotate", None)
        .await;
    assert_eq!(root.status.as_u16(), 409);
    let nothing = test
        .admin(Method::POST, "/v1/settings/signing-keys/none/rotate", None)
        .await;
    assert_eq!(nothing.outcome(), (404, "not_found"));
}
