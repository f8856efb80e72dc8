//! How people come in, as a browser does it; the mail is read from the queue.

mod invitations;
mod orgs;
mod reset;
mod sign_up;

use axum::http::Method;
use serde_json::json;

use crate::config::Config;
use crate::mail::tests::{last_to, waiting, with_mail};
use crate::sessions::tests::{Browser, HOUR, PASSWORD, add_member, audited, dead_sessions, location};
use crate::testing::{Answer, TestApp};

const DAY: u64 = 24 * HOUR;
const NEW: &str = "correct horse battery";

/// Sign-up is open and there is a mail server; limits are at their defaults.
fn open(config: &mut Config) {
    with_mail(config);
    config.sign_up.enabled = Some(true);
}

/// What an answer shows, without what differs between any two requests.
fn shown(answer: &Answer) -> (u16, String, Vec<String>) {
    let id = answer.headers["x-request-id"].to_str().expect("text");
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (answer.status.as_u16(), answer.raw.replace(id, "ID"), names)
}

/// The secret of a link.
fn token(link: &str) -> &str {
    link.split_once("?token=").expect("a token").1
}

/// An organisation of its own, with the member in it, made after all others.
pub(crate) async fn add_org(
    test: &TestApp,
    number: u64,
    name: &str,
    user: shared::id::UserId,
) -> shared::id::OrgId {
    let org = shared::id::OrgId::from_u64(number).expect("small");
    test.clock.advance_ms(1000);
    let now = test.app.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(org, name, now).await.expect("org");
    tx.insert_membership(org, user, crate::store::orgs::Role::Viewer, now)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    org
}
