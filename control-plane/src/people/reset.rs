//! `/password/reset`: a new password for whoever has the link.
//!
//! Every session ends, with its tokens: whoever lost a password may have lost it to somebody. Other links of the same user end
//! too, what they agreed to for apps, and a lock-out of guesses. What it does not: sign in, or anything on GET. A second factor stays.

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

use super::{link, message, tell_of_new_password};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::mail;
use crate::oauth::opaque::Opaque;
use crate::pages::{self, PageError};
use crate::sessions::attempts::Attempt;
use crate::sessions::change::problem_with_new;
use crate::sessions::visitor::Visitor;
use crate::sessions::{Instead, end};

#[derive(Template)]
#[template(path = "reset.html")]
struct ResetPage<'a> {
    csrf: &'a str,
    token: &'a str,
    email: &'a str,
    failure: Option<&'a str>,
}

/// `GET /password/reset?token=…`.
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    mail::require_for_page(&app)?;
    let secret = link::in_query(query.as_deref())?;
    let (_, email) = stored(&app, &secret).await?;
    let visitor = Visitor::of(&app, &headers)?;
    Ok(visitor.keep(show(&visitor, &secret, &email, None)))
}

/// `POST /password/reset`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    mail::require_for_page(&app)?;
    let (visitor, form) = Visitor::sent(&app, &headers, &body)?;
    let secret = link::in_form(&form)?;
    let (user, email) = stored(&app, &secret).await?;
    let value = |name: &str| form.value(name).unwrap_or_default();
    let new = value("new");
    if let Some(problem) = problem_with_new(new, value("repeat")) {
        return Ok(show(&visitor, &secret, &email, Some(problem)));
    }
    let hash = app.passwords.hash(SecretString::from(new)).await;
    let change = Change {
        user,
        email: &email,
        hash: &hash.map_err(PageError::internal)?,
        address,
    };
    write(&app, &secret, &change, &request_id).await?;
    Ok(message(
        "Your password was changed",
        "All your sessions have ended, and the apps that were signed in through them. API keys stay.",
        Some(("/login", "Sign in")),
    ))
}

struct Change<'a> {
    user: UserId,
    email: &'a str,
    hash: &'a str,
    address: ClientAddress,
}

async fn write(
    app: &App,
    secret: &Opaque,
    change: &Change<'_>,
    request_id: &RequestId,
) -> Result<(), PageError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    Attempt::new(change.email, change.address)
        .forget_account(&mut tx)
        .await?;
    let set = tx.set_password(change.user, change.hash).await?;
    if !set || !tx.use_password_reset(&secret.digest(), now).await? {
        return Err(link::dead());
    }
    tx.void_password_resets(change.user, now).await?;
    let ended = end::end_all(&mut tx, change.user, None, now).await?;
    tx.forget_consents_of_user(change.user).await?;
    let event = Event {
        org: None,
        actor: &Actor {
            who: change.user.to_string(),
            ..Actor::anonymous(request_id)
        },
        action: "user.reset_password",
        target: change.user.to_string(),
        detail: json!({"sessions_ended": ended, "address": change.address.to_string()}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tell_of_new_password(&mut tx, app, change.email, now).await?;
    tx.commit().await?;
    end::confirmed(app, &end::subject_of_all(change.user, now)).await?;
    Ok(())
}

async fn stored(app: &App, secret: &Opaque) -> Result<(UserId, String), PageError> {
    let mut tx = app.store.begin_read().await?;
    let user = tx.password_reset(&secret.digest(), app.clock.now()).await?;
    let user = user.ok_or_else(link::dead)?;
    let (email, _) = tx.profile(user).await?.ok_or_else(link::dead)?;
    Ok((user, email))
}

fn show(visitor: &Visitor, secret: &Opaque, email: &str, failure: Option<&str>) -> Response {
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = ResetPage {
        csrf: visitor.csrf(),
        token: secret.expose(),
        email,
        failure,
    };
    link::hidden(pages::html(status, &page))
}
