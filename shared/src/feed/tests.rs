//! What the feed promises: order does not matter, snapshots and frames agree, and nothing is ever undone.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;

use super::issuer::{Forms, WorkspaceRule};
use super::*;
use crate::crypto::VerifyingKey;
use crate::id::{OrgId, SigningKeyId, StatusIndex, UserId};
use crate::scope::ScopeSet;
use crate::time::{UnixMillis, UnixSeconds};
use crate::wire::Reader;

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

fn index(number: u64) -> StatusIndex {
    StatusIndex::from_u64(number).expect("in range")
}

fn number(id: u64) -> SigningKeyId {
    SigningKeyId::from_u64(id).expect("in range")
}

fn certificate(epoch: u64) -> Certificate {
    let mut certificate = Certificate {
        feed: FEED,
        epoch,
        number: number(2),
        key: public(2),
        not_after: UnixSeconds(u64::from(u32::MAX)),
        root_signature: [0; 64],
    };
    certificate.root_signature = signature(1, &certificate.root_message());
    certificate
}

fn envelope(kind: EnvelopeType, epoch: u64, body: &[u8]) -> Vec<u8> {
    sign(kind, &certificate(epoch), body, |m| Ok::<_, ()>(signature(2, m))).expect("signs")
}

/// A publisher in miniature: makes frames that link to one another.
struct Chain {
    head: Option<Head>,
    state: State,
}

impl Chain {
    fn new() -> Self {
        Self {
            head: None,
            state: State::default(),
        }
    }

    fn frame(&mut self, entries: Vec<Entry>) -> Vec<u8> {
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

    fn snapshot(&self) -> Vec<u8> {
        let head = self.head.expect("some frame");
        let snapshot = Snapshot {
            feed: FEED,
            head,
            state: self.state.clone(),
        };
        envelope(EnvelopeType::Snapshot, head.epoch, &snapshot.encode())
    }

    fn next_epoch(&mut self, state: State) -> Vec<u8> {
        let head = self.head.expect("some frame");
        let snapshot = Snapshot::opening(FEED, head.epoch + 1, head.seq + 1, state);
        self.head = Some(snapshot.head);
        self.state = snapshot.state.clone();
        envelope(EnvelopeType::Snapshot, snapshot.head.epoch, &snapshot.encode())
    }
}

fn replica() -> Replica {
    Replica::new(Trust {
        feed: FEED,
        root: VerifyingKey::ed25519(public(1)),
        other_root: None,
    })
}

fn key_entry(id: u64, root_seed: u8) -> Entry {
    let (purpose, key) = (IssuingPurpose::ApiKey, VerifyingKey::ed25519(public(3)));
    let root = signature(
        root_seed,
        &IssuingKey::root_message(FEED, number(id), purpose, &key),
    );
    Entry::Key(Box::new(IssuingKey {
        reference: KeyRef::Ours(number(id)),
        purpose,
        key,
        owner: KeyOwner::Ours(root),
    }))
}

fn block(start: u64, length: u64, key: u64) -> Entry {
    Entry::Block(Block {
        start: index(start),
        length,
        signing_key: number(key),
    })
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        (0u64..9).prop_map(|n| Subject::Org(OrgId::from_u64(n).expect("small"))),
        (0u64..9).prop_map(|n| Subject::Member(
            OrgId::from_u64(1).expect("small"),
            UserId::from_u64(n).expect("small")
        )),
        "[a-z]{0,4}".prop_map(Subject::Client),
        "[a-z]{0,4}".prop_map(Subject::Session),
        ("[a-z]{0,2}", "[a-z]{0,2}").prop_map(|(issuer, subject)| Subject::Foreign(issuer, subject)),
        (0u64..9).prop_map(|n| Subject::Index(index(n))),
    ]
}

fn issuer() -> impl Strategy<Value = Entry> {
    let path = proptest::collection::vec("[a-z]{0,3}", 0..3);
    let values = proptest::collection::btree_map("[a-z]{0,2}", 0u64..9, 0..3);
    let workspace = |n| crate::id::WorkspaceId::from_u64(n).expect("small");
    let rule = prop_oneof![
        Just(WorkspaceRule::All),
        (0u64..9).prop_map(move |n| WorkspaceRule::Fixed(workspace(n))),
        (path.clone(), values.clone()).prop_map(move |(path, values)| WorkspaceRule::Claim {
            path,
            values: values.into_iter().map(|(name, n)| (name, workspace(n))).collect(),
        }),
    ];
    let scopes = values.prop_map(|values| {
        let all = values.into_iter().map(|(name, bits)| (name, ScopeSet(bits)));
        Some(all.collect()).filter(|all: &std::collections::BTreeMap<_, _>| !all.is_empty())
    });
    let keys = proptest::collection::btree_map("[a-z]{0,2}", any::<[u8; 32]>(), 0..3);
    let binding = (path.clone(), path, scopes, rule, keys, 0u64..8).prop_map(
        |(audiences, subject, scope_values, workspace, keys, cap)| IssuerBinding {
            audiences,
            cap: ScopeSet(cap),
            forms: Forms {
                at_jwt: cap & 1 == 0,
                jwt: cap & 2 == 0,
                none: cap & 4 == 0,
            },
            scopes: vec![subject.clone()],
            subject,
            scope_values,
            workspace,
            keys: keys
                .into_iter()
                .map(|(kid, bytes)| (kid, VerifyingKey::ed25519(bytes)))
                .collect(),
        },
    );
    let parts = ("[ab]", 0u64..3, 0u64..3, proptest::option::of(binding));
    parts.prop_map(|(issuer, version, org, binding)| {
        Entry::Issuer(Box::new(IssuerEntry {
            issuer,
            version,
            org: OrgId::from_u64(org).expect("small"),
            binding,
        }))
    })
}

fn restriction() -> impl Strategy<Value = Entry> {
    prop_oneof![
        (0u64..5000, 0u64..50)
            .prop_map(|(first, more)| Entry::Revoked(vec![(index(first), index(first + more))])),
        (subject(), 0u64..100).prop_map(|(s, t)| Entry::NotBefore(s, UnixSeconds(t))),
        (0u64..50, 0u64..100).prop_map(|(i, t)| Entry::NotAfter(Expiry {
            index: index(i),
            time: UnixSeconds(t)
        })),
        (subject(), 0u64..4, 0u64..8).prop_map(|(subject, version, scopes)| Entry::Ceiling {
            subject,
            version,
            scopes: ScopeSet(scopes)
        }),
        (0u64..4, proptest::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(version, json)| Entry::Policy { version, json }),
        (1u64..3, 0u64..2).prop_map(|(first, more)| Entry::Retired(vec![(first, first + more)])),
        // In the second and third list, which may be retired.
        (1u64..3, 0u64..9).prop_map(|(list, n)| Entry::revoked(index(list * StatusIndex::LIST_LENGTH + n))),
        (1u64..3, 0u64..100).prop_map(|(list, t)| Entry::NotAfter(Expiry {
            index: index(list * StatusIndex::LIST_LENGTH),
            time: UnixSeconds(t)
        })),
        issuer(),
        (0u64..9).prop_map(|n| Entry::KeyRemoved(KeyRef::Ours(number(n + 10)))),
        (0u64..4, proptest::collection::btree_set(0u64..5, 0..4)).prop_map(|(version, orgs)| {
            Entry::Admitted {
                version,
                orgs: orgs
                    .into_iter()
                    .map(|n| OrgId::from_u64(n).expect("small"))
                    .collect(),
            }
        }),
        (100u8..200, proptest::collection::vec(any::<u8>(), 0..4)).prop_map(|(kind, payload)| {
            Entry::Unknown {
                kind,
                critical: false,
                payload,
            }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn entries_survive(entry in restriction()) {
        let bytes = entry.encode();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(Entry::read(&mut reader), Ok(entry));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn the_order_of_entries_does_not_matter(entries in proptest::collection::vec(restriction(), 0..30), seed in any::<u64>()) {
        let join = |entries: &[Entry]| {
            let mut state = State::default();
            entries.iter().cloned().for_each(|entry| state.join(entry));
            state
        };
        let mut shuffled = entries.clone();
        shuffled.sort_by_key(|entry| crate::crypto::sha256(&[entry.encode(), seed.to_be_bytes().to_vec()].concat()));
        let (one, two) = (join(&entries), join(&shuffled));
        prop_assert_eq!(one.digest(), two.digest());
        prop_assert_eq!(State::decode(&one.encode()), Ok(one.clone()));
        // Twice is once, and everything that was said still holds.
        let twice = join(&[entries.clone(), shuffled].concat());
        prop_assert_eq!(&twice, &one);
        prop_assert!(one.keeps_restrictions_of(&join(entries.get(..entries.len() / 2).expect("half"))));
    }

    #[test]
    fn a_snapshot_and_frames_reach_the_state_of_the_frames_alone(
        groups in proptest::collection::vec(proptest::collection::vec(restriction(), 0..5), 2..8),
        cut in 1usize..7,
    ) {
        let mut chain = Chain::new();
        let (mut by_frames, mut by_snapshot) = (replica(), replica());
        for (number, entries) in groups.iter().enumerate() {
            let frame = chain.frame(entries.clone());
            prop_assert_eq!(by_frames.accept(&frame), Ok(Applied::Frame));
            if number == cut {
                prop_assert_eq!(by_snapshot.accept(&chain.snapshot()), Ok(Applied::Snapshot));
            } else if number > cut {
                prop_assert_eq!(by_snapshot.accept(&frame), Ok(Applied::Frame));
            }
        }
        if groups.len() > cut {
            prop_assert_eq!(by_frames.head(), by_snapshot.head());
            prop_assert_eq!(by_frames.state(), by_snapshot.state());
        }
    }

    #[test]
    fn nothing_panics_and_nothing_is_believed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frame::decode(&bytes);
        let _ = Snapshot::decode(&bytes);
        let _ = State::decode(&bytes);
        let _ = split_message(&bytes);
        prop_assert!(replica().accept(&bytes).is_err());
    }

    #[test]
    fn every_bit_of_an_envelope_counts(position in 0usize..400, bit in 0u8..8) {
        let mut chain = Chain::new();
        let mut frame = chain.frame(vec![Entry::revoked(index(5))]);
        let position = position % frame.len();
        frame[position] ^= 1 << bit;
        prop_assert!(replica().accept(&frame).is_err());
    }
}

#[test]
fn replays_gaps_forks_and_rollbacks_change_nothing() {
    let mut chain = Chain::new();
    let first = chain.frame(vec![Entry::revoked(index(1))]);
    let second = chain.frame(vec![Entry::revoked(index(2))]);
    let early = chain.snapshot();
    let third = chain.frame(vec![Entry::revoked(index(3))]);
    let mut fork = Chain::new();
    fork.frame(vec![Entry::revoked(index(9))]);
    let forked_second = fork.frame(vec![Entry::revoked(index(8))]);
    let forked_snapshot = fork.snapshot();

    let mut replica = replica();
    assert_eq!(replica.accept(&second), Err(Refusal::Gap), "nothing yet");
    assert_eq!(replica.accept(&first), Ok(Applied::Frame));
    assert_eq!(replica.accept(&third), Err(Refusal::Gap));
    assert_eq!(replica.accept(&forked_second), Err(Refusal::Fork));
    assert_eq!(replica.accept(&second), Ok(Applied::Frame));
    assert_eq!(replica.accept(&first), Err(Refusal::Replayed));
    assert_eq!(replica.accept(&second), Err(Refusal::Replayed));
    assert_eq!(replica.accept(&forked_second), Err(Refusal::Fork));
    assert_eq!(replica.accept(&early), Err(Refusal::Replayed));
    assert_eq!(replica.accept(&forked_snapshot), Err(Refusal::Fork));
    assert_eq!(replica.accept(&third), Ok(Applied::Frame));
    assert_eq!(replica.accept(&early), Err(Refusal::Replayed), "a rollback");
    assert!(
        [1, 2, 3]
            .into_iter()
            .all(|number| replica.state().is_revoked(index(number)))
    );
    assert!(!replica.state().is_revoked(index(8)));
}

#[test]
fn a_new_epoch_must_keep_every_restriction() {
    let mut chain = Chain::new();
    let mut replica = replica();
    let frame = chain.frame(vec![Entry::revoked(index(1))]);
    replica.accept(&frame).expect("accepted");
    let forgetful = Chain {
        head: chain.head,
        state: State::default(),
    }
    .next_epoch(State::default());
    assert_eq!(replica.accept(&forgetful), Err(Refusal::Undoes));
    let mut state = chain.state.clone();
    state.join(Entry::revoked(index(2)));
    let opening = chain.next_epoch(state);
    assert_eq!(replica.accept(&opening), Ok(Applied::Snapshot));
    assert_eq!(replica.accept(&frame), Err(Refusal::LowerEpoch));
    let next = chain.frame(vec![Entry::revoked(index(3))]);
    assert_eq!(replica.accept(&next), Ok(Applied::Frame));
    assert_eq!(replica.head().map(|head| (head.epoch, head.seq)), Some((2, 3)));
}

#[test]
fn only_certified_speakers_are_heard() {
    let mut chain = Chain::new();
    let frame = chain.frame(vec![Entry::revoked(index(1))]);
    let other_root = Trust {
        feed: FEED,
        root: VerifyingKey::ed25519(public(8)),
        other_root: None,
    };
    assert_eq!(
        Replica::new(other_root).accept(&frame),
        Err(Refusal::BadCertificate)
    );
    let other_feed = Trust {
        feed: FeedId([8; 16]),
        root: VerifyingKey::ed25519(public(1)),
        other_root: None,
    };
    assert_eq!(Replica::new(other_feed).accept(&frame), Err(Refusal::WrongFeed));
    // A certificate of another epoch does not cover this one's frames.
    let body = Frame {
        feed: FEED,
        epoch: 1,
        seq: 1,
        previous: [0; 32],
        time: UnixMillis(1),
        entries: vec![],
    }
    .encode();
    assert_eq!(
        replica().accept(&envelope(EnvelopeType::Frame, 2, &body)),
        Err(Refusal::BadCertificate)
    );
    // A signature over the same bytes as another type does not count.
    let as_heartbeat = sign(EnvelopeType::Heartbeat, &certificate(1), &body, |m| {
        Ok::<_, ()>(signature(2, m))
    });
    let mut swapped = as_heartbeat.expect("signs");
    swapped[1] = 1;
    assert_eq!(replica().accept(&swapped), Err(Refusal::BadSignature));
    // A removed feed key is silent from then on.
    let mut replica = replica();
    replica.accept(&frame).expect("accepted");
    let removal = chain.frame(vec![Entry::KeyRemoved(KeyRef::Ours(number(2)))]);
    replica.accept(&removal).expect("accepted");
    let after = chain.frame(vec![Entry::revoked(index(2))]);
    assert_eq!(replica.accept(&after), Err(Refusal::BadCertificate));
}

#[test]
fn our_own_keys_need_the_root_and_removal_is_for_ever() {
    let mut chain = Chain::new();
    let mut replica = replica();
    assert_eq!(
        replica.accept(&Chain::new().frame(vec![key_entry(3, 2)])),
        Err(Refusal::KeyNotCertified)
    );
    replica
        .accept(&chain.frame(vec![key_entry(3, 1), block(0, 10, 3)]))
        .expect("accepted");
    let ours = KeyRef::Ours(number(3));
    assert!(replica.state().key(&ours).is_some());
    replica
        .accept(&chain.frame(vec![Entry::KeyRemoved(ours.clone())]))
        .expect("accepted");
    replica
        .accept(&chain.frame(vec![key_entry(3, 1)]))
        .expect("accepted");
    assert!(replica.state().key(&ours).is_none(), "removed stays removed");
}

#[test]
fn blocks_have_one_owner() {
    let mut chain = Chain::new();
    let mut replica = replica();
    replica
        .accept(&chain.frame(vec![block(10, 10, 3)]))
        .expect("accepted");
    for overlapping in [
        block(19, 5, 4),
        block(5, 6, 4),
        block(12, 2, 4),
        block(0, 100, 4),
        block(10, 10, 4),
    ] {
        let head = chain.head;
        let frame = chain.frame(vec![overlapping]);
        assert_eq!(replica.accept(&frame), Err(Refusal::Undoes));
        chain.head = head;
    }
    let head = chain.head;
    let frame = chain.frame(vec![block(30, 5, 4), block(33, 5, 5)]);
    assert_eq!(replica.accept(&frame), Err(Refusal::Undoes), "within one frame");
    chain.head = head;
    replica
        .accept(&chain.frame(vec![block(20, 10, 4), block(0, 10, 5)]))
        .expect("neighbours");
    let owner = |at| replica.state().owner(index(at)).map(SigningKeyId::get);
    assert_eq!(
        [0, 9, 10, 19, 20, 29, 30].map(owner),
        [Some(5), Some(5), Some(3), Some(3), Some(4), Some(4), None]
    );
}

#[test]
fn an_unknown_critical_entry_stops_a_consumer_and_another_does_not() {
    let unknown = |critical| {
        vec![Entry::Unknown {
            kind: 99,
            critical,
            payload: vec![1],
        }]
    };
    assert_eq!(
        replica().accept(&Chain::new().frame(unknown(true))),
        Err(Refusal::Incompatible)
    );
    let mut chain = Chain::new();
    let mut replica = replica();
    replica.accept(&chain.frame(unknown(false))).expect("accepted");
    assert_eq!(
        replica.state().digest(),
        chain.state.digest(),
        "kept, so that digests agree"
    );
}

#[test]
fn a_heartbeat_is_about_the_head() {
    let mut chain = Chain::new();
    let mut replica = replica();
    let beat = |head: Head| {
        let body = Heartbeat {
            feed: FEED,
            head,
            audit_head: [0; 32],
            time: UnixMillis(5),
        }
        .encode();
        envelope(EnvelopeType::Heartbeat, head.epoch, &body)
    };
    let frame = chain.frame(vec![]);
    let head = chain.head.expect("a head");
    assert_eq!(replica.accept(&beat(head)), Err(Refusal::Gap));
    replica.accept(&frame).expect("accepted");
    assert!(matches!(replica.accept(&beat(head)), Ok(Applied::Heartbeat(_))));
    assert_eq!(
        replica.accept(&beat(Head {
            digest: [1; 32],
            ..head
        })),
        Err(Refusal::Fork)
    );
    assert_eq!(replica.accept(&beat(Head { seq: 9, ..head })), Err(Refusal::Gap));
}

#[test]
fn a_retired_list_is_dead_and_forgotten() {
    let list = StatusIndex::LIST_LENGTH;
    let mut chain = Chain::new();
    let mut replica = replica();
    let about = |at: u64| {
        vec![
            Entry::revoked(index(at + 1)),
            Entry::NotAfter(Expiry {
                index: index(at + 2),
                time: UnixSeconds(9),
            }),
            Entry::NotBefore(Subject::Index(index(at + 3)), UnixSeconds(9)),
            Entry::Ceiling {
                subject: Subject::Index(index(at + 4)),
                version: 1,
                scopes: ScopeSet(1),
            },
        ]
    };
    let blocks = vec![block(list, list, 3), block(2 * list, list, 3)];
    for entries in [blocks, about(list), about(2 * list)] {
        replica.accept(&chain.frame(entries)).expect("accepted");
    }
    let before = replica.state().clone();
    replica
        .accept(&chain.frame(vec![Entry::Retired(vec![(1, 1)])]))
        .expect("accepted");
    let state = replica.state();
    assert!(state.is_revoked(index(list)) && state.is_revoked(index(2 * list - 1)));
    assert!(!state.is_revoked(index(2 * list)) && !state.is_revoked(index(list - 1)));
    assert_eq!(state.owner(index(list)), None, "nobody's signature counts there");
    assert_eq!(state.revoked_count(), 1, "one of the other list");
    assert_eq!(state.all_not_after().count(), 1);
    assert!(state.keeps_restrictions_of(&before), "nothing was undone");
    assert!(!before.keeps_restrictions_of(state), "and this would undo it");
    // What comes late changes nothing.
    let digest = state.digest();
    for entries in [about(list), vec![block(list, list, 3)]] {
        replica.accept(&chain.frame(entries)).expect("accepted");
    }
    assert_eq!(replica.state().digest(), digest);
}

/// One state has one form: what is said twice, in another order, or about a retired list, is malformed.
#[test]
fn a_state_has_one_form() {
    let (one, two) = (Entry::revoked(index(1)), Entry::revoked(index(9)));
    let retired = Entry::Retired(vec![(0, 0)]);
    let end = Entry::NotAfter(Expiry {
        index: index(5),
        time: UnixSeconds(1),
    });
    let state = |entries: &[&Entry]| {
        let mut w = crate::wire::Writer::new();
        w.varint(entries.len() as u64);
        for entry in entries {
            w.raw(&entry.encode());
        }
        State::decode(&w.finish())
    };
    assert!(state(&[&one, &end]).is_ok());
    assert!(state(&[]).is_ok());
    for wrong in [
        &[&one, &two][..],
        &[&end, &one],
        &[&end, &end],
        &[&one, &retired],
        &[&end, &retired],
        &[&retired, &end],
    ] {
        assert_eq!(state(wrong), Err(crate::wire::Malformed), "{wrong:?}");
    }
    let mut counted_wrong = state(&[&one, &end]).expect("valid").encode();
    counted_wrong[0] += 1;
    assert!(State::decode(&counted_wrong).is_err());
}

#[test]
fn a_snapshot_cannot_blow_up() {
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; 1 << 20], 9);
    let mut w = crate::wire::Writer::new();
    w.u8(VERSION)
        .raw(&FEED.0)
        .varint(1)
        .varint(1)
        .raw(&[0; 32])
        .raw(&[0; 32])
        .varint(100)
        .bytes(&bomb);
    assert!(Snapshot::decode(&w.finish()).is_err());
}

#[test]
fn more_revocations_than_a_state_can_hold_are_refused() {
    let full = |start: u64| Entry::Revoked(vec![(index(start), index(start + MAX_REVOKED - 1))]);
    let mut chain = Chain::new();
    let mut replica = replica();
    replica.accept(&chain.frame(vec![full(0)])).expect("exactly full");
    let head = chain.head;
    let more = chain.frame(vec![Entry::revoked(index(MAX_REVOKED))]);
    assert_eq!(replica.accept(&more), Err(Refusal::Undoes));
    chain.head = head;
    let mut empty = self::replica();
    let half = |start: u64| Entry::Revoked(vec![(index(start), index(start + MAX_REVOKED / 2))]);
    let two_halves = Chain::new().frame(vec![half(0), half(MAX_REVOKED)]);
    assert_eq!(
        empty.accept(&two_halves),
        Err(Refusal::Undoes),
        "together in one frame"
    );
    let huge = Entry::Revoked(vec![(index(0), index(MAX_REVOKED))]).encode();
    assert!(Entry::read(&mut Reader::new(&huge)).is_err());
}

/// Everything about an issuer goes by its version: keys that went may come back, and nothing older undoes anything.
#[test]
fn an_issuer_is_what_its_highest_version_says() {
    let binding = |seeds: &[u8]| IssuerBinding {
        audiences: vec!["a".into()],
        cap: ScopeSet(1),
        forms: Forms::ALL,
        subject: vec!["sub".into()],
        scopes: vec![vec!["scope".into()]],
        scope_values: None,
        workspace: WorkspaceRule::All,
        keys: seeds
            .iter()
            .map(|seed| (format!("k{seed}"), VerifyingKey::ed25519(public(*seed))))
            .collect(),
    };
    let entry = |version, binding: Option<IssuerBinding>| {
        Entry::Issuer(Box::new(IssuerEntry {
            issuer: "https://i".into(),
            version,
            org: OrgId::from_u64(1).expect("small"),
            binding,
        }))
    };
    let mut state = State::default();
    let kids = |state: &State| {
        let found = state.trusted_issuer("https://i");
        found.map(|(_, binding)| binding.keys.keys().cloned().collect::<Vec<_>>())
    };
    state.join(entry(2, Some(binding(&[1, 2]))));
    let before = state.clone();
    state.join(entry(1, Some(binding(&[3]))));
    assert_eq!(
        kids(&state).as_deref(),
        Some(&["k1".to_owned(), "k2".to_owned()][..])
    );
    state.join(entry(3, Some(binding(&[2]))));
    assert_eq!(kids(&state).as_deref(), Some(&["k2".to_owned()][..]), "withdrawn");
    assert!(state.keeps_restrictions_of(&before) && !before.keeps_restrictions_of(&state));
    state.join(entry(4, Some(binding(&[1, 2]))));
    assert_eq!(kids(&state).map(|kids| kids.len()), Some(2), "and back again");
    state.join(entry(5, None));
    state.join(entry(5, Some(binding(&[1]))));
    assert_eq!(kids(&state), None, "of one version the one that trusts less");
    assert!(
        state
            .issuer("https://i")
            .is_some_and(|entry| entry.org.get() == 1)
    );
}

/// A list of whom a feed admits: the newer one counts, and an older one never comes back.
#[test]
fn the_newest_list_says_who_is_admitted() {
    let org = |n| OrgId::from_u64(n).expect("small");
    let list = |version, orgs: &[u64]| Entry::Admitted {
        version,
        orgs: orgs.iter().copied().map(org).collect(),
    };
    let after = |entries: &[Entry]| {
        let mut state = State::default();
        entries.iter().cloned().for_each(|entry| state.join(entry));
        state
    };
    assert!(State::default().admits_org(org(9)), "without a list all are");
    let one = after(&[list(1, &[3])]);
    assert!(one.admits_org(org(3)) && !one.admits_org(org(9)));
    let more = after(&[list(1, &[3]), list(2, &[3, 9]), list(1, &[])]);
    assert!(more.admits_org(org(9)));
    let both = after(&[list(2, &[3, 4]), list(2, &[4, 5])]);
    assert_eq!(
        both,
        after(&[list(2, &[4, 5]), list(2, &[3, 4])]),
        "in either order"
    );
    assert!(both.admits_org(org(4)) && !both.admits_org(org(3)) && !both.admits_org(org(5)));
    for (newer, older, keeps) in [
        (&more, &one, true),
        (&one, &more, false),
        (&one, &State::default(), true),
        (&State::default(), &one, false),
        (&both, &after(&[list(2, &[3, 4])]), true),
        (&after(&[list(2, &[3, 4])]), &both, false),
    ] {
        assert_eq!(
            newer.keeps_restrictions_of(older),
            keeps,
            "{newer:?} after {older:?}"
        );
    }
    let decoded = |orgs: &[u64]| {
        let mut w = crate::wire::Writer::new();
        w.varint(1).varint(orgs.len() as u64);
        for org in orgs {
            w.varint(*org);
        }
        let payload = w.finish();
        let mut w = crate::wire::Writer::new();
        let bytes = w.u8(kinds::ADMITTED).u8(1).bytes(&payload).finish();
        Entry::read(&mut Reader::new(&bytes)).is_ok()
    };
    assert!(decoded(&[]) && decoded(&[3, 9]));
    assert!(!decoded(&[9, 3]) && !decoded(&[3, 3]), "ascending, each once");
}
