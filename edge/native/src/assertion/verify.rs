//! Whether a request came through the gateway, and as whom: by the assertion that the gateway signed for it.
//!
//! The gateway's keys are given, or fetched from its `/.portcullis/jwks.json`. Fetched ones are looked up again after five minutes,
//! and at once when an assertion names a key that is not among them, but not more than once in ten seconds, whatever comes.
//! While the gateway cannot be asked, those that are known go on to count, for a day.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge::library::assertion_keys;
use http::{HeaderMap, StatusCode, Uri};
use shared::assertion::{self, Claims, Expected, JWKS_PATH, Refused};
use shared::crypto::VerifyingKey;
use shared::dpop;

use crate::answer::BoxError;
use crate::client::{Client, describe};
use crate::clock::Clock;
use crate::settings::{SettingsError, base_url};

const MAX_JWKS: usize = 64 * 1024;
const FETCH_LIMIT: Duration = Duration::from_secs(5);
const FRESH: Duration = Duration::from_mins(5);
const COOL_DOWN: Duration = Duration::from_secs(10);
const RETRY_COLD: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_hours(24);

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The assertion does not hold.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The gateway's keys are not known: nobody can say.
    #[error("the gateway's keys could not be fetched")]
    NoKeys,
}

/// Checks assertions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AssertionVerifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: String,
    audience: String,
    unbound: bool,
    keys: Mutex<Known>,
    source: Option<Source>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<VerifyingKey>,
    /// When they were fetched, if they were.
    at: Option<Duration>,
}

#[derive(Debug)]
struct Source {
    uri: Uri,
    client: Client,
    /// Held while somebody fetches; when the last fetch was tried.
    turn: tokio::sync::Mutex<Option<Duration>>,
}

impl AssertionVerifier {
    /// With the gateway's keys as its JWKS has them. `issuer`: the gateway's resource identifier; `audience`: this origin as
    /// the gateway addresses it, `scheme://host[:port]`.
    pub fn with_keys(issuer: &str, audience: &str, jwks: &str) -> Result<Self, SettingsError> {
        let keys = assertion_keys(jwks);
        if keys.is_empty() {
            return Err(SettingsError::of("jwks", "expected a JWKS with an Ed25519 key"));
        }
        Self::build(issuer, audience, keys, None)
    }

    /// With the keys that the gateway at `gateway` shows: its base URL, https but for tests.
    pub fn fetching(issuer: &str, audience: &str, gateway: &str) -> Result<Self, SettingsError> {
        let uri = base_url(gateway).and_then(|base| format!("{base}{JWKS_PATH}").parse().ok());
        let client = Client::build()
            .map_err(|error| SettingsError(format!("the machine's certificates cannot be read: {error}")))?;
        let source = Source {
            uri: uri.ok_or_else(|| SettingsError::of("gateway", "expected http(s)://host[:port]"))?,
            client,
            turn: tokio::sync::Mutex::default(),
        };
        Self::build(issuer, audience, Vec::new(), Some(source))
    }

    fn build(
        issuer: &str,
        audience: &str,
        keys: Vec<VerifyingKey>,
        source: Option<Source>,
    ) -> Result<Self, SettingsError> {
        let audience = dpop::origin(audience)
            .ok_or_else(|| SettingsError::of("audience", "expected http(s)://host[:port]"))?;
        Ok(Self(Arc::new(Inner {
            issuer: issuer.to_owned(),
            audience,
            unbound: false,
            keys: Mutex::new(Known { keys, at: None }),
            source,
            clock: Clock::system(),
        })))
    }

    /// One that also takes assertions which name no request, of a gateway from before they did: while that is upgraded, and no longer.
    /// Before it is used or cloned; later it changes nothing.
    #[must_use]
    pub fn allowing_unbound(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.unbound = true;
        }
        self
    }

    /// The gateway's resource identifier.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The claims of an assertion that holds, for this origin, now, and for the request that it came with: its method, and its
    /// path as the gateway sent it.
    pub async fn verify(&self, text: &str, method: &str, path: &str) -> Result<Claims, Unverified> {
        let inner = &self.0;
        if inner.is_due(FRESH) {
            let is_done =
                |known: &Known, now: Duration| known.at.is_some_and(|at| now.saturating_sub(at) < FRESH);
            if inner.fetched_at().is_none() {
                inner.fetch(is_done).await;
            } else if inner.may_try() {
                // Nobody waits for what is only a matter of time.
                let inner = Arc::clone(inner);
                tokio::spawn(async move { inner.fetch(is_done).await });
            }
        }
        match inner.check(text, method, path)? {
            Err(Refused::KeyUnknown) if inner.source.is_some() => {
                let before = inner.fetched_at();
                inner.fetch(|known, _| known.at > before).await;
                Ok(inner.check(text, method, path)??)
            }
            checked => Ok(checked?),
        }
    }
}

impl Inner {
    fn check(&self, text: &str, method: &str, path: &str) -> Result<Result<Claims, Refused>, Unverified> {
        let known = self.keys.lock().map_err(|_| Unverified::NoKeys)?;
        if known.keys.is_empty() || self.is_over(&known) {
            return Err(Unverified::NoKeys);
        }
        let now = self.clock.now().seconds();
        let expected = Expected {
            issuer: &self.issuer,
            audience: &self.audience,
            method,
            path,
            unbound: self.unbound,
        };
        Ok(assertion::verify(text, &known.keys, expected, now))
    }

    fn is_over(&self, known: &Known) -> bool {
        known
            .at
            .is_some_and(|at| self.clock.elapsed().saturating_sub(at) > LONGEST)
    }

    fn fetched_at(&self) -> Option<Duration> {
        self.keys.lock().ok().and_then(|known| known.at)
    }

    fn is_due(&self, after: Duration) -> bool {
        let age = self
            .fetched_at()
            .map(|at| self.clock.elapsed().saturating_sub(at));
        self.source.is_some() && age.is_none_or(|age| age >= after)
    }

    /// Whether nobody is fetching, and nobody did a moment ago.
    fn may_try(&self) -> bool {
        let now = self.clock.elapsed();
        let tried = self
            .source
            .as_ref()
            .and_then(|source| source.turn.try_lock().ok());
        tried.is_some_and(|tried| tried.is_none_or(|at| now.saturating_sub(at) >= COOL_DOWN))
    }

    /// Fetches the keys, unless somebody else did meanwhile, or it was tried a moment ago.
    async fn fetch(&self, is_done: impl Fn(&Known, Duration) -> bool) {
        let Some(source) = &self.source else {
            return;
        };
        let mut tried = source.turn.lock().await;
        let now = self.clock.elapsed();
        let (done, cold) = match self.keys.lock() {
            Ok(known) => (is_done(&known, now), known.keys.is_empty()),
            Err(_) => return,
        };
        let pause = if cold { RETRY_COLD } else { COOL_DOWN };
        if done || tried.is_some_and(|at| now.saturating_sub(at) < pause) {
            return;
        }
        *tried = Some(now);
        match source.fetch().await {
            Ok(keys) => {
                if let Ok(mut known) = self.keys.lock() {
                    *known = Known { keys, at: Some(now) };
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = describe(&error),
                    "the gateway's keys could not be fetched"
                );
            }
        }
    }
}

impl Source {
    async fn fetch(&self) -> Result<Vec<VerifyingKey>, BoxError> {
        let fetched = self
            .client
            .get(self.uri.clone(), HeaderMap::new(), MAX_JWKS, FETCH_LIMIT);
        let answer = fetched.await?;
        if answer.status != StatusCode::OK {
            return Err(format!("the gateway answered {}", answer.status).into());
        }
        let keys = assertion_keys(&String::from_utf8_lossy(&answer.body));
        if keys.is_empty() {
            return Err("the gateway shows no key: it has no ASSERTION_KEY".into());
        }
        Ok(keys)
    }
}
