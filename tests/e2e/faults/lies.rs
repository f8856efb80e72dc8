//! Would the checker notice? Three ways in which the promises are broken on purpose, by somebody in between who lies as no
//! network can under TLS: each has to be found.

use e2e::{Fate, Stack};
use serde_json::json;
use shared::feed::{Envelope, EnvelopeType, Frame, Head, Heartbeat, split_message};

use super::{checker::Violation, log::Route, run::Run};

/// What the edge would answer if it had taken this.
fn believed(body: &[u8]) -> Option<Vec<u8>> {
    let last = split_message(body).ok()?.pop()?.to_vec();
    let envelope = Envelope::decode(&last).ok()?;
    let head = match envelope.kind {
        EnvelopeType::Heartbeat => Heartbeat::decode(envelope.body).ok()?.head,
        EnvelopeType::Frame => {
            let frame = Frame::decode(envelope.body).ok()?;
            Head {
                epoch: frame.epoch,
                seq: frame.seq,
                digest: Frame::digest(envelope.body),
            }
        }
        _ => return None,
    };
    let digest = hex::encode(head.digest);
    let (epoch, seq) = (head.epoch, head.seq);
    let region = json!({
        "name": "weur", "epoch": epoch, "seq": seq, "digest": digest, "lease_ms": 0, "age_ms": 0
    });
    let answer = json!({
        "epoch": epoch, "seq": seq, "digest": digest, "accepted": 1, "known": 0, "refused": [], "hub": true,
        "regions": [region], "local": [],
    });
    Some(answer.to_string().into_bytes())
}

/// From now on the control plane hears that all was taken, and nothing arrives.
fn forge(run: &Run) {
    run.stack
        .link
        .as_ref()
        .unwrap()
        .judge(|_, body, _| believed(body).map_or(Fate::Pass, Fate::Forged));
}

fn let_in(found: &[Violation], victim: usize) -> Vec<Route> {
    let mut routes: Vec<Route> = found
        .iter()
        .filter_map(|violation| match violation {
            Violation::LetIn { key, route, .. } if *key == victim => Some(*route),
            _ => None,
        })
        .collect();
    routes.sort();
    routes.dedup();
    routes
}

fn undone(found: &[Violation], victim: usize) -> bool {
    found
        .iter()
        .any(|violation| matches!(violation, Violation::Undone { key, .. } if *key == victim))
}

/// Nobody else was wronged.
fn only(found: &[Violation], victim: usize) {
    for violation in found {
        let named = match violation {
            Violation::LetIn { key, .. } | Violation::Undone { key, .. } => *key == victim,
            Violation::TooOld { .. } => true,
            _ => false,
        };
        assert!(named, "{violation:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_is_forged_is_found() {
    let run = Run::start("lie-forged", Stack::with().recorded(), 1).await;
    let victim = run.create().await;
    run.load(50).await;
    forge(&run);
    let receipt = run.revoke(victim, "effective").await.expect("a receipt");
    assert_eq!(receipt["pending"], json!([]), "the lie is believed: {receipt}");
    run.load(200).await;
    let found = run.judged().await;
    assert_eq!(let_in(&found, victim), Route::ALL, "{found:?}");
    assert!(undone(&found, victim), "{found:?}");
    only(&found, victim);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_was_set_back_unnoticed_is_found() {
    let mut run = Run::start("lie-set-back", Stack::with().recorded(), 1).await;
    let victim = run.create().await;
    run.converge().await;
    let copy = run.stack.folder().join("copy-of-the-disk");
    run.stack.edge.kill();
    run.stack.edge.copy_disk(&copy, false).unwrap();
    run.stack.edge.restart().await.unwrap();
    let receipt = run.revoke(victim, "effective").await.expect("a receipt");
    assert_eq!(receipt["pending"], json!([]), "{receipt}");
    run.load(50).await;
    run.stack.edge.kill();
    forge(&run);
    run.stack.edge.copy_disk(&copy, true).unwrap();
    run.stack.edge.restart().await.unwrap();
    run.load(200).await;
    let found = run.judged().await;
    assert_eq!(let_in(&found, victim), Route::ALL, "{found:?}");
    assert!(undone(&found, victim), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_hears_old_answers_again_and_again_is_found() {
    let mut run = Run::start("lie-frozen", Stack::with().recorded().regions(2), 2).await;
    let victim = run.create().await;
    run.converge().await;
    run.load(200).await;
    run.stack
        .spread()
        .region("apac")
        .reads
        .judge(|_, _, _| Fate::Frozen);
    run.begin_isolating("frozen", &[1], 0);
    let receipt = run.revoke(victim, "effective").await.expect("a receipt");
    assert_eq!(
        receipt["pending"],
        json!([]),
        "the region itself has it: {receipt}"
    );
    run.load(400).await;
    let found = run.judged().await;
    assert_eq!(let_in(&found, victim), Route::ALL, "{found:?}");
    let too_old = |violation: &Violation| matches!(violation, Violation::TooOld { gate: 1, .. });
    assert!(found.iter().any(too_old), "{found:?}");
    only(&found, victim);
}
