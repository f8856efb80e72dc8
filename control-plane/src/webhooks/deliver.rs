//! The job that delivers: what is due, some at the same time ([`fair`]), until it is taken.
//!
//! A webhook that does not take messages is tried with one at a time, and after each at longer distances, however many wait; a ping
//! or a replay tries at once, and the first that is taken ends it.
//!
//! A message is taken for a while and marked when the other side has it: a process that dies in between sends it again rather
//! than never. Each attempt is signed anew. A webhook that has failed for days is disabled, as is one that answers 410 (Gone).

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use shared::time::UnixMillis;

use super::{context, sign};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::fair::{self, Due, Queue};
use crate::store::StoreError;
use crate::store::webhooks::{Delivery, Webhook};

/// Longer than the other side may take, so that nobody else tells it meanwhile.
const TAKEN_MS: u64 = 15_000;
/// What is waited after each attempt: 38 hours in all.
const WAITS_MS: [u64; 12] = [
    5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 28_800_000,
    28_800_000, 28_800_000,
];
/// A webhook that has taken nothing for so long is told nothing more.
const DISABLE_AFTER_MS: u64 = 5 * 86_400_000;
/// How long messages can be looked at and replayed.
const KEPT_MS: u64 = 30 * 86_400_000;
const FORGET: u32 = 5_000;
/// Messages to one webhook at the same time.
const PER_WEBHOOK: usize = 2;
/// How long a webhook that fails is left alone: at least, and at most.
const PAUSE_MS: (u64, u64) = (5_000, 3_600_000);

/// The job: delivers what is due.
pub async fn deliver_due(app: Arc<App>) -> anyhow::Result<()> {
    fair::deliver_due::<Messages>(app).await
}

/// Messages to webhooks.
struct Messages;

impl Queue for Messages {
    type Message = Delivery;

    async fn due(app: &App) -> Result<Vec<Due>, StoreError> {
        let mut tx = app.store.begin_read().await?;
        let waiting = tx.waiting_webhooks(app.clock.now()).await?;
        let due = waiting.into_iter().map(|(target, org, fails)| Due {
            org,
            target,
            most: if fails { 1 } else { PER_WEBHOOK },
        });
        Ok(due.collect())
    }

    async fn take(app: &App, webhook: u64) -> Result<Option<Delivery>, StoreError> {
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        let until = now.saturating_add(TAKEN_MS);
        let taken = tx.take_delivery(webhook, now, until).await?;
        tx.commit().await?;
        Ok(taken)
    }

    async fn deliver(app: Arc<App>, delivery: Delivery) -> anyhow::Result<()> {
        deliver(&app, delivery).await
    }
}

async fn deliver(app: &App, mut delivery: Delivery) -> anyhow::Result<()> {
    let mut tx = app.store.begin_read().await?;
    let hook = tx.webhook_of_delivery(delivery.webhook).await?;
    drop(tx);
    // One that was removed took its messages along.
    let Some(hook) = hook else { return Ok(()) };
    if hook.disabled_at.is_some() {
        delivery.last_error = Some("the webhook is disabled".to_owned());
        return over(app, delivery, "given_up").await;
    }
    let Some(headers) = headers(app, &hook, &delivery) else {
        disable(app, &hook, "secret_lost").await?;
        delivery.last_error = Some("the secret cannot be read any more; rotate it".to_owned());
        return over(app, delivery, "given_up").await;
    };
    // Nothing of the database is held while the other side answers.
    let outcome = app
        .callbacks
        .post_json(&hook.url, headers, delivery.payload.clone())
        .await;
    let now = app.clock.now();
    (delivery.last_status, delivery.last_error) = match outcome {
        Ok(status) => (Some(u64::from(status)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    match delivery.last_status {
        Some(200..=299) => {
            delivery.delivered_at = Some(now);
            delivery.due_at = None;
            count("delivered");
            let mut tx = app.store.begin().await?;
            tx.note_webhook_works(hook.id, now).await?;
            tx.note_delivery(&delivery).await?;
            Ok(tx.commit().await?)
        }
        Some(410) => {
            disable(app, &hook, "gone").await?;
            over(app, delivery, "given_up").await
        }
        _ => fail(app, &hook, delivery, now).await,
    }
}

fn headers(app: &App, hook: &Webhook, delivery: &Delivery) -> Option<HeaderMap> {
    let plain = app.keyring.open(&context(hook.id.get()), &hook.sealed).ok()?;
    let secrets = sign::unpack(&plain)?;
    let now = app.clock.now();
    let both = hook.previous_until.is_some_and(|until| now < until);
    let (id, seconds) = (delivery.id.to_string(), now.seconds().0);
    let signatures: Vec<String> = secrets
        .iter()
        .take(if both { 2 } else { 1 })
        .map(|secret| secret.sign(&id, seconds, &delivery.payload))
        .collect();
    if signatures.is_empty() {
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", id),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
    }
    Some(headers)
}

async fn fail(app: &App, hook: &Webhook, mut delivery: Delivery, now: UnixMillis) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    let since = hook.failing_since.unwrap_or(now);
    let (least, most) = PAUSE_MS;
    let pause = (now.since(since) / 2).clamp(least, most);
    let since = tx
        .note_webhook_fails(hook.id, now, now.saturating_add(pause))
        .await?;
    tx.commit().await?;
    tracing::warn!(webhook = %hook.id, message = %delivery.id, attempts = delivery.attempts, status = delivery.last_status, error = delivery.last_error, "a webhook did not take a message");
    if since.is_some_and(|since| now.since(since) >= DISABLE_AFTER_MS) {
        disable(app, hook, "failing").await?;
        return over(app, delivery, "given_up").await;
    }
    let Some(wait) = wait(delivery.attempts) else {
        return over(app, delivery, "given_up").await;
    };
    // Up to a tenth more, so that what failed together does not come back together.
    let more = app.random.below(wait / 10)?;
    delivery.due_at = Some(now.saturating_add(wait.saturating_add(more)));
    count("failed");
    let mut tx = app.store.begin().await?;
    tx.note_delivery(&delivery).await?;
    Ok(tx.commit().await?)
}

/// After so many attempts; `None`: that was the last one.
fn wait(attempts: u64) -> Option<u64> {
    let place = usize::try_from(attempts.saturating_sub(1)).ok()?;
    WAITS_MS.get(place).copied()
}

async fn over(app: &App, mut delivery: Delivery, result: &'static str) -> anyhow::Result<()> {
    delivery.due_at = None;
    delivery.given_up_at = Some(app.clock.now());
    count(result);
    let mut tx = app.store.begin().await?;
    tx.note_delivery(&delivery).await?;
    Ok(tx.commit().await?)
}

async fn disable(app: &App, hook: &Webhook, reason: &'static str) -> anyhow::Result<()> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !tx.disable_webhook(hook.id, reason, now).await? {
        return Ok(());
    }
    tracing::error!(webhook = %hook.id, reason, "a webhook was disabled");
    let event = Event {
        org: Some(hook.org),
        actor: &Actor::system(),
        action: "webhook.disable",
        target: hook.id.to_string(),
        detail: json!({ "reason": reason, "failing_since": hook.failing_since }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    Ok(tx.commit().await?)
}

/// The job: forgets old messages that are over.
pub async fn forget(app: Arc<App>) -> anyhow::Result<()> {
    let before = UnixMillis(app.clock.now().0.saturating_sub(KEPT_MS));
    loop {
        let mut tx = app.store.begin().await?;
        let gone = tx.forget_deliveries(before, FORGET).await?;
        tx.commit().await?;
        if gone < u64::from(FORGET) {
            return Ok(());
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("portcullis_webhook_attempts_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_go_on_for_more_than_a_day() {
        let total: u64 = (1..100).map_while(wait).sum();
        assert!((26 * 3_600_000..48 * 3_600_000).contains(&total), "{total}");
        assert_eq!(
            (wait(1), wait(12), wait(13)),
            (Some(5_000), Some(28_800_000), None)
        );
    }
}
