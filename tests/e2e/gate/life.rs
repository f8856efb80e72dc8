//! From the first start to the last request: nobody before the feed was heard, revocation within the receipt, the control plane gone
//! and back, and an end that is in order.

use e2e::{Request, http, wait};
use serde_json::json;

use super::{Gate, PATH, STRICT, WAIT, spawn};
use crate::library::Example;
use crate::support::assert_invalid_token;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_receipt_nothing_gets_in_and_stale_is_said() {
    let mut gate = Gate::start().await;
    let ask = |number: usize| match number {
        0 => Request::get(PATH),
        1 => Request::verify("GET", PATH),
        2 => Request::get("/.portcullis/ext_authz/v1/memory/x"),
        _ => Request::get(STRICT),
    };
    for number in 0..4 {
        let victim = gate.key("admin").await;
        // Questions have an address of their own.
        let caller = match number {
            1 | 2 => gate.asker(&victim.key),
            _ => gate.caller(&victim.key),
        };
        assert_eq!(caller.send(ask(number)).await.status, 200, "{number}");
        let receipt = gate
            .stack
            .admin()
            .revoke(&victim.id, None)
            .await
            .expect(200)
            .json();
        assert_eq!(receipt["pending"], json!([]), "{receipt}");
        assert!(
            receipt["acknowledged"].to_string().contains("\"app\""),
            "{receipt}"
        );
        assert_invalid_token(&caller.send(ask(number)).await, "revoked");
    }
    // A key that the gate has never seen, revoked before it saw it.
    let unseen = gate.stack.admin().key("read").await;
    gate.stack.admin().revoke(&unseen.id, None).await.expect(200);
    assert_invalid_token(&gate.caller(&unseen.key).get(PATH).await, "revoked unseen");

    // Cut off, it goes on within the bound, and then says that it cannot know; never 401.
    let admin = gate.caller(&gate.stack.admin_key.clone());
    admin.get(PATH).await.expect(200);
    gate.stack.control.kill();
    let seen = std::sync::Mutex::new(Vec::new());
    wait::until_true("it is too old", WAIT, || async {
        let answer = admin.get(PATH).await;
        seen.lock().unwrap().push(answer.status);
        answer.status == 503
            && answer.json()["code"] == "state_stale"
            && answer.header("retry-after") == Some("1")
    })
    .await;
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen[0], 200, "it went on: {seen:?}");
    assert!(seen.iter().all(|status| matches!(status, 200 | 503)), "{seen:?}");
    let (status, health) = gate.health().await;
    assert_eq!(
        (status, &health["status"]),
        (503, &json!("not_ready")),
        "{health}"
    );
    assert_eq!(admin.send(Request::get(STRICT)).await.status, 503);
    let asker = gate.asker(&gate.stack.admin_key.clone());
    for (request, expected) in [
        (Request::verify("GET", PATH), 503),
        (Request::get("/.portcullis/ext_authz/v1/memory/x"), 503),
        // nginx knows only three answers.
        (
            Request::get("/.portcullis/verify?answers=auth_request")
                .header("x-original-method", "GET")
                .header("x-original-uri", PATH),
            403,
        ),
    ] {
        assert_eq!(asker.send(request).await.status, expected);
    }
    let live = http::once(&gate.status.address(), &Request::get("/health/live"))
        .await
        .unwrap();
    assert_eq!(live.status, 200, "it is alive, and says what it cannot");

    // And back, with what happened meanwhile.
    gate.stack.control.serve().unwrap();
    gate.stack.control.wait().await.unwrap();
    gate.ready().await;
    admin.get(PATH).await.expect(200);

    // What was counted.
    let metrics = http::once(&gate.status.address(), &Request::get("/metrics"))
        .await
        .unwrap()
        .text();
    for line in [
        "portcullis_gate_ready 1",
        "portcullis_gate_decisions_total{outcome=\"revoked\"}",
        "portcullis_gate_decisions_total{outcome=\"state_stale\"}",
        "portcullis_gate_contact_age_seconds 0.",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_before_the_feed_was_heard_and_the_wrong_root_is_never_heard() {
    let (mut stack, vars) = Example::scene().await;
    let other_root = shared::crypto::base64url(&[7; 32]);
    stack.control.stop();
    let gate = |root: Option<&str>, stack: &e2e::Stack| {
        let (port, status) = (e2e::Port::reserve(), e2e::Port::reserve());
        let mut command = stack.control.command(&["gate"]).unwrap();
        command
            .envs(vars.clone())
            .env("ORIGIN", stack.origin.url())
            .env("GATE_LISTEN", port.address())
            .env("GATE_STATUS_LISTEN", status.address());
        if let Some(root) = root {
            command.env("ROOT_KEY", root);
        }
        (spawn(stack, command), port, status)
    };
    let mut right = gate(None, &stack);
    let mut wrong = gate(Some(&other_root), &stack);
    let listens = async |status: &e2e::Port| {
        wait::until_true("it listens", WAIT, || async {
            http::once(&status.address(), &Request::get("/health/live"))
                .await
                .is_ok()
        })
        .await;
    };
    listens(&right.2).await;
    listens(&wrong.2).await;
    let ask = async |port: &e2e::Port, path: &str| {
        let request = Request::get(path).bearer(&stack.admin_key);
        http::once(&port.address(), &request).await.unwrap().status
    };
    for path in [PATH, "/public/x"] {
        assert_eq!(ask(&right.1, path).await, 503, "{path}");
    }
    stack.control.serve().unwrap();
    stack.control.wait().await.unwrap();
    wait::until_true("the right one hears it", WAIT, || async {
        ask(&right.1, PATH).await == 200
    })
    .await;
    let health = http::once(&wrong.2.address(), &Request::get("/health/ready"))
        .await
        .unwrap();
    assert_eq!(health.status, 503);
    wait::until_true("the wrong one says why", WAIT, || async {
        let health = http::once(&wrong.2.address(), &Request::get("/health/ready"))
            .await
            .unwrap();
        health.json()["refused"].is_string()
    })
    .await;
    for path in [PATH, "/public/x"] {
        assert_eq!(ask(&wrong.1, path).await, 503, "{path}");
    }
    right.0.stop();
    wrong.0.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_when_what_is_open_has_ended() {
    let mut gate = Gate::start().await;
    let key = gate.key("read").await.key;
    let (address, host) = (gate.port.address(), gate.port.address());
    let open = tokio::spawn(async move {
        let request = Request::get("/v1/memory/x?demo=stream&chunks=20").bearer(&key);
        http::once(&address, &request).await
    });
    let upstream = &gate.stack.origin;
    wait::until_true("the request is there", WAIT, || async {
        !upstream.seen().is_empty()
    })
    .await;
    gate.process.stop();
    let answer = open.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.text().lines().count()), (200, 20));
    assert!(
        http::once(&host, &Request::get("/public/x")).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_by_the_option_that_is_wrong() {
    let (stack, vars) = Example::scene().await;
    let run = |change: &[(&str, &str)]| {
        let mut command = stack.control.command(&["gate"]).unwrap();
        let listen = e2e::Port::reserve();
        let status = e2e::Port::reserve();
        command
            .envs(vars.clone())
            .env("GATE_LISTEN", listen.address())
            .env("GATE_STATUS_LISTEN", status.address());
        for (name, value) in change {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), said)
    };
    for (change, expected) in [
        (
            ("UPLINK_KEY", ""),
            "no uplink key: give --uplink-key-file or set UPLINK_KEY",
        ),
        (
            ("UPLINK_KEY", "short"),
            "--uplink-key: expected a key that was made by `portcullis edge key`",
        ),
        (
            ("ROOT_KEY", "short"),
            "--root-key: expected base64url of 32 bytes",
        ),
        (("FEED_ID", "07"), "--feed-id: expected 32 lower-case hex digits"),
        (
            ("ENVIRONMENTS", "prod"),
            "--environments: expected some of live, test, dev",
        ),
        (
            ("ASSERTION_KEY", "AAAA"),
            "--assertion-key: expected base64url of 32 bytes",
        ),
        (
            ("ORIGIN", "ftp://x"),
            "--upstream: expected http(s)://host[:port][/path]",
        ),
        (
            ("CONTROL_PLANE", "x"),
            "--control-plane: expected http(s)://host[:port][/path]",
        ),
        (("ISSUER", ""), "--issuer <URL>"),
        (("GATE_LISTEN", "nowhere"), "--listen <ADDRESS>"),
    ] {
        let (code, said) = run(&[change]);
        assert_eq!(code, Some(2), "{change:?}: {said}");
        assert!(said.contains(expected), "{change:?}: {said}");
        assert!(!said.contains(&vars.last().unwrap().1), "no secret in {said}");
    }
    let help = stack.control.run(&["gate", "--help"]).unwrap();
    for word in [
        "auth_request",
        "forwardAuth",
        "ext_authz",
        "--uplink-key-file",
        "Examples:",
        "/health/ready",
    ] {
        assert!(help.contains(word), "{word}");
    }
}
