//! API keys: issue, list, rename, rotate, quarantine, revoke. The API, the command line and the dashboard call these functions (I11).
//!
//! What it does not: sign (`signing`), tell the edge (`revocation`), check keys at the edge (crate `edge`).

mod admin;
pub mod api;
mod issue;
pub mod json;
pub mod page;
pub(crate) mod quarantine;
mod reissue;
mod revoke;
mod rotate;
mod rules;
#[cfg(test)]
mod tests;

pub use crate::http::idempotency::Idempotency;
pub use admin::create_admin;
pub(crate) use admin::{Made, make};
pub use issue::{Issued, NewKey, create};
pub(crate) use issue::{confirm_rights, hold_caller};
pub use reissue::reissue;
pub(crate) use revoke::write as revoke_held;
pub use revoke::{KeyReceipt, Reason, Revocation, revoke};
pub(crate) use revoke::{end, last_of_line, open_receipt, revoke_with};
pub use rotate::{Rotated, Rotation, rotate, rotate_itself};
pub use rules::scopes as scopes_of;

use serde_json::json;
use shared::id::KeyId;

use crate::app::App;
use crate::audit::{self, Event};
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::tag::{IfMatch, Tag};
use crate::store::key_lists::{KeyFilter, KeyPage};
use crate::store::keys::ApiKey;

/// One key in the caller's reach.
pub async fn show(app: &App, caller: &Caller, id: KeyId) -> Result<ApiKey, ApiError> {
    let mut tx = app.store.begin_read().await?;
    tx.key_in_reach(caller.reach(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))
}

/// A page of keys, newest first, or by name where the filter has a prefix.
pub async fn list(app: &App, filter: &KeyFilter) -> Result<KeyPage, ApiError> {
    let mut tx = app.store.begin_read().await?;
    Ok(tx.list_keys(filter, app.clock.now().seconds()).await?)
}

/// The version of what can become of a key.
pub fn tag(key: &ApiKey) -> Tag {
    Tag::of(&(
        key.id,
        &key.name,
        key.not_after,
        key.rotated_to,
        key.revoked.as_ref().map(|revoked| revoked.at),
        key.quarantine.map(|(ceiling, _)| ceiling),
    ))
}

/// Gives a key another name, if it still is what the caller has seen. Its id, rights and text stay.
pub async fn rename(
    app: &App,
    caller: &Caller,
    id: KeyId,
    name: &str,
    seen: &IfMatch,
) -> Result<ApiKey, ApiError> {
    let name = rules::name(name)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    confirm_rights(&mut tx, caller).await?;
    // Held before it is looked at: of two updates of one version the later one sees the earlier.
    tx.hold_line(id).await?;
    let key = tx
        .key_in_reach(caller.reach(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("key"))?;
    seen.confirm(&tag(&key))?;
    tx.rename_key(id, &name).await?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "api_key.rename",
        target: id.to_string(),
        detail: json!({"from": key.name, "to": name}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(ApiKey { name, ..key })
}
