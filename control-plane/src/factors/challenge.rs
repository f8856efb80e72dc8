//! A challenge on its way through a form: sealed, so that the server keeps nothing for people who only look at a page.
//!
//! It opens for the same browser and purpose only, for five minutes, and counts once: whoever takes an answer writes down
//! that it was given. That is also done in the transaction of what the answer is for.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::crypto::{base64url, from_base64url, sha256};
use shared::time::UnixMillis;

use crate::app::App;
use crate::pages::PageError;
use crate::store::{StoreError, Tx};

const LIFE_MS: u64 = 300_000;

#[derive(Serialize, Deserialize)]
struct Sealed<S> {
    expires_at: u64,
    state: S,
}

/// A challenge that came back.
#[derive(Debug)]
pub(super) struct Opened<S> {
    /// What was kept for its answer.
    pub(super) state: S,
    digest: [u8; 32],
    expires_at: UnixMillis,
}

/// The text for a hidden field of a form that this `context` (purpose and browser) gets.
pub(super) fn seal<S: Serialize>(app: &App, context: &str, state: S) -> Result<String, PageError> {
    let sealed = Sealed {
        expires_at: app.clock.now().saturating_add(LIFE_MS).0,
        state,
    };
    let plain = serde_json::to_vec(&sealed).map_err(PageError::internal)?;
    let bytes = app.keyring.seal(context, &plain).map_err(PageError::internal)?;
    Ok(base64url(&bytes))
}

/// What [`seal`] put there for the same context, while it lives.
pub(super) fn open<S: DeserializeOwned>(app: &App, context: &str, text: &str) -> Option<Opened<S>> {
    let bytes = from_base64url(text)?;
    let plain = app.keyring.open(context, &bytes).ok()?;
    let sealed: Sealed<S> = serde_json::from_slice(&plain).ok()?;
    let expires_at = UnixMillis(sealed.expires_at);
    (app.clock.now() < expires_at).then(|| Opened {
        state: sealed.state,
        digest: sha256(&bytes),
        expires_at,
    })
}

impl<S> Opened<S> {
    /// Uses the challenge up; false if somebody did before.
    pub(super) async fn spend(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        tx.spend_challenge(&self.digest, self.expires_at).await
    }
}
