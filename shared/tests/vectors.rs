//! The golden vectors of the formats. `UPDATE_VECTORS=1 cargo test -p shared` writes the files anew: look at the
//! difference, for every change in them is a change of a format.

#![expect(clippy::expect_used, reason = "a test says what it expects")]

#[path = "vectors/chain.rs"]
mod chain;
#[path = "vectors/dpop.rs"]
mod dpop;

use std::fmt::Write as _;
use std::path::PathBuf;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use shared::assertion::{self, Claims, Expected};
use shared::crypto::{Algorithm, VerifyingKey, base64url, from_base64url, sha256};
use shared::feed::issuer::{Forms, WorkspaceRule};
use shared::feed::{self, *};
use shared::id::*;
use shared::key::{self, Environment, Statement};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};
use shared::usage::{self, Batch, Collect, Count, Holder, Opening, Parcel, Record};
use shared::{base62, path};

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn public(seed: u8) -> [u8; 32] {
    pair(seed).public_key().as_ref().try_into().expect("32 bytes")
}

fn sign(seed: u8, message: &[u8]) -> [u8; 64] {
    pair(seed).sign(message).as_ref().try_into().expect("64 bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares with the file, or writes it.
fn golden(name: &str, fresh: &Value) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name);
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(
            &file,
            serde_json::to_string_pretty(fresh).expect("serialises") + "\n",
        )
        .expect("writes");
    }
    let stored: Value = serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("JSON");
    assert_eq!(&stored, fresh, "{name} differs from what this release makes");
}

fn statement() -> Statement {
    Statement {
        signing_key: SigningKeyId::from_u64(3).expect("in range"),
        index: StatusIndex::from_u64(1_234_567).expect("in range"),
        org: OrgId::from_u64(11).expect("in range"),
        user: UserId::from_u64(22).expect("in range"),
        workspace: WorkspaceId::from_u64(33),
        scopes: ScopeSet(0b101),
        issued_at: UnixSeconds(1_795_219_200),
        expires_at: Some(UnixSeconds(1_795_305_600)),
        nonce: [1, 2, 3, 4, 5, 6, 7, 8],
    }
}

#[test]
fn api_keys() {
    let all = Statement {
        workspace: None,
        expires_at: None,
        ..statement()
    };
    let cases = [
        ("all fields", Environment::Live, statement()),
        ("no workspace, no expiry", Environment::Test, all),
    ];
    let cases: Vec<Value> = cases
        .iter()
        .map(|(name, env, statement)| {
            let text = key::build("pc", *env, statement, |m| Ok::<_, ()>(sign(3, m))).expect("builds");
            let parsed = key::parse(text.expose()).expect("parses");
            assert!(VerifyingKey::ed25519(public(3)).verify(&parsed.message, &parsed.signature));
            json!({
                "name": name, "text": text.expose(), "brand": "pc", "environment": env,
                "signing_key": 3, "index": statement.index, "key_id": KeyId::from(statement.index),
                "org": statement.org, "user": statement.user, "workspace": statement.workspace,
                "scopes": statement.scopes, "issued_at": statement.issued_at, "expires_at": statement.expires_at,
                "nonce": hex(&statement.nonce), "message": hex(&parsed.message), "signature": hex(&parsed.signature),
            })
        })
        .collect();
    golden(
        "api_keys.json",
        &json!({"version": 1, "public_key": base64url(&public(3)), "cases": cases}),
    );
}

#[test]
fn ids_and_base62() {
    let ids = [0, 1, 61, 62, (1u64 << 53) - 1].map(|n| json!({"number": n, "text": OrgId::from_u64(n)}));
    let bytes: [&[u8]; 4] = [&[1], &[1, 0], &[255; 8], &[1; 40]];
    let texts = bytes.map(|b| json!({"bytes": hex(b), "text": base62::encode_bytes(b)}));
    golden(
        "ids.json",
        &json!({"version": 1, "organisations": ids, "base62": texts}),
    );
}

#[test]
fn paths() {
    let raw = [
        "/",
        "/a/b/",
        "/%61dmin",
        "/a%20b",
        "/a b",
        "/%c3%a4",
        "/a%3fb",
        "/100%25",
        "/a;v=1",
        "/...",
        "/Admin",
        "//",
        "/a//b",
        "/a/../b",
        "/a/%2e%2e",
        "/a/..;x/b",
        "/a/%252e%252e/b",
        "/a%2fb",
        "/a%5cb",
        "/a%252fb",
        "/a%00",
        "/a%0d%0a",
        "/a%7f",
        "/a%",
        "/a%zz",
        "/a%ff",
        "/a%c0%af",
        "a",
        "",
    ];
    let cases: Vec<Value> = raw
        .iter()
        .map(|raw| match path::canonical(raw) {
            Ok(canonical) => json!({"raw": raw, "canonical": canonical}),
            Err(error) => json!({"raw": raw, "refused": error.to_string()}),
        })
        .collect();
    golden("paths.json", &json!({"version": 1, "cases": cases}));
}

#[test]
fn usage_batches() {
    let index = |n| StatusIndex::from_u64(n).expect("in range");
    let org = OrgId::from_u64(9).expect("in range");
    let from = 1_795_219_200_000;
    let count = |holder: Holder, class: Option<&str>, reason: &str, country: &str, requests| Count {
        holder,
        class: class.map(str::to_owned),
        reason: reason.to_owned(),
        country: country.to_owned(),
        requests,
        last: UnixMillis(from + 4321),
    };
    let counts = vec![
        count(Holder::None, None, "route_denied", "", 3),
        count(Holder::None, Some("default"), "credential_missing", "DE", 2),
        count(
            Holder::Key(index(1_234_567)),
            Some("default"),
            "allowed",
            "DE",
            17,
        ),
        count(
            Holder::token(index(7), org, "cli_000000001"),
            Some("reports"),
            "allowed",
            "US",
            1,
        ),
        count(
            Holder::foreign(org, "https://issuer.example", "somebody"),
            Some("reports"),
            "scope_insufficient",
            "US",
            1,
        ),
    ];
    let batch = Batch {
        isolate: [9; 16],
        number: 4,
        from: UnixMillis(from),
        to: UnixMillis(from + 5000),
        next_open: true,
        uncounted: 5,
        colo: "FRA".to_owned(),
        counts,
    };
    let bytes = usage::encode(&batch);
    assert_eq!(usage::decode(&bytes), Ok(Record::Batch(batch.clone())));
    let opening = Opening {
        isolate: [9; 16],
        number: 1,
        from: UnixMillis(from),
    };
    let opened = usage::encode_opening(&opening);
    assert_eq!(usage::decode(&opened), Ok(Record::Opening(opening)));
    let parcel = Parcel {
        store: [8; 16],
        waiting: 2,
        records: vec![(1, opened.clone()), (5, bytes.clone())],
    };
    let collect = Collect {
        feed: FEED,
        store: [8; 16],
        through: 5,
        time: UnixMillis(from),
    };
    let collect = feed::sign(EnvelopeType::Collect, &certificate(), &collect.encode(), |m| {
        Ok::<_, ()>(sign(2, m))
    });
    let counts: Vec<Value> = batch.counts.iter().map(shown).collect();
    golden(
        "usage.json",
        &json!({"version": 1, "isolate": hex(&[9; 16]),
        "opening": {"bytes": hex(&opened), "number": 1, "from": from},
        "batch": {"bytes": hex(&bytes), "number": 4, "from": from, "to": from + 5000, "next_open": true,
            "uncounted": 5, "colo": "FRA", "counts": counts},
        "parcel": {"bytes": hex(&parcel.encode()), "store": hex(&[8; 16]), "waiting": 2, "positions": [1, 5]},
        "collect": hex(&collect.expect("signs"))}),
    );
}

fn shown(count: &Count) -> Value {
    let holder = match &count.holder {
        Holder::None => json!(null),
        Holder::Key(index) => json!({"key": index}),
        Holder::Token { index, org, client } => json!({"token": index, "org": org, "client": client}),
        Holder::Foreign { org, name } => json!({"foreign": name, "org": org}),
    };
    json!({"holder": holder, "class": count.class, "reason": count.reason, "country": count.country,
        "requests": count.requests, "last": count.last})
}

const FEED: FeedId = FeedId([7; 16]);

fn certificate() -> Certificate {
    let mut certificate = Certificate {
        feed: FEED,
        epoch: 1,
        number: SigningKeyId::from_u64(2).expect("in range"),
        key: public(2),
        not_after: UnixSeconds(2_000_000_000),
        root_signature: [0; 64],
    };
    certificate.root_signature = sign(1, &certificate.root_message());
    certificate
}

/// One with something in every field.
fn trusted_issuer() -> IssuerEntry {
    let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let workspace = |number| WorkspaceId::from_u64(number).expect("small");
    IssuerEntry {
        issuer: "https://issuer.example/tenant".into(),
        version: 300,
        org: OrgId::from_u64(11).expect("small"),
        binding: Some(IssuerBinding {
            audiences: path(&["https://api.example", "api"]),
            cap: ScopeSet(0b101),
            forms: Forms {
                at_jwt: true,
                jwt: false,
                none: true,
            },
            subject: path(&["sub"]),
            scopes: vec![path(&["realm_access", "roles"]), path(&["scope"])],
            scope_values: Some([("reader".to_owned(), ScopeSet(1)), ("é".to_owned(), ScopeSet(4))].into()),
            workspace: WorkspaceRule::Claim {
                path: path(&["team"]),
                values: [("a".to_owned(), workspace(33)), ("b".to_owned(), workspace(34))].into(),
            },
            keys: [
                (String::new(), VerifyingKey::ed25519(public(4))),
                (
                    "rsa".to_owned(),
                    VerifyingKey::rsa(Algorithm::Ps256, &[0xff; 256], &[1, 0, 1]).expect("admitted"),
                ),
            ]
            .into(),
        }),
    }
}

/// The same with a key that came later: the entry is of a kind of its own.
fn es512_issuer() -> IssuerEntry {
    let mut issuer = trusted_issuer();
    issuer.version = 301;
    if let Some(binding) = &mut issuer.binding {
        let key = VerifyingKey::ecdsa(Algorithm::Es512, &[1; 132]).expect("a length");
        binding.keys.insert("p521".into(), key);
    }
    issuer
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn one_of_each() -> Vec<(&'static str, Entry)> {
    let index = |n| StatusIndex::from_u64(n).expect("in range");
    let number = SigningKeyId::from_u64(3).expect("in range");
    let key = VerifyingKey::ed25519(public(3));
    let root = sign(
        1,
        &IssuingKey::root_message(FEED, number, IssuingPurpose::ApiKey, &key),
    );
    let owner = KeyOwner::Ours(root);
    let ours = IssuingKey {
        reference: KeyRef::Ours(number),
        purpose: IssuingPurpose::ApiKey,
        key: key.clone(),
        owner,
    };
    let reference = KeyRef::Issuer {
        issuer: "https://idp.example".into(),
        kid: "a".into(),
    };
    let theirs = IssuingKey {
        reference: reference.clone(),
        purpose: IssuingPurpose::ForeignToken,
        key,
        owner: KeyOwner::Issuer,
    };
    let member = Subject::Member(
        OrgId::from_u64(11).expect("small"),
        UserId::from_u64(22).expect("small"),
    );
    let scopes = ScopeSet(3);
    vec![
        (
            "revoked",
            Entry::Revoked(vec![(index(5), index(5)), (index(100), index(200))]),
        ),
        (
            "not_before",
            Entry::NotBefore(
                Subject::Client("cli_000000001".into()),
                UnixSeconds(1_795_219_200),
            ),
        ),
        (
            "not_after",
            Entry::NotAfter(Expiry {
                index: index(6),
                time: UnixSeconds(1_795_219_300),
            }),
        ),
        (
            "ceiling",
            Entry::Ceiling {
                subject: member,
                version: 2,
                scopes,
            },
        ),
        ("key, ours", Entry::Key(Box::new(ours))),
        ("key, another issuer's", Entry::Key(Box::new(theirs))),
        (
            "key_removed",
            Entry::KeyRemoved(KeyRef::Ours(SigningKeyId::from_u64(9).expect("in range"))),
        ),
        (
            "block",
            Entry::Block(Block {
                start: index(0),
                length: 1 << 20,
                signing_key: number,
            }),
        ),
        (
            "policy",
            Entry::Policy {
                version: 1,
                json: b"{}".to_vec(),
            },
        ),
        ("issuer, trusted", Entry::Issuer(Box::new(trusted_issuer()))),
        (
            "issuer, with a key for ES512",
            Entry::Issuer(Box::new(es512_issuer())),
        ),
        (
            "issuer, not any more",
            Entry::Issuer(Box::new(IssuerEntry {
                issuer: "https://former.example".into(),
                version: 7,
                org: OrgId::from_u64(12).expect("small"),
                binding: None,
            })),
        ),
        (
            "not_before, a foreign subject",
            Entry::NotBefore(
                Subject::Foreign("https://issuer.example".into(), "auth0|ada".into()),
                UnixSeconds(1_795_219_200),
            ),
        ),
        ("retired", Entry::Retired(vec![(3, 3), (5, 7)])),
        (
            "admitted",
            Entry::Admitted {
                version: 1,
                orgs: [11, 300]
                    .map(|org| shared::id::OrgId::from_u64(org).expect("small"))
                    .to_vec(),
            },
        ),
        (
            "unknown, not critical",
            Entry::Unknown {
                kind: 200,
                critical: false,
                payload: vec![1, 2, 3],
            },
        ),
    ]
}

#[test]
fn the_feed() {
    let entries: Vec<Value> = one_of_each()
        .iter()
        .map(|(name, entry)| json!({"name": name, "bytes": hex(&entry.encode())}))
        .collect();
    let all: Vec<Entry> = one_of_each().into_iter().map(|(_, entry)| entry).collect();
    let time = UnixMillis(1_795_219_200_000);
    let frame = Frame {
        feed: FEED,
        epoch: 1,
        seq: 1,
        previous: [0; 32],
        time,
        entries: all.clone(),
    };
    let mut state = State::default();
    for entry in all {
        state.join(entry);
    }
    let head = Head {
        epoch: 1,
        seq: 1,
        digest: Frame::digest(&frame.encode()),
    };
    let snapshot = Snapshot {
        feed: FEED,
        head,
        state: state.clone(),
    };
    let heartbeat = Heartbeat {
        feed: FEED,
        head,
        audit_head: [0; 32],
        time,
    };
    let fetch = FetchRequest {
        feed: FEED,
        epoch: 1,
        after: 1,
        time,
    };
    let seal = |kind, body: &[u8]| {
        feed::sign(kind, &certificate(), body, |m| Ok::<_, ()>(sign(2, m))).expect("signs")
    };
    let (frame_envelope, snapshot_body) = (seal(EnvelopeType::Frame, &frame.encode()), snapshot.encode());
    let trust = Trust {
        feed: FEED,
        root: VerifyingKey::ed25519(public(1)),
        other_root: None,
    };
    let mut by_frame = Replica::new(trust.clone());
    by_frame.accept(&frame_envelope).expect("accepted");
    let mut by_snapshot = Replica::new(trust);
    let mut fresh = json!({
        "version": 1, "feed": FEED.to_string(), "root": base64url(&public(1)),
        "entries": entries,
        "certificate": hex(&certificate().encode()),
        "frame": hex(&frame_envelope), "frame_digest": hex(&head.digest),
        "heartbeat": hex(&seal(EnvelopeType::Heartbeat, &heartbeat.encode())),
        "fetch": hex(&seal(EnvelopeType::Fetch, &fetch.encode())),
        "state": hex(&state.encode()), "state_digest": hex(&sha256(&state.encode())),
    });
    // The compressor may improve; what counts is that the stored snapshot still gives this state.
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/feed.json");
    let stored: Option<Value> = std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let stored = stored.and_then(|value| value["snapshot"].as_str().and_then(from_base64url));
    let envelope = stored.unwrap_or_else(|| seal(EnvelopeType::Snapshot, &snapshot_body));
    by_snapshot
        .accept(&envelope)
        .expect("the stored snapshot is accepted");
    assert_eq!(by_snapshot.state(), by_frame.state());
    assert_eq!(by_snapshot.head(), by_frame.head());
    fresh["snapshot"] = base64url(&envelope).into();
    golden("feed.json", &fresh);
}

#[test]
fn assertions() {
    let path = "/v1/memory/a%20b";
    let claims = Claims {
        iss: "https://api.example.com".into(),
        aud: "https://origin.example.com".into(),
        sub: "usr_0003crHYS".into(),
        org: "org_0003CMcMl".into(),
        workspace: "all".into(),
        scope: "memory:read memory:write".into(),
        credential: "key_000007NER".into(),
        htm: Some("GET".into()),
        htp: assertion::path_hash(path),
        iat: UnixSeconds(1_795_219_200),
        exp: UnixSeconds(1_795_219_260),
    };
    let key = VerifyingKey::ed25519(public(5));
    let message = assertion::message(&claims, &assertion::kid(&key)).expect("serialises");
    let text = format!("{message}.{}", base64url(&sign(5, message.as_bytes())));
    let checked = assertion::verify(
        &text,
        std::slice::from_ref(&key),
        Expected {
            issuer: &claims.iss,
            audience: &claims.aud,
            method: "GET",
            path,
            unbound: false,
        },
        claims.iat,
    );
    assert_eq!(checked.as_ref(), Ok(&claims));
    golden(
        "assertion.json",
        &json!({"version": 1, "seed": base64url(&[5; 32]), "jwk": key.jwk(&assertion::kid(&key)), "method": "GET", "path": path, "claims": claims, "text": text}),
    );
}
