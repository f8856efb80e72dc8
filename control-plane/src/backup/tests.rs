//! Backup, restore and move between databases of both engines.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::random::Random;
use crate::store::test_postgres::TestPostgres;
use crate::testing::{START, TestApp};

/// Where databases of both engines come from.
struct Place {
    folder: TempDir,
    server: Option<TestPostgres>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            server: TestPostgres::start_or_skip(),
        }
    }

    fn engines(&self) -> Vec<&'static str> {
        let postgres = self.server.as_ref().map(|_| "postgres");
        std::iter::once("sqlite").chain(postgres).collect()
    }

    /// A database without anything.
    async fn empty(&self, engine: &str, name: &str) -> Store {
        let url = match (engine, &self.server) {
            ("postgres", Some(server)) => {
                server.create(name).await;
                server.url(name)
            }
            _ => format!("sqlite://{}", self.folder.path().join(name).display()),
        };
        Store::connect(&url).await.expect("a database")
    }

    /// An installation with a few things in it.
    async fn installation(&self, engine: &str, name: &str) -> TestApp {
        let test = TestApp::start_on(Some(self.empty(engine, name).await), |_| {}).await;
        let body = json!({"name": "Grüße ☂ 'x'", "scope": "read", "workspace": "all", "environment": "live"});
        let (old, _) = test.create_key(body.clone()).await;
        test.create_key(body).await;
        // A reference to a later row of the same table.
        let path = format!("/v1/auth/keys/{old}/rotate");
        let rotated = test.admin(axum::http::Method::POST, &path, Some(json!({}))).await;
        assert_eq!(rotated.status, 201, "{rotated:?}");
        test
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// Every row of every table, in an order of its own.
async fn everything(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut tx = store.begin_snapshot().await.expect("tx");
    let mut all = BTreeMap::new();
    for mut table in tx.tables().await.expect("tables") {
        table.columns.sort();
        let mut rows = Vec::new();
        tx.read_rows::<StoreError>(&table, async |batch| {
            rows.extend(batch.iter().map(|row| format!("{row:?}")));
            Ok(())
        })
        .await
        .expect("rows");
        rows.sort();
        all.insert(table.name, rows);
    }
    all
}

async fn pairs(case: impl AsyncFn(&Place, &str, &str)) {
    let place = Place::new();
    for from in place.engines() {
        for to in place.engines() {
            println!("{from} to {to}");
            Box::pin(case(&place, from, to)).await;
        }
    }
}

async fn save_now(store: &Store, path: &Path) -> Saved {
    save(store, path, false, START).await.expect("a backup")
}

/// The copy has what the source had, but for its own name and the line in the trail that tells of the copy.
fn assert_copied(
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
    more_audit: usize,
) {
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    for (table, rows) in before {
        match table.as_str() {
            "installation" => assert_eq!(after[table].len(), 1),
            "audit" | "audit_waiting" => {
                assert_eq!(after[table].len(), rows.len() + more_audit);
                assert!(rows.iter().all(|row| after[table].contains(row)));
            }
            _ => assert_eq!(after[table], *rows, "{table}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_fills_an_empty_database_of_either_engine() {
    pairs(async |place, from, to| {
        let name = format!("{from}_{to}");
        let test = place.installation(from, &format!("a_{name}")).await;
        let file = place.file(&format!("{name}.bak"));
        let saved = save_now(&test.app.store, &file).await;
        let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(saved.bytes, std::fs::metadata(&file).expect("a file").len());
        assert_eq!(saved.header.engine, from);
        let copy = place.empty(to, &format!("b_{name}")).await;
        let restored = restore(&copy, &file, &Random::system(), START)
            .await
            .expect("restored");
        assert_eq!(restored.header, saved.header);
        let before = everything(&test.app.store).await;
        assert!(before["api_keys"].len() >= 4, "{before:?}");
        assert_copied(&before, &everything(&copy).await, 1);
        let name = |store: &Store| {
            let store = store.clone();
            async move {
                let mut tx = store.begin_read().await.expect("tx");
                tx.incarnation().await.expect("read").expect("set up")
            }
        };
        assert_ne!(name(&test.app.store).await, name(&copy).await);
        // Numbers go on, and references are checked again.
        let mut one = test.app.store.begin().await.expect("tx");
        let mut other = copy.begin().await.expect("tx");
        let next = one.enqueue_entry("x", b"y", None, START).await.expect("a number");
        assert_eq!(
            other
                .enqueue_entry("x", b"y", None, START)
                .await
                .expect("a number"),
            next
        );
        let tables = other.tables().await.expect("tables");
        let keys = tables
            .iter()
            .find(|table| table.name == "grant_indexes")
            .expect("there");
        let orphan = vec![Value::Int(1), Value::Int(2)];
        let refused = match other.write_rows(keys, &[orphan]).await {
            Ok(()) => other.commit().await,
            refused => refused,
        };
        assert!(refused.is_err(), "references are checked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_tables() {
    let place = Place::new();
    let mut seen = Vec::new();
    for engine in place.engines() {
        let store = place.empty(engine, "schema").await;
        store.migrate().await.expect("a schema");
        let mut tables = store
            .begin_read()
            .await
            .expect("tx")
            .tables()
            .await
            .expect("only types that are copied");
        for table in &mut tables {
            table.columns.sort();
        }
        seen.push(tables);
    }
    assert!(seen[0].len() > 25, "{:?}", seen[0]);
    assert!(seen[0].iter().any(|table| table.numbered.is_some()));
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment() {
    let place = Place::new();
    for engine in place.engines() {
        let store = place.empty(engine, "busy").await;
        store.migrate().await.expect("a schema");
        let mut tx = store.begin().await.expect("tx");
        tx.claim_installation([7; 16], START).await.expect("claimed");
        tx.commit().await.expect("commit");
        let stop = Arc::new(AtomicBool::new(false));
        // Always as many rows in one table as in the other, which comes much later in the file.
        let writer = tokio::spawn({
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            async move {
                let mut number: u64 = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let mut tx = store.begin().await.expect("tx");
                    let org = shared::id::OrgId::from_u64(number).expect("small");
                    tx.enqueue_entry("x", &[0; 2000], None, START)
                        .await
                        .expect("written");
                    tx.insert_org(org, "o", START).await.expect("written");
                    tx.commit().await.expect("commit");
                }
                number
            }
        });
        let mut before = 0;
        for round in 0..5 {
            let file = place.file(&format!("{engine}-{round}.bak"));
            let header = loop {
                let header = save(&store, &file, true, START).await.expect("a backup").header;
                if header.rows() > before + 2 {
                    break header;
                }
            };
            before = header.rows();
            let rows = |name: &str| {
                header
                    .tables
                    .iter()
                    .find(|table| table.name == name)
                    .map(|t| t.rows)
            };
            assert_eq!(rows("orgs"), rows("outbox"), "{engine}");
            assert_eq!(load::verify(&file).expect("whole"), header);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.await.expect("no panic") > 5);
    }
}

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anything_is_touched() {
    let place = Place {
        folder: tempfile::tempdir().expect("a folder"),
        server: None,
    };
    let test = place.installation("sqlite", "a.db").await;
    let file = place.file("good.bak");
    save_now(&test.app.store, &file).await;
    let good = std::fs::read(&file).expect("read");
    let bad = place.file("bad.bak");
    let step = (good.len() / 150).max(1);
    for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
        let mut altered = good.clone();
        altered[at] ^= 0x10;
        std::fs::write(&bad, &altered).expect("written");
        assert!(load::verify(&bad).is_err(), "altered at {at}");
        std::fs::write(&bad, &good[..at]).expect("written");
        assert!(load::verify(&bad).is_err(), "cut off at {at}");
    }
    std::fs::write(&bad, [good.as_slice(), b"x"].concat()).expect("written");
    assert!(matches!(
        load::verify(&bad),
        Err(BackupError::Damaged("something follows its end"))
    ));
    std::fs::write(&bad, "no backup").expect("written");
    let store = place.empty("sqlite", "b.db").await;
    let refused = restore(&store, &bad, &Random::system(), START).await;
    assert!(matches!(refused, Err(BackupError::NotABackup)));
    std::fs::write(&bad, &good[..good.len() - 1]).expect("written");
    let refused = restore(&store, &bad, &Random::system(), START)
        .await
        .expect_err("cut off");
    assert!(
        refused.to_string().contains("damaged: it ends too early"),
        "{refused}"
    );
    assert!(
        store
            .begin_read()
            .await
            .expect("tx")
            .tables()
            .await
            .expect("none")
            .is_empty()
    );
    restore(&store, &file, &Random::system(), START)
        .await
        .expect("the good one fits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_not_overwritten() {
    pairs(async |place, from, to| {
        let name = format!("{from}_{to}");
        let test = place.installation(from, &format!("a_{name}")).await;
        let file = place.file(&format!("{name}.bak"));
        let saved = save_now(&test.app.store, &file).await;
        let again = save(&test.app.store, &file, false, START).await;
        assert!(matches!(again, Err(BackupError::Exists(_))));
        save(&test.app.store, &file, true, START.saturating_add(1))
            .await
            .expect("replaced");
        assert_ne!(load::verify(&file).expect("whole"), saved.header);
        let left = std::fs::read_dir(place.folder.path()).expect("a folder");
        assert!(
            left.filter_map(Result::ok)
                .all(|entry| !entry.file_name().to_string_lossy().contains("partial"))
        );
        let other = place.installation(to, &format!("b_{name}")).await;
        let before = everything(&other.app.store).await;
        let refused = restore(&other.app.store, &file, &Random::system(), START)
            .await
            .expect_err("not empty");
        assert!(refused.to_string().contains("4 rows in api_keys"), "{refused}");
        let refused = transfer(&test.app.store, &other.app.store, "x", &Random::system(), START)
            .await
            .expect_err("not empty");
        assert!(matches!(refused, BackupError::NotEmpty(_)), "{refused}");
        assert_eq!(everything(&other.app.store).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_up_to_date_and_a_newer_one_refused() {
    let place = Place::new();
    for engine in place.engines() {
        let store = place.empty(engine, "old").await;
        let old = Store::latest_schema() - 1;
        store.migrate_to(old).await.expect("an old schema");
        let mut tx = store.begin().await.expect("tx");
        tx.claim_installation([7; 16], START).await.expect("claimed");
        tx.insert_org(shared::id::OrgId::from_u64(1).expect("small"), "Acme", START)
            .await
            .expect("org");
        tx.commit().await.expect("commit");
        let file = place.file(&format!("{engine}-old.bak"));
        assert_eq!(save_now(&store, &file).await.header.schema, old);
        let copy = place.empty(engine, "new").await;
        restore(&copy, &file, &Random::system(), START)
            .await
            .expect("restored");
        let mut tx = copy.begin_read().await.expect("tx");
        assert_eq!(
            tx.schema_version().await.expect("a version"),
            Some(Store::latest_schema())
        );
        assert_eq!(tx.count_rows("orgs").await.expect("counted"), 1);
        let future = prepare(&place.empty(engine, "future").await, Store::latest_schema() + 1).await;
        assert!(matches!(future, Err(BackupError::NewerSchema { .. })));
    }
    let store = place.empty("sqlite", "nothing.db").await;
    let nothing = save(&store, &place.file("nothing.bak"), false, START).await;
    assert!(matches!(nothing, Err(BackupError::Nothing)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_database_goes_on_elsewhere_and_takes_no_writes() {
    pairs(async |place, from, to| {
        let name = format!("{from}_{to}");
        let test = place.installation(from, &format!("a_{name}")).await;
        let before = everything(&test.app.store).await;
        let ours = test
            .app
            .store
            .begin_read()
            .await
            .expect("tx")
            .incarnation()
            .await
            .expect("read");
        let copy = place.empty(to, &format!("b_{name}")).await;
        let moved = transfer(
            &test.app.store,
            &copy,
            "postgres://db/there",
            &Random::system(),
            START,
        )
        .await
        .expect("moved");
        assert_copied(&before, &everything(&copy).await, 1);
        let mut tx = copy.begin_read().await.expect("tx");
        assert_eq!(tx.incarnation().await.expect("read"), ours);
        assert_eq!(Some(moved.incarnation), ours);
        assert_eq!(tx.moved_to().await.expect("read"), None);
        // The source: every table refuses every write, and the API says so.
        let mut tx = test.app.store.begin().await.expect("tx");
        let refused = tx
            .enqueue_entry("x", b"y", None, START)
            .await
            .expect_err("it was moved");
        assert!(refused.is_moved(), "{refused:?}");
        drop(tx);
        let body = json!({"name": "k", "scope": "read", "workspace": "all", "environment": "live"});
        let answer = test
            .admin(axum::http::Method::POST, "/v1/auth/keys", Some(body.clone()))
            .await;
        assert_eq!(answer.outcome(), (503, "busy"), "{answer:?}");
        assert!(answer.raw.contains("moved"), "{answer:?}");
        let again = transfer(&test.app.store, &copy, "x", &Random::system(), START).await;
        assert!(
            matches!(&again, Err(BackupError::Store(error)) if error.is_moved())
                || matches!(&again, Err(BackupError::AlreadyMoved(place)) if place == "postgres://db/there"),
            "{again:?}"
        );
        // It may come back, by a take-over.
        crate::revocation::take_over(&test.app, &crate::audit::Actor::command_line())
            .await
            .expect("an epoch");
        let answer = test
            .admin(axum::http::Method::POST, "/v1/auth/keys", Some(body))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
    })
    .await;
}
