//! Real MCP clients against the example server behind the gate, headless.

use std::process::{Output, Stdio};

use e2e::{Builder, Stack, files};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::policy;

/// A server that says where it is, for as long as it is held.
pub(super) struct Server {
    pub(super) url: String,
    _process: Child,
}

impl Server {
    /// `tests/mcp/server.mjs`.
    pub(super) async fn start() -> Self {
        Self::run(node("tests/mcp/server.mjs")).await
    }

    pub(super) async fn run(mut command: Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let stdout = process.stdout.take().expect("piped");
        let line = BufReader::new(stdout)
            .lines()
            .next_line()
            .await
            .expect("readable");
        Self {
            url: line.expect("the server says where it is"),
            _process: process,
        }
    }

    /// The product in front of it.
    pub(super) fn stack(&self) -> Builder {
        Stack::with().policy(policy(Some(&self.url)))
    }
}

/// The Node.js that the tests use, with one of our scripts.
pub(super) fn node(script: &str) -> Command {
    let root = files::root();
    let mut command = Command::new(root.join("node_modules/.bin/node"));
    command.arg(root.join(script)).current_dir(root);
    command
}

/// The Python that has the MCP SDK, with one of our scripts.
fn python(script: &str) -> Command {
    let mut command = Command::new(files::mcp_python().expect("the Python SDK"));
    command.arg(files::root().join(script));
    command
}

/// Runs a client that knows where everything is, to its end.
pub(super) async fn run(stack: &Stack, mut client: Command, variables: &[(&str, &str)]) -> Output {
    let bootstrap = stack.control.bootstrap().expect("the first start's secrets");
    client
        .env("ISSUER", stack.control.url())
        .env("SERVER", format!("{}/mcp", stack.edge_url()))
        .env("EMAIL", bootstrap.get("admin_email").unwrap_or("admin@localhost"))
        .env("PASSWORD", bootstrap.get("admin_password").expect("a password"))
        .envs(variables.iter().copied())
        .kill_on_drop(true);
    client.output().await.expect("it runs")
}

#[track_caller]
pub(super) fn assert_all_good(what: &str, done: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        done.status.success() && text(&done.stdout).ends_with("all good\n"),
        "{what}: {}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
}

/// `portcullis clients installation create --public`.
pub(super) fn registered(stack: &Stack, redirect_uri: &str) -> String {
    let created = stack
        .client(
            "MCP client",
            &[
                "--public",
                "--redirect-uri",
                redirect_uri,
                "--scopes",
                "memory:read,memory:write,memory:delete",
            ],
        )
        .expect("a client");
    created["client_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_sdk_with_a_registered_client() {
    let server = Server::start().await;
    let stack = server.stack().start().await;
    let id = registered(&stack, "http://127.0.0.1/callback");
    for headers in ["yes", "no"] {
        let variables = [
            ("CLIENT", "registered"),
            ("CLIENT_ID", &*id),
            ("HEADERS", headers),
        ];
        let done = run(&stack, node("tests/clients/mcp-sdk.mjs"), &variables).await;
        assert_all_good(&format!("headers: {headers}"), &done);
    }
}

/// In three processes: what the first one keeps, the others go on with.
pub(super) async fn python_client(stack: &Stack, client_id: &str) {
    let kept = stack.folder().join("kept.json");
    for phase in ["first", "second", "expired"] {
        let mut command = python("tests/clients/mcp_python.py");
        command.env("KEPT", &kept);
        let done = run(stack, command, &[("CLIENT_ID", client_id), ("PHASE", phase)]).await;
        assert_all_good(phase, &done);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_with_a_registered_client() {
    let server = Server::start().await;
    let stack = server.stack().start().await;
    let id = registered(&stack, "http://127.0.0.1/callback");
    python_client(&stack, &id).await;
}

/// Revision 2026-07-28 on both sides: nobody adds a header by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_and_its_own_server() {
    let server = Server::run(python("tests/mcp/server.py")).await;
    let stack = server.stack().start().await;
    let id = registered(&stack, "http://127.0.0.1/callback");
    python_client(&stack, &id).await;
}

pub(super) async fn mcp_remote(stack: &Stack, client_id: &str) {
    let folder = stack.folder().join("mcp-remote");
    let folder = folder.to_str().expect("a path in UTF-8");
    let variables = [("CLIENT_ID", client_id), ("FOLDER", folder)];
    let done = run(stack, node("tests/clients/mcp-remote.mjs"), &variables).await;
    assert_all_good("mcp-remote", &done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_remote_with_a_registered_client() {
    let server = Server::start().await;
    let stack = server.stack().start().await;
    let id = registered(&stack, "http://127.0.0.1/oauth/callback");
    mcp_remote(&stack, &id).await;
}
