//! Line 2: after the receipt nothing gets in. "After" = the request's first byte is sent after the receipt's last byte
//! arrived.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use e2e::{Connection, EdgeCaller, Request, Stack};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::on_both_databases;

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 2000;

on_both_databases!(after_the_receipt_no_request_gets_in_anywhere);

/// Default `wait=effective`: default and strict routes, both gates, all eight connections open and busy before.
async fn after_the_receipt_no_request_gets_in_anywhere(database: e2e::Database) {
    let stack = Stack::with().gates(2).database(database).start().await;
    let admin = stack.admin();
    let (victim, other) = (admin.key("admin").await, admin.key("admin").await);
    for round in 0..3 {
        let victim = if round == 0 {
            victim.clone()
        } else {
            admin.key("admin").await
        };
        let targets = ["/v1/memory/retrieve", "/admin/users"];
        let storm = Storm::start(&stack, &victim.key, &targets).await;
        let receipt = admin.revoke(&victim.id, None).await.expect(200).json();
        let counts = storm.after_receipt().await;
        assert_eq!(receipt["acknowledged"], json!(["hub/weur"]), "{receipt}");
        assert_eq!(
            counts.before_ok, counts.before,
            "before the revocation every request passed"
        );
        counts.assert_none_passed();
        for gate in 0..2 {
            let caller = stack.caller_at(gate, &other.key);
            caller.get("/v1/memory/retrieve").await.expect(200);
            caller.get("/admin/users").await.expect(200);
        }
    }
}

/// `wait=ack` answers sooner, and promises the strict routes only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_acknowledgement_no_request_gets_into_a_strict_route() {
    let stack = Stack::with().gates(2).start().await;
    let admin = stack.admin();
    for _ in 0..3 {
        let victim = admin.key("admin").await;
        let storm = Storm::start(&stack, &victim.key, &["/admin/users"]).await;
        let receipt = admin.revoke(&victim.id, Some("ack")).await.expect(200).json();
        let counts = storm.after_receipt().await;
        assert_eq!(receipt["acknowledged"], json!(["hub/weur"]), "{receipt}");
        counts.assert_none_passed();
    }
}

/// `wait=none` answers before the edge knows; the edge knows soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_waiting_the_edge_still_learns_within_its_bound() {
    let stack = Stack::start().await;
    let key = stack.admin().key("read").await;
    let caller = stack.caller(&key.key);
    caller.get("/v1/memory/x").await.expect(200);
    let receipt = stack.admin().revoke(&key.id, Some("none")).await;
    assert!(matches!(receipt.status, 200 | 202), "{}", receipt.text());
    e2e::wait::until_true("the key dies", std::time::Duration::from_secs(6), || async {
        caller.get("/v1/memory/x").await.status == 401
    })
    .await;
}

/// With the wire cut the receipt says so, and claims nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_never_claims_what_the_edge_has_not_acknowledged() {
    let stack = Stack::with().recorded().start().await;
    let key = stack.admin().key("admin").await;
    let link = stack.link.as_ref().unwrap();
    link.cut();
    let receipt = stack.admin().revoke(&key.id, None).await;
    assert!(matches!(receipt.status, 200 | 202), "{}", receipt.text());
    assert_eq!(receipt.json()["acknowledged"], json!([]), "{}", receipt.text());
    assert_eq!(
        receipt.json()["pending"],
        json!(["hub/weur"]),
        "{}",
        receipt.text()
    );
    link.mend();
    let caller = stack.caller(&key.key);
    e2e::wait::until_true(
        "the frame arrives late",
        std::time::Duration::from_secs(20),
        || async { caller.get("/admin/users").await.status == 401 },
    )
    .await;
    let receipt = stack.admin().revoke(&key.id, None).await.expect(200).json();
    assert_eq!(
        (&receipt["acknowledged"], &receipt["pending"]),
        (&json!(["hub/weur"]), &json!([])),
        "{receipt}"
    );
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    before: usize,
    before_ok: usize,
    ok: usize,
    refused: usize,
    stale: usize,
}

impl Counts {
    /// Zero 200s. A busy machine may make the gate say 503 now and then: that lets nobody in either, but must be rare.
    #[track_caller]
    fn assert_none_passed(&self) {
        assert_eq!(self.ok, 0, "{self:?}");
        assert_eq!(self.refused + self.stale, REQUESTS, "{self:?}");
        assert!(self.stale < REQUESTS / 20, "{self:?}");
    }
}

/// Eight keep-alive connections that never pause: half of them at each gate, each going through the targets in turn.
struct Storm {
    revoking: Arc<AtomicBool>,
    revoked: Arc<AtomicBool>,
    warm: Arc<AtomicUsize>,
    tasks: JoinSet<Counts>,
}

impl Storm {
    /// Opens the connections and returns when each of them has passed requests.
    async fn start(stack: &Stack, key: &str, targets: &[&str]) -> Self {
        let mut storm = Self {
            revoking: Arc::default(),
            revoked: Arc::default(),
            warm: Arc::default(),
            tasks: JoinSet::new(),
        };
        let requests: Vec<Request> = targets
            .iter()
            .map(|target| Request::get(target).bearer(key))
            .collect();
        for number in 0..CONNECTIONS {
            let gate = stack.gate(number % 2);
            let (revoking, revoked) = (Arc::clone(&storm.revoking), Arc::clone(&storm.revoked));
            let (warm, requests) = (Arc::clone(&storm.warm), requests.clone());
            storm.tasks.spawn(async move {
                let mut connection = Connection::open(&gate).await.expect("a connection");
                let mut counts = Counts::default();
                let mut turn = number / 2;
                while counts.ok + counts.refused + counts.stale < REQUESTS / CONNECTIONS {
                    turn += 1;
                    // Read before the first byte is sent: these requests are certainly "after" or certainly "before".
                    let is_after = revoked.load(Ordering::SeqCst);
                    let is_before = !revoking.load(Ordering::SeqCst);
                    let answer = connection
                        .exchange(&requests[turn % requests.len()])
                        .await
                        .expect("an answer");
                    if is_after {
                        counts.ok += usize::from(answer.status == 200);
                        counts.refused += usize::from(answer.status == 401);
                        counts.stale += usize::from(answer.status == 503);
                        assert!(
                            matches!(answer.status, 200 | 401 | 503),
                            "{} {}",
                            answer.status,
                            answer.text()
                        );
                    } else if is_before && !revoking.load(Ordering::SeqCst) {
                        counts.before += 1;
                        counts.before_ok += usize::from(answer.status == 200);
                        if counts.before == 4 {
                            warm.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
                counts
            });
        }
        let warm = Arc::clone(&storm.warm);
        e2e::wait::until_true(
            "every connection is busy",
            std::time::Duration::from_secs(20),
            || {
                let warm = warm.load(Ordering::SeqCst);
                async move { warm == CONNECTIONS }
            },
        )
        .await;
        storm.revoking.store(true, Ordering::SeqCst);
        storm
    }

    /// To be called when the receipt's last byte has arrived.
    async fn after_receipt(mut self) -> Counts {
        self.revoked.store(true, Ordering::SeqCst);
        let mut sum = Counts::default();
        while let Some(counts) = self.tasks.join_next().await {
            let counts = counts.expect("no connection broke");
            sum.before += counts.before;
            sum.before_ok += counts.before_ok;
            sum.ok += counts.ok;
            sum.refused += counts.refused;
            sum.stale += counts.stale;
        }
        sum
    }
}

/// A caller that a colleague's revocation must not touch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_revocations_touch_only_their_keys() {
    let stack = Stack::start().await;
    let admin = stack.admin();
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(admin.key("read").await);
    }
    for key in keys.iter().step_by(2) {
        admin.revoke(&key.id, Some("ack")).await.expect(200);
    }
    let last = &keys[18];
    let gone: EdgeCaller = stack.caller(&last.key);
    e2e::wait::until_true(
        "the last revocation is known",
        std::time::Duration::from_secs(6),
        || async { gone.get("/v1/memory/x").await.status == 401 },
    )
    .await;
    for (number, key) in keys.iter().enumerate() {
        let wanted = if number % 2 == 0 { 401 } else { 200 };
        let status = stack.caller(&key.key).get("/v1/memory/x").await.status;
        assert_eq!(status, wanted, "key {number}");
    }
}
