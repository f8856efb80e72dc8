//! The page that asks a person, and `POST /authorize`, its form.
//!
//! The form carries the request's query, which is read and checked again, and what was shown: nobody agrees to more.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shared::scope::ScopeSet;

use super::authorize::{self, Prepared};
use super::form::Form;
use super::lookup;
use super::redirect;
use super::request::{ErrorCode, Visitor};
use super::resource;
use super::scopes::{Asked, Identity, in_words};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::{self, PageError};
use crate::sessions::{self, csrf};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    client: &'a str,
    warning: Option<String>,
    place: String,
    email: &'a str,
    org: &'a str,
    words: Vec<String>,
    part: Option<&'a str>,
    csrf: String,
    query: &'a str,
    scopes: u64,
    identity: u8,
}

/// Asks.
pub(super) async fn page(app: &App, prepared: &Prepared, query: &str) -> Result<Response, PageError> {
    let Prepared {
        request,
        session,
        asked,
    } = prepared;
    let mut tx = app.store.begin_read().await?;
    let profile = tx.profile(session.user).await?;
    let org = tx.org_name(session.org).await?;
    let names = asked.names(app.catalogue());
    let page = ConsentPage {
        client: &request.recipient.client.name,
        warning: lookup::warning(&request.recipient.client),
        place: redirect::place(&request.recipient.redirect_uri),
        email: profile.as_ref().map_or("", |(email, _)| email),
        org: org.as_deref().unwrap_or_default(),
        words: words(&names),
        part: resource::part(app, &request.resource),
        csrf: csrf::token(session),
        query,
        scopes: asked.scopes.0,
        identity: asked.identity.bits(),
    };
    Ok(pages::html_leading_elsewhere(StatusCode::OK, &page))
}

/// What the person agrees to. Staying connected is always part of it: every grant comes with a refresh token.
pub(super) fn words(names: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = names.iter().map(|name| in_words(name)).collect();
    if !names.contains(&"offline_access") {
        words.push(in_words("offline_access"));
    }
    words
}

/// What a consent page showed, as its form says it.
pub(super) fn shown(form: &Form) -> Asked {
    let number = |name: &str| {
        form.value(name)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    Asked {
        scopes: ScopeSet(number("scopes")),
        identity: Identity::from_bits(u8::try_from(number("identity")).unwrap_or(0)),
    }
}

/// `POST /authorize`.
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match decide(&app, &id, &headers, &body, address).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn decide(
    app: &App,
    id: &RequestId,
    headers: &HeaderMap,
    body: &[u8],
    address: ClientAddress,
) -> Result<Response, PageError> {
    // 1. Our own form, sent by a page of ours.
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let form = Form::parse(content_type, body).map_err(|_| {
        PageError::bad_request("The form could not be read. Go back to the app and start again.")
    })?;
    if !csrf::is_same_origin(&app.config, headers) {
        return Err(PageError::forged());
    }
    // 2. The request it answers, and who is answering.
    let query = form.value("query").unwrap_or_default();
    let browser = sessions::mark(app, headers)?.browser;
    let visitor = Visitor {
        browser: &browser,
        address,
    };
    let prepared = match authorize::prepare(app, query, headers, visitor).await? {
        Ok(prepared) => prepared,
        Err(response) => return Ok(response),
    };
    if !csrf::check(&prepared.session, form.value("csrf").unwrap_or_default()) {
        return Err(PageError::forged());
    }
    // 3. The decision, over what was shown.
    let asked = prepared.asked.within(shown(&form));
    match form.value("decision") {
        Some("allow") if !asked.is_empty() => authorize::answer(app, &prepared, asked, true, id).await,
        Some("allow" | "deny") => {
            let code = ErrorCode::AccessDenied;
            Ok(prepared
                .request
                .recipient
                .error(app, code, "the person did not agree"))
        }
        _ => Err(PageError::bad_request(
            "The form says neither yes nor no. Go back to the app and start again.",
        )),
    }
}
