//! The golden vectors through requests as they arrive, and a feed that lies, fails, hangs and comes back.

use edge::validator::vectors::Case;
use shared::time::UnixMillis;

use super::*;
use crate::question;
use crate::testing::{ControlPlane, Mood, UPLINK_KEY, client, gate_for, message, parts, settings, vectors};

/// The reason's code, as the vectors have it.
fn code(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow(allowed) if allowed.public => "public",
        Decision::Allow(_) => "allowed",
        Decision::Refuse(refused) => refused.reason.unwrap_or(refused.code),
    }
}

fn good(cases: &[Case]) -> &Case {
    let found = cases.iter().find(|case| {
        case.expected == "allowed"
            && case.contact_age_ms == 0
            && case.proof.is_none()
            && case.min_seq.is_none()
    });
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_is_that_of_the_vectors() {
    let vectors = vectors();
    let (client, mut running) = (client(), Vec::new());
    let mut beyond_http = 0;
    for case in &vectors.cases {
        // Only a heartbeat tells how old the feed is, and there is none in the vectors' message.
        if case.feed_age_ms.is_some() {
            continue;
        }
        let asked = parts(case).map(|parts| question::about(&parts));
        let Some(mut asked) = asked else {
            beyond_http += 1;
            continue;
        };
        asked.authority = String::new();
        (asked.read_after_arrival, asked.exhausted) = (case.read_after_arrival, case.exhausted);
        let (gate, case) = (gate_for(&vectors, case, client.clone()), case.clone());
        running.push(tokio::spawn(async move { (gate.verify(asked).await, case) }));
    }
    let compared = running.len();
    for case in running {
        let (decision, case) = case.await.unwrap();
        // Nobody is there to read a fresher state from.
        let expected = match case.expected.as_str() {
            "refresh" => "state_stale",
            // On a strict route the edge asks its hub about a proof; here the process is the only one.
            other => other,
        };
        assert_eq!(code(&decision), expected, "{}", case.name);
    }
    assert!(compared >= 100, "{compared}");
    assert!(beyond_http <= 5, "{beyond_http}");
}

#[tokio::test]
async fn the_feed_is_fetched_verified_and_confirmed() {
    let vectors = vectors();
    let control = ControlPlane::start(message(&vectors)).await;
    let case = good(&vectors.cases);
    let clock = Clock::manual(UnixMillis(case.now * 1000));
    let gate = Gate::idle(&settings(&vectors, &control.url()), clock.clone(), client()).unwrap();
    let ask = || question::about(&parts(case).unwrap());
    assert!(!gate.is_ready());
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    assert!(gate.is_ready());
    let seen = control.seen.lock().unwrap().clone();
    assert!(
        seen[0].starts_with(&format!("Bearer {UPLINK_KEY} epoch=0&after=0&wait=0")),
        "{seen:?}"
    );
    assert!(seen[1].contains("digest="), "{seen:?}");

    // Within the bound nothing is fetched for an ordinary route; past it, once.
    let asked = control.asked();
    clock.advance_ms(1900);
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    assert_eq!(control.asked(), asked);
    clock.advance_ms(200);
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    assert_eq!(control.asked(), asked + 1);
}

#[tokio::test]
async fn a_control_plane_that_fails_leaves_the_gate_within_its_bound_and_no_longer() {
    let vectors = vectors();
    let case = good(&vectors.cases);
    for mood in [Mood::Failing, Mood::Hanging, Mood::Refusing] {
        let control = ControlPlane::start(message(&vectors)).await;
        let clock = Clock::manual(UnixMillis(case.now * 1000));
        let gate = Gate::idle(&settings(&vectors, &control.url()), clock.clone(), client()).unwrap();
        let ask = || question::about(&parts(case).unwrap());
        assert_eq!(code(&gate.verify(ask()).await), "allowed");
        control.set(mood);
        clock.advance_ms(1900);
        assert_eq!(code(&gate.verify(ask()).await), "allowed", "{mood:?}");
        clock.advance_ms(200);
        let Decision::Refuse(refused) = gate.verify(ask()).await else {
            panic!("{mood:?}");
        };
        assert_eq!((refused.status, refused.reason), (503, Some("state_stale")));
        assert_eq!(refused.headers.find("retry-after"), Some("1"));
        assert!(!gate.is_ready());
        // Everybody together tries once in a second.
        let asked = control.asked();
        assert_eq!(code(&gate.verify(ask()).await), "state_stale");
        assert!(
            control.asked() <= asked + usize::from(mood == Mood::Hanging),
            "{mood:?}"
        );
        control.set(Mood::Honest);
        clock.advance_ms(1000);
        assert_eq!(code(&gate.verify(ask()).await), "allowed", "{mood:?}");
    }
}

#[tokio::test]
async fn what_the_root_did_not_sign_is_not_believed() {
    let vectors = vectors();
    let case = good(&vectors.cases);
    let control = ControlPlane::start(message(&vectors)).await;
    control.set(Mood::Forging);
    let clock = Clock::manual(UnixMillis(case.now * 1000));
    let gate = Gate::idle(&settings(&vectors, &control.url()), clock.clone(), client()).unwrap();
    let ask = || question::about(&parts(case).unwrap());
    // What was signed before the forged part is known; but nobody has vouched that this was all.
    assert_eq!(code(&gate.verify(ask()).await), "state_stale");
    assert!(!gate.is_ready());
    assert!(gate.status()["refused"].is_string(), "{}", gate.status());

    // The same message, under another root.
    let control = ControlPlane::start(message(&vectors)).await;
    let other = Settings {
        root_key: shared::crypto::base64url(&[7; 32]),
        ..settings(&vectors, &control.url())
    };
    let gate = Gate::idle(&other, clock, client()).unwrap();
    assert_eq!(code(&gate.verify(ask()).await), "state_missing");
}

#[tokio::test]
async fn no_clock_that_is_set_makes_the_state_younger() {
    let vectors = vectors();
    let case = good(&vectors.cases);
    let control = ControlPlane::start(message(&vectors)).await;
    let start = UnixMillis(case.now * 1000);
    let clock = Clock::manual(start);
    let gate = Gate::idle(&settings(&vectors, &control.url()), clock.clone(), client()).unwrap();
    let ask = || question::about(&parts(case).unwrap());
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    control.set(Mood::Failing);
    for set_to in [start.0, start.0 - 5000, start.0 + 1] {
        clock.advance_ms(3000);
        clock.set(UnixMillis(set_to));
        assert_eq!(code(&gate.verify(ask()).await), "state_stale", "{set_to}");
    }
}

#[tokio::test]
async fn a_strict_route_reads_for_each_request_and_those_at_once_share() {
    let vectors = vectors();
    let control = ControlPlane::start(message(&vectors)).await;
    let named = |name: &str| vectors.cases.iter().find(|case| case.name == name).unwrap();
    let case = Case {
        path: "/admin/x".into(),
        ..named("admin implies the rest").clone()
    };
    let clock = Clock::manual(UnixMillis(case.now * 1000));
    let gate = Gate::idle(&settings(&vectors, &control.url()), clock, client()).unwrap();
    let ask = || question::about(&parts(&case).unwrap());
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    let before = control.asked();
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    assert_eq!(control.asked(), before + 1);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (gate, asked) = (gate.clone(), ask());
        crowd.spawn(async move { gate.verify(asked).await });
    }
    while let Some(decision) = crowd.join_next().await {
        assert_eq!(code(&decision.unwrap()), "allowed");
    }
    assert!(control.asked() <= before + 5, "{}", control.asked() - before);
    control.set(Mood::Failing);
    assert_eq!(
        code(&gate.verify(ask()).await),
        "state_stale",
        "however fresh the state is"
    );
}

/// One caller after the other, as fast as answers come: the control plane grants a key 6000 fetches in a minute.
#[tokio::test]
async fn nobody_uses_up_what_the_control_plane_grants() {
    let vectors = vectors();
    let control = ControlPlane::start(message(&vectors)).await;
    let named = |name: &str| vectors.cases.iter().find(|case| case.name == name).unwrap();
    let case = Case {
        path: "/admin/x".into(),
        ..named("admin implies the rest").clone()
    };
    let gate = Gate::idle(
        &settings(&vectors, &control.url()),
        Clock::manual(UnixMillis(case.now * 1000)),
        client(),
    )
    .unwrap();
    let ask = || question::about(&parts(&case).unwrap());
    assert_eq!(code(&gate.verify(ask()).await), "allowed");
    let (before, begun) = (control.asked(), tokio::time::Instant::now());
    for _ in 0..20 {
        assert_eq!(code(&gate.verify(ask()).await), "allowed");
    }
    let (asked, took) = (control.asked() - before, begun.elapsed());
    assert_eq!(asked, 20, "each begins after its request arrived");
    let a_minute = took * u32::try_from(6000 / (2 * asked)).unwrap();
    assert!(a_minute >= Duration::from_mins(1), "{asked} fetches in {took:?}");
}

#[tokio::test]
async fn settings_are_refused_by_name() {
    let vectors = vectors();
    let good = || settings(&vectors, "https://id.example");
    assert!(Gate::idle(&good(), Clock::system(), client()).is_ok());
    for (name, wrong) in [
        (
            "root_key",
            Settings {
                root_key: "short".into(),
                ..good()
            },
        ),
        (
            "feed_id",
            Settings {
                feed_id: "07".into(),
                ..good()
            },
        ),
        (
            "environments",
            Settings {
                environments: vec!["prod".into()],
                ..good()
            },
        ),
        (
            "public_origins",
            Settings {
                public_origins: vec!["api.example".into()],
                ..good()
            },
        ),
        (
            "issuer",
            Settings {
                issuer: String::new(),
                ..good()
            },
        ),
        (
            "uplink_key",
            Settings {
                uplink_key: "short".into(),
                ..good()
            },
        ),
        (
            "control_plane",
            Settings {
                control_plane: "id.example".into(),
                ..good()
            },
        ),
        (
            "control_plane",
            Settings {
                control_plane: "https://me@id.example".into(),
                ..good()
            },
        ),
    ] {
        let error = Gate::idle(&wrong, Clock::system(), client()).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
        assert!(!format!("{wrong:?}").contains(UPLINK_KEY));
    }
}
