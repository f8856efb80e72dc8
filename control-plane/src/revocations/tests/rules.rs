//! Every kind of target, by every kind of caller, in the own organisation and in another.

use shared::id::OrgId;

use super::*;
use crate::oauth::tests::support::{client_with, confidential};
use crate::store::orgs::NewUser;

/// One of each, of the first owner's.
async fn targets(test: &TestApp) -> Vec<(&'static str, String)> {
    let client = confidential(test).await;
    let token = client.sign_in(test).await;
    let sid = claims(&token).sid.expect("a session");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let index = crate::oauth::tests::index(test, &token);
    let grant = tx.grant_of_index(index).await.expect("asked").expect("one");
    let (key, _) = test.create_key(json!({"name": "k", "scope": "read"})).await;
    vec![
        ("key", key),
        ("grant", grant.to_string()),
        ("client", client.id.to_string()),
        ("user", test.made.user.to_string()),
        ("session", sid),
        ("org", test.made.org.to_string()),
        ("issuer", "https://idp.example".to_owned()),
    ]
}

#[tokio::test]
async fn who_may_revoke_what() {
    let test = crate::oauth::tests::support::published_with(|config| {
        config.identity_providers = vec![];
    })
    .await;
    let targets = targets(&test).await;
    let (_, viewer) = member(&test, 71, Role::Viewer).await;
    let (_, user) = member(&test, 72, Role::Member).await;
    let (_, admin) = member(&test, 73, Role::Admin).await;
    let (_, test_admin) = test
        .create_key(json!({"name": "t", "scope": "admin", "environment": "test"}))
        .await;
    let outcomes = async |key: &str| {
        let mut all = Vec::new();
        for (kind, id) in &targets {
            let answer = revoke_with(&test, key, kind, id).await;
            let (status, code) = answer.outcome();
            all.push((*kind, status, code.to_owned()));
        }
        all
    };
    for key in [&viewer, &user] {
        for (kind, status, code) in outcomes(key).await {
            assert_eq!((status, code.as_str()), (403, "insufficient_scope"), "{kind}");
        }
    }
    // A key of a lesser environment does not even see keys of a greater one.
    for (kind, status, code) in outcomes(&test_admin).await {
        let wanted = if kind == "key" {
            (404, "not_found")
        } else {
            (403, "exceeds_caller")
        };
        assert_eq!((status, code.as_str()), wanted, "{kind}");
    }
    // An administrator may do all of it but to owners.
    let wanted = [
        ("key", 200, ""),
        ("grant", 200, ""),
        ("client", 200, ""),
        ("user", 403, "exceeds_caller"),
        ("session", 403, "exceeds_caller"),
        ("org", 403, "exceeds_caller"),
        ("issuer", 404, "not_found"),
    ];
    assert_eq!(
        outcomes(&admin).await,
        wanted.map(|(kind, status, code)| (kind, status, code.to_owned()))
    );
    let mut owner = wanted;
    for place in [3, 4, 5] {
        owner[place] = (owner[place].0, 200, "");
    }
    // The owner's own key dies with the user, so from there on it is that of the next.
    for (kind, status, code) in owner {
        let id = &targets.iter().find(|(known, _)| *known == kind).expect("one").1;
        let made = crate::revocations::local::admin_key(&test.app, None)
            .await
            .expect("a key");
        let key = made["admin_key"].as_str().expect("text").to_owned();
        let answer = revoke_with(&test, &key, kind, id).await;
        assert_eq!(answer.outcome(), (status, code), "{kind}");
    }
}

/// What belongs to another organisation is not there.
#[tokio::test]
async fn nothing_of_another_organisation_is_in_reach() {
    let test = published().await;
    let now = test.clock.now();
    let (org, eve) = (
        OrgId::from_u64(77).expect("small"),
        UserId::from_u64(78).expect("small"),
    );
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(org, "Elsewhere", now).await.expect("org");
    let user = NewUser {
        id: eve,
        email: "eve@other.example",
        name: "Eve",
        password_hash: None,
    };
    tx.insert_user(&user, now).await.expect("user");
    tx.insert_membership(org, eve, Role::Owner, now)
        .await
        .expect("membership");
    let row = crate::testing::session(&test, 5, (org, eve));
    tx.insert_session(&row).await.expect("session");
    tx.commit().await.expect("commit");
    let theirs = client_with(&test, |new| new.org = Some(org)).await;
    let made = crate::revocations::local::admin_key(&test.app, Some(org))
        .await
        .expect("a key");
    let eves = made["admin_key"].as_str().expect("text");
    for (kind, id) in [
        ("key", made["admin_key_id"].as_str().expect("text").to_owned()),
        ("client", theirs.id.to_string()),
        ("user", eve.to_string()),
        ("session", "ses_000000005".to_owned()),
        ("org", org.to_string()),
        ("issuer", "https://idp.example".to_owned()),
        ("grant", "grt_000000001".to_owned()),
        ("user", "nonsense".to_owned()),
    ] {
        let answer = revoke(&test, kind, &id).await;
        assert_eq!(answer.outcome(), (404, "not_found"), "{kind} {id}");
        assert!(!answer.raw.contains("nonsense"), "not repeated");
    }
    // And the other way round: the targets of the first organisation for Eve.
    for (kind, id) in targets(&test).await {
        let answer = revoke_with(&test, eves, kind, &id).await;
        assert_eq!(answer.outcome(), (404, "not_found"), "{kind}");
    }
    assert!(works(&test, eves).await, "untouched");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let test = published().await;
    let post = async |body: Value| test.admin(Method::POST, PATH, Some(body)).await;
    let user = test.made.user;
    for (body, outcome, field) in [
        (json!({}), (400, "missing_field"), "target"),
        (json!({"target": {}}), (400, "invalid_field"), "target"),
        (
            json!({"target": {"user": user, "org": test.made.org}}),
            (400, "invalid_field"),
            "target",
        ),
        (
            json!({"target": {"tenant": "x"}}),
            (400, "unknown_field"),
            "tenant",
        ),
        (
            json!({"target": {"user": user}, "filter": {"user": user}}),
            (400, "missing_field"),
            "target",
        ),
        (
            json!({"target": {"user": user}, "reason": "because"}),
            (400, "invalid_field"),
            "reason",
        ),
        (
            json!({"target": {"user": user}, "comment": "a\u{0}b"}),
            (400, "invalid_field"),
            "comment",
        ),
        (
            json!({"target": {"user": user}, "dry_run": true}),
            (400, "invalid_field"),
            "dry_run",
        ),
    ] {
        let answer = post(body.clone()).await;
        assert_eq!(answer.outcome(), outcome, "{body}");
        assert!(answer.text("field").ends_with(field), "{answer:?}");
    }
    let signing = post(json!({"target": {"signing_key": "k1"}})).await;
    assert_eq!(signing.outcome(), (403, "exceeds_caller"), "at the machine only");
    let own = test.app.config.issuer.clone();
    let own = post(json!({"target": {"issuer": own}})).await;
    assert_eq!(own.outcome(), (403, "exceeds_caller"), "at the machine only");
    assert!(works(&test, &test.made.admin_key).await);
}
