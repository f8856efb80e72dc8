//! The chain, the walk along it, search and export.

mod export;
mod pages;
mod people;
mod search;
mod tamper;

use axum::http::Method;
use serde_json::{Value, json};
use shared::id::OrgId;
use sqlx::AssertSqlSafe;

use super::{Actor, Event, record, seal_waiting};
use crate::store::{Store, rows_affected};
use crate::testing::{Answer, TestApp};

/// A control plane whose trail so far is sealed.
async fn start(store: Option<Store>) -> TestApp {
    let test = TestApp::start_on(store, |_| {}).await;
    seal(&test).await;
    test
}

async fn seal(test: &TestApp) {
    seal_waiting(test.app.clone()).await.expect("sealed");
}

/// Writes rows into the trail of the first organisation, a second apart.
async fn write(test: &TestApp, org: Option<OrgId>, count: u64) {
    for number in 0..count {
        test.clock.advance_ms(1000);
        let mut tx = test.app.store.begin().await.expect("tx");
        let event = Event {
            org,
            actor: &Actor::system(),
            action: "test.write",
            target: format!("thing {number}"),
            detail: json!({"number": number, "address": "192.0.2.7"}),
        };
        record(&mut tx, &test.app.random, &event, test.clock.now())
            .await
            .expect("row");
        tx.commit().await.expect("commit");
    }
}

/// Changes the database as somebody would who has a shell on it.
async fn by_hand(test: &TestApp, sql: &str) -> u64 {
    let mut tx = test.app.store.begin().await.expect("tx");
    let touched = rows_affected!(&mut tx, sqlx::query(AssertSqlSafe(sql.to_owned()))).expect(sql);
    tx.commit().await.expect("commit");
    touched
}

/// The whole walk, part by part; the last part's answer.
async fn walk(test: &TestApp, query: &str) -> Value {
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/audit/verify?{query}{cursor}");
        let answer: Answer = test.admin(Method::GET, &path, None).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        match answer.body["next"].as_str() {
            Some(next) => cursor = format!("&after={next}"),
            None => return answer.body,
        }
    }
}
