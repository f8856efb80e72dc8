//! `/dashboard/settings`: signing keys, what keys must be like, scopes, brand. `/dashboard/retention` has the rest.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::{Changes, SettingsView, SignerView};
use crate::app::App;
use crate::dashboard::{Confirm, PageQuery, Sent, Shell, Visit, refused, refused_form};
use crate::http::tag::IfMatch;
use crate::oauth::form::Form;
use crate::pages::Moment;
use crate::sessions::Instead;

const PATH: &str = "/dashboard/settings";

#[derive(Template)]
#[template(path = "dashboard/settings.html")]
struct SettingsPage {
    shell: Shell,
    view: SettingsView,
    signers: Vec<Line>,
    /// What stands in the fields.
    max_days: String,
    remind_days: String,
    renews: bool,
    api_key_days: String,
    token_days: String,
    failure: Option<String>,
}

struct Line {
    kid: String,
    purpose: &'static str,
    words: &'static str,
    tone: &'static str,
    state: &'static str,
    since: Moment,
    next: Option<Moment>,
    can_rotate: bool,
}

impl Line {
    fn new(view: SignerView) -> Self {
        let tone = match view.state {
            "active" => "good",
            "pending" => "warn",
            _ => "plain",
        };
        let words = match view.purpose {
            "api_key" => "API keys",
            "access_token" => "Access tokens",
            "feed" => "The feed to the edges",
            _ => "The other keys; edges have it pinned",
        };
        Self {
            tone,
            words,
            kid: view.kid,
            purpose: view.purpose,
            state: view.state,
            since: view.activated_at.unwrap_or(view.created_at).0.into(),
            next: view.next_rotation_at.map(|at| at.0.into()),
            can_rotate: view.can_rotate,
        }
    }
}

fn text(days: Option<u64>) -> String {
    days.map(|days| days.to_string()).unwrap_or_default()
}

/// A field with days; empty: taken back.
pub(crate) fn days(form: &Form, name: &'static str) -> Result<super::Change, String> {
    let text = form.value(name).unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(Some(None));
    }
    let wrong = |_| "Give whole days, or leave the field empty.".to_owned();
    text.parse().map(|days| Some(Some(days))).map_err(wrong)
}

/// `GET /dashboard/settings`.
pub async fn get(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let view = super::show(&app, &visit.caller).await.map_err(refused)?;
    Ok(visit.page(&page(&visit, view, None, None)))
}

fn page(visit: &Visit, view: SettingsView, form: Option<&Form>, failure: Option<String>) -> SettingsPage {
    let value = |name: &str, stored: Option<u64>| match form {
        Some(form) => form.value(name).unwrap_or_default().to_owned(),
        None => text(stored),
    };
    SettingsPage {
        shell: visit.shell(),
        max_days: value("key_max_days", view.keys.max_days),
        remind_days: value("key_remind_days", view.keys.remind_days),
        renews: form.map_or(view.keys.rotation_renews, |form| {
            form.value("rotation_renews").is_some()
        }),
        api_key_days: value("api_key_signer_days", view.signing.api_key_days),
        token_days: value("token_signer_days", view.signing.access_token_days),
        signers: view.signing_keys.iter().cloned().map(Line::new).collect(),
        view,
        failure,
    }
}

/// `POST /dashboard/settings`.
pub async fn post(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
    let outcome = match changes(&form) {
        Ok(changes) => match super::change_settings(&app, &visit.caller, changes, &IfMatch::Any).await {
            Ok(_) => return Ok(visit.done(PATH, "The settings were saved.")),
            Err(error) => refused_form(error)?,
        },
        Err(sentence) => sentence,
    };
    let view = super::show(&app, &visit.caller).await.map_err(refused)?;
    let page = page(&visit, view, Some(&form), Some(outcome));
    Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

fn changes(form: &Form) -> Result<Changes, String> {
    if form.value("of") == Some("signing") {
        return Ok(Changes {
            api_key_signer_days: days(form, "api_key_signer_days")?,
            token_signer_days: days(form, "token_signer_days")?,
            ..Changes::default()
        });
    }
    Ok(Changes {
        key_max_days: days(form, "key_max_days")?,
        key_remind_days: days(form, "key_remind_days")?,
        rotation_renews: Some(form.value("rotation_renews").is_some()),
        ..Changes::default()
    })
}

/// Which key is to be rotated.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    purpose: String,
}

/// `GET /dashboard/settings/rotate`.
pub async fn get_rotate(visit: Visit, PageQuery(query): PageQuery<Query>) -> Result<Response, Instead> {
    Ok(visit.page(&rotation(&visit, &query.purpose, None)?))
}

fn rotation(visit: &Visit, purpose: &str, failure: Option<String>) -> Result<Confirm, Instead> {
    let (what, meaning) = match purpose {
        "api_key" => (
            "API keys",
            "Keys that were made before stay valid; the private half of the old signing key is destroyed.",
        ),
        "access_token" => (
            "access tokens",
            "Tokens that were issued before stay valid until they end.",
        ),
        "feed" => (
            "the feed",
            "Edges take the new key at once: its certificate travels with everything that it signs.",
        ),
        _ => return Err(refused(crate::error::ApiError::not_found("signing key"))),
    };
    Ok(Confirm {
        shell: visit.shell(),
        title: format!("Rotate the key that signs {what}"),
        intro: "Nobody who uses the API has to do anything.".to_owned(),
        consequences: vec![
            "A new key is made and announced to every edge.".to_owned(),
            "It signs as soon as all of them have it; until then the present one does.".to_owned(),
            meaning.to_owned(),
        ],
        word: None,
        word_label: "",
        submit: "Rotate this key",
        action: format!("{PATH}/rotate"),
        back: PATH.to_owned(),
        hidden: vec![("purpose", purpose.to_owned())],
        failure,
    })
}

/// `POST /dashboard/settings/rotate`: needs a sign-in of the last minutes.
pub async fn post_rotate(
    State(app): State<Arc<App>>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let purpose = form.value("purpose").unwrap_or_default();
    let known = purpose
        .parse()
        .map_err(|()| refused(crate::error::ApiError::not_found("signing key")))?;
    visit
        .recent(
            &app,
            &format!("{PATH}/rotate?purpose={}", crate::signing::Purpose::as_str(known)),
        )
        .await?;
    match super::rotate_signer(&app, &visit.caller, known).await {
        Ok(kid) => Ok(visit.done(
            PATH,
            &format!("The new signing key is {kid}; it signs once every edge has it."),
        )),
        Err(error) => {
            let failure = refused_form(error)?;
            let page = rotation(&visit, purpose, Some(failure))?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}
