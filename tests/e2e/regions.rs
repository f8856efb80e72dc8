//! Hub, regions and gates as separate processes: each killed, wiped or cut off while keys are in use. Nobody who was revoked
//! gets in after a region is done, and all of them come back by themselves.

use std::time::Duration;

use e2e::{Builder, Created, EdgeCaller, Request, Stack, wait};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::assert_invalid_token;

const PATH: &str = "/v1/memory/x";
const STRICT: &str = "/admin/x";
/// A region's lease and what the hub adds to it.
const LEASE: Duration = Duration::from_secs(6);
/// The bound of the demo's routes, and a refresh.
const BOUND: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(20);

/// Two regions, a gate at each.
fn spread() -> Builder {
    Stack::with().regions(2).gates(2).recorded()
}

/// What the edge answers to a message that it has had before: where hub and regions stand.
async fn report(stack: &Stack) -> Value {
    let pushes = stack.link.as_ref().unwrap().pushes();
    let last = pushes.iter().rev().find(|push| push.path == "/.portcullis/feed");
    let again = Request::new("POST", "/.portcullis/feed").body(&last.expect("a push").body);
    stack.anon().send(again).await.json()
}

/// One region in a report.
fn region<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut regions = report["regions"].as_array().expect("regions").iter();
    regions.find(|region| region["name"] == name).expect("the region")
}

/// Waits until the hub knows that all regions have what it has.
async fn converged(stack: &Stack) {
    wait::until_true("all regions have everything", LIMIT, || async {
        // Whoever is not asked does not pull.
        for gate in 0..2 {
            stack.caller_at(gate, &stack.admin_key).get(PATH).await;
        }
        let report = report(stack).await;
        let has_all = |region: &Value| region["seq"] == report["seq"] && region["digest"] == report["digest"];
        report["hub"] == true && report["regions"].as_array().unwrap().iter().all(has_all)
    })
    .await;
}

async fn keys(stack: &Stack) -> (Created, Created) {
    (stack.admin().key("admin").await, stack.admin().key("admin").await)
}

async fn comes_back(caller: &EdgeCaller) {
    for path in [PATH, STRICT] {
        wait::until_true("it comes back", LIMIT, || async {
            caller.get(path).await.status == 200
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_gate_learns_through_its_own_region_and_the_hub_says_which_have_what() {
    let stack = spread().start().await;
    let (alive, dead) = keys(&stack).await;
    for (gate, name) in [(0, "weur"), (1, "apac")] {
        stack.caller_at(gate, &dead.key).get(PATH).await.expect(200);
        let health = e2e::http::once(&stack.gate(gate), &Request::get("/.portcullis/health")).await;
        let health = health.unwrap().json();
        assert_eq!(health["region"]["name"], name, "{health}");
        assert_eq!(health["region"]["contact_age_ms"], 0, "{health}");
    }
    converged(&stack).await;
    let before = report(&stack).await["seq"].as_u64().unwrap();
    stack.admin().revoke(&dead.id, Some("ack")).await.expect(200);
    // The hub pushes before it acknowledges: no read of anybody's own was needed.
    let report = report(&stack).await;
    assert!(report["seq"].as_u64().unwrap() > before, "{report}");
    for name in ["weur", "apac"] {
        let region = region(&report, name);
        assert_eq!(region["seq"], report["seq"], "{report}");
        assert_eq!(region["lease_ms"], 0, "{report}");
        assert!(region["age_ms"].is_u64(), "{report}");
    }
    for gate in 0..2 {
        assert_invalid_token(&stack.caller_at(gate, &dead.key).get(STRICT).await, "strict");
        let caller = stack.caller_at(gate, &dead.key);
        wait::until_true("the other routes within their bound", BOUND, || async {
            caller.get(PATH).await.status == 401
        })
        .await;
        stack.caller_at(gate, &alive.key).get(PATH).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_dies_stops_its_own_gates_only_and_one_without_its_disk_is_filled_again() {
    let mut stack = spread().start().await;
    let (alive, dead) = keys(&stack).await;
    stack.admin().revoke(&dead.id, Some("ack")).await.expect(200);
    converged(&stack).await;
    for wiped in [false, true] {
        stack.spread().region("apac").process.kill();
        let near = stack.caller_at(1, &alive.key);
        assert_eq!(
            near.get(STRICT).await.status,
            503,
            "nothing to read for a strict route"
        );
        wait::until_true(
            "its gates go on for their bound, and no longer",
            BOUND,
            || async {
                let answer = near.get(PATH).await;
                assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
                answer.status == 503
            },
        )
        .await;
        let stale = near.get(PATH).await;
        assert_eq!(stale.json()["code"], "state_stale");
        assert!(stale.header("retry-after").is_some());
        for path in [PATH, STRICT] {
            stack.caller(&alive.key).get(path).await.expect(200);
            assert_ne!(stack.caller_at(1, &dead.key).get(path).await.status, 200);
        }
        // Nobody has to wait for it longer than its lease.
        wait::until_true("its lease runs out", LEASE + BOUND, || async {
            region(&report(&stack).await, "apac")["lease_ms"] == 0
        })
        .await;
        let apac = &mut stack.spread().region("apac").process;
        if wiped {
            apac.wipe_disk().unwrap();
        }
        apac.restart().await.unwrap();
        // Its very first answers.
        for path in [PATH, STRICT] {
            let answer = stack.caller_at(1, &dead.key).get(path).await;
            assert_ne!(answer.status, 200, "wiped: {wiped}, {path}");
        }
        comes_back(&stack.caller_at(1, &alive.key)).await;
        for path in [PATH, STRICT] {
            assert_invalid_token(&stack.caller_at(1, &dead.key).get(path).await, "after its return");
        }
        converged(&stack).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_a_hub_that_is_gone_the_regions_are_told_and_their_leases_end() {
    let mut stack = spread().start().await;
    let (alive, dead) = keys(&stack).await;
    let late = stack.admin().key("admin").await;
    converged(&stack).await;
    stack.spread().hub.kill();
    let killed_at = Instant::now();
    stack.admin().revoke(&dead.id, Some("none")).await;
    for gate in 0..2 {
        let caller = stack.caller_at(gate, &dead.key);
        wait::until_true("told directly", BOUND + Duration::from_secs(2), || async {
            caller.get(PATH).await.status != 200
        })
        .await;
    }
    let told = report(&stack).await;
    assert_eq!(
        (&told["hub"], &told["seq"]),
        (&false.into(), &Value::Null),
        "{told}"
    );
    assert_eq!(told["regions"].as_array().unwrap().len(), 2, "{told}");
    for gate in 0..2 {
        let caller = stack.caller_at(gate, &alive.key);
        wait::until_true(
            "without a hub nobody is fresh for long",
            LEASE + BOUND,
            || async { caller.get(PATH).await.status == 503 && caller.get(STRICT).await.status == 503 },
        )
        .await;
        assert_eq!(
            stack.caller_at(gate, &dead.key).get(PATH).await.status,
            401,
            "known is known"
        );
    }
    assert!(
        killed_at.elapsed() > Duration::from_secs(3),
        "a lease is a lease: {:?}",
        killed_at.elapsed()
    );

    stack.spread().hub.restart().await.unwrap();
    let restarted = report(&stack).await;
    // It does not know what the one before has promised.
    for name in ["weur", "apac"] {
        let region = region(&restarted, name);
        let lease = region["lease_ms"].as_u64().unwrap();
        assert!(lease > 0 || region["seq"] == restarted["seq"], "{restarted}");
    }
    for gate in 0..2 {
        comes_back(&stack.caller_at(gate, &alive.key)).await;
        assert_invalid_token(
            &stack.caller_at(gate, &dead.key).get(STRICT).await,
            "after the hub's return",
        );
    }
    converged(&stack).await;
    stack.admin().revoke(&late.id, None).await.expect(200);
    for gate in 0..2 {
        assert_invalid_token(
            &stack.caller_at(gate, &late.key).get(PATH).await,
            "and all goes on",
        );
    }
}

/// A partition: whoever is cut off from the hub does not learn of a revocation, so it must stop before anybody is told that the
/// revocation is in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_cut_off_is_done_when_its_lease_is_and_answers_503_by_then() {
    let mut stack = spread().start().await;
    let (alive, dead) = keys(&stack).await;
    for gate in 0..2 {
        for path in [PATH, STRICT] {
            stack.caller_at(gate, &dead.key).get(path).await.expect(200);
        }
    }
    converged(&stack).await;
    stack.spread().region("apac").part();
    let seq = report(&stack).await["seq"].as_u64().unwrap();
    stack.admin().revoke(&dead.id, Some("none")).await;
    wait::until_true("the hub and the other region have it", LIMIT, || async {
        let report = report(&stack).await;
        report["seq"].as_u64() > Some(seq) && region(&report, "weur")["seq"] == report["seq"]
    })
    .await;
    assert_invalid_token(&stack.caller(&dead.key).get(STRICT).await, "on this side");
    let first = report(&stack).await;
    assert!(
        region(&first, "apac")["lease_ms"].as_u64().unwrap() > 0,
        "{first}"
    );
    assert_ne!(region(&first, "apac")["seq"], first["seq"], "{first}");

    // The far side is busy all the time, with the dead key.
    let far = stack.caller_at(1, &dead.key);
    let mut passed = 0;
    let done_at = loop {
        if far.get(STRICT).await.status == 200 {
            passed += 1;
        }
        let report = report(&stack).await;
        assert_ne!(region(&report, "apac")["seq"], report["seq"], "it cannot know");
        if region(&report, "apac")["lease_ms"] == 0 {
            break Instant::now();
        }
    };
    // From here on the region counts as done: strict routes at once, the others after their bound.
    while done_at.elapsed() < BOUND + Duration::from_secs(2) {
        let strict = far.get(STRICT).await;
        assert_eq!(strict.status, 503, "after it was done: {}", strict.text());
        let asked = done_at.elapsed();
        let other = far.get(PATH).await.status;
        assert!(
            other == 503 || (other == 200 && asked < BOUND),
            "{other} after {asked:?}"
        );
    }
    assert!(passed > 0, "while the lease ran, it did go on");
    assert_eq!(stack.caller_at(1, &alive.key).get(PATH).await.status, 503);

    stack.spread().region("apac").join();
    comes_back(&stack.caller_at(1, &alive.key)).await;
    for path in [PATH, STRICT] {
        assert_invalid_token(
            &stack.caller_at(1, &dead.key).get(path).await,
            "when it has caught up",
        );
    }
    converged(&stack).await;
}

/// The addresses of peers are for those with the key; without one in the configuration there are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_peers_reach_the_objects() {
    let mut stack = Stack::with().regions(1).start().await;
    let hub = stack.spread().hub_address();
    let region = stack.spread().regions[0].address();
    let state = "/.portcullis/peer/hub/state?region=weur&epoch=0&after=0";
    let own = "/.portcullis/peer/region/weur/state?epoch=0&after=0";
    let ask = async |address: &str, path: &str, key: Option<&str>| {
        let request = Request::get(path);
        let request = match key {
            Some(key) => request.bearer(key),
            None => request,
        };
        e2e::http::once(address, &request).await.unwrap().status
    };
    let key = e2e::Spread::UPLINK_KEY;
    let (longer, shorter) = (format!("{key}0"), &key[..key.len() - 1]);
    for (address, path) in [(&hub, state), (&region, own)] {
        assert_eq!(ask(address, path, Some(key)).await, 200, "{path}");
        for wrong in [
            None,
            Some(""),
            Some(longer.as_str()),
            Some(shorter),
            Some(stack.admin_key.as_str()),
        ] {
            assert_eq!(ask(address, path, wrong).await, 401, "{path} {wrong:?}");
        }
    }
    for (address, path) in [
        // That object is elsewhere: nothing is passed on twice.
        (&hub, own),
        (&region, state),
        (&region, "/.portcullis/peer/region/apac/state"),
        (&region, "/.portcullis/peer/region/weur/other"),
        (&hub, "/.portcullis/peer/hub/canary"),
        (&hub, "/.portcullis/peer/"),
    ] {
        assert_eq!(ask(address, path, Some(key)).await, 404, "{path}");
    }
    let without = Stack::start().await;
    for path in [state, own] {
        assert_eq!(ask(&without.gate(0), path, Some(key)).await, 404, "{path}");
    }
}
