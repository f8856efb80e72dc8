//! A twentieth of `make scale`'s revocations under load: after a receipt nobody gets in, and nobody is kept out without reason.
//! And the checker that says so is shown to find what it must find, in logs made by hand and in a real one that was tampered
//! with.

use std::time::Duration;

use e2e::{
    Database,
    storm::{
        self, Shape, Size,
        check::{Asked, Log, Receipt, Revocation, Route, Rule, Times, Wait, check, times_to_401},
    },
};

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

async fn run(shape: Shape, database: Database) {
    let outcome = storm::run(shape, database, Size::TWENTIETH).await;
    let outcome = outcome.expect("everything but the gates' answers goes as it should");
    println!("{outcome}");
    assert!(outcome.violations.is_empty(), "{outcome}");
    // As many as are meant, by every way.
    assert!(outcome.revoked >= 240, "{outcome}");
    assert_eq!(outcome.by_way.len(), 19, "{outcome}");
    assert!(outcome.fewest_alive >= 200, "{outcome}");
    // A gate that is late keeps people out for a moment. Those who name a seq that is not there yet share one read a second.
    let late = outcome.stale["default"] + outcome.stale["strict"];
    assert!(late * 20 < outcome.requests, "more than 5 % stale: {outcome}");

    // The same log, if it had promised more, or sooner.
    let tampered = |change: &dyn Fn(&mut Revocation)| {
        let mut log = outcome.log.clone();
        log.revocations.iter_mut().for_each(change);
        rules(&log)
    };
    let promised = tampered(&|revocation| revocation.wait = Wait::Effective);
    assert!(
        promised.contains(&Rule::LetIn),
        "wait=ack promises less: {promised:?}"
    );
    let sooner = tampered(&|revocation| {
        if let Some(receipt) = &mut revocation.receipt {
            receipt.received = receipt.received.saturating_sub(receipt.bound);
        }
    });
    assert!(sooner.contains(&Rule::LetIn), "the bound is needed: {sooner:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apart_on_sqlite() {
    run(Shape::Apart, Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_process_on_postgres() {
    run(Shape::One, Database::Postgres).await;
}

/// A credential that is revoked at 1000 by a receipt that came at 1100 with a bound of 2000, and is let in and refused as it
/// should be; and one that lives on.
fn good(wait: Wait) -> Log {
    let mut log = Log {
        probes: vec![true, false],
        asked: Vec::new(),
        revocations: vec![Revocation {
            way: "by hand",
            credentials: vec![0],
            wait,
            sent: ms(1000),
            receipt: Some(Receipt {
                received: ms(1100),
                seq: Some(7),
                bound: ms(2000),
            }),
        }],
    };
    for route in Route::ALL {
        log.asked.push(asked(0, route, 900, 200));
        log.asked.push(asked(0, route, 3200, 401));
        log.asked.push(asked(1, route, 3300, 200));
    }
    log
}

/// Answered five milliseconds after it was sent, by gate 0.
fn asked(credential: usize, route: Route, sent: u64, status: u16) -> Asked {
    Asked {
        credential,
        route,
        gate: 0,
        min_seq: (route == Route::MinSeq).then_some(6),
        sent: ms(sent),
        done: ms(sent + 5),
        status,
        stale: false,
    }
}

fn rules(log: &Log) -> Vec<Rule> {
    let mut rules: Vec<_> = check(log).iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn with(wait: Wait, more: Asked) -> Vec<Rule> {
    let mut log = good(wait);
    log.asked.push(more);
    rules(&log)
}

#[test]
fn the_checker_finds_nothing_where_nothing_is_wrong() {
    for wait in [Wait::Effective, Wait::Ack, Wait::None] {
        assert_eq!(check(&good(wait)).len(), 0, "{wait:?}");
        // Let in before the receipt was there, even if the answer came later.
        assert_eq!(with(wait, asked(0, Route::Strict, 1100, 200)), []);
    }
    // A stale gate keeps everybody out, which is no violation; and it is not a refusal.
    let mut stale = asked(1, Route::Strict, 2000, 503);
    stale.stale = true;
    assert_eq!(with(Wait::Ack, stale), []);
}

#[test]
fn the_checker_holds_each_receipt_to_its_own_promise() {
    use Rule::LetIn;
    for (wait, route, sent, wanted) in [
        (Wait::Effective, Route::Default, 1101, vec![LetIn]),
        (Wait::Effective, Route::Strict, 1101, vec![LetIn]),
        (Wait::Effective, Route::MinSeq, 1101, vec![LetIn]),
        (Wait::Ack, Route::Default, 3100, vec![]),
        (Wait::Ack, Route::Default, 3101, vec![LetIn]),
        (Wait::Ack, Route::MinSeq, 3101, vec![LetIn]),
        (Wait::Ack, Route::Strict, 1101, vec![LetIn]),
        (Wait::None, Route::Default, 3101, vec![]),
        (Wait::None, Route::Strict, 1101, vec![]),
    ] {
        let found = with(wait, asked(0, route, sent, 200));
        assert_eq!(found, wanted, "{wait:?} {route:?} {sent}");
    }
    // A receipt that came sooner than it was true.
    let mut log = good(Wait::Effective);
    log.asked.push(asked(0, Route::Default, 1050, 200));
    assert_eq!(rules(&log), []);
    let receipt = log.revocations[0].receipt.as_mut().unwrap();
    receipt.received = receipt.received.saturating_sub(ms(100));
    assert_eq!(rules(&log), [LetIn]);
}

#[test]
fn the_checker_knows_that_a_named_seq_needs_no_time() {
    let named = |seq| {
        let mut one = asked(0, Route::MinSeq, 1101, 200);
        one.min_seq = Some(seq);
        one
    };
    for wait in [Wait::Ack, Wait::None] {
        assert_eq!(with(wait, named(6)), []);
        assert_eq!(with(wait, named(7)), [Rule::LetInDespiteSeq]);
        assert_eq!(with(wait, named(8)), [Rule::LetInDespiteSeq]);
    }
}

#[test]
fn the_checker_finds_what_was_undone_and_who_was_kept_out() {
    // Even where nothing was promised: refused once is refused for good, at the same gate.
    let mut log = good(Wait::None);
    log.asked.push(asked(0, Route::Default, 1200, 401));
    let mut elsewhere = asked(0, Route::Strict, 1300, 200);
    elsewhere.gate = 1;
    log.asked.push(elsewhere);
    assert_eq!(rules(&log), []);
    log.asked.push(asked(0, Route::Strict, 1300, 200));
    assert_eq!(rules(&log), [Rule::Undone]);

    assert_eq!(
        with(Wait::Ack, asked(1, Route::Default, 2000, 401)),
        [Rule::FalseRefusal],
        "nobody revoked it"
    );
    assert_eq!(
        with(Wait::Ack, asked(0, Route::Default, 994, 401)),
        [Rule::FalseRefusal],
        "not yet revoked"
    );
    assert_eq!(
        with(Wait::Ack, asked(0, Route::Default, 998, 401)),
        [],
        "it may have been on its way"
    );
    for status in [403, 404, 500, 503] {
        let found = with(Wait::Ack, asked(1, Route::Default, 2000, status));
        assert_eq!(found, [Rule::OtherStatus], "{status}");
    }
}

#[test]
fn the_checker_takes_no_log_in_which_nothing_was_tried() {
    for route in Route::ALL {
        for (status, missing) in [(200, Rule::NeverLetIn), (401, Rule::NeverRefused)] {
            let mut log = good(Wait::Ack);
            log.asked
                .retain(|one| one.credential == 1 || one.route != route || one.status != status);
            assert_eq!(rules(&log), [missing], "{route:?}");
        }
    }
    // Refused, but too early to show that the bound holds.
    let mut log = good(Wait::Ack);
    for one in log.asked.iter_mut().filter(|one| one.status == 401) {
        one.sent = ms(3000);
    }
    assert_eq!(rules(&log), [Rule::NeverRefused]);
}

#[test]
fn times_are_of_probes_and_of_the_first_refusal() {
    let mut log = good(Wait::Ack);
    log.asked.push(asked(0, Route::Strict, 1045, 401));
    let times = times_to_401(&log, |_, route| route);
    assert_eq!(
        (times[&Route::Strict].count, times[&Route::Strict].max_ms),
        (1, 50)
    );
    assert_eq!(times[&Route::Default].max_ms, 2205);
    log.probes[0] = false;
    assert_eq!(times_to_401(&log, |_, route| route).len(), 0);
    let of = Times::of((1..=200).map(ms).collect());
    assert_eq!((of.p50_ms, of.p99_ms, of.max_ms), (100, 198, 200));
}
