//! What others tell us about our credentials and people, and what we do about it.
//!
//! | who | tells | where |
//! | --- | --- | --- |
//! | secret scanners, in the format of GitHub's partner programme | that a key or a refresh token stands somewhere | `leaks` |
//! | an organisation's identity provider (OpenID Shared Signals: CAEP, RISC) | that a session, a credential or an account ended there | `events` |
//!
//! | file | does |
//! | --- | --- |
//! | `sources` | their public keys: fetched, kept, and fetched again for a key that is not among them |
//! | `effects` | what is done, each in the caller's transaction |
//!
//! What is told only ever restricts. What it does not: send signals, poll for them (RFC 8936), or let somebody in again.

mod effects;
pub mod events;
pub mod leaks;
mod sources;

use serde_json::Value;

use crate::config::Config;
use crate::http::fetch::Fetcher;
use sources::Sources;

/// The largest key set, and the largest description of a transmitter.
const MAX_BYTES: usize = 64 * 1024;

/// What was fetched to check signals with.
#[derive(Debug)]
pub struct Signals {
    leak_keys: Sources<leaks::keys::Keys>,
    described: Sources<String>,
    key_sets: Sources<Value>,
}

impl Signals {
    /// Nothing is fetched before a signal comes.
    pub fn build(config: &Config) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(config.fetches_loopback())?;
        Ok(Self {
            leak_keys: Sources::new(fetcher.clone(), MAX_BYTES),
            described: Sources::new(fetcher.clone(), MAX_BYTES),
            key_sets: Sources::new(fetcher, MAX_BYTES),
        })
    }
}
