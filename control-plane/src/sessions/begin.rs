//! The start of a session, and the rotation of its cookie.

use axum::http::{HeaderMap, header};
use serde_json::json;
use shared::id::{LIMIT, SessionId};
use shared::time::UnixMillis;

use super::attempts::Attempt;
use super::cookie::Secret;
use super::{Session, end};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::random::Random;
use crate::store::sessions::{Account, SessionRow};
use crate::store::{StoreError, Tx};

const MAX_USER_AGENT: usize = 256;

/// The browser, as far as the list of sessions shows it.
#[derive(Clone, Debug)]
pub(super) struct Browser {
    user_agent: String,
    address: String,
}

impl Browser {
    pub(super) fn of(headers: &HeaderMap, address: ClientAddress) -> Self {
        let user_agent = headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        Self {
            user_agent: user_agent.chars().take(MAX_USER_AGENT).collect(),
            address: address.to_string(),
        }
    }
}

/// Begins a session for somebody whose password was right, and gives what their cookie will hold. `None` if the password
/// was changed since it was checked.
///
/// The same user in the same browser goes on with the same session under a new secret; anybody else's session there ends.
pub(super) async fn begin(
    app: &App,
    account: &Account,
    attempt: &Attempt,
    browser: Browser,
    before: Option<Session>,
    request_id: Option<String>,
) -> Result<Option<Secret>, StoreError> {
    let now = app.clock.now();
    let secret = Secret::draw(&app.random)?;
    let mut tx = app.store.begin().await?;
    attempt.forgive(&mut tx).await?;
    if !tx.hold_password(account.user, &account.password_hash).await? {
        return Ok(None);
    }
    tx.use_membership(account.org, account.user, now).await?;
    let mut row = SessionRow {
        digest: secret.digest(),
        sid: draw_sid(&app.random)?,
        user: account.user,
        org: account.org,
        created_at: now,
        last_seen_at: now,
        auth_time: now,
        expires_at: now.saturating_add(app.config.sessions.max_seconds * 1000),
        user_agent: browser.user_agent,
        address: browser.address,
    };
    let rotated = go_on(&mut tx, before, &mut row, now).await?;
    if !rotated {
        tx.insert_session(&row).await?;
    }
    let actor = Actor {
        who: account.user.to_string(),
        credential: Some(row.sid.to_string()),
        request_id,
    };
    let event = Event {
        org: Some(account.org),
        actor: &actor,
        action: "session.begin",
        target: row.sid.to_string(),
        detail: json!({"address": row.address, "method": "password", "rotated": rotated}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(secret))
}

/// Puts the new secret on the session that this browser has, if it is this user's; ends it if it is not.
async fn go_on(
    tx: &mut Tx,
    before: Option<Session>,
    row: &mut SessionRow,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let Some(before) = before else { return Ok(false) };
    if before.user == row.user && before.org == row.org {
        let rotated = tx.rotate_session(&before.row.digest, row).await?;
        if rotated {
            row.sid = before.sid;
        }
        return Ok(rotated);
    }
    end::end(tx, before.user, before.sid, now).await?;
    Ok(false)
}

/// Puts a new secret on a session whose user just proved who they are. `None` if it was ended meanwhile.
pub(super) async fn rotate(
    tx: &mut Tx,
    random: &Random,
    session: &Session,
    now: UnixMillis,
) -> Result<Option<Secret>, StoreError> {
    let secret = Secret::draw(random)?;
    let row = SessionRow {
        digest: secret.digest(),
        last_seen_at: now,
        auth_time: now,
        ..session.row.clone()
    };
    let rotated = tx.rotate_session(&session.row.digest, &row).await?;
    Ok(rotated.then_some(secret))
}

fn draw_sid(random: &Random) -> Result<SessionId, StoreError> {
    SessionId::from_u64(random.below(LIMIT)?).ok_or(StoreError::Corrupt("session id"))
}
