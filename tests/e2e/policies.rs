//! The route policy is changed while everything runs.

use std::{fs, time::Duration};

use e2e::{ControlPlane, ControlPlaneConfig, Database, Port, Process, Request, Response, Stack, wait};
use serde_json::{Value, json};

const POLICY: &str = "/v1/policy";
const REPORT: &str = "/reports/x";
const DIE_AT: &str = "die-at";

/// What is in force, and its ETag.
async fn current(stack: &Stack) -> (Value, String) {
    let answer = stack.admin().send(Request::get(POLICY)).await.expect(200);
    let tag = answer.header("etag").expect("an ETag").to_owned();
    (answer.json(), tag)
}

/// The document in force with one more route in front.
async fn with_reports(stack: &Stack, route: Value) -> (Value, String) {
    let (current, tag) = current(stack).await;
    let mut document = current["policy"].clone();
    document["routes"].as_array_mut().unwrap().insert(0, route);
    (document, tag)
}

fn put(document: &Value, tag: &str, wait: &str) -> Request {
    Request::new("PUT", &format!("{POLICY}?wait={wait}"))
        .header("if-match", tag)
        .json(&json!({ "policy": document, "reason": "a test" }))
}

async fn ask(stack: &Stack) -> Response {
    stack.anon().get(REPORT).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_acts_at_the_edge_and_back() {
    let stack = Stack::start().await;
    assert_eq!(ask(&stack).await.status, 403, "no route");
    let (open, before) = with_reports(&stack, json!({"path": "/reports/**", "public": true})).await;
    let applied = stack
        .admin()
        .send(put(&open, &before, "effective"))
        .await
        .expect(200);
    assert_eq!(applied.json()["pending"], json!([]), "{}", applied.text());
    assert!(applied.json()["effective_at"].is_string(), "{}", applied.text());
    // After the receipt every gate goes by it.
    ask(&stack).await.expect(200);

    // Whoever worked on the version before is told so, and nothing happens.
    let stale = stack.admin().send(put(&open, &before, "none")).await.expect(412);
    assert_eq!(stale.json()["code"], "precondition_failed");

    // The same through the command line: a draft is checked, tested, applied; a mistake is named.
    let key = stack.folder().join("admin.key");
    fs::write(&key, &stack.admin_key).unwrap();
    let cli = |arguments: &[&str]| {
        let url = stack.control.url();
        let mut all = vec!["policy", "--url", &url, "--admin-key-file", key.to_str().unwrap()];
        all.extend(arguments);
        stack.control.run(&all)
    };
    let file = stack.folder().join("policy.json");
    let mut guarded = open.clone();
    guarded["routes"][0] = json!({"path": "/reports/**", "scopes": ["memory:read"]});
    fs::write(&file, guarded.to_string()).unwrap();
    let path = file.to_str().unwrap();
    assert!(cli(&["check", path]).unwrap().contains("it can be applied"));
    assert!(cli(&["diff", path]).unwrap().contains("changed"));
    let tried = cli(&[
        "test",
        "--path",
        REPORT,
        "--scope",
        "memory:read",
        "--policy",
        path,
    ]);
    assert!(tried.unwrap().contains("It passes"));
    cli(&["apply", path, "--reason", "reports are not for everybody"]).unwrap();
    assert_eq!(ask(&stack).await.status, 401, "a credential is asked for");
    fs::write(&file, r#"{"version":1,"routes":[{"pth":"/x"}]}"#).unwrap();
    let refused = cli(&["apply", path]).expect_err("mistakes").to_string();
    assert!(refused.contains("invalid_policy"), "{refused}");

    // And back to the first version.
    cli(&["rollback", "1"]).unwrap();
    let request = Request::get(REPORT).bearer(&stack.admin_key);
    let answer = stack.anon().send(request).await;
    assert_eq!(answer.status, 403, "no route any more, whoever asks");
    let history = cli(&["history"]).unwrap();
    for words in ["reports are not for everybody", "a test", "the first start"] {
        assert!(history.contains(words), "{words} in {history}");
    }
}

/// The process dies after the commit, before anybody was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_outlives_its_process() {
    let mut stack = Stack::with()
        .environment("TEST_PORTCULLIS_DIE_AT", DIE_AT)
        .start()
        .await;
    let (open, before) = with_reports(&stack, json!({"path": "/reports/**", "public": true})).await;
    let file = stack.control.folder().join(DIE_AT);
    fs::write(&file, "after_commit").unwrap();
    let (address, key) = (stack.control.address(), stack.admin_key.clone());
    let request = put(&open, &before, "effective").bearer(&key);
    let lost = e2e::http::once(&address, &request).await;
    assert!(lost.is_err(), "the answer was never sent");
    wait::until("the process has ended", Duration::from_secs(10), || {
        let ended = stack.control.process().and_then(Process::ended);
        async move { ended }
    })
    .await;
    assert_eq!(ask(&stack).await.status, 403, "nobody was told");
    fs::remove_file(file).unwrap();
    stack.control.restart().await.unwrap();
    let (now, tag) = current(&stack).await;
    assert_eq!((&now["version"], &now["policy"]), (&json!(2), &open));
    // Asked again for what is in force already: no change, and the receipt of the first time.
    let again = stack
        .admin()
        .send(put(&open, &tag, "effective"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&again["changed"], &again["pending"]),
        (&json!(false), &json!([])),
        "{again}"
    );
    ask(&stack).await.expect(200);
}

/// A second control plane on the same database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_control_planes_agree() {
    let stack = Stack::with().database(Database::Postgres).start().await;
    let port = Port::reserve();
    let first = stack.control.config();
    let own = |name: &str| first.folder.join(name).display().to_string();
    let environment = [
        ("PORTCULLIS_ISSUER", stack.control.url()),
        ("PORTCULLIS_MASTER_KEY_FILE", own("master.key")),
    ];
    let mut second = ControlPlane::prepare(ControlPlaneConfig {
        folder: stack.folder().join("second"),
        log: stack.logs().join("second.log"),
        port: port.number(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..first.clone()
    })
    .unwrap();
    second.serve().unwrap();
    second.wait().await.unwrap();
    let other = e2e::Admin::new(&second.address(), &stack.admin_key, stack.secrets.clone());

    // A change at one is in force at the other: a new scope can be given away there.
    let (mut open, before) =
        with_reports(&stack, json!({"path": "/reports/**", "scopes": ["reports:read"]})).await;
    open["scopes"].as_array_mut().unwrap().push(json!("reports:read"));
    let refused = json!({"name": "reports", "scopes": ["reports:read"], "environment": "live"});
    let make = Request::new("POST", "/v1/auth/keys").json(&refused);
    other.send(make.clone()).await.expect(400);
    stack
        .admin()
        .send(put(&open, &before, "effective"))
        .await
        .expect(200);
    let seen = other.send(Request::get(POLICY)).await.expect(200);
    assert_eq!(
        (&seen.json()["version"], seen.header("etag")),
        (&json!(2), Some("\"2\""))
    );
    let made = wait::until("the other follows", Duration::from_secs(5), || async {
        let answer = other.send(make.clone()).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    let key = other.created(&made).key;
    stack.caller(&key).get(REPORT).await.expect(200);

    // Of two writers at the same moment one is told that it is late.
    let drafts = ["/a", "/b"].map(|path| {
        let mut document = open.clone();
        let route = json!({"path": path, "scopes": ["admin"]});
        document["routes"].as_array_mut().unwrap().push(route);
        put(&document, "\"2\"", "ack")
    });
    let [a, b] = drafts;
    let here = stack.admin();
    let (a, b) = tokio::join!(here.send(a), other.send(b));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{} {}", a.text(), b.text());
    let (now, _) = current(&stack).await;
    let there = other.send(Request::get(POLICY)).await.expect(200).json();
    assert_eq!(now["policy"], there["policy"]);
    // A restart of the one that lost undoes nothing.
    second.restart().await.unwrap();
    let (after, _) = current(&stack).await;
    assert_eq!(
        (&after["version"], &after["policy"]),
        (&now["version"], &now["policy"])
    );
}
