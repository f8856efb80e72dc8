//! One release apart: what the previous release wrote (`vectors/previous`, kept by `scripts/previous-formats`) this one reads, and
//! what this one writes the previous one can read, because it is the same bytes, or else it is something that the writer holds
//! back until every reader has said that it knows it.

#![expect(clippy::expect_used, reason = "a test says what it expects")]

use std::path::PathBuf;

use serde_json::Value;
use shared::assertion::{self, Expected};
use shared::crypto::{Digest, VerifyingKey, from_base64url};
use shared::feed::{Applied, Entry, Replica, Trust, kinds};
use shared::jwk;
use shared::key;
use shared::time::UnixSeconds;
use shared::usage::{self, Parcel, Record};
use shared::wire::Reader;

/// Kinds of entries that the previous release does not know. A control plane must not publish one before every edge reports it
/// (`Feed::is_understood`): whoever adds one here says that it asks.
const HELD_BACK: [u8; 1] = [kinds::ISSUER_ES512];

/// Grows with each kind of entry; its parts are compared one by one, and the previous ones are read.
const MADE_OF_EVERYTHING: [&str; 6] = [
    "frame",
    "frame_digest",
    "heartbeat",
    "snapshot",
    "state",
    "state_digest",
];

fn vectors(folder: &str, name: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    serde_json::from_slice(&std::fs::read(file).expect("the file")).expect("JSON")
}

fn previous(name: &str) -> Value {
    vectors("vectors/previous", name)
}

fn today(name: &str) -> Value {
    vectors("vectors", name)
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().expect("a text")
}

fn unhex(text: &str) -> Vec<u8> {
    let digit =
        |at: usize| u8::from_str_radix(text.get(at..at + 2).expect("two digits"), 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn public(value: &Value, member: &str) -> VerifyingKey {
    let bytes = from_base64url(text(value, member)).expect("base64url");
    VerifyingKey::ed25519(bytes.try_into().expect("32 bytes"))
}

fn replica(vectors: &Value) -> Replica {
    Replica::new(Trust {
        feed: text(vectors, "feed").parse().expect("a feed"),
        root: public(vectors, "root"),
        other_root: None,
    })
}

/// Whether all that `old` says is said by `new` as well; lists of things with names may grow.
fn is_kept(old: &Value, new: &Value, place: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (member, value) in old
                .iter()
                .filter(|(name, _)| !MADE_OF_EVERYTHING.contains(&name.as_str()))
            {
                let place = format!("{place}/{member}");
                is_kept(value, new.get(member).unwrap_or(&Value::Null), &place);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.iter().all(|item| item["name"].is_string()) => {
            for item in old {
                let same = new.iter().find(|other| other["name"] == item["name"]);
                is_kept(
                    item,
                    same.unwrap_or(&Value::Null),
                    &format!("{place}/{}", item["name"]),
                );
            }
        }
        _ => assert_eq!(old, new, "{place}: the previous release could not read this"),
    }
}

#[test]
fn what_is_written_now_the_previous_release_reads() {
    for name in [
        // Not assertion.json: origins of before refuse an assertion that names its request. They are upgraded first.
        "api_keys.json",
        "dpop.json",
        "feed.json",
        "ids.json",
        "paths.json",
        "usage.json",
    ] {
        is_kept(&previous(name), &today(name), name);
    }
}

#[test]
fn kinds_that_the_previous_release_does_not_know_are_held_back() {
    let kinds_of = |vectors: &Value| -> Vec<(u8, u8)> {
        let entries = vectors["entries"].as_array().expect("a list").iter();
        let fronts = entries.map(|entry| unhex(&text(entry, "bytes")[..4]));
        fronts.map(|front| (front[0], front[1])).collect()
    };
    let known = kinds_of(&previous("feed.json"));
    for (kind, flags) in kinds_of(&today("feed.json")) {
        let is_known = known.iter().any(|(other, _)| *other == kind);
        assert!(
            is_known || HELD_BACK.contains(&kind),
            "kind {kind} is new: who holds it back?"
        );
        // Critical: who does not know it stops there and says so, and does not go on without a restriction.
        assert!(is_known || flags == 1, "kind {kind}");
    }
    for kind in kinds::SUPPORTED {
        let is_shown = kinds_of(&today("feed.json"))
            .iter()
            .any(|(other, _)| *other == kind);
        assert!(is_shown, "kind {kind} has no vector");
    }
}

#[test]
fn the_feed_of_the_previous_release_is_read() {
    let vectors = previous("feed.json");
    for entry in vectors["entries"].as_array().expect("a list") {
        let bytes = unhex(text(entry, "bytes"));
        let mut reader = Reader::new(&bytes);
        let read = Entry::read(&mut reader).expect("an entry");
        assert!(reader.is_empty() && read.encode() == bytes, "{}", entry["name"]);
    }
    let digest: Digest = unhex(text(&vectors, "state_digest"))
        .try_into()
        .expect("32 bytes");
    let mut by_frame = replica(&vectors);
    assert_eq!(
        by_frame.accept(&unhex(text(&vectors, "frame"))),
        Ok(Applied::Frame)
    );
    assert_eq!(by_frame.state().digest(), digest);
    let beat = by_frame.accept(&unhex(text(&vectors, "heartbeat")));
    assert!(matches!(beat, Ok(Applied::Heartbeat(_))), "{beat:?}");
    let mut by_snapshot = replica(&vectors);
    let snapshot = from_base64url(text(&vectors, "snapshot")).expect("base64url");
    assert_eq!(by_snapshot.accept(&snapshot), Ok(Applied::Snapshot));
    assert_eq!(by_snapshot.state().digest(), digest);
}

#[test]
fn a_whole_feed_of_the_previous_release_is_followed_step_by_step() {
    let vectors = previous("feed_chain.json");
    let mut replica = replica(&vectors);
    for step in vectors["steps"].as_array().expect("a list") {
        let envelope = from_base64url(text(step, "envelope")).expect("base64url");
        let outcome = match replica.accept(&envelope) {
            Ok(Applied::Frame) => "frame".to_owned(),
            Ok(Applied::Snapshot) => "snapshot".to_owned(),
            Ok(Applied::Heartbeat(_)) => "heartbeat".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(outcome, step["outcome"], "{}", step["what"]);
        let digest = unhex(text(step, "state_digest"));
        assert_eq!(replica.state().digest().to_vec(), digest, "{}", step["what"]);
    }
}

#[test]
fn keys_of_the_previous_release_are_read() {
    let vectors = previous("api_keys.json");
    let issuer = public(&vectors, "public_key");
    for case in vectors["cases"].as_array().expect("a list") {
        let parsed = key::parse(text(case, "text")).expect("a key");
        assert!(issuer.verify(&parsed.message, &parsed.signature));
        let statement = &parsed.statement;
        assert_eq!(serde_json::json!(statement.index), case["index"]);
        assert_eq!(
            serde_json::json!((statement.org, statement.user)),
            serde_json::json!([case["org"], case["user"]])
        );
        assert_eq!(serde_json::json!(statement.expires_at), case["expires_at"]);
    }
}

#[test]
fn counts_of_the_previous_release_are_read() {
    let vectors = previous("usage.json");
    let record = |member: &str| usage::decode(&unhex(text(&vectors[member], "bytes"))).expect("a record");
    let Record::Batch(batch) = record("batch") else {
        panic!("not a batch");
    };
    assert_eq!(vectors["batch"]["number"], batch.number);
    assert_eq!(
        vectors["batch"]["counts"].as_array().map(Vec::len),
        Some(batch.counts.len())
    );
    assert!(matches!(record("opening"), Record::Opening(_)));
    let parcel = Parcel::decode(&unhex(text(&vectors["parcel"], "bytes"))).expect("a parcel");
    assert_eq!(parcel.records.len(), 2);
}

#[test]
fn an_assertion_of_the_previous_release_holds_for_who_allows_it() {
    let vectors = previous("assertion.json");
    let jwk = vectors["jwk"].as_object().expect("a JWK");
    let key = jwk::admit(jwk, shared::crypto::Algorithm::Ed25519).expect("admitted");
    let claims = &vectors["claims"];
    let at = UnixSeconds(claims["iat"].as_u64().expect("a time"));
    let while_upgrading = Expected {
        issuer: text(claims, "iss"),
        audience: text(claims, "aud"),
        method: "GET",
        path: "/v1/memory/x",
        unbound: true,
    };
    let strictly = Expected {
        unbound: false,
        ..while_upgrading
    };
    let refused = assertion::verify(text(&vectors, "text"), std::slice::from_ref(&key), strictly, at);
    assert_eq!(refused, Err(assertion::Refused::Request));
    let read = assertion::verify(
        text(&vectors, "text"),
        std::slice::from_ref(&key),
        while_upgrading,
        at,
    );
    assert_eq!(
        serde_json::to_value(read.expect("holds")).expect("serialises"),
        *claims
    );
}
