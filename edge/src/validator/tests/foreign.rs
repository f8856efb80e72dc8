//! Tokens of other issuers: an attack per sentence of what binds an issuer to its organisation. What one request shows is in the
//! vectors (`foreign_cases`); here is what changes between two.

use shared::crypto::Algorithm;
use shared::feed::{Entry, IssuerBinding, IssuerEntry, KeyRef, Subject};
use shared::id::{OrgId, UserId};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use super::super::*;
use super::fixture::{Fixture, IDP, IDP_ORG, NOW, idp};

const READ: &str = "/v1/memory/x";
const ED: Algorithm = Algorithm::Ed25519;

/// The next version of the issuer.
fn changed(version: u64, change: impl FnOnce(&mut IssuerBinding)) -> Entry {
    let mut entry = IssuerEntry { version, ..idp() };
    entry.binding.as_mut().map(change).expect("it is trusted");
    Entry::Issuer(Box::new(entry))
}

struct Caller {
    fixture: Fixture,
    cache: StatementCache,
    token: String,
}

impl Caller {
    fn new() -> Self {
        let fixture = Fixture::new();
        let token = format!("Bearer {}", fixture.foreign(ED, |_| {}, |_| {}));
        Self {
            fixture,
            cache: StatementCache::default(),
            token,
        }
    }

    fn outcome(&mut self) -> Reason {
        self.fixture
            .decide(READ, &self.token, &mut self.cache, |decision| match decision {
                Decision::Allow(_) => Reason::Allowed,
                Decision::Refuse(refusal) => refusal.reason,
                Decision::Refresh(_) => panic!("fresh"),
            })
    }

    fn statement(&mut self) -> Arc<Statement> {
        self.fixture
            .decide(READ, &self.token, &mut self.cache, |decision| match decision {
                Decision::Allow(grant) => grant.statement.expect("a statement"),
                other => panic!("{other:?}"),
            })
    }
}

#[test]
fn who_comes_is_issuer_and_subject_and_belongs_to_the_issuer_s_organisation() {
    let mut caller = Caller::new();
    let own = OrgId::from_u64(11).expect("small");
    let user = UserId::from_u64(23).expect("small").to_string();
    caller.token = format!(
        "Bearer {}",
        caller.fixture.foreign(
            ED,
            |_| {},
            |claims| {
                claims["org"] = serde_json::json!(own);
                claims["workspace"] = "ws_00000000X".into();
                claims["sub"] = user.as_str().into();
            }
        )
    );
    let statement = caller.statement();
    assert_eq!(statement.org.get(), IDP_ORG);
    assert_eq!(statement.workspace, None, "what it claims is not looked at");
    assert_eq!(statement.subject, format!("{IDP}#{user}"));
    assert_eq!(statement.credential, format!("{IDP}#f1"));
    assert_eq!((statement.user, statement.index()), (None, None));
}

#[test]
fn a_qualified_subject_is_one_pair_and_none_of_ours() {
    let text = |subject| qualified("https://idp.example/t", subject);
    assert_eq!(text("auth0|ada"), "https://idp.example/t#auth0%7Cada");
    assert_eq!(text("a@b.example"), "https://idp.example/t#a@b.example");
    for (one, two) in [
        ("a#b", "a%23b"),
        ("é", "%C3%A9"),
        ("a,b", "a%2Cb"),
        ("a\r\nb", "a%0D%0Ab"),
    ] {
        assert_ne!(text(one), text(two));
        assert!(text(one).is_ascii() && text(one).matches('#').count() == 1);
        assert!(!text(one).contains(['\r', '\n', ',', ' ']));
    }
}

#[test]
fn a_member_s_restrictions_are_not_those_of_a_namesake() {
    let mut caller = Caller::new();
    let user = UserId::from_u64(23).expect("small");
    let org = OrgId::from_u64(IDP_ORG).expect("small");
    caller.token = format!(
        "Bearer {}",
        caller.fixture.foreign(
            ED,
            |_| {},
            |claims| {
                claims["sub"] = user.to_string().into();
                claims["client_id"] = "cli_000000001".into();
                claims["sid"] = "ses_000000001".into();
            }
        )
    );
    for subject in [
        Subject::Member(org, user),
        Subject::Client("cli_000000001".into()),
        Subject::Session("ses_000000001".into()),
        Subject::Foreign("https://other-idp.example/".into(), user.to_string()),
    ] {
        caller.fixture.say(Entry::NotBefore(subject, UnixSeconds(NOW)));
    }
    assert_eq!(caller.outcome(), Reason::Allowed);
}

#[test]
fn a_remembered_token_is_read_anew_when_its_issuer_changes() {
    for (name, change, expected) in [
        (
            "the key is withdrawn",
            (|b| drop(b.keys.remove("EdDSA"))) as fn(&mut IssuerBinding),
            Reason::SigningKeyUnknown,
        ),
        (
            "another key has its kid",
            |b| drop(b.keys.insert("EdDSA".into(), b.keys["RS256"].clone())),
            Reason::AlgorithmRefused,
        ),
        ("no audience", |b| b.audiences.clear(), Reason::AudienceRefused),
        (
            "a lower cap",
            |b| b.cap = ScopeSet(0b10),
            Reason::ScopeInsufficient,
        ),
        ("no cap", |b| b.cap = ScopeSet::EMPTY, Reason::ScopeInsufficient),
        (
            "another claim for scopes",
            |b| b.scopes = vec![vec!["roles".into()]],
            Reason::ScopeInsufficient,
        ),
        ("no such tokens", |b| b.forms.at_jwt = false, Reason::TypeRefused),
    ] {
        let mut caller = Caller::new();
        assert_eq!(caller.outcome(), Reason::Allowed);
        caller.fixture.say(changed(4, change));
        assert_eq!(caller.outcome(), expected, "{name}");
        caller.fixture.say(changed(5, |_| {}));
        assert_eq!(caller.outcome(), Reason::Allowed, "{name}, and back");
        caller.fixture.say(changed(4, change));
        assert_eq!(
            caller.outcome(),
            Reason::Allowed,
            "{name}: an old version changes nothing"
        );
    }
}

#[test]
fn a_remembered_token_ends_with_the_trust_and_follows_the_organisation() {
    let mut caller = Caller::new();
    assert_eq!(caller.outcome(), Reason::Allowed);
    let gone = IssuerEntry {
        version: 4,
        binding: None,
        ..idp()
    };
    caller.fixture.say(Entry::Issuer(Box::new(gone)));
    assert_eq!(caller.outcome(), Reason::IssuerRefused);
    let moved = IssuerEntry {
        version: 5,
        org: OrgId::from_u64(46).expect("small"),
        ..idp()
    };
    caller.fixture.say(Entry::Issuer(Box::new(moved)));
    assert_eq!(caller.statement().org.get(), 46, "never the former one's again");
}

#[test]
fn a_distrusted_key_stays_so_whatever_its_issuer_lists() {
    let mut caller = Caller::new();
    assert_eq!(caller.outcome(), Reason::Allowed);
    caller.fixture.say(Entry::KeyRemoved(KeyRef::Issuer {
        issuer: IDP.into(),
        kid: "EdDSA".into(),
    }));
    caller.fixture.say(changed(4, |_| {}));
    assert_eq!(caller.outcome(), Reason::SigningKeyUnknown);
}

/// Its clock may be a minute ahead: a token that is dated up to a minute later may be from before.
#[test]
fn every_subject_of_a_foreign_token_counts() {
    let org = OrgId::from_u64(IDP_ORG).expect("small");
    let subjects = [
        Subject::Org(org),
        Subject::Issuer(IDP.into()),
        Subject::Foreign(IDP.into(), "auth0|ada".into()),
    ];
    for subject in subjects {
        let mut caller = Caller::new();
        caller
            .fixture
            .say(Entry::NotBefore(subject.clone(), UnixSeconds(NOW - 161)));
        assert_eq!(caller.outcome(), Reason::Allowed, "issued after {subject:?}");
        caller
            .fixture
            .say(Entry::NotBefore(subject.clone(), UnixSeconds(NOW - 160)));
        assert_eq!(caller.outcome(), Reason::Superseded, "{subject:?}");
        let mut caller = Caller::new();
        let blocked = |version, scopes| Entry::Ceiling {
            subject: subject.clone(),
            version,
            scopes: ScopeSet(scopes),
        };
        caller.fixture.say(blocked(1, 0));
        assert_eq!(caller.outcome(), Reason::ScopeInsufficient, "{subject:?}");
        caller.fixture.say(blocked(2, u64::MAX));
        assert_eq!(caller.outcome(), Reason::Allowed, "{subject:?}, let in again");
    }
}
