//! What all schedules share: one feed, its keys, a policy with a route of each sort, and credentials that the real
//! validator accepts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

use edge::validator::Deployment;
use shared::crypto::{Digest, VerifyingKey};
use shared::feed::{
    Block, Certificate, Entry, EnvelopeType, FeedId, Frame, Head, Heartbeat, IssuingKey, IssuingPurpose,
    KeyOwner, KeyRef, Snapshot, State, Trust,
};
use shared::id::{OrgId, SigningKeyId, StatusIndex, UserId};
use shared::key::{self, Environment};
use shared::policy::{CompiledPolicy, OnStale, Policy, Route};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use crate::crypto::Pair;

const FEED: FeedId = FeedId([7; 16]);
/// Every clock starts near here: 2026-11-21T00:00:00Z.
pub(crate) const START_MS: u64 = 1_795_219_200_000;
/// Indexes of the credentials start here.
const FIRST_INDEX: u64 = 1000;
/// How many credentials there are.
pub(crate) const CREDENTIALS: u64 = 64;
/// DESIGN §9: how long a colo may serve its copy of a region's answer.
pub(crate) const COLO_TTL_MS: u64 = 1000;

pub(crate) struct Common {
    pub(crate) trust: Trust,
    pub(crate) deployment: Deployment,
    pub(crate) policy: CompiledPolicy,
    /// What a request carries, by number of the credential.
    pub(crate) authorizations: Vec<String>,
    root: Pair,
    feed_key: Pair,
    stranger: Pair,
    opening: Vec<Entry>,
}

fn number(number: u64) -> SigningKeyId {
    SigningKeyId::from_u64(number).expect("small")
}

/// The status index of a credential.
pub(crate) fn index(credential: u64) -> StatusIndex {
    StatusIndex::from_u64(FIRST_INDEX + credential).expect("small")
}

/// The credential of a status index.
pub(crate) fn credential(index: StatusIndex) -> u64 {
    index.get() - FIRST_INDEX
}

/// Made once.
pub(crate) fn common() -> &'static Common {
    static COMMON: OnceLock<Common> = OnceLock::new();
    COMMON.get_or_init(|| {
        crate::crypto::install();
        let (root, issuer) = (Pair::of(1), Pair::of(3));
        let mut policy = Policy::demo("https://api.example", "https://id.example");
        let route = |path: &str, strict, on_stale| Route {
            path: path.into(),
            scopes: vec!["memory:read".into()],
            strict,
            on_stale,
            ..Route::default()
        };
        policy.routes = vec![
            route("/default", false, OnStale::Deny),
            route("/strict", true, OnStale::Deny),
            route("/stale", false, OnStale::AllowForSeconds(3600)),
        ];
        let (purpose, issuing_key) = (IssuingPurpose::ApiKey, VerifyingKey::ed25519(issuer.public()));
        let vouched = root.sign(&IssuingKey::root_message(FEED, number(3), purpose, &issuing_key));
        let opening = vec![
            Entry::Key(Box::new(IssuingKey {
                reference: KeyRef::Ours(number(3)),
                purpose,
                key: issuing_key,
                owner: KeyOwner::Ours(vouched),
            })),
            Entry::Block(Block {
                start: index(0),
                length: CREDENTIALS,
                signing_key: number(3),
            }),
            Entry::Policy {
                version: 1,
                json: serde_json::to_vec(&policy).expect("a policy is JSON"),
            },
        ];
        let authorizations = (0..CREDENTIALS).map(|credential| authorization(credential, &issuer));
        Common {
            trust: Trust::new(FEED, VerifyingKey::ed25519(root.public())),
            deployment: Deployment {
                brand: "pc".into(),
                environments: vec![Environment::Live],
                issuer: "https://id.example".into(),
            },
            policy: policy.compile().expect("compiles"),
            authorizations: authorizations.collect(),
            root,
            feed_key: Pair::of(2),
            stranger: Pair::of(9),
            opening,
        }
    })
}

fn authorization(credential: u64, issuer: &Pair) -> String {
    let statement = key::Statement {
        signing_key: number(3),
        index: index(credential),
        org: OrgId::from_u64(11).expect("small"),
        user: UserId::from_u64(22).expect("small"),
        workspace: None,
        scopes: ScopeSet(1),
        issued_at: UnixSeconds(START_MS / 1000 - 86_400),
        expires_at: None,
        nonce: [5; 8],
    };
    let sign = |message: &[u8]| Ok::<_, std::convert::Infallible>(issuer.sign(message));
    let text = key::build("pc", Environment::Live, &statement, sign).expect("builds");
    format!("Bearer {}", text.expose())
}

/// A head, as a key.
type At = (u64, u64, Digest);

/// Signed bytes, made once per thread: schedules go the same ways again and again.
#[derive(Default)]
struct Made {
    certificates: HashMap<u64, Certificate>,
    frames: HashMap<Vec<u8>, Rc<[u8]>>,
    heartbeats: HashMap<At, Rc<[u8]>>,
    /// By the head that it stands at.
    snapshots: HashMap<At, Rc<[u8]>>,
    /// By the head before it.
    openings: HashMap<At, (Head, Rc<[u8]>)>,
    forgeries: HashMap<u64, Rc<[u8]>>,
}

const MAX_MADE: usize = 50_000;

thread_local! {
    static MADE: RefCell<Made> = RefCell::default();
}

fn key_of(head: &Head) -> At {
    (head.epoch, head.seq, head.digest)
}

impl Made {
    fn seal(&mut self, kind: EnvelopeType, epoch: u64, body: &[u8]) -> Rc<[u8]> {
        let common = common();
        let certificate = self.certificates.entry(epoch).or_insert_with(|| {
            let mut certificate = Certificate {
                feed: FEED,
                epoch,
                number: number(2),
                key: common.feed_key.public(),
                not_after: UnixSeconds(u64::from(u32::MAX)),
                root_signature: [0; 64],
            };
            certificate.root_signature = common.root.sign(&certificate.root_message());
            certificate
        });
        let sign = |message: &[u8]| Ok::<_, std::convert::Infallible>(common.feed_key.sign(message));
        shared::feed::sign(kind, certificate, body, sign)
            .unwrap_or_else(|never| match never {})
            .into()
    }

    fn trim(&mut self) {
        if self.frames.len() + self.snapshots.len() + self.heartbeats.len() + self.openings.len() > MAX_MADE {
            *self = Self::default();
        }
    }
}

/// The entries of the first frame.
pub(crate) fn opening() -> Vec<Entry> {
    common().opening.clone()
}

/// The frame after `before`, signed, and where it leaves the chain.
pub(crate) fn frame(before: Option<Head>, entries: Vec<Entry>) -> (Head, Rc<[u8]>) {
    let epoch = before.map_or(1, |head| head.epoch);
    let seq = before.map_or(1, |head| head.seq + 1);
    let frame = Frame {
        feed: FEED,
        epoch,
        seq,
        previous: before.map_or([0; 32], |head| head.digest),
        time: UnixMillis(START_MS),
        entries,
    };
    let body = frame.encode();
    let digest = Frame::digest(&body);
    let envelope = MADE.with_borrow_mut(|made| {
        made.trim();
        if let Some(known) = made.frames.get(&body) {
            return Rc::clone(known);
        }
        let envelope = made.seal(EnvelopeType::Frame, epoch, &body);
        made.frames.insert(body, Rc::clone(&envelope));
        envelope
    });
    (Head { epoch, seq, digest }, envelope)
}

/// The heartbeat at a head.
pub(crate) fn heartbeat(head: Head) -> Rc<[u8]> {
    MADE.with_borrow_mut(|made| {
        if let Some(known) = made.heartbeats.get(&key_of(&head)) {
            return Rc::clone(known);
        }
        let body = Heartbeat {
            feed: FEED,
            head,
            audit_head: [0; 32],
            time: UnixMillis(START_MS),
        };
        let envelope = made.seal(EnvelopeType::Heartbeat, head.epoch, &body.encode());
        made.heartbeats.insert(key_of(&head), Rc::clone(&envelope));
        envelope
    })
}

/// The snapshot at a head whose state this is.
pub(crate) fn snapshot(head: Head, state: &State) -> Rc<[u8]> {
    MADE.with_borrow_mut(|made| {
        if let Some(known) = made.snapshots.get(&key_of(&head)) {
            return Rc::clone(known);
        }
        let snapshot = Snapshot {
            feed: FEED,
            head,
            state: state.clone(),
        };
        let envelope = made.seal(EnvelopeType::Snapshot, head.epoch, &snapshot.encode());
        made.snapshots.insert(key_of(&head), Rc::clone(&envelope));
        envelope
    })
}

/// The snapshot that opens the epoch after `before`.
pub(crate) fn next_epoch(before: Head, state: &State) -> (Head, Rc<[u8]>) {
    MADE.with_borrow_mut(|made| {
        if let Some((head, known)) = made.openings.get(&key_of(&before)) {
            return (*head, Rc::clone(known));
        }
        let snapshot = Snapshot::opening(FEED, before.epoch + 1, before.seq + 1, state.clone());
        let envelope = made.seal(EnvelopeType::Snapshot, snapshot.head.epoch, &snapshot.encode());
        let opened = (snapshot.head, envelope);
        made.openings.insert(key_of(&before), opened.clone());
        opened
    })
}

/// What somebody without a key can make: a snapshot that would lift everything, under a certificate of their own.
pub(crate) fn forgery(epoch: u64) -> Rc<[u8]> {
    let common = common();
    MADE.with_borrow_mut(|made| {
        let forge = || {
            let mut certificate = Certificate {
                feed: FEED,
                epoch,
                number: number(2),
                key: common.stranger.public(),
                not_after: UnixSeconds(u64::from(u32::MAX)),
                root_signature: [0; 64],
            };
            certificate.root_signature = common.stranger.sign(&certificate.root_message());
            let mut state = State::default();
            for entry in opening() {
                state.join(entry);
            }
            let body = Snapshot::opening(FEED, epoch, 1_000_000, state).encode();
            let sign = |message: &[u8]| Ok::<_, std::convert::Infallible>(common.stranger.sign(message));
            let envelope = shared::feed::sign(EnvelopeType::Snapshot, &certificate, &body, sign);
            shared::feed::join_message([envelope.unwrap_or_else(|never| match never {}).as_slice()]).into()
        };
        Rc::clone(made.forgeries.entry(epoch).or_insert_with(forge))
    })
}
