//! Making, changing and removing webhooks; new secrets; pings and replays. The API, the pages and the command line call these.

use serde::Serialize;
use serde_json::json;
use shared::id::{LIMIT, MessageId, OrgId, WebhookId};
use shared::time::UnixMillis;
use utoipa::ToSchema;

use super::events::{self, PING};
use super::sign::{self, WebhookSecret};
use super::{context, queue};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::{self, Idempotency};
use crate::http::tag::{IfMatch, Tag};
use crate::http::time::{Timestamp, format_rfc3339};
use crate::keys::{confirm_rights, hold_caller};
use crate::store::webhooks::{Delivery, Webhook};
use crate::store::{StoreError, Tx, int};
use crate::text;

/// The operation's name in the idempotency table.
const OPERATION: &str = "webhook.create";
/// As many webhooks in one organisation.
const MOST: usize = 20;
const MOST_EVENTS: usize = 50;
const MAX_URL: usize = 1024;
/// How long messages are signed with the secret before too.
const OVERLAP_MS: u64 = 24 * 3_600_000;

/// A webhook that is to be made.
#[derive(Clone, Debug, Default)]
pub struct New {
    /// Where messages go.
    pub url: String,
    /// What people call it.
    pub description: String,
    /// Names and patterns.
    pub events: Vec<String>,
}

/// What is to be different; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Where messages go.
    pub url: Option<String>,
    /// What people call it.
    pub description: Option<String>,
    /// Names and patterns.
    pub events: Option<Vec<String>>,
    /// Whether messages are sent.
    pub enabled: Option<bool>,
}

/// A webhook as people see it: without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// `whk_…`
    #[schema(value_type = String, example = "whk_000000001")]
    pub id: WebhookId,
    /// Where messages go.
    pub url: String,
    /// What people call it.
    pub description: String,
    /// Names and patterns.
    pub events: Vec<String>,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Why not: `by_admin`, `failing`, `gone` or `secret_lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub disabled_reason: Option<String>,
    /// Since when not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub disabled_at: Option<Timestamp>,
    /// Since when every attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failing_since: Option<Timestamp>,
    /// When something was taken last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub delivered_at: Option<Timestamp>,
    /// Until when messages are signed with the secret before too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous_secret_until: Option<Timestamp>,
    /// By whom it was made.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

impl WebhookView {
    fn new(hook: Webhook, now: UnixMillis) -> Self {
        Self {
            id: hook.id,
            url: hook.url,
            description: hook.description,
            events: hook.events,
            enabled: hook.disabled_at.is_none(),
            disabled_reason: hook.disabled_reason,
            disabled_at: hook.disabled_at.map(Timestamp::from),
            failing_since: hook.failing_since.map(Timestamp::from),
            delivered_at: hook.delivered_at.map(Timestamp::from),
            previous_secret_until: hook
                .previous_until
                .filter(|until| *until > now)
                .map(Timestamp::from),
            created_by: hook.created_by,
            created_at: hook.created_at.into(),
        }
    }
}

/// The version of what can be changed about a webhook.
pub fn tag(view: &WebhookView) -> Tag {
    Tag::of(&(&view.url, &view.description, &view.events, view.enabled))
}

/// A webhook tells of everything in the organisation, so it needs a role and a credential that reach everything.
fn may_administer(app: &App, caller: &Caller) -> Result<(), ApiError> {
    audit::reaches_everything(app, caller, "webhooks")
}

/// The caller's webhooks.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<WebhookView>, ApiError> {
    may_administer(app, caller)?;
    let hooks = app.store.begin_read().await?.webhooks(caller.org, most()).await?;
    let now = app.clock.now();
    Ok(hooks
        .into_iter()
        .map(|hook| WebhookView::new(hook, now))
        .collect())
}

fn most() -> u32 {
    u32::try_from(MOST).unwrap_or(u32::MAX).saturating_add(1)
}

/// One of them.
pub async fn show(app: &App, caller: &Caller, id: WebhookId) -> Result<WebhookView, ApiError> {
    may_administer(app, caller)?;
    let mut tx = app.store.begin_read().await?;
    Ok(WebhookView::new(
        find(&mut tx, caller, id).await?,
        app.clock.now(),
    ))
}

async fn find(tx: &mut Tx, caller: &Caller, id: WebhookId) -> Result<Webhook, ApiError> {
    let hook = tx.webhook(caller.org, id).await?;
    hook.ok_or_else(|| ApiError::not_found("webhook"))
}

/// Makes a webhook, and gives its secret: the only moment at which it is shown.
pub async fn create(
    app: &App,
    caller: &Caller,
    new: New,
    idempotency: Option<Idempotency>,
) -> Result<(WebhookView, WebhookSecret), ApiError> {
    may_administer(app, caller)?;
    let now = app.clock.now();
    let (hook, secret) = drawn(app, caller.org, new, caller.actor().who, now)?;
    let number = hook.id.get();
    let mut tx = begin(app, caller, now).await?;
    let who = (caller.org, caller.user);
    let before = idempotency::claim(&mut tx, who, OPERATION, idempotency, number, now).await?;
    if let Some(before) = before.and_then(WebhookId::from_u64) {
        let detail = "this request was answered before, and a secret is shown only once: rotate it if the answer was lost";
        return Err(idempotency::shown_once(&before, detail));
    }
    if tx.webhooks(caller.org, most()).await?.len() >= MOST {
        let detail = format!("an organisation has at most {MOST} webhooks; remove one first");
        return Err(ApiError::new(Code::TooMany, detail));
    }
    tx.insert_webhook(&hook).await?;
    record(&mut tx, app, caller, "webhook.create", &hook, now).await?;
    tx.commit().await?;
    Ok((WebhookView::new(hook, now), secret))
}

/// A webhook as it is asked for, with a secret of its own. It is not stored yet.
pub(crate) fn drawn(
    app: &App,
    org: OrgId,
    new: New,
    created_by: String,
    now: UnixMillis,
) -> Result<(Webhook, WebhookSecret), ApiError> {
    let number = app.random.below(LIMIT).map_err(ApiError::internal)?;
    let secret = WebhookSecret::draw(&app.random).map_err(ApiError::internal)?;
    let hook = Webhook {
        id: WebhookId::from_u64(number).ok_or(StoreError::Corrupt("webhook id"))?,
        org,
        url: url(app, &new.url)?,
        description: description(&new.description)?,
        events: patterns(new.events)?,
        sealed: app.keyring.seal(&context(number), &sign::pack(&[&secret]))?,
        previous_until: None,
        created_by,
        created_at: now,
        disabled_at: None,
        disabled_reason: None,
        failing_since: None,
        delivered_at: None,
    };
    Ok((hook, secret))
}

/// Changes a webhook. Enabling it forgets that it failed; what was given up meanwhile can be replayed.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: WebhookId,
    (changes, seen): (Changes, &IfMatch),
) -> Result<WebhookView, ApiError> {
    may_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = begin(app, caller, now).await?;
    let before = find(&mut tx, caller, id).await?;
    seen.confirm(&tag(&WebhookView::new(before.clone(), now)))?;
    let mut hook = before.clone();
    if let Some(text) = &changes.url {
        hook.url = url(app, text)?;
    }
    if let Some(text) = &changes.description {
        hook.description = description(text)?;
    }
    if let Some(events) = changes.events {
        hook.events = patterns(events)?;
    }
    match changes.enabled {
        Some(true) => {
            (hook.disabled_at, hook.disabled_reason, hook.failing_since) = (None, None, None);
        }
        Some(false) if hook.disabled_at.is_none() => {
            (hook.disabled_at, hook.disabled_reason) = (Some(now), Some("by_admin".to_owned()));
        }
        Some(false) | None => {}
    }
    if hook != before {
        tx.change_webhook(&hook).await?;
        record(&mut tx, app, caller, "webhook.change", &hook, now).await?;
        tx.commit().await?;
    }
    Ok(WebhookView::new(hook, now))
}

/// Removes a webhook with all its messages.
pub async fn remove(app: &App, caller: &Caller, id: WebhookId) -> Result<(), ApiError> {
    may_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = begin(app, caller, now).await?;
    let hook = find(&mut tx, caller, id).await?;
    tx.remove_webhook(caller.org, id).await?;
    record(&mut tx, app, caller, "webhook.remove", &hook, now).await?;
    Ok(tx.commit().await?)
}

/// A new secret. Messages are signed with the one before too, for a day.
pub async fn rotate_secret(
    app: &App,
    caller: &Caller,
    id: WebhookId,
) -> Result<(WebhookView, WebhookSecret), ApiError> {
    may_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = begin(app, caller, now).await?;
    let mut hook = find(&mut tx, caller, id).await?;
    let secret = WebhookSecret::draw(&app.random).map_err(ApiError::internal)?;
    let context = context(id.get());
    // One that does not open is of a master key that was lost: then there is none before.
    let plain = app.keyring.open(&context, &hook.sealed).ok();
    let former = plain.and_then(|plain| sign::unpack(&plain)).unwrap_or_default();
    let secrets: Vec<&WebhookSecret> = [&secret].into_iter().chain(former.first()).collect();
    let sealed = app.keyring.seal(&context, &sign::pack(&secrets))?;
    let until = now.saturating_add(OVERLAP_MS);
    if !tx.change_webhook_secret(&hook, &sealed, until).await? {
        let detail = "the webhook was changed during this request; nothing was done, try again";
        return Err(ApiError::new(Code::RightsChanged, detail));
    }
    hook.previous_until = Some(until);
    record(&mut tx, app, caller, "webhook.rotate_secret", &hook, now).await?;
    tx.commit().await?;
    Ok((WebhookView::new(hook, now), secret))
}

/// Sends a message that says nothing, whatever the webhook listens to. Gives its id.
pub async fn ping(app: &App, caller: &Caller, id: WebhookId) -> Result<MessageId, ApiError> {
    may_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = begin(app, caller, now).await?;
    let hook = find(&mut tx, caller, id).await?;
    refuse_disabled(&hook)?;
    let payload = json!({
        "type": PING,
        "timestamp": format_rfc3339(now),
        "data": { "org": caller.org, "id": id, "actor": caller.actor().who },
    });
    tx.retry_webhook(id).await?;
    let message = queue(
        &mut tx,
        &app.random,
        (int(id.get()), PING),
        &payload.to_string(),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(message)
}

fn refuse_disabled(hook: &Webhook) -> Result<(), ApiError> {
    if hook.disabled_at.is_none() {
        return Ok(());
    }
    let detail = "the webhook is disabled, so nothing is sent to it; enable it first";
    Err(ApiError::new(Code::WebhookDisabled, detail))
}

/// Messages to a webhook, newest first, after one of them.
pub async fn deliveries(
    app: &App,
    caller: &Caller,
    id: WebhookId,
    before: Option<(UnixMillis, MessageId)>,
    limit: u32,
) -> Result<Vec<Delivery>, ApiError> {
    may_administer(app, caller)?;
    let mut tx = app.store.begin_read().await?;
    let hook = find(&mut tx, caller, id).await?;
    Ok(tx.deliveries(hook.id, before, limit).await?)
}

/// Sends a message again, under the id that it has: a receiver that took it before can tell.
pub async fn replay(
    app: &App,
    caller: &Caller,
    id: WebhookId,
    message: MessageId,
) -> Result<Delivery, ApiError> {
    may_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = begin(app, caller, now).await?;
    let hook = find(&mut tx, caller, id).await?;
    let not_found = || ApiError::not_found("message");
    tx.delivery(hook.id, message).await?.ok_or_else(not_found)?;
    refuse_disabled(&hook)?;
    tx.retry_webhook(hook.id).await?;
    tx.replay_delivery(message, now).await?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "webhook.replay",
        target: id.to_string(),
        detail: json!({ "message": message }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    let delivery = tx.delivery(hook.id, message).await?.ok_or_else(not_found)?;
    tx.commit().await?;
    Ok(delivery)
}

async fn begin(app: &App, caller: &Caller, now: UnixMillis) -> Result<Tx, ApiError> {
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    confirm_rights(&mut tx, caller).await?;
    Ok(tx)
}

async fn record(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    action: &'static str,
    hook: &Webhook,
    now: UnixMillis,
) -> Result<(), ApiError> {
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action,
        target: hook.id.to_string(),
        detail: json!({ "url": hook.url, "events": hook.events, "enabled": hook.disabled_at.is_none() }),
    };
    Ok(audit::record(tx, &app.random, &event, now).await?)
}

/// An address on the internet; one of this machine in development. Where its name leads is looked at with each delivery.
fn url(app: &App, text: &str) -> Result<String, ApiError> {
    let refused = |detail: &str| Err(ApiError::invalid_field("url", detail));
    if text.len() > MAX_URL {
        return refused("has at most 1024 characters");
    }
    let has_fragment = url::Url::parse(text).is_ok_and(|url| url.fragment().is_some());
    match app.callbacks.admits(text) {
        Ok(()) if has_fragment => refused("has no fragment: nothing after a `#` is ever sent"),
        Ok(()) => Ok(text.to_owned()),
        Err(crate::http::fetch::FetchError::Address) => {
            refused("leads to an address that is not on the public internet")
        }
        Err(_) => refused("must be an https address such as https://example.com/hooks, without a user name"),
    }
}

fn description(text: &str) -> Result<String, ApiError> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    let detail = || {
        format!(
            "has at most {} characters, all of which can be seen",
            text::MAX_NAME
        )
    };
    let name = text::name(text).ok_or_else(|| ApiError::invalid_field("description", detail()))?;
    Ok(name.to_owned())
}

fn patterns(mut given: Vec<String>) -> Result<Vec<String>, ApiError> {
    given.sort();
    given.dedup();
    if given.is_empty() || given.len() > MOST_EVENTS {
        let detail = format!("name 1 to {MOST_EVENTS} events, such as key.* or user.deactivated");
        return Err(ApiError::invalid_field("events", detail));
    }
    if !given.iter().all(|pattern| events::is_known(pattern)) {
        let detail = format!(
            "one of them is not an event; there are *, key.*, grant.*, user.*, edge.* and {}",
            events::all().join(", ")
        );
        return Err(ApiError::invalid_field("events", detail));
    }
    Ok(given)
}
