//! `/login`: an e-mail address and a password, and then back to where the browser came from.
//!
//! A wrong password and an unknown account have the same answer after the same work: one counted attempt, one query, one
//! argon2id verification. What it does not: say whether an account exists.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use secrecy::SecretString;

use super::attempts::Attempt;
use super::begin::{Browser, begin};
use super::cookie::{self, Kind};
use super::return_to::{ACCOUNT, path_of_ours};
use super::visitor::Visitor;
use super::{Instead, current, see_other};
use crate::app::App;
use crate::audit::Actor;
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::{self, PageError};
use crate::store::sessions::Account;

const FAILURE: &str = "The e-mail address or the password is wrong.";
const MAX_EMAIL: usize = 254;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    csrf: &'a str,
    return_to: &'a str,
    email: &'a str,
    failure: Option<&'a str>,
    can_reset: bool,
    can_sign_up: bool,
}

/// `GET /login?return_to=…&login_hint=…`. Shown to those who are signed in as well.
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let query = query.unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let return_to = value("return_to").unwrap_or_else(|| ACCOUNT.to_owned());
    refuse_elsewhere(&app, &return_to)?;
    let hint = value("login_hint").filter(|hint| hint.len() <= MAX_EMAIL);
    let visitor = Visitor::of(&app, &headers)?;
    let page = SignInPage {
        csrf: visitor.csrf(),
        return_to: &return_to,
        email: &hint.unwrap_or_default(),
        failure: None,
        can_reset: app.config.has_mail(),
        can_sign_up: app.config.sign_up_enabled(),
    };
    Ok(visitor.keep(pages::html_leading_elsewhere(StatusCode::OK, &page)))
}

/// `POST /login`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    // 1. A form of ours, sent by the browser that got it.
    let (visitor, form) = Visitor::sent(&app, &headers, &body)?;
    let return_to = form.value("return_to").unwrap_or(ACCOUNT);
    refuse_elsewhere(&app, return_to)?;
    let typed = form.value("email").unwrap_or_default().trim();
    if typed.len() > MAX_EMAIL {
        return Err(PageError::bad_request("An e-mail address has at most 254 characters.").into());
    }

    // 2. Not too often.
    let email = typed.to_lowercase();
    let attempt = Attempt::new(&email, address);
    let anonymous = Actor {
        who: "anonymous".to_owned(),
        credential: None,
        request_id: Some(request_id.0.clone()),
    };
    attempt.charge(&app, &anonymous).await?;

    // 3. The right password, and then a session.
    let password = SecretString::from(form.value("password").unwrap_or_default());
    if let Some(account) = authenticate(&app, &email, password).await? {
        let before = current(&app, &headers).await?;
        let browser = Browser::of(&headers, address);
        let begun = begin(&app, &account, &attempt, browser, before, Some(request_id.0)).await?;
        if let Some(secret) = begun {
            metrics::counter!("portcullis_sign_ins_total", "result" => "signed_in").increment(1);
            let mut response = see_other(return_to);
            if let Some(cookie) = cookie::set(&app.config, Kind::Session, &secret) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            return Ok(response);
        }
    }
    metrics::counter!("portcullis_sign_ins_total", "result" => "refused").increment(1);
    let page = SignInPage {
        csrf: visitor.csrf(),
        return_to,
        email: typed,
        failure: Some(FAILURE),
        can_reset: app.config.has_mail(),
        can_sign_up: app.config.sign_up_enabled(),
    };
    Ok(pages::html_leading_elsewhere(
        StatusCode::UNPROCESSABLE_ENTITY,
        &page,
    ))
}

async fn authenticate(app: &App, email: &str, password: SecretString) -> Result<Option<Account>, PageError> {
    let account = app.store.begin_read().await?.account_by_email(email).await?;
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let right = app.passwords.verify(password, stored).await;
    let right = right.map_err(PageError::internal)?;
    Ok(account.filter(|_| right))
}

fn refuse_elsewhere(app: &App, return_to: &str) -> Result<(), PageError> {
    if path_of_ours(&app.config.issuer, return_to).is_some() {
        return Ok(());
    }
    Err(PageError::bad_request(
        "This sign-in link leads to another site, so it was not followed. Go back to the app that sent you here.",
    ))
}
