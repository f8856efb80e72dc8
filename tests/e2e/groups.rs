//! A customer's own data plane: an edge that admits one organisation, beside one that admits all. Pushed to, and fetching.

use std::collections::BTreeSet;
use std::time::Duration;

use control_plane::store::{
    Store,
    orgs::{NewUser, Role},
};
use e2e::{
    Admin, Created, EdgeCaller, Link, Objects, Port, Request, Response, Stack, Workerd, WorkerdConfig,
    edge_vars, files, http, wait,
};
use serde_json::{Value, json};
use shared::{
    feed::{Entry, Envelope, EnvelopeType, Frame, Snapshot, State, Subject, split_message},
    id::{KeyId, OrgId, StatusIndex, UserId, WorkspaceId},
    time::UnixMillis,
};

use crate::support::assert_invalid_token;

const PATH: &str = "/v1/memory/x";
const STRICT: &str = "/admin/x";
const WAIT: Duration = Duration::from_secs(30);
/// The customer.
const ACME: u64 = 500;
const USER: u64 = 501;
const WORKSPACE: u64 = 502;

fn acme() -> OrgId {
    OrgId::from_u64(ACME).unwrap()
}

/// The stack with its edge for all, and the customer's.
struct Pair {
    stack: Stack,
    port: Port,
    edge: Workerd,
    /// The customer's administrator.
    customer: Admin,
    customer_key: String,
}

impl Pair {
    /// `edge`: the lines of the customer's edge in the configuration.
    async fn start(port: Port, edge: &str, vars: impl FnOnce(&Stack) -> Vec<(&'static str, String)>) -> Self {
        let config = format!(
            "[[edge_groups]]\nname = \"acme\"\norgs = [\"{}\"]\n[[edges]]\nname = \"onprem\"\ngroup = \"acme\"\n{edge}",
            acme()
        );
        let stack = Stack::with().config(&config).start().await;
        let customer_key = customer(&stack).await;
        let customer = stack.admin_with(&customer_key);
        let lines = stack.control.run(&["feed", "trust", "--group", "acme"]).unwrap();
        let feed_id = lines.split("FEED_ID=").nth(1).expect("an id").trim().to_owned();
        let resource = stack.edge_url();
        let mut all = edge_vars(&stack.control, &stack.origin.url(), &resource).unwrap();
        all.retain(|(name, _)| name != "FEED_ID");
        all.push(("FEED_ID".to_owned(), feed_id));
        all.extend(
            vars(&stack)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let mut edge = Workerd::start(WorkerdConfig {
            modules: files::edge_modules(false),
            folder: stack.folder().join("onprem"),
            log: stack.logs().join("onprem.log"),
            vars: all,
            gates: vec![port.address()],
            store: true,
            kv: None,
            objects: Objects::All,
            cache: false,
            environment: Vec::new(),
        })
        .unwrap();
        edge.wait().await.unwrap();
        let pair = Self {
            stack,
            port,
            edge,
            customer,
            customer_key,
        };
        wait::until_true("the customer's edge admits the customer", WAIT, || async {
            pair.at_customers(&pair.customer_key).get(PATH).await.status == 200
        })
        .await;
        pair
    }

    fn at_customers(&self, key: &str) -> EdgeCaller {
        EdgeCaller::new(&self.port.address(), key)
    }

    async fn revoke(&self, admin: &Admin, key: &Created, wait: &str) -> Value {
        admin.revoke(&key.id, Some(wait)).await.expect(200).json()
    }

    /// Who is let in where, whatever the edges know of the credentials.
    async fn admit_their_own(&self, ours: &Created, theirs: &Created) {
        for path in [PATH, STRICT] {
            self.stack.caller(&ours.key).get(path).await.expect(200);
            self.stack.caller(&theirs.key).get(path).await.expect(200);
            self.at_customers(&theirs.key).get(path).await.expect(200);
            assert_invalid_token(&self.at_customers(&ours.key).get(path).await, path);
        }
    }

    /// A key that the customer's people use, and one of the first organisation.
    async fn keys(&self) -> (Created, Created) {
        (
            self.stack.admin().key("admin").await,
            self.customer.key("admin").await,
        )
    }
}

/// Another organisation with an owner, as a sign-up makes them, and an admin key.
async fn customer(stack: &Stack) -> String {
    let store = Store::connect(&stack.control.database_url()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let now = UnixMillis(crate::support::unix_now() * 1000);
    let user = NewUser {
        id: UserId::from_u64(USER).unwrap(),
        email: "eve@acme.example",
        name: "Eve",
        password_hash: None,
    };
    tx.insert_org(acme(), "Acme", now).await.unwrap();
    tx.insert_user(&user, now).await.unwrap();
    tx.insert_membership(acme(), user.id, Role::Owner, now)
        .await
        .unwrap();
    tx.insert_workspace(WorkspaceId::from_u64(WORKSPACE).unwrap(), acme(), "w", now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let org = acme().to_string();
    let made = stack
        .control
        .run(&["--format", "json", "keys", "admin", "--org", &org])
        .unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    let key = made["admin_key"].as_str().expect("a key").to_owned();
    stack.secrets.saw(&key);
    key
}

fn names(receipt: &Value, what: &str) -> BTreeSet<String> {
    serde_json::from_value(receipt[what].clone()).unwrap()
}

fn index(key: &Created) -> StatusIndex {
    key.id.parse::<KeyId>().unwrap().into()
}

/// Everything that messages say: entries of frames, and of snapshots.
fn entries<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Entry>, u32) {
    let mut entries = Vec::new();
    let mut snapshots = 0;
    for message in messages {
        for envelope in split_message(message).unwrap() {
            let envelope = Envelope::decode(envelope).unwrap();
            match envelope.kind {
                EnvelopeType::Frame => entries.extend(Frame::decode(envelope.body).unwrap().entries),
                EnvelopeType::Snapshot => {
                    snapshots += 1;
                    entries.extend(Snapshot::decode(envelope.body).unwrap().state.entries());
                }
                _ => {}
            }
        }
    }
    (entries, snapshots)
}

/// Nothing of the first organisation is in there, and all of the customer's is.
fn holds_only_the_customers(stack: &Stack, entries: &[Entry], ours: &[&Created], theirs: &[&Created]) {
    let own = stack.control.bootstrap().unwrap();
    let first: OrgId = own.get("org").unwrap().parse().unwrap();
    let mut state = State::default();
    for entry in entries {
        let subject = match entry {
            Entry::NotBefore(subject, _) | Entry::Ceiling { subject, .. } => Some(subject),
            Entry::Admitted { orgs, .. } => {
                assert_eq!(*orgs, [acme()]);
                None
            }
            _ => None,
        };
        let is_first = match subject {
            Some(Subject::Org(org) | Subject::Member(org, _) | Subject::WorkspaceMember(org, ..)) => {
                *org == first
            }
            // There are none of these but of the first organisation in this test.
            Some(Subject::Session(_) | Subject::Client(_)) => true,
            _ => false,
        };
        assert!(!is_first, "{entry:?}");
        state.join(entry.clone());
    }
    for key in ours {
        assert!(!state.is_revoked(index(key)), "{}", key.id);
    }
    for key in theirs {
        assert!(state.is_revoked(index(key)), "{}", key.id);
    }
    assert!(state.owner(index(ours[0])).is_some(), "blocks are everyone's");
    assert!(state.keys().count() >= 2 && state.policy().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_a_group_is_pushed_nothing_of_others() {
    let port = Port::reserve();
    let link = Link::start(&port.address()).await.unwrap();
    let edge = format!("url = \"{}\"", link.url());
    let mut pair = Pair::start(port, &edge, |_| Vec::new()).await;
    let (ours, theirs) = pair.keys().await;
    pair.admit_their_own(&ours, &theirs).await;

    let (dead, theirs_dead) = pair.keys().await;
    let receipt = pair.revoke(&pair.stack.admin(), &dead, "effective").await;
    let hub = BTreeSet::from(["hub/weur".to_owned()]);
    assert_eq!(
        (names(&receipt, "acknowledged"), names(&receipt, "pending")),
        (hub.clone(), BTreeSet::new())
    );
    assert_invalid_token(&pair.stack.caller(&dead.key).get(PATH).await, "everywhere");
    let receipt = pair.revoke(&pair.customer, &theirs_dead, "effective").await;
    let both = BTreeSet::from(["hub/weur".to_owned(), "onprem/weur".to_owned()]);
    assert_eq!(names(&receipt, "acknowledged"), both);
    for caller in [
        pair.stack.caller(&theirs_dead.key),
        pair.at_customers(&theirs_dead.key),
    ] {
        assert_invalid_token(&caller.get(PATH).await, "everywhere");
    }
    // A number of a receipt means the same at both.
    let seq = receipt["seq"].as_u64().unwrap();
    for caller in [pair.stack.caller(&theirs.key), pair.at_customers(&theirs.key)] {
        let request = Request::get(PATH).header("portcullis-min-seq", seq.to_string());
        caller.send(request).await.expect(200);
    }

    // The customer's edge is away: nobody else waits for it, and the customer is told.
    let (dead_2, theirs_dead_2) = pair.keys().await;
    pair.edge.kill();
    let receipt = pair.revoke(&pair.stack.admin(), &dead_2, "effective").await;
    assert_eq!(
        (names(&receipt, "acknowledged"), names(&receipt, "pending")),
        (hub, BTreeSet::new())
    );
    let receipt = pair.revoke(&pair.customer, &theirs_dead_2, "none").await;
    assert!(names(&receipt, "pending").contains("onprem/weur"), "{receipt}");
    pair.edge.restart().await.unwrap();
    wait::until_true("it catches up", WAIT, || async {
        pair.at_customers(&theirs_dead_2.key).get(PATH).await.status == 401
            && pair.at_customers(&theirs.key).get(PATH).await.status == 200
    })
    .await;
    pair.admit_their_own(&ours, &theirs).await;

    // All bytes that ever went there.
    let pushes = link.pushes();
    let messages = pushes
        .iter()
        .filter(|push| push.path == "/.portcullis/feed")
        .map(|push| push.body.as_slice());
    let (said, snapshots) = entries(messages);
    assert!(snapshots >= 1, "it begins with one");
    holds_only_the_customers(
        &pair.stack,
        &said,
        &[&dead, &dead_2, &ours],
        &[&theirs_dead, &theirs_dead_2],
    );
    let groups = pair.stack.control.run(&["edge", "groups"]).unwrap();
    let line = groups
        .lines()
        .find(|line| line.starts_with("acme"))
        .expect("a line");
    assert!(
        line.contains(&acme().to_string()) && line.contains("onprem"),
        "{groups}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_a_group_fetches_nothing_of_others() {
    let port = Port::reserve();
    let pair = Pair::start(port, "mode = \"pull\"", |stack| {
        let made = stack
            .control
            .run(&["--format", "json", "edge", "key", "onprem"])
            .unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let key = made["uplink_key"].as_str().unwrap().to_owned();
        stack.secrets.saw(&key);
        vec![("PULL_FROM", stack.control.url()), ("UPLINK_KEY", key)]
    })
    .await;
    let (ours, theirs) = pair.keys().await;
    wait::until_true("it knows the key's block", WAIT, || async {
        pair.at_customers(&theirs.key).get(STRICT).await.status == 200
    })
    .await;
    pair.admit_their_own(&ours, &theirs).await;
    let (dead, theirs_dead) = pair.keys().await;
    let receipt = pair.revoke(&pair.stack.admin(), &dead, "effective").await;
    let hub = BTreeSet::from(["hub/weur".to_owned()]);
    assert_eq!(
        (names(&receipt, "acknowledged"), names(&receipt, "pending")),
        (hub, BTreeSet::new())
    );
    let caller = pair.at_customers(&theirs_dead.key);
    pair.revoke(&pair.customer, &theirs_dead, "none").await;
    wait::until_true("it dies there", WAIT, || async {
        caller.get(PATH).await.status == 401 && caller.get(STRICT).await.status == 401
    })
    .await;
    wait::until_true("and is acknowledged by the poll after", WAIT, || async {
        pair.at_customers(&theirs.key).get(PATH).await.expect(200);
        let receipt = pair.revoke(&pair.customer, &theirs_dead, "none").await;
        names(&receipt, "pending").is_empty() && names(&receipt, "acknowledged").contains("onprem/weur")
    })
    .await;
    pair.admit_their_own(&ours, &theirs).await;

    // What anybody with its key is given.
    let made = pair
        .stack
        .control
        .run(&["--format", "json", "edge", "key", "onprem"])
        .unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    let key = made["uplink_key"].as_str().unwrap();
    pair.stack.secrets.saw(key);
    let request = Request::get("/v1/edge/feed").header("authorization", format!("Bearer {key}"));
    let answer: Response = http::once(&pair.stack.control.address(), &request).await.unwrap();
    assert_eq!(answer.status, 200);
    let (said, snapshots) = entries([answer.body.as_slice()]);
    assert_eq!(snapshots, 1);
    holds_only_the_customers(&pair.stack, &said, &[&dead, &ours], &[&theirs_dead]);
}

/// A route that names an organisation and a workspace is for theirs alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_captured_workspace_is_the_credentials_own() {
    let stack = Stack::with()
        .policy(json!({
            "version": 1,
            "resource": "$RESOURCE",
            "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
            "presets": {"read": ["memory:read"], "read-write": ["memory:read"], "admin": ["admin"]},
            "routes": [
                {"path": "/v1/memory/**", "scopes": ["memory:read"]},
                {"path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true},
                {"path": "/orgs/{org}/workspaces/{workspace}/**", "scopes": ["memory:read"]},
                {"path": "/w/{workspace}", "scopes": ["memory:read"]}
            ]
        }))
        .start()
        .await;
    let own = stack.control.bootstrap().unwrap();
    let (org, workspace) = (
        own.get("org").unwrap().to_owned(),
        own.get("workspace").unwrap().to_owned(),
    );
    let admin = stack.admin();
    let body = |workspace: &str| json!({"name": "k", "scope": "read", "workspace": workspace, "environment": "live"});
    let bound = admin.create(body(&workspace)).await;
    let all = admin.create(body("all")).await;
    let other = WorkspaceId::from_u64(WORKSPACE).unwrap().to_string();
    let elsewhere = acme().to_string();
    let path = |org: &str, workspace: &str| format!("/orgs/{org}/workspaces/{workspace}/x");
    for (key, target, status) in [
        (&bound, path(&org, &workspace), 200),
        (&bound, path(&org, &other), 403),
        (&bound, path(&elsewhere, &workspace), 403),
        (&bound, format!("/w/{workspace}"), 200),
        (&bound, format!("/w/{other}"), 403),
        (&all, path(&org, &workspace), 200),
        (&all, path(&elsewhere, &workspace), 403),
        (&all, path(&org, "not-an-id"), 403),
        (&all, path(&org, &workspace.to_uppercase()), 403),
    ] {
        assert_eq!(
            stack.caller(&key.key).get(&target).await.status,
            status,
            "{target}"
        );
    }
}
