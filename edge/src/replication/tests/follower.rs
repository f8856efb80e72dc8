//! An isolate's copy: how old it is, and what it believes.

use shared::feed::Refusal;

use super::fixture::{Chain, account, at, index, message, trust};
use crate::replication::*;

fn follower() -> Follower {
    Follower::new(trust())
}

#[test]
fn its_age_counts_from_the_start_of_the_read_and_includes_the_regions() {
    let mut chain = Chain::new();
    let mut follower = follower();
    assert_eq!(follower.contact_age_ms(at(0)), None);
    let frame = chain.revoke(1);
    let caught = follower.take_answer(&frame, &account(&chain, Some(0)), at(100), at(900));
    assert_eq!(caught, Ok(Caught::Up));
    assert_eq!(follower.contact_age_ms(at(1000)), Some(900));
    let older = follower.take_answer(&[], &account(&chain, Some(700)), at(1000), at(1000));
    assert_eq!(older, Ok(Caught::Up));
    assert_eq!(
        follower.contact_age_ms(at(1000)),
        Some(700),
        "a region that was fresh 700 ms ago"
    );
    let worse = follower.take_answer(&[], &account(&chain, Some(5000)), at(1000), at(1000));
    assert_eq!(worse, Ok(Caught::Up));
    assert_eq!(
        follower.contact_age_ms(at(1000)),
        Some(700),
        "what is known does not get older by that"
    );
}

#[test]
fn only_the_tellers_head_proves_freshness() {
    let mut chain = Chain::new();
    let mut follower = follower();
    let first = chain.revoke(1);
    let at_first = account(&chain, Some(0));
    let second = chain.revoke(2);
    let mut read = |message: &[u8], account: &Account| {
        let caught = follower.take_answer(message, account, at(0), at(0));
        (caught, follower.contact_at().is_some())
    };
    assert_eq!(
        read(&first, &account(&chain, Some(0))),
        (Ok(Caught::Behind), false)
    );
    assert_eq!(read(&second, &at_first), (Ok(Caught::Ahead), false));
    assert_eq!(
        read(&[], &account(&chain, None)),
        (Ok(Caught::Up), false),
        "a region that never heard the hub"
    );
    assert_eq!(read(&[], &Account::default()), (Err(Refusal::LowerEpoch), false));
    let stopped = Account {
        incompatible: true,
        ..account(&chain, Some(0))
    };
    assert_eq!(read(&[], &stopped), (Ok(Caught::Up), false));
    assert_eq!(read(&[], &account(&chain, Some(0))), (Ok(Caught::Up), true));
}

#[test]
fn it_goes_back_to_no_earlier_epoch() {
    let mut chain = Chain::new();
    let mut follower = follower();
    let before = chain.revoke(1);
    let old = account(&chain, Some(0));
    let opening = message(&[&chain.next_epoch()]);
    follower
        .take_answer(&opening, &account(&chain, Some(0)), at(0), at(0))
        .expect("a new epoch");
    let head = follower.head();
    assert_eq!(
        follower.take_answer(&before, &old, at(9000), at(9000)),
        Err(Refusal::LowerEpoch)
    );
    assert_eq!(
        follower.take_answer(&[], &old, at(9000), at(9000)),
        Ok(Caught::Ahead),
        "and what is behind proves nothing"
    );
    assert_eq!((follower.head(), follower.contact_at()), (head, Some(at(0))));
}

#[test]
fn a_clock_that_jumped_back_makes_the_age_unknown_until_the_next_read() {
    let mut chain = Chain::new();
    let mut follower = follower();
    let frame = chain.revoke(1);
    follower
        .take_answer(&frame, &account(&chain, Some(0)), at(10_000), at(10_000))
        .expect("up");
    assert_eq!(follower.contact_age_ms(at(9_999)), None);
    follower
        .take_answer(&[], &account(&chain, Some(0)), at(5_000), at(5_000))
        .expect("up");
    assert_eq!(follower.contact_age_ms(at(5_100)), Some(100));
}

#[test]
fn what_was_applied_before_a_refusal_counts() {
    let mut chain = Chain::new();
    let mut follower = follower();
    let first = chain.frame(vec![shared::feed::Entry::revoked(index(1))]);
    chain.frame(vec![]);
    let third = chain.frame(vec![]);
    let answer = follower.take_answer(
        &message(&[&first, &third]),
        &account(&chain, Some(0)),
        at(0),
        at(0),
    );
    assert_eq!(answer, Err(Refusal::Gap));
    assert!(follower.is_revoked(index(1)));
    assert_eq!(follower.contact_at(), None);
}

#[test]
fn a_copy_is_for_those_who_know_nothing() {
    let mut chain = Chain::new();
    let frame = chain.revoke(1);
    let mut cold = follower();
    cold.take_copy(&frame, at(50)).expect("a copy");
    assert!(cold.is_copy() && cold.is_revoked(index(1)));
    assert_eq!(cold.contact_age_ms(at(100)), Some(50));
    let second = chain.revoke(2);
    cold.take_copy(&second, at(60)).expect("is not needed");
    assert_eq!(cold.head().map(|head| head.seq), Some(1));
    cold.take_answer(&second, &account(&chain, Some(0)), at(100), at(100))
        .expect("up");
    assert!(!cold.is_copy(), "it has heard its region");
    assert!(follower().take_copy(&[9], at(0)).is_err());
}

#[test]
fn what_was_ended_at_the_edge_is_dead_here_too() {
    let mut chain = Chain::new();
    let mut follower = follower();
    let frame = chain.revoke(1);
    let told = Account {
        local: vec![index(5)],
        ..account(&chain, Some(0))
    };
    follower.take_answer(&frame, &told, at(0), at(0)).expect("up");
    follower.end_locally(index(6));
    assert!(
        [1, 5, 6]
            .into_iter()
            .all(|number| follower.is_revoked(index(number)))
    );
    follower
        .take_answer(&[], &account(&chain, Some(0)), at(0), at(0))
        .expect("up");
    assert!(follower.is_revoked(index(5)), "add-only, until a frame says so");
    let frame = chain.revoke(5);
    follower
        .take_answer(&frame, &account(&chain, Some(0)), at(0), at(0))
        .expect("up");
    assert_eq!(follower.local().all(), [index(6)]);
    assert!(follower.is_revoked(index(5)));
}
