//! What is let go after its time, what stays, that the chain holds; and the erasure of a person.

use axum::http::Method;
use serde_json::{Value, json};
use shared::id::{OrgId, UserId};

use super::apply_all;
use crate::audit::{self, Actor, Event, seal_waiting};
use crate::store::conformance::suite;
use crate::store::orgs::Role;
use crate::store::{Store, on_db};
use crate::testing::{TestApp, member};

const DAY_MS: u64 = 86_400_000;

suite! {
    what_is_old_is_let_go_and_the_chain_holds,
    a_person_is_erased_in_their_last_organisation,
    a_person_of_two_organisations_is_erased_in_one,
}

async fn write(test: &TestApp, action: &'static str, org: Option<OrgId>, actor: UserId) {
    let actor = Actor {
        who: actor.to_string(),
        ..Actor::system()
    };
    let event = Event {
        org,
        actor: &actor,
        action,
        target: "ses_000000001".to_owned(),
        detail: json!({"address": "192.0.2.7", "email": "guest@example.com", "method": "password"}),
    };
    let mut tx = test.app.store.begin().await.expect("tx");
    audit::record(&mut tx, &test.app.random, &event, test.clock.now())
        .await
        .expect("row");
    tx.commit().await.expect("commit");
}

async fn entry(test: &TestApp, action: &str) -> Value {
    let answer = test
        .admin(Method::GET, &format!("/v1/audit?action={action}"), None)
        .await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.body["entries"][0].clone()
}

async fn is_sound(test: &TestApp) {
    for trail in ["org", "installation"] {
        let found = test
            .admin(Method::GET, &format!("/v1/audit/verify?trail={trail}"), None)
            .await
            .body;
        assert_eq!(
            (&found["ok"], &found["complete"]),
            (&json!(true), &json!(true)),
            "{found}"
        );
    }
}

async fn what_is_old_is_let_go_and_the_chain_holds(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let (org, user) = (Some(test.made.org), test.made.user);
    write(&test, "test.old", org, user).await;
    write(&test, "test.installation", None, user).await;
    test.clock.advance_ms(40 * DAY_MS);
    write(&test, "test.middle", org, user).await;
    test.clock.advance_ms(20 * DAY_MS);
    write(&test, "test.new", org, user).await;
    seal_waiting(test.app.clone()).await.expect("sealed");
    // Nothing is due: addresses are kept for a year, details for good.
    apply_all(test.app.clone()).await.expect("applied");
    assert_eq!(entry(&test, "test.old").await["detail"]["address"], "192.0.2.7");
    assert_eq!(entry(&test, super::ACTION).await, Value::Null);

    let body = json!({"address_days": 10, "detail_days": 30});
    test.admin(Method::PATCH, "/v1/settings", Some(body)).await;
    apply_all(test.app.clone()).await.expect("applied");
    let old = entry(&test, "test.old").await;
    assert_eq!(
        (&old["detail"], &old["left_out"]),
        (&json!({}), &json!(["expired"])),
        "{old}"
    );
    assert_eq!(old["actor"], user.to_string(), "who, what and when stay");
    let middle = entry(&test, "test.middle").await;
    assert_eq!(
        middle["detail"],
        json!({"email": "guest@example.com", "method": "password"})
    );
    assert_eq!(entry(&test, "test.new").await["detail"]["address"], "192.0.2.7");
    seal_waiting(test.app.clone()).await.expect("sealed");
    is_sound(&test).await;

    // Again on the same day: nothing to say. A day later there may be.
    apply_all(test.app.clone()).await.expect("applied");
    let rows = async || {
        let rows = test
            .admin(Method::GET, &format!("/v1/audit?action={}", super::ACTION), None)
            .await;
        rows.body["entries"].as_array().expect("entries").len()
    };
    assert_eq!(rows().await, 1);
    test.clock.advance_ms(12 * DAY_MS);
    apply_all(test.app.clone()).await.expect("applied");
    assert_eq!(
        entry(&test, "test.new").await["detail"],
        json!({"email": "guest@example.com", "method": "password"})
    );
    assert_eq!(rows().await, 2);
    // Kept for longer from now on: what is gone stays gone, what is there stays.
    test.admin(
        Method::PATCH,
        "/v1/settings",
        Some(json!({"address_days": null, "detail_days": null})),
    )
    .await;
    test.clock.advance_ms(60 * DAY_MS);
    apply_all(test.app.clone()).await.expect("applied");
    seal_waiting(test.app.clone()).await.expect("sealed");
    assert_eq!(entry(&test, "test.new").await["detail"]["method"], "password");
    is_sound(&test).await;
    // After a year the installation's own addresses go too.
    test.clock.advance_ms(300 * DAY_MS);
    apply_all(test.app.clone()).await.expect("applied");
    let answer = test
        .admin(
            Method::GET,
            "/v1/audit?trail=installation&action=test.installation",
            None,
        )
        .await;
    assert_eq!(answer.body["entries"][0]["left_out"], json!(["expired"]));
    seal_waiting(test.app.clone()).await.expect("sealed");
    is_sound(&test).await;
}

async fn erase(test: &TestApp, user: UserId) -> crate::testing::Answer {
    let path = format!("/v1/people/{user}/erase");
    test.admin(Method::POST, &path, Some(json!({"confirm": user})))
        .await
}

async fn deactivate(test: &TestApp, user: UserId) {
    let path = format!("/v1/memberships/{user}/deactivate?wait=none");
    let answer = test.admin(Method::POST, &path, None).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
}

async fn a_person_is_erased_in_their_last_organisation(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let (user, _) = member(&test, 12, Role::Member).await;
    let (_, admin) = member(&test, 13, Role::Admin).await;
    write(&test, "test.theirs", Some(test.made.org), user).await;
    write(&test, "test.global", None, user).await;
    let path = format!("/v1/people/{user}/erase");
    let active = erase(&test, user).await;
    assert_eq!(active.outcome(), (409, "not_deactivated"));
    deactivate(&test, user).await;
    let unsure = test
        .admin(Method::POST, &path, Some(json!({"confirm": "yes"})))
        .await;
    assert_eq!(unsure.outcome(), (400, "invalid_field"));
    let by_admin = test
        .call(Method::POST, &path, &admin, Some(json!({"confirm": user})))
        .await;
    assert_eq!(by_admin.outcome(), (403, "exceeds_caller"));
    let nobody = UserId::from_u64(999).expect("small");
    assert_eq!(erase(&test, nobody).await.outcome(), (404, "not_found"));

    let erased = erase(&test, user).await;
    assert_eq!(
        (erased.status.as_u16(), &erased.body["account"]),
        (200, &json!(true)),
        "{erased:?}"
    );
    assert_eq!(
        erase(&test, user).await.body,
        erased.body,
        "a second time gives the same answer"
    );
    let theirs = entry(&test, "test.theirs").await;
    assert_eq!(
        (&theirs["left_out"], &theirs["actor"]),
        (&json!(["erased"]), &json!(user))
    );
    assert!(
        theirs["detail"].get("address").is_none() && theirs["detail"]["method"] == "password",
        "{theirs}"
    );
    let global = test
        .admin(
            Method::GET,
            "/v1/audit?trail=installation&action=test.global",
            None,
        )
        .await;
    assert_eq!(global.body["entries"][0]["left_out"], json!(["erased"]));
    let shown = test
        .admin(Method::GET, &format!("/v1/memberships/{user}"), None)
        .await;
    assert_eq!(
        (&shown.body["email"], &shown.body["name"]),
        (&json!(""), &json!(""))
    );
    // Nowhere in the database, whatever the table; the other guest's address in the trail was another's.
    let mut tx = test.app.store.begin().await.expect("tx");
    let users: Vec<(String, String)> =
        on_db!(&mut tx, conn => sqlx::query_as("SELECT email, name FROM users").fetch_all(conn).await)
            .expect("rows");
    assert!(
        !users.iter().any(|(email, _)| email == "12@example.com"),
        "{users:?}"
    );
    drop(tx);
    let resume = test
        .admin(
            Method::POST,
            &format!("/v1/memberships/{user}/resume?wait=none"),
            None,
        )
        .await;
    assert_eq!(resume.outcome(), (409, "erased"));
    seal_waiting(test.app.clone()).await.expect("sealed");
    is_sound(&test).await;
}

async fn a_person_of_two_organisations_is_erased_in_one(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let (user, _) = member(&test, 12, Role::Member).await;
    let other = OrgId::from_u64(77).expect("small");
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(other, "Another", now).await.expect("org");
    tx.insert_membership(other, user, Role::Member, now)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    write(&test, "test.there", Some(other), user).await;
    write(&test, "test.here", Some(test.made.org), user).await;
    deactivate(&test, user).await;
    let erased = erase(&test, user).await;
    assert_eq!(
        (erased.status.as_u16(), &erased.body["account"]),
        (200, &json!(false)),
        "{erased:?}"
    );
    // Here they are gone, there they are not: neither their account nor their entries.
    assert_eq!(entry(&test, "test.here").await["left_out"], json!(["erased"]));
    let shown = test
        .admin(Method::GET, &format!("/v1/memberships/{user}"), None)
        .await;
    assert_eq!(shown.body["email"], "");
    let mut tx = test.app.store.begin().await.expect("tx");
    let there = tx.member(other, user).await.expect("member").expect("there");
    assert_eq!(there.email, "12@example.com");
    drop(tx);
    let search = audit::Search {
        limit: 10,
        action: Some("test.there".to_owned()),
        ..audit::Search::default()
    };
    let page = audit::page_of(&test.app, 77, &search).await.expect("a page");
    assert_eq!(page.entries[0].detail["address"], "192.0.2.7");
}
