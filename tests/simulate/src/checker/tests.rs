//! Each rule, with the smallest log that breaks it and the nearest one that does not.

use super::*;

fn check(lines: &[&str]) -> Vec<Rule> {
    let violations = Checker::read_log(Limits::DEFAULT, &lines.join("\n")).expect("a log");
    violations.into_iter().map(|violation| violation.rule).collect()
}

fn receipt(at: u64, kind: &str) -> String {
    format!(
        r#"{{"at_us":{at},"actor":"client","event":"receipt","credential":7,"kind":"{kind}","epoch":1,"seq":5}}"#
    )
}

fn answer(at: u64, started: u64, route: &str, outcome: &str, more: &str) -> String {
    format!(
        r#"{{"at_us":{at},"actor":"isolate-0","event":"answer","credential":7,"started_us":{started},"route":"{route}","outcome":"{outcome}"{more}}}"#
    )
}

#[test]
fn what_started_before_the_receipt_may_still_be_let_in() {
    let receipt = receipt(1000, "effective");
    for route in ["default", "strict"] {
        let before = answer(2000, 1000, route, "allowed", "");
        assert_eq!(check(&[&receipt, &before]), [], "{route}");
        let rules = check(&[&receipt, &answer(2000, 1001, route, "allowed", "")]);
        assert!(rules.contains(&Rule::Effective), "{route}: {rules:?}");
        assert_eq!(check(&[&receipt, &answer(2000, 1001, route, "revoked", "")]), []);
    }
    assert_eq!(
        check(&[&receipt, &answer(2000, 1001, "allow_stale", "allowed", "")]),
        []
    );
}

#[test]
fn an_acknowledgement_binds_strict_routes_and_min_seq() {
    let receipt = receipt(1000, "acknowledged");
    let late = |route, more| answer(2000, 1500, route, "allowed", more);
    assert_eq!(check(&[&receipt, &late("default", "")]), []);
    assert_eq!(check(&[&receipt, &late("default", r#","min_seq":4"#)]), []);
    assert_eq!(
        check(&[&receipt, &late("default", r#","min_seq":5"#)]),
        [Rule::Acknowledged]
    );
    assert_eq!(check(&[&receipt, &late("strict", "")]), [Rule::Acknowledged]);
    assert_eq!(
        check(&[&receipt, &answer(2000, 900, "strict", "allowed", "")]),
        []
    );
}

#[test]
fn a_lost_hub_binds_nobody_until_it_knows_again() {
    let lost = r#"{"at_us":1100,"actor":"hub","event":"hub_lost"}"#;
    let held = |seq: u64| format!(r#"{{"at_us":1200,"actor":"hub","event":"held","epoch":1,"seq":{seq}}}"#);
    let late = |at: u64| answer(at, at, "strict", "allowed", "");
    for kind in ["acknowledged", "effective"] {
        let receipt = receipt(1000, kind);
        assert_eq!(
            check(&[&receipt, lost, &held(4), &late(60_000_000)]),
            [],
            "{kind}"
        );
        assert_eq!(check(&[&receipt, lost, &held(5), &late(8_000_000)]), [], "{kind}");
        assert_ne!(check(&[&receipt, lost, &held(5), &late(8_100_000)]), [], "{kind}");
    }
}

#[test]
fn a_self_revocation_binds_its_region() {
    let told = r#"{"at_us":1000,"actor":"client","event":"local_receipt","credential":7,"region":"weur"}"#;
    let (here, there) = (r#","region":"weur""#, r#","region":"enam""#);
    assert_eq!(
        check(&[told, &answer(2000, 1500, "strict", "allowed", here)]),
        [Rule::Local]
    );
    assert_eq!(
        check(&[told, &answer(2000, 1500, "strict", "allowed", there)]),
        []
    );
    assert_eq!(
        check(&[told, &answer(2000, 1500, "default", "allowed", here)]),
        []
    );
    let late = answer(4_100_000, 4_050_000, "default", "allowed", here);
    assert_eq!(check(&[told, &late]), [Rule::Local]);
    let lost = r#"{"at_us":1200,"actor":"region-0","event":"local_lost","credential":7,"region":"weur","everywhere":true}"#;
    assert_eq!(check(&[told, lost, &late]), []);
}

#[test]
fn a_state_may_not_be_older_than_its_route_says() {
    let held =
        |at: u64, seq: u64| format!(r#"{{"at_us":{at},"actor":"hub","event":"held","epoch":1,"seq":{seq}}}"#);
    let (first, second) = (held(0, 5), held(1_000_000, 6));
    let from = |at: u64, route, seq: u64| {
        let state = format!(r#","state":{{"epoch":1,"seq":{seq}}}"#);
        answer(at, at, route, "allowed", &state)
    };
    assert_eq!(check(&[&first, &second, &from(9_000_000, "default", 5)]), []);
    assert_eq!(
        check(&[&first, &second, &from(9_100_000, "default", 5)]),
        [Rule::Stale]
    );
    assert_eq!(check(&[&first, &second, &from(9_100_000, "default", 6)]), []);
    assert_eq!(
        check(&[&first, &second, &from(6_100_000, "strict", 5)]),
        [Rule::Stale]
    );
    assert_eq!(check(&[&first, &second, &from(6_100_000, "default", 5)]), []);
    assert_eq!(check(&[&first, &second, &from(60_000_000, "allow_stale", 5)]), []);
    let next_epoch = r#"{"at_us":2000000,"actor":"hub","event":"held","epoch":2,"seq":7}"#;
    assert_eq!(
        check(&[&first, next_epoch, &from(10_100_000, "default", 99)]),
        [Rule::Stale]
    );
    let lost = r#"{"at_us":2000000,"actor":"hub","event":"hub_lost"}"#;
    assert_eq!(
        check(&[&first, &second, lost, &from(9_100_000, "default", 5)]),
        []
    );
}

#[test]
fn a_live_credential_is_never_refused_as_revoked() {
    let refused = answer(2000, 1500, "allow_stale", "revoked", "");
    assert_eq!(check(&[&refused]), [Rule::FalseRefusal]);
    let revoking = r#"{"at_us":1800,"actor":"client","event":"revoking","credential":7}"#;
    assert_eq!(check(&[revoking, &refused]), []);
}

#[test]
fn in_the_end_everything_works_and_stays_dead() {
    let healed = r#"{"at_us":5000,"actor":"world","event":"healed"}"#;
    let late = |outcome, more| answer(12_006_000, 12_005_500, "default", outcome, more);
    assert_eq!(check(&[healed, &late("unavailable", "")]), [Rule::NotHealed]);
    assert_eq!(
        check(&[healed, &answer(9000, 8000, "default", "unavailable", "")]),
        []
    );
    let acknowledged = receipt(1000, "acknowledged");
    assert_eq!(
        check(&[&acknowledged, healed, &late("allowed", "")]),
        [Rule::Undone, Rule::NotHealed]
    );
    let revoking = r#"{"at_us":1800,"actor":"client","event":"revoking","credential":7}"#;
    assert_eq!(
        check(&[revoking, healed, &late("allowed", "")]),
        [],
        "nobody was told"
    );
    let committed = r#"{"at_us":1900,"actor":"publisher","event":"committed","credential":7}"#;
    assert_eq!(
        check(&[revoking, committed, healed, &late("revoked", "")]),
        [Rule::NotHealed],
        "no receipt"
    );
    let effective = receipt(1000, "effective");
    assert_eq!(check(&[revoking, &effective, healed, &late("revoked", "")]), []);
    let recent = r#"{"at_us":11000000,"actor":"publisher","event":"committed","credential":7}"#;
    assert_eq!(
        check(&[revoking, healed, recent, &late("allowed", "")]),
        [],
        "it has its time"
    );
}

#[test]
fn a_line_that_is_no_record_is_an_error() {
    assert!(Checker::read_log(Limits::DEFAULT, "{}").is_err());
    assert!(Checker::read_log(Limits::DEFAULT, r#"{"at_us":1,"actor":"x","event":"else"}"#).is_err());
}

#[test]
fn a_record_reads_back_as_written() {
    let record = Record {
        at_us: 9,
        actor: "isolate-1".into(),
        event: Event::Receipt {
            credential: 3,
            kind: Promise::Effective,
            place: Place { epoch: 1, seq: 2 },
        },
    };
    let text = serde_json::to_string(&record).expect("writes");
    assert_eq!(serde_json::from_str::<Record>(&text).expect("reads"), record);
}
