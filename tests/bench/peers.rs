//! The Workers that ours is measured against: `peers/NAME.js`, bundled, each in a workerd of its own.

use std::{fs, path::Path, process::Command};

use e2e::{Objects, Port, Workerd, WorkerdConfig, files};

use crate::world::Failure;

/// Starts one, with a KV namespace if it wants one.
pub(crate) async fn start(
    folder: &Path,
    name: &str,
    vars: Vec<(String, String)>,
    store: bool,
) -> Result<(Workerd, Port), Failure> {
    let folder = folder.join(format!("{name}{}", vars.len()));
    let modules = folder.join("modules");
    fs::create_dir_all(&modules)?;
    let source = files::root().join("tests/bench/peers").join(format!("{name}.js"));
    let bundled = Command::new(files::root().join("node_modules/.bin/esbuild"))
        .arg(source)
        .args([
            "--bundle",
            "--format=esm",
            "--log-level=warning",
            "--external:cloudflare:*",
        ])
        .arg("--conditions=workerd,worker,browser")
        .arg(format!("--outfile={}", modules.join("index.js").display()))
        .status()?;
    if !bundled.success() {
        return Err(format!("esbuild did not bundle the Worker '{name}'").into());
    }
    let port = Port::reserve();
    let mut workerd = Workerd::start(WorkerdConfig {
        modules,
        log: folder.join("log"),
        folder,
        vars,
        gates: vec![port.address()],
        store,
        kv: None,
        objects: Objects::None,
        cache: false,
        environment: Vec::new(),
    })?;
    workerd.wait().await?;
    Ok((workerd, port))
}
