//! `/password/forgot`: asks for a link to a new password.
//!
//! With and without an account the answer is the same after the same work: one link and one letter, which without an account
//! open nothing and go to nobody.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::{fields, link, message};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::mail::{self, Letter, limits};
use crate::pages::{self, PageError};
use crate::sessions::Instead;
use crate::sessions::visitor::Visitor;

const LINK_MS: u64 = 30 * 60_000;

#[derive(Template)]
#[template(path = "forgot.html")]
struct ForgotPage<'a> {
    csrf: &'a str,
    email: &'a str,
    failure: Option<&'a str>,
}

/// `GET /password/forgot`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    mail::require_for_page(&app)?;
    let visitor = Visitor::of(&app, &headers)?;
    let page = ForgotPage {
        csrf: visitor.csrf(),
        email: "",
        failure: None,
    };
    Ok(visitor.keep(pages::html(StatusCode::OK, &page)))
}

/// `POST /password/forgot`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    mail::require_for_page(&app)?;
    let (visitor, form) = Visitor::sent(&app, &headers, &body)?;
    let typed = form.value("email").unwrap_or_default();
    let Some(email) = fields::email(typed) else {
        let page = ForgotPage {
            csrf: visitor.csrf(),
            email: typed,
            failure: Some("This is not an e-mail address."),
        };
        return Ok(pages::html(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    limits::charge(&app, &email, address).await?;
    write(&app, &email, &address, &Actor::anonymous(&request_id)).await?;
    Ok(message(
        "Look into your mail",
        "If there is an account with this address, a mail is on its way to it. Open the link in it within half an hour.",
        Some(("/login", "Back to the sign-in")),
    ))
}

async fn write(app: &App, email: &str, address: &ClientAddress, actor: &Actor) -> Result<(), PageError> {
    let now = app.clock.now();
    let expires_at = now.saturating_add(LINK_MS);
    let secret = link::draw(app)?;
    let link = mail::link(app, "/password/reset", &secret).map_err(PageError::internal)?;
    let mut tx = app.store.begin().await?;
    let account = tx.account_by_email(email).await?;
    let user = account.as_ref().map(|account| account.user);
    tx.insert_password_reset(&secret.digest(), user, now, expires_at)
        .await?;
    let to = user.is_some().then_some(email);
    mail::queue(&mut tx, app, to, Letter::password_reset(&link, expires_at), now)
        .await
        .map_err(PageError::internal)?;
    let event = Event {
        org: account.map(|account| account.org),
        actor,
        action: "user.forgot_password",
        target: user.map_or_else(|| "unknown account".to_owned(), |user| user.to_string()),
        detail: json!({"address": address.to_string()}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(())
}
