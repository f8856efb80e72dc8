//! One durable copy of the feed: a replica in memory, and the same in a [`Log`]. Takes in, gives out.

use std::collections::BTreeMap;

use shared::feed::{
    Applied, Envelope, EnvelopeType, FetchRequest, Head, MAX_MESSAGE, Refusal, Replica, Snapshot, State,
    Trust, join_message, split_message,
};
use shared::time::UnixMillis;
use shared::usage::Collect;

use super::{Account, Log, Position};

/// An answer stays well below what a consumer takes in; the rest comes with the next one.
const MAX_ANSWER: usize = MAX_MESSAGE / 4 * 3;

/// What became of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Envelopes that told something new.
    pub accepted: u64,
    /// Envelopes that were known.
    pub known: u64,
    /// The first refusal, if there was one; nothing after it was looked at.
    pub refused: Option<Refusal>,
}

/// Why a stored feed cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError<E> {
    /// The disk.
    Log(E),
    /// Another feed, or another root, than the configured one.
    Foreign(Refusal),
}

/// What an object holds in memory: always equal to what a fresh start would read from the log, but for the counters.
#[derive(Clone, Debug)]
pub struct Feed<L> {
    log: L,
    replica: Replica,
    /// Where the stored snapshot stands.
    snapshot: Option<Position>,
    heartbeat_at: Option<UnixMillis>,
    incompatible: bool,
    refused: BTreeMap<String, u64>,
}

impl<L: Log> Feed<L> {
    /// Reads everything from the log through the same checks as when it came in.
    pub fn open(log: L, trust: Trust) -> Result<Self, OpenError<L::Error>> {
        let mut replica = Replica::new(trust);
        let mut snapshot = None;
        if let Some(envelope) = log.snapshot().map_err(OpenError::Log)? {
            replica.accept(&envelope).map_err(OpenError::Foreign)?;
            snapshot = replica.head().map(Position::from);
        }
        let start = snapshot.unwrap_or(FIRST);
        for envelope in log.frames_after(start, usize::MAX).map_err(OpenError::Log)? {
            replica.accept(&envelope).map_err(OpenError::Foreign)?;
        }
        let heartbeat_at = log.heartbeat_at().map_err(OpenError::Log)?;
        let incompatible = log.is_incompatible().map_err(OpenError::Log)?;
        Ok(Self {
            log,
            replica,
            snapshot,
            heartbeat_at,
            incompatible,
            refused: BTreeMap::new(),
        })
    }

    /// Where it stands.
    pub fn head(&self) -> Option<Head> {
        self.replica.head()
    }

    /// The joined state.
    pub fn state(&self) -> &State {
        self.replica.state()
    }

    /// The store, to keep more in.
    pub fn log(&mut self) -> &mut L {
        &mut self.log
    }

    /// The log, when the object that used it is gone.
    pub fn into_log(self) -> L {
        self.log
    }

    /// Whether it has met what it does not understand, and stopped.
    pub fn is_incompatible(&self) -> bool {
        self.incompatible
    }

    /// Refused envelopes by code.
    pub fn refused(&self) -> &BTreeMap<String, u64> {
        &self.refused
    }

    /// Where it stands and what it refused; how fresh it is, its owner has to say.
    pub fn account(&self, now: UnixMillis) -> Account {
        Account {
            head: self.replica.head().map(Into::into),
            contact_age_ms: None,
            feed_age_ms: self.heartbeat_at.map(|at| now.since(at)),
            incompatible: self.incompatible,
            refused: self.refused.clone(),
            local: Vec::new(),
        }
    }

    /// Takes a message in, up to the first envelope that is refused. After an error of the log, memory may be ahead of the
    /// disk: throw this away and open it again.
    pub fn apply(&mut self, message: &[u8], now: UnixMillis) -> Result<Taken, L::Error> {
        let mut taken = Taken::default();
        let Ok(envelopes) = split_message(message) else {
            taken.refused = Some(Refusal::Malformed);
            return Ok(taken);
        };
        for envelope in envelopes {
            match self.take(envelope, now)? {
                Ok(()) => taken.accepted = taken.accepted.saturating_add(1),
                Err(Refusal::Replayed) => taken.known = taken.known.saturating_add(1),
                Err(refusal) => {
                    taken.refused = Some(refusal);
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// Takes one envelope in, memory first, disk right after.
    fn take(&mut self, envelope: &[u8], now: UnixMillis) -> Result<Result<(), Refusal>, L::Error> {
        match self.replica.accept(envelope) {
            Ok(Applied::Frame) => {
                if let Some(head) = self.replica.head() {
                    self.log.append(head.into(), envelope)?;
                }
                self.recover()?;
            }
            Ok(Applied::Snapshot) => self.keep_snapshot(envelope)?,
            Ok(Applied::Heartbeat(_)) => {
                self.log.set_heartbeat(now, envelope)?;
                self.heartbeat_at = Some(now);
            }
            // A snapshot of where we are already: nothing new, but it lets the log be cut.
            Err(Refusal::Replayed) if self.is_own_snapshot(envelope) => self.keep_snapshot(envelope)?,
            Err(refusal) => {
                let count = self.refused.entry(refusal.to_string()).or_default();
                *count = count.saturating_add(1);
                if refusal == Refusal::Incompatible && !self.incompatible {
                    // Stop, say so, and let everything that reads from here go stale, until a release that knows the kind.
                    self.log.set_incompatible(true)?;
                    self.incompatible = true;
                }
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    fn keep_snapshot(&mut self, envelope: &[u8]) -> Result<(), L::Error> {
        let head = self.replica.head().map(Position::from);
        if let Some(at) = head {
            self.log.replace_snapshot(at, envelope)?;
            self.snapshot = head;
        }
        self.recover()
    }

    /// Whether an authenticated snapshot says exactly what has been joined here: only then may it replace the log.
    fn is_own_snapshot(&self, envelope: &[u8]) -> bool {
        let Ok(envelope) = Envelope::decode(envelope) else {
            return false;
        };
        envelope.kind == EnvelopeType::Snapshot
            && self.snapshot != self.replica.head().map(Position::from)
            && Snapshot::decode(envelope.body)
                .is_ok_and(|s| Some(s.head) == self.replica.head() && s.state == *self.replica.state())
    }

    /// What could not be understood has been.
    fn recover(&mut self) -> Result<(), L::Error> {
        if self.incompatible {
            self.log.set_incompatible(false)?;
            self.incompatible = false;
        }
        Ok(())
    }

    /// What a consumer at a place lacks: frames if the log has them all, else the snapshot and what follows it.
    pub fn since(&self, theirs: Position) -> Result<Vec<u8>, L::Error> {
        let Some(head) = self.replica.head() else {
            return Ok(Vec::new());
        };
        if theirs >= head.into() {
            return Ok(Vec::new());
        }
        let mut envelopes = Vec::new();
        let mut start = theirs;
        if !self.log.continues(theirs)? {
            start = match (self.log.snapshot()?, self.snapshot) {
                (Some(envelope), Some(at)) => {
                    envelopes.push(envelope);
                    at
                }
                _ => FIRST,
            };
        }
        let used = envelopes.iter().map(Vec::len).fold(0, usize::saturating_add);
        envelopes.extend(self.log.frames_after(start, MAX_ANSWER.saturating_sub(used))?);
        Ok(join_message(envelopes.iter().map(Vec::as_slice)))
    }

    /// Reads an authenticated fetch request.
    pub fn fetch_request(&mut self, bytes: &[u8]) -> Result<FetchRequest, Refusal> {
        self.replica.fetch_request(bytes)
    }

    /// Reads an authenticated question for usage.
    pub fn collect_request(&mut self, bytes: &[u8]) -> Result<Collect, Refusal> {
        self.replica.collect_request(bytes)
    }
}

/// Before the first frame of the first epoch.
const FIRST: Position = Position { epoch: 1, seq: 0 };
