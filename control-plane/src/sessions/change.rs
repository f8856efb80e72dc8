//! `/account/password`: a new password, after the old one and a sign-in that is recent: whoever has a second factor has
//! shown it then.
//!
//! Whoever changes a password suspects that somebody knows it: every other session ends, with its tokens, and this one gets
//! a new secret. Attempts count as those of `/login` do. What it does not: reset a password that was forgotten (`people` does).

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use secrecy::SecretString;
use serde_json::json;

use super::attempts::Attempt;
use super::cookie::{self, Kind};
use super::{Instead, Session, begin, csrf, end, login_redirect, recent, see_other, sent_form, signed_in};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::{self, PageError};
use crate::people;

const HERE: &str = "/account/password";
/// The query of `/account` after a change.
pub(super) const CHANGED: &str = "password-changed";
const MIN_CHARACTERS: usize = 12;
const MAX_BYTES: usize = 1024;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    here: &'static str,
    csrf: String,
    email: &'a str,
    failure: Option<&'a str>,
}

/// `GET /account/password`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let session = signed_in(&app, &headers, HERE).await?;
    recent(&app, &session, HERE).await?;
    let (email, _) = stored(&app, &session).await?;
    Ok(show(&session, &email, None))
}

/// `POST /account/password`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sent_form(&app, &headers, &body, HERE).await?;
    recent(&app, &session, HERE).await?;
    let (email, hash) = stored(&app, &session).await?;
    let value = |name: &str| form.value(name).unwrap_or_default();
    let (current, new) = (value("current"), value("new"));
    if let Some(problem) = problem_with(current, new, value("repeat")) {
        return Ok(show(&session, &email, Some(problem)));
    }

    let attempt = Attempt::new(&email, address);
    let actor = session.actor(Some(&request_id));
    attempt.charge(&app, &actor).await?;
    let verified = app
        .passwords
        .verify(SecretString::from(current), Some(hash.clone()))
        .await;
    if !verified.map_err(PageError::internal)? {
        return Ok(show(&session, &email, Some("The current password is wrong.")));
    }
    let hashed = app.passwords.hash(SecretString::from(new)).await;
    let hashed = hashed.map_err(PageError::internal)?;
    let change = Change {
        email: &email,
        old: &hash,
        new: &hashed,
    };
    write(&app, &session, &attempt, &actor, &change).await
}

struct Change<'a> {
    email: &'a str,
    old: &'a str,
    new: &'a str,
}

async fn write(
    app: &App,
    session: &Session,
    attempt: &Attempt,
    actor: &Actor,
    change: &Change<'_>,
) -> Result<Response, Instead> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    attempt.forgive(&mut tx, app).await?;
    if !tx.replace_password(session.user, change.old, change.new).await? {
        return Err(PageError::bad_request(
            "The password was changed a moment ago. Nothing was changed now.",
        )
        .into());
    }
    let ended = end::end_all(&mut tx, session.user, Some(session.sid), now).await?;
    tx.void_password_resets(session.user, now).await?;
    // The session before what hangs on it, as whoever issues tokens under it locks them.
    let Some(secret) = begin::rotate(&mut tx, &app.random, session, now).await? else {
        // Ended since the request came in. Nothing of it is committed.
        return Ok(login_redirect(HERE));
    };
    // What apps got in this session, or would be let in with unasked, may have been asked for with a stolen cookie.
    end::end_grants(&mut tx, session.sid, now).await?;
    tx.forget_consents_of_user(session.user).await?;
    let event = Event {
        org: Some(session.org),
        actor,
        action: "user.change_password",
        target: session.user.to_string(),
        detail: json!({"sessions_ended": ended}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    people::tell_of_new_password(&mut tx, app, change.email, now).await?;
    tx.commit().await?;
    end::confirmed(app, &end::subject_of_all(session.user, now)).await?;
    end::confirmed(app, &end::subject_of_grants(session.sid, now)).await?;
    let mut response = see_other(&format!("/account?{CHANGED}"));
    if let Some(cookie) = cookie::set(&app.config, Kind::Session, &secret) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What is wrong with a new password. Length is what counts; no rules about kinds of characters (NIST SP 800-63B §3.1.1).
fn problem_with(current: &str, new: &str, repeat: &str) -> Option<&'static str> {
    problem_with_new(new, repeat)
        .or_else(|| (new == current).then_some("The new password is the current one."))
}

/// The same where there is no current one, or it was forgotten.
pub(crate) fn problem_with_new(new: &str, repeat: &str) -> Option<&'static str> {
    if new.chars().count() < MIN_CHARACTERS {
        return Some("The new password needs at least 12 characters.");
    }
    if new.len() > MAX_BYTES {
        return Some("The new password may have at most 1024 bytes.");
    }
    if new != repeat {
        return Some("The new password was not repeated in the same way.");
    }
    None
}

/// The user's address and password hash.
async fn stored(app: &App, session: &Session) -> Result<(String, String), Instead> {
    let found = app.store.begin_read().await?.user_secret(session.user).await?;
    match found {
        Some((email, Some(hash))) => Ok((email, hash)),
        _ => Err(PageError::not_found("This account signs in without a password.").into()),
    }
}

fn show(session: &Session, email: &str, failure: Option<&str>) -> Response {
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = PasswordPage {
        here: "password",
        csrf: csrf::token(session),
        email,
        failure,
    };
    pages::html(status, &page).into_response()
}

#[cfg(test)]
mod tests {
    use super::problem_with;

    #[test]
    fn length_and_nothing_else() {
        let fine = |new: &str| problem_with("the old one", new, new).is_none();
        assert!(fine("aaaaaaaaaaaa"));
        assert!(fine("öööööööööööö"), "characters, not bytes");
        assert!(fine(&"a".repeat(1024)));
        assert!(!fine("aaaaaaaaaaa"));
        assert!(!fine(&"a".repeat(1025)));
        assert!(!fine(&"ö".repeat(513)));
        assert!(!fine("the old one"));
        assert!(problem_with("a", "aaaaaaaaaaaa", "aaaaaaaaaaab").is_some());
        assert!(problem_with("aaaaaaaaaaaa", "aaaaaaaaaaaa", "aaaaaaaaaaaa").is_some());
    }
}
