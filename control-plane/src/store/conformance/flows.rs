//! Pushed requests, devices that wait, exchanged indexes.

use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::installation::index;
use super::{NOW, org, people, user};
use crate::store::Store;
use crate::store::device_codes::{DeviceCode, Person};
use crate::store::pushed_requests::PushedRequest;

fn later(millis: u64) -> UnixMillis {
    NOW.saturating_add(millis)
}

pub(super) async fn a_pushed_request_is_one_browsers_and_used_once(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let request = PushedRequest {
        digest: [1; 32],
        client: "cli_000000009".to_owned(),
        parameters: "a=b".to_owned(),
        created_at: NOW,
        expires_at: later(90),
    };
    tx.insert_pushed_request(&request).await.expect("kept");
    let again = PushedRequest {
        parameters: "c=d".to_owned(),
        expires_at: later(9000),
        ..request
    };
    tx.insert_pushed_request(&again).await.expect("asked");
    let mut open = async |client: &str, browser: u8, now: u64| {
        let there = tx
            .has_pushed_request(&[1; 32], client, &[browser; 32], later(now))
            .await
            .expect("asked");
        let opened = tx
            .open_pushed_request(&[1; 32], client, &[browser; 32], later(600), later(now))
            .await
            .expect("asked");
        assert_eq!(there.then_some("a=b"), opened.as_deref());
        there
    };
    assert!(!open("cli_00000000z", 7, 0).await, "another client's");
    assert!(!open("cli_000000009", 7, 90).await, "too late");
    assert!(open("cli_000000009", 7, 89).await);
    assert!(!open("cli_000000009", 8, 89).await, "another browser");
    assert!(open("cli_000000009", 7, 599).await, "it has time to sign in");
    assert!(!open("cli_000000009", 7, 600).await, "and no more than that");
    assert!(!tx.take_pushed_request(&[1; 32], later(600)).await.expect("asked"));
    assert!(tx.take_pushed_request(&[1; 32], later(599)).await.expect("taken"));
    assert!(!tx.take_pushed_request(&[1; 32], later(599)).await.expect("asked"));
    let used = tx.open_pushed_request(&[1; 32], "cli_000000009", &[7; 32], later(600), later(99));
    assert_eq!(used.await.expect("asked"), None);
    let there = tx
        .has_pushed_request(&[1; 32], "cli_000000009", &[7; 32], later(99))
        .await;
    assert!(!there.expect("asked"));
    assert_eq!(tx.forget_pushed_requests(later(600)).await.expect("asked"), 0);
    assert_eq!(tx.forget_pushed_requests(later(601)).await.expect("forgotten"), 1);
}

fn device(number: u8) -> DeviceCode {
    DeviceCode {
        digest: [number; 32],
        user_code: [number + 100; 32],
        client: "cli_000000009".to_owned(),
        scopes: ScopeSet(1 << 63 | 3),
        identity: 5,
        resource: "https://api.example".to_owned(),
        interval_seconds: 5,
        created_at: NOW,
        expires_at: later(600_000),
        decided_at: None,
        person: None,
        used_at: None,
    }
}

pub(super) async fn a_device_waits_for_one_answer(store: Store) {
    let mut tx = people(&store).await;
    for number in [1, 2] {
        assert!(tx.insert_device_code(&device(number)).await.expect("kept"));
    }
    let twin = DeviceCode {
        user_code: [101; 32],
        ..device(3)
    };
    assert!(
        !tx.insert_device_code(&twin).await.expect("asked"),
        "the user code is taken"
    );
    assert_eq!(
        tx.waiting_device(&[101; 32], NOW).await.expect("asked"),
        Some(device(1))
    );
    assert_eq!(
        tx.waiting_device(&[101; 32], later(600_000))
            .await
            .expect("asked"),
        None
    );
    assert!(
        !tx.take_device_code(&[1; 32], NOW).await.expect("asked"),
        "nobody has agreed"
    );
    let person = Person {
        user: user(2),
        org: org(1),
        session: "ses_000000009".to_owned(),
        auth_time: NOW.seconds(),
    };
    let agreed = Some((&person, ScopeSet(1), 4));
    assert!(
        !tx.decide_device(&[101; 32], agreed, later(600_000))
            .await
            .expect("asked")
    );
    assert!(
        tx.decide_device(&[101; 32], agreed, later(1))
            .await
            .expect("decided")
    );
    assert!(
        !tx.decide_device(&[101; 32], None, later(2)).await.expect("asked"),
        "once"
    );
    assert_eq!(tx.waiting_device(&[101; 32], NOW).await.expect("asked"), None);
    let decided = tx.device_code(&[1; 32]).await.expect("asked").expect("there");
    assert_eq!(
        (decided.scopes, decided.identity),
        (ScopeSet(1), 4),
        "what was agreed to"
    );
    assert_eq!(
        (decided.person, decided.decided_at),
        (Some(person), Some(later(1)))
    );
    assert!(
        !tx.take_device_code(&[1; 32], later(600_000))
            .await
            .expect("asked"),
        "too late"
    );
    assert!(tx.take_device_code(&[1; 32], later(3)).await.expect("taken"));
    assert!(
        !tx.take_device_code(&[1; 32], later(3)).await.expect("asked"),
        "once"
    );
    assert!(
        tx.decide_device(&[102; 32], None, later(1))
            .await
            .expect("decided")
    );
    let denied = tx.device_code(&[2; 32]).await.expect("asked").expect("there");
    assert_eq!(
        (denied.person.is_none(), denied.decided_at),
        (true, Some(later(1)))
    );
    assert_eq!((denied.scopes, denied.identity), (device(2).scopes, 5));
    assert!(!tx.take_device_code(&[2; 32], later(3)).await.expect("asked"));
    assert_eq!(tx.forget_device_codes(later(600_000)).await.expect("asked"), 0);
    assert_eq!(
        tx.forget_device_codes(later(600_001)).await.expect("forgotten"),
        2
    );
}

pub(super) async fn a_hasty_device_waits_longer(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.insert_device_code(&device(1)).await.expect("kept"));
    let mut poll = async |at: u64| tx.poll_device(&[1; 32], 5, 500, later(at)).await.expect("asked");
    assert!(poll(0).await);
    assert!(poll(4_500).await, "the network's slack");
    assert!(!poll(8_999).await);
    assert!(!poll(18_498).await, "ten seconds from then");
    assert!(poll(33_000).await, "fifteen");
    let row = tx.device_code(&[1; 32]).await.expect("asked").expect("there");
    assert_eq!(row.interval_seconds, 15);
}

pub(super) async fn exchanged_indexes_are_their_clients(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let second = |number: u64| NOW.seconds().saturating_add(number);
    for (number, client, expires) in [
        (18, "cli_a", 10),
        (17, "cli_a", 20),
        (19, "cli_b", 20),
        (18, "cli_a", 5),
    ] {
        tx.note_exchange(index(number), client, second(expires))
            .await
            .expect("noted");
    }
    assert_eq!(
        tx.exchanged_indexes("cli_a", second(0)).await.expect("asked"),
        [index(17), index(18)]
    );
    assert_eq!(
        tx.exchanged_indexes("cli_a", second(9))
            .await
            .expect("asked")
            .len(),
        2,
        "the longer life counts"
    );
    assert_eq!(
        tx.exchanged_indexes("cli_a", second(10)).await.expect("asked"),
        [index(17)]
    );
    // One index in two hands is in both of them.
    tx.note_exchange(index(17), "cli_b", second(15))
        .await
        .expect("noted");
    assert_eq!(
        tx.exchanged_indexes("cli_b", second(0)).await.expect("asked"),
        [index(17), index(19)]
    );
    assert_eq!(
        tx.exchanged_indexes("cli_a", second(10)).await.expect("asked"),
        [index(17)]
    );
    assert_eq!(tx.forget_exchanges(second(11)).await.expect("forgotten"), 1);
    assert_eq!(tx.forget_exchanges(second(21)).await.expect("forgotten"), 3);
}
