//! The keys above all others: the master key is replaced under a running server, whatever is killed; it is lost; the root,
//! which every edge pins, is replaced and no credential notices.

use std::process::Stdio;
use std::time::Duration;

use e2e::{Stack, wait};
use serde_json::Value;

use crate::support::{assert_invalid_token, on_both_databases};

const PATH: &str = "/v1/memory/x";
/// When a replacement is killed, in milliseconds after its start.
const MOMENTS: [u64; 8] = [5, 20, 35, 50, 70, 100, 150, 600];

on_both_databases!(a_master_key_is_replaced_under_a_running_server_that_nothing_stops);

fn json(stack: &Stack, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["--format", "json"].iter().chain(arguments).copied().collect();
    serde_json::from_str(&stack.control.run(&all).unwrap()).unwrap()
}

fn refusal(stack: &Stack, arguments: &[&str]) -> String {
    let output = stack.control.command(arguments).unwrap().output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The edge starts anew with what the control plane says that it must trust.
async fn deploy(stack: &mut Stack) {
    stack.edge.kill();
    for (name, value) in stack.control.trust().unwrap() {
        stack.edge.set_var(&name, &value);
    }
    stack.edge.restart().await.unwrap();
}

async fn revokes(stack: &Stack) {
    let key = stack.admin().key("read").await;
    stack.caller(&key.key).get(PATH).await.expect(200);
    let receipt = stack.admin().revoke(&key.id, None).await.expect(200).json();
    assert_eq!(receipt["pending"], serde_json::json!([]), "{receipt}");
    assert_invalid_token(&stack.caller(&key.key).get(PATH).await, "after the receipt");
}

async fn a_master_key_is_replaced_under_a_running_server_that_nothing_stops(database: e2e::Database) {
    let mut stack = Stack::with().database(database).start().await;
    let kept = stack.admin().key("read").await;
    let file = stack.control.folder().join("master.key");
    let first = std::fs::read_to_string(&file).unwrap();
    for moment in MOMENTS {
        let mut command = stack.control.command(&["keys", "master", "rotate"]).unwrap();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // No condition: the moment of the kill is to be any.
        tokio::time::sleep(Duration::from_millis(moment)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // A process that starts now opens everything; the one that runs goes on.
        assert!(
            json(&stack, &["keys", "signing", "list"])
                .as_array()
                .unwrap()
                .len()
                >= 4
        );
        revokes(&stack).await;
    }
    let done = json(&stack, &["keys", "master", "rotate"]);
    assert!(done["sealed"].as_u64().unwrap() >= 4, "{done}");
    let last = std::fs::read_to_string(&file).unwrap();
    assert_ne!(first, last);
    for secret in [&first, &last] {
        stack.secrets.saw(secret.trim());
    }
    // A key that is made now is sealed under the new master key, by this process.
    json(&stack, &["keys", "signing", "rotate", "--purpose", "feed"]);
    stack.control.restart().await.unwrap();
    stack.caller(&kept.key).get(PATH).await.expect(200);
    revokes(&stack).await;
    std::fs::write(&file, &first).unwrap();
    stack.control.stop();
    let refused = refusal(&stack, &["serve"]);
    assert!(refused.contains("not the master key"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_master_key_the_edge_goes_on_until_a_new_feed_begins() {
    let mut stack = Stack::start().await;
    let kept = stack.admin().key("read").await;
    stack.caller(&kept.key).get(PATH).await.expect(200);
    let file = stack.control.folder().join("master.key");
    std::fs::remove_file(&file).unwrap();
    // The running server has opened its keys.
    revokes(&stack).await;
    stack.control.kill();
    let refused = refusal(&stack, &["serve"]);
    assert!(
        refused.contains("does not exist") && refused.contains("keys master lost"),
        "{refused}"
    );
    assert!(!file.exists(), "no other key is made in its place");
    stack.caller(&kept.key).get(PATH).await.expect(200);
    let refused = refusal(&stack, &["keys", "master", "lost"]);
    assert!(refused.contains("--end-everything"), "{refused}");
    let done = json(&stack, &["keys", "master", "lost", "--end-everything"]);
    let admin = done["admin_key"].as_str().unwrap().to_owned();
    stack.secrets.saw(&admin);
    let dead = std::mem::replace(&mut stack.admin_key, admin);
    // What the hub has on its disk is of another feed, and it refuses to mix the two.
    stack.edge.kill();
    stack.edge.wipe_disk().unwrap();
    deploy(&mut stack).await;
    stack.control.restart().await.unwrap();
    stack.settled().await;
    for key in [&kept.key, &dead] {
        assert_invalid_token(&stack.caller(key).get(PATH).await, "of the feed that is gone");
    }
    let answer = stack
        .admin_with(&dead)
        .send(e2e::Request::get("/v1/auth/keys"))
        .await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    wait::until_true(
        "a new index block is acknowledged",
        Duration::from_secs(20),
        || async {
            let body = serde_json::json!({ "name": "k", "scope": "read", "environment": "live" });
            let request = e2e::Request::new("POST", "/v1/auth/keys").json(&body);
            let answer = stack.admin().send(request).await;
            if answer.status == 201 {
                stack.admin().created(&answer);
            }
            answer.status == 201
        },
    )
    .await;
    revokes(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_is_replaced_and_no_credential_notices() {
    let mut stack = Stack::start().await;
    let (kept, revoked) = (stack.admin().key("read").await, stack.admin().key("read").await);
    stack.admin().revoke(&revoked.id, None).await.expect(200);
    assert!(refusal(&stack, &["feed", "rotate-root", "--finish"]).contains("no new root was announced"));
    let announced = json(&stack, &["feed", "rotate-root"]);
    let both = announced["root_key"].as_str().unwrap().to_owned();
    let (old, new) = both.split_once(',').expect("two keys");
    assert_eq!(
        json(&stack, &["feed", "rotate-root"])["root_key"],
        both,
        "made once"
    );
    // The edge was not told yet.
    let refused = refusal(&stack, &["feed", "rotate-root", "--finish"]);
    assert!(refused.contains("does not take"), "{refused}");
    revokes(&stack).await;
    deploy(&mut stack).await;
    stack.settled().await;
    let done = json(&stack, &["feed", "rotate-root", "--finish"]);
    assert_eq!(done["epoch"], 2, "{done}");
    assert_eq!(done["root_key"], new);
    revokes(&stack).await;
    stack.caller(&kept.key).get(PATH).await.expect(200);
    assert_invalid_token(&stack.caller(&revoked.key).get(PATH).await, "revoked before");
    // From now on the old root counts for nothing, also in what the edge has on its disk.
    deploy(&mut stack).await;
    stack.settled().await;
    assert_ne!(old, new);
    revokes(&stack).await;
    stack.caller(&kept.key).get(PATH).await.expect(200);
    assert_invalid_token(&stack.caller(&revoked.key).get(PATH).await, "revoked before");
    stack.control.restart().await.unwrap();
    revokes(&stack).await;
}
