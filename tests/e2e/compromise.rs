//! Somebody else has a credential: what the operator then does reaches everything that was made of it.

use std::time::Duration;

use e2e::{Request, Stack, wait};
use serde_json::{Value, json};

use crate::{jwt::Client, support::assert_invalid_token};

const PATH: &str = "/v1/memory/x";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_thief_made_of_a_key_or_a_client_dies_too() {
    let stack = Stack::start().await;

    // A key: whoever has it rotates it, at once and without an administrator.
    let old = stack.admin().key("read").await;
    let rotate = Request::new("POST", "/v1/auth/keys/self/rotate").json(&json!({}));
    let stolen = stack.admin().created(&stack.caller(&old.key).send(rotate).await);
    stack.caller(&stolen.key).get(PATH).await.expect(200);
    let revoke = async |reason: &str| {
        let path = format!("/v1/auth/keys/{}?reason={reason}", old.id);
        let receipt = stack.admin().send(Request::new("DELETE", &path)).await;
        receipt.expect(200).json()
    };
    let receipt = revoke("unspecified").await;
    assert_eq!(receipt["live_successors"], json!([stolen.id]), "{receipt}");
    stack.caller(&old.key).get(PATH).await.expect(401);
    stack.caller(&stolen.key).get(PATH).await.expect(200);
    let receipt = revoke("key_compromise").await;
    assert_eq!(receipt["live_successors"], json!([]), "{receipt}");
    assert_eq!(receipt["acknowledged"], json!(["hub/weur"]), "{receipt}");
    for key in [&old.key, &stolen.key] {
        assert_invalid_token(&stack.caller(key).get(PATH).await, "after the receipt");
    }

    // A client: the token that it has is refused, and there is no other.
    let client = Client::create(&stack, "memory:read");
    let other = Client::create(&stack, "memory:read");
    let (token, others) = (client.token(&stack).await, other.token(&stack).await);
    stack.caller(&token).get(PATH).await.expect(200);
    let args = [
        "--format",
        "json",
        "clients",
        "installation",
        "disable",
        &client.id,
    ];
    let receipt: Value = serde_json::from_str(&stack.control.run(&args).expect("a receipt")).expect("JSON");
    assert_eq!(receipt["acknowledged"], json!(["hub/weur"]), "{receipt}");
    assert_invalid_token(&stack.caller(&token).get(PATH).await, "after the receipt");
    stack.caller(&others).get(PATH).await.expect(200);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &*client.id),
        ("client_secret", &*client.secret),
    ];
    let refused = stack
        .anon_at_control()
        .send(Request::new("POST", "/token").form(&form))
        .await;
    assert_eq!(refused.expect(401).json()["error"], "invalid_client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compromised_signing_key_takes_everything_with_it_but_the_new_admin_key() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let args = [
        "--format",
        "json",
        "keys",
        "signing",
        "rotate",
        "--purpose",
        "api-key",
        "--compromised",
    ];
    let done: Value = serde_json::from_str(&stack.control.run(&args).expect("a new key")).expect("JSON");
    let admin_key = done["admin_key"].as_str().expect("an admin key");
    stack.secrets.saw(admin_key);
    let admin = stack.caller(admin_key);
    wait::until_true("the edge knows the new key", Duration::from_secs(20), || async {
        admin.get(PATH).await.status == 200
    })
    .await;
    for dead in [&key.key, &stack.admin_key] {
        assert_invalid_token(&stack.caller(dead).get(PATH).await, "signed by the removed key");
    }
    let fresh = stack.admin_with(admin_key).key("read").await;
    stack.caller(&fresh.key).get(PATH).await.expect(200);
}
