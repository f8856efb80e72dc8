//! Many credentials at once, not-before times, quarantine.

use shared::id::{GrantId, RevocationId, StatusIndex};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::installation::index;
use super::{NOW, grants, key_id, org, people, sample, user, workspace};
use crate::store::keys::{ApiKey, Reach};
use crate::store::not_before::AssertedToken;
use crate::store::orgs::IssueSubjects;
use crate::store::quarantine::Ceiling;
use crate::store::revocations::{Counts, GrantsWhere, KeysWhere, Mark, RevocationRow};
use crate::store::{Store, Tx};

fn revocation(number: u64) -> RevocationId {
    RevocationId::from_u64(number).expect("small")
}

fn mark(number: u64) -> Mark {
    Mark {
        revocation: revocation(number),
        at: NOW,
        reason: "key_compromise",
        by: "usr_000000002".to_owned(),
    }
}

fn all_keys() -> KeysWhere {
    KeysWhere::in_reach(Reach::all_of(org(1)), NOW.seconds())
}

/// How a filter is narrowed, and how many it then finds.
type Narrowed<'a> = (&'a dyn Fn(&mut KeysWhere), u64);

pub(super) async fn keys_match_every_condition(store: Store) {
    let mut tx = people(&store).await;
    let later = UnixMillis(NOW.0 + 1000);
    let expired = UnixSeconds(NOW.seconds().0 - 1);
    for key in [
        sample(7),
        ApiKey {
            name: "CI%one".to_owned(),
            environment: Environment::Test,
            ..sample(8)
        },
        ApiKey {
            name: "ci_two".to_owned(),
            workspace: Some(workspace(3)),
            scopes: ScopeSet(1 << 63),
            created_at: later,
            ..sample(9)
        },
        ApiKey {
            expires_at: Some(expired),
            ..sample(10)
        },
    ] {
        tx.insert_key(&key).await.expect("key");
    }
    let count = async |tx: &mut Tx, change: &dyn Fn(&mut KeysWhere)| {
        let mut which = all_keys();
        change(&mut which);
        tx.count_keys_where(&which).await.expect("counted")
    };
    let conditions: [Narrowed<'_>; 14] = [
        (&|_| {}, 3),
        (&|which| which.org = Some(org(9)), 0),
        (&|which| which.org = None, 3),
        (&|which| which.user = Some(user(2)), 3),
        (&|which| which.user = Some(user(4)), 0),
        (&|which| which.within = Some(workspace(3)), 1),
        (&|which| which.reach = Environment::Test, 1),
        (&|which| which.environment = Some(Environment::Live), 2),
        (&|which| which.all_workspaces = true, 2),
        (&|which| which.name_prefix = Some("ci%".to_owned()), 1),
        (&|which| which.created_before = Some(UnixMillis(NOW.0 + 1000)), 2),
        (&|which| which.created_after = Some(UnixMillis(NOW.0 + 1000)), 1),
        (&|which| which.scopes = ScopeSet(1 << 63), 1),
        (&|which| which.except = Some(key_id(7)), 2),
    ];
    for (place, (change, wanted)) in conditions.iter().enumerate() {
        assert_eq!(count(&mut tx, change).await, *wanted, "condition {place}");
    }
    let named = KeysWhere {
        name_prefix: Some("CI".to_owned()),
        ..all_keys()
    };
    assert_eq!(tx.hold_keys_where(&named).await.expect("held"), 2);
    let mut ended = tx.revoke_keys_where(&named, &mark(5)).await.expect("revoked");
    ended.sort_unstable();
    assert_eq!(ended, [index(8), index(9)]);
    assert_eq!(tx.stamp_revoked_keys(revocation(5), 3).await.expect("stamped"), 2);
    let dead = tx.key(key_id(8)).await.expect("asked").expect("there");
    let revoked = dead.revoked.expect("revoked");
    assert_eq!(
        (revoked.reason.as_str(), revoked.outbox, revoked.at),
        ("key_compromise", 3, NOW)
    );
    assert!(
        tx.key(key_id(7))
            .await
            .expect("asked")
            .expect("there")
            .revoked
            .is_none()
    );
    assert_eq!(tx.revoke_keys_where(&named, &mark(6)).await.expect("asked"), []);
    let first = tx.keys_of_revocation(revocation(5), 0, 1).await.expect("listed");
    assert_eq!(first, [key_id(8)]);
    let rest = tx.keys_of_revocation(revocation(5), 8, 9).await.expect("listed");
    assert_eq!(rest, [key_id(9)]);
}

#[expect(clippy::too_many_lines, reason = "one set of rows, and every filter on it")]
pub(super) async fn grants_and_asserted_tokens_match(store: Store) {
    // Grant 5 with index 17 is of user 2 and client 77.
    grants::prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let id = GrantId::from_u64(5).expect("small");
    let grant = tx.grant(id).await.expect("asked").expect("there");
    let token = AssertedToken {
        index: index(18),
        org: org(1),
        user: user(2),
        client: grant.terms.client,
        issuer: "https://idp.example".to_owned(),
        scopes: ScopeSet(1),
        created_at: NOW,
        expires: NOW.seconds().saturating_add(60),
    };
    tx.insert_asserted_token(&token).await.expect("token");
    assert_eq!(
        tx.org_of_asserted_token(index(18)).await.expect("asked"),
        Some(org(1))
    );
    let all = GrantsWhere::of(Some(org(1)), NOW.seconds());
    let counts = async |tx: &mut Tx, which: &GrantsWhere| {
        (
            tx.count_grants_where(which).await.expect("counted"),
            tx.count_tokens_where(which).await.expect("counted"),
        )
    };
    let later = Some(UnixMillis(NOW.0 + 100_000));
    for (which, wanted) in [
        (all.clone(), (1, 1)),
        (
            GrantsWhere {
                org: None,
                ..all.clone()
            },
            (1, 1),
        ),
        (
            GrantsWhere {
                org: Some(org(9)),
                ..all.clone()
            },
            (0, 0),
        ),
        (
            GrantsWhere {
                user: Some(user(4)),
                ..all.clone()
            },
            (0, 0),
        ),
        (
            GrantsWhere {
                client: Some(grant.terms.client),
                ..all.clone()
            },
            (1, 1),
        ),
        (
            GrantsWhere {
                session: Some("ses_x".to_owned()),
                ..all.clone()
            },
            (0, 0),
        ),
        (
            GrantsWhere {
                issuer: Some("https://idp.example".to_owned()),
                ..all.clone()
            },
            (0, 1),
        ),
        (
            GrantsWhere {
                issuer: Some("https://other.example".to_owned()),
                ..all.clone()
            },
            (0, 0),
        ),
        (
            GrantsWhere {
                created_before: Some(NOW),
                ..all.clone()
            },
            (0, 0),
        ),
        (
            GrantsWhere {
                created_after: Some(NOW),
                ..all.clone()
            },
            (1, 1),
        ),
        (
            GrantsWhere {
                last_used_before: later,
                ..all.clone()
            },
            (1, 1),
        ),
        (
            GrantsWhere {
                scopes: ScopeSet(1 << 40),
                ..all.clone()
            },
            (0, 0),
        ),
    ] {
        assert_eq!(counts(&mut tx, &which).await, wanted, "{which:?}");
    }
    assert_eq!(tx.grant_end(id).await.expect("asked"), None);
    let (ended, indexes) = tx.revoke_grants_where(&all, &mark(5)).await.expect("revoked");
    assert_eq!((ended, indexes), (1, vec![index(17)]));
    assert_eq!(tx.index_is_live(index(17)).await.expect("asked"), Some(false));
    let end = tx.grant_end(id).await.expect("asked");
    assert_eq!(end, Some((NOW, "key_compromise".to_owned())));
    assert_eq!(
        tx.grants_of_revocation(revocation(5), 0, 9)
            .await
            .expect("listed"),
        [id]
    );
    let tokens = tx.revoke_tokens_where(&all, NOW).await.expect("revoked");
    assert_eq!(tokens, [index(18)]);
    assert_eq!(tx.index_end(index(18)).await.expect("asked"), Some(NOW));
    assert_eq!(counts(&mut tx, &all).await, (0, 0));
    assert_eq!(tx.revoke_tokens_where(&all, NOW).await.expect("asked"), []);
    let forgotten = tx
        .forget_asserted_tokens(NOW.seconds().saturating_add(61))
        .await
        .expect("forgotten");
    assert_eq!(forgotten, 1);
    let unfetched = tx
        .end_codes_of_client(org(1), grant.terms.client, "cli_x", NOW)
        .await
        .expect("asked");
    assert_eq!(unfetched, 0);
    assert_eq!(
        tx.count_sessions_in(Some(org(1)), None, NOW)
            .await
            .expect("asked"),
        0
    );
    assert_eq!(
        tx.end_sessions_in(Some(org(1)), Some(user(2)), NOW)
            .await
            .expect("asked"),
        0
    );
}

pub(super) async fn a_revocation_comes_back_as_it_went_in(store: Store) {
    let mut tx = people(&store).await;
    let outbox = tx.enqueue_entry("rev", b"x", None, NOW).await.expect("row");
    let row = RevocationRow {
        id: revocation(5),
        org: Some(org(1)),
        subject: "org_1/usr_2".to_owned(),
        reason: "superseded".to_owned(),
        comment: Some("Ünï".to_owned()),
        filter: None,
        by: "usr_000000002".to_owned(),
        at: NOW,
        outbox,
        counts: Counts {
            keys: 1,
            grants: 2,
            tokens: 3,
            sessions: 4,
        },
    };
    tx.insert_revocation(&row).await.expect("row");
    let newer = RevocationRow {
        id: revocation(6),
        org: None,
        at: UnixMillis(NOW.0 + 1),
        comment: None,
        filter: Some("{}".to_owned()),
        ..row.clone()
    };
    tx.insert_revocation(&newer).await.expect("row");
    assert_eq!(tx.revocation(row.id).await.expect("asked"), Some(row.clone()));
    assert_eq!(
        tx.last_revocation(&row.subject).await.expect("asked"),
        Some(newer)
    );
    assert_eq!(tx.last_revocation("other").await.expect("asked"), None);
    assert_eq!(row.counts.sum(), 10);
}

/// `max(now, last_iat)`, and never less than before.
pub(super) async fn a_not_before_never_goes_back(store: Store) {
    grants::prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    tx.claim_installation([1; 16], NOW).await.expect("claimed");
    let now = NOW.seconds();
    let past = UnixSeconds(now.0 - 100);
    let ahead = now.saturating_add(50);
    let subjects = IssueSubjects {
        org: org(1),
        workspace: None,
        user: Some(user(2)),
    };
    assert!(!tx.org_is_silent(org(1)).await.expect("asked"), "never revoked");
    // An instance whose clock is ahead.
    assert_eq!(tx.issue_time(subjects, ahead).await.expect("dated"), ahead);
    assert_eq!(
        tx.set_org_not_before(org(1), now).await.expect("set"),
        Some(ahead)
    );
    assert!(tx.org_is_silent(org(1)).await.expect("asked"));
    assert_eq!(
        tx.set_org_not_before(org(1), past).await.expect("set"),
        Some(ahead)
    );
    assert_eq!(tx.org_not_before(org(1)).await.expect("asked"), Some(ahead));
    let next = tx.issue_time(subjects, now).await.expect("dated");
    assert_eq!(next, ahead.saturating_add(1));
    assert!(!tx.org_is_silent(org(1)).await.expect("asked"));
    // The same for a member, whose clock goes back.
    let at = tx.set_member_not_before(org(1), user(2), now).await.expect("set");
    assert_eq!(at, Some(next));
    assert!(tx.member_is_silent(org(1), user(2)).await.expect("asked"));
    let again = tx
        .set_member_not_before(org(1), user(2), past)
        .await
        .expect("set");
    assert_eq!(again, Some(next));
    // And for a client.
    let grant = tx
        .grant(GrantId::from_u64(5).expect("small"))
        .await
        .expect("asked");
    let client = grant.expect("there").terms.client;
    assert!(!tx.client_is_silent(client).await.expect("asked"));
    let iat = tx.client_issue_time(client, now).await.expect("dated");
    assert_eq!(iat, Some(now));
    assert_eq!(
        tx.set_client_not_before(client, past).await.expect("set"),
        Some(now)
    );
    assert!(tx.client_is_silent(client).await.expect("asked"));
    let iat = tx.client_issue_time(client, past).await.expect("dated");
    assert_eq!(iat, Some(now.saturating_add(1)));
    // Everything: past whatever any organisation was issued, and for those to come.
    tx.hold_every_org().await.expect("held");
    let at = tx.set_issuer_not_before(now).await.expect("set");
    assert_eq!(at, next);
    tx.insert_org(org(9), "Later", NOW).await.expect("org");
    assert_eq!(tx.org_not_before(org(9)).await.expect("asked"), Some(at));
    assert!(tx.raise_issuer_not_before(at.0 + 5).await.expect("raised") >= 2);
    assert_eq!(
        tx.raise_issuer_not_before(at.0).await.expect("asked"),
        0,
        "never lowered"
    );
}

pub(super) async fn a_provider_has_a_not_before(store: Store) {
    let mut tx = people(&store).await;
    let idp = "https://idp.example";
    let now = NOW.seconds();
    assert_eq!(tx.org_of_issuer(idp).await.expect("asked"), None);
    assert_eq!(tx.note_assertion(idp, org(1), now).await.expect("noted"), None);
    assert_eq!(tx.org_of_issuer(idp).await.expect("asked"), Some(org(1)));
    assert!(!tx.issuer_is_silent(idp).await.expect("asked"));
    let at = tx
        .set_foreign_not_before(idp, org(1), UnixSeconds(now.0 - 9))
        .await
        .expect("set");
    assert_eq!(at, now);
    assert!(tx.issuer_is_silent(idp).await.expect("asked"));
    let known = tx.note_assertion(idp, org(1), now.saturating_add(1)).await;
    assert_eq!(known.expect("noted"), Some(now));
    assert!(!tx.issuer_is_silent(idp).await.expect("asked"));
    assert_eq!(
        tx.raise_foreign_not_before(idp, org(1), now.0 - 1)
            .await
            .expect("asked"),
        0
    );
    let raised = tx
        .raise_foreign_not_before("https://new.example", org(1), 7)
        .await;
    assert_eq!(raised.expect("raised"), 1);
}

pub(super) async fn a_quarantine_has_a_version(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_key(&sample(7)).await.expect("key");
    let ceiling = async |tx: &mut Tx| {
        let key = tx.key(key_id(7)).await.expect("asked").expect("there");
        key.quarantine.map(|(ceiling, _)| ceiling)
    };
    assert_eq!(tx.ceiling_version(key_id(7)).await.expect("asked"), 0);
    for (set, version) in [(Some(Ceiling::Read), 1), (Some(Ceiling::None), 2), (None, 3)] {
        let known = tx.set_quarantine(key_id(7), set, NOW).await.expect("set");
        assert_eq!(known, Some(version));
        assert_eq!(ceiling(&mut tx).await, set);
        assert_eq!(
            tx.hold_key(key_id(7), NOW).await.expect("asked"),
            set.is_none(),
            "it gives nothing out"
        );
        let claimed = tx
            .claim_rotation(key_id(7), NOW.seconds(), UnixSeconds(0))
            .await
            .expect("asked");
        assert_eq!(claimed, set.is_none());
    }
    assert_eq!(tx.ceiling_version(key_id(7)).await.expect("asked"), 3);
    let old = tx
        .restore_quarantine(7, Some(Ceiling::None), 3, NOW)
        .await
        .expect("asked");
    assert_eq!((old, ceiling(&mut tx).await), (0, None));
    let newer = tx
        .restore_quarantine(7, Some(Ceiling::None), 4, NOW)
        .await
        .expect("restored");
    assert_eq!((newer, ceiling(&mut tx).await), (1, Some(Ceiling::None)));
    let index: StatusIndex = key_id(7).into();
    assert_eq!(tx.index_end(index).await.expect("asked"), None);
}
