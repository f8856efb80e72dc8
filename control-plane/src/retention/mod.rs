//! How long things are kept. So far: what the audit trail has let go, which the walk along its chain asks for.

use serde_json::Value;

use crate::store::{StoreError, Tx};

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
