//! `/account/passkeys`: a person's passkeys; add one, give it a name, remove it.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use shared::crypto::{base64url, from_base64url, sha256};
use webauthn_rs::prelude::{Passkey, PasskeyRegistration, RegisterPublicKeyCredential};

use super::{challenge, relying_party, with_session};
use crate::app::App;
use crate::audit::{self, Event};
use crate::http::frame::RequestId;
use crate::pages::{self, Moment, PageError};
use crate::sessions::{Instead, Session, again, begin, browser, csrf, is_recent, login_redirect};
use crate::sessions::{recent, see_other, sent_form, signed_in};
use crate::store::passkeys::StoredPasskey;
use crate::text;

const HERE: &str = "/account/passkeys";
/// Nobody has so many devices; a list stays a list.
const MOST: usize = 20;

#[derive(Template)]
#[template(path = "passkeys.html")]
struct PasskeysPage<'a> {
    here: &'static str,
    csrf: String,
    failure: Option<&'static str>,
    passkeys: Vec<Line>,
    again: String,
    recent: bool,
    issuer: &'a str,
    add: Add,
}

/// Whether the page can add a passkey.
enum Add {
    /// With this: options for `navigator.credentials.create` as JSON, the sealed challenge, a name to begin with.
    Offer {
        options: String,
        state: String,
        name: String,
    },
    /// After another sign-in.
    SignInFirst,
    /// There are too many.
    Full,
    /// Not at this address.
    Impossible,
}

struct Line {
    id: String,
    name: String,
    since: Moment,
    used: Option<Moment>,
}

/// `GET /account/passkeys`.
pub async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let session = signed_in(&app, &headers, HERE).await?;
    show(&app, &session, &headers, None).await
}

/// `POST /account/passkeys`: what an authenticator answered (WebAuthn §7.1).
pub async fn add(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sent_form(&app, &headers, &body, HERE).await?;
    recent(&app, &session, HERE).await?;
    // 1. A name, and an answer to the challenge of that page. The library checks it, user verification included.
    let value = |name: &str| form.value(name).unwrap_or_default();
    let Some(name) = text::name(value("name")) else {
        let failure = "Give the passkey a name of at most 100 plain characters.";
        return show(&app, &session, &headers, Some(failure)).await;
    };
    let failure = Some("The passkey could not be added, or it took too long. Try again.");
    let opened = challenge::open::<PasskeyRegistration>(&app, &context(&session), value("state"));
    let answer: Option<RegisterPublicKeyCredential> = serde_json::from_str(value("credential")).ok();
    let (Some(opened), Some(answer), Some(party)) = (opened, answer, relying_party::of(&app.config)) else {
        return show(&app, &session, &headers, failure).await;
    };
    let Ok(passkey) = party.finish_passkey_registration(&answer, &opened.state) else {
        return show(&app, &session, &headers, failure).await;
    };
    // 2. The passkey, and a new secret for the session.
    let now = app.clock.now();
    let row = StoredPasskey {
        digest: sha256(passkey.cred_id()),
        user: session.user,
        name: name.to_owned(),
        credential: serde_json::to_string(&passkey).map_err(PageError::internal)?,
        // The library compares with the counter that it keeps inside; this one is for the race of two uses.
        counter: 0,
        created_at: now,
        last_used_at: None,
    };
    let mut tx = app.store.begin().await?;
    // A passkey that somebody has is theirs (§7.1 step 26).
    if !opened.spend(&mut tx).await? || !tx.insert_passkey(&row).await? {
        drop(tx);
        return show(&app, &session, &headers, failure).await;
    }
    if tx.passkeys_of(session.user).await?.len() > MOST {
        drop(tx);
        return show(&app, &session, &headers, failure).await;
    }
    let Some(rotated) = begin::rotate(&mut tx, &app.random, &session, now).await? else {
        return Ok(login_redirect(HERE));
    };
    let event = Event {
        org: Some(session.org),
        actor: &session.actor(Some(&request_id)),
        action: "passkey.add",
        target: session.user.to_string(),
        detail: json!({ "passkey": base64url(&row.digest), "name": row.name }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(with_session(&app, see_other(HERE), &rotated))
}

/// `POST /account/passkeys/{id}/rename`.
pub async fn rename(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, form) = sent_form(&app, &headers, &body, HERE).await?;
    let digest = digest(&id)?;
    let Some(name) = text::name(form.value("name").unwrap_or_default()) else {
        let failure = "Give the passkey a name of at most 100 plain characters.";
        return show(&app, &session, &headers, Some(failure)).await;
    };
    let mut tx = app.store.begin().await?;
    if !tx.rename_passkey(session.user, &digest, name).await? {
        return Err(unknown().into());
    }
    let event = Event {
        org: Some(session.org),
        actor: &session.actor(Some(&request_id)),
        action: "passkey.rename",
        target: session.user.to_string(),
        detail: json!({ "passkey": id, "name": name }),
    };
    audit::record(&mut tx, &app.random, &event, app.clock.now()).await?;
    tx.commit().await?;
    Ok(see_other(HERE))
}

/// `POST /account/passkeys/{id}/remove`.
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sent_form(&app, &headers, &body, HERE).await?;
    recent(&app, &session, HERE).await?;
    let digest = digest(&id)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !tx.remove_passkey(session.user, &digest).await? {
        return Err(unknown().into());
    }
    let Some(rotated) = begin::rotate(&mut tx, &app.random, &session, now).await? else {
        return Ok(login_redirect(HERE));
    };
    let event = Event {
        org: Some(session.org),
        actor: &session.actor(Some(&request_id)),
        action: "passkey.remove",
        target: session.user.to_string(),
        detail: json!({ "passkey": id }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(with_session(&app, see_other(HERE), &rotated))
}

fn context(session: &Session) -> String {
    format!("portcullis/passkey-registration/{}", session.sid)
}

fn digest(id: &str) -> Result<[u8; 32], PageError> {
    let bytes = from_base64url(id).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(unknown)
}

fn unknown() -> PageError {
    PageError::not_found("There is no such passkey among yours, or it was removed already.")
}

async fn show(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    failure: Option<&'static str>,
) -> Result<Response, Instead> {
    let mut tx = app.store.begin_read().await?;
    let stored = tx.passkeys_of(session.user).await?;
    let profile = tx.profile(session.user).await?;
    drop(tx);
    let recent = is_recent(app, session).await?;
    let add = offer(app, session, recent, headers, &stored, profile)?;
    let lines = stored.into_iter().map(|passkey| Line {
        id: base64url(&passkey.digest),
        name: passkey.name,
        since: passkey.created_at.into(),
        used: passkey.last_used_at.map(Moment::from),
    });
    let page = PasskeysPage {
        here: "passkeys",
        csrf: csrf::token(session),
        failure,
        passkeys: lines.collect(),
        again: again(HERE),
        recent,
        issuer: &app.config.issuer,
        add,
    };
    let status = match failure {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok(match page.add {
        Add::Offer { .. } => pages::html_with_script(status, &page),
        _ => pages::html(status, &page),
    })
}

/// WebAuthn §5.4: what a new passkey is to be.
fn offer(
    app: &App,
    session: &Session,
    recent: bool,
    headers: &HeaderMap,
    stored: &[StoredPasskey],
    profile: Option<(String, String)>,
) -> Result<Add, PageError> {
    let Some(party) = relying_party::of(&app.config) else {
        return Ok(Add::Impossible);
    };
    if !recent {
        return Ok(Add::SignInFirst);
    }
    if stored.len() >= MOST {
        return Ok(Add::Full);
    }
    let known = stored
        .iter()
        .filter_map(|passkey| serde_json::from_str::<Passkey>(&passkey.credential).ok())
        .map(|passkey| passkey.cred_id().clone())
        .collect();
    let (email, name) = profile.unwrap_or_default();
    let handle = relying_party::handle(session.user);
    let started = party.start_passkey_registration(handle, &email, &name, Some(known));
    let (options, state) = started.map_err(PageError::internal)?;
    let mut options = json!(options.public_key);
    // The library asks authenticators not to keep the passkey; without that nobody could sign in without a name.
    if let Some(Value::Object(selection)) = options.get_mut("authenticatorSelection") {
        selection.insert("residentKey".to_owned(), "required".into());
        selection.insert("requireResidentKey".to_owned(), true.into());
    }
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    Ok(Add::Offer {
        options: options.to_string(),
        state: challenge::seal(app, &context(session), state)?,
        name: browser::name(agent.unwrap_or_default()),
    })
}
