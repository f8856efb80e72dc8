//! `/login/code`: the second factor of somebody whose password was right. Before it there is no session.
//!
//! The browser is known by a cookie of its own, for five minutes. A code counts once, whoever comes with it: the step is
//! used up in the transaction that begins the session. What it does not: tell an unknown code from a used one.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use shared::crypto::sha256;

use super::recovery::RecoveryCode;
use super::totp::{self, Secret as TotpSecret};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::oauth::form::Form;
use crate::pages::{self, PageError};
use crate::sessions::attempts::Attempt;
use crate::sessions::begin::{self, Browser, Method, Proven};
use crate::sessions::cookie::{self, Kind, Secret};
use crate::sessions::csrf::FormToken;
use crate::sessions::login;
use crate::sessions::return_to::START;
use crate::sessions::{Instead, current, login_redirect, parse_form, visitor};
use crate::store::factors::PendingSignIn;

const FAILURE: &str = "This code does not work. Wait for the next one, and check the time of your device.";
const RECOVERY_FAILURE: &str = "This recovery code does not work. Each works once.";

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage<'a> {
    csrf: &'a str,
    return_to: &'a str,
    failure: Option<&'a str>,
}

/// What somebody shows.
enum Shown {
    /// The step of a code, which is right.
    Step(u64),
    /// A code that may be one of theirs.
    Recovery(RecoveryCode),
}

/// `GET /login/code?return_to=…`.
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let query = query.unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let return_to = pairs.find_map(|(name, value)| (name == "return_to").then(|| value.into_owned()));
    let return_to = return_to.unwrap_or_else(|| START.to_owned());
    login::refuse_elsewhere(&app, &return_to)?;
    let Some(secret) = cookie::read(&app.config, Kind::Pending, &headers) else {
        return Ok(login_redirect(&return_to));
    };
    let mut tx = app.store.begin_read().await?;
    if tx
        .pending_sign_in(&secret.digest(), app.clock.now())
        .await?
        .is_none()
    {
        return Ok(login_redirect(&return_to));
    }
    Ok(show(&secret, &return_to, None))
}

/// `POST /login/code`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    // 1. A form of ours, sent by the browser whose password was right.
    let form = parse_form(&headers, &body)?;
    let secret = visitor::sent_by(&app, Kind::Pending, &headers, &form)?;
    let return_to = form.value("return_to").unwrap_or(START);
    login::refuse_elsewhere(&app, return_to)?;
    let mut tx = app.store.begin_read().await?;
    let pending = tx.pending_sign_in(&secret.digest(), app.clock.now()).await?;
    drop(tx);
    let Some(pending) = pending else {
        return Ok(login_redirect(return_to));
    };

    // 2. Not too often.
    let attempt = Attempt::code(pending.org, pending.user, address);
    let anonymous = Actor {
        who: "anonymous".to_owned(),
        credential: None,
        request_id: Some(request_id.0.clone()),
    };
    attempt.charge(&app, &anonymous).await?;

    // 3. A code of theirs that was not used, and then the session.
    if let Some(shown) = shown(&app, &form, &pending).await? {
        let method = match shown {
            Shown::Step(_) => Method::PasswordAndCode,
            Shown::Recovery(_) => Method::PasswordAndRecoveryCode,
        };
        let proven = Proven {
            user: pending.user,
            org: pending.org,
            method,
            browser: Browser::of(&headers, address),
            before: current(&app, &headers).await?,
            request_id: Some(request_id.0),
        };
        if let Some(session) = enter(&app, &attempt, &pending, &shown, proven).await? {
            let mut response = login::signed_in(&app, &session, return_to);
            if let Some(cookie) = cookie::clear(&app.config, Kind::Pending) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            return Ok(response);
        }
    }
    metrics::counter!("portcullis_sign_ins_total", "result" => "refused").increment(1);
    let failure = if form.value("recovery").is_some() {
        RECOVERY_FAILURE
    } else {
        FAILURE
    };
    Ok(show(&secret, return_to, Some(failure)))
}

/// What the form has. A code of an app is looked at here; a recovery code when it is used up.
async fn shown(app: &App, form: &Form, pending: &PendingSignIn) -> Result<Option<Shown>, PageError> {
    if let Some(text) = form.value("recovery") {
        return Ok(RecoveryCode::parse(text).map(Shown::Recovery));
    }
    let stored = app.store.begin_read().await?.totp(pending.user).await?;
    let Some(stored) = stored else { return Ok(None) };
    let opened = app
        .keyring
        .open(&totp::row_context(pending.user), &stored.sealed)
        .map_err(PageError::internal)?;
    let Some(secret) = TotpSecret::from_slice(&opened) else {
        return Ok(None);
    };
    let now = app.clock.now().seconds();
    let code = form.value("code").unwrap_or_default();
    Ok(secret.step_of(code, now).map(Shown::Step))
}

/// One transaction: the wait and the code are used up, and the session begins. `None` if either was before, if the
/// password is another one by now, or if they were shut out.
async fn enter(
    app: &App,
    attempt: &Attempt,
    pending: &PendingSignIn,
    shown: &Shown,
    proven: Proven,
) -> Result<Option<Secret>, PageError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    attempt.forgive(&mut tx, app).await?;
    let Some((_, Some(hash))) = tx.user_secret(pending.user).await? else {
        return Ok(None);
    };
    if sha256(hash.as_bytes()) != pending.password_digest || !tx.hold_password(pending.user, &hash).await? {
        return Ok(None);
    }
    if !tx.take_pending_sign_in(&pending.digest, now).await? {
        return Ok(None);
    }
    match shown {
        Shown::Step(step) => {
            if !tx.accept_totp_step(pending.user, *step).await? {
                return Ok(None);
            }
        }
        Shown::Recovery(code) => {
            if !tx.use_recovery_code(pending.user, &code.digest(), now).await? {
                return Ok(None);
            }
            let left = tx.recovery_codes_left(pending.user).await?;
            let actor = Actor {
                who: pending.user.to_string(),
                credential: None,
                request_id: proven.request_id.clone(),
            };
            let event = Event {
                org: Some(pending.org),
                actor: &actor,
                action: "recovery_code.use",
                target: pending.user.to_string(),
                detail: json!({ "left": left }),
            };
            audit::record(&mut tx, &app.random, &event, now).await?;
        }
    }
    let Some(secret) = begin::open(&mut tx, app, proven, now).await? else {
        return Ok(None);
    };
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(secret))
}

fn show(secret: &Secret, return_to: &str, failure: Option<&str>) -> Response {
    let form_token = FormToken::of(secret);
    let page = CodePage {
        csrf: form_token.expose(),
        return_to,
        failure,
    };
    let status = match failure {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    pages::html_leading_elsewhere(status, &page)
}
