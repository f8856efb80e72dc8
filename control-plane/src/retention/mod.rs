//! How long things are kept, and how what is kept of a person is erased.
//!
//! | file | does |
//! | --- | --- |
//! | `apply` | the job: lets go of what has been kept for long enough |
//! | `erase` | one person, on request |
//! | `api` | HTTP |
//! | `page` | `/dashboard/retention` |
//!
//! What is let go of the audit trail leaves its digest behind, so that the chain holds; a row in the trail itself, `retention.apply`,
//! says up to when, and the walk along the chain takes nothing else for an excuse. A person's entries are erased by destroying the
//! key under which they lie (`audit::personal`).
//!
//! What it does not: reach into backups. Those from before still hold what was let go; keep them no longer than that.

pub mod api;
mod apply;
mod erase;
pub mod page;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::store::{StoreError, Tx};

pub use apply::apply_all;
pub use erase::{Erased, erase};

/// The row that says what was let go, in the chain itself.
pub(crate) const ACTION: &str = "retention.apply";

/// Before which times the details and the addresses of a chain were let go. The rows that say so are in the chain.
pub(crate) async fn let_go(tx: &mut Tx, chain: i64) -> Result<(i64, i64), StoreError> {
    let Some(row) = tx.last_audit(chain, ACTION).await? else {
        return Ok((0, 0));
    };
    let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
    let time = |name: &str| detail.get(name).and_then(Value::as_i64).unwrap_or(0);
    Ok((time("details_before_ms"), time("addresses_before_ms")))
}
