//! Where the built programs are.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    variable("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The Worker as built by `scripts/build-edge`; with its test-only routes if asked for. `scripts/skew` names another release's.
pub fn edge_modules(test_routes: bool) -> PathBuf {
    if let Some(other) = variable("PORTCULLIS_TEST_EDGE").filter(|_| !test_routes) {
        return PathBuf::from(other);
    }
    root()
        .join("target")
        .join(if test_routes { "edge-test" } else { "edge" })
}

/// The Python with the MCP SDK, as `scripts/env.sh` says.
pub fn mcp_python() -> io::Result<PathBuf> {
    let path = variable("MCP_PYTHON")
        .map(PathBuf::from)
        .filter(|path| path.exists());
    path.ok_or_else(|| missing("Python with the package mcp", "scripts/provision python"))
}

/// The program schemathesis, as `scripts/env.sh` says.
pub fn schemathesis() -> io::Result<PathBuf> {
    let path = variable("SCHEMATHESIS")
        .map(PathBuf::from)
        .filter(|path| path.exists());
    path.ok_or_else(|| missing("schemathesis", "scripts/provision schemathesis"))
}

/// The control plane's program. `scripts/skew` names another release's.
pub fn portcullis() -> io::Result<PathBuf> {
    variable("PORTCULLIS_TEST_SERVER").map_or_else(|| program("portcullis"), |other| Ok(PathBuf::from(other)))
}

/// A program of the workspace, next to the one that asks (so the profiles agree).
pub fn program(name: &str) -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let usual = [
        target().join("debug").join(name),
        target().join("release").join(name),
    ];
    beside
        .chain(usual)
        .find(|path| path.exists())
        .ok_or_else(|| missing(name, "cargo build --workspace --bins"))
}

/// nginx, as `scripts/env.sh` says.
pub fn nginx() -> io::Result<PathBuf> {
    let path = variable("PORTCULLIS_NGINX")
        .map(PathBuf::from)
        .filter(|path| path.exists());
    path.ok_or_else(|| missing("nginx", "scripts/provision nginx"))
}

/// workerd's real program, not npm's JS wrapper, which would be one more process to kill.
pub fn workerd() -> io::Result<PathBuf> {
    let modules = root().join("node_modules");
    let cpu = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "64"
    };
    let system = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let path = modules.join(format!("@cloudflare/workerd-{system}-{cpu}/bin/workerd"));
    if path.exists() {
        Ok(path)
    } else {
        Err(missing("workerd", "scripts/provision node"))
    }
}

/// An environment variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the tests that reads the environment"
)]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The names of all environment variables that start like this.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the tests that reads the environment"
)]
pub fn variables(prefix: &str) -> Vec<String> {
    env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

fn missing(what: &str, how: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{what} is not built: run '{how}'"),
    )
}

/// Copies a folder with everything below it.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
