//! A piece of the edge dies, loses its disk, is cut off, or is replaced by another release in the middle of a push.

use std::time::Duration;

use e2e::{EdgeCaller, Fate, Stack, files, wait};
use serde_json::json;
use shared::{
    feed::{Envelope, EnvelopeType, split_message},
    policy::Policy,
};

use super::{log::Route, run::Run};

const LIMIT: Duration = Duration::from_mins(1);
/// A region's lease, and what the hub adds to it.
const LEASE_MS: u64 = 6000;

fn spread() -> e2e::Builder {
    Stack::with().recorded().regions(2)
}

/// Waits until a gate answers so to a key that is alive, on all routes.
async fn answers(run: &Run, gate: usize, status: u16) {
    let caller = EdgeCaller::new(&run.stack.gate(gate), &run.key(0));
    for route in Route::ALL {
        wait::until_true(&format!("gate {gate}, {route:?}: {status}"), LIMIT, || async {
            caller.get(route.path()).await.status == status
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_is_killed() {
    let mut run = Run::start("hub-killed", spread(), 2).await;
    run.churn();
    run.load(200).await;
    run.stack.spread().hub.kill();
    run.begin_isolating("hub killed", &[0, 1], LEASE_MS);
    for gate in 0..2 {
        answers(&run, gate, 503).await;
    }
    run.load(200).await;
    run.end("hub killed");
    run.stack.spread().hub.restart().await.unwrap();
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_is_killed_and_one_is_wiped() {
    let mut run = Run::start("region-killed", spread(), 2).await;
    run.churn();
    for wiped in [false, true] {
        let fault = if wiped { "region wiped" } else { "region killed" };
        run.load(200).await;
        run.stack.spread().region("apac").process.kill();
        run.begin_isolating(fault, &[1], 0);
        answers(&run, 1, 503).await;
        answers(&run, 0, 200).await;
        run.load(200).await;
        run.end(fault);
        let apac = &mut run.stack.spread().region("apac").process;
        if wiped {
            apac.wipe_disk().unwrap();
        }
        apac.restart().await.unwrap();
        answers(&run, 1, 200).await;
    }
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_is_cut_off_from_the_hub() {
    let mut run = Run::start("parted", spread(), 2).await;
    run.churn();
    run.load(200).await;
    run.stack.spread().region("apac").part();
    run.begin_isolating("parted", &[1], LEASE_MS);
    answers(&run, 1, 503).await;
    run.load(400).await;
    run.end("parted");
    run.stack.spread().region("apac").join();
    run.finish().await;
}

/// The process that was taking in a message is replaced by one of another build before the message is whole; once with its
/// disk, once without, so that the message is the whole state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_is_redeployed_in_mid_push() {
    let mut policy: serde_json::Value =
        serde_json::from_slice(&Policy::demo("$RESOURCE", "$CONTROL_PLANE").to_json()).unwrap();
    let routes = policy["routes"].as_array_mut().unwrap();
    for number in 0..400 {
        routes.push(json!({ "path": format!("/v1/large/{number}/**"), "scopes": ["memory:read"] }));
    }
    let mut run = Run::start("redeployed", Stack::with().recorded().policy(policy), 1).await;
    run.churn();
    for (wiped, test_routes) in [(false, true), (true, false)] {
        let fault = if wiped { "redeployed, wiped" } else { "redeployed" };
        run.load(100).await;
        run.begin(fault);
        let link = run.stack.link.as_ref().unwrap();
        link.judge(|_, body, _| if has_news(body) { Fate::Halved } else { Fate::Pass });
        if wiped {
            run.stack.edge.kill();
            run.stack.edge.wipe_disk().unwrap();
        }
        // What ended with the process that was killed just now does not count.
        let halved = run.stack.link.as_ref().unwrap().halved();
        if wiped {
            run.stack.edge.restart().await.unwrap();
        }
        let link = run.stack.link.as_ref().unwrap();
        wait::until_true("a message is on its way", LIMIT, || async {
            link.halved() > halved
        })
        .await;
        let longest = link.pushes().iter().map(|push| push.body.len()).max();
        assert!(longest.is_some_and(|bytes| bytes > 16_000), "{longest:?}");
        run.stack.edge.kill();
        run.stack.link.as_ref().unwrap().pass();
        run.stack.edge.set_modules(files::edge_modules(test_routes));
        run.stack.edge.restart().await.unwrap();
        run.end(fault);
        run.converge().await;
    }
    run.finish().await;
}

/// Whether there is more in a message than a heartbeat.
fn has_news(body: &[u8]) -> bool {
    let envelopes = split_message(body).unwrap_or_default();
    envelopes
        .iter()
        .any(|bytes| Envelope::decode(bytes).is_ok_and(|envelope| envelope.kind != EnvelopeType::Heartbeat))
}
