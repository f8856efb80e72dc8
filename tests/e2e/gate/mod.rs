//! `portcullis gate`: the same answers as the Worker's, natively, in pull mode; what it does when it is alone; nginx before an API.
//!
//! The gate is a second edge of the stack, `app`, so that receipts wait for it.

mod asked;
mod behind;
mod life;
mod nginx;
mod proxy;

use std::process::Command;
use std::time::Duration;

use e2e::{Anon, EdgeCaller, Port, Process, Request, Response, Stack, http, wait};
use serde_json::Value;

use crate::library::Example;

const WAIT: Duration = Duration::from_secs(30);
const PATH: &str = "/v1/memory/x";
const STRICT: &str = "/admin/x";

/// A running gate beside a stack.
struct Gate {
    stack: Stack,
    process: Process,
    port: Port,
    /// Where it answers questions; at `port` if it is no proxy.
    ask: Option<Port>,
    status: Port,
}

impl Gate {
    /// A reverse proxy before the stack's origin.
    async fn start() -> Self {
        let scene = Example::scene().await;
        let upstream = scene.0.origin.url();
        Self::before(scene, &upstream, &[]).await
    }

    /// One before this upstream, with further variables; ready.
    async fn before(scene: (Stack, Vec<(String, String)>), upstream: &str, more: &[(&str, &str)]) -> Self {
        let (stack, vars) = scene;
        let (port, ask, status) = (Port::reserve(), Port::reserve(), Port::reserve());
        let mut command = stack.control.command(&["gate"]).unwrap();
        command
            .envs(vars)
            .env("ORIGIN", upstream)
            .env("GATE_LISTEN", port.address())
            .env("GATE_STATUS_LISTEN", status.address())
            .envs(more.iter().copied());
        let ask = (!upstream.is_empty()).then_some(ask);
        if let Some(ask) = &ask {
            command.env("GATE_ASK_LISTEN", ask.address());
        }
        let process = spawn(&stack, command);
        let gate = Self {
            stack,
            process,
            port,
            ask,
            status,
        };
        gate.ready().await;
        gate
    }

    async fn ready(&self) {
        wait::until_true("the gate is ready", WAIT, || async {
            self.health().await.0 == 200
        })
        .await;
    }

    /// Status and document of `/health/ready`; 0 if nobody listens.
    async fn health(&self) -> (u16, Value) {
        match http::once(&self.status.address(), &Request::get("/health/ready")).await {
            Ok(answer) => (answer.status, answer.json()),
            Err(_) => (0, Value::Null),
        }
    }

    fn caller(&self, credential: &str) -> EdgeCaller {
        EdgeCaller::new(&self.port.address(), credential)
    }

    fn anon(&self) -> Anon {
        Anon::new(&self.port.address())
    }

    fn ask_address(&self) -> String {
        self.ask.as_ref().unwrap_or(&self.port).address()
    }

    /// As the server in front, which has this credential to ask about.
    fn asker(&self, credential: &str) -> EdgeCaller {
        EdgeCaller::new(&self.ask_address(), credential)
    }

    /// The same without a credential.
    fn asks(&self) -> Anon {
        Anon::new(&self.ask_address())
    }

    /// A key that the gate knows to be good.
    async fn key(&self, scope: &str) -> e2e::Created {
        let key = self.stack.admin().key(scope).await;
        wait::until_true("it has heard of the key's block", WAIT, || async {
            self.asker(&key.key)
                .send(Request::verify("GET", PATH))
                .await
                .status
                == 200
        })
        .await;
        key
    }
}

fn spawn(stack: &Stack, command: Command) -> Process {
    Process::spawn("gate", command, &stack.logs().join("gate.log")).unwrap()
}

/// What a caller can tell two gates apart by, were there a difference.
fn told(answer: &Response) -> (u16, Value, String, String, Option<String>) {
    let code = serde_json::from_slice(&answer.body).map_or(Value::Null, |body: Value| body["code"].clone());
    (
        answer.status,
        code,
        answer.all("www-authenticate"),
        answer.all("vary").to_ascii_lowercase(),
        answer.header("access-control-allow-origin").map(str::to_owned),
    )
}
