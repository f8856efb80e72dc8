//! `/signup`: an account with an organisation of its own, once the address is confirmed.
//!
//! An address that has an account gets a mail that says so. Here the answer is the same after the same work: one hash, one
//! sign-up (a dead one), one letter. What it does not: make anything that signs in.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::json;

use super::{fields, link, message};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::mail::{self, Letter, limits};
use crate::oauth::form::Form;
use crate::pages::{self, PageError};
use crate::sessions::Instead;
use crate::sessions::change::problem_with_new;
use crate::sessions::visitor::Visitor;
use crate::store::links::SignUpRow;

const LINK_MS: u64 = 24 * 3600 * 1000;

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUpPage<'a> {
    csrf: &'a str,
    email: &'a str,
    name: &'a str,
    org: &'a str,
    failure: Option<&'a str>,
}

/// `GET /signup`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    refuse_if_closed(&app)?;
    let visitor = Visitor::of(&app, &headers)?;
    let page = SignUpPage {
        csrf: visitor.csrf(),
        email: "",
        name: "",
        org: "",
        failure: None,
    };
    Ok(visitor.keep(pages::html(StatusCode::OK, &page)))
}

/// `POST /signup`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    refuse_if_closed(&app)?;
    let (visitor, form) = Visitor::sent(&app, &headers, &body)?;
    let wanted = match Wanted::read(&form) {
        Ok(wanted) => wanted,
        Err(failure) => {
            let value = |name: &str| form.value(name).unwrap_or_default();
            let page = SignUpPage {
                csrf: visitor.csrf(),
                email: value("email"),
                name: value("name"),
                org: value("org"),
                failure: Some(failure),
            };
            return Ok(pages::html(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    };
    limits::charge(&app, &wanted.email, address).await?;
    let hash = app.passwords.hash(wanted.password).await;
    let row = SignUpRow {
        digest: [0; 32],
        email: wanted.email,
        name: wanted.name,
        org_name: wanted.org,
        password_hash: hash.map_err(PageError::internal)?,
        created_at: app.clock.now(),
        expires_at: app.clock.now().saturating_add(LINK_MS),
    };
    write(&app, row, &address, &Actor::anonymous(&request_id)).await?;
    Ok(message(
        "Look into your mail",
        "A mail is on its way to the address that you gave. Open the link in it within a day to go on.",
        None,
    ))
}

async fn write(app: &App, row: SignUpRow, address: &ClientAddress, actor: &Actor) -> Result<(), PageError> {
    let now = row.created_at;
    let secret = link::draw(app)?;
    let row = SignUpRow {
        digest: secret.digest(),
        ..row
    };
    let mut tx = app.store.begin().await?;
    let taken = tx.is_email_taken(&row.email).await?;
    tx.insert_sign_up(&row, taken).await?;
    let letter = if taken {
        let page = |path| link::page(app, path).map_err(PageError::internal);
        Letter::has_account(&page("/login")?, &page("/password/forgot")?)
    } else {
        let link = mail::link(app, "/signup/confirm", &secret).map_err(PageError::internal)?;
        Letter::sign_up(&link, row.expires_at)
    };
    mail::queue(&mut tx, app, Some(&row.email), letter, now)
        .await
        .map_err(PageError::internal)?;
    let event = Event {
        org: None,
        actor,
        action: "sign_up.request",
        // Nobody yet. What was typed stays out of the trail.
        target: "new account".to_owned(),
        detail: json!({"address": address.to_string()}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(())
}

struct Wanted {
    email: String,
    name: String,
    org: String,
    password: SecretString,
}

impl Wanted {
    fn read(form: &Form) -> Result<Self, &'static str> {
        let value = |name: &str| form.value(name).unwrap_or_default();
        let email = fields::email(value("email")).ok_or("This is not an e-mail address.")?;
        let name = fields::name(value("name")).ok_or(fields::YOUR_NAME)?;
        let org = fields::name(value("org")).ok_or(fields::ORG_NAME)?;
        let password = value("password");
        if let Some(problem) = problem_with_new(password, password) {
            return Err(problem);
        }
        Ok(Self {
            email,
            name: name.to_owned(),
            org: org.to_owned(),
            password: SecretString::from(password),
        })
    }
}

pub(super) fn refuse_if_closed(app: &App) -> Result<(), PageError> {
    if !app.config.sign_up_enabled() {
        return Err(PageError::not_found(
            "Nobody can make an account here themselves. Ask an administrator for an invitation.",
        ));
    }
    mail::require_for_page(app)
}
