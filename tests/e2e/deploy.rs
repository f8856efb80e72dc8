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
    let init: &[&str] = &[
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
    // With the addresses of this machine it would be of no use anywhere else.
    let refused = stack.control.run(init).unwrap_err().to_string();
    assert!(refused.contains("`issuer` is http://127.0.0.1"), "{refused}");
    let mut control = stack.control.beside();
    control.set_environment(
        [
            ("PORTCULLIS_ISSUER", "https://auth.example.com"),
            ("PORTCULLIS_RESOURCE", "https://api.example.com"),
            ("PORTCULLIS_EDGES", "hub=https://api.example.com"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
    );
    let said = control.run(init).unwrap();
    for line in [
        "npx wrangler deploy --config",
        "admits:   live,test,dev",
        "portcullis doctor --issuer https://auth.example.com --edge https://api.example.com",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }

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
    assert!(
        configuration.contains("ENVIRONMENTS = \"live,test,dev\""),
        "{configuration}"
    );
    for line in control.run(&["feed", "trust"]).unwrap().lines() {
        let (name, value) = line.split_once('=').unwrap();
        assert!(
            configuration.contains(&format!("{name} = \"{value}\"")),
            "{name} in {configuration}"
        );
    }

    // A second time: nothing is written over, and with --force no secret.
    let again = control.run(init).unwrap_err().to_string();
    assert!(again.contains("is there already"), "{again}");
    control
        .run(&[init, &["--force", "--environments", "live"]].concat())
        .unwrap();
    assert_eq!(fs::read_to_string(&secrets).unwrap(), text);
    let again = fs::read_to_string(folder.join("wrangler.production.toml")).unwrap();
    assert!(again.contains("ENVIRONMENTS = \"live\""), "{again}");

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
