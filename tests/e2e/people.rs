//! How people come in: by mail, which a real SMTP server gets.

use e2e::{Mail, MailServer, Request, Stack};
use serde_json::json;

use crate::oauth::{App, hidden, post};

const EMAIL: &str = "carol@example.com";
const PASSWORD: &str = "correct horse battery";
const PATH: &str = "/v1/memory/x";

/// The path of the link in a mail; its secret must not be found on the disk.
fn link(stack: &Stack, mail: &Mail) -> String {
    let text = mail.text();
    let line = text.lines().find(|line| line.contains("?token="));
    let line = line.unwrap_or_else(|| panic!("no link in {text}")).trim();
    let (_, token) = line.split_once("?token=").expect("a token");
    stack.secrets.saw(token);
    line.strip_prefix(&stack.control.url())
        .expect("a page of the control plane")
        .to_owned()
}

fn token(link: &str) -> &str {
    link.split_once("?token=").expect("a token").1
}

async fn start() -> (MailServer, Stack) {
    let mail = MailServer::start().await;
    let stack = Stack::with().config(&mail.config()).start().await;
    stack.secrets.saw(PASSWORD);
    (mail, stack)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_sign_up_to_a_token_that_the_edge_takes() {
    let (mail, stack) = start().await;
    let mut app = App::create_with(&stack, "memory:read", &["--any-org"]);
    let page = app.browse(Request::get("/signup")).await.expect(200);
    let form = [
        ("csrf", &*hidden(&page, "csrf")),
        ("email", EMAIL),
        ("name", "Carol"),
        ("org", "Carol & Co"),
        ("password", PASSWORD),
    ];
    app.browse(post("/signup", &form)).await.expect(200);
    let arrived = mail.wait_for(EMAIL, 1).await;
    assert_eq!(arrived.from, "gate@example.com");
    assert_eq!(arrived.to, [EMAIL]);
    assert!(
        arrived.data.contains("Auto-Submitted: auto-generated"),
        "{}",
        arrived.data
    );
    assert!(
        arrived.data.contains("Subject: Confirm your e-mail address"),
        "{}",
        arrived.data
    );

    let link = link(&stack, &arrived);
    let page = app.browse(Request::get(&link)).await.expect(200);
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let form = [
        ("csrf", &*hidden(&page, "csrf")),
        ("token", token(&link)),
        ("password", PASSWORD),
    ];
    let answer = app.browse(post("/signup/confirm", &form)).await.expect(303);
    assert_eq!(answer.header("location"), Some("/"));
    let account = app.browse(Request::get("/account")).await.expect(200).text();
    assert!(account.contains("Carol &#38; Co"), "{account}");
    app.browse(Request::get(&link)).await.expect(404);

    // Signed in anew, and then on to an app's token, which the edge knows by the new organisation.
    let page = app.browse(Request::get("/login")).await.expect(200);
    let form = [
        ("csrf", &*hidden(&page, "csrf")),
        ("return_to", "/account"),
        ("email", EMAIL),
        ("password", PASSWORD),
    ];
    app.browse(post("/login", &form)).await.expect(303);
    let code = app.code().await;
    let (access, _) = app.tokens(app.exchange(&code).await);
    stack.caller(&access).get(PATH).await.expect(200);
    let seen = crate::support::only_seen(&stack);
    let own = stack.control.bootstrap().expect("the first start's secrets");
    assert_ne!(
        seen.headers.get("x-portcullis-org").map(String::as_str),
        own.get("org")
    );
    assert!(account.contains(&seen.headers["x-portcullis-org"]), "{account}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_from_the_command_line_and_a_new_password() {
    let (mail, stack) = start().await;
    let key = stack.control.bootstrap().expect("the first start's secrets");
    let key = key.get("admin_key").expect("a key").to_owned();
    let run = |args: &[&str]| {
        let mut command = stack.control.command(args).expect("a command");
        let output = command
            .env("PORTCULLIS_ADMIN_KEY", &key)
            .env("PORTCULLIS_URL", stack.control.url())
            .output()
            .expect("it ran");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    };
    let create = [
        "--format",
        "json",
        "invitations",
        "create",
        "--email",
        EMAIL,
        "--role",
        "viewer",
    ];
    let created = run(&create);
    assert_eq!(created["status"], "pending");
    let link_to_join = link(&stack, &mail.wait_for(EMAIL, 1).await);
    let listed = run(&["--format", "json", "invitations", "list"]);
    assert_eq!(listed[0]["id"], created["id"]);

    let mut app = App::create(&stack, "memory:read");
    let page = app.browse(Request::get(&link_to_join)).await.expect(200);
    let form = [
        ("csrf", &*hidden(&page, "csrf")),
        ("token", token(&link_to_join)),
        ("name", "Carol"),
        ("new", PASSWORD),
        ("repeat", PASSWORD),
    ];
    app.browse(post("/invitation", &form)).await.expect(303);
    let code = app.code().await;
    let (access, _) = app.tokens(app.exchange(&code).await);
    stack.caller(&access).get(PATH).await.expect(200);

    // A new password ends the session and, at the edge, what came of it.
    let page = app.browse(Request::get("/password/forgot")).await.expect(200);
    let form = [("csrf", &*hidden(&page, "csrf")), ("email", EMAIL)];
    app.browse(post("/password/forgot", &form)).await.expect(200);
    let link_to_reset = link(&stack, &mail.wait_for(EMAIL, 2).await);
    let page = app.browse(Request::get(&link_to_reset)).await.expect(200);
    let new = "another horse battery";
    stack.secrets.saw(new);
    let form = [
        ("csrf", &*hidden(&page, "csrf")),
        ("token", token(&link_to_reset)),
        ("new", new),
        ("repeat", new),
    ];
    app.browse(post("/password/reset", &form)).await.expect(200);
    app.browse(Request::get("/account")).await.expect(303);
    e2e::wait::until_true(
        "the token is dead",
        std::time::Duration::from_secs(20),
        || async { stack.caller(&access).get(PATH).await.status == 401 },
    )
    .await;
    let notice = mail.wait_for(EMAIL, 3).await;
    assert!(notice.text().contains("was changed on"), "{}", notice.text());

    let body = json!({"email": EMAIL, "role": "viewer"});
    let again = stack.anon_at_control();
    let request = Request::new("POST", "/v1/invitations").bearer(&key).json(&body);
    again.send(request).await.expect(400);
}
