//! The deactivation: a page that lists exactly what will die, offers to hand keys over first, and asks for the address (of a
//! service account: the name) to be typed.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::Place;
use super::lines::Lines;
use super::person::find;
use crate::app::App;
use crate::dashboard::{Confirm, Sent, Shell, Visit, in_force, refused, refused_form};
use crate::http::tag::IfMatch;
use crate::members::{self, Change, MemberView};
use crate::revocation::Wait;
use crate::sessions::Instead;

#[derive(Template)]
#[template(path = "dashboard/person_end.html")]
struct EndPage {
    shell: Shell,
    lines: Lines,
    word: String,
    word_label: &'static str,
    here: String,
    failure: Option<String>,
    member: MemberView,
}

/// What must be typed, and what that is.
fn word(member: &MemberView) -> (String, &'static str) {
    match &member.email {
        Some(email) => (email.clone(), "their e-mail address"),
        None => (member.name.clone(), "its name"),
    }
}

pub(super) async fn get(app: &App, place: Place, visit: &Visit, id: &str) -> Result<Response, Instead> {
    let member = find(app, place, visit, id).await?;
    visit
        .recent(app, &format!("{}/deactivate", place.page_of(member.user)))
        .await?;
    show(app, place, visit, member, None).await
}

async fn show(
    app: &App,
    place: Place,
    visit: &Visit,
    member: MemberView,
    failure: Option<String>,
) -> Result<Response, Instead> {
    let holdings = members::holdings(app, &visit.caller, member.user)
        .await
        .map_err(refused)?;
    let (word, word_label) = word(&member);
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = EndPage {
        shell: visit.shell(),
        lines: Lines::of(holdings),
        word,
        word_label,
        here: place.page_of(member.user),
        failure,
        member,
    };
    Ok(visit.page_with(status, &page))
}

pub(super) async fn post(app: &App, place: Place, sent: Sent, id: &str) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let member = find(app, place, &visit, id).await?;
    let here = place.page_of(member.user);
    visit.recent(app, &format!("{here}/deactivate")).await?;
    if !Confirm::is_typed(&form, &word(&member).0) {
        let failure = Confirm::MISTYPED.to_owned();
        return show(app, place, &visit, member, Some(failure)).await;
    }
    match members::change(
        app,
        &visit.caller,
        member.user,
        (Change::Deactivate, &IfMatch::Any),
        Wait::Effective,
    )
    .await
    {
        Ok((changed, _)) => {
            let sentence = format!(
                "{} is deactivated, and everything that acted for them has ended. {}",
                member.name,
                in_force(&changed.receipt)
            );
            Ok(visit.done(&here, &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            show(app, place, &visit, member, Some(failure)).await
        }
    }
}
