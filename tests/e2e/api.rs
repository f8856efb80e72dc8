//! The API against its own description: schemathesis calls every operation with whatever the description admits and forbids,
//! and holds the answers against it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use e2e::{Admin, Person, Request, Stack, files};
use serde_json::{Value, json};

use crate::issuers::Theirs;

/// Fixed, so that every run tries the same.
const SEED: &str = "20261122";
/// Cases for each operation and phase.
const EXAMPLES: &str = "6";

/// Operations that end the very key that they are called with, sooner or later: each gets a run and a key of its own.
const ENDING: [&str; 2] = [
    // Reports the key as leaked, and is taken at its word.
    "keys_self_revoke",
    // Replaces the key; whoever revokes the successor, which the answer names, ends the whole line.
    "keys_rotate_itself",
];

/// So many operations succeed at least once. Four never do: two are for edges, whose keys count for nothing else, two are believed
/// only of a sender whom the operator trusts. Some depend on what was ended before: order and examples follow the seed.
const SUCCEED: usize = 70;

/// A stack with something of every kind in it, and the ids of that by the example that stands for them in the description.
struct World {
    stack: Stack,
    examples: Value,
    _issuer: Theirs,
}

impl World {
    async fn start() -> Self {
        let stack = Stack::with()
            // Nobody waits for receipts here: thousands of changes are made.
            .config("[feed]\nreceipt_wait_ms = 1")
            .start()
            .await;
        stack.control.run(&["demo", "seed"]).expect("a month of use");
        let mut person = Person::sign_in(&stack, "Notes").await.expect("signed in");
        for _ in 0..3 {
            let code = person.code().await.expect("a code");
            person.exchange(&code).await.expect("a grant");
        }
        let issuer = Theirs::start("oauth2-mock-server.mjs").await;
        let examples = examples(&stack.admin(), &issuer.url).await;
        Self {
            stack,
            examples,
            _issuer: issuer,
        }
    }

    /// Runs schemathesis with a fresh key of the owner's, which must live to the end if it is to be `kept`.
    async fn run(&self, folder: &Path, kept: bool, args: &[&str]) -> (Output, Admin) {
        let key = self.stack.admin().key("admin").await;
        let admin = self.stack.admin_with(&key.key);
        let me = admin.send(Request::get("/v1/whoami")).await.expect(200).json();
        let kept = if kept {
            json!([key.id, me["user"]])
        } else {
            json!([me["user"]])
        };
        let url = self.stack.control.url();
        let clients = files::root().join("tests/clients");
        let mut command = Command::new(files::schemathesis().expect("provisioned"));
        command
            // What it writes is its own business: the stack's folder is searched for secrets.
            .current_dir(folder)
            .arg("--config-file")
            .arg(clients.join("schemathesis.toml"))
            .args(["run", &format!("{url}/v1/openapi.json")])
            .args([
                "--seed",
                SEED,
                "--max-examples",
                EXAMPLES,
                "--continue-on-failure",
            ])
            .args(["--header", &format!("Authorization: Bearer {}", key.key)])
            .args(["--report", "json", "--report-json-path", "report.json"])
            .args(args)
            .env("SCHEMATHESIS_HOOKS", clients.join("schemathesis_hooks.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("EXAMPLES", self.examples.to_string())
            .env("KEPT", kept.to_string())
            .env("NO_COLOR", "1");
        let done = tokio::task::spawn_blocking(move || command.output());
        (done.await.expect("joined").expect("it runs"), admin)
    }
}

/// Something of each kind, by its example.
async fn examples(admin: &Admin, issuer: &str) -> Value {
    let post = async |path: &str, body: Value| {
        let answer = admin.send(Request::new("POST", path).json(&body)).await;
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
        answer.json()
    };
    let list = async |path: &str, list: &str, member: &str| -> Vec<Value> {
        let page = admin.send(Request::get(path)).await.expect(200).json();
        let all = page[list].as_array().expect("a list").clone();
        all.into_iter().map(|one| one[member].clone()).collect()
    };
    let (mut keys, mut revocations, mut clients, mut hooks) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..4 {
        keys.push(admin.key("read").await.id);
        let client = json!({"name": format!("App {n}"), "kind": "machine", "scope": "read"});
        clients.push(post("/v1/clients", client).await["id"].clone());
        let hook = json!({"url": "https://hooks.example/take", "events": ["user.deactivated"]});
        hooks.push(post("/v1/webhooks", hook).await["id"].clone());
        let name = format!("gone {n}");
        admin.create(json!({"name": name, "scope": "read"})).await;
        let filter = json!({"filter": {"kind": "keys", "name_prefix": name}});
        let ended = post("/v1/revocations?wait=none", filter).await;
        revocations.push(ended["revocation"].as_str().expect("an id").to_owned());
    }
    let hook = hooks[0].as_str().expect("an id").to_owned();
    let message = post(&format!("/v1/webhooks/{hook}/ping"), json!({})).await["message"].clone();
    // One who can be erased.
    let mut people = list("/v1/memberships?kind=person&role=member", "memberships", "user").await;
    let gone = people.pop().expect("the demo's people");
    let path = format!(
        "/v1/memberships/{}/deactivate?wait=none",
        gone.as_str().expect("an id")
    );
    post(&path, json!({})).await;
    json!({
        "key_000000001": keys,
        "cli_000000001": clients,
        "whk_000000001": hooks,
        "whk_000000001 /v1/webhooks/{id}/messages": [hook],
        "msg_000000001": [message],
        "rev_000000001": revocations,
        "usr_000000001": people,
        "usr_000000001 /v1/service-accounts": list("/v1/service-accounts", "service_accounts", "user").await,
        "usr_000000001 /v1/people": [gone],
        "ws_000000001": list("/v1/workspaces", "workspaces", "id").await,
        "grt_000000001": list("/v1/grants", "grants", "id").await,
        "ses_000000001": list("/v1/sessions", "sessions", "id").await,
        "https://acme.eu.auth0.com/": [issuer],
    })
}

/// The operations of a report, and those of them that never succeeded.
fn operations(folder: &Path) -> (usize, BTreeSet<String>) {
    let text = std::fs::read(folder.join("report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&text).expect("JSON");
    let rates = report["valid_rates"].as_object().expect("rates");
    let never = rates.iter().filter(|(_, phases)| {
        let phases = phases.as_object().expect("phases");
        phases
            .values()
            .all(|phase| phase["accepted"].as_u64().unwrap_or_default() == 0)
    });
    (
        rates.len(),
        never.map(|(operation, _)| operation.clone()).collect(),
    )
}

fn text(done: &Output) -> String {
    let text = String::from_utf8_lossy(&done.stdout);
    format!("{text}\n{}", String::from_utf8_lossy(&done.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    // Those first, while there is everything still.
    for operation in ENDING {
        let (done, _) = world
            .run(folder.path(), false, &["--include-operation-id", operation])
            .await;
        assert!(done.status.success(), "{operation}: {}", text(&done));
    }
    let without = ENDING.map(|operation| format!("--exclude-operation-id={operation}"));
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let (done, admin) = world.run(folder.path(), true, &without).await;
    assert!(done.status.success(), "{}", text(&done));
    // It had a credential that counts, to the end, and was not only told off.
    let me = admin.send(Request::get("/v1/whoami")).await.expect(200).json();
    assert_eq!(me["role"], "owner", "{me}");
    let (all, never) = operations(folder.path());
    assert!(
        all - never.len() >= SUCCEED,
        "of {all} operations these never succeeded: {never:?}"
    );
}
