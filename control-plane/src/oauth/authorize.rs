//! `GET /authorize` (RFC 6749 §3.1, OpenID Connect Core §3.1.2): check, sign in, ask, answer with a code.
//!
//! No CORS: a browser is sent here by a link, and no script may read what it gets.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::consent;
use super::grants;
use super::jar;
use super::login_after;
use super::lookup;
use super::opaque::{Kind, Opaque};
use super::pushed;
use super::redirect;
use super::request::{self, AuthorizationRequest, ErrorCode, Refusal, Visitor};
use super::scopes::Asked;
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::orgs;
use crate::pages::PageError;
use crate::sessions::{self, Session};
use crate::store::StoreError;
use crate::store::clients::{Client, ClientKind, Origin};
use crate::store::codes::AuthorizationCode;
use crate::store::grants::Terms;

/// RFC 6749 §4.1.2 allows ten minutes; a browser needs a second.
const CODE_MS: u64 = 60_000;

/// A request of somebody who is signed in as the request wants it, and what the client would get.
pub(super) struct Prepared {
    pub(super) request: AuthorizationRequest,
    pub(super) session: Session,
    /// What is asked for, under the ceiling of the person's role.
    pub(super) asked: Asked,
}

/// The endpoint.
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    address: ClientAddress,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let mark = match sessions::mark(&app, &headers) {
        Ok(mark) => mark,
        Err(error) => return PageError::from(error).into_response(),
    };
    let visitor = Visitor {
        browser: &mark.browser,
        address,
    };
    let mut response = match authorize(&app, &id, &query, &headers, visitor).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    // A request that is kept here belongs to the browser that opened it.
    if let Some(cookie) = mark.cookie.filter(|_| query.contains("request")) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

async fn authorize(
    app: &App,
    id: &RequestId,
    query: &str,
    headers: &HeaderMap,
    visitor: Visitor<'_>,
) -> Result<Response, PageError> {
    charge(app, query, visitor.address)?;
    let kept = jar::keep(app, query, visitor.address).await?;
    let query = kept.as_deref().unwrap_or(query);
    let prepared = match prepare(app, query, headers, visitor).await? {
        Ok(prepared) => prepared,
        Err(response) => return Ok(response),
    };
    let Prepared {
        request,
        session,
        asked,
    } = &prepared;
    let mut tx = app.store.begin_read().await?;
    let client = &request.recipient.client;
    let known = if client.stored {
        tx.consent(session.org, session.user, client.id, &request.resource)
            .await?
    } else {
        None
    };
    drop(tx);
    let agreed = known.is_some_and(|(scopes, identity)| {
        let identity = super::scopes::Identity::from_bits(identity);
        app.catalogue().satisfies(scopes, asked.scopes) && identity.contains(asked.identity)
    });
    // A public client is known by its redirect URI alone: where others may be listening, the person decides each time.
    let recipient = &request.recipient;
    let assured =
        recipient.client.kind == ClientKind::Confidential || redirect::is_assured(&recipient.redirect_uri);
    if agreed && assured && !request.prompt.consent {
        return answer(app, &prepared, *asked, false, id).await;
    }
    if request.prompt.none {
        let code = ErrorCode::ConsentRequired;
        return Ok(request.recipient.error(app, code, "the person must agree first"));
    }
    consent::page(app, &prepared, query).await
}

/// A request that is kept here costs a row, or a look for one, before anybody has signed in: each address has a share.
fn charge(app: &App, query: &str, address: ClientAddress) -> Result<(), PageError> {
    let (form, _) = request::parse(query)?;
    if form.value("request").is_some() || form.value("request_uri").is_some_and(pushed::is_ours) {
        let limited = app.limits.request("/authorize request", address);
        limited.map_err(|too_many| PageError::too_many(too_many.retry_after_seconds))?;
    }
    Ok(())
}

/// Checks a request and whoever sent it; `Err` is the answer where it ends here.
pub(super) async fn prepare(
    app: &App,
    query: &str,
    headers: &HeaderMap,
    visitor: Visitor<'_>,
) -> Result<Result<Prepared, Response>, PageError> {
    let session = sessions::current(app, headers).await?;
    // 1. The request.
    let request = match request::read(app, query, visitor).await {
        Ok(request) => request,
        Err(Refusal::Page(error)) => return Err(error),
        Err(Refusal::Client {
            recipient,
            silent,
            code,
            description,
        }) => {
            // RFC 9700 §4.11.2: only somebody who has signed in is sent on, or any link to us could lead anywhere.
            if session.is_none() && !silent {
                return to_login(app, query, None).map(Err);
            }
            sent_on_by_strangers(&recipient.client, session.as_ref())?;
            return Ok(Err(recipient.error(app, code, description)));
        }
    };
    // 2. The person.
    let now = app.clock.now().seconds();
    let before = session.clone();
    let Some(session) = session.filter(|session| !request.needs_login(session.auth_time, now)) else {
        if request.prompt.none {
            sent_on_by_strangers(&request.recipient.client, before.as_ref())?;
            let code = ErrorCode::LoginRequired;
            return Ok(Err(request.recipient.error(
                app,
                code,
                "nobody is signed in here",
            )));
        }
        return to_login(app, query, request.login_hint.as_deref()).map(Err);
    };
    // 3. What they may give, of the organisation whose app it is.
    if request.recipient.client.is_of_another(session.org) {
        let code = ErrorCode::AccessDenied;
        let description = "this app belongs to another organisation: switch to it on /account";
        return Ok(Err(request.recipient.error(app, code, description)));
    }
    let Some(rights) = rights(app, &session).await? else {
        let code = ErrorCode::AccessDenied;
        return Ok(Err(request.recipient.error(
            app,
            code,
            "this person may not use this",
        )));
    };
    let asked = Asked {
        scopes: request.asked.scopes.intersection(rights),
        identity: request.asked.identity,
    };
    if asked.is_empty() {
        let code = ErrorCode::InvalidScope;
        return Ok(Err(request.recipient.error(
            app,
            code,
            "this person may give nothing of what is asked for",
        )));
    }
    Ok(Ok(Prepared {
        request,
        session,
        asked,
    }))
}

/// What somebody may give to clients, the hierarchy expanded; `None` if they may not use this any more.
pub(super) async fn rights(app: &App, session: &Session) -> Result<Option<ScopeSet>, StoreError> {
    let mut tx = app.store.begin_read().await?;
    let membership = tx.membership(session.org, session.user).await?;
    Ok(membership
        .filter(|membership| membership.alive)
        .map(|membership| {
            app.catalogue()
                .expand(orgs::rights(membership.role, &app.policy().policy))
        }))
}

/// RFC 9700 §4.11.2: silence is answered to apps that somebody registered here. Anybody can be an app that nobody did, and then
/// a link to us would lead anywhere without a word.
fn sent_on_by_strangers(client: &Client, session: Option<&Session>) -> Result<(), PageError> {
    if session.is_some() || client.origin == Origin::Registered {
        return Ok(());
    }
    Err(PageError::bad_request(
        "An app that nobody registered here wants an answer, but you are not signed in. Nothing was sent to it.",
    ))
}

/// To the sign-in page and back to the same request, which then knows when it was sent there.
fn to_login(app: &App, query: &str, hint: Option<&str>) -> Result<Response, PageError> {
    let marker = format!("{}=", login_after::NAME);
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with(&marker))
        .collect();
    let kept = kept.join("&");
    let after = login_after::make(app, &kept).map_err(PageError::internal)?;
    let return_to = format!("/authorize?{kept}&{marker}{after}");
    Ok(sessions::login_redirect_for(&return_to, hint))
}

/// A code for the client: what was agreed to, dated, audited, and remembered if the person has just agreed.
pub(super) async fn answer(
    app: &App,
    prepared: &Prepared,
    asked: Asked,
    just_agreed: bool,
    id: &RequestId,
) -> Result<Response, PageError> {
    let Prepared { request, session, .. } = prepared;
    let terms = Terms {
        client: request.recipient.client.id,
        user: session.user,
        org: session.org,
        scopes: asked.scopes,
        identity: asked.identity.bits(),
        resource: request.resource.clone(),
        session: Some(session.sid.to_string()),
        auth_time: session.auth_time,
    };
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let actor = session.actor(Some(id));
    let client = lookup::remember(&mut tx, app, &request.recipient.client, &actor, now).await?;
    let terms = Terms { client, ..terms };
    let Some(dated) = grants::date_in(&mut tx, app, session, &terms, now).await? else {
        let code = ErrorCode::AccessDenied;
        return Ok(request.recipient.error(
            app,
            code,
            "the person, their session or this client was ended meanwhile",
        ));
    };
    // RFC 9126 §7.3: once, whatever came of it.
    if let Some(opened) = request.pushed
        && !opened.take(&mut tx, app).await?
    {
        return Err(pushed::gone());
    }
    let terms = Terms {
        scopes: terms.scopes.intersection(dated.rights),
        ..terms
    };
    if just_agreed && tx.add_consent(&terms, now).await? {
        let event = Event {
            org: Some(session.org),
            actor: &actor,
            action: "consent.give",
            target: terms.client.to_string(),
            detail: json!({
                "scopes": asked.join(app.catalogue()),
                "resource": terms.resource,
                "user": session.user,
            }),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
    }
    let code = Opaque::generate(Kind::Code, &app.random)?;
    // Dated after every `not_before`, like a token: what kills tokens of this second kills the code.
    let created_at = UnixMillis(now.0.max(dated.iat.millis().0));
    tx.insert_code(&AuthorizationCode {
        digest: code.digest(),
        terms,
        redirect_uri: request.recipient.redirect_uri.clone(),
        challenge: request.challenge.clone(),
        nonce: request.nonce.clone(),
        bound_to: request.bound_to,
        created_at,
        expires_at: created_at.saturating_add(CODE_MS),
        used_at: None,
        grant: None,
    })
    .await?;
    tx.commit().await?;
    metrics::counter!("portcullis_authorization_codes_total").increment(1);
    Ok(request.recipient.code(app, code.expose()))
}
