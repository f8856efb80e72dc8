//! `portcullis doctor` against the real thing: everything is right, and it sees what goes wrong.

use std::process::{Output, Stdio};

use e2e::Stack;
use serde_json::Value;

/// `portcullis doctor <args>`, as an operator runs it.
async fn doctor(stack: &Stack, args: &[&str]) -> Output {
    let mut command = stack
        .control
        .command(&[&["doctor"], args].concat())
        .expect("the program");
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("doctor runs")
}

fn failed(output: &Output) -> Vec<String> {
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let checks = report["checks"].as_array().expect("checks");
    assert!(!checks.is_empty());
    let failed = checks.iter().filter(|check| check["ok"] == false);
    failed
        .map(|check| {
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("name"), text("found"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_deployment_passes_and_a_dead_server_does_not() {
    let mut stack = Stack::start().await;
    e2e::wait::until_true(
        "the first heartbeat",
        std::time::Duration::from_secs(10),
        || async {
            let health = stack.anon().get("/.portcullis/health").await.json();
            health["feed_age_ms"].is_u64()
        },
    )
    .await;
    let healthy = doctor(&stack, &["--json"]).await;
    assert_eq!(failed(&healthy), [""; 0]);
    assert_eq!(healthy.status.code(), Some(0));
    // For people: one line each.
    let printed = doctor(&stack, &[]).await;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        text.lines().rev().skip(1).all(|line| line.starts_with("✓ ")),
        "{text}"
    );
    // A slash too many is found by comparing bytes.
    let issuer = format!("{}/", stack.control.url());
    let slash = doctor(&stack, &["--json", "--issuer", &issuer]).await;
    let seen = failed(&slash);
    assert_eq!(slash.status.code(), Some(1));
    for check in ["issuer: ", "issuer in oauth-authorization-server: "] {
        assert!(
            seen.iter().any(|line| line.starts_with(check)),
            "{check} in {seen:?}"
        );
    }
    stack.control.stop();
    let dead = doctor(&stack, &["--json"]).await;
    assert_eq!(dead.status.code(), Some(1));
    assert!(
        failed(&dead)
            .iter()
            .any(|line| line.contains("TLS of the issuer"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_client_s_id_its_own_redirect_rules_are_tried() {
    let stack = Stack::start().await;
    let created = stack
        .client(
            "Notes",
            &[
                "--public",
                "--redirect-uri",
                "https://app.example.com/callback",
                "--scopes",
                "memory:read",
            ],
        )
        .expect("a client");
    let id = created["client_id"].as_str().expect("an id");
    let output = doctor(&stack, &["--json", "--client-id", id]).await;
    assert_eq!(failed(&output), [""; 0]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("with a real client"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_of_an_mcp_client_is_open() {
    let stack = Stack::start().await;
    let url = format!("{}/v1/memory/mcp", stack.edge_url());
    let output = doctor(&stack, &["mcp", &url, "--json"]).await;
    assert_eq!(failed(&output), [""; 0]);
    let public = format!("{}/public/mcp", stack.edge_url());
    let output = doctor(&stack, &["mcp", &public, "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        failed(&output)[0].contains("challenge"),
        "a public route asks for no token"
    );
}
