//! A feed as a whole: envelopes in the order in which a reader met them, with what each did. An independent reader must come
//! to the same outcomes and the same states.

use super::*;

/// A publisher in miniature that also notes what a replica made of each envelope.
struct Tale {
    replica: Replica,
    head: Option<Head>,
    steps: Vec<Value>,
}

impl Tale {
    fn tell(&mut self, what: &str, envelope: &[u8]) {
        let outcome = match self.replica.accept(envelope) {
            Ok(Applied::Frame) => "frame".to_owned(),
            Ok(Applied::Snapshot) => "snapshot".to_owned(),
            Ok(Applied::Heartbeat(_)) => "heartbeat".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        let head = self.replica.head();
        self.steps.push(json!({
            "what": what, "envelope": base64url(envelope), "outcome": outcome,
            "epoch": head.map(|at| at.epoch), "seq": head.map(|at| at.seq),
            "state_digest": hex(&self.replica.state().digest()),
        }));
    }

    /// The next frame, as our publisher would make it.
    fn frame(&self, entries: Vec<Entry>) -> (Vec<u8>, Head) {
        let (epoch, seq) = self.head.map_or((1, 1), |at| (at.epoch, at.seq + 1));
        let frame = Frame {
            feed: FEED,
            epoch,
            seq,
            previous: self.head.map_or([0; 32], |at| at.digest),
            time: UnixMillis(1_795_219_200_000),
            entries,
        };
        let digest = Frame::digest(&frame.encode());
        let envelope = seal(EnvelopeType::Frame, epoch, &frame.encode());
        (envelope, Head { epoch, seq, digest })
    }

    fn publish(&mut self, what: &str, entries: Vec<Entry>) -> Vec<u8> {
        let (envelope, head) = self.frame(entries);
        self.head = Some(head);
        self.tell(what, &envelope);
        envelope
    }
}

fn certificate_of(epoch: u64) -> Certificate {
    let mut certificate = Certificate {
        epoch,
        ..certificate()
    };
    certificate.root_signature = sign(1, &certificate.root_message());
    certificate
}

fn seal(kind: EnvelopeType, epoch: u64, body: &[u8]) -> Vec<u8> {
    feed::sign(kind, &certificate_of(epoch), body, |m| Ok::<_, ()>(sign(2, m))).expect("signs")
}

/// Numbers that look random and are always the same (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn index(&mut self) -> StatusIndex {
        // Four lists, close together in each, so that ranges meet.
        index(self.below(4) * StatusIndex::LIST_LENGTH + self.below(40))
    }

    fn subject(&mut self) -> Subject {
        let org = OrgId::from_u64(self.below(300)).expect("small");
        let user = UserId::from_u64(self.below(4)).expect("small");
        let workspace = WorkspaceId::from_u64(self.below(4)).expect("small");
        match self.below(8) {
            0 => Subject::Org(org),
            1 => Subject::Workspace(workspace),
            2 => Subject::Member(org, user),
            3 => {
                Subject::Client(["a", "b", "é", "aa"][usize::try_from(self.below(4)).expect("small")].into())
            }
            4 => Subject::Session(format!("ses_{}", self.below(5))),
            5 => Subject::Issuer("https://issuer.example".into()),
            6 => Subject::Index(self.index()),
            _ => Subject::WorkspaceMember(org, user, workspace),
        }
    }

    fn restriction(&mut self) -> Entry {
        match self.below(9) {
            0..=3 => {
                let first = self.index();
                Entry::Revoked(vec![(first, index(first.get() + self.below(6)))])
            }
            4 => Entry::NotBefore(self.subject(), UnixSeconds(self.below(100))),
            5 => Entry::NotAfter(Expiry {
                index: self.index(),
                time: UnixSeconds(self.below(100)),
            }),
            6 => Entry::Ceiling {
                subject: self.subject(),
                version: self.below(4),
                scopes: ScopeSet(self.below(8)),
            },
            7 => Entry::Policy {
                version: self.below(5),
                json: format!("{{\"n\":{}}}", self.below(3)).into_bytes(),
            },
            _ => Entry::Unknown {
                kind: 200,
                critical: false,
                payload: vec![u8::try_from(self.below(3)).expect("small")],
            },
        }
    }
}

fn index(number: u64) -> StatusIndex {
    StatusIndex::from_u64(number).expect("in range")
}

fn block(list: u64, key: u64) -> Entry {
    Entry::Block(Block {
        start: index(list * StatusIndex::LIST_LENGTH),
        length: StatusIndex::LIST_LENGTH,
        signing_key: SigningKeyId::from_u64(key).expect("small"),
    })
}

#[test]
fn a_whole_feed() {
    let root = VerifyingKey::ed25519(public(1));
    let mut tale = Tale {
        replica: Replica::new(Trust::new(FEED, root)),
        head: None,
        steps: Vec::new(),
    };
    let mut numbers = Numbers(7);
    let first = tale.publish("the first frame: one entry of each kind", {
        one_of_each().into_iter().map(|(_, entry)| entry).collect()
    });
    tale.tell("the same again", &first);
    for round in 0..20 {
        let count = numbers.below(6) + 1;
        let entries = (0..count).map(|_| numbers.restriction()).collect();
        tale.publish(&format!("restrictions, round {round}"), entries);
    }
    refusals(&mut tale);
    tale.publish(
        "two lists are retired",
        vec![Entry::Retired(vec![(1, 1), (3, 3)])],
    );
    for (what, version, orgs) in [
        ("whom the feed admits, by a newer list", 3, &[11, 12, 300][..]),
        ("an older list changes nothing", 2, &[11, 77]),
        ("of two lists of one version, what both have", 3, &[12, 77, 300]),
    ] {
        let orgs = orgs
            .iter()
            .map(|org| OrgId::from_u64(*org).expect("small"))
            .collect();
        tale.publish(what, vec![Entry::Admitted { version, orgs }]);
    }
    for round in 0..10 {
        let entries = (0..4).map(|_| numbers.restriction()).collect();
        tale.publish(&format!("after the retirement, round {round}"), entries);
    }
    issuers(&mut tale);
    epochs(&mut tale);
    let removal = Entry::KeyRemoved(KeyRef::Ours(certificate().number));
    tale.publish("the feed key is removed", vec![removal]);
    let (silent, _) = tale.frame(vec![Entry::revoked(index(1))]);
    tale.tell("and is silent from then on", &silent);
    golden(
        "feed_chain.json",
        &json!({"version": 1, "feed": FEED.to_string(), "root": base64url(&public(1)), "steps": tale.steps}),
    );
}

fn refusals(tale: &mut Tale) {
    let head = tale.head.expect("some");
    let (next, after) = tale.frame(vec![Entry::revoked(index(900))]);
    tale.head = Some(after);
    let (later, _) = tale.frame(vec![Entry::revoked(index(901))]);
    tale.tell("a frame too early", &later);
    tale.head = Some(Head {
        digest: [9; 32],
        ..head
    });
    let (forked, _) = tale.frame(vec![]);
    tale.tell("a frame of another history", &forked);
    tale.head = Some(head);
    let mut damaged = next.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    tale.tell("a damaged signature", &damaged);
    tale.tell("cut short", &next[..next.len() - 1]);
    for (what, entries) in [
        ("an unknown critical entry", {
            vec![Entry::Unknown {
                kind: 77,
                critical: true,
                payload: vec![],
            }]
        }),
        ("a block with two owners", vec![block(0, 8)]),
        (
            "two blocks in one frame that overlap",
            vec![block(9, 4), block(9, 5)],
        ),
    ] {
        let (envelope, _) = tale.frame(entries);
        tale.tell(what, &envelope);
    }
    let stranger = Certificate {
        root_signature: sign(5, &certificate_of(1).root_message()),
        ..certificate_of(1)
    };
    let body = Frame {
        feed: FEED,
        epoch: 1,
        seq: head.seq + 1,
        previous: head.digest,
        time: UnixMillis(1),
        entries: vec![],
    }
    .encode();
    let by = feed::sign(EnvelopeType::Frame, &stranger, &body, |m| Ok::<_, ()>(sign(2, m)));
    tale.tell("a certificate that the root did not sign", &by.expect("signs"));
    tale.tell(
        "a certificate of another epoch",
        &seal(EnvelopeType::Frame, 2, &body),
    );
    for (what, head) in [
        ("a heartbeat", head),
        ("a heartbeat from the future", Head { seq: 999, ..head }),
        (
            "a heartbeat of another history",
            Head {
                digest: [3; 32],
                ..head
            },
        ),
    ] {
        let beat = Heartbeat {
            feed: FEED,
            head,
            audit_head: [0; 32],
            time: UnixMillis(5),
        };
        tale.tell(what, &seal(EnvelopeType::Heartbeat, 1, &beat.encode()));
    }
    tale.tell("the frame itself", &next);
    tale.head = Some(after);
}

/// The highest version counts, whatever came first; of two of one version the one that trusts less.
fn issuers(tale: &mut Tale) {
    let trusted = trusted_issuer();
    let at = |version, trusted: &IssuerEntry| IssuerEntry {
        version,
        ..trusted.clone()
    };
    let not_trusted = |version| IssuerEntry {
        binding: None,
        ..at(version, &trusted)
    };
    let mut wider = at(301, &trusted);
    if let Some(binding) = &mut wider.binding {
        binding.cap = ScopeSet(0b111);
    }
    for (what, entry) in [
        ("an issuer, changed", wider.clone()),
        ("as it was before", at(299, &trusted)),
        ("the same version with less", at(301, &trusted)),
        ("the same version with more", wider),
        ("the same version, not trusted", not_trusted(301)),
        ("the same version, trusted", at(301, &trusted)),
        ("trusted again", at(302, &trusted)),
        ("with a key for ES512", at(303, &es512_issuer())),
        ("without it again", at(304, &trusted)),
    ] {
        tale.publish(what, vec![Entry::Issuer(Box::new(entry))]);
    }
    let subject = |text: &str| Subject::Foreign("https://issuer.example/tenant".into(), text.into());
    let ceiling = |text: &str| Entry::Ceiling {
        subject: subject(text),
        version: 1,
        scopes: ScopeSet::EMPTY,
    };
    tale.publish(
        "two of its people are blocked",
        vec![ceiling("bob"), ceiling("ada")],
    );
}

fn epochs(tale: &mut Tale) {
    let snapshot = |tale: &Tale, state: State| {
        let head = tale.head.expect("some");
        Snapshot::opening(FEED, head.epoch + 1, head.seq + 1, state)
    };
    let old = tale.frame(vec![]).0;
    let forgetful = snapshot(tale, State::default());
    tale.tell(
        "a new epoch that forgets",
        &seal(EnvelopeType::Snapshot, forgetful.head.epoch, &forgetful.encode()),
    );
    let mut state = tale.replica.state().clone();
    state.join(Entry::revoked(index(5000)));
    let opening = snapshot(tale, state);
    let sealed = seal(EnvelopeType::Snapshot, opening.head.epoch, &opening.encode());
    tale.tell("a new epoch", &sealed);
    tale.head = Some(opening.head);
    tale.tell("its snapshot again", &sealed);
    tale.tell("a frame of the old epoch", &old);
    tale.publish(
        "the first frame of the new epoch",
        vec![Entry::revoked(index(5001))],
    );
}
