//! A planned replacement at every step of which somebody pulls the plug, and a key that is lost.

use std::sync::Arc;

use secrecy::SecretString;
use shared::feed::{Entry, KeyRef};
use shared::id::UserId;

use super::*;
use crate::app::{App, Parts};
use crate::store::conformance::suite;
use crate::store::factors::Totp;
use crate::store::mails::MailRow;
use crate::testing::{START, TestApp};

suite! {
    everything_is_sealed_anew_and_a_running_server_follows,
    a_crash_at_any_step_leaves_a_usable_pair,
    every_sealed_column_has_its_place,
    a_key_of_the_environment_is_replaced_into_a_file,
    a_lost_key_is_never_made_anew_by_accident,
    after_a_loss_a_new_feed_begins_and_nothing_old_counts,
}

/// Another process on the same database, started now.
async fn again(test: &TestApp) -> anyhow::Result<Arc<App>> {
    App::build(Parts {
        config: test.app.config.clone(),
        store: test.app.store.clone(),
        clock: test.clock.clone(),
        random: Random::system(),
        metrics: test.app.metrics.clone(),
    })
    .await
}

fn how(test: &TestApp) -> MasterReplacement {
    MasterReplacement {
        file: test.app.config.master_key_file.clone(),
        into: None,
        end_derived: false,
    }
}

async fn replace(test: &TestApp, app: &App, how: &MasterReplacement) -> Result<MasterReplaced, SigningError> {
    let actor = Actor::command_line();
    replace_master(
        &app.store,
        &app.keyring,
        &app.random,
        how,
        &actor,
        test.clock.now(),
    )
    .await
}

/// A secret of each kind, sealed by this process.
async fn fill(app: &App, user: UserId, number: u64) {
    let mut tx = app.store.begin().await.expect("tx");
    let secret = app
        .keyring
        .seal(&factors::totp_context(user), b"app secret")
        .expect("sealed");
    let row = Totp {
        user,
        sealed: secret,
        last_step: 0,
        created_at: START,
    };
    tx.insert_totp(&row).await.expect("written");
    let mail = MailRow {
        id: number,
        kind: "x".to_owned(),
        sealed: app
            .keyring
            .seal(&mail::context(number), b"letter")
            .expect("sealed"),
        created_at: START,
        expires_at: START.saturating_add(1000),
        attempts: 0,
    };
    tx.insert_mail(&mail).await.expect("written");
    tx.commit().await.expect("commit");
}

/// Everything that is sealed opens for this process.
async fn assert_opens(app: &App) -> usize {
    let mut tx = app.store.begin().await.expect("tx");
    app.keyring.reload(&mut tx).await.expect("loaded");
    let mut opened = 0;
    for place in SealedPlace::ALL {
        for row in tx.sealed_rows(place).await.expect("rows") {
            let context = place_of(place, &row).expect("a place");
            app.keyring.open(&context, &row.sealed).expect("opens");
            opened += 1;
        }
    }
    for key in app.keyring.all() {
        assert!(key.sign(b"x").is_ok(), "{key:?}");
    }
    opened
}

async fn everything_is_sealed_anew_and_a_running_server_follows(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    fill(&test.app, test.made.user, 1).await;
    let derived = test.app.keyring.derive("some purpose").expect("a key");
    let file = test.app.config.master_key_file.clone().expect("a file");
    let old = std::fs::read_to_string(&file).expect("read");
    let other = again(&test).await.expect("a command of its own");
    let done = replace(&test, &other, &how(&test)).await.expect("replaced");
    assert_eq!(done.sealed, 6, "root, feed, API keys, tokens, app, mail");
    let new = std::fs::read_to_string(&file).expect("read");
    assert_ne!(old, new);
    assert_eq!(
        std::fs::read_to_string(done.kept.expect("kept")).expect("read"),
        old
    );
    // The running one has not looked yet, and seals under the old key: nothing is lost.
    let sealed = test.app.keyring.seal("a place", b"late").expect("sealed");
    assert_eq!(assert_opens(&test.app).await, 6);
    for app in [&test.app, &other, &again(&test).await.expect("a new process")] {
        assert_eq!(
            app.keyring.open("a place", &sealed).expect("opens").as_slice(),
            b"late"
        );
        assert_eq!(
            app.keyring.derive("some purpose").expect("a key"),
            derived,
            "clients that registered themselves keep their secrets"
        );
        assert_eq!(assert_opens(app).await, 6);
    }
    // The old key alone opens nothing that is in the database now.
    let stranger = Masters::from(MasterKey::load(Some(old.trim()), None).expect("a key"));
    let mut tx = test.app.store.begin_read().await.expect("tx");
    for place in SealedPlace::ALL {
        for row in tx.sealed_rows(place).await.expect("rows") {
            assert!(
                stranger
                    .open(&place_of(place, &row).expect("a place"), &row.sealed)
                    .is_err()
            );
        }
    }
    drop(tx);
    // Again, and this time what was derived ends.
    let end = MasterReplacement {
        end_derived: true,
        ..how(&test)
    };
    replace(&test, &other, &end).await.expect("replaced");
    assert_eq!(assert_opens(&again(&test).await.expect("a new process")).await, 6);
    assert_ne!(other.keyring.derive("some purpose").expect("a key"), derived);
    let (_, key) = test
        .create_key(
            serde_json::json!({"name": "k", "scope": "read", "workspace": "all", "environment": "live"}),
        )
        .await;
    assert!(key.starts_with("pc_live_"));
}

async fn a_crash_at_any_step_leaves_a_usable_pair(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    fill(&test.app, test.made.user, 1).await;
    // After step 1: a key waits that nothing is sealed under.
    prepare(&test.app.keyring, &how(&test)).expect("prepared");
    assert_eq!(assert_opens(&again(&test).await.expect("starts")).await, 6);
    // After step 2: the file still holds the old key.
    let file = test.app.config.master_key_file.clone().expect("a file");
    let old = std::fs::read_to_string(&file).expect("read");
    let (new, _, _) = prepare(&test.app.keyring, &how(&test)).expect("prepared");
    let actor = Actor::command_line();
    seal_all(
        &test.app.store,
        &test.app.keyring,
        &test.app.random,
        new,
        false,
        &actor,
        test.clock.now(),
    )
    .await
    .expect("sealed");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), old);
    assert_eq!(
        assert_opens(&again(&test).await.expect("starts, and finishes")).await,
        6
    );
    assert_ne!(std::fs::read_to_string(&file).expect("read"), old);
    assert!(!master::next(&file).exists());
    replace(&test, &test.app, &how(&test))
        .await
        .expect("and once more");
    assert_eq!(assert_opens(&again(&test).await.expect("starts")).await, 6);
    // Without the new key nobody starts, and no other key is made.
    std::fs::write(&file, &old).expect("written");
    let refused = again(&test).await.expect_err("the wrong key").to_string();
    assert!(refused.contains("not the master key"), "{refused}");
}

/// What is sealed under the tokens themselves, or under another key of the installation.
const ELSEWHERE: [(&str, &str); 1] = [("refresh_tokens", "sealed")];

async fn every_sealed_column_has_its_place(store: Store) {
    let mut tx = store.begin_read().await.expect("tx");
    for table in tx.tables().await.expect("tables") {
        for column in table
            .columns
            .iter()
            .filter(|column| column.name.contains("sealed") && column.kind == crate::store::copy::Kind::Bytes)
        {
            let known = SealedPlace::ALL.iter().any(|place| place.table() == table.name)
                || ELSEWHERE.contains(&(table.name.as_str(), column.name.as_str()));
            assert!(known, "{}.{} is not sealed anew", table.name, column.name);
        }
    }
}

async fn a_key_of_the_environment_is_replaced_into_a_file(store: Store) {
    let master_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let folder = tempfile::tempdir().expect("a folder");
    let incarnation = folder.path().join("incarnation");
    let test = TestApp::start_on(Some(store), |config| {
        config.master_key = Some(SecretString::from(master_key));
        config.incarnation_file = Some(incarnation);
    })
    .await;
    let mut how = MasterReplacement {
        file: None,
        into: None,
        end_derived: false,
    };
    let other = again(&test).await.expect("a command of its own");
    let refused = replace(&test, &other, &how).await.expect_err("nowhere to go");
    assert!(refused.to_string().contains("--into"), "{refused}");
    let into = folder.path().join("new.key");
    how.into = Some(into.clone());
    replace(&test, &other, &how).await.expect("replaced");
    // The running one cannot follow, and says so; what it has opened goes on.
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let refused = test.app.keyring.reload(&mut tx).await.expect_err("another key");
    assert!(refused.to_string().contains("start it again"), "{refused}");
    drop(tx);
    assert!(again(&test).await.is_err());
    let mut config = test.app.config.clone();
    config.master_key = Some(SecretString::from(std::fs::read_to_string(&into).expect("read")));
    Keyring::load(&test.app.store, &config).await.expect("opens");
    let twice = replace(&test, &other, &how).await.expect_err("a file is there");
    assert!(twice.to_string().contains("new.key"), "{twice}");
}

async fn a_lost_key_is_never_made_anew_by_accident(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    let file = test.app.config.master_key_file.clone().expect("a file");
    std::fs::remove_file(&file).expect("lost");
    let refused = again(&test).await.expect_err("no key").to_string();
    assert!(refused.contains("keys master lost"), "{refused}");
    assert!(!file.exists());
    let store = &test.app.store;
    let refused = Keyring::load(store, &test.app.config).await;
    assert!(matches!(
        refused,
        Err(SigningError::Master(MasterKeyError::Lost(_)))
    ));
}

async fn after_a_loss_a_new_feed_begins_and_nothing_old_counts(store: Store) {
    let test = TestApp::start_on(Some(store), |_| {}).await;
    fill(&test.app, test.made.user, 1).await;
    let file = test.app.config.master_key_file.clone().expect("a file");
    std::fs::remove_file(&file).expect("lost");
    let before = test.app.keyring.all();
    let ring = new_master(Some(&file), None).expect("a new key");
    let mut tx = test.app.store.begin().await.expect("tx");
    let old_feed = super::super::feed_id(&mut tx).await.expect("a feed");
    let actor = Actor::command_line();
    let done = start_over(
        &mut tx,
        &ring,
        &test.app.policy(),
        &test.app.random,
        &actor,
        test.clock.now(),
    )
    .await
    .expect("a new feed");
    tx.commit().await.expect("commit");
    assert_eq!(done.api_keys, 1);
    // Also if the process dies here.
    assert!(!file.exists());
    again(&test).await.expect("starts");
    assert!(file.exists());
    let app = again(&test).await.expect("starts");
    let mut tx = app.store.begin().await.expect("tx");
    assert_ne!(super::super::feed_id(&mut tx).await.expect("a feed"), old_feed);
    for key in &before {
        let now = app.keyring.known(key.id).expect("listed");
        assert_eq!(now.state, super::super::KeyState::Removed);
    }
    assert!(tx.sealed_rows(SealedPlace::Mails).await.expect("rows").is_empty());
    // Only new keys are told to the edge.
    let mut announced = 0;
    for row in tx.pending_entries(1000).await.expect("rows") {
        if let Entry::Key(key) = crate::revocation::entry_of(&row).expect("an entry") {
            announced += 1;
            assert!(!before.iter().any(|old| key.reference == KeyRef::Ours(old.id)));
        }
    }
    assert_eq!(announced, 2);
    drop(tx);
    let answer = test.admin(axum::http::Method::GET, "/v1/auth/keys", None).await;
    assert_eq!(answer.status, 401, "the old admin key is dead");
}
