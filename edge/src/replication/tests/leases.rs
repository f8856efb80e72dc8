//! The right to answer as fresh, on both sides.

use proptest::prelude::*;
use shared::feed::Head;

use super::fixture::{at, index, name};
use crate::replication::*;

fn head(seq: u64) -> Head {
    Head {
        epoch: 1,
        seq,
        digest: [u8::try_from(seq % 256).expect("a byte"); 32],
    }
}

fn book(now: u64) -> Leases {
    Leases::open([name("weur"), name("enam")], at(now))
}

/// What the book says of `weur`, to a publisher that is told that the hub stands at `seq`.
fn lease_ms(book: &Leases, seq: u64, now: u64) -> u64 {
    let report = book.report(Some(head(seq)), at(now));
    let report = report.into_iter().find(|report| report.name == name("weur"));
    report.expect("is listed").lease_ms
}

#[test]
fn a_lease_counts_from_the_start_of_the_pull() {
    let mut lease = Lease::default();
    assert_eq!(lease.age_ms(at(0)), None, "none was ever given");
    lease.renew(at(100));
    assert!(lease.holds(at(100)) && lease.holds(at(5099)));
    assert!(!lease.holds(at(5100)));
    assert_eq!(lease.age_ms(at(5099)), Some(0));
    assert_eq!(lease.age_ms(at(5100)), Some(5000));
}

#[test]
fn a_clock_that_jumped_back_ends_a_lease() {
    let mut lease = Lease::default();
    lease.renew(at(1000));
    assert_eq!(lease.age_ms(at(999)), None);
    assert!(!lease.holds(at(999)));
    assert!(lease.is_pull_due(at(999)));
    lease.renew(at(500));
    assert!(
        lease.holds(at(500)) && !lease.holds(at(5500)),
        "a new start counts, even an earlier one"
    );
}

#[test]
fn a_pull_is_due_after_a_second() {
    let mut lease = Lease::default();
    assert!(lease.is_pull_due(at(0)));
    lease.renew(at(0));
    assert!(!lease.is_pull_due(at(999)));
    assert!(lease.is_pull_due(at(1000)));
}

#[test]
fn a_new_book_takes_everybody_for_a_holder() {
    let book = book(0);
    assert_eq!(lease_ms(&book, 1, 0), 6000);
    assert_eq!(lease_ms(&book, 1, 5999), 1);
    assert_eq!(lease_ms(&book, 1, 6000), 0);
    assert_eq!(
        book.report(None, at(0)).iter().map(|r| r.lease_ms).max(),
        Some(0),
        "nothing is newer than nothing"
    );
}

#[test]
fn only_a_lease_that_was_given_at_an_older_head_counts() {
    let mut book = book(0);
    book.grant(&name("weur"), head(1).into(), at(10_000));
    assert_eq!(lease_ms(&book, 1, 10_000), 0, "it has everything");
    assert_eq!(lease_ms(&book, 2, 10_000), 6000);
    assert_eq!(lease_ms(&book, 2, 15_999), 1, "with the margin");
    // Given again at the new head, the older one still runs.
    book.grant(&name("weur"), head(2).into(), at(11_000));
    assert_eq!(lease_ms(&book, 2, 11_000), 5000);
    assert_eq!(lease_ms(&book, 3, 11_000), 6000, "both are older now");
    // Given twice at one head, the later one counts.
    book.grant(&name("weur"), head(2).into(), at(12_000));
    assert_eq!(lease_ms(&book, 3, 12_000), 6000);
    assert_eq!(
        lease_ms(&book, 2, 12_000),
        4000,
        "and the one from before is not forgotten"
    );
}

#[test]
fn who_has_applied_it_holds_nothing_older() {
    let mut book = book(0);
    book.grant(&name("weur"), head(1).into(), at(10_000));
    book.heard(&name("weur"), Some(head(1)), at(10_000));
    assert_eq!(lease_ms(&book, 2, 10_000), 6000);
    book.heard(&name("weur"), Some(head(2)), at(10_100));
    assert_eq!(lease_ms(&book, 2, 10_100), 0);
    book.heard(&name("weur"), None, at(10_200));
    assert_eq!(
        lease_ms(&book, 2, 10_200),
        5800,
        "it says that it has lost its disk"
    );
}

#[test]
fn a_report_says_what_was_heard_and_when() {
    let mut book = book(0);
    book.heard(&name("weur"), Some(head(3)), at(100));
    book.heard(&name("nowhere"), Some(head(3)), at(100));
    let report = book.report(Some(head(3)), at(150));
    assert_eq!(report.len(), 2, "a stranger is not listed");
    let said = |name: &str| {
        let report = report
            .iter()
            .find(|report| report.name.as_str() == name)
            .expect("listed");
        (report.seq, report.age_ms)
    };
    assert_eq!(said("weur"), (Some(3), Some(50)));
    assert_eq!(said("enam"), (None, None));
    assert!(!book.knows(&name("nowhere")) && book.knows(&name("enam")));
}

#[test]
fn only_who_was_heard_lately_is_active() {
    let mut book = book(0);
    assert_eq!(book.active(at(0)).count(), 0);
    book.heard(&name("weur"), None, at(0));
    assert_eq!(book.active(at(59_999)).count(), 1);
    assert_eq!(book.active(at(60_000)).count(), 0);
}

#[test]
fn a_name_is_short_and_plain() {
    for good in ["weur", "a", "eu-west-1", "abcdefghijklmnop"] {
        assert!(good.parse::<RegionName>().is_ok(), "{good}");
    }
    for bad in ["", "Weur", "a b", "abcdefghijklmnopq", "é", "a/b"] {
        assert!(bad.parse::<RegionName>().is_err(), "{bad:?}");
    }
    assert!(serde_json::from_str::<RegionName>("\"A\"").is_err());
}

#[test]
fn a_local_set_is_bounded_and_forgets_only_what_the_feed_says() {
    let mut chain = super::fixture::Chain::new();
    let state = |chain: &super::fixture::Chain| chain.state.clone();
    let mut set = LocalSet::of([index(3), index(1), index(3)], &state(&chain));
    assert_eq!(set.all(), [index(1), index(3)]);
    chain.revoke(3);
    assert_eq!(
        set.merge([index(3), index(4)], &state(&chain)),
        [index(4)],
        "3 is in the feed"
    );
    assert_eq!(set.settle(&state(&chain)), [index(3)]);
    assert_eq!(set.all(), [index(1), index(4)]);
    set.merge((10..5000).map(index), &state(&chain));
    assert!(set.is_full());
    assert_eq!(set.all().len(), MAX_LOCAL);
    assert!(set.merge([index(9000)], &state(&chain)).is_empty());
    assert_eq!(LocalSet::of([index(3)], &state(&chain)), LocalSet::default());
}

proptest! {
    /// Whatever a hub gives and a region takes: a region that still thinks that it holds a lease from an older head is
    /// never said to hold none. Both count on clocks of their own.
    #[test]
    fn the_book_never_counts_a_lease_shorter_than_its_holder(
        steps in proptest::collection::vec((0u64..1500, 0u64..900, 0u64..900, any::<bool>(), any::<bool>()), 1..40),
        offset in 0u64..600_000,
    ) {
        let (mut book, mut lease, mut known) = (book(0), Lease::default(), 1);
        let (mut now, mut seq) = (0, 1);
        for (wait, there, back, publishes, restarts) in steps {
            now += wait;
            let started = now;
            now += there;
            if restarts {
                book = self::book(now);
            }
            book.heard(&name("weur"), Some(head(known)), at(now));
            book.grant(&name("weur"), head(seq).into(), at(now));
            let brought = seq;
            if publishes {
                seq += 1;
            }
            now += back;
            lease.renew(at(started + offset));
            known = brought;
            let holds = lease.holds(at(now + offset)) && known < seq;
            prop_assert!(!holds || lease_ms(&book, seq, now) > 0);
        }
    }
}
