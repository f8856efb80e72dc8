//! SQL for webhooks and what is delivered to them.

use shared::id::{MessageId, OrgId, WebhookId};
use shared::time::UnixMillis;

use super::{StoreError, Tx, int, on_db, rows_affected, uint};

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose.
    pub org: OrgId,
    /// Where messages go.
    pub url: String,
    /// What people call it.
    pub description: String,
    /// Names and patterns.
    pub events: Vec<String>,
    /// The secrets, under the master key.
    pub sealed: Vec<u8>,
    /// Until when messages are signed with the secret before too.
    pub previous_until: Option<UnixMillis>,
    /// By whom it was made.
    pub created_by: String,
    /// When.
    pub created_at: UnixMillis,
    /// Since when nothing is sent.
    pub disabled_at: Option<UnixMillis>,
    /// Why.
    pub disabled_reason: Option<String>,
    /// Since when every attempt failed.
    pub failing_since: Option<UnixMillis>,
    /// When something was delivered last.
    pub delivered_at: Option<UnixMillis>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, the same for every attempt.
    pub id: MessageId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Of what.
    pub event: String,
    /// What is sent.
    pub payload: String,
    /// When it was queued.
    pub created_at: UnixMillis,
    /// When it is tried next; `None` once that is over.
    pub due_at: Option<UnixMillis>,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was tried last.
    pub last_at: Option<UnixMillis>,
    /// What was answered then.
    pub last_status: Option<u64>,
    /// Or why there was no answer.
    pub last_error: Option<String>,
    /// When it was taken.
    pub delivered_at: Option<UnixMillis>,
    /// When it was given up.
    pub given_up_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct WebhookRow {
    id: i64,
    org_id: i64,
    url: String,
    description: String,
    events: String,
    sealed: Vec<u8>,
    previous_until: Option<i64>,
    created_by: String,
    created_at: i64,
    disabled_at: Option<i64>,
    disabled_reason: Option<String>,
    failing_since: Option<i64>,
    delivered_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: i64,
    webhook_id: i64,
    event: String,
    payload: String,
    created_at: i64,
    due_at: Option<i64>,
    attempts: i64,
    last_at: Option<i64>,
    last_status: Option<i64>,
    last_error: Option<String>,
    delivered_at: Option<i64>,
    given_up_at: Option<i64>,
}

fn time(stored: i64) -> Result<UnixMillis, StoreError> {
    Ok(UnixMillis(uint(stored, "time")?))
}

fn webhook_id(stored: i64) -> Result<WebhookId, StoreError> {
    WebhookId::from_u64(uint(stored, "webhook id")?).ok_or(StoreError::Corrupt("webhook id"))
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = StoreError;

    fn try_from(row: WebhookRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: webhook_id(row.id)?,
            org: super::orgs::org_id(row.org_id)?,
            url: row.url,
            description: row.description,
            events: row.events.split(' ').map(str::to_owned).collect(),
            sealed: row.sealed,
            previous_until: row.previous_until.map(time).transpose()?,
            created_by: row.created_by,
            created_at: time(row.created_at)?,
            disabled_at: row.disabled_at.map(time).transpose()?,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since.map(time).transpose()?,
            delivered_at: row.delivered_at.map(time).transpose()?,
        })
    }
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: MessageId::from_u64(uint(row.id, "message id")?).ok_or(StoreError::Corrupt("message id"))?,
            webhook: webhook_id(row.webhook_id)?,
            event: row.event,
            payload: row.payload,
            created_at: time(row.created_at)?,
            due_at: row.due_at.map(time).transpose()?,
            attempts: uint(row.attempts, "count")?,
            last_at: row.last_at.map(time).transpose()?,
            last_status: row.last_status.map(|status| uint(status, "status")).transpose()?,
            last_error: row.last_error,
            delivered_at: row.delivered_at.map(time).transpose()?,
            given_up_at: row.given_up_at.map(time).transpose()?,
        })
    }
}

impl Tx {
    /// Adds a webhook.
    pub async fn insert_webhook(&mut self, hook: &Webhook) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO webhooks (id, org_id, url, description, events, sealed, created_by, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            )
            .bind(int(hook.id.get()))
            .bind(int(hook.org.get()))
            .bind(&hook.url)
            .bind(&hook.description)
            .bind(hook.events.join(" "))
            .bind(hook.sealed.as_slice())
            .bind(&hook.created_by)
            .bind(int(hook.created_at.0))
        )?;
        Ok(())
    }

    /// An organisation's webhooks, in the order of their ids. There are few.
    pub async fn webhooks(&mut self, org: OrgId, limit: u32) -> Result<Vec<Webhook>, StoreError> {
        let rows: Vec<WebhookRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, url, description, events, sealed, previous_until, created_by, created_at, disabled_at,
                    disabled_reason, failing_since, delivered_at
             FROM webhooks WHERE org_id = $1 ORDER BY id LIMIT $2")
            .bind(int(org.get())).bind(i64::from(limit)).fetch_all(conn).await)?;
        rows.into_iter().map(Webhook::try_from).collect()
    }

    /// One of them.
    pub async fn webhook(&mut self, org: OrgId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let row: Option<WebhookRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, url, description, events, sealed, previous_until, created_by, created_at, disabled_at,
                    disabled_reason, failing_since, delivered_at
             FROM webhooks WHERE org_id = $1 AND id = $2")
            .bind(int(org.get())).bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Webhook::try_from).transpose()
    }

    /// Whichever organisation it is of: for those who deliver.
    pub async fn webhook_of_delivery(&mut self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let row: Option<WebhookRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, org_id, url, description, events, sealed, previous_until, created_by, created_at, disabled_at,
                    disabled_reason, failing_since, delivered_at
             FROM webhooks WHERE id = $1").bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Webhook::try_from).transpose()
    }

    /// Ids and events of the webhooks of an organisation that are told.
    pub async fn listening_webhooks(&mut self, org: OrgId) -> Result<Vec<(i64, String)>, StoreError> {
        on_db!(self, conn => sqlx::query_as(
            "SELECT id, events FROM webhooks WHERE org_id = $1 AND disabled_at IS NULL ORDER BY id")
            .bind(int(org.get())).fetch_all(conn).await)
    }

    /// Writes what may be changed about a webhook: address, words, events, whether it is told.
    pub async fn change_webhook(&mut self, hook: &Webhook) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE webhooks SET url = $3, description = $4, events = $5, disabled_at = $6, disabled_reason = $7,
                    failing_since = $8, retry_at = NULL
                 WHERE org_id = $1 AND id = $2"
            )
            .bind(int(hook.org.get()))
            .bind(int(hook.id.get()))
            .bind(&hook.url)
            .bind(&hook.description)
            .bind(hook.events.join(" "))
            .bind(hook.disabled_at.map(|at| int(at.0)))
            .bind(&hook.disabled_reason)
            .bind(hook.failing_since.map(|at| int(at.0)))
        )?;
        Ok(rows == 1)
    }

    /// Puts other secrets in the place of those that were read; false if somebody else was faster.
    pub async fn change_webhook_secret(
        &mut self,
        hook: &Webhook,
        sealed: &[u8],
        previous_until: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE webhooks SET sealed = $3, previous_until = $4 WHERE id = $1 AND sealed = $2")
                .bind(int(hook.id.get()))
                .bind(hook.sealed.as_slice())
                .bind(sealed)
                .bind(int(previous_until.0))
        )?;
        Ok(rows == 1)
    }

    /// Removes a webhook with its messages.
    pub async fn remove_webhook(&mut self, org: OrgId, id: WebhookId) -> Result<bool, StoreError> {
        // The webhook first: who queues a message for it waits, and finds it gone.
        let held = rows_affected!(
            self,
            sqlx::query("UPDATE webhooks SET url = url WHERE org_id = $1 AND id = $2")
                .bind(int(org.get()))
                .bind(int(id.get()))
        )?;
        if held == 0 {
            return Ok(false);
        }
        for sql in [
            "DELETE FROM webhook_deliveries WHERE webhook_id = $1",
            "DELETE FROM webhooks WHERE id = $1",
        ] {
            rows_affected!(self, sqlx::query(sql).bind(int(id.get())))?;
        }
        Ok(true)
    }

    /// Whether at least so many messages wait for a webhook.
    pub async fn has_waiting_messages(&mut self, webhook: i64, number: u32) -> Result<bool, StoreError> {
        let row: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND due_at IS NOT NULL
             ORDER BY due_at, id LIMIT 1 OFFSET $2")
            .bind(webhook).bind(i64::from(number.saturating_sub(1))).fetch_optional(conn).await)?;
        Ok(row.is_some())
    }

    /// Queues a message, due at once, or writes down why it is not sent. It goes to nobody if the webhook was removed meanwhile.
    pub async fn insert_delivery(
        &mut self,
        (id, webhook): (i64, i64),
        (event, payload): (&str, &str),
        dropped: Option<&str>,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let at = int(now.0);
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO webhook_deliveries
                    (id, webhook_id, event, payload, created_at, due_at, given_up_at, last_error)
                 SELECT $1, id, $3, $4, $5, $6, $7, $8 FROM webhooks WHERE id = $2"
            )
            .bind(id)
            .bind(webhook)
            .bind(event)
            .bind(payload)
            .bind(at)
            .bind(dropped.is_none().then_some(at))
            .bind(dropped.map(|_| at))
            .bind(dropped)
        )?;
        Ok(())
    }

    /// Webhooks for which something is due, with whose they are and whether they take nothing; those that are left alone for a
    /// while are not among them.
    pub async fn waiting_webhooks(&mut self, now: UnixMillis) -> Result<Vec<(u64, u64, bool)>, StoreError> {
        // From one webhook to the next in the index, past whatever waits for each.
        let rows: Vec<(i64, i64, Option<i64>)> = on_db!(self, conn => sqlx::query_as(
            "WITH RECURSIVE waiting (id) AS (
                SELECT MIN(webhook_id) FROM webhook_deliveries WHERE due_at IS NOT NULL
                UNION ALL
                SELECT (SELECT MIN(d.webhook_id) FROM webhook_deliveries d
                        WHERE d.due_at IS NOT NULL AND d.webhook_id > waiting.id)
                FROM waiting WHERE waiting.id IS NOT NULL)
             SELECT w.id, w.org_id, w.failing_since FROM waiting JOIN webhooks w ON w.id = waiting.id
             WHERE (w.retry_at IS NULL OR w.retry_at <= $1 OR w.disabled_at IS NOT NULL)
               AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.due_at <= $1)")
            .bind(int(now.0)).fetch_all(conn).await)?;
        let row = |(id, org, failing): (i64, i64, Option<i64>)| {
            Ok((
                uint(id, "webhook id")?,
                uint(org, "organisation id")?,
                failing.is_some(),
            ))
        };
        rows.into_iter().map(row).collect()
    }

    /// Takes the message to a webhook that has been due for longest; nobody else gets it before `until`.
    pub async fn take_delivery(
        &mut self,
        webhook: u64,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<Option<Delivery>, StoreError> {
        let row: Option<DeliveryRow> = on_db!(self, conn => sqlx::query_as(
            "UPDATE webhook_deliveries SET due_at = $2, attempts = attempts + 1, last_at = $1
             WHERE id = (SELECT id FROM webhook_deliveries WHERE webhook_id = $3 AND due_at <= $1
                          ORDER BY due_at, id LIMIT 1) AND due_at <= $1
             RETURNING id, webhook_id, event, payload, created_at, due_at, attempts, last_at, last_status, last_error,
                       delivered_at, given_up_at")
            .bind(int(now.0)).bind(int(until.0)).bind(int(webhook)).fetch_optional(conn).await)?;
        row.map(Delivery::try_from).transpose()
    }

    /// Notes what became of an attempt. `due_at` is when the next one is; `None`: it is over.
    pub async fn note_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE webhook_deliveries SET due_at = $2, last_status = $3, last_error = $4, delivered_at = $5,
                    given_up_at = $6
                 WHERE id = $1"
            )
            .bind(int(delivery.id.get()))
            .bind(delivery.due_at.map(|at| int(at.0)))
            .bind(delivery.last_status.map(int))
            .bind(&delivery.last_error)
            .bind(delivery.delivered_at.map(|at| int(at.0)))
            .bind(delivery.given_up_at.map(|at| int(at.0)))
        )?;
        Ok(())
    }

    /// Notes that a webhook took something.
    pub async fn note_webhook_works(&mut self, id: WebhookId, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE webhooks SET failing_since = NULL, retry_at = NULL, delivered_at = $2 WHERE id = $1"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Has a webhook tried at once, however long it was to be left alone.
    pub async fn retry_webhook(&mut self, id: WebhookId) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query("UPDATE webhooks SET retry_at = NULL WHERE id = $1").bind(int(id.get()))
        )?;
        Ok(())
    }

    /// Notes that a webhook did not take something, and until when it is left alone; gives since when it has not taken anything.
    pub async fn note_webhook_fails(
        &mut self,
        id: WebhookId,
        now: UnixMillis,
        retry_at: UnixMillis,
    ) -> Result<Option<UnixMillis>, StoreError> {
        let since: Option<i64> = on_db!(self, conn => sqlx::query_scalar(
            "UPDATE webhooks SET failing_since = COALESCE(failing_since, $2), retry_at = $3 WHERE id = $1 RETURNING failing_since")
            .bind(int(id.get())).bind(int(now.0)).bind(int(retry_at.0)).fetch_optional(conn).await)?;
        since.map(time).transpose()
    }

    /// Tells a webhook nothing any more; false if that is so already.
    pub async fn disable_webhook(
        &mut self,
        id: WebhookId,
        reason: &str,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query(
                "UPDATE webhooks SET disabled_at = $2, disabled_reason = $3 WHERE id = $1 AND disabled_at IS NULL"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
            .bind(reason)
        )?;
        Ok(rows == 1)
    }

    /// Messages to a webhook, newest first.
    pub async fn deliveries(
        &mut self,
        webhook: WebhookId,
        before: Option<(UnixMillis, MessageId)>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (at, id) = before.map_or((i64::MAX, 0), |(at, id)| (int(at.0), int(id.get())));
        let rows: Vec<DeliveryRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, webhook_id, event, payload, created_at, due_at, attempts, last_at, last_status, last_error,
                    delivered_at, given_up_at
             FROM webhook_deliveries WHERE webhook_id = $1 AND (created_at, id) < ($2, $3)
             ORDER BY created_at DESC, id DESC LIMIT $4")
            .bind(int(webhook.get())).bind(at).bind(id).bind(i64::from(limit)).fetch_all(conn).await)?;
        rows.into_iter().map(Delivery::try_from).collect()
    }

    /// One message to a webhook.
    pub async fn delivery(
        &mut self,
        webhook: WebhookId,
        id: MessageId,
    ) -> Result<Option<Delivery>, StoreError> {
        let row: Option<DeliveryRow> = on_db!(self, conn => sqlx::query_as(
            "SELECT id, webhook_id, event, payload, created_at, due_at, attempts, last_at, last_status, last_error,
                    delivered_at, given_up_at
             FROM webhook_deliveries WHERE webhook_id = $1 AND id = $2")
            .bind(int(webhook.get())).bind(int(id.get())).fetch_optional(conn).await)?;
        row.map(Delivery::try_from).transpose()
    }

    /// Has a message sent again, from the first attempt on.
    pub async fn replay_delivery(&mut self, id: MessageId, now: UnixMillis) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "UPDATE webhook_deliveries SET due_at = $2, attempts = 0, delivered_at = NULL, given_up_at = NULL
                 WHERE id = $1"
            )
            .bind(int(id.get()))
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Forgets messages that are over and older, at most so many.
    pub async fn forget_deliveries(&mut self, before: UnixMillis, limit: u32) -> Result<u64, StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "DELETE FROM webhook_deliveries WHERE id IN (
                    SELECT id FROM webhook_deliveries WHERE created_at < $1 AND due_at IS NULL ORDER BY created_at LIMIT $2)"
            )
            .bind(int(before.0))
            .bind(i64::from(limit))
        )
    }
}
