//! `portcullis backup`, `restore` and `move` with real processes: beside a running server, killed at any moment, and with an
//! edge that knows more than the backup.

use std::process::{Output, Stdio};
use std::time::Duration;

use e2e::{ControlPlane, Database, Request, Stack, wait};

use crate::support::{assert_invalid_token, on_both_databases};

const PATH: &str = "/v1/memory/x";
/// When a process is killed, in milliseconds after its start: before it has opened anything, until it is over.
const MOMENTS: [u64; 8] = [2, 6, 12, 20, 35, 60, 120, 400];

on_both_databases!(
    a_restored_backup_goes_on_behind_its_edge,
    a_database_moves_under_a_running_server,
    killed_at_any_moment_there_is_a_whole_backup_or_none,
    killed_at_any_moment_a_restore_is_whole_or_empty,
);

fn output(control: &ControlPlane, arguments: &[&str]) -> Output {
    control.command(arguments).unwrap().output().unwrap()
}

/// What a command says that it does not do.
fn refusal(control: &ControlPlane, arguments: &[&str]) -> String {
    let output = output(control, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Kills a command so long after its start, if it is not over by then.
async fn kill_after(control: &ControlPlane, arguments: &[&str], milliseconds: u64) {
    let mut command = control.command(arguments).unwrap();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // No condition: the moment of the kill is to be any.
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn a_restored_backup_goes_on_behind_its_edge(database: Database) {
    let mut stack = Stack::with().database(database).start().await;
    let admin = stack.admin();
    let (kept, before, after) = (
        admin.key("read").await,
        admin.key("read").await,
        admin.key("read").await,
    );
    admin.revoke(&before.id, None).await.expect(200);
    let said = stack.control.run(&["backup", "portcullis.bak"]).unwrap();
    assert!(said.contains("rows"), "{said}");
    assert!(refusal(&stack.control, &["backup", "portcullis.bak"]).contains("--force"));
    // All this is not in it.
    stack.admin().revoke(&after.id, None).await.expect(200);
    let lost = stack.admin().key("read").await;
    stack.caller(&lost.key).get(PATH).await.expect(200);
    assert!(refusal(&stack.control, &["restore", "portcullis.bak"]).contains("rows in api_keys"));
    stack.control.kill();
    stack.control.wipe_database().unwrap();
    stack.control.run(&["restore", "portcullis.bak"]).unwrap();
    // It is a copy: it publishes nothing until it is told to. The edge goes on meanwhile.
    stack.control.serve().unwrap();
    let (address, live) = (stack.control.address(), Request::get("/health/live"));
    wait::until_true("it listens", Duration::from_secs(20), || async {
        e2e::http::once(&address, &live)
            .await
            .is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(stack.anon_at_control().get("/health/ready").await.status, 503);
    stack.caller(&kept.key).get(PATH).await.expect(200);
    stack.control.run(&["feed", "take-over"]).unwrap();
    stack.control.restart().await.unwrap();
    let stranger = stack.caller(&lost.key);
    wait::until_true("what nobody knows is dead", Duration::from_secs(20), || async {
        stranger.get(PATH).await.status == 401
    })
    .await;
    for key in [&before, &after] {
        assert_invalid_token(&stack.caller(&key.key).get(PATH).await, "revoked");
        let path = format!("/v1/auth/keys/{}", key.id);
        let key = stack.admin().send(Request::get(&path)).await.expect(200).json();
        assert_eq!(key["status"], "revoked", "{key}");
    }
    stack.caller(&kept.key).get(PATH).await.expect(200);
    let receipt = stack.admin().revoke(&kept.id, None).await.expect(200).json();
    assert_eq!(receipt["pending"], serde_json::json!([]), "{receipt}");
    assert_invalid_token(&stack.caller(&kept.key).get(PATH).await, "after the receipt");
}

async fn a_database_moves_under_a_running_server(database: Database) {
    let mut stack = Stack::with().database(database).start().await;
    let admin = stack.admin();
    let (kept, before) = (admin.key("read").await, admin.key("read").await);
    admin.revoke(&before.id, None).await.expect(200);
    let to = match database {
        Database::Sqlite => ControlPlane::new_postgres(),
        Database::Postgres => format!("sqlite://{}", stack.folder().join("moved.db").display()),
    };
    let secret = to.replace("postgres@", "postgres:secret@");
    if secret != to {
        assert!(refusal(&stack.control, &["move", "--to", &secret]).contains("PGPASSWORD"));
    }
    let said = stack.control.run(&["move", "--to", &to]).unwrap();
    assert!(said.contains("database_url"), "{said}");
    // The running server still has the old one: it reads, and refuses what would be lost.
    let receipt = stack.admin().revoke(&kept.id, None).await;
    assert_eq!(receipt.status, 503, "{}", receipt.text());
    stack.caller(&kept.key).get(PATH).await.expect(200);
    stack.control.stop();
    let refused = refusal(&stack.control, &["serve"]);
    assert!(refused.contains("this database was moved to"), "{refused}");
    let old = stack.control.use_database(&to);
    stack.control.restart().await.unwrap();
    stack.caller(&kept.key).get(PATH).await.expect(200);
    assert_invalid_token(&stack.caller(&before.key).get(PATH).await, "revoked before");
    let receipt = stack.admin().revoke(&kept.id, None).await.expect(200).json();
    assert_eq!(receipt["pending"], serde_json::json!([]), "{receipt}");
    assert_invalid_token(&stack.caller(&kept.key).get(PATH).await, "revoked after");
    let new = stack.admin().key("read").await;
    stack.caller(&new.key).get(PATH).await.expect(200);
    stack.control.use_database(&old);
    assert!(refusal(&stack.control, &["move", "--to", "sqlite://x.db"]).contains("moved"));
}

async fn killed_at_any_moment_there_is_a_whole_backup_or_none(database: Database) {
    let stack = Stack::with().database(database).start().await;
    for _ in 0..20 {
        stack.admin().key("read").await;
    }
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let file = format!("{round}.bak");
        kill_after(&stack.control, &["backup", &file], moment).await;
        if stack.control.folder().join(&file).exists() {
            let copy = format!("sqlite://{round}.db");
            stack
                .control
                .run(&["restore", &file, "--database-url", &copy])
                .unwrap();
        }
        stack.control.run(&["backup", &file, "--force"]).unwrap();
    }
    stack.admin().key("read").await;
}

async fn killed_at_any_moment_a_restore_is_whole_or_empty(database: Database) {
    let stack = Stack::with().database(database).start().await;
    for _ in 0..20 {
        stack.admin().key("read").await;
    }
    stack.control.run(&["backup", "portcullis.bak"]).unwrap();
    let keys = stack.control.query("SELECT COUNT(*) FROM api_keys").unwrap();
    let mut control = stack.control.beside();
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let to = match database {
            Database::Sqlite => format!(
                "sqlite://{}",
                stack.folder().join(format!("{round}.db")).display()
            ),
            Database::Postgres => ControlPlane::new_postgres(),
        };
        control.use_database(&to);
        kill_after(&control, &["restore", "portcullis.bak"], moment).await;
        let again = output(&control, &["restore", "portcullis.bak"]);
        if !again.status.success() {
            let said = String::from_utf8_lossy(&again.stderr);
            assert!(said.contains("the database is not empty"), "{said}");
        }
        assert_eq!(control.query("SELECT COUNT(*) FROM api_keys").unwrap(), keys);
        assert_eq!(control.query("SELECT COUNT(*) FROM installation").unwrap(), "1");
    }
}
