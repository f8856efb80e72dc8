//! The whole product in a temporary folder, for one test.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Admin, Anon, ControlPlane, ControlPlaneConfig, EdgeCaller, Fate, Link, Objects, Origin, Port, Secrets,
    Spread, Workerd, WorkerdConfig, files, http::Request, postgres, wait,
};

/// Where the control plane keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Database {
    /// A file in the stack's folder.
    #[default]
    Sqlite,
    /// A database of its own on the test run's server.
    Postgres,
}

/// What a stack is made of, if not of the usual.
#[derive(Clone, Debug)]
pub struct Builder {
    database: Database,
    gates: usize,
    regions: usize,
    cache: bool,
    recorded: bool,
    test_routes: bool,
    vars: Vec<(String, String)>,
    policy: Option<Value>,
    extra: String,
    environment: Vec<(String, String)>,
    kv: Option<String>,
    judge: Option<Judge>,
}

/// What becomes of a message on the link, by its path, its body and its number.
type Judge = fn(&str, &[u8], u64) -> Fate;

impl Default for Builder {
    fn default() -> Self {
        Self {
            database: Database::Sqlite,
            gates: 1,
            regions: 0,
            cache: false,
            recorded: false,
            test_routes: false,
            vars: Vec::new(),
            policy: None,
            extra: String::new(),
            environment: Vec::new(),
            kv: None,
            judge: None,
        }
    }
}

impl Builder {
    /// Another database.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.database = database;
        self
    }

    /// So many gates, each an isolate of its own.
    #[must_use]
    pub fn gates(mut self, gates: usize) -> Self {
        self.gates = gates;
        self
    }

    /// With hub, so many regions, and each gate as processes of their own: see [`Spread`].
    #[must_use]
    pub fn regions(mut self, regions: usize) -> Self {
        self.regions = regions;
        self
    }

    /// With a Cache API that the gates of one process share, and the switch to use it.
    #[must_use]
    pub fn colo_cache(mut self) -> Self {
        self.cache = true;
        self.var("COLO_CACHE", "on")
    }

    /// With a [`Link`] between control plane and edge.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// With the Worker that has routes for tests only.
    #[must_use]
    pub fn test_routes(mut self) -> Self {
        self.test_routes = true;
        self
    }

    /// With another value of a Worker variable.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this policy instead of the demo's; `$RESOURCE` and `$CONTROL_PLANE` in it become the stack's URLs.
    #[must_use]
    pub fn policy(mut self, policy: Value) -> Self {
        self.policy = Some(policy);
        self
    }

    /// With further lines in the control plane's configuration file.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// With another variable in the control plane's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a [`Link`] between control plane and edge whose messages are judged from the first one on.
    #[must_use]
    pub fn judged(mut self, judge: fn(&str, &[u8], u64) -> Fate) -> Self {
        self.recorded = true;
        self.judge = Some(judge);
        self
    }

    /// With a KV namespace of the test's own, at `host:port`.
    #[must_use]
    pub fn kv(mut self, address: &str) -> Self {
        self.kv = Some(address.to_owned());
        self
    }

    /// Starts everything, and returns when a request with the first admin key passes the edge.
    pub async fn start(self) -> Stack {
        let dir = tempfile::Builder::new()
            .prefix("portcullis-e2e-")
            .tempdir()
            .expect("a temporary folder");
        let logs = dir.path().join("logs");
        let secrets = Secrets::default();
        let origin = Origin::start("127.0.0.1:0")
            .await
            .expect("the demo origin starts");
        let control_port = Port::reserve();
        let gates: Vec<Port> = (0..self.gates).map(|_| Port::reserve()).collect();
        let link = if self.recorded {
            Some(Link::start(&gates[0].address()).await.expect("the link starts"))
        } else {
            None
        };
        if let (Some(link), Some(judge)) = (&link, self.judge) {
            link.judge(judge);
        }

        let mut extra = self.extra;
        if let Some(policy) = &self.policy {
            let file = dir.path().join("policy.json");
            let text = policy.to_string().replace("$RESOURCE", &gates[0].url());
            fs::write(&file, text.replace("$CONTROL_PLANE", &control_port.url())).expect("a policy file");
            let named = format!("policy_file = \"{}\"\n", file.display());
            // Before any section.
            extra.insert_str(0, &named);
        }
        let mut control = ControlPlane::prepare(ControlPlaneConfig {
            folder: dir.path().join("control-plane"),
            log: logs.join("control-plane.log"),
            port: control_port.number(),
            resource: gates[0].url(),
            edge: link
                .as_ref()
                .map_or_else(|| gates[0].url(), |link| link.url().to_owned()),
            database_url: (self.database == Database::Postgres).then(postgres::database),
            extra,
            environment: self.environment,
        })
        .expect("the control plane is prepared");
        let bootstrap = control.bootstrap().expect("the first start leaves its secrets");
        for name in ["admin_key", "admin_password"] {
            secrets.saw(
                bootstrap
                    .get(name)
                    .expect("the first start makes an owner with an admin key"),
            );
        }

        let mut vars = edge_vars(&control, &origin.url(), &gates[0].url()).expect("portcullis feed trust");
        for (name, value) in self.vars {
            vars.retain(|(have, _)| *have != name);
            vars.push((name, value));
        }
        let shape = EdgeShape {
            modules: files::edge_modules(self.test_routes),
            regions: self.regions,
            cache: self.cache,
            kv: self.kv.clone(),
        };
        let (edge, spread) = shape.start(dir.path(), &vars, &gates).await;
        control.serve().expect("the control plane starts");
        control.wait().await.expect("the control plane is ready");
        let admin_key = bootstrap.get("admin_key").expect("checked before").to_owned();
        let stack = Stack {
            edge,
            spread,
            control,
            link,
            origin,
            secrets,
            admin_key,
            gates,
            _control_port: control_port,
            dir,
        };
        stack.settled().await;
        stack
    }
}

/// What the processes of an edge have in common.
struct EdgeShape {
    modules: PathBuf,
    regions: usize,
    cache: bool,
    kv: Option<String>,
}

impl EdgeShape {
    /// Starts them all; gives the process of the first gate, and what is not in it.
    async fn start(
        &self,
        folder: &Path,
        vars: &[(String, String)],
        gates: &[Port],
    ) -> (Workerd, Option<Spread>) {
        if self.regions == 0 {
            let edge = self.process(folder, "edge", vars.to_vec(), gates, Objects::All);
            return (edge.await, None);
        }
        let spread = Spread::start(self.regions, folder, &self.modules, vars, self.kv.as_deref()).await;
        let mut spread = spread.expect("hub and regions start");
        for number in 1..gates.len() {
            let (name, vars) = (format!("gate{number}"), spread.gate_vars(number, vars));
            let gate = self.process(folder, &name, vars, &gates[number..=number], Objects::None);
            spread.gates.push(gate.await);
        }
        let vars = spread.gate_vars(0, vars);
        let edge = self.process(folder, "edge", vars, &gates[..1], Objects::None);
        (edge.await, Some(spread))
    }

    async fn process(
        &self,
        folder: &Path,
        name: &str,
        vars: Vec<(String, String)>,
        gates: &[Port],
        objects: Objects,
    ) -> Workerd {
        let log = if name == "edge" { "workerd" } else { name };
        let started = Workerd::start(WorkerdConfig {
            modules: self.modules.clone(),
            folder: folder.join(name),
            log: folder.join("logs").join(format!("{log}.log")),
            vars,
            gates: gates.iter().map(Port::address).collect(),
            store: true,
            kv: self.kv.clone(),
            objects,
            cache: self.cache,
            environment: Vec::new(),
        });
        let mut process = started.expect("workerd starts");
        process.wait().await.expect("workerd listens");
        process
    }
}

/// The Worker's variables for a control plane.
pub fn edge_vars(control: &ControlPlane, origin: &str, resource: &str) -> io::Result<Vec<(String, String)>> {
    let mut vars = control.trust()?;
    let more = [
        ("ORIGIN", origin.to_owned()),
        ("CONTROL_PLANE", control.url()),
        ("ISSUER", control.url()),
        ("RESOURCE", resource.to_owned()),
        ("BRAND", "pc".to_owned()),
        ("ENVIRONMENTS", "live,test,dev".to_owned()),
        // One machine, one region.
        ("REGIONS", "weur".to_owned()),
    ];
    vars.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Ok(vars)
}

/// A running product. Dropping it stops everything, and fails the test if a secret is in a log.
#[derive(Debug)]
pub struct Stack {
    /// The edge in workerd. Before the control plane, so that it goes first.
    pub edge: Workerd,
    /// Hub and regions, in stacks that have them in pieces; `edge` is the first gate then.
    pub spread: Option<Spread>,
    /// The control plane.
    pub control: ControlPlane,
    /// The recorder, in stacks that have one.
    pub link: Option<Link>,
    /// The API behind the gateway.
    pub origin: Origin,
    /// Every secret seen so far.
    pub secrets: Secrets,
    /// The key of the first start.
    pub admin_key: String,
    gates: Vec<Port>,
    _control_port: Port,
    dir: TempDir,
}

impl Stack {
    /// The usual stack.
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    /// Another stack.
    pub fn with() -> Builder {
        Builder::default()
    }

    /// The administrator of the first start.
    pub fn admin(&self) -> Admin {
        self.admin_with(&self.admin_key)
    }

    /// `portcullis clients installation create` with further options: the client as it is printed. Its secret is looked for in
    /// the logs, like every other.
    pub fn client(&self, name: &str, options: &[&str]) -> io::Result<Value> {
        let create = [
            "--format",
            "json",
            "clients",
            "installation",
            "create",
            "--name",
            name,
        ];
        let made: Value = serde_json::from_str(&self.control.run(&[&create[..], options].concat())?)?;
        if let Some(secret) = made["client_secret"].as_str() {
            self.secrets.saw(secret);
        }
        Ok(made)
    }

    /// A caller of the control plane with another key.
    pub fn admin_with(&self, key: &str) -> Admin {
        Admin::new(&self.control.address(), key, self.secrets.clone())
    }

    /// A caller of the first gate.
    pub fn caller(&self, credential: &str) -> EdgeCaller {
        self.caller_at(0, credential)
    }

    /// A caller of one of the gates.
    pub fn caller_at(&self, gate: usize, credential: &str) -> EdgeCaller {
        EdgeCaller::new(&self.gate(gate), credential)
    }

    /// Somebody without a credential at the first gate.
    pub fn anon(&self) -> Anon {
        Anon::new(&self.gate(0))
    }

    /// Somebody without a credential at the control plane.
    pub fn anon_at_control(&self) -> Anon {
        Anon::new(&self.control.address())
    }

    /// Hub and regions in pieces.
    pub fn spread(&mut self) -> &mut Spread {
        self.spread.as_mut().expect("a stack with regions(n)")
    }

    /// `host:port` of a gate.
    pub fn gate(&self, gate: usize) -> String {
        self.gates[gate].address()
    }

    /// The edge's public URL.
    pub fn edge_url(&self) -> String {
        self.gates[0].url()
    }

    /// What a query counts in the control plane's database.
    pub fn count(&self, sql: &str) -> io::Result<usize> {
        let text = self.control.query(sql)?;
        text.parse()
            .map_err(|_| io::Error::other(format!("{text} is not a count: {sql}")))
    }

    /// The stack's folder.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The folder with all logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    /// Waits until every gate lets the first admin key in: keys, policy and blocks have arrived.
    pub async fn settled(&self) {
        for gate in 0..self.gates.len() {
            let caller = self.caller_at(gate, &self.admin_key);
            wait::until_true(
                "the edge admits the first admin key",
                Duration::from_secs(20),
                || async {
                    caller
                        .send(Request::verify("GET", "/v1/memory/ready"))
                        .await
                        .status
                        == 200
                },
            )
            .await;
        }
        // And the control plane knows that it has: new credentials come from index blocks that every region holds.
        wait::until_true("every region is done", Duration::from_secs(20), || async {
            let status = self.admin().send(Request::get("/v1/edge/status")).await.json();
            let edges = status["edges"].as_array().cloned().unwrap_or_default();
            // A test that configures further edges starts them itself.
            let mut regions = edges
                .iter()
                .filter(|edge| edge["name"] == "hub")
                .flat_map(|edge| edge["regions"].as_array().cloned().unwrap_or_default());
            regions.all(|region| region["lag_frames"] == 0)
        })
        .await;
        self.origin.take();
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.edge.process().stop();
        self.control.stop();
        let leaks = self.secrets.leaks(&self.logs());
        if thread::panicking() {
            for file in crate::files_below(&self.logs()) {
                let text = fs::read_to_string(&file).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("--- {} (last lines)\n{tail}", file.display());
            }
        } else {
            assert!(leaks.is_empty(), "secrets in the logs: {leaks:?}");
        }
    }
}
