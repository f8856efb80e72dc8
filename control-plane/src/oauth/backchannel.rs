//! OpenID Connect Back-Channel Logout 1.0: apps that want to hear of the end of a session are told, from server to server.
//!
//! What is to be told is queued in the transaction of the end ([`queue`]) and delivered by a job. A logout token is signed when it is
//! sent, so it is fresh however long it waited, and each attempt has a `jti` of its own: an app that took one whose answer was
//! lost takes the next. An app that does not answer 200 (or 204) is tried again for a day, ever less often, with one token of those
//! that wait for it; then the audit trail says that it was given up.
//!
//! What it does not: tell apps of sessions that ran out by themselves, or send a browser around (front-channel).

use std::sync::Arc;

use serde_json::json;
use shared::crypto::{base64url, sha256};
use shared::id::SessionId;
use shared::time::UnixMillis;
use url::{Host, Url};

use super::jws::{self, Type};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::fair::{self, Due, Queue};
use crate::http::fetch::FetchError;
use crate::signing::Purpose;
use crate::store::logouts::LogoutRow;
use crate::store::{StoreError, Tx};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// §2.4: two minutes at most.
const TOKEN_SECONDS: u64 = 120;
const GIVE_UP_MS: u64 = 86_400_000;
/// Longer than an app may take, so that nobody else tells it meanwhile.
const TAKEN_MS: u64 = 60_000;
const FIRST_RETRY_MS: u64 = 5_000;
const LAST_RETRY_MS: u64 = 3_600_000;
/// Tokens for one app at the same time.
const PER_CLIENT: usize = 2;
const MAX_URI: usize = 1024;

/// Whether an address can be told: https, absolute, no fragment (§2.2); http on a loopback host only, which the fetcher admits in
/// development.
pub fn check_uri(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    (url.scheme() == "https" || (url.scheme() == "http" && loopback))
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && uri.len() <= MAX_URI
}

/// Queues what the apps of a session are to hear: that it is over, or that what they got in it is. Part of the transaction of that
/// end.
pub(crate) async fn queue(tx: &mut Tx, sid: SessionId, now: UnixMillis) -> Result<(), StoreError> {
    let session = sid.to_string();
    for listener in tx.listeners_of_session(&session).await? {
        let text = format!("logout {} {session} {}", listener.client, now.0);
        let logout = LogoutRow {
            id: sha256(text.as_bytes()),
            client: listener.client,
            org: listener.org,
            user: listener.user,
            session: session.clone(),
            created_at: now,
            expires_at: now.saturating_add(GIVE_UP_MS),
            attempts: 0,
        };
        tx.insert_logout(&logout).await?;
    }
    Ok(())
}

/// The job: tells whom there is to tell.
pub async fn deliver_due(app: Arc<App>) -> anyhow::Result<()> {
    fair::deliver_due::<Logouts>(app).await
}

/// Logout tokens for apps.
struct Logouts;

impl Queue for Logouts {
    type Message = LogoutRow;

    async fn due(app: &App) -> Result<Vec<Due>, StoreError> {
        let mut tx = app.store.begin_read().await?;
        let waiting = tx.waiting_clients(app.clock.now()).await?;
        let due = waiting.into_iter().map(|(target, org)| Due {
            org,
            target,
            most: PER_CLIENT,
        });
        Ok(due.collect())
    }

    async fn take(app: &App, client: u64) -> Result<Option<LogoutRow>, StoreError> {
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        let until = now.saturating_add(TAKEN_MS);
        let taken = tx.take_logout(client, now, until).await?;
        tx.commit().await?;
        Ok(taken)
    }

    async fn deliver(app: Arc<App>, logout: LogoutRow) -> anyhow::Result<()> {
        let now = app.clock.now();
        deliver(&app, &logout, now).await
    }
}

async fn deliver(app: &App, logout: &LogoutRow, now: UnixMillis) -> anyhow::Result<()> {
    let mut tx = app.store.begin_read().await?;
    let client = tx.client(logout.client).await?;
    let listening = client.filter(|client| client.disabled_at.is_none());
    let target = listening.and_then(|client| Some((client.backchannel_logout_uri?, client.identifier)));
    let Some((uri, audience)) = target else {
        // It does not want to hear any more.
        drop(tx);
        return finish(app, logout, "dropped").await;
    };
    if logout.expires_at <= now {
        drop(tx);
        return give_up(app, logout, now).await;
    }
    let signer = app.keyring.signer(&mut tx, Purpose::AccessToken).await?;
    drop(tx);
    // Nothing of the database is held while an app answers.
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &token(app, logout, &audience, &signer)?)
        .finish();
    let outcome = match app.callbacks.post_form(&uri, form).await {
        Ok(200 | 204) => {
            finish(app, logout, "delivered").await?;
            return hasten(app, logout).await;
        }
        Ok(status) => FetchError::Status(status),
        Err(error) => error,
    };
    let wait = retry_after(logout.attempts);
    tracing::warn!(client = %logout.client, attempts = logout.attempts, wait_ms = wait, error = %outcome, "a logout token was not delivered");
    count("failed");
    let mut tx = app.store.begin().await?;
    tx.postpone_logouts(logout, now.saturating_add(wait)).await?;
    Ok(tx.commit().await?)
}

/// §2.4. Never a nonce, or it could be taken for an id_token.
fn token(
    app: &App,
    logout: &LogoutRow,
    audience: &str,
    signer: &crate::signing::SigningKey,
) -> anyhow::Result<String> {
    let iat = app.clock.now().seconds();
    let attempt = [logout.id.as_slice(), &logout.attempts.to_be_bytes()].concat();
    let claims = json!({
        "iss": app.config.issuer,
        "sub": logout.user,
        "aud": audience,
        "iat": iat,
        "exp": iat.saturating_add(TOKEN_SECONDS),
        "jti": base64url(&sha256(&attempt)),
        "sid": logout.session,
        "events": { EVENT: {} },
    });
    Ok(jws::sign(Type::LogoutToken, &claims, signer)?)
}

async fn finish(app: &App, logout: &LogoutRow, result: &'static str) -> anyhow::Result<()> {
    count(result);
    let mut tx = app.store.begin().await?;
    tx.drop_logout(&logout.id).await?;
    Ok(tx.commit().await?)
}

/// An app that answers again hears the rest at once, but for what somebody has taken.
async fn hasten(app: &App, logout: &LogoutRow) -> anyhow::Result<()> {
    if logout.attempts <= 1 {
        return Ok(());
    }
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    tx.hasten_logouts(logout.client, now.saturating_add(TAKEN_MS), now)
        .await?;
    Ok(tx.commit().await?)
}

async fn give_up(app: &App, logout: &LogoutRow, now: UnixMillis) -> anyhow::Result<()> {
    tracing::error!(client = %logout.client, attempts = logout.attempts, "an app was not told of the end of a session");
    count("given_up");
    let mut tx = app.store.begin().await?;
    tx.drop_logout(&logout.id).await?;
    let event = Event {
        org: Some(logout.org),
        actor: &Actor::system(),
        action: "logout.give_up",
        target: logout.client.to_string(),
        detail: json!({
            "user": logout.user,
            "session": logout.session,
            // This time nobody was asked.
            "attempts": logout.attempts.saturating_sub(1),
        }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    Ok(tx.commit().await?)
}

/// 5 s, 10 s, 20 s, and so on to an hour.
fn retry_after(attempts: u64) -> u64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY_MS
        .saturating_mul(2u64.saturating_pow(doublings))
        .min(LAST_RETRY_MS)
}

fn count(result: &'static str) {
    metrics::counter!("portcullis_logouts_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down() {
        assert_eq!(
            [1, 2, 3, 10, 11, 1000].map(|attempts| retry_after(attempts) / 1000),
            [5, 10, 20, 2560, 3600, 3600]
        );
    }

    #[test]
    fn addresses_that_can_be_told() {
        for good in [
            "https://app.example/logout?x=1",
            "http://127.0.0.1:9/x",
            "http://localhost/x",
        ] {
            assert!(check_uri(good), "{good}");
        }
        for wrong in [
            "http://app.example/x",
            "https://app.example/#x",
            "https://me@app.example/",
            "/x",
            "app:x",
            "",
        ] {
            assert!(!check_uri(wrong), "{wrong}");
        }
        assert!(!check_uri(&format!("https://app.example/{}", "a".repeat(1024))));
    }
}
