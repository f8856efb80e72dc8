//! The same clients, none of them known beforehand: they register themselves (RFC 7591), or show a document about themselves
//! (Client ID Metadata Documents). And the MCP project's own checks of an authorization server.

use e2e::{Builder, Stack, files};

use super::{
    clients::{Server, assert_all_good, mcp_remote, node, python_client, registered, run},
    policy,
};

/// `tests/clients/document.mjs`, and a control plane that trusts its certificate.
async fn with_document(stack: Builder) -> (Stack, Server) {
    let authority = files::root().join("tests/clients/tls/test_only_ca.pem");
    let document = Server::run(node("tests/clients/document.mjs")).await;
    let stack = stack.environment("SSL_CERT_FILE", authority.to_str().expect("a path in UTF-8"));
    (stack.start().await, document)
}

async fn typescript(stack: &Stack, client: &str, id: &str) {
    for headers in ["yes", "no"] {
        let variables = [("CLIENT", client), ("CLIENT_ID", id), ("HEADERS", headers)];
        let done = run(stack, node("tests/clients/mcp-sdk.mjs"), &variables).await;
        assert_all_good(&format!("headers: {headers}"), &done);
    }
}

/// It registers with the scope of the first challenge, and still gets more when it steps up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_sdk_registers_itself() {
    let server = Server::start().await;
    let stack = server.stack().start().await;
    typescript(&stack, "dynamic", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_sdk_shows_its_document() {
    let server = Server::start().await;
    let (stack, document) = with_document(server.stack()).await;
    typescript(&stack, "document", &document.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_registers_itself() {
    let server = Server::start().await;
    let stack = server.stack().start().await;
    python_client(&stack, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_shows_its_document() {
    let server = Server::start().await;
    let (stack, document) = with_document(server.stack()).await;
    python_client(&stack, &document.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_remote_registers_itself() {
    let server = Server::start().await;
    let stack = server.stack().start().await;
    mcp_remote(&stack, "").await;
}

/// The MCP project's own checks of an authorization server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_finds_nothing() {
    let stack = Stack::with().policy(policy(None)).start().await;
    let id = registered(&stack, "http://127.0.0.1/callback");
    let folder = stack.folder().join("conformance");
    let folder = folder.to_str().expect("a path in UTF-8");
    let variables = [("CLIENT_ID", &*id), ("FOLDER", folder)];
    let done = run(&stack, node("tests/clients/mcp-conformance.mjs"), &variables).await;
    assert_all_good("conformance", &done);
}
