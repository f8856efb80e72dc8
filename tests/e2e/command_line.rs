//! Where the command line sends its key, and what it leaves in a folder that is not the server's.

use std::process::{Command, Stdio};
use std::{fs, net::TcpListener, path::Path};

use e2e::{Port, Stack, files};
use serde_json::Value;

/// The program in a folder, without anything of ours in its environment.
fn portcullis(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(files::portcullis().unwrap());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for name in files::variables("PORTCULLIS_") {
        command.env_remove(name);
    }
    command
        .env_remove("DATABASE_URL")
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhooks_address_gets_no_admin_key() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    let listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    listener.set_nonblocking(true).unwrap();
    let receiver = format!("{}/hooks", port.url());
    let run = |args: &[&str], url: Option<&str>| {
        let mut command = portcullis(folder.path(), &[&["webhooks", "-o", "json"][..], args].concat());
        command.env("PORTCULLIS_ADMIN_KEY", &stack.admin_key);
        if let Some(url) = url {
            command.env("PORTCULLIS_URL", url);
        }
        let done = command.output().unwrap();
        assert!(
            listener.accept().is_err(),
            "somebody called the webhook's address: {args:?}"
        );
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), done.stdout, errors)
    };

    let server = stack.control.url();
    let create = ["create", &receiver, "--event", "key.*"];
    let (code, made, errors) = run(&create, Some(&server));
    assert_eq!(code, Some(0), "{errors}");
    let made: Value = serde_json::from_slice(&made).unwrap();
    stack.secrets.saw(made["secret"].as_str().expect("a secret"));
    assert_eq!(made["url"], receiver.as_str());
    let id = made["id"].as_str().expect("an id");
    let (code, made, errors) = run(
        &[
            "update",
            id,
            "--to",
            &format!("{receiver}/2"),
            "--enabled",
            "false",
        ],
        Some(&server),
    );
    assert_eq!(code, Some(0), "{errors}");
    let made: Value = serde_json::from_slice(&made).unwrap();
    assert_eq!(made["url"], format!("{receiver}/2"));

    // No server is named: the key goes to the default address of this machine or nowhere, and never in the clear elsewhere.
    let (code, _, errors) = run(&create, Some("http://server.example"));
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("https only"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_lives_over_the_api() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = portcullis(folder.path(), &[&["clients", "-o", "json"][..], args].concat());
        command.env("PORTCULLIS_ADMIN_KEY", &stack.admin_key);
        command.env("PORTCULLIS_URL", stack.control.url());
        let done = command.output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{args:?}: {errors}");
        serde_json::from_slice::<Value>(&done.stdout).expect("JSON")
    };
    let secret_in = |name: &str| {
        let secret = fs::read_to_string(folder.path().join(name)).expect("a secret");
        stack.secrets.saw(secret.trim());
        secret
    };
    let ids = |list: &Value| {
        let rows = list.as_array().expect("a list").iter();
        rows.map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };

    let settings = ["--redirect-uri", "https://notes.example.com/callback", "--dpop"];
    let made = run(&[
        &[
            "create",
            "--name",
            "Notes",
            "--kind",
            "web",
            "--preset",
            "read",
            "--write-to",
            "first",
        ][..],
        &settings,
    ]
    .concat());
    assert_eq!(
        (&made["kind"], &made["dpop_bound_access_tokens"]),
        (&"web".into(), &true.into())
    );
    assert_eq!(
        (&made["client_secret"], &made["client_secret_in"]),
        (&Value::Null, &"first".into())
    );
    let id = made["id"].as_str().expect("an id");
    assert_eq!(ids(&run(&["list"])), [id]);

    let updated = run(&["update", id, "--name", "Notebook", "--dpop", "false"]);
    assert_eq!(updated, run(&["show", id]));
    assert_eq!(updated["name"], "Notebook");
    assert_eq!(updated["dpop_bound_access_tokens"], false);
    assert_eq!(
        updated["redirect_uris"], made["redirect_uris"],
        "what is not given stays"
    );

    run(&["rotate-secret", id, "--write-to", "second"]);
    assert_ne!(secret_in("first"), secret_in("second"));
    let receipt = run(&["revoke", id, "--reason", "key_compromise"]);
    assert_eq!(
        receipt["acknowledged"],
        serde_json::json!(["hub/weur"]),
        "{receipt}"
    );
    assert!(run(&["disable", id])["disabled_at"].is_string());
    assert!(ids(&run(&["list"])).is_empty());
    assert_eq!(ids(&run(&["list", "--which", "disabled"])), [id]);
}

#[test]
fn a_wrong_folder_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["clients", "installation", "list"][..],
        &[
            "clients",
            "installation",
            "create",
            "--name",
            "x",
            "--preset",
            "read",
        ],
        &["feed", "trust"],
        &["feed", "take-over"],
        &["keys", "signing", "list"],
        &["keys", "admin"],
        &["keys", "master", "rotate"],
        &["keys", "master", "lost", "--end-everything"],
        &["edge", "groups"],
        &["edge", "key", "hub"],
        &["demo", "seed"],
        &["revoke", "signing-key", "k3"],
        &["backup", "portcullis.bak"],
        &["move", "--to", "sqlite://other.db"],
    ] {
        let done = portcullis(folder.path(), args).output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {errors}");
        assert!(
            errors.contains("there is no database at sqlite://portcullis.db; run this where"),
            "{args:?}: {errors}"
        );
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{args:?} left {left:?}");
    }
}
