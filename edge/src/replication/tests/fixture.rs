//! A publisher in miniature, for the state machines that follow it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use shared::crypto::VerifyingKey;
use shared::feed::*;
use shared::id::{SigningKeyId, StatusIndex};
use shared::time::{UnixMillis, UnixSeconds};

use crate::replication::*;

const FEED: FeedId = FeedId([7; 16]);

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn public(seed: u8) -> [u8; 32] {
    pair(seed).public_key().as_ref().try_into().expect("32 bytes")
}

fn signature(seed: u8, message: &[u8]) -> [u8; 64] {
    pair(seed).sign(message).as_ref().try_into().expect("64 bytes")
}

fn envelope(kind: EnvelopeType, epoch: u64, body: &[u8]) -> Vec<u8> {
    let mut certificate = Certificate {
        feed: FEED,
        epoch,
        number: SigningKeyId::from_u64(2).expect("small"),
        key: public(2),
        not_after: UnixSeconds(u64::from(u32::MAX)),
        root_signature: [0; 64],
    };
    certificate.root_signature = signature(1, &certificate.root_message());
    sign(kind, &certificate, body, |m| Ok::<_, ()>(signature(2, m))).expect("signs")
}

pub(super) fn index(number: u64) -> StatusIndex {
    StatusIndex::from_u64(number).expect("in range")
}

pub(super) fn trust() -> Trust {
    Trust::new(FEED, VerifyingKey::ed25519(public(1)))
}

pub(super) fn name(name: &str) -> RegionName {
    name.parse().expect("a name")
}

/// Every clock starts here.
pub(super) fn at(millis: u64) -> UnixMillis {
    UnixMillis(1_000_000 + millis)
}

/// A result that cannot fail: a log in memory never does.
pub(super) fn sure<T>(result: Result<T, std::convert::Infallible>) -> T {
    result.unwrap_or_else(|never| match never {})
}

#[derive(Clone)]
pub(super) struct Chain {
    pub(super) head: Option<Head>,
    pub(super) state: State,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self {
            head: None,
            state: State::default(),
        }
    }

    pub(super) fn frame(&mut self, entries: Vec<Entry>) -> Vec<u8> {
        let frame = Frame {
            feed: FEED,
            epoch: self.head.map_or(1, |head| head.epoch),
            seq: self.head.map_or(1, |head| head.seq + 1),
            previous: self.head.map_or([0; 32], |head| head.digest),
            time: UnixMillis(1),
            entries,
        };
        let body = frame.encode();
        self.head = Some(Head {
            epoch: frame.epoch,
            seq: frame.seq,
            digest: Frame::digest(&body),
        });
        frame.entries.into_iter().for_each(|entry| self.state.join(entry));
        envelope(EnvelopeType::Frame, frame.epoch, &body)
    }

    /// A message of one frame that revokes one credential.
    pub(super) fn revoke(&mut self, number: u64) -> Vec<u8> {
        let frame = self.frame(vec![Entry::revoked(index(number))]);
        message(&[&frame])
    }

    pub(super) fn snapshot(&self) -> Vec<u8> {
        let head = self.head.expect("some frame");
        let snapshot = Snapshot {
            feed: FEED,
            head,
            state: self.state.clone(),
        };
        envelope(EnvelopeType::Snapshot, head.epoch, &snapshot.encode())
    }

    pub(super) fn next_epoch(&mut self) -> Vec<u8> {
        let head = self.head.expect("some frame");
        let snapshot = Snapshot::opening(FEED, head.epoch + 1, head.seq + 1, self.state.clone());
        self.head = Some(snapshot.head);
        envelope(EnvelopeType::Snapshot, snapshot.head.epoch, &snapshot.encode())
    }

    pub(super) fn heartbeat(&self) -> Vec<u8> {
        let head = self.head.expect("some frame");
        let heartbeat = Heartbeat {
            feed: FEED,
            head,
            audit_head: [0; 32],
            time: UnixMillis(1),
        };
        envelope(EnvelopeType::Heartbeat, head.epoch, &heartbeat.encode())
    }
}

pub(super) fn message(envelopes: &[&[u8]]) -> Vec<u8> {
    join_message(envelopes.iter().copied())
}

/// What a fresh teller at the chain's head says of itself.
pub(super) fn account(chain: &Chain, age: Option<u64>) -> Account {
    Account {
        head: chain.head.map(Into::into),
        contact_age_ms: age,
        ..Account::default()
    }
}

pub(super) fn hub(log: MemoryLog, now: u64) -> Hub<MemoryLog> {
    Hub::open(log, trust(), [name("weur"), name("enam")], at(now)).expect("opens")
}

pub(super) fn region(log: MemoryLog) -> Region<MemoryLog> {
    Region::open(log, trust()).expect("opens")
}
