//! The edge in bare workerd: writes a configuration, starts the process, restarts it on the same disk and ports.
//!
//! The hub, the regions and each gate are services of their own, so they never share an isolate; in one isolate a test could
//! pass because gate and object share memory. They may also be spread over several processes ([`Objects`]), which then find
//! each other by URLs in their variables. Knows nothing of what the Worker does.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{files, process::Process};

const COMPATIBILITY_DATE: &str = "2026-11-01";

/// Which Durable Objects run in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objects {
    /// None: gates alone.
    None,
    /// The class `Hub` alone.
    Hub,
    /// The class `Region` alone.
    Regions,
    /// Both classes.
    All,
}

impl Objects {
    fn classes(self) -> &'static [(&'static str, &'static str, &'static str)] {
        // Class, binding, service.
        const HUB: (&str, &str, &str) = ("Hub", "HUB", "hub");
        const REGION: (&str, &str, &str) = ("Region", "REGION", "regions");
        match self {
            Self::None => &[],
            Self::Hub => &[HUB],
            Self::Regions => &[REGION],
            Self::All => &[HUB, REGION],
        }
    }
}

/// What the edge is started from.
#[derive(Clone, Debug)]
pub struct WorkerdConfig {
    /// The folder with `index.js` and `index_bg.wasm`.
    pub modules: PathBuf,
    /// Own folder: configuration, disk of the Durable Object.
    pub folder: PathBuf,
    /// Where the output goes.
    pub log: PathBuf,
    /// The Worker's variables.
    pub vars: Vec<(String, String)>,
    /// `host:port` of each gate. The first one also takes what the control plane sends.
    pub gates: Vec<String>,
    /// Where KV lives: outside, so that tests can see it; `None` leaves it unbound.
    pub store: bool,
    /// A KV namespace of the test's own instead, at `host:port`: see [`crate::Kv`].
    pub kv: Option<String>,
    /// The Durable Objects.
    pub objects: Objects,
    /// With a Cache API, one for all gates of the process.
    pub cache: bool,
    /// Further variables of the process's environment.
    pub environment: Vec<(String, String)>,
}

/// A running workerd.
#[derive(Debug)]
pub struct Workerd {
    config: WorkerdConfig,
    process: Process,
}

impl Workerd {
    /// Writes the configuration and starts workerd. It listens shortly after; see [`Workerd::listening`].
    pub fn start(config: WorkerdConfig) -> io::Result<Self> {
        let process = launch(&config)?;
        Ok(Self { config, process })
    }

    /// Whether every gate accepts connections.
    pub async fn listening(&self) -> bool {
        for gate in &self.config.gates {
            if tokio::net::TcpStream::connect(gate).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits until it listens, or says why it never will.
    pub async fn wait(&mut self) -> io::Result<()> {
        let looking = async {
            while !self.listening().await {
                if let Some(status) = self.process.ended() {
                    let log = fs::read_to_string(&self.config.log).unwrap_or_default();
                    return Err(io::Error::other(format!("workerd ended with {status}:\n{log}")));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        match tokio::time::timeout(Duration::from_secs(20), looking).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "workerd does not listen")),
        }
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with the same disk and ports, after a kill or a stop.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.process.stop();
        self.process = launch(&self.config)?;
        self.wait().await
    }

    /// Removes what the Durable Objects stored. Only while it is stopped.
    pub fn wipe_disk(&self) -> io::Result<()> {
        let disk = disk(&self.config.folder);
        fs::remove_dir_all(&disk)?;
        fs::create_dir_all(disk)
    }

    /// Replaces what was added to the process's environment, for the next start.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.config.environment = environment;
    }

    /// Another build of the Worker, from the next start on.
    pub fn set_modules(&mut self, modules: PathBuf) {
        self.config.modules = modules;
    }

    /// Copies what the Durable Objects stored to a folder, or back. Only while it is stopped.
    pub fn copy_disk(&self, to: &Path, back: bool) -> io::Result<()> {
        let disk = disk(&self.config.folder);
        let (from, to) = if back {
            (to, disk.as_path())
        } else {
            (disk.as_path(), to)
        };
        let _ = fs::remove_dir_all(to);
        files::copy_folder(from, to)
    }

    /// Changes a variable for the next start.
    pub fn set_var(&mut self, name: &str, value: &str) {
        self.config.vars.retain(|(have, _)| have != name);
        self.config.vars.push((name.to_owned(), value.to_owned()));
    }
}

/// The Durable Object's folder.
fn disk(folder: &Path) -> PathBuf {
    folder.join("objects")
}

fn launch(config: &WorkerdConfig) -> io::Result<Process> {
    fs::create_dir_all(disk(&config.folder))?;
    // A copy: a build that runs meanwhile must not change what is under test.
    for module in ["index.js", "index_bg.wasm"] {
        let from = config.modules.join(module);
        let to = config.folder.join(module);
        if from.exists() {
            fs::copy(&from, &to)?;
        } else if module == "index.js" {
            let hint = "build the Worker first (make test and make dev do it)";
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is missing: {hint}", from.display()),
            ));
        }
    }
    fs::write(config.folder.join("store.js"), include_str!("store.js"))?;
    fs::write(config.folder.join("cache.js"), include_str!("cache.js"))?;
    let file = config.folder.join("edge.capnp");
    fs::write(&file, capnp(config))?;

    let mut command = Command::new(files::workerd()?);
    command.process_group(0);
    command.envs(config.environment.iter().cloned());
    command.arg("serve").arg(&file).arg("--experimental");
    command.arg(format!(
        "--directory-path=objects={}",
        disk(&config.folder).display()
    ));
    for (number, address) in config.gates.iter().enumerate() {
        command.arg(format!("--socket-addr=gate{number}={address}"));
    }
    Process::spawn("workerd", command, &config.log)
}

/// The whole configuration as text.
fn capnp(config: &WorkerdConfig) -> String {
    let wasm = if config.folder.join("index_bg.wasm").exists() {
        "\n    (name = \"./index_bg.wasm\", wasm = embed \"index_bg.wasm\"),"
    } else {
        ""
    };
    let store = match (&config.kv, config.store) {
        (Some(_), _) => ",\n    (name = \"SNAPSHOT\", kvNamespace = \"kv\")",
        (None, true) => ",\n    (name = \"SNAPSHOT\", kvNamespace = (name = \"store\", entrypoint = \"KV\"))",
        (None, false) => "",
    };
    // Bare workerd has none, and the Cache API throws.
    let cache = if config.cache {
        "  cacheApiOutbound = \"cache\",\n"
    } else {
        ""
    };
    let vars: String = config.vars.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = write!(text, ",\n    (name = {}, text = {})", quoted(name), quoted(value));
        text
    });
    let classes = config.objects.classes();
    let objects: String = classes.iter().fold(String::new(), |mut text, (class, binding, service)| {
        let _ = write!(
            text,
            "(name = \"{binding}\", durableObjectNamespace = (className = \"{class}\", serviceName = \"{service}\")),\n    "
        );
        text
    });
    let mut services = String::new();
    if let Some(address) = &config.kv {
        let _ = writeln!(
            services,
            "    (name = \"kv\", external = (address = \"{address}\", http = ())),"
        );
    }
    let mut sockets = String::new();
    let mut workers = String::new();
    let common = format!(
        "modules = [\n    (name = \"index.js\", esModule = embed \"index.js\"),{wasm}\n  ],\n  \
         compatibilityDate = \"{COMPATIBILITY_DATE}\",\n"
    );
    let bindings =
        format!("bindings = [\n    {objects}(name = \"HARNESS\", text = \"1\"){store}{vars}\n  ],\n{cache}");
    for number in 0..config.gates.len() {
        let _ = writeln!(services, "    (name = \"gate{number}\", worker = .gate{number}),");
        let _ = writeln!(
            sockets,
            "    (name = \"gate{number}\", http = (), service = \"gate{number}\"),"
        );
        let _ = write!(
            workers,
            "\nconst gate{number} :Workerd.Worker = (\n  {common}  {bindings});\n"
        );
    }
    for (class, _, service) in classes {
        let _ = writeln!(services, "    (name = \"{service}\", worker = .{service}),");
        let _ = write!(
            workers,
            "\nconst {service} :Workerd.Worker = (\n  {common}  durableObjectNamespaces = [(className = \"{class}\", \
             uniqueKey = \"{service}\", enableSql = true)],\n  durableObjectStorage = (localDisk = \"objects\"),\n  {bindings});\n"
        );
    }
    // For a profile: `WORKERD_V8_FLAGS=--perf-basic-prof`.
    let flags = files::variable("WORKERD_V8_FLAGS").unwrap_or_default();
    let flags: Vec<String> = flags.split_whitespace().map(quoted).collect();
    let flags = flags.join(", ");
    format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n
const config :Workerd.Config = (
  services = [
{services}    (name = \"store\", worker = .store),
    (name = \"cache\", worker = .cache),
    (name = \"objects\", disk = (writable = true)),
    (name = \"internet\", network = (allow = [\"public\", \"private\", \"local\"])),
  ],
  sockets = [
{sockets}  ],
  v8Flags = [{flags}],
);
{workers}
const cache :Workerd.Worker = (
  modules = [(name = \"cache.js\", esModule = embed \"cache.js\")],
  compatibilityDate = \"{COMPATIBILITY_DATE}\",
);

const store :Workerd.Worker = (
  modules = [(name = \"store.js\", esModule = embed \"store.js\")],
  compatibilityDate = \"{COMPATIBILITY_DATE}\",
);
"
    )
}

/// A capnp text literal.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push_str("\\n"),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}
