//! Line 6: a replayed, reordered, forged or rolled-back frame changes nothing. The frames are real, taken off the wire.

use std::time::Duration;

use control_plane::signing::Purpose;
use e2e::{Created, Request, Response, Stack, wait};
use serde_json::Value;
use shared::{
    feed::{
        Certificate, Entry, Envelope, EnvelopeType, FeedId, FetchRequest, Frame, Heartbeat, join_message,
        sign, split_message,
    },
    time::{UnixMillis, UnixSeconds},
};

use crate::{oracle::Oracle, support::assert_invalid_token};

const FEED: &str = "/.portcullis/feed";
const PATH: &str = "/v1/memory/x";

/// A stack with one living and one revoked key, and every envelope that went over the wire so far.
struct Scene {
    stack: Stack,
    alive: Created,
    revoked: Created,
    oracle: Oracle,
}

impl Scene {
    async fn start() -> Self {
        let stack = Stack::with().recorded().start().await;
        let (alive, revoked) = (stack.admin().key("admin").await, stack.admin().key("admin").await);
        stack.admin().revoke(&revoked.id, None).await.expect(200);
        let oracle = Oracle::open(&stack).await;
        Self {
            stack,
            alive,
            revoked,
            oracle,
        }
    }

    /// All envelopes of a kind, each once, in the order in which they were first sent.
    fn envelopes(&self, kind: EnvelopeType) -> Vec<Vec<u8>> {
        let mut envelopes: Vec<Vec<u8>> = Vec::new();
        for push in self.stack.link.as_ref().unwrap().pushes() {
            for bytes in split_message(&push.body).unwrap_or_default() {
                let is_new = !envelopes.iter().any(|known| known == bytes);
                if is_new && Envelope::decode(bytes).is_ok_and(|envelope| envelope.kind == kind) {
                    envelopes.push(bytes.to_vec());
                }
            }
        }
        envelopes
    }

    async fn post(&self, message: &[u8]) -> Response {
        let request = Request::new("POST", FEED)
            .header("content-type", "application/vnd.portcullis.feed")
            .body(message);
        self.stack.anon().send(request).await
    }

    async fn post_one(&self, envelope: &[u8]) -> Response {
        self.post(&join_message([envelope])).await
    }

    /// The head that the edge reports.
    async fn head(&self) -> Value {
        let health = self
            .stack
            .anon()
            .get("/.portcullis/health")
            .await
            .expect(200)
            .json();
        assert!(health["head"]["seq"].is_u64(), "{health}");
        health["head"].clone()
    }

    /// What must be true whatever was sent.
    async fn assert_unchanged(&self, head: &Value, what: &str) {
        assert_eq!(self.head().await, *head, "{what} moved the head");
        for path in [PATH, "/admin/x"] {
            assert_invalid_token(&self.stack.caller(&self.revoked.key).get(path).await, what);
            let alive = self.stack.caller(&self.alive.key).get(path).await;
            assert_eq!(alive.status, 200, "{what}: {}", alive.text());
        }
    }

    /// The living feed certificate, from the last envelope.
    fn certificate(&self) -> Certificate {
        let frames = self.envelopes(EnvelopeType::Frame);
        Envelope::decode(frames.last().expect("a frame"))
            .unwrap()
            .certificate
    }

    /// An envelope under the real feed key.
    fn signed(&self, kind: EnvelopeType, body: &[u8]) -> Vec<u8> {
        let key = self.oracle.key(Purpose::Feed);
        sign(kind, &self.certificate(), body, |message| {
            key.sign_ed25519(message)
        })
        .expect("a signature")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_and_rolled_back_frames_change_nothing() {
    let scene = Scene::start().await;
    // No heartbeat may come in between, and no frame.
    scene.stack.link.as_ref().unwrap().cut();
    let head = scene.head().await;
    let frames = scene.envelopes(EnvelopeType::Frame);
    assert!(frames.len() >= 2, "{}", frames.len());
    for frame in &frames {
        let answer = scene.post_one(frame).await.expect(200).json();
        assert_eq!(
            (&answer["accepted"], &answer["seq"]),
            (&0.into(), &head["seq"]),
            "{answer}"
        );
    }
    let all = join_message(frames.iter().map(Vec::as_slice));
    scene.post(&all).await.expect(200);
    let backwards = join_message(frames.iter().rev().map(Vec::as_slice));
    scene.post(&backwards).await.expect(200);
    for heartbeat in scene.envelopes(EnvelopeType::Heartbeat) {
        scene.post_one(&heartbeat).await;
    }
    for snapshot in scene.envelopes(EnvelopeType::Snapshot) {
        scene.post_one(&snapshot).await;
    }
    scene.assert_unchanged(&head, "a replay").await;

    // The same after the edge was restarted, from its disk alone.
    let mut scene = scene;
    scene.stack.edge.kill();
    scene.stack.edge.restart().await.unwrap();
    scene.post_one(&frames[0]).await.expect(200);
    scene.assert_unchanged(&head, "a replay after a restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reordered_frames_are_refused_and_their_order_is_not_forgotten() {
    let scene = Scene::start().await;
    let link = scene.stack.link.as_ref().unwrap();
    link.cut();
    let head = scene.head().await;
    // Three frames that the edge does not have.
    let seq = head["seq"].as_u64().unwrap();
    let mut doomed = Vec::new();
    for count in 1..=3 {
        let key = scene.stack.admin().key("read").await;
        scene.stack.admin().revoke(&key.id, Some("none")).await;
        doomed.push(key);
        wait::until_true("its frame is made", Duration::from_secs(10), || async {
            scene.oracle.frames_after(seq).await.len() >= count
        })
        .await;
    }
    let missing = scene.oracle.frames_after(seq).await;
    for frame in missing.iter().skip(1) {
        let answer = scene.post_one(frame).await.expect(409).json();
        assert_eq!(answer["refused"][0]["code"], "gap", "{answer}");
    }
    scene.assert_unchanged(&head, "a gap").await;
    // In order they are taken, in one message or in several.
    let in_order = join_message(missing.iter().map(Vec::as_slice));
    scene.post(&in_order).await.expect(200);
    for key in &doomed {
        let caller = scene.stack.caller(&key.key);
        wait::until_true("the frames take effect", Duration::from_secs(5), || async {
            caller.get(PATH).await.status == 401
        })
        .await;
    }
    // And the publisher, let through again, finds nothing wrong.
    link.mend();
    let another = scene.stack.admin().key("read").await;
    scene.stack.admin().revoke(&another.id, None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_changed_in_any_byte_changes_nothing() {
    let scene = Scene::start().await;
    scene.stack.link.as_ref().unwrap().cut();
    let head = scene.head().await;
    let frame = next_frame(&scene, Vec::new());
    let envelope = scene.signed(EnvelopeType::Frame, &frame.encode());
    for position in 0..envelope.len() {
        let mut forged = envelope.clone();
        forged[position] ^= 1 << (position % 8);
        let status = scene.post_one(&forged).await.status;
        assert!(matches!(status, 400 | 403 | 409), "byte {position}: {status}");
    }
    for length in (0..envelope.len()).step_by(7) {
        let status = scene.post_one(&envelope[..length]).await.status;
        assert!(matches!(status, 400 | 403), "cut to {length}: {status}");
    }
    for garbage in [
        b"".as_slice(),
        b"\x00",
        b"\xff\xff\xff\xff\xff",
        b"{}",
        &[0x80; 64],
    ] {
        let status = scene.post(garbage).await.status;
        assert!(matches!(status, 200 | 400), "{garbage:?}: {status}");
    }
    scene.assert_unchanged(&head, "a changed frame").await;
    // The control: unchanged it is the next frame.
    let answer = scene.post_one(&envelope).await.expect(200).json();
    assert_eq!(answer["accepted"], 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_certified_key_of_this_feed_and_epoch_is_heard() {
    let scene = Scene::start().await;
    scene.stack.link.as_ref().unwrap().cut();
    let head = scene.head().await;
    let body = next_frame(&scene, Vec::new()).encode();
    let certificate = scene.certificate();

    // The right certificate, signed by any other of our own keys, even the root.
    for purpose in [Purpose::Root, Purpose::ApiKey] {
        let key = scene.oracle.key(purpose);
        let forged = sign(EnvelopeType::Frame, &certificate, &body, |message| {
            key.sign_ed25519(message)
        })
        .unwrap();
        scene.post_one(&forged).await.expect(403);
    }
    // A certificate of somebody's own making, for a key of ours that is no feed key.
    let key = scene.oracle.key(Purpose::ApiKey);
    let own = Certificate {
        key: key.public.material().try_into().unwrap(),
        ..certificate.clone()
    };
    let mut signed = own.clone();
    signed.root_signature = key.sign_ed25519(&own.root_message()).unwrap();
    for certificate in [own, signed] {
        let forged = sign(EnvelopeType::Frame, &certificate, &body, |message| {
            key.sign_ed25519(message)
        })
        .unwrap();
        scene.post_one(&forged).await.expect(403);
    }

    // Even the root's own word must be for this feed, this epoch, and not be over.
    let (root, feed) = (scene.oracle.key(Purpose::Root), scene.oracle.key(Purpose::Feed));
    let vouched = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = certificate.clone();
        change(&mut certificate);
        certificate.root_signature = root.sign_ed25519(&certificate.root_message()).unwrap();
        sign(EnvelopeType::Frame, &certificate, &body, |message| {
            feed.sign_ed25519(message)
        })
        .unwrap()
    };
    scene
        .post_one(&vouched(&|certificate| certificate.feed = FeedId([9; 16])))
        .await
        .expect(403);
    scene
        .post_one(&vouched(&|certificate| certificate.epoch += 1))
        .await
        .expect(403);
    scene
        .post_one(&vouched(&|certificate| certificate.not_after = UnixSeconds(1)))
        .await
        .expect(403);
    scene.assert_unchanged(&head, "a stranger's frame").await;
}

/// What the feed key itself may not say: a fork, a gap, an undone restriction, a lower epoch, a key without the root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn even_the_feed_key_can_not_take_back_or_branch() {
    let scene = Scene::start().await;
    scene.stack.link.as_ref().unwrap().cut();
    let head = scene.head().await;
    let next = next_frame(&scene, Vec::new());
    let frame = |change: &dyn Fn(&mut Frame)| {
        let mut frame = next.clone();
        change(&mut frame);
        scene.signed(EnvelopeType::Frame, &frame.encode())
    };
    for (what, status, envelope) in [
        ("a gap", 409, frame(&|frame| frame.seq += 1)),
        ("a fork", 409, frame(&|frame| frame.previous = [7; 32])),
        (
            "another history of the last frame",
            409,
            frame(&|frame| frame.seq -= 1),
        ),
        ("another feed", 403, frame(&|frame| frame.feed = FeedId([9; 16]))),
        ("a lower epoch", 403, frame(&|frame| frame.epoch = 0)),
        ("a higher epoch", 403, frame(&|frame| frame.epoch += 1)),
        (
            "an unknown critical kind",
            409,
            frame(&|frame| {
                frame.entries = vec![Entry::Unknown {
                    kind: 250,
                    critical: true,
                    payload: vec![1, 2, 3],
                }];
            }),
        ),
    ] {
        let answer = scene.post_one(&envelope).await;
        if what == "an unknown critical kind" {
            // This one stops the feed on purpose: nothing may be applied any more that could depend on it.
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            break;
        }
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        scene.assert_unchanged(&head, what).await;
    }
    let health = scene.stack.anon().get("/.portcullis/health").await.json();
    assert_eq!(health["head"], head, "{health}");
}

/// A signed fetch gets the feed; an unsigned, foreign or old one does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_gives_its_frames_only_to_the_publisher() {
    let scene = Scene::start().await;
    let certificate = scene.certificate();
    let now = UnixMillis(crate::support::unix_now() * 1000);
    let request = FetchRequest {
        feed: certificate.feed,
        epoch: 1,
        after: 0,
        time: now,
    };
    let fetch = async |envelope: &[u8]| {
        scene
            .stack
            .anon()
            .send(Request::new("POST", "/.portcullis/feed/fetch").body(envelope))
            .await
    };
    let good = fetch(&scene.signed(EnvelopeType::Fetch, &request.encode()))
        .await
        .expect(200);
    assert!(!split_message(&good.body).expect("a message").is_empty());
    let old = FetchRequest {
        time: UnixMillis(now.0 - 3_600_000),
        ..request.clone()
    };
    fetch(&scene.signed(EnvelopeType::Fetch, &old.encode()))
        .await
        .expect(403);
    let key = scene.oracle.key(Purpose::ApiKey);
    let forged = sign(EnvelopeType::Fetch, &certificate, &request.encode(), |message| {
        key.sign_ed25519(message)
    })
    .unwrap();
    fetch(&forged).await.expect(403);
    assert!(matches!(fetch(b"").await.status, 400 | 403));
}

/// The frame that would come next.
fn next_frame(scene: &Scene, entries: Vec<Entry>) -> Frame {
    let frames = scene.envelopes(EnvelopeType::Frame);
    let last = frames
        .iter()
        .map(|bytes| Envelope::decode(bytes).unwrap().body.to_vec())
        .max_by_key(|body| Frame::decode(body).unwrap().seq)
        .expect("a frame");
    let frame = Frame::decode(&last).unwrap();
    let time = UnixMillis(frame.time.0 + 1);
    Frame {
        seq: frame.seq + 1,
        previous: Frame::digest(&last),
        time,
        entries,
        ..frame
    }
}

/// A heartbeat for a head that is not the edge's is refused, and its news with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_can_not_move_the_head() {
    let scene = Scene::start().await;
    scene.stack.link.as_ref().unwrap().cut();
    let head = scene.head().await;
    let bytes = scene
        .envelopes(EnvelopeType::Heartbeat)
        .pop()
        .expect("a heartbeat");
    let real = Heartbeat::decode(Envelope::decode(&bytes).unwrap().body).unwrap();
    for change in [
        |h: &mut Heartbeat| h.head.seq += 5,
        |h: &mut Heartbeat| h.head.digest = [1; 32],
    ] {
        let mut heartbeat = real.clone();
        heartbeat.head.seq = head["seq"].as_u64().unwrap();
        change(&mut heartbeat);
        scene
            .post_one(&scene.signed(EnvelopeType::Heartbeat, &heartbeat.encode()))
            .await
            .expect(409);
    }
    scene.assert_unchanged(&head, "a wrong heartbeat").await;
}
