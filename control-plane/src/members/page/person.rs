//! One member: who they are, what acts for them; another role, another name, suspended, resumed.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::lines::Lines;
use super::{Place, role, role_in_words, tone, user_id};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Sent, Shell, Visit, in_force, refused, refused_form};
use crate::error::ApiError;
use crate::http::tag::IfMatch;
use crate::members::{self, Change, MemberView};
use crate::pages::Moment;
use crate::revocation::Wait;
use crate::service_accounts;
use crate::sessions::Instead;
use crate::store::members::MemberState;
use crate::store::orgs::Role;

#[derive(Template)]
#[template(path = "dashboard/person.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is a statement of its own")]
struct PersonPage {
    shell: Shell,
    place: Place,
    tone: &'static str,
    ceiling: String,
    since: Moment,
    changed: Option<Moment>,
    lines: Lines,
    roles: Vec<Role>,
    may_manage: bool,
    may_see_sessions: bool,
    may_manage_keys: bool,
    may_change_role: bool,
    is_oneself: bool,
    here: String,
    failure: Option<String>,
    member: MemberView,
}

pub(super) async fn get(app: &App, place: Place, visit: &Visit, id: &str) -> Result<Response, Instead> {
    show(app, place, visit, id, None).await
}

/// A member of this kind: a person's page is not that of a program.
pub(super) async fn find(app: &App, place: Place, visit: &Visit, id: &str) -> Result<MemberView, Instead> {
    let member = match user_id(id) {
        Ok(user) => members::view(app, &visit.caller, user).await,
        Err(error) => Err(error),
    };
    let member = member.map_err(refused)?;
    if member.kind != place.kind {
        return Err(refused(ApiError::not_found("member")));
    }
    Ok(member)
}

async fn show(
    app: &App,
    place: Place,
    visit: &Visit,
    id: &str,
    failure: Option<String>,
) -> Result<Response, Instead> {
    let member = find(app, place, visit, id).await?;
    let holdings = members::holdings(app, &visit.caller, member.user)
        .await
        .map_err(refused)?;
    let own = visit.caller.role;
    let may_manage = visit.may(Act::ManagePeople);
    // Whom one cannot change one is not asked about.
    let is_above = member.role == Role::Owner && own != Role::Owner;
    let roles = place.roles().iter().copied();
    let page = PersonPage {
        shell: visit.shell(),
        place,
        tone: tone(member.state),
        ceiling: member.ceiling.join(", "),
        since: member.created_at.0.into(),
        changed: member.changed_at.map(|at| at.0.into()),
        lines: Lines::of(holdings),
        roles: roles
            .filter(|role| own == Role::Owner || *role != Role::Owner)
            .collect(),
        may_manage: may_manage && !is_above,
        may_see_sessions: visit.may(Act::ManageSessions),
        may_manage_keys: visit.may(Act::ManageKeys),
        may_change_role: may_manage && !is_above && member.state != MemberState::Deactivated,
        is_oneself: member.user == visit.caller.user,
        here: place.page_of(member.user),
        failure: failure.clone(),
        member,
    };
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    Ok(visit.page_with(status, &page))
}

/// Another role.
pub(super) async fn change_role(app: &App, place: Place, sent: Sent, id: &str) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let Some(role) = role(form.value("role").unwrap_or_default()) else {
        return show(app, place, &visit, id, Some("Choose a role.".to_owned())).await;
    };
    change(app, place, &visit, id, Change::Role(role)).await
}

/// Suspends or resumes.
pub(super) async fn change(
    app: &App,
    place: Place,
    visit: &Visit,
    id: &str,
    change: Change,
) -> Result<Response, Instead> {
    let member = find(app, place, visit, id).await?;
    match members::change(
        app,
        &visit.caller,
        member.user,
        (change, &IfMatch::Any),
        Wait::Effective,
    )
    .await
    {
        Ok((changed, _)) => {
            let what = match change {
                Change::Role(role) => format!("{} is {} now.", member.name, with_article(role)),
                Change::Suspend => format!(
                    "{} is suspended: keys and apps of theirs do nothing for now.",
                    member.name
                ),
                Change::Resume => format!("{} may go on. What was ended before stays dead.", member.name),
                Change::Deactivate => format!("{} is deactivated.", member.name),
            };
            let sentence = format!("{what} {}", in_force(&changed.receipt));
            Ok(visit.done(&place.page_of(member.user), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            show(app, place, visit, id, Some(failure)).await
        }
    }
}

fn with_article(role: Role) -> &'static str {
    match role {
        Role::Owner => "an owner",
        Role::Admin => "an admin",
        Role::Member => "a member",
        Role::Viewer => "a viewer",
    }
}

/// Another name, of a service account.
pub(super) async fn rename(app: &App, place: Place, sent: Sent, id: &str) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let account = find(app, place, &visit, id).await?;
    let name = form.value("name").unwrap_or_default();
    match service_accounts::rename(app, &visit.caller, account.user, (name, &IfMatch::Any)).await {
        Ok((renamed, _)) => {
            let sentence = format!("The service account is called {} now.", renamed.name);
            Ok(visit.done(&place.page_of(account.user), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            show(app, place, &visit, id, Some(failure)).await
        }
    }
}
