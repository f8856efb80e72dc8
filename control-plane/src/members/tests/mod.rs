//! Members through the real router: what a change does here. What it does at the edge is shown end to end.

mod change;
mod holdings;
mod rules;

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};
use shared::feed::{Entry, Subject};
use shared::id::UserId;
use shared::scope::ScopeSet;

use crate::revocation;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, member};

pub(super) const PATH: &str = "/v1/memberships";

/// A control plane without edges whose publisher runs: what is changed is effective once it is framed.
async fn published() -> TestApp {
    let test = TestApp::start_with(|config| {
        config.edges = Vec::new();
        config.dev = true;
    })
    .await;
    revocation::start(Arc::clone(&test.app));
    test
}

/// `PATCH` of a role.
async fn set_role(test: &TestApp, key: &str, user: UserId, role: &str) -> Answer {
    let body = Some(json!({"role": role}));
    test.call(Method::PATCH, &format!("{PATH}/{user}"), key, body)
        .await
}

/// `POST` of one of the other changes.
async fn post(test: &TestApp, key: &str, user: UserId, action: &str) -> Answer {
    test.call(Method::POST, &format!("{PATH}/{user}/{action}"), key, None)
        .await
}

/// What was written for the edge about a member: ceilings by version, in order, and how many not-before entries.
async fn told(test: &TestApp, user: UserId) -> (Vec<(u64, ScopeSet)>, usize) {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT entry FROM outbox ORDER BY id")
        .fetch_all(&mut **sqlite)
        .await
        .expect("rows");
    let (mut ceilings, mut epochs) = (Vec::new(), 0);
    for row in rows {
        match Entry::read(&mut shared::wire::Reader::new(&row)).expect("an entry") {
            Entry::Ceiling {
                subject: Subject::Member(_, who),
                version,
                scopes,
            } if who == user => ceilings.push((version, scopes)),
            Entry::NotBefore(Subject::Member(_, who), _) if who == user => epochs += 1,
            _ => {}
        }
    }
    (ceilings, epochs)
}

/// The state of a member as the API shows it.
async fn shown(test: &TestApp, user: UserId) -> Value {
    let answer = test.admin(Method::GET, &format!("{PATH}/{user}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}
