//! What is counted comes out, once, whatever happens to the sending.

use std::collections::BTreeMap;

use shared::id::{OrgId, SigningKeyId};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::usage::{MAX_RECORD, Record, decode, split_records};

use super::*;

const START: UnixMillis = UnixMillis(1_795_302_520_000);

fn after(milliseconds: u64) -> UnixMillis {
    UnixMillis(START.0 + milliseconds)
}

fn counter() -> Counter {
    let mut counter = Counter::default();
    assert!(!counter.is_named());
    counter.name([7; 16], "FRA");
    counter
}

fn statement(index: u64, kind: Kind, org: u64) -> Arc<Statement> {
    Arc::new(Statement {
        kind,
        signer: Signer::Ours {
            key: SigningKeyId::from_u64(1).expect("small"),
            index: StatusIndex::from_u64(index).expect("in range"),
        },
        org: OrgId::from_u64(org).expect("in range"),
        user: None,
        workspace: None,
        scopes: ScopeSet::EMPTY,
        issued_at: UnixSeconds(0),
        expires_at: None,
        not_before: None,
        subject: String::new(),
        credential: String::new(),
    })
}

fn key(index: u64) -> Mark {
    let kind = Kind::ApiKey {
        environment: Environment::Live,
    };
    Mark {
        statement: Some(statement(index, kind, 1)),
        class: Some("default".into()),
    }
}

fn token(index: u64, client: &str) -> Mark {
    let kind = Kind::AccessToken {
        audience: Vec::new(),
        client: client.to_owned(),
        session: None,
        bound_to: None,
    };
    Mark {
        statement: Some(statement(index, kind, 1)),
        class: Some("default".into()),
    }
}

/// Everything that waits, as delivered to a region.
fn take(counter: &mut Counter, now: UnixMillis) -> Vec<Record> {
    let mut records = Vec::new();
    while let Outgoing::Send { through, body } = counter.outgoing(now) {
        for bytes in split_records(&body).expect("records") {
            records.push(decode(bytes).expect("a record"));
        }
        counter.delivered(through);
    }
    records
}

fn batches(records: &[Record]) -> Vec<&Batch> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Batch(batch) => Some(batch),
            Record::Opening(_) => None,
        })
        .collect()
}

fn total(batches: &[&Batch]) -> u64 {
    batches
        .iter()
        .map(|batch| batch.uncounted + batch.counts.iter().map(|count| count.requests).sum::<u64>())
        .sum()
}

#[test]
fn a_window_is_announced_counted_and_closed() {
    let mut counter = counter();
    assert_eq!(counter.count(&key(1), Reason::Allowed, "DE", START), Some(1));
    assert_eq!(
        take(&mut counter, START),
        [Record::Opening(Opening {
            isolate: [7; 16],
            number: 1,
            from: START
        })]
    );
    for at in 1..=4 {
        assert_eq!(counter.count(&key(1), Reason::Allowed, "DE", after(at)), None);
    }
    counter.count(&key(1), Reason::Allowed, "US", after(5));
    counter.count(&key(1), Reason::Revoked, "DE", after(6));
    counter.count(&Mark::default(), Reason::RouteDenied, "?", after(7));
    counter.count(&token(9, "cli_000000001"), Reason::Allowed, "", after(8));
    assert_eq!(counter.close(2, after(3000)), None, "another window's keeper");
    assert_eq!(counter.close(1, after(3000)), None, "nobody came lately");
    let records = take(&mut counter, after(3000));
    let [Record::Batch(batch)] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(
        (batch.number, batch.from, batch.to, batch.next_open),
        (1, START, after(3000), false)
    );
    assert_eq!(batch.colo, "FRA");
    let found: Vec<_> = batch
        .counts
        .iter()
        .map(|count| {
            (
                count.holder.clone(),
                count.reason.as_str(),
                count.country.as_str(),
                count.requests,
            )
        })
        .collect();
    let index = |n| StatusIndex::from_u64(n).expect("small");
    let org = OrgId::from_u64(1).expect("small");
    assert_eq!(
        found,
        [
            (Holder::None, "route_denied", "", 1),
            (Holder::Key(index(1)), "allowed", "DE", 5),
            (Holder::Key(index(1)), "allowed", "US", 1),
            (Holder::Key(index(1)), "revoked", "DE", 1),
            (Holder::token(index(9), org, "cli_000000001"), "allowed", "", 1),
        ]
    );
}

#[test]
fn a_busy_isolate_announces_with_its_batches() {
    let mut counter = counter();
    counter.count(&key(1), Reason::Allowed, "", START);
    counter.count(&key(1), Reason::Allowed, "", after(2900));
    assert_eq!(counter.close(1, after(3000)), Some(2));
    assert_eq!(
        counter.count(&key(1), Reason::Allowed, "", after(3001)),
        Some(2),
        "needs a keeper"
    );
    counter.lapse(2, after(6000));
    assert_eq!(counter.close(2, after(6001)), None);
    let records = take(&mut counter, after(6001));
    let closed = batches(&records);
    assert_eq!(
        records.len(),
        2,
        "no opening: the first batch came before it was sent"
    );
    assert_eq!(
        closed.iter().map(|b| (b.number, b.next_open)).collect::<Vec<_>>(),
        [(1, true), (2, false)]
    );
    assert_eq!(total(&closed), 3);
}

#[test]
fn an_announcement_is_taken_back() {
    let mut counter = counter();
    counter.count(&key(1), Reason::Allowed, "", START);
    assert_eq!(counter.close(1, after(1000)), Some(2));
    counter.lapse(2, after(4000));
    let records = take(&mut counter, after(4000));
    let closed = batches(&records);
    assert_eq!(closed.len(), 2);
    assert!(closed[1].counts.is_empty() && !closed[1].next_open && closed[1].number == 2);
    // The next one is announced by itself again.
    assert_eq!(counter.count(&key(1), Reason::Allowed, "", after(9000)), Some(3));
    assert!(matches!(take(&mut counter, after(9000)).as_slice(), [Record::Opening(o)] if o.number == 3));
}

#[test]
fn what_fails_is_sent_again_as_it_was() {
    let mut counter = counter();
    counter.count(&key(1), Reason::Allowed, "", START);
    counter.close(1, after(3000));
    let first = counter.outgoing(after(3000));
    assert_eq!(
        counter.outgoing(after(3001)),
        Outgoing::InFlight,
        "one sends at a time"
    );
    counter.failed();
    assert_eq!(counter.outgoing(after(3002)), first);
    // Whoever was sending is gone.
    assert_eq!(counter.outgoing(after(3002 + LATCH_MS)), first);
    let Outgoing::Send { through, .. } = first else {
        panic!("nothing to send")
    };
    counter.count(&key(1), Reason::Allowed, "", after(20_000));
    counter.delivered(through);
    assert!(matches!(
        take(&mut counter, after(20_000)).as_slice(),
        [Record::Opening(_)]
    ));
    assert_eq!(counter.account(), (0, 1, 0));
}

#[test]
fn a_full_window_closes_early_and_no_record_is_too_long() {
    let mut counter = counter();
    let many = 3 * MAX_COUNTS as u64;
    let mut opened = 0;
    for index in 0..many {
        let client = format!("https://{index}.{}.example", "x".repeat(150));
        if counter
            .count(&token(index, &client), Reason::Allowed, "DE", START)
            .is_some()
        {
            opened += 1;
        }
    }
    counter.close(opened, after(3000));
    counter.lapse(opened + 1, after(6000));
    let mut records = Vec::new();
    while let Outgoing::Send { through, body } = counter.outgoing(START) {
        for bytes in split_records(&body).expect("records") {
            assert!(bytes.len() <= MAX_RECORD);
            records.push(decode(bytes).expect("a record"));
        }
        counter.delivered(through);
    }
    let closed = batches(&records);
    assert!(closed.len() > 3, "{}", closed.len());
    assert_eq!(total(&closed), many);
}

#[test]
fn nothing_is_dropped_without_being_said() {
    let mut counter = counter();
    let mut sent = 0;
    // Nothing is ever delivered. Far more than there is room for, with details and without.
    for window in 0..6000u64 {
        let now = after(window * 4000);
        for index in 0..200 {
            counter.count(&key(index), Reason::Allowed, "", now);
            sent += 1;
        }
        counter.close(counter.number, UnixMillis(now.0 + 3000));
    }
    assert!(counter.pending.len() <= MAX_PENDING + 1);
    assert!(counter.pending_bytes <= MAX_PENDING_BYTES + 64 * MAX_PENDING);
    counter.latch = None;
    let records = take(&mut counter, after(99_000_000));
    let before = total(&batches(&records));
    assert!(before < sent);
    // Room again: the window that could not be closed is.
    let last = counter.number;
    counter.close(last, after(99_000_000));
    let rest = take(&mut counter, after(99_000_000));
    assert_eq!(before + total(&batches(&rest)), sent);
    assert!(counter.account().2 > 0, "and it is known that details were lost");
}

#[test]
fn an_hour_and_a_lost_keeper_end_a_window() {
    let hour = UnixMillis((START.0 / HOUR_MS + 1) * HOUR_MS);
    let mut counter = counter();
    counter.count(&key(1), Reason::Allowed, "", UnixMillis(hour.0 - 1));
    assert_eq!(counter.count(&key(1), Reason::Allowed, "", hour), Some(2));
    let late = UnixMillis(hour.0 + OVERDUE_MS);
    assert_eq!(counter.count(&key(1), Reason::Allowed, "", late), Some(3));
    counter.close(3, late);
    let records = take(&mut counter, late);
    let by_number: BTreeMap<u64, u64> = batches(&records)
        .into_iter()
        .map(|batch| (batch.number, total(&[batch])))
        .collect();
    assert_eq!(by_number, BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
}

#[test]
fn a_clock_that_jumps_makes_no_unreadable_record() {
    for jump in [START.0 - 1000, START.0 + 48 * HOUR_MS] {
        let mut counter = counter();
        counter.count(&key(1), Reason::Allowed, "", START);
        counter.count(&key(1), Reason::Allowed, "", UnixMillis(jump));
        let number = counter.number;
        counter.close(number, UnixMillis(jump));
        let records = take(&mut counter, UnixMillis(jump));
        assert_eq!(total(&batches(&records)), 2);
    }
}

#[test]
fn a_canary_is_not_counted() {
    let kind = Kind::ApiKey {
        environment: Environment::Live,
    };
    let canary = Mark {
        statement: Some(statement(1, kind, shared::id::LIMIT - 1)),
        class: None,
    };
    let mut counter = counter();
    assert_eq!(counter.count(&canary, Reason::AudienceRefused, "", START), None);
    assert_eq!(take(&mut counter, START), []);
}

/// Another issuer's token has no index: its subject is counted.
#[test]
fn a_foreign_subject_is_counted_by_issuer_and_name() {
    let foreign = |subject: &str| {
        let kind = Kind::Foreign {
            audience: Vec::new(),
            subject: subject.to_owned(),
            bound_to: None,
        };
        let mut statement = Arc::unwrap_or_clone(statement(1, kind, 44));
        statement.signer = Signer::Issuer {
            name: "https://idp.example.com".to_owned(),
            version: 1,
        };
        statement.subject = format!("https://idp.example.com#{subject}");
        Mark {
            statement: Some(Arc::new(statement)),
            class: None,
        }
    };
    let mut counter = counter();
    for subject in ["ann", "bob", "ann"] {
        counter.count(&foreign(subject), Reason::Allowed, "DE", START);
    }
    counter.close(1, after(WINDOW_MS));
    let Outgoing::Send { body, .. } = counter.outgoing(after(WINDOW_MS)) else {
        panic!("something waits");
    };
    let records = split_records(&body).expect("records");
    let batches = records.into_iter().filter_map(|record| match decode(record) {
        Ok(Record::Batch(batch)) => Some(batch),
        _ => None,
    });
    let counts: Vec<(Holder, u64)> = batches
        .flat_map(|batch| batch.counts)
        .map(|count| (count.holder, count.requests))
        .collect();
    let org = OrgId::from_u64(44).expect("in range");
    let holder = |subject: &str| Holder::foreign(org, "https://idp.example.com", subject);
    assert_eq!(counts, [(holder("ann"), 2), (holder("bob"), 1)]);
}
