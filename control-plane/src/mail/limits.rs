//! How much mail anybody may cause: per address that it goes to, per client address that asks, per organisation
//! that invites and per address that is invited.
//!
//! Unlike attempts at a password these are never taken back: each costs a mail. An address is counted whether or not it has
//! an account: the answers are the same.

use shared::crypto::sha256;
use shared::id::OrgId;
use shared::time::UnixMillis;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::address::ClientAddress;
use crate::pages::PageError;
use crate::store::{StoreError, Tx};

/// Counts a request of a stranger that sends mail to `email`, or refuses it. One that is refused for the client's address is
/// not counted for the other: nobody can keep mail from others for longer than their own address lasts.
pub async fn charge(app: &App, email: &str, address: ClientAddress) -> Result<(), PageError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let by_address = format!("mail from {}", address.counted());
    let mut waits = count(&mut tx, app, &by_address, app.config.mails_per_address(), now).await?;
    if waits.is_none() {
        let by_account = format!("mail to {email}");
        waits = count(&mut tx, app, &by_account, app.config.mails_per_account(), now).await?;
    }
    tx.commit().await?;
    match waits {
        None => Ok(()),
        Some(millis) => {
            metrics::counter!("portcullis_mail_requests_limited_total").increment(1);
            Err(PageError::too_many_mails(millis.div_ceil(1000).max(1)))
        }
    }
}

/// Counts an invitation of an organisation, in the transaction that makes it, or refuses it.
pub async fn charge_org(tx: &mut Tx, app: &App, org: OrgId, now: UnixMillis) -> Result<(), ApiError> {
    let limit = app.config.invitations_per_org();
    let Some(millis) = count(tx, app, &format!("mail of {org}"), limit, now).await? else {
        return Ok(());
    };
    let detail = format!("this organisation has sent {limit} invitations in a short time; wait, then go on");
    Err(ApiError::new(Code::RateLimited, detail).retry_after(millis.div_ceil(1000).max(1)))
}

/// Counts an invitation to an address, whoever invites it, or refuses it: anybody may have many organisations. Apart from what
/// its owner asks for, so that nobody who invites keeps a new password from them.
pub async fn charge_invited(tx: &mut Tx, app: &App, email: &str, now: UnixMillis) -> Result<(), ApiError> {
    let limit = app.config.mails_per_account();
    let Some(millis) = count(tx, app, &format!("invitation to {email}"), limit, now).await? else {
        return Ok(());
    };
    let detail = "this address has got many invitations in a short time; wait, then invite it again";
    Err(ApiError::new(Code::RateLimited, detail)
        .field("email")
        .retry_after(millis.div_ceil(1000).max(1)))
}

/// Counts, and says for how many milliseconds to wait if that was too many.
async fn count(
    tx: &mut Tx,
    app: &App,
    subject: &str,
    limit: u64,
    now: UnixMillis,
) -> Result<Option<u64>, StoreError> {
    let window = app.config.mail.window_seconds * 1000;
    let expired = UnixMillis(now.0.saturating_sub(window));
    let attempts = tx
        .count_attempt(&sha256(subject.as_bytes()), expired, now)
        .await?;
    let ends = attempts.window_started_at.saturating_add(window);
    Ok((attempts.count > limit).then(|| ends.since(now)))
}
