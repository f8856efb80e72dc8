//! How often somebody may try a device's code: per person and per address, in the windows of `sign_in.window_seconds`.
//!
//! A try is counted before the code is looked up and taken back when it was right: a code of one's own buys no more guesses
//! at those of others.

use serde_json::json;
use shared::crypto::sha256;
use shared::time::UnixMillis;

use crate::app::App;
use crate::audit::{self, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::pages::PageError;
use crate::sessions::Session;
use crate::store::{StoreError, Tx};

/// Who tries from where.
pub(super) struct Guess<'a> {
    pub(super) session: &'a Session,
    pub(super) address: ClientAddress,
}

impl Guess<'_> {
    fn subjects(&self, app: &App) -> [(String, u64); 2] {
        [
            (
                format!("device user {}", self.session.user),
                app.config.device_guesses_per_user(),
            ),
            (
                format!("device address {}", self.address.counted()),
                app.config.device_guesses_per_address(),
            ),
        ]
    }

    /// Counts the try, or refuses it.
    pub(super) async fn charge(&self, app: &App, id: &RequestId) -> Result<(), PageError> {
        let now = app.clock.now();
        let window = app.config.sign_in.window_seconds * 1000;
        let expired = UnixMillis(now.0.saturating_sub(window));
        let mut tx = app.store.begin().await?;
        let mut waits = None;
        for (subject, limit) in self.subjects(app) {
            let attempts = tx
                .count_attempt(&sha256(subject.as_bytes()), expired, now)
                .await?;
            if attempts.count > limit {
                let ends = attempts.window_started_at.saturating_add(window);
                waits = waits.max(Some(ends.since(now).div_ceil(1000).max(1)));
            }
            if attempts.count == limit + 1 {
                let event = Event {
                    org: Some(self.session.org),
                    actor: &self.session.actor(Some(id)),
                    action: "device.lock_out",
                    target: self.session.user.to_string(),
                    detail: json!({ "limit": limit, "address": self.address.to_string() }),
                };
                audit::record(&mut tx, &app.random, &event, now).await?;
            }
        }
        tx.commit().await?;
        waits.map_or(Ok(()), |seconds| Err(PageError::too_many(seconds)))
    }

    /// It was right.
    pub(super) async fn forgive(&self, tx: &mut Tx, app: &App) -> Result<(), StoreError> {
        for (subject, _) in self.subjects(app) {
            tx.uncount_attempt(&sha256(subject.as_bytes())).await?;
        }
        Ok(())
    }
}
