//! A region: when it may answer as fresh.

use shared::feed::Refusal;

use super::fixture::{Chain, account, at, index, message, region, sure};
use crate::replication::*;

#[test]
fn a_pull_that_leaves_it_at_the_hubs_head_makes_it_fresh_from_its_start() {
    let mut chain = Chain::new();
    let mut region = region(MemoryLog::default());
    assert_eq!(region.account(at(0)).contact_age_ms, None);
    let first = chain.revoke(1);
    let caught = sure(region.take_pull(&first, &account(&chain, Some(0)), at(100), at(900)));
    assert_eq!(caught, Ok(Caught::Up));
    assert_eq!(region.account(at(5099)).contact_age_ms, Some(0));
    assert_eq!(
        region.account(at(5100)).contact_age_ms,
        Some(5000),
        "not from when the answer came"
    );
}

#[test]
fn a_push_renews_nothing() {
    let mut chain = Chain::new();
    let mut region = region(MemoryLog::default());
    sure(region.apply(&chain.revoke(1), at(0)));
    assert_eq!(region.account(at(0)).contact_age_ms, None);
    let _ = sure(region.take_pull(&[], &account(&chain, Some(0)), at(0), at(0)));
    sure(region.apply(&chain.revoke(2), at(4000)));
    sure(region.apply(&message(&[&chain.heartbeat()]), at(4500)));
    assert_eq!(region.account(at(5000)).contact_age_ms, Some(5000));
}

#[test]
fn only_the_hubs_own_head_makes_fresh() {
    let mut chain = Chain::new();
    let mut region = region(MemoryLog::default());
    let first = chain.revoke(1);
    let at_first = account(&chain, Some(0));
    let second = chain.revoke(2);
    let mut pull = |message: &[u8], account: &Account| {
        let caught = sure(region.take_pull(message, account, at(0), at(0)));
        (caught, region.lease().holds(at(0)))
    };
    assert_eq!(
        pull(&first, &account(&chain, Some(0))),
        (Ok(Caught::Behind), false)
    );
    assert_eq!(pull(&second, &at_first), (Ok(Caught::Ahead), false));
    assert_eq!(
        pull(&[], &Account::default()),
        (Err(Refusal::LowerEpoch), false),
        "the hub has lost all"
    );
    let mut forked = account(&chain, Some(0));
    forked.head = forked.head.map(|head| Place {
        digest: "00".repeat(32),
        ..head
    });
    assert_eq!(pull(&[], &forked), (Err(Refusal::Fork), false));
    let stopped = Account {
        incompatible: true,
        ..account(&chain, Some(0))
    };
    assert_eq!(pull(&[], &stopped), (Ok(Caught::Up), false));
    assert_eq!(
        pull(&[9], &account(&chain, Some(0))),
        (Err(Refusal::Malformed), false)
    );
    assert_eq!(pull(&[], &account(&chain, Some(0))), (Ok(Caught::Up), true));
}

#[test]
fn a_restart_keeps_the_feed_and_the_local_set_and_no_lease() {
    let mut chain = Chain::new();
    let mut first = region(MemoryLog::default());
    let _ = sure(first.take_pull(&chain.revoke(1), &account(&chain, Some(0)), at(0), at(0)));
    assert_eq!(sure(first.end_locally(index(5))).then_some(()), Some(()));
    let second = region(first.into_log());
    assert_eq!(second.head(), chain.head);
    assert_eq!(second.account(at(0)).local, [index(5)]);
    assert_eq!(second.account(at(0)).contact_age_ms, None);
}

#[test]
fn a_credential_that_its_holder_ends_is_dead_here_until_the_feed_says_so() {
    let mut chain = Chain::new();
    let mut region = region(MemoryLog::default());
    assert!(sure(region.end_locally(index(5))));
    assert!(sure(region.end_locally(index(5))), "again is the same");
    let mut told = account(&chain, Some(0));
    told.local = vec![index(6)];
    let _ = sure(region.take_pull(&[], &told, at(0), at(0)));
    assert_eq!(
        region.local().all(),
        [index(5), index(6)],
        "and what others have ended"
    );
    assert_eq!(sure(region.feed().log().local()), [index(5), index(6)]);
    sure(region.apply(&chain.revoke(5), at(0)));
    assert_eq!(region.local().all(), [index(6)]);
    assert_eq!(sure(region.feed().log().local()), [index(6)]);
    for number in 0..MAX_LOCAL as u64 {
        sure(region.end_locally(index(100 + number)));
    }
    assert!(
        !sure(region.end_locally(index(50_000))),
        "there is no room, and it says so"
    );
    assert!(
        sure(region.end_locally(index(5))),
        "what the feed says needs none"
    );
}

#[test]
fn it_tells_how_old_the_hubs_news_is() {
    let mut chain = Chain::new();
    let mut region = region(MemoryLog::default());
    let frame = chain.revoke(1);
    let told = Account {
        feed_age_ms: Some(400),
        ..account(&chain, Some(0))
    };
    let _ = sure(region.take_pull(&frame, &told, at(1000), at(1200)));
    assert_eq!(region.account(at(1500)).feed_age_ms, Some(900));
}
