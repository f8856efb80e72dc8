//! Signing keys: which there are, when they are rotated next, and rotating one now. The installation's, so for the first organisation.

use std::sync::Arc;

use serde::Serialize;
use shared::time::UnixMillis;

use super::{may_change, runs_installation, shown};
use crate::app::App;
use crate::audit::Actor;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::keys::{confirm_rights, hold_caller};
use crate::signing::{self, KeyState, Purpose, SigningError};
use crate::store::settings::Settings;

const DAY_MS: u64 = 86_400_000;

/// A signing key as people see it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SettingsSigner)]
pub struct SignerView {
    /// `k…`
    pub kid: String,
    /// What it signs.
    #[schema(value_type = String)]
    pub purpose: &'static str,
    /// `pending`, `active`, `retired` or `removed`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it became the signer.
    pub activated_at: Option<Timestamp>,
    /// When another took its place.
    pub retired_at: Option<Timestamp>,
    /// When it is rotated by itself.
    pub next_rotation_at: Option<Timestamp>,
    /// Whether it can be rotated from here.
    pub can_rotate: bool,
}

/// Every key whose signatures count or will, by purpose, newest first.
pub(super) fn list(app: &App, installation: &Settings) -> Vec<SignerView> {
    let mut keys = app.keyring.all();
    keys.retain(|key| key.state != KeyState::Removed);
    keys.sort_by_key(|key| (key.purpose, std::cmp::Reverse(key.id)));
    let view = |key: &Arc<signing::SigningKey>| {
        let active = key.state == KeyState::Active;
        let next = rotation_days(installation, key.purpose).filter(|_| active);
        let since = key.activated_at.unwrap_or(key.created_at);
        SignerView {
            kid: key.id.kid(),
            purpose: key.purpose.as_str(),
            state: key.state.as_str(),
            created_at: key.created_at.into(),
            activated_at: shown(key.activated_at),
            retired_at: shown(key.retired_at),
            next_rotation_at: next.map(|days| due(since, days).into()),
            can_rotate: active && key.purpose != Purpose::Root,
        }
    };
    keys.iter().map(view).collect()
}

fn rotation_days(installation: &Settings, purpose: Purpose) -> Option<u64> {
    match purpose {
        Purpose::ApiKey => installation.api_key_signer_days,
        Purpose::AccessToken => installation.token_signer_days,
        // The root is pinned by edges; the feed key's certificate is renewed by itself.
        Purpose::Root | Purpose::Feed => None,
    }
}

fn due(since: UnixMillis, days: u64) -> UnixMillis {
    since.saturating_add(days.saturating_mul(DAY_MS))
}

/// Starts the rotation of a signing key now; gives the number of the new one.
pub async fn rotate_signer(app: &App, caller: &Caller, purpose: Purpose) -> Result<String, ApiError> {
    may_change(app, caller)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    confirm_rights(&mut tx, caller).await?;
    if !runs_installation(&mut tx, caller).await? {
        let detail = "signing keys are those of all organisations: owners of the first one rotate them";
        return Err(ApiError::new(Code::ExceedsCaller, detail));
    }
    let rotated = signing::rotate(&mut tx, &app.keyring, &app.random, purpose, &caller.actor(), now).await;
    let id = match rotated {
        Ok(id) => id,
        Err(error @ (SigningError::RootIsPinned | SigningError::RotationPending(_))) => {
            return Err(ApiError::new(Code::AlreadyRotated, error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    tx.commit().await?;
    app.feed.wake();
    Ok(id.kid())
}

/// The job: rotates signing keys whose time is over.
pub async fn rotate_due(app: Arc<App>) -> anyhow::Result<()> {
    let now = app.clock.now();
    let installation = app.store.begin_read().await?.settings(0).await?;
    for purpose in Purpose::ISSUING {
        let Some(days) = rotation_days(&installation, purpose) else {
            continue;
        };
        let mut tx = app.store.begin().await?;
        app.keyring.reload(&mut tx).await?;
        let active = app.keyring.signer(&mut tx, purpose).await?;
        if due(active.activated_at.unwrap_or(active.created_at), days) > now {
            continue;
        }
        match signing::rotate(&mut tx, &app.keyring, &app.random, purpose, &Actor::system(), now).await {
            Ok(id) => {
                tx.commit().await?;
                app.feed.wake();
                tracing::info!(
                    new = id.kid(),
                    purpose = purpose.as_str(),
                    "a signing key is rotated by schedule"
                );
            }
            // Its successor waits for the edges.
            Err(SigningError::RotationPending(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
