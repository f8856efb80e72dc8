//! `/v1/webhooks`: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::id::{MessageId, WebhookId};
use shared::time::UnixMillis;
use utoipa::ToSchema;

use super::{Changes, New, WebhookSecret, WebhookView};
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::idempotency::{Creation, IdempotencyKeyHeader};
use crate::http::json::{NO_STORE, OptionalJson, StrictJson, StrictQuery};
use crate::http::paging::{self, ListQuery};
use crate::http::tag::{IfMatch, IfMatchHeader};
use crate::http::time::Timestamp;
use crate::store::webhooks::Delivery;

/// The body of `POST /v1/webhooks`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhook)]
pub struct CreateBody {
    /// Where messages go: https, on the public internet.
    #[schema(format = "uri", max_length = 1024, example = "https://example.com/hooks")]
    url: String,
    /// What people call it.
    #[serde(default)]
    #[schema(max_length = 100)]
    description: String,
    /// Events and patterns.
    #[schema(min_items = 1, max_items = 50, example = json!(["key.*", "user.deactivated"]))]
    events: Vec<String>,
}

/// The body of `PATCH /v1/webhooks/{id}`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookChanges)]
pub struct ChangeBody {
    /// Where messages go.
    #[schema(format = "uri", max_length = 1024)]
    url: Option<String>,
    /// What people call it.
    #[schema(max_length = 100)]
    description: Option<String>,
    /// Events and patterns.
    #[schema(min_items = 1, max_items = 50)]
    events: Option<Vec<String>>,
    /// Whether messages are sent.
    enabled: Option<bool>,
}

/// A webhook and its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookWithSecret)]
pub struct WithSecret {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What messages are signed with: shown this once.
    #[schema(example = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    secret: String,
}

/// The answer of `GET /v1/webhooks`.
#[derive(Serialize, ToSchema)]
pub struct WebhookList {
    /// In the order of their ids.
    webhooks: Vec<WebhookView>,
}

/// A page of messages.
#[derive(Serialize, ToSchema)]
pub struct MessagePage {
    /// Newest first.
    messages: Vec<MessageView>,
    /// For the next page; absent on the last.
    next_cursor: Option<String>,
}

/// What was removed.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRemoved)]
pub struct Removed {
    #[schema(value_type = String, example = "whk_000000001")]
    id: WebhookId,
    removed: bool,
}

/// A message that is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookPing)]
pub struct Pinged {
    #[schema(value_type = String, example = "msg_000000001")]
    message: MessageId,
}

/// A message as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookMessage)]
pub struct MessageView {
    /// `msg_…`
    #[schema(value_type = String, example = "msg_000000001")]
    pub id: MessageId,
    /// Of what.
    pub event: String,
    /// `delivered`, `waiting` or `given_up`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was tried last.
    pub last_at: Option<Timestamp>,
    /// What was answered then.
    pub last_status: Option<u64>,
    /// Or why there was no answer.
    pub last_error: Option<String>,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// When it was taken.
    pub delivered_at: Option<Timestamp>,
    /// What is sent.
    #[schema(value_type = Object)]
    pub payload: Value,
}

impl MessageView {
    /// As people see it.
    pub fn new(delivery: Delivery) -> Self {
        let state = match (delivery.delivered_at, delivery.due_at) {
            (Some(_), _) => "delivered",
            (None, Some(_)) => "waiting",
            (None, None) => "given_up",
        };
        Self {
            id: delivery.id,
            event: delivery.event,
            state,
            attempts: delivery.attempts,
            created_at: delivery.created_at.into(),
            last_at: delivery.last_at.map(Timestamp::from),
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            next_at: delivery.due_at.map(Timestamp::from),
            delivered_at: delivery.delivered_at.map(Timestamp::from),
            payload: serde_json::from_str(&delivery.payload).unwrap_or_default(),
        }
    }
}

/// `GET /v1/webhooks`
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks",
    summary = "List webhooks",
    description = "An organisation has at most 20, so there are no pages.",
    responses((status = 200, description = "All of them.", body = WebhookList)),
)]
pub async fn list(State(app): State<Arc<App>>, Admin(caller): Admin) -> Result<Response, ApiError> {
    let webhooks = super::list(&app, &caller).await?;
    Ok(([NO_STORE], Json(WebhookList { webhooks })).into_response())
}

/// `POST /v1/webhooks`
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks",
    summary = "Make a webhook",
    description = "Its secret is in this answer only.",
    params(IdempotencyKeyHeader),
    request_body = CreateBody,
    responses(
        (status = 201, description = "The webhook and its secret.", body = WithSecret, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`too_many`, `already_created`, `rights_changed`."),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Creation(body, idempotency): Creation<CreateBody>,
) -> Result<Response, ApiError> {
    let new = New {
        url: body.url,
        description: body.description,
        events: body.events,
    };
    let (webhook, secret) = super::create(&app, &caller, new, idempotency).await?;
    let location = (LOCATION, format!("/v1/webhooks/{}", webhook.id));
    let tag = super::tag(&webhook).header();
    Ok((
        StatusCode::CREATED,
        [location],
        [tag],
        with_secret(webhook, &secret),
    )
        .into_response())
}

fn with_secret(webhook: WebhookView, secret: &WebhookSecret) -> Response {
    let body = WithSecret {
        webhook,
        secret: secret.expose(),
    };
    ([NO_STORE], Json(body)).into_response()
}

/// `GET /v1/webhooks/{id}`
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks",
    summary = "Show a webhook",
    params(("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001")),
    responses((status = 200, description = "The webhook.", body = WebhookView, headers(("ETag" = String, description = "Its version, for `If-Match`.")))),
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let webhook = super::show(&app, &caller, webhook_id(&id)?).await?;
    Ok(([NO_STORE, super::tag(&webhook).header()], Json(webhook)).into_response())
}

/// `PATCH /v1/webhooks/{id}`
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    summary = "Change a webhook",
    description = "Members that are absent stay as they are. Enabling it forgets that it failed.",
    params(("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001"), IfMatchHeader),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "The webhook as it is now.", body = WebhookView, headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body, _): StrictJson<ChangeBody>,
) -> Result<Response, ApiError> {
    let changes = Changes {
        url: body.url,
        description: body.description,
        events: body.events,
        enabled: body.enabled,
    };
    let webhook = super::change(&app, &caller, webhook_id(&id)?, (changes, &seen)).await?;
    Ok(([NO_STORE, super::tag(&webhook).header()], Json(webhook)).into_response())
}

/// `DELETE /v1/webhooks/{id}`
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    summary = "Remove a webhook",
    description = "With all its messages.",
    params(("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001")),
    responses((status = 200, description = "It is gone.", body = Removed), (status = 409, description = "`rights_changed`.")),
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = webhook_id(&id)?;
    super::remove(&app, &caller, id).await?;
    Ok(([NO_STORE], Json(Removed { id, removed: true })).into_response())
}

/// A body with nothing in it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookNothing)]
pub struct Nothing {}

/// `POST /v1/webhooks/{id}/rotate-secret`
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks",
    summary = "Give a webhook a new secret",
    description = "The secret is in this answer only. For a day messages carry a signature with the one before too.",
    params(("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001")),
    request_body = Option<Nothing>,
    responses(
        (status = 200, description = "The webhook and its secret.", body = WithSecret),
        (status = 409, description = "`rights_changed`."),
    ),
)]
pub async fn rotate_secret(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Response, ApiError> {
    let (webhook, secret) = super::rotate_secret(&app, &caller, webhook_id(&id)?).await?;
    Ok(with_secret(webhook, &secret))
}

/// `POST /v1/webhooks/{id}/ping`
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/ping", tag = "webhooks",
    summary = "Send a test message",
    params(("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001")),
    request_body = Option<Nothing>,
    responses(
        (status = 202, description = "It is on its way.", body = Pinged),
        (status = 409, description = "`webhook_disabled`, `rights_changed`."),
    ),
)]
pub async fn ping(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Response, ApiError> {
    let message = super::ping(&app, &caller, webhook_id(&id)?).await?;
    Ok((StatusCode::ACCEPTED, [NO_STORE], Json(Pinged { message })).into_response())
}

/// `GET /v1/webhooks/{id}/messages`
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/messages", tag = "webhooks",
    summary = "List messages of a webhook",
    description = "Newest first, of the last 30 days.",
    params(("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001"), ListQuery),
    responses((status = 200, description = "A page of messages.", body = MessagePage)),
)]
pub async fn messages(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Response, ApiError> {
    let limit = paging::limit(query.limit)?;
    let cursor = query.cursor.as_deref();
    let (messages, next_cursor) = page(&app, &caller, webhook_id(&id)?, cursor, limit).await?;
    let page = MessagePage {
        messages,
        next_cursor,
    };
    Ok(([NO_STORE], Json(page)).into_response())
}

/// A page of messages, and the cursor of the next.
pub(super) async fn page(
    app: &App,
    caller: &crate::http::auth::Caller,
    id: WebhookId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<MessageView>, Option<String>), ApiError> {
    let before = paging::place::<(UnixMillis, MessageId)>(cursor)?;
    let mut found = super::deliveries(app, caller, id, before, limit.saturating_add(1)).await?;
    let next = paging::next(&mut found, limit, |last| (last.created_at, last.id));
    Ok((found.into_iter().map(MessageView::new).collect(), next))
}

/// `POST /v1/webhooks/{id}/messages/{message}/replay`
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/messages/{message}/replay", tag = "webhooks",
    summary = "Send a message again",
    description = "Under the id that it has, so that a receiver can tell.",
    params(
        ("id" = String, Path, description = "The webhook.", pattern = "^whk_[0-9A-Za-z]{9}$", example = "whk_000000001"),
        ("message" = String, Path, description = "The message.", pattern = "^msg_[0-9A-Za-z]{9}$", example = "msg_000000001"),
    ),
    request_body = Option<Nothing>,
    responses(
        (status = 202, description = "It is on its way.", body = MessageView),
        (status = 409, description = "`webhook_disabled`, `rights_changed`."),
    ),
)]
pub async fn replay(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path((id, message)): Path<(String, String)>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Response, ApiError> {
    let message = message.parse().map_err(|_| ApiError::not_found("message"))?;
    let delivery = super::replay(&app, &caller, webhook_id(&id)?, message).await?;
    let view = MessageView::new(delivery);
    Ok((StatusCode::ACCEPTED, [NO_STORE], Json(view)).into_response())
}

pub(super) fn webhook_id(text: &str) -> Result<WebhookId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("webhook"))
}
