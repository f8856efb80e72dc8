//! What a region knows by itself: credentials that their holders ended at the edge while the control plane was away, and
//! whether a canary lives.

use std::time::Duration;

use control_plane::signing::Purpose;
use e2e::{Created, Request, Stack, wait};
use serde_json::Value;
use shared::{
    feed::{Entry, Envelope, EnvelopeType, Frame, join_message, sign},
    id::{LIMIT, OrgId},
    key::{self, Environment},
    scope::ScopeSet,
};

use crate::{oracle::Oracle, support::assert_invalid_token};

const PATH: &str = "/v1/memory/x";
const STRICT: &str = "/admin/x";
const SELF_REVOKE: &str = "/v1/auth/self-revoke";
const WAIT: Duration = Duration::from_secs(20);

fn index(created: &Created) -> u64 {
    key::parse(&created.key).unwrap().statement.index.get()
}

async fn dies_at(stack: &Stack, gate: usize, key: &str) {
    let caller = stack.caller_at(gate, key);
    for path in [PATH, STRICT] {
        wait::until_true("it dies", WAIT, || async { caller.get(path).await.status == 401 }).await;
    }
    assert_invalid_token(&caller.get(PATH).await, "ended at the edge");
}

async fn comes_back(stack: &Stack, gate: usize, key: &str) {
    let caller = stack.caller_at(gate, key);
    wait::until_true("the living key passes", WAIT, || async {
        caller.get(STRICT).await.status == 200
    })
    .await;
}

/// Makes frames under the real feed key, from the last one of the control plane on.
struct Forger {
    oracle: Oracle,
    last: Vec<u8>,
}

impl Forger {
    async fn open(stack: &Stack) -> Self {
        let oracle = Oracle::open(stack).await;
        let last = oracle.frames_after(0).await.pop().expect("a frame");
        Self { oracle, last }
    }

    /// Sends the next frame, and gives what the edge answers to it.
    async fn publish(&mut self, stack: &Stack, entries: Vec<Entry>) -> Value {
        let last = Envelope::decode(&self.last).unwrap();
        let frame = Frame::decode(last.body).unwrap();
        let next = Frame {
            seq: frame.seq + 1,
            previous: Frame::digest(last.body),
            entries,
            ..frame
        };
        let key = self.oracle.key(Purpose::Feed);
        let envelope = sign(
            EnvelopeType::Frame,
            &last.certificate,
            &next.encode(),
            |message| key.sign_ed25519(message),
        )
        .unwrap();
        let request = Request::new("POST", "/.portcullis/feed").body(join_message([envelope.as_slice()]));
        let answer = stack.anon().send(request).await.expect(200).json();
        self.last = envelope;
        answer
    }
}

async fn local_count(stack: &Stack) -> Value {
    let health = stack.anon().get("/.portcullis/health").await.expect(200).json();
    health["local"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_ended_at_the_edge_is_dead_everywhere_until_a_frame_says_so_and_after() {
    let mut stack = Stack::with().regions(2).gates(2).start().await;
    let (alive, lost) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    // Something revoked, so that its frame is known to have arrived before the control plane goes.
    let probe = stack.admin().key("read").await;
    stack.admin().revoke(&probe.id, None).await.expect(200);
    for gate in 0..2 {
        stack.caller_at(gate, &lost.key).get(STRICT).await.expect(200);
    }
    stack.control.kill();
    let mut forger = Forger::open(&stack).await;

    // Only with the credential itself.
    let nobody = stack.anon().send(Request::new("POST", SELF_REVOKE)).await;
    assert_eq!(nobody.status, 401, "{}", nobody.text());
    let altered = format!("{}x", &lost.key[..lost.key.len() - 1]);
    assert_invalid_token(&stack.caller(&altered).post(SELF_REVOKE, "").await, "forged");
    assert_invalid_token(
        &stack.caller(&probe.key).post(SELF_REVOKE, "").await,
        "dead already",
    );
    // Another method or path of the control plane is just not there.
    assert_eq!(stack.caller(&lost.key).get(SELF_REVOKE).await.status, 502);
    assert_eq!(
        stack.caller(&lost.key).post("/v1/auth/keys", "{}").await.status,
        502
    );
    stack.caller(&lost.key).get(STRICT).await.expect(200);

    let answer = stack.caller(&lost.key).post(SELF_REVOKE, "").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    for path in [PATH, STRICT, SELF_REVOKE] {
        let again = stack.caller(&lost.key).send(Request::new("GET", path)).await;
        assert_invalid_token(&again, "at once, at this gate");
    }
    dies_at(&stack, 1, &lost.key).await;
    for gate in 0..2 {
        stack.caller_at(gate, &alive.key).get(STRICT).await.expect(200);
    }
    assert_eq!(local_count(&stack).await, 1);

    // From the disks alone: of the region that was told, and of the hub that it told.
    for process in ["hub", "weur", "apac"] {
        let spread = stack.spread();
        let process = if process == "hub" {
            &mut spread.hub
        } else {
            &mut spread.region(process).process
        };
        process.kill();
        process.restart().await.unwrap();
    }
    stack.edge.kill();
    stack.edge.restart().await.unwrap();
    for gate in 0..2 {
        for path in [PATH, STRICT] {
            let first = stack.caller_at(gate, &lost.key).get(path).await.status;
            assert_ne!(first, 200, "after the restart");
        }
        comes_back(&stack, gate, &alive.key).await;
        dies_at(&stack, gate, &lost.key).await;
    }

    // The publisher hears of it with its next message, and says the same in a frame.
    let heard = forger.publish(&stack, Vec::new()).await;
    assert_eq!(heard["local"], serde_json::json!([index(&lost)]), "{heard}");
    let revoked = Entry::revoked(key::parse(&lost.key).unwrap().statement.index);
    let settled = forger.publish(&stack, vec![revoked]).await;
    assert_eq!(settled["local"], serde_json::json!([]), "{settled}");
    for gate in 0..2 {
        assert_invalid_token(
            &stack.caller_at(gate, &lost.key).get(STRICT).await,
            "by the frame",
        );
        dies_at(&stack, gate, &lost.key).await;
        stack.caller_at(gate, &alive.key).get(STRICT).await.expect(200);
    }
    wait::until_true("no gate needs to remember it", WAIT, || async {
        local_count(&stack).await == 0
    })
    .await;
}

/// The region alone suffices, and tells the hub when that is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_cannot_reach_the_hub_tells_it_later() {
    let mut stack = Stack::with().regions(2).gates(2).start().await;
    let (alive, lost) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    for gate in 0..2 {
        stack.caller_at(gate, &lost.key).get(STRICT).await.expect(200);
    }
    stack.control.kill();
    stack.spread().region("weur").part();
    let answer = stack.caller(&lost.key).post(SELF_REVOKE, "").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_invalid_token(&stack.caller(&lost.key).get(PATH).await, "on this side");
    stack.caller_at(1, &lost.key).get(STRICT).await.expect(200);
    stack.spread().region("weur").join();
    comes_back(&stack, 0, &alive.key).await;
    dies_at(&stack, 1, &lost.key).await;
    dies_at(&stack, 0, &lost.key).await;
    comes_back(&stack, 1, &alive.key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_lives_at_its_endpoint_only_and_each_region_speaks_for_itself() {
    let mut stack = Stack::with().regions(2).gates(2).start().await;
    let oracle = Oracle::open(&stack).await;
    // With the index of a key of ours, so that the control plane can end it.
    let (host, other) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
    let mut statement = key::parse(&host.key).unwrap().statement;
    statement.org = OrgId::from_u64(LIMIT - 1).unwrap();
    statement.scopes = ScopeSet::EMPTY;
    let signer = oracle.key(Purpose::ApiKey);
    let canary = key::build("pc", Environment::Live, &statement, |message| {
        signer.sign_ed25519(message)
    })
    .unwrap();
    let canary = canary.expose();
    let probe = async |region: &str, credential: &str| {
        let path = format!("/.portcullis/canary?region={region}");
        stack_caller(&stack.gate(0), credential).get(&path).await
    };
    for region in ["weur", "apac"] {
        let answer = probe(region, canary).await.expect(200).json();
        assert_eq!(answer["region"], region, "{answer}");
        assert!(answer["epoch"] == 1 && answer["seq"].is_u64(), "{answer}");
        assert_invalid_token_body(&probe(region, &other.key).await);
        assert_invalid_token_body(&probe(region, "nonsense").await);
    }
    for unknown in ["oc", "", "weur2", "../hub"] {
        assert_eq!(probe(unknown, canary).await.status, 404, "{unknown}");
    }
    let anonymous = stack.anon().get("/.portcullis/canary?region=weur").await;
    assert_eq!(anonymous.status, 401);
    for path in [PATH, STRICT, "/v1/auth/keys"] {
        assert_invalid_token(&stack.caller(canary).get(path).await, path);
    }
    assert_invalid_token(
        &stack.caller(canary).post(SELF_REVOKE, "").await,
        "it has no business there",
    );

    // Each region for itself: one of them cannot have heard.
    stack.spread().region("apac").part();
    stack.admin().revoke(&host.id, Some("none")).await;
    let probe = async |stack: &Stack, region: &str| {
        let path = format!("/.portcullis/canary?region={region}");
        stack.caller(canary).get(&path).await.status
    };
    wait::until_true("the first region knows", WAIT, || async {
        probe(&stack, "weur").await == 401
    })
    .await;
    assert!(matches!(probe(&stack, "apac").await, 200 | 503));
    wait::until_true("the other is not fresh any more", WAIT, || async {
        let status = probe(&stack, "apac").await;
        assert_ne!(status, 401, "it cannot know");
        status == 503
    })
    .await;
    stack.spread().region("apac").join();
    wait::until_true("then it knows", WAIT, || async {
        probe(&stack, "apac").await == 401
    })
    .await;
}

fn stack_caller(address: &str, credential: &str) -> e2e::EdgeCaller {
    e2e::EdgeCaller::new(address, credential)
}

#[track_caller]
fn assert_invalid_token_body(answer: &e2e::Response) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(answer.json()["code"], "invalid_token");
}
