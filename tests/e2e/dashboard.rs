//! The dashboard in a real browser, with a real edge behind it. Pictures are left in `target/spa`.

use e2e::{MailServer, Stack, files};

async fn run(script: &str) {
    let mail = MailServer::start().await;
    let letters = tempfile::tempdir().expect("a folder");
    let keeper = mail.keep_in(letters.path().to_owned());
    let stack = Stack::with().config(&mail.config()).start().await;
    stack.control.run(&["demo", "seed"]).expect("the demo");
    let root = files::root();
    let bootstrap = stack.control.bootstrap().expect("the first start's secrets");
    let done = tokio::process::Command::new(root.join("node_modules/.bin/node"))
        .arg(root.join("tests/dashboard").join(script))
        .env("ISSUER", stack.control.url())
        .env("EDGE", stack.edge_url())
        .env("EMAIL", bootstrap.get("admin_email").expect("an address"))
        .env("PASSWORD", bootstrap.get("admin_password").expect("a password"))
        .env("MAILS", letters.path())
        .env(
            "SHOTS",
            root.join("target/spa")
                .join(format!("dashboard-{}", script.trim_end_matches(".mjs"))),
        )
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
    println!("{}", text(&done.stdout));
    drop(keeper);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lives_and_dies() {
    run("life.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_roles_and_a_changed_route() {
    run("roles.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_accessible() {
    run("pages.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lighthouse_gives_95_of_100() {
    run("lighthouse.mjs").await;
}
