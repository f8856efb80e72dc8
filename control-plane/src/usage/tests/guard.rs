//! Edges that may be somebody else's: how much they can bring, what they can say of whom, and whose numbers they hold up.

use axum::http::{Method, Request};
use serde_json::{Value, json};
use shared::id::StatusIndex;
use shared::time::UnixMillis;
use shared::usage::{Count, Holder, MIN_RECORD, Opening, Parcel, Record, encode_opening};

use super::{EDGE, after, apply, batch, bytes, count, key, opening, org};
use crate::audit::Actor;
use crate::config::{Edge, EdgeGroup};
use crate::edge::uplink;
use crate::store::conformance::suite;
use crate::store::usage::{HourKey, UsageFilter};
use crate::store::{Store, on_db};
use crate::testing::{Answer, START, TestApp};
use crate::usage::Waiting;
use crate::usage::apply::portions;
use crate::usage::intake::{Intake, MAX_BYTES};

suite! {
    what_nobody_knows_is_one_row,
    a_large_parcel_counts_once,
}

const GUESTS: &str = "guests";

/// Beside the edge of everybody one of a group, of which the operator's organisation is not.
async fn start(store: Option<Store>) -> TestApp {
    TestApp::start_on(store, |config| {
        config.edges = vec![
            Edge::push(EDGE, "http://127.0.0.1:1"),
            Edge::pull(GUESTS).in_group("guests"),
        ];
        config.edge_groups = vec![EdgeGroup {
            name: "guests".to_owned(),
            orgs: [org(4711)].into(),
        }];
    })
    .await
}

fn strange(index: u64) -> Holder {
    Holder::Key(StatusIndex::from_u64(7_000_000 + index).expect("small"))
}

fn strangers(number: u64) -> Vec<Count> {
    (0..number)
        .map(|index| count(strange(index), "allowed", 1))
        .collect()
}

/// What is nobody's: credential, class, reason, country, data centre, and how many.
async fn nobodys(test: &TestApp) -> Vec<(HourKey, u64)> {
    let filter = UsageFilter {
        org: 0,
        from: 0,
        to: 1 << 30,
        hours: 1,
        credential: None,
        class: None,
        reason: None,
        by: [true; 5],
        after: None,
        limit: 100,
    };
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let rows = tx.usage(&filter).await.expect("rows");
    rows.into_iter()
        .map(|row| {
            let [credential, class, reason, country, colo] = row.key.by;
            let key = HourKey {
                org: 0,
                hour: row.key.hour,
                credential,
                class,
                reason,
                country,
                colo,
            };
            (key, row.requests)
        })
        .collect()
}

fn nobody(credential: &str, class: &str, reason: &str, country: &str, colo: &str) -> HourKey {
    HourKey {
        org: 0,
        hour: START.0 / 3_600_000,
        credential: credential.to_owned(),
        class: class.to_owned(),
        reason: reason.to_owned(),
        country: country.to_owned(),
        colo: colo.to_owned(),
    }
}

async fn what_nobody_knows_is_one_row(store: Store) {
    let test = start(Some(store)).await;
    // From a group's edge: passed over, as is what is of others; and what is nobody's has no details that it could make up.
    let (own, _) = test.create_key(json!({"name": "a", "scope": "read"})).await;
    let mut counts = strangers(1500);
    counts.push(count(key(&own), "allowed", 5));
    counts.push(count(Holder::None, "credential_missing", 3));
    for class in ["a", "b", "c"] {
        let mut made_up = count(Holder::None, "made_up", 1);
        made_up.class = Some(class.to_owned());
        counts.push(made_up);
    }
    counts.push(count(
        Holder::foreign(org(4711), "https://guest.example", "ada"),
        "allowed",
        9,
    ));
    let mut first = batch(1, 1, false, counts);
    first.uncounted = 2;
    let applied = apply(&test.app, GUESTS, &[bytes(&first)]).await.expect("applied");
    assert_eq!((applied.new, applied.requests), (1, 3 + 3 + 9 + 2));
    let of_guests = [
        (nobody("", "", "credential_missing", "", ""), 3),
        (nobody("", "", "other", "", ""), 3),
        (nobody("", "", "uncounted", "", ""), 2),
    ];
    assert_eq!(nobodys(&test).await, of_guests);
    // From an edge of everybody: one row.
    let all = [bytes(&batch(1, 1, false, strangers(1500)))];
    let applied = apply(&test.app, EDGE, &all).await.expect("applied");
    assert_eq!((applied.new, applied.requests), (1, 1500));
    let mut wanted = of_guests.to_vec();
    wanted.push((nobody("unknown", "default", "allowed", "", ""), 1500));
    assert_eq!(nobodys(&test).await, wanted);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let uses: Vec<String> =
        on_db!(&mut tx, conn => sqlx::query_scalar("SELECT credential FROM usage_credentials")
        .fetch_all(conn).await)
        .expect("rows");
    assert_eq!(uses, ["https://guest.example ada"]);
}

/// More than one portion, more rows than one statement: brought twice, and at once.
async fn a_large_parcel_counts_once(store: Store) {
    let test = start(Some(store)).await;
    let (id, _) = test.create_key(json!({"name": "a", "scope": "read"})).await;
    let records: Vec<Vec<u8>> = (1..=6)
        .map(|isolate| {
            let mut counts = strangers(1200);
            counts.push(count(key(&id), "allowed", 3));
            bytes(&batch(isolate, 1, false, counts))
        })
        .collect();
    let (one, two) = tokio::join!(apply(&test.app, EDGE, &records), apply(&test.app, EDGE, &records));
    let (one, two) = (one.expect("applied"), two.expect("applied"));
    assert_eq!((one.new + two.new, one.known + two.known), (6, 6));
    assert_eq!(one.requests + two.requests, 6 * 1203);
    assert_eq!(nobodys(&test).await.iter().map(|row| row.1).sum::<u64>(), 7200);
}

#[test]
fn portions_are_short() {
    let record = |isolate, counts| Record::Batch(batch(isolate, 1, false, strangers(counts)));
    let records = [
        record(1, 900),
        record(2, 900),
        record(3, 900),
        record(4, 5000),
        record(5, 1),
    ];
    let records: Vec<&Record> = records.iter().collect();
    let sizes: Vec<usize> = portions(&records).iter().map(|portion| portion.len()).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
    let openings: Vec<Record> = (0..1200)
        .map(|number| {
            Record::Opening(Opening {
                isolate: [7; 16],
                number: number + 1,
                from: START,
            })
        })
        .collect();
    let openings: Vec<&Record> = openings.iter().collect();
    let sizes: Vec<usize> = portions(&openings).iter().map(|portion| portion.len()).collect();
    assert_eq!(sizes, [500, 500, 200], "isolates cost something too");
    assert!(portions(&[]).is_empty());
}

#[test]
fn a_parcel_has_bounds_that_no_hub_reaches() {
    // A thousand records of a mebibyte in all, of the shortest counts that many keys have.
    let mut counts = Vec::new();
    for index in 0..7900 {
        let index = StatusIndex::from_u64(1_048_576 + index).expect("small");
        counts.push(Count {
            class: None,
            country: String::new(),
            last: after(100),
            ..count(Holder::Key(index), "allowed", 1)
        });
    }
    let full = bytes(&batch(1, 1, false, counts));
    let number = (1 << 20) / full.len();
    let records = vec![full; number];
    assert_eq!(Intake::read(&records).expect("fits").records.len(), number);
    let parcel = Parcel {
        store: [1; 16],
        waiting: 1 << 40,
        records: (0..1000)
            .map(|nth| ((1 << 52) + nth, vec![0; (1 << 20) / 1000]))
            .collect(),
    };
    assert!(parcel.encode().len() < MAX_BYTES);
    assert!(Intake::read(&vec![vec![0; MIN_RECORD]; 1000]).is_ok());
    assert!(
        Intake::read(&vec![vec![0; MIN_RECORD]; 2001]).is_err(),
        "too many records"
    );
    let full = bytes(&batch(1, 1, false, strangers(16_384)));
    assert!(Intake::read(&vec![full.clone(); 7]).is_ok());
    assert!(Intake::read(&vec![full; 8]).is_err(), "too many counts");
}

async fn post(test: &TestApp, key: &str, records: &[Vec<u8>]) -> Answer {
    let parcel = Parcel {
        store: [1; 16],
        waiting: 0,
        records: (1..).zip(records.iter().cloned()).collect(),
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/edge/usage")
        .header("authorization", format!("Bearer {key}"))
        .body(parcel.encode().into())
        .expect("a request");
    test.send(request).await
}

#[tokio::test]
async fn an_edge_brings_so_much_at_a_time() {
    let test = start(None).await;
    let (_, uplink_key) = uplink::create(&test.app, GUESTS, &Actor::command_line())
        .await
        .expect("a key");
    let uplink_key = uplink_key.expose();
    let much = vec![opening(1, 1); 2001];
    let refused = post(&test, uplink_key, &much).await;
    assert_eq!(refused.outcome(), (413, "body_too_large"));
    assert!(refused.raw.contains("2000 records"), "{refused:?}");
    // One at a time.
    let turn = test.app.usage.turn(GUESTS).expect("its turn");
    let refused = post(&test, uplink_key, &[opening(1, 1)]).await;
    assert_eq!(refused.outcome(), (429, "rate_limited"));
    assert!(test.app.usage.turn(EDGE).is_some(), "others have their own");
    drop(turn);
    assert_eq!(post(&test, uplink_key, &[opening(1, 1)]).await.status, 200);
    // So many rows in a minute, by name: again and again counts too.
    test.app.usage.rows.take_many(GUESTS, 599_990).expect("room");
    assert_eq!(post(&test, uplink_key, &[opening(1, 1)]).await.status, 200);
    let refused = post(&test, uplink_key, &[opening(1, 1)]).await;
    assert_eq!(refused.outcome(), (429, "rate_limited"));
    assert_eq!(refused.headers["retry-after"], "1");
    test.clock.advance_ms(1000);
    assert_eq!(post(&test, uplink_key, &[opening(1, 1)]).await.status, 200);
}

async fn age(test: &TestApp) -> Value {
    let answer = test.admin(Method::GET, "/v1/usage", None).await;
    let until = answer.body["complete_until"].clone();
    json!([until, answer.body["open_windows"], answer.body["incomplete"]])
}

const NOTHING_WAITS: Option<Waiting> = Some(Waiting {
    records: Some(0),
    refused: 0,
});

/// An opening of a window, the `number`th, that began when it says.
fn began(isolate: u8, number: u64, from: UnixMillis) -> Vec<u8> {
    encode_opening(&Opening {
        isolate: [isolate; 16],
        number,
        from,
    })
}

#[tokio::test]
async fn edges_of_others_hold_no_numbers_up() {
    let test = start(None).await;
    test.app.usage.heard(EDGE, NOTHING_WAITS, test.clock.now());
    // The other edge was never heard of, says that windows are open since the beginning of time, and misses a thousand.
    let whole = json!(["2026-11-21T23:08:35Z", 0, []]);
    assert_eq!(age(&test).await, whole);
    let openings = [began(1, 1, UnixMillis(5)), began(2, 1000, after(0))];
    apply(&test.app, GUESTS, &openings).await.expect("applied");
    assert_eq!(age(&test).await, whole);
    test.clock.advance_ms(40_000);
    test.app.usage.heard(EDGE, NOTHING_WAITS, test.clock.now());
    assert_eq!(
        age(&test).await,
        json!(["2026-11-21T23:09:15Z", 0, []]),
        "nor are they listed"
    );
    // The numbers that are nobody's are all edges'.
    let none = test.admin(Method::GET, "/v1/usage?credential=none", None).await;
    assert_eq!(
        none.body["incomplete"].as_array().map(Vec::len),
        Some(2),
        "{none:?}"
    );
}

#[tokio::test]
async fn an_edge_of_ours_holds_numbers_up_for_minutes_at_most() {
    let test = start(None).await;
    test.app.usage.heard(EDGE, NOTHING_WAITS, test.clock.now());
    let early = UnixMillis(START.0 - 3_600_000);
    apply(&test.app, EDGE, &[began(1, 1, early)])
        .await
        .expect("applied");
    let told = age(&test).await;
    assert_eq!(
        told[0], "2026-11-21T23:08:35Z",
        "what began an hour ago is listed at once"
    );
    assert_eq!(told[2][0]["from"], "2026-11-21T22:08:40Z");
    // Nor do its isolates' clocks tell of what is to come.
    let mut ahead = batch(2, 1, false, Vec::new());
    ahead.from = after(80_000_000);
    ahead.to = after(80_003_000);
    apply(&test.app, EDGE, &[bytes(&ahead)]).await.expect("applied");
    assert_eq!(age(&test).await[0], "2026-11-21T23:08:40Z");
    // Of the lost ones the newest are listed.
    let many: Vec<Vec<u8>> = (0..120)
        .map(|nth| began(3 + nth, 1, after(u64::from(nth))))
        .collect();
    apply(&test.app, EDGE, &many).await.expect("applied");
    test.clock.advance_ms(40_000);
    let told = age(&test).await;
    let listed = told[2].as_array().expect("a list");
    assert_eq!(
        (listed.len(), &listed[0]["isolate"]),
        (100, &json!("7a".repeat(16)))
    );
}
