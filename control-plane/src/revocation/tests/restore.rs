//! Databases that lost something, and new epochs.

use shared::feed::{Block, Entry, Subject};
use shared::id::{GrantId, KeyId, StatusIndex};
use shared::scope::ScopeSet;

use super::{Hub, backup, head, key, pair, publish, reopen, revoke};
use crate::audit::Actor;
use crate::oauth::clients::{self, NewClient};
use crate::orgs::rights;
use crate::revocation::link::Link;
use crate::revocation::{Wait, await_receipt, enqueue, frame_pending, recover, take_over};
use crate::signing::{self, Purpose};
use crate::store::clients::ClientKind;
use crate::store::grants::{Grant, Terms};
use crate::store::members::MemberState;
use crate::store::orgs::Role;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn a_restored_backup_learns_what_it_lost() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    let (kept, revoked_later) = (key(&test).await, key(&test).await);
    let before = key(&test).await;
    revoke(&test, before, "none").await;
    publish(&test.app, &mut link).await;
    backup(&test, &old).await;
    // All this is lost: a revocation, a key, a rotation with its blocks, a shortened life.
    revoke(&test, revoked_later, "none").await;
    let lost = key(&test).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let actor = Actor::command_line();
    let now = test.clock.now();
    signing::rotate(
        &mut tx,
        &test.app.keyring,
        &test.app.random,
        Purpose::ApiKey,
        &actor,
        now,
    )
    .await
    .expect("rotated");
    let end = now.seconds().saturating_add(60);
    let expiry = Entry::NotAfter(shared::feed::Expiry {
        index: kept,
        time: end,
    });
    enqueue(&mut tx, &crate::revocation::Reach::All, "test", &expiry, now)
        .await
        .expect("enqueued");
    tx.commit().await.expect("commit");
    publish(&test.app, &mut link).await;
    let before_restore = hub.position().expect("a head");
    let edge_state = hub.with(|shelf| shelf.replica.as_ref().expect("trust").state().clone());
    test.app.store.close().await;

    let app = reopen(&test, &old).await;
    // Even a change that the restored process made before it could ask.
    let mut tx = app.store.begin().await.expect("tx");
    enqueue(
        &mut tx,
        &crate::revocation::Reach::All,
        "test",
        &Entry::revoked(StatusIndex::from_u64(5).expect("small")),
        now,
    )
    .await
    .expect("row");
    tx.commit().await.expect("commit");
    frame_pending(&app.store, &app.keyring, now)
        .await
        .expect("framed");
    let mut link = Link::new(hub.edge("hub"));
    publish(&app, &mut link).await;
    publish(&app, &mut link).await;

    let after = hub.position().expect("a head");
    assert_eq!(
        (
            after.epoch,
            after > before_restore,
            after.seq > before_restore.seq
        ),
        (2, true, true)
    );
    assert_eq!(after, head(&app).await);
    let state = hub.with(|shelf| shelf.replica.as_ref().expect("trust").state().clone());
    assert!(
        state.keeps_restrictions_of(&edge_state),
        "nothing is let in again"
    );
    for (name, index, expected) in [
        ("before", before, true),
        ("revoked later", revoked_later, true),
        ("lost", lost, true),
        ("kept", kept, false),
    ] {
        assert_eq!(state.is_revoked(index), expected, "{name}");
    }
    assert!(state.is_revoked(StatusIndex::from_u64(5).expect("small")));
    let mut tx = app.store.begin().await.expect("tx");
    let row = tx.key(revoked_later.into()).await.expect("asked").expect("there");
    assert!(row.revoked.is_some(), "the database says so too");
    let row = tx.key(kept.into()).await.expect("asked").expect("there");
    assert_eq!((row.not_after, row.revoked.is_none()), (Some(end), true));
    assert_eq!(tx.audit_of("epoch 2", 5).await.expect("rows").len(), 1);
    // New credentials come from blocks that nobody has used, and the edge knows them.
    let (_, fresh) = signing::draw_index(
        &mut tx,
        Purpose::ApiKey,
        &crate::revocation::Reach::All,
        None,
        &app.random,
        now,
    )
    .await
    .expect("drawn");
    tx.commit().await.expect("commit");
    assert!(
        edge_state.owner(fresh).is_none(),
        "past every block that was seen"
    );
    assert!(state.owner(fresh).is_some() && !state.is_revoked(fresh));
    let receipt = await_receipt(&app, &KeyId::from(revoked_later).to_string(), Wait::Ack)
        .await
        .expect("a receipt");
    assert!(receipt.pending.is_empty());
    // A second restart finds nothing to do.
    publish(&app, &mut Link::new(hub.edge("hub"))).await;
    assert_eq!(hub.position().map(|at| at.epoch), Some(2));
}

#[tokio::test]
async fn a_session_that_ended_after_the_backup_stays_ended() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    let row = crate::testing::session(&test, 77, (test.made.org, test.made.user));
    let sid = row.sid;
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_session(&row).await.expect("a session");
    tx.commit().await.expect("commit");
    publish(&test.app, &mut link).await;
    backup(&test, &old).await;
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let at = tx
        .end_session(test.made.user, sid, now)
        .await
        .expect("asked")
        .expect("ended");
    let ended = Entry::NotBefore(Subject::Session(sid.to_string()), at);
    enqueue(&mut tx, &crate::revocation::Reach::All, "test", &ended, now)
        .await
        .expect("enqueued");
    tx.commit().await.expect("commit");
    publish(&test.app, &mut link).await;
    test.app.store.close().await;

    let app = reopen(&test, &old).await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&app, &mut link).await;
    publish(&app, &mut link).await;
    let mut tx = app.store.begin_read().await.expect("tx");
    let ended = tx.session_ended_at(sid).await.expect("asked");
    assert!(ended.is_some(), "nobody's cookie works again");
}

#[tokio::test]
async fn a_grant_and_a_client_that_ended_after_the_backup_stay_ended() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    let (app, now) = (&test.app, test.clock.now());
    let end = now.seconds().saturating_add(600);
    let mut tx = app.store.begin().await.expect("tx");
    let new = NewClient::new(test.made.org, "batch", ScopeSet(1), ClientKind::Confidential);
    let actor = Actor::system();
    let made = clients::create(&mut tx, &app.random, "pc", new, &actor, now)
        .await
        .expect("a client");
    let client = made.client.id;
    let (signing_key, index) = signing::draw_index(
        &mut tx,
        Purpose::AccessToken,
        &crate::revocation::Reach::All,
        Some(end),
        &app.random,
        now,
    )
    .await
    .expect("drawn");
    let grant = Grant {
        id: GrantId::from_u64(5).expect("small"),
        terms: Terms {
            client,
            user: test.made.user,
            org: test.made.org,
            scopes: ScopeSet(1),
            identity: 0,
            resource: "https://api.example".to_owned(),
            session: None,
            auth_time: now.seconds(),
        },
        issued_at: now.seconds(),
        index,
        signing_key,
        bound_to: None,
        idle_expires: end,
        expires: end,
        created_at: now,
        revoked_at: None,
    };
    tx.insert_grant(&grant).await.expect("a grant");
    tx.commit().await.expect("commit");
    publish(app, &mut link).await;
    backup(&test, &old).await;
    let mut tx = app.store.begin().await.expect("tx");
    enqueue(
        &mut tx,
        &crate::revocation::Reach::All,
        "test",
        &Entry::revoked(index),
        now,
    )
    .await
    .expect("enqueued");
    clients::disable(&mut tx, &app.random, client, &actor, now)
        .await
        .expect("disabled");
    tx.commit().await.expect("commit");
    publish(app, &mut link).await;
    app.store.close().await;

    let app = reopen(&test, &old).await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&app, &mut link).await;
    publish(&app, &mut link).await;
    let mut tx = app.store.begin_read().await.expect("tx");
    let found = tx.grant(grant.id).await.expect("asked").expect("there");
    assert!(
        found.revoked_at.is_some(),
        "or it moves on to another index once this one is forgotten"
    );
    let found = tx.client(client).await.expect("asked").expect("there");
    assert!(found.disabled_at.is_some(), "nobody else dates a client");
}

#[tokio::test]
async fn every_edge_is_heard_before_a_new_epoch_stands() {
    let (test, hub) = pair().await;
    let other = Hub::start().await;
    other.trust(&test.app).await;
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    let (first, second) = (key(&test).await, key(&test).await);
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    publish(&test.app, &mut Link::new(other.edge("other"))).await;
    backup(&test, &old).await;
    revoke(&test, first, "none").await;
    publish(&test.app, &mut Link::new(hub.edge("hub"))).await;
    revoke(&test, second, "none").await;
    publish(&test.app, &mut Link::new(other.edge("other"))).await;
    test.app.store.close().await;
    // One edge is a frame ahead of the other: whoever comes first, both revocations end up everywhere.
    let app = reopen(&test, &old).await;
    let (mut one, mut two) = (Link::new(hub.edge("hub")), Link::new(other.edge("other")));
    publish(&app, &mut one).await;
    for _ in 0..2 {
        publish(&app, &mut two).await;
        publish(&app, &mut one).await;
    }
    for hub in [&hub, &other] {
        assert!(hub.is_revoked(first) && hub.is_revoked(second));
        assert_eq!(hub.position(), Some(head(&app).await));
    }
}

#[tokio::test]
async fn a_lost_feed_key_rotation_does_not_lock_us_out() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&test.app, &mut link).await;
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    backup(&test, &old).await;
    let feed_key = test
        .app
        .keyring
        .all()
        .iter()
        .find(|key| key.purpose == Purpose::Feed)
        .expect("one")
        .id;
    let mut tx = test.app.store.begin().await.expect("tx");
    let (app, now) = (&test.app, test.clock.now());
    signing::rotate(
        &mut tx,
        &app.keyring,
        &app.random,
        Purpose::Feed,
        &Actor::system(),
        now,
    )
    .await
    .expect("rotated");
    let removal = Entry::KeyRemoved(shared::feed::KeyRef::Ours(feed_key));
    enqueue(&mut tx, &crate::revocation::Reach::All, "test", &removal, now)
        .await
        .expect("enqueued");
    tx.commit().await.expect("commit");
    publish(app, &mut link).await;
    app.store.close().await;
    let app = reopen(&test, &old).await;
    publish(&app, &mut Link::new(hub.edge("hub"))).await;
    assert_eq!(hub.position(), Some(head(&app).await));
    assert_eq!(
        app.keyring.known(feed_key).expect("known").state,
        signing::KeyState::Removed
    );
}

#[tokio::test]
async fn an_operator_opens_a_new_epoch() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    let victim = key(&test).await;
    revoke(&test, victim, "none").await;
    publish(&test.app, &mut link).await;
    assert_eq!(
        recover::recover(&test.app, &Actor::command_line())
            .await
            .expect("an epoch"),
        2
    );
    publish(&test.app, &mut link).await;
    assert_eq!(hub.position().map(|at| at.epoch), Some(2));
    assert!(hub.is_revoked(victim));
    let next = key(&test).await;
    revoke(&test, next, "none").await;
    publish(&test.app, &mut link).await;
    assert!(
        hub.is_revoked(next),
        "frames follow the snapshot that opened the epoch"
    );
    assert_eq!(
        take_over(&test.app, &Actor::command_line())
            .await
            .expect("an epoch"),
        3
    );
}

#[test]
fn gaps_are_what_is_not_taken() {
    let index = |number| StatusIndex::from_u64(number).expect("small");
    let signing_key = shared::id::SigningKeyId::from_u64(1).expect("small");
    let block = Block {
        start: index(10),
        length: 6,
        signing_key,
    };
    let gaps = |taken: &[i64]| -> Vec<(u64, u64)> {
        recover::gaps(&block, taken)
            .into_iter()
            .map(|(first, last)| (first.get(), last.get()))
            .collect()
    };
    assert_eq!(gaps(&[]), [(10, 15)]);
    assert_eq!(gaps(&[10]), [(11, 15)]);
    assert_eq!(gaps(&[15]), [(10, 14)]);
    assert_eq!(gaps(&[11, 12, 14]), [(10, 10), (13, 13), (15, 15)]);
    assert_eq!(gaps(&[10, 11, 12, 13, 14, 15]), []);
}

/// A demotion that the database lost: nobody gets tokens for what the edge refuses, and the next change outranks it.
#[tokio::test]
async fn a_restored_backup_learns_who_was_demoted() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    publish(&test.app, &mut link).await;
    backup(&test, &old).await;
    let (org, user) = (test.made.org, test.made.user);
    let ceiling = Entry::Ceiling {
        subject: Subject::Member(org, user),
        version: 7,
        scopes: rights(Role::Viewer, &test.app.policy().policy),
    };
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    enqueue(&mut tx, &crate::revocation::Reach::All, "test", &ceiling, now)
        .await
        .expect("enqueued");
    tx.commit().await.expect("commit");
    publish(&test.app, &mut link).await;
    test.app.store.close().await;

    let app = reopen(&test, &old).await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&app, &mut link).await;
    publish(&app, &mut link).await;
    let mut tx = app.store.begin_read().await.expect("tx");
    let member = tx.member(org, user).await.expect("asked").expect("there");
    assert_eq!(
        (member.role, member.state, member.version),
        (Role::Viewer, MemberState::Active, 7)
    );
}

/// A client that was only revoked goes on after a restore, with its not-before; quarantine and the end of everything come back.
#[tokio::test]
async fn a_restored_backup_learns_what_was_revoked_in_other_ways() {
    let (test, hub) = pair().await;
    let mut link = Link::new(hub.edge("hub"));
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    let (app, now) = (&test.app, test.clock.now());
    let quarantined = key(&test).await;
    let actor = Actor::command_line();
    let mut tx = app.store.begin().await.expect("tx");
    let new = NewClient::new(test.made.org, "batch", ScopeSet(1), ClientKind::Confidential);
    let made = clients::create(&mut tx, &app.random, "pc", new, &actor, now).await;
    let client = made.expect("a client").client;
    tx.commit().await.expect("commit");
    publish(app, &mut link).await;
    backup(&test, &old).await;
    let mut tx = app.store.begin().await.expect("tx");
    let at = tx
        .set_client_not_before(client.id, now.seconds())
        .await
        .expect("set")
        .expect("there");
    let mut entries = clients::superseded(&client, at);
    entries.push(Entry::Ceiling {
        subject: Subject::Index(quarantined),
        version: 3,
        scopes: ScopeSet::EMPTY,
    });
    let issuer = app.config.issuer.clone();
    entries.push(Entry::NotBefore(Subject::Issuer(issuer), at));
    for entry in &entries {
        enqueue(&mut tx, &crate::revocation::Reach::All, "test", entry, now)
            .await
            .expect("enqueued");
    }
    tx.commit().await.expect("commit");
    publish(app, &mut link).await;
    app.store.close().await;

    let app = reopen(&test, &old).await;
    let mut link = Link::new(hub.edge("hub"));
    publish(&app, &mut link).await;
    publish(&app, &mut link).await;
    let mut tx = app.store.begin_read().await.expect("tx");
    let found = tx.client(client.id).await.expect("asked").expect("there");
    assert_eq!(found.disabled_at, None, "it was revoked, not disabled");
    assert_eq!(tx.client_not_before(client.id).await.expect("asked"), Some(at));
    let found = tx.key(quarantined.into()).await.expect("asked").expect("there");
    assert!(found.quarantine.is_some() && found.revoked.is_none());
    assert_eq!(tx.ceiling_version(quarantined.into()).await.expect("asked"), 3);
    assert_eq!(tx.org_not_before(test.made.org).await.expect("asked"), Some(at));
}
