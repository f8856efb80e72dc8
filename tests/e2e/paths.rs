//! Line 9: path tricks never reach a route that the canonical path does not allow. Raw bytes in, and a look at what the
//! origin got.

use e2e::{Request, Seen, Stack};

/// What has to happen to a request without a credential.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// 400, before any policy.
    Malformed,
    /// Well-formed, but no rule lets it in: 401, 403 or 404.
    Denied,
    /// Public; the origin sees exactly this path.
    Public(&'static str),
}
use Expected::{Denied, Malformed, Public};

pub(crate) const TABLE: &[(&str, Expected)] = &[
    // Plain ones, so that the table proves something.
    ("/public/x", Public("/public/x")),
    ("/public/", Public("/public/")),
    ("/public", Public("/public")),
    ("/public/a/b/c", Public("/public/a/b/c")),
    ("/admin", Denied),
    ("/admin/users", Denied),
    // Encoded slashes and backslashes.
    ("/public/..%2fadmin", Malformed),
    ("/public/..%2Fadmin", Malformed),
    ("/public%2f..%2fadmin", Malformed),
    ("/public%2fx", Malformed),
    ("/public/x%2fy", Malformed),
    ("/public/%2e%2e%2fadmin", Malformed),
    ("/%2fpublic/x", Malformed),
    ("/public/..%5cadmin", Malformed),
    ("/public/..%5Cadmin", Malformed),
    ("/public/%5c..%5cadmin", Malformed),
    ("/public\\..\\admin", Malformed),
    ("/public/..\\admin", Malformed),
    ("/public\\x", Malformed),
    // Twice encoded.
    ("/public/%252e%252e/admin", Malformed),
    ("/public/..%252fadmin", Malformed),
    ("/public/..%255cadmin", Malformed),
    ("/public/%252f/admin", Malformed),
    ("/public/..%253b/admin", Malformed),
    ("/public/x%250d%250ay", Malformed),
    ("/public/..%20/admin", Malformed),
    ("/public/..%2520/admin", Malformed),
    // Dot segments in every disguise.
    ("/public/../admin", Malformed),
    ("/public/../admin/users", Malformed),
    ("/public/./x", Malformed),
    ("/public/..", Malformed),
    ("/public/.", Malformed),
    ("/./public/x", Malformed),
    ("/../public/x", Malformed),
    ("/public/x/../../admin", Malformed),
    ("/public/%2e%2e/admin", Malformed),
    ("/public/%2E%2E/admin", Malformed),
    ("/public/.%2e/admin", Malformed),
    ("/public/%2e./admin", Malformed),
    ("/public/%2e/x", Malformed),
    ("/public/..;/admin", Malformed),
    ("/public/..;x=y/admin", Malformed),
    ("/public/.;/admin", Malformed),
    ("/public/%2e%2e;/admin", Malformed),
    ("/public/..%3b/admin", Malformed),
    ("/public;/../admin", Malformed),
    // Empty inner segments.
    ("//public/x", Malformed),
    ("//admin", Malformed),
    ("/public//x", Malformed),
    ("/public//../admin", Malformed),
    ("/public///admin", Malformed),
    ("//", Malformed),
    ("//evil.example/public/x", Malformed),
    // Control bytes.
    ("/public/%00", Malformed),
    ("/public/x%00/../admin", Malformed),
    ("/public/%0a", Malformed),
    ("/public/%0d%0aX-Portcullis-Subject:%20usr_x", Malformed),
    ("/public/%09", Malformed),
    ("/public/%1f", Malformed),
    ("/public/%7f", Malformed),
    // Bad encodings.
    ("/public/%", Malformed),
    ("/public/%4", Malformed),
    ("/public/%zz", Malformed),
    ("/public/%u002e%u002e/admin", Malformed),
    ("/public/%ff", Malformed),
    ("/public/%c0%ae%c0%ae/admin", Malformed),
    ("/public/%c0%afadmin", Malformed),
    ("/public/%ed%a0%80", Malformed),
    // Case matters, and nothing is trimmed or guessed.
    ("/PUBLIC/x", Denied),
    ("/Public/x", Denied),
    ("/pub%6Cic/x", Public("/public/x")),
    ("/%70ublic/x", Public("/public/x")),
    ("/%61dmin/users", Denied),
    ("/publicx", Denied),
    ("/public%20/x", Denied),
    ("/%20/public/x", Denied),
    ("/public;x/y", Denied),
    ("/public.json", Denied),
    // One spelling is forwarded.
    ("/public/%7Euser", Public("/public/~user")),
    ("/public/a%2db", Public("/public/a-b")),
    ("/public/%C3%A9", Public("/public/%C3%A9")),
    ("/public/%c3%a9", Public("/public/%C3%A9")),
    ("/public/a%20b", Public("/public/a%20b")),
    // Parameters of a segment: only where all servers see the same route.
    ("/public/a;v=1", Public("/public/a;v=1")),
    ("/public/a%3Bv=1", Public("/public/a;v=1")),
    ("/public/;v=1", Public("/public/;v=1")),
    ("/public/;v=1/x", Denied),
    ("/public/a/;/x", Denied),
    ("/public/%3b/x", Denied),
    ("/;/public/x", Denied),
    ("/public%3bx/y", Denied),
    ("/public%253bx/y", Denied),
    ("/admin;x/users", Denied),
    ("/;x/admin/users", Denied),
    ("/public/...", Public("/public/...")),
    ("/public/..x", Public("/public/..x")),
    ("/public/x?next=/../admin", Public("/public/x")),
    ("/public/x?%2e%2e%2f", Public("/public/x")),
    // The absolute form names no other host's rules.
    ("http://evil.example/admin/users", Denied),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_reaches_what_its_canonical_form_may_not() {
    assert!(TABLE.len() >= 60);
    let stack = Stack::start().await;
    let mut wrong = Vec::new();
    for method in ["GET", "HEAD", "POST"] {
        for (target, expected) in TABLE {
            let status = stack.anon().send(Request::new(method, target)).await.status;
            let seen = stack.origin.take();
            let good = match expected {
                Malformed => status == 400 && seen.is_empty(),
                Denied => matches!(status, 401 | 403 | 404) && seen.is_empty(),
                Public(path) => {
                    status == 200 && seen.len() == 1 && seen[0].path == *path && seen[0].method == method
                }
            };
            if !good {
                wrong.push(format!(
                    "{method} {target}: expected {expected:?}, got {status}, origin saw {:?}",
                    paths(&seen)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        TABLE.len() * 3,
        wrong.join("\n")
    );
}

/// With a key that may read the memory: every disguise of a way from there to the administration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_key_can_not_climb_out_of_its_route() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    for (target, _) in TABLE {
        let target = target
            .replacen("/public", "/v1/memory", 1)
            .replacen("/pub%6Cic", "/v1/memor%79", 1);
        caller.send(Request::get(&target)).await;
        caller.send(Request::new("HEAD", &target)).await;
    }
    for seen in stack.origin.take() {
        let path = &seen.path;
        assert!(
            path == "/v1/memory" || path.starts_with("/v1/memory/") || path.starts_with("/public/"),
            "{path}"
        );
        let lower = path.to_ascii_lowercase();
        for trick in ["//", "/./", "/../", "%2f", "%5c", "%2e", "%00", "\\"] {
            assert!(!lower.contains(trick) && !lower.ends_with("/.."), "{path}");
        }
    }
}

/// HEAD is GET without a body, for the rules as for the origin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_judged_as_get() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    caller
        .send(Request::new("HEAD", "/v1/memory/x"))
        .await
        .expect(200);
    caller.send(Request::new("HEAD", "/admin/x")).await.expect(403);
    stack
        .anon()
        .send(Request::new("HEAD", "/v1/memory/x"))
        .await
        .expect(401);
    // Methods that no rule names, and ways to disguise one.
    caller
        .send(Request::new("PATCH", "/v1/memory/x"))
        .await
        .expect(403);
    let disguised = Request::get("/v1/memory/x").header("x-http-method-override", "DELETE");
    caller.send(disguised).await.expect(200);
    assert!(
        stack
            .origin
            .take()
            .iter()
            .all(|seen| matches!(seen.method.as_str(), "GET" | "HEAD"))
    );
}

fn paths(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.path.as_str()).collect()
}
