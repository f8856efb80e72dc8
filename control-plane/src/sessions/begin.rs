//! The start of a session, and the rotation of its cookie.
//!
//! A right password begins a session, or, for somebody with an authenticator app, the wait for a second factor: there is no
//! session before it.

use axum::http::{HeaderMap, header};
use serde_json::json;
use shared::crypto::sha256;
use shared::id::{LIMIT, OrgId, SessionId, UserId};
use shared::time::UnixMillis;

use super::attempts::Attempt;
use super::cookie::Secret;
use super::{Session, end};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::random::Random;
use crate::store::factors::PendingSignIn;
use crate::store::sessions::{Account, SessionRow};
use crate::store::{StoreError, Tx};

const MAX_USER_AGENT: usize = 256;
/// How long a second factor may take. Its cookie has the same limit.
const PENDING_MS: u64 = 300_000;

/// The browser, as far as the list of sessions shows it.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    user_agent: String,
    address: String,
}

impl Browser {
    pub(crate) fn of(headers: &HeaderMap, address: ClientAddress) -> Self {
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

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// With a password alone.
    Password,
    /// With a password and the code of an authenticator app.
    PasswordAndCode,
    /// With a password and a recovery code.
    PasswordAndRecoveryCode,
    /// With a passkey that stays in its device, which checked who holds it.
    DevicePasskey,
    /// With a passkey that is copied between devices, one of which checked who holds it.
    SyncedPasskey,
}

impl Method {
    /// The values of `amr` (RFC 8176 §2). A recovery code has none of its own.
    fn amr(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::PasswordAndCode => "pwd otp mfa",
            Self::PasswordAndRecoveryCode => "pwd mfa",
            Self::DevicePasskey => "hwk mfa",
            Self::SyncedPasskey => "swk mfa",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PasswordAndCode => "password and code",
            Self::PasswordAndRecoveryCode => "password and recovery code",
            Self::DevicePasskey | Self::SyncedPasskey => "passkey",
        }
    }
}

/// Somebody who has proved who they are, and where.
pub(crate) struct Proven {
    pub(crate) user: UserId,
    pub(crate) org: OrgId,
    pub(crate) method: Method,
    pub(crate) browser: Browser,
    /// The session that this browser has.
    pub(crate) before: Option<Session>,
    pub(crate) request_id: Option<String>,
}

/// What a right password leads to: what a cookie will hold.
pub(crate) enum Begun {
    /// A session.
    Session(Secret),
    /// The second factor.
    Pending(Secret),
}

/// Begins a session for somebody whose password was right, or the wait for their second factor. `None` if the password was
/// changed since it was checked, or the user was shut out.
pub(super) async fn begin(
    app: &App,
    account: &Account,
    attempt: &Attempt,
    browser: Browser,
    before: Option<Session>,
    request_id: Option<String>,
) -> Result<Option<Begun>, StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    attempt.forgive(&mut tx, app).await?;
    if !tx.hold_password(account.user, &account.password_hash).await? {
        return Ok(None);
    }
    if tx.totp(account.user).await?.is_some() {
        let secret = Secret::draw(&app.random)?;
        tx.insert_pending_sign_in(&PendingSignIn {
            digest: secret.digest(),
            user: account.user,
            org: account.org,
            password_digest: sha256(account.password_hash.as_bytes()),
            expires_at: now.saturating_add(PENDING_MS),
        })
        .await?;
        tx.commit().await?;
        return Ok(Some(Begun::Pending(secret)));
    }
    let proven = Proven {
        user: account.user,
        org: account.org,
        method: Method::Password,
        browser,
        before,
        request_id,
    };
    let Some(secret) = open(&mut tx, app, proven, now).await? else {
        return Ok(None);
    };
    tx.commit().await?;
    app.feed.wake();
    Ok(Some(Begun::Session(secret)))
}

/// Begins a session, and gives what its cookie will hold. After the commit, wake the feed. `None`, and nothing to commit, if the
/// user was shut out since they were looked up.
///
/// The same user in the same browser goes on with the same session under a new secret; anybody else's session there ends.
pub(crate) async fn open(
    tx: &mut Tx,
    app: &App,
    proven: Proven,
    now: UnixMillis,
) -> Result<Option<Secret>, StoreError> {
    if !tx.use_membership(proven.org, proven.user, now).await? {
        return Ok(None);
    }
    let secret = Secret::draw(&app.random)?;
    let mut row = SessionRow {
        digest: secret.digest(),
        sid: draw_sid(&app.random)?,
        user: proven.user,
        org: proven.org,
        created_at: now,
        last_seen_at: now,
        auth_time: now,
        expires_at: now.saturating_add(app.config.sessions.max_seconds * 1000),
        user_agent: proven.browser.user_agent,
        address: proven.browser.address,
        methods: proven.method.amr().to_owned(),
    };
    let rotated = go_on(tx, proven.before, &mut row, now).await?;
    if !rotated {
        tx.insert_session(&row).await?;
    }
    let actor = Actor {
        who: row.user.to_string(),
        credential: Some(row.sid.to_string()),
        request_id: proven.request_id,
    };
    let event = Event {
        org: Some(row.org),
        actor: &actor,
        action: "session.begin",
        target: row.sid.to_string(),
        detail: json!({"address": row.address, "method": proven.method.in_words(), "rotated": rotated}),
    };
    audit::record(tx, &app.random, &event, now).await?;
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

/// Puts a new secret on a session whose user changed how they sign in. `None` if it was ended meanwhile.
pub(crate) async fn rotate(
    tx: &mut Tx,
    random: &Random,
    session: &Session,
    now: UnixMillis,
) -> Result<Option<Secret>, StoreError> {
    let secret = Secret::draw(random)?;
    let row = SessionRow {
        digest: secret.digest(),
        last_seen_at: now,
        ..session.row.clone()
    };
    let rotated = tx.rotate_session(&session.row.digest, &row).await?;
    Ok(rotated.then_some(secret))
}

fn draw_sid(random: &Random) -> Result<SessionId, StoreError> {
    SessionId::from_u64(random.below(LIMIT)?).ok_or(StoreError::Corrupt("session id"))
}
