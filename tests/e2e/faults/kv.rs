//! KV serves a copy that is ten minutes old: it decides nothing on a route that denies when its state is old, and on the
//! others only within what they allow.

use std::time::Duration;

use e2e::{EdgeCaller, Kv, Stack, wait};
use serde_json::json;
use shared::policy::Policy;

use super::{log::Route, run::Run};

const LIMIT: Duration = Duration::from_mins(1);
/// Shorter than the age of the copy, and longer.
const SHORT: &str = "/short/x";
const LONG: &str = "/long/x";
const AGE_MS: u64 = 600_000;

/// The copy begins with when it was made.
fn aged(copy: &[u8]) -> Vec<u8> {
    let (time, rest) = copy.split_first_chunk::<8>().expect("a time");
    let made = u64::from_be_bytes(*time) - AGE_MS;
    [&made.to_be_bytes()[..], rest].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_kv_that_is_ten_minutes_old_decides_only_where_that_is_allowed() {
    let mut policy: serde_json::Value =
        serde_json::from_slice(&Policy::demo("$RESOURCE", "$CONTROL_PLANE").to_json()).unwrap();
    for (path, seconds) in [("/short/**", 300), ("/long/**", 3600)] {
        policy["routes"].as_array_mut().unwrap().insert(
            0,
            json!({ "path": path, "scopes": ["memory:read"], "on_stale": { "allow_for_seconds": seconds } }),
        );
    }
    let kv = Kv::start().await.unwrap();
    let builder = Stack::with()
        .recorded()
        .regions(2)
        .policy(policy)
        .kv(kv.address());
    let mut run = Run::start("kv", builder, 2).await;
    let victim = run.create().await;
    run.converge().await;
    wait::until_true("the hub leaves a copy", LIMIT, || async {
        kv.edit(<[u8]>::to_vec) > 0
    })
    .await;
    kv.freeze();
    run.revoke(victim, "effective").await.expect("a receipt");
    run.load(100).await;
    kv.edit(aged);

    // A cold gate, and nobody but KV to ask.
    let spread = run.stack.spread();
    spread.hub.kill();
    for region in &mut spread.regions {
        region.process.kill();
    }
    spread.gates[0].kill();
    spread.gates[0].restart().await.unwrap();
    run.begin_isolating("KV is old", &[0, 1], 0);
    let ask = async |key: usize, path: &str| {
        let caller = EdgeCaller::new(&run.stack.gate(1), &run.key(key));
        caller.get(path).await
    };
    wait::until_true("the gate goes by the copy", LIMIT, || async {
        ask(0, LONG).await.status == 200
    })
    .await;
    for key in [0, victim] {
        for path in [Route::Default.path(), Route::Strict.path(), SHORT] {
            let answer = ask(key, path).await;
            assert_eq!(answer.status, 503, "{path}: {}", answer.text());
            assert_eq!(answer.json()["code"], "state_stale", "{path}");
        }
    }
    // What such a route is for, and what it costs: the copy does not know better.
    assert_eq!(ask(victim, LONG).await.status, 200);
    run.load(300).await;

    run.end("KV is old");
    let spread = run.stack.spread();
    for region in &mut spread.regions {
        region.process.restart().await.unwrap();
    }
    spread.hub.restart().await.unwrap();
    let near = EdgeCaller::new(&run.stack.gate(1), &run.key(victim));
    wait::until_true("whoever hears a region forgets the copy", LIMIT, || async {
        near.get(LONG).await.status == 401
    })
    .await;
    kv.thaw();
    run.finish().await;
}
