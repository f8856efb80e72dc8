//! What one isolate remembers between requests: its copy of the feed ([`Follower`], which also knows how old it is), the
//! compiled policy, verified statements, and which region it reads, and what it has counted. Plain bytes and numbers only; never a promise, stream or future of some request.
//!
//! Everything here is synchronous. The reading is in `feed`, the deciding in `decide`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use shared::feed::{Head, Refusal, Replica, State, Trust};
use shared::id::StatusIndex;
use shared::policy::{CompiledPolicy, DEFAULT_REFRESH_MS, Policy};
use shared::time::UnixMillis;
use worker::console_error;

use crate::limits::Allowances;
use crate::limits::brake::Brake;
use crate::replication::{Account, Caught, Follower, LocalSet, RegionName};
use crate::usage::Counter;
use crate::validator::{Replays, StatementCache};

use super::http;

/// A refresh that has not ended after this long was cancelled with its request.
const LATCH_MS: u64 = 2000;
/// Shared refreshes start at most this often, whatever asks for them.
const MIN_INTERVAL_MS: u64 = 1000;
/// The same while there is no state at all: nothing can be decided until there is.
const MIN_INTERVAL_COLD_MS: u64 = 250;

thread_local! {
    static ISOLATE: RefCell<Isolate> = RefCell::new(Isolate {
        cache: http::random().map_or_else(StatementCache::closed, StatementCache::with_key),
        ..Isolate::default()
    });
}

/// Runs a function on the isolate's memory. `None` only if that is in use already, which no caller does.
pub(super) fn with<T>(use_it: impl FnOnce(&mut Isolate) -> T) -> Option<T> {
    ISOLATE.with(|isolate| {
        isolate
            .try_borrow_mut()
            .ok()
            .map(|mut isolate| use_it(&mut isolate))
    })
}

/// Why the region was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The isolate knew nothing yet.
    Cold,
    /// Older than the refresh interval; nobody waited.
    Refresh,
    /// Older than a route's bound; the request waited.
    Stale,
    /// A strict route.
    Strict,
    /// The health endpoint, where an operator wants to see what is.
    Health,
    /// The caller named a seq that the isolate had not reached.
    Seq,
}

impl Cause {
    /// Whether an answer that another isolate got a moment ago will do.
    pub(super) fn takes_shared(self) -> bool {
        matches!(self, Self::Cold | Self::Refresh | Self::Stale)
    }
}

/// Whether a shared refresh may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Latch {
    /// Yes, and it has: end it with this start time.
    Taken(UnixMillis),
    /// Another request is at it.
    InFlight,
    /// One has just ended.
    TooSoon,
}

/// The memory of one isolate.
#[derive(Debug, Default)]
pub(super) struct Isolate {
    follower: Option<Follower>,
    region: Option<RegionName>,
    policy: Option<CompiledPolicy>,
    /// The longest scope catalogue so far: later ones only append to it.
    catalogue: Vec<String>,
    /// The document that `policy` was made of, to see a change.
    policy_document: Vec<u8>,
    pub(super) cache: StatementCache,
    /// Proofs of possession that came before.
    pub(super) replays: Replays,
    copy_tried_at: Option<UnixMillis>,
    latch: Option<UnixMillis>,
    attempted_at: Option<UnixMillis>,
    /// What the region said last, and when.
    account: Account,
    account_at: Option<UnixMillis>,
    reads: [u64; 6],
    /// Decisions on the fast path, and on the other.
    pub(super) decisions: [u64; 2],
    /// Reads that another isolate of the data centre had made already.
    pub(super) shared_reads: u64,
    /// Requests that were counted and are not delivered yet.
    pub(super) usage: Counter,
    /// Requests that limits still allow.
    pub(super) allowances: Allowances,
    /// Bad credentials by address.
    pub(super) brake: Brake,
    /// Feed messages refused before the hub was touched, by code.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Isolate {
    fn follower(&mut self, trust: &Trust) -> &mut Follower {
        self.follower.get_or_insert_with(|| Follower::new(trust.clone()))
    }

    /// The replica, made when first needed, to authenticate with.
    pub(super) fn replica(&mut self, trust: &Trust) -> &mut Replica {
        self.follower(trust).replica()
    }

    /// The region that this isolate reads: the one nearest to its first caller, for good. A data centre does not move, and
    /// going to and fro between regions would make reads of their differences.
    pub(super) fn region(&mut self, nearest: impl FnOnce() -> Option<RegionName>) -> Option<&RegionName> {
        if self.region.is_none() {
            self.region = nearest();
        }
        self.region.as_ref()
    }

    /// The region, once a request has chosen it.
    pub(super) fn home(&self) -> Option<&RegionName> {
        self.region.as_ref()
    }

    /// State, local set and policy, once there are all, with the statement cache to go with them.
    pub(super) fn deciding(&mut self) -> Option<(&State, &LocalSet, &CompiledPolicy, &mut StatementCache)> {
        let follower = self.follower.as_ref()?;
        Some((
            follower.state(),
            follower.local(),
            self.policy.as_ref()?,
            &mut self.cache,
        ))
    }

    /// The policy, if there is one.
    pub(super) fn policy(&self) -> Option<&CompiledPolicy> {
        self.policy.as_ref()
    }

    /// How many credentials are revoked.
    pub(super) fn revoked_count(&self) -> u64 {
        self.follower
            .as_ref()
            .map_or(0, |follower| follower.state().revoked_count())
    }

    /// How many were ended at the edge and are in no frame yet.
    pub(super) fn local_count(&self) -> usize {
        self.follower
            .as_ref()
            .map_or(0, |follower| follower.local().all().len())
    }

    /// Ends a credential here at once; its region was told.
    pub(super) fn end_locally(&mut self, index: StatusIndex) {
        if let Some(follower) = self.follower.as_mut() {
            follower.end_locally(index);
        }
    }

    /// Where the copy stands.
    pub(super) fn head(&self) -> Option<Head> {
        self.follower.as_ref().and_then(Follower::head)
    }

    /// Whether there is anything to decide with.
    pub(super) fn is_cold(&self) -> bool {
        self.policy.is_none()
    }

    /// Whether no region has ever been heard, and what is known comes from KV.
    pub(super) fn is_copy(&self) -> bool {
        self.follower.as_ref().is_some_and(Follower::is_copy)
    }

    /// Milliseconds since what is known was fresh; `None`: never, or nobody can say.
    pub(super) fn contact_age_ms(&self, now: UnixMillis) -> Option<u64> {
        self.follower.as_ref()?.contact_age_ms(now)
    }

    /// The moment that `contact_age_ms` counts from.
    pub(super) fn contact_at(&self) -> Option<UnixMillis> {
        self.follower.as_ref()?.contact_at()
    }

    /// What the region said last of itself.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Milliseconds since the newest heartbeat came to the hub, as far as anybody here knows.
    pub(super) fn feed_age_ms(&self, now: UnixMillis) -> Option<u64> {
        let elapsed = now.since(self.account_at?);
        self.account.feed_age_ms.map(|age| age.saturating_add(elapsed))
    }

    /// Whether the ordinary refresh is due.
    pub(super) fn is_refresh_due(&self, now: UnixMillis) -> bool {
        let interval = self
            .policy
            .as_ref()
            .map_or(DEFAULT_REFRESH_MS, |policy| policy.policy.refresh_ms);
        self.contact_age_ms(now).is_none_or(|age| age > interval)
    }

    /// Starts a shared refresh unless one is running or has just been.
    pub(super) fn take_latch(&mut self, now: UnixMillis) -> Latch {
        if within(self.latch, now, LATCH_MS) {
            return Latch::InFlight;
        }
        let refresh = self
            .policy
            .as_ref()
            .map_or(DEFAULT_REFRESH_MS, |policy| policy.policy.refresh_ms);
        let interval = if self.is_cold() {
            MIN_INTERVAL_COLD_MS
        } else {
            refresh.min(MIN_INTERVAL_MS)
        };
        if within(self.attempted_at, now, interval) {
            return Latch::TooSoon;
        }
        self.latch = Some(now);
        self.attempted_at = Some(now);
        Latch::Taken(now)
    }

    /// Ends the shared refresh that started then, unless a later one has taken over.
    pub(super) fn release_latch(&mut self, start: UnixMillis) {
        if self.latch == Some(start) {
            self.latch = None;
        }
    }

    /// Counts a decision, whatever it was: the one place for the fast path and for the other.
    pub(super) fn count_decision(&mut self, is_fast: bool) {
        let [fast, slow] = &mut self.decisions;
        let count = if is_fast { fast } else { slow };
        *count = count.saturating_add(1);
    }

    /// Counts a read.
    pub(super) fn count_read(&mut self, cause: Cause) {
        if let Some(count) = self.reads.get_mut(cause as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Reads of the region by cause.
    pub(super) fn reads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["cold", "refresh", "stale", "strict", "health", "seq"]
            .into_iter()
            .zip(self.reads)
    }

    /// Counts a feed message that was refused here.
    pub(super) fn count_refusal(&mut self, code: &str) {
        let count = self.refused.entry(code.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes in what the region answered to a read that started at `started`.
    pub(super) fn take_answer(
        &mut self,
        trust: &Trust,
        message: &[u8],
        account: Account,
        started: UnixMillis,
        now: UnixMillis,
    ) -> Result<Caught, Refusal> {
        let outcome = self.follower(trust).take_answer(message, &account, started, now);
        self.account = account;
        self.account_at = Some(started);
        // What was applied counts, even if something after it was refused.
        if !message.is_empty() {
            self.compile_policy();
        }
        outcome
    }

    /// Whether the copy in KV should be looked for: seldom, and only while there is nothing else.
    pub(super) fn wants_copy(&mut self, now: UnixMillis) -> bool {
        let due = self.is_cold() && !within(self.copy_tried_at, now, 5 * MIN_INTERVAL_MS);
        if due {
            self.copy_tried_at = Some(now);
        }
        due
    }

    /// Takes in the copy from KV: eight bytes of time, then the feed. It counts from when the hub made it.
    pub(super) fn take_copy(&mut self, trust: &Trust, copy: &[u8]) -> Result<(), Refusal> {
        let (time, message) = copy.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
        if !self.is_cold() {
            return Ok(());
        }
        let made_at = UnixMillis(u64::from_be_bytes(*time));
        let outcome = self.follower(trust).take_copy(message, made_at);
        self.compile_policy();
        outcome
    }

    /// Compiles the policy if it is another one. One that does not compile leaves none: nothing is let in by a guess.
    fn compile_policy(&mut self) {
        let Some((version, document)) = self
            .follower
            .as_ref()
            .and_then(|follower| follower.state().policy())
        else {
            return;
        };
        if self.policy_document == document {
            return;
        }
        self.policy = match Policy::from_feed(document).and_then(Policy::compile) {
            // Scopes in keys are bits of the catalogue: another order would give them another meaning.
            Ok(policy) if !policy.catalogue().all().starts_with(&self.catalogue) => {
                console_error!(
                    "policy version {} is refused: its scopes do not continue the ones before",
                    version
                );
                None
            }
            Ok(policy) => {
                self.catalogue = policy.catalogue().all().to_vec();
                Some(policy)
            }
            Err(error) => {
                console_error!("policy version {} is refused: {}", version, error);
                None
            }
        };
        self.policy_document = document.to_vec();
        // Scopes of remembered statements are bits of the old catalogue.
        self.cache.clear();
    }
}

/// Whether something started less than `limit` ago. A start that lies ahead was noted before the clock jumped back.
fn within(start: Option<UnixMillis>, now: UnixMillis, limit: u64) -> bool {
    start.is_some_and(|start| start <= now && now.since(start) < limit)
}
