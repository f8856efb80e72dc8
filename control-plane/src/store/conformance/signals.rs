//! What signals end, and logout tokens that wait.

use shared::id::{ClientId, SessionId};
use shared::time::UnixMillis;

use super::clients::public;
use super::grants::grant;
use super::installation::index;
use super::{NOW, org, people, user};
use crate::store::clients::Client;
use crate::store::logouts::{Listener, LogoutRow};
use crate::store::sessions::SessionRow;
use crate::store::signing::BlockRow;
use crate::store::{Store, Tx};

const SESSION: &str = "ses_000000009";
const LATER: UnixMillis = UnixMillis(NOW.0 + 3_600_000);

fn client(number: u64) -> ClientId {
    ClientId::from_u64(number).expect("small")
}

/// Somebody with one grant in a session, for a client that listens, and another that does not.
async fn world(store: &Store) -> Tx {
    let mut tx = people(store).await;
    for (number, listens) in [(77, true), (78, false)] {
        let new = public(number);
        let new = Client {
            backchannel_logout_uri: new.backchannel_logout_uri.filter(|_| listens),
            ..new
        };
        assert!(tx.insert_client(&new).await.expect("client"));
    }
    let block = BlockRow {
        start: 0,
        length: 100,
        signing_key: 3,
        announced_by: None,
        closed_at: None,
    };
    assert!(tx.insert_index_block(&block, NOW).await.expect("block"));
    for (number, of, session) in [
        (5, 77, Some(SESSION)),
        (6, 77, Some(SESSION)),
        (7, 78, Some(SESSION)),
        (8, 77, None),
    ] {
        assert!(tx.take_index(index(number), 0, None, NOW).await.expect("taken"));
        let mut new = grant(number, index(number));
        new.terms.client = client(of);
        new.terms.session = session.map(str::to_owned);
        tx.insert_grant(&new).await.expect("grant");
    }
    tx
}

pub(super) async fn a_logout_is_for_those_who_listen(store: Store) {
    let mut tx = world(&store).await;
    let listener = Listener {
        client: client(77),
        org: org(1),
        user: user(2),
    };
    // Once, also when what it had is over.
    assert_eq!(
        tx.listeners_of_session(SESSION).await.expect("listed"),
        [listener]
    );
    assert_eq!(tx.end_grants_of_session(SESSION, NOW).await.expect("ended"), 3);
    assert_eq!(
        tx.listeners_of_session(SESSION).await.expect("listed"),
        [listener]
    );
    assert_eq!(
        tx.listeners_of_session("ses_000000010").await.expect("listed"),
        []
    );
    tx.disable_client(client(77), NOW).await.expect("disabled");
    assert_eq!(tx.listeners_of_session(SESSION).await.expect("listed"), []);
}

pub(super) async fn a_logout_is_taken_by_one_and_dropped(store: Store) {
    let mut tx = world(&store).await;
    let logout = |byte: u8, at: u64| LogoutRow {
        id: [byte; 32],
        client: client(77),
        org: org(1),
        user: user(2),
        session: SESSION.to_owned(),
        created_at: UnixMillis(NOW.0 + at),
        expires_at: LATER,
        attempts: 0,
    };
    for row in [logout(1, 0), logout(2, 1), logout(1, 5)] {
        tx.insert_logout(&row).await.expect("queued");
    }
    tx.commit().await.expect("commit");
    let take = async |now| {
        let mut tx = store.begin().await.expect("tx");
        let taken = tx.take_logout(77, now, LATER).await.expect("taken");
        tx.commit().await.expect("commit");
        taken
    };
    let (one, two) = tokio::join!(take(NOW), take(NOW));
    let expected = LogoutRow {
        attempts: 1,
        ..logout(1, 0)
    };
    assert_eq!([one, two].into_iter().flatten().collect::<Vec<_>>(), [expected]);
    assert_eq!(take(NOW).await, None, "the other is not due");
    let waiting = async |at| {
        let mut tx = store.begin_read().await.expect("tx");
        tx.waiting_clients(UnixMillis(NOW.0 + at)).await.expect("listed")
    };
    assert_eq!((waiting(0).await, waiting(1).await), (vec![], vec![(77, 1)]));
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(
        tx.take_logout(78, LATER, LATER).await.expect("asked"),
        None,
        "another's"
    );
    // With it goes what else waits for the client, until that takes something again.
    tx.postpone_logouts(&logout(1, 0), UnixMillis(NOW.0 + 7))
        .await
        .expect("later");
    tx.commit().await.expect("commit");
    assert_eq!((waiting(6).await, waiting(7).await), (vec![], vec![(77, 1)]));
    let mut tx = store.begin().await.expect("tx");
    tx.hasten_logouts(client(77), UnixMillis(NOW.0 + 6), NOW)
        .await
        .expect("sooner");
    assert_eq!(tx.waiting_clients(NOW).await.expect("listed"), [(77, 1)]);
    drop(tx);
    let mut tx = store.begin().await.expect("tx");
    tx.drop_logout(&[2; 32]).await.expect("dropped");
    tx.commit().await.expect("commit");
    assert_eq!(take(UnixMillis(NOW.0 + 6)).await, None);
    let again = take(UnixMillis(NOW.0 + 7)).await.expect("again");
    assert_eq!((again.id, again.attempts), ([1; 32], 2));
}

pub(super) async fn a_signal_ends_what_a_member_has_here(store: Store) {
    let mut tx = world(&store).await;
    let session = SessionRow {
        digest: [1; 32],
        sid: SessionId::from_u64(9).expect("small"),
        user: user(2),
        org: org(1),
        created_at: NOW,
        last_seen_at: NOW,
        auth_time: NOW,
        expires_at: LATER,
        user_agent: String::new(),
        address: String::new(),
        methods: "pwd".to_owned(),
    };
    tx.insert_session(&session).await.expect("session");
    assert_eq!(
        tx.sessions_of_member(org(1), user(2)).await.expect("listed"),
        [session.sid]
    );
    assert_eq!(tx.sessions_of_member(org(1), user(3)).await.expect("listed"), []);
    assert_eq!(
        tx.end_grants_by_signal(org(2), user(2), NOW)
            .await
            .expect("ended"),
        (0, vec![])
    );
    tx.end_session(user(2), session.sid, NOW).await.expect("ended");
    assert_eq!(tx.sessions_of_member(org(1), user(2)).await.expect("listed"), []);
    tx.end_grants_of_session(SESSION, NOW).await.expect("ended");
    let (ended, mut indexes) = tx
        .end_grants_by_signal(org(1), user(2), NOW)
        .await
        .expect("ended");
    indexes.sort_unstable();
    assert_eq!(
        (ended, indexes),
        (1, vec![index(5), index(6), index(7), index(8)]),
        "those of the session too"
    );
    assert_eq!(
        tx.end_grants_by_signal(org(1), user(2), LATER)
            .await
            .expect("asked"),
        (0, vec![])
    );
    let terms = grant(5, index(5)).terms;
    assert!(tx.add_consent(&terms, NOW).await.expect("agreed"));
    assert_eq!(
        tx.forget_consents_of_member(org(2), user(2))
            .await
            .expect("asked"),
        0
    );
    assert_eq!(
        tx.forget_consents_of_member(org(1), user(2))
            .await
            .expect("forgotten"),
        1
    );
}
