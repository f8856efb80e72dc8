//! The control plane's program: its configuration, its first start, its process.
//!
//! Talks to it only as an operator does: a configuration file, the command line, the 0600 file with the first secrets.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    files,
    http::{self, Request},
    postgres,
    process::{self, Process},
};

/// The file that the first start leaves its secrets in.
const BOOTSTRAP: &str = "bootstrap.json";

/// What a control plane is started from.
#[derive(Clone, Debug)]
pub struct ControlPlaneConfig {
    /// Own folder: configuration file, master key, SQLite database, first secrets.
    pub folder: PathBuf,
    /// Where the output goes.
    pub log: PathBuf,
    /// The port to listen on, on 127.0.0.1.
    pub port: u16,
    /// The edge's public URL: also the demo API's resource identifier.
    pub resource: String,
    /// Where frames are pushed to; the edge itself, or a recorder before it.
    pub edge: String,
    /// A database other than the SQLite file in the folder.
    pub database_url: Option<String>,
    /// Further lines of the configuration file.
    pub extra: String,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// What the first start gives away once.
#[derive(Clone, Debug, Default)]
pub struct Bootstrap(BTreeMap<String, String>);

impl Bootstrap {
    /// One value by name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A control plane: prepared, and perhaps running.
#[derive(Debug)]
pub struct ControlPlane {
    config: ControlPlaneConfig,
    process: Option<Process>,
}

impl ControlPlane {
    /// Writes the configuration and runs `portcullis migrate`. Nothing listens yet. Repeating it keeps all data.
    pub fn prepare(config: ControlPlaneConfig) -> io::Result<Self> {
        fs::create_dir_all(&config.folder)?;
        fs::write(config.folder.join("portcullis.toml"), toml(&config))?;
        let control = Self {
            config,
            process: None,
        };
        control.run(&["migrate"])?;
        Ok(control)
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.config.port)
    }

    /// What it is started from.
    pub fn config(&self) -> &ControlPlaneConfig {
        &self.config
    }

    /// Replaces what was added to its environment, for the next start.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.config.environment = environment;
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// The URL of its database.
    pub fn database_url(&self) -> String {
        let file = self.config.folder.join("portcullis.db");
        let own = || format!("sqlite://{}", file.display());
        self.config.database_url.clone().unwrap_or_else(own)
    }

    /// Another database from the next start or command on; gives the URL of the former.
    pub fn use_database(&mut self, url: &str) -> String {
        let former = self.database_url();
        self.config.database_url = Some(url.to_owned());
        former
    }

    /// A new PostgreSQL database without anything in it, on the test run's server.
    pub fn new_postgres() -> String {
        postgres::database()
    }

    /// The same installation, for commands only: it may be pointed at another database.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            config: self.config.clone(),
            process: None,
        }
    }

    /// Its database is gone and an empty one is there, as on a new disk. It must not run.
    pub fn wipe_database(&self) -> io::Result<()> {
        if self.config.database_url.is_some() {
            self.query("DROP SCHEMA public CASCADE")?;
            return self.query("CREATE SCHEMA public").map(drop);
        }
        for file in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
            match fs::remove_file(self.config.folder.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// A command to be run like `portcullis <args>` in its folder.
    pub fn command(&self, args: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(files::portcullis()?);
        command
            .args(args)
            .current_dir(&self.config.folder)
            .process_group(0);
        for name in files::variables("PORTCULLIS_") {
            command.env_remove(name);
        }
        command.env_remove("DATABASE_URL");
        command.envs(self.config.environment.iter().cloned());
        if let Some(url) = &self.config.database_url {
            command.env("DATABASE_URL", url);
        }
        Ok(command)
    }

    /// Runs `portcullis <args>` to its end and gives what it printed; its errors go to the log.
    pub fn run(&self, args: &[&str]) -> io::Result<String> {
        let output = self.command(args)?.stdin(Stdio::null()).output()?;
        process::append(&self.config.log)?.write_all(&output.stderr)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "portcullis {} ended with {}: {errors}",
            args.join(" "),
            output.status
        )))
    }

    /// The secrets of the first start, from the file it wrote.
    pub fn bootstrap(&self) -> io::Result<Bootstrap> {
        let text = fs::read_to_string(self.config.folder.join(BOOTSTRAP))?;
        serde_json::from_str(&text)
            .map(Bootstrap)
            .map_err(io::Error::other)
    }

    /// Runs a statement on its database, for tests that need more rows than requests can make.
    pub fn execute(&self, sql: &str) -> io::Result<()> {
        let own = self.config.folder.join("portcullis.db");
        let file = match &self.config.database_url {
            None => own,
            Some(url) => match url.strip_prefix("sqlite://") {
                Some(file) => self.config.folder.join(file),
                None => return postgres::query(url, sql).map(|_| ()),
            },
        };
        let script = "const { DatabaseSync } = require('node:sqlite');
            new DatabaseSync(process.argv[1]).exec(process.argv[2]);";
        let output = Command::new(files::root().join("node_modules/.bin/node"))
            .args(["--no-warnings", "-e", script])
            .arg(file)
            .arg(sql)
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    /// The only value of a query of its database, for tests that count what it keeps.
    pub fn query(&self, sql: &str) -> io::Result<String> {
        let own = self.config.folder.join("portcullis.db");
        let file = match &self.config.database_url {
            None => own,
            Some(url) => match url.strip_prefix("sqlite://") {
                Some(file) => self.config.folder.join(file),
                None => return postgres::query(url, sql),
            },
        };
        let script = "const { DatabaseSync } = require('node:sqlite');
            const database = new DatabaseSync(process.argv[1], { readOnly: true });
            console.log(Object.values(database.prepare(process.argv[2]).get())[0]);";
        let output = Command::new(files::root().join("node_modules/.bin/node"))
            .args(["--no-warnings", "-e", script])
            .arg(file)
            .arg(sql)
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    /// Counts, fifty times a second until it is ended, the connections to its PostgreSQL that wait for another's row.
    pub fn watch_locks(&self) -> io::Result<LockWatch> {
        let url = self.config.database_url.as_deref();
        let url = url.ok_or_else(|| io::Error::other("only PostgreSQL says who waits"))?;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        Ok(LockWatch(postgres::ask_repeatedly(url, sql)?))
    }

    /// The variables with which an edge trusts this feed.
    pub fn trust(&self) -> io::Result<Vec<(String, String)>> {
        Ok(pairs(&self.run(&["feed", "trust"])?.replace(' ', "\n"))
            .into_iter()
            .collect())
    }

    /// Starts `portcullis serve`. It answers shortly after; see [`ControlPlane::wait`].
    pub fn serve(&mut self) -> io::Result<()> {
        self.process = Some(Process::spawn(
            "portcullis",
            self.command(&["serve"])?,
            &self.config.log,
        )?);
        Ok(())
    }

    /// Waits until `/health/ready` answers 200, or says why it never will.
    pub async fn wait(&mut self) -> io::Result<()> {
        let (address, probe) = (self.address(), Request::get("/health/ready"));
        let mut last = String::from("no connection");
        let looking = async {
            loop {
                match http::once(&address, &probe).await {
                    Ok(answer) if answer.status == 200 => return Ok(()),
                    Ok(answer) => last = answer.text(),
                    Err(error) => last = error.to_string(),
                }
                if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                    let log = fs::read_to_string(&self.config.log).unwrap_or_default();
                    return Err(io::Error::other(format!(
                        "portcullis ended with {status}:\n{log}"
                    )));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), looking).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("portcullis is not ready: {last}"),
            )),
        }
    }

    /// The running process.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// TERM.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again after a kill or a stop, and waits.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop();
        self.serve()?;
        self.wait().await
    }
}

/// See [`ControlPlane::watch_locks`].
#[derive(Debug)]
pub struct LockWatch(Child);

impl LockWatch {
    /// How many waited, on average; `None` if it was over before the first look.
    pub fn end(mut self) -> io::Result<Option<f64>> {
        self.0.kill()?;
        let mut text = String::new();
        if let Some(mut output) = self.0.stdout.take() {
            output.read_to_string(&mut text)?;
        }
        self.0.wait()?;
        let counts: Vec<f64> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let number = counts.len() as f64;
        Ok((!counts.is_empty()).then(|| counts.iter().sum::<f64>() / number))
    }
}

fn toml(config: &ControlPlaneConfig) -> String {
    let ControlPlaneConfig {
        port,
        resource,
        edge,
        extra,
        ..
    } = config;
    format!(
        "listen = \"127.0.0.1:{port}\"\nissuer = \"http://127.0.0.1:{port}\"\nresource = \"{resource}\"\n\
         database_url = \"sqlite://portcullis.db\"\nmaster_key_file = \"master.key\"\n\
         bootstrap_file = \"{BOOTSTRAP}\"\ndev = true\n{extra}\n[[edges]]\nname = \"hub\"\nurl = \"{edge}\"\n"
    )
}

/// `NAME=value` lines.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        .collect()
}
