//! The example `tests/examples/axum/behind.rs`: an axum origin that believes the gateway's signed word, behind `portcullis gate` and
//! behind the Worker; and nobody who reaches it around them.

use std::process::Command;

use e2e::{Port, Process, Request, Stack, files, http, wait};
use serde_json::{Value, json};
use shared::crypto::base64url;

use super::{Gate, PATH, WAIT};
use crate::library::Example;

const KEY: [u8; 32] = [43; 32];

/// The origin on this port, behind a gateway of this resource.
async fn origin(stack: &Stack, port: &Port, gateway: &str) -> Process {
    let mut command = Command::new(files::program("axum-behind").unwrap());
    command
        .env("GATEWAY", gateway)
        .env("RESOURCE", stack.edge_url())
        .env("SELF", port.url())
        .env("PORT", port.number().to_string());
    let process = Process::spawn("axum-behind", command, &stack.logs().join("axum-behind.log")).unwrap();
    let address = port.address();
    wait::until_true("the origin listens", WAIT, || async {
        tokio::net::TcpStream::connect(&address).await.is_ok()
    })
    .await;
    process
}

/// What is true of the origin, whichever gateway is before it.
async fn only_the_gateways_word_counts(gateway: &str, origin: &str, key: &str, other: &str) {
    let ask = async |address: &str, request: Request| http::once(address, &request).await.unwrap();
    let spoofed = || {
        Request::get(PATH)
            .header("x-portcullis-subject", "usr_forged")
            .header("portcullis-assertion", "forged")
    };
    let seen: Value = ask(gateway, spoofed().bearer(key)).await.expect(200).json();
    assert!(
        seen["caller"]["subject"].as_str().unwrap().starts_with("usr_"),
        "{seen}"
    );
    assert_ne!(seen["caller"]["subject"], "usr_forged");
    assert_eq!(seen["caller"]["scopes"], json!(["memory:read"]));
    assert_eq!(seen["may_write"], false);
    ask(
        gateway,
        Request::get("/public/hello").header("portcullis-assertion", "forged"),
    )
    .await
    .expect(200);
    // Around the gateway: the plain headers are worth nothing, and a word for another origin is none.
    let around = Request::get(PATH)
        .header("x-portcullis-subject", "usr_forged")
        .bearer(key);
    assert_eq!(ask(origin, around).await.status, 401);
    let forged = ask(origin, spoofed()).await.expect(401);
    assert_eq!(forged.json()["code"], "invalid_token");
    let elsewhere = Request::get(PATH).header("portcullis-assertion", other);
    assert_eq!(
        ask(origin, elsewhere).await.expect(401).json()["code"],
        "invalid_token"
    );
    ask(origin, Request::get("/health")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_axum_origin_believes_the_native_gate() {
    let scene = Example::scene().await;
    let port = Port::reserve();
    let seed = base64url(&KEY);
    let gate = Gate::before(scene, &port.url(), &[("ASSERTION_KEY", &seed)]).await;
    gate.stack.secrets.saw(&seed);
    let mut process = origin(&gate.stack, &port, &gate.port.url()).await;
    let key = gate.key("read").await.key;
    // What the gate says to another origin: the asker's, whose upstream is the same, so of another gate.
    let asked = gate
        .asker(&key)
        .send(Request::verify("GET", PATH))
        .await
        .expect(200);
    let said = asked
        .header("portcullis-assertion")
        .expect("it signs for askers too")
        .to_owned();
    let direct = Request::get(PATH).header("portcullis-assertion", &said);
    http::once(&port.address(), &direct).await.unwrap().expect(200);
    // It is for that request, and for no other around the gateway.
    for request in [Request::new("POST", PATH), Request::get("/v1/memory/other")] {
        let other = request.header("portcullis-assertion", &said);
        let refused = http::once(&port.address(), &other).await.unwrap().expect(401);
        assert_eq!(refused.json()["code"], "invalid_token");
    }
    let other = other_gates_word(&said);
    only_the_gateways_word_counts(&gate.port.address(), &port.address(), &key, &other).await;
    // The gateway is away: what it said holds for its minute, and its keys are known.
    process.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_axum_origin_believes_the_worker() {
    let port = Port::reserve();
    let stack = Stack::with()
        .var("ASSERTION_KEY", &base64url(&KEY))
        .var("ORIGIN", &port.url())
        .start()
        .await;
    let mut process = origin(&stack, &port, &stack.edge_url()).await;
    let key = stack.admin().key("read").await.key;
    let other = "a.b.c";
    only_the_gateways_word_counts(&stack.gate(0), &port.address(), &key, other).await;
    process.stop();
}

/// The same word with another signature.
fn other_gates_word(said: &str) -> String {
    let (message, _) = said.rsplit_once('.').unwrap();
    format!("{message}.{}", base64url(&[1; 64]))
}
