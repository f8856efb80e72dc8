//! How often somebody may call the endpoints of programs, in this process: per address, per client, and how often a client
//! may fail to prove who it is.
//!
//! An endpoint that anybody can reach takes [`Limited`] as an argument: that counts the request for its address, each path on
//! its own, and gives the address. `client_auth` asks [`Limits`] before and after it compares a secret.
//!
//! Failures are counted per client *and* address, and per address: a secret of ours has 256 random bits, so guesses from many
//! addresses are hopeless, while a count per client alone would let anybody lock a client out.
//!
//! [`Limiter`] is one such count; `oauth` has more for registrations and for what it fetches.
//!
//! What it does not: share its counts with other instances (each admits as much), or count passwords (`sessions` does, in the
//! database).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use governor::clock::Clock as _;
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use shared::crypto::{Digest, sha256};

use super::address::ClientAddress;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::oauth::error::OAuthError;

const MINUTE: Duration = Duration::from_mins(1);
/// Failures are forgiven one by one, all of them within this time.
const FAILURE_WINDOW: Duration = Duration::from_mins(15);
/// So many keys are counted on their own, 10 MiB at most; while there are more, the rest count as one.
const MOST_KEYS: usize = 100_000;

/// Too many requests, or failures; when another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// At least 1.
    pub retry_after_seconds: u64,
}

/// Where a count stands after one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// So many more at once.
    pub remaining: u32,
    /// When all of the share is there again.
    pub full_after_seconds: u64,
}

/// The counts of this process.
#[derive(Debug)]
pub struct Limits {
    calls: Limiter,
    addresses: Limiter,
    clients: Limiter,
    failures_of_clients: Limiter,
    failures_of_addresses: Limiter,
    failures_of_possession: Limiter,
}

impl Limits {
    /// Nothing counted yet.
    pub fn new(config: &Config, clock: &Clock) -> Self {
        let limits = config.effective_rate_limits();
        let limiter = |name, most, window| Limiter::new(name, most, window, clock);
        Self {
            calls: limiter("calls_per_credential", limits.calls_per_credential, MINUTE),
            addresses: limiter("requests_per_address", limits.requests_per_address, MINUTE),
            clients: limiter("requests_per_client", limits.requests_per_client, MINUTE),
            failures_of_clients: limiter("failures_per_client", limits.failures_per_client, FAILURE_WINDOW),
            failures_of_addresses: limiter(
                "failures_per_address",
                limits.failures_per_address,
                FAILURE_WINDOW,
            ),
            failures_of_possession: limiter(
                "self_revocations_per_address",
                limits.failures_per_address,
                FAILURE_WINDOW,
            ),
        }
    }

    /// Counts a request of an address to a path.
    pub fn request(&self, path: &str, address: ClientAddress) -> Result<(), TooMany> {
        self.addresses.take(&format!("{path} {}", address.counted()))
    }

    /// Counts a call of `/v1` with a credential that counts.
    pub fn call(&self, credential: &str) -> Result<Standing, TooMany> {
        self.calls.count(credential)
    }

    /// Counts a request of a client that has proved who it is.
    pub fn client_request(&self, client: &str) -> Result<(), TooMany> {
        self.clients.take(client)
    }

    /// Whether a client's secret may be tried from an address; before it is looked at, so that nothing is learnt afterwards.
    pub fn may_authenticate(&self, client: &str, address: ClientAddress) -> Result<(), TooMany> {
        self.failures_of_clients.look(&pair(client, address))?;
        self.failures_of_addresses.look(&address.counted())
    }

    /// Counts a failure to prove who one is. Of several at the same time all count.
    pub fn failed_authentication(&self, client: &str, address: ClientAddress) {
        let of_client = self.failures_of_clients.take(&pair(client, address));
        let of_address = self.failures_of_addresses.take(&address.counted());
        if of_client.and(of_address).is_err() {
            tracing::warn!(%address, "too many failures to authenticate as a client");
        }
    }

    /// Counts a credential that was to be given up and is none.
    pub fn failed_possession(&self, address: ClientAddress) -> Result<(), TooMany> {
        self.failures_of_possession.take(&address.counted())
    }

    /// Forgets whoever would be as free without a count. A job.
    pub fn prune(&self) {
        let all = [
            &self.calls,
            &self.addresses,
            &self.clients,
            &self.failures_of_clients,
            &self.failures_of_addresses,
            &self.failures_of_possession,
        ];
        all.into_iter().for_each(Limiter::prune);
    }
}

fn pair(client: &str, address: ClientAddress) -> String {
    format!("{client} {}", address.counted())
}

/// The request counts as one of its address to its path, and that was not one too many.
#[derive(Clone, Copy, Debug)]
pub struct Limited(pub ClientAddress);

impl FromRequestParts<Arc<App>> for Limited {
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, OAuthError> {
        let Ok(address) = ClientAddress::from_request_parts(parts, app).await;
        let path = parts.extensions.get::<MatchedPath>();
        app.limits
            .request(path.map_or("", MatchedPath::as_str), address)?;
        Ok(Self(address))
    }
}

/// One kind of count: so many at once, replenished evenly over a time (GCRA).
pub(crate) struct Limiter {
    name: &'static str,
    ticks: Ticks,
    most: u32,
    each: Duration,
    inner: RateLimiter<Asked, Counts, Ticks, StateInformationMiddleware>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter")
            .field("name", &self.name)
            .field("keys", &self.inner.len())
            .finish_non_exhaustive()
    }
}

impl Limiter {
    /// So many in a window, for each key.
    pub(crate) fn new(name: &'static str, most: u64, window: Duration, clock: &Clock) -> Self {
        let most = u32::try_from(most)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN);
        // Shorter than a nanosecond is the window of nobody.
        let each = window / most.get();
        let quota = Quota::with_period(each).unwrap_or(Quota::per_second(most));
        let ticks = Ticks(clock.clone());
        Self {
            name,
            most: most.get(),
            each,
            inner: RateLimiter::<_, _, _, NoOpMiddleware<Nanos>>::new(
                quota.allow_burst(most),
                Counts::default(),
                ticks.clone(),
            )
            .with_middleware::<StateInformationMiddleware>(),
            ticks,
        }
    }

    /// Counts one for whoever `key` names, or says when there is room.
    pub(crate) fn take(&self, key: &str) -> Result<(), TooMany> {
        self.ask(key, true).map(drop)
    }

    /// Like [`Limiter::take`], for so many at once. More than there can ever be room for count as all of it.
    pub(crate) fn take_many(&self, key: &str, number: u32) -> Result<(), TooMany> {
        let Some(number) = NonZeroU32::new(number.min(self.most)) else {
            return Ok(());
        };
        let asked = Asked {
            key: sha256(key.as_bytes()),
            counts: true,
        };
        match self.inner.check_key_n(&asked, number) {
            Ok(Err(until)) => Err(self.refuse(&until)),
            // It is not more than there is room for at all.
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Like [`Limiter::take`], and says where the count stands now.
    fn count(&self, key: &str) -> Result<Standing, TooMany> {
        let remaining = self.ask(key, true)?;
        let used = self.most.saturating_sub(remaining);
        Ok(Standing {
            remaining,
            full_after_seconds: u64::try_from(self.each.saturating_mul(used).as_millis().div_ceil(1000))
                .unwrap_or(u64::MAX),
        })
    }

    /// Like [`Limiter::take`], without counting.
    fn look(&self, key: &str) -> Result<(), TooMany> {
        self.ask(key, false).map(drop)
    }

    fn ask(&self, key: &str, counts: bool) -> Result<u32, TooMany> {
        let asked = Asked {
            key: sha256(key.as_bytes()),
            counts,
        };
        let outcome = self.inner.check_key(&asked);
        outcome
            .map(|state| state.remaining_burst_capacity())
            .map_err(|until| self.refuse(&until))
    }

    fn refuse(&self, until: &NotUntil<Nanos>) -> TooMany {
        metrics::counter!("portcullis_rate_limited_total", "limit" => self.name).increment(1);
        let wait = until.wait_time_from(self.ticks.now());
        let retry_after_seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        TooMany {
            retry_after_seconds: retry_after_seconds.max(1),
        }
    }

    /// Forgets whoever has all of their share again.
    pub(crate) fn prune(&self) {
        self.inner.retain_recent();
        self.inner.shrink_to_fit();
    }
}

/// A key, and whether asking counts.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asked {
    key: Digest,
    counts: bool,
}

/// Where each key's count stands, for [`MOST_KEYS`] of them. governor's own stores grow without end, and cannot be asked
/// without counting.
#[derive(Default)]
struct Counts(Mutex<HashMap<Digest, Nanos>>);

impl Counts {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Nanos>> {
        // A count that a panic left behind is a count like any other.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Counts {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        const THE_REST: Digest = [0; 32];
        let mut counts = self.lock();
        let is_known = counts.contains_key(&asked.key);
        let key = if is_known || counts.len() < MOST_KEYS {
            asked.key
        } else {
            THE_REST
        };
        let (outcome, count) = decide(counts.get(&key).copied())?;
        if asked.counts {
            counts.insert(key, count);
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Asked> for Counts {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().retain(|_, count| *count > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.lock().shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// Our clock as governor asks for it.
#[derive(Clone, Debug)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
