//! The verdict vectors, and what they are made of. `UPDATE_VECTORS=1 cargo test -p edge` writes the file anew: look at
//! the difference, it is a change of the contract.

mod cache;
mod fixture;
mod foreign;
mod previous;

use fixture::{Fixture, NOW, index};
use shared::feed::{Entry, Expiry, KeyRef, Subject};
use shared::id::{OrgId, SigningKeyId, StatusIndex, UserId};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

use super::vectors::{self, Case};
use super::{Decision, Freshness, RequestFacts, StatementCache};

fn check(fixture: &Fixture, path: &str, authorization: &str) -> String {
    fixture.reason(&Case {
        name: String::new(),
        method: "GET".into(),
        path: path.into(),
        authorization: Some(authorization.into()),
        origin: None,
        proof: None,
        mcp_method: None,
        mcp_name: None,
        mcp_version: None,
        feed_age_ms: None,
        min_seq: None,
        read_after_arrival: false,
        now: NOW,
        contact_age_ms: 0,
        exhausted: false,
        expected: String::new(),
    })
}

#[test]
fn the_golden_vectors_hold() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/verdicts.json");
    let fresh = fixture::golden();
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&fresh).expect("serialises") + "\n";
        std::fs::write(file, text).expect("writes");
    }
    let stored = std::fs::read(file).expect("the vector file");
    let stored_file: vectors::Vectors = serde_json::from_slice(&stored).expect("a vector file");
    let again = serde_json::to_value(&fresh).expect("serialises");
    assert_eq!(
        serde_json::to_value(&stored_file).expect("serialises"),
        again,
        "the generator has moved on"
    );
    let outcomes = vectors::run(&stored).expect("runs");
    assert!(outcomes.len() >= 60, "{}", outcomes.len());
    for (case, outcome) in stored_file.cases.iter().zip(&outcomes) {
        assert_eq!(case.expected, outcome.reason, "{}", case.name);
    }
}

/// An explanation may say more than the verdict, and never anything else.
#[test]
fn the_first_step_that_fails_is_the_verdict() {
    let golden = fixture::golden();
    let json = serde_json::to_vec(&golden).expect("serialises");
    let explanations = vectors::explain(&json).expect("explains");
    let mut told = 0;
    for (case, explanation) in golden.cases.iter().zip(explanations) {
        // Freshness is not explained, nor is what would be asked for before anything is said.
        if matches!(case.expected.as_str(), "refresh" | "state_stale") {
            continue;
        }
        let verdict = match explanation.reason() {
            Some(reason) => reason.code(),
            None if explanation.public => "public",
            None => "allowed",
        };
        assert_eq!(verdict, case.expected, "{}: {:#?}", case.name, explanation.steps);
        told += 1;
    }
    assert!(told > 100, "{told}");
}

#[test]
fn every_reason_of_the_validator_has_a_vector() {
    let seen: Vec<String> = fixture::golden()
        .cases
        .into_iter()
        .map(|case| case.expected)
        .collect();
    for reason in shared::verdict::Reason::ALL {
        // The adapter's own: it has no state at all yet, and the memory for proofs, limits and addresses.
        use shared::verdict::Reason::{AddressBraked, ProofReplayed, RateLimited, StateMissing};
        if !matches!(reason, StateMissing | ProofReplayed | RateLimited | AddressBraked) {
            assert!(seen.iter().any(|code| code == reason.code()), "{}", reason.code());
        }
    }
}

#[test]
fn a_remembered_statement_is_judged_anew() {
    let mut fixture = Fixture::new();
    let key = format!("Bearer {}", fixture.key().expose());
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "allowed");
    fixture.say(Entry::revoked(index(7)));
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "revoked");
}

#[test]
fn removing_the_signing_key_ends_what_it_signed_at_once() {
    let mut fixture = Fixture::new();
    let key = format!("Bearer {}", fixture.key().expose());
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "allowed");
    fixture.say(Entry::KeyRemoved(KeyRef::Ours(
        SigningKeyId::from_u64(3).expect("in range"),
    )));
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "signing_key_unknown");
}

#[test]
fn what_was_ended_at_the_edge_is_revoked_like_the_rest() {
    let fixture = Fixture::new();
    assert_eq!(fixture.reason_with(&[]), None);
    assert_eq!(fixture.reason_with(&[index(8)]), None);
    assert_eq!(
        fixture.reason_with(&[index(7)]),
        Some(shared::verdict::Reason::Revoked)
    );
}

#[test]
fn a_canary_lives_until_the_state_or_the_local_set_ends_it() {
    use shared::verdict::Reason;
    let mut fixture = Fixture::new();
    let canary = fixture.canary();
    let bearer = format!("Bearer {}", canary.expose());
    let other = format!("Bearer {}", fixture.key().expose());
    let token = format!("Bearer {}", fixture.token(|_| {}));
    assert_eq!(fixture.canary_reason(Some(&bearer), NOW, &[]), None);
    assert_eq!(
        fixture.canary_reason(Some(&bearer), NOW + 2000, &[]),
        Some(Reason::Expired)
    );
    assert_eq!(
        fixture.canary_reason(Some(&bearer), NOW, &[index(9)]),
        Some(Reason::Revoked)
    );
    for refused in [&other, &token] {
        assert_eq!(
            fixture.canary_reason(Some(refused), NOW, &[]),
            Some(Reason::AudienceRefused)
        );
    }
    assert_eq!(
        fixture.canary_reason(None, NOW, &[]),
        Some(Reason::CredentialMissing)
    );
    fixture.say(Entry::revoked(index(9)));
    assert_eq!(
        fixture.canary_reason(Some(&bearer), NOW, &[]),
        Some(Reason::Revoked)
    );
}

#[test]
fn every_subject_of_a_not_before_counts() {
    let (org, user) = (
        OrgId::from_u64(11).expect("small"),
        UserId::from_u64(22).expect("small"),
    );
    for subject in [
        Subject::Org(org),
        Subject::Member(org, user),
        Subject::Issuer(fixture::ISSUER.into()),
    ] {
        let mut fixture = Fixture::new();
        let key = format!("Bearer {}", fixture.key().expose());
        fixture.say(Entry::NotBefore(subject.clone(), UnixSeconds(NOW - 101)));
        assert_eq!(
            check(&fixture, "/v1/memory/x", &key),
            "allowed",
            "issued after {subject:?}"
        );
        fixture.say(Entry::NotBefore(subject.clone(), UnixSeconds(NOW - 100)));
        assert_eq!(check(&fixture, "/v1/memory/x", &key), "superseded", "{subject:?}");
    }
    let mut fixture = Fixture::new();
    let token = format!("Bearer {}", fixture.token(|_| {}));
    fixture.say(Entry::NotBefore(
        Subject::Client("cli_000000001".into()),
        UnixSeconds(NOW - 100),
    ));
    assert_eq!(check(&fixture, "/v1/memory/x", &token), "superseded");
}

#[test]
fn a_ceiling_limits_and_its_highest_version_wins() {
    let mut fixture = Fixture::new();
    let key = format!("Bearer {}", fixture.key().expose());
    let subject = Subject::Member(
        OrgId::from_u64(11).expect("small"),
        UserId::from_u64(22).expect("small"),
    );
    let ceiling = |version, scopes| Entry::Ceiling {
        subject: subject.clone(),
        version,
        scopes: ScopeSet(scopes),
    };
    fixture.say(ceiling(2, 0));
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "scope_insufficient");
    fixture.say(ceiling(1, 1));
    assert_eq!(
        check(&fixture, "/v1/memory/x", &key),
        "scope_insufficient",
        "an older version changes nothing"
    );
    fixture.say(ceiling(3, 1 << 5));
    assert_eq!(
        check(&fixture, "/v1/memory/x", &key),
        "allowed",
        "admin as a ceiling implies all"
    );
}

/// A route that asks for no scope admits any credential, but none of somebody who is suspended.
#[test]
fn a_ceiling_of_nothing_shuts_out() {
    let mut fixture = Fixture::new();
    let (org, user) = (
        OrgId::from_u64(11).expect("small"),
        UserId::from_u64(22).expect("small"),
    );
    let workspace = shared::id::WorkspaceId::from_u64(33).expect("small");
    let path = format!("/tenants/{org}/{workspace}/x");
    let key = format!("Bearer {}", fixture.key().expose());
    let ceiling = |version, scopes| Entry::Ceiling {
        subject: Subject::Member(org, user),
        version,
        scopes: ScopeSet(scopes),
    };
    assert_eq!(check(&fixture, &path, &key), "allowed");
    fixture.say(ceiling(2, 0));
    assert_eq!(check(&fixture, &path, &key), "scope_insufficient");
    fixture.say(ceiling(3, 1));
    assert_eq!(check(&fixture, &path, &key), "allowed");
}

/// A credential for all workspaces is used in one of them: what holds there, holds for it.
#[test]
fn a_captured_workspace_has_its_ceilings_and_its_not_before() {
    let (org, user) = (
        OrgId::from_u64(11).expect("small"),
        UserId::from_u64(22).expect("small"),
    );
    let workspace = |number| shared::id::WorkspaceId::from_u64(number).expect("small");
    let subjects = [
        Subject::Workspace(workspace(33)),
        Subject::WorkspaceMember(org, user, workspace(33)),
    ];
    for subject in subjects {
        let ceiling = Entry::Ceiling {
            subject: subject.clone(),
            version: 1,
            scopes: ScopeSet::EMPTY,
        };
        let not_before = Entry::NotBefore(subject, UnixSeconds(NOW - 100));
        for (entry, reason) in [(ceiling, "scope_insufficient"), (not_before, "superseded")] {
            let mut fixture = Fixture::new();
            let key = fixture.key_with(|stated| stated.workspace = None);
            let key = format!("Bearer {}", key.expose());
            let path = |number| format!("/tenants/{org}/{}/x", workspace(number));
            assert_eq!(check(&fixture, &path(33), &key), "allowed");
            fixture.say(entry);
            assert_eq!(check(&fixture, &path(33), &key), reason);
            assert_eq!(check(&fixture, &path(34), &key), "allowed", "another workspace");
            assert_eq!(check(&fixture, "/v1/memory/x", &key), "allowed", "no workspace");
        }
    }
}

#[test]
fn an_early_end_counts_to_the_second() {
    let mut fixture = Fixture::new();
    let key = format!("Bearer {}", fixture.key().expose());
    let end = |time| {
        Entry::NotAfter(Expiry {
            index: StatusIndex::from_u64(7).expect("small"),
            time: UnixSeconds(time),
        })
    };
    fixture.say(end(NOW + 1));
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "allowed");
    fixture.say(end(NOW));
    assert_eq!(check(&fixture, "/v1/memory/x", &key), "ended");
}

#[test]
fn from_a_braked_address_only_a_known_credential_is_heard() {
    use shared::verdict::Reason;
    let fixture = Fixture::new();
    let authorization = format!("Bearer {}", fixture.key().expose());
    fixture.with_validator(&[], |validator| {
        let mut cache = StatementCache::default();
        let mut ask = |braked| {
            let facts = RequestFacts {
                method: "GET",
                path: "/v1/memory/x",
                authorization: Some(&authorization),
                braked,
                ..RequestFacts::default()
            };
            match validator.check(&facts, Freshness::default(), UnixSeconds(NOW), &mut cache) {
                Decision::Allow(_) => None,
                Decision::Refuse(refusal) => Some(refusal.reason),
                Decision::Refresh(_) => panic!("fresh"),
            }
        };
        assert_eq!(ask(true), Some(Reason::AddressBraked));
        assert_eq!(ask(false), None);
        assert_eq!(ask(true), None, "it is known to be true by now");
    });
}
