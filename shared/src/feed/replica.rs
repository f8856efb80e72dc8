//! A consumer of the feed: the hub, an isolate, and the publisher's check of itself. Strictly in order, never backwards.

use super::entry::{Entry, IssuingKey, KeyOwner, KeyRef, covered};
use super::{
    Certificate, Envelope, EnvelopeType, FetchRequest, Frame, Head, Heartbeat, MAX_RETIRED, MAX_REVOKED,
    Snapshot, State, Trust, ranges,
};
use crate::crypto::Digest;
use crate::usage::Collect;
use crate::wire::Malformed;

/// Why an envelope changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The bytes cannot be read.
    #[error("malformed")]
    Malformed,
    /// Another feed than the pinned one.
    #[error("wrong_feed")]
    WrongFeed,
    /// The root did not sign the certificate, or the key was removed, or the epoch is not the certificate's.
    #[error("bad_certificate")]
    BadCertificate,
    /// The certificate's key did not sign the body.
    #[error("bad_signature")]
    BadSignature,
    /// Already applied: nothing changes.
    #[error("replayed")]
    Replayed,
    /// Something is missing in between.
    #[error("gap")]
    Gap,
    /// Another history than ours.
    #[error("fork")]
    Fork,
    /// From before the current epoch.
    #[error("lower_epoch")]
    LowerEpoch,
    /// Would lift a restriction, replace a key or a block, or exceed what a state can hold.
    #[error("undoes")]
    Undoes,
    /// One of our own keys without the root's signature.
    #[error("key_not_certified")]
    KeyNotCertified,
    /// A critical entry of a kind that this release does not know: stop, and go stale.
    #[error("incompatible")]
    Incompatible,
    /// An envelope of a type that has no place here.
    #[error("unexpected")]
    Unexpected,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What an accepted envelope did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// One frame further.
    Frame,
    /// The whole state is that of the snapshot.
    Snapshot,
    /// Alive, and at the same head.
    Heartbeat(Heartbeat),
}

/// The state of one consumer, with where it stands and whom it trusts.
#[derive(Clone, Debug)]
pub struct Replica {
    trust: Trust,
    head: Option<Head>,
    state: State,
    /// The certificate that was verified last: the next envelope usually carries the same one.
    certificate: Option<Certificate>,
}

impl Replica {
    /// A consumer that knows nothing yet.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            head: None,
            state: State::default(),
            certificate: None,
        }
    }

    /// Where it stands; `None` before the first frame or snapshot.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The joined state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whom it trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Checks who speaks, without looking at what is said: what a gate does before it wakes an object.
    pub fn authenticate<'a>(&mut self, bytes: &'a [u8]) -> Result<Envelope<'a>, Refusal> {
        let envelope = Envelope::decode(bytes)?;
        self.check_certificate(&envelope.certificate)?;
        if envelope.has_valid_signature() {
            Ok(envelope)
        } else {
            Err(Refusal::BadSignature)
        }
    }

    /// Whether the root vouches for a speaker, and its key was not removed. Says nothing about who holds the certificate.
    pub fn check_certificate(&mut self, certificate: &Certificate) -> Result<(), Refusal> {
        if certificate.feed != self.trust.feed {
            return Err(Refusal::WrongFeed);
        }
        if self.state.is_removed(&KeyRef::Ours(certificate.number)) {
            return Err(Refusal::BadCertificate);
        }
        if self.certificate.as_ref() != Some(certificate) {
            if !certificate.is_trusted_by(&self.trust) {
                return Err(Refusal::BadCertificate);
            }
            self.certificate = Some(certificate.clone());
        }
        Ok(())
    }

    /// Takes in one envelope, or says why not; a refusal changes nothing.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<Applied, Refusal> {
        let envelope = self.authenticate(bytes)?;
        let epoch = envelope.certificate.epoch;
        match envelope.kind {
            EnvelopeType::Frame => self.accept_frame(envelope.body, epoch),
            EnvelopeType::Snapshot => self.accept_snapshot(envelope.body, epoch),
            EnvelopeType::Heartbeat => self.accept_heartbeat(envelope.body, epoch),
            EnvelopeType::Fetch | EnvelopeType::Collect => Err(Refusal::Unexpected),
        }
    }

    /// Reads an authenticated fetch request.
    pub fn fetch_request(&mut self, bytes: &[u8]) -> Result<FetchRequest, Refusal> {
        let envelope = self.authenticate(bytes)?;
        if envelope.kind != EnvelopeType::Fetch {
            return Err(Refusal::Unexpected);
        }
        let request = FetchRequest::decode(envelope.body)?;
        if request.feed == self.trust.feed {
            Ok(request)
        } else {
            Err(Refusal::WrongFeed)
        }
    }

    /// Reads an authenticated question for usage.
    pub fn collect_request(&mut self, bytes: &[u8]) -> Result<Collect, Refusal> {
        let envelope = self.authenticate(bytes)?;
        if envelope.kind != EnvelopeType::Collect {
            return Err(Refusal::Unexpected);
        }
        let request = Collect::decode(envelope.body)?;
        if request.feed == self.trust.feed {
            Ok(request)
        } else {
            Err(Refusal::WrongFeed)
        }
    }

    fn accept_frame(&mut self, body: &[u8], certified_epoch: u64) -> Result<Applied, Refusal> {
        let frame = Frame::decode(body)?;
        self.check_origin(frame.feed, frame.epoch, certified_epoch)?;
        let digest = Frame::digest(body);
        match self.head {
            None if (frame.epoch, frame.seq, frame.previous) == (1, 1, Digest::default()) => {}
            None => return Err(Refusal::Gap),
            Some(head) => {
                if frame.epoch < head.epoch {
                    return Err(Refusal::LowerEpoch);
                }
                if frame.epoch > head.epoch {
                    return Err(Refusal::Gap);
                }
                if frame.seq <= head.seq {
                    let other_end = frame.seq == head.seq && digest != head.digest;
                    return Err(if other_end {
                        Refusal::Fork
                    } else {
                        Refusal::Replayed
                    });
                }
                if head.seq.checked_add(1) != Some(frame.seq) {
                    return Err(Refusal::Gap);
                }
                if frame.previous != head.digest {
                    return Err(Refusal::Fork);
                }
            }
        }
        // All or nothing: what an entry meets may come from an entry before it in the same frame.
        let mut trial = State::default();
        let mut revoked = self.state.revoked_count();
        let mut retired = self.state.retired_count();
        for entry in &frame.entries {
            self.check_entry(entry)?;
            if !self.state.admits(entry) || !trial.admits(entry) {
                return Err(Refusal::Undoes);
            }
            match entry {
                Entry::Key(_) | Entry::Block(_) => trial.join(entry.clone()),
                Entry::Revoked(ranges) => revoked = revoked.saturating_add(covered(ranges)),
                Entry::Retired(lists) => {
                    retired = retired.saturating_add(ranges::covered(lists.iter().copied()));
                }
                _ => {}
            }
        }
        if revoked > MAX_REVOKED || retired > MAX_RETIRED {
            return Err(Refusal::Undoes);
        }
        for entry in frame.entries {
            self.state.join(entry);
        }
        self.head = Some(Head {
            epoch: frame.epoch,
            seq: frame.seq,
            digest,
        });
        Ok(Applied::Frame)
    }

    fn accept_snapshot(&mut self, body: &[u8], certified_epoch: u64) -> Result<Applied, Refusal> {
        let snapshot = Snapshot::decode(body)?;
        self.check_origin(snapshot.feed, snapshot.head.epoch, certified_epoch)?;
        if let Some(head) = self.head {
            if snapshot.head.epoch < head.epoch {
                return Err(Refusal::LowerEpoch);
            }
            if snapshot.head.epoch == head.epoch && snapshot.head.seq <= head.seq {
                let same_end = snapshot.head.seq == head.seq && snapshot.head.digest != head.digest;
                return Err(if same_end {
                    Refusal::Fork
                } else {
                    Refusal::Replayed
                });
            }
            // A new epoch may not take numbers back: receipts and `Portcullis-Min-Seq` count on them.
            if snapshot.head.seq < head.seq || !snapshot.state.keeps_restrictions_of(&self.state) {
                return Err(Refusal::Undoes);
            }
        }
        for entry in snapshot.state.other_entries() {
            self.check_entry(&entry)?;
        }
        self.state = snapshot.state;
        self.head = Some(snapshot.head);
        Ok(Applied::Snapshot)
    }

    fn accept_heartbeat(&mut self, body: &[u8], certified_epoch: u64) -> Result<Applied, Refusal> {
        let heartbeat = Heartbeat::decode(body)?;
        self.check_origin(heartbeat.feed, heartbeat.head.epoch, certified_epoch)?;
        let head = self.head.ok_or(Refusal::Gap)?;
        let (theirs, ours) = ((heartbeat.head.epoch, heartbeat.head.seq), (head.epoch, head.seq));
        match theirs.cmp(&ours) {
            std::cmp::Ordering::Less if theirs.0 < ours.0 => Err(Refusal::LowerEpoch),
            std::cmp::Ordering::Less => Err(Refusal::Replayed),
            std::cmp::Ordering::Greater => Err(Refusal::Gap),
            std::cmp::Ordering::Equal if heartbeat.head.digest != head.digest => Err(Refusal::Fork),
            std::cmp::Ordering::Equal => Ok(Applied::Heartbeat(heartbeat)),
        }
    }

    fn check_origin(&self, feed: super::FeedId, epoch: u64, certified_epoch: u64) -> Result<(), Refusal> {
        if feed != self.trust.feed {
            return Err(Refusal::WrongFeed);
        }
        if epoch == certified_epoch {
            Ok(())
        } else {
            Err(Refusal::BadCertificate)
        }
    }

    fn check_entry(&self, entry: &Entry) -> Result<(), Refusal> {
        match entry {
            Entry::Unknown { critical: true, .. } => Err(Refusal::Incompatible),
            Entry::Key(key) => match (&key.reference, &key.owner) {
                (KeyRef::Ours(number), KeyOwner::Ours(signature)) => {
                    let message = IssuingKey::root_message(self.trust.feed, *number, key.purpose, &key.key);
                    let certified = self.trust.vouches_for(&message, signature);
                    if certified {
                        Ok(())
                    } else {
                        Err(Refusal::KeyNotCertified)
                    }
                }
                (KeyRef::Issuer { .. }, KeyOwner::Issuer) => Ok(()),
                _ => Err(Refusal::KeyNotCertified),
            },
            _ => Ok(()),
        }
    }
}
