//! More than one of what there should be one of: two instances on one database, an old copy of the database put back, a copy
//! of the installation beside it, a thief with the feed's key.

use std::{fs, path::Path, time::Duration};

use control_plane::signing::Purpose;
use e2e::{ControlPlane, ControlPlaneConfig, Database, Link, Port, Request, Stack, http, wait};
use serde_json::json;
use shared::{
    feed::{Certificate, Envelope, EnvelopeType, Frame, join_message, sign, split_message},
    time::UnixMillis,
};

use super::run::Run;
use crate::oracle::Oracle;

const LIMIT: Duration = Duration::from_mins(1);
const MASTER_KEY: &str = "master.key";
const INCARNATION: &str = "portcullis-incarnation";
/// The database with what is not in its main file yet.
const DATABASE: [&str; 3] = ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"];

/// Copies files that are there.
fn copy(from: &Path, to: &Path, names: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for name in names {
        let _ = fs::remove_file(to.join(name));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Another control plane with these files of the first, on a port of its own.
fn beside(run: &Run, name: &str, files: &[&str], edge: Option<&Link>) -> (ControlPlane, Port) {
    let first = &run.stack.control;
    let folder = run.stack.folder().join(name);
    copy(first.folder(), &folder, files);
    let port = Port::reserve();
    let mut config = ControlPlaneConfig {
        folder,
        log: run.stack.logs().join(format!("{name}.log")),
        port: port.number(),
        ..first.config().clone()
    };
    config
        .environment
        .push(("PORTCULLIS_ISSUER".to_owned(), first.url()));
    if let Some(edge) = edge {
        edge.url().clone_into(&mut config.edge);
    }
    (
        ControlPlane::prepare(config).expect("another control plane"),
        port,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_on_one_database_publish_one_sequence() {
    let builder = Stack::with().database(Database::Postgres).recorded();
    let mut run = Run::start("two-instances", builder, 2).await;
    let (mut second, _port) = beside(&run, "second", &[MASTER_KEY, INCARNATION], None);
    run.begin("two instances");
    second.serve().unwrap();
    second.wait().await.unwrap();
    let addresses = [run.stack.control.address(), second.address()];
    run.churn_at(&[&addresses[0], &addresses[1]]);
    run.load(1500).await;
    // Either may die in the middle, and the other goes on.
    second.kill();
    run.load(300).await;
    second.restart().await.unwrap();
    run.load(300).await;
    run.rest().await;
    run.converge_at(&addresses[1]).await;
    run.end("two instances");

    let gaps = "SELECT max(seq) - count(*) FROM feed_frames";
    assert_eq!(run.stack.control.query(gaps).unwrap(), "0", "no gap");
    let epochs = "SELECT count(DISTINCT epoch) FROM feed_frames";
    assert_eq!(
        run.stack.control.query(epochs).unwrap(),
        "1",
        "nobody took anything over"
    );
    let unframed = "SELECT count(*) FROM outbox WHERE seq IS NULL";
    assert_eq!(
        run.stack.control.query(unframed).unwrap(),
        "0",
        "nothing was left out"
    );
    // Whoever sent it: one number, one content.
    let mut sent = std::collections::BTreeMap::new();
    for push in run.stack.link.as_ref().unwrap().pushes() {
        for frame in frames(&push.body) {
            let body = Envelope::decode(&frame).unwrap().body.to_vec();
            let seq = Frame::decode(&body).unwrap().seq;
            assert_eq!(*sent.entry(seq).or_insert(body.clone()), body, "frame {seq}");
        }
    }
    assert!(sent.len() > 10, "{}", sent.len());
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_from_an_old_backup_learns_what_it_lost() {
    let mut run = Run::start("restored", Stack::with().recorded(), 2).await;
    let mut victims = Vec::new();
    for _ in 0..6 {
        victims.push(run.create().await);
    }
    run.converge().await;
    let (folder, backup) = (
        run.stack.control.folder().to_owned(),
        run.stack.folder().join("backup"),
    );
    run.stack.control.stop();
    copy(&folder, &backup, &DATABASE);
    run.stack.control.restart().await.unwrap();
    for (number, victim) in victims.iter().enumerate() {
        let wait = ["effective", "ack", "none"][number % 3];
        run.revoke(*victim, wait).await.expect("a receipt");
    }
    run.converge().await;
    run.load(200).await;
    run.begin("restored");
    run.stack.control.kill();
    copy(&backup, &folder, &DATABASE);
    run.stack.control.restart().await.unwrap();
    run.end("restored");
    run.load(200).await;
    run.churn();
    run.load(500).await;
    let epoch = run.stack.control.query("SELECT epoch FROM feed_state").unwrap();
    assert_eq!(epoch, "2", "what the edge knew was taken over");
    // The database knows again what it had forgotten.
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_installation_publishes_nothing_until_it_takes_over() {
    let mut run = Run::start("clone", Stack::with().recorded(), 2).await;
    let victim = run.create().await;
    run.converge().await;
    let own = Link::start(&run.stack.gate(0)).await.unwrap();
    run.begin("a copy");
    run.stack.control.stop();
    let files = [&DATABASE[..], &[MASTER_KEY]].concat();
    let (mut copy, _port) = beside(&run, "copy", &files, Some(&own));
    run.stack.control.restart().await.unwrap();
    run.churn();
    copy.serve().unwrap();
    let log = run.stack.logs().join("copy.log");
    wait::until_true("it says what it is", LIMIT, || async {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("nothing is published"))
    })
    .await;
    // It is asked to revoke, and can not promise anything; the edge hears nothing of it.
    let key = run.stack.admin().key("admin").await;
    let ready = http::once(&copy.address(), &Request::get("/health/ready"))
        .await
        .unwrap();
    assert_ne!(ready.status, 200, "{}", ready.text());
    run.load(600).await;
    assert!(own.pushes().is_empty(), "{:?}", own.pushes().len());
    run.stack.caller(&key.key).get("/v1/memory/x").await.expect(200);
    run.end("a copy");

    // The first one is gone for good, and the copy takes its place. What the first revoked since then stays revoked.
    run.revoke(victim, "effective").await.expect("a receipt");
    run.rest().await;
    run.stack.admin().revoke(&key.id, None).await.expect(200);
    run.begin("taken over");
    run.stack.control.kill();
    copy.run(&["feed", "take-over"]).unwrap();
    copy.wait().await.unwrap();
    let address = copy.address();
    // A take-over closes every index block and opens new ones. A key from those can reach a gate before they do: then it asks.
    run.churn_at(&[&address]);
    run.load(500).await;
    run.end("taken over");
    run.finish_at(&address).await;
}

/// Whoever has a feed key can restrict, and stand in the way; not undo, and not once the key has been replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_feed_key_goes_on_pushing_while_the_feed_recovers() {
    let mut run = Run::start("stolen-feed-key", Stack::with().recorded(), 2).await;
    let victim = run.create().await;
    run.revoke(victim, "effective").await.expect("a receipt");
    let oracle = Oracle::open(&run.stack).await;
    let stolen = oracle.key(Purpose::Feed);
    let last = newest(&run);
    let mut certificate = Envelope::decode(&last).unwrap().certificate;
    let (gate, feed_key, newest_push) = (
        run.stack.gate(0),
        stolen,
        run.stack.link.as_ref().unwrap().newest(),
    );
    run.begin("a thief");
    run.churn();
    let (taken, refused) = (
        std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0)),
        std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0)),
    );
    let counts = (taken.clone(), refused.clone());
    let thief = tokio::spawn(async move {
        // Empty frames at the end of the chain, as fast as it goes: each makes the edge a stranger to its publisher.
        let mut previous = Envelope::decode(&last).unwrap().body.to_vec();
        loop {
            let health = http::once(&gate, &Request::get("/.portcullis/health")).await;
            let health = health.map(|answer| answer.json()).unwrap_or_default();
            let head = &health["head"];
            let (Some(epoch), Some(seq), Some(digest)) = (
                head["epoch"].as_u64(),
                head["seq"].as_u64(),
                head["digest"].as_str(),
            ) else {
                continue;
            };
            let mut frame = Frame::decode(&previous).unwrap();
            frame.epoch = epoch;
            frame.seq = seq + 1;
            frame.previous = digest_of(digest);
            frame.time = UnixMillis(frame.time.0 + 1);
            frame.entries = Vec::new();
            let body = frame.encode();
            // Its certificates are in every message; a new epoch has a new one, but of another key it is of no use.
            let newest = newest_push().and_then(|push| certificate_of(&push.body));
            if let Some(newest) = newest.filter(|newest| newest.key == certificate.key) {
                certificate = newest;
            }
            let envelope = sign(EnvelopeType::Frame, &certificate, &body, |message| {
                feed_key.sign_ed25519(message)
            })
            .unwrap();
            let push = Request::new("POST", "/.portcullis/feed").body(join_message([envelope.as_slice()]));
            if let Ok(answer) = http::once(&gate, &push).await {
                let accepted = answer.status == 200 && answer.json()["accepted"] == 1;
                let count = if accepted { &counts.0 } else { &counts.1 };
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            previous = body;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let count =
        |of: &std::sync::Arc<std::sync::atomic::AtomicU64>| of.load(std::sync::atomic::Ordering::SeqCst);
    wait::until_true("the thief gets through", LIMIT, || async { count(&taken) > 0 }).await;
    run.stack
        .control
        .run(&["keys", "signing", "rotate", "--purpose", "feed"])
        .unwrap();
    run.stack.control.run(&["feed", "recover"]).unwrap();
    wait::until_true("the edge follows the new key alone", LIMIT, || async {
        let key = run.create().await;
        let receipt = run.revoke(key, "effective").await;
        receipt.is_some_and(|receipt| receipt["pending"] == json!([]))
    })
    .await;
    let (so_far, before) = (count(&taken), count(&refused));
    run.load(600).await;
    wait::until_true("the thief goes on", LIMIT, || async {
        count(&refused) > before + 10
    })
    .await;
    assert_eq!(count(&taken), so_far, "nothing of the thief's is taken any more");
    run.converge().await;
    thief.abort();
    run.end("a thief");
    run.finish().await;
}

fn frames(message: &[u8]) -> Vec<Vec<u8>> {
    let envelopes = split_message(message).unwrap_or_default();
    let is_frame =
        |bytes: &&[u8]| Envelope::decode(bytes).is_ok_and(|envelope| envelope.kind == EnvelopeType::Frame);
    envelopes
        .into_iter()
        .filter(is_frame)
        .map(<[u8]>::to_vec)
        .collect()
}

/// The last frame that went over the wire.
fn newest(run: &Run) -> Vec<u8> {
    let pushes = run.stack.link.as_ref().unwrap().pushes();
    let mut all = pushes.iter().flat_map(|push| frames(&push.body));
    all.next_back().expect("a frame")
}

/// Of the first envelope.
fn certificate_of(message: &[u8]) -> Option<Certificate> {
    let first = *split_message(message).ok()?.first()?;
    Some(Envelope::decode(first).ok()?.certificate)
}

fn digest_of(hex: &str) -> [u8; 32] {
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2).unwrap_or("0"), 16).unwrap_or_default();
    }
    digest
}
