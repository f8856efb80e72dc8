//! I13: should the Wasm panic after all, then what the isolate forgets must not let anybody in.

use std::time::Duration;

use e2e::{Connection, Request, Stack, http, wait};

use crate::support::assert_invalid_token;

const PATH: &str = "/v1/memory/x";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_panic_a_revoked_key_is_still_refused() {
    let stack = Stack::with().test_routes().gates(2).start().await;
    let (alive, revoked) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    stack.admin().revoke(&revoked.id, None).await.expect(200);
    assert_invalid_token(&stack.caller(&revoked.key).get(PATH).await, "before");

    for round in 0..3 {
        // Nobody waits for an answer: there may be none.
        let gate = stack.gate(0);
        let mut panicking = Connection::open(&gate).await.unwrap();
        panicking
            .send(&Request::get("/.portcullis/test/panic").encode(&gate))
            .await
            .unwrap();
        // From the first answer on, on every route, with and without time to refresh.
        wait::until_true("the isolate answers again", Duration::from_secs(10), || async {
            let request = Request::get(PATH).bearer(&revoked.key);
            let answer = tokio::time::timeout(Duration::from_secs(3), http::once(&gate, &request)).await;
            let status = answer.ok().and_then(Result::ok).map(|answer| answer.status);
            assert_ne!(status, Some(200), "let in after panic {round}");
            status == Some(401)
        })
        .await;
        for path in [PATH, "/admin/x", PATH] {
            let refused = stack.caller(&revoked.key).get(path).await.status;
            assert!(matches!(refused, 401 | 503), "{path}: {refused}");
        }
        let caller = stack.caller(&alive.key);
        wait::until_true("good keys work again", Duration::from_secs(10), || async {
            caller.get(PATH).await.status == 200
        })
        .await;
        // The other gate has not noticed.
        stack.caller_at(1, &alive.key).get(PATH).await.expect(200);
    }
    let log = std::fs::read_to_string(stack.logs().join("workerd.log")).unwrap();
    assert!(log.contains("provoked by a test"), "it did panic: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_on_the_fast_path_is_answered_on_the_other() {
    let stack = Stack::with().test_routes().start().await;
    let (alive, revoked) = (stack.admin().key("read").await, stack.admin().key("read").await);
    stack.admin().revoke(&revoked.id, None).await.expect(200);
    for round in 0..3 {
        stack.caller(&alive.key).get(PATH).await.expect(200);
        assert_invalid_token(&stack.caller(&revoked.key).get(PATH).await, "before");
        // The very request that hit it gets its answer, from the module started anew.
        let answer = stack.anon().get("/.portcullis/test/panic-fast").await;
        assert_eq!(answer.status, 404, "round {round}: {}", answer.text());
        let refused = stack.caller(&revoked.key).get(PATH).await.status;
        assert!(matches!(refused, 401 | 503), "after panic {round}: {refused}");
        let caller = stack.caller(&alive.key);
        wait::until_true("good keys work again", Duration::from_secs(10), || async {
            caller.get(PATH).await.status == 200
        })
        .await;
    }
    let log = std::fs::read_to_string(stack.logs().join("workerd.log")).unwrap();
    assert!(log.contains("provoked by a test"), "it did panic: {log}");
}
