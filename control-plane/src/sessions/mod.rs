//! Sign-in with a password, and the sessions that it begins. Second factors and passkeys are in `factors`.
//!
//! A session is a cookie with 256 random bits; the database holds their SHA-256. It ends after 24 h without use, after 7 days
//! in any case, when its user ends it, or when somebody else signs in in the same browser. An end that somebody asked for
//! also ends the tokens that were issued from the session (`sid`), at the edge too.
//!
//! | file | does |
//! | --- | --- |
//! | `cookie`, `csrf` | what the browser holds, and forged forms |
//! | `begin`, `end` | the life of a session |
//! | `attempts` | how often somebody may try, per account and per address |
//! | `admin`, `api`, `page` | the sessions of an organisation's people |
//! | `login`, `logout`, `list`, `change`, `switch` | the pages; `browser`, `visitor` and `return_to` help them |
//!
//! What it does not: say what the signed-in user may do, or issue tokens (`oauth` does).

pub mod admin;
pub mod api;
pub(crate) mod attempts;
pub(crate) mod begin;
pub(crate) mod browser;
pub(crate) mod change;
pub(crate) mod cookie;
pub mod csrf;
pub(crate) mod end;
mod list;
pub mod login;
mod logout;
pub mod page;
pub(crate) mod return_to;
mod switch;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod visitor;

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::id::{OrgId, SessionId, UserId};
use shared::time::{UnixMillis, UnixSeconds};

use crate::app::App;
use crate::audit::Actor;
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::oauth::form::{Form, FormError};
use crate::pages::{self, PageError};
use crate::random::RandomError;
use crate::store::sessions::SessionRow;
use crate::store::{StoreError, Tx};

pub use admin::SessionView;
pub use change::{get as get_password, post as post_password};
pub use list::{end_everywhere, end_one, get as get_list, landing};
pub use logout::{end_session, forget_cookie, post as post_logout};
pub use switch::post as switch_org;

/// A use is noted at most so often: the idle limit is that much coarser.
const SEEN_EVERY_MS: u64 = 60_000;
/// Kept past their end, so that a token of theirs that is renewed can still be told to be dead: longer than any lives.
const KEPT_MS: u64 = 100 * 24 * 3600 * 1000;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// The public name: the `sid` claim is its text. Stays when the cookie is rotated.
    pub sid: SessionId,
    /// Who.
    pub user: UserId,
    /// In which organisation.
    pub org: OrgId,
    /// When they last proved who they are: the `auth_time` claim.
    pub auth_time: UnixSeconds,
    row: SessionRow,
    form_token: csrf::FormToken,
}

impl Session {
    /// Who acts, for the audit trail.
    pub fn actor(&self, request: Option<&RequestId>) -> Actor {
        Actor {
            who: self.user.to_string(),
            credential: Some(self.sid.to_string()),
            request_id: request.map(|id| id.0.clone()),
        }
    }

    /// Whether its secret is still the one that the request came with, and it has not ended.
    pub(crate) async fn is_current(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        tx.is_session_secret(self.sid, &self.row.digest).await
    }

    /// Whether a second factor was shown in it.
    fn has_second_factor(&self) -> bool {
        self.row.methods.split(' ').any(|method| method == "mfa")
    }

    /// The same after a code of an authenticator app: RFC 8176 §2 has values for it.
    pub(crate) fn with_code(mut self) -> Self {
        if !self.has_second_factor() {
            self.row.methods.push_str(" otp mfa");
        }
        self
    }
}

/// The session of a request, if it has one that is alive. Using it keeps it from going idle.
pub async fn current(app: &App, headers: &HeaderMap) -> Result<Option<Session>, StoreError> {
    let Some(secret) = cookie::read(&app.config, cookie::Kind::Session, headers) else {
        return Ok(None);
    };
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let found = tx.session(&secret.digest(), idle_since(app, now), now).await?;
    drop(tx);
    let Some(row) = found else { return Ok(None) };
    if now.since(row.last_seen_at) >= SEEN_EVERY_MS {
        let mut tx = app.store.begin().await?;
        tx.touch_session(&row.digest, now).await?;
        tx.commit().await?;
    }
    Ok(Some(Session {
        sid: row.sid,
        user: row.user,
        org: row.org,
        auth_time: row.auth_time.seconds(),
        row,
        form_token: csrf::FormToken::of(&secret),
    }))
}

/// What tells one browser from others before anybody is signed in.
#[derive(Debug)]
pub struct Mark {
    /// The digest of what it holds.
    pub browser: [u8; 32],
    /// To be set, where it held nothing yet.
    pub cookie: Option<HeaderValue>,
}

/// The mark of the browser that sent a request, or a new one.
pub fn mark(app: &App, headers: &HeaderMap) -> Result<Mark, RandomError> {
    if let Some(secret) = cookie::read(&app.config, cookie::Kind::Form, headers) {
        return Ok(Mark {
            browser: secret.digest(),
            cookie: None,
        });
    }
    let secret = cookie::Secret::draw(&app.random)?;
    Ok(Mark {
        browser: secret.digest(),
        cookie: cookie::set(&app.config, cookie::Kind::Form, &secret),
    })
}

/// Sends a browser to the sign-in page, and from there back to `return_to`: a path of ours with its query. The page is shown
/// to those who are signed in as well: they prove who they are again, and `auth_time` tells.
pub fn login_redirect(return_to: &str) -> Response {
    login_redirect_for(return_to, None)
}

/// Like [`login_redirect`], with an e-mail address to begin with (`login_hint`).
pub fn login_redirect_for(return_to: &str, login_hint: Option<&str>) -> Response {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", return_to);
    if let Some(hint) = login_hint {
        query.append_pair("login_hint", hint);
    }
    see_other(&format!("/login?{}", query.finish()))
}

/// 303: whatever was sent here is not sent there (RFC 9700 §4.12 forbids 307).
pub(crate) fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(value) = path.parse() {
        response.headers_mut().insert(header::LOCATION, value);
    }
    pages::protect(response.headers_mut());
    response
}

/// What a handler answers instead of what was asked for: an error page, or the way to sign in.
#[derive(Debug)]
pub struct Instead(Box<Response>);

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Response> for Instead {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<PageError> for Instead {
    fn from(error: PageError) -> Self {
        error.into_response().into()
    }
}

impl From<StoreError> for Instead {
    fn from(error: StoreError) -> Self {
        PageError::from(error).into()
    }
}

impl From<RandomError> for Instead {
    fn from(error: RandomError) -> Self {
        PageError::from(error).into()
    }
}

impl From<FormError> for Instead {
    fn from(error: FormError) -> Self {
        PageError::bad_request(format!("The form could not be read: {error}.")).into()
    }
}

/// The session, or the way to sign in and back to `here`.
pub(crate) async fn signed_in(app: &App, headers: &HeaderMap, here: &str) -> Result<Session, Instead> {
    let session = current(app, headers).await?;
    session.ok_or_else(|| login_redirect(here).into())
}

/// Whether the user proved who they are so lately that they may change how they do that: with a second factor, if they have an
/// authenticator app by now.
pub(crate) async fn is_recent(app: &App, session: &Session) -> Result<bool, StoreError> {
    let age = app.clock.now().seconds().0.saturating_sub(session.auth_time.0);
    if age > app.config.factors.recent_seconds {
        return Ok(false);
    }
    Ok(session.has_second_factor() || app.store.begin_read().await?.totp(session.user).await?.is_none())
}

/// Lets nobody on whose sign-in is not recent: they sign in once more, and come back to `here`.
pub(crate) async fn recent(app: &App, session: &Session, here: &str) -> Result<(), Instead> {
    if is_recent(app, session).await? {
        return Ok(());
    }
    Err(see_other(&again(here)).into())
}

/// The way to sign in once more and back to `here`.
pub(crate) fn again(here: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", here).append_pair("why", "recent");
    format!("/login?{}", query.finish())
}

/// A form that a page of ours, shown to this very session, sent.
pub(crate) async fn sent_form(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    here: &str,
) -> Result<(Session, Form), Instead> {
    let session = signed_in(app, headers, here).await?;
    // The router has capped the body: a page of the dashboard may take more than one of OAuth.
    let form = Form::parse_up_to(content_type(headers), body, body.len())?;
    let given = form.value("csrf").unwrap_or_default();
    if !csrf::check(&session, given) || !csrf::is_same_origin(&app.config, headers) {
        return Err(PageError::forged().into());
    }
    Ok((session, form))
}

pub(crate) fn parse_form(headers: &HeaderMap, body: &[u8]) -> Result<Form, FormError> {
    Form::parse(content_type(headers), body)
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?;
    value.to_str().ok()
}

/// Signs somebody in whose account was made a moment ago, with a password that was then checked or chosen. `attempt` was
/// charged for it.
pub(crate) async fn begin_first(
    app: &App,
    email: &str,
    attempt: &attempts::Attempt,
    address: ClientAddress,
    headers: &HeaderMap,
    request_id: RequestId,
) -> Result<Response, Instead> {
    let account = app.store.begin_read().await?.account_by_email(email).await?;
    let Some(account) = account else {
        return Ok(login_redirect(return_to::START));
    };
    let before = current(app, headers).await?;
    let browser = begin::Browser::of(headers, address);
    let begun = begin::begin(app, &account, attempt, browser, before, Some(request_id.0)).await?;
    // An account of a moment ago has no second factor; if it has one all the same, its user shows it at the sign-in page.
    let Some(begin::Begun::Session(secret)) = begun else {
        return Ok(login_redirect(return_to::START));
    };
    Ok(login::signed_in(app, &secret, return_to::START))
}

/// The job that forgets what nothing depends on any more.
pub(crate) async fn forget(app: Arc<App>) -> anyhow::Result<()> {
    let now = app.clock.now().0;
    // One table counts attempts and mails.
    let config = &app.config;
    let window = config
        .sign_in
        .window_seconds
        .max(config.factors.window_seconds)
        .max(config.mail.window_seconds)
        * 1000;
    let mut tx = app.store.begin().await?;
    tx.forget_sessions(UnixMillis(now.saturating_sub(KEPT_MS)))
        .await?;
    tx.forget_attempts_before(UnixMillis(now.saturating_sub(window)))
        .await?;
    tx.forget_ceremonies(UnixMillis(now)).await?;
    tx.commit().await?;
    Ok(())
}

/// Sessions that were not used since are over.
pub(crate) fn idle_since(app: &App, now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(app.config.sessions.idle_seconds * 1000))
}
