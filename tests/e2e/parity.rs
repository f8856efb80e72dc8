//! Line 7: the same vectors give the same verdict natively and in workerd, byte for byte (I9). And a reader of the feed that
//! shares no code with ours comes to the same states.

use std::process::Command;

use e2e::{Request, Stack, files};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_vectors_give_the_same_bytes_natively_and_in_workerd() {
    portcullis_edge::es512::install();
    let vectors = std::fs::read(files::root().join("shared/vectors/verdicts.json")).unwrap();
    let native =
        serde_json::to_value(edge::validator::vectors::run(&vectors).expect("usable vectors")).unwrap();

    let stack = Stack::with().test_routes().start().await;
    let request = Request::new("POST", "/.portcullis/test/vectors").body(&vectors);
    let in_workerd = stack.anon().send(request).await.expect(200);
    assert_eq!(in_workerd.text(), native.to_string());

    // And both are what the file expects.
    let file: Value = serde_json::from_slice(&vectors).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let outcomes = native.as_array().unwrap();
    assert_eq!(cases.len(), outcomes.len());
    assert!(cases.len() >= 50, "{} cases", cases.len());
    for (case, outcome) in cases.iter().zip(outcomes) {
        assert_eq!(case["expected"], outcome["reason"], "{}", case["name"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proofs_give_the_same_bytes_natively_and_in_workerd() {
    let vectors = std::fs::read(files::root().join("shared/vectors/dpop.json")).unwrap();
    let native = serde_json::to_value(shared::dpop::vectors::run(&vectors).expect("usable vectors")).unwrap();
    let stack = Stack::with().test_routes().start().await;
    let request = Request::new("POST", "/.portcullis/test/proofs").body(&vectors);
    let in_workerd = stack.anon().send(request).await.expect(200);
    assert_eq!(in_workerd.text(), native.to_string());
    let file: Value = serde_json::from_slice(&vectors).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 70, "{} cases", cases.len());
    for (case, outcome) in cases.iter().zip(native.as_array().unwrap()) {
        assert_eq!(case["expected"], outcome["result"], "{}", case["name"]);
    }
}

/// `tests/reader/feed.ts` was written from the description of the format alone.
#[test]
fn an_independent_reader_of_the_feed_comes_to_the_same_states() {
    let read = |file: &std::path::Path| {
        Command::new(files::root().join("node_modules/.bin/node"))
            .arg("--no-warnings")
            .args([&files::root().join("tests/reader/check.ts"), file])
            .output()
            .unwrap()
    };
    let vectors = files::root().join("shared/vectors/feed_chain.json");
    let output = read(&vectors);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.ends_with(" 0 disagreements\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // And it would say so if it did not.
    let mut told: Value = serde_json::from_slice(&std::fs::read(&vectors).unwrap()).unwrap();
    told["steps"][5]["state_digest"] = told["steps"][4]["state_digest"].clone();
    told["steps"][6]["outcome"] = "gap".into();
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("chain.json");
    std::fs::write(&changed, told.to_string()).unwrap();
    let output = read(&changed);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains(", 2 disagreements"));
}

/// What is built for deployment has no test routes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_that_is_deployed_has_no_test_routes() {
    let stack = Stack::start().await;
    for path in [
        "/.portcullis/test/vectors",
        "/.portcullis/test/proofs",
        "/.portcullis/test/panic",
    ] {
        assert_eq!(stack.anon().get(path).await.status, 404, "{path}");
    }
}
