//! What `portcullis edge init` writes is taken by wrangler, and a Worker with these values is fed.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::{fs, path::Path, process::Command};

use e2e::{Stack, files};

/// A folder in which the repository's build can be used.
fn clone(folder: &Path) {
    for name in ["target", "node_modules"] {
        symlink(files::root().join(name), folder.join(name)).unwrap();
    }
    fs::create_dir(folder.join("scripts")).unwrap();
    let build = folder.join("scripts/build-edge");
    let real = files::root().join("scripts/build-edge");
    fs::write(&build, format!("#!/bin/sh\nexec '{}'\n", real.display())).unwrap();
    fs::set_permissions(&build, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrangler_takes_what_edge_init_writes() {
    let stack = Stack::start().await;
    let folder = stack.folder().join("clone");
    fs::create_dir(&folder).unwrap();
    clone(&folder);
    let at = folder.display().to_string();
    let init = [
        "edge",
        "init",
        "--resource",
        "https://api.example.com",
        "--origin",
        "https://origin.example.com",
        "--domain",
        "api.example.com",
        "--kv",
        "0123456789abcdef0123456789abcdef",
        "--folder",
        &at,
    ];
    let said = stack.control.run(&init).unwrap();
    assert!(said.contains("npx wrangler deploy --config"), "{said}");

    let secrets = folder.join(".wrangler.production.secrets.json");
    let mode = fs::metadata(&secrets).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&secrets).unwrap();
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = made["ASSERTION_KEY"].as_str().expect("a key");
    assert!(!said.contains(key), "it is in the file, and nowhere else");
    assert!(made.get("UPLINK_KEY").is_none(), "this edge is pushed to");

    let configuration = fs::read_to_string(folder.join("wrangler.production.toml")).unwrap();
    assert!(!configuration.contains(key));
    for line in stack.control.run(&["feed", "trust"]).unwrap().lines() {
        let (name, value) = line.split_once('=').unwrap();
        assert!(
            configuration.contains(&format!("{name} = \"{value}\"")),
            "{name} in {configuration}"
        );
    }

    // A second time: nothing is written over, and with --force no secret.
    let again = stack.control.run(&init).unwrap_err().to_string();
    assert!(again.contains("is there already"), "{again}");
    stack.control.run(&[&init[..], &["--force"]].concat()).unwrap();
    assert_eq!(fs::read_to_string(&secrets).unwrap(), text);

    let output = Command::new(files::root().join("node_modules/.bin/wrangler"))
        .args(["deploy", "--dry-run", "--config", "wrangler.production.toml"])
        .current_dir(&folder)
        .env("WRANGLER_SEND_METRICS", "false")
        .output()
        .unwrap();
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}{errors}");
    for binding in [
        "env.HUB (Hub)",
        "env.REGION (Region)",
        "env.SNAPSHOT",
        "https://api.example.com",
        "--dry-run",
    ] {
        assert!(out.contains(binding), "{binding} in {out}");
    }
}
