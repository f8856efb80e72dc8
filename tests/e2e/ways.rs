//! Every way to revoke reaches the edge by its receipt: a client, a person, a session, the organisation, all that match, what
//! a holder gives up; and a quarantine takes rights away for as long as it lasts.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::store::Store;
use e2e::{Database, Request, Response, Stack};
use serde_json::{Value, json};

use crate::jwt::Client;
use crate::oauth::{App, administrator};
use crate::support::{assert_invalid_token, on_both_databases};

const PATH: &str = "/v1/memory/x";

on_both_databases!(
    each_target_is_dead_by_its_receipt,
    everything_of_an_organisation_is_dead_by_its_receipt
);

async fn revocation(stack: &Stack, key: &str, body: Value) -> Response {
    stack
        .admin_with(key)
        .send(Request::new("POST", "/v1/revocations").json(&body))
        .await
}

async fn revoke(stack: &Stack, kind: &str, id: &str) -> Value {
    let body = json!({"target": {kind: id}, "reason": "key_compromise"});
    receipt(revocation(stack, &stack.admin_key, body).await)
}

fn receipt(answer: Response) -> Value {
    let receipt = answer.expect(200).json();
    assert_eq!(receipt["acknowledged"], json!(["hub/weur"]), "{receipt}");
    assert!(receipt["effective_at"].is_string(), "{receipt}");
    receipt
}

/// The first administrator in an app.
async fn signed_in(stack: &Stack) -> App<'_> {
    let (email, password) = administrator(stack);
    let mut app = App::create(stack, "memory:read");
    app.sign_in(&email, &password).await.expect(303);
    app
}

async fn tokens(app: &mut App<'_>) -> (String, String) {
    let code = app.code().await;
    app.tokens(app.exchange(&code).await)
}

/// A claim of an access token.
fn claim(token: &str, name: &str) -> String {
    let part = token.split('.').nth(1).expect("claims");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let claims: Value = serde_json::from_slice(&bytes).expect("JSON");
    claims[name].as_str().expect("text").to_owned()
}

/// At a default route and at a strict one.
async fn assert_dead(stack: &Stack, credential: &str, why: &str) {
    for path in [PATH, "/admin/x"] {
        assert_invalid_token(&stack.caller(credential).get(path).await, why);
    }
}

async fn assert_alive(stack: &Stack, credential: &str) {
    stack.caller(credential).get(PATH).await.expect(200);
}

async fn each_target_is_dead_by_its_receipt(database: Database) {
    let stack = Stack::with().database(database).start().await;
    // A client: its own tokens and people's; it goes on at once.
    let machine = Client::create(&stack, "memory:read");
    let (own, other) = (machine.token(&stack).await, stack.admin().key("read").await);
    let mut app = signed_in(&stack).await;
    let (access, refresh) = tokens(&mut app).await;
    for credential in [&own, &other.key, &access] {
        assert_alive(&stack, credential).await;
    }
    revoke(&stack, "client", &claim(&own, "client_id")).await;
    assert_dead(&stack, &own, "its client was revoked").await;
    assert_alive(&stack, &access).await;
    assert_alive(&stack, &machine.token(&stack).await).await;
    revoke(&stack, "client", &app.client_id).await;
    assert_dead(&stack, &access, "its client was revoked").await;
    app.refresh(&refresh).await.expect(400);

    // A session: what came of it, and the sign-in itself.
    let (access, refresh) = tokens(&mut app).await;
    assert_alive(&stack, &access).await;
    revoke(&stack, "session", &claim(&access, "sid")).await;
    assert_dead(&stack, &access, "its session was revoked").await;
    app.refresh(&refresh).await.expect(400);

    // All that match, in one go.
    let mut keys = Vec::new();
    for number in 0..3 {
        let body = json!({"name": format!("ci-{number}"), "scope": "read"});
        keys.push(stack.admin().create(body).await.key);
    }
    let body = json!({"filter": {"name_prefix": "CI-"}, "reason": "superseded"});
    let done = receipt(revocation(&stack, &stack.admin_key, body).await);
    assert_eq!(done["revoked"]["keys"], 3, "{done}");
    for key in &keys {
        assert_dead(&stack, key, "it matched").await;
    }

    // What its holder gives up, through the edge as well.
    let leaked = stack.admin().key("read").await;
    let give_up = Request::new("POST", "/v1/auth/self-revoke");
    receipt(stack.caller(&leaked.key).send(give_up).await);
    assert_dead(&stack, &leaked.key, "it was given up").await;
    assert_alive(&stack, &other.key).await;

    // Everything of a person, the calling key among it.
    let mut app = signed_in(&stack).await;
    let (access, refresh) = tokens(&mut app).await;
    let second = stack.admin().key("admin").await;
    let user = claim(&access, "sub");
    revoke(&stack, "user", &user).await;
    for credential in [&access, &other.key, &second.key, &stack.admin_key] {
        assert_dead(&stack, credential, "its person was revoked").await;
    }
    app.refresh(&refresh).await.expect(400);
    let (email, password) = administrator(&stack);
    app.sign_in(&email, &password).await.expect(303);
    let (fresh, _) = tokens(&mut app).await;
    assert_alive(&stack, &fresh).await;
}

async fn everything_of_an_organisation_is_dead_by_its_receipt(database: Database) {
    let stack = Stack::with().database(database).start().await;
    let machine = Client::create(&stack, "memory:read").token(&stack).await;
    let mut app = signed_in(&stack).await;
    let (access, _) = tokens(&mut app).await;
    let key = stack.admin().key("read").await.key;
    let store = Store::connect(&stack.control.database_url())
        .await
        .expect("the database");
    let org = store
        .begin_read()
        .await
        .expect("tx")
        .first_org()
        .await
        .expect("asked")
        .expect("one");
    store.close().await;
    let done = revoke(&stack, "org", &org.to_string()).await;
    assert_eq!(done["revoked"]["grants"], 1, "{done}");
    for credential in [&machine, &access, &key, &stack.admin_key] {
        assert_dead(&stack, credential, "its organisation was revoked").await;
    }
    // The way back, at the machine.
    let made = stack
        .control
        .run(&["--format", "json", "keys", "admin", "--org", &org.to_string()])
        .expect("a key");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let fresh = made["admin_key"].as_str().expect("text");
    stack.secrets.saw(fresh);
    assert_alive(&stack, fresh).await;
}

/// A ceiling on one key: fewer rights at the edge and at the control plane, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_lasts_until_the_release() {
    let stack = Stack::start().await;
    let key = stack.admin().key("admin").await;
    let caller = stack.caller(&key.key);
    let reach = async || {
        [
            caller.get(PATH).await.status,
            caller.post(PATH, "x").await.status,
            caller.get("/admin/x").await.status,
            stack
                .admin_with(&key.key)
                .send(Request::get("/v1/auth/keys"))
                .await
                .status,
        ]
    };
    let change = async |action: &str, body: Value| {
        let path = format!("/v1/auth/keys/{}/{action}", key.id);
        let request = Request::new("POST", &path).json(&body);
        receipt(stack.admin().send(request).await)
    };
    assert_eq!(reach().await, [200; 4]);
    change("quarantine", json!({"ceiling": "read"})).await;
    assert_eq!(reach().await, [200, 403, 403, 403]);
    change("quarantine", json!({"ceiling": "none"})).await;
    assert_eq!(reach().await, [403; 4]);
    let released = change("release", json!({})).await;
    assert_eq!(released["quarantined"], Value::Null);
    assert_eq!(reach().await, [200; 4]);
}

/// The command line does the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_command_line() {
    let stack = Stack::start().await;
    let run = |args: &[&str]| {
        let mut command = stack
            .control
            .command(&["--format", "json", "revoke"])
            .expect("a command");
        command
            .args(args)
            .env("PORTCULLIS_URL", stack.control.url())
            .env("PORTCULLIS_ADMIN_KEY", &stack.admin_key);
        let done = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        (
            done.status.code(),
            serde_json::from_str::<Value>(&text).unwrap_or_default(),
        )
    };
    let key = stack.admin().key("read").await;
    let counted = run(&["where", "--kind", "keys", "--scope", "memory:read", "--dry-run"]);
    assert_eq!(counted.0, Some(0));
    assert_eq!(counted.1["matched"]["keys"], 1, "{}", counted.1);
    assert_eq!(run(&["where"]).0, Some(1), "no condition");
    let (code, done) = run(&["key", &key.id, "--reason", "superseded"]);
    assert_eq!(
        (code, done["reason"].as_str()),
        (Some(0), Some("superseded")),
        "{done}"
    );
    assert_dead(&stack, &key.key, "it was revoked").await;
    assert_eq!(run(&["client", "cli_000000001"]).0, Some(4), "not there");
    assert_eq!(run(&["signing-key", "three"]).0, Some(2));

    // The signer of access tokens: all of them.
    let machine = Client::create(&stack, "memory:read").token(&stack).await;
    assert_alive(&stack, &machine).await;
    let list = stack
        .control
        .run(&["--format", "json", "keys", "signing", "list"])
        .expect("a list");
    let list: Vec<Value> = serde_json::from_str(&list).expect("JSON");
    let signer = list
        .iter()
        .find(|key| key["purpose"] == "access_token" && key["state"] == "active");
    let kid = signer.expect("one")["kid"].as_str().expect("text");
    let (code, done) = run(&["signing-key", kid]);
    assert_eq!((code, &done["pending"]), (Some(0), &json!([])), "{done}");
    assert_dead(&stack, &machine, "its signer was revoked").await;
    let (code, again) = run(&["signing-key", kid]);
    assert_eq!(
        (code, &again["effective_at"]),
        (Some(0), &done["effective_at"]),
        "the same receipt"
    );

    // Everything, and a key to begin with.
    let (code, done) = run(&["issuer", &stack.control.url()]);
    assert_eq!((code, &done["pending"]), (Some(0), &json!([])), "{done}");
    assert_dead(&stack, &stack.admin_key, "everything was revoked").await;
    let fresh = done["admin_key"].as_str().expect("a key");
    stack.secrets.saw(fresh);
    assert_alive(&stack, fresh).await;
}
