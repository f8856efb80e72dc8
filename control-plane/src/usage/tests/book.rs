//! Books: every window once, in whatever order the records come, and every hole is known.

use proptest::prelude::*;
use shared::time::UnixMillis;

use super::after;
use crate::store::usage::Missing;
use crate::usage::book::{Book, Verdict};

const NOW: UnixMillis = UnixMillis(5);

fn holes(book: &Book) -> Vec<(u64, u64)> {
    book.missing.iter().map(|hole| (hole.first, hole.last)).collect()
}

fn close(book: &mut Book, number: u64, next_open: bool) -> Verdict {
    let from = after(number * 3000);
    book.close(number, (from, from.saturating_add(3000)), next_open, NOW)
}

#[test]
fn windows_are_announced_and_closed() {
    let mut book = Book::default();
    assert_eq!(book.open(1, after(0), NOW), Verdict::New);
    assert_eq!(holes(&book), [(1, 1)]);
    assert_eq!(book.open(1, after(0), NOW), Verdict::Known);
    assert_eq!(close(&mut book, 1, true), Verdict::New);
    assert_eq!(holes(&book), [(2, 2)], "the next one is open");
    assert_eq!(close(&mut book, 1, true), Verdict::Known);
    assert_eq!(close(&mut book, 2, false), Verdict::New);
    assert_eq!((holes(&book), book.known), (vec![], 2));
    assert_eq!(
        book.open(2, after(0), NOW),
        Verdict::Known,
        "an opening that was late"
    );
    assert_eq!(holes(&book), []);
}

#[test]
fn what_is_skipped_is_missing_until_it_comes() {
    let mut book = Book::default();
    close(&mut book, 1, false);
    close(&mut book, 6, false);
    assert_eq!(holes(&book), [(2, 5)]);
    assert_eq!(
        book.missing[0].from,
        after(6000),
        "from the end of the one before"
    );
    close(&mut book, 4, true);
    assert_eq!(holes(&book), [(2, 3), (5, 5)]);
    for number in [2, 3, 5] {
        assert_eq!(close(&mut book, number, true), Verdict::New);
    }
    assert_eq!(holes(&book), []);
}

#[test]
fn a_book_of_holes_is_refused() {
    let mut book = Book::default();
    let mut unfit = 0;
    for number in 1..3000 {
        if close(&mut book, number * 2, false) == Verdict::Unfit {
            unfit += 1;
        }
    }
    assert!(unfit > 0 && book.missing.len() <= 1000, "{}", book.missing.len());
    // A jump is one hole, and a jump that no isolate makes is none.
    let mut book = Book::default();
    assert_eq!(close(&mut book, 1_000_000, false), Verdict::New);
    assert_eq!(holes(&book), [(1, 999_999)]);
    assert_eq!(book.open(2_000_001, after(0), NOW), Verdict::Unfit);
    assert_eq!(close(&mut book, 1 << 40, false), Verdict::Unfit);
    assert_eq!((holes(&book), book.known), (vec![(1, 999_999)], 1_000_000));
}

proptest! {
    /// Any order, with repetitions and losses: each window is new once, and what is missing is exactly what did not come.
    #[test]
    fn every_window_counts_once(order in proptest::collection::vec((1u64..30, any::<bool>(), any::<bool>()), 1..80)) {
        let mut book = Book::default();
        let mut closed = std::collections::BTreeSet::new();
        let mut known = 0;
        for (number, is_batch, next_open) in order {
            if is_batch {
                let fresh = closed.insert(number);
                let verdict = close(&mut book, number, next_open);
                prop_assert_eq!(verdict, if fresh { Verdict::New } else { Verdict::Known });
                known = known.max(if fresh && next_open { number + 1 } else { number });
            } else {
                book.open(number, after(0), NOW);
                known = known.max(number);
            }
            prop_assert_eq!(book.known, known);
            let missing: Vec<u64> = book.missing.iter().flat_map(|hole: &Missing| hole.first..=hole.last).collect();
            let expected: Vec<u64> = (1..=known).filter(|number| !closed.contains(number)).collect();
            prop_assert_eq!(missing, expected);
        }
    }
}
