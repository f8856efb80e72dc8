//! The hub: what it answers to a pull, and what it counts for having answered.

use shared::feed::{Entry, Head};

use super::fixture::{Chain, at, hub, index, message, name, region, sure};
use crate::replication::*;

fn lease_ms(hub: &Hub<MemoryLog>, region: &str, now: u64) -> u64 {
    let report = hub
        .report(at(now))
        .into_iter()
        .find(|report| report.name.as_str() == region);
    report.expect("is listed").lease_ms
}

#[test]
fn a_pull_brings_what_lacks_and_is_counted_as_a_lease() {
    let (mut chain, mut hub) = (Chain::new(), hub(MemoryLog::default(), 0));
    sure(hub.apply(&chain.revoke(1), at(10_000)));
    let answer = sure(hub.pull(&name("weur"), None, at(10_000))).expect("is known");
    assert!(!answer.is_empty());
    assert_eq!(lease_ms(&hub, "weur", 10_000), 0, "of the newest");
    let first = chain.head;
    sure(hub.apply(&chain.revoke(2), at(10_100)));
    assert_eq!(lease_ms(&hub, "weur", 10_100), 5900);
    hub.pushed(&name("weur"), first, at(10_200));
    assert_eq!(
        lease_ms(&hub, "weur", 10_200),
        5800,
        "an old frame does not end it"
    );
    hub.pushed(&name("weur"), chain.head, at(10_300));
    assert_eq!(lease_ms(&hub, "weur", 10_300), 0);
    assert_eq!(sure(hub.pull(&name("nowhere"), None, at(10_000))), None);
}

#[test]
fn an_answer_of_nothing_gives_a_lease_too() {
    let (mut chain, mut hub, mut weur) = (
        Chain::new(),
        hub(MemoryLog::default(), 0),
        region(MemoryLog::default()),
    );
    let answer = sure(hub.pull(&name("weur"), None, at(10_000))).expect("is known");
    let account = hub.account(at(10_000));
    let _ = sure(weur.take_pull(&answer, &account, at(10_000), at(10_000)));
    // What the region got by another way it may now serve as fresh, and the hub has to know that.
    let first = chain.revoke(1);
    sure(weur.apply(&first, at(10_001)));
    sure(hub.apply(&first, at(10_002)));
    sure(hub.apply(&chain.revoke(2), at(10_003)));
    assert!(weur.lease().holds(at(14_999)));
    assert!(lease_ms(&hub, "weur", 14_999) > 0);
}

#[test]
fn a_hub_that_does_not_understand_gives_no_lease() {
    let (mut chain, mut hub) = (Chain::new(), hub(MemoryLog::default(), 0));
    sure(hub.apply(&chain.revoke(1), at(0)));
    let before = chain.clone();
    let unknown = Entry::Unknown {
        kind: 99,
        critical: true,
        payload: vec![],
    };
    let ahead = chain.frame(vec![unknown]);
    sure(hub.apply(&message(&[&ahead]), at(0)));
    sure(hub.pull(&name("weur"), None, at(10_000)));
    assert!(hub.account(at(10_000)).incompatible);
    let mut weur = region(MemoryLog::default());
    let answer = sure(hub.pull(&name("weur"), None, at(10_000))).expect("is known");
    let _ = sure(weur.take_pull(&answer, &hub.account(at(10_000)), at(10_000), at(10_000)));
    assert_eq!(weur.account(at(10_000)).contact_age_ms, None);
    // What it did not give, it does not wait for.
    chain = before;
    sure(hub.apply(&message(&[&chain.next_epoch()]), at(10_100)));
    assert_eq!(lease_ms(&hub, "weur", 10_100), 0);
}

#[test]
fn a_restart_forgets_no_frame_and_takes_everybody_for_a_holder() {
    let (mut chain, mut first) = (Chain::new(), hub(MemoryLog::default(), 0));
    sure(first.apply(&chain.revoke(1), at(0)));
    sure(first.add_local(&[index(9)]));
    let second = hub(first.into_log(), 50_000);
    assert_eq!(second.head(), chain.head);
    assert_eq!(lease_ms(&second, "weur", 50_000), 6000);
    assert_eq!(lease_ms(&second, "weur", 56_000), 0);
    assert_eq!(second.local().all(), [index(9)]);
}

#[test]
fn only_who_was_heard_and_lacks_something_is_pushed_to() {
    let (mut chain, mut hub) = (Chain::new(), hub(MemoryLog::default(), 0));
    sure(hub.apply(&chain.revoke(1), at(0)));
    let to = |hub: &Hub<MemoryLog>, now| -> Vec<String> {
        let pushes = sure(hub.pushes(at(now)));
        pushes.into_iter().map(|(name, _)| name.to_string()).collect()
    };
    assert!(to(&hub, 0).is_empty(), "nobody was heard");
    sure(hub.pull(&name("weur"), None, at(0)));
    hub.pushed(&name("enam"), chain.head, at(0));
    assert_eq!(to(&hub, 100), ["weur"]);
    assert!(to(&hub, 60_000).is_empty());
    let ahead = chain.head.map(|head| Head {
        seq: head.seq + 1,
        ..head
    });
    hub.pushed(&name("weur"), ahead, at(0));
    assert!(to(&hub, 100).is_empty());
}

#[test]
fn what_was_ended_at_the_edge_is_kept_until_a_frame_says_so() {
    let (mut chain, mut hub) = (Chain::new(), hub(MemoryLog::default(), 0));
    sure(hub.apply(&chain.revoke(1), at(0)));
    sure(hub.add_local(&[index(1), index(2), index(3)]));
    assert_eq!(hub.account(at(0)).local, [index(2), index(3)], "1 is in the feed");
    sure(hub.apply(&chain.revoke(2), at(0)));
    assert_eq!(hub.local().all(), [index(3)]);
    assert_eq!(sure(hub.feed().log().local()), [index(3)], "on disk too");
}
