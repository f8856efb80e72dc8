//! Authenticator apps, recovery codes, sign-ins half done, passkeys and their challenges.

use shared::time::UnixMillis;

use super::{NOW, org, people, user};
use crate::store::Store;
use crate::store::factors::{PendingSignIn, Totp};
use crate::store::passkeys::StoredPasskey;

fn totp() -> Totp {
    Totp {
        user: user(2),
        sealed: vec![1, 2, 3],
        last_step: 10,
        created_at: NOW,
    }
}

pub(super) async fn a_step_is_used_up_with_those_before(store: Store) {
    let mut tx = people(&store).await;
    assert_eq!(tx.totp(user(2)).await.expect("asked"), None);
    assert!(!tx.accept_totp_step(user(2), 11).await.expect("asked"));
    assert!(tx.insert_totp(&totp()).await.expect("added"));
    assert!(!tx.insert_totp(&totp()).await.expect("asked"), "one each");
    assert_eq!(tx.totp(user(2)).await.expect("asked"), Some(totp()));
    for (step, accepted) in [(10, false), (12, true), (12, false), (11, false), (13, true)] {
        assert_eq!(
            tx.accept_totp_step(user(2), step).await.expect("asked"),
            accepted,
            "{step}"
        );
    }
    assert!(!tx.remove_totp(user(9)).await.expect("asked"));
    assert!(tx.remove_totp(user(2)).await.expect("removed"));
    assert!(!tx.remove_totp(user(2)).await.expect("asked"));
    assert_eq!(tx.totp(user(2)).await.expect("asked"), None);
}

pub(super) async fn of_two_with_one_code_one_wins(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_totp(&totp()).await.expect("added");
    tx.replace_recovery_codes(user(2), &[[1; 32]]).await.expect("set");
    tx.commit().await.expect("commit");
    let attempt = async || {
        let mut tx = store.begin().await.expect("tx");
        let step = tx.accept_totp_step(user(2), 11).await.expect("asked");
        let code = tx.use_recovery_code(user(2), &[1; 32], NOW).await.expect("asked");
        tx.commit().await.expect("commit");
        (step, code)
    };
    let (a, b) = tokio::join!(attempt(), attempt());
    assert!(a.0 != b.0, "one step for one");
    assert!(a.1 != b.1, "one recovery code for one");
}

pub(super) async fn recovery_codes_are_used_once(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_totp(&totp()).await.expect("added");
    tx.replace_recovery_codes(user(2), &[[1; 32], [2; 32]])
        .await
        .expect("set");
    assert_eq!(tx.recovery_codes_left(user(2)).await.expect("asked"), 2);
    assert!(!tx.use_recovery_code(user(2), &[3; 32], NOW).await.expect("asked"));
    assert!(!tx.use_recovery_code(user(9), &[1; 32], NOW).await.expect("asked"));
    assert!(tx.use_recovery_code(user(2), &[1; 32], NOW).await.expect("used"));
    assert!(!tx.use_recovery_code(user(2), &[1; 32], NOW).await.expect("asked"));
    assert_eq!(tx.recovery_codes_left(user(2)).await.expect("asked"), 1);
    tx.replace_recovery_codes(user(2), &[[1; 32]]).await.expect("set");
    assert!(!tx.use_recovery_code(user(2), &[2; 32], NOW).await.expect("void"));
    assert!(tx.use_recovery_code(user(2), &[1; 32], NOW).await.expect("used"));
    tx.replace_recovery_codes(user(2), &[[5; 32]]).await.expect("set");
    tx.remove_totp(user(2)).await.expect("removed");
    assert_eq!(tx.recovery_codes_left(user(2)).await.expect("asked"), 0);
}

pub(super) async fn a_wait_is_taken_once_and_in_time(store: Store) {
    let mut tx = people(&store).await;
    let pending = PendingSignIn {
        digest: [7; 32],
        user: user(2),
        org: org(1),
        password_digest: [8; 32],
        expires_at: NOW.saturating_add(10),
    };
    tx.insert_pending_sign_in(&pending).await.expect("added");
    let last = NOW.saturating_add(9);
    assert_eq!(
        tx.pending_sign_in(&[7; 32], last).await.expect("asked"),
        Some(pending.clone())
    );
    assert_eq!(
        tx.pending_sign_in(&[7; 32], pending.expires_at)
            .await
            .expect("asked"),
        None
    );
    assert!(
        !tx.take_pending_sign_in(&[7; 32], pending.expires_at)
            .await
            .expect("late")
    );
    assert!(tx.take_pending_sign_in(&[7; 32], last).await.expect("taken"));
    assert!(!tx.take_pending_sign_in(&[7; 32], last).await.expect("asked"));

    tx.insert_pending_sign_in(&pending).await.expect("added");
    assert_eq!(tx.end_pending_sign_ins(user(3)).await.expect("asked"), 0);
    assert_eq!(tx.end_pending_sign_ins(user(2)).await.expect("ended"), 1);
    tx.insert_pending_sign_in(&pending).await.expect("added");
    for (org, user, expected) in [(org(2), user(2), 0), (org(1), user(3), 0), (org(1), user(2), 1)] {
        let ended = tx.end_pending_sign_ins_of_member(org, user).await;
        assert_eq!(ended.expect("asked"), expected);
    }

    tx.insert_pending_sign_in(&pending).await.expect("added");
    assert!(
        tx.spend_challenge(&[1; 32], pending.expires_at)
            .await
            .expect("spent")
    );
    assert!(!tx.spend_challenge(&[1; 32], NOW).await.expect("asked"));
    assert_eq!(tx.forget_ceremonies(last).await.expect("asked"), 0);
    assert_eq!(
        tx.forget_ceremonies(pending.expires_at).await.expect("forgotten"),
        2
    );
}

pub(super) async fn a_passkey_comes_back_as_it_went_in(store: Store) {
    let mut tx = people(&store).await;
    let passkey = StoredPasskey {
        digest: [3; 32],
        user: user(2),
        name: "Laptop".to_owned(),
        credential: "{}".to_owned(),
        counter: 0,
        created_at: NOW,
        last_used_at: None,
    };
    assert!(tx.insert_passkey(&passkey).await.expect("added"));
    assert!(
        !tx.insert_passkey(&passkey).await.expect("asked"),
        "somebody's already"
    );
    assert_eq!(tx.passkey(&[3; 32]).await.expect("asked"), Some(passkey.clone()));
    assert_eq!(tx.passkey(&[4; 32]).await.expect("asked"), None);
    assert_eq!(tx.passkeys_of(user(2)).await.expect("asked"), [passkey]);
    assert!(tx.passkeys_of(user(9)).await.expect("asked").is_empty());

    let later = NOW.saturating_add(5);
    for (counter, noted) in [
        (0, true),
        (0, true),
        (4, true),
        (4, false),
        (3, false),
        (0, false),
        (5, true),
    ] {
        let outcome = tx.note_passkey_use(&[3; 32], "{1}", counter, later).await;
        assert_eq!(outcome.expect("asked"), noted, "{counter}");
    }
    let used = tx.passkey(&[3; 32]).await.expect("asked").expect("a passkey");
    assert_eq!(
        (used.counter, used.credential.as_str(), used.last_used_at),
        (5, "{1}", Some(later))
    );
    assert!(
        !tx.rename_passkey(user(9), &[3; 32], "x")
            .await
            .expect("not theirs")
    );
    assert!(
        tx.rename_passkey(user(2), &[3; 32], "Phone")
            .await
            .expect("renamed")
    );
    assert_eq!(tx.passkeys_of(user(2)).await.expect("asked")[0].name, "Phone");
    assert!(!tx.remove_passkey(user(9), &[3; 32]).await.expect("not theirs"));
    assert!(tx.remove_passkey(user(2), &[3; 32]).await.expect("removed"));
    assert!(!tx.remove_passkey(user(2), &[3; 32]).await.expect("asked"));
}

pub(super) async fn home_is_where_one_is_alive(store: Store) {
    let mut tx = people(&store).await;
    assert_eq!(tx.home_of(user(2)).await.expect("asked"), Some(org(1)));
    assert_eq!(tx.home_of(user(9)).await.expect("asked"), None);
    let earlier = UnixMillis(NOW.0 - 1);
    tx.insert_org(org(5), "Older", earlier).await.expect("org");
    tx.insert_membership(org(5), user(2), crate::store::orgs::Role::Member, earlier)
        .await
        .expect("membership");
    assert_eq!(tx.home_of(user(2)).await.expect("asked"), Some(org(5)));
}
