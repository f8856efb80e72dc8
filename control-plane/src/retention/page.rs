//! `/dashboard/retention`: how long things are kept, and erasing a person.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::app::App;
use crate::dashboard::{Confirm, PageQuery, Sent, Shell, Visit, link, refused, refused_form};
use crate::error::ApiError;
use crate::http::tag::IfMatch;
use crate::members::{self, Listing, MemberView};
use crate::oauth::form::Form;
use crate::sessions::Instead;
use crate::settings::page::days;
use crate::settings::{self, Changes, RetentionView};
use crate::store::members::MemberState;

const PATH: &str = "/dashboard/retention";
const PAGE: u32 = 50;

/// Where the list of people goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    after: String,
}

#[derive(Template)]
#[template(path = "dashboard/retention.html")]
struct RetentionPage {
    shell: Shell,
    view: RetentionView,
    usage_days: String,
    address_days: String,
    detail_days: String,
    people: Vec<Person>,
    first: String,
    next: String,
    failure: Option<String>,
}

struct Person {
    id: String,
    name: String,
    email: String,
    state: &'static str,
    is_erased: bool,
}

impl Person {
    fn new(view: MemberView) -> Self {
        let email = view.email.unwrap_or_default();
        let is_erased = email.is_empty() || email.starts_with("erased:");
        Self {
            id: view.user.to_string(),
            state: if is_erased { "erased" } else { "deactivated" },
            name: if view.name.is_empty() {
                "Erased person".to_owned()
            } else {
                view.name
            },
            email: if is_erased { String::new() } else { email },
            is_erased,
        }
    }
}

/// `GET /dashboard/retention`.
pub async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    PageQuery(query): PageQuery<Query>,
) -> Result<Response, Instead> {
    let page = page(&app, &visit, &query.after, None, None).await?;
    Ok(visit.page(&page))
}

async fn page(
    app: &App,
    visit: &Visit,
    after: &str,
    form: Option<&Form>,
    failure: Option<String>,
) -> Result<RetentionPage, Instead> {
    let view = settings::show(app, &visit.caller)
        .await
        .map_err(refused)?
        .retention;
    let value = |name: &str, stored: Option<u64>| match form {
        Some(form) => form.value(name).unwrap_or_default().to_owned(),
        None => stored.map(|days| days.to_string()).unwrap_or_default(),
    };
    let listing = Listing {
        state: Some(MemberState::Deactivated),
        cursor: (!after.is_empty()).then_some(after),
        limit: PAGE,
        ..Listing::default()
    };
    let (members, last) = members::list(app, &visit.caller, listing)
        .await
        .map_err(refused)?;
    let people = members.into_iter().map(Person::new);
    Ok(RetentionPage {
        shell: visit.shell(),
        view,
        usage_days: value("usage_days", view.set.usage_days),
        address_days: value("address_days", view.set.address_days),
        detail_days: value("detail_days", view.set.detail_days),
        people: people.collect(),
        first: if after.is_empty() {
            String::new()
        } else {
            PATH.to_owned()
        },
        next: last
            .map(|last| link(PATH, &[("after", &last)]))
            .unwrap_or_default(),
        failure,
    })
}

/// `POST /dashboard/retention`.
pub async fn post(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
    let outcome = match changes(&form) {
        Ok(changes) => match settings::change_settings(&app, &visit.caller, changes, &IfMatch::Any).await {
            Ok(_) => return Ok(visit.done(PATH, "Saved. What is older is let go within a day.")),
            Err(error) => refused_form(error)?,
        },
        Err(sentence) => sentence,
    };
    let page = page(&app, &visit, "", Some(&form), Some(outcome)).await?;
    Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

fn changes(form: &Form) -> Result<Changes, String> {
    Ok(Changes {
        usage_days: days(form, "usage_days")?,
        address_days: days(form, "address_days")?,
        detail_days: days(form, "detail_days")?,
        ..Changes::default()
    })
}

/// `GET /dashboard/retention/erase/{user}`: needs a sign-in of the last minutes.
pub async fn get_erase(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(user): Path<String>,
) -> Result<Response, Instead> {
    let member = member(&app, &visit, &user).await?;
    visit
        .recent(&app, &format!("{PATH}/erase/{}", member.user))
        .await?;
    Ok(visit.page(&question(&visit, &member, None)))
}

async fn member(app: &App, visit: &Visit, user: &str) -> Result<MemberView, Instead> {
    let user = user.parse().map_err(|_| refused(ApiError::not_found("member")))?;
    members::view(app, &visit.caller, user).await.map_err(refused)
}

fn question(visit: &Visit, member: &MemberView, failure: Option<String>) -> Confirm {
    let called = if member.name.is_empty() {
        member.user.to_string()
    } else {
        member.name.clone()
    };
    Confirm {
        shell: visit.shell(),
        title: format!("Erase {called}"),
        intro: "What this organisation keeps about this person becomes unreadable for good. What they did stays on record, under a number that names nobody.".to_owned(),
        consequences: vec![
            "The key under which their names and addresses lie in the audit trail is destroyed. The chain of entries stays whole.".to_owned(),
            "Their name and e-mail address are removed from this organisation, from invitations and from sessions.".to_owned(),
            "If no other organisation has them, their account goes too: password, passkeys, authenticator app.".to_owned(),
            "They cannot be let in again; invite them anew.".to_owned(),
            "Backups from before still hold it. Keep those no longer than you have to.".to_owned(),
        ],
        word: Some(member.user.to_string()),
        word_label: "the id of the person",
        submit: "Erase this person",
        action: format!("{PATH}/erase/{}", member.user),
        back: PATH.to_owned(),
        hidden: Vec::new(),
        failure,
    }
}

/// `POST /dashboard/retention/erase/{user}`.
pub async fn post_erase(
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let member = member(&app, &visit, &user).await?;
    visit
        .recent(&app, &format!("{PATH}/erase/{}", member.user))
        .await?;
    let failure = if Confirm::is_typed(&form, &member.user.to_string()) {
        match super::erase(&app, &visit.caller, member.user).await {
            Ok(_) => return Ok(visit.done(PATH, "The person was erased.")),
            Err(error) => refused_form(error)?,
        }
    } else {
        Confirm::MISTYPED.to_owned()
    };
    let page = question(&visit, &member, Some(failure));
    Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
}
