//! What holders revoke at the edge becomes a revocation here.

use serde_json::json;
use shared::id::{GrantId, KeyId, StatusIndex};
use shared::scope::ScopeSet;

use super::{Hub, Region, key, pair_on, publish};
use crate::audit::Actor;
use crate::oauth::clients::{self, NewClient};
use crate::revocation::link::Link;
use crate::signing::{self, Purpose};
use crate::store::Store;
use crate::store::audit::AuditRow;
use crate::store::clients::ClientKind;
use crate::store::conformance::suite;
use crate::store::grants::{Grant, Terms};
use crate::testing::TestApp;

suite! {
    a_key_that_its_holder_revoked_is_revoked_here,
    a_token_that_its_holder_revoked_ends_its_grant,
    a_lone_token_and_an_unknown_index,
}

fn said(hub: &Hub, indexes: &[StatusIndex]) {
    hub.with(|shelf| {
        shelf.regions = vec![Region::awake("weur")];
        shelf.local = indexes.iter().map(|index| index.get()).collect();
    });
}

async fn audit(test: &TestApp, target: &str) -> Vec<AuditRow> {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    tx.audit_of(target, 10).await.expect("rows")
}

async fn a_key_that_its_holder_revoked_is_revoked_here(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    let (victim, other) = (key(&test).await, key(&test).await);
    publish(&test.app, &mut link).await;
    said(&hub, &[victim]);
    publish(&test.app, &mut link).await;
    publish(&test.app, &mut link).await;
    assert!(hub.is_revoked(victim), "the frames have it now");
    assert!(!hub.is_revoked(other));
    let id = KeyId::from(victim);
    let row = test
        .app
        .store
        .begin_read()
        .await
        .expect("tx")
        .key(id)
        .await
        .expect("asked");
    let revoked = row.and_then(|key| key.revoked).expect("it is revoked");
    assert_eq!(
        (revoked.reason.as_str(), revoked.by.as_str()),
        ("key_compromise", "edge:hub")
    );
    // As often as it is said, it happens once; another process knows it too.
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let again = super::beside(&test, |_| {}).await.expect("an application");
    publish(&again, &mut Link::new(hub.edge("hub"))).await;
    let rows = audit(&test, &id.to_string()).await;
    let own: Vec<_> = rows
        .iter()
        .filter(|row| row.action == "api_key.self_revoke")
        .collect();
    assert_eq!((own.len(), own[0].actor.as_str()), (1, "edge:hub"));
    assert_eq!(own[0].org_id, Some(crate::store::int(test.made.org.get())));
    // It has a receipt like any other.
    let receipt = super::revoke(&test, victim, "none").await;
    assert_eq!(
        (&receipt["reason"], &receipt["pending"]),
        (&json!("key_compromise"), &json!([]))
    );
}

/// A grant with a second index, as after a rotation of token keys.
async fn grant(test: &TestApp) -> (GrantId, [StatusIndex; 2]) {
    let app = &test.app;
    let now = app.clock.now();
    let mut tx = app.store.begin().await.expect("tx");
    let owner = tx
        .first_owner(test.made.org)
        .await
        .expect("asked")
        .expect("there is one");
    let mut new = NewClient::new(test.made.org, "Notes", ScopeSet::EMPTY, ClientKind::Public);
    new.redirect_uris = vec!["https://app.example.com/cb".to_owned()];
    let made = clients::create(&mut tx, &app.random, "pc", new, &Actor::system(), now)
        .await
        .expect("a client");
    let mut indexes = Vec::new();
    for _ in 0..2 {
        let end = Some(now.seconds().saturating_add(3600));
        indexes.push(
            signing::draw_index(
                &mut tx,
                Purpose::AccessToken,
                &crate::revocation::Reach::All,
                end,
                &app.random,
                now,
            )
            .await
            .expect("an index"),
        );
    }
    let (signing_key, index) = indexes[0];
    let grant = Grant {
        id: GrantId::from_u64(77).expect("small"),
        terms: Terms {
            client: made.client.id,
            user: owner,
            org: test.made.org,
            scopes: ScopeSet::EMPTY,
            identity: 0,
            resource: app.config.resource.clone(),
            session: None,
            auth_time: now.seconds(),
        },
        issued_at: now.seconds(),
        index,
        signing_key,
        bound_to: None,
        idle_expires: now.seconds().saturating_add(3600),
        expires: now.seconds().saturating_add(3600),
        created_at: now,
        revoked_at: None,
    };
    tx.insert_grant(&grant).await.expect("a grant");
    tx.move_grant(grant.id, indexes[1].0, indexes[1].1)
        .await
        .expect("moved");
    tx.commit().await.expect("commit");
    (grant.id, [index, indexes[1].1])
}

async fn a_token_that_its_holder_revoked_ends_its_grant(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    let (id, [old, new]) = grant(&test).await;
    said(&hub, &[old]);
    publish(&test.app, &mut link).await;
    publish(&test.app, &mut link).await;
    assert!(hub.is_revoked(old) && hub.is_revoked(new), "the whole family");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert!(
        tx.grant(id)
            .await
            .expect("asked")
            .expect("there")
            .revoked_at
            .is_some()
    );
    assert!(tx.receipt(&id.to_string()).await.expect("asked").is_some());
    drop(tx);
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    let rows = audit(&test, &id.to_string()).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].action, "grant.self_revoke");
}

async fn a_lone_token_and_an_unknown_index(store: Store) {
    let (test, hub) = pair_on(Some(store)).await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let end = Some(now.seconds().saturating_add(3600));
    let (_, lone) = signing::draw_index(
        &mut tx,
        Purpose::AccessToken,
        &crate::revocation::Reach::All,
        end,
        &test.app.random,
        now,
    )
    .await
    .expect("an index");
    tx.commit().await.expect("commit");
    let unknown = StatusIndex::from_u64(shared::id::LIMIT - 1).expect("an index");
    let before = super::head(&test.app).await;
    said(&hub, &[unknown]);
    publish(&test.app, &mut link).await;
    assert_eq!(
        super::head(&test.app).await,
        before,
        "nothing follows from what nobody has"
    );
    said(&hub, &[unknown, lone]);
    publish(&test.app, &mut link).await;
    publish(&test.app, &mut link).await;
    assert!(hub.is_revoked(lone) && !hub.is_revoked(unknown));
    let rows = audit(&test, &format!("index:{}", lone.get())).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].action, "access_token.self_revoke");
}
