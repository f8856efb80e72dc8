//! What one isolate remembers between requests: a replica of the feed, the compiled policy, verified statements, and how
//! old all that is. Plain bytes and numbers only; never a promise, stream or future of some request.
//!
//! Everything here is synchronous. The reading is in `feed`, the deciding in `decide`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use shared::feed::{Refusal, Replica, Trust, split_message};
use shared::policy::{CompiledPolicy, DEFAULT_REFRESH_MS, Policy};
use shared::time::UnixMillis;
use worker::console_error;

use super::account::{Account, Position};
use crate::validator::{Replays, StatementCache};

/// A refresh that has not ended after this long was cancelled with its request.
const LATCH_MS: u64 = 2000;
/// Shared refreshes start at most this often, whatever asks for them.
const MIN_INTERVAL_MS: u64 = 1000;
/// The same while there is no state at all: nothing can be decided until there is.
const MIN_INTERVAL_COLD_MS: u64 = 250;

thread_local! {
    static ISOLATE: RefCell<Isolate> = RefCell::new(Isolate::default());
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

/// Why the hub was read.
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

/// How an answer of the hub left the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// At the hub's head, or past it because another read was faster.
    Up,
    /// The answer did not hold everything: ask again from here.
    Behind,
}

/// The memory of one isolate.
#[derive(Debug, Default)]
pub(super) struct Isolate {
    replica: Option<Replica>,
    policy: Option<CompiledPolicy>,
    /// The longest scope catalogue so far: later ones only append to it.
    catalogue: Vec<String>,
    /// The document that `policy` was made of, to see a change.
    policy_document: Vec<u8>,
    pub(super) cache: StatementCache,
    /// Proofs of possession that came before.
    pub(super) replays: Replays,
    /// When the last read that left us at the hub's head *started*.
    contact_at: Option<UnixMillis>,
    /// The state came from KV, and the hub has not been heard since.
    from_copy: bool,
    copy_tried_at: Option<UnixMillis>,
    latch: Option<UnixMillis>,
    attempted_at: Option<UnixMillis>,
    pub(super) account: Account,
    reads: [u64; 5],
    /// Feed messages refused before the hub was touched, by code.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Isolate {
    /// The replica, made when first needed.
    pub(super) fn replica(&mut self, trust: &Trust) -> &mut Replica {
        self.replica.get_or_insert_with(|| Replica::new(trust.clone()))
    }

    /// State and policy, once there are both, with the statement cache to go with them.
    pub(super) fn deciding(&mut self) -> Option<(&Replica, &CompiledPolicy, &mut StatementCache)> {
        Some((self.replica.as_ref()?, self.policy.as_ref()?, &mut self.cache))
    }

    /// The policy, if there is one.
    pub(super) fn policy(&self) -> Option<&CompiledPolicy> {
        self.policy.as_ref()
    }

    /// How many credentials are revoked.
    pub(super) fn revoked_count(&self) -> u64 {
        self.replica
            .as_ref()
            .map_or(0, |replica| replica.state().revoked_count())
    }

    /// Where the replica stands.
    pub(super) fn head(&self) -> Option<Position> {
        self.replica.as_ref().and_then(Replica::head).map(Into::into)
    }

    /// Whether there is anything to decide with.
    pub(super) fn is_cold(&self) -> bool {
        self.policy.is_none()
    }

    /// Whether the hub has never been heard, and what is known comes from KV.
    pub(super) fn is_copy(&self) -> bool {
        self.from_copy
    }

    /// Milliseconds since the hub was last heard; `None`: never.
    pub(super) fn contact_age_ms(&self, now: UnixMillis) -> Option<u64> {
        self.contact_at.map(|at| now.since(at))
    }

    /// The start of the read that `contact_age_ms` counts from.
    pub(super) fn contact_at(&self) -> Option<UnixMillis> {
        self.contact_at
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
        if self.latch.is_some_and(|start| now.since(start) < LATCH_MS) {
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
        if self.attempted_at.is_some_and(|start| now.since(start) < interval) {
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

    /// Counts a read.
    pub(super) fn count_read(&mut self, cause: Cause) {
        if let Some(count) = self.reads.get_mut(cause as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Reads of the hub by cause.
    pub(super) fn reads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["cold", "refresh", "stale", "strict", "health"]
            .into_iter()
            .zip(self.reads)
    }

    /// Counts a feed message that was refused here.
    pub(super) fn count_refusal(&mut self, code: &str) {
        let count = self.refused.entry(code.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes in what the hub answered to a read that started at `started`.
    pub(super) fn take_answer(
        &mut self,
        trust: &Trust,
        message: &[u8],
        account: Account,
        started: UnixMillis,
    ) -> Result<Caught, Refusal> {
        self.accept(trust, message)?;
        let (ours, theirs) = (self.head(), account.head.clone());
        self.account = account;
        let key = |position: &Position| (position.epoch, position.seq);
        if ours == theirs {
            self.contact_at = self.contact_at.max(Some(started));
            self.from_copy = false;
            return Ok(Caught::Up);
        }
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if key(&ours) == key(&theirs) => Err(Refusal::Fork),
            // A read that started later has brought us further. This one is as fresh as its start, but proves no more.
            (Some(ours), Some(theirs)) if key(&ours) > key(&theirs) => Ok(Caught::Up),
            // The hub has lost what it once told us.
            (Some(_), None) => Err(Refusal::LowerEpoch),
            _ => Ok(Caught::Behind),
        }
    }

    /// Whether the copy in KV should be looked for: seldom, and only while there is nothing else.
    pub(super) fn wants_copy(&mut self, now: UnixMillis) -> bool {
        let due = self.is_cold()
            && self
                .copy_tried_at
                .is_none_or(|at| now.since(at) > 5 * MIN_INTERVAL_MS);
        if due {
            self.copy_tried_at = Some(now);
        }
        due
    }

    /// Takes in the copy from KV: eight bytes of time, then the feed. It counts from when the hub made it.
    pub(super) fn take_copy(&mut self, trust: &Trust, copy: &[u8]) -> Result<(), Refusal> {
        let (time, message) = copy.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
        if self.is_cold() {
            self.accept(trust, message)?;
            self.contact_at = Some(UnixMillis(u64::from_be_bytes(*time)));
            self.from_copy = true;
        }
        Ok(())
    }

    fn accept(&mut self, trust: &Trust, message: &[u8]) -> Result<(), Refusal> {
        let replica = self.replica.get_or_insert_with(|| Replica::new(trust.clone()));
        let mut outcome = Ok(());
        for envelope in split_message(message)? {
            match replica.accept(envelope) {
                Ok(_) | Err(Refusal::Replayed) => {}
                Err(refusal) => {
                    outcome = Err(refusal);
                    break;
                }
            }
        }
        // What was applied counts, even if something after it was refused.
        if !message.is_empty() {
            self.compile_policy();
        }
        outcome
    }

    /// Compiles the policy if it is another one. One that does not compile leaves none: nothing is let in by a guess.
    fn compile_policy(&mut self) {
        let Some((version, document)) = self.replica.as_ref().and_then(|replica| replica.state().policy())
        else {
            return;
        };
        if self.policy_document == document {
            return;
        }
        self.policy = match Policy::from_json(document).and_then(Policy::compile) {
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
