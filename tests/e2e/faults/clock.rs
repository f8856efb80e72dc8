//! One side's clock is ten minutes off: revocations are in force as ever, the age of the state is measured as ever, new
//! credentials may be refused, and the alarm goes off.

use std::{path::PathBuf, time::Duration};

use e2e::{Request, Stack, wait};

use super::run::Run;

const LIMIT: Duration = Duration::from_mins(1);
const SECONDS: i64 = 600;

fn shifted(seconds: i64) -> Vec<(String, String)> {
    let folder: PathBuf = e2e::files::target()
        .join("faults")
        .join(format!("clock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    e2e::shifted(&folder, seconds).expect("a C compiler makes a clock that is wrong")
}

/// While the clock is wrong: freshness, the alarm, and a revocation.
async fn goes_on(run: &Run, fault: &str, skew_seconds: i64) {
    wait::until_true(&format!("{fault}: the alarm goes off"), LIMIT, || async {
        let status = run.stack.admin().send(Request::get("/v1/edge/status")).await;
        let status = status.json();
        let alerts = status["alerts"].as_array().expect("alerts");
        let clock = alerts.iter().any(|alert| alert["kind"] == "clock");
        // The edge's clock minus the control plane's.
        let skew = status["edges"][0]["clock_skew_ms"].as_i64();
        clock && skew.is_some_and(|skew| (skew / 1000 - skew_seconds).abs() < 30)
    })
    .await;
    for gate in 0..2 {
        wait::until_true(&format!("{fault}: gate {gate} is fresh"), LIMIT, || async {
            let health = e2e::http::once(&run.stack.gate(gate), &Request::get("/.portcullis/health")).await;
            let health = health.unwrap().json();
            health["status"] == "ok" && health["feed_age_ms"].as_u64().is_some_and(|age| age < 10_000)
        })
        .await;
    }
    let victim = run.create().await;
    wait::until_true(&format!("{fault}: a receipt in force"), LIMIT, || async {
        let receipt = run.revoke(victim, "effective").await.expect("a receipt");
        receipt["pending"] == serde_json::json!([])
    })
    .await;
    run.load(300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_planes_clock_is_ten_minutes_off() {
    let mut run = Run::start("clock-control", Stack::with(), 2).await;
    run.rules.young_may_be_refused = true;
    for seconds in [-SECONDS, SECONDS] {
        let fault = format!("control plane {seconds:+} s");
        run.begin(&fault);
        run.stack.control.kill();
        run.control_is_ahead(seconds);
        run.stack.control.set_environment(shifted(seconds));
        run.stack.control.restart().await.unwrap();
        run.churn();
        goes_on(&run, &fault, -seconds).await;
        run.rest().await;
        run.stack.control.kill();
        run.control_is_ahead(0);
        run.stack.control.set_environment(Vec::new());
        run.stack.control.restart().await.unwrap();
        run.end(&fault);
    }
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edges_clock_is_ten_minutes_off() {
    // The first keys are ten minutes old: an edge whose clock is behind may refuse younger ones.
    let old = shifted(-SECONDS);
    let builder = old.iter().fold(Stack::with(), |builder, (name, value)| {
        builder.environment(name, value)
    });
    let mut run = Run::start("clock-edge", builder, 2).await;
    run.rules.young_may_be_refused = true;
    run.stack.control.kill();
    run.stack.control.set_environment(Vec::new());
    run.stack.control.restart().await.unwrap();
    for seconds in [SECONDS, -SECONDS] {
        let fault = format!("edge {seconds:+} s");
        run.begin(&fault);
        run.stack.edge.kill();
        run.stack.edge.set_environment(shifted(seconds));
        run.stack.edge.restart().await.unwrap();
        run.churn();
        goes_on(&run, &fault, seconds).await;
        run.rest().await;
        run.stack.edge.kill();
        run.stack.edge.set_environment(Vec::new());
        run.stack.edge.restart().await.unwrap();
        run.end(&fault);
    }
    run.finish().await;
}
