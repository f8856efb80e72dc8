//! Line 10: the curls of the users' guide, word for word, against the edge's one host. With curl itself.

use std::process::Command;

use e2e::Stack;
use serde_json::Value;

/// Status and body of one curl.
async fn curl(args: &[&str]) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-s", "-w", "\n%{http_code}"]).args(args);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("the guide needs curl");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_curls_of_the_guide_work_verbatim_on_one_host() {
    let stack = Stack::start().await;
    let edge = stack.edge_url();
    let admin = format!("Authorization: Bearer {}", stack.admin_key);

    let body = r#"{"name":"example","scope":"read","workspace":"all","environment":"live"}"#;
    let create = ["-X", "POST", &format!("{edge}/v1/auth/keys"), "-H", &admin];
    let (status, text) =
        curl(&[&create[..], &["-H", "Content-Type: application/json", "-d", body]].concat()).await;
    assert_eq!(status, 201, "{text}");
    let created: Value = serde_json::from_str(&text).unwrap();
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    stack.secrets.saw(key);

    let live = format!("Authorization: Bearer {key}");
    let retrieve = format!("{edge}/v1/memory/retrieve?q=example");
    let (status, text) = curl(&[&retrieve, "-H", &live]).await;
    assert_eq!(status, 200, "{text}");
    let echoed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (echoed["path"].as_str(), echoed["query"].as_str()),
        (Some("/v1/memory/retrieve"), Some("q=example"))
    );

    let revoke = format!("{edge}/v1/auth/keys/{id}");
    // A read key administers nothing, not even itself.
    let (status, text) = curl(&["-X", "DELETE", &revoke, "-H", &live]).await;
    assert_eq!(status, 403, "{text}");
    let (status, text) = curl(&["-X", "DELETE", &revoke, "-H", &admin]).await;
    assert_eq!(status, 200, "{text}");
    assert!(
        stack
            .origin
            .take()
            .iter()
            .all(|seen| !seen.path.starts_with("/v1/auth")),
        "routed to the control plane"
    );

    let (status, text) = curl(&[&retrieve, "-H", &live]).await;
    assert_eq!(status, 401, "{text}");
}
