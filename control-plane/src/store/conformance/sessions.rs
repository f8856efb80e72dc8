//! Sign-in sessions, accounts, and the counting of attempts.

use shared::id::SessionId;
use shared::time::UnixMillis;

use super::{NOW, org, people, user};
use crate::store::Store;
use crate::store::orgs::{NewUser, Role};
use crate::store::sessions::SessionRow;

const HOUR: u64 = 3_600_000;
/// Nothing is idle.
const EVER: UnixMillis = UnixMillis(0);

fn sid(number: u64) -> SessionId {
    SessionId::from_u64(number).expect("small")
}

fn session(number: u8) -> SessionRow {
    SessionRow {
        digest: [number; 32],
        sid: sid(number.into()),
        user: user(2),
        org: org(1),
        created_at: NOW,
        last_seen_at: NOW,
        auth_time: NOW,
        expires_at: NOW.saturating_add(24 * HOUR),
        user_agent: "curl/8".to_owned(),
        address: "192.0.2.1".to_owned(),
        methods: "pwd".to_owned(),
    }
}

async fn with_sessions(store: &Store, numbers: &[u8]) {
    let mut tx = people(store).await;
    for number in numbers {
        tx.insert_session(&session(*number)).await.expect("session");
    }
    tx.commit().await.expect("commit");
}

pub(super) async fn a_session_is_alive_within_its_limits(store: Store) {
    with_sessions(&store, &[7]).await;
    let mut tx = store.begin().await.expect("tx");
    let alive = async |tx: &mut crate::store::Tx, idle_since, now| {
        tx.session(&[7; 32], idle_since, now).await.expect("asked")
    };
    let just_before = UnixMillis(NOW.0 - 1);
    let last = NOW.saturating_add(24 * HOUR - 1);
    assert_eq!(alive(&mut tx, just_before, last).await, Some(session(7)));
    assert_eq!(alive(&mut tx, NOW, last).await, None, "idle");
    assert_eq!(
        alive(&mut tx, just_before, NOW.saturating_add(24 * HOUR)).await,
        None,
        "too old"
    );
    assert_eq!(tx.session(&[8; 32], EVER, NOW).await.expect("asked"), None);

    let later = NOW.saturating_add(HOUR);
    tx.touch_session(&[7; 32], later).await.expect("touched");
    tx.touch_session(&[7; 32], NOW).await.expect("not backwards");
    let seen = alive(&mut tx, EVER, NOW).await.expect("alive").last_seen_at;
    assert_eq!(seen, later);
    assert_eq!(tx.sessions_of(user(2), EVER, NOW).await.expect("list").len(), 1);
    assert!(
        tx.sessions_of(user(2), later, NOW)
            .await
            .expect("list")
            .is_empty()
    );
    assert!(tx.sessions_of(user(9), EVER, NOW).await.expect("list").is_empty());
}

pub(super) async fn a_secret_is_replaced_once(store: Store) {
    with_sessions(&store, &[7]).await;
    let mut tx = store.begin().await.expect("tx");
    let new = SessionRow {
        digest: [8; 32],
        auth_time: NOW.saturating_add(5000),
        methods: "pwd otp mfa".to_owned(),
        ..session(7)
    };
    assert!(tx.rotate_session(&[7; 32], &new).await.expect("rotated"));
    assert!(!tx.rotate_session(&[7; 32], &new).await.expect("asked"));
    assert_eq!(tx.session(&[7; 32], EVER, NOW).await.expect("asked"), None);
    assert_eq!(tx.session(&[8; 32], EVER, NOW).await.expect("asked"), Some(new));
    for (number, byte, is_current) in [(7, 8, true), (7, 7, false), (9, 8, false)] {
        let asked = tx.is_session_secret(sid(number), &[byte; 32]).await;
        assert_eq!(asked.expect("asked"), is_current, "{number} {byte}");
    }
    // How they proved it goes with when they did.
    let (now, later) = (NOW.seconds(), NOW.saturating_add(5000).seconds());
    let methods = tx.session_methods(sid(7), later).await.expect("asked");
    assert_eq!(methods.as_deref(), Some("pwd otp mfa"));
    assert_eq!(tx.session_methods(sid(7), now).await.expect("asked"), None);
    assert_eq!(tx.session_methods(sid(9), later).await.expect("asked"), None);
}

pub(super) async fn an_end_is_dated_past_every_token(store: Store) {
    with_sessions(&store, &[7, 8]).await;
    let mut tx = store.begin().await.expect("tx");
    let now = NOW.seconds();
    let fast = now.saturating_add(30);
    assert_eq!(
        tx.session_issue_time(sid(7), fast).await.expect("dated"),
        Some(fast)
    );
    assert_eq!(
        tx.session_issue_time(sid(7), now).await.expect("dated"),
        Some(now)
    );
    assert_eq!(tx.sessions_not_ended(user(2)).await.expect("list").len(), 2);
    assert_eq!(tx.end_session(user(9), sid(7), NOW).await.expect("asked"), None);
    assert_eq!(
        tx.end_session(user(2), sid(7), NOW).await.expect("ended"),
        Some(fast)
    );
    assert!(!tx.is_session_secret(sid(7), &[7; 32]).await.expect("asked"));
    assert_eq!(tx.end_session(user(2), sid(7), NOW).await.expect("asked"), None);
    assert_eq!(
        tx.end_session(user(2), sid(8), NOW).await.expect("ended"),
        Some(now)
    );
    // An ended session does nothing any more.
    assert_eq!(tx.session(&[7; 32], EVER, NOW).await.expect("asked"), None);
    assert!(!tx.rotate_session(&[7; 32], &session(9)).await.expect("asked"));
    assert_eq!(tx.session_issue_time(sid(7), now).await.expect("asked"), None);
    assert_eq!(tx.session_ended_at(sid(7)).await.expect("asked"), Some(NOW));
    assert_eq!(tx.session_ended_at(sid(9)).await.expect("asked"), None);
    assert!(tx.sessions_not_ended(user(2)).await.expect("list").is_empty());
    assert_eq!(tx.forget_sessions(NOW).await.expect("asked"), 0);
    let past = NOW.saturating_add(25 * HOUR);
    assert_eq!(tx.forget_sessions(past).await.expect("forgotten"), 2);
}

pub(super) async fn what_an_edge_ended_is_ended_here(store: Store) {
    with_sessions(&store, &[7]).await;
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.end_known_session(sid(7), NOW).await.expect("ended"), 1);
    assert_eq!(tx.end_known_session(sid(7), NOW).await.expect("asked"), 0);
    assert_eq!(tx.session_ended_at(sid(7)).await.expect("asked"), Some(NOW));
}

pub(super) async fn an_account_signs_in_where_it_is_alive(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_org(org(9), "Later", NOW).await.expect("org");
    tx.insert_membership(org(9), user(2), Role::Viewer, NOW.saturating_add(1))
        .await
        .expect("membership");
    let bob = NewUser {
        id: user(5),
        email: "bob@example.com",
        name: "Bob",
        password_hash: Some("hash"),
    };
    tx.insert_user(&bob, NOW).await.expect("user");
    let ada = tx.account_by_email("ada@example.com").await.expect("asked");
    let ada = ada.expect("an account");
    assert_eq!(
        (ada.user, ada.org, ada.password_hash.as_str()),
        (user(2), org(1), "hash")
    );
    let nowhere = tx.account_by_email("bob@example.com").await.expect("asked");
    assert!(nowhere.is_none(), "a member of nothing");
    assert_eq!(
        tx.user_secret(user(2)).await.expect("asked"),
        Some(("ada@example.com".to_owned(), Some("hash".to_owned())))
    );
    assert!(tx.hold_password(user(2), "hash").await.expect("held"));
    assert!(tx.replace_password(user(2), "hash", "new").await.expect("set"));
    assert!(
        !tx.replace_password(user(2), "hash", "third")
            .await
            .expect("asked")
    );
    assert!(!tx.hold_password(user(2), "hash").await.expect("asked"));
}

pub(super) async fn attempts_are_counted_by_window(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let (one, two) = ([1; 32], [2; 32]);
    for expected in 1..=3 {
        let attempts = tx.count_attempt(&one, UnixMillis(NOW.0 - HOUR), NOW).await;
        let attempts = attempts.expect("counted");
        assert_eq!((attempts.count, attempts.window_started_at), (expected, NOW));
    }
    let seen = tx.counted_attempts(&one, UnixMillis(NOW.0 - 1)).await;
    assert_eq!(seen.expect("asked").map(|attempts| attempts.count), Some(3));
    assert_eq!(
        tx.counted_attempts(&one, NOW).await.expect("asked"),
        None,
        "it is over"
    );
    assert_eq!(tx.counted_attempts(&two, EVER).await.expect("asked"), None);
    tx.uncount_attempt(&one).await.expect("taken back");
    let later = NOW.saturating_add(HOUR);
    let same = tx.count_attempt(&one, UnixMillis(NOW.0 - 1), later).await;
    let same = same.expect("counted");
    assert_eq!((same.count, same.window_started_at), (3, NOW));
    let anew = tx.count_attempt(&one, NOW, later).await.expect("counted");
    assert_eq!((anew.count, anew.window_started_at), (1, later));
    let other = tx.count_attempt(&two, NOW, later).await.expect("counted");
    assert_eq!(other.count, 1);
    tx.forget_attempts(&one).await.expect("forgotten");
    assert_eq!(
        tx.count_attempt(&one, NOW, later).await.expect("counted").count,
        1
    );
    tx.uncount_attempt(&one).await.expect("taken back");
    tx.uncount_attempt(&one).await.expect("not below zero");
    assert_eq!(
        tx.count_attempt(&one, NOW, later).await.expect("counted").count,
        1
    );
    let past = later.saturating_add(1);
    assert_eq!(tx.forget_attempts_before(past).await.expect("forgotten"), 2);
}

/// Guesses at the same time: each is counted, none is lost.
pub(super) async fn attempts_at_once_all_count(store: Store) {
    let guesses = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin().await.expect("tx");
            let attempts = tx.count_attempt(&[1; 32], EVER, NOW).await.expect("counted");
            tx.commit().await.expect("commit");
            attempts.count
        })
    });
    let mut counts = Vec::new();
    for guess in guesses.collect::<Vec<_>>() {
        counts.push(guess.await.expect("no panic"));
    }
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8]);
}
