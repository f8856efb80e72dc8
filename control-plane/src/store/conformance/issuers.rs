//! Other issuers: one row each, compare-and-set, taken by one instance at a time.

use shared::feed::issuer::{Forms, WorkspaceRule};
use shared::feed::{IssuerBinding, IssuerEntry};
use shared::id::IssuerId;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::{NOW, org, people};
use crate::store::Store;
use crate::store::issuers::{IssuerCounts, TrustedIssuer, Watch};

const ISSUER: &str = "https://idp.example";

fn row(number: u64, issuer: &str) -> TrustedIssuer {
    TrustedIssuer {
        id: IssuerId::from_u64(number).expect("small"),
        entry: IssuerEntry {
            issuer: issuer.to_owned(),
            version: 1,
            org: org(1),
            binding: Some(IssuerBinding {
                audiences: vec!["api".to_owned()],
                cap: ScopeSet(1),
                forms: Forms::ALL,
                subject: vec!["sub".to_owned()],
                scopes: vec![vec!["scope".to_owned()]],
                scope_values: None,
                workspace: WorkspaceRule::All,
                keys: [("a".to_owned(), shared::crypto::VerifyingKey::ed25519([1; 32]))].into(),
            }),
        },
        algorithms: vec!["RS256".to_owned(), "EdDSA".to_owned()],
        jwks_uri: Some(format!("{issuer}/keys")),
        created_by: "usr_000000002".to_owned(),
        created_at: NOW,
        updated_at: NOW,
        removed_at: None,
        watch: Watch {
            keys_uri: Some(format!("{issuer}/keys")),
            attempted_at: NOW,
            refreshed_at: NOW,
            due_at: UnixMillis(NOW.0 + 1000 * number),
            failures: 0,
            failure: None,
        },
    }
}

pub(super) async fn an_issuer_comes_back_as_it_went_in(store: Store) {
    let mut tx = people(&store).await;
    let (one, two) = (row(1, ISSUER), row(2, "https://two.example/"));
    for row in [&one, &two] {
        tx.insert_issuer(row).await.expect("inserted");
    }
    assert_eq!(tx.issuer(org(1), one.id).await.expect("found"), Some(one.clone()));
    assert_eq!(
        tx.issuer(org(2), one.id).await.expect("looked"),
        None,
        "another's"
    );
    assert_eq!(tx.issuers_of(org(1)).await.expect("listed"), [one.clone(), two]);
    assert_eq!(
        tx.org_of_trusted_issuer(ISSUER).await.expect("found"),
        Some(org(1))
    );
    let mut failing = one.clone();
    failing.entry.version = 2;
    failing.watch.failures = 3;
    failing.watch.failure = Some("it cannot be reached".to_owned());
    assert!(tx.change_issuer(1, &failing).await.expect("changed"));
    assert!(!tx.change_issuer(1, &one).await.expect("asked"), "an old version");
    let counts = IssuerCounts {
        trusted: 2,
        failing: 1,
    };
    assert_eq!(tx.count_issuers().await.expect("counted"), counts);
    let mut gone = failing.clone();
    gone.removed_at = Some(NOW);
    gone.entry.version = 3;
    gone.entry.binding = None;
    assert!(tx.change_issuer(2, &gone).await.expect("changed"));
    assert_eq!(tx.issuer(org(1), one.id).await.expect("looked"), None);
    assert_eq!(tx.issuers_of(org(1)).await.expect("listed").len(), 1);
    assert_eq!(tx.issuer_named(ISSUER).await.expect("kept"), Some(gone));
    tx.commit().await.expect("commit");
    let mut tx = store.begin().await.expect("tx");
    let twice = tx.insert_issuer(&row(9, ISSUER)).await.expect_err("one row");
    assert!(twice.is_unique_violation());
}

pub(super) async fn a_due_issuer_is_taken_by_one(store: Store) {
    let mut tx = people(&store).await;
    for number in 1..=2 {
        tx.insert_issuer(&row(number, &format!("https://{number}.example")))
            .await
            .expect("inserted");
    }
    tx.commit().await.expect("commit");
    let take = async |at: u64| {
        let mut tx = store.begin().await.expect("tx");
        let (now, until) = (UnixMillis(NOW.0 + at), UnixMillis(NOW.0 + at + 60_000));
        let taken = tx.take_due_issuer(now, until).await.expect("asked");
        tx.commit().await.expect("commit");
        taken.map(|row| row.id.get())
    };
    assert_eq!(take(999).await, None);
    let (one, two) = tokio::join!(take(1000), take(1000));
    assert_eq!([one, two].into_iter().flatten().collect::<Vec<_>>(), [1]);
    assert_eq!(take(2000).await, Some(2));
    assert_eq!(take(60_999).await, None);
    assert_eq!(take(61_000).await, Some(1), "whoever took it has not come back");
    let mut tx = store.begin().await.expect("tx");
    let now = UnixMillis(NOW.0 + 100_000);
    let name = "https://1.example";
    let early = UnixMillis(NOW.0 + 60_999);
    assert!(
        !tx.take_issuer(name, now, early).await.expect("asked"),
        "too soon"
    );
    assert!(
        tx.take_issuer(name, now, UnixMillis(NOW.0 + 61_000))
            .await
            .expect("taken")
    );
    assert!(
        !tx.take_issuer(name, now, UnixMillis(now.0 - 1))
            .await
            .expect("asked")
    );
}

pub(super) async fn a_block_has_a_version(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_issuer(&row(1, ISSUER)).await.expect("inserted");
    let subject = "auth0|ada";
    assert_eq!(
        tx.block_subject(ISSUER, subject, false, NOW)
            .await
            .expect("asked"),
        None
    );
    assert_eq!(
        tx.block_subject(ISSUER, subject, true, NOW)
            .await
            .expect("blocked"),
        Some(1)
    );
    assert_eq!(
        tx.block_subject(ISSUER, subject, true, NOW).await.expect("asked"),
        None
    );
    let listed = tx.blocked_subjects(ISSUER, 10).await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].version, listed[0].blocked_at), (1, Some(NOW)));
    assert_eq!(
        tx.block_subject(ISSUER, subject, false, NOW)
            .await
            .expect("freed"),
        Some(2)
    );
    assert_eq!(tx.blocked_subjects(ISSUER, 10).await.expect("listed"), []);
    tx.restore_blocked_subject(ISSUER, subject, 2, Some(NOW))
        .await
        .expect("asked");
    let known = tx
        .blocked_subject(ISSUER, subject)
        .await
        .expect("found")
        .expect("known");
    assert_eq!(known.blocked_at, None, "no more than is known");
    tx.restore_blocked_subject(ISSUER, subject, 7, Some(NOW))
        .await
        .expect("restored");
    assert_eq!(
        tx.block_subject(ISSUER, subject, false, NOW)
            .await
            .expect("freed"),
        Some(8)
    );
    tx.insert_org(org(2), "Other", NOW).await.expect("org");
    tx.give_issuer(ISSUER, org(1)).await.expect("given");
    tx.give_issuer(ISSUER, org(2)).await.expect("given on");
    assert_eq!(tx.org_of_issuer(ISSUER).await.expect("found"), Some(org(2)));
}
