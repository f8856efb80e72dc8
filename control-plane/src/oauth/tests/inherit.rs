//! Tokens inherit: whatever a grant says, a token never gives more than the person may do when it is issued.

use serde_json::json;

use super::support::{ClientApp, DAY, Person, claims, client_with, outcome, published};
use crate::store::members::MemberState;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp};

const REFUSED: (u16, &str) = (400, "invalid_grant");

/// A client that a person lets administer, the code, and the person.
async fn client(test: &TestApp) -> ClientApp {
    client_with(test, |new| {
        new.scopes = test.app.catalogue().parse(["admin"]).expect("known");
    })
    .await
}

/// Another role or state, as `members` writes it.
async fn becomes(test: &TestApp, role: Role, state: MemberState) {
    let member = (test.made.org, test.made.user);
    let mut tx = test.app.store.begin().await.expect("tx");
    let found = tx
        .member(member.0, member.1)
        .await
        .expect("asked")
        .expect("there");
    let changed = tx
        .change_member(member, (role, state), found.version, test.clock.now())
        .await;
    assert!(changed.expect("changed").is_some());
    tx.commit().await.expect("commit");
}

async fn active(test: &TestApp, role: Role) {
    becomes(test, role, MemberState::Active).await;
}

fn scope(answer: &Answer) -> &str {
    answer.body["scope"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn admin_under_a_lesser_role_is_what_that_role_may_do() {
    let test = published().await;
    let client = client(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[("scope", Some("openid admin"))]).await;
    active(&test, Role::Member).await;
    let granted = client.exchange(&test, &code).await;
    let left = "openid memory:read memory:write memory:delete";
    assert_eq!(scope(&granted), left, "a code from before the demotion");
    assert_eq!(claims(&granted).scope, "memory:read memory:write memory:delete");
    active(&test, Role::Viewer).await;
    let refreshed = client.refresh(&test, &granted.text("refresh_token")).await;
    assert_eq!(scope(&refreshed), "openid memory:read");
    active(&test, Role::Owner).await;
    let refreshed = client.refresh(&test, &refreshed.text("refresh_token")).await;
    assert_eq!(
        scope(&refreshed),
        "openid admin",
        "what was agreed to, and no more"
    );
}

#[tokio::test]
async fn a_retry_after_a_demotion_gets_the_same_successor_with_less() {
    let test = published().await;
    let client = client(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[("scope", Some("openid admin"))]).await;
    let first = client.exchange(&test, &code).await.text("refresh_token");
    let before = client.refresh(&test, &first).await;
    active(&test, Role::Viewer).await;
    let after = client.refresh(&test, &first).await;
    assert_eq!(after.text("refresh_token"), before.text("refresh_token"));
    assert_eq!(
        (scope(&before), scope(&after)),
        ("openid admin", "openid memory:read")
    );
    assert_eq!(claims(&after).scope, "memory:read");
}

#[tokio::test]
async fn somebody_suspended_gets_nothing_until_resumed() {
    let test = published().await;
    let client = client(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    let refresh = client.exchange(&test, &code).await.text("refresh_token");
    let code = person.allow(&client, &[]).await;
    becomes(&test, Role::Owner, MemberState::Suspended).await;
    assert_eq!(outcome(&client.refresh(&test, &refresh).await), REFUSED);
    assert_eq!(outcome(&client.exchange(&test, &code).await), REFUSED);
    test.clock.advance_ms(DAY);
    active(&test, Role::Owner).await;
    let refreshed = client.refresh(&test, &refresh).await;
    assert_eq!(
        (refreshed.status.as_u16(), &refreshed.body["token_type"]),
        (200, &json!("Bearer"))
    );
}
