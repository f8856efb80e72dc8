//! The npm package and the tower layer: the golden vectors on every platform, types, and the examples, each with the real control
//! plane and the feed that the example fetches.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Anon, EdgeCaller, Port, Process, Request, Stack, files, http, wait};
use serde_json::{Value, json};

use crate::{jwt::Client, support::assert_invalid_token, support::assert_no_credential};

const WAIT: Duration = Duration::from_secs(30);
const PATH: &str = "/v1/memory/x";
const STRICT: &str = "/admin/x";

/// The built package.
fn package() -> PathBuf {
    let package = files::root().join("target/npm");
    assert!(package.join("core_bg.wasm").exists(), "run scripts/build-npm");
    package
}

fn node() -> PathBuf {
    files::root().join("node_modules/.bin/node")
}

/// A folder in which an example finds its packages as after `npm install`.
fn installed(folder: &Path, packages: &[&str]) {
    let modules = folder.join("node_modules");
    std::fs::create_dir_all(modules.join("@portcullis")).unwrap();
    symlink(package(), modules.join("@portcullis/edge")).unwrap();
    for name in packages {
        let link = modules.join(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(files::root().join("node_modules").join(name), link).unwrap();
    }
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        done.status.success(),
        "{}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    text(&done.stdout)
}

#[test]
fn the_vectors_give_the_same_bytes_in_node_workerd_and_chromium() {
    portcullis_edge::es512::install();
    let read = |name: &str| std::fs::read_to_string(files::root().join("shared/vectors").join(name)).unwrap();
    let (verdicts, proofs, assertion) = (read("verdicts.json"), read("dpop.json"), read("assertion.json"));
    let native = |outcomes: Value| outcomes.to_string();
    let judged = edge::validator::vectors::run(verdicts.as_bytes()).unwrap();
    let checked = shared::dpop::vectors::run(proofs.as_bytes()).unwrap();
    // Through a string, so that members stay in the order in which they are written.
    let table = json!({
        "verdicts": { "file": verdicts, "expected": serde_json::to_string(&judged).unwrap() },
        "proofs": { "file": proofs, "expected": serde_json::to_string(&checked).unwrap() },
        "assertion": {
            "file": assertion,
            "expected": native(edge::library::run_assertion_vector(assertion.as_bytes()).unwrap()),
        },
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vectors.json");
    std::fs::write(&file, table.to_string()).unwrap();
    let said = run(Command::new(node())
        .arg(files::root().join("tests/npm/vectors.mjs"))
        .args([&package(), &files::workerd().unwrap(), folder.path(), &file]));
    assert!(said.ends_with("all good\n"), "{said}");
}

#[test]
fn the_package_keeps_its_word_around_the_core() {
    let said = run(Command::new(node())
        .arg(files::root().join("tests/npm/behaviour.mjs"))
        .args([package(), files::root().join("shared/vectors/verdicts.json")]));
    assert!(said.ends_with("all good\n"), "{said}");
}

#[test]
fn the_types_allow_what_works_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    installed(folder.path(), &["hono"]);
    for name in ["types.ts", "tsconfig.json"] {
        std::fs::copy(
            files::root().join("tests/npm").join(name),
            folder.path().join(name),
        )
        .unwrap();
    }
    run(Command::new(node())
        .arg(files::root().join("node_modules/typescript/bin/tsc"))
        .args(["--project", "."])
        .current_dir(folder.path()));
}

/// An example, running, whose feed comes from the stack's control plane.
pub(crate) struct Example {
    pub(crate) stack: Stack,
    pub(crate) address: String,
    pub(crate) process: Process,
    _port: Port,
    _folder: tempfile::TempDir,
}

impl Example {
    /// Starts the control plane with one more edge, which fetches, and gives the example's variables with the edge's key.
    pub(crate) async fn scene() -> (Stack, Vec<(String, String)>) {
        Self::scene_of(Stack::start().await).await
    }

    /// The same with another stack.
    pub(crate) async fn scene_of(mut stack: Stack) -> (Stack, Vec<(String, String)>) {
        stack.control.stop();
        let edges = format!("hub={},app=pull", stack.edge_url());
        stack
            .control
            .set_environment(vec![("PORTCULLIS_EDGES".into(), edges)]);
        stack.control.serve().unwrap();
        stack.control.wait().await.unwrap();
        let made = stack
            .control
            .run(&["--format", "json", "edge", "key", "app"])
            .unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let key = made["uplink_key"].as_str().unwrap().to_owned();
        stack.secrets.saw(&key);
        let mut vars = stack.control.trust().unwrap();
        vars.extend([
            ("ISSUER".into(), stack.control.url()),
            ("RESOURCE".into(), stack.edge_url()),
            ("CONTROL_PLANE".into(), stack.control.url()),
            ("UPLINK_KEY".into(), key),
        ]);
        (stack, vars)
    }

    /// `tests/examples/<name>/app.mjs` on Node.js.
    async fn on_node(name: &str, packages: &[&str]) -> Self {
        let (stack, vars) = Self::scene().await;
        let folder = tempfile::tempdir().unwrap();
        installed(folder.path(), packages);
        let app = folder.path().join("app.mjs");
        std::fs::copy(
            files::root().join("tests/examples").join(name).join("app.mjs"),
            &app,
        )
        .unwrap();
        let port = Port::reserve();
        let mut command = Command::new(node());
        command
            .arg(&app)
            .envs(vars)
            .env("PORT", port.number().to_string())
            .env_remove("NODE_OPTIONS");
        let process = Process::spawn(name, command, &stack.logs().join(format!("{name}.log"))).unwrap();
        Self::listening(stack, port, process, folder).await
    }

    /// A program of ours: `tests/examples/axum`.
    async fn of_program(name: &str) -> Self {
        let (stack, vars) = Self::scene().await;
        let port = Port::reserve();
        let mut command = Command::new(files::program(name).unwrap());
        command.envs(vars).env("PORT", port.number().to_string());
        let process = Process::spawn(name, command, &stack.logs().join(format!("{name}.log"))).unwrap();
        Self::listening(stack, port, process, tempfile::tempdir().unwrap()).await
    }

    /// `tests/examples/<name>/worker.js` in workerd, bundled as wrangler does, with these bindings.
    async fn in_workerd(name: &str, stack: Stack, bindings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        installed(folder.path(), &[]);
        let source = folder.path().join("source.js");
        std::fs::copy(
            files::root().join("tests/examples").join(name).join("worker.js"),
            &source,
        )
        .unwrap();
        run(Command::new(files::root().join("node_modules/.bin/esbuild"))
            .arg(&source)
            .args([
                "--bundle",
                "--format=esm",
                "--conditions=workerd",
                "--external:*.wasm",
            ])
            .args(["--log-level=warning", "--outfile=worker.js"])
            .current_dir(folder.path()));
        std::fs::copy(package().join("core_bg.wasm"), folder.path().join("core_bg.wasm")).unwrap();
        let port = Port::reserve();
        let capnp = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n  services = [(name = \"main\", worker = .main),\n    \
             (name = \"internet\", network = (allow = [\"public\", \"private\", \"local\"]))],\n  \
             sockets = [(name = \"http\", address = \"{}\", http = (), service = \"main\")]);\n\
             const main :Workerd.Worker = (\n  modules = [(name = \"worker.js\", esModule = embed \"worker.js\"),\n    \
             (name = \"./core_bg.wasm\", wasm = embed \"core_bg.wasm\")],\n  compatibilityDate = \"2026-11-01\",\n  bindings = [{bindings}]);\n",
            port.address()
        );
        std::fs::write(folder.path().join("worker.capnp"), capnp).unwrap();
        let mut command = Command::new(files::workerd().unwrap());
        command
            .args(["serve", "worker.capnp", "--experimental"])
            .current_dir(folder.path());
        let process = Process::spawn(name, command, &stack.logs().join(format!("{name}.log"))).unwrap();
        Self::listening(stack, port, process, folder).await
    }

    /// `tests/examples/<name>/worker.js` beside the gate's Worker in the stack's own workerd, bound to it as `GATE`.
    async fn beside_the_gate(name: &str, mut stack: Stack) -> Self {
        stack.edge.kill();
        let edge = stack.folder().join("edge");
        let source = files::root().join("tests/examples").join(name).join("worker.js");
        std::fs::copy(source, edge.join("existing.js")).unwrap();
        let port = Port::reserve();
        let socket = format!(
            "  sockets = [\n    (name = \"existing\", address = \"{}\", http = (), service = \"existing\"),\n",
            port.address()
        );
        let capnp = std::fs::read_to_string(edge.join("edge.capnp")).unwrap();
        let capnp = capnp
            .replacen(
                "  services = [\n",
                "  services = [\n    (name = \"existing\", worker = .existing),\n",
                1,
            )
            .replacen("  sockets = [\n", &socket, 1);
        let worker = "const existing :Workerd.Worker = (\n  \
                      modules = [(name = \"existing.js\", esModule = embed \"existing.js\")],\n  \
                      compatibilityDate = \"2026-11-01\",\n  bindings = [(name = \"GATE\", service = \"gate0\")]);\n";
        let file = edge.join("beside.capnp");
        std::fs::write(&file, format!("{capnp}{worker}")).unwrap();
        let mut command = Command::new(files::workerd().unwrap());
        command
            .arg("serve")
            .arg(&file)
            .arg("--experimental")
            .arg(format!(
                "--directory-path=objects={}",
                edge.join("objects").display()
            ))
            .arg(format!("--socket-addr=gate0={}", stack.gate(0)));
        let process = Process::spawn(name, command, &stack.logs().join(format!("{name}.log"))).unwrap();
        let example = Self::listening(stack, port, process, tempfile::tempdir().unwrap()).await;
        example.stack.settled().await;
        example
    }

    pub(crate) async fn listening(
        stack: Stack,
        port: Port,
        mut process: Process,
        folder: tempfile::TempDir,
    ) -> Self {
        let address = port.address();
        wait::until_true("the example listens", WAIT, || async {
            tokio::net::TcpStream::connect(&address).await.is_ok()
        })
        .await;
        assert!(process.ended().is_none());
        Self {
            stack,
            address,
            process,
            _port: port,
            _folder: folder,
        }
    }

    pub(crate) fn caller(&self, credential: &str) -> EdgeCaller {
        EdgeCaller::new(&self.address, credential)
    }

    pub(crate) fn anon(&self) -> Anon {
        Anon::new(&self.address)
    }

    /// What every example has to do, whatever it is written with.
    async fn keeps_the_rules(&self) {
        let reader = self.stack.admin().key("read").await;
        let caller = self.caller(&reader.key);
        wait::until_true("it has heard of the key's block", WAIT, || async {
            caller.get(PATH).await.status == 200
        })
        .await;
        // Who it is comes from the gate, whatever the caller says; the credential goes no further.
        let spoofed = Request::get(PATH)
            .header("x-portcullis-subject", "usr_0")
            .header("X_Portcullis_Org", "org_0")
            .header("x-http-method-override", "DELETE");
        let seen = caller.send(spoofed).await.expect(200).json();
        let org = seen["caller"]["org"].as_str().unwrap();
        assert!(org.starts_with("org_"), "{seen}");
        assert_eq!(seen["name"], "x");
        assert_eq!(seen["headers"]["x-portcullis-subject"], seen["caller"]["subject"]);
        assert!(seen["caller"]["subject"].as_str().unwrap().starts_with("usr_"));
        assert_eq!(seen["headers"]["authorization"], Value::Null, "{seen}");
        assert!(!seen.to_string().contains("org_0\""), "{seen}");
        // A token by the same rules.
        let token = Client::create(&self.stack, "memory:read")
            .token(&self.stack)
            .await;
        self.caller(&token).get(PATH).await.expect(200);
        // The refusals of the Worker.
        assert_no_credential(&self.anon().get(PATH).await);
        let answer = caller.send(Request::new("POST", PATH).body("{}")).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (403, &json!("insufficient_scope"))
        );
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("scope=\"memory:write\""), "{challenge}");
        let (rest, last) = reader.key.split_at(reader.key.len() - 1);
        let forged = format!("{rest}{}", if last == "x" { "y" } else { "x" });
        assert_invalid_token(&self.caller(&forged).get(PATH).await, "a forged key");
        assert_eq!(self.anon().get("/nowhere").await.status, 403);
        assert_eq!(self.anon().get("/public/..%2fadmin/x").await.status, 400);
        // Who names a seq is judged by a state that has it, or not at all.
        let from = |seq: &str| Request::get(PATH).header("portcullis-min-seq", seq);
        caller.send(from("1")).await.expect(200);
        assert_eq!(caller.send(from("9007199254740000")).await.status, 503);
        assert_eq!(caller.send(from("-1")).await.status, 400);
        let twice = Request::get(PATH).bearer(&reader.key).bearer(&reader.key);
        assert_eq!(http::once(&self.address, &twice).await.unwrap().status, 400);
    }
}

/// Example by example, what is true of those that fetch the feed in a server.
async fn a_server(mut example: Example) {
    example.keeps_the_rules().await;
    example.anon().get("/public/hello").await.expect(200);
    let document = example.anon().get("/.well-known/oauth-protected-resource").await;
    assert_eq!(document.expect(200).json()["resource"], example.stack.edge_url());

    // After the receipt nothing gets in, here too: the receipt has waited for this edge.
    let admin = example.stack.admin().key("admin").await;
    let caller = example.caller(&admin.key);
    wait::until_true("it lives", WAIT, || async {
        caller.get(STRICT).await.status == 200
    })
    .await;
    for path in [PATH, STRICT] {
        let victim = example.stack.admin().key("admin").await;
        let caller = example.caller(&victim.key);
        wait::until_true("it lives", WAIT, || async {
            caller.get(path).await.status == 200
        })
        .await;
        let receipt = example
            .stack
            .admin()
            .revoke(&victim.id, None)
            .await
            .expect(200)
            .json();
        assert_eq!(receipt["pending"], json!([]), "{receipt}");
        let acknowledged = receipt["acknowledged"].to_string();
        assert!(acknowledged.contains("\"app\""), "{receipt}");
        assert_invalid_token(&caller.get(path).await, "revoked");
    }

    // Cut off, it goes on within the bound, and then says that it cannot know.
    example.stack.control.stop();
    wait::until_true("it is too old", WAIT, || async {
        let answer = caller.get(PATH).await;
        answer.status == 503
            && answer.json()["code"] == "state_stale"
            && answer.header("retry-after") == Some("1")
    })
    .await;
    assert_eq!(caller.get(STRICT).await.status, 503);
    // And back.
    example.stack.control.serve().unwrap();
    example.stack.control.wait().await.unwrap();
    wait::until_true("it is fresh again", WAIT, || async {
        caller.get(PATH).await.status == 200
    })
    .await;
    example.process.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hono_app_protects_itself() {
    a_server(Example::on_node("hono", &["hono", "@hono/node-server"]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_express_app_protects_itself() {
    a_server(Example::on_node("express", &["express"]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_axum_origin_protects_itself() {
    a_server(Example::of_program("axum-alone").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_protects_itself_and_fetches_beside_requests() {
    let (stack, vars) = Example::scene().await;
    let bindings: Vec<String> = vars
        .iter()
        .map(|(name, value)| format!("(name = \"{name}\", text = \"{value}\")"))
        .collect();
    let mut example = Example::in_workerd("worker-library", stack, &bindings.join(", ")).await;
    example.keeps_the_rules().await;
    let victim = example.stack.admin().key("admin").await;
    let caller = example.caller(&victim.key);
    wait::until_true("it lives", WAIT, || async {
        caller.get(STRICT).await.status == 200
    })
    .await;
    caller.get(PATH).await.expect(200);
    example.stack.admin().revoke(&victim.id, Some("none")).await;
    wait::until_true("it dies on the strict route", WAIT, || async {
        caller.get(STRICT).await.status == 401
    })
    .await;
    assert_invalid_token(
        &caller.get(PATH).await,
        "what one request has fetched, the isolate knows",
    );
    example.stack.control.stop();
    let other = example.caller(&example.stack.admin_key.clone());
    wait::until_true("it is too old", WAIT, || async {
        other.get(PATH).await.status == 503
    })
    .await;
    example.process.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_worker_asks_the_gate_through_a_service_binding() {
    let mut example = Example::beside_the_gate("worker-gate", Stack::start().await).await;
    example.keeps_the_rules().await;
    let victim = example.stack.admin().key("admin").await;
    let caller = example.caller(&victim.key);
    caller.get(PATH).await.expect(200);
    example.stack.admin().revoke(&victim.id, None).await.expect(200);
    assert_invalid_token(&caller.get(PATH).await, "revoked");
    example.process.stop();
}
