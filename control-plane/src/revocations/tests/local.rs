//! What the operator at the machine revokes: signing keys, and everything.

use shared::feed::KeyRef;
use shared::id::SigningKeyId;

use super::*;
use crate::oauth::tests::support::{confidential, outcome};
use crate::revocation::Wait;
use crate::revocations::{Reason, local};
use crate::signing::Purpose;

fn signer(test: &TestApp, purpose: Purpose) -> SigningKeyId {
    let all = test.app.keyring.all();
    let key = all
        .iter()
        .find(|key| key.purpose == purpose && key.state == crate::signing::KeyState::Active);
    key.expect("one").id
}

#[tokio::test]
async fn a_signing_key_takes_all_that_it_signed() {
    let test = published().await;
    let (_, key) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    let id = signer(&test, Purpose::ApiKey);
    let receipt = local::signing_key(&test.app, id, Wait::Effective)
        .await
        .expect("revoked");
    assert_eq!(receipt["pending"], json!([]), "{receipt}");
    assert!(receipt["effective_at"].is_string());
    assert_eq!(receipt["api_keys_revoked"], 2, "{receipt}");
    assert!(!works(&test, &key).await && !works(&test, &test.made.admin_key).await);
    assert!(works(&test, receipt["admin_key"].as_str().expect("a key")).await);
    let told = told(&test).await;
    assert!(told.contains(&Entry::KeyRemoved(KeyRef::Ours(id))));
    let again = local::signing_key(&test.app, id, Wait::Effective)
        .await
        .expect("the same");
    assert_eq!(again["effective_at"], receipt["effective_at"]);
    assert!(again.get("admin_key").is_none(), "nothing new was made");
    let unknown = SigningKeyId::from_u64(99).expect("small");
    assert!(local::signing_key(&test.app, unknown, Wait::None).await.is_err());
    let root = signer(&test, Purpose::Root);
    assert!(local::signing_key(&test.app, root, Wait::None).await.is_err());
}

#[tokio::test]
async fn the_issuer_takes_everything() {
    let test = published().await;
    let client = confidential(&test).await;
    let (_, key) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    let first = client.sign_in(&test).await;
    let before = test.clock.now().seconds();
    let receipt = local::own_issuer(&test.app, Reason::KeyCompromise, Some("stolen"), Wait::Effective)
        .await
        .expect("revoked");
    assert_eq!(receipt["pending"], json!([]), "{receipt}");
    assert_eq!(receipt["revoked"]["keys"], 2, "{receipt}");
    assert!(!works(&test, &key).await && !works(&test, &test.made.admin_key).await);
    let refreshed = client.refresh(&test, &first.text("refresh_token")).await;
    assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
    let issuer = test.app.config.issuer.clone();
    let told = told(&test).await;
    let at = told.iter().find_map(|entry| match entry {
        Entry::NotBefore(Subject::Issuer(who), at) if *who == issuer => Some(*at),
        _ => None,
    });
    assert!(at.is_some_and(|at| at >= before));
    assert!(works(&test, receipt["admin_key"].as_str().expect("a key")).await);
    // An organisation that is made later is dated after it, too, within the same second.
    let org = shared::id::OrgId::from_u64(77).expect("small");
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(org, "Later", test.clock.now()).await.expect("org");
    let subjects = crate::store::orgs::IssueSubjects {
        org,
        workspace: None,
        user: None,
    };
    let iat = tx.issue_time(subjects, before).await.expect("dated");
    assert!(Some(iat) > at, "{iat:?} {at:?}");
}
