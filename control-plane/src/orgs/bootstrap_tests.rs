//! The first start: what it makes, and when it is refused.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::testing::START;

struct Fresh {
    folder: TempDir,
    store: Store,
    config: Config,
}

impl Fresh {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            database_url: format!("sqlite://{}", folder.path().join("test.db").display()),
            master_key_file: Some(folder.path().join("master.key")),
            bootstrap_email: "Ada@Example.com".to_owned(),
            ..Config::default()
        };
        let store = Store::connect(&config.database_url).await.expect("a database");
        store.migrate().await.expect("a schema");
        Self {
            folder,
            store,
            config,
        }
    }

    async fn start(&self, terminal: bool) -> anyhow::Result<Option<FirstStart>> {
        first_start(
            &self.store,
            &self.config,
            &Clock::manual(START),
            &Random::system(),
            terminal,
        )
        .await
    }
}

#[tokio::test]
async fn secrets_go_to_a_private_file() {
    let mut fresh = Fresh::new().await;
    let path = fresh.folder.path().join("bootstrap.json");
    fresh.config.bootstrap_file = Some(path.clone());
    let made = fresh.start(false).await.expect("a start").expect("the first");
    let permissions = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(permissions & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).expect("its text");
    let written: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let names: BTreeSet<_> = written
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "admin_email",
        "admin_key",
        "admin_key_id",
        "admin_password",
        "org",
        "user",
        "workspace",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!(written["admin_key"], made.admin_key.as_str());
    assert_eq!(made.admin_email, "ada@example.com");

    let mut tx = fresh.store.begin_read().await.expect("tx");
    let (user, hash) = tx
        .user_by_email("ada@example.com")
        .await
        .expect("row")
        .expect("the owner");
    assert_eq!(user, made.user);
    assert!(hash.expect("a hash").starts_with("$argon2id$"));
    let member = tx
        .membership(made.org, made.user)
        .await
        .expect("row")
        .expect("a member");
    assert_eq!(member.role, Role::Owner);
    assert!(tx.has_workspace(made.org, made.workspace).await.expect("row"));
    let trail = tx
        .audit_of(&made.admin_key_id.to_string(), 10)
        .await
        .expect("rows");
    assert_eq!(trail.len(), 1);
}

#[tokio::test]
async fn the_incarnation_is_also_outside() {
    let fresh = Fresh::new().await;
    let path = fresh.folder.path().join("portcullis-incarnation");
    // Left by a first start that came no further.
    incarnation::write(&path, [3; 16]).expect("written");
    fresh.start(true).await.expect("a start").expect("the first");
    let mut tx = fresh.store.begin_read().await.expect("tx");
    assert_eq!(tx.incarnation().await.expect("asked"), Some([3; 16]));
    drop(tx);

    let fresh = Fresh::new().await;
    let path = fresh.folder.path().join("portcullis-incarnation");
    fresh.start(true).await.expect("a start").expect("the first");
    let known = incarnation::read(&path).expect("read").expect("written");
    let mut tx = fresh.store.begin_read().await.expect("tx");
    assert_eq!(tx.incarnation().await.expect("asked"), Some(known));
    let permissions = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(permissions & 0o777, 0o600);
    drop(tx);
    // Only the first start writes it: a copy that lost it stays a copy.
    std::fs::remove_file(&path).expect("removed");
    assert!(fresh.start(true).await.expect("a start").is_none());
    assert_eq!(incarnation::read(&path).expect("read"), None);
}

#[tokio::test]
async fn a_second_start_makes_nothing() {
    let fresh = Fresh::new().await;
    assert!(fresh.start(true).await.expect("a start").is_some());
    assert!(fresh.start(true).await.expect("a start").is_none());
    assert!(
        fresh.start(false).await.expect("a start").is_none(),
        "no terminal is needed then"
    );
}

#[tokio::test]
async fn of_two_first_starts_one_makes_everything() {
    let fresh = Fresh::new().await;
    let (first, second) = tokio::join!(fresh.start(true), fresh.start(true));
    let made = [first.expect("a start"), second.expect("a start")];
    assert_eq!(made.iter().flatten().count(), 1);
}

#[tokio::test]
async fn nowhere_to_show_secrets_is_refused_before_anything_is_made() {
    let fresh = Fresh::new().await;
    let error = fresh.start(false).await.err().expect("refused");
    assert!(error.to_string().contains("bootstrap_file"), "{error}");
    let mut tx = fresh.store.begin_read().await.expect("tx");
    assert_eq!(tx.incarnation().await.expect("none"), None);
    assert!(tx.signing_keys().await.expect("none").is_empty());
}

#[tokio::test]
async fn a_file_that_can_not_be_written_leaves_an_empty_database() {
    let mut fresh = Fresh::new().await;
    fresh.config.bootstrap_file = Some(fresh.folder.path().join("missing/bootstrap.json"));
    assert!(fresh.start(false).await.is_err());
    fresh.config.bootstrap_file = None;
    assert!(
        fresh.start(true).await.expect("a start").is_some(),
        "the next one is the first"
    );
}

#[test]
fn a_password_has_130_bits() {
    let password = random_password(&Random::system()).expect("random");
    assert_eq!(password.len(), PASSWORD_LENGTH);
    assert!(password.bytes().all(|b| PASSWORD_ALPHABET.contains(&b)));
    assert_ne!(password, random_password(&Random::system()).expect("random"));
    assert_eq!(PASSWORD_ALPHABET.iter().collect::<BTreeSet<_>>().len(), 32);
}
