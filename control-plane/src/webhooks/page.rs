//! `/dashboard/webhooks`: where the organisation hears of changes, and what became of each message.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::api::{MessageView, webhook_id};
use super::{Changes, New, WebhookView, events};
use crate::app::App;
use crate::dashboard::{Confirm, PageQuery, Sent, Shell, Visit, link, refused, refused_form};
use crate::http::tag::IfMatch;
use crate::oauth::form::Form;
use crate::pages::Moment;
use crate::sessions::Instead;

const PATH: &str = "/dashboard/webhooks";
const PAGE: u32 = 25;
/// Families of events, with what they are about.
const FAMILIES: [(&str, &str); 4] = [
    ("key.*", "Keys: made, rotated, revoked, about to end, leaked"),
    ("grant.*", "Grants: what people let apps do, and its end"),
    ("user.*", "People: invited, joined, roles, suspended, deactivated"),
    ("edge.*", "Edges: a promised bound is broken, and holds again"),
];

/// A webhook in the list.
struct Line {
    hook: WebhookView,
    tone: &'static str,
    state: &'static str,
    delivered: Option<Moment>,
}

impl Line {
    fn new(hook: WebhookView) -> Self {
        let (tone, state) = match (hook.enabled, &hook.failing_since) {
            (false, _) => ("plain", "disabled"),
            (true, Some(_)) => ("bad", "failing"),
            (true, None) => ("good", "enabled"),
        };
        Self {
            tone,
            state,
            delivered: hook.delivered_at.map(|at| at.0.into()),
            hook,
        }
    }
}

/// What stands in the form.
#[derive(Clone, Debug, Default)]
struct Filled {
    url: String,
    description: String,
    families: Vec<(&'static str, &'static str, bool)>,
    /// Single events, between blanks.
    others: String,
}

impl Filled {
    fn of_form(form: &Form) -> Self {
        let value = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
        Self {
            url: value("url"),
            description: value("description"),
            families: FAMILIES
                .iter()
                .map(|(pattern, words)| (*pattern, *words, form.value(pattern).is_some()))
                .collect(),
            others: value("others"),
        }
    }

    fn of_hook(hook: &WebhookView) -> Self {
        let all = hook.events.iter().any(|event| event == "*");
        let chosen = |pattern: &str| all || hook.events.iter().any(|event| event == pattern);
        let others = hook
            .events
            .iter()
            .filter(|event| *event != "*" && !FAMILIES.iter().any(|(family, _)| family == event));
        Self {
            url: hook.url.clone(),
            description: hook.description.clone(),
            families: FAMILIES
                .iter()
                .map(|(pattern, words)| (*pattern, *words, chosen(pattern)))
                .collect(),
            others: others.cloned().collect::<Vec<_>>().join(" "),
        }
    }

    fn events(&self) -> Vec<String> {
        let families = self
            .families
            .iter()
            .filter(|(.., chosen)| *chosen)
            .map(|(pattern, ..)| (*pattern).to_owned());
        let others = self
            .others
            .split_whitespace()
            .map(|event| event.trim_matches(',').to_owned());
        families.chain(others).filter(|event| !event.is_empty()).collect()
    }
}

#[derive(Template)]
#[template(path = "dashboard/webhooks.html")]
struct ListPage {
    shell: Shell,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "dashboard/webhook_new.html")]
struct NewPage {
    shell: Shell,
    filled: Filled,
    events: Vec<&'static str>,
    failure: Option<String>,
}

#[derive(Template)]
#[template(path = "dashboard/webhook_secret.html")]
struct SecretPage {
    shell: Shell,
    title: &'static str,
    id: String,
    secret: String,
    both: bool,
}

#[derive(Template)]
#[template(path = "dashboard/webhook.html")]
struct ShowPage {
    shell: Shell,
    line: Line,
    ping: String,
    filled: Filled,
    events: Vec<&'static str>,
    created: Moment,
    failing: Option<Moment>,
    previous: Option<Moment>,
    messages: Vec<Message>,
    first: String,
    next: String,
    failure: Option<String>,
}

struct Message {
    id: String,
    event: String,
    tone: &'static str,
    state: &'static str,
    attempts: u64,
    at: Moment,
    next: Option<Moment>,
    outcome: String,
    payload: String,
}

impl Message {
    fn new(view: MessageView) -> Self {
        let (tone, state) = match view.state {
            "delivered" => ("good", "delivered"),
            "waiting" => ("warn", "waiting"),
            _ => ("bad", "given up"),
        };
        let outcome = match (view.last_status, view.last_error) {
            (Some(status), _) => format!("answered {status}"),
            (None, Some(error)) => error,
            (None, None) => String::new(),
        };
        Self {
            id: view.id.to_string(),
            event: view.event,
            tone,
            state,
            attempts: view.attempts,
            at: view.created_at.0.into(),
            next: view.next_at.map(|at| at.0.into()),
            outcome,
            payload: serde_json::to_string_pretty(&view.payload).unwrap_or_default(),
        }
    }
}

/// `GET /dashboard/webhooks`.
pub async fn list(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let hooks = super::list(&app, &visit.caller).await.map_err(refused)?;
    let lines = hooks.into_iter().map(Line::new).collect();
    Ok(visit.page(&ListPage {
        shell: visit.shell(),
        lines,
    }))
}

/// `GET /dashboard/webhooks/new`.
pub async fn get_new(visit: Visit) -> Response {
    let families = FAMILIES
        .iter()
        .map(|(pattern, words)| (*pattern, *words, *pattern == "key.*"));
    visit.page(&NewPage {
        shell: visit.shell(),
        filled: Filled {
            families: families.collect(),
            ..Filled::default()
        },
        events: events::all(),
        failure: None,
    })
}

/// `POST /dashboard/webhooks/new`.
pub async fn post_new(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
    let filled = Filled::of_form(&form);
    let new = New {
        url: filled.url.clone(),
        description: filled.description.clone(),
        events: filled.events(),
    };
    match super::create(&app, &visit.caller, new, None).await {
        Ok((hook, secret)) => Ok(visit.page(&SecretPage {
            shell: visit.shell(),
            title: "The webhook was made",
            id: hook.id.to_string(),
            secret: secret.expose(),
            both: false,
        })),
        Err(error) => {
            let failure = refused_form(error)?;
            let page = NewPage {
                shell: visit.shell(),
                filled,
                events: events::all(),
                failure: Some(failure),
            };
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// Where the list of messages goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    after: String,
}

/// `GET /dashboard/webhooks/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
    PageQuery(query): PageQuery<Query>,
) -> Result<Response, Instead> {
    let page = page(&app, &visit, &id, &query.after, None, None).await?;
    Ok(visit.page(&page))
}

async fn page(
    app: &App,
    visit: &Visit,
    id: &str,
    after: &str,
    filled: Option<Filled>,
    failure: Option<String>,
) -> Result<ShowPage, Instead> {
    let id = webhook_id(id).map_err(refused)?;
    let hook = super::show(app, &visit.caller, id).await.map_err(refused)?;
    let after = Some(after).filter(|after| !after.is_empty());
    let (messages, next) = super::api::page(app, &visit.caller, id, after, PAGE)
        .await
        .map_err(refused)?;
    let here = format!("{PATH}/{id}");
    Ok(ShowPage {
        shell: visit.shell(),
        ping: format!("{here}/ping"),
        filled: filled.unwrap_or_else(|| Filled::of_hook(&hook)),
        events: events::all(),
        created: hook.created_at.0.into(),
        failing: hook.failing_since.map(|at| at.0.into()),
        previous: hook.previous_secret_until.map(|at| at.0.into()),
        messages: messages.into_iter().map(Message::new).collect(),
        first: if after.is_some() {
            here.clone()
        } else {
            String::new()
        },
        next: next
            .map(|next| link(&here, &[("after", &next)]))
            .unwrap_or_default(),
        line: Line::new(hook),
        failure,
    })
}

/// `POST /dashboard/webhooks/{id}`: what the form on its page says.
pub async fn change(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let number = webhook_id(&id).map_err(refused)?;
    let filled = Filled::of_form(&form);
    let changes = Changes {
        url: Some(filled.url.clone()),
        description: Some(filled.description.clone()),
        events: Some(filled.events()),
        enabled: None,
    };
    match super::change(&app, &visit.caller, number, (changes, &IfMatch::Any)).await {
        Ok(_) => Ok(visit.done(&format!("{PATH}/{number}"), "The webhook was changed.")),
        Err(error) => {
            let failure = refused_form(error)?;
            let page = page(&app, &visit, &id, "", Some(filled), Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// `POST /dashboard/webhooks/{id}/switch`: on or off.
pub async fn switch(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let id = webhook_id(&id).map_err(refused)?;
    let enabled = form.value("enabled") == Some("yes");
    let changes = Changes {
        enabled: Some(enabled),
        ..Changes::default()
    };
    super::change(&app, &visit.caller, id, (changes, &IfMatch::Any))
        .await
        .map_err(refused)?;
    let sentence = if enabled {
        "The webhook is enabled: it hears of what happens from now on."
    } else {
        "The webhook is disabled: it hears of nothing."
    };
    Ok(visit.done(&format!("{PATH}/{id}"), sentence))
}

/// `POST /dashboard/webhooks/{id}/ping`.
pub async fn ping(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, .. }: Sent,
) -> Result<Response, Instead> {
    let number = webhook_id(&id).map_err(refused)?;
    match super::ping(&app, &visit.caller, number).await {
        Ok(_) => Ok(visit.done(
            &format!("{PATH}/{number}"),
            "A test message is on its way; look below in a second.",
        )),
        Err(error) => again(&app, &visit, &id, error).await,
    }
}

async fn again(
    app: &App,
    visit: &Visit,
    id: &str,
    error: crate::error::ApiError,
) -> Result<Response, Instead> {
    let failure = refused_form(error)?;
    let page = page(app, visit, id, "", None, Some(failure)).await?;
    Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

/// `POST /dashboard/webhooks/{id}/replay`.
pub async fn replay(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let number = webhook_id(&id).map_err(refused)?;
    let not_found = || refused(crate::error::ApiError::not_found("message"));
    let message = form
        .value("message")
        .and_then(|text| text.parse().ok())
        .ok_or_else(not_found)?;
    match super::replay(&app, &visit.caller, number, message).await {
        Ok(_) => Ok(visit.done(
            &format!("{PATH}/{number}"),
            "The message is sent again, under the same id.",
        )),
        Err(error) => again(&app, &visit, &id, error).await,
    }
}

/// `GET /dashboard/webhooks/{id}/rotate`.
pub async fn get_rotate(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let id = webhook_id(&id).map_err(refused)?;
    let hook = super::show(&app, &visit.caller, id).await.map_err(refused)?;
    Ok(visit.page(&Confirm {
        shell: visit.shell(),
        title: "A new secret".to_owned(),
        intro: format!(
            "Messages to {} are signed with a secret that only you and we know.",
            hook.url
        ),
        consequences: vec![
            "A new secret is made and shown once.".to_owned(),
            "For a day, messages carry a signature with each of the two, so nothing breaks meanwhile."
                .to_owned(),
            "After that, whoever checks with the old one refuses our messages.".to_owned(),
        ],
        word: None,
        word_label: "",
        submit: "Make a new secret",
        action: format!("{PATH}/{id}/rotate"),
        back: format!("{PATH}/{id}"),
        hidden: Vec::new(),
        failure: None,
    }))
}

/// `POST /dashboard/webhooks/{id}/rotate`.
pub async fn post_rotate(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, .. }: Sent,
) -> Result<Response, Instead> {
    let id = webhook_id(&id).map_err(refused)?;
    let (hook, secret) = super::rotate_secret(&app, &visit.caller, id)
        .await
        .map_err(refused)?;
    Ok(visit.page(&SecretPage {
        shell: visit.shell(),
        title: "The new secret",
        id: hook.id.to_string(),
        secret: secret.expose(),
        both: true,
    }))
}

/// `GET /dashboard/webhooks/{id}/remove`.
pub async fn get_remove(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let id = webhook_id(&id).map_err(refused)?;
    let hook = super::show(&app, &visit.caller, id).await.map_err(refused)?;
    Ok(visit.page(&removal(&visit, &hook, None)))
}

fn removal(visit: &Visit, hook: &WebhookView, failure: Option<String>) -> Confirm {
    Confirm {
        shell: visit.shell(),
        title: "Remove a webhook".to_owned(),
        intro: "To stop it for a while, disable it instead.".to_owned(),
        consequences: vec![
            format!("{} hears of nothing any more.", hook.url),
            "Messages that wait, and the list of those that were sent, are removed with it.".to_owned(),
        ],
        word: Some(hook.id.to_string()),
        word_label: "the id of the webhook",
        submit: "Remove this webhook",
        action: format!("{PATH}/{}/remove", hook.id),
        back: format!("{PATH}/{}", hook.id),
        hidden: Vec::new(),
        failure,
    }
}

/// `POST /dashboard/webhooks/{id}/remove`.
pub async fn post_remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let id = webhook_id(&id).map_err(refused)?;
    let hook = super::show(&app, &visit.caller, id).await.map_err(refused)?;
    if !Confirm::is_typed(&form, &id.to_string()) {
        let page = removal(&visit, &hook, Some(Confirm::MISTYPED.to_owned()));
        return Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    super::remove(&app, &visit.caller, id).await.map_err(refused)?;
    Ok(visit.done(PATH, "The webhook was removed."))
}
