//! The library's gate against the golden vectors: it decides what the validator decides, and never sooner.

use shared::crypto::{VerifyingKey, from_base64url};
use shared::dpop::Proof;
use shared::jwk::Thumbprint;
use shared::policy::Policy;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use shared::verdict::Reason;

use super::{Answer, Config, Gate, Question, Refused, spend};
use crate::validator::vectors::{Case, Vectors};
use crate::validator::{Grant, Replays, StatementCache};

const VERDICTS: &[u8] = include_bytes!("../../../shared/vectors/verdicts.json");

fn vectors() -> Vectors {
    serde_json::from_slice(VERDICTS).expect("the vectors")
}

fn config(vectors: &Vectors) -> Config {
    let json = serde_json::json!({
        "issuer": vectors.issuer, "resource": vectors.public_origin, "rootKey": vectors.root, "feedId": vectors.feed,
        "brand": vectors.brand, "environments": vectors.environments,
    });
    Config::from_json(&json.to_string()).expect("a configuration")
}

fn gate(vectors: &Vectors) -> Gate {
    Gate::new(config(vectors), StatementCache::default())
}

fn message(vectors: &Vectors) -> Vec<u8> {
    from_base64url(&vectors.message).expect("base64url")
}

fn question(case: &Case) -> Question {
    Question {
        method: case.method.clone(),
        path: case.path.clone(),
        authorization: case.authorization.clone(),
        origin: case.origin.clone(),
        proof: case.proof.clone(),
        mcp_method: case.mcp_method.clone(),
        mcp_name: case.mcp_name.clone(),
        mcp_version: case.mcp_version.clone(),
        min_seq: case.min_seq.map(|seq| seq.to_string()),
        request_id: "test".into(),
        read_after_arrival: case.read_after_arrival,
        exhausted: case.exhausted,
        proofs_are_shared: true,
        ..Question::default()
    }
}

/// The reason's code, as the vectors have it.
fn code(answer: &Answer) -> &'static str {
    match answer {
        Answer::Allow(allowed) if allowed.public => "public",
        Answer::Allow(_) => "allowed",
        Answer::Refuse(refused) => refused.reason.unwrap_or(refused.code),
        Answer::Refresh(_) => "refresh",
    }
}

fn refused(answer: Answer) -> Refused {
    match answer {
        Answer::Refuse(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_verdict_is_that_of_the_vectors() {
    crate::testing::install_es512();
    let vectors = vectors();
    let message = message(&vectors);
    let mut compared = 0;
    for case in &vectors.cases {
        // Only a heartbeat tells how old the feed is, and there is none in the vectors' message.
        if case.feed_age_ms.is_some() {
            continue;
        }
        let mut gate = gate(&vectors);
        let now = UnixMillis(case.now * 1000);
        let heard_at = UnixMillis(now.0.saturating_sub(case.contact_age_ms));
        let taken = gate.take(&message, heard_at, now, true);
        assert!(taken.at_head && taken.refused.is_none(), "{taken:?}");
        assert_eq!(
            code(&gate.verify(&question(case), now)),
            case.expected,
            "{}",
            case.name
        );
        compared += 1;
    }
    assert!(compared >= 100, "{compared}");
}

#[test]
fn a_gate_that_has_heard_nothing_lets_nobody_in() {
    let vectors = vectors();
    let mut gate = gate(&vectors);
    for case in &vectors.cases {
        let now = UnixMillis(case.now * 1000);
        let asked = Question {
            exhausted: true,
            ..question(case)
        };
        assert!(
            !matches!(gate.verify(&asked, now), Answer::Allow(_)),
            "{}",
            case.name
        );
    }
    // And a state whose age nobody vouches for is too old.
    let case = vectors
        .cases
        .iter()
        .find(|case| case.expected == "allowed")
        .expect("one");
    let now = UnixMillis(case.now * 1000);
    let taken = gate.take(&message(&vectors), now, now, false);
    assert!(taken.news && !taken.at_head);
    assert_eq!(code(&gate.verify(&question(case), now)), "refresh");
    let stale = refused(gate.verify(
        &Question {
            exhausted: true,
            ..question(case)
        },
        now,
    ));
    assert_eq!((stale.status, stale.reason), (503, Some("state_stale")));
    assert_eq!(stale.headers.find("retry-after"), Some("1"));
}

#[test]
fn a_proof_counts_once() {
    let vectors = vectors();
    let bound = |case: &&Case| case.proof.is_some() && case.expected == "allowed" && case.contact_age_ms == 0;
    let case = vectors.cases.iter().find(bound).expect("one with a proof");
    let now = UnixMillis(case.now * 1000);
    let mut gate = gate(&vectors);
    gate.take(&message(&vectors), now, now, true);
    assert_eq!(code(&gate.verify(&question(case), now)), "allowed");
    assert_eq!(code(&gate.verify(&question(case), now)), "proof_replayed");
    assert_eq!(code(&gate.replayed(&question(case))), "proof_replayed");
}

#[test]
fn on_a_strict_route_a_proof_counts_only_with_a_memory_that_all_share() {
    let policy = Policy::demo("https://api.example", "https://id.example");
    let policy = policy.compile().expect("the demo's policy");
    let now = UnixMillis(1_000_000);
    for (path, shared, first, second) in [
        (
            "/admin/x",
            false,
            Some(Reason::StateStale),
            Some(Reason::StateStale),
        ),
        ("/admin/x", true, None, Some(Reason::ProofReplayed)),
        ("/v1/memory/x", false, None, Some(Reason::ProofReplayed)),
    ] {
        let (route, _) = policy.route("GET", path).expect("a route");
        let grant = Grant {
            route,
            path: path.into(),
            statement: None,
            effective: ScopeSet::EMPTY,
            proof: Some(Proof {
                key: Thumbprint::of(&VerifyingKey::ed25519([1; 32])),
                id: [7; 32],
                ends: now.seconds().saturating_add(60),
            }),
        };
        let question = Question {
            proofs_are_shared: shared,
            ..Question::default()
        };
        let mut replays = Replays::default();
        assert_eq!(spend(&grant, &mut replays, &question, now), first, "{path}");
        assert_eq!(spend(&grant, &mut replays, &question, now), second, "{path}");
    }
}

#[test]
fn callers_are_told_no_more_than_by_the_worker() {
    let vectors = vectors();
    let mut gate = gate(&vectors);
    let now = UnixMillis(vectors.cases[0].now * 1000);
    gate.take(&message(&vectors), now, now, true);
    let mut told = |reason: &str| {
        let case = vectors.cases.iter().find(|case| case.expected == reason);
        let mut answer = refused(gate.verify(&question(case.expect(reason)), now));
        assert_eq!(answer.reason.take(), Some(reason));
        answer
    };
    let revoked = told("revoked");
    assert_eq!((revoked.status, revoked.code), (401, "invalid_token"));
    let challenge = revoked.headers.find("www-authenticate").expect("a challenge");
    let metadata = "resource_metadata=\"https://api.example/.well-known/oauth-protected-resource\"";
    assert!(
        challenge.contains("error=\"invalid_token\"") && challenge.contains(metadata),
        "{challenge}"
    );
    for reason in [
        "signature_invalid",
        "expired",
        "superseded",
        "checksum_mismatch",
        "audience_refused",
    ] {
        assert_eq!(told(reason), revoked, "{reason}");
    }
}

#[test]
fn the_gates_own_paths_and_traces_are_refused() {
    let vectors = vectors();
    let mut gate = gate(&vectors);
    let now = UnixMillis(vectors.cases[0].now * 1000);
    gate.take(&message(&vectors), now, now, true);
    let mut ask = |method: &str, path: &str| {
        let question = Question {
            method: method.into(),
            path: path.into(),
            ..Question::default()
        };
        refused(gate.verify(&question, now)).status
    };
    assert_eq!(ask("GET", "/.portcullis/verify"), 404);
    assert_eq!(ask("GET", "/%2eportcullis/verify"), 404);
    assert_eq!(ask("TRACE", "/public/x"), 405);
    assert_eq!(ask("GET", "/public/..%2fadmin"), 400);
}

#[test]
fn what_no_header_judges_is_refused_on_routes_that_promise_more() {
    let vectors = vectors();
    let mut gate = gate(&vectors);
    let case = |name: &str| {
        vectors
            .cases
            .iter()
            .find(|case| case.name == name)
            .expect("a case")
    };
    let now = UnixMillis(vectors.cases[0].now * 1000);
    gate.take(&message(&vectors), now, now, true);
    let socket = || Some("WebSocket".to_owned());
    let admin = Question {
        path: "/admin/x".into(),
        read_after_arrival: true,
        ..question(case("admin implies the rest"))
    };
    assert_eq!(code(&gate.verify(&admin, now)), "allowed");
    let asked = Question {
        upgrade: socket(),
        ..admin
    };
    assert_eq!(code(&gate.verify(&asked, now)), "upgrade_refused");
    let asked = Question {
        upgrade: socket(),
        ..question(case("a good key"))
    };
    assert_eq!(code(&gate.verify(&asked, now)), "allowed", "others may take them");
    let stream = case("a stream names no operation");
    for method in ["GET", "DELETE"] {
        let ask = |has_body| Question {
            method: method.into(),
            has_body,
            ..question(stream)
        };
        assert_eq!(code(&gate.verify(&ask(false), now)), "allowed");
        assert_eq!(code(&gate.verify(&ask(true), now)), "body_not_allowed");
    }
}

#[test]
fn a_configuration_is_read_strictly() {
    let good = serde_json::json!({ "issuer": "https://id.example", "resource": "https://api.example",
        "rootKey": vectors().root, "feedId": vectors().feed });
    assert!(Config::from_json(&good.to_string()).is_ok());
    for (member, value) in [
        ("rootKey", serde_json::json!("short")),
        ("feedId", serde_json::json!("07")),
        ("environments", serde_json::json!(["prod"])),
        ("publicOrigins", serde_json::json!(["api.example"])),
        ("issuer", serde_json::json!("")),
        ("uplinkKey", serde_json::json!("x")),
    ] {
        let mut wrong = good.clone();
        wrong[member] = value;
        let error = Config::from_json(&wrong.to_string()).expect_err(member);
        assert!(error.to_string().contains(member), "{error}");
    }
}

#[test]
fn assertions_hold_for_one_origin_and_one_minute() {
    let vector = include_bytes!("../../../shared/vectors/assertion.json");
    let outcomes = super::run_assertion_vector(vector).expect("the vector");
    assert_eq!(outcomes["good"]["sub"], "usr_0003crHYS");
    for (name, text) in [
        ("forged", "not an assertion"),
        ("other_issuer", "the assertion is another gate's"),
        ("other_audience", "the assertion is for another origin"),
        ("too_late", "the assertion has expired, or a clock is wrong"),
    ] {
        assert!(outcomes[name].is_string(), "{name}: {outcomes}");
        if name != "forged" {
            assert_eq!(outcomes[name], text, "{name}");
        }
    }
}
