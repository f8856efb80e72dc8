//! A private PostgreSQL for tests: a fresh cluster in a temporary folder, reachable by a unix socket only, gone with the
//! test. `TEST_POSTGRES_URL` names a server to use instead; its user must be allowed to create databases.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::Store;
use crate::config::environment_variable;

/// A running server.
pub(crate) struct TestPostgres {
    /// Of a database that exists, without its name.
    base: String,
    /// Stops with this value.
    _cluster: Option<Cluster>,
}

struct Cluster {
    folder: TempDir,
    bin: PathBuf,
}

impl TestPostgres {
    /// Starts a server, or says why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        if let Some(url) = environment_variable("TEST_POSTGRES_URL") {
            let base = url
                .rsplit_once('/')
                .map_or(url.clone(), |(base, _)| base.to_owned());
            return Ok(Self { base, _cluster: None });
        }
        let bin = find_binaries()?;
        let folder = tempfile::Builder::new()
            .prefix("pc-pg")
            .tempdir_in("/tmp")
            .map_err(|error| error.to_string())?;
        let cluster = Cluster { folder, bin };
        cluster.run("chmod", &["0755", &cluster.path("")])?;
        if is_root()? {
            cluster.run("chown", &["nobody", &cluster.path("")])?;
        }
        cluster.postgres(
            "initdb",
            &[
                "--auth=trust",
                "--username=test",
                "--no-sync",
                "-D",
                &cluster.path("data"),
            ],
        )?;
        let options = format!(
            "-k {} -c listen_addresses='' -c fsync=off -c max_connections=200",
            cluster.path("")
        );
        let log = cluster.path("log");
        cluster.postgres(
            "pg_ctl",
            &[
                "start",
                "-w",
                "-D",
                &cluster.path("data"),
                "-l",
                &log,
                "-o",
                &options,
            ],
        )?;
        let base = format!("postgres://test@localhost?host={}", cluster.path(""));
        Ok(Self {
            base,
            _cluster: Some(cluster),
        })
    }

    /// A server; or none, which fails the test unless skips were allowed.
    pub(crate) fn start_or_skip() -> Option<Self> {
        match Self::start() {
            Ok(server) => Some(server),
            Err(reason) if environment_variable("ALLOW_SKIPPED_TESTS").is_some() => {
                println!("SKIPPED: no PostgreSQL: {reason}");
                None
            }
            Err(reason) => {
                panic!("no PostgreSQL for this test: {reason}. To skip it, set ALLOW_SKIPPED_TESTS=1")
            }
        }
    }

    /// An empty, migrated database of this name.
    pub(crate) async fn database(&self, name: &str) -> Store {
        self.create(name).await;
        let store = Store::connect(&self.url(name)).await.expect("a database");
        store.migrate().await.expect("a schema");
        store
    }

    /// A database of this name without anything in it.
    pub(crate) async fn create(&self, name: &str) {
        let Ok(Store::Postgres(pool)) = Store::connect(&self.url("postgres")).await else {
            panic!("no connection to the test's PostgreSQL");
        };
        for statement in [
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("CREATE DATABASE {name}"),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&pool)
                .await
                .expect("a fresh database");
        }
        pool.close().await;
    }

    /// The URL of a database on this server.
    pub(crate) fn url(&self, database: &str) -> String {
        match self.base.split_once('?') {
            Some((base, query)) => format!("{base}/{database}?{query}"),
            None => format!("{}/{database}", self.base),
        }
    }
}

impl Cluster {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// PostgreSQL refuses to run as root: then it runs as `nobody`.
    fn postgres(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let program = self.bin.join(program).display().to_string();
        if is_root()? {
            let mut all = vec!["-u", "nobody", "--", &program];
            all.extend_from_slice(arguments);
            return self.run("runuser", &all);
        }
        self.run(&program, arguments)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        // Output goes to files: the server would inherit a pipe and keep it open.
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("setup"));
        let log = log.map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let status = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdout(log)
            .stderr(errors)
            .status()
            .map_err(|error| format!("{program}: {error}"))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(self.folder.path().join("setup")).unwrap_or_default();
        Err(format!("{program} failed: {said}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.path("data");
        if let Err(error) = self.postgres("pg_ctl", &["stop", "-m", "immediate", "-D", &data]) {
            eprintln!("the test's PostgreSQL in {data} did not stop: {error}");
        }
    }
}

fn is_root() -> Result<bool, String> {
    let Output { stdout, .. } = Command::new("id")
        .arg("-u")
        .output()
        .map_err(|error| format!("id: {error}"))?;
    Ok(stdout.trim_ascii() == b"0")
}

/// On PATH, or where Debian keeps them.
fn find_binaries() -> Result<PathBuf, String> {
    let path = environment_variable("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = path.split(':').map(PathBuf::from).chain(debian).collect();
    folders.retain(|folder| {
        ["initdb", "pg_ctl"]
            .iter()
            .all(|program| Path::new(folder).join(program).is_file())
    });
    folders
        .pop()
        .ok_or_else(|| "no initdb and pg_ctl on PATH or in /usr/lib/postgresql".to_owned())
}
