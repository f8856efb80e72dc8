//! The gate of this process: the core, a copy of the feed that is kept fresh, and the waiting that a decision may ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge::answer::{INTERNAL, metadata};
use edge::library::{self, Allowed, Answer, HeaderPairs, Question, Refused};
use edge::validator::{Need, StatementCache};
use shared::verdict::Reason;
use tokio::task::AbortHandle;

use crate::client::Client;
use crate::clock::Clock;
use crate::es512;
use crate::feed::Feed;
use crate::random;
use crate::settings::{Settings, SettingsError};

/// Fetches that one request may wait for.
const MAX_READS: usize = 3;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it in.
    Allow(Box<Allowed>),
    /// Keep it out, or answer it: a preflight.
    Refuse(Refused),
}

/// A gate. Cheap to clone; when the last clone is gone, it stops fetching.
#[derive(Clone)]
pub struct Gate(Arc<Running>);

struct Running {
    feed: Arc<Feed>,
    resource: String,
    is_single: bool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    poller: Option<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(poller) = &self.poller {
            poller.abort();
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Starts fetching the feed, in a task of the runtime that this is called in. It lets nobody in before it has heard it.
    pub fn start(settings: &Settings) -> Result<Self, SettingsError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| SettingsError("a gate is started within a tokio runtime".into()))?;
        let client = Client::build()
            .map_err(|error| SettingsError(format!("the machine's certificates cannot be read: {error}")))?;
        let mut gate = Self::idle(settings, Clock::system(), client)?;
        let Some(running) = Arc::get_mut(&mut gate.0) else {
            return Err(SettingsError("the gate could not be started".into()));
        };
        let feed = Arc::clone(&running.feed);
        running.poller = Some(runtime.spawn(async move { feed.poll().await }).abort_handle());
        Ok(gate)
    }

    /// One that fetches only for requests that want it.
    pub(crate) fn idle(settings: &Settings, clock: Clock, client: Client) -> Result<Self, SettingsError> {
        es512::install();
        let config = settings.config()?;
        let key =
            random::bytes().ok_or_else(|| SettingsError("this machine gives no random numbers".into()))?;
        let core = library::Gate::new(config, StatementCache::with_key(key));
        Ok(Self(Arc::new(Running {
            feed: Arc::new(Feed::new(settings, core, client, clock)?),
            resource: settings.resource.clone(),
            is_single: settings.is_single,
            counts: Mutex::default(),
            poller: None,
        })))
    }

    /// The copy of the feed.
    #[cfg(test)]
    pub(crate) fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Judges a request. Waits for a fresher state where the route wants one, for 2.5 s at most each time.
    pub async fn verify(&self, mut question: Question) -> Decision {
        let feed = &self.0.feed;
        let arrived = feed.arrival();
        question.proofs_are_shared = self.0.is_single;
        for reads in 0..=MAX_READS {
            question.exhausted |= reads == MAX_READS;
            let need = match feed.with(|gate, now| gate.verify(&question, now)) {
                Some(Answer::Allow(allowed)) => return self.allowed(allowed),
                Some(Answer::Refuse(refused)) => return self.refused(refused, &question),
                Some(Answer::Refresh(need)) => need,
                None => break,
            };
            match need {
                Need::Stale => question.exhausted |= !feed.refresh().await,
                Need::Strict => question.read_after_arrival = feed.read_after(arrived).await,
                Need::Seq | Need::Block => question.read_after_arrival = feed.wait_after(arrived).await,
            }
            question.exhausted |= need != Need::Stale && !question.read_after_arrival;
        }
        // The core always comes to an end when it is told that no more is to be had.
        self.refused(broken(&question), &question)
    }

    fn allowed(&self, allowed: Box<Allowed>) -> Decision {
        self.count(if allowed.public { "public" } else { "allowed" });
        Decision::Allow(allowed)
    }

    fn refused(&self, refused: Refused, question: &Question) -> Decision {
        let reason = refused.reason.unwrap_or(refused.code);
        self.count(reason);
        tracing::debug!(
            request = question.request_id,
            reason,
            status = refused.status,
            "refused"
        );
        Decision::Refuse(refused)
    }

    fn count(&self, outcome: &'static str) {
        if let Ok(mut counts) = self.0.counts.lock() {
            let count = counts.entry(outcome).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Decisions by outcome: `allowed`, `public`, or the exact reason of a refusal.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .counts
            .lock()
            .map(|counts| counts.clone())
            .unwrap_or_default()
    }

    /// Protected resource metadata (RFC 9728) for a path below the well-known address; `None` for any other path.
    pub fn metadata(&self, path: &str) -> Option<serde_json::Value> {
        // Most paths are others: those do not wait for the core.
        let is_here = path.starts_with(metadata::PATH);
        is_here
            .then(|| self.0.feed.with(|gate, _| gate.metadata(path)))
            .flatten()
            .flatten()
    }

    /// Where this copy of the feed stands, and how old it is.
    pub fn status(&self) -> serde_json::Value {
        self.0.feed.with(|gate, now| gate.status(now)).unwrap_or_default()
    }

    /// Whether it could let somebody in on a route with the default bound.
    pub fn is_ready(&self) -> bool {
        self.0.feed.with(|gate, now| gate.is_ready(now)).unwrap_or(false)
    }

    /// Waits until it is ready; whether it is, when the time is over.
    pub async fn ready(&self, within: Duration) -> bool {
        let ready = async {
            while !self.is_ready() {
                self.0.feed.refresh().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(within, ready).await.is_ok() || self.is_ready()
    }

    /// The API's resource identifier.
    pub fn resource(&self) -> String {
        self.0.resource.clone()
    }

    /// The time, for what is signed.
    pub(crate) fn now(&self) -> shared::time::UnixSeconds {
        self.0.feed.with(|_, now| now.seconds()).unwrap_or_default()
    }

    /// `scheme://host[:port]` of ours that a caller who addressed this `host[:port]` means.
    pub(crate) fn public_origin(&self, authority: &str) -> String {
        let origin = self
            .0
            .feed
            .with(|gate, _| gate.public_origin(authority).to_owned());
        origin.unwrap_or_default()
    }
}

/// For a state that cannot be: nobody is let in.
fn broken(question: &Question) -> Refused {
    let reason = Some(Reason::StateMissing);
    Refused::of(INTERNAL, reason, HeaderPairs::default(), &question.request_id)
}

#[cfg(test)]
mod tests;
