//! Keys and tokens inherit from the person they act for: another role, a suspension, a deactivation reach every one of
//! theirs with the receipt.

use control_plane::orgs::password;
use control_plane::store::Store;
use control_plane::store::orgs::{NewUser, Role};
use e2e::{Database, Request, Response, Stack};
use serde_json::{Value, json};
use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;

use crate::oauth::App;
use crate::support::{assert_invalid_token, on_both_databases};

on_both_databases!(a_role_reaches_every_key_and_token, a_deactivation_ends_them_all);

const PATH: &str = "/v1/memory/x";
const EMAIL: &str = "bob@example.com";
const PASSWORD: &str = "a password of some length";

/// An administrator besides the first: with a key, and with an app in which they signed in.
struct Bob<'a> {
    stack: &'a Stack,
    id: UserId,
    key: String,
    app: App<'a>,
    access: String,
    refresh: String,
}

impl<'a> Bob<'a> {
    async fn join(stack: &'a Stack) -> Self {
        stack.secrets.saw(PASSWORD);
        let id = UserId::from_u64(71).expect("small");
        add(stack, id).await;
        let body = json!({"name": "Bob's", "scope": "admin", "user": id});
        let key = stack.admin().create(body).await.key;
        let mut app = App::create(stack, "memory:read memory:write admin");
        app.sign_in(EMAIL, PASSWORD).await.expect(303);
        let code = app.code().await;
        let (access, refresh) = app.tokens(app.exchange(&code).await);
        Self {
            stack,
            id,
            key,
            app,
            access,
            refresh,
        }
    }

    /// What the first administrator does to them, and the receipt.
    async fn is(&self, action: &str) -> Value {
        let path = format!("/v1/memberships/{}/{action}", self.id);
        self.receipt(self.stack.admin().send(Request::new("POST", &path)).await)
    }

    async fn becomes(&self, role: &str) -> Value {
        let request = Request::new("PATCH", &format!("/v1/memberships/{}", self.id));
        let answer = self
            .stack
            .admin()
            .send(request.json(&json!({"role": role})))
            .await;
        self.receipt(answer)
    }

    fn receipt(&self, answer: Response) -> Value {
        let receipt = answer.expect(200).json();
        assert_eq!(receipt["user"], self.id.to_string());
        assert_eq!(receipt["acknowledged"], json!(["hub/weur"]), "{receipt}");
        assert!(receipt["effective_at"].is_string(), "{receipt}");
        receipt
    }

    /// What reading, writing and administering give with a credential, at the edge.
    async fn reach(&self, credential: &str) -> [u16; 3] {
        let caller = self.stack.caller(credential);
        [
            caller.get(PATH).await.status,
            caller.post(PATH, "x").await.status,
            caller.get("/admin/x").await.status,
        ]
    }

    async fn refreshed(&mut self) -> (String, String) {
        let answer = self.app.refresh(&self.refresh).await.expect(200);
        let scope = answer.json()["scope"].as_str().expect("a scope").to_owned();
        let (access, refresh) = self.app.tokens(answer);
        self.refresh = refresh;
        (access, scope)
    }
}

/// A member with a password. Invitations are not what is tested here: straight into the database.
async fn add(stack: &Stack, id: UserId) {
    let store = Store::connect(&stack.control.database_url())
        .await
        .expect("the database");
    let hash = password::hash(PASSWORD.into()).await.expect("hashed");
    let user = NewUser {
        id,
        email: EMAIL,
        name: "Bob",
        password_hash: Some(&hash),
    };
    let now = UnixMillis(crate::support::unix_now() * 1000);
    let mut tx = store.begin().await.expect("a transaction");
    let org: OrgId = tx.first_org().await.expect("asked").expect("one");
    tx.insert_user(&user, now).await.expect("a user");
    tx.insert_membership(org, id, Role::Admin, now)
        .await
        .expect("a membership");
    tx.commit().await.expect("committed");
    store.close().await;
}

async fn a_role_reaches_every_key_and_token(database: Database) {
    let stack = Stack::with().database(database).start().await;
    let mut bob = Bob::join(&stack).await;
    for credential in [&bob.key, &bob.access] {
        assert_eq!(bob.reach(credential).await, [200, 200, 200]);
    }

    bob.becomes("viewer").await;
    for credential in [&bob.key, &bob.access] {
        assert_eq!(
            bob.reach(credential).await,
            [200, 403, 403],
            "reading is what is left"
        );
        let refused = stack.caller(credential).post(PATH, "x").await;
        assert_eq!(refused.json()["code"], "insufficient_scope");
    }
    let (lesser, scope) = bob.refreshed().await;
    assert_eq!(scope, "openid memory:read", "nor does a refresh give more");
    let keys = stack
        .admin_with(&bob.key)
        .send(Request::get("/v1/auth/keys"))
        .await;
    assert_eq!(keys.status, 403, "the control plane goes by it too");

    bob.becomes("admin").await;
    for credential in [&bob.key, &bob.access] {
        assert_eq!(bob.reach(credential).await, [200, 200, 200], "as before");
    }
    assert_eq!(
        bob.reach(&lesser).await,
        [200, 403, 403],
        "never above what the token itself says"
    );

    assert_eq!(bob.is("suspend").await["state"], "suspended");
    for credential in [&bob.key, &bob.access] {
        assert_eq!(bob.reach(credential).await, [403, 403, 403]);
    }
    let refused = bob.app.refresh(&bob.refresh).await.expect(400);
    assert_eq!(refused.json()["error"], "invalid_grant");
    bob.app.elsewhere().sign_in(EMAIL, PASSWORD).await.expect(422);
    let body = json!({"name": "another", "scope": "read", "user": bob.id});
    let create = Request::new("POST", "/v1/auth/keys").json(&body);
    stack.admin().send(create).await.expect(400);
    stack.caller(&stack.admin_key).get(PATH).await.expect(200);

    bob.is("resume").await;
    for credential in [&bob.key, &bob.access] {
        assert_eq!(bob.reach(credential).await, [200, 200, 200], "nothing was ended");
    }
    let (fresh, _) = bob.refreshed().await;
    assert_eq!(bob.reach(&fresh).await, [200, 200, 200]);
}

async fn a_deactivation_ends_them_all(database: Database) {
    let stack = Stack::with().database(database).start().await;
    let mut bob = Bob::join(&stack).await;
    let (second, _) = bob.refreshed().await;
    let client = crate::jwt::Client::create(&stack, "memory:read");
    let machine = client.token(&stack).await;
    assert_eq!(bob.is("deactivate").await["state"], "deactivated");
    let credentials = [&bob.key, &bob.access, &second];
    for credential in credentials {
        assert_invalid_token(
            &stack.caller(credential).get(PATH).await,
            "after the deactivation",
        );
    }
    bob.app.refresh(&bob.refresh).await.expect(400);
    bob.app.elsewhere().sign_in(EMAIL, PASSWORD).await.expect(422);
    for other in [&stack.admin_key, &machine] {
        stack.caller(other).get(PATH).await.expect(200);
    }
    // Only the block is lifted.
    bob.is("resume").await;
    for credential in credentials {
        assert_invalid_token(&stack.caller(credential).get(PATH).await, "dead for good");
    }
    bob.app.refresh(&bob.refresh).await.expect(400);
    bob.app.sign_in(EMAIL, PASSWORD).await.expect(303);
    let code = bob.app.code().await;
    let (access, _) = bob.app.tokens(bob.app.exchange(&code).await);
    assert_eq!(bob.reach(&access).await, [200, 200, 200]);
}

/// The command line does the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_on_the_command_line() {
    let stack = Stack::start().await;
    let id = UserId::from_u64(71).expect("small");
    add(&stack, id).await;
    let run = |args: &[&str]| {
        let mut command = stack
            .control
            .command(&["--format", "json", "members"])
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
    let user = id.to_string();
    let (code, list) = run(&["list"]);
    assert_eq!(
        (code, list.as_array().map(Vec::len)),
        (Some(0), Some(2)),
        "{list}"
    );
    for (args, name, value) in [
        (vec!["role", user.as_str(), "viewer"], "role", "viewer"),
        (vec!["suspend", &user], "state", "suspended"),
        (vec!["resume", &user], "state", "active"),
        (vec!["deactivate", &user], "state", "deactivated"),
    ] {
        let (code, receipt) = run(&args);
        assert_eq!(
            (code, receipt[name].as_str()),
            (Some(0), Some(value)),
            "{args:?}: {receipt}"
        );
    }
    let owner = list
        .as_array()
        .and_then(|list| list.iter().find(|member| member["role"] == "owner"));
    let owner = owner.and_then(|owner| owner["user"].as_str()).expect("an owner");
    assert_eq!(run(&["suspend", owner]).0, Some(1), "the last owner");
}
