//! `/logout` (OpenID Connect RP-Initiated Logout 1.0): an app sends a browser here to end the session, and may get it back.
//!
//! A link from elsewhere ends nothing by itself: the person is asked, unless the link holds an id_token of this very session,
//! which only its app can have. The browser goes on only to an address that is registered for the app, text by text.
//! Other apps hear of it through `backchannel`. What it does not: front-channel logout. The tokens that came from the session
//! end with it, at the edge too.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::form_urlencoded::Serializer;

use super::form::Form;
use super::lookup::{self, Asker, LookupError};
use super::{jws, redirect};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::{self, PageError};
use crate::sessions::{self, Session, csrf};
use crate::store::clients::{Client, Origin};

/// What a request may say. `logout_hint` and `ui_locales` are read and make no difference: there is one session, one language.
const PARAMETERS: [&str; 6] = [
    "id_token_hint",
    "client_id",
    "post_logout_redirect_uri",
    "state",
    "logout_hint",
    "ui_locales",
];
const MAX_STATE: usize = 4096;

#[derive(Template)]
#[template(path = "logout.html")]
struct ConfirmPage<'a> {
    csrf: String,
    email: &'a str,
    client: Option<&'a str>,
    query: &'a str,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage {
    /// Where the app would have the browser, and its name for people.
    onward: Option<(String, String)>,
}

/// What an app asks for.
struct Wish {
    /// The `sid` of an id_token of ours.
    sid: Option<String>,
    client: Option<Client>,
    /// Registered, and with the `state`.
    onward: Option<String>,
}

impl Wish {
    /// Whether it holds an id_token of this session.
    fn knows(&self, session: &Session) -> bool {
        self.sid
            .as_ref()
            .is_some_and(|sid| *sid == session.sid.to_string())
    }

    /// Anybody can be an app that nobody registered, and have an id_token of their own.
    fn is_of_a_registered_app(&self) -> bool {
        let client = self.client.as_ref();
        client.is_some_and(|client| client.origin == Origin::Registered)
    }
}

/// `GET /logout`.
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    address: ClientAddress,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let wish = read(&app, &query, address).await?;
    match sessions::current(&app, &headers).await? {
        Some(session) if wish.knows(&session) => {
            sessions::end_session(&app, &session, &id).await?;
            Ok(leave(&app, &wish))
        }
        Some(session) => confirm(&app, &session, &wish, &query).await,
        None if wish.sid.is_some() && wish.is_of_a_registered_app() => Ok(leave(&app, &wish)),
        // Nobody asked for it but the link: where it leads is said before anybody goes there (RFC 9700 §4.11.2).
        None => Ok(signed_out(&app, wish.onward)),
    }
}

/// `POST /logout`: an app's request, our own page's answer to one, or the button in the header of every page.
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let Ok(form) = Form::parse(content_type, &body) else {
        return PageError::bad_request("The form could not be read. Go back and try again.").into_response();
    };
    if let Some(query) = form.value("query") {
        return match answer(&app, &id, &headers, (&form, query), address).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        };
    }
    if form.value("csrf").is_none() && PARAMETERS.iter().any(|name| form.value(name).is_some()) {
        // A form of another site comes without our cookie (SameSite=Lax); the link that it becomes has it.
        return sessions::see_other(&format!("/logout?{}", as_query(&form)));
    }
    sessions::post_logout(State(app), Extension(id), headers, body)
        .await
        .into_response()
}

fn as_query(form: &Form) -> String {
    let mut query = Serializer::new(String::new());
    for name in PARAMETERS {
        if let Some(value) = form.value(name) {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

async fn answer(
    app: &App,
    id: &RequestId,
    headers: &HeaderMap,
    (form, query): (&Form, &str),
    address: ClientAddress,
) -> Result<Response, PageError> {
    let wish = read(app, query, address).await?;
    if !csrf::is_same_origin(&app.config, headers) {
        return Err(PageError::forged());
    }
    let Some(session) = sessions::current(app, headers).await? else {
        return Ok(signed_out(app, wish.onward));
    };
    if !csrf::check(&session, form.value("csrf").unwrap_or_default()) {
        return Err(PageError::forged());
    }
    sessions::end_session(app, &session, id).await?;
    Ok(leave(app, &wish))
}

/// Reads a request. Nothing happens while it makes no sense.
async fn read(app: &App, query: &str, address: ClientAddress) -> Result<Wish, PageError> {
    let damaged =
        || PageError::bad_request("The link that led here is damaged. You have not been signed out by it.");
    let (form, repeated) = Form::from_query(query).map_err(|_| damaged())?;
    if !repeated.is_empty() || form.value("state").is_some_and(|state| state.len() > MAX_STATE) {
        return Err(damaged());
    }
    // §2: also one that has expired. One that we can not read says nothing.
    let hint = form
        .value("id_token_hint")
        .and_then(|token| jws::read_id_token(app, token));
    let named = form.value("client_id");
    if let (Some(hint), Some(named)) = (&hint, named)
        && hint.client != named
    {
        return Err(PageError::bad_request(
            "The link that led here names one app and comes from another. You have not been signed out by it.",
        ));
    }
    let client = match named.or(hint.as_ref().map(|hint| hint.client.as_str())) {
        Some(id) => client(app, id, address).await?,
        None => None,
    };
    let onward = match form.value("post_logout_redirect_uri") {
        Some(uri) => Some(onward(client.as_ref(), uri, form.value("state"))?),
        None => None,
    };
    Ok(Wish {
        sid: hint.and_then(|hint| hint.sid),
        client,
        onward,
    })
}

/// An app whose document cannot be read now has no name here, and no address to go back to.
async fn client(app: &App, id: &str, address: ClientAddress) -> Result<Option<Client>, PageError> {
    let client = match lookup::find(app, id, Asker::Address(address)).await {
        Ok(client) => client,
        Err(LookupError::Document(_)) => None,
        Err(LookupError::Store(error)) => return Err(error.into()),
    };
    Ok(client.filter(|client| client.disabled_at.is_none()))
}

/// §3: the address must be one that is registered, or nobody is sent anywhere.
fn onward(client: Option<&Client>, uri: &str, state: Option<&str>) -> Result<String, PageError> {
    let registered =
        client.is_some_and(|client| client.post_logout_redirect_uris.iter().any(|known| known == uri));
    if !registered {
        return Err(PageError::bad_request(
            "The app that sent you here wants you back at an address that is not registered for it. You have not been signed \
             out by it.",
        ));
    }
    let state: Vec<_> = state.map(|state| ("state", state)).into_iter().collect();
    Ok(redirect::with_parameters(uri, &state))
}

async fn confirm(app: &App, session: &Session, wish: &Wish, query: &str) -> Result<Response, PageError> {
    let mut tx = app.store.begin_read().await?;
    let profile = tx.profile(session.user).await?;
    let page = ConfirmPage {
        csrf: csrf::token(session),
        email: profile.as_ref().map_or("", |(email, _)| email),
        client: wish.client.as_ref().map(|client| client.name.as_str()),
        query,
    };
    Ok(pages::html_leading_elsewhere(StatusCode::OK, &page))
}

/// Back to the app, or to a page that says that it is done.
fn leave(app: &App, wish: &Wish) -> Response {
    let Some(onward) = &wish.onward else {
        return signed_out(app, None);
    };
    let mut response = redirect::see_other(onward);
    sessions::forget_cookie(app, &mut response);
    response
}

fn signed_out(app: &App, onward: Option<String>) -> Response {
    let page = SignedOutPage {
        onward: onward.map(|uri| {
            let place = redirect::place(&uri);
            (uri, place)
        }),
    };
    let mut response = pages::html(StatusCode::OK, &page);
    sessions::forget_cookie(app, &mut response);
    response
}
