//! `POST /login/passkey`: a session for whoever answers the sign-in page's challenge with a passkey.
//!
//! The passkey names its user (discoverable credential), so nothing is typed. The device must have checked who holds it,
//! and its signature counter must have gone up; then it counts as both factors.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use shared::crypto::{base64url, sha256};
use shared::id::{OrgId, UserId};
use webauthn_rs::prelude::{DiscoverableAuthentication, Passkey, PublicKeyCredential, WebauthnError};

use super::challenge::{self, Opened};
use super::relying_party;
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::PageError;
use crate::sessions::attempts::Attempt;
use crate::sessions::begin::{self, Browser, Method, Proven};
use crate::sessions::cookie::{Kind, Secret};
use crate::sessions::login::{self, Said};
use crate::sessions::return_to::START;
use crate::sessions::{Instead, Session, current, parse_form, visitor};

const FAILURE: &str = "The passkey did not work, or it took too long. Try again, or use your password.";

/// What the sign-in page needs to ask for a passkey.
#[derive(Debug)]
pub(crate) struct Offer {
    /// For `navigator.credentials.get`, as JSON.
    pub(crate) options: String,
    /// The sealed challenge.
    pub(crate) state: String,
}

impl Offer {
    /// A challenge for the browser that has this secret; `None` where passkeys can not work.
    pub(crate) fn make(app: &App, secret: &Secret) -> Result<Option<Self>, PageError> {
        let Some(party) = relying_party::of(&app.config) else {
            return Ok(None);
        };
        let started = party.start_discoverable_authentication();
        let (options, state) = started.map_err(PageError::internal)?;
        Ok(Some(Self {
            options: json!(options.public_key).to_string(),
            state: challenge::seal(app, &context(secret), state)?,
        }))
    }
}

/// The endpoint.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    // 1. A form of ours, sent by the browser that got it.
    let form = parse_form(&headers, &body)?;
    let secret = visitor::sent_by(&app, Kind::Form, &headers, &form)?;
    let return_to = form.value("return_to").unwrap_or(START);
    login::refuse_elsewhere(&app, return_to)?;

    // 2. Not too often.
    let attempt = Attempt::passkey(address);
    let anonymous = Actor {
        who: "anonymous".to_owned(),
        credential: None,
        request_id: Some(request_id.0.clone()),
    };
    attempt.charge(&app, &anonymous).await?;

    // 3. An answer to the challenge of that form, and then a session.
    let value = |name: &str| form.value(name).unwrap_or_default();
    let opened = challenge::open(&app, &context(&secret), value("state"));
    let answer = serde_json::from_str(value("credential")).ok();
    if let (Some(opened), Some(answer)) = (opened, answer)
        && let Some(verified) = verify(&app, &opened, &answer).await?
    {
        let visit = Visit {
            browser: Browser::of(&headers, address),
            before: current(&app, &headers).await?,
            request_id: Some(request_id.0),
        };
        if let Some(secret) = enter(&app, &attempt, &opened, verified, visit).await? {
            return Ok(login::signed_in(&app, &secret, return_to));
        }
    }
    metrics::counter!("portcullis_sign_ins_total", "result" => "refused").increment(1);
    let said = Said {
        failure: Some(FAILURE),
        ..Said::default()
    };
    Ok(login::page(&app, &secret, return_to, said)?)
}

/// Where a challenge opens: in the browser that got it.
fn context(secret: &Secret) -> String {
    format!("portcullis/passkey-sign-in/{}", base64url(&secret.digest()))
}

/// A passkey that answered as it should.
struct Verified {
    user: UserId,
    org: OrgId,
    method: Method,
    digest: [u8; 32],
    /// The credential as it is to be stored from now on.
    credential: String,
    counter: u64,
}

/// WebAuthn §7.2. The library checks challenge, origin, RP id, user verification, signature and counter.
async fn verify(
    app: &App,
    opened: &Opened<DiscoverableAuthentication>,
    answer: &PublicKeyCredential,
) -> Result<Option<Verified>, PageError> {
    let Some(party) = relying_party::of(&app.config) else {
        return Ok(None);
    };
    let Ok((handle, id)) = party.identify_discoverable_authentication(answer) else {
        return Ok(None);
    };
    let digest = sha256(id);
    let mut tx = app.store.begin_read().await?;
    let stored = tx.passkey(&digest).await?;
    // Step 6: whoever the answer says it is must own the passkey.
    let Some(stored) = stored.filter(|stored| relying_party::handle(stored.user) == handle) else {
        return Ok(None);
    };
    let org = tx.home_of(stored.user).await?;
    drop(tx);
    let Some(org) = org else { return Ok(None) };
    let mut passkey: Passkey = serde_json::from_str(&stored.credential).map_err(PageError::internal)?;
    let result = party.finish_discoverable_authentication_v2(answer, opened.state.clone(), &passkey);
    let result = match result {
        Ok(result) if result.user_verified() => result,
        // Step 22: the counter did not go up.
        Err(WebauthnError::CredentialPossibleCompromise) => {
            suspect(app, org, stored.user, &digest).await?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    passkey.update_credential(&result);
    Ok(Some(Verified {
        user: stored.user,
        org,
        method: if result.backup_eligible() {
            Method::SyncedPasskey
        } else {
            Method::DevicePasskey
        },
        digest,
        credential: serde_json::to_string(&passkey).map_err(PageError::internal)?,
        counter: result.counter().into(),
    }))
}

/// The signature was right and its counter was not: there may be a copy. The trail tells; nobody is signed in.
async fn suspect(app: &App, org: OrgId, user: UserId, digest: &[u8; 32]) -> Result<(), PageError> {
    tracing::warn!(%user, "a passkey's signature counter did not go up: there may be a copy of it");
    let mut tx = app.store.begin().await?;
    let event = Event {
        org: Some(org),
        actor: &Actor::system(),
        action: "passkey.suspect",
        target: user.to_string(),
        detail: json!({ "passkey": base64url(digest) }),
    };
    audit::record(&mut tx, &app.random, &event, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// What the session will know of the browser.
struct Visit {
    browser: Browser,
    before: Option<Session>,
    request_id: Option<String>,
}

/// One transaction: the challenge and the counter are used up, and the session begins. `None` if somebody was faster, or
/// they were shut out.
async fn enter(
    app: &App,
    attempt: &Attempt,
    opened: &Opened<DiscoverableAuthentication>,
    verified: Verified,
    visit: Visit,
) -> Result<Option<Secret>, PageError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    attempt.forgive(&mut tx, app).await?;
    let used = tx.note_passkey_use(&verified.digest, &verified.credential, verified.counter, now);
    if !used.await? || !opened.spend(&mut tx).await? {
        return Ok(None);
    }
    let proven = Proven {
        user: verified.user,
        org: verified.org,
        method: verified.method,
        browser: visit.browser,
        before: visit.before,
        request_id: visit.request_id,
    };
    let Some(secret) = begin::open(&mut tx, app, proven, now).await? else {
        return Ok(None);
    };
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(secret))
}
