//! The API of keys, through the real router on a real database.

mod access;
mod create;
mod end;
mod line;
mod list;
mod owners;
mod stale;
mod together;

use serde_json::{Value, json};

const KEYS: &str = "/v1/auth/keys";

fn read_key(name: &str) -> Value {
    json!({"name": name, "scope": "read", "workspace": "all", "environment": "live"})
}

/// What happened, sorted: the test's clock stands still.
fn actions(trail: &[crate::store::audit::AuditRow]) -> Vec<&str> {
    let mut actions: Vec<_> = trail.iter().map(|row| row.action.as_str()).collect();
    actions.sort_unstable();
    actions
}
