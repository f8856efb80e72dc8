//! What a wire can do to the feed: hold it up, double it, change its order, break it; and an edge of an older release at its
//! end. What it cannot do unseen is forge an answer, for that there is TLS: see `lies`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use e2e::{Fate, Link, Stack, wait};
use serde_json::{Value, json};

use super::run::Run;

/// So many messages pass under each fault.
const MESSAGES: u64 = 12;
const LIMIT: Duration = Duration::from_mins(1);

/// By the number of the message.
type Kind = fn(&[u8], u64) -> Fate;

const KINDS: [(&str, Kind); 6] = [
    ("delayed", |_, number| {
        Fate::Late(Duration::from_millis(100 + number * 337 % 900))
    }),
    ("duplicated", |_, number| {
        Fate::Repeated(1 + usize::from(number % 3 > 0) + usize::from(number % 3 > 1))
    }),
    ("reordered", |_, number| {
        if number % 2 == 0 {
            Fate::Overtaken
        } else {
            Fate::Pass
        }
    }),
    ("corrupted", |body, number| {
        let mut body = body.to_vec();
        // One bit, anywhere.
        let at = usize::try_from(number * 7919).unwrap() % body.len().max(1);
        if let (0, Some(byte)) = (number % 2, body.get_mut(at)) {
            *byte ^= 1 << (number % 7);
        }
        Fate::Changed(body)
    }),
    ("truncated", |body, number| {
        let keep = if number % 2 == 0 {
            body.len() / 2
        } else {
            body.len()
        };
        Fate::Changed(body[..keep].to_vec())
    }),
    ("with half answers", |_, number| {
        if number % 2 == 0 {
            Fate::Edited(|answer| answer[..answer.len() / 2].to_vec())
        } else {
            Fate::Pass
        }
    }),
];

/// Sets the fault on a wire, and gives the number of messages that it has met so far.
fn set(link: &Link, kind: Kind) -> Arc<AtomicU64> {
    let met = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&met);
    link.judge(move |_, body, number| {
        counted.fetch_add(1, Ordering::SeqCst);
        kind(body, number)
    });
    met
}

async fn met(counts: &[Arc<AtomicU64>]) {
    wait::until_true("messages meet the fault", LIMIT, || async {
        counts.iter().all(|met| met.load(Ordering::SeqCst) >= MESSAGES)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_control_plane_and_edge_the_feed_is_delayed_doubled_reordered_and_broken() {
    let mut run = Run::start("wire", Stack::with().recorded(), 2).await;
    run.churn();
    for (fault, kind) in KINDS {
        run.begin(fault);
        let count = set(run.stack.link.as_ref().unwrap(), kind);
        met(&[count]).await;
        run.stack.link.as_ref().unwrap().pass();
        run.end(fault);
        // Each fault by itself comes to an end.
        run.converge().await;
    }
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_hub_and_region_the_feed_is_delayed_doubled_reordered_and_broken() {
    let mut run = Run::start("wire-regions", Stack::with().recorded().regions(2), 2).await;
    run.churn();
    for (fault, kind) in KINDS {
        run.begin(fault);
        let region = &run.stack.spread.as_ref().unwrap().regions[1];
        let counts = [set(&region.down, kind), set(&region.reads, kind)];
        met(&counts).await;
        for link in [&region.down, &region.reads] {
            link.pass();
        }
        run.end(fault);
        run.converge().await;
    }
    let fault = "with broken answers";
    run.begin(fault);
    // What a region answers to a gate is signed, too.
    let region = &run.stack.spread.as_ref().unwrap().regions[1];
    let count = set(&region.reads, |_, number| {
        if number % 2 == 1 {
            return Fate::Pass;
        }
        Fate::Edited(|mut answer| {
            let middle = answer.len() / 2;
            if let Some(byte) = answer.get_mut(middle) {
                *byte ^= 4;
            }
            answer
        })
    });
    met(&[count]).await;
    region.reads.pass();
    run.end(fault);
    run.finish().await;
}

/// Without what older answers do not have.
fn older(_: &str, _: &[u8], _: u64) -> Fate {
    Fate::Edited(|answer| match serde_json::from_slice::<Value>(&answer) {
        Ok(Value::Object(mut fields)) => {
            for new in ["hub", "regions", "local"] {
                fields.remove(new);
            }
            Value::Object(fields).to_string().into_bytes()
        }
        _ => answer,
    })
}

/// An edge that was deployed before edges spoke of their regions: the fields are not in its answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_edge_counts_as_one_region_and_a_newer_one_takes_its_place() {
    let mut run = Run::start("older-edge", Stack::with().judged(older), 2).await;
    let fault = "an older edge";
    run.begin(fault);
    run.churn();
    let acknowledged = async |name: &str| {
        let key = run.create().await;
        let receipt = run.revoke(key, "effective").await.expect("a receipt");
        receipt["acknowledged"] == json!([name]) && receipt["pending"] == json!([])
    };
    wait::until_true("it counts as one region", LIMIT, || acknowledged("hub")).await;
    run.load(200).await;
    run.stack.link.as_ref().unwrap().pass();
    wait::until_true("its regions are waited for", LIMIT, || acknowledged("hub/weur")).await;
    run.end(fault);
    run.finish().await;
}
