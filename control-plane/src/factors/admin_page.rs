//! `/dashboard/sign-in`: which ways to sign in this installation offers, who has which, and the end of lost factors.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use shared::id::UserId;

use super::admin::{self, Methods};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Confirm, Parameters, Sent, Shell, Visit, link, refused, refused_form};
use crate::error::ApiError;
use crate::members::Listing;
use crate::sessions::Instead;

const LIST: &str = "/dashboard/sign-in";
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/sign_in.html")]
struct SignInPage<'a> {
    shell: Shell,
    lines: Vec<Methods>,
    search: &'a str,
    has_mail: bool,
    sign_up: bool,
    session_hours: u64,
    session_days: u64,
    recent_minutes: u64,
    providers: Vec<String>,
    may_remove: bool,
    first: String,
    next: String,
}

/// `GET /dashboard/sign-in`
pub async fn get(State(app): State<Arc<App>>, visit: Visit, query: Parameters) -> Result<Response, Instead> {
    let search = query.value("search").trim();
    let listing = Listing {
        search,
        cursor: query.some("cursor"),
        limit: PAGE,
        ..Listing::default()
    };
    let (lines, next) = admin::list(&app, &visit.caller, listing).await.map_err(refused)?;
    let config = &app.config;
    let providers = config.identity_providers.iter();
    let page = SignInPage {
        shell: visit.shell(),
        lines,
        search,
        has_mail: config.has_mail(),
        sign_up: config.sign_up_enabled(),
        session_hours: config.sessions.idle_seconds / 3600,
        session_days: config.sessions.max_seconds / 86_400,
        recent_minutes: config.factors.recent_seconds / 60,
        providers: providers
            .filter(|provider| provider.org == visit.caller.org)
            .map(|provider| provider.issuer.clone())
            .collect(),
        may_remove: visit.may(Act::ManageSessions),
        first: query
            .some("cursor")
            .map_or_else(String::new, |_| link(LIST, &[("search", search)])),
        next: next.map_or_else(String::new, |cursor| {
            link(LIST, &[("search", search), ("cursor", &cursor)])
        }),
    };
    Ok(visit.page(&page))
}

fn here(user: UserId) -> String {
    format!("{LIST}/{user}/remove")
}

async fn find(app: &App, visit: &Visit, id: &str) -> Result<Methods, Instead> {
    let user = id.parse().map_err(|_| refused(ApiError::not_found("member")))?;
    admin::show(app, &visit.caller, user).await.map_err(refused)
}

fn confirm(visit: &Visit, methods: &Methods, failure: Option<String>) -> Response {
    let member = &methods.member;
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = Confirm {
        shell: visit.shell(),
        title: format!("Remove the factors of {}", member.name),
        intro: "For somebody who lost their phone or security key. Be sure that it is them who asks: whoever has their password \
                needs nothing else afterwards."
            .to_owned(),
        consequences: vec![
            format!(
                "Their authenticator app and recovery codes are removed{}.",
                if methods.authenticator_app { "" } else { " (they have none)" }
            ),
            format!("Passkeys that are removed: {}.", methods.passkeys),
            "Every session of theirs ends. They sign in with their password, and can add factors again.".to_owned(),
        ],
        word: member.email.clone(),
        word_label: "their e-mail address",
        submit: "Remove their factors",
        action: here(member.user),
        back: LIST.to_owned(),
        hidden: Vec::new(),
        failure,
    };
    visit.page_with(status, &page)
}

/// `GET /dashboard/sign-in/{id}/remove`
pub async fn get_remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    let methods = find(&app, &visit, &id).await?;
    visit.recent(&app, &here(methods.member.user)).await?;
    Ok(confirm(&visit, &methods, None))
}

/// `POST /dashboard/sign-in/{id}/remove`
pub async fn post_remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let methods = find(&app, &visit, &id).await?;
    let member = &methods.member;
    visit.recent(&app, &here(member.user)).await?;
    if !Confirm::is_typed(&form, member.email.as_deref().unwrap_or_default()) {
        return Ok(confirm(&visit, &methods, Some(Confirm::MISTYPED.to_owned())));
    }
    match admin::remove(&app, &visit.caller, member.user).await {
        Ok(_) => {
            let sentence = format!(
                "The factors of {} were removed, and their sessions ended.",
                member.name
            );
            Ok(visit.done(LIST, &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(confirm(&visit, &methods, Some(failure)))
        }
    }
}
