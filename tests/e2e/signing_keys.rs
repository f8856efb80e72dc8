//! Our own signing keys are replaced while everything runs: what they signed goes on counting, and there is no moment in
//! which a new credential does not work at once.

use std::time::Duration;

use control_plane::signing::Purpose;
use e2e::{Stack, wait};
use serde_json::Value;

use crate::{
    jwt::Client,
    oracle::{Oracle, part},
};

const PATH: &str = "/v1/memory/x";

/// The state of a signing key, by the command line.
fn state_of(stack: &Stack, kid: &str) -> String {
    let list = stack
        .control
        .run(&["--format", "json", "keys", "signing", "list"])
        .expect("a list");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let keys = list.as_array().expect("an array");
    let key = keys.iter().find(|key| key["kid"] == kid).expect("the key");
    key["state"].as_str().expect("a state").to_owned()
}

fn rotate(stack: &Stack, purpose: &str) -> String {
    let made = stack
        .control
        .run(&[
            "--format",
            "json",
            "keys",
            "signing",
            "rotate",
            "--purpose",
            purpose,
        ])
        .expect("a new key");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    made["new_signing_key"].as_str().expect("a kid").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_keys_work_at_once_before_while_and_after_their_signing_key_is_replaced() {
    let stack = Stack::with().gates(2).start().await;
    let before = stack.admin().key("read").await;
    let old = Oracle::open(&stack).await.key(Purpose::ApiKey).id;
    let kid = rotate(&stack, "api-key");
    assert_ne!(kid, old.kid());
    assert_eq!(
        state_of(&stack, &kid),
        "pending",
        "it must not sign before the edge knows it"
    );
    wait::until_true("the new key signs", Duration::from_secs(30), || async {
        // Whoever signs just now: it works at its first use.
        let key = stack.admin().key("read").await;
        stack.caller(&key.key).get(PATH).await.expect(200);
        stack.caller_at(1, &key.key).get(PATH).await.expect(200);
        state_of(&stack, &kid) == "active"
    })
    .await;
    assert_eq!(state_of(&stack, &old.kid()), "retired");

    let after = stack.admin().key("read").await;
    let signed_by = shared::key::parse(&after.key)
        .expect("a key")
        .statement
        .signing_key;
    assert_eq!(signed_by.kid(), kid);
    for key in [&before, &after] {
        stack.caller(&key.key).get(PATH).await.expect(200);
        stack.admin().revoke(&key.id, None).await.expect(200);
        stack.caller(&key.key).get(PATH).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_work_at_once_before_while_and_after_their_signing_key_is_replaced() {
    let stack = Stack::start().await;
    let client = Client::create(&stack, "memory:read");
    let before = client.token(&stack).await;
    let kid = rotate(&stack, "access-token");
    let after = wait::until("the new key signs", Duration::from_secs(30), || async {
        // Published before it signs: nobody who verifies with the key set meets a token whose key is not there.
        let published = stack.anon_at_control().get("/.well-known/jwks.json").await.text();
        let token = client.token(&stack).await;
        let signed_by = part(&token, 0)["kid"].to_string();
        assert!(published.contains(&signed_by), "{signed_by} in {published}");
        stack.caller(&token).get(PATH).await.expect(200);
        (part(&token, 0)["kid"] == kid.as_str()).then_some(token)
    })
    .await;
    for token in [&before, &after] {
        stack.caller(token).get(PATH).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_goes_on_under_a_new_feed_key() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    rotate(&stack, "feed");
    stack.admin().revoke(&key.id, None).await.expect(200);
    stack.caller(&key.key).get(PATH).await.expect(401);
    let alive = stack.admin().key("read").await;
    stack.caller(&alive.key).get(PATH).await.expect(200);
}
