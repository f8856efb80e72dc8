//! `/invitation`: into an organisation, with an account that is there or with a new one.
//!
//! The link shows that the address is theirs. Whoever has an account signs in to it and agrees; whoever has none chooses a name
//! and a password. What it does not: anything on GET, or give more than the inviter still has.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::json;
use shared::id::UserId;

use super::invite::{hold_role, may_give};
use super::{fields, link, message};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::oauth::form::Form;
use crate::oauth::opaque::Opaque;
use crate::orgs::SHORT_IDS;
use crate::pages::{self, PageError};
use crate::sessions::attempts::Attempt;
use crate::sessions::change::problem_with_new;
use crate::sessions::visitor::Visitor;
use crate::sessions::{self, Instead, Session, begin_first, csrf};
use crate::store::StoreError;
use crate::store::invitations::Invitation;
use crate::store::orgs::NewUser;

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage<'a> {
    token: &'a str,
    email: &'a str,
    org: &'a str,
    role: &'a str,
    csrf: &'a str,
    step: Step,
    sign_in: String,
    name: &'a str,
    failure: Option<&'a str>,
}

/// What is still needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is an account, and somebody else or nobody is signed in.
    SignIn,
    /// A word.
    Agree,
    /// An account.
    Register,
}

/// A link that works, and who opened it.
struct Opened {
    secret: Opaque,
    invitation: Invitation,
    org: String,
    /// Who has the address.
    account: Option<UserId>,
    /// Their session, if it is theirs.
    session: Option<Session>,
}

impl Opened {
    async fn read(app: &App, secret: Opaque, headers: &HeaderMap) -> Result<Self, PageError> {
        let mut tx = app.store.begin_read().await?;
        let found = tx.invitation_by_digest(&secret.digest(), app.clock.now()).await?;
        let invitation = found.ok_or_else(link::dead)?;
        let org = tx.org_name(invitation.org).await?.unwrap_or_default();
        let account = tx.user_by_email(&invitation.email).await?.map(|(user, _)| user);
        if account.is_none() && tx.is_email_taken(&invitation.email).await? {
            let detail = "The account with this address was closed. Ask your administrator.";
            return Err(PageError::not_found(detail));
        }
        drop(tx);
        let session = sessions::current(app, headers).await?;
        Ok(Self {
            session: session.filter(|session| Some(session.user) == account),
            secret,
            invitation,
            org,
            account,
        })
    }

    fn step(&self) -> Step {
        match (&self.account, &self.session) {
            (None, _) => Step::Register,
            (Some(_), None) => Step::SignIn,
            (Some(_), Some(_)) => Step::Agree,
        }
    }

    fn show(&self, csrf: &str, name: &str, failure: Option<&str>) -> Response {
        let status = if failure.is_some() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        };
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(
                "return_to",
                &format!("/invitation?token={}", self.secret.expose()),
            )
            .append_pair("login_hint", &self.invitation.email)
            .finish();
        let page = InvitationPage {
            token: self.secret.expose(),
            email: &self.invitation.email,
            org: &self.org,
            role: self.invitation.role.as_str(),
            csrf,
            step: self.step(),
            sign_in: format!("/login?{query}"),
            name,
            failure,
        };
        link::hidden(pages::html(status, &page))
    }
}

/// `GET /invitation?token=…`.
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let opened = Opened::read(&app, link::in_query(query.as_deref())?, &headers).await?;
    let visitor = Visitor::of(&app, &headers)?;
    let csrf = match &opened.session {
        Some(session) => csrf::token(session),
        None => visitor.csrf().to_owned(),
    };
    Ok(visitor.keep(opened.show(&csrf, "", None)))
}

/// `POST /invitation`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    // Whose form it is shows only once it is read: a session's, or a visitor's.
    if sessions::current(&app, &headers).await?.is_some() {
        let (_, form) = sessions::sent_form(&app, &headers, &body, "/account").await?;
        let opened = Opened::read(&app, link::in_form(&form)?, &headers).await?;
        let Some(session) = &opened.session else {
            return Ok(opened.show("", "", None));
        };
        join(
            &app,
            &opened.invitation,
            session.user,
            None,
            &session.actor(Some(&request_id)),
        )
        .await?;
        let text = "You can switch to it on your account's page.";
        let title = format!("You have joined {}", opened.org);
        return Ok(message(&title, text, Some(("/account", "Go to your account"))));
    }
    let (visitor, form) = Visitor::sent(&app, &headers, &body)?;
    let opened = Opened::read(&app, link::in_form(&form)?, &headers).await?;
    if opened.step() != Step::Register {
        return Ok(opened.show(visitor.csrf(), "", None));
    }
    register(&app, &opened, &visitor, &form, (address, request_id, &headers)).await
}

async fn register(
    app: &App,
    opened: &Opened,
    visitor: &Visitor,
    form: &Form,
    (address, request_id, headers): (ClientAddress, RequestId, &HeaderMap),
) -> Result<Response, Instead> {
    let value = |name: &str| form.value(name).unwrap_or_default();
    let (typed, new) = (value("name"), value("new"));
    let problem = problem_with_new(new, value("repeat"));
    let name = match (fields::name(typed), problem) {
        (Some(name), None) => name,
        (None, _) => {
            return Ok(opened.show(visitor.csrf(), typed, Some(fields::YOUR_NAME)));
        }
        (_, Some(failure)) => return Ok(opened.show(visitor.csrf(), typed, Some(failure))),
    };
    let email = &opened.invitation.email;
    let attempt = Attempt::new(email, address);
    let anonymous = Actor::anonymous(&request_id);
    attempt.charge(app, &anonymous).await?;
    let hash = app.passwords.hash(SecretString::from(new)).await;
    let hash = hash.map_err(PageError::internal)?;
    let drawn = app.random.below(SHORT_IDS)?;
    let user = UserId::from_u64(drawn).ok_or(StoreError::Corrupt("user id"))?;
    let actor = Actor {
        who: user.to_string(),
        ..anonymous
    };
    let new = NewUser {
        id: user,
        email,
        name,
        password_hash: Some(&hash),
    };
    join(app, &opened.invitation, user, Some(&new), &actor).await?;
    begin_first(app, email, &attempt, address, headers, request_id).await
}

/// Makes the member, and the account if there is none; uses the link up.
async fn join(
    app: &App,
    invitation: &Invitation,
    user: UserId,
    new: Option<&NewUser<'_>>,
    actor: &Actor,
) -> Result<(), PageError> {
    let now = app.clock.now();
    let org = invitation.org;
    let mut tx = app.store.begin().await?;
    if let Some(new) = new {
        match tx.insert_user(new, now).await {
            Err(error) if error.is_unique_violation() => return Err(link::dead()),
            other => other?,
        }
    }
    let inviter = hold_role(&mut tx, org, invitation.invited_by).await?;
    if !inviter.is_some_and(|own| may_give(own, invitation.role)) {
        return Err(link::dead());
    }
    match tx.insert_membership(org, user, invitation.role, now).await {
        Err(error) if error.is_unique_violation() => {
            return Err(PageError::bad_request(
                "You belong to this organisation already. Nothing was changed.",
            ));
        }
        other => other?,
    }
    if !tx.accept_invitation(invitation.id, user, now).await? {
        return Err(link::dead());
    }
    let mut changes = Vec::new();
    if new.is_some() {
        changes.push(("user.create", user.to_string(), json!({"by": "invitation"})));
    }
    let detail = json!({"user": user, "role": invitation.role, "invited_by": invitation.invited_by});
    changes.push(("invitation.accept", invitation.id.to_string(), detail));
    for (action, target, detail) in changes {
        let event = Event {
            org: Some(org),
            actor,
            action,
            target,
            detail,
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
    }
    tx.commit().await?;
    Ok(())
}
