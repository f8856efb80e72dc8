//! `/device` (RFC 8628 §3.3): a person who is signed in types the code that a device shows, reads what the device asks for, and
//! allows it or not.
//!
//! Whoever sends others a link with a code of their own wants in at their place (§5.4): so the page shows the code, asks to
//! compare it, and says so.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use shared::time::UnixMillis;

use super::super::form::Form;
use super::super::lookup::{self, Asker};
use super::super::scopes::{Asked, Identity};
use super::super::{authorize, consent, grants, resource};
use super::guesses::Guess;
use super::user_code::UserCode;
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::{self, PageError};
use crate::sessions::{self, Session, csrf};
use crate::store::clients::{Client, Origin};
use crate::store::device_codes::{DeviceCode, Person};
use crate::store::grants::Terms;

const UNKNOWN: &str = "No device waits with this code. Look at the device again: it may show a new one.";
const ELSEWHERE: &str = "The app on this device belongs to another organisation: switch to that one on /account, and type the code again.";

#[derive(Template)]
#[template(path = "device.html")]
struct CodePage<'a> {
    csrf: String,
    user_code: &'a str,
    failure: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "device_consent.html")]
struct ConsentPage<'a> {
    csrf: String,
    client: &'a str,
    email: &'a str,
    /// Who vouches for the app.
    warning: Option<String>,
    user_code: &'a str,
    words: Vec<String>,
    part: Option<&'a str>,
    scopes: u64,
    identity: u8,
}

#[derive(Template)]
#[template(path = "device_done.html")]
struct DonePage<'a> {
    client: &'a str,
    allowed: bool,
}

/// `GET /device?user_code=…`.
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let typed = Form::from_query(&query).ok().and_then(|(form, _)| {
        let code = form.value("user_code").and_then(UserCode::parse);
        code.map(|code| code.shown())
    });
    let typed = typed.unwrap_or_default();
    let Some(session) = sessions::current(&app, &headers).await? else {
        return Ok(to_login(&typed));
    };
    Ok(ask_for_code(&session, &typed, None))
}

fn to_login(user_code: &str) -> Response {
    if user_code.is_empty() {
        return sessions::login_redirect("/device");
    }
    sessions::login_redirect(&format!("/device?user_code={user_code}"))
}

fn ask_for_code(session: &Session, user_code: &str, failure: Option<&str>) -> Response {
    let page = CodePage {
        csrf: csrf::token(session),
        user_code,
        failure,
    };
    let status = failure.map_or(StatusCode::OK, |_| StatusCode::UNPROCESSABLE_ENTITY);
    pages::html(status, &page)
}

/// `POST /device`: the code alone, and then the code with the answer.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match step(&app, address, &id, &headers, &body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn step(
    app: &App,
    address: ClientAddress,
    id: &RequestId,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    // 1. Our own form, sent by a page of ours that this person saw.
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let form = Form::parse(content_type, body)
        .map_err(|_| PageError::bad_request("The form could not be read. Load the page again."))?;
    if !csrf::is_same_origin(&app.config, headers) {
        return Err(PageError::forged());
    }
    let typed = form.value("user_code").unwrap_or_default();
    let Some(session) = sessions::current(app, headers).await? else {
        return Ok(to_login(
            &UserCode::parse(typed).map_or_else(String::new, |code| code.shown()),
        ));
    };
    if !csrf::check(&session, form.value("csrf").unwrap_or_default()) {
        return Err(PageError::forged());
    }
    // 2. The device, found by a code that is no lucky guess.
    let Some(user_code) = UserCode::parse(typed) else {
        let failure = "A code has eight letters, such as BCDF-GHJK.";
        return Ok(ask_for_code(&session, "", Some(failure)));
    };
    let guess = Guess {
        session: &session,
        address,
    };
    guess.charge(app, id).await?;
    let Some((device, client)) = find(app, &guess, &user_code).await? else {
        return Ok(ask_for_code(&session, &user_code.shown(), Some(UNKNOWN)));
    };
    if client.is_of_another(session.org) {
        return Ok(ask_for_code(&session, &user_code.shown(), Some(ELSEWHERE)));
    }
    // 3. What this person may give of what it asks for.
    let rights = authorize::rights(app, &session).await?.unwrap_or_default();
    let asked = Asked {
        scopes: device.scopes.intersection(rights),
        identity: Identity::from_bits(device.identity),
    };
    if asked.is_empty() {
        return Err(PageError::bad_request(
            "The device asks for nothing that you may give. Nothing was allowed.",
        ));
    }
    // The command line acts for a person in everything: a browser that somebody left open does not give that away.
    if client.origin == Origin::BuiltIn && !sessions::is_recent(app, &session).await? {
        let here = format!("/device?user_code={}", user_code.shown());
        return Ok(sessions::see_other(&sessions::again(&here)));
    }
    // 4. Asked, or answered over what was shown.
    let decision = Decision {
        session: &session,
        user_code: &user_code,
        device: &device,
        client: &client,
    };
    match form.value("decision") {
        None => decision.ask(app, asked).await,
        Some("allow") => {
            let shown = asked.within(consent::shown(&form));
            decision.allow(app, shown, id, address).await
        }
        Some(_) => decision.deny(app, id, address).await,
    }
}

async fn find(
    app: &App,
    guess: &Guess<'_>,
    user_code: &UserCode,
) -> Result<Option<(DeviceCode, Client)>, PageError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let Some(device) = tx.waiting_device(&user_code.digest(), now).await? else {
        return Ok(None);
    };
    guess.forgive(&mut tx, app).await?;
    tx.commit().await?;
    let client = lookup::find(app, &device.client, Asker::Address(guess.address)).await?;
    Ok(client
        .filter(|client| client.disabled_at.is_none() && client.device_flow)
        .map(|client| (device, client)))
}

/// Everything that an answer needs.
struct Decision<'a> {
    session: &'a Session,
    user_code: &'a UserCode,
    device: &'a DeviceCode,
    client: &'a Client,
}

impl Decision<'_> {
    async fn ask(&self, app: &App, asked: Asked) -> Result<Response, PageError> {
        let mut tx = app.store.begin_read().await?;
        let profile = tx.profile(self.session.user).await?;
        let page = ConsentPage {
            csrf: csrf::token(self.session),
            client: &self.client.name,
            email: profile.as_ref().map_or("", |(email, _)| email),
            warning: lookup::warning(self.client),
            user_code: &self.user_code.shown(),
            words: consent::words(&asked.names(app.catalogue())),
            part: resource::part(app, &self.device.resource),
            scopes: asked.scopes.0,
            identity: asked.identity.bits(),
        };
        Ok(pages::html(StatusCode::OK, &page))
    }

    async fn allow(
        &self,
        app: &App,
        asked: Asked,
        id: &RequestId,
        address: ClientAddress,
    ) -> Result<Response, PageError> {
        if asked.is_empty() {
            return Err(PageError::bad_request(
                "The form names nothing to allow. Load the page again.",
            ));
        }
        let session = self.session;
        let person = Person {
            user: session.user,
            org: session.org,
            session: session.sid.to_string(),
            auth_time: session.auth_time,
        };
        let terms = Terms {
            client: self.client.id,
            user: person.user,
            org: person.org,
            scopes: asked.scopes,
            identity: asked.identity.bits(),
            resource: self.device.resource.clone(),
            session: Some(person.session.clone()),
            auth_time: person.auth_time,
        };
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        let actor = session.actor(Some(id));
        let client = lookup::remember(&mut tx, app, self.client, &actor, now).await?;
        let terms = Terms { client, ..terms };
        let Some(dated) = grants::date_in(&mut tx, app, session, &terms, now).await? else {
            return Err(ended());
        };
        let agreed = terms.scopes.intersection(dated.rights);
        // Dated after every `not_before`, like a code: what kills tokens of this second kills the answer.
        let at = UnixMillis(now.0.max(dated.iat.millis().0));
        let agreed = Some((&person, agreed, terms.identity));
        if !tx.decide_device(&self.user_code.digest(), agreed, at).await? {
            return Err(ended());
        }
        let scopes = asked.join(app.catalogue());
        let detail = json!({ "scopes": scopes, "address": address.to_string() });
        self.record(&mut tx, app, "device.allow", detail, id).await?;
        tx.commit().await?;
        Ok(self.done(true))
    }

    async fn deny(&self, app: &App, id: &RequestId, address: ClientAddress) -> Result<Response, PageError> {
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        if !tx.decide_device(&self.user_code.digest(), None, now).await? {
            return Err(ended());
        }
        let detail = json!({ "address": address.to_string() });
        self.record(&mut tx, app, "device.deny", detail, id).await?;
        tx.commit().await?;
        Ok(self.done(false))
    }

    async fn record(
        &self,
        tx: &mut crate::store::Tx,
        app: &App,
        action: &'static str,
        detail: serde_json::Value,
        id: &RequestId,
    ) -> Result<(), PageError> {
        let event = Event {
            org: Some(self.session.org),
            actor: &self.session.actor(Some(id)),
            action,
            target: self.client.identifier.clone(),
            detail,
        };
        Ok(audit::record(tx, &app.random, &event, app.clock.now()).await?)
    }

    fn done(&self, allowed: bool) -> Response {
        let page = DonePage {
            client: &self.client.name,
            allowed,
        };
        pages::html(StatusCode::OK, &page)
    }
}

fn ended() -> PageError {
    PageError::bad_request(
        "The device does not wait any more, or you, your session or the app was ended meanwhile. Nothing was allowed.",
    )
}
