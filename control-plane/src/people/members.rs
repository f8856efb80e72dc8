//! `/account/members`: who belongs to the organisation; for owners and admins, whom they invited.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::Inviter;
use super::invite::may_give;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::frame::RequestId;
use crate::pages::{self, Moment, PageError};
use crate::sessions::{self, Instead, Session, csrf, see_other};
use crate::store::belonging::Colleague;
use crate::store::invitations::{Invitation, InvitationStatus};
use crate::store::orgs::Role;

const HERE: &str = "/account/members";
const SHOWN: u32 = 500;
const ROLES: [Role; 4] = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage<'a> {
    here: &'static str,
    csrf: String,
    org: String,
    members: Vec<Colleague>,
    /// The roles that this member may give; none: they invite nobody.
    roles: Vec<&'static str>,
    pending: Vec<Pending>,
    has_mail: bool,
    email: &'a str,
    failure: Option<&'a str>,
}

struct Pending {
    invitation: Invitation,
    until: Moment,
}

/// `GET /account/members`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let session = sessions::signed_in(&app, &headers, HERE).await?;
    Ok(show(&app, &session, "", None).await?)
}

/// `POST /account/members/invite`.
pub async fn invite(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sessions::sent_form(&app, &headers, &body, HERE).await?;
    let email = form.value("email").unwrap_or_default();
    let role = form.value("role").unwrap_or_default();
    let role = ROLES.into_iter().find(|known| known.as_str() == role);
    let Some(role) = role else {
        return Ok(show(&app, &session, email, Some("Choose a role.")).await?);
    };
    match super::invite(&app, &inviter(&session, &request_id), (email, role), None).await {
        Ok(_) => Ok(see_other(HERE)),
        Err(error) => match sentence(&error) {
            Some(failure) => Ok(show(&app, &session, email, Some(failure)).await?),
            None => Err(page_error(&error).into()),
        },
    }
}

/// `POST /account/members/invitations/{id}/revoke`.
pub async fn revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sessions::sent_form(&app, &headers, &body, HERE).await?;
    let unknown = || PageError::not_found("There is no such invitation, or it was accepted.");
    let id = id.parse().map_err(|_| unknown())?;
    match super::revoke(&app, &inviter(&session, &request_id), id).await {
        Ok(_) => Ok(see_other(HERE)),
        Err(error) if error.code() == Code::Internal || error.code() == Code::Busy => {
            Err(page_error(&error).into())
        }
        Err(_) => Err(unknown().into()),
    }
}

fn inviter(session: &Session, request_id: &RequestId) -> Inviter {
    Inviter {
        org: session.org,
        user: session.user,
        actor: session.actor(Some(request_id)),
    }
}

/// A refusal in the words of the page; `None` if it is no refusal of what was typed.
fn sentence(error: &ApiError) -> Option<&'static str> {
    match error.code() {
        Code::ExceedsCaller => Some("You can not invite somebody with this role."),
        Code::RateLimited => Some(
            "Many invitations were sent, by your organisation or to this address. Wait a while, then go on.",
        ),
        Code::NoMail => {
            Some("This installation cannot send mail, so nobody can be invited. Ask its administrator.")
        }
        Code::InvalidField if error.problem().detail.contains("member") => Some("They are a member already."),
        Code::InvalidField => Some("This is not an e-mail address."),
        _ => None,
    }
}

fn page_error(error: &ApiError) -> PageError {
    if error.code() == Code::Busy {
        return PageError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Busy",
            "The database is busy. Nothing was changed; try again in a moment.",
        );
    }
    PageError::internal(anyhow::anyhow!(
        "{}: {:?}",
        error.problem().detail,
        error.problem().cause
    ))
}

async fn show(
    app: &App,
    session: &Session,
    email: &str,
    failure: Option<&str>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let own = tx.membership(session.org, session.user).await?;
    let org = tx.org_name(session.org).await?.unwrap_or_default();
    let members = tx.members_of(session.org, SHOWN).await?;
    let invitations = tx.invitations_of(session.org, SHOWN).await?;
    drop(tx);
    let may = |role: &Role| own.is_some_and(|own| own.alive && may_give(own.role, *role));
    let roles: Vec<_> = ROLES.into_iter().filter(may).map(Role::as_str).collect();
    let pending = invitations
        .into_iter()
        .filter(|invitation| !roles.is_empty() && invitation.status(now) == InvitationStatus::Pending);
    let page = MembersPage {
        here: "members",
        csrf: csrf::token(session),
        org,
        members,
        pending: pending
            .map(|invitation| Pending {
                until: invitation.expires_at.into(),
                invitation,
            })
            .collect(),
        roles,
        has_mail: app.config.has_mail(),
        email,
        failure,
    };
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    Ok(pages::html(status, &page))
}
