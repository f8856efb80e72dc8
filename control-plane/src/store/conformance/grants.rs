//! Grants, codes, refresh tokens, consents.

use shared::id::{ClientId, GrantId, StatusIndex};
use shared::jwk::Thumbprint;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::installation::index;
use super::{NOW, org, people, user};
use crate::store::Store;
use crate::store::clients::ClientKind;
use crate::store::codes::AuthorizationCode;
use crate::store::grants::{Grant, Terms};
use crate::store::refresh_tokens::RefreshToken;
use crate::store::signing::BlockRow;

fn client() -> ClientId {
    ClientId::from_u64(77).expect("small")
}

fn grant_id(number: u64) -> GrantId {
    GrantId::from_u64(number).expect("small")
}

fn terms() -> Terms {
    Terms {
        client: client(),
        user: user(2),
        org: org(1),
        scopes: ScopeSet(1 << 63 | 1),
        identity: 5,
        resource: "https://api.example".to_owned(),
        session: Some("ses_000000009".to_owned()),
        auth_time: NOW.seconds(),
    }
}

pub(super) fn grant(number: u64, index: StatusIndex) -> Grant {
    Grant {
        id: grant_id(number),
        terms: terms(),
        issued_at: NOW.seconds(),
        index,
        signing_key: shared::id::SigningKeyId::from_u64(3).expect("small"),
        bound_to: Some(Thumbprint([9; 32])),
        idle_expires: NOW.seconds().saturating_add(100),
        expires: NOW.seconds().saturating_add(250),
        created_at: NOW,
        revoked_at: None,
    }
}

fn token(byte: u8, generation: u64, predecessor: Option<u8>) -> RefreshToken {
    RefreshToken {
        digest: [byte; 32],
        grant: grant_id(5),
        generation,
        predecessor: predecessor.map(|byte| [byte; 32]),
        created_at: NOW,
        used_at: None,
        replaced_at: None,
        sealed: None,
        sealed_until: None,
    }
}

fn code(byte: u8) -> AuthorizationCode {
    AuthorizationCode {
        digest: [byte; 32],
        terms: terms(),
        redirect_uri: "https://app.example.com/cb".to_owned(),
        challenge: "c".repeat(43),
        nonce: Some("n".to_owned()),
        bound_to: Some(Thumbprint([8; 32])),
        created_at: NOW,
        expires_at: later(60_000),
        used_at: None,
        grant: None,
    }
}

fn later(millis: u64) -> UnixMillis {
    NOW.saturating_add(millis)
}

/// People, a client, a block with the indexes 17 and 18 drawn, and grant 5 with index 17.
pub(super) async fn prepare(store: &Store) {
    let mut tx = people(store).await;
    tx.insert_client(&super::clients::public(77))
        .await
        .expect("client");
    let found = tx.client(client()).await.expect("asked").expect("there");
    assert_eq!((found.kind, found.secret_digest), (ClientKind::Public, None));
    let block = BlockRow {
        start: 16,
        length: 4,
        signing_key: 3,
        announced_by: None,
        closed_at: None,
    };
    tx.insert_index_block(&block, NOW).await.expect("block");
    for number in [17, 18] {
        let expires = Some(NOW.seconds());
        assert!(
            tx.take_index(index(number), 16, expires, NOW)
                .await
                .expect("taken")
        );
    }
    tx.insert_grant(&grant(5, index(17))).await.expect("grant");
    tx.commit().await.expect("commit");
}

pub(super) async fn a_grant_is_held_moved_and_ended_once(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let id = grant_id(5);
    assert_eq!(tx.grant(id).await.expect("asked"), Some(grant(5, index(17))));
    assert_eq!(tx.grant(grant_id(6)).await.expect("asked"), None);
    // Holding moves the idle end, but not past the end.
    let far = NOW.seconds().saturating_add(1000);
    assert!(tx.hold_grant(id, far, later(99_000)).await.expect("held"));
    assert!(tx.hold_grant_of_caller(id).await.expect("held"));
    let held = tx.grant(id).await.expect("asked").expect("there");
    assert_eq!(held.idle_expires, held.expires);
    assert!(
        !tx.hold_grant(id, far, later(250_000)).await.expect("asked"),
        "over"
    );
    let key = shared::id::SigningKeyId::from_u64(4).expect("small");
    tx.move_grant(id, key, index(18)).await.expect("moved");
    let moved = tx.grant(id).await.expect("asked").expect("there");
    assert_eq!((moved.index, moved.signing_key), (index(18), key));
    for number in [17, 18] {
        assert_eq!(tx.grant_of_index(index(number)).await.expect("asked"), Some(id));
    }
    assert_eq!(tx.grant_of_index(index(19)).await.expect("asked"), None);
    assert_eq!(
        tx.indexes_of_grant(id).await.expect("list"),
        [index(17), index(18)]
    );
    assert!(tx.revoke_grant(id, "client", NOW).await.expect("revoked"));
    assert!(!tx.revoke_grant(id, "code_reuse", later(1)).await.expect("asked"));
    assert_eq!(
        tx.grant(id).await.expect("asked").expect("there").revoked_at,
        Some(NOW)
    );
    assert!(!tx.hold_grant(id, far, NOW).await.expect("asked"));
    assert!(!tx.hold_grant_of_caller(id).await.expect("asked"));
    assert_eq!(tx.forget_grants(NOW.seconds()).await.expect("asked"), 0);
    assert_eq!(tx.forget_grants(far).await.expect("forgotten"), 1);
    assert_eq!(tx.grant(id).await.expect("asked"), None);
}

pub(super) async fn the_end_of_a_session_ends_its_grants(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    tx.insert_code(&code(1)).await.expect("code");
    assert_eq!(
        tx.end_grants_of_session("ses_000000008", NOW)
            .await
            .expect("asked"),
        0
    );
    assert_eq!(
        tx.end_grants_of_session("ses_000000009", NOW)
            .await
            .expect("ended"),
        1
    );
    assert_eq!(
        tx.end_grants_of_session("ses_000000009", NOW)
            .await
            .expect("asked"),
        0
    );
    let ended = tx.grant(grant_id(5)).await.expect("asked").expect("there");
    assert_eq!(ended.revoked_at, Some(NOW));
    assert!(
        !tx.take_code(&[1; 32], NOW).await.expect("asked"),
        "and a code is none any more"
    );
    let revoke = async |tx: &mut crate::store::Tx, session: &str| {
        tx.revoke_indexes_of_session(session, NOW).await.expect("revoked")
    };
    assert_eq!(revoke(&mut tx, "ses_000000008").await, []);
    assert_eq!(revoke(&mut tx, "ses_000000009").await, [index(17)]);
    assert_eq!(revoke(&mut tx, "ses_000000009").await, [], "once");
    assert_eq!(tx.index_is_live(index(17)).await.expect("asked"), Some(false));
    assert_eq!(tx.index_is_live(index(18)).await.expect("asked"), Some(true));
}

pub(super) async fn a_revoked_index_ends_its_grant(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    for (first, last, ended) in [(18, 19, 0), (16, 17, 1), (16, 17, 0)] {
        let rows = tx.end_grants_between(first, last, NOW).await.expect("asked");
        assert_eq!(rows, ended, "{first} to {last}");
    }
    let grant = tx.grant(grant_id(5)).await.expect("asked").expect("there");
    assert_eq!(grant.revoked_at, Some(NOW));
}

pub(super) async fn an_index_lives_as_long_as_its_tokens(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let end = NOW.seconds().saturating_add(50);
    assert!(tx.extend_index(index(17), end).await.expect("extended"));
    assert!(
        tx.extend_index(index(17), NOW.seconds())
            .await
            .expect("never back")
    );
    tx.close_index_block(16, NOW).await.expect("closed");
    assert_eq!(
        tx.forget_expired_indexes(end).await.expect("forgotten"),
        1,
        "the other one"
    );
    assert!(!tx.extend_index(index(18), end).await.expect("asked"));
    assert_eq!(tx.index_is_live(index(17)).await.expect("asked"), Some(true));
    assert_eq!(tx.index_is_live(index(18)).await.expect("asked"), None);
    tx.revoke_index(index(17), NOW).await.expect("revoked");
    assert_eq!(tx.index_is_live(index(17)).await.expect("asked"), Some(false));
    assert!(!tx.extend_index(index(17), end).await.expect("asked"));
    tx.raise_client_not_before(77, 90).await.expect("raised");
    assert_eq!(
        tx.client_not_before(client())
            .await
            .expect("asked")
            .map(|at| at.0),
        Some(90)
    );
}

pub(super) async fn a_code_is_taken_once_and_in_time(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    tx.insert_code(&code(1)).await.expect("code");
    let unbound = AuthorizationCode {
        bound_to: None,
        ..code(2)
    };
    tx.insert_code(&unbound).await.expect("code");
    assert_eq!(tx.code(&[2; 32]).await.expect("asked"), Some(unbound));
    assert_eq!(tx.code(&[1; 32]).await.expect("asked"), Some(code(1)));
    assert_eq!(tx.code(&[3; 32]).await.expect("asked"), None);
    tx.commit().await.expect("commit");
    // Of two at once, one.
    let take = async || {
        let mut tx = store.begin().await.expect("tx");
        let taken = tx.take_code(&[1; 32], later(1)).await.expect("asked");
        tx.commit().await.expect("commit");
        taken
    };
    let (one, other) = tokio::join!(take(), take());
    assert!(one ^ other, "{one} {other}");
    let mut tx = store.begin().await.expect("tx");
    assert!(
        !tx.take_code(&[2; 32], later(60_000)).await.expect("asked"),
        "too late"
    );
    tx.note_code_grant(&[1; 32], grant_id(5)).await.expect("noted");
    let taken = tx.code(&[1; 32]).await.expect("asked").expect("there");
    assert_eq!((taken.used_at, taken.grant), (Some(later(1)), Some(grant_id(5))));
    // A grant that a code still names stays.
    let far = NOW.seconds().saturating_add(1000);
    assert_eq!(tx.forget_grants(far).await.expect("asked"), 0);
    assert_eq!(tx.forget_codes(later(1)).await.expect("forgotten"), 2);
    assert_eq!(tx.forget_grants(far).await.expect("forgotten"), 1);
}

pub(super) async fn a_family_has_one_head(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    tx.insert_refresh_token(&token(1, 1, None)).await.expect("token");
    assert_eq!(
        tx.refresh_token(&[1; 32]).await.expect("asked"),
        Some(token(1, 1, None))
    );
    assert_eq!(tx.refresh_token(&[9; 32]).await.expect("asked"), None);
    assert!(tx.use_refresh_token(&[1; 32], NOW).await.expect("used"));
    assert!(!tx.use_refresh_token(&[1; 32], NOW).await.expect("asked"));
    tx.insert_refresh_token(&token(2, 2, Some(1)))
        .await
        .expect("token");
    assert!(tx.successor_is_unused(&[1; 32]).await.expect("asked"));
    assert!(tx.replace_successor(&[1; 32], NOW).await.expect("replaced"));
    assert!(!tx.replace_successor(&[1; 32], NOW).await.expect("asked"));
    assert!(
        !tx.use_refresh_token(&[2; 32], NOW).await.expect("asked"),
        "replaced"
    );
    tx.insert_refresh_token(&token(3, 2, Some(1)))
        .await
        .expect("token");
    let heads = tx.heads_of_grant(grant_id(5)).await.expect("list");
    assert_eq!(heads, [token(3, 2, Some(1))]);
    assert!(tx.use_refresh_token(&[3; 32], NOW).await.expect("used"));
    assert!(!tx.successor_is_unused(&[1; 32]).await.expect("asked"));
    tx.seal_successor(&[3; 32], b"sealed", later(30_000))
        .await
        .expect("sealed");
    assert_eq!(tx.drop_sealed(later(29_999)).await.expect("asked"), 0);
    let kept = tx.refresh_token(&[3; 32]).await.expect("asked").expect("there");
    assert_eq!(
        (kept.sealed.as_deref(), kept.sealed_until),
        (Some(&b"sealed"[..]), Some(later(30_000)))
    );
    assert_eq!(tx.drop_sealed(later(30_000)).await.expect("dropped"), 1);
    let kept = tx.refresh_token(&[3; 32]).await.expect("asked").expect("there");
    assert_eq!((kept.sealed, kept.sealed_until), (None, None));
}

pub(super) async fn consents_add_up(store: Store) {
    prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let ask = async |tx: &mut crate::store::Tx| {
        tx.consent(org(1), user(2), client(), &terms().resource)
            .await
            .expect("asked")
    };
    assert_eq!(ask(&mut tx).await, None);
    assert!(tx.add_consent(&terms(), NOW).await.expect("added"));
    assert!(
        !tx.add_consent(&terms(), NOW).await.expect("asked"),
        "nothing new"
    );
    let more = Terms {
        scopes: ScopeSet(2),
        identity: 2,
        ..terms()
    };
    assert!(tx.add_consent(&more, later(1)).await.expect("added"));
    assert_eq!(ask(&mut tx).await, Some((ScopeSet(1 << 63 | 3), 7)));
    let elsewhere = Terms {
        resource: "https://api.example.com/mcp".to_owned(),
        ..more
    };
    let there = tx.consent(org(1), user(2), client(), &elsewhere.resource).await;
    assert_eq!(there.expect("asked"), None, "another resource, another question");
    assert!(tx.add_consent(&elsewhere, later(2)).await.expect("added"));
    let there = tx.consent(org(1), user(2), client(), &elsewhere.resource).await;
    assert_eq!(there.expect("asked"), Some((ScopeSet(2), 2)));
    assert_eq!(ask(&mut tx).await, Some((ScopeSet(1 << 63 | 3), 7)));
    assert_eq!(
        tx.profile(user(2)).await.expect("asked"),
        Some(("ada@example.com".to_owned(), "Ada".to_owned()))
    );
    assert_eq!(tx.profile(user(9)).await.expect("asked"), None);
    assert_eq!(tx.forget_consents_of_user(user(1)).await.expect("asked"), 0);
    assert_eq!(tx.forget_consents_of_user(user(2)).await.expect("forgotten"), 2);
    assert_eq!(ask(&mut tx).await, None);
}

pub(super) async fn a_proof_is_spent_once(store: Store) {
    // Of two at once, one.
    let ends = NOW.seconds().saturating_add(60);
    let spend = async |byte: u8| {
        let mut tx = store.begin().await.expect("tx");
        let spent = tx.spend_proof(&[byte; 32], ends).await.expect("asked");
        tx.commit().await.expect("commit");
        spent
    };
    let (one, other) = tokio::join!(spend(1), spend(1));
    assert!(one ^ other, "{one} {other}");
    assert!(spend(2).await);
    // What was rolled back can be used.
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.spend_proof(&[3; 32], ends).await.expect("asked"));
    drop(tx);
    assert!(spend(3).await);
    // Remembered until its end.
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.forget_proofs(later(59_999).seconds()).await.expect("asked"), 0);
    assert_eq!(tx.forget_proofs(ends).await.expect("forgotten"), 3);
    assert!(tx.spend_proof(&[1; 32], ends).await.expect("asked"));
}
