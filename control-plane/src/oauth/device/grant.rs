//! Grant `urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 §3.4): a device asks whether its person has answered.

use shared::dpop::Proof;

use super::super::dpop;
use super::super::error::{ErrorCode, OAuthError};
use super::super::exchange::{self, First, Holder};
use super::super::form::Form;
use super::super::grants;
use super::super::opaque::{Kind, Opaque};
use super::super::pair::Granted;
use super::super::resource;
use super::super::scopes::{Asked, Identity};
use crate::app::App;
use crate::audit::Actor;
use crate::orgs;
use crate::store::Tx;
use crate::store::clients::Client;
use crate::store::device_codes::DeviceCode;
use crate::store::grants::Terms;

/// RFC 8628 §3.5: what `slow_down` adds to the interval.
const SLOWER_SECONDS: u64 = 5;
/// What a network may take off the time between two questions.
const SLACK_MS: u64 = 500;

/// One answer for every code that does not work.
fn refused() -> OAuthError {
    OAuthError::new(
        ErrorCode::InvalidGrant,
        "the device code is unknown, used, or was not given to this client",
    )
}

/// Exchanges a device code.
pub(in crate::oauth) async fn grant(
    app: &App,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
    actor: &Actor,
) -> Result<Granted, OAuthError> {
    super::confirm(client)?;
    let text = form
        .value("device_code")
        .ok_or_else(|| OAuthError::invalid_request("device_code is missing"))?;
    let digest = Opaque::parse(Kind::Device, text).ok_or_else(refused)?.digest();
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // 1. The code: one of ours, given to this client, not used.
    let code = tx.device_code(&digest).await?.ok_or_else(refused)?;
    if code.client != client.identifier || code.used_at.is_some() {
        return Err(refused());
    }
    resource::confirm(form, &code.resource)?;
    if code.expires_at <= now {
        return Err(OAuthError::new(
            ErrorCode::ExpiredToken,
            "the device code has expired: begin again",
        ));
    }
    // 2. The answer.
    let Some(decided_at) = code.decided_at else {
        return Err(pending(app, tx, &code).await?);
    };
    let Some(person) = &code.person else {
        return Err(OAuthError::new(
            ErrorCode::AccessDenied,
            "the person did not agree",
        ));
    };
    let terms = Terms {
        client: client.id,
        user: person.user,
        org: person.org,
        scopes: code.scopes,
        identity: code.identity,
        resource: code.resource.clone(),
        session: Some(person.session.clone()),
        auth_time: person.auth_time,
    };
    // 3. The person, the client and the session are still there; the rows are locked.
    let dated = grants::date(&mut tx, app, &terms, Some(decided_at.seconds()), now)
        .await?
        .ok_or_else(refused)?;
    // 4. Taken, by us alone.
    if !tx.take_device_code(&digest, now).await? {
        return Err(refused());
    }
    let first = First {
        asked: Asked {
            scopes: orgs::capped(terms.scopes, dated.rights, app.catalogue()),
            identity: Identity::from_bits(terms.identity),
        },
        terms: &terms,
        nonce: None,
        code: None,
    };
    let holder = Holder {
        bound_to: dpop::of_grant(client, proof),
        proof,
        actor,
    };
    exchange::issue(app, tx, client, first, dated.iat, holder).await
}

/// Not yet; and slower, if the device does not wait.
async fn pending(app: &App, mut tx: Tx, code: &DeviceCode) -> Result<OAuthError, OAuthError> {
    let now = app.clock.now();
    let waited = tx
        .poll_device(&code.digest, SLOWER_SECONDS, SLACK_MS, now)
        .await?;
    tx.commit().await?;
    Ok(if waited {
        OAuthError::new(ErrorCode::AuthorizationPending, "the person has not answered yet")
    } else {
        OAuthError::new(
            ErrorCode::SlowDown,
            "wait longer between two questions: five seconds more than before",
        )
    })
}
