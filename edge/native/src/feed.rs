//! How the feed comes, and who waits for it. What is believed of it, and how old it may be, the core says.
//!
//! The control plane is asked all the time ([`Feed::poll`]): one question is there, and it answers when there is news or half a
//! second is over. Two of these and the way there stay below the usual bound. A request to a strict route starts a question of
//! its own; those that wait for one at the same time share the next one that starts. Such questions start at most forty times in a
//! second, however many callers there are: the control plane answers a key so many in a minute, and nobody may use them up for
//! everybody. One that names a frame that is not here yet, or a block of indexes,
//! waits for the next of the ordinary questions: strangers cause none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use edge::library::Gate;
use http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use shared::feed::MAX_MESSAGE;
use shared::time::UnixMillis;
use tokio::sync::watch;

use crate::client::{Client, Whole, describe};
use crate::clock::Clock;
use crate::settings::{Settings, SettingsError, base_url};

const REPORT: HeaderName = HeaderName::from_static("portcullis-report");
/// How long a request waits for a fetch.
const WAIT: Duration = Duration::from_millis(2500);
/// How long the control plane may wait for news.
const POLL: Duration = Duration::from_millis(500);
/// What an answer may take beyond that: it may hold a snapshot.
const GRACE: Duration = Duration::from_secs(20);
/// From the start of one fetch for requests to that of the next: with those that always go on, well below the half of what the
/// control plane grants a key.
const SPACING: Duration = Duration::from_millis(25);
/// Fetches after a failure, for everybody together.
const RETRY: Duration = Duration::from_secs(1);
/// The same before anything was ever heard.
const RETRY_COLD: Duration = Duration::from_millis(250);
/// Messages in a row that one fetch may take to catch up.
const MAX_ROUNDS: usize = 64;

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    #[error("the control plane did not answer: {0}")]
    Unreachable(String),
    #[error("the control plane answered {0} to a fetch of the feed{hint}", hint = hint(*.0))]
    Status(StatusCode),
    #[error("what the control plane sent is refused: {0}")]
    Refused(String),
    #[error("the control plane is ever further ahead")]
    Behind,
    #[error("an internal error")]
    Internal,
}

fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => ": the uplink key is wrong, or was revoked; `portcullis edge key NAME` makes one",
        403 => ": the uplink key is of an edge whose mode is not \"pull\"",
        409 => ": this gate knows more than that database; is it an old backup, or another installation?",
        _ => "",
    }
}

/// The core, and by a clock that is never set, when it was last in contact.
struct Core {
    gate: Gate,
    contact: Option<Duration>,
}

/// One fetch after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// Fetches are numbered as they start. The highest that was answered.
    number: u64,
    /// How many were answered.
    count: u64,
}

/// How the last fetch for a request went.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    began: Option<Duration>,
    failed: Option<Duration>,
}

/// The copy of the feed of one process.
pub(crate) struct Feed {
    client: Client,
    base: String,
    authorization: HeaderValue,
    clock: Clock,
    core: Mutex<Core>,
    started: AtomicU64,
    heard: watch::Sender<Heard>,
    etag: Mutex<Option<HeaderValue>>,
    /// Held while a request fetches.
    turn: tokio::sync::Mutex<Turn>,
}

impl Feed {
    pub(crate) fn new(
        settings: &Settings,
        gate: Gate,
        client: Client,
        clock: Clock,
    ) -> Result<Self, SettingsError> {
        let base = base_url(&settings.control_plane)
            .ok_or_else(|| SettingsError::of("control_plane", "expected http(s)://host[:port][/path]"))?;
        Ok(Self {
            client,
            base,
            authorization: bearer(&settings.uplink_key)?,
            clock,
            core: Mutex::new(Core { gate, contact: None }),
            started: AtomicU64::new(0),
            heard: watch::Sender::new(Heard::default()),
            etag: Mutex::new(None),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Does something with the core, at this time. `None` if it was left in the middle of something, which nothing does.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Gate, UnixMillis) -> T) -> Option<T> {
        let mut core = self.core.lock().ok()?;
        let now = self.clock.now();
        if let Some(contact) = core.contact {
            let age = self.clock.elapsed().saturating_sub(contact);
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            core.gate.is_at_least_as_old_as(age_ms, now);
        }
        Some(f(&mut core.gate, now))
    }

    /// How many fetches had started when a request arrived: those that come after it have higher numbers.
    pub(crate) fn arrival(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    /// Waits until the control plane was heard again. Whether it was.
    pub(crate) async fn refresh(&self) -> bool {
        let mut heard = self.heard.subscribe();
        let before = heard.borrow_and_update().count;
        let news = async { heard.wait_for(|heard| heard.count != before).await.is_ok() };
        self.first_of(news, |heard| heard.count != before).await
    }

    /// Waits for a fetch that started after a request arrived. Whether it was answered.
    pub(crate) async fn read_after(&self, arrived: u64) -> bool {
        let mut heard = self.heard.subscribe();
        let news = async { heard.wait_for(|heard| heard.number > arrived).await.is_ok() };
        self.first_of(news, |heard| heard.number > arrived).await
    }

    /// The same, but causes none.
    pub(crate) async fn wait_after(&self, arrived: u64) -> bool {
        let mut heard = self.heard.subscribe();
        let news = heard.wait_for(|heard| heard.number > arrived);
        tokio::time::timeout(WAIT, news)
            .await
            .is_ok_and(|heard| heard.is_ok())
    }

    /// What comes first: news that somebody else gets, or our own.
    async fn first_of(&self, news: impl Future<Output = bool>, is_enough: impl Fn(&Heard) -> bool) -> bool {
        let first = async {
            tokio::select! {
                heard = news => heard,
                heard = self.fetch_unless(is_enough) => heard,
            }
        };
        tokio::time::timeout(WAIT, first).await.unwrap_or(false)
    }

    /// One at a time: whoever comes to the turn looks first whether the one before has fetched for it.
    async fn fetch_unless(&self, is_enough: impl Fn(&Heard) -> bool) -> bool {
        let mut turn = self.turn.lock().await;
        if is_enough(&self.heard.borrow()) {
            return true;
        }
        let since = |at: Duration| self.clock.elapsed().saturating_sub(at);
        let rest = turn
            .began
            .map_or(Duration::ZERO, |at| SPACING.saturating_sub(since(at)));
        if !rest.is_zero() {
            // Whoever arrives meanwhile shares the fetch that starts then.
            tokio::time::sleep(rest).await;
            if is_enough(&self.heard.borrow()) {
                return true;
            }
        }
        let interval = if self.heard.borrow().count == 0 {
            RETRY_COLD
        } else {
            RETRY
        };
        if turn.failed.is_some_and(|at| since(at) < interval) {
            return false;
        }
        turn.began = Some(self.clock.elapsed());
        match self.catch_up(Duration::ZERO).await {
            Ok(()) => {
                turn.failed = None;
                is_enough(&self.heard.borrow())
            }
            Err(error) => {
                turn.failed = Some(self.clock.elapsed());
                tracing::debug!(%error, "a request could not fetch the feed");
                false
            }
        }
    }

    /// Always one question at the control plane, which answers when there is news. Never ends.
    pub(crate) async fn poll(&self) {
        let mut was_heard = true;
        loop {
            let begun = self.clock.elapsed();
            let wait = if self.etag().is_some() {
                POLL
            } else {
                Duration::ZERO
            };
            match self.catch_up(wait).await {
                Ok(()) => {
                    if !was_heard {
                        tracing::info!("the feed is heard again");
                    }
                    was_heard = true;
                    let rest = (POLL / 2).saturating_sub(self.clock.elapsed().saturating_sub(begun));
                    tokio::time::sleep(rest).await;
                }
                Err(error) => {
                    // Once, not every second.
                    if was_heard {
                        tracing::warn!(%error, "the feed is not heard; routes go by their bounds from now on");
                    }
                    was_heard = false;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Fetches until this copy is at the head.
    async fn catch_up(&self, wait: Duration) -> Result<(), FeedError> {
        for _ in 0..MAX_ROUNDS {
            let number = self.started.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            let (at, since) = (self.clock.now(), self.clock.elapsed());
            let answer = self.ask(wait).await?;
            if answer.status == StatusCode::NOT_MODIFIED {
                self.believe(since, |gate, now| gate.confirm(at, now))?;
                self.note(number);
                return Ok(());
            }
            let taken = self.with(|gate, now| gate.take(&answer.body, at, now, false));
            let taken = taken.ok_or(FeedError::Internal)?;
            if let Some(refusal) = taken.refused {
                self.set_etag(None);
                return Err(FeedError::Refused(refusal));
            }
            self.set_etag(answer.headers.get(ETAG).filter(|_| taken.at_head).cloned());
            if taken.at_head {
                self.believe(since, |_, _| ())?;
                self.note(number);
                return Ok(());
            }
        }
        Err(FeedError::Behind)
    }

    /// Contact was made by a fetch that began at this moment.
    fn believe(&self, began: Duration, f: impl FnOnce(&mut Gate, UnixMillis)) -> Result<(), FeedError> {
        let mut core = self.core.lock().map_err(|_| FeedError::Internal)?;
        f(&mut core.gate, self.clock.now());
        core.contact = core.contact.max(Some(began));
        Ok(())
    }

    fn note(&self, number: u64) {
        self.heard.send_modify(|heard| {
            heard.number = heard.number.max(number);
            heard.count = heard.count.saturating_add(1);
        });
    }

    async fn ask(&self, wait: Duration) -> Result<Whole, FeedError> {
        let asked = self.with(|gate, _| gate.fetch()).ok_or(FeedError::Internal)?;
        let text = |name: &str| {
            asked
                .get(name)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        let uri: Uri = format!(
            "{}/v1/edge/feed?{}&wait={}",
            self.base,
            text("query"),
            wait.as_millis()
        )
        .parse()
        .map_err(|_| FeedError::Internal)?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let report = HeaderValue::from_str(text("report")).map_err(|_| FeedError::Internal)?;
        headers.insert(REPORT, report);
        if let Some(etag) = self.etag().clone() {
            headers.insert(IF_NONE_MATCH, etag);
        }
        let answer = self
            .client
            .get(uri, headers, MAX_MESSAGE, wait.saturating_add(GRACE))
            .await;
        let answer = answer.map_err(|error| FeedError::Unreachable(describe(&error)))?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(answer),
            other => Err(FeedError::Status(other)),
        }
    }

    fn etag(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.etag
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set_etag(&self, etag: Option<HeaderValue>) {
        *self.etag() = etag;
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, SettingsError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
        SettingsError::of(
            "uplink_key",
            "expected a key that was made by `portcullis edge key`",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
