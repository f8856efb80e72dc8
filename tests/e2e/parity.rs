//! Line 7: the same vectors give the same verdict natively and in workerd, byte for byte (I9).

use e2e::{Request, Stack, files};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_vectors_give_the_same_bytes_natively_and_in_workerd() {
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
