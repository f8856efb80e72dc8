//! What is taken for a report, and what is not.

use serde_json::{Value, json};

use super::*;

fn read(value: &Value) -> Result<Report, Malformed> {
    Report::parse(value.to_string().as_bytes())
}

fn one(region: &Value) -> Value {
    json!({"epoch": null, "seq": null, "digest": null, "regions": [region]})
}

#[test]
fn an_older_release_says_less() {
    let digest = "ab".repeat(32);
    let report = read(&json!({"epoch": 1, "seq": 2, "digest": digest, "accepted": 3, "kinds": []}));
    let report = report.expect("a report");
    assert!(report.hub && report.regions.is_empty() && report.local.is_empty());
    assert_eq!(report.head.map(|head| (head.epoch, head.seq)), Some((1, 2)));
}

#[test]
fn everything_is_read() {
    let digest = "01".repeat(32);
    let report = read(&json!({
        "hub": true, "epoch": null, "seq": null, "digest": null,
        "refused": [{"code": "gap"}, {"code": "No Word"}, {"code": ""}],
        "regions": [
            {"name": "weur", "epoch": 1, "seq": 17, "digest": digest, "lease_ms": 3200, "age_ms": 120},
            {"name": "oc", "epoch": null, "seq": null, "digest": null, "lease_ms": 0, "age_ms": null},
        ],
        "local": [1_234_567],
    }))
    .expect("a report");
    assert_eq!(report.refused, ["gap"]);
    let (weur, oc) = (&report.regions[0], &report.regions[1]);
    assert_eq!(
        (weur.lease_ms, weur.age_ms, weur.head.map(|head| head.seq)),
        (3200, Some(120), Some(17))
    );
    assert_eq!((oc.lease_ms, oc.age_ms, oc.head), (0, None, None));
    assert_eq!(report.local, [StatusIndex::from_u64(1_234_567).expect("small")]);
}

#[test]
fn a_hub_that_did_not_answer_holds_nothing() {
    let report = read(&json!({"hub": false, "epoch": 1, "seq": 2, "digest": "ab".repeat(32)}));
    assert_eq!(report.expect("a report").head, None);
}

#[test]
fn what_is_malformed_is_refused_as_a_whole() {
    let region = |name: &str| json!({"name": name, "lease_ms": 0, "age_ms": null});
    assert!(read(&one(&region("weur-2"))).is_ok());
    for name in ["", "Weur", "we/ur", "seventeen-letters", "we ur"] {
        assert!(read(&one(&region(name))).is_err(), "{name}");
    }
    let with = |member: &str, value: Value| {
        let mut region = region("weur");
        region[member] = value;
        one(&region)
    };
    for wrong in [
        with("lease_ms", json!(MAX_LEASE_MS + 1)),
        with("lease_ms", json!(-1)),
        with("lease_ms", json!(null)),
        with("age_ms", json!(LIMIT)),
        with("epoch", json!(1)),
        json!({"epoch": 1, "seq": 2, "digest": "ab"}),
        json!({"epoch": LIMIT, "seq": 2, "digest": "ab".repeat(32)}),
        json!({"epoch": 1, "seq": 2}),
        json!({"local": [LIMIT]}),
        json!({"local": vec![1; MAX_LOCAL + 1]}),
        json!({"regions": [region("a"), region("a")]}),
        json!({"regions": (0..=MAX_REGIONS).map(|n| region(&format!("r{n}"))).collect::<Vec<_>>()}),
        json!([]),
    ] {
        assert!(read(&wrong).is_err(), "{wrong}");
    }
}
