//! The example `tests/examples/nginx`, run by Debian's nginx: every request is judged by the gate before it reaches the API.

use std::process::Command;

use e2e::{Anon, EdgeCaller, Port, Process, Request, files, wait};

use super::{Gate, PATH, STRICT, WAIT};
use crate::library::Example;
use crate::paths::{Expected, TABLE};

struct Nginx {
    gate: Gate,
    port: Port,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// The example with the ports of this test, before the stack's origin.
    async fn start() -> Self {
        let scene = Example::scene().await;
        // It only answers; where requests go is nginx's business.
        let gate = Gate::before(scene, "", &[]).await;
        let port = Port::reserve();
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(files::root().join("tests/examples/nginx/nginx.conf")).unwrap();
        let mut conf = text.clone();
        for (example, ours) in [
            ("server 127.0.0.1:8788;", gate.port.address()),
            ("server 127.0.0.1:3000;", gate.stack.origin.address()),
        ] {
            assert_eq!(conf.matches(example).count(), 1, "{example}");
            conf = conf.replace(example, &format!("server {ours};"));
        }
        conf = conf.replace("listen 127.0.0.1:8080;", &format!("listen {};", port.address()));
        std::fs::write(folder.path().join("nginx.conf"), conf).unwrap();
        let mut command = Command::new(files::nginx().unwrap());
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-e", "stderr", "-c", "nginx.conf"])
            // One process of this test's own, whoever runs it.
            .args(["-g", "daemon off; master_process off;"]);
        let log = gate.stack.logs().join("nginx.log");
        let mut process = Process::spawn("nginx", command, &log).unwrap();
        let address = port.address();
        wait::until_true("nginx listens", WAIT, || async {
            tokio::net::TcpStream::connect(&address).await.is_ok()
        })
        .await;
        assert!(
            process.ended().is_none(),
            "{}",
            std::fs::read_to_string(&log).unwrap()
        );
        Self {
            gate,
            port,
            process,
            _folder: folder,
        }
    }

    fn caller(&self, credential: &str) -> EdgeCaller {
        EdgeCaller::new(&self.port.address(), credential)
    }

    fn anon(&self) -> Anon {
        Anon::new(&self.port.address())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn debians_nginx_lets_in_whom_the_gate_lets_in() {
    let mut nginx = Nginx::start().await;
    let origin = &nginx.gate.stack.origin;
    let key = nginx.gate.key("read").await;
    let caller = nginx.caller(&key.key);

    // Who it is comes from the gate, whatever the caller says; the credential goes no further.
    let spoofed = |request: Request| {
        request
            .header("X-Portcullis-Subject", "usr_forged")
            .header("x-portcullis-issuer", "forged")
            .header("X-Portcullis-Scopes", "admin")
            .header("Portcullis-Assertion", "forged")
            .header("x_portcullis_org", "org_forged")
            .header("X-Forwarded-Uri", "/public/x")
            .header("X-Original-URI", "/public/x")
            .header("X-Original-Method", "GET")
    };
    // Every header that some framework would take for the method, the path or the caller's address.
    let replacing = [
        "x-http-method",
        "x-http-method-override",
        "x-method",
        "x-method-override",
        "x-original-method",
        "x-original-uri",
        "x-original-url",
        "x-override-url",
        "x-rewrite-url",
        "x-forwarded-method",
        "forwarded",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-client-ip",
        "x_http_method_override",
    ];
    let replaced = replacing
        .into_iter()
        .fold(Request::get(PATH), |request, name| request.header(name, "forged"));
    let answer = caller.send(replaced).await;
    let seen = origin.take();
    assert_eq!((answer.status, seen.len()), (200, 1), "{seen:?}");
    assert!(!format!("{seen:?}").contains("forged"), "{seen:?}");
    assert_eq!(seen[0].headers["x-real-ip"], "127.0.0.1");
    caller
        .send(spoofed(Request::get("/v1/memory/x?q=1")))
        .await
        .expect(200);
    let seen = origin.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        (seen[0].path.as_str(), seen[0].query.as_deref()),
        (PATH, Some("q=1"))
    );
    assert_eq!(seen[0].headers["x-portcullis-credential"], key.id);
    assert_eq!(seen[0].headers["x-portcullis-scopes"], "memory:read");
    let told = format!("{:?}", seen[0].headers);
    assert!(!told.contains("forged") && !told.contains(&key.key), "{told}");

    // Nobody in particular is nobody, whatever they claim.
    nginx
        .anon()
        .send(spoofed(Request::get("/public/x")))
        .await
        .expect(200);
    let told = format!("{:?}", origin.take());
    assert!(
        !told.contains("forged") && !told.contains("x-portcullis"),
        "{told}"
    );

    // The refusals, with the challenge.
    let none = nginx.anon().send(spoofed(Request::get(PATH))).await.expect(401);
    let challenge = none.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains("resource_metadata="),
        "{challenge}"
    );
    caller
        .send(Request::new("POST", PATH).body("{}"))
        .await
        .expect(403);
    caller.get(STRICT).await.expect(403);
    caller.get("/nowhere").await.expect(403);
    let twice = Request::get(PATH).bearer(&key.key).bearer(&key.key);
    assert!(matches!(nginx.anon().send(twice).await.status, 400 | 403));
    for path in [
        "/.portcullis/ask",
        "/.portcullis/verify",
        "/.portcullis/ext_authz/public/x",
    ] {
        caller.get(path).await.expect(404);
    }
    nginx
        .anon()
        .get("/.well-known/oauth-protected-resource")
        .await
        .expect(200);
    assert!(origin.take().is_empty());

    // A body goes to the API, and not to the gate.
    let writer = nginx.gate.key("read-write").await;
    let body = "x".repeat(200_000);
    nginx.caller(&writer.key).post(PATH, &body).await.expect(200);
    assert_eq!(origin.take()[0].body, body);

    // After the receipt nothing gets in.
    let victim = nginx.gate.key("read").await;
    nginx.caller(&victim.key).get(PATH).await.expect(200);
    nginx
        .gate
        .stack
        .admin()
        .revoke(&victim.id, None)
        .await
        .expect(200);
    let refused = nginx.caller(&victim.key).get(PATH).await.expect(401);
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );

    // Cut off, nobody can know: 403 by nginx, which has no other answer.
    nginx.gate.stack.control.stop();
    wait::until_true("it is too old", WAIT, || async {
        caller.get(PATH).await.status == 403
    })
    .await;
    // Without the gate nobody gets in.
    nginx.gate.process.stop();
    assert_eq!(caller.get(PATH).await.status, 500);
    assert_eq!(nginx.anon().get("/public/x").await.status, 500);
    nginx.process.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_gets_past_nginx_and_the_gate() {
    let nginx = Nginx::start().await;
    let mut wrong = Vec::new();
    for (target, expected) in TABLE {
        let status = nginx.anon().send(Request::get(target)).await.status;
        let seen = nginx.gate.stack.origin.take();
        let good = match expected {
            Expected::Malformed | Expected::Denied => {
                matches!(status, 400 | 401 | 403 | 404) && seen.is_empty()
            }
            // nginx passes the spelling on that the client sent.
            Expected::Public(path) => {
                status == 200
                    && seen.len() == 1
                    && shared::path::canonical(&seen[0].path).as_deref() == Ok(*path)
            }
        };
        if !good {
            wrong.push(format!(
                "{target}: expected {expected:?}, got {status}, origin saw {seen:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        TABLE.len(),
        wrong.join("\n")
    );
}
