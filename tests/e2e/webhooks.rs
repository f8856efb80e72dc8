//! Webhooks with a real receiver, which checks signatures with the library of Standard Webhooks, and a control plane that is killed
//! at bad moments.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Database, Port, Process, Request, Stack, files, wait};
use serde_json::{Value, json};

use crate::support::on_both_databases;

on_both_databases!(what_was_committed_is_told_whatever_dies);

/// Longer than a message may be taken by a process that died.
const LONG: Duration = Duration::from_secs(40);

fn receiver(port: &Port, folder: &Path) -> Process {
    let mut command = Command::new(files::root().join("node_modules/.bin/node"));
    command
        .arg(files::root().join("tests/clients/webhook-receiver.mjs"))
        .arg(port.number().to_string())
        .arg(folder);
    Process::spawn("receiver", command, &folder.join("receiver.log")).unwrap()
}

fn seen(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("seen")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn until_seen(folder: &Path, count: usize) -> Vec<Value> {
    wait::until_true("the messages came", LONG, || async {
        seen(folder).len() >= count
    })
    .await;
    seen(folder)
}

async fn what_was_committed_is_told_whatever_dies(database: Database) {
    let mut stack = Stack::with().database(database).start().await;
    let folder = tempfile::tempdir().unwrap();
    let (folder, port) = (folder.path(), Port::reserve());
    let body = json!({ "url": format!("{}/hooks", port.url()), "events": ["key.*"] });
    let request = Request::new("POST", "/v1/webhooks").json(&body);
    let made = stack.admin().send(request).await.expect(201).json();
    std::fs::write(folder.join("secret"), made["secret"].as_str().unwrap()).unwrap();

    // 1. Nobody listens, and the process is killed right after its answer: the message is in the database with the key.
    stack.admin().key("read").await;
    stack.control.kill();
    let mut process = receiver(&port, folder);
    stack.control.restart().await.unwrap();
    let first = until_seen(folder, 1).await;
    assert_eq!(
        (&first[0]["type"], &first[0]["refused"]),
        (&json!("key.created"), &Value::Null),
        "{first:?}"
    );

    // 2. Killed while the receiver has it and has not answered: it comes again, under the same id.
    std::fs::write(folder.join("hang"), "").unwrap();
    let key = stack.admin().key("read").await;
    let second = until_seen(folder, 2).await;
    stack.control.kill();
    std::fs::remove_file(folder.join("hang")).unwrap();
    stack.control.restart().await.unwrap();
    let third = until_seen(folder, 3).await;
    assert_eq!(second[1]["answered"], false);
    assert_eq!(
        (&third[2]["id"], &third[2]["answered"]),
        (&second[1]["id"], &json!(true)),
        "{third:?}"
    );

    // 3. The receiver is away for a while and comes back.
    process.kill();
    stack.admin().revoke(&key.id, Some("none")).await.expect(200);
    drop(process);
    let _process = receiver(&port, folder);
    let last = until_seen(folder, 4).await;
    assert_eq!(
        (&last[3]["type"], &last[3]["refused"]),
        (&json!("key.revoked"), &Value::Null),
        "{last:?}"
    );
}
