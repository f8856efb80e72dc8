//! `/dashboard/people/invite` and `/dashboard/people/invitations`: who is asked in, and who was and has not answered yet.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::invite::may_give;
use super::{list_pending, resend};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Parameters, Sent, Shell, Visit, link, refused, refused_form};
use crate::error::ApiError;
use crate::members::page::{PEOPLE, role_in_words};
use crate::pages::Moment;
use crate::sessions::Instead;
use crate::store::invitations::Invitation;
use crate::store::orgs::Role;

const LIST: &str = "/dashboard/people/invitations";
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/invite.html")]
struct InvitePage<'a> {
    shell: Shell,
    email: &'a str,
    role: Role,
    roles: Vec<Role>,
    has_mail: bool,
    failure: Option<String>,
}

#[derive(Template)]
#[template(path = "dashboard/invitations.html")]
struct InvitationsPage {
    shell: Shell,
    lines: Vec<Line>,
    may_manage: bool,
    first: String,
    next: String,
}

struct Line {
    invitation: Invitation,
    since: Moment,
    until: Moment,
}

/// `GET /account/members`: where the list of members was.
pub async fn moved() -> axum::response::Redirect {
    axum::response::Redirect::permanent(PEOPLE.base)
}

/// `GET /dashboard/people/invite`
pub async fn get_invite(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    Ok(show(&app, &visit, "", Role::Member, None))
}

fn show(app: &App, visit: &Visit, email: &str, role: Role, failure: Option<String>) -> Response {
    let own = visit.caller.role;
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let roles = PEOPLE.roles().iter().copied();
    let page = InvitePage {
        shell: visit.shell(),
        email,
        role,
        roles: roles.filter(|role| may_give(own, *role)).collect(),
        has_mail: app.config.has_mail(),
        failure,
    };
    visit.page_with(status, &page)
}

/// `POST /dashboard/people/invite`
pub async fn post_invite(State(app): State<Arc<App>>, sent: Sent) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let email = form.value("email").unwrap_or_default();
    let Some(role) = crate::members::page::role(form.value("role").unwrap_or_default()) else {
        let failure = Some("Choose a role.".to_owned());
        return Ok(show(&app, &visit, email, Role::Member, failure));
    };
    match super::invite(&app, &visit.caller, (email, role), None).await {
        Ok(made) => {
            let sentence = format!("An invitation is on its way to {}.", made.email);
            Ok(visit.done(LIST, &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(show(&app, &visit, email, role, Some(failure)))
        }
    }
}

/// `GET /dashboard/people/invitations`
pub async fn get_list(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    let (invitations, next) = list_pending(&app, visit.caller.org, query.some("cursor"), PAGE)
        .await
        .map_err(refused)?;
    let lines = invitations.into_iter().map(|invitation| Line {
        since: invitation.created_at.into(),
        until: invitation.expires_at.into(),
        invitation,
    });
    let page = InvitationsPage {
        shell: visit.shell(),
        lines: lines.collect(),
        may_manage: visit.may(Act::ManagePeople),
        first: query.some("cursor").map_or_else(String::new, |_| LIST.to_owned()),
        next: next.map_or_else(String::new, |cursor| link(LIST, &[("cursor", &cursor)])),
    };
    Ok(visit.page(&page))
}

/// `POST /dashboard/people/invitations/{id}/revoke`
pub async fn post_revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let missing = || refused(ApiError::not_found("invitation"));
    let id = id.parse().map_err(|_| missing())?;
    let taken = super::revoke(&app, &sent.visit.caller, id)
        .await
        .map_err(refused)?;
    let sentence = format!(
        "The invitation of {} was taken back; its link is dead.",
        taken.email
    );
    Ok(sent.visit.done(LIST, &sentence))
}

/// `POST /dashboard/people/invitations/{id}/resend`
pub async fn post_resend(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let missing = || refused(ApiError::not_found("invitation"));
    let id = id.parse().map_err(|_| missing())?;
    let made = resend(&app, &sent.visit.caller, id).await.map_err(refused)?;
    let sentence = format!(
        "A new invitation is on its way to {}; the old link is dead.",
        made.email
    );
    Ok(sent.visit.done(LIST, &sentence))
}
