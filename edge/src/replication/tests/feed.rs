//! One durable copy: what it takes, what it keeps, what it gives on.

use proptest::prelude::*;
use shared::feed::{Entry, Refusal, State};

use super::fixture::{Chain, at, index, message, sure, trust};
use crate::replication::*;

fn open(log: MemoryLog) -> Feed<MemoryLog> {
    Feed::open(log, trust()).expect("opens")
}

/// The same object after a restart.
fn restarted(feed: Feed<MemoryLog>) -> Feed<MemoryLog> {
    open(feed.into_log())
}

#[test]
fn what_is_refused_is_counted_and_ends_the_message() {
    let mut chain = Chain::new();
    let mut feed = open(MemoryLog::default());
    let first = chain.frame(vec![Entry::revoked(index(1))]);
    chain.frame(vec![]);
    let third = chain.frame(vec![Entry::revoked(index(3))]);
    let taken = sure(feed.apply(&message(&[&first, &third, &first]), at(0)));
    assert_eq!(
        (taken.accepted, taken.known, taken.refused),
        (1, 0, Some(Refusal::Gap))
    );
    assert_eq!(feed.refused().get("gap"), Some(&1));
    let taken = sure(feed.apply(&message(&[&first]), at(0)));
    assert_eq!((taken.accepted, taken.known, taken.refused), (0, 1, None));
    let mut broken = message(&[&first]);
    broken.truncate(broken.len() - 1);
    assert_eq!(sure(feed.apply(&broken, at(0))).refused, Some(Refusal::Malformed));
    assert_eq!(feed.head().map(|head| head.seq), Some(1));
}

#[test]
fn a_restart_reads_what_was_written() {
    let mut chain = Chain::new();
    let mut feed = open(MemoryLog::default());
    for number in 0..3 {
        sure(feed.apply(&chain.revoke(number), at(0)));
    }
    sure(feed.apply(&message(&[&chain.heartbeat()]), at(700)));
    let feed = restarted(feed);
    assert_eq!((feed.head(), feed.state()), (chain.head, &chain.state));
    assert_eq!(
        feed.account(at(1000)).feed_age_ms,
        Some(300),
        "the heartbeat is on disk too"
    );
    let other = shared::feed::Trust {
        feed: shared::feed::FeedId([8; 16]),
        ..trust()
    };
    let foreign = Feed::open(feed.into_log(), other);
    assert_eq!(foreign.map(|_| ()), Err(OpenError::Foreign(Refusal::WrongFeed)));
}

#[test]
fn what_it_does_not_understand_stops_it_until_it_does() {
    let mut chain = Chain::new();
    let mut feed = open(MemoryLog::default());
    sure(feed.apply(&chain.revoke(1), at(0)));
    let before = chain.clone();
    let unknown = Entry::Unknown {
        kind: 99,
        critical: true,
        payload: vec![],
    };
    let frame = chain.frame(vec![unknown]);
    assert_eq!(
        sure(feed.apply(&message(&[&frame]), at(0))).refused,
        Some(Refusal::Incompatible)
    );
    assert!(feed.is_incompatible() && feed.account(at(0)).incompatible);
    let mut feed = restarted(feed);
    assert!(feed.is_incompatible(), "a restart does not forget it");
    // A publisher that goes another way, which this release understands: a new epoch.
    chain = before;
    sure(feed.apply(&message(&[&chain.next_epoch()]), at(0)));
    assert!(!feed.is_incompatible());
    assert!(!restarted(feed).is_incompatible());
}

#[test]
fn a_snapshot_of_where_it_stands_cuts_the_log_and_no_other_does() {
    let mut chain = Chain::new();
    let mut feed = open(MemoryLog::default());
    sure(feed.apply(&chain.revoke(1), at(0)));
    let old = chain.snapshot();
    sure(feed.apply(&chain.revoke(2), at(0)));
    assert_eq!(sure(feed.apply(&message(&[&old]), at(0))).known, 1);
    assert_eq!(sure(feed.log().snapshot()), None, "an old one is nothing new");
    // The right place, and another state: somebody holds a feed key and lies.
    let mut lying = chain.clone();
    lying.state = State::default();
    assert_eq!(sure(feed.apply(&message(&[&lying.snapshot()]), at(0))).known, 1);
    assert_eq!(sure(feed.log().snapshot()), None);
    let right = chain.snapshot();
    assert_eq!(sure(feed.apply(&message(&[&right]), at(0))).accepted, 1);
    assert_eq!(sure(feed.log().snapshot()), Some(right));
    assert!(sure(feed.log().frames_after(Position::default(), usize::MAX)).is_empty());
    let feed = restarted(feed);
    assert_eq!((feed.head(), feed.state()), (chain.head, &chain.state));
}

#[test]
fn a_consumer_gets_frames_if_there_are_all_of_them_and_else_the_snapshot() {
    let mut chain = Chain::new();
    let mut feed = open(MemoryLog::default());
    assert!(sure(feed.since(Position::default())).is_empty());
    let mut place = Vec::new();
    for number in 0..4 {
        sure(feed.apply(&chain.revoke(number), at(0)));
        place.push(Position::from(chain.head.expect("a head")));
        if number == 1 {
            sure(feed.apply(&message(&[&chain.snapshot()]), at(0)));
        }
    }
    let kinds = |from: Position| {
        let message = sure(feed.since(from));
        let envelopes = shared::feed::split_message(&message).expect("a message");
        // The second byte is the type.
        envelopes.iter().map(|envelope| envelope[1]).collect::<Vec<_>>()
    };
    assert_eq!(kinds(Position::default()), [2, 1, 1]);
    assert_eq!(kinds(place[0]), [2, 1, 1], "the second frame was cut off");
    assert_eq!(kinds(place[1]), [1, 1]);
    assert_eq!(kinds(place[2]), [1]);
    assert_eq!(kinds(place[3]), [0u8; 0]);
    let beyond = Position { epoch: 2, seq: 1 };
    assert_eq!(kinds(beyond), [0u8; 0], "nobody is told to go back");
}

#[derive(Clone, Debug)]
enum Step {
    Frame(Vec<u64>),
    Snapshot,
    Epoch,
    Restart,
    /// A consumer of this one catches up.
    Read(usize),
    /// That consumer restarts.
    ReaderRestarts(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::collection::vec(0u64..200, 0..4).prop_map(Step::Frame),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Epoch),
        2 => Just(Step::Restart),
        4 => (0usize..3).prop_map(Step::Read),
        1 => (0usize..3).prop_map(Step::ReaderRestarts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Snapshots, cut logs, new epochs and restarts anywhere: whoever reads on reaches the state of the frames alone.
    #[test]
    fn snapshots_and_frames_reach_the_state_of_frames_alone(steps in proptest::collection::vec(step(), 1..40)) {
        let mut chain = Chain::new();
        let mut feed = open(MemoryLog::default());
        let mut readers = vec![open(MemoryLog::default()); 3];
        let mut alone = State::default();
        let read = |feed: &Feed<MemoryLog>, reader: &mut Feed<MemoryLog>| {
            let from = reader.head().map_or(Position::default(), Position::from);
            let taken = sure(reader.apply(&sure(feed.since(from)), at(0)));
            assert_eq!(taken.refused, None);
            assert_eq!((reader.head(), reader.state()), (feed.head(), feed.state()));
        };
        for step in steps {
            match step {
                Step::Frame(numbers) => {
                    let entries: Vec<_> = numbers.into_iter().map(|n| Entry::revoked(index(n))).collect();
                    entries.iter().cloned().for_each(|entry| alone.join(entry));
                    let frame = chain.frame(entries);
                    prop_assert_eq!(sure(feed.apply(&message(&[&frame]), at(0))).accepted, 1);
                }
                Step::Snapshot if chain.head.is_some() => {
                    sure(feed.apply(&message(&[&chain.snapshot()]), at(0)));
                }
                Step::Epoch if chain.head.is_some() => {
                    let opening = chain.next_epoch();
                    prop_assert_eq!(sure(feed.apply(&message(&[&opening]), at(0))).accepted, 1);
                }
                Step::Restart => feed = restarted(feed),
                Step::Read(number) => read(&feed, &mut readers[number]),
                Step::ReaderRestarts(number) => {
                    readers[number] = restarted(readers[number].clone());
                }
                Step::Snapshot | Step::Epoch => {}
            }
            prop_assert_eq!(feed.state(), &alone);
            prop_assert_eq!(feed.head(), chain.head);
        }
        for reader in &mut readers {
            read(&feed, reader);
        }
    }
}
