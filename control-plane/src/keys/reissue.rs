//! A key for somebody else in place of one whose user leaves: a person, or better a service account.
//!
//! Nothing of the old key moves: the new one is another text with another id, and whoever uses the old one has to take it. Both
//! work until the old one is revoked, which this does not do. Name, workspace, environment and expiry are the old key's; scopes
//! too, unless fewer are asked for. The new user's role is the ceiling, as of any key of theirs.

use shared::id::{KeyId, UserId};
use shared::scope::ScopeSet;

use super::issue::{Issued, NewKey, create_from, quarantined};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::Idempotency;
use crate::store::keys::KeyStatus;

/// Makes a key for `user` that can do what a key in the caller's reach can, or less.
pub async fn reissue(
    app: &App,
    caller: &Caller,
    id: KeyId,
    (user, scopes): (UserId, Option<ScopeSet>),
    idempotency: Option<Idempotency>,
) -> Result<Issued, ApiError> {
    let old = super::show(app, caller, id).await?;
    match old.status(app.clock.now().seconds()) {
        KeyStatus::Active => {}
        KeyStatus::Rotating => {
            let detail = "this key was rotated: its successor is the one to re-issue";
            let error = ApiError::new(Code::AlreadyRotated, detail);
            return Err(match old.rotated_to {
                Some(successor) => error.with("rotated_to", successor.to_string()),
                None => error,
            });
        }
        KeyStatus::Expired => {
            let detail = "an ended key is not re-issued; create a new one";
            return Err(ApiError::new(Code::KeyExpired, detail));
        }
        KeyStatus::Revoked => {
            let detail = "a revoked key is not re-issued; create a new one";
            return Err(ApiError::new(Code::KeyRevoked, detail));
        }
    }
    if old.quarantine.is_some() {
        return Err(quarantined());
    }
    if user == old.user {
        let detail = "the key acts for them already; rotate it to get another text";
        return Err(ApiError::invalid_field("user", detail));
    }
    let scopes = scopes.unwrap_or(old.scopes);
    if !app.catalogue().expand(old.scopes).contains(scopes) {
        let detail = "a re-issued key has no scope that the old one does not have";
        return Err(ApiError::invalid_field("scopes", detail));
    }
    let new = NewKey {
        name: old.name,
        scopes,
        workspace: old.workspace,
        environment: old.environment,
        expires_at: old.expires_at,
        user: Some(user),
    };
    create_from(app, caller, new, idempotency, Some(id)).await
}
