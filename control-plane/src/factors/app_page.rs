//! `/account/totp`: an authenticator app is added, confirmed by a code, given new recovery codes, and removed.
//!
//! The secret of an app that is not confirmed is in the page's form only, sealed for this session; nothing is stored for
//! those who go away again. Recovery codes are on the page that answers, once.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::crypto::{base64url, from_base64url};
use zeroize::Zeroizing;

use super::recovery::{self, RecoveryCode};
use super::totp::{self, Secret as TotpSecret};
use super::{challenge, with_session};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::{self, Moment, PageError};
use crate::sessions::attempts::Attempt;
use crate::sessions::cookie::Secret;
use crate::sessions::csrf::{self, FormToken};
use crate::sessions::{Instead, Session, again, begin, end, is_recent, login_redirect, recent, see_other};
use crate::sessions::{sent_form, signed_in};
use crate::store::Tx;
use crate::store::factors::Totp;

const HERE: &str = "/account/totp";

#[derive(Template)]
#[template(path = "totp.html")]
struct AppPage<'a> {
    here: &'static str,
    csrf: String,
    email: &'a str,
    failure: Option<&'static str>,
    again: String,
    shown: Shown,
}

/// Which of its three faces the page has.
enum Shown {
    /// There is an app.
    Added { since: Moment, left: u64, recent: bool },
    /// There is none, and the sign-in is too old to add one.
    SignInFirst,
    /// There is none yet: what an app needs to know.
    New {
        picture: String,
        typed: Zeroizing<String>,
        draft: String,
    },
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage<'a> {
    here: &'static str,
    csrf: &'a str,
    added: bool,
    codes: Vec<String>,
}

/// A secret that is not confirmed yet.
#[derive(Serialize, Deserialize)]
struct Draft {
    secret: String,
}

/// `GET /account/totp`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let session = signed_in(&app, &headers, HERE).await?;
    show(&app, &session, None).await
}

/// `POST /account/totp`: a code of the new app.
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sent_form(&app, &headers, &body, HERE).await?;
    recent(&app, &session, HERE).await?;
    // 1. The secret of the page that was sent, and a code that only its app can know.
    let value = |name: &str| form.value(name).unwrap_or_default();
    let opened = challenge::open::<Draft>(&app, &context(&session), value("draft"));
    let Some(opened) = opened else {
        return show(
            &app,
            &session,
            Some("That took too long. Scan the new code, please."),
        )
        .await;
    };
    let bytes = Zeroizing::new(from_base64url(&opened.state.secret).unwrap_or_default());
    let secret = TotpSecret::from_slice(&bytes).ok_or_else(PageError::forged)?;
    let now = app.clock.now();
    let Some(step) = secret.step_of(value("code"), now.seconds()) else {
        let failure = Some("That code is not right. Check the time of your device and try the next one.");
        return show_draft(&app, &session, &secret, failure).await;
    };
    // 2. The app, its recovery codes, and a new secret for the session.
    let sealed = app.keyring.seal(&totp::row_context(session.user), secret.bytes());
    let row = Totp {
        user: session.user,
        sealed: sealed.map_err(PageError::internal)?,
        last_step: step,
        created_at: now,
    };
    let mut tx = app.store.begin().await?;
    // A sign-in with the password alone is over now or has not begun: it would not know of the app.
    if let Some((_, Some(hash))) = tx.user_secret(session.user).await?
        && !tx.hold_password(session.user, &hash).await?
    {
        return Ok(login_redirect(HERE));
    }
    if !opened.spend(&mut tx).await? || !tx.insert_totp(&row).await? {
        return Err(
            PageError::bad_request("An authenticator app was added before. Nothing was changed.").into(),
        );
    }
    // 3. No other session goes on that began without a code; this one has shown one.
    end::end_all(&mut tx, session.user, Some(session.sid), now).await?;
    let session = session.with_code();
    let codes = new_codes(&app, &mut tx, &session).await?;
    let done = Done {
        action: "totp.add",
        request_id: &request_id,
    };
    let Some(rotated) = finish(&app, tx, &session, done).await? else {
        return Ok(login_redirect(HERE));
    };
    end::confirmed(&app, &end::subject_of_all(session.user, now)).await?;
    Ok(show_codes(&app, &rotated, &codes, true))
}

/// `POST /account/totp/codes`: new recovery codes; those before are void.
pub async fn renew_codes(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sent_form(&app, &headers, &body, HERE).await?;
    recent(&app, &session, HERE).await?;
    let mut tx = app.store.begin().await?;
    if tx.totp(session.user).await?.is_none() {
        return Ok(see_other(HERE));
    }
    let codes = new_codes(&app, &mut tx, &session).await?;
    let done = Done {
        action: "recovery_codes.renew",
        request_id: &request_id,
    };
    let Some(rotated) = finish(&app, tx, &session, done).await? else {
        return Ok(login_redirect(HERE));
    };
    Ok(show_codes(&app, &rotated, &codes, false))
}

/// `POST /account/totp/remove`, with the password. Attempts count as those of `/login` do.
pub async fn remove(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sent_form(&app, &headers, &body, HERE).await?;
    recent(&app, &session, HERE).await?;
    let stored = app.store.begin_read().await?.user_secret(session.user).await?;
    let Some((email, Some(hash))) = stored else {
        return Err(PageError::not_found("This account signs in without a password.").into());
    };
    let attempt = Attempt::new(&email, address);
    attempt.charge(&app, &session.actor(Some(&request_id))).await?;
    let password = SecretString::from(form.value("password").unwrap_or_default());
    let right = app.passwords.verify(password, Some(hash.clone())).await;
    if !right.map_err(PageError::internal)? {
        return show(&app, &session, Some("The password is wrong.")).await;
    }
    let mut tx = app.store.begin().await?;
    attempt.forgive(&mut tx, &app).await?;
    if !tx.hold_password(session.user, &hash).await? {
        return Err(PageError::bad_request(
            "The password was changed a moment ago. Nothing was changed now.",
        )
        .into());
    }
    if !tx.remove_totp(session.user).await? {
        return Ok(see_other(HERE));
    }
    let done = Done {
        action: "totp.remove",
        request_id: &request_id,
    };
    let Some(rotated) = finish(&app, tx, &session, done).await? else {
        return Ok(login_redirect(HERE));
    };
    Ok(with_session(&app, see_other(HERE), &rotated))
}

/// What the trail says of a change.
struct Done<'a> {
    action: &'static str,
    request_id: &'a RequestId,
}

/// The session's new secret, the audit row, the commit. `None` if the session was ended meanwhile: nothing is committed.
async fn finish(
    app: &App,
    mut tx: Tx,
    session: &Session,
    done: Done<'_>,
) -> Result<Option<Secret>, PageError> {
    let now = app.clock.now();
    let Some(rotated) = begin::rotate(&mut tx, &app.random, session, now).await? else {
        return Ok(None);
    };
    let actor: Actor = session.actor(Some(done.request_id));
    let event = Event {
        org: Some(session.org),
        actor: &actor,
        action: done.action,
        target: session.user.to_string(),
        detail: json!({}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(Some(rotated))
}

async fn new_codes(app: &App, tx: &mut Tx, session: &Session) -> Result<Vec<RecoveryCode>, PageError> {
    let codes = recovery::draw_all(&app.random)?;
    let digests: Vec<_> = codes.iter().map(RecoveryCode::digest).collect();
    tx.replace_recovery_codes(session.user, &digests).await?;
    Ok(codes)
}

fn context(session: &Session) -> String {
    format!("portcullis/totp-draft/{}", session.sid)
}

async fn show(app: &App, session: &Session, failure: Option<&'static str>) -> Result<Response, Instead> {
    let mut tx = app.store.begin_read().await?;
    let stored = tx.totp(session.user).await?;
    let left = tx.recovery_codes_left(session.user).await?;
    drop(tx);
    let recent = is_recent(app, session).await?;
    let shown = match stored {
        Some(stored) => Shown::Added {
            since: stored.created_at.into(),
            left,
            recent,
        },
        None if recent => {
            let secret = TotpSecret::new(app.random.bytes()?);
            return show_draft(app, session, &secret, failure).await;
        }
        None => Shown::SignInFirst,
    };
    page(app, session, shown, failure).await
}

async fn show_draft(
    app: &App,
    session: &Session,
    secret: &TotpSecret,
    failure: Option<&'static str>,
) -> Result<Response, Instead> {
    let email = email(app, session).await?;
    let draft = Draft {
        secret: base64url(secret.bytes()),
    };
    let shown = Shown::New {
        picture: secret.picture(&app.config, &email).unwrap_or_default(),
        typed: secret.in_groups(),
        draft: challenge::seal(app, &context(session), draft)?,
    };
    page(app, session, shown, failure).await
}

async fn page(
    app: &App,
    session: &Session,
    shown: Shown,
    failure: Option<&'static str>,
) -> Result<Response, Instead> {
    let email = email(app, session).await?;
    let page = AppPage {
        here: "totp",
        csrf: csrf::token(session),
        email: &email,
        failure,
        again: again(HERE),
        shown,
    };
    let status = match failure {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok(pages::html(status, &page))
}

async fn email(app: &App, session: &Session) -> Result<String, Instead> {
    let stored = app.store.begin_read().await?.user_secret(session.user).await?;
    Ok(stored.map(|(email, _)| email).unwrap_or_default())
}

fn show_codes(app: &App, rotated: &Secret, codes: &[RecoveryCode], added: bool) -> Response {
    let form_token = FormToken::of(rotated);
    let page = CodesPage {
        here: "totp",
        csrf: form_token.expose(),
        added,
        codes: codes.iter().map(RecoveryCode::shown).collect(),
    };
    with_session(app, pages::html(StatusCode::OK, &page), rotated)
}
