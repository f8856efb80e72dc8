//! Which indexes of a list are dead, or suspended.

use shared::id::{GrantId, KeyId, StatusIndex};
use shared::time::UnixSeconds;

use super::clients::public;
use super::grants::grant;
use super::{NOW, org, people, sample, user};
use crate::store::keys::ApiKey;
use crate::store::members::MemberState;
use crate::store::orgs::Role;
use crate::store::signing::{BlockRow, SigningKeyRow};
use crate::store::status_lists::Holder;
use crate::store::{Store, Tx, int};

const START: u64 = 1 << 20;
const END: u64 = 2 << 20;

fn index(offset: u64) -> StatusIndex {
    StatusIndex::from_u64(START + offset).expect("small")
}

async fn lists(tx: &mut Tx) -> (Vec<u64>, Vec<u64>) {
    let sorted = |mut found: Vec<u64>| {
        found.sort_unstable();
        found.into_iter().map(|index| index - START).collect()
    };
    (
        sorted(tx.dead_indexes(START, END, NOW.seconds()).await.expect("dead")),
        sorted(tx.suspended_indexes(START, END).await.expect("suspended")),
    )
}

/// A key at 1, a grant at 2, a token of a client's own at 3, a person's token without a grant at 4.
async fn world(store: &Store) -> Tx {
    let mut tx = people(store).await;
    let client = public(77);
    tx.insert_client(&client).await.expect("client");
    let signer = SigningKeyRow {
        id: 1,
        purpose: "access_token".to_owned(),
        public_key: vec![0; 32],
        sealed: None,
        state: "active".to_owned(),
        announced_by: None,
        created_at: int(NOW.0),
        acknowledged_at: None,
        activated_at: None,
        retired_at: None,
        removed_at: None,
    };
    tx.insert_signing_key(&signer).await.expect("signer");
    let block = BlockRow {
        start: int(START),
        length: int(StatusIndex::LIST_LENGTH),
        signing_key: 1,
        announced_by: None,
        closed_at: None,
    };
    assert!(tx.insert_index_block(&block, NOW).await.expect("block"));
    let end = Some(NOW.seconds().saturating_add(3600));
    for (offset, expires) in [(1, None), (2, end), (3, end), (4, end)] {
        let taken = tx.take_index(index(offset), int(START), expires, NOW).await;
        assert!(taken.expect("taken"));
    }
    let key = ApiKey {
        id: index(1).into(),
        family: index(1).into(),
        ..sample(1)
    };
    tx.insert_key(&key).await.expect("key");
    let grant = grant(5, index(2));
    tx.insert_grant(&grant).await.expect("grant");
    for (offset, user) in [(3, None), (4, Some(user(2)))] {
        let holder = Holder {
            org: org(1),
            user,
            client: client.id,
            issued_at: NOW.seconds(),
        };
        tx.note_holder(index(offset), holder).await.expect("noted");
    }
    assert_eq!(lists(&mut tx).await, (vec![], vec![]));
    tx
}

pub(super) async fn a_list_knows_who_is_dead(store: Store) {
    let mut tx = world(&store).await;
    assert!(tx.revoke_index(index(3), NOW).await.expect("revoked"));
    assert_eq!(lists(&mut tx).await.0, [3]);
    drop(tx);
    for (what, expected) in [
        ("member", vec![1, 2, 4]),
        ("client", vec![2, 3, 4]),
        ("grant", vec![2]),
    ] {
        let mut tx = world(&store).await;
        match what {
            "member" => {
                tx.set_member_not_before(org(1), user(2), NOW.seconds())
                    .await
                    .expect("dated");
            }
            "client" => {
                tx.disable_client(public(77).id, NOW).await.expect("disabled");
            }
            _ => {
                let id = GrantId::from_u64(5).expect("small");
                assert!(tx.revoke_grant(id, "client", NOW).await.expect("revoked"));
            }
        }
        assert_eq!(lists(&mut tx).await, (expected, vec![]), "{what}");
    }
}

pub(super) async fn a_list_knows_who_is_suspended(store: Store) {
    let mut tx = world(&store).await;
    let member = tx.member(org(1), user(2)).await.expect("asked").expect("there");
    let put = |state| ((org(1), user(2)), (Role::Owner, state));
    let (who, next) = put(MemberState::Suspended);
    let version = tx
        .change_member(who, next, member.version, NOW)
        .await
        .expect("changed");
    assert_eq!(lists(&mut tx).await, (vec![], vec![1, 2, 4]));
    let (who, next) = put(MemberState::Deactivated);
    let version = tx
        .change_member(who, next, version.expect("new"), NOW)
        .await
        .expect("changed");
    assert_eq!(lists(&mut tx).await.0, [1, 2, 4]);
    let (who, next) = put(MemberState::Active);
    tx.change_member(who, next, version.expect("new"), NOW)
        .await
        .expect("changed");
    assert_eq!(lists(&mut tx).await, (vec![], vec![]));
    let read = Some(crate::store::quarantine::Ceiling::Read);
    let key = KeyId::from_u64(index(1).get()).expect("in range");
    tx.set_quarantine(key, read, NOW)
        .await
        .expect("asked")
        .expect("it lives");
    assert_eq!(lists(&mut tx).await, (vec![], vec![1]));
}

pub(super) async fn a_list_is_there_while_it_is_used(store: Store) {
    let mut tx = world(&store).await;
    let start = index(0);
    let at = |seconds| UnixSeconds(NOW.seconds().0 + seconds);
    assert!(tx.has_status_list(start, at(0)).await.expect("asked"));
    assert!(
        !tx.has_status_list(index(1), at(0)).await.expect("asked"),
        "no list begins there"
    );
    assert_eq!(tx.status_lists(at(0)).await.expect("lists"), [START]);
    // The key in it has no end: it is never retired.
    tx.close_index_block(int(START), NOW).await.expect("closed");
    assert!(tx.has_status_list(start, at(1_000_000)).await.expect("asked"));
    let empty = BlockRow {
        start: int(END),
        length: int(StatusIndex::LIST_LENGTH),
        signing_key: 1,
        announced_by: None,
        closed_at: None,
    };
    assert!(tx.insert_index_block(&empty, NOW).await.expect("block"));
    assert_eq!(tx.status_lists(at(0)).await.expect("lists"), [START, END]);
    let token = StatusIndex::from_u64(END + 9).expect("small");
    assert!(
        tx.take_index(token, int(END), Some(at(60)), NOW)
            .await
            .expect("taken")
    );
    tx.close_index_block(int(END), NOW).await.expect("closed");
    assert_eq!(tx.status_lists(at(59)).await.expect("lists"), [START, END]);
    assert_eq!(tx.status_lists(at(60)).await.expect("lists"), [START]);
    // With its signer everything in it is gone.
    tx.disown_signing_key(key_signer(), NOW).await.expect("removed");
    assert!(!tx.has_status_list(start, at(0)).await.expect("asked"));
    assert_eq!(tx.status_lists(at(0)).await.expect("lists"), Vec::<u64>::new());
}

fn key_signer() -> shared::id::SigningKeyId {
    sample(1).signing_key
}

pub(super) async fn every_change_moves_the_mark(store: Store) {
    let mut tx = people(&store).await;
    let first = tx.status_mark().await.expect("a mark");
    assert_eq!(tx.status_mark().await.expect("a mark"), first);
    tx.enqueue_entry("x", &[1], None, NOW).await.expect("a row");
    let second = tx.status_mark().await.expect("a mark");
    assert_ne!(first, second);
}
