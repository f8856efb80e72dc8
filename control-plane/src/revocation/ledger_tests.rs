//! When a region counts as done.

use super::*;

const T: UnixMillis = UnixMillis(1_795_302_520_000);

fn at(seq: u64) -> Position {
    Position { epoch: 1, seq }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn region(name: &str, lease_ms: u64, age_ms: Option<u64>) -> RegionReport {
    RegionReport {
        name: name.to_owned(),
        head: None,
        lease_ms,
        age_ms,
    }
}

fn news(hub: Option<Position>, regions: Vec<(RegionReport, Option<Position>)>) -> News {
    News {
        spoke: true,
        hub,
        regions,
    }
}

fn done(ledger: &Ledger, name: &str) -> Option<Position> {
    ledger.regions[name].done
}

#[test]
fn a_region_is_done_when_it_says_so() {
    let mut ledger = Ledger::default();
    let weur = region("weur", 5000, Some(10));
    ledger.take(news(Some(at(7)), vec![(weur, Some(at(7)))]), ms(0), T);
    let changes = ledger.settle(ms(0), T);
    assert_eq!(changes.advanced, [("weur".to_owned(), None, at(7))]);
    assert_eq!(changes.unsaved, [("weur".to_owned(), at(7))]);
    assert!(!ledger.is_pending(at(7)) && ledger.is_pending(at(8)));
    assert_eq!(ledger.settle(ms(1), T).unsaved.len(), 1, "until it is saved");
    ledger.saved(&changes);
    assert!(ledger.settle(ms(1), T).is_empty());
}

#[test]
fn a_region_is_done_when_its_lease_is_over() {
    let mut ledger = Ledger::default();
    let behind = || vec![(region("weur", 5000, Some(10)), Some(at(6)))];
    ledger.take(news(Some(at(7)), behind()), ms(1000), T);
    ledger.settle(ms(1000), T);
    assert_eq!(done(&ledger, "weur"), Some(at(6)));
    assert_eq!(ledger.next_due(), Some(ms(6000)));
    ledger.settle(ms(5999), T);
    assert_eq!(done(&ledger, "weur"), Some(at(6)));
    ledger.settle(ms(6000), T);
    assert_eq!(done(&ledger, "weur"), Some(at(7)));
}

#[test]
fn a_later_answer_does_not_put_an_earlier_promise_off() {
    let mut ledger = Ledger::default();
    for second in 0..10 {
        let weur = region("weur", 5000, Some(10));
        ledger.take(
            news(Some(at(7 + second)), vec![(weur, Some(at(1)))]),
            ms(second * 1000),
            T,
        );
    }
    ledger.settle(ms(9000), T);
    assert_eq!(
        done(&ledger, "weur"),
        Some(at(11)),
        "what the answer of second 4 promised"
    );
    // A shorter lease overtakes.
    let weur = region("weur", 100, Some(10));
    ledger.take(news(Some(at(17)), vec![(weur, Some(at(1)))]), ms(9000), T);
    assert_eq!(ledger.next_due(), Some(ms(9100)));
}

#[test]
fn promises_are_bounded_and_still_come_true() {
    let mut ledger = Ledger::default();
    for n in 1..1000 {
        let weur = region("weur", 5000, Some(10));
        ledger.take(news(Some(at(n)), vec![(weur, None)]), ms(n), T);
        assert!(ledger.regions["weur"].promises.len() <= MAX_PROMISES);
    }
    ledger.settle(ms(5001), T);
    assert_eq!(done(&ledger, "weur"), Some(at(1)));
    ledger.settle(ms(6000), T);
    assert_eq!(done(&ledger, "weur"), Some(at(999)));
}

#[test]
fn an_idle_region_must_ask_first_and_is_done() {
    let mut ledger = Ledger::default();
    ledger.take(news(Some(at(7)), vec![(region("oc", 0, None), None)]), ms(0), T);
    ledger.settle(ms(0), T);
    assert_eq!(done(&ledger, "oc"), Some(at(7)));
}

#[test]
fn without_the_hub_nothing_is_done_however_many_have_it() {
    let mut ledger = Ledger::default();
    let regions = || {
        vec![
            (region("weur", 0, Some(10)), Some(at(7))),
            (region("oc", 0, None), None),
        ]
    };
    let silent = News {
        spoke: false,
        hub: None,
        regions: regions(),
    };
    ledger.take(silent, ms(0), T);
    ledger.settle(ms(60_000), T);
    // A region that loses its disk would be filled by a hub that lacks the frame.
    assert_eq!((done(&ledger, "weur"), done(&ledger, "oc")), (None, None));
    assert!(ledger.is_pending(at(7)));
    assert_eq!(ledger.contact, None);
    // The hub is back, behind its region.
    ledger.take(news(Some(at(5)), regions()), ms(60_001), T);
    ledger.settle(ms(60_001), T);
    assert_eq!(
        (done(&ledger, "weur"), done(&ledger, "oc")),
        (Some(at(5)), Some(at(5)))
    );
    ledger.take(news(Some(at(7)), regions()), ms(60_002), T);
    ledger.settle(ms(60_002), T);
    assert!(!ledger.is_pending(at(7)));
}

#[test]
fn a_hub_that_lacks_the_frame_promises_nothing() {
    let mut ledger = Ledger::default();
    ledger.take(news(None, vec![(region("oc", 0, None), None)]), ms(0), T);
    ledger.settle(ms(100_000), T);
    assert_eq!(done(&ledger, "oc"), None);
}

#[test]
fn an_edge_without_regions_is_one() {
    let mut ledger = Ledger::default();
    ledger.take(news(None, Vec::new()), ms(0), T);
    assert!(ledger.settle(ms(0), T).is_empty(), "it has nothing");
    ledger.take(news(Some(at(3)), Vec::new()), ms(0), T);
    assert_eq!(ledger.settle(ms(0), T).unsaved, [(PLAIN.to_owned(), at(3))]);
    // It learns of regions, and the whole is no region any more.
    ledger.take(news(Some(at(3)), vec![(region("weur", 0, None), None)]), ms(1), T);
    let changes = ledger.settle(ms(1), T);
    assert_eq!(changes.forgotten, [PLAIN.to_owned()]);
    assert_eq!(changes.unsaved, [("weur".to_owned(), at(3))]);
    ledger.saved(&changes);
    assert!(ledger.settle(ms(1), T).is_empty());
}

#[test]
fn a_region_that_is_not_listed_any_more_is_waited_for_until_no_lease_can_be_left() {
    let mut ledger = Ledger::default();
    let both = vec![
        (region("weur", 5000, Some(1)), Some(at(1))),
        (region("oc", 0, None), None),
    ];
    ledger.take(news(Some(at(1)), both), ms(0), T);
    let alone = || vec![(region("oc", 0, None), None)];
    ledger.take(news(Some(at(2)), alone()), ms(59_999), T);
    assert!(ledger.is_pending(at(2)));
    ledger.take(news(Some(at(2)), alone()), ms(60_000), T);
    assert_eq!(ledger.settle(ms(60_000), T).forgotten, ["weur"]);
    assert!(!ledger.is_pending(at(2)));
}

#[test]
fn what_was_done_stays_done() {
    let mut ledger = Ledger::default();
    ledger.load("weur", at(5), T, ms(0));
    assert!(ledger.settle(ms(0), T).is_empty(), "the database has it");
    ledger.take(news(None, vec![(region("weur", 0, Some(1)), None)]), ms(1), T);
    ledger.settle(ms(1), T);
    assert_eq!(done(&ledger, "weur"), Some(at(5)));
}

#[test]
fn a_local_revocation_is_dealt_with_once_while_it_is_listed() {
    let index = |n| StatusIndex::from_u64(n).expect("small");
    let mut ledger = Ledger::default();
    assert_eq!(
        ledger.new_local(&[index(1), index(2), index(1)]),
        [index(1), index(2)]
    );
    ledger.handled_local(index(1));
    assert_eq!(ledger.new_local(&[index(1), index(2)]), [index(2)]);
    assert_eq!(ledger.new_local(&[index(2)]), [index(2)]);
    assert_eq!(
        ledger.new_local(&[index(1)]),
        [index(1)],
        "it was forgotten meanwhile"
    );
}
