//! Signing in at the command line, and what becomes of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use e2e::{Request, Stack};
use serde_json::Value;

use crate::oauth::{App, administrator};

/// `portcullis …` as somebody whose home is the stack's folder.
fn portcullis(stack: &Stack, args: &[&str]) -> Command {
    let mut command = stack.control.command(args).expect("a command");
    command
        .env("XDG_CONFIG_HOME", stack.folder().join("home"))
        .stdin(Stdio::null());
    command
}

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(stack: &Stack, args: &[&str]) -> Done {
    let done = portcullis(stack, args).output().expect("it runs");
    Done {
        code: done.status.code(),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// Starts `portcullis login` and gives it with the code that it shows.
async fn login(stack: &Stack, decision: &str) -> Done {
    let url = stack.control.url();
    let mut child = portcullis(stack, &["login", "--url", &url, "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = child.stderr.take().expect("a pipe");
    let (code, rest) = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(errors).lines();
        let code = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let code = line.strip_prefix("type")?;
            Some(code.trim().to_owned())
        });
        (code.expect("a code"), lines)
    })
    .await
    .expect("joined");
    // Somewhere else, in a browser.
    let (email, password) = administrator(stack);
    let mut browser = App::create(stack, "memory:read");
    browser.sign_in(&email, &password).await.expect(303);
    browser.answer_device(&code, decision).await;
    tokio::task::spawn_blocking(move || {
        let err: Vec<String> = rest.map_while(Result::ok).collect();
        let done = child.wait_with_output().expect("it ends");
        Done {
            code: done.status.code(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: err.join("\n"),
        }
    })
    .await
    .expect("joined")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_in_works_and_signs_out() {
    let stack = Stack::start().await;
    // Nobody yet: one sentence, and a code of its own.
    let nobody = run(&stack, &["keys", "list"]);
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);
    assert!(nobody.err.contains("portcullis login"), "{}", nobody.err);

    let refused = login(&stack, "deny").await;
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    let signed_in = login(&stack, "allow").await;
    assert_eq!(signed_in.code, Some(0), "{}", signed_in.err);
    let answer: Value = serde_json::from_str(&signed_in.out).expect("JSON");
    assert_eq!(answer["profile"], "default");

    let file = stack.folder().join("home/portcullis/sign-ins.json");
    let mode = fs::metadata(&file).expect("kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).expect("text")).expect("JSON");
    let profile = &kept["profiles"]["default"];
    for secret in ["access_token", "refresh_token"] {
        stack.secrets.saw(profile[secret].as_str().expect("a token"));
    }

    // As that person, over the API.
    let me: Value = serde_json::from_str(&run(&stack, &["whoami", "-o", "json"]).out).expect("JSON");
    assert_eq!(me["role"], "owner", "{me}");
    let made = run(
        &stack,
        &[
            "keys", "create", "--name", "by hand", "--scope", "read", "-o", "json",
        ],
    );
    assert_eq!(made.code, Some(0), "{}", made.err);
    let key: Value = serde_json::from_str(&made.out).expect("JSON");
    stack.secrets.saw(key["key"].as_str().expect("a key"));
    let table = run(&stack, &["keys", "list", "--name", "by hand"]).out;
    assert!(table.starts_with("ID") && table.contains("by hand"), "{table}");

    // Exit codes: not there, refused, wrong.
    let id = "key_000000009";
    let missing = run(&stack, &["keys", "show", id]);
    assert_eq!(missing.code, Some(4), "{}", missing.err);
    assert!(
        missing.err.starts_with("portcullis: there is no such key"),
        "{}",
        missing.err
    );
    let owner = me["user"].as_str().expect("an id");
    assert_eq!(run(&stack, &["members", "suspend", owner]).code, Some(1));
    assert_eq!(run(&stack, &["keys", "show", "nonsense"]).code, Some(2));

    // A token that is about to end is renewed, once, for whoever asks next.
    let text = fs::read_to_string(&file).expect("text");
    let ends = profile["expires_at"].to_string();
    fs::write(&file, text.replace(&ends, "1")).expect("written");
    assert_eq!(run(&stack, &["whoami"]).code, Some(0));
    let now: Value = serde_json::from_str(&fs::read_to_string(&file).expect("text")).expect("JSON");
    let renewed = &now["profiles"]["default"];
    assert_ne!(renewed["access_token"], profile["access_token"]);
    for secret in ["access_token", "refresh_token"] {
        stack.secrets.saw(renewed[secret].as_str().expect("a token"));
    }

    // A file that others can read is not used.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changed");
    let open = run(&stack, &["whoami"]);
    assert_eq!(open.code, Some(2), "{}", open.err);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");

    // Out: here and at the server.
    let token = renewed["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(run(&stack, &["logout"]).code, Some(0));
    assert_eq!(run(&stack, &["whoami"]).code, Some(3));
    let whoami = Request::get("/v1/whoami").header("authorization", format!("Bearer {token}"));
    let answer = stack.anon_at_control().send(whoami).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
}

#[test]
fn completion_and_the_description_need_no_server() {
    let program = e2e::files::portcullis().expect("built");
    let print = |args: &[&str]| {
        let done = Command::new(&program).args(args).output().expect("it runs");
        assert!(done.status.success(), "{args:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = print(&["completion", shell]);
        assert!(
            script.contains("portcullis") && script.contains("quarantine"),
            "{shell}"
        );
    }
    let document: Value = serde_json::from_str(&print(&["openapi"])).expect("JSON");
    assert!(document["paths"].as_object().expect("paths").len() > 20);
}
