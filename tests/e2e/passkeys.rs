//! Passkeys in a real browser: Chromium with a virtual authenticator adds one and signs in with it.

use std::path::PathBuf;

use e2e::{ControlPlane, ControlPlaneConfig, Port, files};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_adds_a_passkey_and_signs_in_with_it() {
    let chromium = chromium().expect(
        "this test needs Chromium: put `chromium` or `google-chrome` on PATH, or its path into PORTCULLIS_CHROMIUM",
    );
    let folder = tempfile::tempdir().unwrap();
    let (port, edge) = (Port::reserve(), Port::reserve());
    let mut control = ControlPlane::prepare(ControlPlaneConfig {
        folder: folder.path().join("control-plane"),
        log: folder.path().join("control-plane.log"),
        port: port.number(),
        resource: edge.url(),
        edge: edge.url(),
        database_url: None,
        extra: String::new(),
        environment: Vec::new(),
    })
    .unwrap();
    // Passkeys belong to a name.
    let issuer = format!("http://localhost:{}", port.number());
    let file = control.folder().join("portcullis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let named = text.replace(
        &format!("issuer = \"{}\"", port.url()),
        &format!("issuer = \"{issuer}\""),
    );
    assert_ne!(named, text, "the issuer is in the file");
    std::fs::write(&file, named).unwrap();
    control.serve().unwrap();
    control.wait().await.unwrap();

    let bootstrap = control.bootstrap().unwrap();
    let root = files::root();
    let done = tokio::process::Command::new(root.join("node_modules/.bin/node"))
        .arg(root.join("tests/clients/passkeys.mjs"))
        .env("ISSUER", &issuer)
        .env("EMAIL", bootstrap.get("admin_email").unwrap_or("admin@localhost"))
        .env("PASSWORD", bootstrap.get("admin_password").expect("a password"))
        .env("CHROMIUM", chromium)
        .kill_on_drop(true)
        .output()
        .await
        .expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        done.status.success() && text(&done.stdout).ends_with("all good\n"),
        "{}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
}

/// The browser's program.
fn chromium() -> Option<PathBuf> {
    if let Some(named) = files::variable("PORTCULLIS_CHROMIUM") {
        return Some(PathBuf::from(named));
    }
    let folders = files::variable("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    ["chromium", "google-chrome"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.exists())
}
