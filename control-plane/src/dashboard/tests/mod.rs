//! The frame and the tables of `authority`, through the real router with real sessions.

mod frame;

use crate::sessions::tests::{Browser, PASSWORD};
use crate::store::orgs::Role;
use crate::testing::{TestApp, person};
use shared::id::OrgId;

pub(crate) const ROLES: [Role; 4] = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];

/// A browser in which a new member of the first organisation is signed in, with a page's form token at hand.
pub(crate) async fn somebody(test: &TestApp, number: u64, role: Role) -> Browser<'_> {
    member_of(test, test.made.org, number, role).await
}

/// The owner of another organisation, signed in.
pub(crate) async fn stranger(test: &TestApp, number: u64) -> Browser<'_> {
    let org = OrgId::from_u64(number).expect("small");
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(org, "Another", test.clock.now())
        .await
        .expect("org");
    tx.commit().await.expect("commit");
    member_of(test, org, number, Role::Owner).await
}

async fn member_of(test: &TestApp, org: OrgId, number: u64, role: Role) -> Browser<'_> {
    let hash = crate::orgs::password::hash(PASSWORD.into())
        .await
        .expect("hashed");
    person(test, org, (number, role), Some(&hash)).await;
    let email = format!("{number}@example.com");
    let mut browser = Browser::new(test);
    let answer = browser.try_sign_in(&email, PASSWORD).await;
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.raw);
    browser.get("/dashboard").await;
    browser
}
