//! Line 5: either side can die at any moment. Nothing that was acknowledged is lost, and nothing revoked comes back.

use std::time::Duration;

use e2e::{Connection, Database, Request, Stack, wait};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::support::{assert_invalid_token, on_both_databases};

const PATH: &str = "/v1/memory/x";

on_both_databases!(
    the_edge_goes_on_without_the_control_plane,
    a_restarted_control_plane_has_lost_nothing_and_publishes_the_rest,
    killed_at_any_moment_the_control_plane_keeps_what_it_acknowledged,
);

async fn the_edge_goes_on_without_the_control_plane(database: Database) {
    let mut stack = Stack::with().database(database).gates(2).start().await;
    let admin = stack.admin();
    let (alive, revoked) = (admin.key("admin").await, admin.key("admin").await);
    admin.revoke(&revoked.id, None).await.expect(200);
    let unseen = admin.key("read").await;
    let rotating = admin.key("read").await;
    let rotated_at = Instant::now();
    let successor = admin.rotate(&rotating.id, Some(6)).await;
    // The end of the overlap has to be at the edge before the control plane goes.
    let probe = admin.key("read").await;
    admin.revoke(&probe.id, Some("ack")).await.expect(200);

    stack.control.kill();
    for gate in 0..2 {
        let caller = |key: &str| stack.caller_at(gate, key);
        for path in [PATH, "/admin/x"] {
            caller(&alive.key).get(path).await.expect(200);
            assert_invalid_token(&caller(&revoked.key).get(path).await, "revoked");
        }
        // Never seen by this machine before.
        caller(&unseen.key).get(PATH).await.expect(200);
        caller(&successor.key).get(PATH).await.expect(200);
    }
    let old = stack.caller(&rotating.key);
    wait::until_true(
        "the old key ends on time, by the edge's clock",
        Duration::from_secs(12),
        || async {
            let status = old.get(PATH).await.status;
            assert!(
                status == 200 || rotated_at.elapsed() > Duration::from_secs(4),
                "too early"
            );
            status == 401
        },
    )
    .await;
    assert!(
        rotated_at.elapsed() < Duration::from_secs(9),
        "too late: {:?}",
        rotated_at.elapsed()
    );
    stack.caller(&successor.key).get(PATH).await.expect(200);
}

async fn a_restarted_control_plane_has_lost_nothing_and_publishes_the_rest(database: Database) {
    let mut stack = Stack::with().database(database).recorded().start().await;
    let admin = stack.admin();
    let (first, second, alive) = (
        admin.key("read").await,
        admin.key("read").await,
        admin.key("read").await,
    );
    admin.revoke(&first.id, None).await.expect(200);
    // This change is accepted, but can not go out.
    stack.link.as_ref().unwrap().cut();
    admin.revoke(&second.id, Some("none")).await;
    stack.control.kill();
    stack.caller(&second.key).get(PATH).await.expect(200);
    stack.link.as_ref().unwrap().mend();
    stack.control.restart().await.unwrap();

    let caller = stack.caller(&second.key);
    wait::until_true("the rest goes out", Duration::from_secs(20), || async {
        caller.get(PATH).await.status == 401
    })
    .await;
    assert_invalid_token(&stack.caller(&first.key).get(PATH).await, "revoked before");
    stack.caller(&alive.key).get(PATH).await.expect(200);
    // All of it is still there to be administered, and new keys still work at once.
    let shown = admin
        .send(Request::get(&format!("/v1/auth/keys/{}", alive.id)))
        .await
        .expect(200);
    assert_eq!(shown.json()["id"], alive.id.as_str());
    let new = admin.key("read").await;
    stack.caller(&new.key).get(PATH).await.expect(200);
    admin.revoke(&new.id, None).await.expect(200);
    assert_invalid_token(&stack.caller(&new.key).get(PATH).await, "revoked after");
}

/// Kills at moments that nobody chose, while keys are made and revoked. What was answered must hold afterwards.
async fn killed_at_any_moment_the_control_plane_keeps_what_it_acknowledged(database: Database) {
    let mut stack = Stack::with().database(database).start().await;
    let mut kept: Vec<String> = Vec::new();
    let mut dead: Vec<String> = Vec::new();
    for round in 0..5_u64 {
        let (admin_key, address, secrets) = (
            stack.admin_key.clone(),
            stack.control.address(),
            stack.secrets.clone(),
        );
        let (begun, has_begun) = oneshot::channel();
        let mut begun = Some(begun);
        let worker = tokio::spawn(async move {
            let (mut kept, mut dead) = (Vec::new(), Vec::new());
            // Until the connection breaks.
            let Ok(mut connection) = Connection::open(&address).await else {
                return (kept, dead);
            };
            let body = serde_json::json!({ "name": "busy", "scope": "read", "environment": "live" });
            let create = Request::new("POST", "/v1/auth/keys")
                .bearer(&admin_key)
                .json(&body);
            loop {
                let Ok(answer) = connection.exchange(&create).await else {
                    return (kept, dead);
                };
                let answer = answer.expect(201).json();
                let (id, key) = (
                    answer["id"].as_str().unwrap().to_owned(),
                    answer["key"].as_str().unwrap().to_owned(),
                );
                secrets.saw(&key);
                kept.push(key.clone());
                let revoke =
                    Request::new("DELETE", &format!("/v1/auth/keys/{id}?wait=none")).bearer(&admin_key);
                let revoked = connection.exchange(&revoke).await;
                // Asked and not answered: may be either.
                kept.pop();
                let Ok(revoked) = revoked else { return (kept, dead) };
                assert!(matches!(revoked.status, 200 | 202), "{}", revoked.text());
                dead.push(key);
                if let Some(begun) = begun.take() {
                    begun.send(()).ok();
                }
                let Ok(answer) = connection.exchange(&create).await else {
                    return (kept, dead);
                };
                let key = answer.expect(201).json()["key"].as_str().unwrap().to_owned();
                secrets.saw(&key);
                kept.push(key);
            }
        });
        has_begun.await.expect("the kill comes after some work");
        // No condition: the moment of the kill is to be any.
        tokio::time::sleep(Duration::from_millis(37 * round)).await;
        stack.control.kill();
        let (more_kept, more_dead) = worker.await.unwrap();
        kept.extend(more_kept);
        dead.extend(more_dead);
        stack.control.restart().await.unwrap();
    }
    // A receipt for something new is a receipt for everything before it.
    let probe = stack.admin().key("read").await;
    let receipt = stack.admin().revoke(&probe.id, None).await.expect(200);
    assert_eq!(
        receipt.json()["pending"],
        serde_json::json!([]),
        "{}",
        receipt.text()
    );
    for key in &dead {
        assert_invalid_token(&stack.caller(key).get(PATH).await, "an answered revocation");
    }
    for key in &kept {
        stack.caller(key).get(PATH).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_edge_refuses_the_revoked_key_on_its_first_request() {
    let mut stack = Stack::with().gates(2).start().await;
    let (alive, revoked) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    stack.admin().revoke(&revoked.id, None).await.expect(200);
    for (round, path) in [(0, PATH), (1, "/admin/x"), (2, PATH)] {
        stack.edge.kill();
        // In the last round nobody could tell it anything new.
        if round == 2 {
            stack.control.kill();
        }
        stack.edge.restart().await.unwrap();
        // The very first request of this process.
        assert_invalid_token(
            &stack.caller_at(round % 2, &revoked.key).get(path).await,
            "first request",
        );
        stack.caller_at(round % 2, &alive.key).get(path).await.expect(200);
    }
}

/// An edge that has lost its disk knows nothing, so it lets nobody in, until the control plane has told it everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_without_its_disk_lets_nobody_in_until_it_was_told_everything() {
    let mut stack = Stack::start().await;
    let (alive, revoked) = (stack.admin().key("read").await, stack.admin().key("read").await);
    stack.admin().revoke(&revoked.id, None).await.expect(200);
    stack.edge.kill();
    stack.control.stop();
    stack.edge.wipe_disk().unwrap();
    stack.edge.restart().await.unwrap();
    for key in [&alive, &revoked] {
        let answer = stack.caller(&key.key).get(PATH).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    stack.control.restart().await.unwrap();
    let caller = stack.caller(&alive.key);
    wait::until_true("it was told", Duration::from_secs(20), || async {
        caller.get(PATH).await.status == 200
    })
    .await;
    assert_invalid_token(
        &stack.caller(&revoked.key).get(PATH).await,
        "revoked before the loss",
    );
}
