//! The route policy while the server runs.

mod api;
mod drafts;
mod two;

use serde_json::{Value, json};
use shared::id::{OrgId, UserId};

use crate::store::orgs::{NewUser, Role};
use crate::testing::TestApp;

/// The demo's policy as a document, for the resource of a test.
pub(super) fn document(test: &TestApp) -> Value {
    serde_json::from_slice(&test.app.policy().policy.to_json()).expect("JSON")
}

/// The document with another route in front.
pub(super) fn with_route(test: &TestApp, route: Value) -> Value {
    let mut document = document(test);
    let routes = document["routes"].as_array_mut().expect("routes");
    routes.insert(0, route);
    document
}

/// The owner of another organisation, and their key.
pub(crate) async fn other_org(test: &TestApp) -> String {
    let (org, user) = (
        OrgId::from_u64(900).expect("small"),
        UserId::from_u64(901).expect("small"),
    );
    let app = &test.app;
    test.clock.advance_ms(1000);
    let now = test.clock.now();
    let mut tx = app.store.begin().await.expect("tx");
    tx.insert_org(org, "Other", now).await.expect("org");
    let new = NewUser {
        id: user,
        email: "owner@other.example",
        name: "Other",
        password_hash: None,
    };
    tx.insert_user(&new, now).await.expect("user");
    tx.insert_membership(org, user, Role::Owner, now)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    let mut tx = app.store.begin().await.expect("tx");
    let reach = crate::revocation::Reach::from(org);
    let drawn = crate::signing::draw_index(
        &mut tx,
        crate::signing::Purpose::ApiKey,
        &reach,
        None,
        &app.random,
        now,
    )
    .await
    .expect("an index");
    let actor = crate::audit::Actor::command_line();
    let made = crate::keys::create_admin(&mut tx, app, Some(org), drawn, &actor, now)
        .await
        .expect("a key");
    tx.commit().await.expect("commit");
    made.plain.expose().to_owned()
}

/// Applies a document over the one in force.
pub(super) async fn put(test: &TestApp, key: &str, tag: Option<&str>, body: Value) -> crate::testing::Answer {
    let mut request = axum::http::Request::builder()
        .method("PUT")
        .uri("/v1/policy?wait=none")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    let request = request.body(axum::body::Body::from(body.to_string()));
    test.send(request.expect("a request")).await
}

pub(super) fn body(document: &Value) -> Value {
    json!({ "policy": document, "reason": "a test" })
}
