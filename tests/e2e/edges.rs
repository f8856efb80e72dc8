//! `portcullis edge`: how edges are, and the keys of those that fetch.

use std::time::Duration;

use e2e::{Request, Stack, http, wait};
use serde_json::Value;

/// What a command prints with the administrator's key, or its exit code.
fn run(stack: &Stack, args: &[&str]) -> Result<String, Option<i32>> {
    let mut command = stack.control.command(args).expect("a command");
    command
        .env("PORTCULLIS_URL", stack.control.url())
        .env("PORTCULLIS_ADMIN_KEY", &stack.admin_key)
        // The running server knows one edge; the command line is told of another.
        .env("PORTCULLIS_EDGES", "hub=http://127.0.0.1:9,dmz=pull");
    let done = command.output().expect("it runs");
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(done.status.code())
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_every_region() {
    let stack = Stack::start().await;
    wait::until_true("no region lacks a frame", Duration::from_secs(20), || async {
        let status = json(&run(&stack, &["edge", "status", "--json"]).expect("a status"));
        let regions = status["edges"][0]["regions"].as_array().expect("regions");
        regions
            .iter()
            .all(|region| region["lag_frames"] == 0 && region["seq"] == status["head"]["seq"])
    })
    .await;
    let table = run(&stack, &["edge", "status"]).expect("a table");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("REGION"), "{table}");
    assert!(lines[1].starts_with("hub"), "{table}");
    assert!(!table.contains("ALERT"), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_an_edge_that_fetches_is_shown_once() {
    let stack = Stack::start().await;
    let make = || run(&stack, &["--format", "json", "edge", "key", "dmz"]).map(|text| json(&text));
    let (first, second) = (make().expect("a key"), make().expect("its successor"));
    let text = first["uplink_key"].as_str().expect("a text");
    assert!(text.starts_with("pcu_") && text.len() == 47);
    assert_eq!(make(), Err(Some(1)), "two are valid at a time");
    assert_eq!(
        run(&stack, &["edge", "key", "hub"]),
        Err(Some(1)),
        "it does not fetch"
    );
    let id = first["id"].as_str().expect("an id");
    run(&stack, &["edge", "key", "dmz", "--revoke", id]).expect("revoked");
    let list = run(&stack, &["--format", "json", "edge", "key", "dmz", "--list"]).expect("a list");
    assert!(!list.contains("pcu_"), "{list}");
    let left = json(&list);
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    assert_eq!(left[0]["id"], second["id"]);
    // The server that runs knows no such edge: the key is right, and in the wrong place.
    let key = second["uplink_key"].as_str().expect("a text");
    let ask = |key: &str| Request::get("/v1/edge/feed").header("authorization", format!("Bearer {key}"));
    let answer = http::once(&stack.control.address(), &ask(key))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (403, &Value::from("wrong_edge"))
    );
    let answer = http::once(&stack.control.address(), &ask(text))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 401, "it was revoked");
}
