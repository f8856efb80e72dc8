//! No secret is in any log, and nothing from which one could be made is stored (I2). Every stack checks its logs when it
//! ends; this module makes one that has something to find.

use e2e::{Request, Secrets, Stack, contains, files_below};
use serde_json::json;

use crate::jwt::Client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_reaches_a_log_or_the_disk() {
    let mut stack = Stack::start().await;
    let admin = stack.admin();
    // Everything that can be issued, used, misused and refused.
    let key = admin.key("read-write").await;
    let rotated = admin.rotate(&key.id, Some(60)).await;
    let client = Client::create(&stack, "memory:read");
    let token = client.token(&stack).await;
    for credential in [&key.key, &rotated.key, &token] {
        stack.caller(credential).get("/v1/memory/x").await;
        stack.caller(credential).post("/v1/memory/x", "body").await;
        stack.caller(credential).get("/public/..%2fadmin").await;
        stack.caller(&format!("{credential}x")).get("/v1/memory/x").await;
        stack
            .admin_with(credential)
            .send(Request::get("/v1/auth/keys"))
            .await;
        // In places where it should not be.
        stack
            .anon()
            .get(&format!("/public/{credential}?access_token={credential}"))
            .await;
        stack
            .anon_at_control()
            .get(&format!("/v1/auth/keys/{credential}?key={credential}"))
            .await;
        stack
            .anon_at_control()
            .get(&format!("/nowhere/{credential}"))
            .await;
        let body = json!({ "name": "x", "scope": credential, "environment": credential, credential: 1 });
        admin
            .send(Request::new("POST", "/v1/auth/keys").json(&body))
            .await;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", credential),
            ("client_secret", credential),
        ];
        stack
            .anon_at_control()
            .send(Request::new("POST", "/token").form(&form))
            .await;
        let basic = Request::new("POST", "/token").header("authorization", format!("Basic {credential}"));
        stack
            .anon_at_control()
            .send(basic.form(&[("grant_type", "client_credentials")]))
            .await;
    }
    admin.revoke(&rotated.id, None).await.expect(200);
    assert!(
        stack.secrets.count() >= 5,
        "admin key, two keys, client secret, token"
    );

    // Positive control: there is a log, and the search finds what is in it.
    let log = std::fs::read_to_string(stack.logs().join("control-plane.log")).unwrap();
    assert!(
        log.lines().count() > 10,
        "the control plane logs its requests: {log}"
    );
    let planted = Secrets::default();
    planted.saw(log.lines().last().unwrap());
    assert!(!planted.leaks(&stack.logs()).is_empty());

    // The databases of both sides, with everything flushed. The first start's file is where its key belongs.
    stack.control.stop();
    stack.edge.process().stop();
    let stored: Vec<_> = files_below(stack.folder())
        .into_iter()
        .filter(|file| !file.ends_with("bootstrap.json"))
        .collect();
    assert!(
        stored
            .iter()
            .any(|file| file.to_string_lossy().contains("portcullis.db")),
        "{stored:?}"
    );
    for secret in [&key.key, &rotated.key, &token, &client.secret, &stack.admin_key] {
        for file in &stored {
            assert!(
                !contains(&std::fs::read(file).unwrap(), secret.as_bytes()),
                "a secret is in {}",
                file.display()
            );
        }
    }
}
