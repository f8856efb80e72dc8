//! The hub's copy of the feed: a replica in memory, and the same on disk. Takes in, gives out, and never awaits anything.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::feed::{
    Applied, Envelope, EnvelopeType, Head, MAX_MESSAGE, Refusal, Replica, Snapshot, join_message, kinds,
    split_message,
};
use worker::{Env, Result, State, console_error};

use super::storage::{Position, Storage};
use crate::worker_adapter::account::{self, Account};
use crate::worker_adapter::config::EdgeConfig;
use crate::worker_adapter::http;
use crate::worker_adapter::response::{self, FORBIDDEN, OK};

/// An answer stays well below what a consumer takes in; the rest comes with the next one.
const MAX_ANSWER: usize = MAX_MESSAGE / 4 * 3;
/// A fetch request older than this, or from further ahead, may be a replay.
const FETCH_WINDOW_MS: u64 = 10 * 60 * 1000;
/// KV takes one write a second per key; the copy is for emergencies only.
const COPY_INTERVAL_MS: u64 = 30_000;

/// What the object holds in memory: always equal to what a fresh start would read from disk, but for the counters.
pub(super) struct Feed {
    storage: Storage,
    replica: Replica,
    /// Where the stored snapshot stands.
    snapshot: Option<Position>,
    heartbeat_at: Option<u64>,
    incompatible: bool,
    refused: BTreeMap<String, u64>,
    copied_at: u64,
}

impl Feed {
    /// Reads everything from disk through the same checks as when it came in. `None`, with a line in the log, if that fails.
    pub(super) fn load(state: &State, env: &Env) -> Option<Self> {
        match Self::try_load(state, env) {
            Ok(feed) => Some(feed),
            Err(error) => {
                console_error!("hub: cannot start: {}", error);
                None
            }
        }
    }

    fn try_load(state: &State, env: &Env) -> Result<Self> {
        let config = EdgeConfig::read(env)?;
        let storage = Storage::open(state.storage().sql())?;
        let mut replica = Replica::new(config.trust);
        let foreign =
            |refusal: Refusal| format!("the stored feed does not fit FEED_ID and ROOT_KEY: {refusal}");
        let mut snapshot = None;
        if let Some(envelope) = storage.snapshot()? {
            replica.accept(&envelope).map_err(foreign)?;
            snapshot = replica.head().map(position);
        }
        let start = snapshot.unwrap_or(Position { epoch: 1, seq: 0 });
        for envelope in storage.frames_after(start, usize::MAX)? {
            replica.accept(&envelope).map_err(foreign)?;
        }
        let heartbeat_at = storage.heartbeat_time()?;
        let incompatible = storage.number("incompatible")? == Some(1);
        Ok(Self {
            storage,
            replica,
            snapshot,
            heartbeat_at,
            incompatible,
            refused: BTreeMap::new(),
            copied_at: 0,
        })
    }

    pub(super) fn account(&self) -> Account {
        let now = http::now().0;
        Account {
            head: self.replica.head().map(Into::into),
            feed_age_ms: self.heartbeat_at.map(|at| now.saturating_sub(at)),
            incompatible: self.incompatible,
            refused: self.refused.clone(),
        }
    }

    /// Takes a message in, up to the first envelope that is refused. An error is the storage's.
    pub(super) fn apply(&mut self, message: &[u8]) -> Result<(u16, Value)> {
        let (mut accepted, mut known) = (0u64, 0u64);
        let mut refused = None;
        match split_message(message) {
            Err(_) => refused = Some(Refusal::Malformed),
            Ok(envelopes) => {
                for envelope in envelopes {
                    match self.take(envelope)? {
                        Ok(()) => accepted = accepted.saturating_add(1),
                        Err(Refusal::Replayed) => known = known.saturating_add(1),
                        Err(refusal) => {
                            refused = Some(refusal);
                            break;
                        }
                    }
                }
            }
        }
        let status = refused.map_or(OK, response::feed_status);
        let head = self.replica.head().map(account::Position::from);
        let answer = json!({
            "epoch": head.as_ref().map(|head| head.epoch),
            "seq": head.as_ref().map(|head| head.seq),
            "digest": head.as_ref().map(|head| head.digest.as_str()),
            "accepted": accepted,
            "known": known,
            "refused": refused.iter().map(|refusal| json!({"code": refusal.to_string()})).collect::<Vec<_>>(),
            "kinds": kinds::SUPPORTED,
            "counters": self.refused,
        });
        Ok((status, answer))
    }

    /// Takes one envelope in, memory first, disk right after: nothing is awaited in between, and a failing disk makes the
    /// caller throw the memory away.
    fn take(&mut self, envelope: &[u8]) -> Result<std::result::Result<(), Refusal>> {
        match self.replica.accept(envelope) {
            Ok(Applied::Frame) => {
                let head = self.replica.head().ok_or("a frame without a head")?;
                self.storage.append(position(head), envelope)?;
                self.recover()?;
            }
            Ok(Applied::Snapshot) => self.keep_snapshot(envelope)?,
            Ok(Applied::Heartbeat(_)) => {
                let now = http::now().0;
                self.storage.set_heartbeat(now, envelope)?;
                self.heartbeat_at = Some(now);
            }
            // The publisher's snapshot of where we are already: nothing new, but it lets the log be cut.
            Err(Refusal::Replayed) if self.is_own_snapshot(envelope) => self.keep_snapshot(envelope)?,
            Err(refusal) => {
                let count = self.refused.entry(refusal.to_string()).or_default();
                *count = count.saturating_add(1);
                if refusal == Refusal::Incompatible && !self.incompatible {
                    // Stop, say so, and let everything that reads from here go stale, until a release that knows the kind.
                    self.storage.set_number("incompatible", 1)?;
                    self.incompatible = true;
                }
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    fn keep_snapshot(&mut self, envelope: &[u8]) -> Result<()> {
        let head = self.replica.head().ok_or("a snapshot without a head")?;
        self.storage.replace_snapshot(position(head), envelope)?;
        self.snapshot = Some(position(head));
        self.recover()
    }

    /// Whether an authenticated snapshot says exactly what has been joined here: only then may it replace the log.
    fn is_own_snapshot(&self, envelope: &[u8]) -> bool {
        let Ok(envelope) = Envelope::decode(envelope) else {
            return false;
        };
        envelope.kind == EnvelopeType::Snapshot
            && self.snapshot != self.replica.head().map(position)
            && Snapshot::decode(envelope.body)
                .is_ok_and(|s| Some(s.head) == self.replica.head() && s.state == *self.replica.state())
    }

    /// What could not be understood has been.
    fn recover(&mut self) -> Result<()> {
        if self.incompatible {
            self.storage.set_number("incompatible", 0)?;
            self.incompatible = false;
        }
        Ok(())
    }

    /// What a consumer at a position lacks: frames if the log has them all, else the snapshot and what follows it.
    pub(super) fn since(&self, epoch: u64, after: u64) -> Result<Vec<u8>> {
        let Some(head) = self.replica.head() else {
            return Ok(Vec::new());
        };
        let theirs = Position { epoch, seq: after };
        if theirs >= position(head) {
            return Ok(Vec::new());
        }
        let mut envelopes = Vec::new();
        let mut start = theirs;
        if !self.storage.continues(theirs)? {
            let snapshot = self.storage.snapshot()?;
            start = match (snapshot, self.snapshot) {
                (Some(envelope), Some(position)) => {
                    envelopes.push(envelope);
                    position
                }
                _ => Position { epoch: 1, seq: 0 },
            };
        }
        let used = envelopes.iter().map(Vec::len).fold(0, usize::saturating_add);
        envelopes.extend(
            self.storage
                .frames_after(start, MAX_ANSWER.saturating_sub(used))?,
        );
        Ok(join_message(envelopes.iter().map(Vec::as_slice)))
    }

    /// Answers a publisher that has lost what it once sent.
    pub(super) fn fetch(&mut self, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let now = http::now().0;
        match self.replica.fetch_request(body) {
            Ok(request) if request.time.0.abs_diff(now) <= FETCH_WINDOW_MS => {
                Ok((OK, self.since(request.epoch, request.after)?))
            }
            Ok(_) => Ok((FORBIDDEN.status, refused("too_old"))),
            Err(refusal) => Ok((response::feed_status(refusal), refused(&refusal.to_string()))),
        }
    }

    /// A copy for KV, if one is due: the time it was made, big-endian, then the whole feed.
    pub(super) fn due_copy(&mut self, wanted: bool) -> Option<Vec<u8>> {
        let now = http::now().0;
        if !wanted || self.incompatible || now.saturating_sub(self.copied_at) < COPY_INTERVAL_MS {
            return None;
        }
        self.replica.head()?;
        self.copied_at = now;
        let mut copy = now.to_be_bytes().to_vec();
        copy.extend(self.since(0, 0).ok()?);
        Some(copy)
    }
}

fn refused(code: &str) -> Vec<u8> {
    json!({ "refused": [{ "code": code }] }).to_string().into_bytes()
}

fn position(head: Head) -> Position {
    Position {
        epoch: head.epoch,
        seq: head.seq,
    }
}
