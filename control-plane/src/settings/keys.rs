//! What an organisation asks of its keys: that they end, that their owners hear of it before, and whether rotating starts anew.

use std::sync::Arc;

use serde_json::json;
use shared::id::OrgId;
use shared::time::{UnixMillis, UnixSeconds};

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::error::ApiError;
use crate::http::time::format_rfc3339;
use crate::mail::{self, Letter};
use crate::store::settings::EndingKey;
use crate::store::{StoreError, Tx, uint};

const DAY_SECONDS: u64 = 86_400;
/// Keys in one transaction.
const BATCH: u32 = 100;

/// Refuses the expiry of a new key that the organisation's longest life does not allow.
pub(crate) async fn check_expiry(
    tx: &mut Tx,
    org: OrgId,
    expires_at: Option<UnixSeconds>,
    now: UnixSeconds,
) -> Result<(), ApiError> {
    let Some(days) = tx.settings(org.get()).await?.key_max_days else {
        return Ok(());
    };
    let latest = now.saturating_add(days.saturating_mul(DAY_SECONDS));
    if expires_at.is_some_and(|at| at <= latest) {
        return Ok(());
    }
    let detail = format!(
        "keys of this organisation must expire within {days} days: give a time up to {}",
        format_rfc3339(latest.millis())
    );
    Err(ApiError::invalid_field("expires_at", detail))
}

/// The expiry of a successor. As before, unless the organisation says that rotating starts a life anew, of the same length; never
/// beyond the longest life.
pub(crate) async fn expiry_of_successor(
    tx: &mut Tx,
    org: OrgId,
    (issued_at, expires_at): (UnixSeconds, Option<UnixSeconds>),
    now: UnixSeconds,
) -> Result<Option<UnixSeconds>, StoreError> {
    let settings = tx.settings(org.get()).await?;
    let renewed = match expires_at {
        Some(at) if settings.renewed_since.is_some() => {
            let life = at.0.saturating_sub(issued_at.0);
            Some(now.saturating_add(life))
        }
        at => at,
    };
    let latest = settings
        .key_max_days
        .map(|days| now.saturating_add(days.saturating_mul(DAY_SECONDS)));
    Ok(match (renewed, latest) {
        (Some(at), Some(latest)) => Some(at.min(latest)),
        (at, latest) => at.or(latest),
    })
}

/// The job: tells the owners of keys that end soon, once each, by mail and in the trail, from where webhooks hear of it.
pub async fn remind(app: Arc<App>) -> anyhow::Result<()> {
    let orgs = app.store.begin_read().await?.reminding_orgs().await?;
    for (org, days) in orgs {
        let (org, days) = (uint(org, "organisation id")?, uint(days, "days")?);
        let org = OrgId::from_u64(org).ok_or(StoreError::Corrupt("organisation id"))?;
        while remind_some(&app, org, days).await? {}
    }
    Ok(())
}

async fn remind_some(app: &App, org: OrgId, days: u64) -> anyhow::Result<bool> {
    let now = app.clock.now();
    let until = now.seconds().saturating_add(days.saturating_mul(DAY_SECONDS));
    let mut tx = app.store.begin().await?;
    let keys = tx.keys_to_remind(org, (now.seconds(), until), BATCH).await?;
    for key in &keys {
        if tx.note_reminded(key.id, now).await? {
            tell(&mut tx, app, org, key, now).await?;
        }
    }
    tx.commit().await?;
    Ok(keys.len() == usize::try_from(BATCH).unwrap_or(usize::MAX))
}

async fn tell(tx: &mut Tx, app: &App, org: OrgId, key: &EndingKey, now: UnixMillis) -> anyhow::Result<()> {
    if app.config.has_mail()
        && let Some((email, _)) = tx.profile(key.user).await?
        && email.contains('@')
    {
        let letter = Letter::key_expiring(&key.name, &key.id.to_string(), key.expires_at.millis());
        mail::queue(tx, app, Some(&email), letter, now).await?;
    }
    let event = Event {
        org: Some(org),
        actor: &Actor::system(),
        action: "api_key.expiring",
        target: key.id.to_string(),
        detail: json!({
            "name": key.name,
            "user": key.user,
            "expires_at": format_rfc3339(key.expires_at.millis()),
        }),
    };
    Ok(audit::record(tx, &app.random, &event, now).await?)
}
