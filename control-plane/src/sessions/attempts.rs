//! How often somebody may try to prove who they are: per account and per address, in windows.
//!
//! An attempt is counted before it is looked at, so that guesses at the same time count too, and taken back when it was
//! right. With passwords an account is counted by the address that was typed, whether or not it exists: the answers are the
//! same. What was right is counted too, apart and far more generously: each costs an argon2id run. Second factors are counted apart, so that a right password takes nothing back of them. What it does not: tell the
//! user which of the two limits it was.

use serde_json::json;
use shared::crypto::sha256;
use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::pages::PageError;
use crate::store::{StoreError, Tx};

/// Who tries what from where.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    of: Tried,
    address: ClientAddress,
}

/// What is tried.
#[derive(Clone, Debug)]
enum Tried {
    /// The password of the account with this e-mail address.
    Password(String),
    /// A code of this user, whose password was right.
    Code(OrgId, UserId),
    /// A passkey: nobody guesses one, and whose it is is not known before. Only the address counts.
    Passkey,
}

impl Attempt {
    pub(crate) fn new(email: &str, address: ClientAddress) -> Self {
        Self {
            of: Tried::Password(email.to_owned()),
            address,
        }
    }

    pub(crate) fn code(org: OrgId, user: UserId, address: ClientAddress) -> Self {
        Self {
            of: Tried::Code(org, user),
            address,
        }
    }

    pub(crate) fn passkey(address: ClientAddress) -> Self {
        Self {
            of: Tried::Passkey,
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
            None => match self.successes_used_up(&mut tx, app, now).await? {
                Some(waits) => Some(waits),
                None => self.charge_account(&mut tx, app, actor, now).await?,
            },
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

    /// It was right: this account starts anew, and the address gets its attempt back. A right password counts as such.
    pub(crate) async fn forgive(&self, tx: &mut Tx, app: &App) -> Result<(), StoreError> {
        tx.uncount_attempt(&self.address_subject()).await?;
        if let Some(subject) = self.account_subject() {
            tx.forget_attempts(&subject).await?;
        }
        if let Some(subject) = self.success_subject() {
            let now = app.clock.now();
            let expired = UnixMillis(now.0.saturating_sub(self.window(app)));
            tx.count_attempt(&subject, expired, now).await?;
        }
        Ok(())
    }

    /// Their owner has a new password: this account starts anew.
    pub(crate) async fn forget_account(&self, tx: &mut Tx) -> Result<(), StoreError> {
        for subject in [self.account_subject(), self.success_subject()]
            .into_iter()
            .flatten()
        {
            tx.forget_attempts(&subject).await?;
        }
        Ok(())
    }

    /// For how many milliseconds to wait if the right password was given too often, before it is looked at again.
    async fn successes_used_up(
        &self,
        tx: &mut Tx,
        app: &App,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let Some(subject) = self.success_subject() else {
            return Ok(None);
        };
        let window = self.window(app);
        let expired = UnixMillis(now.0.saturating_sub(window));
        let successes = tx.counted_attempts(&subject, expired).await?;
        let most = app.config.sign_in_successes_per_account();
        let used_up = successes.filter(|successes| successes.count >= most);
        Ok(used_up.map(|successes| successes.window_started_at.saturating_add(window).since(now)))
    }

    async fn charge_address(
        &self,
        tx: &mut Tx,
        app: &App,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Option<u64>, StoreError> {
        let limit = match self.of {
            Tried::Password(_) => app.config.sign_in_failures_per_address(),
            Tried::Code(..) | Tried::Passkey => app.config.factor_failures_per_address(),
        };
        let (waits, is_first) = count(tx, &self.address_subject(), limit, self.window(app), now).await?;
        if is_first {
            let event = Event {
                org: None,
                actor,
                action: "sign_in.lock_out",
                target: "address".to_owned(),
                detail: json!({"limit": limit, "of": "address", "address": self.address.counted()}),
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
        let Some(subject) = self.account_subject() else {
            return Ok(None);
        };
        let limit = match self.of {
            Tried::Password(_) => app.config.sign_in_failures_per_account(),
            Tried::Code(..) | Tried::Passkey => app.config.factor_failures_per_account(),
        };
        let (waits, is_first) = count(tx, &subject, limit, self.window(app), now).await?;
        if is_first {
            let (account, of) = match &self.of {
                Tried::Password(email) => {
                    let account = tx.account_by_email(email).await?;
                    (account.map(|account| (account.org, account.user)), "account")
                }
                Tried::Code(org, user) => (Some((*org, *user)), "second factor"),
                Tried::Passkey => (None, "passkey"),
            };
            let event = Event {
                org: account.map(|(org, _)| org),
                actor,
                action: "sign_in.lock_out",
                // What was typed stays out of the trail: it may be a password in the wrong field.
                target: account.map_or_else(|| "unknown account".to_owned(), |(_, user)| user.to_string()),
                detail: json!({"limit": limit, "of": of, "address": self.address.to_string()}),
            };
            audit::record(tx, &app.random, &event, now).await?;
        }
        Ok(waits)
    }

    fn window(&self, app: &App) -> u64 {
        let seconds = match self.of {
            Tried::Password(_) => app.config.sign_in.window_seconds,
            Tried::Code(..) | Tried::Passkey => app.config.factors.window_seconds,
        };
        seconds * 1000
    }

    fn account_subject(&self) -> Option<[u8; 32]> {
        let subject = match &self.of {
            Tried::Password(email) => format!("account {email}"),
            Tried::Code(_, user) => format!("second factor {user}"),
            Tried::Passkey => return None,
        };
        Some(sha256(subject.as_bytes()))
    }

    fn success_subject(&self) -> Option<[u8; 32]> {
        match &self.of {
            Tried::Password(email) => Some(sha256(format!("right password {email}").as_bytes())),
            Tried::Code(..) | Tried::Passkey => None,
        }
    }

    fn address_subject(&self) -> [u8; 32] {
        let address = self.address.counted();
        let subject = match self.of {
            Tried::Password(_) => format!("address {address}"),
            Tried::Code(..) | Tried::Passkey => format!("second factor address {address}"),
        };
        sha256(subject.as_bytes())
    }
}

/// Counts, and says for how many milliseconds to wait if that was too many, and whether it was the first such.
async fn count(
    tx: &mut Tx,
    subject: &[u8; 32],
    limit: u64,
    window: u64,
    now: UnixMillis,
) -> Result<(Option<u64>, bool), StoreError> {
    let expired = UnixMillis(now.0.saturating_sub(window));
    let attempts = tx.count_attempt(subject, expired, now).await?;
    if attempts.count <= limit {
        return Ok((None, false));
    }
    let ends = attempts.window_started_at.saturating_add(window);
    Ok((Some(ends.since(now)), attempts.count == limit + 1))
}
