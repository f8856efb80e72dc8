//! A private PostgreSQL, one per test process, one database per stack.
//!
//! `TEST_POSTGRES_URL` names a server to use instead (its user must be allowed to create databases). PostgreSQL refuses
//! to run as root; then it runs as `nobody`. It ends with the test process, and takes its folder with it.

use std::{
    fs, io,
    io::Write as _,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{files, port::Port};

struct Server {
    /// Up to and without the database's name.
    base: String,
    /// Closing its stdin is what ends the server.
    _leash: Option<Child>,
    _port: Option<Port>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// Starts the server if it does not run yet, creates a database, and gives its URL.
pub(crate) fn database() -> String {
    let server = SERVER.get_or_init(|| match files::variable("TEST_POSTGRES_URL") {
        Some(url) => Server {
            base: without_database(&url),
            _leash: None,
            _port: None,
        },
        None => start().unwrap_or_else(|error| panic!("no PostgreSQL for the tests: {error}")),
    });
    let number = DATABASES.fetch_add(1, Ordering::SeqCst);
    let name = format!("e2e_{}_{number}", std::process::id());
    let maintenance = format!("{}/postgres", server.base);
    let created = Command::new(tool("psql"))
        .args([&maintenance, "-qc", &format!("CREATE DATABASE {name}")])
        .output()
        .expect("psql runs");
    assert!(
        created.status.success(),
        "{}",
        String::from_utf8_lossy(&created.stderr)
    );
    format!("{}/{name}", server.base)
}

/// The only value of a query.
pub(crate) fn query(url: &str, sql: &str) -> io::Result<String> {
    let output = Command::new(tool("psql")).args([url, "-Atqc", sql]).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// A query that is asked again and again in one session, until it is ended.
pub(crate) fn ask_repeatedly(url: &str, sql: &str) -> io::Result<Child> {
    let mut child = Command::new(tool("psql"))
        .args([url, "-Atq"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(input) = &mut child.stdin {
        writeln!(input, "{sql} \\watch 0.02")?;
    }
    Ok(child)
}

fn without_database(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let authority = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}")
}

fn start() -> io::Result<Server> {
    let port = Port::reserve();
    let folder = tempfile::Builder::new()
        .prefix("portcullis-pg-")
        .tempdir()?
        .keep();
    let owner = owner();
    if let Some((uid, gid)) = owner {
        chown(&folder, Some(uid), Some(gid))?;
    }
    let data = folder.join("data");
    let mut initdb = Command::new(tool("initdb"));
    initdb
        .arg("-D")
        .arg(&data)
        .args(["-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"]);
    become_owner(&mut initdb, owner, &folder);
    let output = initdb.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    // The shell is a leash: its `read` ends when this process does, however it ends.
    let script = "\"$0\" \"$@\" >\"$LOG\" 2>&1 & server=$!; read -r _; kill -INT $server; wait $server; rm -rf \"$FOLDER\"";
    let mut leash = Command::new("sh");
    leash
        .args(["-c", script])
        .arg(tool("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.number().to_string()]);
    leash
        .arg("-k")
        .arg(&folder)
        .args(["-h", "127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"]);
    leash.env("LOG", folder.join("log")).env("FOLDER", &folder);
    become_owner(&mut leash, owner, &folder);
    leash
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let leash = leash.spawn()?;
    let base = format!("postgres://postgres@127.0.0.1:{}", port.number());
    for _ in 0..500 {
        let mut ready = Command::new(tool("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.number().to_string()]);
        if ready.status()?.success() {
            return Ok(Server {
                base,
                _leash: Some(leash),
                _port: Some(port),
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let _ = io::stderr().write_all(log.as_bytes());
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "PostgreSQL does not answer",
    ))
}

/// Who PostgreSQL has to run as, if not as us.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|line| line.starts_with("nobody:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn become_owner(command: &mut Command, owner: Option<(u32, u32)>, folder: &Path) {
    command.current_dir(folder);
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
}

/// PATH first, then where Debian keeps the server's programs.
fn tool(name: &str) -> PathBuf {
    let path = files::variable("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for version in fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
    {
        folders.push(version.path().join("bin"));
    }
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}
