//! How often somebody may try a password: per account and per address, in windows.
//!
//! An attempt is counted before the password is looked at, so that guesses at the same time count too, and taken back when
//! it was right. An account is counted by the address that was typed, whether or not it exists: the answers are the same.
//! What it does not: tell the user which of the two limits it was.

use serde_json::json;
use shared::crypto::sha256;
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::pages::PageError;
use crate::store::{StoreError, Tx};

/// Who tries what from where.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    email: String,
    address: ClientAddress,
}

impl Attempt {
    pub(crate) fn new(email: &str, address: ClientAddress) -> Self {
        Self {
            email: email.to_owned(),
            address,
        }
    }

    /// Counts the attempt, or refuses it. One that is refused for its address is not counted for the account: nobody can
    /// lock out others for longer than their own address lasts.
    pub(crate) async fn charge(&self, app: &App, actor: &Actor) -> Result<(), PageError> {
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        let waits = match self.charge_address(&mut tx, app, actor, now).await? {
            Some(waits) => Some(waits),
            None => self.charge_account(&mut tx, app, actor, now).await?,
        };
        tx.commit().await?;
        match waits {
            None => Ok(()),
            Some(millis) => {
                metrics::counter!("portcullis_sign_ins_total", "result" => "limited").increment(1);
                Err(PageError::too_many(millis.div_ceil(1000).max(1)))
            }
        }
    }

    /// The password was right: this account starts anew, and the address gets its attempt back.
    pub(super) async fn forgive(&self, tx: &mut Tx) -> Result<(), StoreError> {
        tx.uncount_attempt(&self.address_subject()).await?;
        tx.forget_attempts(&self.account_subject()).await
    }

    /// Their owner has a new password: this account starts anew.
    pub(crate) async fn forget_account(&self, tx: &mut Tx) -> Result<(), StoreError> {
        tx.forget_attempts(&self.account_subject()).await
    }

    async fn charge_address(
        &self,
        tx: &mut Tx,
        app: &App,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let limit = app.config.sign_in_failures_per_address();
        let (waits, is_first) = count(tx, app, &self.address_subject(), limit, now).await?;
        if is_first {
            let event = Event {
                org: None,
                actor,
                action: "sign_in.lock_out",
                target: self.address.counted(),
                detail: json!({"limit": limit, "of": "address"}),
            };
            audit::record(tx, &app.random, &event, now).await?;
        }
        Ok(waits)
    }

    async fn charge_account(
        &self,
        tx: &mut Tx,
        app: &App,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let limit = app.config.sign_in_failures_per_account();
        let (waits, is_first) = count(tx, app, &self.account_subject(), limit, now).await?;
        if is_first {
            let account = tx.account_by_email(&self.email).await?;
            let event = Event {
                org: account.as_ref().map(|account| account.org),
                actor,
                action: "sign_in.lock_out",
                // What was typed stays out of the trail: it may be a password in the wrong field.
                target: account.map_or_else(
                    || "unknown account".to_owned(),
                    |account| account.user.to_string(),
                ),
                detail: json!({"limit": limit, "of": "account", "address": self.address.to_string()}),
            };
            audit::record(tx, &app.random, &event, now).await?;
        }
        Ok(waits)
    }

    fn account_subject(&self) -> [u8; 32] {
        sha256(format!("account {}", self.email).as_bytes())
    }

    fn address_subject(&self) -> [u8; 32] {
        sha256(format!("address {}", self.address.counted()).as_bytes())
    }
}

/// Counts, and says for how many milliseconds to wait if that was too many, and whether it was the first such.
async fn count(
    tx: &mut Tx,
    app: &App,
    subject: &[u8; 32],
    limit: u64,
    now: UnixMillis,
) -> Result<(Option<u64>, bool), StoreError> {
    let window = app.config.sign_in.window_seconds * 1000;
    let expired = UnixMillis(now.0.saturating_sub(window));
    let attempts = tx.count_attempt(subject, expired, now).await?;
    if attempts.count <= limit {
        return Ok((None, false));
    }
    let ends = attempts.window_started_at.saturating_add(window);
    Ok((Some(ends.since(now)), attempts.count == limit + 1))
}
